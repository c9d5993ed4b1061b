"""Keep the highest scores: deterministic, and blind to everything but the score."""

from __future__ import annotations

from dataclasses import dataclass

from ..core import Budget, Choose, Columns, Decision, Draw
from .cut import cut


@dataclass(frozen=True)
class TopK(Choose):
    """The rows of highest score until the budget is reached; ties by row key."""

    def choose(self, columns: Columns, budget: Budget, draw: Draw) -> Decision:
        return cut(columns, lambda block: block["score"], budget)
