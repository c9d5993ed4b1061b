"""UniMax: as uniform as a bound on the passes over each source allows.

Chung et al., "UniMax: Fairer and More Effective Language Sampling for Large-Scale Multilingual Pretraining", ICLR 2023,
arXiv 2304.09151. With a budget B and at most N passes, sources in the order of their sizes n_l each get

    U_l = min(remaining budget / sources left, N n_l).

Inputs: tokens of each source (the paper counts characters). Cost: none. By default N is 4, up to which repeated text is
worth nearly as much as new text (Muennighoff et al., NeurIPS 2023, arXiv 2305.16264); in the paper N = 1 was best by
little. Trap: if all sources meet their bound, the budget cannot be spent; the rest is reported, never spread over
sources beyond their bound.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ..core import Card
from ..errors import UsageError
from .base import Floats, Mix, Sources


@dataclass(frozen=True)
class Unimax(Mix):
    """``epochs``: the most passes over any source."""

    epochs: float = 4.0

    card: ClassVar[Card] = Card(
        summary="As uniform as possible with at most so many passes over each source.",
        family="mix",
        needs=("domain",),
        cost="none beyond counting the pool",
        bibtex="""@inproceedings{chung2023unimax,
  title={{UniMax}: Fairer and More Effective Language Sampling for Large-Scale Multilingual Pretraining},
  author={Chung, Hyung Won and Constant, Noah and Garcia, Xavier and others},
  booktitle={International Conference on Learning Representations},
  year={2023}
}""",
        evidence="oracle: unimax-sampling 1.0.0, 4 cases to 1e-12",
        gives=("weights",),
    )

    def __post_init__(self) -> None:
        if not self.epochs > 0:
            raise UsageError(f"unimax: epochs must be above 0, not {self.epochs}.")

    def allot(self, sources: Sources, budget: int) -> Floats:
        found = np.zeros(len(sources))
        left = float(budget)
        for place, at in enumerate(np.argsort(sources.tokens, kind="stable")):
            found[at] = min(left / (len(sources) - place), self.epochs * float(sources.tokens[at]))
            left -= found[at]
        return found
