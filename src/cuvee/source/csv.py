"""CSV and TSV with a header, by RFC 4180: every column is text, quotes may hold delimiters and newlines.

Python's own parser in strict mode reads the records, because it tells exactly which line a record is from; it costs the
interpreter lock (about 100 MB/s in all). A record whose quotes do not match, or with too many or too few fields, is a
bad row; a quote that never closes would swallow the rest of the file and is an error.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from cuvee.errors import DataError

from .base import Bad, Index, RawBatch, Segment, Source, Spec
from .batches import pieces, to_raw
from .files import File, plain, reading

SEGMENT = 16 << 20
BATCH_ROWS = 1024
BLOCK = 1 << 20
_UTF16 = (b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True)
class Record:
    """One record: its fields, where it begins, and whether it can be used."""

    fields: list[str]
    line: int
    offset: int
    bad: Bad


class CsvSource(Source):
    """A .csv or .tsv file, plain or compressed."""

    format = "csv"

    def __init__(
        self, file: File, delimiter: str = ",", compression: str | None = None, *, row_limit: int = 512 << 20
    ) -> None:
        self.file = file
        self.path = file.name
        self.delimiter = delimiter
        self.compression = compression
        self.row_limit = row_limit
        self._names: list[str] | None = None

    def stamp(self) -> str:
        return self.file.stamp()

    def fields(self) -> list[str]:
        if self._names is None:
            header = next(self._records(0, 1, None), None)
            if header is None or header.bad or not any(header.fields):
                raise DataError(f"{plain(self.path)}: has no header line with column names. Add one.")
            twice = {name for name in header.fields if header.fields.count(name) > 1}
            if twice:
                names = ", ".join(sorted(plain(name) for name in twice))
                raise DataError(f"{plain(self.path)}: names these columns twice: {names}. Rename one of each.")
            self._names = header.fields
        return list(self._names)

    def index(self) -> Index:
        self.fields()
        segments: list[Segment] = []
        first = rows = 0
        begin: Record | None = None
        end = 0
        for record in self._body(Segment(0, 0, 0, 0)):
            if begin is None:
                begin = record
            elif self.compression is None and record.offset - begin.offset >= SEGMENT:
                size = record.offset - begin.offset
                segments.append(Segment(first, rows - first, size, begin.offset, begin.line))
                begin, first = record, rows
            rows += 1
            end = record.offset
        if begin is not None:
            size = max(1, end - begin.offset)
            # a compressed file can only be read from its beginning, header and all
            at = (begin.offset, begin.line) if self.compression is None else (0, 1)
            segments.append(Segment(first, rows - first, size, *at))
        return Index(rows, tuple(segments))

    def read(self, start: Segment, skip: int, spec: Spec) -> Iterator[RawBatch]:
        names = self.fields()
        wanted = {path for path in vars(spec).values() if path is not None}
        for first, records in self._groups(start, skip):
            arrays = []
            for k, name in enumerate(names):
                values: list[bytes | None] = [None] * len(records)
                if name in wanted:
                    blank = b"" if name == spec.text else None
                    values = [_encode(r.fields[k]) or blank if not r.bad else None for r in records]
                arrays.append(pa.array(values, pa.large_binary()))
            lines = np.array([record.line for record in records], np.int64)
            columns = pa.RecordBatch.from_arrays(arrays, names=names)
            batch = to_raw(columns, first, spec, lambda: 1, self.path, lines)
            reasons = np.array([record.bad for record in records], np.uint8)
            batch.bad = np.where(reasons > 0, reasons, batch.bad)
            yield from pieces(batch)

    def rows(self, start: Segment, skip: int) -> Iterator[pa.RecordBatch]:
        """Records as strings; of a bad one what there is, with U+FFFD for bytes that are not UTF-8."""
        names = self.fields()
        for _, records in self._groups(start, skip):
            arrays = []
            for k in range(len(names)):
                found = [_encode(r.fields[k]).decode(errors="replace") if k < len(r.fields) else None for r in records]
                arrays.append(pa.array(found, pa.large_string()))
            yield pa.RecordBatch.from_arrays(arrays, names=names)

    def _groups(self, start: Segment, skip: int) -> Iterator[tuple[int, list[Record]]]:
        first, held, size = start.first_row + skip, list[Record](), 0
        for record in self._body(start):
            if skip:
                skip -= 1
                continue
            held.append(record)
            size += sum(map(len, record.fields))
            if len(held) == BATCH_ROWS or size > SEGMENT // 4:
                yield first, held
                first, held, size = first + len(held), [], 0
        if held:
            yield first, held

    def _body(self, start: Segment) -> Iterator[Record]:
        """The records from a segment on, without the header."""
        width = len(self.fields())
        records = self._records(start.position, start.line, width)
        if start.position == 0:
            next(records, None)
        return records

    def _records(self, position: int, line: int, width: int | None) -> Iterator[Record]:
        csv.field_size_limit(max(csv.field_size_limit(), self.row_limit))
        with self._open(position) as stream:
            lines = _Lines(self._blocks(stream, position), self.row_limit, self.path, position == 0)
            reader = csv.reader(lines, delimiter=self.delimiter, strict=True)
            while True:
                at, offset = line + reader.line_num, position + lines.offset
                try:
                    with reading(self.path, f"line {at}"):
                        fields = next(reader, None)
                except DataError:
                    raise
                except csv.Error as error:
                    if "unexpected end" in str(error):
                        raise DataError(
                            f"{plain(self.path)}, line {at}: a quote opens and never closes. Close or double it."
                        ) from None
                    yield Record([], at, offset, Bad.BAD_RECORD)
                    continue
                if fields is None:
                    return
                if not fields:
                    continue
                bad = Bad.OK if width is None or len(fields) == width else Bad.BAD_RECORD
                if not bad and any(not _clean(value) for value in fields):
                    bad = Bad.BAD_UTF8
                yield Record(fields, at, offset, bad)

    def _open(self, position: int) -> Any:
        file = self.file.open()
        with reading(self.path):
            if self.compression is not None:
                return pa.CompressedInputStream(file, self.compression)
            file.seek(position)
        return file

    def _blocks(self, stream: Any, position: int) -> Iterator[bytes]:
        begun = position > 0
        while True:
            with reading(self.path, advice="It may be truncated: fetch it again."):
                block = stream.read(BLOCK)
            if not begun and block[:2] in _UTF16:
                raise DataError(f"{plain(self.path)}: is UTF-16. Convert it to UTF-8 (iconv -f UTF-16 -t UTF-8).")
            begun = True
            if not block:
                return
            yield block


class _Lines:
    """Decoded physical lines with their ends, and how many bytes have been handed out."""

    def __init__(self, blocks: Iterator[bytes], limit: int, name: str, from_start: bool) -> None:
        self.offset = 0
        self._mark = from_start
        self._lines = self._split(blocks)
        self._limit = limit
        self._name = name

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        line = next(self._lines)
        text = line.decode("utf-8", "surrogateescape")
        if self._mark:
            text, self._mark = text.removeprefix("\ufeff"), False
        self.offset += len(line)
        return text

    def _split(self, blocks: Iterator[bytes]) -> Iterator[bytes]:
        held: list[bytes] = []
        size = 0
        for block in blocks:
            *whole, rest = block.split(b"\n")
            for piece in whole:
                yield from _returns(b"".join([*held, piece, b"\n"]))
                held, size = [], 0
            held.append(rest)
            size += len(rest)
            if size > self._limit:
                raise DataError(f"{plain(self._name)}: has a line of more than {self._limit} bytes. Split it.")
        if size:
            yield from _returns(b"".join(held))


def _returns(line: bytes) -> Iterator[bytes]:
    """Lines that end in a lone carriage return, as on old machines."""
    if b"\r" in line[:-2]:
        yield from line.splitlines(keepends=True)
    else:
        yield line


def _encode(value: str) -> bytes:
    return value.encode("utf-8", "surrogateescape")


def _clean(value: str) -> bool:
    return value.isascii() or not any("\udc80" <= c <= "\udcff" for c in value)
