"""Soft cap: repeat good rows a few times instead of once, with diminishing returns.

Soft Cap Sampling (FLYT, Shechter and Carmon 2025) draws batches by softmax(score) and lowers a drawn row's score by
beta each time. For small steps its counts tend to c_i = max(0, (s_i - level) / beta): a linear cap above a water level,
which is what is computed here, in the form floor(c_i + U_i) with one keyed uniform U_i per row, at most ``limit``
times. The level is the lowest one within the budget; the total is monotone in it, so bisection finds it exactly.
Deterministic and mergeable, where the published loop is neither.
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
class _Counts(Decision):
    draw: Draw
    level: float
    beta: float
    limit: int
    needs: tuple[str, ...]
    notes: Mapping[str, Any]

    def repeats(self, block: Block) -> npt.NDArray[np.int64]:
        score = block["score"]
        expected = np.clip((score - self.level) / self.beta, 0.0, self.limit)
        expected[~np.isfinite(score)] = 0.0
        return np.floor(expected + self.draw.uniform("soft_cap", block["key"])).astype(np.int64)


@dataclass(frozen=True)
class SoftCap(Choose):
    """``beta``: how far a row's score falls with each repetition; ``limit``: the most times any row is taken."""

    beta: float = 0.15
    limit: int = 15

    by_priority: ClassVar[bool] = False
    card: ClassVar[Card] = Card(
        summary="Repeat good rows a few times, with a score that falls by beta at each repetition.",
        family="choose",
        needs=("score",),
        cost="about 60 passes over the scores",
        bibtex="""@inproceedings{shechter2025filter,
  title={Filter Like You Test: Data-Driven Data Filtering for {CLIP} Pretraining},
  author={Shechter, Mikey and Carmon, Yair},
  year={2025},
  note={arXiv:2503.08805}
}""",
        evidence="closed form: water-filling",
    )

    def __post_init__(self) -> None:
        if not self.beta > 0:
            raise UsageError(f"soft_cap: beta must be above 0, not {self.beta}")
        if self.limit < 1:
            raise UsageError(f"soft_cap: limit must be at least 1, not {self.limit}")

    def choose(self, columns: Columns, budget: Budget, draw: Draw) -> Decision:
        amount = budget.resolve(columns.totals[budget.unit])
        names = columns_for(budget, "score")
        low, high = np.inf, -np.inf
        for block in columns.blocks("score"):
            finite = block["score"][np.isfinite(block["score"])]
            if len(finite):
                low, high = min(low, float(finite.min())), max(high, float(finite.max()))

        def total(level: float) -> int:
            rule = _Counts(draw, level, self.beta, self.limit, names, {})
            return sum(int(np.sum(rule.repeats(block) * cost_of(block, budget))) for block in columns.blocks(*names))

        fits, too_much = high, low - self.beta * (self.limit + 1)
        if not np.isfinite(high):
            fits = 0.0
        elif total(too_much) <= amount:
            fits = too_much
        else:
            while True:
                middle = 0.5 * (fits + too_much)
                if not too_much < middle < fits:
                    break
                if total(middle) <= amount:
                    fits = middle
                else:
                    too_much = middle
        notes = {"unit": budget.unit, "asked": amount, "kept": total(fits), "level": fits}
        return _Counts(draw, fits, self.beta, self.limit, ("score", "key"), notes)
