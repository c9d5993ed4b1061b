"""Documents as JSON: lines read as objects, Arrow rows turned into objects, objects written as lines.

What JSON cannot hold is written so: times in ISO 8601, binary as base64, decimals as strings, durations as whole
numbers of their unit, maps with unlike string keys as objects and others as lists of pairs, NaN and infinity as null.
Only the last loses anything, and it is counted. Cost: a Python object per value, about 60 MB of text a second.
"""

from __future__ import annotations

import base64
import codecs
import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.types as pt

from ..errors import DataError
from ..source.base import Spec
from ..source.columns import Bytes, bytes_of, simplify
from ..source.files import plain
from ..source.json_outline import HUGE

Record = dict[str, Any]
Fix = Callable[[Any], Any]
_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode
_encode_ascii = json.JSONEncoder(ensure_ascii=True, allow_nan=False, separators=(",", ":")).encode


CHUNK = 1 << 20


@dataclass(frozen=True)
class Long:
    """A huge string as its UTF-8: a Python string takes up to four times as much, and its JSON as much again."""

    data: Bytes

    def __str__(self) -> str:
        return str(self.data.data, "utf-8")

    def quoted(self) -> Iterator[bytes]:
        """The string as JSON, in pieces."""
        decode = codecs.getincrementaldecoder("utf-8")().decode
        yield b'"'
        for at in range(0, len(self.data), CHUNK):
            text = decode(self.data[at : at + CHUNK].tobytes(), at + CHUNK >= len(self.data))
            yield _encode(text)[1:-1].encode()
        yield b'"'


class Records:
    """Turns rows into objects and back, and counts what was lost on the way."""

    def __init__(self, spec: Spec) -> None:
        self.spec = spec
        self.not_finite = 0
        self.twice = 0
        self._decoded = {path for path in (spec.text, spec.id, spec.domain) if path is not None}

    def notes(self) -> list[str]:
        """What to tell the user."""
        found = []
        if self.not_finite:
            found.append(f"{self.not_finite:,} values that were NaN or infinite are written as null")
        if self.twice:
            found.append(f"{self.twice:,} objects below the first level held a key twice; the last value is kept")
        return found

    def parse(self, line: bytes, file: str, row: int) -> Record:
        """A line as an object."""
        try:
            record = json.loads(line.decode("utf-8"), object_pairs_hook=self._object)
        except (ValueError, RecursionError) as error:
            raise self._cannot(file, f"row {row:,}", error) from None
        if not isinstance(record, dict):
            raise self._cannot(file, f"row {row:,}", "it is not an object")
        return record

    def _object(self, pairs: list[tuple[str, Any]]) -> Record:
        record = dict(pairs)
        self.twice += len(record) != len(pairs)
        return record

    @staticmethod
    def _cannot(file: str, place: str, reason: object) -> DataError:
        return DataError(
            f"{plain(file)}, {place}: cannot be converted ({plain(str(reason))}). "
            "Write the selection in the pool's own format, which copies rows as they are."
        )

    def rows(self, batch: pa.RecordBatch, file: str) -> list[Record]:
        """Arrow rows as objects."""
        names = batch.schema.names
        if len(set(names)) != len(names):
            raise self._cannot(file, "schema", "two columns have the same name")
        columns = []
        for name, column in zip(names, batch.columns, strict=True):
            try:
                column = simplify(column)
                target, fix = self._convert(column.type, name)
                if target != column.type:
                    column = column.cast(target)
                values = _values(column)
            except (pa.ArrowException, ValueError, TypeError) as error:
                raise self._cannot(file, f"column '{plain(name)}'", error) from None
            columns.append(values if fix is None else [None if v is None else fix(v) for v in values])
        return [dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True)]

    def line(self, record: Record, file: str, row: int) -> bytes | bytearray:
        """An object as a line with its end; values may be Long."""
        if not any(isinstance(value, Long) for value in record.values()):
            return self.text(record, file, row) + b"\n"
        line = bytearray()
        for key, value in record.items():
            line += b"," if line else b"{"
            if isinstance(value, Long):
                line += self.text({key: 0}, file, row)[1:-2]
                try:
                    for piece in value.quoted():
                        line += piece
                except ValueError as error:
                    raise self._cannot(file, f"row {row:,}", error) from None
            else:
                line += self.text({key: value}, file, row)[1:-1]
        line += b"}\n"
        return line

    def text(self, record: Record, file: str, row: int) -> bytes:
        """An object as UTF-8 JSON on one line."""
        try:
            try:
                text = _encode(record)
            except ValueError:
                record = self._finite(record)
                text = _encode(record)
            try:
                return text.encode("utf-8")
            except UnicodeEncodeError:  # lone surrogates outside the text, which JSON can only escape
                return _encode_ascii(record).encode("ascii")
        except (ValueError, TypeError, RecursionError) as error:
            raise self._cannot(file, f"row {row:,}", error) from None

    def _finite(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {key: self._finite(one) for key, one in value.items()}
        if isinstance(value, list | tuple):
            return [self._finite(one) for one in value]
        if isinstance(value, float) and not math.isfinite(value):
            self.not_finite += 1
            return None
        return value

    def _convert(self, kind: Any, path: str) -> tuple[Any, Fix | None]:
        """The type to cast to before leaving Arrow, and what to do with each value after."""
        if isinstance(kind, pa.ExtensionType):
            return self._convert(kind.storage_type, path)
        if pt.is_dictionary(kind):
            return self._convert(kind.value_type, path)
        if pt.is_timestamp(kind):
            return pa.string(), _iso
        if pt.is_date(kind) or pt.is_time(kind) or pt.is_decimal(kind):
            return pa.string(), None
        if pt.is_duration(kind):
            return pa.int64(), None
        if any(test(kind) for test in _BINARY):
            return (pa.large_string(), None) if path in self._decoded else (kind, _base64)
        if pt.is_struct(kind):
            fields = list(kind)
            below = [self._convert(field.type, f"{path}.{field.name}") for field in fields]
            fixes = {field.name: fix for field, (_, fix) in zip(fields, below, strict=True) if fix is not None}
            target = pa.struct([field.with_type(to) for field, (to, _) in zip(fields, below, strict=True)])
            return target, (lambda value: _fix_fields(value, fixes)) if fixes else None
        if pt.is_map(kind):
            key, key_fix = self._convert(kind.key_type, f"{path}.")
            item, item_fix = self._convert(kind.item_type, f"{path}.")
            return pa.map_(key, item), lambda pairs: _fix_map(pairs, key_fix, item_fix)
        if any(test(kind) for test in _LISTS):
            to, fix = self._convert(kind.value_type, f"{path}.")
            same = to == kind.value_type
            fixed = None if fix is None else lambda values: [None if v is None else fix(v) for v in values]
            return kind if same else pa.large_list(to), fixed
        return kind, None


def _values(column: Any) -> list[Any]:
    """What ``to_pylist`` gives, but huge strings as Long."""
    if pt.is_string(column.type) or pt.is_large_string(column.type):
        data, ends, valid = bytes_of(column)
        huge = (np.diff(ends) > HUGE) & valid
        if huge.any():
            cells = zip(column, huge.tolist(), ends[:-1].tolist(), ends[1:].tolist(), strict=True)
            return [Long(data[low:high]) if long else cell.as_py() for cell, long, low, high in cells]
    return list(column.to_pylist())


_BINARY = (pt.is_binary, pt.is_large_binary, pt.is_binary_view, pt.is_fixed_size_binary)
_LISTS = (pt.is_list, pt.is_large_list, pt.is_fixed_size_list, pt.is_list_view, pt.is_large_list_view)


def _iso(value: str) -> str:
    text = value.replace(" ", "T", 1)
    return f"{text[:-2]}:{text[-2:]}" if len(text) > 5 and text[-5] in "+-" and "T" in text[:-5] else text


def _base64(value: bytes) -> str:
    return base64.b64encode(value).decode("ascii")


def _fix_fields(value: Record, fixes: dict[str, Fix]) -> Record:
    for name, fix in fixes.items():
        if value[name] is not None:
            value[name] = fix(value[name])
    return value


def _fix_map(pairs: list[tuple[Any, Any]], key_fix: Fix | None, item_fix: Fix | None) -> Any:
    fixed = [
        [key_fix(key) if key_fix else key, item_fix(item) if item_fix and item is not None else item]
        for key, item in pairs
    ]
    keys = {key for key, _ in fixed if isinstance(key, str)}
    return dict(fixed) if len(keys) == len(fixed) else fixed
