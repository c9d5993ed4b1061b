"""A keyed sample of vectors with their labels, that merges: see :class:`cuvee.fold.kmeans.VectorSample`.

State: as there, and label uint64 (m,), a hash of each label's text. Inputs: rows with a column of labels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ..core import Array, Batch, State
from ..errors import DataError
from ..feature.content import string_hash
from .kmeans import VectorSample


def label_hash(batch: Batch, column: str) -> npt.NDArray[np.uint64]:
    """A hash of every row's label, uint64 (n,).

    Raises:
        DataError: there is no such column, or a label is missing.
    """
    values = batch.columns.get(column)
    if values is None:
        raise DataError(
            "A classifier needs labels in pool and target: name their column with --label, or give both domains."
        )
    plain = values.tolist() if isinstance(values, np.ndarray) else values.to_pylist()
    for row, value in zip(batch.row.tolist(), plain, strict=True):
        if value is None or value != value:
            raise DataError(f"Row {row + 1} has no label (column '{column}').")
    return string_hash(pa.array([str(one) for one in plain], pa.large_string()))


@dataclass(frozen=True)
class LabelledSample(VectorSample):
    """``column``: the role of the labels, "label" or "domain"."""

    column: str = "domain"

    def empty(self) -> State:
        return super().empty() | {"label": np.zeros(0, np.uint64)}

    def of(self, batch: Batch, limit: float) -> State:
        labels: Array = label_hash(batch, self.column)
        found = super().of(batch, limit)
        at = np.searchsorted(batch.row, found["row"])
        return found | {"label": labels[at]}
