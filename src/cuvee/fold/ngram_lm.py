"""An n-gram language model: interpolated Witten-Bell smoothing over hashed, exactly mergeable counts.

Witten and Bell, "The zero-frequency problem", IEEE Transactions on Information Theory 1991, in the interpolated form
of Chen and Goodman, "An Empirical Study of Smoothing Techniques for Language Modeling", 1998, section 2.4. For a word
w after the context h, h' being h without its oldest word:

    P(w | h) = (c(h, w) + T(h) P(w | h')) / (c(h) + T(h)),     P(w | h) = P(w | h') where c(h) = 0
    P(w)     = (c(w) + T / (T + 1)) / (N + T)

c counts, N = sum of c(w), T(h) is the number of distinct words seen after h and T that of all distinct words. Since
sum over w of c(h, w) = c(h), each line sums to one over the T seen words (the end of line among them) and one "unknown"
word, whatever positive number stands for T(h). That matters, because distinct words cannot be added: T(h) is estimated
by linear counting from 32 bits per context, which merge exactly (see :mod:`cuvee.fold.ngram_lm_kernels`).

Counts live in tables of 2**table_bits slots per order, addressed by hash. Words that share a slot are one word, and the
unigrams still sum to one. Longer n-grams that share a slot have their counts added; what is read is then capped by the
counts of the context and of the shorter n-gram, and is zero where the context's bits rule the word out. Probabilities
then stay in (0, 1], but collisions raise them. Measured on 37 MB of English against tables without collisions: mean
log-probability 1.4 % too high with the leaves 14 % full, 6 % at 45 %, 10 % at 70 %, while the ranks of documents by
perplexity correlate at 0.9998, 0.999 and 0.995. ``finish`` refuses tables more than three quarters full, and counters
that have reached 2**32 - 1.

Inputs: texts. Words are runs of word characters or of other non-space characters, in lower case, as in
:mod:`cuvee.feature.ngrams`; or single bytes. Each line is a sentence: a begin as context, an end as a token to predict.

Cost: 8 (n - 1) + 4 bytes per slot: 80 MB for the defaults, twice that with ``halves``, once per worker. Trap: a text
that was counted is predicted far too well. ``halves`` therefore fits two models, on the rows of either half by key, and
scores each row by the model that has not seen it (nor its duplicates of equal key).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import numpy.typing as npt

from ..core import Array, Batch, Block, Fold, State
from ..engine.draw import bits
from ..errors import DataError, UsageError
from ..feature.ngram_kernels import Scratch, scratch
from ..feature.unicode import tables
from .ngram_lm_kernels import MAX, count_rows, follower_table, join, score_rows

FULLEST = 0.75
"""Largest share of occupied slots with which a model is used."""


def _frozen(array: Array) -> Array:
    """A read-only view, so that kernels are compiled once and not again for arrays that happen to be read-only."""
    view = array.view()
    view.flags.writeable = False
    return view


def _scratch(batch: Batch, words: bool) -> Scratch:
    return scratch(int(np.diff(batch.offsets).max(initial=0)) if words else 0)


def _half(batch: Batch) -> npt.NDArray[np.int8]:
    return (bits(0, "language model half", batch.key) >> np.uint64(63)).astype(np.int8)


@dataclass(frozen=True)
class LanguageModel:
    """A fitted model, or two. Arrays as in :class:`NgramLM`'s state; ``total`` and ``novel``: N and T per half."""

    fold: NgramLM
    nodes: Array
    leaves: Array
    total: npt.NDArray[np.float64]
    novel: npt.NDArray[np.float64]

    def score(self, batch: Batch) -> Block:
        """Per row: ``log10`` of its probability; its ``tokens``, ends of lines included; ``perplexity`` =
        10**(-log10 / tokens); ``bits_per_character`` (code points, line feeds included)."""
        fold, number = self.fold, len(batch)
        part = 1 - _half(batch) if fold.halves else np.zeros(number, np.int8)
        logs, tokens, characters = np.zeros(number), np.zeros(number, np.int64), np.zeros(number, np.int64)
        words = fold.unit == "words"
        score_rows(
            _frozen(batch.data), _frozen(batch.offsets), part, _frozen(self.nodes), _frozen(self.leaves), fold.order,
            fold.table_bits, words, tables(), _scratch(batch, words), follower_table(), self.total, self.novel, logs,
            tokens, characters,
        )  # fmt: skip
        return {
            "log10": logs,
            "tokens": tokens,
            "perplexity": 10.0 ** (-logs / tokens),
            "bits_per_character": -logs * np.log2(10.0) / np.maximum(characters, 1),
        }


@dataclass(frozen=True)
class NgramLM(Fold):
    """Counts of n-grams up to ``order``; ``finish`` returns a :class:`LanguageModel`.

    Attributes:
        order: 1 to 5.
        table_bits: each table has 2**table_bits slots (12 to 24); about 2 million distinct n-grams need 22.
        unit: "words" or "bytes".
        halves: fit two models, see above.

    State: nodes uint32 (models, max(order - 1, 1), slots + 1, 2), leaves uint32 (models, slots).
    """

    order: int = 3
    table_bits: int = 22
    unit: Literal["words", "bytes"] = "words"
    halves: bool = False
    exact: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if not 1 <= self.order <= 5:
            raise UsageError(f"order must be 1 to 5, not {self.order}")
        if not 12 <= self.table_bits <= 24:
            raise UsageError(f"table_bits must be 12 to 24, not {self.table_bits}")
        if self.unit not in ("words", "bytes"):
            raise UsageError(f"unit must be 'words' or 'bytes', not {self.unit!r}")

    def empty(self) -> State:
        models, slots = 1 + self.halves, 1 << self.table_bits
        nodes = np.zeros((models, max(self.order - 1, 1), slots + 1, 2), np.uint32)
        return {"nodes": nodes, "leaves": np.zeros((models, slots), np.uint32)}

    def lift(self, batch: Batch) -> State:
        return self.update(self.empty(), batch)

    def update(self, state: State, batch: Batch) -> State:
        part = _half(batch) if self.halves else np.zeros(len(batch), np.int8)
        words = self.unit == "words"
        count_rows(
            _frozen(batch.data), _frozen(batch.offsets), part, state["nodes"], state["leaves"], self.order,
            self.table_bits, words, tables(), _scratch(batch, words),
        )  # fmt: skip
        return state

    def merge(self, left: State, right: State) -> State:
        for name in ("nodes", "leaves"):
            join(left[name].reshape(-1), right[name].reshape(-1), name == "nodes")
        return left

    def finish(self, state: State) -> LanguageModel:
        nodes, leaves = state["nodes"], state["leaves"]
        counts = nodes[..., :-1, 0]
        if counts[:, 0].max(axis=1).min() == 0:
            raise DataError(
                "There is no text to fit the language model on" + (" in one of its two halves." if self.halves else ".")
            )
        # unigrams first: their sum and their number are N and T
        total, novel = counts[:, 0].sum(axis=1, dtype=np.int64), np.count_nonzero(counts[:, 0], axis=1)
        full = max(float((counts > 0).mean(axis=2).max()), float((leaves > 0).mean(axis=1).max()))
        if full > FULLEST:
            raise DataError(
                f"The tables of the language model are {full:.0%} full, so its counts are mostly collisions: "
                f"fit on less text, or raise table_bits (now {self.table_bits}, at most 24)."
            )
        if max(counts.max(), leaves.max()) == MAX:
            raise DataError("An n-gram occurs more than 4 billion times: fit the language model on less text.")
        return LanguageModel(self, nodes, leaves, total.astype(np.float64), novel.astype(np.float64))
