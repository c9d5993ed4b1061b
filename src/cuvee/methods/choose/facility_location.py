"""Facility location: rows such that every row of the pool has a similar one among them.

The classic monotone submodular objective (Nemhauser, Wolsey and Fisher 1978; for training data: Wei, Iyer and Bilmes,
ICML 2015):

    F(A) = sum_i max_{j in A} s_ij,   s_ij = max(x_i . x_j, 0),

greedy by F's gain, with stale gains as upper bounds (Minoux 1978, the same picks), which reaches 1 - 1/e of the
optimum. Of the submodular functions of that literature it is the one offered (with ``mig``'s sum over tags): saturated
coverage, graph cut and facilities for a target's rows are left out. The sum runs over at most ``represented`` rows
drawn by key, of each shard or round (0: all): their similarities are what has to be held in memory. A pool of more than
65,536 rows is chosen from in two rounds (``greedy.py``).

Inputs: a column "embedding" of unit vectors (``--with embedding``). Cost: rows x represented x dimensions once, at some
20 billion multiplications a second, and 4 bytes of memory for each similarity. Traps: dense regions count by their
rows, so that near copies of one text draw a representative each only if they are many; a row that resembles nothing is
never taken.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from ...core import Array, Budget, Card, Choose, Columns, Decision, Draw
from ...errors import UsageError
from ...feature.embed import similarities
from .greedy import choose_greedily
from .greedy_kernels import lazy_cover


def cover(
    similarity: Array, cost: Array, amount: int, already: Array | None = None
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Greedy picks and their gains, for similarities (candidates, represented), none negative.

    ``already``, (represented,), is how well each is covered before.
    """
    found = np.ascontiguousarray(similarity)
    covered = np.zeros(found.shape[1], found.dtype) if already is None else np.array(already, found.dtype)
    order = np.empty(min(len(found), int(amount)), np.int64)
    gains = np.empty(len(order))
    count = lazy_cover(found, np.asarray(cost, np.int64), amount, covered, order, gains)
    return order[:count], gains[:count]


@dataclass(frozen=True)
class FacilityLocation(Choose):
    """``represented``: how many rows, drawn by key, the sum runs over (0: all)."""

    represented: int = 4096

    by_priority: ClassVar[bool] = False
    card: ClassVar[Card] = Card(
        summary="Rows such that every row has a similar one among them: greedy facility location.",
        family="choose",
        needs=("embedding",),
        cost="rows x represented x dimensions; 4 bytes of memory for each similarity",
        bibtex="""@inproceedings{wei2015submodularity,
  title={Submodularity in Data Subset Selection and Active Learning},
  author={Wei, Kai and Iyer, Rishabh and Bilmes, Jeff},
  booktitle={International Conference on Machine Learning},
  year={2015}
}""",
        evidence="order and gains of apricot 0.6.1 and submodlib 0.0.3; claim: reproduced (8 seeds)",
        use_when="Every row of the pool should have a similar one in a small selection, for instance of rows to label.",
        fails_when="A row that resembles nothing is never taken, and where a random sample covers the pool as well "
        "nothing is gained; to train a language model on, it was not shown to be better than random rows.",
    )

    def __post_init__(self) -> None:
        if self.represented < 0:
            raise UsageError(f"facility_location: represented must be at least 0, not {self.represented}.")

    def choose(self, columns: Columns, budget: Budget, draw: Draw) -> Decision:
        def pick(vectors: Array, cost: Array, amount: int, key: Array) -> Array:
            order = np.lexsort((np.arange(len(key)), draw.uniform("facility location", key)))
            drawn = np.sort(order[: self.represented or None])
            similarity = similarities(vectors, vectors[drawn])
            np.maximum(similarity, 0, out=similarity)
            return cover(similarity, cost, amount)[0]

        return choose_greedily(columns, budget, pick, "the best cover of rows not yet covered")
