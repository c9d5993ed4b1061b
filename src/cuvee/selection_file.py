"""``selection.parquet``: which rows were taken, how often, and why; and the digest of that content."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from .checks import absolute
from .core import Block
from .engine import files
from .engine.columns import DiskColumns
from .engine.run import Engine
from .engine.store import digest
from .fold.quantiles import exact_quantiles


class Reasons:
    """Says in words where a row's score stands in the pool."""

    STEPS = (0.5, 0.75, 0.9, 0.95, 0.99)

    def __init__(self, columns: DiskColumns, method: str, quota: bool) -> None:
        self.method = method
        found = exact_quantiles(columns, "score", (0.001, *self.STEPS, 0.999))
        self.low, self.high = float(found[0]), float(found[-1])
        if not np.isfinite(self.low):  # the lowest score of the rows that have one
            none = sum(columns.each(lambda block: int(np.count_nonzero(block["score"] == -np.inf)), "score"))
            share = min(1.0, (none + 0.001 * (columns.n_rows - none)) / max(columns.n_rows - 1, 1))
            lowest = float(exact_quantiles(columns, "score", (share,))[0])
            self.low = lowest if np.isfinite(lowest) else self.high
        if not np.isfinite(self.high):
            self.high = self.low
        self.edges = found[1:-1]
        within = " within its domain's quota" if quota else ""
        shared = self.edges[0] == self.edges[-1]
        places = [f"in the {place}" for place in ("lower half", "upper half", *(f"top {p} %" for p in (25, 10, 5, 1)))]
        self.places = [
            "score shared by most of the pool" if shared else f"score {place} of the pool" for place in places
        ]
        self.words = [f"{method} {place}{within}" for place in self.places]

    def codes(self, score: npt.NDArray[np.float64]) -> npt.NDArray[np.int32]:
        """An index into ``words`` per row."""
        return np.searchsorted(self.edges, score, side="right").astype(np.int32)

    def place(self, score: float) -> str:
        """Where a score stands in the pool, in words."""
        return self.places[int(self.codes(np.array([score]))[0])]


def taken_rows(block: Block, repeats: npt.NDArray[np.int64]) -> Block:
    """What the selection holds of a block's rows that are taken, with their places in the block and their repeats."""
    at = np.flatnonzero(repeats)
    names = (name for name in ("row", "key", "domain", "tokens", "bytes", "score") if name in block)
    return {"place": at, "repeats": repeats[at], **{name: block[name][at] for name in names}}


class SelectionWriter:
    """Writes the kept rows of each span to ``selection.parquet`` and digests them."""

    def __init__(self, path: Path, engine: Engine, domains: list[str], reasons: Reasons | None, method: str) -> None:
        self.engine, self.reasons = engine, reasons
        self.domains = pa.array(domains, pa.string())
        self.paths = pa.array([absolute(source.path) for source in engine.pool.manifest.sources], pa.string())
        self.words = pa.array(reasons.words if reasons else [f"{method} draw"], pa.string())
        self.hashes = [hashlib.blake2b(digest_size=20) for _ in range(4)]
        text = pa.dictionary(pa.int32(), pa.string())
        self.schema = pa.schema(
            [
                ("key", pa.uint64()),
                ("id", pa.string()),
                ("file", text),
                ("row", pa.int64()),
                ("weight", pa.int32()),
                ("score", pa.float64()),
                ("domain", text),
                ("tokens", pa.int64()),
                ("bytes", pa.int64()),
                ("reason", text),
            ]
        )
        self._path = path

    def __enter__(self) -> SelectionWriter:
        self._file = files.whole_file(self._path)
        stream = self._file.__enter__()
        self._open = pq.ParquetWriter(
            stream, self.schema, compression="zstd", write_page_checksum=True, write_page_index=True
        )
        return self

    def __exit__(self, *error: Any) -> None:
        try:
            if error[0] is None:
                self._open.close()
        except BaseException as failure:
            self._file.__exit__(type(failure), failure, failure.__traceback__)
            raise
        self._file.__exit__(*error)

    def add(self, span: int, block: Block, repeats: npt.NDArray[np.int64]) -> None:
        """Write the rows of one span that are taken."""
        self.add_taken(span, taken_rows(block, repeats))

    def add_taken(self, span: int, taken: Block) -> None:
        """The same, from what :func:`taken_rows` found in the span's block."""
        if not len(taken["row"]):
            return
        manifest = self.engine.pool.manifest
        row, at, repeats, score = taken["row"], taken["place"], taken["repeats"], taken.get("score")
        number = np.searchsorted(manifest.starts, row, side="right") - 1
        ids = self.engine.ids(span)
        code = self.reasons.codes(score) if self.reasons and score is not None else np.zeros(len(row), np.int32)
        columns = [
            pa.array(taken["key"]),
            ids.take(pa.array(at)).cast(pa.string()) if ids is not None else pa.nulls(len(row), pa.string()),
            pa.DictionaryArray.from_arrays(number.astype(np.int32), self.paths),
            pa.array(row - manifest.starts[number]),
            pa.array(repeats.astype(np.int32)),
            pa.array(score) if score is not None else pa.nulls(len(row), pa.float64()),
            pa.DictionaryArray.from_arrays(taken["domain"].astype(np.int32), self.domains),
            pa.array(taken["tokens"]),
            pa.array(taken["bytes"]),
            pa.DictionaryArray.from_arrays(code, self.words),
        ]
        self._open.write_batch(pa.RecordBatch.from_arrays(columns, schema=self.schema))
        parts = (taken["key"], repeats, score if score is not None else at[:0], taken["domain"].astype(np.int32))
        for total, part in zip(self.hashes, parts, strict=True):
            total.update(np.ascontiguousarray(part).tobytes())

    def digest(self) -> str:
        """A digest of keys, repeats, scores and domains in order; files and row numbers do not enter."""
        return digest(self.domains.to_pylist(), *(part.hexdigest() for part in self.hashes))
