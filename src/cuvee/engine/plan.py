"""Turn methods and fitted objects into JSON, and JSON back into methods."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from typing import Any

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
        return {"class": f"{type(value).__module__}:{type(value).__qualname__}", "fields": fields}
    if isinstance(value, Mapping):
        return {"mapping": [[describe(key), describe(value[key])] for key in sorted(value)]}
    if isinstance(value, tuple | list):
        return [describe(one) for one in value]
    if isinstance(value, bytes):
        return {"bytes": hashlib.blake2b(value, digest_size=20).hexdigest()}
    raise TypeError(f"{type(value).__name__} cannot be part of a plan: use a frozen dataclass of plain values")


def parameters(method: Any) -> dict[str, Any]:
    """A method's parameters as JSON-able values, nested methods included."""
    found = {}
    for field in dataclasses.fields(method):
        value = getattr(method, field.name)
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            value = {"method": type(value).__name__, **parameters(value)}
        found[field.name] = value
    return found


def make(kind: type, settings: Mapping[str, Any], name: str) -> Any:
    """Build a method from named settings (strings from a command line or values from JSON), checking types."""
    fields = {field.name: field for field in dataclasses.fields(kind) if field.init}
    unknown = sorted(set(settings) - set(fields))
    if unknown:
        known = ", ".join(fields) or "none"
        raise UsageError(f"{name} has no parameter '{unknown[0]}'. Its parameters: {known} (see: cuvee methods {name})")
    values = {key: convert(value, fields[key], name) for key, value in settings.items()}
    missing = [
        key
        for key, field in fields.items()
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING and key not in values
    ]
    if missing:
        raise UsageError(f"{name} needs {missing[0]}: write --with {name}:{missing[0]}=...")
    return kind(**values)


def convert(value: Any, field: dataclasses.Field[Any], name: str) -> Any:
    """One setting in the type of its field's default."""
    if not isinstance(value, str):
        return tuple(value) if isinstance(value, list) else value
    text, kind = value, str(field.type)
    try:
        if "bool" in kind:
            return {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}[text.lower()]
        if kind.startswith("int"):
            return int(text.replace("_", ""))
        if kind.startswith("float"):
            number = float(text)
            if number != number:
                raise ValueError
            return number
        if kind.startswith("tuple[float"):
            return tuple(float(part) for part in text.split("/"))
    except (ValueError, KeyError):
        raise UsageError(f"{name}: '{value}' is not a valid {field.name} ({kind})") from None
    return text
