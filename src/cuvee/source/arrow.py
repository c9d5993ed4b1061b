"""Arrow IPC, file and stream format (.arrow, .feather version 2, .ipc), by record batch.

An IPC file carries raw offsets, which nothing checks on the way in: every column that is used is validated in full
before a kernel sees it. String columns are validated as bytes, so that one bad character costs one row, not all.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.ipc as ipc
import pyarrow.types as pt

from cuvee.errors import DataError

from .base import Index, RawBatch, Segment, Source, Spec
from .batches import pieces, to_raw
from .columns import embedding_width, field_names, find
from .files import File, plain, reading

ADVICE = "It may be damaged: fetch it again, or leave it out."
MAGIC = b"ARROW1"
SEGMENT_ROWS = 4096
ROWS_PER_BYTE = 64
FREE_ROWS = 1 << 24


class ArrowSource(Source):
    """An Arrow IPC file. ``stream`` tells the format; None looks at the first bytes."""

    format = "arrow"

    def __init__(self, file: File, stream: bool | None = None) -> None:
        self.file = file
        self.path = file.name
        self._stream = stream

    @property
    def stream(self) -> bool:
        if self._stream is None:
            self._stream = self.file.head(len(MAGIC)) != MAGIC
        return self._stream

    def stamp(self) -> str:
        return self.file.stamp()

    def fields(self) -> list[str]:
        with self._opened() as file, reading(self.path, advice=ADVICE):
            return field_names(self._reader(file, None).schema)

    def index(self) -> Index:
        with self._opened() as file, reading(self.path, advice=ADVICE):
            names = self._reader(file, None).schema.names
        segments: list[Segment] = []
        first = held = begin = 0
        for number, batch in self._batches(0, names[:1]):
            if held >= SEGMENT_ROWS and not self.stream:
                segments.append(Segment(first, held, 0, begin))
                first, held, begin = first + held, 0, number
            held += batch.num_rows
        if held:
            segments.append(Segment(first, held, 0, begin))
        rows = first + held
        size = self.file.size()
        weighted = [Segment(s.first_row, s.rows, size * s.rows // rows, s.position) for s in segments]
        return Index(rows, tuple(weighted))

    def read(self, start: Segment, skip: int, spec: Spec) -> Iterator[RawBatch]:
        paths = [path for path in vars(spec).values() if path is not None]
        widths: list[int] = []

        def width() -> int:
            if not widths:
                widths.append(self._width(spec.embedding or ""))
            return widths[0]

        first = start.first_row
        for number, columns in self._batches(start.position, paths):
            n = columns.num_rows
            if skip < n:
                with reading(self.path, f"record batch {number}", ADVICE):
                    batch = to_raw(self._checked(columns, paths), first, spec, width, self.path)
                yield from pieces(batch, skip)
            skip = max(0, skip - n)
            first += n

    def rows(self, start: Segment, skip: int) -> Iterator[pa.RecordBatch]:
        for number, columns in self._batches(start.position, None):
            if skip < columns.num_rows:
                with reading(self.path, f"record batch {number}", ADVICE):
                    columns.validate(full=True)
                yield columns.slice(skip)
            skip = max(0, skip - columns.num_rows)

    def _opened(self) -> Any:
        return self.file.open(exact=not self.stream)

    def _reader(self, file: Any, names: list[str] | None) -> Any:
        options = ipc.IpcReadOptions(use_threads=False)
        opening = ipc.open_stream if self.stream else ipc.open_file
        reader = opening(file, options=options)
        if names is not None:
            schema = reader.schema
            wanted = sorted({k for name in names for k in schema.get_all_field_indices(name)})
            if wanted and len(wanted) < len(schema):
                file.seek(0)
                reader = opening(file, options=ipc.IpcReadOptions(use_threads=False, included_fields=wanted))
        return reader

    def _batches(self, position: int, paths: list[str] | None) -> Iterator[tuple[int, pa.RecordBatch]]:
        """(number, record batch) from a record batch on, with the columns that the paths begin in."""
        most = FREE_ROWS + ROWS_PER_BYTE * self.file.size()
        with self._opened() as file:
            with reading(self.path, advice=ADVICE):
                tops = None
                if paths is not None:
                    tops = [name for path in paths for name in (path, path.partition(".")[0])]
                reader = self._reader(file, tops)
                count = None if self.stream else reader.num_record_batches
            number = position
            while count is None or number < count:
                with reading(self.path, f"record batch {number}", ADVICE):
                    try:
                        batch = reader.read_next_batch() if count is None else reader.get_batch(number)
                    except StopIteration:
                        return
                if not 0 <= batch.num_rows <= most:
                    raise DataError(
                        f"{plain(self.path)}, record batch {number}: declares {batch.num_rows} rows. {ADVICE}"
                    )
                yield number, batch
                number += 1

    def _checked(self, columns: pa.RecordBatch, paths: list[str]) -> pa.RecordBatch:
        """The same batch, the columns in use validated, and plain strings as bytes."""
        used = {name for path in paths for name in (path, path.partition(".")[0])}
        arrays = []
        for name, array in zip(columns.schema.names, columns.columns, strict=True):
            if pt.is_string(array.type):
                array = array.view(pa.binary())
            elif pt.is_large_string(array.type):
                array = array.view(pa.large_binary())
            if name in used:
                array.validate(full=True)
            arrays.append(array)
        return pa.RecordBatch.from_arrays(arrays, names=columns.schema.names)

    def _width(self, path: str) -> int:
        for _, columns in self._batches(0, [path]):
            with reading(self.path, advice=ADVICE):
                width = embedding_width(find(self._checked(columns, [path]), path, self.path), path, self.path)
            if width:
                return width
        return 1
