"""JSON Lines, plain or compressed: one document a line, parsed by a compiled kernel without the interpreter lock."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from cuvee.errors import DataError

from .base import Bad, Index, RawBatch, Segment, Source, Spec
from .batches import BATCH_ROWS, assemble
from .columns import numbers_of_lists, strings
from .files import File, plain, reading
from .json_kernel import parse_lines
from .json_keys import SLOTS, Keys
from .json_outline import HUGE, sketch
from .json_tokens import NULL
from .lines import BLANK, count_lines, first_newline, last_newline, solid
from .simd import SLACK

BLOCK = 4 << 20
SEGMENT = 16 << 20
HEAD_ROWS = 100
LONG_RATIO = 100
BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class Run:
    """Whole lines in a buffer (bytes ``start`` to ``end``, the last ending in a newline), or one too long to hold."""

    buffer: npt.NDArray[np.uint8]
    start: int
    end: int
    too_long: bool = False
    solid: bool = True
    """Whether a line too long is more than blank space."""
    single: bool = False
    """Whether it is one line that filled a buffer."""


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
        for record in self._records():
            _names(record, "", names)
        return list(names)

    def fault(self) -> str:
        number = 0
        for run in self._runs(0):
            if run.too_long and run.solid:
                return f"line {number + 1:,} is longer than the row limit"
            for line in [b""] if run.too_long else bytes(run.buffer[run.start : run.end - 1]).split(b"\n"):
                number += 1
                if line.strip(BLANK):
                    return f"line {number:,} {_wrong(line)}"
        return "it has no rows"

    def index(self) -> Index:
        every = self.segment if self.compression is None else 1 << 62
        state = np.array([0, 0, 0, every, 0], np.int64)
        borders: list[tuple[int, int, int]] = []
        buffer = np.zeros(self.block + SLACK, np.uint8)
        base = 0
        with self._stream(0) as stream:
            while size := self._fill(stream, buffer, 0, self.block, base):
                if base == 0 and buffer[:3].tobytes() == BOM:
                    buffer[:3] = 32
                cuts = np.empty((size // every + 2, 3), np.int64)
                found = count_lines(buffer, size, base, every, state, cuts)
                borders += [(int(a), int(b), int(c)) for a, b, c in cuts[:found]]
                base += size
                if base - state[4] > self.row_limit:
                    self._refuse_ratio(base, LONG_RATIO)
        rows = int(state[0] + state[2])
        starts = [(0, 0, 0), *[cut for cut in borders if cut[1] < rows], (base, rows, 0)]
        segments = [
            Segment(before, until - before, stop - offset, offset, lines + 1)
            for (offset, before, lines), (stop, until, _) in pairwise(starts)
            if until > before
        ]
        return Index(rows, tuple(segments))

    def read(self, start: Segment, skip: int, spec: Spec) -> Iterator[RawBatch]:
        keys = Keys.of(spec)
        width = self._width(spec.embedding)
        first, line = start.first_row, start.line
        for run in self._runs(start.position):
            if run.too_long:
                if run.solid and skip == 0:
                    yield _nothing(first, line, spec, width)
                skip -= run.solid and skip > 0
                first, line = first + run.solid, line + 1
                continue
            buffer, at, end = run.buffer, run.start, run.end
            del run  # what is parsed is let go of before the batch is handed on: a line may be huge
            while at < end:
                at, rows, line, batch = self._parsed(buffer, at, end, line, first, skip, spec, keys)
                if at >= end:
                    del buffer
                skip -= min(skip, rows)
                first += rows
                if batch is None:
                    continue
                if spec.embedding is not None:
                    lists = pc.split_pattern(batch.columns["embedding"], ",")
                    batch.columns["embedding"], batch.bad = numbers_of_lists(lists, width, batch.bad)
                    batch = assemble(batch)
                yield batch
                del batch

    def _parsed(
        self, buffer: npt.NDArray[np.uint8], at: int, end: int, line: int, first: int, skip: int, spec: Spec, keys: Keys
    ) -> tuple[int, int, int, RawBatch | None]:
        """(where the kernel stopped, rows, next line number, what is left of them behind the first ``skip``)."""
        store = np.empty((keys.slots, end - at + SLACK), np.uint8)
        ends = np.zeros((len(SLOTS), BATCH_ROWS + 1), np.int64)
        kinds = np.empty((len(SLOTS), BATCH_ROWS), np.uint8)
        tokens = np.empty(BATCH_ROWS, np.int64)
        bad = np.empty(BATCH_ROWS, np.uint8)
        lines = np.empty(BATCH_ROWS, np.int64)
        outputs: tuple[Any, ...] = (store, ends, kinds, tokens, bad, lines)
        at, rows, line = parse_lines(buffer, at, end, BATCH_ROWS, line, self.row_limit, *keys.arrays(), *outputs)
        drop = min(skip, rows)
        if drop == rows:
            return at, rows, line, None
        cut = slice(drop, rows)
        batch = RawBatch(first + drop, store[0], ends[0, drop : rows + 1], bad[cut], lines[cut])
        if spec.text is None:
            batch.data = store[0, :0]
        for role in ("id", "domain", "label", "embedding"):
            if getattr(spec, role) is not None:
                slot = SLOTS.index(role)
                batch.columns[role] = strings(store[slot], ends[slot, drop : rows + 1], kinds[slot, cut] != NULL)
        if spec.tokens is not None:
            batch.columns["tokens"] = tokens[cut]
        return at, rows, line, batch

    def rows(self, start: Segment, skip: int) -> Iterator[bytes]:
        """Raw lines; one beyond the row limit, which no reader holds, comes as an empty line."""
        return self._lines(start.position, skip, False)

    def _lines(self, position: int, skip: int, sketched: bool) -> Iterator[bytes]:
        """Raw lines; ``sketched``: huge ones as what tells their keys."""
        for run in self._runs(position):
            too_long = run.too_long
            if sketched and run.single and HUGE < run.end - run.start <= self.row_limit:
                lines = [sketch(run.buffer, run.start, run.end)]
            else:
                # without the last newline, so that splitting a single huge line copies nothing
                whole = b"?" * run.solid if too_long else run.buffer[run.start : run.end - 1].tobytes()
                lines = whole.split(b"\n")
                lines.reverse()
                del whole
            del run
            while lines:  # none is held on to while the receiver has it
                if not lines[-1].strip(BLANK):
                    lines.pop()
                elif skip:
                    lines.pop()
                    skip -= 1
                elif too_long or len(lines[-1]) > self.row_limit:
                    lines.pop()
                    yield b""
                else:
                    yield lines.pop().removesuffix(b"\r")

    def _stream(self, position: int) -> Any:
        file = self.file.open()
        with reading(self.path):
            if self.compression is not None:
                return pa.CompressedInputStream(file, self.compression)
            file.seek(position)
        return file

    def _fill(self, stream: Any, buffer: npt.NDArray[np.uint8], at: int, until: int, total: int) -> int:
        """Read until the buffer is full or the file ends; returns the new end. ``total`` came before."""
        advice = "It may be truncated or damaged: fetch it again." if self.compression else "Check the disk."
        view = buffer.data
        begun = at
        with reading(self.path, advice=advice):
            while at < until:
                size = int(stream.readinto(view[at:until]))
                if size == 0:
                    break
                at += size
        least, ratio = self.bomb
        total += at - begun
        if self.compression is not None and total > least:
            self._refuse_ratio(total, ratio)
        return at

    def _refuse_ratio(self, total: int, ratio: int) -> None:
        if self.compression is not None and total > ratio * self.file.size():
            raise DataError(
                f"{plain(self.path)}: expands to more than {ratio} times its size, like a decompression bomb. "
                "Decompress it yourself if it is sound."
            )

    def _runs(self, position: int) -> Iterator[Run]:
        """The file from ``position`` on, cut into runs of whole lines; each run's buffer is the receiver's alone.

        A line that fills a buffer is a run of its own, found block by block, so that little more than it is held.
        """
        with self._stream(position) as stream:
            buffer = np.empty(self.block + SLACK, np.uint8)
            held, total, skipping, ink, ended = 0, 0, False, False, False
            whole = False  # whether what is held may have whole lines: so it is behind a line found block by block
            while True:
                room = len(buffer) - SLACK
                long = held >= self.block  # of one line, without its end
                until = min(room, held + self.block) if long else room
                end = held if ended else self._fill(stream, buffer, held, until, total)
                ended = end < until
                start = 3 if position == total == 0 and bytes(buffer[: min(3, end)]) == BOM else 0
                total += end - held
                if skipping:
                    self._refuse_ratio(total, LONG_RATIO)
                    stop = first_newline(buffer, end)
                    ink = ink or solid(buffer[:stop])
                    if stop == end:
                        held = 0
                        if end:
                            continue
                    yield Run(buffer, 0, 0, True, ink)
                    skipping, start, held = False, min(stop + 1, end), 0
                if long:
                    last = held + first_newline(buffer[held:end], end - held)
                    last = last if last < end else -1
                else:
                    last = last_newline(buffer, start if whole else max(start, held), end)
                if ended and (last < 0 or not long):  # what is left is whole
                    if end > start:
                        buffer[end] = 10
                        runs = [Run(buffer, start, end + 1, single=long)]
                        del buffer
                        yield runs.pop()
                    return
                if last >= 0:
                    held, whole = end - last - 1, long
                    runs = [Run(buffer, start, last + 1, single=long)]
                    buffer = _moved(buffer, last + 1, end, max(self.block, 2 * (end - last)))
                    yield runs.pop()
                elif end - start > self.row_limit:
                    self._refuse_ratio(total, LONG_RATIO)
                    ink = any(solid(buffer[at : min(end, at + self.block)]) for at in range(start, end, self.block))
                    buffer = np.empty(self.block + SLACK, np.uint8)
                    skipping, held = True, 0
                elif end < room:
                    held = end
                else:
                    held = end - start
                    buffer = _moved(buffer, start, end, 2 * room)

    def _records(self) -> list[dict[str, Any]]:
        """The first usable rows, as Python sees them, without what is neither an object nor a list."""
        if self._head is None:
            found: list[dict[str, Any]] = []
            for k, line in enumerate(self._lines(0, 0, True)):
                if len(found) == HEAD_ROWS or k == 100 * HEAD_ROWS:
                    break
                try:
                    record = json.loads(line.decode())  # of bytes it would take UTF-16, too
                    if b"\\u" in line:
                        json.dumps(record, ensure_ascii=False).encode()  # fails on lone surrogates
                except (ValueError, RecursionError):
                    continue
                if isinstance(record, dict):
                    found.append({key: _bare(value) for key, value in record.items()})
            self._head = found
        return self._head

    def _width(self, path: str | None) -> int:
        """The length of embeddings: that of the first rows' first list."""
        if path is None:
            return 0
        for record in self._records():
            value: Any = record
            for part in [path] if path in record else path.split("."):
                value = value.get(part) if isinstance(value, dict) else None
            if isinstance(value, list) and value:
                return len(value)
        raise DataError(f"{plain(self.path)}: no list in '{plain(path)}' in its first rows. Name another column.")


def _moved(buffer: npt.NDArray[np.uint8], start: int, end: int, room: int) -> npt.NDArray[np.uint8]:
    """A new buffer that begins with these bytes."""
    larger = np.empty(room + SLACK, np.uint8)
    larger[: end - start] = buffer[start:end]
    return larger


def _wrong(line: bytes) -> str:
    """Why a line tells no column names."""
    try:
        record = json.loads(line.decode())
        json.dumps(record, ensure_ascii=False).encode()
    except UnicodeDecodeError:
        return "is UTF-16, not UTF-8" if line[:2] in (b"\xff\xfe", b"\xfe\xff") else "is not UTF-8"
    except UnicodeEncodeError:
        return "holds a lone surrogate"
    except RecursionError:
        return "is nested too deep"
    except ValueError:
        return "is not JSON"
    return "is an object without keys" if isinstance(record, dict) else "is not a JSON object"


def _bare(value: Any, depth: int = 0) -> Any:
    """Objects and lists stay what they are, so that column names and lengths can be told; texts are let go of."""
    if isinstance(value, dict):
        return value if depth == 64 else {key: _bare(inner, depth + 1) for key, inner in value.items()}
    return [None] * len(value) if isinstance(value, list) else None


def _names(record: dict[str, Any], prefix: str, names: dict[str, None]) -> None:
    """Add the record's key paths to ``names``, in order; an explicit stack would gain nothing: json.loads recurses."""
    for key, value in record.items():
        names[prefix + key] = None
        if isinstance(value, dict) and prefix.count(".") < 8:
            _names(value, f"{prefix}{key}.", names)


def _nothing(first: int, line: int, spec: Spec, width: int) -> RawBatch:
    """One row, longer than the limit."""
    null = pa.nulls(1, pa.large_string())
    empty = {"tokens": np.zeros(1, np.int64), "embedding": np.zeros((1, width), np.float32)}
    columns = {role: empty.get(role, null) for role in SLOTS[1:] if getattr(spec, role) is not None}
    bad = np.array([Bad.TOO_LONG], np.uint8)
    return RawBatch(first, np.zeros(0, np.uint8), np.zeros(2, np.int64), bad, np.array([line]), columns)
