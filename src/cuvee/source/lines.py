"""Counting lines and finding borders to begin at, at several gigabytes a second."""

from __future__ import annotations

import numpy as np

from cuvee.engine.kernel import kernel

from .json_tokens import Bytes, Numbers
from .simd import newline

BLANK = b" \t\r\n"


@kernel
def count_lines(buf: Bytes, size: int, base: int, every: int, state: Numbers, cuts: Numbers) -> int:
    """Count over ``buf[:size]``, which begins at file offset ``base`` and has slack behind it.

    ``state`` is carried on: [rows, lines, whether the open line has more than blanks, next offset to cut at,
    where the open line begins]. A cut
    (offset, rows and lines before it) is written at the first line border at or behind every multiple of ``every``.
    """
    i = 0
    count = 0
    while i < size:
        if state[2] == 0:
            while i < size and (buf[i] == 32 or buf[i] == 9 or buf[i] == 13):
                i += 1
            if i < size and buf[i] != 10:
                state[2] = 1
        while i < size:
            ahead = newline(buf, i)
            i += ahead
            if ahead < 32:
                break
        if i >= size:
            break
        i += 1
        state[0] += state[2]
        state[1] += 1
        state[2] = 0
        state[4] = base + i
        if base + i >= state[3]:
            cuts[count, 0] = base + i
            cuts[count, 1] = state[0]
            cuts[count, 2] = state[1]
            count += 1
            state[3] = (base + i) // every * every + every
    return count


def solid(piece: Bytes) -> bool:
    """Whether there is more than blank space."""
    return bool(bytes(piece).strip(BLANK))


def first_newline(buffer: Bytes, end: int) -> int:
    found = np.flatnonzero(buffer[:end] == 10)
    return int(found[0]) if len(found) else end


def last_newline(buffer: Bytes, start: int, end: int) -> int:
    """Where the last newline of ``buffer[start:end]`` is, -1 when there is none."""
    while end > start:
        begin = max(start, end - 4096)
        found = np.flatnonzero(buffer[begin:end] == 10)
        if len(found):
            return begin + int(found[-1])
        end = begin
    return -1
