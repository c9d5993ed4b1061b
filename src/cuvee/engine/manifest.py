"""One global row order over many files, cut into canonical chunks, and read in spans.

Files stand in the order of their paths, rows in the order of their files. Chunk c holds the rows
[c * 4096, (c + 1) * 4096) of that order, wherever they lie, so the same rows in 1 or 64 files give the same chunks. A
*span* is a run of whole chunks that one worker reads in one go; where spans begin follows the files' segments (row
groups, byte ranges), never the number of workers. Where a float-valued Fold runs, a chunk's rows are regrouped into
batches whose borders depend on the rows alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, astuple, dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from ..core import Batch
from ..errors import DataError
from ..source.base import Bad, Index, RawBatch, Segment, Source, Spec
from ..source.files import plain
from .store import Store, code_digest, digest

CHUNK_ROWS = 4096
SPAN_BYTES = (4 << 20, 32 << 20)
"""A span holds at least the first amount of text and, in a large pool, about the second."""
MANY_SPANS, LARGE_SPAN_BYTES = 100_000, 1 << 30
"""Pools that would have more spans get larger ones, up to this, so that what is asked about each stays small."""
SPAN_CHUNKS = (64, 256)
"""A span closes at about the first number of chunks, however short the texts, because what is computed per row is held
for its rows; in pools that would have more than ``MANY_SPANS``, at up to the second."""
CANONICAL_BYTES = 16 << 20
"""Within a chunk, a batch of a float-valued Fold is closed once it holds this much text."""


@dataclass(frozen=True)
class Span:
    """Chunks [first, last) and about how many bytes of text they hold."""

    first: int
    last: int
    bytes: int


class Spans(Sequence[Span]):
    """A pool's spans, held as numbers: 24 bytes each."""

    def __init__(self, first: Sequence[int], last: Sequence[int], size: Sequence[int]) -> None:
        self._table = np.array([first, last, size], np.int64).reshape(3, -1)

    def __len__(self) -> int:
        return self._table.shape[1]

    def __getitem__(self, at: Any) -> Any:
        if isinstance(at, slice):
            return [self[i] for i in range(*at.indices(len(self)))]
        return Span(*self._table[:, at].tolist())

    def __iter__(self) -> Iterator[Span]:
        return (self[at] for at in range(len(self)))


class Segments(Sequence[Segment]):
    """A file's segments, held as numbers: 40 bytes each."""

    def __init__(self, segments: Sequence[Segment]) -> None:
        """A copy of any sequence of segments."""
        self._table = np.array([astuple(segment) for segment in segments], np.int64).reshape(-1, 5)

    def bytes(self) -> int:
        return int(self._table[:, 2].sum())

    def __len__(self) -> int:
        return len(self._table)

    def __getitem__(self, at: Any) -> Any:
        return [Segment(*row) for row in self._table[at].tolist()] if isinstance(at, slice) else self._at(at)

    def _at(self, at: int) -> Segment:
        return Segment(*self._table[at].tolist())

    def ends(self, first: int) -> Iterator[tuple[int, int]]:
        """(row after the segment, bytes) of each, if the file begins at row ``first``."""
        for start, rows, size in self._table[:, :3].tolist():
            yield first + start + rows, size

    def holding(self, row: int) -> Segment:
        """The segment that holds a row of the file."""
        at = int(np.searchsorted(self._table[:, 0], row, side="right")) - 1
        while at > 0 and self._table[at, 1] == 0:
            at -= 1
        return self._at(at)


@dataclass(frozen=True)
class Shape:
    """A file's index, held as numbers."""

    rows: int
    segments: Segments


def as_numbers(index: Index | Shape) -> Shape:
    """An index with its segments as numbers: a large pool has millions."""
    return index if isinstance(index, Shape) else Shape(index.rows, Segments(index.segments))


@dataclass
class Piece:
    """Rows of one file inside one chunk: good rows as a Batch, and what was wrong with the others."""

    chunk: int
    batch: Batch
    bad: dict[str, np.ndarray]
    """Of the rows that cannot be used: "file" number, global "row", "line" in the file, "code" (a Bad)."""


class Manifest:
    """The pool's files, their indices and the columns to read."""

    def __init__(
        self, sources: Sequence[Source], indices: Sequence[Index | Shape], spec: Spec, stamps: Sequence[str]
    ) -> None:
        self.sources = list(sources)
        self.spec = spec
        self.stamps = list(stamps)
        self.starts = np.concatenate([[0], np.cumsum([index.rows for index in indices])]).astype(np.int64)
        self.rows = int(self.starts[-1])
        self.chunk_rows = CHUNK_ROWS
        self.chunks = -(-self.rows // self.chunk_rows)
        self._segments = [as_numbers(index).segments for index in indices]
        self.bytes = sum(segments.bytes() for segments in self._segments)
        self.spans = self._spans()
        self.digest = digest(self.stamps, asdict(spec))

    @classmethod
    def build(cls, sources: Sequence[Source], spec: Spec, store: Store, what: str = "pool") -> Manifest:
        """Index every file (from the cache where its stamp is known); refuse an empty pool."""
        indices, stamps = [], []
        for source in sources:
            stamp = source.stamp()
            key = digest("index", code_digest(), source.format, stamp)
            try:
                _, note = store.table(key)
                index = Index(note["rows"], tuple(Segment(*segment) for segment in note["segments"]))
            except (FileNotFoundError, KeyError, TypeError):
                index = source.index()
                segments = [astuple(segment) for segment in index.segments]
                empty = pa.RecordBatch.from_pydict({"_": pa.array([], pa.int8())})
                store.put_table(key, [empty], {"rows": index.rows, "segments": segments})
            indices.append(as_numbers(index))
            stamps.append(stamp)
        manifest = cls(sources, indices, spec, stamps)
        if manifest.rows == 0:
            named = ", ".join(source.path for source in sources[:3])
            raise DataError(f"The {what} has no rows ({named}). Point cuvee at files that hold documents.")
        return manifest

    def check_unchanged(self, spans: Iterable[Span]) -> None:
        """Refuse what was read of local files that changed meanwhile; remote ones are compared at every opening."""
        ranges = ((span.first * self.chunk_rows, min(span.last * self.chunk_rows, self.rows)) for span in spans)
        read = {number for low, high in ranges for number in range(self.file_of(low), self.file_of(high - 1) + 1)}
        for number in sorted(read):
            source = self.sources[number]
            if "://" not in source.path and source.stamp() != self.stamps[number]:
                raise DataError(
                    f"{plain(source.path)} changed while it was being read. Run the same command again once nothing "
                    "writes to it."
                )

    def _spans(self) -> Spans:
        least, usual = SPAN_BYTES
        aim = min(max(self.bytes // 16, least), max(usual, min(self.bytes // MANY_SPANS, LARGE_SPAN_BYTES)))
        most = min(max(SPAN_CHUNKS[0], self.chunks // MANY_SPANS), SPAN_CHUNKS[1])
        columns: tuple[list[int], list[int], list[int]] = ([], [], [])
        first, held = 0, 0

        def close(last: int) -> None:
            for column, value in zip(columns, (first, last, held), strict=True):
                column.append(value)

        for start, segments in zip(self.starts.tolist(), self._segments, strict=False):
            for end, size in segments.ends(start):
                held += size
                last = -(-end // self.chunk_rows)
                if (held >= aim or last - first >= most) and last > first:
                    close(last)
                    first, held = last, 0
        if first < self.chunks:
            close(self.chunks)
        return Spans(*columns)

    def span_key(self, span: Span) -> str:
        """What a span's rows are read from: file stamps with the row range in each; independent of paths."""
        low, high = span.first * self.chunk_rows, min(span.last * self.chunk_rows, self.rows)
        parts = []
        for number in range(self.file_of(low), self.file_of(high - 1) + 1):
            start = int(self.starts[number])
            parts.append([self.stamps[number], max(0, low - start), min(high, int(self.starts[number + 1])) - start])
        return digest("span", 1, parts, low, asdict(self.spec))

    def index(self, number: int) -> Index:
        """The shape of a file."""
        return Index(self.rows_of(number), tuple(self._segments[number]))

    def rows_of(self, number: int) -> int:
        """The rows of a file."""
        return int(self.starts[number + 1] - self.starts[number])

    def file_of(self, row: int) -> int:
        """The number of the file that holds a global row (empty files hold none)."""
        return int(np.searchsorted(self.starts, row, side="right")) - 1

    def place(self, row: int) -> tuple[str, int]:
        """File path and row number within the file."""
        number = self.file_of(row)
        return self.sources[number].path, row - int(self.starts[number])

    def raw(self, low: int, high: int, spec: Spec | None = None) -> Iterator[tuple[int, RawBatch, int]]:
        """(file number, raw batch, rows to take from its head) for the global rows [low, high)."""
        row = low
        while row < high:
            number = self.file_of(row)
            start = int(self.starts[number])
            end = min(high, int(self.starts[number + 1]))
            segment = self._segments[number].holding(row - start)
            reader = self.sources[number].read(segment, row - start - segment.first_row, spec or self.spec)
            try:
                for raw in reader:
                    if start + raw.first_row != row:
                        raise DataError(f"{self.sources[number].path} changed while it was being read. Run again.")
                    take = min(len(raw), end - row)
                    yield number, raw, take
                    row += take
                    if row >= end:
                        break
            finally:
                reader.close()  # type: ignore[attr-defined]
            if row < end:
                raise DataError(
                    f"{self.sources[number].path} ended at row {row - start:,} of {self.rows_of(number):,}: "
                    "it changed while it was being read, or is damaged. Run again."
                )

    def read(self, span: Span) -> Iterator[Piece]:
        """The span's rows in order, each piece within one chunk and one file."""
        low, high = span.first * self.chunk_rows, min(span.last * self.chunk_rows, self.rows)
        for number, raw, take in self.raw(low, high):
            first = int(self.starts[number]) + raw.first_row
            begin = 0
            while begin < take:
                chunk = (first + begin) // self.chunk_rows
                end = min(take, (chunk + 1) * self.chunk_rows - first)
                yield _piece(chunk, number, raw, first, begin, end)
                begin = end


def _piece(chunk: int, number: int, raw: RawBatch, first: int, begin: int, end: int) -> Piece:
    bad = raw.bad[begin:end]
    rows = np.arange(first + begin, first + end, dtype=np.int64)
    lines = np.arange(begin, end) + raw.first_row + 1 if raw.line is None else raw.line[begin:end]
    data, offsets = raw.data, raw.offsets[begin : end + 1]
    columns = {name: values[begin:end] for name, values in raw.columns.items()}
    wrong = np.flatnonzero(bad)
    bad_rows = rows[wrong]
    if len(wrong):
        good = np.flatnonzero(bad == Bad.OK)
        lengths = np.diff(offsets)
        if lengths[wrong].any():  # texts of unusable rows stand between the others: close the gaps
            data = data[np.repeat(bad == Bad.OK, lengths).nonzero()[0] + offsets[0]]
            offsets = np.concatenate([[0], np.cumsum(lengths[good])]).astype(np.int64)
        else:
            offsets = np.append(offsets[:-1][good], offsets[-1])
        rows = rows[good]
        taken = pa.array(good)
        columns = {n: v.take(taken) if isinstance(v, pa.Array) else v[good] for n, v in columns.items()}
    return Piece(
        chunk=chunk,
        batch=Batch(data, offsets, rows, _keys(data, offsets, columns), columns),
        bad={
            "file": np.full(len(wrong), number, np.int64),
            "row": bad_rows,
            "line": np.asarray(lines, dtype=np.int64)[wrong],
            "code": bad[wrong].astype(np.uint8),
        },
    )


def _keys(data: np.ndarray, offsets: np.ndarray, columns: Mapping[str, Any]) -> np.ndarray:
    from ..feature.content import string_hash

    return string_hash(columns["id"]) if "id" in columns else content_keys(data, offsets, columns)


def content_keys(data: np.ndarray, offsets: np.ndarray, columns: Mapping[str, Any]) -> np.ndarray:
    """A hash of each row's content: its text, or where there is none its embedding or label. uint64, (n,)."""
    from ..feature.content import content_hash, string_hash

    if offsets[-1] == offsets[0]:
        for role in ("embedding", "label"):
            values = columns.get(role)
            if isinstance(values, pa.Array):
                return string_hash(values)
            if values is not None and len(values):
                raw = np.ascontiguousarray(values).view(np.uint8).reshape(-1)
                return content_hash(raw, np.linspace(0, len(raw), len(values) + 1, dtype=np.int64))
    return content_hash(data, offsets)


def canonical(pieces: Iterator[Piece]) -> Iterator[Piece]:
    """Regroup pieces so that batch borders depend on the rows alone: a chunk, cut after every 16 MB of text."""
    held: list[Piece] = []
    held_bytes = 0

    def flush() -> Iterator[Piece]:
        nonlocal held, held_bytes
        if held:
            yield _join(held)
        held, held_bytes = [], 0

    for piece in pieces:
        if held and held[0].chunk != piece.chunk:
            yield from flush()
        batch = piece.batch
        begin = 0
        while True:
            sizes = batch.offsets[begin + 1 :] - batch.offsets[begin]
            room = int(np.searchsorted(sizes, CANONICAL_BYTES - held_bytes, side="left")) + 1
            end = min(len(batch), begin + room)
            held.append(_cut(piece, begin, end))
            held_bytes += int(batch.offsets[end] - batch.offsets[begin])
            if held_bytes >= CANONICAL_BYTES:
                yield from flush()
            if end >= len(batch):
                break
            begin = end
    yield from flush()


def _cut(piece: Piece, begin: int, end: int) -> Piece:
    batch = piece.batch
    if begin == 0 and end == len(batch):
        return piece
    part = Batch(
        batch.data,
        batch.offsets[begin : end + 1],
        batch.row[begin:end],
        batch.key[begin:end],
        {name: values[begin:end] for name, values in batch.columns.items()},
    )
    return Piece(piece.chunk, part, {n: v if begin == 0 else v[:0] for n, v in piece.bad.items()})


def _join(pieces: list[Piece]) -> Piece:
    if len(pieces) == 1:
        return pieces[0]
    batches = [piece.batch for piece in pieces]
    data = np.concatenate([b.data[b.offsets[0] : b.offsets[-1]] for b in batches])
    lengths = np.concatenate([np.diff(b.offsets) for b in batches])
    columns = {}
    for name, values in batches[0].columns.items():
        parts = [b.columns[name] for b in batches]
        columns[name] = pa.concat_arrays(parts) if isinstance(values, pa.Array) else np.concatenate(parts)
    batch = Batch(
        data,
        np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        np.concatenate([b.row for b in batches]),
        np.concatenate([b.key for b in batches]),
        columns,
    )
    bad = {name: np.concatenate([piece.bad[name] for piece in pieces]) for name in pieces[0].bad}
    return Piece(pieces[0].chunk, batch, bad)
