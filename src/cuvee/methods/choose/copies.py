"""Copies: every row as often as its weight asks for, in whole copies and one more by chance.

A score is the logarithm of how many copies of a row are wanted, up to a factor that the budget decides:

    c_i = min(limit, f exp(score_i / temperature)),    f such that the sum of c_i times cost_i is the budget,

of which floor(c_i) are sure, and one more is drawn with probability c_i - floor(c_i). That is how QuaDMix (Liu et al.,
2025, arXiv 2504.16511) and SampleMix (Xi et al., 2025, arXiv 2503.01506) turn weights of samples into a data set.

The papers draw each row's last copy on its own, so that the amount varies. Here they are drawn by sequential Poisson
sampling (Ohlsson, Journal of Official Statistics 1998): rows by descending (c - floor c) / U, one keyed uniform U per
row, until the budget is full; so it is met to within a row and never exceeded. ``limit`` is this package's: a weight
should not repeat a row without bound; what limited rows cannot take, the others get.

Inputs: a column "score", float64, in nats at ``temperature`` 1; -inf is never taken, +inf counts as the highest finite
score. Cost: about 15 passes over the scores. Traps: repetitions count against the budget; where the budget exceeds
``limit`` times the pool, the rest is left unused, and the notes tell.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from ...core import Block, Budget, Card, Choose, Columns, Decision, Draw
from ...errors import UsageError
from ...fold.inclusion import log_factor
from .cut import Prefix, columns_for, cost_of, cut, finite_range

Floats = npt.NDArray[np.float64]


@dataclass
class Copied(Decision):
    """Whole copies of every row, and what is drawn of their parts."""

    rule: Copies
    highest: float
    log_f: float
    budget: Budget
    needs: tuple[str, ...]
    notes: Mapping[str, Any]
    rest: Prefix | None = None

    def log_weight(self, block: Block) -> Floats:
        """log g for each row; -inf where none is wanted, or one would be more than the budget."""
        logs = np.minimum(np.nan_to_num(block["score"], nan=-np.inf, posinf=np.inf, neginf=-np.inf), self.highest)
        logs = np.where(cost_of(block, self.budget) > self.budget.resolve(0), -np.inf, logs)
        return logs / self.rule.temperature

    def expected(self, block: Block) -> Floats:
        """How often each row is expected to be taken."""
        logs = self.log_weight(block)
        wanted = logs > -np.inf
        return np.where(wanted, self.rule.limit * np.exp(np.minimum(self.log_f + np.where(wanted, logs, 0), 0)), 0.0)

    def repeats(self, block: Block) -> npt.NDArray[np.int64]:
        found = np.floor(self.expected(block)).astype(np.int64)
        return found if self.rest is None else found + self.rest.repeats(block)

    def reasons(self, block: Block) -> list[str]:
        pairs = zip(self.expected(block), self.repeats(block), strict=True)
        return [f"{c:.3g} copies expected, {n} taken" for c, n in pairs]


@dataclass(frozen=True)
class Copies(Choose):
    """``temperature``: scores are divided by it; ``limit``: the most times any row is taken."""

    temperature: float = 1.0
    limit: int = 4

    by_priority: ClassVar[bool] = False
    card: ClassVar[Card] = Card(
        summary="Rows in copies by exp(score / temperature): whole ones, and one more by chance.",
        family="choose",
        needs=("score",),
        cost="about 15 passes over the scores",
        bibtex="""@article{liu2025quadmix,
  title={{QuaDMix}: Quality-Diversity Balanced Data Selection for Efficient {LLM} Pretraining},
  author={Liu, Fengze and Zhou, Weidong and Liu, Binbin and others},
  journal={arXiv preprint arXiv:2504.16511},
  year={2025}
}""",
        evidence="closed form: expected copies, mean of draws",
        use_when="The score is a log weight, and weights above one copy should become repetitions.",
        fails_when="Repetition is worth less than new text: a limit of 1 or 2 may do better.",
    )

    def __post_init__(self) -> None:
        if not 0 < self.temperature < np.inf or not 1 <= self.limit <= 10_000:
            raise UsageError("copies: temperature is a number above 0, and limit a whole number of at least 1.")

    def choose(self, columns: Columns, budget: Budget, draw: Draw) -> Decision:
        amount = budget.resolve(columns.totals[budget.unit])
        budget, names = Budget(budget.unit, amount), columns_for(budget, "score")
        plain = Copied(self, finite_range(columns)[1], -np.inf, budget, names, {})
        log_f = log_factor(columns, names, plain.log_weight, lambda block: self.limit * cost_of(block, budget), amount)
        sure = replace(plain, log_f=log_f)

        def whole(block: Block) -> tuple[int, int, int]:
            copies, cost = sure.repeats(block), cost_of(block, budget)
            larger = np.count_nonzero((cost > amount) & (block["score"] > -np.inf))
            return int((copies * cost).sum()), int(np.count_nonzero(sure.expected(block) >= self.limit)), int(larger)

        spent, limited, larger = columns.total(whole, *names) or (0, 0, 0)

        def priority(block: Block) -> Floats:
            copies = sure.expected(block)
            with np.errstate(divide="ignore"):
                return np.log(copies - np.floor(copies)) - np.log(draw.uniform("copies", block["key"]))

        rest = cut(columns, priority, Budget(budget.unit, amount - spent), needs=("score",), measure="part of a copy")
        notes = {"unit": budget.unit, "asked": amount, "kept": spent + int(rest.notes.get("kept", 0))}
        notes |= {"at_the_limit": limited, "larger_than_budget": larger}
        return replace(sure, rest=rest, notes=notes)
