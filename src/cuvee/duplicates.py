"""Counting repeated values of a 64-bit column: at once where they fit into memory, else by ranges of the value that a
first pass writes into the cache, so that every value is read twice whatever the pool's size."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import numpy.typing as npt

from .core import Block, Columns
from .engine import divide
from .engine.columns import DiskColumns
from .engine.executor import Stopped, Watch
from .engine.ordered import repeated
from .engine.store import Store, digest

ROWS_IN_MEMORY = 1 << 19
"""Rows whose values are held at a time: some 100 MB."""
Keep = Callable[[Block], npt.NDArray[np.bool_]] | None


@dataclass(frozen=True)
class Duplicates:
    """``rows``: how many rows repeat an earlier one; ``groups``: how many values occur more than once;
    ``largest``: (occurrences, row of the first occurrence) of the biggest groups, biggest first;
    ``sizes``: (group size, number of groups of that size)."""

    rows: int
    groups: int
    largest: list[tuple[int, int]]
    sizes: list[tuple[int, int]]


@dataclass
class _Tally:
    """Duplicates among some values, whose groups no other values share."""

    rows: int = 0
    groups: int = 0
    largest: list[tuple[int, int]] = field(default_factory=list)
    sizes: Counter[int] = field(default_factory=Counter)

    def add(self, other: _Tally) -> None:
        self.rows += other.rows
        self.groups += other.groups
        self.largest += other.largest
        self.sizes.update(other.sizes)

    def finish(self, examples: int) -> Duplicates:
        largest = sorted(self.largest, key=lambda group: (-group[0], group[1]))
        return Duplicates(self.rows, self.groups, largest[:examples], sorted(self.sizes.items()))


def count_duplicates(
    columns: Columns,
    name: str,
    keep: Keep = None,
    needs: tuple[str, ...] = (),
    rows: int | None = None,
    examples: int = 10,
) -> Duplicates:
    """Count equal values of column ``name`` among the rows for which ``keep`` holds (``needs``: what it reads).

    ``rows`` is the number of such rows if known. More than ``ROWS_IN_MEMORY`` of them on disk go through files in the
    cache, which are removed afterwards.
    """
    total = columns.n_rows if rows is None else rows
    wanted = tuple(dict.fromkeys((name, "row", *needs)))
    if total > ROWS_IN_MEMORY and isinstance(columns, DiskColumns):
        return _by_ranges(columns, name, keep, wanted, -(-total // ROWS_IN_MEMORY), examples)
    found = divide.joined(list(columns.each(partial(_chosen, name=name, keep=keep), *wanted)))
    return _counted(found, examples).finish(examples)


def _chosen(block: Block, name: str, keep: Keep) -> divide.Keys:
    """The values that count, and their rows."""
    if keep is None:
        return block[name], block["row"], None
    chosen = keep(block)
    return block[name][chosen], block["row"][chosen], None


def _counted(found: divide.Keys, examples: int) -> _Tally:
    value, row, _ = found
    some = repeated(value)
    if not len(some):
        return _Tally()
    value, row = value[some], row[some]
    order = np.argsort(value, kind="stable")  # rows ascend, so the first of a group is its earliest
    starts = np.flatnonzero(np.diff(value[order], prepend=value[order][:1] ^ np.uint64(1)))
    counts = np.diff(np.append(starts, len(value)))
    sizes, number = np.unique(counts, return_counts=True)
    firsts = row[order[starts]]
    best = np.lexsort((firsts, -counts))[:examples]
    largest = [(int(counts[at]), int(firsts[at])) for at in best]
    often = Counter(dict(zip(sizes.tolist(), number.tolist(), strict=True)))
    return _Tally(int((counts - 1).sum()), len(counts), largest, often)


def _by_ranges(
    columns: DiskColumns, name: str, keep: Keep, wanted: tuple[str, ...], parts: int, examples: int
) -> Duplicates:
    store, executor = columns.store, columns.executor
    runs = divide.runs(len(columns.layers[0]), parts)
    token = os.urandom(16).hex()  # what ``keep`` stands for has no name under which another run could look for it
    keys = {run: digest("repeated", token, run.start) for run in runs}
    tally = _Tally()
    try:
        for _ in executor.map(_Dividing(columns, name, keep, wanted, parts, keys), runs):
            pass
        for _, found in executor.map(_Counting(store, tuple(keys.values()), parts, examples), range(parts)):
            tally.add(found)
    finally:
        for key in keys.values():
            store.remove(key)
    return tally.finish(examples)


@dataclass(frozen=True)
class _Dividing:
    """Writes the values of a run of spans cut into ranges."""

    columns: DiskColumns
    name: str
    keep: Keep
    wanted: tuple[str, ...]
    parts: int
    keys: dict[range, str]

    def __call__(self, run: range, watch: Watch) -> None:
        cut = divide.cut(self._values(run, watch), self.parts, ROWS_IN_MEMORY)
        self.columns.store.put_sections(self.keys[run], cut)

    def _values(self, run: range, watch: Watch) -> Iterator[divide.Keys]:
        for span in run:
            if watch.stopped():
                raise Stopped
            for block in self.columns.span(span, set(self.wanted)):
                yield _chosen(block, self.name, self.keep)


@dataclass(frozen=True)
class _Counting:
    """Counts what repeats in a range of values."""

    store: Store
    keys: tuple[str, ...]
    parts: int
    examples: int

    def __call__(self, part: int, watch: Watch) -> _Tally:
        found: list[divide.Keys] = []
        for key in self.keys:
            if watch.stopped():
                raise Stopped
            found += map(divide.keys_of, self.store.sections(key, part, self.parts))
        return _counted(divide.joined(found), self.examples)
