"""What the reader tests share: rows as plain tuples, and a slow JSON reference that shares no code with the kernel."""

from __future__ import annotations

import json
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np

from cuvee.source.base import Bad, Segment, Source, Spec

HOSTILE = Path(__file__).parents[1] / "data" / "hostile"
START = Segment(0, 0, 0, 0)


@dataclass(frozen=True)
class Row:
    """One row as a reader gives it; None where the spec asks for nothing or the value is null."""

    bad: Bad
    text: bytes
    id: str | None = None
    domain: str | None = None
    tokens: int | None = None
    label: Any = None


def rows_of(source: Source, spec: Spec, start: Segment | None = None, skip: int = 0) -> list[Row]:
    """All rows from a place on, with the promises of the contract checked on the way."""
    first = start.first_row if start else None
    out: list[Row] = []
    segments = source.index().segments
    if start is None:
        if not segments:
            return []
        start = segments[0]
        first = start.first_row
    expected = start.first_row + skip
    for batch in source.read(start, skip, spec):
        n = len(batch)
        assert batch.first_row == expected and 0 < n <= 4096
        expected += n
        assert batch.offsets.dtype == np.int64 and batch.bad.dtype == np.uint8 and batch.data.dtype == np.uint8
        assert len(batch.offsets) == n + 1 and (np.diff(batch.offsets) >= 0).all()
        assert n == 1 or batch.offsets[-1] - batch.offsets[0] <= 4 << 20
        values = {}
        for role in ("id", "domain", "tokens", "label"):
            if getattr(spec, role) is not None:
                column = batch.columns[role]
                assert len(column) == n
                values[role] = column.tolist() if isinstance(column, np.ndarray) else column.to_pylist()
                if not isinstance(column, np.ndarray):
                    assert str(column.type) == "large_string"
                    column.validate(full=True)
        for k in range(n):
            text = batch.data[batch.offsets[k] : batch.offsets[k + 1]].tobytes()
            if batch.bad[k]:
                assert text == b""
            row = Row(Bad(int(batch.bad[k])), text, **{role: column[k] for role, column in values.items()})
            out.append(row)
    assert first is not None
    return out


class _Pairs(list[tuple[str, Any]]):
    pass


@dataclass(frozen=True)
class _Number:
    literal: str


def _refuse(constant: str) -> Any:
    raise ValueError(constant)


def _surrogates(value: Any) -> bool:
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, str) and any(0xD800 <= ord(c) < 0xE000 for c in item):
            return True
        if isinstance(item, _Pairs):
            waiting += [part for pair in item for part in pair]
        elif isinstance(item, list):
            waiting += item
    return False


class _TwiceError(Exception):
    pass


_ABSENT = object()


def _lookup(record: _Pairs, path: str) -> Any:
    hits = [value for key, value in record if "." in path and key == path]
    inside: Any = record
    for part in path.split("."):
        found = [value for key, value in inside if key == part] if isinstance(inside, _Pairs) else []
        if len(found) > 1:
            raise _TwiceError
        if not found:
            inside = _ABSENT
            break
        inside = found[0]
    if inside is not _ABSENT:
        hits.append(inside)
    if len(hits) > 1:
        raise _TwiceError
    return hits[0] if hits else _ABSENT


def _literal(value: Any) -> str | None:
    if value is _ABSENT or value is None:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    return value.literal if isinstance(value, _Number) else value


def reference(line: bytes, spec: Spec) -> Row:
    """What a JSONL row must be, by Python's own parser. For nesting far below the limit."""
    fail = {"tokens": 0} if spec.tokens else {}

    def bad(reason: Bad) -> Row:
        return Row(reason, b"", **fail)

    try:
        decoded = line.decode("utf-8")
    except UnicodeDecodeError:
        return bad(Bad.BAD_UTF8)
    try:
        record = json.loads(
            decoded, object_pairs_hook=_Pairs, parse_int=_Number, parse_float=_Number, parse_constant=_refuse
        )
    except ValueError:
        return bad(Bad.BAD_JSON)
    if not isinstance(record, _Pairs):
        return bad(Bad.NOT_OBJECT)
    if _surrogates(record):
        return bad(Bad.SURROGATE)
    values = {}
    try:
        for role in ("text", "id", "domain", "tokens", "label"):
            path = getattr(spec, role)
            values[role] = _ABSENT if path is None else _lookup(record, path)
    except _TwiceError:
        return bad(Bad.DUPLICATE_KEY)
    text, identity, tokens = values["text"], values["id"], values["tokens"]
    if spec.text is not None:
        if text is _ABSENT or text is None:
            return bad(Bad.NO_TEXT)
        if not isinstance(text, str):
            return bad(Bad.TEXT_TYPE)
        if not text:
            return bad(Bad.EMPTY_TEXT)
    if spec.id is not None:
        if identity is _ABSENT:
            return bad(Bad.NO_ID)
        whole = isinstance(identity, _Number) and not set(".eE") & set(identity.literal)
        if not (isinstance(identity, str) or whole):
            return bad(Bad.ID_TYPE)
    count = None
    if spec.tokens is not None:
        value = Decimal(tokens.literal) if isinstance(tokens, _Number) else Decimal(-1)
        if value < 0 or value >= 2**63 or value != value.to_integral_value():
            return bad(Bad.TOKENS_TYPE)
        count = int(value)
    if isinstance(values["domain"], list):
        return bad(Bad.DOMAIN_TYPE)
    if isinstance(values["label"], list):
        return bad(Bad.LABEL_TYPE)
    return Row(
        Bad.OK,
        text.encode() if spec.text else b"",
        _literal(identity) if spec.id else None,
        _literal(values["domain"]),
        count,
        _literal(values["label"]),
    )


def reference_rows(content: bytes, spec: Spec) -> list[Row]:
    """The rows of a whole JSONL file."""
    lines = content.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    return [reference(line, spec) for line in lines if line.strip(b" \t\r")]
