"""Finding methods: the folders ``methods/score``, ``choose`` and ``policy`` are the registry; plug-ins: entry points.

Static mixes and laws have folders (``mix``, ``law``) and groups of entry points of their own. A method's name is its
file's name. A file is imported only when its method is used or listed.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Collection
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Literal

from .core import Card, Choose, Law, Method, Policy
from .errors import UsageError

FOLDERS = ("score", "choose", "policy")
CONTRACTS = (Method, Choose, Policy)
"""What a method may be. A file may define classes of several: the first of these is the method."""
GROUP = "cuvee.methods"
CHOSEN_BY = frozenset({"score", "perplexity", "embedding", "cluster"})
"""What a rule may choose by: columns that scoring methods give."""


@dataclass(frozen=True)
class Entry:
    """Where a method is to be found."""

    name: str
    module: str
    point: EntryPoint | None = None

    def load(self) -> type[Method] | type[Choose] | type[Policy]:
        """Import the method's class."""
        if self.point is not None:
            found = self.point.load()
            if not (inspect.isclass(found) and issubclass(found, CONTRACTS)):
                raise UsageError(
                    f"The plug-in '{self.name}' ({self.point.value}) is not a Method, Choose or Policy class."
                )
            return found
        module = importlib.import_module(self.module)
        own = [kind for kind in vars(module).values() if inspect.isclass(kind) and kind.__module__ == self.module]
        groups = [[kind for kind in own if issubclass(kind, contract)] for contract in CONTRACTS]
        classes = next((group for group in groups if group), [])
        if len(classes) != 1:
            raise AssertionError(f"{self.module} must define exactly one Method, or one Choose or Policy and no Method")
        return classes[0]


@cache
def entries() -> dict[str, Entry]:
    """Every method by name. A plug-in may not take the name of one that cuvee brings."""
    found: dict[str, Entry] = {}
    for folder in FOLDERS:
        package = importlib.import_module(f"cuvee.methods.{folder}")
        for info in pkgutil.iter_modules(package.__path__):
            source = f"cuvee.methods.{folder}.{info.name}"
            if info.name not in package.HELPERS:
                found[info.name] = Entry(info.name, source)
    for point in entry_points(group=GROUP):
        if point.name in found:
            raise UsageError(f"The plug-in {point.value} takes the name '{point.name}', which cuvee has already.")
        found[point.name] = Entry(point.name, point.module, point)
    return dict(sorted(found.items()))


NEAR, MOST_NAMED = 0.6, 40
"""How alike a name must be to be meant; and how many names a sentence may list."""
What = Literal["method", "rule", "policy", "any"]


def load(name: str, what: What = "any") -> type[Any]:
    """The class of a method.

    Args:
        what: what is asked for: "method" (what --with takes: no policy), "rule" (--choose), "policy" (--policy), or
            "any" of them.

    Raises:
        UsageError: there is none, with the nearest names among what is asked for; or it is a policy where none is asked
            for, or the other way round.
    """
    known = entries()
    wanted = name.replace("-", "_")
    if wanted not in known:
        import difflib

        names = list(known)
        if what != "any":
            names = rules() if what == "rule" else [one for one in known if (one in policies()) == (what == "policy")]
        near = difflib.get_close_matches(wanted, names, n=2, cutoff=NEAR)
        there = "cuvee methods lists them." if len(names) > MOST_NAMED else f"There are: {', '.join(names)}."
        hint = f"Did you mean {' or '.join(near)}?" if near else there
        raise UsageError(f"No {'method' if what == 'any' else what} is called '{name}'. {hint}")
    kind = known[wanted].load()
    policy = issubclass(kind, Policy)
    if policy and what in ("method", "rule"):
        raise UsageError(
            f"'{name}' is a policy: it decides while a model trains, not what is kept. "
            f"Try it with: cuvee prove --policy {name}."
        )
    if not policy and what == "policy":
        raise UsageError(f"'{name}' is not a policy. There are: {', '.join(policies())}.")
    return kind


def policies() -> list[str]:
    """The names that --policy takes."""
    return [name for name, entry in entries().items() if issubclass(entry.load(), Policy)]


def rules() -> list[str]:
    """The names that --choose takes: those that choose by what a scoring method gives. Quotas have their own option."""
    kinds = {name: entry.load() for name, entry in entries().items() if name != "quota"}
    return [name for name, kind in kinds.items() if issubclass(kind, Choose) and CHOSEN_BY & set(kind.card.needs)]


def giving(columns: Collection[str]) -> list[str]:
    """The scoring methods whose block holds all of these columns."""
    kinds = {name: entry.load() for name, entry in entries().items()}
    return [name for name, kind in kinds.items() if issubclass(kind, Method) and set(columns) <= set(kind.card.gives)]


def name_of(kind: type[Any]) -> str:
    """The command-line name of a method's class."""
    for entry in entries().values():
        if entry.point is None and entry.module == kind.__module__:
            return entry.name
        if entry.point is not None and entry.point.value == f"{kind.__module__}:{kind.__qualname__}":
            return entry.name
    return kind.__name__


def card(name: str) -> Card:
    """A method's card."""
    found: Card = load(name).card
    return found


KINDS = {"mix": "cuvee.mix", "law": "cuvee.law"}
"""What has names of its own: static mixes (``cuvee mix --with``) and laws (``cuvee mix fit --with``)."""
GROUPS = {"mix": "cuvee.mixes", "law": "cuvee.laws"}
"""The entry-point groups of plug-ins of these kinds."""


@cache
def found_in(kind: str) -> dict[str, Entry]:
    """All mixes, or all laws, by name: the files of their folder, and plug-ins.

    Raises:
        UsageError: a plug-in takes the name of one that cuvee brings.
    """
    package = importlib.import_module(KINDS[kind])
    own = [info.name for info in pkgutil.iter_modules(package.__path__) if info.name not in package.HELPERS]
    found = {name: Entry(name, f"{KINDS[kind]}.{name}") for name in own}
    for point in entry_points(group=GROUPS[kind]):
        if point.name in found:
            raise UsageError(f"The plug-in {point.value} takes the name '{point.name}', which cuvee has already.")
        found[point.name] = Entry(point.name, point.module, point)
    return dict(sorted(found.items()))


def find(kind: str, name: str) -> type[Any]:
    """The class of a mix or a law.

    Raises:
        UsageError: there is none of this name, with the nearest ones; or a plug-in of this name is something else.
    """
    known = found_in(kind)
    wanted = name.replace("-", "_")
    if wanted not in known:
        import difflib

        near = difflib.get_close_matches(wanted, known, n=2, cutoff=NEAR)
        hint = f"Did you mean {' or '.join(near)}?" if near else f"There are: {', '.join(known)}."
        raise UsageError(f"No {kind} is called '{name}'. {hint}")
    entry = known[wanted]
    if entry.point is not None:
        return _plugged(kind, entry.point)
    module = importlib.import_module(entry.module)
    own = [one for one in vars(module).values() if inspect.isclass(one) and one.__module__ == module.__name__]
    classes = [one for one in own if hasattr(one, "card")]
    if len(classes) != 1:
        raise AssertionError(f"{module.__name__} must define exactly one class with a card")
    return classes[0]


def _plugged(kind: str, point: EntryPoint) -> type[Any]:
    from .mix.base import Mix

    contract: type[Any] = {"mix": Mix, "law": Law}[kind]
    try:
        found = point.load()
    except (ImportError, AttributeError) as error:
        raise UsageError(f"The plug-in '{point.name}' ({point.value}) cannot be imported: {error}.") from error
    if not (inspect.isclass(found) and issubclass(found, contract)):
        raise UsageError(f"The plug-in '{point.name}' ({point.value}) is not a {contract.__name__} class.")
    return found
