"""D-optimal design: rows on which a linear model's coefficients become known best.

Fedorov, "Theory of Optimal Experiments", 1972; greedy, as a submodular function: Krause, Singh and Guestrin, JMLR 2008.
With rows x_i of length d, the chosen set S grows by the row that adds most to

    log det(A),   A = ridge I + sum_{i in S} x_i x_i^T,   gain of row i: log(1 + x_i^T A^-1 x_i),

monotone and submodular, so within 1 - 1/e of the best set. A^-1 and the forms x_i^T A^-1 x_i follow each choice by
rank-one updates (Sherman and Morrison). A pool of more than 65,536 rows is chosen from in two rounds (``greedy.py``).

Inputs: a column "embedding" (``--with embedding``). Cost: rows x taken x dimensions, as for ``k_center``. Traps:
directions count, not density: strange rows first; after some d rows gains fall to those of repetition; a small ridge
makes the first d choices follow rounding errors of nearly equal rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from ...core import Array, Budget, Card, Choose, Columns, Decision, Draw
from ...engine.kernel import kernel
from ...errors import UsageError
from .greedy import choose_greedily
from .greedy_kernels import LANES, add_products, folded

int64: Any = np.int64  # casts that fix a kernel's types; mypy need not follow them
float64: Any = np.float64


@kernel
def grow_determinant(x: Array, inverse: Array, cost: Array, amount: int, order: Array, gains: Array) -> int:
    """Greedy picks: x float32 (n, d), ``inverse`` float64 (d, d), which is changed; returns how many were taken."""
    n, d = x.shape
    whole = d - d % LANES
    form, v, single = np.zeros(n), np.zeros(d), np.zeros(d, np.float32)
    lanes = np.zeros(LANES, np.float32)
    for i in range(n):
        for a in range(d):
            one = 0.0
            for b in range(d):
                one += inverse[a, b] * x[i, b]
            form[i] += one * x[i, a]
    count, left = int64(0), amount
    while count < len(order):
        best, at = float64(-1.0), int64(-1)
        for i in range(n):
            if form[i] > best:
                best, at = form[i], int64(i)
        if at < 0 or cost[at] > left:
            break
        order[count], gains[count] = at, np.log1p(best)
        count += 1
        left -= cost[at]
        scale = 1.0 / np.sqrt(1.0 + best)
        for a in range(d):
            one = 0.0
            for b in range(d):
                one += inverse[a, b] * x[at, b]
            v[a] = one * scale
            single[a] = np.float32(v[a])
        for a in range(d):
            for b in range(d):
                inverse[a, b] -= v[a] * v[b]
        form[at] = -2.0
        for i in range(n):
            if form[i] >= 0.0:
                row = x[i]
                lanes[:] = 0
                for k in range(0, whole, LANES):
                    add_products(row[k : k + LANES], single[k : k + LANES], lanes)
                total = float64(folded(lanes))
                for k in range(whole, d):
                    total += row[k] * v[k]
                form[i] = max(form[i] - total * total, 0.0)
    return count


def design(
    vectors: Array, cost: Array, amount: int, ridge: float
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Places in the order taken, and their gains in log det; vectors float32 (n, d)."""
    x = np.ascontiguousarray(vectors, np.float32)
    order = np.empty(min(len(x), int(amount)), np.int64)
    gains = np.empty(len(order))
    inverse = np.eye(x.shape[1]) / ridge
    count = grow_determinant(x, inverse, np.asarray(cost, np.int64), amount, order, gains)
    return order[:count], gains[:count]


@dataclass(frozen=True)
class DOptimal(Choose):
    """``ridge``: what every direction is known by beforehand, in the unit of squared vectors."""

    ridge: float = 0.1

    by_priority: ClassVar[bool] = False
    card: ClassVar[Card] = Card(
        summary="Rows on which a linear model's coefficients become known best: greedy D-optimal design.",
        family="choose",
        needs=("embedding",),
        cost="rows x rows taken x dimensions",
        bibtex="""@article{krause2008near,
  title={Near-Optimal Sensor Placements in {Gaussian} Processes: Theory, Efficient Algorithms and Empirical Studies},
  author={Krause, Andreas and Singh, Ajit and Guestrin, Carlos},
  journal={Journal of Machine Learning Research},
  volume={9},
  year={2008}
}""",
        evidence="determinants of all candidates computed apart; bound by enumeration; claim: reproduced (8 seeds)",
        use_when="A linear model is to be fitted on few rows, as with `volume`, and you want no chance in the choice.",
        fails_when="Strange rows come first: as text to train on they were far worse than random ones.",
    )

    def __post_init__(self) -> None:
        if not 0 < self.ridge < np.inf:
            raise UsageError(f"d_optimal: ridge must be a number above 0, not {self.ridge}.")

    def choose(self, columns: Columns, budget: Budget, draw: Draw) -> Decision:
        def pick(vectors: Array, cost: Array, amount: int, key: Array) -> Array:
            return design(vectors, cost, amount, self.ridge)[0]

        return choose_greedily(columns, budget, pick, "what adds most to the determinant")
