"""In which order rows are written, and how often: pool order as a stream, or a keyed shuffle in memory.

A shuffled order is known before any document is read, from the keys and repeats in the selection. So a part of it, a
run of consecutive documents, holds in memory no more than its own rows, which come from all over the pool.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ..engine.draw import bits
from ..errors import ResourceError
from .reach import BLOCK_BYTES
from .selection import Selection
from .sizes import cuts, row_bytes

SHUFFLE_BYTES = 1 << 30
"""A shuffle holds every chosen row once, and some bytes for each time it is written; beyond this it is refused."""
COPY_BYTES = 56
CHUNK_BYTES = 64 << 20
HASHED = 1 << 20
"""Documents that are hashed at once."""
BINS, BIN_SHIFT = 1 << 16, np.uint64(48)


@dataclass(frozen=True)
class Prepared:
    """Rows ready to be written, with how often."""

    rows: pa.RecordBatch
    weight: npt.NDArray[np.int64]


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


@dataclass(frozen=True)
class Run:
    """A run of the shuffled order.

    Attributes:
        place: int64, (k,): the places in the selection of the rows in it, ascending.
        weight: int64, (k,): how often each is in it.
        item: int64, (n,): which of these rows each of its documents is, in order.
    """

    place: npt.NDArray[np.int64]
    weight: npt.NDArray[np.int64]
    item: npt.NDArray[np.int64]


def shuffled_run(selection: Selection, total: int, seed: int, part: tuple[int, int], limit: int) -> Run:
    """The I-th of N runs, which differ by a document at most, of the order by a hash of seed, key and copy number.

    Documents of equal hashes (equal keys) stay in pool order. Two passes over keys and repeats: one counts by the upper
    bits of the hash, so that the other need not hold what belongs to other runs.

    Args:
        total: how many documents all runs have together, repeats counted.
    """
    low, high = total * (part[0] - 1) // part[1], total * part[0] // part[1]
    if COPY_BYTES * (high - low) > limit:
        raise too_large(COPY_BYTES * (high - low), limit)
    first, last, before = 0, BINS - 1, 0
    if part != (1, 1):
        counts = np.zeros(BINS, np.int64)
        for _, hashes in _hashes(selection, seed):
            counts += np.bincount((hashes >> BIN_SHIFT).astype(np.int64), minlength=BINS)
        ends = np.cumsum(counts)
        first, last = np.searchsorted(ends, [low, high - 1], side="right").tolist()
        before = int(ends[first] - counts[first])
    places, kept = [np.zeros(0, np.int64)], [np.zeros(0, np.uint64)]
    for place, hashes in _hashes(selection, seed):
        number = hashes >> BIN_SHIFT
        mine = (number >= first) & (number <= last)
        places.append(place[mine])
        kept.append(hashes[mine])
    order = np.argsort(np.concatenate(kept), kind="stable")[low - before : high - before]
    rows, item = np.unique(np.concatenate(places)[order], return_inverse=True)
    return Run(rows, np.bincount(item, minlength=len(rows)), item)


def _hashes(selection: Selection, seed: int) -> Iterator[tuple[npt.NDArray[np.int64], npt.NDArray[np.uint64]]]:
    """(place in the selection, hash) of every document, in pool order, a row's copies side by side."""
    first = 0
    for key, weight in selection.weights():
        for low, high in cuts(weight, HASHED):
            documents = int(weight[low:high].sum())
            for done in range(0, documents, HASHED):  # more than one step only for a single row
                size = min(HASHED, documents - done)
                if high == low + 1:
                    row, copy = np.full(size, low), np.arange(done, done + size)
                else:
                    row = np.repeat(np.arange(low, high), weight[low:high])
                    copy = np.arange(size) - np.repeat(np.cumsum(weight[low:high]) - weight[low:high], weight[low:high])
                salt = np.where(copy > 0, bits(seed, "copy", copy.astype(np.uint64)), np.uint64(0))
                yield first + row, bits(seed, "write order", key[row] ^ salt)
        first += len(key)


def shuffled(stream: Iterator[Prepared], item: npt.NDArray[np.int64], limit: int) -> Iterator[pa.RecordBatch]:
    """The rows of the stream in the order of a run: the same rows in any files come out in the same order.

    Args:
        item: see :class:`Run`; the stream has its rows, in their order.
    """
    chunks: list[pa.RecordBatch] = []
    held: list[pa.RecordBatch] = []
    sizes = [np.zeros(0, np.int64)]
    size, open_size = COPY_BYTES * len(item), 0
    for one in stream:
        held.append(one.rows)
        sizes.append(row_bytes(one.rows))
        size += one.rows.nbytes
        open_size += one.rows.nbytes
        if size > limit:
            raise too_large(size, limit)
        if open_size >= CHUNK_BYTES:
            chunks.append(pa.concat_batches(held))
            held, open_size = [], 0
    if held:
        chunks.append(pa.concat_batches(held))
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
