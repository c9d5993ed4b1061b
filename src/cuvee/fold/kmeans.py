"""k-means over a pool of any size: centroids from a keyed sample, polished by passes over all rows.

Lloyd, "Least Squares Quantization in PCM", 1982; Arthur and Vassilvitskii, "k-means++", SODA 2007; Sculley, "Web-Scale
K-Means Clustering", WWW 2010 (mini-batches); Dhillon and Modha, Machine Learning 2001 (spherical). With centroids c_j,

    spherical:  a row goes to the largest x . c_j; c_j is the sum of its rows divided by its length
    otherwise:  a row goes to the smallest |x - c_j|^2; c_j is the mean of its rows

A centroid without rows stays where it is. Three parts, alike for every order, sharding and number of workers:
:class:`VectorSample` (an exact Fold) draws rows by key; :func:`fit_centroids` clusters them in memory; and
:class:`KmeansStep` (a Fold that adds floating-point sums, so in canonical order) is one full step over the pool.

Cost: rows x centroids x dimensions multiplications a step, at some 20 billion a second and core (``embed_kernels``).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from ..core import Array, Batch, Block, Fold, Map, Run, State
from ..engine.draw import uniform
from ..errors import DataError, UsageError
from ..feature.embed import Embedder, similarities
from ..feature.embed_kernels import add_to_groups, best_match
from ..feature.static_embedding import StaticEmbedding, normalised
from .smallest_draws import SmallestDraws

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class VectorSample(SmallestDraws):
    """The vectors of the ``k`` rows with the smallest draws, in the order of (draw, key, row); none without a vector.

    State: draw float64 (m,), key uint64 (m,), row int64 (m,), vectors float32 (m, d).
    """

    k: int = 1000
    purpose: str = "vectors"
    seed: int = 0
    embedder: Embedder = field(default_factory=StaticEmbedding)

    def empty(self) -> State:
        kinds: dict[str, type] = {"draw": np.float64, "key": np.uint64, "row": np.int64}
        vectors = np.zeros((0, self.embedder.width), np.float32)
        return {name: np.zeros(0, kind) for name, kind in kinds.items()} | {"vectors": vectors}

    def of(self, batch: Batch, limit: float) -> State:
        """Only rows that may enter are embedded."""
        draw = uniform(self.seed, self.purpose, batch.key)
        chosen = np.flatnonzero(draw <= limit)
        columns = {name: values[chosen] for name, values in batch.columns.items() if name == "embedding"}
        part = Batch(*cut_texts(batch, chosen), batch.row[chosen], batch.key[chosen], columns)
        vectors = self.embedder.vectors(part)
        state: State = {"draw": draw[chosen], "key": part.key, "row": part.row, "vectors": vectors}
        return self.first({name: array[np.any(vectors != 0, axis=1)] for name, array in state.items()})


def cut_texts(batch: Batch, chosen: Array) -> tuple[Array, Array]:
    """The texts of some rows: data and offsets."""
    from .bottom_k import gather_texts

    start, end = batch.offsets[:-1][chosen], batch.offsets[1:][chosen]
    data = np.empty(int((end - start).sum()), np.uint8)
    return data, gather_texts(batch.data, start, end, data)


@dataclass(frozen=True, eq=False)
class Clusters(Map):
    """Block: "cluster" int32, and "score", the cosine with the centroid or minus the squared distance to it.

    Rows without a vector are in cluster -1 with -inf. ``centroids`` float32 (k, d).
    """

    embedder: Embedder
    centroids: Array
    spherical: bool = True
    notes: dict[str, Any] | None = field(default=None, compare=False)

    @property
    def groups(self) -> int:
        return len(self.centroids)

    def of(self, batch: Batch, vectors: Array) -> Array:
        return assign(vectors, self.centroids, self.spherical)[0]

    def apply(self, batch: Batch) -> Block:
        vectors = self.embedder.vectors(batch)
        cluster, score = assign(vectors, self.centroids, self.spherical)
        return {"cluster": cluster.astype(np.int32), "score": np.where(cluster < 0, -np.inf, score)}


def assign(vectors: Array, centroids: Array, spherical: bool) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Each row's nearest centroid (-1 for a row of zeros), and its cosine, or minus its squared distance."""
    x = np.ascontiguousarray(vectors, np.float32)
    across = np.ascontiguousarray(centroids.T.astype(np.float32))
    offset = np.zeros(len(centroids), np.float32)
    if not spherical:
        offset -= np.float32(0.5) * np.einsum("ij,ij->i", centroids, centroids).astype(np.float32)
    which, value = np.zeros(len(x), np.int64), np.zeros(len(x), np.float32)
    best_match(x, across, offset, which, value)
    found = value.astype(np.float64)
    if not spherical:
        found = np.minimum(2.0 * found - np.einsum("ij,ij->i", x, x, dtype=np.float64), 0.0)
    which[~np.any(x != 0, axis=1)] = -1
    return which, found


@dataclass(frozen=True, eq=False)
class KmeansStep(Fold):
    """One full step: ``finish`` gives (new centroids, rows of each, mean score before the step)."""

    embedder: Embedder = field(default_factory=StaticEmbedding)
    centroids: Array = field(default_factory=lambda: np.eye(3, 256, dtype=np.float32))
    spherical: bool = True

    def empty(self) -> State:
        k, d = self.centroids.shape
        return {"total": np.zeros((k, d)), "count": np.zeros(k, np.int64), "score": np.zeros(1)}

    def lift(self, batch: Batch) -> State:
        vectors = self.embedder.vectors(batch)
        cluster, score = assign(vectors, self.centroids, self.spherical)
        used = cluster >= 0
        state = self.empty()
        add_to_groups(vectors[used], cluster[used], state["total"])
        state["count"] += np.bincount(cluster[used], minlength=len(self.centroids))
        state["score"] += np.cumsum(np.append(0.0, score[used]))[-1]
        return state

    def merge(self, left: State, right: State) -> State:
        return {name: left[name] + right[name] for name in left}

    def finish(self, state: State) -> tuple[Floats, npt.NDArray[np.int64], float]:
        moved = centres(state["total"], state["count"], self.centroids, self.spherical)
        return moved, state["count"], float(state["score"][0] / max(int(state["count"].sum()), 1))


def centres(total: Array, count: Array, before: Array, spherical: bool) -> Floats:
    """New centroids from sums; those without rows stay."""
    if spherical:
        moved, some = normalised(total), np.any(total != 0, axis=1)
    else:
        moved, some = (total / np.maximum(count, 1)[:, None]).astype(np.float32), count > 0
    return np.where(some[:, None], moved, before.astype(np.float32))


def plus_plus(vectors: Array, k: int, seed: int) -> Floats:
    """Greedy k-means++: the first row, then the best of 2 + log k rows drawn in proportion to squared distance."""
    x, trials = np.ascontiguousarray(vectors, np.float32), 2 + int(np.log(k))
    draw = uniform(seed, "kmeans++", np.arange(k * trials, dtype=np.uint64)).reshape(k, trials)
    square = np.einsum("ij,ij->i", x, x)
    chosen = np.zeros(k, np.int64)

    def distances(rows: Array) -> Array:
        return np.maximum(square[:, None] - 2.0 * similarities(x, x[rows]) + square[rows], 0.0)

    near = distances(chosen[:1])[:, 0]
    for c in range(1, k):
        running = np.cumsum(near, dtype=np.float64)
        rows = np.minimum(np.searchsorted(running, draw[c] * running[-1], side="right"), len(x) - 1)
        closer = np.minimum(near[:, None], distances(rows))
        best = int(np.argmin(closer.sum(axis=0, dtype=np.float64)))
        chosen[c], near = rows[best], closer[:, best]
    return x[chosen].copy()


def fit_centroids(
    vectors: Array, k: int, seed: int, spherical: bool = True, batch: int = 4096, iterations: int = 20
) -> tuple[Floats, float]:
    """Cluster vectors in memory: k-means++, one pass of mini-batches, then full steps, at most ``iterations``, until
    one raises the mean score by no more than a thousandth.

    Returns centroids float32 (k, d) and the mean score of the vectors (cosine, or minus the squared distance).
    """
    x = np.ascontiguousarray(vectors, np.float32)
    if len(x) < k:
        raise DataError(f"k-means needs at least as many rows with a vector as clusters: {len(x):,} for {k:,}.")
    centroids = plus_plus(x[: max(20 * k, 2 * batch)], k, seed)
    seen, total = np.zeros(k, np.int64), np.zeros(centroids.shape)
    for first in range(0, len(x) if len(x) > 4 * batch else 0, batch):
        part = x[first : first + batch]
        cluster, _ = assign(part, centroids, spherical)
        add_to_groups(part, cluster, total)
        seen += np.bincount(cluster, minlength=k)
        centroids = centres(total, seen, centroids, spherical)
    mean = -np.inf
    for _ in range(iterations):
        cluster, score = assign(x, centroids, spherical)
        sums = np.zeros(centroids.shape)
        add_to_groups(x, cluster, sums)
        moved = centres(sums, np.bincount(cluster, minlength=k), centroids, spherical)
        before, mean = mean, float(score.mean())
        if mean - before <= 1e-3 * abs(mean):
            break
        centroids = moved
    return centroids, mean


def fit_clusters(
    run: Run, embedder: Embedder, k: int, seed: int, sample: int = 50_000, passes: int = 1, spherical: bool = True
) -> Clusters:
    """k-means over the pool: on a sample in memory, then ``passes`` full steps."""
    if 1 <= sample < k:
        raise UsageError(
            f"k-means needs a sample no smaller than k: {k:,} clusters cannot be found in {sample:,} rows."
        )
    if k < 1 or sample < k or passes < 0:
        raise UsageError("k-means needs at least one cluster, a sample no smaller than that, and passes of at least 0.")
    found = run.fold(VectorSample(sample, "kmeans", seed, embedder))
    k = min(k, len(found["row"]))
    if not k:
        raise DataError("k-means found no row with a vector.")
    centroids, mean = fit_centroids(found["vectors"], k, seed, spherical)
    notes: dict[str, Any] = {"clusters": k, "sampled": len(found["row"]), "mean_score": mean}
    for _ in range(passes):
        centroids, count, mean = run.fold(KmeansStep(embedder, centroids, spherical))
        notes |= {"mean_score": mean, "largest": int(count.max()), "smallest": int(count.min())}
    return Clusters(embedder, centroids, spherical, notes)
