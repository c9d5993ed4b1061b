"""Random sampling with the length distribution of a given selection: the honest control.

Many scores favour short or long rows, and models care about length; a selection that cannot beat random rows of the
same lengths has found lengths and nothing else. Lengths (UTF-8 bytes) are binned in quarter octaves; each bin gets the
share of the budget that it has in the reference selection, filled by keyed uniform draws.

Inputs: columns "bytes" and the budget's unit, of the pool and of the selection (repeated rows count as often as they
repeat). Cost: two or three passes over the keys. Traps: what a bin of the pool cannot fill is left unused and noted;
domains are not matched besides.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from ...core import Array, Block, Budget, Card, Choose, Columns, Decision, Draw
from ...errors import DataError
from ...layout import PLAN, SELECTION
from .cut import columns_for, cost_of, cut
from .quota import shares_to_amounts

BINS = 4 * 48


def length_bin(size: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The quarter-octave bin of each size in bytes."""
    return np.minimum((4 * np.log2(np.maximum(size, 1))).astype(np.int64), BINS - 1)


def matched_to(cost_by_bin: npt.NDArray[np.int64], columns: Columns, budget: Budget, draw: Draw) -> Decision:
    """Random rows whose cost per length bin follows ``cost_by_bin`` (int64, (BINS,)), scaled to the budget."""
    shares = {str(at): float(cost) for at, cost in enumerate(cost_by_bin)}
    total = budget.resolve(columns.totals[budget.unit])
    amounts = shares_to_amounts(shares, [str(at) for at in range(BINS)], total)
    return cut(
        columns,
        lambda block: draw.uniform("length_matched", block["key"]),
        budget,
        needs=("bytes",),
        group=lambda block: length_bin(block["bytes"]),
        amounts=amounts,
        measure="random draw among rows of its length",
    )


def cost_by_length(columns: Columns, decision: Decision, budget: Budget) -> npt.NDArray[np.int64]:
    """What a decision keeps per length bin, in the budget's unit."""

    def by_length(block: Block) -> tuple[Array]:
        weights = decision.repeats(block) * cost_of(block, budget)
        return (np.bincount(length_bin(block["bytes"]), weights=weights, minlength=BINS).astype(np.int64),)

    total = columns.total(by_length, *columns_for(budget, "bytes", *decision.needs))
    return total[0] if total else np.zeros(BINS, np.int64)


@dataclass(frozen=True)
class LengthMatched(Choose):
    """``like``: the folder of an earlier selection, whose lengths are matched."""

    like: str

    card: ClassVar[Card] = Card(
        summary="Random rows with the length distribution of an earlier selection.",
        family="baseline",
        needs=("an earlier selection",),
        cost="none beyond reading the pool",
        bibtex="",
        evidence="closed form: the budget per length bin is met to the row; claim: reproduced (8 seeds)",
        use_when="A selection's lengths differ from the pool's. If random rows of the same lengths do as well, the "
        "score found lengths.",
        fails_when="It matches lengths and nothing else. A length that the pool has too few rows of leaves its part of "
        "the budget unused.",
    )

    def choose(self, columns: Columns, budget: Budget, draw: Draw) -> Decision:
        import pyarrow.parquet as pq

        from ...feed.selection import Selection
        from ...source.files import reading

        path = Path(self.like)
        if path.is_dir():
            if (path / PLAN).exists():
                Selection.open(path)  # compares the digest of every byte
            path = path / SELECTION
        names = ["bytes", "weight"] + (["tokens"] if budget.unit == "tokens" else [])
        cost = np.zeros(BINS)
        with (
            reading(f"length_matched: the selection {path}", advice="Run cuvee select again."),
            pq.ParquetFile(path, page_checksum_verification=True) as file,
        ):
            for batch in file.iter_batches(columns=names):
                block: Block = {name: batch.column(name).to_numpy() for name in names}
                block["row"] = block["bytes"]
                weights = block["weight"] * cost_of(block, budget)
                cost += np.bincount(length_bin(block["bytes"]), weights=weights, minlength=BINS)
        if not cost.any():
            raise DataError(f"length_matched: the selection {path} is empty.")
        return matched_to(cost.astype(np.int64), columns, budget, draw)
