"""Poisson sampling: each row on its own, with probability p = min(1, c * exp(score / temperature)).

Särndal, Swensson and Wretman, "Model Assisted Survey Sampling", 1992, section 3.5. c is solved such that the expected
cost, sum of p * cost, equals the budget. Rows are decided independently, so the realised amount varies around the
budget (standard deviation sqrt(sum of p (1 - p) cost^2), noted); unlike a cut by rank, inclusion probabilities are
exact, which estimators that divide by them need.

Inputs: a column "score", float64, in nats: with ``temperature`` 1, log weights. NaN and -inf are never taken; +inf
counts as the highest finite score. Cost: about a dozen passes over the scores, up to 60 where they span thousands of
nats. Traps: the budget is met on average only; with log weights that spread so far (``dsir``) nearly every p is 0 or 1,
and the sample is the top of the score.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from ...core import Block, Budget, Card, Choose, Columns, Decision, Draw
from ...errors import UsageError
from ...fold.inclusion import UNIT, log_factor, weighted
from .cut import columns_for, cost_of, finite_range
from .independent import Independent


@dataclass(frozen=True)
class Poisson(Choose):
    """Weights are exp(score / temperature); about the budget is kept, exactly in expectation."""

    temperature: float = 1.0

    card: ClassVar[Card] = Card(
        summary="Independent sampling with exact inclusion probabilities; the budget is met in expectation.",
        family="choose",
        needs=("score",),
        cost="about a dozen passes over the scores; up to 60 where they span thousands of nats",
        bibtex="""@book{sarndal1992model,
  title={Model Assisted Survey Sampling},
  author={S{\\"a}rndal, Carl-Erik and Swensson, Bengt and Wretman, Jan},
  publisher={Springer},
  year={1992}
}""",
        evidence="closed form: expected cost equals the budget",
        use_when="You need known inclusion probabilities, for example to estimate the pool's totals from the sample.",
        fails_when="The amount kept varies around the budget and may exceed it. It cannot be combined with `--quota`.",
    )

    def __post_init__(self) -> None:
        if not 0 < self.temperature < np.inf:
            raise UsageError(f"temperature must be a number above 0, not {self.temperature}")

    def choose(self, columns: Columns, budget: Budget, draw: Draw) -> Decision:
        amount = budget.resolve(columns.totals[budget.unit])
        names = columns_for(budget, "score")
        _, highest = finite_range(columns)

        def log_weight(block: Block) -> npt.NDArray[np.float64]:
            return np.nan_to_num(np.minimum(block["score"], highest) / self.temperature, nan=-np.inf, neginf=-np.inf)

        found = log_factor(columns, names, log_weight, partial(cost_of, budget=budget), amount)
        decision = Independent(draw, "poisson", log_weight, found, ("score", "key"), {})

        def moments(block: Block) -> tuple[int, int]:
            p, cost = decision.probability(block), cost_of(block, budget)
            return weighted(p, cost), weighted(p * (1 - p) * cost, cost)

        expected, variance = columns.total(moments, *names) or (0, 0)
        notes = {"unit": budget.unit, "asked": amount, "expected": expected / UNIT}
        return replace(decision, notes=notes | {"standard_deviation": (variance / UNIT) ** 0.5})
