"""The factor f with which independent inclusion probabilities min(1, f g) meet a budget in expectation.

sum over rows of min(1, f g) cost is concave and piecewise linear in f. Newton's method from f = 0 rises to the root and
ends in the linear piece that holds it: ten to twenty passes over the columns. All sums are taken in whole numbers of
2**-24, so that they do not depend on where blocks end; what that loses is below one row in a million.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from ..core import Block, Columns

Floats = npt.NDArray[np.float64]
Costs = npt.NDArray[np.int64]
UNIT = 1 << 24


def weighted(share: Floats, cost: Costs) -> int:
    """UNIT times the sum of share * cost, for shares from 0 to 1."""
    fixed = np.rint(share * UNIT).astype(np.int64)
    return (int((fixed * (cost >> 16)).sum()) << 16) + int((fixed * (cost & 0xFFFF)).sum())


def log_factor(
    columns: Columns,
    names: tuple[str, ...],
    log_weight: Callable[[Block], Floats],
    cost: Callable[[Block], Costs],
    amount: int,
) -> float:
    """log f for weights g = exp(log_weight(block)); infinite where the amount takes in every row or none.

    Args:
        names: the columns that ``log_weight`` and ``cost`` read.
        amount: the budget, in the unit of ``cost``.
    """
    if amount <= 0:
        return -np.inf
    total = sum(int(cost(block).sum()) for block in columns.blocks(*names))
    if amount >= total:
        return np.inf
    found, scale, sure_before = -np.inf, 0.0, -1
    while True:
        certain, sure_rows, sloped, highest = 0, 0, 0, -np.inf
        for block in columns.blocks(*names):
            logs, costs = log_weight(block), cost(block)
            sure = logs >= -found
            certain, sure_rows = certain + int(costs[sure].sum()), sure_rows + int(sure.sum())
            logs, costs = logs[~sure], costs[~sure]
            highest = max(highest, float(logs.max(initial=-np.inf, where=costs > 0)))
            sloped += weighted(np.exp(np.minimum(logs - scale, 0.0)), costs)
        if highest > -np.inf and not scale - 1 <= highest <= scale:
            scale = highest  # once more, with weights that fill the fixed-point numbers
            continue
        if sure_rows == sure_before or sloped == 0 or certain >= amount:
            return found
        found, sure_before = float(np.log((amount - certain) / (sloped / UNIT))) - scale, sure_rows
        scale = min(scale, -found)
