"""For each target vector the most similar rows of the pool: a list that merges.

State, for M targets and at most J rows each: value float32 (M, J), key uint64 (M, J), row int64 (M, J), in the order of
(value falling, key, row), and count int64 (M,). The same for every order of rows, so the Fold is exact. Cost: rows x M
x dimensions multiplications, at some 20 billion a second and core; about J log(rows / J) entries a target are moved up
the lists.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from ..core import Array, Batch, Fold, State
from ..engine.kernel import kernel
from ..feature.embed import Embedder
from ..feature.embed_kernels import products
from ..feature.static_embedding import StaticEmbedding
from .kmeans import cut_texts

Ints = npt.NDArray[np.int64]
SIMILARITIES = 1 << 19
"""How many similarities are held at once."""


@kernel
def insert(value: Array, key: Array, row: Array, count: Array, t: int, v: float, k: Array, r: int) -> None:
    """Enter one row into target t's list if it belongs there; ``k`` is uint64 (1,)."""
    most = value.shape[1]
    at = count[t]
    while at > 0:
        before = at - 1
        a, b = value[t, before], key[t, before]
        if a > v or (a == v and (b < k[0] or (b == k[0] and row[t, before] < r))):
            break
        if at < most:
            value[t, at], key[t, at], row[t, at] = a, b, row[t, before]
        at = before
    if at < most:
        value[t, at], key[t, at], row[t, at] = v, k[0], r
        if count[t] < most:
            count[t] += 1


@kernel
def insert_rows(value: Array, key: Array, row: Array, count: Array, similar: Array, keys: Array, rows: Array) -> None:
    """Enter rows with their similarities (n, M)."""
    most = value.shape[1]
    for i in range(len(rows)):
        for t in range(len(count)):
            v = similar[i, t]
            if count[t] < most or v >= value[t, most - 1]:
                insert(value, key, row, count, t, v, keys[i : i + 1], rows[i])


@kernel
def insert_lists(value: Array, key: Array, row: Array, count: Array, v: Array, k: Array, r: Array, n: Array) -> None:
    """Enter another state's lists."""
    for t in range(len(count)):
        for j in range(n[t]):
            insert(value, key, row, count, t, v[t, j], k[t, j : j + 1], r[t, j])


@dataclass(frozen=True, eq=False)
class NearestRows(Fold):
    """``targets`` float32 (M, d); ``most``: J."""

    embedder: Embedder = field(default_factory=StaticEmbedding)
    targets: Array = field(default_factory=lambda: np.eye(3, 256, dtype=np.float32))
    most: int = 4
    exact = True

    def empty(self) -> State:
        shape = (len(self.targets), self.most)
        lists: State = {"value": np.zeros(shape, np.float32), "key": np.zeros(shape, np.uint64)}
        return {**lists, "row": np.zeros(shape, np.int64), "count": np.zeros(shape[0], np.int64)}

    def lift(self, batch: Batch) -> State:
        return self.update(self.empty(), batch)

    def update(self, state: State, batch: Batch) -> State:
        vectors = self.embedder.vectors(batch)
        used = np.flatnonzero(np.any(vectors != 0, axis=1))
        across = np.ascontiguousarray(np.asarray(self.targets, np.float32).T)
        step = max(SIMILARITIES // max(len(self.targets), 1), 16)
        for start in range(0, len(used), step):
            some = used[start : start + step]
            found = np.empty((len(some), len(self.targets)), np.float32)
            products(np.ascontiguousarray(vectors[some], np.float32), across, found)
            insert_rows(*_lists(state), found, batch.key[some], batch.row[some])
        return state

    def merge(self, left: State, right: State) -> State:
        insert_lists(*_lists(left), *_lists(right))
        return left


def _lists(state: State) -> tuple[Array, Array, Array, Array]:
    return state["value"], state["key"], state["row"], state["count"]


def list_length(targets: int, entries: int = 200_000, least: int = 16) -> int:
    """How many rows each target's list may hold, for about ``entries`` in all."""
    return max(least, entries // max(targets, 1))


def lists_of_sets(found: State, member: Array) -> tuple[Ints, Ints]:
    """The rows of every set by their largest similarity with one of its targets, -1 behind the last, int64 (sets, m),
    and how many, int64 (sets,). ``found``: of ``NearestRows``; ``member`` int64 (targets,): each target's set."""
    columns, lists = np.arange(found["row"].shape[1]), []
    for number in range(int(member.max()) + 1):
        mine = member == number
        value, key, row, count = (found[name][mine] for name in ("value", "key", "row", "count"))
        full = count == len(columns)  # of rows below the last of a full list it is not known how near they are
        least = value[full, -1].max() if full.any() else -np.inf
        used = (columns < count[:, None]) & (value >= least)
        order = np.lexsort((row[used], key[used], -value[used]))
        rows = row[used][order]
        lists.append(rows[np.sort(np.unique(rows, return_index=True)[1])])
    length = np.array([len(rows) for rows in lists], np.int64)
    out = np.full((len(lists), int(length.max(initial=0))), -1, np.int64)
    for number, rows in enumerate(lists):
        out[number, : len(rows)] = rows
    return out, length


@dataclass(frozen=True, eq=False)
class VectorsOf(Fold):
    """The vectors of some rows: ``rows`` int64, ascending. State: row int64 (m,), vectors float32 (m, d)."""

    embedder: Embedder = field(default_factory=StaticEmbedding)
    rows: Array = field(default_factory=lambda: np.arange(3))
    exact = True

    def empty(self) -> State:
        return {"row": np.zeros(0, np.int64), "vectors": np.zeros((0, self.embedder.width), np.float32)}

    def lift(self, batch: Batch) -> State:
        wanted = np.flatnonzero(np.isin(batch.row, self.rows, assume_unique=True))
        columns = {name: values[wanted] for name, values in batch.columns.items() if name == "embedding"}
        part = Batch(*cut_texts(batch, wanted), batch.row[wanted], batch.key[wanted], columns)
        return {"row": part.row, "vectors": self.embedder.vectors(part)}

    def merge(self, left: State, right: State) -> State:
        both = {name: np.concatenate([left[name], right[name]]) for name in left}
        order = np.argsort(both["row"], kind="stable")
        return {name: values[order] for name, values in both.items()}
