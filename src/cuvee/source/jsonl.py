"""JSON Lines, plain or compressed: one document a line, parsed by a compiled kernel without the interpreter lock."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ..errors import DataError
from .base import Bad, Index, RawBatch, Segment, Source, Spec
from .columns import numbers_of_lists
from .files import File, plain, reading
from .json_kernel import NULL, SLOTS, Keys, count_lines, parse_lines
from .simd import SLACK

BLOCK = 4 << 20
SEGMENT = 16 << 20
BATCH_ROWS = 4096
BOM = b"\xef\xbb\xbf"
_BLANK = b" \t\r\n"


@dataclass(frozen=True)
class Run:
    """Whole lines in a buffer (bytes ``start`` to ``end``, the last ending in a newline), or one line too long to hold."""

    buffer: npt.NDArray[np.uint8]
    start: int
    end: int
    too_long: bool = False


class JsonlSource(Source):
    """A .jsonl, .jsonl.gz or .jsonl.zst file. Lines end with a newline (a carriage return before it is blank space)."""

    format = "jsonl"

    def __init__(
        self,
        file: File,
        compression: str | None = None,
        *,
        row_limit: int = 512 << 20,
        block: int = BLOCK,
        segment: int = SEGMENT,
        bomb: tuple[int, int] = (1 << 30, 2000),
    ) -> None:
        self.file = file
        self.path = file.name
        self.compression = compression
        self.row_limit = row_limit
        self.block = block
        self.segment = segment
        self.bomb = bomb
        self._head: list[dict[str, Any]] | None = None

    def stamp(self) -> str:
        return self.file.stamp()

    def fields(self) -> list[str]:
        names: dict[str, None] = {}
        for record in self._first_records():
            _names(record, "", names)
        return list(names)

    def index(self) -> Index:
        state = np.array([0, 0, 0, self.segment], np.int64)
        borders: list[tuple[int, int, int]] = []
        base = 0
        every = self.segment if self.compression is None else 1 << 62
        buffer = np.zeros(self.block + SLACK, np.uint8)
        for size in self._blocks(buffer):
            skip = 3 if base == 0 and buffer[:3].tobytes() == BOM else 0
            if skip:
                buffer[:3] = 32
            cuts = np.empty((size // every + 2, 3), np.int64)
            if self.compression is not None:
                state[3] = every
            found = count_lines(buffer, size, base, every, state, cuts)
            borders += [(int(a), int(b), int(c)) for a, b, c in cuts[:found]]
            base += size
        rows = int(state[0] + state[2])
        starts = [(0, 0, 0), *[cut for cut in borders if cut[1] < rows]] if rows else []
        segments = []
        for k, (offset, before, lines) in enumerate(starts):
            stop, until = (starts[k + 1][0], starts[k + 1][1]) if k + 1 < len(starts) else (base, rows)
            if until > before:
                segments.append(Segment(before, until - before, stop - offset, offset, lines + 1))
        return Index(rows, tuple(segments))

    def read(self, start: Segment, skip: int, spec: Spec) -> Iterator[RawBatch]:
        keys = Keys.of(spec)
        width = self._width(spec)
        first, line = start.first_row, start.line
        for run in self._runs(start.position):
            if run.too_long:
                if skip:
                    skip -= 1
                else:
                    yield self._too_long(first, line, spec, width)
                first, line = first + 1, line + 1
                continue
            at = run.start
            while at < run.end:
                store = np.empty((len(SLOTS), run.end - at + SLACK), np.uint8)
                ends = np.zeros((len(SLOTS), BATCH_ROWS + 1), np.int64)
                kinds = np.empty((len(SLOTS), BATCH_ROWS), np.uint8)
                tokens = np.empty(BATCH_ROWS, np.int64)
                bad = np.empty(BATCH_ROWS, np.uint8)
                lines = np.empty(BATCH_ROWS, np.int64)
                at, rows, line = parse_lines(
                    run.buffer, at, run.end, BATCH_ROWS, line, *keys.arrays(), store, ends, kinds, tokens, bad, lines
                )  # fmt: skip
                drop = min(skip, rows)
                skip -= drop
                first += rows
                if drop == rows:
                    continue
                batch = RawBatch(
                    first_row=first - rows + drop,
                    data=store[0],
                    offsets=ends[0, drop : rows + 1],
                    bad=bad[drop:rows],
                    line=lines[drop:rows],
                )
                columns = batch.columns
                for role in ("id", "domain", "label"):
                    if getattr(spec, role) is not None:
                        columns[role] = _strings(SLOTS.index(role), store, ends, kinds, drop, rows)
                if spec.tokens is not None:
                    columns["tokens"] = tokens[drop:rows]
                if spec.embedding is not None:
                    values = _strings(SLOTS.index("embedding"), store, ends, kinds, drop, rows)
                    lists = pc.split_pattern(values, ",")
                    columns["embedding"], batch.bad = numbers_of_lists(lists, width, batch.bad)
                    batch.settle()
                yield batch

    def rows(self, start: Segment, skip: int) -> Iterator[bytes]:
        for run in self._runs(start.position):
            if run.too_long:
                if skip == 0:
                    raise DataError(
                        f"{plain(self.path)}: a line of more than {self.row_limit} bytes cannot be copied. Remove it."
                    )
                skip -= 1
                continue
            for line in run.buffer[run.start : run.end].tobytes().split(b"\n"):
                if line.strip(_BLANK):
                    if skip:
                        skip -= 1
                    else:
                        yield line.removesuffix(b"\r")

    def _stream(self, position: int) -> Any:
        file = self.file.open()
        if self.compression is not None:
            return pa.CompressedInputStream(file, self.compression)
        if position:
            with reading(self.path):
                file.seek(position)
        return file

    def _blocks(self, buffer: npt.NDArray[np.uint8]) -> Iterator[int]:
        """Fill the buffer again and again; yields how many bytes came."""
        with self._stream(0) as stream:
            total = 0
            while size := self._fill(stream, buffer, 0, self.block):
                total += size
                self._refuse_bomb(total)
                yield size

    def _fill(self, stream: Any, buffer: npt.NDArray[np.uint8], at: int, until: int) -> int:
        advice = "The file may be truncated: fetch it again." if self.compression else "Check the disk."
        with reading(self.path, advice=advice):
            return int(stream.readinto(memoryview(buffer)[at:until]))

    def _refuse_bomb(self, total: int) -> None:
        least, ratio = self.bomb
        if self.compression is not None and total > least and total > ratio * self.file.size():
            raise DataError(
                f"{plain(self.path)}: expands more than {ratio} times, like a decompression bomb. "
                "Decompress it yourself if it is sound."
            )

    def _runs(self, position: int) -> Iterator[Run]:
        """The file from ``position`` on, cut into runs of whole lines; each run has a buffer of its own."""
        with self._stream(position) as stream:
            buffer = np.empty(self.block + SLACK, np.uint8)
            held, total, skipping, begun = 0, 0, False, position > 0
            while True:
                room = len(buffer) - SLACK
                size = self._fill(stream, buffer, held, room)
                total += size
                self._refuse_bomb(total)
                start = 0
                if not begun and (held + size >= 3 or size == 0):
                    begun = True
                    start = 3 if buffer[: held + size][:3].tobytes() == BOM else 0
                if not begun:
                    held += size
                    continue
                end = held + size
                if size == 0:
                    if skipping:
                        yield Run(buffer, 0, 0, too_long=True)
                    elif end > start:
                        buffer[end] = 10
                        yield Run(buffer, start, end + 1)
                    return
                if skipping:
                    stop = _find(buffer, 0, end)
                    if stop < 0:
                        held = 0
                        continue
                    yield Run(buffer, 0, 0, too_long=True)
                    skipping, start = False, stop + 1
                    last = _rfind(buffer, start, end)
                else:
                    last = _rfind(buffer, max(start, held), end)
                if last < 0:
                    if end - start > self.row_limit:
                        self._refuse_long(total)
                        skipping, held = True, 0
                        continue
                    grown = buffer if end < room else np.empty(2 * room + SLACK, np.uint8)
                    if start or grown is not buffer:
                        grown[: end - start] = buffer[start:end].copy()
                    buffer, held = grown, end - start
                    continue
                held = end - last - 1
                following = np.empty(max(self.block, 2 * held) + SLACK, np.uint8)
                following[:held] = buffer[last + 1 : end]
                yield Run(buffer, start, last + 1)
                buffer = following
