"""Exact quantiles of a column that does not fit into memory.

The same numbers as ``numpy.quantile`` (linear interpolation between neighbouring order statistics: the position of
probability p among n values is (n - 1) p). Each value is mapped to an unsigned integer of the same order; a histogram
over the upper 16 bits finds the bins that hold the wanted ranks, and these are refined, 16 bits a pass, until what is
left in them can be sorted (radix selection). Integer counts alone decide, so blocks may be cut anywhere.

Cost: two passes over the column as a rule, five at most; memory is 1 MB and the rows of the last bins. NaN is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
import numpy.typing as npt

from ..core import Block, Columns
from ..errors import DataError

SORT_ROWS = 1 << 17
"""Bins with at most this many rows together are sorted in memory."""
_SIGN = np.uint64(1 << 63)
_STEP = 16

Codes = npt.NDArray[np.uint64]


def encode(values: npt.NDArray[np.float64]) -> Codes:
    """Unsigned integers in the order of the numbers; -0.0 counts as 0.0."""
    raw = (np.asarray(values, dtype=np.float64) + 0.0).view(np.uint64)
    return np.where(raw & _SIGN, ~raw, raw | _SIGN)


def decode(codes: Codes) -> npt.NDArray[np.float64]:
    """The numbers of :func:`encode`'s integers."""
    return np.where(codes & _SIGN, codes ^ _SIGN, ~codes).view(np.float64)


def _column(name: str, block: Block) -> Codes:
    values = block[name]
    bad = np.flatnonzero(np.isnan(values))
    if len(bad):
        row = int(block["row"][bad[0]])
        raise DataError(f"Column '{name}' is not a number in row {row}: its quantiles cannot be computed.")
    return encode(values)


def _histogram(block: Block, name: str, bins: Codes, depth: int) -> tuple[npt.NDArray[np.int64]]:
    """How many rows have each of the next bits, per bin: int64, (bins, 2**16)."""
    codes = _column(name, block) >> np.uint64(64 - depth - _STEP)
    upper = codes >> np.uint64(_STEP)
    place = np.minimum(np.searchsorted(bins, upper), len(bins) - 1)
    live = bins[place] == upper
    flat = place[live] * (1 << _STEP) + (codes[live] & np.uint64((1 << _STEP) - 1)).astype(np.int64)
    return (np.bincount(flat, minlength=len(bins) << _STEP).reshape(len(bins), -1),)


def _inside(block: Block, name: str, bins: Codes, depth: int) -> Codes:
    """The codes that lie in one of the bins."""
    codes = _column(name, block)
    return codes[np.isin(codes >> np.uint64(64 - depth), bins)]


def order_statistics(columns: Columns, name: str, ranks: Sequence[int]) -> npt.NDArray[np.float64]:
    """The values that stand at the given ranks (from 0) in the sorted column."""
    wanted = np.asarray(ranks, dtype=np.int64)
    prefix = np.zeros(len(wanted), np.uint64)  # settled upper bits per wanted rank
    left = wanted.copy()  # rank inside the bin that the prefix names
    depth = 0
    while depth < 64:
        bins = np.unique(prefix)
        (counts,) = columns.total(partial(_histogram, name=name, bins=bins, depth=depth), name, "row")
        running = np.cumsum(counts, axis=1)
        at = np.searchsorted(bins, prefix)
        digit = np.array([np.searchsorted(running[i], r, side="right") for i, r in zip(at, left, strict=True)])
        left -= running[at, digit] - counts[at, digit]
        prefix = (prefix << np.uint64(_STEP)) | digit.astype(np.uint64)
        depth += _STEP
        cells = np.unique(np.stack([at, digit]), axis=1)
        if int(counts[cells[0], cells[1]].sum()) <= SORT_ROWS:
            break
    if depth == 64:
        return decode(prefix)
    bins = np.unique(prefix)
    kept = columns.each(partial(_inside, name=name, bins=bins, depth=depth), name, "row")
    rest = np.sort(np.concatenate(list(kept)))
    first = np.searchsorted(rest >> np.uint64(64 - depth), prefix)
    return decode(rest[first + left])


def exact_quantiles(columns: Columns, name: str, probabilities: Sequence[float]) -> npt.NDArray[np.float64]:
    """Quantiles of the float64 column ``name`` over all rows, as ``numpy.quantile`` defines them.

    Args:
        columns: a pool's columns; ``n_rows`` of them.
        probabilities: numbers from 0 to 1, in any order.
    """
    if columns.n_rows == 0:
        raise DataError(f"Column '{name}' has no rows: there are no quantiles.")
    position = np.asarray(probabilities, dtype=np.float64) * (columns.n_rows - 1)
    below = np.floor(position).astype(np.int64)
    above = np.minimum(below + 1, columns.n_rows - 1)
    values = order_statistics(columns, name, [*below, *above])
    low, high = values[: len(below)], values[len(below) :]
    share = position - below
    # NumPy's own form of the interpolation, so that the last bit agrees.
    with np.errstate(invalid="ignore"):
        inner = np.where(share < 0.5, low + (high - low) * share, high - (high - low) * (1 - share))
    return np.where(low == high, low, inner)
