"""X^T (X B) for the pool's n-gram rows X and a thin basis B: one step of subspace iteration, as a mergeable sum.

Rows are n-gram counts times ``weight``, divided by their lengths. State: product float64 (buckets, width). With
``share`` below 1 only rows whose keyed draw is below it take part: the same rows for every order and sharding.
Cost: 2 * width multiplications for each different n-gram of a row, beside the hashing and sorting of its n-grams.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ..core import Array, Batch, Fold, State
from ..engine.draw import uniform
from ..feature.embed_kernels import apply_gram
from ..feature.ngrams import Ngrams
from .bottom_k import gather_texts


@dataclass(frozen=True, eq=False)
class GramTimes(Fold):
    """``weight`` float64 (buckets,), ``basis`` float64 (buckets, width)."""

    ngrams: Ngrams = field(default_factory=lambda: Ngrams(1, 64))
    weight: Array = field(default_factory=lambda: np.ones(64))
    basis: Array = field(default_factory=lambda: np.eye(64, 3))
    share: float = 1.0

    def empty(self) -> State:
        return {"product": np.zeros(self.basis.shape)}

    def lift(self, batch: Batch) -> State:
        chosen = np.flatnonzero(uniform(0, "gram", batch.key) < self.share)
        start, end = batch.offsets[:-1][chosen], batch.offsets[1:][chosen]
        data = np.empty(int((end - start).sum()), np.uint8)
        offsets = gather_texts(batch.data, start, end, data)
        part = Batch(data, offsets, batch.row[chosen], batch.key[chosen])
        indptr, index, counts = self.ngrams.rows(part)
        value = counts * self.weight[index]
        row = np.repeat(np.arange(len(part)), np.diff(indptr))
        length = np.sqrt(np.bincount(row, weights=value * value, minlength=len(part)))
        product = np.zeros(self.basis.shape)
        apply_gram(indptr, index, value / np.maximum(length, 1e-300)[row], self.basis, product)
        return {"product": product}

    def merge(self, left: State, right: State) -> State:
        return {"product": left["product"] + right["product"]}

    def finish(self, state: State) -> Array:
        """float64 (buckets, width)."""
        return state["product"]
