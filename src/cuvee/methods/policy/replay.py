"""Continual pretraining with replay: new domains, with a little of the old ones in every batch.

Ibrahim et al., "Simple and Scalable Strategies to Continually Pre-train Large Language Models", 2024, arXiv 2403.08763.
After the change the old domains together get ``share`` of the examples, by size, and the new ones the rest; replayed
examples take the place of new ones, so the cost is the same. The paper takes 5 % for a weak shift (English to English)
and 25 % for a strong one (English to German), together with a rate that is warmed up and decayed again
(:func:`cuvee.online.rates.rewarmed`), and matches training on everything from the start.

The first ``begin`` of the training is on the old domains alone, so that a new model has something to forget; 0 is for a
model that has learned them already (``--proxy transformer:start=...``, whose rate is warmed up again). Within one
training the rate is one schedule over both parts.

Inputs: domains. Cost: a sort a round. Judge it by the losses on old and new domains against training on the union.
Trap: replay from the old training data, never from what forgetting is measured on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ...core import Card, Draw, State
from ...errors import UsageError
from ...online.mixture import Groups, MixturePolicy, Turn, natural, phase


@dataclass(frozen=True)
class Replay(MixturePolicy):
    """``old``: names of domains joined by +; by default the largest one. ``share``: of old examples after the change;
    ``begin``: share of the training on old domains alone.
    """

    old: str = ""
    share: float = 0.05
    begin: float = 0.5

    card: ClassVar[Card] = Card(
        summary="Old domains first, then new ones with a share of the old replayed in every batch.",
        family="policy",
        needs=("domain",),
        cost="one sort per round; replayed examples take the place of new ones",
        bibtex="""@article{ibrahim2024simple,
  author = {Ibrahim, Adam and Th\\'erien, Benjamin and Gupta, Kshitij and Richter, Mats L. and Anthony, Quentin and
            Lesort, Timoth\\'ee and Belilovsky, Eugene and Rish, Irina},
  title = {Simple and Scalable Strategies to Continually Pre-train Large Language Models},
  journal = {Transactions on Machine Learning Research},
  year = {2024}
}""",
        evidence="shares by closed form; claim: direction only (5 seeds)",
        use_when="You train on from a finished model on new data, and it must not forget the old.",
    )

    def __post_init__(self) -> None:
        if not 0 <= self.share <= 1 or not 0 <= self.begin < 1:
            raise UsageError("replay: share must be between 0 and 1, and begin at least 0 and below 1.")

    def start(self, groups: Groups) -> State:
        largest = np.arange(len(groups)) == int(np.argmax(groups.sizes))
        old = groups.named(self.old, "replay") if self.old else largest
        before = natural(groups.sizes, old)
        if old.all():
            return {"before": before, "after": before}
        return {"before": before, "after": self.share * before + (1.0 - self.share) * natural(groups.sizes, ~old)}

    def turn(self, state: State, epochs: float, draw: Draw) -> Turn:
        part, length = phase(state, epochs, (self.begin,))
        return Turn(state["after" if part else "before"], length)
