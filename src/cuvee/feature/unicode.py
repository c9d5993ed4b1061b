"""What a code point is and how it is lower-cased: exactly Python's ``\\w``, ``\\s`` and ``str.lower`` of Unicode 14.

The table is shipped (``unicode.npz``, made by ``scripts/make_unicode_tables.py``), so that a selection does not change
when the interpreter, and with it the Unicode version, does. Python 3.12 and later know a few thousand newer characters;
here these count as neither word nor white space until the shipped table is renewed.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

OTHER, SPACE, NUMBER, DIGIT, LETTER = range(5)
"""Classes. NUMBER, DIGIT and LETTER together are the word characters; NUMBER holds ``_`` and numerals such as "½"."""
CLASS_BITS, IGNORABLE, CASED, SPECIAL = 7, 8, 16, 32
"""Bits of ``Tables.flags``: the class; ignored and asked for by the final-sigma rule; lower case of several
characters."""


class Tables(NamedTuple):
    """The two-stage table, ready for kernels: ``n = record[block[c >> 7] << 7 | c & 127]`` is code point c's record.

    Attributes:
        block, record: uint8, (8704,) and (blocks * 128,).
        flags, shift: uint8 and int32, (records,): class and other bits; what to add for the lower case.
        special: int32, (k, 3): the few lower cases of several code points, padded with 0.
        common: uint8, (65536,): a short cut to the above: 1 word character, 2 white space, 4 its own lower case.
    """

    block: npt.NDArray[np.uint8]
    record: npt.NDArray[np.uint8]
    flags: npt.NDArray[np.uint8]
    shift: npt.NDArray[np.int32]
    special: npt.NDArray[np.int32]
    common: npt.NDArray[np.uint8]


@cache
def tables() -> Tables:
    """The shipped tables, read once per process."""
    with np.load(Path(__file__).with_name("unicode.npz"), allow_pickle=False) as stored:
        block, record, flags, shift, special = (np.ascontiguousarray(stored[name]) for name in Tables._fields[:5])
    code = np.arange(0x10000)
    number = record[block[code >> 7].astype(np.int64) << 7 | (code & 127)]
    kind = flags[number] & CLASS_BITS
    same = (shift[number] == 0) & ((flags[number] & SPECIAL) == 0)
    common = (kind >= NUMBER) * 1 + (kind == SPACE) * 2 + same * 4
    return Tables(block, record, flags, shift, special, common.astype(np.uint8))


@cache
def marks() -> npt.NDArray[np.uint64]:
    """One bit for every code point, (17408,), set for those that belong to the character before them: combining marks
    (Mn, Mc, Me), and the two joiners that shape letters."""
    with np.load(Path(__file__).with_name("unicode.npz"), allow_pickle=False) as stored:
        runs = stored["marks"]
    bits = np.zeros(0x110000, np.uint8)
    for first, last in runs.tolist():
        bits[first : last + 1] = 1
    found = np.packbits(bits, bitorder="little").view("<u8").astype(np.uint64)
    found.setflags(write=False)
    return found


@cache
def unicode_version() -> str:
    """The version of Unicode that the tables were made from."""
    with np.load(Path(__file__).with_name("unicode.npz"), allow_pickle=False) as stored:
        return str(stored["version"])
