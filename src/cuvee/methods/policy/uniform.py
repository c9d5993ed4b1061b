"""Uniform shuffling: every example once per pass, in a new random order each time; the baseline of all policies.

The order sorts keyed draws, so it depends on the examples' keys, the seed and the round alone. Inputs: none. Cost: one
sort per pass. Trap: examples of equal key stand beside each other in every pass.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from ...core import Card, Draw, Examples, Policy, Round, State


def shuffled(examples: Examples, number: int, draw: Draw) -> npt.NDArray[np.int64]:
    """The places of all examples in the random order of pass ``number``, int64 (n,); equal keys by place."""
    return np.argsort(draw.uniform(f"uniform round {number}", examples.key), kind="stable")


@dataclass(frozen=True)
class Uniform(Policy):
    """Every example once per pass, in random order."""

    card: ClassVar[Card] = Card(
        summary="Every example once per pass, in a new random order each time.",
        family="policy",
        needs=(),
        cost="one sort per pass",
        bibtex="",
        evidence="closed form: every pass is a permutation",
        use_when="Always, beside any other policy: it is the baseline.",
    )

    def init(self, examples: Examples) -> State:
        return {}

    def propose(self, state: State, examples: Examples, number: int, epochs: float, draw: Draw) -> Round:
        order = shuffled(examples, number, draw)
        return Round(order, np.ones(len(order)), 1.0)
