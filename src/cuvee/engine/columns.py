"""Score columns on disk, read block by block: what a Choose works on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np

from ..core import Block, summed
from ..errors import DataError
from .executor import Executor, Stopped, Watch
from .local import Local
from .store import Store, as_block

MOST_DOMAINS = 5_000
NOT_TOLD_APART = "(all)"
"""The one domain of rows whose domain column, found by convention, has more values than that."""
HELD_BYTES = 64 << 20
"""A selection reads its columns a dozen times: the first spans' blocks, up to this much, are kept in memory."""
SHARED_ROWS = 1 << 21
"""Columns with more rows go to all workers of a cluster; with fewer, handing out costs more than it saves."""
TASK_SPANS = 16
"""Spans of columns that a worker is given at a time."""
WINDOW_TASKS, MOST_WAITING = 8, 1_024
"""Tasks a worker, and in all, whose results may wait for the first of them (on one machine some notes, on a cluster
about 1 MB each). The workers wait for the window's last task, which costs half a task in eight."""

Result = TypeVar("Result")


class DomainsError(DataError):
    """The domain column that the user named has so many values that domains cannot be told apart."""

    def __init__(self, number: int, column: str = "", better: str = "") -> None:
        named = f"The domain column '{column}'" if column else "The domain column"
        instead = f"a column that groups the pool with --domain: {better};"
        instead = instead if better else "a coarser one with --domain,"
        super().__init__(
            f"{named} has {number:,} different values; at most {MOST_DOMAINS:,} can be told apart. Name {instead} or "
            "leave it out with --domain none."
        )
        self.number = number


@dataclass
class DiskColumns:
    """The blocks of a pool's spans, in row order, from one or more stored tables per span.

    ``layers`` hold the cache keys of each span's tables, the facts first; their columns belong together. Implements
    :class:`cuvee.core.Columns`; see there for the columns.
    """

    store: Store
    layers: Sequence[Sequence[str]]
    domain_by_convention: bool = False
    executor: Executor = field(default_factory=Local)
    domains: Sequence[str] = field(default_factory=list)
    n_rows: int = 0
    totals: Mapping[str, int] = field(default_factory=dict)
    rejected: int = 0
    notes: list[str] = field(default_factory=list)
    _codes: dict[str, int] = field(default_factory=dict, repr=False)
    _held: dict[int, list[Block]] = field(default_factory=dict, repr=False)
    _held_bytes: int = 0

    def __post_init__(self) -> None:
        names: set[str] = set()
        totals = {"rows": 0, "tokens": 0, "bytes": 0}
        for note in self._ordered(_Notes(self.store, self.layers[0])):
            names.update(note["domains"])
            self.rejected += note.get("rejected", 0)
            for unit in totals:
                totals[unit] += note["totals"][unit]
        self.totals, self.n_rows = totals, totals["rows"]
        if len(names) > MOST_DOMAINS:
            if not self.domain_by_convention:
                raise DomainsError(len(names))
            self.notes.append(f"the domain column has {len(names):,} different values and was not used")
            self.domains = [NOT_TOLD_APART]
            return
        self.domains = sorted(names)
        self._codes = {name: i for i, name in enumerate(self.domains)}

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "executor": None, "_held": {}, "_held_bytes": HELD_BYTES}

    def blocks(self, *names: str) -> Iterator[Block]:
        wanted = set(names)
        for span in range(len(self.layers[0])):
            yield from self.span(span, wanted)

    def each(self, work: Callable[[Block], Result], *names: str) -> Iterator[Result]:
        if not self._shared():
            return map(work, self.blocks(*names))
        return (one for found in self._ordered(_EachBlock(self, work, set(names))) for one in found)

    def total(self, work: Callable[[Block], tuple[Any, ...]], *names: str) -> list[Any]:
        if not self._shared():
            return summed(map(work, self.blocks(*names)))
        spans = _Run(_TotalOfBlocks(self, work, set(names)), together=True)
        return summed(found for _, found in self.executor.map(spans, self._tasks()))  # in any order: sums are exact

    def _shared(self) -> bool:
        """Whether all workers take part. Threads gain nothing here (measured: 12 % more CPU, 400 MB more memory)."""
        return self.executor.remote and self.n_rows >= SHARED_ROWS

    def _ordered(self, work: Callable[[int, Watch], Result]) -> Iterator[Result]:
        """The work's result for every span, in the order of spans, by all workers.

        Tasks are handed out a window at a time, so that no more than a window's results wait here for a slow first one.
        """
        tasks, whole, workers = self._tasks(), _Run(work), self.executor.workers
        window = max(workers, min(WINDOW_TASKS * workers, MOST_WAITING))
        for first in range(0, len(tasks), window):
            early: dict[int, list[Result]] = {}
            following = tasks[first].start
            for task, found in self.executor.map(whole, tasks[first : first + window]):
                early[task.start] = found
                while following in early:
                    yield from early.pop(following)
                    following += TASK_SPANS

    def _tasks(self) -> list[range]:
        spans = len(self.layers[0])
        return [range(first, min(first + TASK_SPANS, spans)) for first in range(0, spans, TASK_SPANS)]

    def span(self, span: int, wanted: set[str]) -> Iterator[Block]:
        """A span's blocks with the wanted columns (all if none is wanted)."""
        for block in self._held.get(span) or self._read(span):
            if wanted - block.keys():
                raise KeyError(f"no column {sorted(wanted - block.keys())}")
            yield {name: values for name, values in block.items() if not wanted or name in wanted}

    def _read(self, span: int) -> list[Block]:
        """A span's blocks with all their columns, kept for the next pass while there is room."""
        merged: list[Block] = []
        for number, keys in enumerate(self.layers):
            batches, note = self.store.table(keys[span])
            if number == 0:
                own = np.array([self._codes.get(name, 0) for name in note["domains"]], np.int32)
            for at, batch in enumerate(batches):
                block = as_block(batch)
                if number == 0:
                    block["domain"] = own[block["domain"]]
                    block["domain"].flags.writeable = False  # like the others, which are Arrow's: blocks are shared
                    merged.append(block)
                else:
                    merged[at].update(block)
        size = sum(values.nbytes for block in merged for values in block.values())
        if self._held_bytes + size <= HELD_BYTES:
            self._held[span] = merged
            self._held_bytes += size
        return merged


@dataclass(frozen=True)
class _Notes:
    """What is noted about a span's facts."""

    store: Store
    keys: Sequence[str]

    def __call__(self, span: int, watch: Watch) -> dict[str, Any]:
        return self.store.table(self.keys[span])[1]


@dataclass(frozen=True)
class _EachBlock:
    """Work on every block of a span."""

    columns: DiskColumns
    work: Callable[[Block], Any]
    names: set[str]

    def __call__(self, span: int, watch: Watch) -> list[Any]:
        return [self.work(block) for block in self.columns.span(span, self.names)]


@dataclass(frozen=True)
class _TotalOfBlocks:
    """The sums over a span of what work on its blocks returns."""

    columns: DiskColumns
    work: Callable[[Block], tuple[Any, ...]]
    names: set[str]

    def __call__(self, span: int, watch: Watch) -> list[Any]:
        return summed(map(self.work, self.columns.span(span, self.names)))


@dataclass(frozen=True)
class _Run:
    """Work on a run of spans; ``together`` sums what it returns for them."""

    work: Callable[[int, Watch], Any]
    together: bool = False

    def __call__(self, spans: range, watch: Watch) -> list[Any]:
        found = []
        for span in spans:
            if watch.stopped():
                raise Stopped
            found.append(self.work(span, watch))
        return summed(found) if self.together else found
