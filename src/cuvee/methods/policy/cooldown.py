"""Cooldown: domains are sampled at a high temperature first, and by size after one switch.

Li et al., "Upsample or Upweight? Balanced Training on Heavily Imbalanced Datasets", 2024, arXiv 2410.04579. With n_i
the examples of domain i,

    p_i = n_i^(1 / tau) / sum_j n_j^(1 / tau),    tau = ``tau`` before the share ``at`` of the training, then ``final``.

Sampling at p learns small domains faster than weighting their losses does, but repeats them until they are overfitted;
at tau = 1 towards the end they come once a pass. In the paper one step from 5 to 1 in the middle is better than a
steady decay and than the other direction. Inputs: domains. Cost: a sort a round.

Trap: the small domains' passes are all in the first part: with a share s of the examples and a share p of the mixture,
p / s times ``at`` times the passes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ...core import Card, Draw, State
from ...errors import UsageError
from ...online.law import shares
from ...online.mixture import MixturePolicy, Turn, phase


@dataclass(frozen=True)
class Cooldown(MixturePolicy):
    """``tau``, ``final``: temperatures before and after, above 0; ``at``: share of the training where they change."""

    tau: float = 5.0
    final: float = 1.0
    at: float = 0.5

    card: ClassVar[Card] = Card(
        summary="Domains nearly evenly first, then by size: one switch of the sampling temperature (Cooldown).",
        family="policy",
        needs=("domain",),
        cost="one sort per round",
        bibtex="""@article{li2024upsample,
  author = {Li, Tianjian and Xu, Haoran and Tan, Weiting and Murray, Kenton and Khashabi, Daniel},
  title = {Upsample or Upweight? Balanced Training on Heavily Imbalanced Datasets},
  journal = {arXiv preprint arXiv:2410.04579},
  year = {2024}
}""",
        evidence="closed form of the shares; claim: not reproduced (5 seeds)",
        use_when="Domains differ much in size, and the small ones should be learned early without being overfitted.",
    )

    def __post_init__(self) -> None:
        if not (self.tau > 0 and self.final > 0):
            raise UsageError(f"cooldown: tau and final must be above 0, not {self.tau:g} and {self.final:g}.")
        if not 0 <= self.at <= 1:
            raise UsageError(f"cooldown: at must be between 0 and 1, not {self.at:g}.")

    def turn(self, state: State, epochs: float, draw: Draw) -> Turn:
        part, length = phase(state, epochs, (self.at,))
        return Turn(shares(np.log(state["sizes"]) / (self.final if part else self.tau)), length)
