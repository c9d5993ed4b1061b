"""The factor f with which independent inclusion probabilities min(1, f g) meet a budget in expectation.

E(f) = sum over rows of min(1, f g) cost is concave and piecewise linear in f. A Newton step from any f lands at or
below the root, and exactly on it once f lies in the root's linear piece. Where weights span thousands of nats each step
takes in one row only, so log f is bisected in between whenever a step has not halved the bracket. All sums are exact
(whole numbers of 2**-1074), so no bit depends on where blocks end.

Cost: about ten passes over the columns for smooth weights, 40 to 60 where they span thousands of nats.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from ..core import Array, Block, Columns
from ..engine.kernel import kernel

Floats = npt.NDArray[np.float64]
Costs = npt.NDArray[np.int64]
UNIT = 1 << 1074


@kernel
def _add(values: Array, parts: Array) -> None:
    """Add the mantissas of float64 numbers, given as uint64, to (low 32 bits, the rest) of their exponent's row."""
    for bits in values:
        exponent = np.int64(bits >> np.uint64(52))
        mantissa = np.int64(bits & np.uint64((1 << 52) - 1))
        if exponent > 0:
            mantissa += 1 << 52
        parts[exponent, 0] += mantissa & 0xFFFFFFFF
        parts[exponent, 1] += mantissa >> 32


def weighted(share: Floats, cost: Array) -> int:
    """UNIT times the sum of share * cost (finite, not negative); each product is rounded, their sum is exact."""
    parts = np.zeros((2048, 2), np.int64)
    _add(np.ascontiguousarray(share * cost, np.float64).view(np.uint64), parts)
    used = np.flatnonzero(parts.any(axis=1)).tolist()
    return sum(int(parts[e, 0]) + (int(parts[e, 1]) << 32) << max(e - 1, 0) for e in used)


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
        log_weight: finite, or -inf for rows that are never taken.
        amount: the budget, in the unit of ``cost``.
    """
    if amount <= 0:
        return -np.inf
    total, lowest, highest = 0, np.inf, -np.inf

    def reach(block: Block) -> tuple[int, float, float]:
        logs, costs = log_weight(block), cost(block)
        live = (logs > -np.inf) & (costs > 0)
        least, most = logs.min(initial=np.inf, where=live), logs.max(initial=-np.inf, where=live)
        return int(costs[live].sum()), float(least), float(most)

    for costs, least, most in columns.each(reach, *names):
        total, lowest, highest = total + costs, min(lowest, least), max(highest, most)
    if amount >= total:
        return np.inf
    low, high = float(np.log(amount / total)) - highest, -lowest
    before, width = -1, np.inf

    def improve(at: float) -> tuple[int, float]:
        """Draw the bracket in by E at log f = ``at``; returns the cost of the rows that are sure there, and E."""
        nonlocal low, high, before

        def spent(block: Block) -> tuple[int, int]:
            logs, costs = log_weight(block), cost(block)
            sure = logs >= -at
            return int(costs[sure].sum()), weighted(np.exp(np.minimum(logs[~sure] + at, 0.0)), costs[~sure])

        certain, others = columns.total(spent, *names) or (0, 0)
        slope = others / UNIT
        value = certain + slope
        if value > amount:
            high = min(high, at)
        elif at > low:
            low, before = at, -1
        if certain < amount and slope > 1e-290:  # below, too few digits are left
            step = at + float(np.log((amount - certain) / slope))
            if step > low:
                low, before = step, certain
        return certain, value

    while True:
        at, piece = low, before
        certain, value = improve(at)
        if certain == piece or abs(value - amount) <= 1e-12 * amount:
            return at
        middle = 0.5 * (low + high)
        if not low < middle < high:
            return low
        if low == at or high - low > 0.5 * width:
            improve(middle)
        width = high - low
