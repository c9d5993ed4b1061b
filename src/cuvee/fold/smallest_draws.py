"""What samples of numbers share: of the rows those ``k`` with the smallest keyed draws, by (draw, key, row).

Bottom-k sampling, as :mod:`cuvee.fold.bottom_k` does it for texts. A subclass is a dataclass with ``k``, ``purpose``
and ``seed``, and says with :meth:`of` what it keeps of a row. State: draw float64 (m,), key uint64 (m,), row int64
(m,), and the subclass's arrays, all with m <= k rows.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

import numpy as np

from ..core import Batch, Fold, State


class SmallestDraws(Fold):
    """See the module's docstring."""

    k: int
    purpose: str
    seed: int
    exact: ClassVar[bool] = True

    @abstractmethod
    def of(self, batch: Batch, limit: float) -> State:
        """The state of the batch's rows whose draw is at most ``limit``."""

    def lift(self, batch: Batch) -> State:
        return self.of(batch, np.inf)

    def update(self, state: State, batch: Batch) -> State:
        return self.merge(state, self.of(batch, state["draw"][-1] if len(state["draw"]) == self.k else np.inf))

    def merge(self, left: State, right: State) -> State:
        if not len(right["row"]):
            return left
        return self.first({name: np.concatenate([left[name], right[name]]) for name in left})

    def first(self, state: State) -> State:
        """The rows of a state that stay."""
        order = np.lexsort((state["row"], state["key"], state["draw"]))[: self.k]
        return {name: array[order] for name, array in state.items()}
