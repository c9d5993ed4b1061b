"""The vectors of the rows with given keys, as a Fold: one for each key, in the order of the keys.

State: key uint64 (m,), row int64 (m,), vectors float32 (m, d), in the order of (key, row). Rows without a vector are
left out. Memory: 4 d bytes for each row found. Trap: rows with the same key (equal texts without ids) are all kept.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from ..core import Batch, Fold, State
from ..feature.embed import Embedder
from ..feature.static_embedding import StaticEmbedding
from .kmeans import cut_texts


@dataclass(frozen=True, eq=False)
class KeyedVectors(Fold):
    """``keys`` uint64, ascending."""

    keys: npt.NDArray[np.uint64] = field(default_factory=lambda: np.zeros(0, np.uint64))
    embedder: Embedder = field(default_factory=StaticEmbedding)
    exact: ClassVar[bool] = True

    def empty(self) -> State:
        vectors = np.zeros((0, self.embedder.width), np.float32)
        return {"key": np.zeros(0, np.uint64), "row": np.zeros(0, np.int64), "vectors": vectors}

    def lift(self, batch: Batch) -> State:
        first, last = (np.searchsorted(self.keys, batch.key, side) for side in ("left", "right"))
        chosen = np.flatnonzero(first < last)
        columns = {name: values[chosen] for name, values in batch.columns.items() if name == "embedding"}
        part = Batch(*cut_texts(batch, chosen), batch.row[chosen], batch.key[chosen], columns)
        vectors = self.embedder.vectors(part)
        some = np.any(vectors != 0, axis=1)
        return self._ordered({"key": part.key[some], "row": part.row[some], "vectors": vectors[some]})

    def _ordered(self, state: State) -> State:
        order = np.lexsort((state["row"], state["key"]))
        return {name: values[order] for name, values in state.items()}

    def merge(self, left: State, right: State) -> State:
        if not len(right["row"]):
            return left
        return self._ordered({name: np.concatenate([left[name], right[name]]) for name in left})


@dataclass(frozen=True, eq=False)
class Present(Fold):
    """How many rows have a key among ``keys``, uint64, ascending. State: count int64 (1,)."""

    keys: npt.NDArray[np.uint64] = field(default_factory=lambda: np.zeros(0, np.uint64))
    exact: ClassVar[bool] = True

    def empty(self) -> State:
        return {"count": np.zeros(1, np.int64)}

    def lift(self, batch: Batch) -> State:
        first, last = (np.searchsorted(self.keys, batch.key, side) for side in ("left", "right"))
        return {"count": np.array([np.count_nonzero(first < last)], np.int64)}

    def merge(self, left: State, right: State) -> State:
        return {"count": left["count"] + right["count"]}

    def finish(self, state: State) -> int:
        return int(state["count"][0])
