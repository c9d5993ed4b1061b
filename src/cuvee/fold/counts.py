"""Counts of hashed n-grams over any number of rows: integers, so every way of splitting the rows gives the same bits.

With a limit the counts come from a sample of rows of at most ``limit`` n-grams (and usually more than half of it)
that is as good as random and still merges exactly. Every row has a level: the number of leading zero bits of a hash
of its key, so one row in 2^l reaches level l. The sample is all rows of at least level l, for the smallest l at which
they stay within the limit. Partial counts never raise l above its final value, so rows below the level reached so far
are skipped unread.

State: counts int64 (levels, buckets), the rows of each level apart; level int64 (1,). Cost: 8 bytes a bucket and level.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ..core import Array, Batch, Fold, State
from ..errors import DataError
from ..feature.ngrams import Ngrams

LEVELS = 32


def levels(key: npt.NDArray[np.uint64]) -> npt.NDArray[np.int64]:
    """The level of each row, 0 to 31: leading zero bits of its key after mixing (the finaliser of splitmix64)."""
    mixed = key ^ np.uint64(0xA0761D6478BD642F)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    mixed = mixed ^ (mixed >> np.uint64(31))
    bounds = np.uint64(1) << np.arange(64 - LEVELS + 1, 64, dtype=np.uint64)  # 2^33 ... 2^63, ascending
    return np.asarray(LEVELS - 1 - np.searchsorted(bounds, mixed, side="right"), np.int64)


@dataclass(frozen=True)
class NgramCounts(Fold):
    """How often every bucket of ``ngrams`` occurs. ``limit``: most n-grams to count, 0 for all."""

    ngrams: Ngrams
    limit: int = 0
    exact: ClassVar[bool] = True

    def empty(self) -> State:
        size = LEVELS if self.limit else 1
        return {"counts": np.zeros((size, self.ngrams.buckets), np.int64), "level": np.zeros(1, np.int64)}

    def lift(self, batch: Batch) -> State:
        return self.update(self.empty(), batch)

    def update(self, state: State, batch: Batch) -> State:
        if not self.limit:
            self.ngrams.add_counts(state["counts"][0], batch)
            return state
        level = levels(batch.key)
        for one in range(int(state["level"][0]), LEVELS):
            chosen = (level == one).astype(np.int64)
            if chosen.any():
                self.ngrams.add_counts(state["counts"][one], batch, chosen)
        return self._settle(state)

    def merge(self, left: State, right: State) -> State:
        left["counts"] += right["counts"]
        np.maximum(left["level"], right["level"], out=left["level"])
        return self._settle(left)

    def _settle(self, state: State) -> State:
        """Empty the levels below the first one that keeps within the limit."""
        if self.limit:
            at_least = state["counts"].sum(axis=1)[::-1].cumsum()[::-1]
            fits = int(np.argmax(at_least <= self.limit)) if at_least[-1] <= self.limit else LEVELS - 1
            state["level"][0] = max(fits, int(state["level"][0]))
            state["counts"][: state["level"][0]] = 0
        return state

    def finish(self, state: State) -> npt.NDArray[np.int64]:
        """The counts: int64, (buckets,)."""
        return np.asarray(state["counts"].sum(axis=0), np.int64)


def count_by_domain(ngrams: Ngrams, batches: Iterable[Batch]) -> dict[str, Array]:
    """N-gram counts of the target's texts, per value of their domain column, in the order of the names."""
    counts: dict[str, Array] = {}
    for batch in batches:
        if "domain" not in batch.columns:
            raise DataError("Separate targets are told apart by their domain column; the target has none.")
        domain = pc.fill_null(pc.cast(batch.columns["domain"], pa.large_string()), "(none)")
        for name in pc.unique(domain).to_pylist():
            chosen = pc.equal(domain, name).to_numpy(zero_copy_only=False).astype(np.int64)
            ngrams.add_counts(counts.setdefault(name, np.zeros(ngrams.buckets, np.int64)), batch, chosen)
    return dict(sorted(counts.items()))
