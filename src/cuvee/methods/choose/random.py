"""Uniform random sampling: the baseline that every selection has to beat.

Rows are taken in the order of one keyed uniform draw each until the budget is full. Inputs: none beyond the row's key.
Cost: two or three passes over the keys. Trap: a score that favours a length beats random rows without finding anything
better; compare with ``length_matched`` too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ...core import Budget, Card, Choose, Columns, Decision, Draw
from .cut import cut


@dataclass(frozen=True)
class Random(Choose):
    """Every row with the same chance, keyed by its identity (rows without ids but of equal text share one draw)."""

    purpose: str = "random"

    card: ClassVar[Card] = Card(
        summary="Uniform random rows: the baseline that every selection has to beat.",
        family="baseline",
        needs=(),
        cost="none beyond reading the pool",
        bibtex="",
        evidence="closed form: uniform shares; claim: reproduced (8 seeds)",
        use_when="Always, beside anything else: it is the baseline.",
        fails_when="Equal texts without ids share one draw, so they are kept or dropped together.",
    )

    def choose(self, columns: Columns, budget: Budget, draw: Draw) -> Decision:
        return cut(
            columns, lambda block: draw.uniform(self.purpose, block["key"]), budget, needs=(), measure="random draw"
        )
