"""Gumbel top-k: sampling without replacement in proportion to exp(score / temperature).

Adding independent standard Gumbel noise to log weights and keeping the k largest sums draws k rows without
replacement, each time in proportion to the weights of those left (Yellott 1977; Vieira 2014; Kool et al. 2019):

    key_i = score_i / temperature - log(-log U_i),  the largest first until the budget is full.

U is a function of (seed, row key): the sample does not depend on order, sharding or workers. Inputs: a column "score",
float64, in nats. Cost: one logarithm pair a row in each pass of the cut. Trap: the noise has a standard deviation of
1.28 only; scores that spread over hundreds of nats are cut as by ``top_k``, scores that spread less than that (means,
probabilities) nearly at random. Set the temperature to the size of the differences that should count.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ...core import Block, Budget, Card, Choose, Columns, Decision, Draw
from ...errors import UsageError
from .cut import cut


@dataclass(frozen=True)
class Gumbel(Choose):
    """Sample by score: ``temperature`` 1 takes scores as log weights; larger flattens, towards 0 approaches top-k."""

    temperature: float = 1.0

    card: ClassVar[Card] = Card(
        summary="Sampling without replacement in proportion to exp(score / temperature).",
        family="choose",
        needs=("score",),
        cost="two or three passes over the scores",
        bibtex="""@inproceedings{kool2019stochastic,
  title={Stochastic Beams and Where to Find Them: The {G}umbel-Top-k Trick for Sampling Sequences Without Replacement},
  author={Kool, Wouter and van Hoof, Herke and Welling, Max},
  booktitle={International Conference on Machine Learning},
  year={2019}
}""",
        evidence="closed form: inclusion shares of the exponential race",
        use_when="The score is a log weight and you want a sample in proportion to the weights.",
        fails_when="Where scores spread over many more units than the temperature, it is top_k in all but name; see "
        "the effective sample size in plan.json.",
    )

    def __post_init__(self) -> None:
        if not 0 < self.temperature < np.inf:
            raise UsageError(
                f"temperature must be a number above 0, not {self.temperature}; for no noise use --choose top_k"
            )

    def choose(self, columns: Columns, budget: Budget, draw: Draw) -> Decision:
        def priority(block: Block):  # type: ignore[no-untyped-def]
            return block["score"] / self.temperature + draw.gumbel("gumbel", block["key"])

        return cut(columns, priority, budget, measure="score with its random draw")
