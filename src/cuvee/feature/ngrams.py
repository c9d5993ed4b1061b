"""Hashed n-grams of lower-cased text: counts, table look-ups and sparse rows, at several hundred megabytes per second.

Words are the tokens of ``\\w+|[^\\w\\s]+`` over ``str.lower()`` (runs of word characters, runs of anything else that
is no white space), both with the shipped Unicode tables. Characters are lower-cased code points, each run of white
space counting as one space. All 1- to n-grams are hashed into ``buckets`` buckets:

* ``hash="fast"``: 64-bit hash of our own (formula in ``ngram_kernels``), the default;
* ``hash="sha256"``: SHA-256 of the tokens joined by one space, modulo ``buckets``: the buckets of the public DSIR
  package.

Different n-grams share a bucket (with 10,000 buckets nearly all do): that is the method's known cost, not an accident.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from ..core import Batch
from ..errors import UsageError
from .ngram_kernels import MAX_ORDER, WINDOW, Spec, fill, fill_sha256, gather, hashing, scratch, tally
from .sha256 import MAX_BUCKETS
from .unicode import tables

Counts = npt.NDArray[np.int64]
Scores = npt.NDArray[np.float64]


def readonly(array: npt.NDArray[Any], dtype: type) -> npt.NDArray[Any]:
    """The array as kernels take it: contiguous and read-only, so that each is compiled once and writes to no input."""
    view: npt.NDArray[Any] = np.ascontiguousarray(array, dtype).view()
    view.flags.writeable = False
    return view


@dataclass(frozen=True)
class Ngrams:
    """What is counted. All methods take a batch and leave it unchanged; results depend on each text alone."""

    n: int = 2
    buckets: int = 10_000
    unit: Literal["word", "char"] = "word"
    hash: Literal["fast", "sha256"] = "fast"

    def __post_init__(self) -> None:
        if not 1 <= self.n <= MAX_ORDER:
            raise UsageError(f"n-grams need n between 1 and {MAX_ORDER}, not {self.n}.")
        if not 1 <= self.buckets <= MAX_BUCKETS:
            raise UsageError(f"The number of buckets must be between 1 and {MAX_BUCKETS}, not {self.buckets}.")
        if self.unit not in ("word", "char"):
            raise UsageError(f"The unit of n-grams is 'word' or 'char', not {self.unit!r}.")
        if self.hash not in ("fast", "sha256"):
            raise UsageError(f"The hash of n-grams is 'fast' or 'sha256', not {self.hash!r}.")

    def pieces(self, batch: Batch, wanted: Counts | None = None) -> Iterator[tuple[int, int, Counts, Any]]:
        """Buckets of the batch's n-grams, piece by piece: (first text, texts, ends, ids).

        The j-th of these texts has ``ids[ends[j - 1]:ends[j]]`` (from 0 for j = 0). A long text may go on in the next
        piece. The arrays are reused: finish with them before asking for more. Texts with ``wanted == 0`` have no ids.
        """
        rows = len(batch)
        offsets = readonly(batch.offsets, np.int64)
        spec = Spec(self.n, self.buckets, self.unit == "char", self.hash == "sha256")
        longest = int(np.diff(offsets).max(initial=0))
        memory: tuple[Any, ...] = (tables(), spec, scratch(longest))
        run: Any = fill_sha256 if spec.sha256 else fill
        if spec.sha256:
            memory = (*memory, hashing(longest, spec))
        data = readonly(batch.data, np.uint8)
        mask = readonly(np.ones(rows) if wanted is None else wanted, np.int64)
        room = WINDOW * 64 * self.n
        ids = np.empty(max(1 << 17, 2 * room), np.int32)
        ends = np.empty(rows + 1, np.int64)
        cursor = np.zeros(3, np.int64)
        while cursor[0] < rows:
            first = int(cursor[0])
            texts = run(cursor, data, offsets, mask, *memory, ids, ends)
            yield first, texts, ends, ids

    def add_counts(self, total: Counts, batch: Batch, weight: Counts | None = None) -> None:
        """Add the batch's n-gram counts to ``total``, int64 (buckets,); a row counts ``weight`` times (default 1)."""
        weight = readonly(np.ones(len(batch)) if weight is None else weight, np.int64)
        for first, texts, ends, ids in self.pieces(batch, weight):
            tally(total, ids, ends, texts, first, weight)

    def count(self, batch: Batch, weight: Counts | None = None) -> Counts:
        """How often each bucket occurs in the batch: int64, (buckets,)."""
        total = np.zeros(self.buckets, np.int64)
        self.add_counts(total, batch, weight)
        return total

    def lengths(self, batch: Batch) -> Counts:
        """How many n-grams each text has: int64, (rows,)."""
        return self.sums(batch, np.empty((0, self.buckets)))[1]

    def sums(self, batch: Batch, table: Scores) -> tuple[Scores, Counts]:
        """For each text the sum of ``table`` over its n-grams, and how many n-grams these are.

        ``table`` is float64, (buckets,) or, for k sums in one pass, (k, buckets); the sums are (rows,) or (rows, k).
        Added one after the other in a fixed order, so the bits depend on the text alone.
        """
        grid = readonly(np.atleast_2d(table), np.float64)
        if grid.shape[1] != self.buckets:
            raise UsageError(f"A table of {grid.shape[1]} entries does not fit n-grams in {self.buckets} buckets.")
        out = np.zeros((len(batch), len(grid)), np.float64)
        number = np.zeros(len(batch), np.int64)
        for first, texts, ends, ids in self.pieces(batch):
            gather(out, grid, ids, ends, texts, first)
            number[first : first + texts] += np.diff(ends[:texts], prepend=0)
        return (out[:, 0] if np.ndim(table) == 1 else out), number

    def means(self, batch: Batch, table: Scores) -> Scores:
        """``sums`` divided by the number of n-grams; 0 for a text without any."""
        total, number = self.sums(batch, table)
        divisor = np.maximum(number, 1)
        return total / (divisor if total.ndim == 1 else divisor[:, None])

    def rows(self, batch: Batch) -> tuple[Counts, Counts, Counts]:
        """The counts of every text as a sparse matrix: (indptr, buckets ascending, counts), all int64."""
        keys = [np.empty(0, np.int64)]
        for first, texts, ends, ids in self.pieces(batch):
            text = np.repeat(np.arange(first, first + texts), np.diff(ends[:texts], prepend=0))
            keys.append(text * self.buckets + ids[: len(text)])
        key, counts = np.unique(np.concatenate(keys), return_counts=True)
        indptr = np.searchsorted(key, np.arange(len(batch) + 1) * self.buckets)
        return indptr.astype(np.int64), key % self.buckets, counts.astype(np.int64)
