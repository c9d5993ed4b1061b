"""What a worker does with one span: read it, take down facts, apply a Map, lift into a Fold's state.

A :class:`SpanWork` is what all spans of a pass share. It may be pickled to other processes, which read the same files
and write to the same cache.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, overload

import numpy as np
import pyarrow as pa

from ..core import Batch, Block, Fold, Map, State
from .executor import Stopped, Watch
from .facts import SpanFacts
from .manifest import Span, canonical
from .merging import SpanStates
from .stage import Stage
from .store import Store, as_block, as_column, digest

FACTS, MAPPED, FOLDED = 1, 2, 4
PART_SECONDS = 10.0
"""How often the part of a span's block that is computed is put into the cache."""


@dataclass(frozen=True)
class SpanTask:
    """A span by its number, and what is to be computed for it."""

    number: int
    span: Span
    wants: int


@dataclass(frozen=True)
class SpanKeys(Sequence[str]):
    """The cache keys of every span's facts, or of a Map's blocks by the digest of the Map; computed when asked for."""

    stage: Stage
    plan: str = ""

    def __len__(self) -> int:
        return len(self.stage.manifest.spans)

    @overload
    def __getitem__(self, number: int) -> str: ...

    @overload
    def __getitem__(self, number: slice) -> list[str]: ...

    def __getitem__(self, number: int | slice) -> str | list[str]:
        if isinstance(number, slice):
            return [self[at] for at in range(*number.indices(len(self)))]
        facts = self.stage.key("facts", self.stage.manifest.spans[number])
        return digest("map", self.plan, facts, *self.stage.added) if self.plan else facts


@dataclass
class SpanWork:
    """A pass's work; call it with a task."""

    stage: Stage
    store: Store
    fold: Fold | None = None
    mapping: Map | None = None
    map_keys: SpanKeys | None = None
    _counter: list[Any] = field(default_factory=list, repr=False)
    _lock: Any = field(default_factory=threading.Lock, repr=False)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_counter": [], "_lock": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _lock=threading.Lock())

    def counter(self) -> Any:
        """The token counter, made once a process."""
        with self._lock:
            if not self._counter:
                self._counter.append(self.stage.facts.counter())
            return self._counter[0]

    def __call__(self, task: SpanTask, watch: Watch) -> tuple[Any, ...]:
        """(seconds of a core, the span's states ...). What is computed per row is put into the cache."""
        span, stage, store = task.span, self.stage, self.store
        facts, mapped = bool(task.wants & FACTS), bool(task.wants & MAPPED)
        collected = SpanFacts(self.counter() if facts else None, stage.has_ids, stage.manifest.rows)
        map_key = self.map_keys[task.number] if mapped and self.map_keys is not None else ""
        blocks, ready = self._part(map_key) if mapped else ([], 0)
        begun, saved = time.thread_time(), time.monotonic()
        states = SpanStates(self.fold, span) if self.fold is not None and task.wants & FOLDED else None
        pieces = stage.pieces(span, store)
        if states is not None and not states.fold.exact:
            pieces = canonical(pieces)
        for piece in pieces:
            if watch.stopped():
                raise Stopped
            if facts:
                collected.add(piece)
            told = 0
            if self.mapping is not None and mapped:
                for part in _rows_from(piece.batch, ready, self.mapping.rows_at_once):
                    if watch.stopped():
                        raise Stopped
                    blocks.append(self.mapping.apply(part))
                    if time.monotonic() - saved > PART_SECONDS:
                        done = {"ready": int(part.row[-1]) + 1}
                        store.put_table(digest("part", map_key), [_joined(blocks)], done)
                        saved = time.monotonic()
                    told += text_bytes(part)
                    watch.advance(text_bytes(part))
            if states is not None and len(piece.batch):
                states.add(piece.chunk, piece.batch)
            watch.advance(text_bytes(piece.batch) - told)
        found: list[State] = states.states() if states is not None else []
        seconds = time.thread_time() - begun
        if mapped:
            store.put_table(map_key, [_joined(blocks)], {"seconds": seconds})
            store.remove(digest("part", map_key))
        if facts:
            table, note, ids, rejects = collected.tables()
            if ids is not None:
                store.put_table(stage.key("ids", span), [ids])
            store.put_table(stage.key("rejects", span), [rejects])
            store.put_table(stage.key("sample", span), [collected.sample()])
            store.put_table(stage.key("facts", span), [table], note)
        return (seconds, *found)

    def _part(self, key: str) -> tuple[list[Block], int]:
        """What a killed run had of a span's block, and the first row that is missing in it."""
        try:
            (batch,), note = self.store.table(digest("part", key))
        except FileNotFoundError:
            return [], 0
        return [as_block(batch)], int(note["ready"])


def text_bytes(batch: Batch) -> int:
    """How much text a batch's rows hold."""
    return int(batch.offsets[-1] - batch.offsets[0])


def _rows_from(batch: Batch, first: int, most: int | None) -> Iterator[Batch]:
    """The rows of a batch from global row ``first`` on, ``most`` at a time."""
    begin, step = int(np.searchsorted(batch.row, first)), most or max(1, len(batch))
    if begin == 0 and len(batch) <= step:
        if len(batch):
            yield batch
        return
    for low in range(begin, len(batch), step):
        at = slice(low, low + step)
        columns = {name: values[at] for name, values in batch.columns.items()}
        yield Batch(batch.data, batch.offsets[low : low + step + 1], batch.row[at], batch.key[at], columns)


def _joined(blocks: Sequence[Block]) -> pa.RecordBatch:
    """Blocks of consecutive rows as one table."""
    names = blocks[0].keys() if blocks else ()
    return pa.RecordBatch.from_pydict({n: as_column(np.concatenate([block[n] for block in blocks])) for n in names})
