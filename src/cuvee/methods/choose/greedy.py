"""Greedy choices over vectors of a pool that need not fit into memory: greedy in shards, then greedy over their picks.

Mirzasoleiman et al., "Distributed Submodular Maximization", JMLR 2016 (GreeDi); for k-center, Malkomes et al., NeurIPS
2015. A pool of at most ``AT_ONCE`` rows is chosen from as a whole. A larger one is cut into shards of ``SHARD_ROWS``
consecutive row numbers, whatever files they lie in. Each shard picks ``OVERSAMPLE`` times its share of the budget, and
the choice is made among these picks; if they are more than ``AT_ONCE``, each shard picks its very share, and that is
the selection. The notes say which of the three it was.

Memory: the vectors of 65,536 rows (64 MB at 256 dimensions), what the choice needs beside them, and 8 bytes for every
row taken. Trap: a shard is a stretch of the pool; where the pool is sorted, the last case is proportional to the order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from ...core import Array, Block, Budget, Columns, Decision
from ...errors import DataError
from .cut import columns_for, cost_of

AT_ONCE, SHARD_ROWS, OVERSAMPLE = 1 << 16, 1 << 14, 3
Ints = npt.NDArray[np.int64]
Pick: TypeAlias = Callable[[Array, Ints, int, Array], Ints]
"""(vectors float32 (n, d), cost int64 (n,), amount, key uint64 (n,)) -> places in the order taken, within amount."""
PickRows: TypeAlias = Callable[[Block, int], Ints]
"""(rows as ``eligible`` gives them, amount) -> places in the order taken, within amount."""
Eligible: TypeAlias = Callable[[Block, Budget, int], Block]
"""(block, budget, amount) -> the rows that may be taken, with "cost", "row", "key" and what is picked by."""


@dataclass
class Listed(Decision):
    """Rows by number, ascending, and how often each is taken."""

    rows: Ints
    times: Ints
    notes: Mapping[str, Any]
    because: str = "chosen by the greedy rule"
    needs: tuple[str, ...] = ("row",)

    def repeats(self, block: Block) -> Ints:
        if not len(self.rows):
            return np.zeros(len(block["row"]), np.int64)
        at = np.minimum(np.searchsorted(self.rows, block["row"]), len(self.rows) - 1)
        return np.where(self.rows[at] == block["row"], self.times[at], 0)

    def reasons(self, block: Block) -> list[str]:
        return [self.because if taken else "not " + self.because for taken in self.repeats(block)]


def shards(columns: Columns, names: tuple[str, ...], rows: int) -> Iterator[Block]:
    """Blocks regrouped by row number: all rows of [i * rows, (i + 1) * rows), for each i that has any."""
    held: list[Block] = []
    number = -1
    for block in columns.blocks(*names):
        begin, shard = 0, block["row"] // rows
        while begin < len(shard):
            end = int(np.searchsorted(shard, shard[begin], side="right"))
            if shard[begin] != number and held:
                yield joined(held)
                held = []
            number = int(shard[begin])
            held.append({name: values[begin:end] for name, values in block.items()})
            begin = end
    if held:
        yield joined(held)


def joined(blocks: list[Block]) -> Block:
    return {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}


def eligible(block: Block, budget: Budget, amount: int) -> Block:
    """The rows that have a vector and fit into the budget; vectors as float32, and "cost"."""
    vectors = block["embedding"].astype(np.float32)
    cost = cost_of(block, budget)
    kept = np.any(vectors != 0, axis=1) & np.isfinite(vectors).all(axis=1) & (cost <= amount)
    return {"embedding": vectors[kept], "cost": cost[kept], "row": block["row"][kept], "key": block["key"][kept]}


def choose_greedily(columns: Columns, budget: Budget, pick: Pick, because: str) -> Listed:
    """Let ``pick`` choose by vectors within the budget, at once or by shards. DataError if no row has a vector."""

    def pick_rows(part: Block, much: int) -> Ints:
        return pick(part["embedding"], part["cost"], much, part["key"])

    return choose_by_rounds(columns, budget, ("embedding",), eligible, pick_rows, because)


def choose_by_rounds(
    columns: Columns, budget: Budget, needs: tuple[str, ...], eligible: Eligible, pick: PickRows, because: str
) -> Listed:
    """The same by any columns: ``needs`` names those that ``eligible`` reads."""
    amount, total = budget.resolve(columns.totals[budget.unit]), columns.totals[budget.unit]
    names = columns_for(budget, *needs)
    whole = columns.n_rows <= AT_ONCE

    def parts() -> Iterator[Block]:
        for shard in shards(columns, names, 1 << 62 if whole else SHARD_ROWS):
            yield eligible(shard, budget, amount)

    def picked(part: Block, much: int) -> Block:
        order = pick(part, much)
        return {name: values[order] for name, values in part.items()}

    passed = spent = 0

    def own_share(part: Block) -> Block:
        """What this part may take, with what those before it have left of theirs."""
        nonlocal passed, spent
        passed += int(part["cost"].sum())
        found = picked(part, amount * passed // max(total, 1) - spent)
        spent += int(found["cost"].sum())
        return {name: found[name] for name in ("row", "cost")}

    if whole:
        found, way = [picked(part, amount) for part in parts()], "at once"
    elif OVERSAMPLE * amount / max(total, 1) * columns.n_rows <= AT_ONCE:
        candidates = [picked(p, min(amount, OVERSAMPLE * amount * int(p["cost"].sum()) // total)) for p in parts()]
        found, way = [picked(by_row(joined(candidates)), amount)] if candidates else [], "in two rounds"
    else:
        found, way = [own_share(part) for part in parts()], "shard by shard"
    rows = np.concatenate([part["row"] for part in found]) if found else np.zeros(0, np.int64)
    if not len(rows):
        what = "an embedding" if "embedding" in needs else " and ".join(needs)
        raise DataError(f"No row that fits into the budget has {what}. Give a larger budget, or check the texts.")
    notes = {"unit": budget.unit, "asked": amount, "kept": int(sum(int(part["cost"].sum()) for part in found))}
    return Listed(np.sort(rows), np.ones(len(rows), np.int64), notes | {"chosen": way}, because)


def by_row(block: Block) -> Block:
    """In the order of rows, so that ties do not depend on who picked first."""
    order = np.argsort(block["row"], kind="stable")
    return {name: values[order] for name, values in block.items()}
