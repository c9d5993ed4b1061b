"""Reuse, Don't Retrain: training on from a finished model in two blends, changed when the learning rate has fallen.

Parmar et al., "Reuse, Don't Retrain: A Recipe for Continued Pretraining of Language Models", 2024, arXiv 2407.07263.
The rate begins where the pretraining's ended, without warm-up, and falls along a cosine to 1/100 of it
(:func:`cuvee.online.rates.cosine`). The first blend is near the pretraining's; the second lifts what the model lacks;
the change comes where the rate has fallen to a fifth of its peak, which is after 71 % of the training,

    u = arccos(2 (fraction - floor) / (1 - floor) - 1) / pi.

The rule is on the rate: with another floor or fraction the change moves. A policy cannot set a trainer's rate, so that
part is the trainer's: ``--proxy transformer:start=...,onward=redecay,floor=0.01``.

Inputs: domains. Cost: a sort a round. Trap: questions and answers in the second blend may hold test sets.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ...core import Card, Draw, State
from ...errors import UsageError
from ...online.mixture import Groups, MixturePolicy, Turn, lifted, natural, phase
from ...online.rates import falls_to


@dataclass(frozen=True)
class Reuse(MixturePolicy):
    """``domains``: names joined by +; by default those smaller than an equal share. ``first``, ``second``: what they
    get together in each blend (0: by size). ``fraction``, ``floor``: of the rate's peak, at the change and at the end.
    """

    domains: str = ""
    first: float = 0.0
    second: float = 0.5
    fraction: float = 0.2
    floor: float = 0.01

    card: ClassVar[Card] = Card(
        summary="Continued training in two blends, changed when a cosine rate has fallen to a fifth (Reuse).",
        family="policy",
        needs=("domain",),
        cost="one sort per round",
        bibtex="""@article{parmar2024reuse,
  author = {Parmar, Jupinder and Satheesh, Sanjeev and Patwary, Mostofa and Shoeybi, Mohammad and Catanzaro, Bryan},
  title = {Reuse, Don't Retrain: A Recipe for Continued Pretraining of Language Models},
  journal = {arXiv preprint arXiv:2407.07263},
  year = {2024}
}""",
        evidence="closed form of the change; claim: direction only (5 seeds): going on with more of the rate is better",
        use_when="You train on from a finished model with a rate that begins where its training ended.",
    )

    def __post_init__(self) -> None:
        if not 0 <= self.first <= 1 or not 0 <= self.second <= 1:
            raise UsageError("reuse: first and second must be between 0 and 1.")
        falls_to(self.fraction, self.floor)

    def start(self, groups: Groups) -> State:
        blends = {"first": self.first, "second": self.second}
        return {
            name: lifted(groups, self.domains, share, "reuse") if share else natural(groups.sizes)
            for name, share in blends.items()
        }

    def turn(self, state: State, epochs: float, draw: Draw) -> Turn:
        part, length = phase(state, epochs, (falls_to(self.fraction, self.floor),))
        return Turn(state["second" if part else "first"], length)
