"""k-center: rows such that no row is far from all of those taken (farthest first).

Gonzalez, "Clustering to Minimize the Maximum Intercluster Distance", Theoretical Computer Science 1985; as a core-set
for training: Sener and Savarese, ICLR 2018. Beginning with the row farthest from the mean, each step takes

    argmax_i min_{j taken} |x_i - x_j|,

which is within a factor 2 of the smallest possible largest distance. A pool of more than 65,536 rows is chosen from in
two rounds (``greedy.py``; factor 4). Inputs: a column "embedding" (``--with embedding``). Cost: rows x taken x
dimensions, limited by reading the vectors once for every row taken: 20,000 rows to 1,000 at 256 dimensions in 2
seconds. Traps: what is far from everything is taken first, junk included: ``outliers`` leaves out that share of rows
farthest from the mean; in instruction tuning it was below random (Diversify and Conquer, arXiv 2409.11378, table 2);
the core-set paper's features are learned from the labels so far, and on vectors that are not, classifiers were far
worse than those of random rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ...core import Array, Budget, Card, Choose, Columns, Decision, Draw
from ...errors import UsageError
from .greedy import choose_greedily
from .greedy_kernels import farthest_first


def spread_out(vectors: Array, cost: Array, amount: int, outliers: float = 0.0) -> Array:
    """Places in the order taken, int64."""
    n = len(vectors)
    if not n:
        return np.zeros(0, np.int64)
    rows = np.asarray(vectors, np.float64)
    away = ((rows - rows.mean(axis=0)) ** 2).sum(axis=1)
    near = np.full(n, np.inf)
    left_out = np.lexsort((np.arange(n), -away))[: int(outliers * n)]
    near[left_out] = away[left_out] = -1.0
    order = np.empty(min(n - len(left_out), int(amount)), np.int64)
    x = np.ascontiguousarray(vectors, np.float32)
    return order[: farthest_first(x, near, cost, amount, int(np.argmax(away)), order)]


@dataclass(frozen=True)
class KCenter(Choose):
    """``outliers``: the share of rows farthest from the mean that is never taken (0 to below 1)."""

    outliers: float = 0.0

    by_priority: ClassVar[bool] = False
    card: ClassVar[Card] = Card(
        summary="Rows such that none of the pool is far from all of them: farthest first.",
        family="choose",
        needs=("embedding",),
        cost="rows x rows taken x dimensions: 20,000 to 1,000 in 2 s",
        bibtex="""@inproceedings{sener2018active,
  title={Active Learning for Convolutional Neural Networks: A Core-Set Approach},
  author={Sener, Ozan and Savarese, Silvio},
  booktitle={International Conference on Learning Representations},
  year={2018}
}""",
        evidence="picks of the SnP release; twice the optimum by enumeration; claim: not reproduced (8 seeds)",
        use_when="No row of the pool may be far from all that are kept, however odd it is, and the pool is clean.",
        fails_when="What is far from everything comes first, junk above all: far worse to train on than random rows, "
        "language models and classifiers alike.",
    )

    def __post_init__(self) -> None:
        if not 0 <= self.outliers < 1:
            raise UsageError(f"k_center: outliers is a share from 0 to below 1, not {self.outliers}.")

    def choose(self, columns: Columns, budget: Budget, draw: Draw) -> Decision:
        def pick(vectors: Array, cost: Array, amount: int, key: Array) -> Array:
            return spread_out(vectors, cost, amount, self.outliers)

        return choose_greedily(columns, budget, pick, "farthest from what was taken before")
