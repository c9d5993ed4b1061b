"""XXH32 and XXH64 with seed 0 (Yann Collet, https://github.com/Cyan4973/xxHash, doc/xxhash_spec.md), which other
programs name n-grams by. cuvee itself hashes with wyhash (``content``) and a formula of its own (``ngram_kernels``)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ..core import Array
from ..engine.kernel import leaf
from .bits import load32, load64
from .ngram_kernels import Bytes, Ints, int64, uint64
from .ngrams import readonly

P1, P2, P3 = uint64(0x9E3779B185EBCA87), uint64(0xC2B2AE3D27D4EB4F), uint64(0x165667B19E3779F9)
P4, P5 = uint64(0x85EBCA77C2B2AE63), uint64(0x27D4EB2F165667C5)
Q1, Q2, Q3 = uint64(0x9E3779B1), uint64(0x85EBCA77), uint64(0xC2B2AE3D)
Q4, Q5, LOW = uint64(0x27D4EB2F), uint64(0x165667B1), uint64(0xFFFFFFFF)


@leaf
def left64(x: np.uint64, by: int) -> np.uint64:
    """Rotated to the left."""
    return x << uint64(by) | x >> uint64(64 - by)


@leaf
def left32(x: np.uint64, by: int) -> np.uint64:
    """The same in the lower half; the upper one is 0."""
    return (x << uint64(by) | x >> uint64(32 - by)) & LOW


@leaf
def xxh64(data: Bytes, start: int, end: int) -> np.uint64:
    """XXH64 of data[start:end]."""
    at = start
    total = P5
    if end - start >= 32:
        a, b, c, d = P1 + P2, P2, uint64(0), uint64(0) - P1
        while at + 32 <= end:
            a = left64(a + load64(data, at) * P2, 31) * P1
            b = left64(b + load64(data, at + 8) * P2, 31) * P1
            c = left64(c + load64(data, at + 16) * P2, 31) * P1
            d = left64(d + load64(data, at + 24) * P2, 31) * P1
            at += 32
        total = left64(a, 1) + left64(b, 7) + left64(c, 12) + left64(d, 18)
        for lane in (a, b, c, d):
            total = (total ^ left64(lane * P2, 31) * P1) * P1 + P4
    total += uint64(end - start)
    while at + 8 <= end:
        total = left64(total ^ left64(load64(data, at) * P2, 31) * P1, 27) * P1 + P4
        at += 8
    if at + 4 <= end:
        total = left64(total ^ load32(data, at) * P1, 23) * P2 + P3
        at += 4
    while at < end:
        total = left64(total ^ uint64(data[at]) * P5, 11) * P1
        at += 1
    total = (total ^ total >> uint64(33)) * P2
    total = (total ^ total >> uint64(29)) * P3
    return total ^ total >> uint64(32)


@leaf
def xxh32(data: Bytes, start: int, end: int) -> np.uint64:
    """XXH32 of data[start:end]."""
    at = start
    total = Q5
    if end - start >= 16:
        a, b, c, d = Q1 + Q2 & LOW, Q2, uint64(0), uint64(0) - Q1 & LOW
        while at + 16 <= end:
            a = left32(a + load32(data, at) * Q2 & LOW, 13) * Q1 & LOW
            b = left32(b + load32(data, at + 4) * Q2 & LOW, 13) * Q1 & LOW
            c = left32(c + load32(data, at + 8) * Q2 & LOW, 13) * Q1 & LOW
            d = left32(d + load32(data, at + 12) * Q2 & LOW, 13) * Q1 & LOW
            at += 16
        total = left32(a, 1) + left32(b, 7) + left32(c, 12) + left32(d, 18) & LOW
    total = total + uint64(end - start) & LOW
    while at + 4 <= end:
        total = left32(total + load32(data, at) * Q3 & LOW, 17) * Q4 & LOW
        at += 4
    while at < end:
        total = left32(total + uint64(data[at]) * Q5 & LOW, 11) * Q1 & LOW
        at += 1
    total = (total ^ total >> uint64(15)) * Q2 & LOW
    total = (total ^ total >> uint64(13)) * Q3 & LOW
    return total ^ total >> uint64(16)


@leaf
def all_of(data: Bytes, offsets: Ints, wide: bool, out: Array) -> None:
    """One hash per text."""
    for i in range(len(out)):
        start, end = int64(offsets[i]), int64(offsets[i + 1])
        out[i] = xxh64(data, start, end) if wide else xxh32(data, start, end)


def xxhash(texts: Sequence[bytes], width: int = 64) -> npt.NDArray[np.uint64]:
    """The hash of every text, of 32 or 64 bits: uint64, (texts,)."""
    offsets = np.concatenate([[0], np.cumsum([len(text) for text in texts], dtype=np.int64)]).astype(np.int64)
    out = np.empty(len(texts), np.uint64)
    all_of(readonly(np.frombuffer(b"".join(texts), np.uint8), np.uint8), offsets, width == 64, out)
    return out
