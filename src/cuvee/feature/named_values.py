"""A Parquet file that says something about documents: their keys, ids or texts, and columns of numbers.

A key (uint64) is how cuvee knows a row: the hash of its id, or of its text where the pool has no ids.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from ..core import Array, Batch
from ..engine.ordered import repeated
from ..errors import DataError
from .content import string_hash


@dataclass(frozen=True, eq=False)
class NamedValues:
    """``names``: Arrow large strings, ids or (``is_text``) texts, or keys; ``key`` uint64 (n,), all different;
    ``values`` float64 (n, columns), finite."""

    names: pa.Array
    is_text: bool
    key: npt.NDArray[np.uint64]
    values: npt.NDArray[np.float64]

    @property
    def batch(self) -> Batch:
        """The texts as rows."""
        name = self.names
        offsets = np.frombuffer(name.buffers()[1], np.int64)[name.offset : name.offset + len(name) + 1]
        return Batch(np.frombuffer(name.buffers()[2] or b"", np.uint8), offsets, np.arange(len(name)), self.key)


def read(path: str, columns: tuple[str, ...], who: str) -> NamedValues:
    """The file, checked.

    Args:
        columns: the columns of numbers to read.
        who: the method that asks, for error messages.

    Raises:
        DataError: the file cannot be read, lacks a column, holds a value that is no finite number, or names a document
            twice.
    """
    try:
        there = pq.read_schema(path).names
        what = next((name for name in ("key", "text") if name in there), "id")
        lacking = [name for name in (what, *columns) if name not in there]
        if lacking:
            raise DataError(
                f"{path} has no column {lacking[0]!r}; {who} needs key, text or id, and {', '.join(columns)}."
            )
        table = pq.read_table(path, columns=[what, *columns])
        names = table.column(what).cast(pa.uint64() if what == "key" else pa.large_string()).combine_chunks()
        values: Array = np.column_stack([table.column(name).cast(pa.float64()).to_numpy() for name in columns])
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"{who} cannot read {path}: {error}") from error
    bad = np.argwhere(~np.isfinite(values))
    if len(bad):
        raise DataError(f"{path}, row {bad[0][0] + 1}: {columns[bad[0][1]]} is missing, NaN or infinite.")
    if names.null_count:
        raise DataError(f"{path}: {names.null_count} rows have no {what}.")
    key = names.to_numpy() if what == "key" else string_hash(names)
    if len(repeated(key)):
        raise DataError(f"{path} names a document twice: give each once.")
    return NamedValues(names, what == "text", key, values)
