"""Examples-proportional mixing with an artificial limit: sources count as no larger than a limit.

Raffel et al., "Exploring the Limits of Transfer Learning with a Unified Text-to-Text Transformer", JMLR 2020, section
3.5.2. With n_i the documents (``unit=documents``) or tokens of source i,

    r_i = min(n_i, limit),    p_i = r_i^(1 / tau) / sum_j r_j^(1 / tau);

the limit is taken before the temperature. ``limit=0`` is the median size of the sources that hold tokens: with a limit
in the middle, the larger half count alike and the smaller half by their size.

Inputs: tokens and documents of each source. Cost: none. Trap: with unit=documents the shares are of documents, as in
the paper; they are turned into tokens by each source's mean length, which may surprise where lengths differ.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ..core import Card
from ..errors import UsageError
from .base import Floats, Mix, Sources


@dataclass(frozen=True)
class ExamplesProportional(Mix):
    """``limit``: what a source counts at most, 0 for the median; ``unit``: "tokens" or "documents"."""

    limit: int = 0
    tau: float = 1.0
    unit: str = "tokens"

    card: ClassVar[Card] = Card(
        summary="By size, but no source counts as larger than a limit.",
        family="mix",
        needs=("domain",),
        cost="none beyond counting the pool",
        bibtex="""@article{raffel2020exploring,
  title={Exploring the Limits of Transfer Learning with a Unified Text-to-Text Transformer},
  author={Raffel, Colin and Shazeer, Noam and Roberts, Adam and Lee, Katherine and others},
  journal={Journal of Machine Learning Research},
  volume={21},
  year={2020}
}""",
        evidence="closed form",
        gives=("weights",),
    )

    def __post_init__(self) -> None:
        if self.unit not in ("tokens", "documents"):
            raise UsageError(f"examples_proportional: unit is 'tokens' or 'documents', not '{self.unit}'.")
        if self.limit < 0 or not self.tau > 0:
            raise UsageError("examples_proportional: limit must be at least 0, and tau above 0.")

    def allot(self, sources: Sources, budget: int) -> Floats:
        size = (sources.tokens if self.unit == "tokens" else sources.documents).astype(np.float64)
        rate = np.minimum(size, self.limit or np.median(size[sources.tokens > 0])) ** (1 / self.tau)
        if self.unit == "documents":
            rate = rate * sources.tokens / np.maximum(sources.documents, 1)
        return budget * rate / rate.sum()
