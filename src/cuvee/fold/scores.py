"""What several scoring Maps give a uniform sample of the pool: by it, scores of different kinds become comparable.

The sample is that of ``bottom_k``: the k rows with the smallest (uniform(seed, purpose, key), key, row), so that with
the same seed and purpose ``BottomK`` draws the same rows in the same order. State: draw float64 (m,), key uint64 (m,),
row int64 (m,), score float64 (m, maps), m <= k. Cost: only rows that may enter the sample are scored, all rows of the
first k, then about k log(rows / k) more; 8 bytes for each score in the sample.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from ..core import Array, Batch, Map, State
from ..engine.draw import uniform
from .kmeans import cut_texts
from .smallest_draws import SmallestDraws


def part_of(batch: Batch, chosen: Array) -> Batch:
    """A batch of some of the rows, with all their columns."""
    columns = {
        name: values[chosen] if isinstance(values, np.ndarray) else values.take(pa.array(chosen))
        for name, values in batch.columns.items()
    }
    return Batch(*cut_texts(batch, chosen), batch.row[chosen], batch.key[chosen], columns)


@dataclass(frozen=True, eq=False)
class ScoreSample(SmallestDraws):
    """The scores of the ``k`` rows with the smallest draws."""

    maps: tuple[Map, ...] = ()
    k: int = 1000
    purpose: str = "scores"
    seed: int = 0

    def empty(self) -> State:
        state: State = {"draw": np.zeros(0), "key": np.zeros(0, np.uint64), "row": np.zeros(0, np.int64)}
        return {**state, "score": np.zeros((0, len(self.maps)))}

    def of(self, batch: Batch, limit: float) -> State:
        draw = uniform(self.seed, self.purpose, batch.key)
        chosen = np.flatnonzero(draw <= limit)
        if not len(chosen):
            return self.empty()
        chosen = chosen[np.lexsort((batch.row[chosen], batch.key[chosen], draw[chosen]))][: self.k]
        chosen = np.sort(chosen)  # Maps are promised rows in order
        part = part_of(batch, chosen)
        score = np.column_stack([np.zeros((len(part), 0)), *(one.apply(part)["score"] for one in self.maps)])
        return self.first({"draw": draw[chosen], "key": part.key, "row": part.row, "score": score})
