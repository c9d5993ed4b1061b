"""In which order rows are written, and how often: pool order as a stream, or a keyed shuffle in memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ..engine.draw import bits
from ..errors import ResourceError
from .reach import BLOCK_BYTES
from .sizes import cuts, row_bytes

SHUFFLE_BYTES = 1 << 30
"""A shuffle holds every chosen row once, and some bytes for each time it is written; beyond this it is refused."""
COPY_BYTES = 56
CHUNK_BYTES = 64 << 20


@dataclass(frozen=True)
class Prepared:
    """Rows ready to be written, with how often and their keys."""

    rows: pa.RecordBatch
    weight: npt.NDArray[np.int64]
    key: npt.NDArray[np.uint64]


def in_pool_order(stream: Iterator[Prepared]) -> Iterator[pa.RecordBatch]:
    """Each row as often as its weight says, repeats side by side; batches stay near the size of a block."""
    for one in stream:
        if (one.weight == 1).all():
            yield one.rows
            continue
        sizes = row_bytes(one.rows)
        for low, high in cuts(sizes * one.weight, BLOCK_BYTES):
            if high == low + 1:
                yield from _repeat(one.rows, low, int(one.weight[low]), max(1, BLOCK_BYTES // int(sizes[low])))
            else:
                yield one.rows.take(pa.array(np.repeat(np.arange(low, high), one.weight[low:high])))


def _repeat(rows: pa.RecordBatch, at: int, times: int, step: int) -> Iterator[pa.RecordBatch]:
    for done in range(0, times, step):
        yield rows.take(pa.array(np.full(min(step, times - done), at)))


def shuffled(stream: Iterator[Prepared], seed: int, limit: int) -> Iterator[pa.RecordBatch]:
    """A permutation by a hash of seed, key and copy number: the same rows in any files come out in the same order.

    Rows with equal hashes (equal keys) stay in pool order.
    """
    chunks: list[pa.RecordBatch] = []
    held: list[pa.RecordBatch] = []
    weights, sizes, keys = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)], [np.zeros(0, np.uint64)]
    size = open_size = 0
    for one in stream:
        held.append(one.rows)
        weights.append(one.weight)
        keys.append(one.key)
        sizes.append(row_bytes(one.rows))
        size += one.rows.nbytes + COPY_BYTES * int(one.weight.sum())
        open_size += one.rows.nbytes
        if size > limit:
            raise too_large(size, limit)
        if open_size >= CHUNK_BYTES:
            chunks.append(pa.concat_batches(held))
            held, open_size = [], 0
    if held:
        chunks.append(pa.concat_batches(held))
    weight, key = np.concatenate(weights), np.concatenate(keys)
    item = np.repeat(np.arange(len(weight)), weight)
    copy = np.arange(len(item)) - np.repeat(np.cumsum(weight) - weight, weight)
    salted = key[item] ^ np.where(copy > 0, bits(seed, "copy", copy.astype(np.uint64)), np.uint64(0))
    item = item[np.argsort(bits(seed, "write order", salted), kind="stable")]
    starts = np.cumsum([0, *(chunk.num_rows for chunk in chunks)])
    for low, high in cuts(np.concatenate(sizes)[item], BLOCK_BYTES):
        yield _gather(chunks, starts, item[low:high])


def _gather(chunks: list[pa.RecordBatch], starts: npt.NDArray[np.int64], item: npt.NDArray[np.int64]) -> pa.RecordBatch:
    number = np.searchsorted(starts, item, side="right") - 1
    grouped = np.argsort(number, kind="stable")
    found = []
    for at in np.unique(number).tolist():
        wanted = item[grouped][number[grouped] == at] - starts[at]
        found.append(chunks[at].take(pa.array(wanted)))
    back = np.empty(len(item), np.int64)
    back[grouped] = np.arange(len(item))
    return pa.concat_batches(found).take(pa.array(back))


def too_large(size: int, limit: int) -> ResourceError:
    return ResourceError(
        f"Shuffling needs about {size:,} bytes of memory, more than the limit of {limit:,}. Write in pool order and "
        "let the trainer shuffle, or raise the limit."
    )
