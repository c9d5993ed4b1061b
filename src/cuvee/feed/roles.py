"""Taking id, text and domain out of an object, so that the rest can travel as metadata."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..source.base import Bad, Spec
from ..source.columns import Bytes
from ..source.json_outline import HUGE, LONG, outline, parse_one
from ..source.simd import SLACK
from .records import Long, Record, Records


@dataclass(frozen=True)
class Parts:
    """A document's id, text and domain (None where it has none) and its remaining fields."""

    id: str | None
    text: str | Long | None
    domain: str | None
    rest: Record


def split(record: Record, spec: Spec) -> Parts:
    """Take the roles out of a record, which is changed. Of these, only the text stays Long."""
    id, domain = (_spelled(_take(record, path)) for path in (spec.id, spec.domain))
    text = _take(record, spec.text)
    for name, value in record.items():
        if isinstance(value, Long):
            record[name] = str(value)
    return Parts(id, text if isinstance(text, Long) else _spelled(text), domain, record)


def parse(line: bytes, records: Records, file: str, row: int) -> Parts:
    """The parts of a line. A huge text never becomes a Python string."""
    if len(line) > HUGE and records.spec.text is not None:
        small, text = _apart(line, records.spec.text)
        if text is not None:
            parts = split(records.parse(small, file, row), records.spec)
            if parts.text == "0" * (LONG + 1):
                return replace(parts, text=Long(text))
    return split(records.parse(line, file, row), records.spec)


def _apart(line: bytes, path: str) -> tuple[bytes, Bytes | None]:
    """(the line with zeros for its text, the text), where the text is its one long string."""
    buffer = np.empty(len(line) + 1 + SLACK, np.uint8)
    buffer[: len(line)] = np.frombuffer(line, np.uint8)
    buffer[len(line)] = ord("\n")
    verdict, text = parse_one(buffer, 0, len(line) + 1, path)
    small, count = outline(buffer, 0, len(line) + 1) if verdict == Bad.OK else (b"", 0)
    return small, text if count == 1 and len(text) > LONG else None  # as JSON it is at least as long


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
    if isinstance(value, Long):
        return str(value)
    return value if value is None or isinstance(value, str) else json.dumps(value)
