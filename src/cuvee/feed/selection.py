"""The folder that a selection left behind, checked before anything is read from it.

``selection.parquet`` holds one row per chosen row of the pool in global row order; ``plan.json`` says which files the
pool had and which columns play which role. Nothing here is trusted: the digest, the order, the weights and the row
numbers are verified, and the file is read in batches, so memory does not grow with it.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import pyarrow.types as pt

from ..engine.files import file_digest
from ..errors import DataError, UsageError
from ..layout import PLAN, PLAN_FORMAT, SELECTION, sealed
from ..source.base import Spec
from ..source.files import plain, reading

BATCH_ROWS = 65_536
AGAIN = "Make the selection again."


@dataclass(frozen=True)
class PoolFile:
    """One file of the pool as it was when the selection was made."""

    path: str
    stamp: str
    rows: int
    format: str


@dataclass(frozen=True)
class Part:
    """Consecutive chosen rows of one file: its number, then (n,) row numbers, repeats and keys."""

    file: int
    row: npt.NDArray[np.int64]
    weight: npt.NDArray[np.int64]
    key: npt.NDArray[np.uint64]


@dataclass(frozen=True)
class Survey:
    """What one pass over the selection found. Sums count repeats, except ``distinct_bytes``."""

    chosen: dict[int, int]
    """Chosen rows per file number, in pool order."""
    rows: int
    tokens: int
    bytes: int
    distinct_bytes: int
    largest: int
    """Bytes of the longest text."""


@dataclass(frozen=True)
class Selection:
    """A selection whose digest is right."""

    path: Path
    files: tuple[PoolFile, ...]
    spec: Spec
    digest: str
    share: tuple[int, int] = (1, 1)
    """(i, n): only the i-th of n runs of its rows, from 1, which differ by a row at most."""
    picked: tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]] | None = field(default=None, compare=False)
    """Only the rows at these places, ascending, and how often each is to be written."""
    again: str = AGAIN
    """What to do if it is damaged, or its pool has changed."""

    @classmethod
    def open(cls, folder: Path) -> Selection:
        """Read the plan and check the digest; a sentence for everything that can be wrong."""
        table, plan = folder / SELECTION, folder / PLAN
        shown = plain(str(folder))
        if not table.is_file() or not plan.is_file():
            raise UsageError(
                f"There is no selection in {shown}: name the folder that cuvee select or cuvee guard wrote with -o."
            )
        again = AGAIN
        try:
            content = json.loads(plan.read_bytes())
            version = content.get("format", PLAN_FORMAT)
            if isinstance(version, int) and version > PLAN_FORMAT:
                raise DataError(
                    f"The selection in {shown} was made by a newer cuvee (plan format {version}; this one reads up to "
                    f"{PLAN_FORMAT}). Update cuvee."
                )
            if content["seal"] != sealed(content)["seal"]:
                raise ValueError("its content has changed")
            files = tuple(PoolFile(f["path"], f["stamp"], int(f["rows"]), f["format"]) for f in content["files"])
            roles = {field.name for field in dataclasses.fields(Spec)}
            spec = Spec(**{role: name for role, name in content["spec"].items() if role in roles})
            expected = content["selection_digest"]
            again = _again(content)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise DataError(f"{shown}/plan.json cannot be read ({plain(str(error))}). {again}") from None
        except OSError as error:
            raise DataError(f"{shown}/plan.json cannot be read ({error.strerror}). Check its mode and disk.") from None
        with reading(str(table)):
            digest = file_digest(table)
        if digest != expected:
            raise DataError(f"{shown}/selection.parquet is damaged: its digest is not the plan's. {again}")
        return cls(table, files, spec, digest, again=again)

    def _damaged(self, what: str) -> DataError:
        return DataError(f"{plain(str(self.path))} is damaged: {what}. {self.again}")

    def _batches(self, columns: list[str]) -> Iterator[pa.RecordBatch]:
        with reading(str(self.path), advice=self.again):
            opened = pq.ParquetFile(self.path, page_checksum_verification=True)
        with opened:
            number, among = self.share
            rows = opened.metadata.num_rows
            low, high = rows * (number - 1) // among, rows * number // among
            stream = opened.iter_batches(batch_size=BATCH_ROWS, columns=columns, use_threads=False)
            first = 0
            while first < high:
                with reading(str(self.path), advice=self.again):
                    batch = next(stream, None)
                if batch is None:
                    return
                if self.picked is None:
                    own = batch.slice(max(0, low - first), max(0, high - max(low, first)))
                else:
                    own = self._picked(batch, first, *self.picked)
                first += len(batch)
                if len(own):
                    yield own

    @staticmethod
    def _picked(
        batch: pa.RecordBatch, first: int, place: npt.NDArray[np.int64], weight: npt.NDArray[np.int64]
    ) -> pa.RecordBatch:
        """Those of the rows from ``first`` on that are picked, with their new weights."""
        low, high = np.searchsorted(place, [first, first + len(batch)])
        own = batch.take(pa.array(place[low:high] - first))
        return own.set_column(own.schema.get_field_index("weight"), "weight", pa.array(weight[low:high]))

    def weights(self) -> Iterator[tuple[npt.NDArray[np.uint64], npt.NDArray[np.int64]]]:
        """(keys, repeats) of the chosen rows, in order."""
        for batch in self._batches(["key", "weight"]):
            weight = _integers(batch, "weight")
            if (weight < 1).any():
                raise self._damaged("a weight is below 1")
            yield batch.column("key").to_numpy(zero_copy_only=False).astype(np.uint64, copy=False), weight

    @cached_property
    def _known(self) -> dict[str, int]:
        return {file.path: number for number, file in enumerate(self.files)}

    def _numbers(self, column: Any) -> npt.NDArray[np.int64]:
        """File numbers from the column of paths."""
        if not pt.is_dictionary(column.type):
            column = column.dictionary_encode()
        codes = np.array([self._known.get(path, -1) for path in column.dictionary.to_pylist()], np.int64)
        if column.null_count:
            raise self._damaged("a row has no file")
        numbers = codes[column.indices.to_numpy(zero_copy_only=False)]
        if len(numbers) and numbers.min() < 0:
            raise self._damaged("it names a file that the plan does not")
        return numbers

    def survey(self) -> Survey:
        """Count rows, tokens and bytes without looking at the pool."""
        chosen: dict[int, int] = {}
        total = np.zeros(4, np.int64)
        largest = 0
        for batch in self._batches(["file", "weight", "tokens", "bytes"]):
            counts = np.bincount(self._numbers(batch.column("file")), minlength=len(self.files))
            for number in np.flatnonzero(counts).tolist():
                chosen[number] = chosen.get(number, 0) + int(counts[number])
            weight, tokens, size = (_integers(batch, name) for name in ("weight", "tokens", "bytes"))
            total += [weight.sum(), (weight * tokens).sum(), (weight * size).sum(), size.sum()]
            largest = max(largest, int(size.max(initial=0)))
        rows, tokens_, bytes_, distinct = (int(value) for value in total)
        return Survey(dict(sorted(chosen.items())), rows, tokens_, bytes_, distinct, largest)

    def parts(self) -> Iterator[Part]:
        """The chosen rows in order, each part within one file; refuses rows out of order or out of range."""
        last = (-1, -1)
        limit = np.array([file.rows for file in self.files], np.int64)
        for batch in self._batches(["file", "row", "weight", "key"]):
            number = self._numbers(batch.column("file"))
            row, weight = _integers(batch, "row"), _integers(batch, "weight")
            key = batch.column("key").to_numpy(zero_copy_only=False).astype(np.uint64, copy=False)
            if len(row) == 0:
                continue
            step = np.diff(number)
            ordered = bool(((step > 0) | ((step == 0) & (np.diff(row) > 0))).all())
            if not ordered or (int(number[0]), int(row[0])) <= last:
                raise self._damaged("its rows are not in the order of the pool")
            if (row < 0).any() or (row >= limit[number]).any():
                raise self._damaged("a row number lies outside its file")
            if (weight < 1).any():
                raise self._damaged("a weight is below 1")
            last = (int(number[-1]), int(row[-1]))
            borders = [0, *(np.flatnonzero(step) + 1).tolist(), len(row)]
            for low, high in pairwise(borders):
                yield Part(int(number[low]), row[low:high], weight[low:high], key[low:high])


def _again(plan: Any) -> str:
    """Which command made a selection, as an advice."""
    method = plan.get("method")
    name = method.get("name") if isinstance(method, dict) else None
    return f"Run cuvee {'guard' if name == 'guard' else 'select'} again." if name else AGAIN


def _integers(batch: pa.RecordBatch, name: str) -> npt.NDArray[np.int64]:
    column = batch.column(name).fill_null(0).to_numpy(zero_copy_only=False)
    return np.asarray(column).astype(np.int64, copy=False)
