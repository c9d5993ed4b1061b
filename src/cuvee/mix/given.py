"""Given weights: the mix that somebody else decided, checked against the pool.

Inputs: a weight for every source that is to be used, as shares of training tokens that sum to one. Cost: none. Traps:
weights published for other sources, sizes or budgets say little about these; a source that is not named is not used.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import ClassVar

import numpy as np

from ..core import Card
from ..errors import UsageError
from .apportion import exact
from .base import Floats, Mix, Sources

NEAR, COARSE = Fraction(1, 10**6), Fraction(1, 100)


@dataclass(frozen=True)
class Given(Mix):
    """``weights``: (source, weight) pairs; weights are text or numbers, so that 0.1 can be exact."""

    weights: tuple[tuple[str, str], ...]

    card: ClassVar[Card] = Card(
        summary="Weights that you give, as shares of training tokens.",
        family="mix",
        needs=("domain",),
        cost="none beyond counting the pool",
        bibtex="",
        evidence="closed form",
        gives=("weights",),
    )

    def __post_init__(self) -> None:
        total = self.total
        if abs(total - 1) > self.rounding:
            scaled = ",".join(f"{name}={float(Fraction(weight) / total):.6f}" for name, weight in self.weights[:8])
            scaled += ",..." if len(self.weights) > 8 else ""
            raise UsageError(f"The weights sum to {float(total):.6g}, not to 1. In proportion they are: {scaled}.")

    @property
    def total(self) -> Fraction:
        """The sum of the weights as they are written, before they are scaled to 1."""
        return sum(exact([weight for _, weight in self.weights]), Fraction(0))

    @property
    def rounding(self) -> Fraction:
        """How far from 1 the sum of shares may lie that were rounded to the digits written: half a last digit each.

        At most a hundredth, so that weights of few digits are not taken for rounded ones.
        """
        digits = [max(-int(Decimal(weight).as_tuple().exponent), 0) for _, weight in self.weights if "/" not in weight]
        return min(max(sum((Fraction(1, 2 * 10**one) for one in digits), Fraction(0)), NEAR), COARSE)

    def allot(self, sources: Sources, budget: int) -> Floats:
        unknown = [name for name, _ in self.weights if name not in sources.names]
        if unknown:
            raise UsageError(
                f"No domain is called {', '.join(map(repr, unknown[:3]))}. "
                f"The pool has: {', '.join(sources.names[:20])}."
            )
        shares = np.array([float(share) for share in self.shares(sources)])
        if (shares[sources.tokens == 0] > 0).any():
            empty = sources.names[int(np.flatnonzero((sources.tokens == 0) & (shares > 0))[0])]
            raise UsageError(f"The domain '{empty}' has no tokens, so it cannot have a weight. Leave it out.")
        return budget * shares / shares.sum()

    def shares(self, sources: Sources) -> list[Fraction]:
        given = dict(self.weights)
        return [Fraction(given.get(name, "0")) for name in sources.names]
