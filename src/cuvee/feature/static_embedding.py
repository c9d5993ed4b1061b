"""Vectors of texts from the shipped token table: 256 dimensions, no download, no model to run.

The table (``data/embedding.npz``, made by ``scripts/distill_embedding.py``) was distilled from all-MiniLM-L6-v2 as
Tulkens and van Dongen do ("Model2Vec", 2024). With t_1, ..., t_L the text's first ``max_tokens`` WordPiece tokens, s
the row scales and E the int8 rows,

    v = sum_i s[t_i] E[t_i] / L,        the vector is v / |v|

(zero for a text without a known token). English; other languages in Latin letters fall into word pieces with little
meaning, and most other scripts into single letters.

Cost: 8 MB of table and 4 MB of trie once a process; 20,000 documents of 1.7 kB (35 MB of text) a second and core.
Tests hold it to the tokens and vectors of model2vec 0.10.0; special tokens written out in a
text ("[PAD]") are plain text here.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ..core import Array, Batch
from ..errors import UsageError
from .ngrams import readonly
from .static_embedding_kernels import SPARE, Letters, Trie, build_trie, mean_vectors, token_ids

TABLE = Path(__file__).with_name("data") / "embedding.npz"
LICENCE = TABLE.with_name("LICENSE.txt")
DIMENSIONS = 256
MOST_TOKENS = 2**62


class Tables(NamedTuple):
    """The shipped table, ready for kernels. ``rows`` int8 (tokens, 256), ``scale`` float32 (tokens,)."""

    letters: Letters
    trie: Trie
    rows: Array
    scale: Array


@cache
def tables() -> Tables:
    """The shipped table, read once per process."""
    with np.load(TABLE, allow_pickle=False) as stored:
        names = np.append(stored["tokens"], np.uint8(10))
        letters = Letters(*(readonly(stored[part], stored[part].dtype.type) for part in Letters._fields))
        rows, scale = readonly(stored["rows"], np.int8), readonly(stored["scale"], np.float32)
    breaks = np.flatnonzero(names == 10)
    plain, ends = names[names != 10], breaks - np.arange(len(breaks))
    edge = np.zeros(1 << int(4 * len(plain)).bit_length() - 1, np.uint64)
    token = np.empty(len(plain) + 2, np.int32)
    nodes = build_trie(readonly(plain, np.uint8), readonly(ends, np.int64), edge, token)
    trie = Trie(readonly(edge, np.uint64), readonly(token[:nodes], np.int32))
    return Tables(letters, trie, rows, scale)


@cache
def table_digest() -> str:
    """A digest of the shipped table, for plans: other vectors are never taken for these from the cache."""
    return hashlib.blake2b(TABLE.read_bytes(), digest_size=16).hexdigest()


def tokenize(batch: Batch) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]]:
    """The token numbers of all texts, one text after the other, and how many each text has."""
    found = tables()
    ids = np.empty(int(batch.offsets[-1] - batch.offsets[0]) * 2 + SPARE, np.int32)
    count = np.zeros(len(batch), np.int64)
    data, offsets = readonly(batch.data, np.uint8), readonly(batch.offsets, np.int64)
    total = token_ids(data, offsets, found.letters, found.trie, ids, count)
    return ids[:total], count


@dataclass(frozen=True)
class StaticEmbedding:
    """Vectors from the shipped table. ``max_tokens``: how many of a text's first tokens count (0: all).

    ``unit=False`` gives the mean itself, as whitening needs it. ``table`` is set to the table's digest.
    """

    max_tokens: int = 512
    unit: bool = True
    table: str = ""

    def __post_init__(self) -> None:
        if self.max_tokens < 0:
            raise UsageError(f"max_tokens must be at least 0, not {self.max_tokens}.")
        object.__setattr__(self, "table", table_digest())

    @property
    def width(self) -> int:
        return DIMENSIONS

    def vectors(self, batch: Batch) -> npt.NDArray[np.float32]:
        """float32 (rows, 256); zeros for a text without a known token. Each row depends on its text alone."""
        found = tables()
        total, count = np.zeros((len(batch), DIMENSIONS)), np.zeros(len(batch), np.int64)
        data, offsets = readonly(batch.data, np.uint8), readonly(batch.offsets, np.int64)
        mean_vectors(data, offsets, *found, self.max_tokens or MOST_TOKENS, total, count)
        if self.unit:
            return normalised(total)
        return (total / np.maximum(count, 1)[:, None]).astype(np.float32)


def normalised(vectors: Array) -> npt.NDArray[np.float32]:
    """Rows divided by their lengths, float32; zero rows stay zero."""
    rows = np.asarray(vectors, np.float64)
    length = np.sqrt(np.einsum("ij,ij->i", rows, rows))
    return (rows / np.where(length > 0, length, 1.0)[:, None]).astype(np.float32)
