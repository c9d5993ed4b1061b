"""Keep every row whose score reaches a threshold: absolute, or a quantile of the pool's scores."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..core import Block, Budget, Choose, Columns, Decision, Draw
from ..errors import UsageError
from .cut import columns_for, cut


@dataclass(frozen=True)
class Threshold(Choose):
    """Rows with score >= ``minimum`` (and <= ``maximum``), best first until the budget is reached."""

    minimum: float = -np.inf
    maximum: float = np.inf

    def __post_init__(self) -> None:
        if not self.minimum <= self.maximum:
            raise UsageError(f"threshold: minimum {self.minimum} is above maximum {self.maximum}")

    def choose(self, columns: Columns, budget: Budget, draw: Draw) -> Decision:
        def priority(block: Block) -> npt.NDArray[np.float64]:
            score = block["score"]
            return np.where((score >= self.minimum) & (score <= self.maximum), score, -np.inf)

        return cut(columns, priority, budget)
