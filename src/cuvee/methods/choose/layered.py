"""Rows in layers: whole layers while they fit, and of the next what optimal transport says (for ``score/tarot.py``)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from ...core import Array, Budget, Choose, Columns, Decision, Draw
from ...fold.tarot_layers import mean_nearest, partial_order
from .cut import columns_for, cost_of
from .greedy import Listed

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Layers(Choose):
    """Whole layers, then part of one. ``rows`` ascending with their ``layer`` and unit ``vectors``."""

    rows: Ints
    layer: Ints
    vectors: Array
    targets: Array
    epsilon: float
    last_layer: str
    by_priority: ClassVar[bool] = False

    def choose(self, columns: Columns, budget: Budget, draw: Draw) -> Decision:
        amount = budget.resolve(columns.totals[budget.unit])
        cost = np.full(len(self.rows), amount + 1, np.int64)
        for block in columns.blocks(*columns_for(budget, "row")):
            at = np.minimum(np.searchsorted(self.rows, block["row"]), len(self.rows) - 1)
            here = self.rows[at] == block["row"]
            cost[at[here]] = cost_of(block, budget)[here]
        usable, left = cost <= amount, amount
        taken = np.zeros(len(self.rows), bool)
        notes: dict[str, Any] = {
            "unit": budget.unit,
            "asked": amount,
            "whole_layers": 0,
            "rows_on_lists": len(self.rows),
        }
        for number in range(int(self.layer.max()) + 1):
            these = np.flatnonzero((self.layer == number) & usable)
            if int(cost[these].sum()) > left:
                order = partial_order(
                    self.vectors, np.flatnonzero(taken), these, self.targets, self.epsilon, self.last_layer
                )
                fits = order[np.cumsum(cost[order]) <= left]
                taken[fits] = True
                left -= int(cost[fits].sum())
                break
            taken[these] = True
            left -= int(cost[these].sum())
            notes["whole_layers"] = number + 1
        notes |= {
            "kept": amount - left,
            "distance": mean_nearest(self.vectors[taken], self.targets),
        }
        rows = self.rows[taken]
        return Listed(rows, np.ones(len(rows), np.int64), notes, "among the nearest rows of a target text")
