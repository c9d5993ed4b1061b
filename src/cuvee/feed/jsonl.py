"""JSON Lines, plain or compressed. Lines that were JSONL before are copied byte for byte.

Gzip carries no time and no name, Zstandard is one frame, so the same rows give the same bytes. Cost: 265 MB of
text per second of CPU for plain lines from lines, 160 with Zstandard, 20 with gzip at its default level.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from ..errors import DataError
from ..source.base import Spec
from ..source.columns import bytes_of
from ..source.files import plain
from .format import Format, Shard, Sink
from .reach import Block
from .records import Records

PIECE_BYTES = 1 << 20


def lines_batch(lines: Sequence[bytes | bytearray], end: bytes = b"") -> pa.RecordBatch:
    """Lines, to each of which an end is added, as the one column of a batch."""
    offsets = np.cumsum([0, *(len(line) + len(end) for line in lines)], dtype=np.int64)
    data = lines[0] if len(lines) == 1 and not end else end.join([*lines, b""])
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(data)]
    column = pa.Array.from_buffers(pa.large_binary(), len(lines), buffers)
    return pa.RecordBatch.from_arrays([column], names=["line"])


class Lines(Format):
    """What every format of lines shares: how they are compressed and cut."""

    def __init__(self, compression: str | None) -> None:
        self.compression = compression
        self.suffix = ".jsonl" + {None: "", "gzip": ".gz", "zstd": ".zst"}[compression]

    def shard(self, sink: Sink) -> Shard:
        return LinesShard(sink, self.compression)

    def piece_bytes(self, shard_bytes: int) -> int:
        return max(1, min(PIECE_BYTES, shard_bytes // 16))


class Jsonl(Lines):
    """Whole rows as lines."""

    def __init__(self, spec: Spec, compression: str | None) -> None:
        super().__init__(compression)
        self.records = Records(spec)

    def prepare(self, block: Block) -> pa.RecordBatch:
        if isinstance(block.items, list):
            if b"" in block.items:
                row = int(block.row[block.items.index(b"")])
                raise DataError(f"{plain(block.file)}, row {row:,}: is longer than the row limit. Select again.")
            return lines_batch(block.items, b"\n")
        records = self.records.rows(block.items, block.file)
        rows = zip(records, block.row.tolist(), strict=True)
        return lines_batch([self.records.line(record, block.file, row) for record, row in rows])

    def notes(self) -> list[str]:
        return self.records.notes()


class LinesShard(Shard):
    """A file of lines."""

    def __init__(self, sink: Sink, compression: str | None) -> None:
        self._sink = sink
        self._gzip: Any = None
        self._stream: Any = None
        if compression == "gzip":
            self._gzip = zlib.compressobj(zlib.Z_DEFAULT_COMPRESSION, zlib.DEFLATED, 16 + zlib.MAX_WBITS)
        elif compression is not None:
            self._stream = pa.CompressedOutputStream(pa.PythonFile(sink, "w"), compression)

    def write(self, batch: pa.RecordBatch) -> None:
        data, offsets, _ = bytes_of(batch.column(0))
        piece = data[offsets[0] : offsets[-1]].data
        if self._gzip is not None:
            self._sink.write(self._gzip.compress(piece))
        elif self._stream is not None:
            self._stream.write(piece)
        else:
            self._sink.write(piece)

    def close(self) -> None:
        if self._gzip is not None:
            self._sink.write(self._gzip.flush())
        elif self._stream is not None:
            self._stream.close()
