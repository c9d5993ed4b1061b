"""Structurally diverse sampling (for ``score/structural_diversity.py``): the loop over compounds and templates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from ...core import Array, Block, Budget, Card, Choose, Columns, Decision, Draw
from ...engine.kernel import kernel
from .cut import cost_of
from .greedy import choose_by_rounds

int64: Any = np.int64  # casts that fix a kernel's types; mypy need not follow them


@kernel
def sample_structures(
    tags: Array,
    holders: Array,
    start: Array,
    template: Array,
    templates: int,
    frequency: Array,
    compound_luck: Array,
    row_luck: Array,
    cost: Array,
    amount: int,
    order: Array,
) -> int:
    """Picks into ``order``; returns how many.

    ``tags`` int32 (n, most) of compounds, -1 behind the last; ``holders[start[c]:start[c + 1]]`` are the rows with
    compound c. Compounds go by how many remaining rows have them, rows by their template's ``frequency``; equals by
    smaller luck.
    """
    compounds, n = len(start) - 1, len(tags)
    left_with = np.zeros(compounds, np.int64)
    for c in range(compounds):
        left_with[c] = start[c + 1] - start[c]
    sampled, used, taken = np.zeros(compounds, np.bool_), np.zeros(templates, np.bool_), np.zeros(n, np.bool_)
    left_of = np.zeros(templates, np.int64)
    for i in range(n):
        left_of[template[i]] += 1
    count, left = int64(0), amount
    while count < len(order):
        best = int64(-1)
        for _again in range(2):
            for c in range(compounds):
                if left_with[c] > 0 and not sampled[c]:
                    more = best < 0 or left_with[c] > left_with[best]
                    if more or (left_with[c] == left_with[best] and compound_luck[c] < compound_luck[best]):
                        best = int64(c)
            if best >= 0:
                break
            sampled[:] = False  # every compound that is left was sampled: the next cycle begins
        if best < 0:
            break
        chosen, fresh = int64(-1), False
        for at in range(start[best], start[best + 1]):
            i = holders[at]
            if taken[i]:
                continue
            new = not used[template[i]]
            better = chosen < 0 or (new and not fresh)
            if not better and new == fresh:
                a, b = frequency[template[i]], frequency[template[chosen]]
                better = a > b or (a == b and row_luck[i] < row_luck[chosen])
            if better:
                chosen, fresh = int64(i), new
        if cost[chosen] > left:
            break
        order[count], taken[chosen] = chosen, True
        count += 1
        left -= cost[chosen]
        for j in range(tags.shape[1]):
            if tags[chosen, j] < 0:
                break
            left_with[tags[chosen, j]] -= 1
            sampled[tags[chosen, j]] = True
        used[template[chosen]] = True
        left_of[template[chosen]] -= 1
        over = True
        for t in range(templates):
            if left_of[t] > 0 and not used[t]:
                over = False
                break
        if over:
            used[:] = False
    return count


@dataclass(frozen=True)
class Structure(Choose):
    """``by_frequency``: of new templates the most frequent first, not any."""

    templates: str = "domain"
    by_frequency: bool = False
    by_priority: ClassVar[bool] = False
    card: ClassVar[Card] = Card("Structures in turn.", "choose", ("tags",), "see structural_diversity", "", "see there")

    def order(
        self, tags: Array, template: Array, frequency: Array, lucks: tuple[Array, Array], cost: Array, amount: int
    ) -> npt.NDArray[np.int64]:
        """Places in the order taken; ``frequency`` float64 (templates,), ``lucks`` of compounds and of rows."""
        row, _ = np.nonzero(tags >= 0)
        flat = tags[tags >= 0].astype(np.int64)
        by_compound = np.argsort(flat, kind="stable")
        compounds = int(flat.max(initial=-1)) + 1
        start = np.searchsorted(flat[by_compound], np.arange(compounds + 1)).astype(np.int64)
        order = np.empty(min(len(tags), int(amount)), np.int64)
        given = (np.asarray(frequency, np.float64), lucks[0][:compounds], lucks[1], np.asarray(cost, np.int64), amount)
        holders = row[by_compound].astype(np.int64)
        found = sample_structures(tags, holders, start, template, len(frequency), *given, order)
        return order[:found]

    def choose(self, columns: Columns, budget: Budget, draw: Draw) -> Decision:
        def eligible(block: Block, budget: Budget, amount: int) -> Block:
            cost = cost_of(block, budget)
            kept = (block["tags"][:, 0] >= 0) & (cost <= amount)
            return {name: block[name][kept] for name in ("tags", "domain", "row", "key")} | {"cost": cost[kept]}

        def pick(part: Block, amount: int) -> npt.NDArray[np.int64]:
            tags, n = np.ascontiguousarray(part["tags"]), len(part["row"])
            template = np.arange(n)
            if self.templates == "domain":
                template = np.unique(part["domain"], return_inverse=True)[1]
            found = np.bincount(template, minlength=int(template.max(initial=-1)) + 1) * (
                1.0 if self.by_frequency else 0
            )
            compounds = np.arange(int(tags.max(initial=-1)) + 1, dtype=np.uint64)
            lucks = draw.uniform("structure compounds", compounds), draw.uniform("structure rows", part["key"])
            return self.order(tags, template.astype(np.int64), found, lucks, part["cost"], amount)

        return choose_by_rounds(columns, budget, ("tags", "domain"), eligible, pick, "a structure whose turn it was")
