"""Keep the highest scores: deterministic, and blind to everything but the score.

Inputs: a column "score", float64; equal scores are taken in the order of their row keys. Cost: two or three passes over
the scores. Trap: near-copies of one good text all score alike and are all taken.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ...core import Budget, Card, Choose, Columns, Decision, Draw
from .cut import cut


@dataclass(frozen=True)
class TopK(Choose):
    """The rows of highest score until the budget is reached; ties by row key."""

    card: ClassVar[Card] = Card(
        summary="The highest scores until the budget is reached.",
        family="choose",
        needs=("score",),
        cost="two or three passes over the scores",
        bibtex="",
        evidence="closed form: equals sorting",
        use_when="The score is reliable and you want a choice without chance.",
        fails_when="It takes near copies of the best row, if there are any, and whatever extreme the score has "
        "(shortest, longest, most repetitive).",
    )

    def choose(self, columns: Columns, budget: Budget, draw: Draw) -> Decision:
        return cut(columns, lambda block: block["score"], budget)
