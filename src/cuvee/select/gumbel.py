"""Gumbel top-k: sampling without replacement in proportion to exp(score / temperature).

Adding independent standard Gumbel noise to log weights and keeping the k largest sums draws k rows without
replacement, each time in proportion to the weights of those left (Yellott 1977; Vieira 2014; Kool et al. 2019). The
noise is a function of (seed, row key): the sample does not depend on order, sharding or workers. Cost: one logarithm
pair a row in each pass of the cut.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..core import Block, Budget, Choose, Columns, Decision, Draw
from ..errors import UsageError
from .cut import cut


@dataclass(frozen=True)
class Gumbel(Choose):
    """Sample by score: ``temperature`` 1 takes scores as log weights; larger flattens, towards 0 approaches top-k."""

    temperature: float = 1.0

    def __post_init__(self) -> None:
        if not self.temperature > 0:
            raise UsageError(f"temperature must be above 0, not {self.temperature}; for no noise use --choose top_k")

    def choose(self, columns: Columns, budget: Budget, draw: Draw) -> Decision:
        def priority(block: Block):  # type: ignore[no-untyped-def]
            return block["score"] / self.temperature + draw.gumbel("gumbel", block["key"])

        return cut(columns, priority, budget)
