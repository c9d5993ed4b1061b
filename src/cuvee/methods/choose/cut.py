"""Cut a pool to an exact budget: the longest prefix by descending priority, without sorting or holding the pool.

Rows are ordered by (priority, key, row): larger priorities first, ties by smaller key, then by row number. Each of the
three is mapped to an unsigned integer of that order. A histogram of cost over the upper bits finds the bin in which the
budget ends, and that bin is refined until what is left in it is small enough to be sorted. Typically two or three
passes over the columns; memory does not grow with the pool. NaN and -inf are never taken.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ...core import Array, Block, Budget, Columns, Decision
from ...fold.quantiles import decode, encode

Priority = Callable[[Block], npt.NDArray[np.float64]]
Group = Callable[[Block], npt.NDArray[np.int64]]
Codes = npt.NDArray[np.uint64]

SORT_ROWS = 1 << 17
"""A bin with at most this many rows is sorted in memory."""
_BINS = 1 << 20


def ordered_bits(values: npt.NDArray[np.float64]) -> Codes:
    """Unsigned integers in the order of the numbers (-0.0 counts as 0.0); 0 for NaN and -inf."""
    ordered = encode(values)
    ordered[np.isnan(values) | np.isneginf(values)] = 0
    return ordered


def _codes(block: Block, priority: Priority) -> tuple[Codes, Codes, Codes]:
    return ordered_bits(priority(block)), ~block["key"], ~block["row"].astype(np.uint64)


@dataclass
class Prefix(Decision):
    """Take the rows that stand before their group's edge, the first row that did not fit."""

    priority: Priority
    needs: tuple[str, ...]
    group: Group
    edge: Codes
    """(3, groups): codes of the first row left out; zeros where every row fits."""
    oversize: Callable[[Block], npt.NDArray[np.bool_]]
    notes: Mapping[str, Any]
    measure: str = "score"
    """What the priority is, in words."""

    def repeats(self, block: Block) -> npt.NDArray[np.int64]:
        first, second, third = _codes(block, self.priority)
        edge = self.edge[:, self.group(block)]
        before = (first > edge[0]) | (
            (first == edge[0]) & ((second > edge[1]) | ((second == edge[1]) & (third > edge[2])))
        )
        return (before & (first > 0) & ~self.oversize(block)).astype(np.int64)

    def margin(self, block: Block) -> npt.NDArray[np.float64]:
        edge = self.edge[0, self.group(block)]
        return np.where(edge > 0, self.priority(block) - decode(np.maximum(edge, 1)), np.inf)

    def reasons(self, block: Block) -> list[str]:
        value, margin, oversize = self.priority(block), self.margin(block), self.oversize(block)
        words = []
        for one, above, too_large, taken in zip(value, margin, oversize, self.repeats(block), strict=True):
            if not one > -np.inf:
                words.append("not eligible")
            elif too_large:
                words.append("larger than the budget, or than its group's share of it")
            elif above == np.inf:
                words.append("everything eligible fits into the budget")
            elif above == 0:
                words.append(f"{self.measure} {one:,.6g} is exactly at the cut, where ties go by key")
            else:
                words.append(
                    f"{self.measure} {one:,.6g} is {'above' if taken else 'below'} the cut at {one - above:,.6g}"
                )
        return words


def one_group(block: Block) -> npt.NDArray[np.int64]:
    """All rows in group 0."""
    return np.zeros(len(block["row"]), np.int64)


def cost_of(block: Block, budget: Budget) -> npt.NDArray[np.int64]:
    """What each row costs in the budget's unit."""
    return np.ones(len(block["row"]), np.int64) if budget.unit == "rows" else block[budget.unit]


def columns_for(budget: Budget, *needs: str) -> tuple[str, ...]:
    """The columns to read for a cut: those needed, the cost, and the tie-breakers."""
    cost = () if budget.unit == "rows" else (budget.unit,)
    return tuple(dict.fromkeys((*needs, *cost, "key", "row")))


def finite_range(columns: Columns) -> tuple[float, float]:
    """The lowest and the highest finite score; zeros where there is none."""
    low, high = np.inf, -np.inf
    for lowest, highest in columns.each(_finite_range, "score"):
        low, high = min(low, lowest), max(high, highest)
    return (low, high) if low <= high else (0.0, 0.0)


def _finite_range(block: Block) -> tuple[float, float]:
    finite = np.isfinite(block["score"])
    lowest = block["score"].min(initial=np.inf, where=finite)
    return float(lowest), float(block["score"].max(initial=-np.inf, where=finite))


def cut(
    columns: Columns,
    priority: Priority,
    budget: Budget,
    *,
    needs: tuple[str, ...] = ("score",),
    group: Group = one_group,
    amounts: npt.NDArray[np.int64] | None = None,
    measure: str = "score",
) -> Prefix:
    """Keep the rows of highest priority within the budget, per group.

    Args:
        priority: float64 per row of a block; computed anew in each pass, so it must be a pure function.
        needs: the columns that ``priority`` and ``group`` read.
        group, amounts: group numbers per row, and each group's own budget; one group by default.
        measure: what the priority is, in words for reports.

    Rows that alone cost more than their group's whole budget can never fit: they are passed over and counted in
    ``notes["larger_than_budget"]``. Otherwise the cut stops at the first row that does not fit, so at most the budget
    is used.
    """
    if amounts is None:
        amounts = np.array([budget.resolve(columns.totals[budget.unit])], dtype=np.int64)
    groups = len(amounts)
    names = columns_for(budget, *needs)

    def oversize(block: Block) -> npt.NDArray[np.bool_]:
        return np.asarray(cost_of(block, budget) > amounts[group(block)])

    edge = np.zeros((3, groups), np.uint64)
    left = amounts.copy()
    searching = np.ones(groups, bool)
    larger = never = 0
    level, depth = 0, 0  # which of the three codes, and how many of its upper bits are settled in ``edge``

    def live(block: Block) -> tuple[npt.NDArray[np.bool_], tuple[Codes, Codes, Codes], Array, Array]:
        """Rows in a bin that is searched, and what they are sorted by."""
        codes, at, cost = _codes(block, priority), group(block), cost_of(block, budget)
        inside: npt.NDArray[np.bool_] = searching[at]
        for earlier in range(level):
            inside &= codes[earlier] == edge[earlier][at]
        if depth:
            shift = np.uint64(64 - depth)
            inside &= (codes[level] >> shift) == (edge[level][at] >> shift)
        return inside & (cost <= amounts[at]) & (codes[0] > 0), codes, at, cost

    def histogram(block: Block) -> tuple[Array, Array, int, int]:
        inside, codes, at, cost = live(block)
        eligible = codes[0] > 0
        too_large = int(np.count_nonzero(eligible & (cost > amounts[at])))
        digit = (codes[level] >> np.uint64(64 - depth - step)).astype(np.int64) & (size - 1)
        flat = (at * size + digit)[inside]
        costs = np.bincount(flat, weights=cost[inside], minlength=groups * size)  # exact below 2**53
        return (
            costs.astype(np.int64),
            np.bincount(flat, minlength=groups * size),
            too_large,
            int(np.count_nonzero(~eligible)),
        )

    def inside_bin(block: Block) -> list[Array]:
        inside, codes, at, cost = live(block)
        return [part[inside] for part in (at, *codes, cost)]

    while searching.any():
        step = int(min(16, 64 - depth, max(2, np.log2(_BINS / groups))))
        size = 1 << step
        cost_in, rows_in, larger, never = columns.total(histogram, *names) or (*np.zeros((2, groups * size)), 0, 0)
        waiting = 0
        for g in np.flatnonzero(searching):
            running = np.cumsum(cost_in[g * size : (g + 1) * size][::-1])
            if running[-1] <= left[g]:
                # only possible in the very first pass: later bins were chosen because they do not fit
                left[g] -= int(running[-1])
                searching[g] = False
                continue
            place = int(np.argmax(running > left[g]))
            left[g] -= int(running[place - 1]) if place else 0
            last = size - 1 - place
            edge[level, g] |= np.uint64(last) << np.uint64(64 - depth - step)
            waiting += int(rows_in[g * size + last])
        depth += step
        if waiting <= SORT_ROWS:
            break
        if depth == 64:
            level, depth = level + 1, 0

    if searching.any():
        kept = columns.each(inside_bin, *names)
        at, *found, cost = (np.concatenate(parts) for parts in zip(*kept, strict=True))
        order = np.lexsort((*(~code for code in reversed(found)), at))
        for g in np.flatnonzero(searching):
            rows = order[at[order] == g]
            running = np.cumsum(cost[rows])
            place = int(np.argmax(running > left[g]))
            left[g] -= int(running[place - 1]) if place else 0
            edge[:, g] = [code[rows[place]] for code in found]

    used = amounts - left
    larger = larger if groups == 1 else 0  # with several, a group may be given nothing on purpose
    notes: dict[str, Any] = {"unit": budget.unit, "larger_than_budget": larger, "never_taken": never}
    notes |= {"asked": int(amounts.sum()), "kept": int(used.sum()), "measure": measure}
    if groups == 1 and edge[0, 0]:
        notes["cut"] = float(decode(edge[0])[0])
    if groups > 1:
        notes |= {"asked_by_group": amounts.tolist(), "kept_by_group": used.tolist()}
    return Prefix(priority, names, group, edge, oversize, notes, measure)
