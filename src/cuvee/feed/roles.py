"""Taking id, text and domain out of an object, so that the rest can travel as metadata."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from ..source.base import Spec
from .records import Record


@dataclass(frozen=True)
class Parts:
    """A document's id, text and domain (None where it has none) and its remaining fields."""

    id: str | None
    text: str | None
    domain: str | None
    rest: Record


def split(record: Record, spec: Spec) -> Parts:
    """Take the roles out of a record, which is changed."""
    id, text, domain = (_spelled(_take(record, path)) for path in (spec.id, spec.text, spec.domain))
    return Parts(id, text, domain, record)


def _take(record: Record, path: str | None) -> Any:
    """Remove and return the value at a dotted path; a key that holds the dots wins, as in the readers."""
    if path is None:
        return None
    if path in record:
        return record.pop(path)
    *parents, last = path.split(".")
    inner: Any = record
    for name in parents:
        inner = inner.get(name) if isinstance(inner, dict) else None
    return inner.pop(last, None) if isinstance(inner, dict) else None


def _spelled(value: Any) -> str | None:
    return value if value is None or isinstance(value, str) else json.dumps(value)
