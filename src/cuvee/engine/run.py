"""Passes over a pool: Maps and one Fold at a time, span by span, cached, resumable, in any order of completion."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ..core import Batch, Fold, Map, State
from ..errors import DataError
from ..report.terminal import safe
from ..source.base import REASON, Bad, remedies
from .columns import DiskColumns, DomainsError
from .executor import Executor
from .facts import head
from .groupings import better_columns
from .local import Local
from .manifest import Span
from .merging import Merging, forget, parts_of
from .plan import describe
from .progress import Progress
from .stage import Stage
from .store import Store, digest
from .work import FACTS, FOLDED, MAPPED, SpanKeys, SpanTask, SpanWork

CHECKPOINT_SECONDS = 10.0
SMALL_BYTES = 16 << 20
"""A pool or target with no more text than this is read by the driver itself: a cluster's workers would take longer to
start."""
REMOTE_CHECKPOINT_SECONDS = 60.0
"""Where states lie in other processes, a checkpoint has to fetch them first."""


@dataclass(frozen=True)
class Reject:
    """One row that could not be used."""

    file: str
    line: int
    reason: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line} {self.reason}"


@dataclass
class Engine:
    """Runs Folds and Maps over a pool and a target; implements :class:`cuvee.core.Run`."""

    pool: Stage
    target: Stage | None
    store: Store
    executor: Executor = field(default_factory=Local)
    progress: Progress = field(default_factory=Progress)
    seed: int = 0
    passes: int = 0
    recalled_seconds: float = 0.0
    """Seconds of a core that the results found in the cache took to compute, so that a selection's cost is known."""
    _spent: float = 0.0
    """Seconds of a core of the pass under way."""
    _ready: set[int] = field(default_factory=set, repr=False)

    @property
    def rows(self) -> int:
        """Rows of the pool, usable or not."""
        return self.pool.manifest.rows

    def _stage(self, over: Literal["pool", "target"]) -> Stage:
        if over == "pool":
            return self.pool
        if self.target is None:
            raise DataError("This method needs a target: name files like the data you want with --target.")
        return self.target

    def fold(self, fold: Fold, over: Literal["pool", "target"] = "pool") -> Any:
        """Run a Fold over the pool or the target (from the cache if this very fold ran before)."""
        stage = self._stage(over)
        key = digest("fold", stage.plan, describe(fold))
        try:
            states, note = self.store.states(key)
            state = states["state"]
            self.recalled_seconds += float(note.get("seconds", 0.0))
        except FileNotFoundError:
            state = self._pass(stage, f"{fold_name(fold)} over the {over}", fold=fold, fold_key=key)
            self.store.put_states(key, {"state": state}, {"seconds": self._spent})
            forget(self.store, digest("checkpoint", key))
        return fold.finish(state)

    def targets(self) -> Iterator[Batch]:
        stage = self._stage("target")
        for span in stage.manifest.spans:
            for piece in stage.pieces(span, self.store):
                if len(piece.batch):
                    yield piece.batch

    def ready(self, stage: Stage) -> None:
        """Make sure, once, that the executor's workers can work on this stage."""
        if id(stage) not in self._ready:
            self.executor.ready([self.store.root], stage.manifest.sources)
            self._ready.add(id(stage))

    def ensure_facts(self, stage: Stage) -> None:
        """Compute the facts of every span that are not cached yet."""
        if not stage.facts_ready:
            self._pass(stage, f"reading the {stage.label}")

    def apply(self, fitted: Map, label: str, over: Literal["pool", "target"] = "pool") -> SpanKeys:
        """Run a fitted Map over the pool or the target; return its cache key per span."""
        stage = self._stage(over)
        keys = SpanKeys(stage, digest(describe(fitted)))
        for key in keys:
            if self.store.has(key):
                self.recalled_seconds += float(self.store.table(key)[1].get("seconds", 0.0))
        self._pass(stage, label, mapping=fitted, map_keys=keys)
        return keys

    def attach(self, made: Map, label: str, over: Literal["pool", "target"] = "pool") -> None:
        """Compute a Map's block "embedding" for every row, unless it is cached, and give it to the rows as a column in
        all later passes."""
        self.apply(made, f"{label}: the {over}", over)
        self._stage(over).vectors = digest(describe(made))

    def columns(self, *map_keys: Sequence[str], domain_by_convention: bool = False) -> DiskColumns:
        """The pool's facts joined with the blocks of Maps that were applied."""
        self.ensure_facts(self.pool)
        self.ready(self.pool)
        layers = [SpanKeys(self.pool), *map_keys]
        try:
            return DiskColumns(self.store, layers, domain_by_convention, self.executor)
        except DomainsError as error:
            column = str(self.pool.manifest.spec.domain)
            better = better_columns(self.pool, column)
            raise DomainsError(error.number, safe(column, 40), better) from None

    def _need_usable(self, stage: Stage) -> None:
        """Refuse a pool or target in which nothing can be used, before any method works on it."""
        spans = stage.manifest.spans
        if any(self.store.table(stage.key("facts", span))[1]["totals"]["rows"] for span in spans):
            return
        first, rows = list(islice(self.rejects(stage), 3)), stage.manifest.rows
        named = "; ".join(map(str, first)) + (" ..." if rows > 3 else "")
        counted = (
            f"None of the {rows:,} rows of the {stage.label} can"
            if rows > 1
            else f"The {stage.label}'s only row cannot"
        )
        ways = [f"Mend {'them' if rows > 1 else 'it'}", *remedies(reject.reason for reject in first)]
        raise DataError(f"{counted} be used: {named}. {', or '.join(ways)}.")

    def rejects(self, stage: Stage) -> Iterator[Reject]:
        """Every row that could not be used, in row order."""
        self.ensure_facts(stage)
        for span in stage.manifest.spans:
            batches, _ = self.store.table(stage.key("rejects", span))
            for batch in batches:
                columns = (batch.column(name).to_pylist() for name in ("file", "line", "code"))
                for number, line, code in zip(*columns, strict=True):
                    yield Reject(stage.manifest.sources[number].path, line, REASON[Bad(code)])

    def sample(self, stage: Stage, span: Span) -> pa.RecordBatch:
        """A span's part of the uniform sample: global "row" and the head of its "text"."""
        self.ensure_facts(stage)
        return self.store.table(stage.key("sample", span))[0][0]

    def texts(self, rows: Sequence[int], limit: int | None = None) -> list[bytes]:
        """The texts of some pool rows, each found by seeking; meant for a handful. ``limit``: their first bytes alone,
        cut between characters."""
        found = []
        for row in rows:
            (_, raw, _), *_ = self.pool.manifest.raw(row, row + 1)
            begin, end = int(raw.offsets[0]), int(raw.offsets[1])
            if limit is None:
                found.append(raw.data[begin:end].tobytes())
            else:
                found.append(head(raw.data[begin : min(end, begin + limit + 1)].tobytes(), limit))
        return found

    def ids(self, span_number: int) -> pa.Array | None:
        """The ids of one span's usable rows, or None where rows have none."""
        if not self.pool.has_ids:
            return None
        batches, _ = self.store.table(self.pool.key("ids", self.pool.manifest.spans[span_number]))
        return batches[0].column("id")

    def _pass(
        self,
        stage: Stage,
        label: str,
        *,
        fold: Fold | None = None,
        fold_key: str = "",
        mapping: Map | None = None,
        map_keys: SpanKeys | None = None,
    ) -> State:
        spans = stage.manifest.spans
        executor = Local() if self.executor.remote and stage.manifest.bytes <= SMALL_BYTES else self.executor
        merging = None
        checkpoint = digest("checkpoint", fold_key)
        if fold is not None:
            merging = Merging(fold, executor, stage.manifest.chunks, len(spans))
            merging.restore(self.store, checkpoint)
        wants = self._wanted(stage, merging, map_keys)
        todo = np.flatnonzero(wants)
        self._spent = 0.0
        if len(todo):
            if (wants & FACTS).any():
                stage.facts.counter()  # what it lacks is said before work begins
            if executor is self.executor:
                self.ready(stage)
            self.passes += 1
            self.progress.begin(label, sum(spans[number].bytes for number in todo.tolist()))
            work = SpanWork(stage, self.store, fold, mapping, map_keys)
            self._run(stage, work, executor, todo, wants, merging, checkpoint)
            stage.manifest.check_unchanged(spans[number] for number in todo.tolist())
            self.progress.end()
        if not stage.facts_ready:
            stage.facts_ready = True
            self._need_usable(stage)
        return {} if merging is None else merging.root()

    def _wanted(self, stage: Stage, merging: Merging | None, map_keys: SpanKeys | None) -> npt.NDArray[np.uint8]:
        """What is to be computed for every span: flags of :mod:`cuvee.engine.work`."""
        wants = np.zeros(len(stage.manifest.spans), np.uint8)
        if merging is not None:
            wants[~merging.done] |= FOLDED
        for number, span in enumerate(stage.manifest.spans):
            if not stage.facts_ready and not all(self.store.has(stage.key(kind, span)) for kind in stage.kinds):
                wants[number] |= FACTS
            if map_keys is not None and not self.store.has(map_keys[number]):
                wants[number] |= MAPPED
        return wants

    def _run(
        self,
        stage: Stage,
        work: SpanWork,
        executor: Executor,
        todo: npt.NDArray[np.int64],
        wants: npt.NDArray[np.uint8],
        merging: Merging | None,
        checkpoint: str,
    ) -> None:
        """Run a pass's work over the spans that want it, and merge what comes back."""
        spans = stage.manifest.spans
        tasks = (SpanTask(number, spans[number], int(wants[number])) for number in todo.tolist())
        fold = merging.fold if merging is not None else None

        def outputs(task: SpanTask) -> int:
            return 1 + (parts_of(fold, task.span) if fold is not None and task.wants & FOLDED else 0)

        every = REMOTE_CHECKPOINT_SECONDS if executor.remote else CHECKPOINT_SECONDS
        saved = time.monotonic()
        for task, (seconds, *states) in executor.map(work, tasks, self.progress.advance, outputs):
            self._spent += seconds
            if merging is None or not states:
                continue
            merging.take(task.number, task.span, tuple(states))
            if time.monotonic() - saved > every and not merging.done.all():
                merging.save(self.store, checkpoint)
                saved = time.monotonic()


def fold_name(fold: Fold) -> str:
    """A readable name for progress: the class's name in words."""
    name = type(fold).__name__
    return "".join(f" {c.lower()}" if c.isupper() and at else c.lower() for at, c in enumerate(name))
