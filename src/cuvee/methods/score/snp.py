"""SnP: the clusters that together come nearest to the target, in Fréchet distance.

Yao, Gedeon and Zheng, "Large-scale Training Data Search for Object Re-identification", CVPR 2023, arXiv 2303.16186. The
pool is clustered; with means m and covariances S (divisor n - 1) of vectors,

    FD(1, 2) = |m_1 - m_2|^2 + tr(S_1 + S_2 - 2 (S_1 S_2)^(1/2)).

Search: clusters are joined in ascending order of their distance to the target, and the prefix whose union is nearest is
kept. Prune: rows of kept clusters are drawn at random up to the budget (score 0, noise of the draw); other clusters
follow in their order (-1, -2, ...), so a budget beyond the kept clusters goes on with the next.

Unions are exact and need no data: counts, sums and sums of outer products add up. Deviations: texts are not grouped by
identity, so rows are clustered by plain k-means (the release: identities in clusters of equal size), and pruning within
a cluster is random (the release: farthest first). Vectors are first projected on the pool's ``dimensions`` main axes,
since the distance is biased when there are not many more rows than dimensions.

Inputs: texts or embedding columns of pool and target. Cost: five passes at embedding speed; clusters x dimensions^3 to
compare. Traps: distances of a small target are too large (bias of the covariance; its rank shows in the notes), though
about alike for all unions; the search is greedy: a good cluster behind two bad ones is not found.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt

from ...core import Array, Batch, Block, Card, Choose, Map, Method, Run
from ...errors import DataError, UsageError
from ...feature.embed import of_target
from ...fold.kmeans import Clusters, fit_clusters
from ...fold.moments import Gaussian, Moments, gaussian_of
from ..choose.gumbel import Gumbel


def frechet(one: Gaussian, other: Gaussian) -> float:
    """The squared Fréchet distance of two Gaussians with these moments."""
    a, b = one.covariance(1), other.covariance(1)
    values, axes = np.linalg.eigh(a)
    root = (axes * np.sqrt(np.maximum(values, 0.0))) @ axes.T
    cross = np.sqrt(np.maximum(np.linalg.eigvalsh(root @ b @ root), 0.0)).sum()
    apart = one.mean - other.mean
    return float(apart @ apart + np.trace(a) + np.trace(b) - 2.0 * cross)


def search(clusters: list[Gaussian], target: Gaussian) -> tuple[npt.NDArray[np.int64], list[float], int]:
    """Clusters in ascending distance, the distances of their growing union, and how many of them to keep."""
    apart = [frechet(one, target) if one.count > 1 else np.inf for one in clusters]
    order = np.array([j for j in np.argsort(apart, kind="stable") if clusters[j].count], np.int64)
    union, found = Gaussian(0, np.zeros_like(target.total), np.zeros_like(target.gram)), []
    for j in order:
        union = union + clusters[j]
        found.append(frechet(union, target))
    return order, found, int(np.argmin(found)) + 1


def projected(found: Gaussian, axes: Array) -> Gaussian:
    """The moments of the vectors times ``axes``, (d, dimensions)."""
    return Gaussian(found.count, found.total @ axes, axes.T @ found.gram @ axes)


@dataclass(frozen=True, eq=False)
class InOrder(Map):
    """The fitted score: 0 for rows of kept clusters, -1, -2, ... for the others. ``place`` float64 (clusters,)."""

    clusters: Clusters
    place: Array
    notes: dict[str, Any] = field(compare=False)

    def apply(self, batch: Batch) -> Block:
        cluster = self.clusters.apply(batch)["cluster"]
        score = np.where(cluster >= 0, self.place[np.maximum(cluster, 0)], -np.inf)
        return {"score": score, "cluster": cluster}


@dataclass(frozen=True)
class Snp(Method):
    """``k`` clusters; ``dimensions`` of the space in which distances are taken (0: all)."""

    k: int = 50
    dimensions: int = 32
    sample: int = 50_000
    source: Literal["auto", "given", "static", "lsa"] = "auto"

    card: ClassVar[Card] = Card(
        summary="the clusters that together come nearest to the target, in Fréchet distance",
        family="target similarity",
        needs=("embedding", "target"),
        cost="five passes at embedding speed; clusters x dimensions^3",
        bibtex="@inproceedings{yao2023large, title={Large-scale Training Data Search for Object Re-identification},"
        " author={Yao, Yue and Gedeon, Tom and Zheng, Liang}, booktitle={CVPR}, year={2023}}",
        evidence="distances, order and union of the release; claim: reproduced (8 seeds)",
        gives=("score", "cluster"),
        use_when="The target is a mixture, and its proportions matter more than its single texts.",
        fails_when="Clusters come whole, with what does not fit in them: a coarse tool, well behind `rds_plus`.",
    )

    def fit(self, run: Run) -> InOrder:
        if self.k < 1 or self.dimensions < 0 or self.sample < self.k:
            raise UsageError("snp: k is at least 1, dimensions at least 0, sample at least k.")
        embedder, targets = of_target(run, self.source)
        if len(targets) < 2:
            raise DataError("snp needs at least two target rows with a vector, for a covariance.")
        clusters = fit_clusters(run, embedder, self.k, run.seed, self.sample)
        groups = run.fold(Moments(embedder, clusters))
        whole = sum(groups[1:], groups[0])
        axes = np.linalg.eigh(whole.covariance())[1][:, ::-1][:, : self.dimensions or None]
        target = projected(gaussian_of(targets), axes)
        order, distance, kept = search([projected(one, axes) for one in groups], target)
        place = np.full(len(groups), -float(len(order)))
        place[order] = -np.maximum(np.arange(len(order)) - kept + 1, 0)
        notes = {
            "clusters": len(order),
            "kept_clusters": kept,
            "rows_in_kept": sum(groups[j].count for j in order[:kept]),
        }
        notes["target_rank"] = int(np.linalg.matrix_rank(target.covariance(1)))
        return InOrder(clusters, place, {**notes, "distance": distance[kept - 1], "distance_of_the_pool": distance[-1]})

    def chooser(self, fitted: Map) -> Choose:
        return Gumbel(temperature=0.01)
