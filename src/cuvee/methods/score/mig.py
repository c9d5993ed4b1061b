"""MIG: rows that add most information, where what many rows have told already counts less.

Chen et al., "MIG: Automatic Data Selection for Instruction Tuning by Maximizing Information Gain in Semantic Space",
2025, arXiv 2504.13835. Rows have tags; with v_i a row's quality on each of its tags, P the tags' propagation and phi
concave, the chosen set S has the information

    sum_u phi(mass_u),   mass = sum_{i in S} v_i P,   phi'(x) = 0.8 (x + 1e-6)^(-0.2),

and grows by the row of the largest gain: phi'(mass) . v_i P ("gradient", the release), or phi(mass + v_i P) - phi(mass)
("exact", with greedy's bound 1 - 1/e). P is the tags' cosine where it is at least ``threshold``, times ``propagate``
off the diagonal, each column divided by its sum. (The release's other slope, a exp(-a x), is left out.) Equal gains go
by keyed draw. A pool of more than 65,536 rows is chosen from in two rounds.

Tags (``tags``): "label", the names in the label column, parted by ``separator``, or domains where there is none, whose
vectors are the names' (there those of a large encoder); or "clusters", the ``nearest`` of ``k`` k-means centres of each
row's vector, a stand-in for a tagger. Quality is 1; ``--with mig,classifier --combine rank:weights=0/1`` takes the
classifier's ranks for it.

Inputs: labels, or texts or an embedding column. Block: "tags" int32 (rows, 16), and "score", the quality. Cost: rows x
rows taken x tags. Traps: the first picks are the rows with the most tags (phi' falls steeply near 0); a row
without tags is never taken; with ``norm`` off long rows with many tags win.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import numpy as np

from ...core import Array, Batch, Block, Card, Choose, Map, Method, Run
from ...errors import DataError, UsageError
from ...examples import as_batch
from ...feature.embed import Embedder, of_pool, similarities
from ...feature.static_embedding import StaticEmbedding
from ...fold.kmeans import fit_clusters
from ...fold.tag_names import TagNames, packed, tag_matrix
from ..choose.information_gain import InformationGain

MOST_TAGS = 16


def propagation(similarity: Array, threshold: float, propagate: float) -> Array:
    """P from cosines, float64 (tags, tags): columns sum to one."""
    kept = np.where(similarity >= threshold, similarity, 0.0)
    np.fill_diagonal(kept, 1.0)
    kept[~np.eye(len(kept), dtype=bool)] *= propagate
    return kept / kept.sum(axis=0)


@dataclass(frozen=True, eq=False)
class Tagged(Map):
    """Tags by ``names`` of labels or, with ``centres`` float32 (k, d), by the nearest centres."""

    names: tuple[str, ...]
    separator: str
    embedder: Embedder | None
    centres: Array
    nearest: int
    graph: Array
    notes: dict[str, Any] = field(compare=False)

    def apply(self, batch: Batch) -> Block:
        if self.embedder is None:
            tags = tag_matrix(batch, self.names, "mig", self.separator, MOST_TAGS)
        else:
            vectors = self.embedder.vectors(batch)
            near = np.argsort(-similarities(vectors, self.centres), axis=1, kind="stable")[:, : self.nearest]
            known = np.any(vectors != 0, axis=1)
            row = np.repeat(np.flatnonzero(known), near.shape[1])
            tags = packed(row, near[known].reshape(-1), len(batch), MOST_TAGS)
        return {"tags": tags, "score": np.where(tags[:, 0] >= 0, 1.0, -np.inf)}


@dataclass(frozen=True)
class Mig(Method):
    """``tags``, ``separator``, ``k``, ``nearest``: where tags come from; the rest as in the formulas."""

    tags: Literal["label", "clusters"] = "label"
    separator: str = ";"
    k: int = 256
    nearest: int = 3
    threshold: float = 0.9
    propagate: float = 1.0
    power: float = 0.8
    norm: bool = True
    gain: Literal["gradient", "exact"] = "gradient"
    source: Literal["auto", "given", "static", "lsa"] = "auto"

    card: ClassVar[Card] = Card(
        summary="rows that add most information over tags, where what is known counts less",
        family="diversity",
        needs=("label",),
        cost="two passes; rows x rows taken x tags",
        bibtex="@article{chen2025mig, title={{MIG}: Automatic Data Selection for Instruction Tuning by Maximizing"
        " Information Gain in Semantic Space}, author={Chen, Yicheng and Li, Yining and Hu, Kai and Ma, Zerun and Ye,"
        " Haochen and Chen, Kai}, journal={arXiv:2504.13835}, year={2025}}",
        evidence="picks of the release; claim: not reproduced (8 seeds)",
        gives=("score", "tags"),
        use_when="Rows have tags (by a tagger or by clusters), and a small set should tell as much as it can of all of "
        "them.",
        fails_when="With clusters for tags and no quality, rows that are alone in their clusters come first, odd and "
        "short ones: worse than random rows.",
    )

    def __post_init__(self) -> None:
        if self.tags not in ("label", "clusters") or self.gain not in ("gradient", "exact"):
            raise UsageError("mig: tags is label or clusters, gain is gradient or exact.")
        if not 0 < self.power < 1 or not self.threshold >= 0 or not 0 <= self.propagate < np.inf:
            raise UsageError("mig: power is between 0 and 1, threshold and propagate at least 0.")
        if not 1 <= self.nearest <= min(MOST_TAGS, self.k):
            raise UsageError(f"mig: nearest is 1 to {MOST_TAGS}, and no more than k.")

    def needs(self) -> tuple[str, ...]:
        return ("embedding",) if self.tags == "clusters" else self.card.needs

    def fit(self, run: Run) -> Tagged:
        if self.tags == "clusters":
            found = fit_clusters(run, of_pool(run, self.source), self.k, run.seed)
            vectors = found.centroids
        else:
            names, _ = run.fold(TagNames("mig", self.separator))
            if not names:
                raise DataError("mig found no label in the pool: name another column with --label.")
            vectors = StaticEmbedding().vectors(as_batch([name.encode() for name in names]))
        graph = propagation(similarities(vectors, vectors).astype(np.float64), self.threshold, self.propagate)
        notes = {"tags": len(graph), "neighbours": float((graph > 0).sum() / len(graph)) - 1, "-inf": "without a tag"}
        if self.tags == "clusters":
            return Tagged((), "", found.embedder, vectors, self.nearest, graph, notes)
        return Tagged(tuple(names), self.separator, None, np.zeros((0, 1), np.float32), 0, graph, notes)

    def chooser(self, fitted: Map) -> Choose:
        assert isinstance(fitted, Tagged)
        return InformationGain(fitted.graph, self.power, 1e-6, self.norm, self.gain == "exact")
