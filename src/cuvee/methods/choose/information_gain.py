"""Greedy information gain over tags (for ``score/mig.py``): the objective, its two gains, and the rule."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from ...core import Array, Block, Budget, Card, Choose, Columns, Decision, Draw
from ...engine.kernel import kernel, leaf
from .cut import cost_of
from .greedy import choose_by_rounds

int64: Any = np.int64  # casts that fix a kernel's types; mypy need not follow them
float64: Any = np.float64


@leaf
def spread(tags: Array, weight: float, indptr: Array, index: Array, value: Array, more: Array, touched: Array) -> int:
    """Add a row's propagated mass to ``more`` and list where; returns how many places."""
    count = int64(0)
    for j in range(len(tags)):
        if tags[j] < 0:
            break
        for at in range(indptr[tags[j]], indptr[tags[j] + 1]):
            u = index[at]
            if more[u] == 0.0:
                touched[count] = u
                count += 1
            more[u] += weight * value[at]
    return count


@kernel
def greedy_information(
    tags: Array,
    weight: Array,
    indptr: Array,
    index: Array,
    value: Array,
    power: float,
    offset: float,
    exact: bool,
    cost: Array,
    amount: int,
    order: Array,
) -> int:
    """Greedy picks for sum_u phi(mass_u), phi'(x) = power (x + offset)^(power - 1); returns how many were taken.

    ``tags`` int32 (n, most), -1 behind the last; ``weight`` float64 (n,), of each of a row's tags; the propagation in
    compressed rows. The gain is phi's gradient times the mass or, if ``exact``, the difference.
    """
    n, labels = len(tags), len(indptr) - 1
    mass, slope, more = np.zeros(labels), np.zeros(labels), np.zeros(labels)
    pull, touched, taken = np.zeros(labels), np.zeros(labels, np.int64), np.zeros(n, np.bool_)
    count, left = int64(0), amount
    while count < len(order):
        for u in range(labels):
            slope[u] = power * (mass[u] + offset) ** (power - 1.0)
        for t in range(labels):
            pull[t] = 0.0
            for at in range(indptr[t], indptr[t + 1]):
                pull[t] += value[at] * slope[index[at]]
        best, chosen = float64(0.0), int64(-1)
        for i in range(n):
            if taken[i]:
                continue
            bound = 0.0
            for j in range(tags.shape[1]):
                if tags[i, j] < 0:
                    break
                bound += pull[tags[i, j]]
            gain = bound * weight[i]  # phi is concave, so this is no smaller than the exact gain
            if exact and gain > best:
                places = spread(tags[i], weight[i], indptr, index, value, more, touched)
                gain = 0.0
                for k in range(places):
                    u = touched[k]
                    gain += (mass[u] + more[u] + offset) ** power - (mass[u] + offset) ** power
                    more[u] = 0.0
            if gain > best:
                best, chosen = gain, int64(i)
        if chosen < 0 or cost[chosen] > left:
            break
        order[count], taken[chosen] = chosen, True
        count += 1
        left -= cost[chosen]
        places = spread(tags[chosen], weight[chosen], indptr, index, value, more, touched)
        for k in range(places):
            mass[touched[k]] += more[touched[k]]
            more[touched[k]] = 0.0
    return count


def sparse(propagation: Array) -> tuple[Array, Array, Array]:
    """A matrix in compressed rows."""
    row, column = np.nonzero(propagation)
    indptr = np.searchsorted(row, np.arange(len(propagation) + 1)).astype(np.int64)
    return indptr, column.astype(np.int64), np.asarray(propagation, np.float64)[row, column]


@dataclass(frozen=True, eq=False)
class InformationGain(Choose):
    """``propagation`` float64 (tags, tags); a row's mass is its quality on each tag, or with ``norm`` divided among."""

    propagation: Array
    power: float
    offset: float
    norm: bool
    exact: bool
    by_priority: ClassVar[bool] = False
    card: ClassVar[Card] = Card("Greedy information gain.", "choose", ("tags", "score"), "see mig", "", "see mig")

    def order(self, tags: Array, quality: Array, cost: Array, amount: int) -> npt.NDArray[np.int64]:
        """Places in the order taken."""
        weight = np.asarray(quality, np.float64) / (np.maximum((tags >= 0).sum(axis=1), 1) if self.norm else 1.0)
        order = np.empty(min(len(tags), int(amount)), np.int64)
        graph = sparse(self.propagation)
        exact = (self.power, self.offset, self.exact)
        return order[: greedy_information(tags, weight, *graph, *exact, np.asarray(cost, np.int64), amount, order)]

    def choose(self, columns: Columns, budget: Budget, draw: Draw) -> Decision:
        def eligible(block: Block, budget: Budget, amount: int) -> Block:
            cost = cost_of(block, budget)
            kept = (block["tags"][:, 0] >= 0) & (block["score"] > 0) & np.isfinite(block["score"]) & (cost <= amount)
            found = {name: block[name][kept] for name in ("tags", "score", "row", "key")}
            return {**found, "cost": cost[kept]}

        def pick(part: Block, amount: int) -> npt.NDArray[np.int64]:
            luck = draw.uniform("information gain", part["key"])  # else equal gains would follow the pool's order
            at = np.lexsort((np.arange(len(luck)), luck))
            return at[self.order(np.ascontiguousarray(part["tags"][at]), part["score"][at], part["cost"][at], amount)]

        return choose_by_rounds(columns, budget, ("tags", "score"), eligible, pick, "the most information not yet held")
