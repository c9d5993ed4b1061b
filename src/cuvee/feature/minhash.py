"""MinHash signatures and the keys of locality-sensitive hashing: which documents share most of their n-grams?

Broder (1997), "On the resemblance and containment of documents": for a random order of all n-grams, two documents have
the same least n-gram with probability J, the Jaccard similarity of their sets of n-grams. ``permutations`` such minima
are a document's signature. Banding (Indyk and Motwani 1998; Leskovec, Rajaraman and Ullman, "Mining of Massive
Datasets", 3.4): the minima are cut into ``bands`` groups of ``rows``; two documents are candidates when they agree in
all rows of some band, which happens with probability

    P(J) = 1 - (1 - J^rows)^bands,   steepest near (1 / bands)^(1 / rows).

Estimates of J use the lowest 8 bits of every minimum (Li and Koenig 2010, "b-bit minwise hashing"): of K positions a
share e agrees, J = (e - 1/256) / (1 - 1/256), standard error about sqrt(J (1 - J) / K).

Cost: some 500 MB of English text a second and core for 128 permutations of word 5-grams (formulas of the hashes in
``minhash_kernels``); 8 bytes a band, and one a permutation, for every document on disk.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from ..core import Batch, Block, Map
from ..engine.draw import bits
from ..engine.ordered import distinct
from ..errors import UsageError
from . import minhash_kernels as kernels
from .ngram_kernels import MAX_ORDER
from .ngrams import readonly
from .unicode import marks, tables

Unit = Literal["word", "token", "blank", "char"]
UNITS: dict[str, int] = {
    "word": kernels.WORD,
    "token": kernels.TOKEN,
    "blank": kernels.BLANK,
    "char": kernels.CHARACTER,
}
MOST_PERMUTATIONS = 1 << 14
CHECKED = 256
"""Positions that are kept for estimates, at most."""
Words = npt.NDArray[np.uint64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class MinHash(Map):
    """Band keys of every document, straight from its bytes. Depends on each text alone.

    Attributes:
        n: n-grams of so many units.
        unit: "word" (runs of word characters, as in ``Ngrams``; signs are passed over), "token" (words and runs of
            signs), "blank" (whatever stands between white space) or "char" (code points, a run of white space as one
            blank). Texts are always lower-cased.
        bands, rows: candidates agree in all rows of at least one band.
        permutations: length of the signature; at least bands * rows (the default); more, up to 256, sharpen estimates.
        digits: every run of digits counts as one 0. Turns templated pages (dates, prices, sums) into duplicates.
        signs: with unit "char", signs count as white space.
        seed: which permutations.
    """

    n: int = 5
    unit: Unit = "word"
    bands: int = 18
    rows: int = 7
    permutations: int = 128
    digits: bool = False
    signs: bool = False
    seed: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.n <= MAX_ORDER:
            raise UsageError(f"n-grams need n between 1 and {MAX_ORDER}, not {self.n}.")
        if self.unit not in UNITS:
            raise UsageError(f"The unit of n-grams is one of {', '.join(UNITS)}, not {self.unit!r}.")
        if self.bands < 1 or self.rows < 1:
            raise UsageError(f"Bands and rows must be at least 1, not {self.bands} and {self.rows}.")
        if self.bands * self.rows > self.permutations:
            raise UsageError(
                f"{self.bands} bands of {self.rows} rows need {self.bands * self.rows} permutations, and there are "
                f"{self.permutations}. Give more permutations, or fewer bands or rows."
            )
        if self.permutations > MOST_PERMUTATIONS:
            raise UsageError(f"At most {MOST_PERMUTATIONS:,} permutations can be asked for, not {self.permutations:,}.")

    @property
    def names(self) -> list[str]:
        """The columns of the bands' keys."""
        return [f"band_{band:02d}" for band in range(self.bands)]

    @property
    def checks(self) -> list[str]:
        """The columns from which similarity is estimated, each with the lowest bytes of 8 minima."""
        return [f"check_{at:02d}" for at in range(min(self.permutations, CHECKED) // 8)]

    def apply(self, batch: Batch) -> Block:
        """``shingles`` int32 (0: never a near-duplicate), ``band_*`` uint64 keys, ``check_*`` uint64."""
        found = np.zeros(len(batch), np.int32)
        keys = np.empty((len(batch), self.bands), np.uint64)
        checks = np.empty((len(batch), len(self.checks)), np.uint64)
        data, offsets, tables_, plan, memory = self._inputs(batch)
        kernels.sketch_all(data, offsets, tables_, plan, memory, found, keys, checks)
        columns: Block = {"shingles": found}
        columns |= {name: np.ascontiguousarray(keys[:, at]) for at, name in enumerate(self.names)}
        return columns | {name: np.ascontiguousarray(checks[:, at]) for at, name in enumerate(self.checks)}

    def signatures(self, batch: Batch) -> npt.NDArray[np.uint32]:
        """The whole signatures: uint32, (documents, permutations)."""
        out = np.empty((len(batch), self.permutations), np.uint32)
        data, offsets, tables_, plan, memory = self._inputs(batch)
        kernels.signatures(data, offsets, tables_, plan, memory, out)
        return out

    def shingles(self, batch: Batch) -> list[Words]:
        """The distinct 64-bit hashes of every document's n-grams, ascending: for the exact Jaccard similarity."""
        out, ends = self._grams(batch, self.n)
        return [distinct(part) for part in np.split(out[: ends[-1] if len(ends) else 0], ends[:-1])][: len(batch)]

    def units(self, batch: Batch) -> tuple[Words, npt.NDArray[np.int64]]:
        """The 64-bit hashes of every document's units in their order, and where each document's end."""
        out, ends = self._grams(batch, 1)
        return out[: ends[-1] if len(ends) else 0], ends

    def _grams(self, batch: Batch, n: int) -> tuple[Words, npt.NDArray[np.int64]]:
        size = int(np.diff(batch.offsets).sum())
        out, ends = np.empty(size + size // 2 + len(batch) + 64, np.uint64), np.zeros(len(batch), np.int64)
        data, offsets, tables_, plan, memory = self._inputs(batch)
        kernels.grams_of(data, offsets, tables_, plan._replace(n=n), memory, out, ends)
        return out, ends

    def _inputs(self, batch: Batch) -> tuple[Any, ...]:
        folds = kernels.DIGITS * self.digits
        folds |= kernels.SIGNS * (self.signs and self.unit == "char")
        plan = kernels.Plan(self.n, UNITS[self.unit], folds, self.bands, self.rows)
        offsets = readonly(batch.offsets, np.int64)
        factor = factors(self.permutations, self.seed)
        memory = kernels.memory(int(np.diff(offsets).max(initial=0)), folds, factor, marks())
        return readonly(batch.data, np.uint8), offsets, tables(), plan, memory


@cache
def factors(permutations: int, seed: int) -> npt.NDArray[np.uint32]:
    """One odd multiplier per permutation, padded for the kernel; the first ones do not depend on how many there are."""
    size = -(-permutations // kernels.STEP) * kernels.STEP
    drawn = bits(seed, "minhash", np.arange(size, dtype=np.uint64))
    return readonly((drawn >> np.uint64(32)) | np.uint64(1), np.uint32)


def detection(similarity: Floats | float, bands: int, rows: Any) -> Floats:
    """P(J), the probability that a pair of this Jaccard similarity agrees in at least one band."""
    s = np.asarray(similarity, float)
    return -np.expm1(bands * np.log1p(-np.minimum(s**rows, 1 - 1e-16)))


def optimal_bands(
    threshold: float, permutations: int, false_positive: float = 0.5, false_negative: float = 0.5
) -> tuple[int, int]:
    """(bands, rows) whose curve is nearest to a step at ``threshold``.

    Minimises false_positive * integral of P below the threshold + false_negative * integral of 1 - P above it, over all
    bands * rows <= permutations; the first of equals, in ascending order of bands, then rows.
    """
    check_threshold(threshold)
    # Gauss-Legendre on either side: exact to far more digits than any two candidates differ in
    nodes, weights = np.polynomial.legendre.leggauss(160)
    below, above = threshold * (nodes + 1) / 2, threshold + (1 - threshold) * (nodes + 1) / 2
    best, found = np.inf, (1, 1)
    for bands in range(1, permutations + 1):
        rows = np.arange(1, permutations // bands + 1)[:, None]
        wrong = false_positive * threshold / 2 * (detection(below, bands, rows) * weights).sum(1)
        missed = (1 - detection(above, bands, rows)) * weights
        cost = wrong + false_negative * (1 - threshold) / 2 * missed.sum(1)
        at = int(np.argmin(cost))
        if cost[at] < best:
            best, found = float(cost[at]), (bands, at + 1)
    return found


def covering_bands(threshold: float, permutations: int, recall: float = 0.95) -> tuple[int, int]:
    """(bands, rows) with most rows that still find a pair at the threshold with probability ``recall``.

    For candidates that are verified afterwards: those below the threshold then cost time and nothing else.
    """
    check_threshold(threshold)
    for rows in range(permutations, 0, -1):
        bands = permutations // rows
        if float(detection(threshold, bands, rows)) >= recall:
            return bands, rows
    return permutations, 1


def covering_rows(threshold: float, bands: int, permutations: int, recall: float = 0.95) -> int:
    """The most rows, at least 1, with which so many bands find a pair at the threshold with probability ``recall``."""
    check_threshold(threshold)
    rows = np.arange(max(permutations // bands, 1), 0, -1)
    found = np.flatnonzero(detection(threshold, bands, rows) >= recall)
    return int(rows[found[0]]) if len(found) else 1


def check_threshold(threshold: float) -> None:
    """Refuse a similarity that is none."""
    if not 0 < threshold < 1:
        raise UsageError(f"The threshold is a Jaccard similarity between 0 and 1, like 0.8, not {threshold:g}.")


def estimated(left: Words, right: Words) -> float:
    """The Jaccard similarity of two documents from their ``check_*`` columns, uint64, (checks,)."""
    agree = kernels.equal_bytes(readonly(left, np.uint64), readonly(right, np.uint64)) / max(8 * len(left), 1)
    return max(0.0, (agree - 1 / 256) / (1 - 1 / 256))


def jaccard(left: Words, right: Words) -> float:
    """|A and B| / |A or B| of two ascending arrays of distinct hashes; 0 when both are empty."""
    both = len(np.intersect1d(left, right, assume_unique=True))
    return both / max(len(left) + len(right) - both, 1)


@dataclass(frozen=True)
class Preset:
    """How a well-known corpus set MinHash. ``threshold``: pairs of a lower estimate are let go (None: all are kept);
    ``edit``: so are those of a lower edit similarity (0: it is not looked at)."""

    minhash: MinHash
    source: str
    threshold: float | None = None
    differs: str = ""
    edit: float = 0.0


PRESETS: dict[str, Preset] = {
    "cuvee": Preset(MinHash(), "cuvee's own: pairs at 0.8 are candidates with probability 0.99, then verified", 0.8),
    "fineweb": Preset(
        MinHash(5, "word", 14, 8, 112, digits=True),
        "FineWeb (Penedo et al. 2024); datatrove 0.10.1, examples/fineweb.py",
        differs="accents are kept, and words are cut by Unicode classes instead of a language's tokenizer; FineWeb ran "
        "it per crawl, which --scope domain does",
    ),
    "refinedweb": Preset(
        MinHash(5, "blank", 450, 20, 9000),
        "RefinedWeb (Penedo et al. 2023), after Lee et al. (2022)",
        differs="words are lower-cased",
    ),
    "lee": Preset(
        MinHash(5, "blank", 450, 20, 9000),
        "Lee et al. (2022), near-duplicates of whole documents",
        0.8,
        "words are lower-cased, and texts are compared by their first 32,768 words at most",
        0.8,
    ),
    "slimpajama": Preset(
        MinHash(13, "char", 9, 13, 128, signs=True),
        "SlimPajama (Soboleva et al. 2023); bands of datasketch's optimum at 0.8 with 128 permutations",
        differs="signs of any script, not only ASCII, become blanks, where SlimPajama drops them",
    ),
    "data-juicer": Preset(
        MinHash(5, "blank", 25, 10, 256), "Data-Juicer (Chen et al. 2024), document_minhash_deduplicator defaults"
    ),
    "nemo-curator": Preset(
        MinHash(24, "char", 20, 13, 260),
        "NVIDIA NeMo Curator, fuzzy deduplication defaults",
        differs="texts are lower-cased",
    ),
}
