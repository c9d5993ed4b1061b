"""Keep the rows whose score lies between two bounds, best first until the budget is full.

Inputs: a column "score", float64, and bounds in its units. Cost: that of a cut, two or three passes. Trap: a threshold
keeps another share of every pool, and what it keeps is cut at the budget; for a share of the pool take ``top_k`` with
a fraction as budget.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from ...core import Block, Budget, Card, Choose, Columns, Decision, Draw
from ...errors import UsageError
from .cut import cut


@dataclass(frozen=True)
class Threshold(Choose):
    """Rows with score >= ``minimum`` (and <= ``maximum``), best first until the budget is reached."""

    minimum: float = -np.inf
    maximum: float = np.inf

    card: ClassVar[Card] = Card(
        summary="Rows whose score lies between two bounds, best first.",
        family="choose",
        needs=("score",),
        cost="two or three passes over the scores",
        bibtex="",
        evidence="closed form: equals filtering",
        use_when="The score has a meaningful bound, such as 0 for log odds.",
        fails_when="If more rows pass than the budget holds, the best of them are kept; if fewer, the budget stays "
        "unfilled.",
    )

    def __post_init__(self) -> None:
        if self.minimum == -np.inf and self.maximum == np.inf:
            raise UsageError(
                "threshold needs a bound in the score's units: write --choose threshold:minimum=0 or "
                "threshold:maximum=5. Without one it is top_k."
            )
        if not self.minimum <= self.maximum:
            raise UsageError(f"threshold: minimum {self.minimum} is above maximum {self.maximum}")

    def choose(self, columns: Columns, budget: Budget, draw: Draw) -> Decision:
        def priority(block: Block) -> npt.NDArray[np.float64]:
            score = block["score"]
            return np.where((score >= self.minimum) & (score <= self.maximum), score, -np.inf)

        return cut(columns, priority, budget)
