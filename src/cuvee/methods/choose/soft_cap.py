"""Soft cap: repeat good rows a few times instead of once, with diminishing returns.

Shechter and Carmon, "Filter Like You Test: Data-Driven Data Filtering for CLIP Pretraining", 2025, arXiv 2503.08805.
Soft Cap Sampling draws batches by softmax(score) and lowers a drawn row's score by beta each time. For small steps its
counts tend to

    c_i = max(0, (score_i - level) / beta),

a linear cap above a water level. That is computed here, in the form floor(c_i + U_i) with one keyed uniform U_i per
row: deterministic and mergeable, where the published loop is neither. Mean counts differ by some 6 % (steps of 0.1,
scores of deviation 2), mostly near the level, below which the loop draws some rows and this rule none. The level is the
lowest within the budget; the total is a whole number and monotone in it, so bisection finds it exactly. ``limit``
bounds the counts besides, as in the release's other rule, the hard cap (at most 15 repetitions).

Inputs: a column "score", float64, in nats as for a softmax; beta is in its units, and 0.15 the release's for its own
scores: choose it by what scores of another kind spread. +inf counts as the highest finite score. Cost: about 60 passes
over the scores. Traps: repetitions count against the budget, so fewer distinct rows are seen; scores that spread far
more than beta give nearly every taken row ``limit`` copies. Rows that cost more than the whole budget are
passed over and counted in the notes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from ...core import Block, Budget, Card, Choose, Columns, Decision, Draw
from ...errors import UsageError
from .cut import columns_for, cost_of, finite_range


@dataclass
class _Counts(Decision):
    draw: Draw
    rule: SoftCap
    budget: Budget
    level: float
    highest: float
    needs: tuple[str, ...]
    notes: Mapping[str, Any]

    def repeats(self, block: Block) -> npt.NDArray[np.int64]:
        above = np.nan_to_num(np.minimum(block["score"], self.highest) - self.level, nan=-np.inf, neginf=-np.inf)
        expected = np.clip(above / self.rule.beta, 0.0, self.rule.limit)
        expected[cost_of(block, self.budget) > self.budget.resolve(0)] = 0.0
        return np.floor(expected + self.draw.uniform("soft_cap", block["key"])).astype(np.int64)

    def reasons(self, block: Block) -> list[str]:
        times = self.repeats(block)
        pairs = zip(block["score"], times, strict=True)
        return [f"score {s:,.6g} against a water level of {self.level:,.6g}: taken {n} times" for s, n in pairs]


@dataclass(frozen=True)
class SoftCap(Choose):
    """``beta``: how far a row's score falls with each repetition; ``limit``: the most times any row is taken."""

    beta: float = 0.15
    limit: int = 15

    card: ClassVar[Card] = Card(
        summary="Repeat good rows a few times, with a score that falls by beta at each repetition.",
        family="choose",
        needs=("score",),
        cost="about 60 passes over the scores",
        bibtex="""@article{shechter2025filter,
  title={Filter Like You Test: Data-Driven Data Filtering for {CLIP} Pretraining},
  author={Shechter, Mikey and Carmon, Yair},
  journal={arXiv preprint arXiv:2503.08805},
  year={2025}
}""",
        evidence="closed form: water-filling; mean counts of the published loop; claim: direction only (8 seeds)",
        use_when="The good rows are fewer than the budget, and repeating them a few times beats taking worse ones.",
        fails_when="At a small budget it repeats a few rows many times, which was far worse than random rows. `beta` "
        "is in the unit of the score: for scores of deviation one and 30 % of a pool, 0.5 was better than the default. "
        "It cannot be combined with `--quota`.",
    )

    def __post_init__(self) -> None:
        if not 0 < self.beta < np.inf:
            raise UsageError(f"soft_cap: beta must be a number above 0, not {self.beta}")
        if self.limit < 1:
            raise UsageError(f"soft_cap: limit must be at least 1, not {self.limit}")

    def choose(self, columns: Columns, budget: Budget, draw: Draw) -> Decision:
        amount = budget.resolve(columns.totals[budget.unit])
        names = columns_for(budget, "score")
        low, high = finite_range(columns)
        rule = _Counts(draw, self, Budget(budget.unit, amount), high, high, names, {})

        def total(level: float) -> int:
            at = replace(rule, level=level)
            return sum(columns.each(lambda block: int(np.sum(at.repeats(block) * cost_of(block, budget))), *names))

        fits, too_much = high, low - self.beta * (self.limit + 1)
        if total(too_much) <= amount:
            fits = too_much
        while too_much < (middle := 0.5 * (fits + too_much)) < fits:
            if total(middle) <= amount:
                fits = middle
            else:
                too_much = middle
        larger = sum(columns.each(lambda block: int(np.count_nonzero(cost_of(block, budget) > amount)), *names))
        notes = {"unit": budget.unit, "asked": amount, "kept": total(fits), "level": fits}
        return replace(rule, level=fits, notes=notes | {"larger_than_budget": larger})
