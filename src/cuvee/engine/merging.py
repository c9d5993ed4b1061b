"""A Fold's states on their way to the root: within one span, and over all spans with checkpoints.

Where merging is exact its order is free: a span keeps one running state. Otherwise states merge in the canonical tree.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from ..core import Batch, Fold, State
from .executor import Executor
from .manifest import Span
from .store import Store, digest
from .tree import Tree, nodes_of


def parts_of(fold: Fold, span: Span) -> int:
    """How many states a span contributes."""
    return 1 if fold.exact else len(nodes_of(span.first, span.last))


class SpanStates:
    """The states of one span, batch by batch."""

    def __init__(self, fold: Fold, span: Span) -> None:
        self.fold, self.span = fold, span
        self.total: State | None = None
        self.tree = Tree(fold.merge, span.last - span.first)
        self._open: tuple[int, State] | None = None

    def add(self, chunk: int, batch: Batch) -> None:
        """Take in a batch of a chunk; batches come in order."""
        fold = self.fold
        if fold.exact:
            self.total = fold.update(fold.empty() if self.total is None else self.total, batch)
        elif self._open is not None and self._open[0] == chunk:
            self._open = (chunk, fold.merge(self._open[1], fold.lift(batch)))
        else:
            self._close()
            self._open = (chunk, fold.lift(batch))

    def _close(self) -> None:
        """The open chunk is complete."""
        if self._open is not None:
            self.tree.add(0, *self._open)
        self._open = None

    def states(self) -> list[State]:
        """What the span contributes, after its last batch: as many as :func:`parts_of` says."""
        if self.fold.exact:
            return [self.fold.empty() if self.total is None else self.total]
        self._close()
        wanted = nodes_of(self.span.first, self.span.last)
        covered: set[int] = set()
        for level, index in self.tree.nodes:
            covered.update(range(index << level, (index + 1) << level))
        for chunk in range(self.span.first, self.span.last):
            if chunk not in covered:
                self.tree.add(0, chunk, self.fold.empty())
        return [self.tree.nodes[node] for node in wanted]


class Merging:
    """The states of all spans, as handles of an executor, and the checkpoints from which a killed run goes on."""

    def __init__(self, fold: Fold, executor: Executor, chunks: int, spans: int) -> None:
        self.fold, self.executor = fold, executor
        self.done = np.zeros(spans, bool)
        self.tree = Tree(self._merge, chunks)
        self.exact: dict[int, Any] = {}
        """States of an exact Fold by how often they were merged: where states merge in other processes, equals with
        equals, so that many merge at once; here all into one, so that only one is held."""
        self._generation = 0
        self._run = os.urandom(8).hex()

    def _merge(self, left: Any, right: Any) -> Any:
        return self.executor.merge(self.fold, left, right)

    def take(self, number: int, span: Span, states: tuple[Any, ...]) -> None:
        """Merge what a finished span contributes."""
        if self.fold.exact:
            (state,) = states
            level = 0
            while level in self.exact:
                state = self._merge(self.exact.pop(level), state)
                level += 1 if self.executor.remote else 0
            self.exact[level] = state
        else:
            for node, state in zip(nodes_of(span.first, span.last), states, strict=True):
                self.tree.add(*node, state)
        self.done[number] = True

    def root(self) -> State:
        """The whole pool's state."""
        if not self.fold.exact:
            root = self.tree.root()
        else:
            root = None
            for level in sorted(self.exact):
                root = self.exact[level] if root is None else self._merge(self.exact[level], root)
        return self.fold.empty() if root is None else self.executor.fetch(root)

    def _named(self) -> Iterator[tuple[str, Any]]:
        yield from ((f"{level},{index}", handle) for (level, index), handle in self.tree.nodes.items())
        yield from ((str(level), handle) for level, handle in self.exact.items())

    def save(self, store: Store, key: str) -> None:
        """Write a checkpoint from which :meth:`restore` goes on, one state at a time; it counts once its list is there.

        Every state has a name of its own, so that two runs that share the cache never mix theirs.
        """
        before = _kept(store, key)
        self._generation += 1
        kept = {}
        for name, handle in self._named():
            kept[name] = digest(key, self._run, self._generation, name)
            store.put_states(kept[name], {"state": self.executor.fetch(handle)}, {})
        done: npt.NDArray[np.uint8] = np.packbits(self.done)
        store.put_states(key, {"done": {"bits": done}}, {"kept": kept, "spans": len(self.done)})
        for old in before:
            store.remove(old)

    def restore(self, store: Store, key: str) -> None:
        """Go on from a checkpoint if there is a whole one."""
        try:
            states, note = store.states(key)
            found = {name: store.states(at)[0]["state"] for name, at in note["kept"].items()}
        except FileNotFoundError:
            return
        if note["spans"] != len(self.done):
            return
        self.done = np.unpackbits(states["done"]["bits"], count=len(self.done)).astype(bool)
        for name, state in found.items():
            if "," in name:
                level, index = map(int, name.split(","))
                self.tree.nodes[level, index] = state
            elif self.exact and not self.executor.remote:
                self.exact[0] = self._merge(self.exact[0], state)
            else:
                self.exact[int(name) if self.executor.remote else 0] = state


def _kept(store: Store, key: str) -> list[str]:
    """The states that a checkpoint lists."""
    try:
        return list(store.states(key)[1]["kept"].values())
    except FileNotFoundError:
        return []


def forget(store: Store, key: str) -> None:
    """Remove a checkpoint, once the whole state is stored."""
    kept = _kept(store, key)
    store.remove(key)
    for old in kept:
        store.remove(old)
