"""How wide clusters are and how far apart: compactness and separation, which together say how diverse a cluster is.

Xi et al., "SampleMix", 2025, arXiv 2503.01506. Compactness of a cluster is the mean distance of its rows from the
centroid, separation the mean distance of its centroid from the others; the diversity of its rows is their product,
moved and scaled to lie between 0 and 1 over the clusters.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from ..core import Array, Batch, Fold, State
from ..feature.embed import Embedder
from ..feature.static_embedding import StaticEmbedding
from .kmeans import assign

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class ClusterSpread(Fold):
    """Sums of distances and rows by cluster; ``finish`` gives (diversity float64 (k,), rows int64 (k,)).

    State: total float64 (k,), count int64 (k,). Sums of numbers: merged in canonical order.
    """

    embedder: Embedder = field(default_factory=StaticEmbedding)
    centroids: Array = field(default_factory=lambda: np.eye(3, 256, dtype=np.float32))
    spherical: bool = True

    def empty(self) -> State:
        k = len(self.centroids)
        return {"total": np.zeros(k), "count": np.zeros(k, np.int64)}

    def lift(self, batch: Batch) -> State:
        cluster, score = assign(self.embedder.vectors(batch), self.centroids, self.spherical)
        used, k = cluster >= 0, len(self.centroids)
        # of unit vectors, the square of the distance is 2 - 2 cos
        distance = np.sqrt(np.maximum(2.0 - 2.0 * score[used] if self.spherical else -score[used], 0.0))
        total = np.bincount(cluster[used], weights=distance, minlength=k).astype(np.float64)
        return {"total": total, "count": np.bincount(cluster[used], minlength=k).astype(np.int64)}

    def merge(self, left: State, right: State) -> State:
        return {name: left[name] + right[name] for name in left}

    def finish(self, state: State) -> tuple[Floats, npt.NDArray[np.int64]]:
        count = state["count"]
        compact = state["total"] / np.maximum(count, 1)
        return diversity(compact, separation(np.asarray(self.centroids, np.float64)), count > 0), count


def separation(centroids: Floats) -> Floats:
    """Mean distance of each centroid from the others, float64, (k,); 0 for one alone."""
    square = (centroids**2).sum(axis=1)
    apart = np.sqrt(np.maximum(square[:, None] + square - 2.0 * centroids @ centroids.T, 0.0))
    np.fill_diagonal(apart, 0.0)
    return np.asarray(apart.sum(axis=1) / max(len(centroids) - 1, 1))


def diversity(compact: Floats, separate: Floats, used: npt.NDArray[np.bool_]) -> Floats:
    """The products, between 0 and 1 over the clusters with rows; 0.5 where all are alike, 0 without rows."""
    product = compact * separate
    low, high = (product[used].min(), product[used].max()) if used.any() else (0.0, 0.0)
    if not high > low:
        return np.where(used, 0.5, 0.0)
    return np.where(used, (product - low) / (high - low), 0.0)
