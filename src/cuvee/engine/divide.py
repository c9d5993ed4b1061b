"""Keys cut by their range, so that a task which wants one range of a pool's keys reads that and nothing else.

Keys are computed in the order of rows, and equal keys are looked for range by range. Reading all keys for every range
would grow with the square of the pool. Instead a first pass over runs of spans writes each run's keys with their rows,
one section of a file a range (``Store.put_sections``); a range is then one slice of every run. Every key is written
once and read once: 12 bytes a row, 20 with places.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from ..errors import ResourceError

Ints = npt.NDArray[np.int64]
Words = npt.NDArray[np.uint64]
Keys = tuple[Words, Ints, Ints | None]
"""Keys, their rows (ascending), and where these stand (or None)."""


def part_of(value: Words, parts: int) -> Words:
    """Which of ``parts`` equal ranges a key falls into, by its upper 32 bits."""
    return (value >> np.uint64(32)) * np.uint64(parts) >> np.uint64(32)


def runs(spans: int, parts: int) -> list[range]:
    """The spans cut into at most ``parts`` runs: slices then grow with the pool in number and not in size alone."""
    step = max(1, -(-spans // parts))
    return [range(first, min(first + step, spans)) for first in range(0, spans, step)]


def cut(found: Iterable[Keys], parts: int, limit: int) -> Iterator[bytes]:
    """The sections of a run's file: ``parts`` ranges for every ``limit`` of its keys, which is how many are held."""
    for piece in _pieces(found, limit):
        yield from _cut(piece, parts)


def _pieces(found: Iterable[Keys], limit: int) -> Iterator[Keys]:
    """The same keys, ``limit`` of them at a time at most; one piece at least, be it empty."""
    held: list[Keys] = []
    size, given = 0, False
    for value, row, place in found:
        for at in range(0, len(value), limit):
            some = slice(at, at + limit)
            part = value[some], row[some], None if place is None else place[some]
            if size + len(part[0]) > limit:
                yield joined(held)
                held, size, given = [], 0, True
            held.append(part)
            size += len(part[0])
    if held or not given:
        yield joined(held)


def joined(found: Sequence[Keys]) -> Keys:
    """One after the other."""
    if not found:
        return np.empty(0, np.uint64), np.empty(0, np.int64), None
    places = [place for _, _, place in found if place is not None]
    value, row = (np.concatenate([one[at] for one in found]) for at in (0, 1))
    return value, row, np.concatenate(places) if places else None


def _cut(piece: Keys, parts: int) -> Iterator[bytes]:
    """A section for every range: the piece's first row, keys, places, and rows after the first, in row order."""
    value, row, place = piece
    first = int(row[0]) if len(row) else 0
    if len(row) and int(row[-1]) - first >= 1 << 32:
        raise ResourceError(
            f"Too few of the {1 << 32:,} rows after row {first:,} can be used. Remove those that cannot from the pool."
        )
    part = part_of(value, parts).astype(np.uint16 if parts <= 1 << 16 else np.uint32)
    order = np.argsort(part, kind="stable")  # of 16 bits: a radix sort
    borders = np.concatenate([[0], np.cumsum(np.bincount(part, minlength=parts))])
    for low, high in pairwise(borders):
        at = order[low:high]
        places = b"" if place is None else place[at].tobytes()
        offset = (row[at] - first).astype(np.uint32)
        yield np.int64(first).tobytes() + value[at].tobytes() + places + offset.tobytes()


def keys_of(raw: bytes, placed: bool = False) -> Keys:
    """The keys of a section, in row order."""
    size = (len(raw) - 8) // (20 if placed else 12)
    (first,) = np.frombuffer(raw, np.int64, 1)
    value = np.frombuffer(raw, np.uint64, size, 8)
    place = np.frombuffer(raw, np.int64, size, 8 + 8 * size) if placed else None
    return value, first + np.frombuffer(raw, np.uint32, size, len(raw) - 4 * size).astype(np.int64), place
