"""Batches as the engine takes them: bad rows emptied, large batches cut."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from .base import Bad, RawBatch, Spec
from .columns import Flags, Offsets, embedding_of, find, label_of, string_of, text_of, tokens_of
from .simd import without

BATCH_ROWS = 4096
BATCH_BYTES = 4 << 20


def assemble(batch: RawBatch) -> RawBatch:
    """The batch with the values of its bad rows removed."""
    hurt = batch.bad > 0
    if not hurt.any():
        return batch
    sizes = np.diff(batch.offsets)
    if sizes[hurt].any():
        kept, ends = np.empty(int(sizes[~hurt].sum()), np.uint8), np.empty(len(hurt) + 1, np.int64)
        without(batch.data, batch.offsets, batch.bad, kept, ends)
        batch.data, batch.offsets = kept, ends
    for role, values in batch.columns.items():
        if isinstance(values, np.ndarray):
            values = values.copy()
            values[hurt] = 0
        else:
            values = pc.if_else(pa.array(hurt), pa.scalar(None, values.type), values)
        batch.columns[role] = values
    return batch


def to_raw(
    columns: Any, first_row: int, spec: Spec, width: Callable[[], int], name: str, line: Offsets | None = None
) -> RawBatch:
    """What the spec asks for, from one record batch."""
    n = columns.num_rows
    data, offsets, bad = np.zeros(0, np.uint8), np.zeros(n + 1, np.int64), np.zeros(n, np.uint8)
    if spec.text is not None:
        data, offsets, bad = text_of(find(columns, spec.text, name), spec.text, name)
    out: dict[str, Any] = {}
    reasons: Flags
    for role in ("id", "tokens", "domain", "label", "embedding"):
        path = getattr(spec, role)
        if path is None:
            continue
        array = find(columns, path, name)
        if role == "id":
            out[role], reasons = string_of(array, path, name, Bad.NO_ID, False)
        elif role == "tokens":
            out[role], reasons = tokens_of(array, path, name)
        elif role == "domain":
            out[role], reasons = string_of(array, path, name, Bad.OK, True)
        elif role == "label":
            out[role], reasons = label_of(array, path, name)
        else:
            out[role], reasons = embedding_of(array, path, name, width())
        bad = np.where(bad > 0, bad, reasons).astype(np.uint8, copy=False)
    return assemble(RawBatch(first_row, data, offsets, bad, line, out))


def pieces(batch: RawBatch, skip: int = 0) -> Iterator[RawBatch]:
    """Cut a batch, less its first ``skip`` rows, into batches of at most 4,096 rows and about 4 MB of text."""
    at, n = skip, len(batch)
    while at < n:
        stop = int(np.searchsorted(batch.offsets, batch.offsets[at] + BATCH_BYTES, side="right")) - 1
        stop = min(max(stop, at + 1), at + BATCH_ROWS, n)
        yield RawBatch(
            batch.first_row + at,
            batch.data,
            batch.offsets[at : stop + 1],
            batch.bad[at:stop],
            None if batch.line is None else batch.line[at:stop],
            {role: values[at:stop] for role, values in batch.columns.items()},
        )
        at = stop
