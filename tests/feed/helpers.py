"""Selections made by hand, and what was written from them read back by cuvee's own readers."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from cuvee.engine.files import System, file_digest
from cuvee.layout import sealed
from cuvee.source.base import Index, RawBatch, Segment, Source, Spec
from cuvee.source.discover import discover

TEXT = pa.dictionary(pa.int32(), pa.string())
SCHEMA = pa.schema(
    [
        ("key", pa.uint64()),
        ("id", pa.string()),
        ("file", TEXT),
        ("row", pa.int64()),
        ("weight", pa.int32()),
        ("score", pa.float64()),
        ("domain", TEXT),
        ("tokens", pa.int64()),
        ("bytes", pa.int64()),
        ("reason", TEXT),
    ]
)
Chosen = Sequence[tuple[int, int, int]]
"""(file number, row, weight)."""
TEXTS = [f"{k} " + np.random.default_rng(k).bytes(100 * (k % 7 + 1)).hex() for k in range(300)]


def make_selection(
    folder: Path, sources: Sequence[Source], chosen: Chosen, spec: Spec | None = None, **more: Any
) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    files = [{"path": s.path, "stamp": s.stamp(), "rows": s.index().rows, "format": s.format} for s in sources]
    number, row, weight = (np.array([c[k] for c in chosen], np.int64) for k in range(3))
    n = len(chosen)
    starts = np.cumsum([0, *(file["rows"] for file in files)])
    paths = pa.array([s.path for s in sources], pa.string())
    one = pa.DictionaryArray.from_arrays(np.zeros(n, np.int32), pa.array(["(all)"]))
    table = pa.Table.from_arrays(
        [
            pa.array((starts[number] + row + 1).astype(np.uint64)),
            pa.nulls(n, pa.string()),
            pa.DictionaryArray.from_arrays(number.astype(np.int32), paths),
            pa.array(row),
            pa.array(weight.astype(np.int32)),
            pa.nulls(n, pa.float64()),
            one,
            pa.array(np.full(n, 3)),
            pa.array(np.full(n, 10)),
            one,
        ],
        schema=SCHEMA,
    )
    pq.write_table(table, folder / "selection.parquet", compression="zstd", write_page_checksum=True)
    write_plan(folder, files, spec or Spec(), **more)
    return folder


def write_plan(folder: Path, files: list[dict[str, Any]], spec: Spec, **more: Any) -> None:
    plan = {
        "format": 1,
        "files": files,
        "spec": asdict(spec),
        "selection_digest": file_digest(folder / "selection.parquet"),
        **more,
    }
    (folder / "plan.json").write_text(json.dumps(sealed(plan)))


def write_jsonl(path: Path, records: Sequence[Any]) -> list[bytes]:
    lines = [r if isinstance(r, bytes) else json.dumps(r, ensure_ascii=False).encode() for r in records]
    path.write_bytes(b"".join(line + b"\n" for line in lines))
    return lines


def opened(*paths: Path) -> list[Source]:
    return [discover([str(path)]).sources[0] for path in paths]


def all_of(sources: Sequence[Source], weight: int = 1) -> list[tuple[int, int, int]]:
    return [(n, r, weight) for n, source in enumerate(sources) for r in range(source.index().rows)]


def read_texts(output: Path) -> list[str]:
    """All texts of an output, as cuvee reads them."""
    found = []
    for source in discover([str(output)]).sources:
        for batch in source.read(source.index().segments[0], 0, Spec()):
            assert not batch.bad.any()
            ends = batch.offsets
            found += [batch.data[a:b].tobytes().decode() for a, b in pairwise(ends)]
    return found


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


class Quick(System):
    """Without waiting for the disk."""

    def sync(self, stream: IO[bytes]) -> None:
        stream.flush()


class Double(Source):
    """Record batches in memory; remembers which segments were asked for."""

    format = "parquet"

    def __init__(self, path: str, batches: Sequence[pa.RecordBatch]) -> None:
        self.path, self.batches = path, list(batches)
        self.read_from: list[int] = []
        self.fetched: list[int] = []
        self.mark = "stamp"

    def fields(self) -> list[str]:
        return list(self.batches[0].schema.names)

    def index(self) -> Index:
        first, segments = 0, []
        for at, batch in enumerate(self.batches):
            segments.append(Segment(first, batch.num_rows, batch.nbytes, at))
            first += batch.num_rows
        return Index(first, tuple(segments))

    def read(self, start: Segment, skip: int, spec: Spec) -> Iterator[RawBatch]:
        raise NotImplementedError

    def rows(self, start: Segment, skip: int) -> Iterator[pa.RecordBatch]:
        self.read_from.append(start.position)
        for at in range(start.position, len(self.batches)):
            self.fetched.append(at)
            batch = self.batches[at].slice(skip)
            skip = max(0, skip - self.batches[at].num_rows)
            if batch.num_rows:
                yield batch

    def stamp(self) -> str:
        return self.mark
