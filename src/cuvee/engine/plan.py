"""Turn methods and fitted objects into JSON, and JSON back into methods."""

from __future__ import annotations

import dataclasses
import hashlib
import math
import sys
from collections.abc import Mapping
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import numpy as np

from ..errors import UsageError


def describe(value: Any) -> Any:
    """A JSON-able description that differs whenever the value does.

    Dataclasses become their class and fields, arrays a digest of their bytes. Anything whose equality cannot be told
    from such parts is refused, so that no two different plans share a cache entry.
    """
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        if value.dtype.hasobject:
            raise TypeError("arrays of Python objects cannot be part of a plan")
        raw = hashlib.blake2b(np.ascontiguousarray(value).tobytes(), digest_size=20)
        return {"array": value.dtype.str, "shape": list(value.shape), "digest": raw.hexdigest()}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {
            field.name: describe(getattr(value, field.name)) for field in dataclasses.fields(value) if field.compare
        }
        return {"class": f"{type(value).__module__}:{type(value).__qualname__}", "fields": fields, **_foreign(value)}
    if isinstance(value, Mapping):
        return {"mapping": [[describe(key), describe(value[key])] for key in sorted(value)]}
    if isinstance(value, tuple | list):
        return [describe(one) for one in value]
    if isinstance(value, bytes):
        return {"bytes": hashlib.blake2b(value, digest_size=20).hexdigest()}
    raise TypeError(f"{type(value).__name__} cannot be part of a plan: use a frozen dataclass of plain values")


def _foreign(value: Any) -> dict[str, str]:
    """A digest of the source of a class from outside cuvee, whose own code is part of every cache key anyway."""
    module = sys.modules.get(type(value).__module__)
    if module is None or type(value).__module__.split(".")[0] == "cuvee":
        return {}
    try:
        source = Path(str(module.__file__)).read_bytes()
    except OSError:
        source = b""
    return {"code": hashlib.blake2b(source, digest_size=20).hexdigest()}


def finite(value: Any) -> Any:
    """The same JSON-able value with infinities as "inf" and "-inf" and NaN as null, which JSON has no numbers for."""
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else str(value)
    if isinstance(value, Mapping):
        return {str(key): finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [finite(one) for one in value]
    if isinstance(value, np.ndarray | np.generic):
        return finite(value.tolist())
    return value


def parameters(method: Any) -> dict[str, Any]:
    """A method's parameters as JSON-able values, nested methods included."""
    found = {}
    for field in dataclasses.fields(method):
        value = getattr(method, field.name)
        several = isinstance(value, tuple) and any(dataclasses.is_dataclass(one) for one in value)
        found[field.name] = [_nested(one) for one in value] if several else _nested(value)
    return found


def _nested(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {"method": type(value).__name__, **parameters(value)}
    return value


def make(kind: type, settings: Mapping[str, Any], name: str) -> Any:
    """Build a method from named settings (strings from a command line or values from JSON), checking types."""
    fields = {field.name: field for field in dataclasses.fields(kind) if field.init}
    unknown = sorted(set(settings) - set(fields))
    if unknown:
        known = ", ".join(fields) or "none"
        where = "" if name.startswith("--") else f" (see: cuvee methods {name})"  # options have no page there
        raise UsageError(f"{name} has no parameter '{unknown[0]}'. Its parameters: {known}{where}")
    hints = get_type_hints(kind)
    values = {}
    for key, value in settings.items():
        try:
            values[key] = convert(value, hints[key])
        except ValueError as error:
            raise UsageError(f"{name}: {key}={value} is not {error}") from None
    missing = [
        key
        for key, field in fields.items()
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING and key not in values
    ]
    if missing:
        option = "" if name.startswith("--") else "--with "
        raise UsageError(f"{name} needs {missing[0]}: write {option}{name}:{missing[0]}=...")
    try:
        return kind(**values)
    except UsageError as error:
        raise _renamed(error, kind, name) from None


def _renamed(error: UsageError, kind: type, name: str) -> UsageError:
    """The error of a part that a method is made of, "copies: limit ...", with the name of the method that was asked
    for: the part's is one that the user never typed."""
    raised = error.__traceback__
    while raised is not None and raised.tb_next is not None:
        raised = raised.tb_next
    part = raised.tb_frame.f_globals["__name__"].rpartition(".")[2] if raised is not None else ""
    own = part == kind.__module__.rpartition(".")[2]
    if own or not str(error).startswith(f"{part}: "):
        return error
    return UsageError(f"{name}{str(error).removeprefix(part)}")


_TRUTH = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


def convert(value: Any, kind: Any) -> Any:
    """A setting in the type of its field, from text or JSON; ValueError says what was expected.

    Sequences are written with slashes: 0.3/0.7.
    """
    origin, inside = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        if value is None or (isinstance(value, str) and value.lower() == "none" and type(None) in inside):
            return None
        if isinstance(value, str) and str in inside:
            return value
        return convert(value, next(one for one in inside if one is not type(None)))
    if origin is tuple:
        parts = value.split("/") if isinstance(value, str) else value
        kinds = [inside[0]] * len(parts) if inside[-1] is Ellipsis else list(inside)
        if len(kinds) != len(parts):
            raise ValueError(f"a sequence of {len(kinds)} values like 1/2/3")
        return tuple(convert(part, one) for part, one in zip(parts, kinds, strict=True))
    if origin is Literal:
        if value not in inside:
            raise ValueError(f"one of {', '.join(map(str, inside))}")
        return value
    if not isinstance(value, str) or kind is str:
        return value
    if kind is bool:
        if value.lower() not in _TRUTH:
            raise ValueError("true or false")
        return _TRUTH[value.lower()]
    if kind is int:
        try:
            return int(value.replace("_", ""))
        except ValueError:
            raise ValueError("a whole number") from None
    if kind is float:
        try:
            number = float(value)
        except ValueError:
            number = math.nan
        if math.isnan(number):
            raise ValueError("a number")
        return number
    raise ValueError("something that can be given as text")
