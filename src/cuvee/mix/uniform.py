"""Uniform, or stratified: every source alike, whatever its size; the baseline that most published methods lose to.

Chen et al., "Aioli: A Unified Optimization Framework for Language Model Data Mixing", 2024, arXiv 2411.05735, compare
six methods with it under equal cost: none of the earlier ones is better than stratified sampling on all of their
mixtures, and some are worse by up to 6.9 perplexity points.

Inputs: tokens of each source, to know the passes; one without tokens gets nothing. Cost: none. Trap: small sources are
repeated as often as it takes; bound the passes, or use ``unimax``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ..core import Card
from .base import Floats, Mix, Sources


@dataclass(frozen=True)
class Uniform(Mix):
    """Every source alike."""

    card: ClassVar[Card] = Card(
        summary="Every source alike (stratified sampling): the baseline that most methods lose to.",
        family="mix",
        needs=("domain",),
        cost="none beyond counting the pool",
        bibtex="""@article{chen2024aioli,
  title={Aioli: A Unified Optimization Framework for Language Model Data Mixing},
  author={Chen, Mayee F. and Hu, Michael Y. and Lourie, Nicholas and Cho, Kyunghyun and R{\\'e}, Christopher},
  journal={arXiv preprint arXiv:2411.05735},
  year={2024}
}""",
        evidence="closed form",
        gives=("weights",),
    )

    def allot(self, sources: Sources, budget: int) -> Floats:
        held = sources.tokens > 0
        return np.where(held, budget / max(int(held.sum()), 1), 0.0)
