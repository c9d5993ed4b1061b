"""The signatures of two public programs, bit for bit: for comparing with an index or a removal list made by them.

``datatrove`` (version 0.10.1, the program behind FineWeb): text lower-cased, signs to blanks, diacritics dropped, runs
of digits to 0; n-grams of blank-separated words named by xxHash; h_k(x) = ((x a_k + b_k) mod 2^64) mod (2^61 - 1),
where the product wraps around at 2^64 before the prime is taken, so that it is not the textbook's universal family.

``datasketch`` (2.0.0, "affine32") and ``datasketch-legacy`` (its only scheme before) over SlimPajama's features: the
distinct runs of n characters of the text lower-cased, without ASCII punctuation, runs of white space as one blank,
named by the first 4 bytes of SHA-1; h_k(x) = a_k fmix(x) + b_k mod 2^32 with odd a_k, where fmix is the finaliser of
MurmurHash3, or, formerly, ((x a_k + b_k) mod 2^64) mod (2^61 - 1) mod 2^32.

Multipliers come from the Mersenne Twister, as there. Cost: a thousand times slower than ``MinHash``, which should be
preferred wherever signatures need not match.
"""

from __future__ import annotations

import hashlib
import re
import string
import unicodedata
from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np
import numpy.typing as npt

from ..core import Batch, Block, Map
from ..errors import UsageError
from .content import content_hash
from .xxhash import xxhash

PRIME, LOW = np.uint64((1 << 61) - 1), np.uint64((1 << 32) - 1)
Scheme = Literal["datatrove", "datasketch", "datasketch-legacy"]
Words = npt.NDArray[np.uint64]
SIGNS = "!/—”:％１〈&(、━\\【#%「」，】；+^]~“《„';’{|∶´[=-`*．（–？！：$～«〉,><》)?）。…@_.\"}►»"
_BLANKS = dict.fromkeys((*map(ord, SIGNS), *range(9), 11, 12, *range(13, 32), *range(127, 160)), " ")
_DROPPED = dict.fromkeys(map(ord, string.punctuation))
_SPACE, _DIGITS = re.compile(r"\s+"), re.compile(r"\d+")


@dataclass(frozen=True)
class CompatibleMinHash(Map):
    """Band keys from the signatures of another program; the columns are those of ``MinHash``, without ``check_*``.

    Attributes:
        n: n-grams of so many words (datatrove) or characters (datasketch).
        bands, rows: candidates agree in all rows of at least one band.
        width: bits of datatrove's minima, 64 or 32.
    """

    scheme: Scheme = "datatrove"
    n: int = 5
    bands: int = 14
    rows: int = 8
    width: int = 64
    seed: int = 1

    def __post_init__(self) -> None:
        if self.width not in (32, 64):
            raise UsageError(f"Minima have 32 or 64 bits, not {self.width}.")
        if min(self.n, self.bands, self.rows) < 1:
            raise UsageError("n, bands and rows must be at least 1.")

    def apply(self, batch: Batch) -> Block:
        """``shingles`` int32 and ``band_*`` uint64, each the hash of a band's minima."""
        found = [self.grams(batch.text(i)) for i in range(len(batch))]
        keys = np.zeros((len(batch), self.bands), np.uint64)
        for i, grams in enumerate(found):
            if len(grams):
                raw = np.ascontiguousarray(self.signature(grams).reshape(self.bands, self.rows))
                size = raw.nbytes // self.bands
                keys[i] = content_hash(raw.view(np.uint8).reshape(-1), np.arange(self.bands + 1) * size)
        columns: Block = {"shingles": np.array([len(grams) for grams in found], np.int32)}
        return columns | {f"band_{at:02d}": np.ascontiguousarray(keys[:, at]) for at in range(self.bands)}

    def grams(self, text: str) -> Words:
        """The hashes of the n-grams: all of them in order (datatrove), or the distinct ones (datasketch)."""
        if self.scheme == "datatrove":
            words = normalised(text).split(" ")
            runs = [" ".join(words[i : i + self.n]).encode() for i in range(len(words) - self.n + 1)]
            return xxhash(runs, self.width) if words != [""] else np.empty(0, np.uint64)
        text = _SPACE.sub(" ", text.lower().translate(_DROPPED)).strip()
        parts = sorted({text[i : i + self.n].encode() for i in range(max(1, len(text) - self.n + 1))})
        parts = [part for part in parts if part]
        named = [int.from_bytes(hashlib.sha1(part, usedforsecurity=False).digest()[:4], "little") for part in parts]
        return np.array(named, np.uint64)

    def signature(self, grams: Words) -> Words:
        """The minima of at least one n-gram: uint64, (bands * rows,)."""
        a, b = _factors(self.scheme, self.bands * self.rows, self.seed)
        least = np.full(len(a), np.iinfo(np.uint64).max, np.uint64)
        for first in range(0, len(grams), 1024):
            x = grams[first : first + 1024, None]
            if self.scheme == "datasketch":
                value = _fmix(x) * a + b & LOW
            else:
                value = (x * a + b) % PRIME  # the product wraps around
                if self.scheme == "datasketch-legacy" or self.width == 32:
                    value &= LOW
            least = np.minimum(least, value.min(0))
        return least


def normalised(text: str) -> str:
    """A text as datatrove 0.10.1 simplifies it."""
    text = _SPACE.sub(" ", text.lower().translate(_BLANKS)).strip()
    text = "".join(c for c in unicodedata.normalize("NFD", text) if unicodedata.category(c) != "Mn")
    return _DIGITS.sub("0", text)


def _fmix(x: Words) -> Words:
    """The finaliser of MurmurHash3 on 32 bits."""
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
        x = (x ^ x >> np.uint64(shift)) * np.uint64(factor) & LOW
    return x ^ x >> np.uint64(16)


@cache
def _factors(scheme: str, size: int, seed: int) -> tuple[Words, Words]:
    """Multipliers and addends, in the order in which each program draws them."""
    draw = np.random.RandomState(seed)  # legacy on purpose: the programs' own generator
    prime = int(PRIME)
    if scheme == "datasketch":
        a = draw.randint(0, 1 << 31, size, dtype=np.uint32).astype(np.uint64) * np.uint64(2) + np.uint64(1)
        return a, draw.randint(0, 1 << 32, size, dtype=np.uint32).astype(np.uint64)
    if scheme == "datatrove":
        return draw.randint(1, prime, size, np.uint64), draw.randint(0, prime, size, np.uint64)
    pairs = [(draw.randint(1, prime, dtype=np.uint64), draw.randint(0, prime, dtype=np.uint64)) for _ in range(size)]
    return np.array([a for a, _ in pairs], np.uint64), np.array([b for _, b in pairs], np.uint64)
