"""kMQ: every cluster its part of the budget, and within it rows drawn by quality; by feedback, round after round.

Yu et al., "Diversify and Conquer: Diversity-Centric Data Selection with Iterative Refinement", 2024, arXiv 2409.11378.
A budget B is divided among k-means clusters, B w_j, with w_j in proportion to cluster j's size ("proportional", the
paper's text) or alike ("equal", its release), and within a cluster rows are drawn in proportion to quality.

Iterative refinement: rows chosen in earlier rounds, with a number for each of what a model still learns from it (there
the reward of the reference answer less that of the model's own), are named in ``feedback``. For every round r

    w_j <- w_j exp(s_jr / temperature),    s_jr the mean over cluster j's rows of the round,

and the rows named are not taken again. Clusters without such rows keep their weight. Give the same seed and clusters.
Refinement begins at the weights of ``allocation``; the paper's begins alike for all clusters ("equal").

Deviations: without replacement (the paper draws with; the release without); the paper's factor, s_j / sum s, is no
weight where signs are mixed, hence exp; what a used-up cluster cannot fill goes to the others in proportion.

Inputs: columns "cluster" and "score", the quality: ``quality`` "linear" draws in proportion to score - lowest score,
"softmax" to exp(score / scale), "none" alike. With ``--with clusters`` the score is nearness to the centre; for another
quality: ``--with clusters,classifier --combine rank:weights=0/1``. ``feedback``: a Parquet file with columns id, gain
(float) and, for several rounds, round. Cost: about six passes over the columns. Traps: equal shares over-weight junk
clusters, as feedback may reveal; ids must be the pool's (or, without ids, texts in a column "text").
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt

from ...core import Array, Block, Budget, Card, Choose, Columns, Decision, Draw
from ...errors import DataError, UsageError
from ...fold.feedback import check_found, read_feedback, refined
from ...fold.strata import allocate, allocate_by_logs
from .cut import columns_for, cost_of, cut, finite_range

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Kmq(Choose):
    """``allocation`` and ``quality``: see above; ``scale``: of softmax; ``temperature``: of the feedback's gains."""

    allocation: Literal["proportional", "equal"] = "proportional"
    quality: Literal["linear", "softmax", "none"] = "linear"
    scale: float = 1.0
    feedback: str = ""
    temperature: float = 1.0

    by_priority: ClassVar[bool] = False
    card: ClassVar[Card] = Card(
        summary="Every cluster its part of the budget, rows within it drawn by quality; weights refined by feedback.",
        family="choose",
        needs=("cluster", "score"),
        cost="about six passes over clusters and scores",
        bibtex="""@article{yu2024diversify,
  title={Diversify and Conquer: Diversity-Centric Data Selection with Iterative Refinement},
  author={Yu, Simon and Chen, Liangyu and Ahmadian, Sara and Fadaee, Marzieh},
  journal={arXiv preprint arXiv:2409.11378},
  year={2024}
}""",
        evidence="closed form: allocation, inclusion by quality, weights after rounds; claim: not reproduced (8 seeds)",
        use_when="Clusters divide the budget and a quality score should decide within them, perhaps in rounds: `--with "
        "clusters,classifier --combine rank:weights=0/1 --choose kmq`.",
        fails_when="Clusters in equal parts over-weight junk until feedback says so.",
    )

    def __post_init__(self) -> None:
        if self.allocation not in ("proportional", "equal") or self.quality not in ("linear", "softmax", "none"):
            raise UsageError("kmq: allocation is proportional or equal; quality is linear, softmax or none.")
        if not 0 < self.scale < np.inf or not 0 < self.temperature < np.inf:
            raise UsageError("kmq: scale and temperature are numbers above 0.")

    def choose(self, columns: Columns, budget: Budget, draw: Draw) -> Decision:
        amount, names = budget.resolve(columns.totals[budget.unit]), columns_for(budget, "cluster", "score")
        key, gain, rounds = (
            read_feedback(self.feedback) if self.feedback else (np.zeros(0, np.uint64), np.zeros(0), np.zeros(0, int))
        )
        low, high = finite_range(columns)

        def named(block: Block) -> tuple[Ints, npt.NDArray[np.bool_]]:
            at = np.minimum(np.searchsorted(key, block["key"]), max(len(key) - 1, 0))
            return at, (key[at] == block["key"]) if len(key) else np.zeros(len(at), bool)

        def usable(block: Block) -> npt.NDArray[np.bool_]:
            return np.asarray((block["cluster"] >= 0) & (block["score"] > -np.inf) & ~named(block)[1])

        def largest(block: Block) -> int:
            return int(block["cluster"].max(initial=-1)) + 1

        k = max(columns.each(largest, "cluster"), default=0)
        if not k:
            raise DataError("No row has a vector, so there are no clusters to choose from.")

        def sizes(block: Block) -> tuple[Array, Array, Array]:
            """Cost left and cost at first by cluster, and whole counts of scored rows."""
            here, (at, scored) = usable(block), named(block)
            cost, cluster = cost_of(block, budget), np.maximum(block["cluster"], 0)
            member = scored & (block["cluster"] >= 0)
            count = np.zeros((max(int(rounds.max(initial=0)) + 1, 1), k), np.int64)
            np.add.at(count, (rounds[at[member]], cluster[member]), 1)
            left, whole = np.zeros(k, np.int64), np.zeros(k, np.int64)
            np.add.at(left, cluster[here], cost[here])
            np.add.at(whole, cluster[here | member], cost[here | member])
            return left, whole, count

        size, whole, count = columns.total(sizes, *names)
        if len(key):
            check_found(self.feedback, count, size)
        total = np.zeros(count.shape)
        for block in columns.blocks(*names) if len(key) else ():  # in row order, since gains are no whole numbers
            at, scored = named(block)
            member = np.flatnonzero(scored & (block["cluster"] >= 0))
            np.add.at(total, (rounds[at[member]], block["cluster"][member]), gain[at[member]])
        weight = whole.astype(np.float64) if self.allocation == "proportional" else (whole > 0).astype(np.float64)
        amounts = allocate(amount, weight, size)
        if len(key):
            logs = refined(weight, total, count, self.temperature)
            amounts, weight = allocate_by_logs(amount, logs, size), np.exp(logs - logs.max())

        def log_quality(block: Block) -> Floats:
            score = np.clip(np.nan_to_num(block["score"], nan=-np.inf), low, high)
            if self.quality == "linear" and high > low:
                return np.log((score - low) / (high - low) + 1e-9)
            return (score - high) / self.scale if self.quality == "softmax" else np.zeros(len(score))

        def priority(block: Block) -> Floats:
            return np.where(usable(block), log_quality(block) + draw.gumbel("kmq", block["key"]), -np.inf)

        found = cut(
            columns,
            priority,
            budget,
            needs=("cluster", "score"),
            group=lambda block: np.maximum(block["cluster"], 0).astype(np.int64),
            amounts=amounts,
            measure="quality with its random draw",
        )
        used = whole > 0
        notes: Mapping[str, Any] = {"clusters": int(used.sum()), "feedback_rows_found": int(count.sum())}
        share = weight[used] / weight[used].sum()
        notes = {**notes, "asked": amount, "smallest_share": share.min(), "largest_share": share.max()}
        return replace(found, notes={**found.notes, **notes})
