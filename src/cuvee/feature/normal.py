"""Hashes of normalised texts: which documents say the same, to a chosen degree of exactness?

The steps, each of which makes more texts equal and more equal ones that should not be:

    bytes         nothing is changed
    space         lower-cased, no white space at the ends, every run of white space one blank
    punctuation   the same, with all that is neither word character nor white space taken for white space; combining
                  marks that follow a word character stay with it, as vowel signs and accents do
    digits        the same, with every run of decimal digits as one 0: equates templates that differ in numbers

A text of which a step leaves nothing is compared as the first step before it that leaves something: "!!!" and "..." do
not say the same, nor do two texts of unlike white space.

64 bits of wyhash tell 10^8 texts apart (expected pairs that collide: n^2 / 2^65, 0.0003); at 10^9 it is 0.03 pairs. So
texts that agree in one hash are compared by a second, of another seed: 128 bits tell any number apart (n^2 / 2^129).
Cost: 300 to 1,000 MB a second and core.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from ..core import Batch, Block, Map
from ..errors import UsageError
from .content import FIRST, SECOND, content_hash
from .minhash_kernels import DIGITS, SIGNS, normal_hashes
from .ngram_kernels import scratch
from .ngrams import readonly
from .unicode import marks, tables

Step = Literal["bytes", "space", "punctuation", "digits"]
STEPS: dict[str, int] = {"bytes": 0, "space": 0, "punctuation": SIGNS, "digits": SIGNS | DIGITS}


@dataclass(frozen=True)
class NormalHash(Map):
    """``exact`` and ``exact_second`` uint64: equal for texts that are equal after ``step``; each depends on the text
    alone."""

    step: Step = "space"

    def __post_init__(self) -> None:
        if self.step not in STEPS:
            raise UsageError(f"Texts can be compared by {', '.join(STEPS)}, not by {self.step!r}.")

    def apply(self, batch: Batch) -> Block:
        if self.step == "bytes":
            seeds = {"exact": FIRST, "exact_second": SECOND}
            return {name: content_hash(batch.data, batch.offsets, seed) for name, seed in seeds.items()}
        hashes = np.empty((2, len(batch)), np.uint64)
        offsets = readonly(batch.offsets, np.int64)
        memory = scratch(int(np.diff(offsets).max(initial=0)))
        out = np.zeros(len(memory.text), np.uint8)
        data = readonly(batch.data, np.uint8)
        normal_hashes(data, offsets, tables(), STEPS[self.step], memory, out, marks(), hashes)
        return {"exact": hashes[0], "exact_second": hashes[1]}
