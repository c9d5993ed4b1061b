"""How many bytes each row of a batch takes, so that work can be cut by size even where one row is huge."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.types as pt

from ..source.columns import bytes_of, is_stringlike

Sizes = npt.NDArray[np.int64]


def row_bytes(batch: pa.RecordBatch) -> Sizes:
    """(n,) bytes per row, at least 1; exact for strings, lists and structs of them, else the column's mean."""
    total = np.ones(batch.num_rows, np.int64)
    for column in batch.columns:
        total += _sizes(column)
    return total


def _sizes(array: Any) -> Sizes:
    kind = array.type
    if isinstance(array, pa.ExtensionArray):
        return _sizes(array.storage)
    if is_stringlike(kind):
        return np.diff(bytes_of(array)[1])
    if pt.is_struct(kind):
        found = np.zeros(len(array), np.int64)
        for child in array.flatten():
            found += _sizes(child)
        return found
    if pt.is_list(kind) or pt.is_large_list(kind):
        ends = array.offsets.to_numpy(zero_copy_only=False)
        below = _sizes(array.values.slice(int(ends[0]), int(ends[-1] - ends[0])))
        return np.diff(np.concatenate([[0], np.cumsum(below)])[ends - ends[0]])
    return np.full(len(array), int(array.nbytes) // max(1, len(array)), np.int64)


def cuts(sizes: Sizes, limit: int) -> list[tuple[int, int]]:
    """Runs of rows of at most ``limit`` bytes together, or of one larger row."""
    ends = np.cumsum(sizes)
    found, low, before = [], 0, 0
    while low < len(ends):
        high = max(low + 1, int(np.searchsorted(ends, before + limit, side="right")))
        found.append((low, high))
        low, before = high, int(ends[high - 1])
    return found
