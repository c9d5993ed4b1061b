"""A uniform sample of rows, with their texts, that merges: the k rows with the smallest keyed draws.

Bottom-k sampling (Cohen and Kaplan, "Summarizing data using bottom-k sketches", PODC 2007): with
u = uniform(seed, purpose, key), the sample is the k rows with the smallest (u, key, row). Every subset of k
distinct keys is equally likely. :class:`Keyed` keeps the rows with given keys instead, in the same form.

Inputs: any batches; texts are cut to ``max_bytes`` bytes at a UTF-8 border (0 keeps them whole). State: draw
float64 (m,), key uint64 (m,), row int64 (m,), data uint8 (bytes,), offsets int64 (m + 1,) with m <= k, in the
order of (draw, key, row).

Cost: at most k * max_bytes of memory, twice that while merging; every batch with a row of the sample copies
the sampled texts once. Trap: rows with the same key share one draw, so they enter or stay out together.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ..core import Array, Batch, Fold, State
from ..engine.draw import uniform
from ..engine.kernel import kernel
from ..errors import DataError, UsageError


@kernel
def cut_ends(data: Array, start: Array, end: Array, limit: int) -> Array:
    """Ends, moved back so that no text exceeds ``limit`` bytes nor ends inside a character (0: unchanged)."""
    ends = end.copy()
    if limit > 0:
        for i in range(len(start)):
            stop = start[i] + limit
            if stop < end[i]:
                while stop > start[i] and data[stop] & 0xC0 == 0x80:
                    stop -= 1
                ends[i] = stop
    return ends


@kernel
def gather_texts(data: Array, start: Array, end: Array, out: Array) -> Array:
    """Copy ``data[start[i]:end[i]]`` one after the other into ``out``; return the offsets."""
    offsets = np.zeros(len(start) + 1, np.int64)
    for i in range(len(start)):
        size = end[i] - start[i]
        out[offsets[i] : offsets[i] + size] = data[start[i] : end[i]]
        offsets[i + 1] = offsets[i] + size
    return offsets


def texts(state: State) -> Iterator[bytes]:
    """The texts of a state, in its order."""
    data, offsets = state["data"], state["offsets"]
    for i in range(len(offsets) - 1):
        yield data[offsets[i] : offsets[i + 1]].tobytes()


def as_batch(state: State) -> Batch:
    """The rows of a state as one batch, in the state's order (so ``row`` need not ascend)."""
    return Batch(state["data"], state["offsets"], state["row"], state["key"])


def _empty() -> State:
    types = {"draw": np.float64, "key": np.uint64, "row": np.int64, "data": np.uint8}
    return {name: np.zeros(0, kind) for name, kind in types.items()} | {"offsets": np.zeros(1, np.int64)}


def _pick(chosen: Array, batch: Batch, draw: Array, limit: int) -> State:
    start, end = batch.offsets[:-1][chosen], batch.offsets[1:][chosen]
    end = cut_ends(batch.data, start, end, limit)
    data = np.empty(int((end - start).sum()), np.uint8)
    offsets = gather_texts(batch.data, start, end, data)
    named = {"draw": draw[chosen], "key": batch.key[chosen], "row": batch.row[chosen]}
    return named | {"data": data, "offsets": offsets}


def _join(left: State, right: State, k: int | None) -> State:
    if not len(right["row"]):
        return left
    if not len(left["row"]):
        return right
    both = {name: np.concatenate([left[name], right[name]]) for name in ("draw", "key", "row", "data")}
    start = np.concatenate([left["offsets"][:-1], right["offsets"][:-1] + len(left["data"])])
    end = np.concatenate([left["offsets"][1:], right["offsets"][1:] + len(left["data"])])
    order = np.lexsort((both["row"], both["key"], both["draw"]))[:k]
    data = np.empty(int((end - start)[order].sum()), np.uint8)
    offsets = gather_texts(both["data"], start[order], end[order], data)
    return {name: both[name][order] for name in ("draw", "key", "row")} | {"data": data, "offsets": offsets}


@dataclass(frozen=True)
class BottomK(Fold):
    """The k rows with the smallest draws, among all rows or among those with ``domain`` equal to ``value``.

    ``exclude`` turns the condition round: rows whose domain is anything but ``value``.
    """

    k: int = 1000
    purpose: str = "sample"
    seed: int = 0
    max_bytes: int = 16384
    value: str | None = None
    exclude: bool = False
    exact: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.k < 0 or self.max_bytes < 0:
            raise UsageError("A sample needs k and max_bytes of at least 0.")

    def empty(self) -> State:
        return _empty()

    def _draws(self, batch: Batch) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
        draw = uniform(self.seed, self.purpose, batch.key)
        if self.value is None:
            return draw, np.arange(len(batch))
        if "domain" not in batch.columns:
            raise DataError("A sample by domain needs a domain column; this data has none.")
        same = pc.equal(pc.fill_null(pc.cast(batch.columns["domain"], pa.large_string()), "(none)"), self.value)
        return draw, np.flatnonzero(same.to_numpy(zero_copy_only=False) != self.exclude)

    def lift(self, batch: Batch) -> State:
        draw, rows = self._draws(batch)
        order = np.lexsort((batch.row[rows], batch.key[rows], draw[rows]))[: self.k]
        return _pick(rows[order], batch, draw, self.max_bytes)

    def update(self, state: State, batch: Batch) -> State:
        if len(state["row"]) < self.k or not self.k:
            return self.merge(state, self.lift(batch))
        draw, rows = self._draws(batch)
        rows = rows[draw[rows] <= state["draw"][-1]]
        return self.merge(state, _pick(rows, batch, draw, self.max_bytes)) if len(rows) else state

    def merge(self, left: State, right: State) -> State:
        return _join(left, right, self.k)


@dataclass(frozen=True, eq=False)
class Keyed(Fold):
    """The rows whose key is among ``keys`` (uint64, ascending), in the order of (key, row)."""

    keys: npt.NDArray[np.uint64] = field(default_factory=lambda: np.zeros(0, np.uint64))
    max_bytes: int = 16384
    exact: ClassVar[bool] = True

    def empty(self) -> State:
        return _empty()

    def lift(self, batch: Batch) -> State:
        first, last = (np.searchsorted(self.keys, batch.key, side) for side in ("left", "right"))
        found = np.flatnonzero(first < last)
        order = np.lexsort((batch.row[found], batch.key[found]))
        return _pick(found[order], batch, np.zeros(len(batch)), self.max_bytes)

    def merge(self, left: State, right: State) -> State:
        return _join(left, right, None)
