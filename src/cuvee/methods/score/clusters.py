"""Clusters of rows by k-means on their vectors, for rules that balance them.

Vectors are the embedding column, or made from the texts (see ``embedding``). k-means (``fold/kmeans.py``) is seeded by
greedy k-means++ and fitted on ``sample`` rows drawn by key, then moved by ``passes`` full steps over the pool;
``spherical`` by cosine, as ClusterClip has it (Shao et al., "Balanced Data Sampling for Language Model Training with
Clustering", Findings of ACL 2024, arXiv 2402.14526; there 2,000 clusters).

Block: "cluster", int32 (-1: no vector), and "score", the cosine with the cluster's centre (or minus the squared
distance). The rule that the paper chooses by is ``cluster_clip``.

Cost: one pass to draw, one for each full step and one to assign: 2,000 clusters take 25 microseconds a row beside its
vector. Traps: the number of clusters decides everything: large numbers make clusters of pure noise; boilerplate is one
cluster among the others, and rules that balance clusters take more of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from ...core import Card, Choose, Map, Method, Run
from ...feature.embed import of_pool
from ...fold.kmeans import Clusters as Found
from ...fold.kmeans import fit_clusters
from ..choose.cluster_clip import ClusterClip


@dataclass(frozen=True)
class Clusters(Method):
    """``k``: how many; a pool with fewer rows drawn has as many clusters as rows."""

    k: int = 100
    sample: int = 50_000
    passes: int = 1
    spherical: bool = True
    source: Literal["auto", "given", "static", "lsa"] = "auto"

    card: ClassVar[Card] = Card(
        summary="k-means clusters of the rows' vectors, for cluster_clip",
        family="diversity",
        needs=("embedding",),
        cost="three passes at embedding speed; rows x clusters x dimensions",
        bibtex="@inproceedings{shao2024clusterclip, title={Balanced Data Sampling for Language Model Training with"
        " Clustering}, author={Shao, Yunfan and Li, Linyang and Fei, Zhaoye and Yan, Hang and Lin, Dahua and Qiu,"
        " Xipeng}, booktitle={Findings of the Association for Computational Linguistics}, year={2024}}",
        evidence="Lloyd's step, separated clusters; scikit-learn's inertia; claim: not reproduced (8 seeds)",
        gives=("score", "cluster"),
        use_when="The pool is lopsided, and you want every kind of text to have its part: `--with clusters` chooses by "
        "`cluster_clip`.",
        fails_when="Junk that has clusters of its own gets their whole part; in the league it was worse than random "
        "rows.",
    )

    def fit(self, run: Run) -> Found:
        embedder = of_pool(run, self.source, unit=self.spherical)
        return fit_clusters(run, embedder, self.k, run.seed, self.sample, self.passes, self.spherical)

    def chooser(self, fitted: Map) -> Choose:
        return ClusterClip()
