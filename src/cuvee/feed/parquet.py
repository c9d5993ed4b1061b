"""Parquet with Zstandard and page checksums. Rows from Parquet, Arrow, CSV and text files keep all columns and types.

JSON lines become the columns id, text and domain (where they are known) and ``metadata``, the JSON text of the other
fields. Row groups are cut by size, so memory does not depend on how long the rows are. Times in whole seconds become
milliseconds, because Parquet has no coarser ones. Cost: about 160 MB of text per second of CPU from Parquet, most of it
compression; 70 from lines.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ..source.base import Index, Source, Spec
from ..source.columns import strings
from ..source.files import File
from ..source.parquet import footer_digest
from .format import Format, Shard, Sink
from .reach import Block, drained
from .records import Long, Records
from .roles import parse
from .schema import align, unify

ROW_GROUP_BYTES = 32 << 20
HUGE_BYTES = 64 << 20
"""Files of a selection that holds a longer text carry no column statistics."""


class Parquet(Format):
    """One table in shards."""

    suffix = ".parquet"

    def __init__(self, spec: Spec, files: Mapping[int, tuple[Source, Index]], largest: int = 0) -> None:
        """``largest``: bytes of the longest text. Arrow would hold four copies of a huge one for statistics."""
        self.records = Records(spec)
        self.schema, self._notes = unify(files, spec)
        self.group_bytes = ROW_GROUP_BYTES
        self.statistics = largest <= HUGE_BYTES

    def prepare(self, block: Block) -> pa.RecordBatch:
        batch = self._documents(block, block.items) if isinstance(block.items, list) else block.items
        return align(batch, self.schema, block.file)

    def _documents(self, block: Block, lines: list[bytes]) -> pa.RecordBatch:
        columns: dict[str, list[str | Long | None]] = {"id": [], "text": [], "domain": [], "metadata": []}
        for line, row in zip(drained(lines), block.row.tolist(), strict=True):
            parts = parse(line, self.records, block.file, row)
            columns["id"].append(parts.id)
            columns["text"].append(parts.text)
            columns["domain"].append(parts.domain)
            columns["metadata"].append(self.records.text(parts.rest, block.file, row).decode())
        known = {name: values for name, values in columns.items() if name in self.schema.names}
        arrays = [_array(values) for values in known.values()]
        return pa.RecordBatch.from_arrays(arrays, names=list(known))

    def shard(self, sink: Sink) -> Shard:
        return ParquetShard(sink, self.schema, self.group_bytes, self.statistics)

    def piece_bytes(self, shard_bytes: int) -> int:
        self.group_bytes = max(1, min(ROW_GROUP_BYTES, shard_bytes // 4))
        return self.group_bytes

    def footer(self, path: Path) -> str | None:
        with File.local(path).open() as file:
            return footer_digest(file)

    def notes(self) -> list[str]:
        return self._notes + self.records.notes()


def _array(values: list[str | Long | None]) -> Any:
    if any(isinstance(value, Long) for value in values):
        parts = [_array([value]) if not isinstance(value, Long) else _one(value) for value in values]
        return parts[0] if len(parts) == 1 else pa.concat_arrays(parts)
    return pa.array(values, pa.large_string())


def _one(value: Long) -> Any:
    """An array over the same memory."""
    return strings(value.data, np.array([0, len(value.data)], np.int64), np.ones(1, bool))


class ParquetShard(Shard):
    """A Parquet file; holds back at most one row group."""

    def __init__(self, sink: Sink, schema: pa.Schema, group_bytes: int, statistics: bool = True) -> None:
        self._schema, self._group_bytes = schema, group_bytes
        self._held: list[pa.RecordBatch] = []
        self._size = 0
        self._writer: Any = pq.ParquetWriter(
            sink, schema, compression="zstd", write_page_checksum=True, write_statistics=statistics
        )

    def write(self, batch: pa.RecordBatch) -> None:
        self._held.append(batch)
        self._size += batch.nbytes
        if self._size >= self._group_bytes:
            self._flush()

    def _flush(self) -> None:
        if self._held:
            table = pa.Table.from_batches(self._held, self._schema)
            self._held, self._size = [], 0
            self._writer.write_table(table, row_group_size=max(1, table.num_rows))

    def close(self) -> None:
        self._flush()
        self._writer.close()

    def abort(self) -> None:
        with contextlib.suppress(Exception):
            self._writer.close()
        self._writer.is_open = False
