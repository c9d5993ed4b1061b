"""Whitening: vectors moved and turned so that they have mean zero and covariance one.

With mean m and covariance C = V S V^T of the rows (plain), or of the tokens as they occur in running text (Zipfian),

    z = (x - m) V S^(-1/2),

principal axes whose share of the largest variance is below ``floor`` left out. Zipfian: Yokoi, Bao, Kurita and
Shimodaira, "Zipfian Whitening", NeurIPS 2024, with the pool's token frequencies p,

    m = sum_w p_w x_w,    C = sum_w p_w (x_w - m)(x_w - m)^T;

a text is the mean of its whitened token vectors, which is the whitened mean of its token vectors. The axes are
arbitrary (Gram matrices are not). Cost: one pass for the moments (28 microseconds a row at 256 dimensions) or the token
counts, one d x d eigenvalue problem, and d * d multiplications a row.

``symmetry`` is that paper's measure of how even vectors lie: first moment 1 - |m| / sum_w p_w |x_w|; second moment the
entropy of the eigenvalues' shares over log d. Both are 1 after whitening.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from ..core import Array, Batch, Run
from ..errors import DataError, UsageError
from .embed import Embedder, Given, Vectors, similarities
from .static_embedding import StaticEmbedding, normalised, tables

Floats = npt.NDArray[np.float64]
FLOOR = 1e-12


@dataclass(frozen=True, eq=False)
class Whitened:
    """An embedder around another: (x - mean) @ matrix, float64 (d,) and (d, rank), then length 1 if ``unit``."""

    inner: Embedder
    mean: Array
    matrix: Array
    unit: bool = True

    @property
    def width(self) -> int:
        return int(self.matrix.shape[1])

    def vectors(self, batch: Batch) -> Vectors:
        raw = self.inner.vectors(batch)
        found = similarities((raw - self.mean).astype(np.float32), self.matrix.T)
        found[~np.any(raw != 0, axis=1)] = 0  # no vector stays no vector
        return normalised(found) if self.unit else found


def whitening_matrix(covariance: Floats, floor: float = FLOOR) -> Floats:
    """V S^(-1/2), float64 (d, rank), by falling variance; directions below ``floor`` times the largest are left out."""
    values, axes = np.linalg.eigh(covariance)
    kept = np.flatnonzero(values > floor * max(float(values[-1]), 0.0))[::-1]
    if not len(kept):
        raise DataError("Whitening needs vectors that differ; these are all the same.")
    return axes[:, kept] / np.sqrt(values[kept])


def weighted_moments(vectors: Array, weight: Array) -> tuple[Floats, Floats]:
    """Mean (d,) and covariance (d, d) of the rows of ``vectors`` under probabilities in proportion to ``weight``."""
    rows, p = np.asarray(vectors, np.float64), np.asarray(weight, np.float64)
    p = p / p.sum()
    mean = p @ rows
    centred = np.sqrt(p)[:, None] * (rows - mean)
    return mean, centred.T @ centred


def symmetry(vectors: Array, weight: Array) -> tuple[float, float]:
    """How even the vectors lie: first and second moment, 1 for perfectly."""
    mean, covariance = weighted_moments(vectors, weight)
    p, rows = np.asarray(weight, np.float64) / np.sum(weight), np.asarray(vectors, np.float64)
    first = 1.0 - float(np.linalg.norm(mean)) / float(p @ np.linalg.norm(rows, axis=1))
    share = np.maximum(np.linalg.eigvalsh(covariance), 0.0)
    share = share[share > 0] / share.sum()
    return first, float(-(share * np.log(share)).sum() / np.log(len(mean)))


def fit_whitening(run: Run, embedder: Embedder, kind: Literal["plain", "zipfian"] = "plain") -> Whitened:
    """Whiten by the pool. "plain" takes any embedder (best one with ``unit=False``); "zipfian" the shipped table's."""
    from ..fold.moments import Moments, TokenCounts

    if kind == "plain":
        (found,) = run.fold(Moments(embedder))
        return Whitened(embedder, found.mean, whitening_matrix(found.covariance()))
    if kind != "zipfian":
        raise UsageError(f"whitening is plain or zipfian, not '{kind}'.")
    if isinstance(embedder, Given):
        raise UsageError("Zipfian whitening needs token vectors: use it with the static embedding of texts.")
    counts = run.fold(TokenCounts())["counts"]
    if not counts.any():
        raise DataError("Zipfian whitening needs texts with known words; the pool has none.")
    table = tables()
    seen = np.flatnonzero(counts)
    vectors = table.rows[seen].astype(np.float64) * table.scale[seen].astype(np.float64)[:, None]
    mean, covariance = weighted_moments(vectors, counts[seen])
    return Whitened(StaticEmbedding(unit=False), mean, whitening_matrix(covariance))
