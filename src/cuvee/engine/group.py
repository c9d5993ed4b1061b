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

import contextlib
import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ..core import Array
from . import divide
from .executor import Executor, Stopped, Task, Watch
from .kernel import kernel
from .ordered import distinct, repeated
from .progress import Progress
from .store import Store, digest

Ints = npt.NDArray[np.int64]
Words = npt.NDArray[np.uint64]
TASK_ROWS = 1 << 21
"""Rows whose keys a task holds at a time: some 140 MB with what sorting them takes, which ``--memory`` counts on."""
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
        value, row, place = self._candidates(share, watch)
        order = np.lexsort((row, value))
        value, row = value[order], row[order]
        if place is None:
            same = value[1:] == value[:-1]
            return row[:-1][same], row[1:][same]
        starts = np.flatnonzero(np.append(True, value[1:] != value[:-1]))
        found = [(row[:0], row[:0])]
        for some in _portions(starts, len(value)):
            borders = np.flatnonzero(np.append(True, value[some][1:] != value[some][:-1]))
            ends = np.append(borders[1:], len(some))
            left, right = verified(borders, ends, self._checks_of(share, place, order[some], watch), self.least)
            found.append((row[some[left]], row[some[right]]))
        return np.concatenate([left for left, _ in found]), np.concatenate([right for _, right in found])

    def _candidates(self, share: Share, watch: Watch) -> divide.Keys:
        """The share's keys that more than one row has, in row order."""
        if share.parts == 1 or not self.checks:
            return self._repeated(share, watch)
        raw = b"".join(self._sections("candidates", share.column, share.parts, share.part, watch))
        table = np.frombuffer(raw, np.int64).reshape(-1, 3).T.copy()
        return table[0].view(np.uint64), table[1], table[2]

    def _repeated(self, share: Share, watch: Watch) -> divide.Keys:
        value, row, place = divide.joined(list(self._gather(share, watch)))
        some = repeated(value)
        return value[some], row[some], place[some] if place is not None else None

    def _gather(self, share: Share, watch: Watch) -> Iterator[divide.Keys]:
        """All keys of the share, in row order: see :meth:`_read`."""
        if share.parts == 1:
            yield from self._read(share.column, range(len(self.keys)), watch)
            return
        for number in range(len(divide.runs(len(self.keys), share.parts))):
            for raw in self._sections("keys", share.column, share.parts, number, watch, share.part, share.parts):
                yield divide.keys_of(raw, bool(self.checks))

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
            if self.apart:
                value = value ^ _named(note["domains"])[facts["domain"]]
            at = np.flatnonzero(block[self.counted] > 0) if self.counted else np.arange(len(value))
            yield value[at], facts["row"][at], at + (span << 32) if self.checks else None

    def file(self, step: str, column: str, parts: int, number: int) -> str:
        """The cache key of a file that a pass before the tasks makes: see :class:`Preparing`."""
        name = self.name or digest(list(self.facts), list(self.keys), self.counted, self.apart, bool(self.checks))
        return digest("equal keys", step, name, column, parts, number)

    def prepare(self, step: str, column: str, parts: int, number: int, watch: Watch) -> None:
        """Make such a file."""
        sections = {"keys": self._cut, "candidates": self._by_runs, "checks": self._fetched}[step]
        self.store.put_sections(self.file(step, column, parts, number), sections(column, parts, number, watch))

    def _sections(
        self, step: str, column: str, parts: int, number: int, watch: Watch, first: int = 0, every: int = 1
    ) -> list[bytes]:
        """Sections of such a file, which is made again if it is absent or damaged."""
        if watch.stopped():
            raise Stopped
        key = self.file(step, column, parts, number)
        with contextlib.suppress(FileNotFoundError):
            return list(self.store.sections(key, first, every))
        self.prepare(step, column, parts, number, watch)
        return list(self.store.sections(key, first, every))

    def _cut(self, column: str, parts: int, number: int, watch: Watch) -> Iterator[bytes]:
        run = divide.runs(len(self.keys), parts)[number]
        return divide.cut(self._read(column, run, watch), parts, TASK_ROWS)

    def _by_runs(self, column: str, parts: int, number: int, watch: Watch) -> Iterator[bytes]:
        """A range's candidates, (key, row, place) each, by runs."""
        value, row, place = self._repeated(Share(column, number, parts), watch)
        assert place is not None
        table = np.stack([value.view(np.int64), row, place], axis=1)
        starts = [run.start for run in divide.runs(len(self.keys), parts)]
        borders = [*np.searchsorted(place >> 32, starts), len(place)]
        return (table[low:high].tobytes() for low, high in pairwise(borders))

    def _fetched(self, column: str, parts: int, number: int, watch: Watch) -> Iterator[bytes]:
        """The check columns of a run's candidates, by ranges; some ``CHECK_ROWS`` are fetched at a time."""
        runs = len(divide.runs(len(self.keys), parts))
        waiting: list[Ints] = []
        for part in range(parts):
            (raw,) = self._sections("candidates", column, parts, part, watch, number, runs)
            waiting.append(np.frombuffer(raw, np.int64).reshape(-1, 3)[:, 2])
            if part == parts - 1 or sum(map(len, waiting)) >= CHECK_ROWS:
                found = self._checks(np.concatenate(waiting), watch)
                for some in np.split(found, np.cumsum([len(one) for one in waiting])[:-1]):
                    yield some.tobytes()
                waiting = []

    def _checks_of(self, share: Share, place: Ints, at: Ints, watch: Watch) -> Array:
        """The check columns of some candidates: uint64, (rows, columns)."""
        if share.parts == 1:
            return self._checks(place[at], watch)
        order = np.argsort(at, kind="stable")
        ordered = at[order]
        found = np.empty((len(at), len(self.checks)), np.uint64)
        begin = 0
        for number in range(len(divide.runs(len(self.keys), share.parts))):
            (raw,) = self._sections("checks", share.column, share.parts, number, watch, share.part, share.parts)
            block = np.frombuffer(raw, np.uint64).reshape(-1, len(self.checks))
            low, high = np.searchsorted(ordered, [begin, begin + len(block)])
            found[order[low:high]] = block[ordered[low:high] - begin]
            begin += len(block)
        return found

    def _checks(self, place: Ints, watch: Watch) -> Array:
        """The check columns of some rows: uint64, (rows, columns)."""
        found = np.empty((len(place), len(self.checks)), np.uint64)
        if not len(place):
            return found
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
        row = distinct(np.concatenate([left, right]))
        parent = np.arange(len(row))
        _unite(parent, np.searchsorted(row, left), np.searchsorted(row, right))
        return row, row[parent]


@dataclass(frozen=True)
class Preparing:
    """A pass before the tasks, so that each finds what it reads in one place; call it with the number of a file.

    "keys" cuts every run of spans into ranges of keys. Where pairs are verified, "candidates" looks in every range for
    keys that more than one row has, and "checks" fetches what these rows are checked by, run by run: what stands
    together is read together, once, and not once a range.
    """

    work: EqualKeys
    step: str
    columns: tuple[str, ...]
    parts: int

    def __call__(self, number: int, watch: Watch) -> None:
        for column in self.missing(number):
            self.work.prepare(self.step, column, self.parts, number, watch)

    def missing(self, number: int) -> list[str]:
        """The columns of which an earlier run of the program has not made this file."""
        return [column for column in self.columns if not self._path(column, number).exists()]

    def numbers(self) -> range:
        """The files' numbers: ranges, or runs of spans."""
        return range(self.parts if self.step == "candidates" else len(divide.runs(len(self.work.keys), self.parts)))

    def forget(self, column: str) -> None:
        """Remove what was made of a column."""
        for number in self.numbers():
            self._path(column, number).unlink(missing_ok=True)

    def _path(self, column: str, number: int) -> Path:
        return self.work.store.path(self.work.file(self.step, column, self.parts, number))


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
    steps = [] if parts == 1 else ["keys", "candidates", "checks"] if work.checks else ["keys"]
    passes = [Preparing(work, step, tuple(left), parts) for step in steps]
    for column in {*columns} - {*left}:  # an earlier run of the program may have ended before it removed them
        for one in passes:
            one.forget(column)
    for one in passes:
        todo = [number for number in one.numbers() if one.missing(number)]
        for _ in _run(one, todo, executor, progress, f"{label}: {one.step}", 8 * len(left) * rows):
            pass
    for share, pairs in _run(work, tasks, executor, progress, label, 8 * len(tasks) * -(-rows // parts)):
        left[share.column] -= 1
        if not left[share.column]:
            for one in passes:
                one.forget(share.column)
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
    if not tasks:
        return
    progress.begin(label, total)
    for found in executor.map(work, tasks):
        progress.advance(total / len(tasks))
        yield found
    progress.end()
