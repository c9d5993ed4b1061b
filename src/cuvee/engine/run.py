"""Passes over a pool: Maps and one Fold at a time, span by span, cached, resumable, in any order of completion."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from ..core import Batch, Block, Fold, Map, State
from ..errors import DataError
from ..source.base import REASON, Bad, remedies
from .columns import DiskColumns
from .facts import Facts, SpanFacts
from .local import Executor, Local
from .manifest import Manifest, Span, canonical
from .plan import describe
from .progress import Progress
from .store import Store, as_block, code_digest, digest
from .tree import Tree

CHECKPOINT_SECONDS = 10.0


class Stopped(Exception):  # noqa: N818
    """A worker noticed that the run is over and gave up its span."""


@dataclass(frozen=True)
class Reject:
    """One row that could not be used."""

    file: str
    line: int
    reason: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line} {self.reason}"


@dataclass
class Stage:
    """The pool or the target: a manifest, how its facts are computed, and what is cached about it."""

    manifest: Manifest
    facts: Facts
    label: str
    facts_ready: bool = False
    _keys: dict[tuple[str, Span], str] = field(default_factory=dict, repr=False)

    @property
    def plan(self) -> str:
        return digest(code_digest(), self.manifest.digest, self.facts.plan())

    @property
    def kinds(self) -> tuple[str, ...]:
        """What is stored about every span."""
        return ("facts", "rejects", "sample", "ids") if self.has_ids else ("facts", "rejects", "sample")

    @property
    def has_ids(self) -> bool:
        return self.manifest.spec.id is not None and self.facts.key == "id"

    def key(self, kind: str, span: Span) -> str:
        """Where the cache keeps what it knows about a span."""
        if (kind, span) not in self._keys:
            self._keys[kind, span] = digest(kind, code_digest(), self.facts.plan(), self.manifest.span_key(span))
        return self._keys[kind, span]


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
    _spent: list[float] = field(default_factory=list, repr=False)

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
            self._spent.clear()
            state = self._pass(stage, f"{fold_name(fold)} over the {over}", fold=fold, fold_key=key)
            self.store.put_states(key, {"state": state}, {"seconds": sum(self._spent)})
        return fold.finish(state)

    def targets(self) -> Iterator[Batch]:
        stage = self._stage("target")
        for span in stage.manifest.spans:
            for piece in stage.manifest.read(span):
                if len(piece.batch):
                    yield piece.batch

    def ensure_facts(self, stage: Stage) -> None:
        """Compute the facts of every span that are not cached yet."""
        if not stage.facts_ready:
            self._pass(stage, f"reading the {stage.label}")

    def apply(self, fitted: Map, label: str) -> list[str]:
        """Run a fitted Map over the pool; return its cache key per span."""
        plan = digest(describe(fitted))
        keys = [digest("map", plan, self.pool.key("facts", span)) for span in self.pool.manifest.spans]
        for key in keys:
            if self.store.has(key):
                self.recalled_seconds += float(self.store.table(key)[1].get("seconds", 0.0))
        self._pass(self.pool, label, mapping=fitted, map_keys=keys)
        return keys

    def columns(self, *map_keys: list[str], domain_by_convention: bool = False) -> DiskColumns:
        """The pool's facts joined with the blocks of Maps that were applied."""
        self.ensure_facts(self.pool)
        spans = self.pool.manifest.spans
        parts = [[self.pool.key("facts", span)] for span in spans]
        for keys in map_keys:
            for at, key in enumerate(keys):
                parts[at].append(key)
        return DiskColumns(self.store, parts, domain_by_convention)

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

    def texts(self, rows: Sequence[int]) -> list[bytes]:
        """The whole texts of some pool rows, each found by seeking; meant for a handful."""
        found = []
        for row in rows:
            (_, raw, _), *_ = self.pool.manifest.raw(row, row + 1)
            found.append(raw.data[raw.offsets[0] : raw.offsets[1]].tobytes())
        return found

    def ids(self, span_number: int) -> pa.Array | None:
        """The ids of one span's usable rows, or None where rows have none."""
        if not self.pool.has_ids:
            return None
        batches, _ = self.store.table(self.pool.key("ids", self.pool.manifest.spans[span_number]))
        return batches[0].column("id")

    def _part(self, key: str) -> tuple[list[Block], int]:
        """What a killed run had of a span's block, and the first row that is missing in it."""
        try:
            (batch,), note = self.store.table(digest("part", key))
        except FileNotFoundError:
            return [], 0
        return [as_block(batch)], int(note["ready"])

    def _pass(
        self,
        stage: Stage,
        label: str,
        *,
        fold: Fold | None = None,
        fold_key: str = "",
        mapping: Map | None = None,
        map_keys: list[str] | None = None,
    ) -> State:
        spans = stage.manifest.spans
        number = {span: at for at, span in enumerate(spans)}
        merged = _Merged(fold, stage.manifest.chunks)
        checkpoint = digest("checkpoint", fold_key)
        if fold is not None:
            merged.restore(self.store, checkpoint, len(spans))
        wants: dict[Span, tuple[bool, bool, bool]] = {}
        for span in spans:
            facts = not stage.facts_ready and not all(self.store.has(stage.key(kind, span)) for kind in stage.kinds)
            mapped = map_keys is not None and not self.store.has(map_keys[number[span]])
            folded = fold is not None and number[span] not in merged.done
            if facts or mapped or folded:
                wants[span] = (facts, mapped, folded)
        counter = stage.facts.counter() if any(facts for facts, _, _ in wants.values()) else None

        def work(span: Span, stopped: Callable[[], bool]) -> list[tuple[int, int, State]]:
            facts, mapped, folded = wants[span]
            collected = SpanFacts(counter, stage.has_ids, stage.manifest.rows)
            map_key = map_keys[number[span]] if mapped and map_keys is not None else ""
            blocks, ready = self._part(map_key) if mapped else ([], 0)
            begun, saved = time.thread_time(), time.monotonic()
            local = _Merged(fold if folded else None, stage.manifest.chunks)
            pieces = stage.manifest.read(span)
            if folded and fold is not None and not fold.exact:
                pieces = canonical(pieces)
            for piece in pieces:
                if stopped():
                    raise Stopped
                if facts:
                    collected.add(piece)
                if len(piece.batch):
                    if mapped and mapping is not None and int(piece.batch.row[-1]) >= ready:
                        blocks.append(mapping.apply(piece.batch))
                        if time.monotonic() - saved > CHECKPOINT_SECONDS:
                            done = {"ready": int(piece.batch.row[-1]) + 1}
                            self.store.put_table(digest("part", map_key), [_joined(blocks)], done)
                            saved = time.monotonic()
                    local.add_batch(piece.chunk, piece.batch)
                self.progress.advance(int(piece.batch.offsets[-1] - piece.batch.offsets[0]))
            local.close_chunk(span.last)
            seconds = time.thread_time() - begun
            self._spent.append(seconds)
            if mapped:
                self.store.put_table(map_key, [_joined(blocks)], {"seconds": seconds})
                self.store.remove(digest("part", map_key))
            if facts:
                table, note, ids, rejects = collected.tables()
                if ids is not None:
                    self.store.put_table(stage.key("ids", span), [ids])
                self.store.put_table(stage.key("rejects", span), [rejects])
                self.store.put_table(stage.key("sample", span), [collected.sample()])
                self.store.put_table(stage.key("facts", span), [table], note)
            return local.nodes(span)

        if wants:
            self.passes += 1
            self.progress.begin(label, sum(span.bytes for span in wants))
            saved = time.monotonic()
            for span, nodes in self.executor.map(work, list(wants)):
                if fold is None:
                    continue
                merged.take(number[span], nodes)
                if time.monotonic() - saved > CHECKPOINT_SECONDS and len(merged.done) < len(spans):
                    merged.save(self.store, checkpoint)
                    saved = time.monotonic()
            self.progress.end()
        if not stage.facts_ready:
            stage.facts_ready = True
            self._need_usable(stage)
        if fold is None:
            return {}
        self.store.remove(checkpoint)
        return merged.root()


def _joined(blocks: Sequence[Block]) -> pa.RecordBatch:
    """Blocks of consecutive rows as one table."""
    names = blocks[0].keys() if blocks else ()
    return pa.RecordBatch.from_pydict({name: np.concatenate([block[name] for block in blocks]) for name in names})


class _Merged:
    """A Fold's states on their way to the root: one running state when merging is exact, else a tree over chunks."""

    def __init__(self, fold: Fold | None, chunks: int) -> None:
        self.fold = fold
        self.done: set[int] = set()
        self.total: State | None = None
        self.tree = Tree(fold, chunks) if fold is not None else None
        self._open: tuple[int, State] | None = None
        self._next = -1

    def add_batch(self, chunk: int, batch: Batch) -> None:
        """Take in a batch of a chunk; batches of a span come in order."""
        if self.fold is None:
            return
        if self.fold.exact:
            self.total = self.fold.update(self.fold.empty() if self.total is None else self.total, batch)
        elif self._open is not None and self._open[0] == chunk:
            self._open = (chunk, self.fold.merge(self._open[1], self.fold.lift(batch)))
        else:
            self.close_chunk(chunk)
            self._open = (chunk, self.fold.lift(batch))

    def close_chunk(self, _next: int) -> None:
        """The open chunk is complete."""
        if self._open is not None and self.tree is not None:
            self.tree.add(0, self._open[0], self._open[1])
        self._open = None

    def nodes(self, span: Span) -> list[tuple[int, int, State]]:
        """What a span contributes: its running state, or its tree nodes (empty chunks filled in)."""
        if self.fold is None or self.tree is None:
            return []
        if self.fold.exact:
            return [(-1, 0, self.fold.empty() if self.total is None else self.total)]
        covered: set[int] = set()
        for level, index in self.tree.nodes:
            covered.update(range(index << level, (index + 1) << level))
        for chunk in range(span.first, span.last):
            if chunk not in covered:
                self.tree.add(0, chunk, self.fold.empty())
        return [(level, index, state) for (level, index), state in self.tree.nodes.items()]

    def take(self, span_number: int, nodes: list[tuple[int, int, State]]) -> None:
        """Merge what a finished span contributes."""
        assert self.fold is not None and self.tree is not None
        for level, index, state in nodes:
            if level < 0:
                self.total = state if self.total is None else self.fold.merge(self.total, state)
            else:
                self.tree.add(level, index, state)
        self.done.add(span_number)

    def save(self, store: Store, key: str) -> None:
        """Write a checkpoint from which :meth:`restore` goes on."""
        assert self.tree is not None
        states = {f"{level},{index}": state for (level, index), state in self.tree.nodes.items()}
        if self.total is not None:
            states["total"] = self.total
        store.put_states(key, states, {"done": sorted(self.done)})

    def restore(self, store: Store, key: str, spans: int) -> None:
        """Go on from a checkpoint if there is one."""
        assert self.tree is not None
        try:
            states, note = store.states(key)
        except FileNotFoundError:
            return
        self.done = {at for at in note["done"] if at < spans}
        self.total = states.pop("total", None)
        for name, state in states.items():
            level, index = map(int, name.split(","))
            self.tree.nodes[level, index] = state

    def root(self) -> State:
        """The whole pool's state."""
        assert self.fold is not None and self.tree is not None
        if self.fold.exact:
            return self.fold.empty() if self.total is None else self.total
        return self.tree.root()


def fold_name(fold: Fold) -> str:
    """A readable name for progress: the class's name in words."""
    name = type(fold).__name__
    return "".join(f" {c.lower()}" if c.isupper() and at else c.lower() for at, c in enumerate(name))
