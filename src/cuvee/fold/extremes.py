"""The most and the least usual texts of a pool: two passes, two Folds.

:class:`Words` counts hashed word n-grams and lengths in characters. From its counts c over B buckets,

    log p_j = log((c_j + 1/2) / sum(c + 1/2))

is the pool's own smoothed distribution, and a text's score is the mean of log p over its n-grams, in nats.
:class:`Extremes` keeps the k rows with the highest and the k with the lowest score, with the heads of their texts. Rows
with the same score to the bit are copies of one text, as good as always: one is shown, the first by (key, row). Texts
of fewer than ``shortest`` words are left out: a few words can have any mean. So are, among the highest, texts that say
the same over and over ("1, 1, 1, ..."): of the n-grams in the part shown, at least ``variety`` must be different ones.

Inputs: UTF-8 texts. Both states merge exactly. Cost: two passes over the text; memory does not grow with it.
Trap: the score knows words, not sense. Scripts without spaces between words look unusual, since a whole clause is one
word there, and so does every language that is rare in the pool.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ..core import Array, Batch, Fold, State
from ..errors import UsageError
from ..feature.ngrams import Ngrams
from .bottom_k import cut_ends, gather_texts

SIDES = ("typical", "strange")
STEPS = 1024
LENGTH_CODES = 40 * STEPS
SMOOTHING = 0.5


def length_code(length: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """A small number for every length up to 2^49, in the same order: exact below 2,048, then to one part in 1,024."""
    octave = np.maximum(0, np.frexp(np.maximum(length, 1).astype(np.float64))[1].astype(np.int64) - 11)
    return octave * STEPS + (length >> octave)


def shortest_length(code: int) -> int:
    """The least length with this code."""
    octave = max(0, code // STEPS - 1)
    return (code - octave * STEPS) << octave


def characters(batch: Batch) -> npt.NDArray[np.int64]:
    """Code points per text: int64, (n,)."""
    buffers = [None, pa.py_buffer(np.ascontiguousarray(batch.offsets)), pa.py_buffer(batch.data)]
    texts = pa.Array.from_buffers(pa.large_string(), len(batch), buffers)
    return np.asarray(pc.utf8_length(texts).to_numpy(zero_copy_only=False), np.int64)


@dataclass(frozen=True)
class Vocabulary:
    """What :class:`Words` found: counts per bucket, int64 (buckets,), and rows per length code, int64."""

    counts: npt.NDArray[np.int64]
    lengths: npt.NDArray[np.int64]

    def log_shares(self) -> npt.NDArray[np.float64]:
        """log p per bucket, float64 (buckets,): what :class:`Extremes` scores by."""
        raised = self.counts + SMOOTHING
        return np.asarray(np.log(raised / raised.sum()), np.float64)

    def quantiles(self, percents: tuple[int, ...] = (5, 50, 95)) -> dict[str, int]:
        """{"p5": characters, ...}: the smallest length that so many percent of the rows do not exceed."""
        running = np.cumsum(self.lengths)
        rows = int(running[-1])
        if not rows:
            return {}
        ranks = {f"p{p}": max(1, -(-p * rows // 100)) for p in percents}
        return {name: shortest_length(int(np.searchsorted(running, rank))) for name, rank in ranks.items()}


@dataclass(frozen=True)
class Words(Fold):
    """Counts of hashed n-grams, and of rows by their length in characters."""

    ngrams: Ngrams
    exact: ClassVar[bool] = True

    def empty(self) -> State:
        return {"counts": np.zeros(self.ngrams.buckets, np.int64), "lengths": np.zeros(LENGTH_CODES, np.int64)}

    def lift(self, batch: Batch) -> State:
        return self.update(self.empty(), batch)

    def update(self, state: State, batch: Batch) -> State:
        self.ngrams.add_counts(state["counts"], batch)
        state["lengths"] += np.bincount(length_code(characters(batch)), minlength=LENGTH_CODES)
        return state

    def merge(self, left: State, right: State) -> State:
        return {name: left[name] + right[name] for name in left}

    def finish(self, state: State) -> Vocabulary:
        return Vocabulary(state["counts"], state["lengths"])


@dataclass(frozen=True)
class Extreme:
    """One row: its mean log probability per n-gram, its global row number, and the head of its text."""

    score: float
    row: int
    text: str


@dataclass(frozen=True, eq=False)
class Extremes(Fold):
    """The ``k`` distinct texts with the highest and the ``k`` with the lowest mean of ``table`` over their n-grams."""

    ngrams: Ngrams
    table: npt.NDArray[np.float64]
    k: int = 10
    shortest: int = 20
    variety: float = 0.5
    max_bytes: int = 4_000
    exact: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.k < 1 or self.shortest < 1 or self.max_bytes < 0:
            raise UsageError("Extremes need k and shortest of at least 1, and max_bytes of at least 0.")

    def empty(self) -> State:
        one = {"score": np.zeros(0), "key": np.zeros(0, np.uint64), "row": np.zeros(0, np.int64)}
        one |= {"data": np.zeros(0, np.uint8), "offsets": np.zeros(1, np.int64)}
        return {f"{side}_{name}": array for side in SIDES for name, array in one.items()}

    def lift(self, batch: Batch) -> State:
        return self.update(self.empty(), batch)

    def update(self, state: State, batch: Batch) -> State:
        total, number = self.ngrams.sums(batch, self.table)
        least = sum(max(1, self.shortest - shorter) for shorter in range(self.ngrams.n))
        rows = np.flatnonzero(number >= least)
        score = total[rows] / number[rows]
        found = dict(state)
        for side in SIDES:
            held = state[f"{side}_score"]
            near = np.ones(len(rows), bool)
            if len(held) == self.k:
                near = score >= held[-1] if side == "typical" else score <= held[-1]
            if near.any():
                chosen = np.flatnonzero(near)[self._ranked(side, score[near], batch.key[rows[near]], rows[near])]
                chosen = self._varied(batch, rows, chosen) if side == "typical" else chosen[: self.k]
                at = rows[chosen]
                start, end = self._heads(batch, at)
                new = {"score": score[chosen], "key": batch.key[at], "row": batch.row[at]}
                found |= self._join(side, state, new, batch.data, start, end)
        return found

    def _heads(self, batch: Batch, at: Array) -> tuple[Array, Array]:
        start = batch.offsets[at]
        return start, cut_ends(batch.data, start, batch.offsets[at + 1], self.max_bytes)

    def _varied(self, batch: Batch, rows: Array, ranked: Array) -> Array:
        """The first k of ``ranked`` (positions in ``rows``) whose heads do not repeat themselves too much."""
        kept: list[int] = []
        for begin in range(0, len(ranked), 4 * self.k):
            some = ranked[begin : begin + 4 * self.k]
            start, end = self._heads(batch, rows[some])
            data = np.empty(int((end - start).sum()), np.uint8)
            offsets = gather_texts(batch.data, start, end, data)
            at = rows[some]
            indptr, _, counts = self.ngrams.rows(Batch(data, offsets, batch.row[at], batch.key[at]))
            number = np.diff(np.append(0, np.cumsum(counts))[indptr])
            kept += some[np.diff(indptr) >= self.variety * number].tolist()
            if len(kept) >= self.k:
                break
        return np.array(kept[: self.k], np.int64)

    def merge(self, left: State, right: State) -> State:
        found = dict(left)
        for side in SIDES:
            new = {name: right[f"{side}_{name}"] for name in ("score", "key", "row")}
            offsets = right[f"{side}_offsets"]
            found |= self._join(side, left, new, right[f"{side}_data"], offsets[:-1], offsets[1:])
        return found

    def _ranked(self, side: str, score: Array, key: Array, row: Array) -> Array:
        """Positions of the distinct scores, the best of a side first."""
        order = np.lexsort((row, key, -score if side == "typical" else score))
        ranked = score[order]
        return order[np.append(True, ranked[1:] != ranked[:-1])] if len(order) else order

    def _join(self, side: str, state: State, new: State, data: Array, start: Array, end: Array) -> State:
        old = {name: state[f"{side}_{name}"] for name in ("score", "key", "row", "data", "offsets")}
        both = {name: np.concatenate([old[name], new[name]]) for name in ("score", "key", "row")}
        fresh = np.empty(int((end - start).sum()), np.uint8)
        added = gather_texts(data, start, end, fresh)
        texts = np.concatenate([old["data"], fresh])
        begin = np.concatenate([old["offsets"][:-1], added[:-1] + len(old["data"])])
        finish = np.concatenate([old["offsets"][1:], added[1:] + len(old["data"])])
        best = self._ranked(side, both["score"], both["key"], both["row"])[: self.k]
        kept = np.empty(int((finish - begin)[best].sum()), np.uint8)
        offsets = gather_texts(texts, begin[best], finish[best], kept)
        named = {name: both[name][best] for name in both} | {"data": kept, "offsets": offsets}
        return {f"{side}_{name}": array for name, array in named.items()}

    def finish(self, state: State) -> dict[str, list[Extreme]]:
        """{"typical": [...], "strange": [...]}, the most extreme first."""
        found: dict[str, list[Extreme]] = {}
        for side in SIDES:
            score, row, offsets = (state[f"{side}_{name}"] for name in ("score", "row", "offsets"))
            raw = state[f"{side}_data"].tobytes()
            texts = [raw[offsets[i] : offsets[i + 1]].decode("utf-8") for i in range(len(row))]
            found[side] = [Extreme(float(s), int(r), text) for s, r, text in zip(score, row, texts, strict=True)]
        return found
