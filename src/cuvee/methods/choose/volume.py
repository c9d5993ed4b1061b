"""Volume sampling: rows that span the space together, drawn in proportion to the squared volume that they span.

Dereziński and Warmuth, "Reverse Iterative Volume Sampling for Linear Regression", JMLR 2018. With rows x_i of m
numbers, subsets S of k >= m rows are drawn with

    P(S) in proportion to det(X_S^T X_S),

for k = m the projection determinantal point process. A row is in S with probability 1 - (N - k) / (N - m) (1 - l_i),
l_i its leverage, and least squares on S is on average least squares on all rows. The sampler starts with all rows, and
removes one after the other with probability in proportion to 1 - leverage among those left, until the budget holds.

Rows are the vectors on their ``dimensions`` main axes (fewer, if the budget has fewer than two rows for each). From
more than ``candidates`` rows as many are drawn first in proportion to leverage (keyed, without replacement), which is a
deviation. Inputs: a column "embedding". Cost: candidates^2 x dimensions, about a second at 4,096 x 32. A pool of more
than 65,536 rows is chosen from in two rounds (``greedy.py``). Trap: diversity in the span, not in distance: opposite
vectors count as the same, and rows of junk with a direction of their own are taken. Weighted: ``rescaled_volume``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from ...core import Array, Budget, Card, Choose, Columns, Decision, Draw
from ...engine.kernel import kernel
from ...errors import UsageError
from ...fold.lewis import root_of_inverse
from .greedy import choose_greedily

int64: Any = np.int64  # casts that fix a kernel's types; mypy need not follow them


@kernel
def remove_rows(rows: Array, cost: Array, amount: int, least: int, draw: Array, kept: Array) -> int:
    """Reverse iterative sampling on rows whitened to X^T X = I, float64 (n, m), which are changed; returns the number.

    Goes on while more than ``least`` rows are kept and their cost is above ``amount``. ``kept`` bool (n,), all true.
    """
    n, m = rows.shape
    left, total = n, int64(0)
    chance, v = np.empty(n), np.empty(m)
    for i in range(n):
        total += cost[i]
        square = 0.0
        for k in range(m):
            square += rows[i, k] * rows[i, k]
        chance[i] = max(1.0 - square, 0.0)
    inverse = np.eye(m)
    while left > least and total > amount:
        sum_all = 0.0
        for i in range(n):
            if kept[i]:
                sum_all += chance[i]
        goal, running, at = draw[n - left] * sum_all, 0.0, int64(-1)
        for i in range(n):
            if kept[i]:
                running += chance[i]
                if chance[i] > 0.0 or at < 0:
                    at = i
                if running > goal:
                    break
        kept[at] = False
        left -= 1
        total -= cost[at]
        scale = 1.0 / np.sqrt(max(chance[at], 1e-12))
        for a in range(m):
            one = 0.0
            for b in range(m):
                one += inverse[a, b] * rows[at, b]
            v[a] = one * scale
        for a in range(m):
            for b in range(m):
                inverse[a, b] += v[a] * v[b]
        for i in range(n):
            if kept[i]:
                one = 0.0
                for a in range(m):
                    one += rows[i, a] * v[a]
                chance[i] = max(chance[i] - one * one, 0.0)
    return left


def sample_volume(rows: Array, cost: Array, amount: int, uniform: Array) -> npt.NDArray[np.int64]:
    """Places of a volume sample, ascending: rows float64 (n, m) of full rank; as many as ``amount`` pays for, but m.

    ``uniform``, (n,): the numbers by which rows are removed.
    """
    whitened = np.ascontiguousarray(rows @ root_of_inverse(rows.T @ rows))
    kept = np.ones(len(rows), bool)
    remove_rows(whitened, np.asarray(cost, np.int64), amount, whitened.shape[1], uniform, kept)
    return np.flatnonzero(kept)


@dataclass(frozen=True)
class Volume(Choose):
    """``dimensions``: main axes that are to be spanned; ``candidates``: rows among which the sample is drawn."""

    dimensions: int = 32
    candidates: int = 4096

    by_priority: ClassVar[bool] = False
    card: ClassVar[Card] = Card(
        summary="Rows that span the space together: volume sampling, a determinantal point process.",
        family="choose",
        needs=("embedding",),
        cost="candidates^2 x dimensions: about a second",
        bibtex="""@article{derezinski2018reverse,
  title={Reverse Iterative Volume Sampling for Linear Regression},
  author={Derezi{\\'n}ski, Micha{\\l} and Warmuth, Manfred K.},
  journal={Journal of Machine Learning Research},
  volume={19},
  year={2018}
}""",
        evidence="all subsets by enumeration, inclusion in closed form; claim: reproduced (8 seeds)",
        use_when="A linear model is to be fitted on few rows: they should span the space.",
        fails_when="The span counts, not distance: opposite vectors are the same, and junk with a direction of its own "
        "is taken.",
    )

    def __post_init__(self) -> None:
        if self.dimensions < 1 or self.candidates < 2 * self.dimensions:
            raise UsageError("volume: dimensions is at least 1, candidates at least twice that.")

    def choose(self, columns: Columns, budget: Budget, draw: Draw) -> Decision:
        def pick(vectors: Array, cost: Array, amount: int, key: Array) -> Array:
            return self._pick(vectors, cost, amount, key, draw)

        return choose_greedily(columns, budget, pick, "part of a sample that spans the space")

    def _pick(self, vectors: Array, cost: Array, amount: int, key: Array, draw: Draw) -> Array:
        affordable = int(np.searchsorted(np.cumsum(np.sort(cost)), amount, side="right"))
        m = min(self.dimensions, vectors.shape[1], affordable // 2)
        if m < 1:
            return np.flatnonzero(cost <= amount)[:affordable]
        x = np.asarray(vectors, np.float64)
        x = x @ np.linalg.eigh(x.T @ x)[1][:, ::-1][:, :m]
        if len(x) > self.candidates:
            root = root_of_inverse(x.T @ x)
            leverage = np.einsum("ij,ij->i", x @ root, x @ root)
            priority = np.log(np.maximum(leverage, 1e-300)) + draw.gumbel("volume candidates", key)
            chosen = np.sort(np.lexsort((np.arange(len(x)), -priority))[: self.candidates])
        else:
            chosen = np.arange(len(x))
        uniform = draw.uniform("volume", np.arange(len(chosen), dtype=np.uint64))
        found = chosen[sample_volume(x[chosen], cost[chosen], amount, uniform)]
        order = found[np.argsort(draw.uniform("volume order", key[found]), kind="stable")]
        return order[np.cumsum(cost[order]) <= amount]  # where so few rows still cost more than the budget
