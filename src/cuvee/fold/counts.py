"""Counts of hashed n-grams over any number of rows: integers, so every way of splitting the rows gives the same bits.

With ``share`` below 1 a uniform sample of rows is counted instead: those whose keyed draw is below it, which is the
same sample for every order and sharding. State: counts, int64 (buckets,).
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
from ..engine.draw import uniform
from ..errors import DataError
from ..feature.ngrams import Ngrams


@dataclass(frozen=True)
class NgramCounts(Fold):
    """How often every bucket of ``ngrams`` occurs in a ``share`` of the rows (1: all)."""

    ngrams: Ngrams
    share: float = 1.0
    exact: ClassVar[bool] = True

    def empty(self) -> State:
        return {"counts": np.zeros(self.ngrams.buckets, np.int64)}

    def lift(self, batch: Batch) -> State:
        return self.update(self.empty(), batch)

    def update(self, state: State, batch: Batch) -> State:
        weight = None if self.share >= 1 else (uniform(0, "ngram counts", batch.key) < self.share).astype(np.int64)
        self.ngrams.add_counts(state["counts"], batch, weight)
        return state

    def merge(self, left: State, right: State) -> State:
        left["counts"] += right["counts"]
        return left

    def finish(self, state: State) -> npt.NDArray[np.int64]:
        """The counts: int64, (buckets,)."""
        return state["counts"]


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
