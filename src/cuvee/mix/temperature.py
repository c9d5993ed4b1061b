"""Temperature sampling: between the natural mix and the uniform one.

Arivazhagan et al., "Massively Multilingual Neural Machine Translation in the Wild: Findings and Challenges", 2019,
arXiv 1907.05019. With n_i the tokens of source i,

    p_i = n_i^(1 / tau) / sum_j n_j^(1 / tau);    tau = 1 natural, tau -> infinity uniform.

Some papers write the exponent itself (0.3 is tau = 3.33). Sampling at p and weighting the loss of natural samples by
p_i / p_i(1) have the same expected gradient; under small batches sampling converges faster but repeats small sources
(Li et al., "Upsample or Upweight?", 2024, arXiv 2410.04579, who also propose to begin at tau = 5 and end at tau = 1).

Inputs: tokens of each source; much of the multilingual literature counts sentences or characters. Cost: none. Trap:
the exponent was tuned for sources of its time; passes over the smallest source grow without bound, so bound them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ..core import Card
from ..errors import UsageError
from .base import Floats, Mix, Sources


@dataclass(frozen=True)
class Temperature(Mix):
    """``tau``: 1 is proportional, large is uniform."""

    tau: float = 3.3333333333333335

    card: ClassVar[Card] = Card(
        summary="Between proportional and uniform: shares to the power 1 / tau.",
        family="mix",
        needs=("domain",),
        cost="none beyond counting the pool",
        bibtex="""@article{arivazhagan2019massively,
  title={Massively Multilingual Neural Machine Translation in the Wild: Findings and Challenges},
  author={Arivazhagan, Naveen and Bapna, Ankur and Firat, Orhan and others},
  journal={arXiv preprint arXiv:1907.05019},
  year={2019}
}""",
        evidence="closed form, and the variance ratios of the paper",
        gives=("weights",),
    )

    def __post_init__(self) -> None:
        if not self.tau > 0:
            raise UsageError(f"temperature: tau must be above 0, not {self.tau}. 1 is proportional, large is uniform.")

    def allot(self, sources: Sources, budget: int) -> Floats:
        # by logarithms: shares of 1e-12 to a high power would vanish otherwise
        logs = np.log(np.maximum(sources.natural(), 1e-300)) / self.tau
        found = np.where(sources.tokens > 0, np.exp(logs - logs.max()), 0.0)
        return budget * found / found.sum()
