"""A huge JSON line without its long strings: what it takes to learn its keys, or to convert it, in little memory."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from cuvee.engine.kernel import kernel

from .base import Bad, Spec
from .json_kernel import parse_lines
from .json_keys import SLOTS, Keys
from .json_tokens import Bytes
from .simd import SLACK, special

HUGE = 8 << 20
"""Lines longer than this are handled by their outlines."""
LONG = 4096
"""Strings of more bytes than this are left out."""


@kernel
def _outline(buf: Bytes, start: int, end: int, long: int, out: Bytes) -> tuple[int, int]:
    """Copy the valid JSON line ``buf[start:end]``, each string value longer than ``long`` as ``long + 1`` zeros.

    Returns (size, strings left out). The line ends in a newline and has slack behind it; so has ``out``.
    """
    i, o, count = start, 0, 0
    while i < end:
        c = buf[i]
        i += 1
        out[o] = c
        o += 1
        if c != 34:
            continue
        begin = i
        while True:
            i += special(buf, i)
            if buf[i] == 34 or i >= end:
                break
            i += 2 if buf[i] == 92 else 1
        follows = i + 1
        while buf[follows] == 32 or buf[follows] == 9 or buf[follows] == 13:
            follows += 1
        if i - begin > long and buf[follows] != 58:
            out[o : o + long + 1] = 48
            o += long + 1
            count += 1
        else:
            out[o : o + i - begin] = buf[begin:i]
            o += i - begin
        out[o] = 34  # the closing quote
        o += 1
        i += 1
    return o, count


def outline(buffer: npt.NDArray[np.uint8], start: int, end: int) -> tuple[bytes, int]:
    """(the line with every long string value replaced by LONG + 1 zeros, how many were); for lines that are valid."""
    out = np.empty(end - start + SLACK, np.uint8)  # what is not written takes no memory
    size, count = _outline(buffer, start, end, LONG, out)
    return out[:size].tobytes(), count


def parse_one(buffer: npt.NDArray[np.uint8], start: int, end: int, text: str | None) -> tuple[int, Bytes]:
    """(verdict, the text's UTF-8) of one line that ends in a newline with slack behind it."""
    keys = Keys.of(Spec(text=text))
    store = np.empty((keys.slots, end - start + SLACK), np.uint8)
    ends = np.zeros((len(SLOTS), 2), np.int64)
    kinds, bad = np.empty((len(SLOTS), 1), np.uint8), np.full(1, int(Bad.BAD_JSON), np.uint8)
    tokens, lines = np.empty(1, np.int64), np.empty(1, np.int64)
    outputs: tuple[Any, ...] = (store, ends, kinds, tokens, bad, lines)
    parse_lines(buffer, start, end, 1, 1, 1 << 62, *keys.arrays(), *outputs)
    return int(bad[0]), store[0, : ends[0, 1]]


def sketch(buffer: npt.NDArray[np.uint8], start: int, end: int) -> bytes:
    """The line without its long strings; not JSON, if the line is not."""
    verdict, _ = parse_one(buffer, start, end, None)
    return outline(buffer, start, end)[0] if verdict == Bad.OK else b"?"
