"""Candidates compared unit by unit: exact Jaccard similarity, and edit similarity, which sees the order of words.

Lee et al. (2022), "Deduplicating Training Data Makes Language Models Better", keep a candidate pair of documents x and
y, sequences of units, only if

    EditSim(x, y) = 1 - EditDistance(x, y) / max(|x|, |y|)

is above 0.8, beside a true Jaccard similarity of 0.8. Here every group that hangs together through candidates is gone
through in the order of rows: a row joins the leaders of its group that it is like, and leads, too, unless it is close
to one of them (``LEADERS`` at most). So texts are compared, too, that no band brought together.

Texts are needed again. One pass over the pool writes the units of all candidates, 4 bytes each, into the cache, groups
by ranges; a task reads its range and holds no more than a run's part of it and the leaders. Of each text, the first
``MOST_UNITS`` units within ``MOST_BYTES`` are compared; of longer ones also their sizes, which must not differ by more
than the edits allow. Cost: the pass, and for a pair that differs in d units d^2 steps of a few nanoseconds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from .core import Array, Batch
from .engine import divide
from .engine.executor import Stopped, Watch
from .engine.group import Clusters
from .engine.ordered import distinct
from .engine.run import Engine
from .engine.stage import Stage
from .engine.store import Store, digest
from .errors import UsageError
from .feature import edit_kernels as kernels
from .feature.minhash import MinHash
from .fold.bottom_k import cut_ends, gather_texts

LEADERS = 64
"""Members of a group that a row is compared with at most."""
MOST_UNITS, MOST_BYTES = 1 << 15, 1 << 20
"""What is compared of a text: so many units, found in so many bytes."""
RANGE_UNITS = 1 << 22
"""Units that a task holds, about: 12 bytes each, and as much while it sorts them."""
LEAST, BELOW = 0.5, 1.0
Ints = npt.NDArray[np.int64]
Pairs = tuple[Ints, Ints]


def check_edit(edit: float) -> None:
    """Refuse a similarity that bounds no search."""
    if not LEAST <= edit < BELOW:
        raise UsageError(f"The edit similarity is at least {LEAST:g} and below {BELOW:g}, like 0.8, not {edit:g}.")


@dataclass(frozen=True)
class Alike:
    """When two documents are alike. ``jaccard`` 0: whatever n-grams they share."""

    minhash: MinHash
    jaccard: float
    edit: float

    def documents(self, batch: Batch) -> Documents:
        """The units of a batch's texts."""
        end = np.ascontiguousarray(batch.offsets[1:])
        start = np.ascontiguousarray(batch.offsets[:-1])
        cut = cut_ends(batch.data, start, end, MOST_BYTES)
        data = np.empty(int((cut - start).sum()), np.uint8)
        offsets = gather_texts(batch.data, start, cut, data)
        units, ends = self.minhash.units(Batch(data, offsets, batch.row, batch.key))
        counts = np.diff(ends, prepend=0)
        kept = np.minimum(counts, MOST_UNITS)
        whole, seen = (end - start).astype(np.float64), np.maximum(cut - start, 1)
        size = np.where(cut < end, counts * (whole / seen), counts).astype(np.int64)
        places = np.repeat(ends - counts - (np.cumsum(kept) - kept), kept) + np.arange(int(kept.sum()))
        return Documents(batch.row, size, np.cumsum(np.append(0, kept)), (units >> np.uint64(32))[places].astype("u4"))

    def among(self, documents: Documents, group: Ints, leads: npt.NDArray[np.bool_]) -> Pairs:
        """The pairs within groups, by place: see ``edit_kernels.joined``, which fills ``leads``."""
        found, ends = np.empty(len(documents.units), np.uint64), np.empty(len(group), np.int64)
        kernels.grams(documents.units, documents.offsets, self.minhash.n, found, ends)
        limits = (float(self.jaccard), float(self.edit), LEADERS)
        size = documents.size
        return kernels.joined(documents.units, documents.offsets, found, ends, size, group, leads, limits)

    def pairs(self, left: Batch, right: Batch) -> npt.NDArray[np.bool_]:
        """Whether row i of one batch is like row i of the other."""
        both = joined([self.documents(left), self.documents(right)])
        n = len(left)
        both = both.take(np.arange(2 * n).reshape(2, n).T.reshape(-1))
        met, _ = self.among(both, np.repeat(np.arange(n), 2), np.zeros(2 * n, bool))
        return np.isin(np.arange(n), met // 2)


@dataclass(frozen=True)
class Documents:
    """Rows with their units. ``row``, ``size`` (units, estimated where the text is cut): int64, (n,); ``units`` uint32,
    row i's at offsets[i]:offsets[i + 1]."""

    row: Ints
    size: Ints
    offsets: Ints
    units: Array

    def take(self, at: Ints) -> Documents:
        """Some of them, in another order."""
        counts = np.diff(self.offsets)[at]
        offsets = np.cumsum(np.append(0, counts))
        places = np.repeat(self.offsets[at] - offsets[:-1], counts) + np.arange(offsets[-1])
        return Documents(self.row[at], self.size[at], offsets, self.units[places])

    def packed(self) -> bytes:
        counts = np.diff(self.offsets)
        head = np.concatenate([[len(self.row)], self.row, self.size, counts]).astype(np.int64)
        return head.tobytes() + self.units.tobytes()

    @classmethod
    def unpacked(cls, raw: bytes) -> Documents:
        (n,) = np.frombuffer(raw, np.int64, 1).tolist()
        row, size, counts = np.frombuffer(raw, np.int64, 3 * n, 8).reshape(3, n)
        return cls(row, size, np.cumsum(np.append(0, counts)), np.frombuffer(raw, np.uint32, -1, 8 + 24 * n))


def joined(some: Sequence[Documents]) -> Documents:
    """One after the other."""
    counts = np.concatenate([np.diff(one.offsets) for one in some])
    columns = (np.concatenate([getattr(one, name) for one in some]) for name in ("row", "size", "units"))
    row, size, units = columns
    return Documents(row, size, np.cumsum(np.append(0, counts)), units)


def checked(
    engine: Engine, alike: Alike, candidates: Clusters, size_of: Callable[[Ints], Ints], name: str
) -> Iterator[Pairs]:
    """The pairs (leader, row), int64, of rows that are alike among those that hang together as candidates.

    Args:
        size_of: the bytes of some rows (ascending), int64.
        name: a digest of what the candidates depend on; answers are kept in the cache under it.
    """
    row, root = candidates.members()
    if not len(row):
        return
    weight = np.minimum(size_of(row), MOST_BYTES)
    weight = np.minimum(weight if alike.minhash.unit == "char" else weight // 4 + 1, MOST_UNITS)
    first, number = distinct(root), np.searchsorted(distinct(root), root)
    heavy = np.minimum(np.bincount(number, weight, len(first)), LEADERS * MOST_UNITS)
    before = np.cumsum(heavy) - heavy
    part_of_group = (before // RANGE_UNITS).astype(np.int64)
    parts = int(part_of_group[-1]) + 1
    key = digest("edits", name, alike.jaccard, alike.edit, parts)
    work = _Comparing(engine.pool, engine.store, alike, row, root, part_of_group[number], parts, key)
    todo = []
    for part in range(parts):
        if (answer := work.known(part)) is None:
            todo.append(part)
        else:
            yield answer
    if not todo:
        return
    runs = divide.runs(len(engine.pool.manifest.spans), parts)
    writing = _Writing(work, runs)
    missing = [at for at in range(len(runs)) if not engine.store.path(work.file(at)).exists()]
    spans = engine.pool.manifest.spans
    engine.progress.begin("candidates once more", sum(spans[span].bytes for at in missing for span in runs[at]))
    for _ in engine.executor.map(writing, missing, engine.progress.advance):
        pass
    engine.progress.end()
    engine.progress.begin("comparing candidates", len(todo))
    for _, pairs in engine.executor.map(_Ranged(work, len(runs), writing), todo):
        engine.progress.advance(1)
        yield pairs
    engine.progress.end()
    for at in range(len(runs)):
        engine.store.remove(work.file(at))


@dataclass(frozen=True)
class _Comparing:
    """What the passes share: the candidates' rows (ascending), their groups, and the ranges of these."""

    stage: Stage
    store: Store
    alike: Alike
    row: Ints
    root: Ints
    part: Ints
    parts: int
    key: str

    def file(self, run: int) -> str:
        return digest(self.key, "run", run)

    def known(self, part: int) -> Pairs | None:
        """The answer of an earlier run, if the cache has it."""
        try:
            (batch,), _ = self.store.table(digest(self.key, "part", part))
        except FileNotFoundError:
            return None
        return batch.column("left").to_numpy(), batch.column("right").to_numpy()


@dataclass(frozen=True)
class _Writing:
    """Writes the units of a run's candidates, by ranges; call it with the run's number."""

    work: _Comparing
    runs: list[range]

    def __call__(self, number: int, watch: Watch) -> None:
        self.work.store.put_sections(self.work.file(number), self._sections(number, watch))

    def _sections(self, number: int, watch: Watch) -> Iterator[bytes]:
        work = self.work
        held: list[Documents] = []
        many, given = 0, False
        for span in self.runs[number]:
            for piece in work.stage.pieces(work.stage.manifest.spans[span], work.store):
                if watch.stopped():
                    raise Stopped
                watch.advance(float(piece.batch.offsets[-1] - piece.batch.offsets[0]))
                if not len(some := _rows_of(piece.batch, work.row)):
                    continue
                held.append(work.alike.documents(some))
                many += len(held[-1].units)
                if many > RANGE_UNITS:
                    yield from self._cut(joined(held))
                    held, many, given = [], 0, True
        if held or not given:
            empty = np.empty(0, np.int64)
            nothing = Documents(empty, empty, np.zeros(1, np.int64), np.empty(0, np.uint32))
            yield from self._cut(joined([*held, nothing]))

    def _cut(self, documents: Documents) -> Iterator[bytes]:
        part = self.work.part[np.searchsorted(self.work.row, documents.row)]
        for number in range(self.work.parts):
            yield documents.take(np.flatnonzero(part == number)).packed()


@dataclass(frozen=True)
class _Ranged:
    """Compares the candidates of a range; call it with the range's number."""

    work: _Comparing
    runs: int
    writing: _Writing

    def __call__(self, part: int, watch: Watch) -> Pairs:
        work = self.work
        held: Documents | None = None
        left: list[Ints] = [np.empty(0, np.int64)]
        right: list[Ints] = [np.empty(0, np.int64)]
        for run in range(self.runs):
            for raw in self._read(run, part, watch):
                new = Documents.unpacked(raw)
                if not len(new.row):
                    continue
                known = 0 if held is None else len(held.row)
                both = new if held is None else joined([held, new])
                group = work.root[np.searchsorted(work.row, both.row)]
                order = np.lexsort((both.row, group))  # leaders have lower rows than what comes later
                both, group, leads = both.take(order), group[order], order < known
                one, other = work.alike.among(both, group, leads)
                left.append(both.row[one])
                right.append(both.row[other])
                held = both.take(np.flatnonzero(leads))
        pairs = np.concatenate(left), np.concatenate(right)
        table = pa.RecordBatch.from_pydict({"left": pairs[0], "right": pairs[1]})
        work.store.put_table(digest(work.key, "part", part), [table])
        return pairs

    def _read(self, run: int, part: int, watch: Watch) -> list[bytes]:
        """A run's sections of the range; its file is made again if it is absent or damaged."""
        if watch.stopped():
            raise Stopped
        store, key = self.work.store, self.work.file(run)
        try:
            return list(store.sections(key, part, self.work.parts))
        except FileNotFoundError:
            self.writing(run, watch)
            return list(store.sections(key, part, self.work.parts))


def _rows_of(batch: Batch, rows: Ints) -> Batch:
    """Those rows of a batch that are among some (ascending), with their texts one after the other."""
    low, high = np.searchsorted(rows, [batch.row[0], batch.row[-1] + 1]) if len(batch) else (0, 0)
    at = np.searchsorted(batch.row, rows[low:high])
    start, end = np.ascontiguousarray(batch.offsets[at]), np.ascontiguousarray(batch.offsets[at + 1])
    cut = cut_ends(batch.data, start, end, 0)
    data = np.empty(int((cut - start).sum()), np.uint8)
    offsets = gather_texts(batch.data, start, cut, data)
    return Batch(data, offsets, batch.row[at], batch.key[at])
