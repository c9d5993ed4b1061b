"""Latent semantic analysis without shipped weights: hashed n-grams, projected on their main directions in this pool.

Deerwester et al., "Indexing by Latent Semantic Analysis", JASIS 1990. A text's row x holds its n-gram counts, each
times w_j = a / (a + p_j) with the pool's share p_j of n-gram j (Arora, Liang and Ma, ICLR 2017; a = ``smoothing``). For
rows of length 1, W spans the largest eigenvectors of X^T X; the text's vector is x W, of length 1.

W comes by subspace iteration (Halko, Martinsson and Tropp, SIAM Review 2011): the Fold ``fold/gram.py`` gives
X^T (X B) for a thin B, which is orthogonalised, ``iterations`` times. Neither X nor X^T X is ever formed.

Cost: one pass to count, one for each iteration over a keyed sample of about ``fit_rows`` rows; then n-gram speed and
``width`` additions an n-gram. Memory: 2^15 x ``width`` numbers, 17 MB, a few times over. Trap: what it learns is what
this pool repeats, boilerplate first.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..core import Array, Batch, Run
from ..engine.draw import uniform
from ..errors import DataError
from .embed import Vectors
from .ngrams import Ngrams
from .static_embedding import normalised

SEED = 0


@dataclass(frozen=True, eq=False)
class Lsa:
    """The fitted projection: ``table`` float64 (width, buckets), the weights within."""

    ngrams: Ngrams
    table: Array
    unit: bool = True

    @property
    def width(self) -> int:
        return len(self.table)

    def vectors(self, batch: Batch) -> Vectors:
        """float32 (rows, width), of length 1; zeros for a text without n-grams."""
        return normalised(self.ngrams.sums(batch, self.table)[0])


def start(buckets: int, width: int) -> Array:
    """A fixed random basis, float64 (buckets, width), orthonormal."""
    cell = np.arange(buckets * width, dtype=np.uint64)
    noise = uniform(SEED, "lsa", cell).reshape(buckets, width) - 0.5
    return np.linalg.qr(noise)[0]


def fit_lsa(
    run: Run,
    width: int = 64,
    buckets: int = 1 << 15,
    n: int = 1,
    smoothing: float = 1e-4,
    fit_rows: int = 20_000,
    iterations: int = 3,
) -> Lsa:
    """Learn the projection from the pool; the same for every order and sharding of its rows."""
    from ..fold.counts import NgramCounts
    from ..fold.gram import GramTimes

    ngrams = Ngrams(n, buckets)
    counts = run.fold(NgramCounts(ngrams)).astype(np.float64)
    if not counts.any():
        raise DataError("Latent semantic analysis needs texts; the pool's hold no words.")
    weight = smoothing / (smoothing + counts / counts.sum())
    share = min(1.0, fit_rows / max(run.rows, 1))
    basis = start(buckets, min(width, buckets))
    for _ in range(max(1, iterations)):
        basis, sizes, _ = np.linalg.svd(run.fold(GramTimes(ngrams, weight, basis, share)), full_matrices=False)
    kept = sizes > 1e-9 * max(float(sizes[0]), 1e-300)
    if not kept.any():
        raise DataError("Latent semantic analysis found no row with words among those drawn.")
    signs = np.where(basis.sum(axis=0) < 0, -1.0, 1.0)
    return Lsa(ngrams, np.ascontiguousarray((basis * signs * weight[:, None]).T[kept]))
