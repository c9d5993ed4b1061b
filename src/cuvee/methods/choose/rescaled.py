"""Rows drawn together by rescaled volume sampling (for ``score/rescaled_volume.py``, where the formulas stand)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from ...core import Array, Block, Budget, Choose, Columns, Decision, Draw
from ...errors import DataError, UsageError
from .cut import columns_for, cost_of
from .greedy import Listed
from .volume import sample_volume

Ints = npt.NDArray[np.int64]
UNIT = 2.0**40
"""Leverages are drawn by as whole numbers, so that their sums do not depend on blocks."""
ATTEMPTS = 200


def acceptance(rows: Array) -> float:
    """det(m / s sum_j u_j^T u_j), at most 1: ``rows`` float64 (s, m) of length 1."""
    s, m = rows.shape
    sign, log = np.linalg.slogdet(rows.T @ rows * (m / s))
    return float(np.exp(min(log, 0.0))) if sign > 0 else 0.0


@dataclass(frozen=True)
class Rescaled(Choose):
    """Draws from the pool's whitened ``rows``, "embedding" being times the root of their number; with repetition."""

    rows: int
    by_priority: ClassVar[bool] = False

    def choose(self, columns: Columns, budget: Budget, draw: Draw) -> Decision:
        amount, names = budget.resolve(columns.totals[budget.unit]), columns_for(budget, "embedding")

        def mass(block: Block) -> tuple[int, Ints]:
            return int(self._masses(block, budget, amount).sum()), np.array([block["embedding"].shape[1]])

        total, m = 0, 0
        for one, width in columns.each(mass, *names):
            total, m = total + one, int(width[0])
        if not total:
            raise DataError("No row that fits into the budget has an embedding. Give a larger budget.")
        likely = amount
        if budget.unit != "rows":  # four times as many as rows of mean length
            likely = 4 * amount * columns.n_rows // max(columns.totals[budget.unit], 1) + 64
        number = max(4 * m * m, likely)
        for attempt in range(ATTEMPTS):
            place = np.arange(attempt * number, (attempt + 1) * number, dtype=np.uint64)
            goal = (draw.uniform("rescaled volume", place) * total).astype(np.int64)
            row, cost, x = self._drawn(columns, budget, amount, goal)
            size = max(4 * m * m, int(np.searchsorted(np.cumsum(cost), amount, side="right")))
            row, cost, x = row[:size], cost[:size], x[:size]
            if draw.uniform("rescaled volume accept", place[:1])[0] < acceptance(x):
                break
        else:
            raise DataError("rescaled_volume drew no rows that span the vectors: give fewer dimensions.")
        kept = sample_volume(x, cost, amount, draw.uniform("rescaled volume removed", place[: len(x)]))
        if cost[kept].sum() > amount:
            raise UsageError(
                f"rescaled_volume needs a budget for at least {m} rows, as many as it has dimensions: give a larger "
                "budget, or fewer dimensions."
            )
        rows, times = np.unique(row[kept], return_counts=True)
        notes: dict[str, Any] = {"unit": budget.unit, "asked": amount, "kept": int(cost[kept].sum())}
        notes |= {"draws": len(kept), "drawn_by_leverage": len(row), "attempts": attempt + 1}
        return Listed(rows, times.astype(np.int64), notes, "part of a sample that spans the space")

    def _masses(self, block: Block, budget: Budget, amount: int) -> Ints:
        """Leverages in whole units, 0 where a row does not fit."""
        x = block["embedding"].astype(np.float64)
        square = np.einsum("ij,ij->i", x, x)
        square = np.where(np.isfinite(square) & (cost_of(block, budget) <= amount), square, 0.0)
        return np.rint(square / self.rows * UNIT).astype(np.int64)

    def _drawn(self, columns: Columns, budget: Budget, amount: int, goal: Ints) -> tuple[Ints, Ints, Array]:
        """Row numbers, costs and unit vectors of the rows in which the running sum of leverages passes each goal."""
        order = np.argsort(goal, kind="stable")
        ahead, before, parts = goal[order], 0, []
        for block in columns.blocks(*columns_for(budget, "embedding")):
            edge = before + np.cumsum(self._masses(block, budget, amount))
            after = int(edge[-1]) if len(edge) else before
            low, high = np.searchsorted(ahead, [before, after])
            at = np.searchsorted(edge, ahead[low:high], side="right")
            parts.append((block["row"][at], cost_of(block, budget)[at], block["embedding"][at].astype(np.float64)))
            before = after
        back = np.argsort(order, kind="stable")
        row, cost, x = (np.concatenate(part)[back] for part in zip(*parts, strict=True))
        return row, cost, x / np.linalg.norm(x, axis=1, keepdims=True)
