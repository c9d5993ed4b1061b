"""Poisson sampling: each row on its own, with probability min(1, c * weight).

c is solved by bisection so that the expected cost equals the budget. Rows are decided independently, so the realised
amount varies around the budget (standard deviation sqrt(sum p (1 - p) cost^2), noted); unlike a cut by rank, inclusion
probabilities are exact, which estimators that divide by them need.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from ...core import Block, Budget, Card, Choose, Columns, Decision, Draw
from ...errors import UsageError
from .cut import columns_for, cost_of


@dataclass
class _Independent(Decision):
    draw: Draw
    log_c: float
    temperature: float
    needs: tuple[str, ...]
    notes: Mapping[str, Any]

    def probability(self, block: Block) -> npt.NDArray[np.float64]:
        """min(1, c exp(score / temperature)); 0 where the score is NaN or -inf."""
        logs = np.minimum(block["score"] / self.temperature + self.log_c, 0.0)
        return np.where(np.isnan(logs), 0.0, np.exp(logs))

    def repeats(self, block: Block) -> npt.NDArray[np.int64]:
        return (self.draw.uniform("poisson", block["key"]) < self.probability(block)).astype(np.int64)


@dataclass(frozen=True)
class Poisson(Choose):
    """Weights are exp(score / temperature); about the budget is kept, exactly in expectation."""

    temperature: float = 1.0

    by_priority: ClassVar[bool] = False
    card: ClassVar[Card] = Card(
        summary="Independent sampling with exact inclusion probabilities; the budget is met in expectation.",
        family="choose",
        needs=("score",),
        cost="about 60 passes over the scores",
        bibtex="""@book{sarndal1992model,
  title={Model Assisted Survey Sampling},
  author={S{\\"a}rndal, Carl-Erik and Swensson, Bengt and Wretman, Jan},
  publisher={Springer},
  year={1992}
}""",
        evidence="closed form: expected cost equals the budget",
    )

    def __post_init__(self) -> None:
        if not self.temperature > 0:
            raise UsageError(f"temperature must be above 0, not {self.temperature}")

    def choose(self, columns: Columns, budget: Budget, draw: Draw) -> Decision:
        amount = budget.resolve(columns.totals[budget.unit])
        names = columns_for(budget, "score")
        low, high = np.inf, -np.inf
        possible = 0
        for block in columns.blocks(*names):
            usable = np.isfinite(block["score"])
            possible += int(cost_of(block, budget)[usable].sum())
            if usable.any():
                low = min(low, float(block["score"][usable].min()))
                high = max(high, float(block["score"][usable].max()))

        def expected(log_c: float) -> tuple[float, float]:
            rule = _Independent(draw, log_c, self.temperature, names, {})
            mean = variance = 0.0
            for block in columns.blocks(*names):
                p, cost = rule.probability(block), cost_of(block, budget)
                mean += float(np.sum(p * cost))
                variance += float(np.sum(p * (1 - p) * cost.astype(np.float64) ** 2))
            return mean, variance

        if possible <= amount:
            log_c = -low / self.temperature + 1.0 if possible else 0.0
        else:
            below, above = -high / self.temperature - 64.0, -low / self.temperature + 1.0
            for _ in range(100):
                middle = 0.5 * (below + above)
                if not below < middle < above or above - below < 1e-12 * max(1.0, abs(above)):
                    break
                if expected(middle)[0] > amount:
                    above = middle
                else:
                    below = middle
            log_c = below
        mean, variance = expected(log_c)
        notes = {"unit": budget.unit, "asked": amount, "expected": mean, "standard_deviation": variance**0.5}
        return _Independent(draw, log_c, self.temperature, ("score", "key"), notes)
