"""ClusterClip: every cluster gets the same, and no row is repeated more than a few times.

Shao et al., "Balanced Data Sampling for Language Model Training with Clustering", Findings of ACL 2024, arXiv
2402.14526. The paper draws a cluster uniformly among the active ones, and reads its rows in epochs; a cluster whose
rows have all been repeated ``repeats`` times is no longer active. For a budget B and clusters of sizes N_j (in the
budget's unit) the expected amounts are

    m_j = min(level, repeats * N_j),   sum_j m_j = B,

computed here exactly (whole numbers, the remainder to the lowest cluster numbers). Every row of a cluster is taken
floor(m_j / N_j) times, and the rows first by a keyed draw once more until m_j is full.

``tail`` merges the smallest clusters into one, as BLAST does with the cells of its grid before it draws cells uniformly
(arXiv 2505.17871; there 0.001, and no limit of repetitions): otherwise ``k`` tiny clusters get k parts.

Inputs: a column "cluster" (``--with clusters``); rows of cluster -1 are never taken. Cost: three or four passes over
the columns. Traps: uniform over clusters over-weights junk: combine with a filter, and see ``notes``; the release holds
no sampler, so the rule follows the paper's text; ``repeats`` = 5 is not the paper's word.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from ...core import Block, Budget, Card, Choose, Columns, Decision, Draw
from ...errors import DataError, UsageError
from .cut import Prefix, columns_for, cost_of, cut

Ints = npt.NDArray[np.int64]


def water_level(size: Ints, amount: int, repeats: int) -> Ints:
    """m_j = min(level, repeats * size_j) in whole numbers that sum to ``amount``; int64 (clusters,)."""
    most = size * repeats
    if amount >= int(most.sum()):
        return most
    low, high = 0, int(most.max())
    while low < high:  # the highest whole level within the amount
        middle = (low + high + 1) // 2
        low, high = (middle, high) if int(np.minimum(most, middle).sum()) <= amount else (low, middle - 1)
    found = np.minimum(most, low)
    found[np.flatnonzero(most > low)[: amount - int(found.sum())]] += 1
    return found


def merge_tail(size: Ints, tail: float) -> Ints:
    """Where each cluster goes, int64 (clusters,): the smallest to one common place, the last; others stay."""
    place, order = np.arange(len(size)), np.argsort(size, kind="stable")
    beyond = np.flatnonzero(np.cumsum(size[order]) > tail * size.sum())
    if tail > 0 and len(beyond):
        place[size < size[order[beyond[0]]]] = len(size)
    return place


@dataclass
class Epochs(Decision):
    """Whole epochs of each cluster, and part of one more."""

    epochs: Ints
    place: Ints
    rest: Prefix
    needs: tuple[str, ...]
    notes: Mapping[str, Any]

    def repeats(self, block: Block) -> Ints:
        whole = np.where(block["cluster"] >= 0, self.epochs[self.place[np.maximum(block["cluster"], 0)]], 0)
        return np.asarray(whole + self.rest.repeats(block), np.int64)

    def reasons(self, block: Block) -> list[str]:
        pairs = zip(block["cluster"], self.repeats(block), strict=True)
        return [f"cluster {c}: taken {n} times" if c >= 0 else "no vector, so in no cluster" for c, n in pairs]


@dataclass(frozen=True)
class ClusterClip(Choose):
    """``repeats``: the most times that a row is taken; ``tail``: the smallest clusters, which together hold at most
    about this share of the pool, count as one."""

    repeats: int = 5
    tail: float = 0.0

    by_priority: ClassVar[bool] = False
    card: ClassVar[Card] = Card(
        summary="The same from every cluster, small ones repeated a few times at most.",
        family="choose",
        needs=("cluster",),
        cost="three or four passes over the cluster numbers",
        bibtex="""@inproceedings{shao2024clusterclip,
  title={Balanced Data Sampling for Language Model Training with Clustering},
  author={Shao, Yunfan and Li, Linyang and Fei, Zhaoye and Yan, Hang and Lin, Dahua and Qiu, Xipeng},
  booktitle={Findings of the Association for Computational Linguistics},
  year={2024}
}""",
        evidence="closed form: water-filling; mean counts of the paper's loop; claim: reproduced (8 seeds)",
        use_when="Every cluster should have the same part of the budget. `clusters` uses it by itself.",
        fails_when="Every cluster counts the same, one of junk as well: filter first. It was shown to help with "
        "planted clusters; with found ones it was not (claims clusters, blast).",
    )

    def __post_init__(self) -> None:
        if self.repeats < 1:
            raise UsageError(f"cluster_clip: repeats must be at least 1, not {self.repeats}.")
        if not 0 <= self.tail < 1:
            raise UsageError(f"cluster_clip: tail is a share from 0 to below 1, not {self.tail}.")

    def choose(self, columns: Columns, budget: Budget, draw: Draw) -> Decision:
        amount, names = budget.resolve(columns.totals[budget.unit]), columns_for(budget, "cluster")
        size = np.zeros(1, np.int64)
        for block in columns.blocks(*names):
            used = block["cluster"] >= 0
            part = np.zeros(max(len(size), int(block["cluster"].max(initial=0)) + 1), np.int64)
            np.add.at(part, block["cluster"][used], cost_of(block, budget)[used])
            part[: len(size)] += size
            size = part
        if not size.any():
            raise DataError("No row has a vector, so there are no clusters to choose from.")
        place = merge_tail(size, self.tail)
        size = np.bincount(place, weights=size, minlength=len(size) + 1).astype(np.int64)  # exact below 2**53
        amounts = water_level(size, amount, self.repeats)
        epochs = amounts // np.maximum(size, 1)

        def priority(block: Block) -> npt.NDArray[np.float64]:
            return np.where(block["cluster"] >= 0, draw.uniform("cluster_clip", block["key"]), -np.inf)

        def group(block: Block) -> Ints:
            return place[np.maximum(block["cluster"], 0)]

        rest = cut(columns, priority, budget, needs=("cluster",), group=group, amounts=amounts - epochs * size)
        used_up = rest.notes.get("kept", 0) + int((epochs * size).sum())
        filled = size > 0
        notes = {
            "unit": budget.unit,
            "asked": amount,
            "kept": used_up,
            "clusters": int(filled.sum()),
            "clusters_at_the_cap": int((amounts == size * self.repeats)[filled].sum()),
            "most_repeats": int((epochs + (amounts > epochs * size)).max()),
            "from_clusters_below_the_median": float(amounts[filled & (size < np.median(size[filled]))].sum() / amount),
        }
        return Epochs(epochs, place, rest, tuple(dict.fromkeys((*rest.needs, "cluster"))), notes)
