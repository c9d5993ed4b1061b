"""Who takes part: every method and rule that the registry finds and that texts, targets and domains suffice for.

A scoring method plays by the rule that its paper chooses by. A choosing rule plays with the scoring method of
``BEHIND`` that gives the column it reads. What takes no part is listed with the reason.
"""

from __future__ import annotations

import ast
import hashlib
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from cuvee import registry
from cuvee.core import Choose, Method, Policy
from cuvee.engine.plan import make

from ..harness import HERE, POOL, SOURCE, bare

BEHIND = {"score": "classifier", "perplexity": "perplexity", "embedding": "embedding", "cluster": "clusters"}
"""Whose column a rule is tried on."""
OWN = frozenset({"top_k", "keep_probability", "facility_location", "cluster_clip"})
"""Rules that these methods choose by anyway."""
KNOWN = frozenset({"text", "target", "domain", "label", "embedding"})
"""What the league can give a method. Embeddings are made from the texts; labels are domains."""
GRADIENTS = {"tokens": 64, "epochs": 1, "checkpoints": 1}
SETTINGS: dict[str, dict[str, Any]] = {
    "zipfit": {"mode": "pooled"},
    "less": GRADIENTS,
    "tracin": GRADIENTS,
    "trak": GRADIENTS,
    "ekfac": GRADIENTS,
    "supportive": {"tokens": 64, "epochs": 1},
}
"""Parameters other than the defaults, with which one method would take longer than all others together."""
SLOW = {
    "less": "a backward pass for each row: five minutes of processor time for its row alone; see its claim",
    "tracin": "a backward pass for each row, as less; see its claim",
    "trak": "a backward pass for each row, as less; see its claim",
    "ekfac": "a backward pass for each row, as less; see its claim",
    "supportive": "a backward pass for each row, as less; see its claim",
    "learning_percentage": "three forward passes for each row, and a warm-up: seven minutes for its row; see its claim",
}
"""They take part only if they are asked for by name, and then with ``SETTINGS``."""
LEFT_OUT = {
    "quota": "divides a budget among domains for another rule",
    "length_matched": "stands beside every row",
    "minority": "looks for classes that labelled rows are short of; no task here has any",
    "skill_targeted": "needs tags; with domains for tags it would be told the answer",
    "threshold": "is top_k where no bound is known",
}


@dataclass(frozen=True)
class Contender:
    """A scoring method, a rule, or a rule on a method's column."""

    method: str = ""
    rule: str = ""
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def slow(self) -> bool:
        """Whether it takes part only if asked for."""
        return self.method in SLOW

    @property
    def name(self) -> str:
        """As on the command line."""
        told = self.method + "".join(f":{key}={value}" for key, value in self.settings.items())
        return " + ".join(part for part in (told, self.rule) if part)

    def build(self) -> tuple[Method | None, Choose | None]:
        """New objects of both."""
        method = make(registry.load(self.method), self.settings, self.method) if self.method else None
        return method, make(registry.load(self.rule), {}, self.rule) if self.rule else None

    def digest(self) -> str:
        """Of the code that the numbers depend on: the tasks, and the methods with what they take from each other."""
        files = used(tuple(one for one in (self.method, self.rule, "top_k") if one))
        code = [bare(path.read_text("utf-8")) for path in (HERE / "harness.py", HERE / "league" / "field.py", *files)]
        return hashlib.blake2b("\n\0".join([self.name, *code, data()]).encode(), digest_size=12).hexdigest()


@cache
def data() -> str:
    """Digest of the demonstration's pool."""
    return hashlib.blake2b(POOL.read_bytes(), digest_size=12).hexdigest()


@cache
def used(names: tuple[str, ...]) -> tuple[Path, ...]:
    """The files of these methods, and those of the folder ``methods`` that they import, in the order of their paths."""
    folder = SOURCE / "methods"
    open_ = [SOURCE.joinpath(*registry.entries()[name].module.split(".")[1:]).with_suffix(".py") for name in names]
    found: set[Path] = set()
    while open_:
        path = open_.pop()
        if path in found:
            continue
        found.add(path)
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if not isinstance(node, ast.ImportFrom) or node.level == 0:
                continue
            near = path.parents[node.level - 1].joinpath(*(node.module or "").split("."))
            taken = [near.with_suffix(".py"), *(near / f"{one.name}.py" for one in node.names)]
            open_ += [one for one in taken if one.is_file() and folder in one.parents]
    return tuple(sorted(found))


def discover() -> tuple[list[Contender], dict[str, str]]:
    """All contenders in the order of their names, slow ones too, and who is left out, with the reason."""
    found, out = [Contender(rule="random")], {}
    for name, entry in registry.entries().items():
        if entry.point is not None or issubclass(kind := entry.load(), Policy) or name == "random":
            continue  # a policy decides while a model trains; others' plug-ins are not cuvee's to judge
        if name in LEFT_OUT:
            out[name] = LEFT_OUT[name]
        elif issubclass(kind, Method):
            settings = SETTINGS.get(name, {})
            needs = set(make(kind, settings, name).needs())
            if needs <= KNOWN:
                found.append(Contender(name, settings=settings))
            else:
                out[name] = f"needs {', '.join(sorted(needs - KNOWN))}"
        elif kind.card.family == "baseline":
            found.append(Contender(rule=name))
        else:
            behind = next((BEHIND[one] for one in kind.card.needs if one in BEHIND), None)
            if behind is None:
                out[name] = f"needs {', '.join(kind.card.needs)}"
            elif name not in OWN:
                found.append(Contender(behind, name))
    return sorted(found, key=lambda one: one.name), out
