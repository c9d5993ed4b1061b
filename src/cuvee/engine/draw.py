"""Keyed randomness: a number is a function of (seed, purpose, row key) and of nothing else.

The key goes twice through the 64-bit finaliser of SplitMix64 (Steele, Lea and Flood 2014), offset by a hash of seed
and purpose. Cost: about 10 ns a row.
"""

from __future__ import annotations

import hashlib

import numpy as np
import numpy.typing as npt

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)


def _mix(x: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    x = x + _GOLDEN
    x ^= x >> np.uint64(30)
    x *= _MIX_1
    x ^= x >> np.uint64(27)
    x *= _MIX_2
    x ^= x >> np.uint64(31)
    return x


def bits(seed: int, purpose: str, key: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """64 random bits per key."""
    name = hashlib.blake2b(f"{seed}\x00{purpose}".encode(), digest_size=16).digest()
    first, second = (np.uint64(int.from_bytes(part, "little")) for part in (name[:8], name[8:]))
    return _mix(_mix(np.ascontiguousarray(key, dtype=np.uint64) ^ first) ^ second)


def uniform(seed: int, purpose: str, key: npt.NDArray[np.uint64]) -> npt.NDArray[np.float64]:
    """Numbers strictly between 0 and 1: the upper 52 bits, plus half a step (never 0, never 1)."""
    return ((bits(seed, purpose, key) >> np.uint64(12)).astype(np.float64) + 0.5) * 2.0**-52
