"""Stratified sampling: every domain gets the same share throughout; the baseline that online mixing has to beat.

Each domain is walked through in a random order, and from the start when it is used up, so small domains are repeated.
Chen et al. (Aioli, 2024) find that no earlier online method beats it on all data sets. Inputs: domains. Cost: a sort of
the examples a round. Trap: passes over a small domain grow without bound.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ...core import Card, Draw, State
from ...online.mixture import MixturePolicy, Turn, phase


@dataclass(frozen=True)
class Stratified(MixturePolicy):
    """The same share for every domain."""

    card: ClassVar[Card] = Card(
        summary="Every domain gets the same share of the training, small ones by repetition.",
        family="policy",
        needs=("domain",),
        cost="one sort per round",
        bibtex="",
        evidence="closed form: equal counts at every prefix; claim online: beats four methods that measure (5 seeds)",
        use_when="Always, beside a policy that decides about domains: it is the baseline that they seldom beat.",
    )

    def turn(self, state: State, epochs: float, draw: Draw) -> Turn:
        k = len(state["sizes"])
        return Turn(np.full(k, 1.0 / k), phase(state, epochs)[1])
