"""The names in a pool's label column, and how many rows have each: what tags and classes are numbered by.

A label may hold several names, parted by ``separator`` ("" takes it whole). State: the names in the order of their
bytes, as data uint8 and offsets int64 (names + 1,), and count int64 (names,). Exact. Trap: at most ``MOST_NAMES`` names
are told apart; a column of free text is refused.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ..core import Array, Batch, Fold, State
from ..errors import DataError
from ..feature.ngrams import Ngrams

MOST_NAMES = 10_000


def labels(batch: Batch, method: str) -> Any:
    """The label column, or where there is none the domains, as an Arrow array of strings (null: none)."""
    column = batch.columns.get("label", batch.columns.get("domain"))
    if column is None:
        raise DataError(f"{method} goes by labels: name a column with --label, or domains with --domain.")
    return pc.cast(pa.array(column), pa.large_string())


def split_labels(batch: Batch, method: str, separator: str) -> tuple[Array, Any]:
    """(row of each name, int64; names, Arrow strings without blanks around them), in the order of rows."""
    found = labels(batch, method)
    if not separator:
        rows = np.flatnonzero(pc.is_valid(found).to_numpy(zero_copy_only=False))
        return rows, found.take(pa.array(rows))
    parts = pc.split_pattern(found, separator)
    names, rows = pc.utf8_trim_whitespace(pc.list_flatten(parts)), pc.list_parent_indices(parts)
    kept = pc.greater(pc.binary_length(names), 0)
    return rows.filter(kept).to_numpy().astype(np.int64), names.filter(kept)


@dataclass(frozen=True)
class TagNames(Fold):
    """``finish`` gives (names, counts), the most frequent first, ties by name."""

    method: str = "this method"
    separator: str = ","
    exact: ClassVar[bool] = True

    def empty(self) -> State:
        return {"data": np.zeros(0, np.uint8), "offsets": np.zeros(1, np.int64), "count": np.zeros(0, np.int64)}

    def lift(self, batch: Batch) -> State:
        rows, names = split_labels(batch, self.method, self.separator)
        if not len(rows):
            return self.empty()
        table = pa.table({"name": names, "row": rows})  # a name twice in a row counts once
        found = table.group_by(["name", "row"]).aggregate([]).group_by("name").aggregate([([], "count_all")])
        return self._state(found.column("name"), found.column("count_all").to_numpy())

    def _state(self, names: Any, count: Array) -> State:
        raw = [name.encode() for name in names.to_pylist()]
        order = sorted(range(len(raw)), key=raw.__getitem__)
        if len(raw) > MOST_NAMES:
            raise DataError(
                f"{self.method}: the labels hold more than {MOST_NAMES:,} names. Name a coarser column with --label, "
                f"or check what parts the names (separator='{self.separator}')."
            )
        sizes = [0, *(len(raw[at]) for at in order)]
        data = np.frombuffer(b"".join(raw[at] for at in order), np.uint8)
        return {"data": data, "offsets": np.cumsum(sizes).astype(np.int64), "count": np.asarray(count, np.int64)[order]}

    def merge(self, left: State, right: State) -> State:
        if not len(left["count"]) or not len(right["count"]):
            return left if len(left["count"]) else right
        names = pa.chunked_array([pa.array(names_of(state), pa.large_string()) for state in (left, right)])
        table = pa.table({"name": names, "count": np.concatenate([left["count"], right["count"]])})
        found = table.group_by("name").aggregate([("count", "sum")])
        return self._state(found.column("name"), found.column("count_sum").to_numpy())

    def finish(self, state: State) -> tuple[list[str], Array]:
        order = np.argsort(-state["count"], kind="stable")
        names = names_of(state)
        return [names[at] for at in order.tolist()], state["count"][order]


def names_of(state: State) -> list[str]:
    raw, at = state["data"].tobytes(), state["offsets"].tolist()
    return [raw[a:b].decode() for a, b in itertools.pairwise(at)]


def tag_matrix(batch: Batch, names: tuple[str, ...], method: str, separator: str, most: int) -> Array:
    """The numbers of each row's names, int32 (rows, most), ascending and distinct, -1 where there are no more."""
    rows, found = split_labels(batch, method, separator)
    number = pc.index_in(found, value_set=pa.array(names, pa.large_string()))
    number = pc.fill_null(number, -1).to_numpy(zero_copy_only=False).astype(np.int64)
    return packed(rows[number >= 0], number[number >= 0], len(batch), most)


def packed(rows: Array, number: Array, n: int, most: int) -> Array:
    """Pairs of row and number as a matrix: the lowest ``most`` distinct numbers of each row."""
    width = int(number.max(initial=0)) + 1
    pairs = np.unique(rows * width + number)
    row = pairs // width
    place = np.arange(len(pairs)) - np.searchsorted(row, row)
    matrix = np.full((n, most), -1, np.int32)
    matrix[row[place < most], place[place < most]] = (pairs % width)[place < most]
    return matrix


@dataclass(frozen=True)
class DocumentFrequency(Fold):
    """How many rows hold each bucket of n-grams: ``finish`` gives (rows, int64 (buckets,))."""

    ngrams: Ngrams = field(default_factory=lambda: Ngrams(1, 101))
    exact: ClassVar[bool] = True

    def empty(self) -> State:
        return {"rows": np.zeros(1, np.int64), "held": np.zeros(self.ngrams.buckets, np.int64)}

    def lift(self, batch: Batch) -> State:
        return self.update(self.empty(), batch)

    def update(self, state: State, batch: Batch) -> State:
        state["rows"] += len(batch)
        state["held"] += np.bincount(self.ngrams.rows(batch)[1], minlength=self.ngrams.buckets)
        return state

    def merge(self, left: State, right: State) -> State:
        return {name: left[name] + right[name] for name in left}

    def finish(self, state: State) -> tuple[int, Array]:
        return int(state["rows"][0]), state["held"]
