"""Proportional: every source with its share of the tokens; the natural mix that any other has to beat.

One pass over the sources takes every token once. Inputs: tokens of each source. Cost: none. Trap: what is easy to
collect decides, and a small source that matters is hardly seen.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import ClassVar

from ..core import Card
from .base import Floats, Mix, Sources


@dataclass(frozen=True)
class Proportional(Mix):
    """Every source with its share of the pool's tokens."""

    card: ClassVar[Card] = Card(
        summary="Every source with its share of the pool's tokens: the natural mix.",
        family="mix",
        needs=("domain",),
        cost="none beyond counting the pool",
        bibtex="",
        evidence="closed form",
        gives=("weights",),
    )

    def allot(self, sources: Sources, budget: int) -> Floats:
        return budget * sources.natural()

    def shares(self, sources: Sources) -> list[Fraction]:
        return [Fraction(held) for held in sources.tokens.tolist()]
