"""SampleMix: every row sampled by its own quality and diversity, over all domains at once.

Xi et al., "SampleMix: A Sample-wise Pre-training Data Mixing Strategy by Coordinating Data Quality and Diversity",
2025, arXiv 2503.01506. With quality q between 0 and 1, and the diversity d of a row's cluster (compactness times
separation, scaled to 0 .. 1; ``fold/cluster_spread.py``),

    p(x) = alpha d(x) + (1 - alpha) q(x),    copies of x in proportion to exp(p(x) / temperature),

whole copies and one more by chance, so that the budget is spent (``copies``). Shares of domains follow from the rows.
No small model is trained for it.

``ratings`` is a Parquet file with ``key``, ``id`` or ``text`` and a column of numbers called ``criterion``, higher is
better (see ``dataman``, which also says what ``others`` does with rows that are not rated); the lowest and highest
rating become 0 and 1. Clusters are those of ``clusters``.

Block: "score", p; "cluster". Notes: the least and largest diversity, clusters, and what is known of the ratings.

Deviations: the paper's formulas were taken from summaries of it, which agree on alpha 0.8, on the two parts of
diversity and on whole copies with one by chance, while the product and the temperature are from memory; budgets in
tokens are met in tokens, where the paper divides documents; ``limit`` bounds the copies.

Cost: the ratings; four passes at embedding speed. Traps: with alpha 0.8 quality hardly decides; a cluster of junk is
wide and far from the others, so diversity prefers it: that is what quality has to make up for.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import numpy as np

from ...core import Array, Batch, Block, Card, Choose, Map, Method, Run
from ...errors import DataError, UsageError
from ...fold.cluster_spread import ClusterSpread
from ...fold.kmeans import Clusters
from ..choose.copies import Copies
from .clusters import Clusters as ByClusters
from .dataman import DataMan, Ratings, rated


@dataclass(frozen=True, eq=False)
class Weights(Map):
    """``diversity`` float64 (clusters,); ratings from ``low`` to ``high``."""

    ratings: Ratings
    clusters: Clusters
    diversity: Array
    low: float
    high: float
    alpha: float
    notes: dict[str, Any] = field(compare=False)

    def apply(self, batch: Batch) -> Block:
        cluster = self.clusters.apply(batch)["cluster"]
        rating = self.ratings.apply(batch)["score"]
        known = (cluster >= 0) & (rating > -np.inf)
        quality = np.clip((np.where(known, rating, self.low) - self.low) / (self.high - self.low), 0.0, 1.0)
        weight = self.alpha * self.diversity[np.maximum(cluster, 0)] + (1.0 - self.alpha) * quality
        return {"score": np.where(known, weight, -np.inf), "cluster": cluster}


@dataclass(frozen=True)
class SampleMix(Method):
    """``alpha``: how much diversity counts; ``temperature``: of weights; ``k``: clusters; the rest as ``dataman``."""

    ratings: str = ""
    criterion: str = "overall_score"
    others: Literal["predict", "drop"] = "predict"
    alpha: float = 0.8
    temperature: float = 0.2
    k: int = 100
    limit: int = 4
    source: Literal["auto", "given", "static", "lsa"] = "auto"

    card: ClassVar[Card] = Card(
        summary="copies by each row's quality and its cluster's diversity, over all domains at once",
        family="quality",
        needs=("text",),
        cost="the ratings (cuvee rate); four passes at embedding speed",
        bibtex="@article{xi2025samplemix, title={{SampleMix}: A Sample-wise Pre-training Data Mixing Strategy by"
        " Coordinating Data Quality and Diversity}, author={Xi, Xiangyu and Kong, Deyang and Yang, Jian and others},"
        " journal={arXiv:2503.01506}, year={2025}}",
        evidence="closed form: diversity, weights, copies; claim: not reproduced (8 seeds)",
        use_when="Quality matters, some diversity, too, and the shares of domains should follow from the documents.",
        fails_when="Quality is told well: its part in the weights is a fifth, and choosing by it alone is then better.",
        gives=("score", "cluster"),
    )

    def __post_init__(self) -> None:
        if not 0 <= self.alpha <= 1:
            raise UsageError(f"samplemix: alpha is a number from 0 (quality alone) to 1 (diversity), not {self.alpha}.")
        Copies(self.temperature, self.limit)

    def fit(self, run: Run) -> Weights:
        if not self.ratings:
            raise UsageError("samplemix needs ratings=FILE.parquet, made by cuvee rate or by yourself.")
        ratings = rated(run, DataMan(self.ratings, self.criterion, self.others, self.source), "samplemix")
        low, high = float(ratings.rating.min()), float(ratings.rating.max())
        if not high > low:
            raise DataError(f"All ratings in {self.ratings} are {low:g}: they tell no row from another.")
        clusters = ByClusters(k=self.k, source=self.source).fit(run)
        diversity, count = run.fold(ClusterSpread(clusters.embedder, clusters.centroids, clusters.spherical))
        notes = {**ratings.notes, "clusters": int((count > 0).sum()), "alpha": self.alpha}
        return Weights(ratings, clusters, diversity, low, high, self.alpha, notes)

    def chooser(self, fitted: Map) -> Choose:
        return Copies(self.temperature, self.limit)
