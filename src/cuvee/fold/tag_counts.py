"""How many rows carry each of some tags, as an exact Fold; and what a row's tags are.

Tags are the row's label or, where the data has no labels, its domain; several in one string stand between separators
(``"algebra; fractions"``), with spaces around them or not. A tag that stands twice in a row counts once.

State: rows int64 (1,), count int64 (tags,). Cost: strings are split once for each different one in a batch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ..core import Array, Batch, Fold, State


def split(label: str, separator: str) -> frozenset[str]:
    """The tags in one string."""
    return frozenset(part for one in label.split(separator) if (part := one.strip()))


def tagged(batch: Batch, separator: str) -> tuple[Array, list[frozenset[str]]]:
    """The place of each row among the different tag sets, int64 (n,), and these sets; rows without tags have none."""
    column: Any = batch.columns.get("label", batch.columns.get("domain"))
    if column is None:
        return np.zeros(len(batch), np.int64), [frozenset()]
    names = pc.fill_null(pc.cast(pa.array(column), pa.large_string()), "")
    encoded = pc.dictionary_encode(names)
    sets = [split(one, separator) for one in encoded.dictionary.to_pylist()]
    return encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64), sets


@dataclass(frozen=True)
class TagCounts(Fold):
    """``tags``: those to count."""

    tags: tuple[str, ...] = ("d0", "d1")
    separator: str = ";"
    exact: ClassVar[bool] = True

    def empty(self) -> State:
        return {"rows": np.zeros(1, np.int64), "count": np.zeros(len(self.tags), np.int64)}

    def lift(self, batch: Batch) -> State:
        at, sets = tagged(batch, self.separator)
        rows = np.bincount(at, minlength=len(sets))
        count = [sum(int(n) for n, one in zip(rows, sets, strict=True) if tag in one) for tag in self.tags]
        return {"rows": np.array([len(batch)], np.int64), "count": np.array(count, np.int64)}

    def merge(self, left: State, right: State) -> State:
        return {name: left[name] + right[name] for name in left}

    def finish(self, state: State) -> tuple[int, npt.NDArray[np.int64]]:
        """Rows, and rows with each tag."""
        return int(state["rows"][0]), state["count"]
