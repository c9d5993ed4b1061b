"""Leverage and Lewis weights: Gram matrices of reweighted rows, and the quadratic forms that weigh rows by them.

Formulas and sources in ``methods/score/leverage.py``. One Fold is one step of the fixed-point iteration: a row's weight
follows from its vector and the last Gram matrix, so nothing is kept for each row.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from ..core import Array, Batch, Fold, State
from ..feature.embed import Embedder, similarities
from ..feature.embed_kernels import add_gram
from ..feature.static_embedding import StaticEmbedding
from .moments import mirrored

Floats = npt.NDArray[np.float64]
SMALLEST = 1e-12


def root_of_inverse(gram: Floats) -> Floats:
    """R with R R^T = the pseudo-inverse of a symmetric matrix, float64 (d, rank)."""
    values, axes = np.linalg.eigh(gram)
    kept = values > 1e-10 * max(float(values[-1]), 0.0)
    return axes[:, kept] / np.sqrt(values[kept])


def quadratic(rows: Array, root: Array) -> Floats:
    """a_i R R^T a_i^T of every row, float64 (n,)."""
    found = np.asarray(rows, np.float64) @ root
    return np.einsum("ij,ij->i", found, found)


def lewis_weights(rows: Array, p: float, iterations: int = 200) -> Floats:
    """The fixed point for rows in memory, float64 (n, d): a reference, and for small sets."""
    a = np.asarray(rows, np.float64)
    weight = np.ones(len(a))
    for _ in range(iterations):
        gram = (a * weight[:, None] ** (1 - 2 / p)).T @ a
        weight = np.maximum(quadratic(a, root_of_inverse(gram)) ** (p / 2), SMALLEST**2)
    return np.where(np.any(a != 0, axis=1), weight, 0.0)


@dataclass(frozen=True, eq=False)
class WeightedGram(Fold):
    """sum_i w_i^(1 - 2/p) a_i a_i^T, w_i = (a_i R R^T a_i^T)^(p/2) from the last ``root`` R (None: w = 1)."""

    embedder: Embedder = field(default_factory=StaticEmbedding)
    root: Array | None = None
    p: float = 2.0
    intercept: bool = False

    def empty(self) -> State:
        d = self.embedder.width + self.intercept
        return {"gram": np.zeros((d, d)), "rows": np.zeros(1, np.int64)}

    def lift(self, batch: Batch) -> State:
        vectors = rows_of(self.embedder, batch, self.intercept)
        vectors = vectors[np.any(vectors != 0, axis=1)]
        scaled = vectors.astype(np.float64)
        if self.root is not None:
            weight = np.maximum(form(vectors, self.root) ** (self.p / 2), SMALLEST)
            scaled = scaled * (weight ** (0.5 - 1 / self.p))[:, None]
        d = scaled.shape[1]
        gram = np.zeros((1, d, d))
        add_gram(scaled, np.zeros(len(scaled), np.int64), np.zeros((1, d)), gram)
        return {"gram": gram[0], "rows": np.array([len(scaled)])}

    def merge(self, left: State, right: State) -> State:
        return {name: left[name] + right[name] for name in left}

    def finish(self, state: State) -> tuple[Floats, int]:
        return mirrored(state["gram"]), int(state["rows"][0])


def rows_of(embedder: Embedder, batch: Batch, intercept: bool) -> Array:
    """The vectors, with a 1 at the end of those that are not zero if ``intercept``."""
    vectors = embedder.vectors(batch)
    if not intercept:
        return vectors
    return np.column_stack([vectors, np.any(vectors != 0, axis=1).astype(np.float32)])


def form(vectors: Array, root: Array) -> Floats:
    """``quadratic`` with bits that depend on each row alone."""
    found = similarities(vectors, root.T).astype(np.float64)
    return np.einsum("ij,ij->i", found, found)
