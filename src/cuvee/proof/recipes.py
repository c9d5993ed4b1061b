"""Training recipes as JSON and back, so that they can be sent to worker processes and stored with their results.

A proxy or policy is named by its file in ``proof/proxies`` or ``methods/policy``; one from elsewhere by
"module:qualname", as in plans. Nested dataclasses are always named by module and class.
"""

from __future__ import annotations

import dataclasses
import difflib
import importlib
import inspect
import pkgutil
from collections.abc import Mapping
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import numpy as np

from ..core import Policy
from ..engine.plan import make
from ..errors import UsageError
from .proxy import Proxy, Recipe

_FOLDERS: dict[type[Any], str] = {Proxy: "cuvee.proof.proxies", Policy: "cuvee.methods.policy"}


def proxies() -> list[str]:
    """The names that --proxy takes."""
    package = importlib.import_module(_FOLDERS[Proxy])
    return sorted(one.name for one in pkgutil.iter_modules(package.__path__) if one.name not in package.HELPERS)


def load_proxy(name: str, settings: Mapping[str, Any] | None = None) -> Proxy:
    """A proxy by its file's name or by "module:qualname", with settings as text or values.

    Raises:
        UsageError: there is none of this name, or a setting does not suit it.
    """
    wanted = name if ":" in name else name.replace("-", "_")
    if ":" not in name and wanted not in proxies():
        near = difflib.get_close_matches(wanted, proxies(), n=2, cutoff=0.5)
        hint = f"Did you mean {' or '.join(near)}?" if near else f"There are: {', '.join(proxies())}."
        raise UsageError(f"No proxy is called '{name}'. {hint}")
    return make(_resolve(wanted, Proxy, foreign=True), settings or {}, name)


def to_json(recipe: Recipe) -> dict[str, Any]:
    """The recipe as JSON-able values. UsageError if a worker process could not build it again."""
    return {
        "proxy": _describe(recipe.proxy, Proxy),
        "policy": _describe(recipe.policy, Policy),
        "epochs": recipe.epochs,
    }


def from_json(value: Any, foreign: bool = False) -> Recipe:
    """The recipe that :func:`to_json` described.

    Args:
        foreign: whether modules outside cuvee may be imported: only for what this program itself has described.

    Raises:
        UsageError: an unknown class or parameter, or a value of the wrong type.
    """
    if not isinstance(value, dict) or set(value) != {"proxy", "policy", "epochs"}:
        raise UsageError("A training recipe has the parts proxy, policy and epochs.")
    epochs = value["epochs"]
    if isinstance(epochs, bool) or not isinstance(epochs, int | float) or not epochs > 0:
        raise UsageError(f"epochs={epochs} is not a number above 0.")
    return Recipe(_build(value["proxy"], Proxy, foreign), _build(value["policy"], Policy, foreign), epochs)


def _describe(value: Any, kind: type[Any] | None) -> Any:
    if isinstance(value, tuple | list):
        return [_describe(one, None) for one in value]
    if isinstance(value, np.generic):
        return value.item()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    own = type(value)
    if not dataclasses.is_dataclass(value):
        raise UsageError(f"{own.__name__} cannot be part of a training recipe: use frozen dataclasses of plain values.")
    if own.__module__ == "__main__" or "<locals>" in own.__qualname__:
        raise UsageError(
            f"The class {own.__qualname__} is defined inside the script, notebook or function that runs. Trials run in "
            "processes of their own, which cannot import it from there: move it to the top of a module file."
        )
    fields = {one.name: _describe(getattr(value, one.name), None) for one in dataclasses.fields(value) if one.init}
    folder, _, file = own.__module__.rpartition(".")
    named = kind is not None and folder == _FOLDERS[kind]
    return {"class": file if named else f"{own.__module__}:{own.__qualname__}", "fields": fields}


def _build(value: Any, kind: type[Any], foreign: bool) -> Any:
    """An instance of a subclass of ``kind`` from its description."""
    if not isinstance(value, dict) or not isinstance(value.get("class"), str) or not isinstance(value["fields"], dict):
        raise UsageError(f"Not a description of a {kind.__name__}: {value}")
    name, settings = value["class"], value["fields"]
    found = _resolve(name, kind, foreign)
    fields = {one.name: one for one in dataclasses.fields(found) if one.init}
    if unknown := sorted(set(settings) - set(fields)):
        raise UsageError(f"{name} has no parameter '{unknown[0]}'. Its parameters: {', '.join(fields) or 'none'}.")
    hints = get_type_hints(found)
    values = {}
    for key, setting in settings.items():
        try:
            values[key] = _typed(setting, hints[key], foreign)
        except TypeError:
            raise UsageError(f"{name}: {key}={setting!r} is not of the type {fields[key].type}.") from None
    try:
        return found(**values)
    except TypeError as error:
        raise UsageError(f"{name} cannot be built: {error}.") from error


def _resolve(name: str, kind: type[Any], foreign: bool) -> type[Any]:
    """The class that a description names."""
    module, colon, path = name.partition(":")
    if not colon:
        folder = _FOLDERS.get(kind, "")
        if not folder or not name.isidentifier() or name in importlib.import_module(folder).HELPERS:
            raise UsageError(f"'{name}' is not the name of a {kind.__name__}.")
        module = f"{folder}.{name}"
    elif module.split(".")[0] != "cuvee" and not foreign:
        raise UsageError(f"{name} comes from outside cuvee, and is not imported because a file says so.")
    try:
        loaded = importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise UsageError(f"{name} cannot be imported: {error}.") from error
    if colon:
        found: Any = loaded
        for part in path.split("."):
            found = getattr(found, part, None)
    else:
        own = [one for one in vars(loaded).values() if inspect.isclass(one) and one.__module__ == module]
        matching = [one for one in own if issubclass(one, kind)]
        found = matching[0] if len(matching) == 1 else None
    if not (inspect.isclass(found) and issubclass(found, kind) and dataclasses.is_dataclass(found)):
        raise UsageError(f"{name} is not a {kind.__name__}.")
    return found


def _typed(value: Any, hint: Any, foreign: bool) -> Any:
    """A JSON value as its field's type; TypeError if it is of another. A whole number may stand for a float."""
    origin, inside = get_origin(hint), get_args(hint)
    if hint is Any:
        return value
    if origin in (Union, UnionType):
        for one in inside:
            try:
                return _typed(value, one, foreign)
            except TypeError:
                continue
        raise TypeError
    if origin is tuple and isinstance(value, list):
        kinds = [inside[0]] * len(value) if inside[-1] is Ellipsis else list(inside)
        if len(kinds) != len(value):
            raise TypeError
        return tuple(_typed(one, kind, foreign) for one, kind in zip(value, kinds, strict=True))
    if origin is Literal and any(value == one and type(value) is type(one) for one in inside):
        return value
    if hint in (None, type(None)) and value is None:
        return value
    if hint is float and isinstance(value, int | float) and not isinstance(value, bool):
        return value
    if hint in (bool, int, str) and type(value) is hint:
        return value
    if inspect.isclass(hint) and isinstance(value, dict) and origin is None:
        return _build(value, hint, foreign)
    raise TypeError
