"""What trials read, handed to worker processes through the cache: documents, row numbers, evaluation sets.

Tables of documents have the columns row int64, key uint64, and as the pool has them text large_binary, domain or label
(strings or numbers), embedding (fixed-size list of floats). Nothing is pickled.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.types as pt

from ..core import Batch
from ..engine.plan import describe
from ..engine.store import Store, digest
from ..errors import DataError
from ..source.columns import bytes_of
from .proxy import Evaluation

Rows = npt.NDArray[np.int64]
_DIGEST_BYTES = 32


def put_rows(store: Store, rows: Rows) -> str:
    """Store the global row numbers of a trial's documents, in any order; returns their cache key."""
    ordered = np.sort(np.asarray(rows, np.int64))
    key = digest("prove rows", hashlib.blake2b(ordered.tobytes(), digest_size=20).hexdigest())
    if not store.has(key):
        store.put_table(key, [pa.RecordBatch.from_pydict({"row": pa.array(ordered)})])
    return key


def get_rows(store: Store, key: str) -> Rows:
    """The row numbers that :func:`put_rows` stored, ascending; DataError when they are no longer there."""
    try:
        (batch,), _ = store.table(key)
    except FileNotFoundError as error:
        raise _lost(str(store.path(key))) from error
    return batch.column("row").to_numpy()


def evaluation_digest(evaluation: Evaluation) -> str:
    """A digest of the examples in their order, with keys and groups; not of the name."""
    return digest("prove evaluation", _parts(evaluation))


def _parts(evaluation: Evaluation) -> Any:
    batch = evaluation.batch
    sizes = np.diff(batch.offsets)
    total = hashlib.blake2b(digest_size=20)
    total.update(pa.py_buffer(np.ascontiguousarray(batch.data[batch.offsets[0] : batch.offsets[-1]])))
    columns = {
        name: values.to_pylist() if isinstance(values, pa.Array | pa.ChunkedArray) else values
        for name, values in batch.columns.items()
    }
    groups = [evaluation.groups, np.asarray(evaluation.group, np.int32)]
    return describe([sizes, total.hexdigest(), batch.key, columns, groups])


def put_evaluation(store: Store, evaluation: Evaluation) -> str:
    """Store an evaluation set; returns its digest, which is its cache key."""
    key = evaluation_digest(evaluation)
    if not store.has(key):
        batch, n = evaluation.batch, len(evaluation.batch)
        offsets = np.ascontiguousarray(batch.offsets, np.int64)
        buffers = [None, pa.py_buffer(offsets), pa.py_buffer(np.ascontiguousarray(batch.data))]
        columns = {
            "row": pa.array(batch.row),
            "key": pa.array(batch.key),
            "text": pa.Array.from_buffers(pa.large_binary(), n, buffers),
            "group": pa.array(np.asarray(evaluation.group, np.int32)),
        }
        columns |= {f"column {name}": _column(values) for name, values in batch.columns.items()}
        store.put_table(key, [pa.RecordBatch.from_pydict(columns)], {"groups": list(evaluation.groups)})
    return key


def get_evaluation(store: Store, key: str, name: str) -> Evaluation:
    """The evaluation set that :func:`put_evaluation` stored."""
    (table,), note = store.table(key)
    further = {one: one.removeprefix("column ") for one in table.schema.names if one.startswith("column ")}
    batch = _batch(
        table.select(["row", "key", "text", *further]).rename_columns(["row", "key", "text", *further.values()])
    )
    return Evaluation(name, batch, table.column("group").to_numpy(), tuple(note["groups"]))


def _column(values: Any) -> Any:
    """A batch's column as an Arrow array."""
    if isinstance(values, pa.ChunkedArray):
        return values.combine_chunks()
    if isinstance(values, pa.Array):
        return values
    flat = np.ascontiguousarray(values)
    if flat.ndim == 2:
        return pa.FixedSizeListArray.from_arrays(pa.array(flat.reshape(-1)), flat.shape[1])
    return pa.array(flat)


class Corpus:
    """The documents of all trials, on memory shared between processes; checked when first used.

    Args:
        keys: cache keys of tables whose rows ascend within and across tables.
    """

    def __init__(self, store: Store, keys: Sequence[str]) -> None:
        self.store, self.keys = store, tuple(keys)
        self._tables: list[pa.RecordBatch] | None = None

    def batch(self, rows: Rows) -> Batch:
        """The documents of these rows (ascending; a repeated row is repeated).

        Raises:
            DataError: a row is missing, or the cache was damaged or emptied meanwhile.
        """
        if self._tables is None:
            self._tables = [part for key in self.keys for part in _mapped(self.store, key)]
        found, begin = [], 0
        for table in self._tables:
            here = table.column("row").to_numpy()
            if not len(here):
                continue
            end = int(np.searchsorted(rows, here[-1], side="right"))
            part, begin = rows[begin:end], end
            if len(part):
                at = np.searchsorted(here, part)
                if not np.array_equal(here[at], part):
                    raise _missing(part[here[at] != part][0])
                found.append(table.take(pa.array(at)))
        if begin < len(rows):
            raise _missing(rows[begin])
        if not found:
            raise DataError("There is nothing to train on: the arm holds no document.")
        return _batch(pa.Table.from_batches(found).combine_chunks().to_batches()[0])


def _missing(row: int) -> DataError:
    return DataError(f"Row {row} of the pool is not among the documents gathered for the trials.")


def _mapped(store: Store, key: str) -> list[pa.RecordBatch]:
    """A stored table's batches without a copy, after comparing its digest."""
    path = store.path(key)
    try:
        raw = pa.memory_map(str(path)).read_buffer()
    except OSError as error:
        raise _lost(str(path)) from error
    body = raw.slice(0, max(0, raw.size - _DIGEST_BYTES))
    if hashlib.blake2b(body, digest_size=_DIGEST_BYTES).digest() != raw.slice(body.size).to_pybytes():
        raise _lost(str(path))
    return list(pa.ipc.open_stream(body))


def _lost(path: str) -> DataError:
    return DataError(
        f"The cache's copy of the trials' documents, {path}, is missing or damaged. Run the same command again: it is "
        "made anew."
    )


def _batch(table: pa.RecordBatch) -> Batch:
    """A table's rows as a batch, on Arrow's own memory."""
    n = table.num_rows
    names = table.schema.names
    data, offsets = np.zeros(0, np.uint8), np.zeros(n + 1, np.int64)
    if "text" in names:
        data, offsets, _ = bytes_of(table.column("text"))
    columns: dict[str, Any] = {}
    for name in names:
        if name not in ("row", "key", "text"):
            columns[name] = _values(table.column(name))
    return Batch(data, offsets, table.column("row").to_numpy(), table.column("key").to_numpy(), columns)


def _values(array: Any) -> Any:
    """Numbers as NumPy arrays of one or two dimensions; all else as it is."""
    if pt.is_fixed_size_list(array.type):
        return array.flatten().to_numpy(zero_copy_only=False).reshape(len(array), array.type.list_size)
    numeric = pt.is_integer(array.type) or pt.is_floating(array.type)
    return array.to_numpy(zero_copy_only=False) if numeric else array
