"""Uniform random sampling: the baseline that every selection has to beat."""

from __future__ import annotations

from dataclasses import dataclass

from ..core import Budget, Choose, Columns, Decision, Draw
from .cut import cut


@dataclass(frozen=True)
class Random(Choose):
    """Every row with the same chance, keyed by its identity; rows of equal content share one draw unless they have ids."""

    purpose: str = "random"

    def choose(self, columns: Columns, budget: Budget, draw: Draw) -> Decision:
        return cut(columns, lambda block: draw.uniform(self.purpose, block["key"]), budget, needs=())
