"""Reading the chosen rows of one file: only the segments that hold one, a block at a time, in row order."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ..errors import DataError
from ..source.base import Index, Segment, Source
from ..source.files import plain, reading
from ..source.json_outline import HUGE
from .selection import AGAIN, Part

BLOCK_BYTES = 8 << 20


@dataclass(frozen=True)
class Block:
    """Chosen rows as their file holds them, each once, with how often it is to be written.

    Attributes:
        file: the path of the file they come from.
        row, weight: (n,) row numbers in the file, repeats.
        items: raw lines, or a record batch with every column; n of them.
    """

    file: str
    row: npt.NDArray[np.int64]
    weight: npt.NDArray[np.int64]
    items: list[bytes] | pa.RecordBatch


def drained(lines: list[bytes]) -> Iterator[bytes]:
    """A block's lines, each let go of when the next is asked for."""
    lines.reverse()
    while lines:
        yield lines.pop()


class Reach:
    """A reader of one file that moves forward only, and leaps over segments without chosen rows."""

    def __init__(self, source: Source, index: Index) -> None:
        self.source, self.index = source, index
        self._starts = [segment.first_row for segment in index.segments]
        self._reader: Iterator[Any] | None = None
        self._next = 0
        """Number of the row that the reader yields next."""
        self._rest: pa.RecordBatch | None = None
        """The last batch read: the next part may begin inside it."""

    def close(self) -> None:
        if self._reader is not None:
            self._reader.close()  # type: ignore[attr-defined]
            self._reader = None

    def _segment(self, row: int) -> Segment:
        at = bisect_right(self._starts, row) - 1
        while at > 0 and self.index.segments[at].rows == 0:
            at -= 1
        return self.index.segments[at]

    def _seek(self, row: int) -> None:
        """Make the reader stand at ``row``, or before it in the same segment."""
        segment = self._segment(row)
        if self._reader is None or segment.first_row > self._next:
            self.close()
            self._reader = self.source.rows(segment, row - segment.first_row)
            self._next = row

    def _ended(self, row: int) -> DataError:
        return DataError(
            f"{plain(self.source.path)} ended before row {row:,}: it changed while it was being read, or is damaged. "
            f"{AGAIN}"
        )

    def blocks(self, part: Part) -> Iterator[Block]:
        """The rows of a part; parts must come in row order."""
        return self._lines(part) if self.source.format == "jsonl" else self._batches(part)

    def _lines(self, part: Part) -> Iterator[Block]:
        held: list[bytes] = []
        size = begin = 0
        rows = part.row.tolist()
        for at, row in enumerate(rows):
            if row != self._next or self._reader is None:
                self._seek(row)
            assert self._reader is not None
            line = next(islice(self._reader, row - self._next, None), None)
            if line is None:
                raise self._ended(row)
            self._next = row + 1
            if held and len(line) > HUGE:
                yield self._block(part, begin, at, held)
                held, size, begin = [], 0, at
            held.append(line)
            size += len(line)
            del line
            if size >= BLOCK_BYTES:
                full, held, size = held, [], 0
                ready = [self._block(part, begin, at + 1, full)]
                del full
                begin = at + 1
                yield ready.pop()
        if held:
            yield self._block(part, begin, len(rows), held)

    def _batches(self, part: Part) -> Iterator[Block]:
        at, first, batch = 0, 0, self._rest
        self._rest = None
        if batch is not None:
            first = self._next - batch.num_rows
        while at < len(part.row):
            row = int(part.row[at])
            if batch is None or row >= self._next:
                self._seek(row)
                assert self._reader is not None
                first = self._next
                batch = next(self._reader, None)
                if batch is None:
                    raise self._ended(row)
                self._next = first + batch.num_rows
                continue
            stop = int(np.searchsorted(part.row, self._next))
            wanted = part.row[at:stop] - first
            if len(wanted) == wanted[-1] - wanted[0] + 1:
                taken = batch.slice(int(wanted[0]), len(wanted))
            else:
                with reading(self.source.path):
                    taken = batch.take(pa.array(wanted))
            if wanted[-1] + 1 == batch.num_rows:
                batch = None  # it may be huge
            ready = [self._block(part, at, stop, taken)]
            del taken
            yield ready.pop()
            at = stop
        self._rest = batch

    def _block(self, part: Part, low: int, high: int, items: list[bytes] | pa.RecordBatch) -> Block:
        cut = slice(low, high)
        return Block(self.source.path, part.row[cut], part.weight[cut], items)


def blocks(parts: Iterable[Part], files: dict[int, tuple[Source, Index]]) -> Iterator[Block]:
    """All chosen rows, file after file."""
    number, reach = -1, None
    try:
        for part in parts:
            if reach is None or part.file != number:
                if reach is not None:
                    reach.close()
                number, reach = part.file, Reach(*files[part.file])
            yield from reach.blocks(part)
    finally:
        if reach is not None:
            reach.close()
