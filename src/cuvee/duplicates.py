"""Counting repeated values of a 64-bit column without holding it: by ranges of the value, one range in memory at a
time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from .core import Block, Columns

ROWS_IN_MEMORY = 1 << 18


@dataclass(frozen=True)
class Duplicates:
    """``rows``: how many rows repeat an earlier one; ``groups``: how many values occur more than once;
    ``largest``: (occurrences, row of the first occurrence) of the biggest groups, biggest first;
    ``sizes``: (group size, number of groups of that size)."""

    rows: int
    groups: int
    largest: list[tuple[int, int]]
    sizes: list[tuple[int, int]]


def _chosen(
    block: Block, name: str, keep: Callable[[Block], npt.NDArray[np.bool_]] | None, parts: int, part: int
) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.int64]]:
    """The values of one part of their range, and their rows."""
    value = block[name]
    chosen = np.ones(len(value), bool) if keep is None else keep(block)
    if parts > 1:
        chosen &= (value % np.uint64(parts)) == part
    return value[chosen], block["row"][chosen]


def count_duplicates(
    columns: Columns,
    name: str,
    keep: Callable[[Block], npt.NDArray[np.bool_]] | None = None,
    needs: tuple[str, ...] = (),
    rows: int | None = None,
    examples: int = 10,
) -> Duplicates:
    """Count equal values of column ``name`` among the rows for which ``keep`` holds (``needs``: what it reads).

    ``rows`` is the number of such rows if known; it decides the number of passes.
    """
    total = columns.n_rows if rows is None else rows
    parts = max(1, -(-total // ROWS_IN_MEMORY))
    repeated = groups = 0
    largest: list[tuple[int, int]] = []
    histogram: dict[int, int] = {}
    for part in range(parts):
        choose = partial(_chosen, name=name, keep=keep, parts=parts, part=part)
        found = list(columns.each(choose, *dict.fromkeys((name, "row", *needs))))
        value = np.concatenate([values for values, _ in found] or [np.empty(0, np.uint64)])
        row = np.concatenate([rows for _, rows in found] or [np.empty(0, np.int64)])
        ordered = np.sort(value)
        again = np.unique(ordered[1:][ordered[1:] == ordered[:-1]])
        if not len(again):
            continue
        some = np.flatnonzero(again[np.minimum(np.searchsorted(again, value), len(again) - 1)] == value)
        value, row = value[some], row[some]
        order = np.argsort(value, kind="stable")  # rows ascend, so the first of a group is its earliest
        starts = np.flatnonzero(np.diff(value[order], prepend=value[order][:1] ^ np.uint64(1)))
        counts = np.diff(np.append(starts, len(value)))
        many = np.flatnonzero(counts > 1)
        repeated += int((counts[many] - 1).sum())
        groups += len(many)
        for size, number in zip(*np.unique(counts[many], return_counts=True), strict=True):
            histogram[int(size)] = histogram.get(int(size), 0) + int(number)
        firsts = row[order[starts[many]]]
        best = np.lexsort((firsts, -counts[many]))[:examples]
        largest += [(int(counts[many][at]), int(firsts[at])) for at in best]
    largest.sort(key=lambda group: (-group[0], group[1]))
    return Duplicates(repeated, groups, largest[:examples], sorted(histogram.items()))
