"""A pool of up to a million chunks on up to a thousand nodes, with the real manifest, engine and tree of merges.

Only the workers are fake: tasks end after the seconds that their bytes cost, in simulated time, and nodes fail at
random. So the driver's own work, memory and decisions are what they would be; ``bench/scale.py`` measures them.
"""

from __future__ import annotations

import heapq
import math
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from cuvee.core import Batch, Fold, State
from cuvee.engine.executor import Advance, Watch, unheard
from cuvee.engine.facts import Facts
from cuvee.engine.manifest import CHUNK_ROWS, Manifest, Segments, Shape
from cuvee.engine.run import Engine
from cuvee.engine.stage import Stage
from cuvee.engine.store import Store
from cuvee.engine.work import SpanTask
from cuvee.source.base import Index, RawBatch, Segment, Source, Spec

ROW_BYTES = 1_000
SEGMENT_ROWS = 1 << 15
FILE_SEGMENTS = 32


class FakeSource(Source):
    """A file that exists only as an index."""

    format = "fake"

    def __init__(self, number: int) -> None:
        self.path = f"part-{number:07}.parquet"

    def fields(self) -> list[str]:
        return ["text"]

    def index(self) -> Index:
        raise AssertionError

    def read(self, start: Segment, skip: int, spec: Spec) -> Iterator[RawBatch]:
        raise AssertionError

    def rows(self, start: Segment, skip: int) -> Iterator[Any]:
        raise AssertionError

    def stamp(self) -> str:
        return self.path


@dataclass(frozen=True)
class Total(Fold):
    """Counts chunks in floating point, so that states merge in the canonical tree."""

    def empty(self) -> State:
        return {"chunks": np.zeros(1)}

    def lift(self, batch: Batch) -> State:
        raise AssertionError

    def merge(self, left: State, right: State) -> State:
        return {"chunks": left["chunks"] + right["chunks"]}


def fake_manifest(chunks: int) -> Manifest:
    """A pool of so many chunks: rows of a kilobyte, row groups of 32,768 rows, files of a gigabyte."""
    rows = chunks * CHUNK_ROWS
    sources: list[Source] = []
    indices: list[Index | Shape] = []
    stamps: list[str] = []
    while rows > 0:
        segments: list[Segment] = []
        first = 0
        while rows > 0 and len(segments) < FILE_SEGMENTS:
            here = min(SEGMENT_ROWS, rows)
            segments.append(Segment(first, here, here * ROW_BYTES, len(segments)))
            first, rows = first + here, rows - here
        sources.append(FakeSource(len(sources)))
        indices.append(Shape(first, Segments(segments)))
        stamps.append(sources[-1].stamp())
    return Manifest(sources, indices, Spec(), stamps)


@dataclass
class Simulated:
    """An executor over nodes that do not exist; see :class:`cuvee.engine.executor.Executor`.

    Attributes:
        nodes, cores: of each node. ``core_rate``: bytes of text that a core gets through in a second.
        dispatch_seconds: of the driver, for each task that it hands out.
        failures_per_node_hour: a node that fails takes its tasks with it, and is replaced after five minutes.
        makespan: simulated seconds of the last pass. ``busy``: simulated core seconds of work that counted.
    """

    nodes: int
    cores: int
    core_rate: float
    dispatch_seconds: float
    failures_per_node_hour: float = 0.0
    seed: int = 0
    remote = True
    makespan: float = 0.0
    busy: float = 0.0
    lost: float = 0.0
    failures: int = 0
    merges: int = 0
    most_under_way: int = 0
    _now: float = 0.0
    _chance: random.Random = field(default_factory=random.Random)

    def __post_init__(self) -> None:
        self.workers = self.trials = self.nodes * self.cores

    def ready(self, folders: Sequence[Path], sources: Sequence[Source]) -> None:
        """Fake nodes see everything."""

    def merge(self, fold: Fold, left: State, right: State) -> State:
        self.merges += 1
        return fold.merge(left, right)

    def fetch(self, handle: State) -> State:
        return handle

    def map(
        self,
        work: Callable[[Any, Watch], Any],
        tasks: Iterable[Any],
        advance: Advance = unheard,
        outputs: Callable[[Any], int] | None = None,
    ) -> Iterator[tuple[Any, Any]]:
        """Twice as many tasks as cores are handed out; each node runs as many as it has cores, in order of coming."""
        assert outputs is not None
        chance = random.Random(self.seed)
        waiting = iter(tasks)
        events: list[tuple[float, int, int, Any]] = []  # time, order of coming, node or -1 - node, task
        free = [(0.0, node) for node in range(self.nodes) for _ in range(self.cores)]
        heapq.heapify(free)
        back_at = [0.0] * self.nodes
        driver = now = 0.0
        under_way = coming = 0
        rate = self.failures_per_node_hour * self.nodes / 3600

        def hand_out(task: SpanTask) -> None:
            nonlocal driver, under_way, coming
            driver = max(driver, now) + self.dispatch_seconds
            start, node = heapq.heappop(free)
            start = max(start, driver, back_at[node])
            seconds = task.span.bytes / self.core_rate * chance.uniform(0.8, 1.3)
            heapq.heappush(free, (start + seconds, node))
            coming += 1
            under_way += 1
            self.most_under_way = max(self.most_under_way, under_way)
            heapq.heappush(events, (start + seconds, coming, node, (start, task)))

        next_failure = chance.expovariate(rate) if rate else math.inf
        for _ in range(2 * self.workers):
            task = next(waiting, None)
            if task is None:
                break
            hand_out(task)
        while events:
            if events[0][0] > next_failure:  # everything that runs on one node starts again elsewhere
                now, gone = next_failure, chance.randrange(self.nodes)
                self.failures += 1
                back_at[gone] = now + 300
                again = [event for event in events if event[2] == gone]
                events = [event for event in events if event[2] != gone]
                heapq.heapify(events)
                for _, _, _, (start, task) in again:
                    self.lost += max(0.0, now - start)
                    under_way -= 1
                    hand_out(task)
                next_failure = now + chance.expovariate(rate)
                continue
            now, _, _, (start, task) = heapq.heappop(events)
            self.busy += now - start
            under_way -= 1
            advance(task.span.bytes)
            yield task, (now - start, *_states(task, outputs(task) - 1))
            for following in waiting:
                hand_out(following)
                break
        self.makespan = now


def _states(task: SpanTask, count: int) -> list[State]:
    from cuvee.engine.tree import nodes_of

    nodes = nodes_of(task.span.first, task.span.last)
    assert len(nodes) == count
    return [{"chunks": np.array([float(1 << level)])} for level, _ in nodes]


def run_pass(manifest: Manifest, executor: Simulated, store: Store) -> float:
    """One pass of a Fold over a fake pool by the real engine; the number of chunks that the root has counted."""
    stage = Stage(manifest, Facts(), "pool", facts_ready=True)
    engine = Engine(stage, None, store, executor)
    return float(engine.fold(Total())["chunks"][0])
