"""What is decided about clusters of duplicates: their members, which of them are kept, and the file that lists them."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from .checks import absolute
from .core import Array, Block, Decision
from .engine import files
from .engine.columns import DiskColumns
from .engine.draw import uniform
from .engine.facts import head
from .engine.group import Clusters
from .engine.run import Engine
from .selection_file import Reasons

Ints = npt.NDArray[np.int64]


def places(among: Ints, row: Ints) -> tuple[npt.NDArray[np.bool_], Ints]:
    """(which of ``row`` stand in the ascending ``among``, and at which place each would)."""
    if not len(among):
        return np.zeros(len(row), bool), np.zeros(len(row), np.int64)
    at = np.minimum(np.searchsorted(among, row), len(among) - 1)
    return among[at] == row, at


@dataclass(frozen=True)
class Kept(Decision):
    """Takes every row once but those in ``dropped`` (global rows, int64, ascending)."""

    dropped: Ints
    needs: tuple[str, ...] = ("row",)
    notes: Mapping[str, Any] = field(default_factory=dict)

    def repeats(self, block: Block) -> Ints:
        return (~places(self.dropped, block["row"])[0]).astype(np.int64)


@dataclass(frozen=True)
class Members:
    """All rows in clusters of two or more, in row order.

    Attributes:
        row: int64, (m,): global rows; ``cluster`` the first row of each's cluster; ``exact`` the first row that is
            equal to it after normalisation, itself if none.
        bytes, key, domain: int64, uint64 and int32, (m,): the rows' sizes, identities and codes of domains.
    """

    row: Ints
    cluster: Ints
    exact: Ints
    bytes: Ints
    key: npt.NDArray[np.uint64]
    domain: npt.NDArray[np.int32]

    @classmethod
    def of(cls, columns: DiskColumns, row: Ints, cluster: Ints, exact: Clusters) -> Members:
        """The members with what is known about them, in one pass over the columns."""
        same, first = exact.members()
        own = row.copy()
        some, at = places(same, row)
        own[some] = first[at[some]]
        size, key, domain = np.zeros(len(row), np.int64), np.zeros(len(row), np.uint64), np.zeros(len(row), np.int32)
        for block in columns.blocks("row", "bytes", "key", "domain"):
            inside, at = places(row, block["row"])
            for known, name in ((size, "bytes"), (key, "key"), (domain, "domain")):
                known[at[inside]] = block[name][inside]
        return cls(row, cluster, own, size, key, domain)

    @cached_property
    def _numbers(self) -> tuple[Ints, Ints]:
        _, number, counts = np.unique(self.cluster, return_inverse=True, return_counts=True)
        return number, counts

    def numbers(self) -> tuple[Ints, Ints]:
        """(which cluster each member is in, counted from 0; members per cluster)."""
        return self._numbers

    def sizes(self) -> Ints:
        """Members per cluster."""
        return self.numbers()[1]

    def copies(self, row: Ints) -> npt.NDArray[np.float64]:
        """How many rows of the pool each of some rows stands for: the members of its cluster, or 1."""
        number, counts = self.numbers()
        inside, at = places(self.row, row)
        found = np.ones(len(row))
        found[inside] = counts[number[at[inside]]]
        return found

    def order(self, keep: str, seed: int) -> Ints:
        """The members' places, cluster by cluster, the one that is to be kept before all others first."""
        if keep == "longest":
            return np.lexsort((self.row, -self.bytes, self.cluster))
        if keep == "random":
            return np.lexsort((self.row, uniform(seed, "guard", self.key), self.cluster))
        return np.lexsort((self.row, self.cluster))

    def choose(self, keep: str, copies: int, seed: int) -> Kept:
        """Keep at most ``copies`` of every cluster."""
        order = self.order(keep, seed)
        starts = np.flatnonzero(np.append(True, np.diff(self.cluster[order]) != 0)) if len(order) else order
        rank = np.arange(len(order)) - np.repeat(starts, np.diff(np.append(starts, len(order))))
        return Kept(np.sort(self.row[order[rank >= copies]]))

    def largest(self, most: int) -> list[tuple[int, int]]:
        """(members, first row) of the largest clusters, the largest first."""
        first, counts = np.unique(self.cluster, return_counts=True)
        best = np.lexsort((first, -counts))[:most]
        return [(int(counts[at]), int(first[at])) for at in best]

    def near_pairs(self, kept: Kept, most: int, seed: int) -> list[tuple[int, int]]:
        """(a kept row, another of its cluster that is no exact copy and was removed), drawn by key."""
        dropped, _ = places(kept.dropped, self.row)
        staying = np.flatnonzero(~dropped)
        first = staying[np.unique(self.cluster[staying], return_index=True)[1]]  # one kept member of every cluster
        partner = first[np.searchsorted(self.cluster[first], self.cluster)] if len(first) else first
        if not len(partner):
            return []
        others = dropped if dropped.any() else self.row != self.row[partner]  # where all are kept, any other member
        near = np.flatnonzero(others & (self.exact != self.exact[partner]))
        drawn = near[np.lexsort((self.row[near], uniform(seed, "guard pair", self.key[near])))][:most]
        return [(int(self.row[partner[at]]), int(self.row[at])) for at in drawn.tolist()]


def sizes_of(columns: DiskColumns, row: Ints) -> Ints:
    """The bytes of some rows (ascending): int64."""
    size = np.zeros(len(row), np.int64)
    for block in columns.blocks("row", "bytes"):
        inside, at = places(row, block["row"])
        size[at[inside]] = block["bytes"][inside]
    return size


def texts_of(engine: Engine, rows: Sequence[int], limit: int) -> dict[int, bytes]:
    """The texts of some pool rows, at most their first ``limit`` bytes, cut between characters. A segment of a file is
    read once, from the first to the last row wanted in it: what cannot be entered in the middle, as compressed JSONL,
    would else be read anew for every row."""
    manifest, found = engine.pool.manifest, dict[int, bytes]()
    for number, group in itertools.groupby(sorted(set(rows)), key=manifest.file_of):
        first = np.array([segment.first_row for segment in manifest.index(number).segments])
        start = int(manifest.starts[number])

        def segment_of(row: int, first: Ints = first, start: int = start) -> int:
            return int(np.searchsorted(first, row - start, side="right"))

        for _, wanted in itertools.groupby(group, key=segment_of):
            run = list(wanted)
            for _, raw, take in manifest.raw(run[0], run[-1] + 1):
                low = start + raw.first_row
                for row in run:
                    if low <= row < low + take:
                        at = row - low
                        begin, end = int(raw.offsets[at]), int(raw.offsets[at + 1])
                        found[row] = head(raw.data[begin : min(end, begin + limit + 1)].tobytes(), limit)
    return found


class ClusterReasons(Reasons):
    """Says why a row is kept, from the number of copies that stands in the column "score"."""

    def __init__(self, keep: str, record: bool) -> None:
        chosen = "recorded, not removed" if record else f"kept of its cluster: {keep}"
        self.words = ["no duplicate found", chosen]

    def codes(self, score: npt.NDArray[np.float64]) -> npt.NDArray[np.int32]:
        return (score > 1).astype(np.int32)


def write_clusters(path: Path, engine: Engine, columns: DiskColumns, members: Members, kept: Kept) -> None:
    """List the members of all clusters, one row each in the pool's order.

    Columns: row (place in the pool, from 0), cluster (the row of its first member), n_copies (members of the cluster),
    exact (the first row with the same normalised text), kept, file and file_row, id.
    """
    manifest = engine.pool.manifest
    paths = pa.array([absolute(source.path) for source in manifest.sources], pa.string())
    text = pa.dictionary(pa.int32(), pa.string())
    names = ("row", "cluster", "n_copies", "exact", "kept", "file", "file_row", "id")
    kinds = (pa.int64(), pa.int64(), pa.int32(), pa.int64(), pa.bool_(), text, pa.int64(), pa.string())
    schema = pa.schema(list(zip(names, kinds, strict=True)))
    number, counts = members.numbers()
    with (
        files.whole_file(path) as stream,
        pq.ParquetWriter(stream, schema, compression="zstd", write_page_checksum=True) as writer,
    ):
        for span, block in enumerate(columns.blocks("row")):
            inside, at = places(members.row, block["row"])
            if not inside.any():
                continue
            at, taken = at[inside], np.flatnonzero(inside)
            row: Array = block["row"][inside]
            file = np.searchsorted(manifest.starts, row, side="right") - 1
            ids = engine.ids(span)
            parts = [
                pa.array(row),
                pa.array(members.cluster[at]),
                pa.array(counts[number[at]].astype(np.int32)),
                pa.array(members.exact[at]),
                pa.array(~places(kept.dropped, row)[0]),
                pa.DictionaryArray.from_arrays(file.astype(np.int32), paths),
                pa.array(row - manifest.starts[file]),
                ids.take(pa.array(taken)).cast(pa.string()) if ids is not None else pa.nulls(len(row), pa.string()),
            ]
            writer.write_batch(pa.RecordBatch.from_arrays(parts, schema=schema))
