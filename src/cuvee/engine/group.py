"""The one shuffle: which rows of a pool have equal keys, and what hangs together through them.

Keys are columns of 64 bits that a Map wrote for every span (MinHash bands, hashes of whole texts). The work is cut into
tasks, a column and a range of its keys each, so that a task's memory is bounded whatever the pool's size. Where there
is more than one range, a first pass writes the keys cut by ranges (:mod:`cuvee.engine.divide`), and tasks read nothing
but their slices; these files are removed once a column's tasks are done. A task answers with pairs of rows: a spanning
forest of its groups of equal keys. :class:`Clusters` merges the forests of all tasks as they come, in any order; a
cluster's name is its first row. Its memory grows with the rows that have a partner (some 50 bytes each), not with the
pool.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ..core import Array
from . import divide
from .executor import Executor, Stopped, Task, Watch
from .kernel import kernel
from .progress import Progress
from .store import Store, digest

Ints = npt.NDArray[np.int64]
Words = npt.NDArray[np.uint64]
TASK_ROWS = 1 << 22
"""Rows whose keys a task holds at a time: some 256 MB with what sorting them takes."""
LEADERS = 64
"""Members of a group of equal keys that a row is compared with at most, where pairs are verified."""
CHECK_ROWS = 1 << 19
"""Rows whose check columns a task holds at a time."""
MERGE_PAIRS = 1 << 21
"""Pairs that wait before they are merged into clusters."""
_SIDE = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True)
class Share:
    """A task: the keys of one column whose upper 32 bits, scaled to ``parts``, give ``part``."""

    column: str
    part: int
    parts: int


@dataclass(frozen=True)
class EqualKeys:
    """Finds rows with equal keys; call it with a :class:`Share`.

    Attributes:
        facts, keys: the cache keys of every span's facts and of the Map's block.
        counted: a column of the Map that is 0 for rows which are to have no partner, or "".
        apart: rows of different domains never have equal keys.
        checks: columns of the Map (uint64); two rows of a group are a pair only if at least ``least`` bytes of these
            agree. Without, neighbours of a group are pairs, which makes its rows one cluster.
        name: a digest of what all tasks share; their answers are kept in the cache under it.
    """

    store: Store
    facts: Sequence[str]
    keys: Sequence[str]
    counted: str = ""
    apart: bool = False
    checks: tuple[str, ...] = ()
    least: int = 0
    name: str = ""

    def __call__(self, share: Share, watch: Watch) -> tuple[Ints, Ints]:
        """The pairs, (left, right) with left < right: global rows, int64."""
        left, right = self._pairs(share, watch)
        if self.name:
            self.store.put_table(self._key(share), [pa.RecordBatch.from_pydict({"left": left, "right": right})])
        return left, right

    def _key(self, share: Share) -> str:
        return digest("equal keys", self.name, share.column, share.part, share.parts)

    def known(self, share: Share) -> tuple[Ints, Ints] | None:
        """The answer of an earlier run, if the cache has it."""
        if not self.name:
            return None
        try:
            (batch,), _ = self.store.table(self._key(share))
        except FileNotFoundError:
            return None
        return batch.column("left").to_numpy(), batch.column("right").to_numpy()

    def _pairs(self, share: Share, watch: Watch) -> tuple[Ints, Ints]:
        value, row, place = self._gather(share, watch)
        ordered = np.sort(value)
        again = np.unique(ordered[1:][ordered[1:] == ordered[:-1]])
        del ordered
        if not len(again):
            return np.empty(0, np.int64), np.empty(0, np.int64)
        some = np.flatnonzero(again[np.minimum(np.searchsorted(again, value), len(again) - 1)] == value)
        some = some[np.lexsort((row[some], value[some]))]
        value, row = value[some], row[some]
        if place is None:
            same = value[1:] == value[:-1]
            return row[:-1][same], row[1:][same]
        place = place[some]
        starts = np.flatnonzero(np.append(True, value[1:] != value[:-1]))
        found = [(row[:0], row[:0])]
        for some in _portions(starts, len(value)):
            borders = np.flatnonzero(np.append(True, value[some][1:] != value[some][:-1]))
            ends = np.append(borders[1:], len(some))
            left, right = verified(borders, ends, self._checks(place[some], watch), self.least)
            found.append((row[some[left]], row[some[right]]))
        return np.concatenate([left for left, _ in found]), np.concatenate([right for _, right in found])

    def _gather(self, share: Share, watch: Watch) -> tuple[Words, Ints, Ints | None]:
        """Keys of the share, their rows, and where these stand (see :meth:`_read`), in row order."""
        if share.parts == 1:
            return divide.joined(list(self._read(share.column, range(len(self.keys)), watch)))
        found = []
        for run in divide.runs(len(self.keys), share.parts):
            if watch.stopped():
                raise Stopped
            keys = self._slice(share, run, watch)
            watch.advance(8 * sum(len(value) for value, _, _ in keys))
            found += keys
        return divide.joined(found)

    def _slice(self, share: Share, run: range, watch: Watch) -> list[divide.Keys]:
        """The share's part of a run's keys; a run whose file is absent or damaged is divided again."""
        key = self.cut_key(share.column, run, share.parts)
        try:
            return list(divide.read(self.store, key, share.part, share.parts, bool(self.checks)))
        except FileNotFoundError:
            self.cut(share.column, run, share.parts, Watch(watch.stopped))
        return list(divide.read(self.store, key, share.part, share.parts, bool(self.checks)))

    def cut_key(self, column: str, run: range, parts: int) -> str:
        """The cache key of a run's keys cut into ``parts`` ranges."""
        name = self.name or digest(list(self.facts), list(self.keys), self.counted, self.apart, bool(self.checks))
        return digest("divided", name, column, run.start, run.stop, parts)

    def cut(self, column: str, run: range, parts: int, watch: Watch) -> None:
        """Write a run's keys cut into ``parts`` ranges."""
        found = self._read(column, run, watch)
        divide.write(self.store, self.cut_key(column, run, parts), parts, found, TASK_ROWS)

    def _read(self, column: str, spans: Iterable[int], watch: Watch) -> Iterator[divide.Keys]:
        """Keys of some spans, their rows and, if they are to be checked, where these stand: number of the span << 32 |
        row of its block."""
        for span in spans:
            if watch.stopped():
                raise Stopped
            facts, note = self.store.mapped(self.facts[span], "row", "domain")
            if not len(facts["row"]):
                continue
            block, _ = self.store.mapped(self.keys[span], column, *filter(None, [self.counted]))
            value = block[column]
            watch.advance(value.nbytes)
            if self.apart:
                value = value ^ _named(note["domains"])[facts["domain"]]
            at = np.flatnonzero(block[self.counted] > 0) if self.counted else np.arange(len(value))
            yield value[at], facts["row"][at], at + (span << 32) if self.checks else None

    def _checks(self, place: Ints, watch: Watch) -> Array:
        """The check columns of some rows: uint64, (rows, columns)."""
        found = np.empty((len(place), len(self.checks)), np.uint64)
        number = place >> 32
        order = np.argsort(number, kind="stable")
        borders = np.flatnonzero(np.append(True, np.diff(number[order]) != 0))
        for some in np.split(order, borders[1:]):
            if watch.stopped():
                raise Stopped
            block, _ = self.store.mapped(self.keys[int(number[some[0]])], *self.checks)
            at = place[some] & 0xFFFFFFFF
            for column, name in enumerate(self.checks):
                found[some, column] = block[name][at]
        return found


def _portions(starts: Ints, size: int) -> Iterator[Ints]:
    """Places of whole groups, about ``CHECK_ROWS`` of them at a time; a larger group goes in parts, each behind its
    first member."""
    low = 0
    while low < size:
        at = int(np.searchsorted(starts, low + CHECK_ROWS, side="right")) - 1
        high = size if low + CHECK_ROWS >= size else int(starts[at])
        if high > low:
            yield np.arange(low, high)
            low = high
            continue
        high = int(starts[at + 1]) if at + 1 < len(starts) else size
        for first in range(low + 1, high, CHECK_ROWS):
            yield np.append(low, np.arange(first, min(first + CHECK_ROWS, high)))
        low = high


def _named(domains: Sequence[str]) -> Words:
    """A hash of every domain's name: codes differ between spans."""
    parts = [hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=8).digest() for name in domains]
    return np.frombuffer(b"".join(parts), np.uint64) * _SIDE


def shares(columns: Sequence[str], rows: int) -> list[Share]:
    """The tasks for these columns of a pool with so many usable rows."""
    parts = max(1, -(-rows // TASK_ROWS))
    return [Share(column, part, parts) for column in columns for part in range(parts)]


@kernel
def verified(starts: Ints, ends: Ints, checks: Array, least: int) -> tuple[Ints, Ints]:
    """Pairs (a member that leads others, a later member) of every group, by place.

    A member joins the first leader with which enough bytes agree, else it leads itself while there are fewer than
    ``LEADERS``. Comparing with the group's leaders instead of the neighbour alone keeps what is similar together though
    something unlike it stands between.
    """
    size = len(checks)
    left, right = np.empty(size, np.int64), np.empty(size, np.int64)
    leaders = np.empty(LEADERS, np.int64)
    low, one = np.uint64(0x7F7F7F7F7F7F7F7F), np.uint64(1)
    found = 0
    for group in range(len(starts)):
        number = 0
        for member in range(starts[group], ends[group]):
            joined = False
            for leader in leaders[:number]:
                count = 0
                for i in range(checks.shape[1]):
                    x = checks[leader, i] ^ checks[member, i]
                    y = ~(((x & low) + low) | x | low)  # the top bit of every byte that is 0
                    while y:
                        y &= y - one
                        count += 1
                if count >= least:
                    left[found], right[found] = leader, member
                    found += 1
                    joined = True
                    break
            if not joined and number < LEADERS:
                leaders[number] = member
                number += 1
    return left[:found], right[:found]


@kernel
def _unite(parent: Ints, left: Ints, right: Ints) -> None:
    """Union-find by the smaller number, with path halving; afterwards every entry names its root."""
    for i in range(len(left)):
        a, b = left[i], right[i]
        while parent[a] != a:
            parent[a] = parent[parent[a]]
            a = parent[a]
        while parent[b] != b:
            parent[b] = parent[parent[b]]
            b = parent[b]
        if a < b:
            parent[b] = a
        else:
            parent[a] = b
    for i in range(len(parent)):  # parents come first
        parent[i] = parent[parent[i]]


@dataclass
class Clusters:
    """Rows that hang together through pairs; the same whatever the order of the pairs."""

    _left: list[Ints] = field(default_factory=list)
    _right: list[Ints] = field(default_factory=list)
    _waiting: int = 0
    _limit: int = MERGE_PAIRS

    def add(self, left: Ints, right: Ints) -> None:
        """Take in pairs of rows."""
        self._left.append(left)
        self._right.append(right)
        self._waiting += len(left)
        if self._waiting > self._limit:
            row, root = self.members()
            later = row != root
            self._left, self._right = [root[later]], [row[later]]
            self._waiting = int(later.sum())
            self._limit = MERGE_PAIRS + self._waiting

    def members(self) -> tuple[Ints, Ints]:
        """(row, first row of its cluster) of all rows in clusters of two or more, in row order: int64."""
        left = np.concatenate(self._left or [np.empty(0, np.int64)])
        right = np.concatenate(self._right or [np.empty(0, np.int64)])
        row = np.unique(np.concatenate([left, right]))
        parent = np.arange(len(row))
        _unite(parent, np.searchsorted(row, left), np.searchsorted(row, right))
        return row, row[parent]


@dataclass(frozen=True)
class Dividing:
    """The first pass: writes a run's keys of these columns cut into ranges; call it with the run's spans."""

    work: EqualKeys
    columns: tuple[str, ...]
    parts: int

    def __call__(self, run: range, watch: Watch) -> None:
        for column in self.missing(run):
            self.work.cut(column, run, self.parts, watch)

    def missing(self, run: range) -> list[str]:
        """The columns of which an earlier run of the program has not written this run of spans."""
        paths = {column: self.work.store.path(self.work.cut_key(column, run, self.parts)) for column in self.columns}
        return [column for column, path in paths.items() if not path.exists()]

    def forget(self, column: str) -> None:
        """Remove what was written of a column."""
        for run in divide.runs(len(self.work.keys), self.parts):
            self.work.store.remove(self.work.cut_key(column, run, self.parts))


def group(
    work: EqualKeys, columns: Sequence[str], rows: int, executor: Executor, progress: Progress, label: str
) -> Iterator[tuple[Share, tuple[Ints, Ints]]]:
    """The tasks for some columns of a pool with so many usable rows: (task, pairs) as they finish, known ones first."""
    tasks, every = [], shares(columns, rows)
    for share in every:
        answer = work.known(share)
        if answer is None:
            tasks.append(share)
        else:
            yield share, answer
    parts, left = every[0].parts, Counter(share.column for share in tasks)
    dividing = Dividing(work, tuple(left), parts)
    if parts > 1:
        for column in {*columns} - {*left}:  # an earlier run of the program may have ended before it did
            dividing.forget(column)
        todo = [run for run in divide.runs(len(work.keys), parts) if dividing.missing(run)]
        for _ in _run(dividing, todo, executor, progress, f"{label}: keys", 8 * len(left) * rows):
            pass
    for share, pairs in _run(work, tasks, executor, progress, label, 8 * len(tasks) * -(-rows // parts)):
        left[share.column] -= 1
        if parts > 1 and not left[share.column]:
            dividing.forget(share.column)
        yield share, pairs


def _run(
    work: Callable[[Task, Watch], Any],
    tasks: Sequence[Task],
    executor: Executor,
    progress: Progress,
    label: str,
    total: float,
) -> Iterator[tuple[Task, Any]]:
    """(task, result) as they finish, under a label, if there is anything to do."""
    if tasks:
        progress.begin(label, total)
        yield from executor.map(work, tasks, progress.advance)
        progress.end()
