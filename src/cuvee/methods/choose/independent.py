"""Independent decisions: each row on its own, by its keyed uniform number against min(1, factor * weight)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ...core import Block, Decision, Draw

Floats = npt.NDArray[np.float64]


@dataclass
class Independent(Decision):
    """Keep a row if its uniform number is below its probability. ``log_weight`` is NaN or -inf where that is 0."""

    draw: Draw
    purpose: str
    log_weight: Callable[[Block], Floats]
    log_factor: float
    needs: tuple[str, ...]
    notes: Mapping[str, Any]

    def probability(self, block: Block) -> Floats:
        """Inclusion probabilities, clipped to 1."""
        logs = self.log_weight(block)
        possible = logs > -np.inf
        return np.where(possible, np.exp(np.minimum(self.log_factor + np.where(possible, logs, 0.0), 0.0)), 0.0)

    def reasons(self, block: Block) -> list[str]:
        draws = self.draw.uniform(self.purpose, block["key"])
        pairs = zip(self.probability(block), draws, strict=True)
        return [
            f"its chance was {p:.3g}, its random draw {'below' if u < p else 'not below'} it ({u:.3g})"
            for p, u in pairs
        ]

    def repeats(self, block: Block) -> npt.NDArray[np.int64]:
        return (self.draw.uniform(self.purpose, block["key"]) < self.probability(block)).astype(np.int64)
