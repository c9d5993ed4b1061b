"""Quad: clusters as arms of a bandit, pulled by how much their rows' influence is worth, measured for few of them.

Zhang et al., "Harnessing Diversity for Important Data Selection in Pretraining Large Language Models", 2024, arXiv
2409.16986. Read in secondary accounts only; there is no public code. With T_i evaluations so far in cluster i and mean
influence m_i,

    CS_i = m_i + alpha sqrt(2 log(sum_j T_j) / T_i);

round after round the cluster of highest CS has ``step`` more of its rows evaluated, until ``evaluations`` are spent.
The influence of a row is that of ``feature/curved_influence.py``, with the exact Hessian of the tiny byte table
trained on ``warmup`` rows, where the paper has Kronecker factors of a transformer's layers; the reference is the
target.

Decided here, since the accounts do not say: every cluster is visited once before the rule counts, with at most half of
the evaluations; T counts rows, drawn without replacement; a cluster that has no rows left is closed; influence is
divided by the running standard deviation, so that alpha has no unit. Rows are scored by the mean m of their cluster
(the bonus is there to find out, not to choose), and the best clusters are taken whole, their rows by key, until the
budget is met (the paper adds rows above a threshold as it goes).

Inputs: texts and a target. Block: "score" and "cluster". Cost: two passes to draw, k-means, one pass at embedding
speed; evaluations take microseconds. Traps: with this model they are so cheap that every row could be measured, so the
bandit saves nothing here; a cluster is judged by its mean, so its worst rows come along; the best clusters may all
serve one part of the target, since influence is a sum over it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import numpy as np

from ...core import Array, Batch, Block, Card, Map, Method, Run
from ...errors import DataError, UsageError
from ...feature.curved_influence import curved
from ...feature.embed import of_pool
from ...feature.step_influence import counts, train
from ...fold.bottom_k import BottomK, as_batch
from ...fold.keyed_vectors import KeyedVectors
from ...fold.kmeans import Clusters as Found
from ...fold.kmeans import assign, fit_clusters
from .mates import cut


def pull(arms: list[Array], value: Callable[[Array], Array], evaluations: int, step: int, alpha: float) -> Block:
    """Spend the evaluations.

    Args:
        arms: each arm's candidates, in the order in which they are drawn.
        value: the influence of candidates.

    Returns:
        "count" int64 (arms,), "mean" and "bound" (CS), float64 (arms,), in running standard deviations; arms without a
        candidate have -inf.
    """
    count, size = np.zeros(len(arms), np.int64), np.array([len(arm) for arm in arms])
    total, squares = np.zeros(len(arms)), np.zeros(len(arms))

    def bounds() -> tuple[Array, Array]:
        spent = max(int(count.sum()), 1)
        mean_all = total.sum() / spent
        spread = np.sqrt(max(squares.sum() / spent - mean_all**2, 0.0)) or 1.0
        mean = np.where(count > 0, total / np.maximum(count, 1) / spread, -np.inf)
        return mean, mean + alpha * np.sqrt(2 * np.log(spent) / np.maximum(count, 1))

    def draw(arm: int, number: int) -> None:
        last = min(count[arm] + number, size[arm], count[arm] + evaluations - count.sum())
        found = value(arms[arm][count[arm] : last])
        count[arm], total[arm], squares[arm] = last, total[arm] + found.sum(), squares[arm] + (found * found).sum()

    # half of the evaluations is left for the rule
    first = min(step, max(evaluations // (2 * max(np.count_nonzero(size), 1)), 1))  # type: ignore[operator]
    for arm in np.flatnonzero(size):
        if count.sum() < evaluations:
            draw(int(arm), first)
    while count.sum() < min(evaluations, size.sum()):
        draw(int(np.argmax(np.where(count < size, bounds()[1], -np.inf))), step)
    mean, bound = bounds()
    return {"count": count, "mean": mean, "bound": bound}


@dataclass(frozen=True, eq=False)
class Arms(Map):
    """The fitted clusters and what each is worth: ``worth`` float64 (clusters,)."""

    clusters: Found
    worth: Array
    notes: dict[str, Any] = field(compare=False)

    def apply(self, batch: Batch) -> Block:
        cluster = self.clusters.apply(batch)["cluster"]
        return {"cluster": cluster, "score": np.where(cluster < 0, -np.inf, self.worth[cluster])}


@dataclass(frozen=True)
class Quad(Method):
    """``k`` clusters; ``evaluations``, ``step`` at a time; ``alpha``: curiosity; ``damping`` of the Hessian."""

    k: int = 100
    evaluations: int = 2000
    step: int = 10
    alpha: float = 1.0
    damping: float = 1.0
    warmup: int = 2000
    candidates: int = 20_000
    source: Literal["auto", "given", "static", "lsa"] = "auto"
    max_bytes: int = 4096

    card: ClassVar[Card] = Card(
        summary="clusters whose rows have the highest influence on the target, found by a bandit",
        family="model-aware",
        needs=("text", "target"),
        cost="k-means, three passes, one at embedding speed; evaluations are cheap with the tiny model",
        bibtex="@article{zhang2024harnessing, title={Harnessing Diversity for Important Data Selection in Pretraining"
        " Large Language Models}, author={Zhang, Chi and Zhong, Huaping and Zhang, Kuan and others},"
        " journal={arXiv:2409.16986}, year={2024}}",
        evidence="dense Hessian; signs by real steps; planted arms; claim: not reproduced (8 seeds)",
        gives=("score", "cluster"),
        use_when="Influence is dear to measure and the pool falls into clusters: few evaluations in each tell which "
        "are worth most.",
        fails_when="Influence is a sum over the target: the best clusters may all serve one of its modes, and taking "
        "them whole was worse than random rows.",
    )

    def fit(self, run: Run) -> Arms:
        whole = (self.k, self.evaluations, self.step, self.warmup, self.candidates)
        if min(whole) < 1 or self.alpha < 0 or self.damping <= 0:
            raise UsageError("quad: counts are at least 1, alpha at least 0, damping above 0.")
        drawn = as_batch(run.fold(BottomK(self.candidates + self.warmup, "quad", run.seed, self.max_bytes)))
        if len(drawn) < 2 or not len(drawn.data):
            raise DataError("quad needs two rows of text or more: it trains on some and measures others.")
        parts = max(min(self.candidates, len(drawn) // 2), 1)
        rows, rest = cut(drawn, 0, parts), cut(drawn, parts, None)
        table = train(rest)
        reference = sum((counts(one, table.order, table.bits) for one in run.targets()), np.zeros(table.logits.shape))
        if not reference.any():
            raise DataError("quad needs target texts for the reference loss; the target is empty.")
        influence = curved(table, counts(rest, table.order, table.bits), reference, self.damping).influence(rows)
        embedder = of_pool(run, self.source)
        clusters = fit_clusters(run, embedder, self.k, run.seed)
        found = run.fold(KeyedVectors(np.sort(rows.key), embedder))
        own = assign(found["vectors"], clusters.centroids, True)[0]
        at = np.minimum(np.searchsorted(found["key"], rows.key), max(len(own) - 1, 0))
        arm = np.where(found["key"][at] == rows.key, own[at], -1) if len(own) else np.full(len(rows), -1)
        arms = [np.flatnonzero(arm == number) for number in range(clusters.groups)]
        told = pull(arms, lambda at: influence[at], self.evaluations, self.step, self.alpha)
        notes: dict[str, Any] = {"evaluated": int(told["count"].sum()), "candidates": parts}
        notes |= {"clusters_never_drawn": int((told["count"] == 0).sum()), "most_drawn": int(told["count"].max())}
        return Arms(clusters, told["mean"], notes)
