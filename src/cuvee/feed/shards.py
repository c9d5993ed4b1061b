"""Cutting a stream of rows into files of about equal size, each synchronised and digested."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType

import pyarrow as pa

from ..engine.files import whole_file
from ..errors import ResourceError
from .format import Format, Shard, Sink
from .sizes import cuts, row_bytes


@dataclass(frozen=True)
class Entry:
    """One finished shard, as the manifest lists it."""

    name: str
    rows: int
    bytes: int
    blake2b: str
    footer: str | None = None
    """Digest of a Parquet file's footer; other formats have none."""

    def as_json(self) -> dict[str, str | int]:
        return {name: value for name, value in asdict(self).items() if value is not None}


class MisfitError(Exception):
    """The shards to go on from do not end where one of this stream can end."""


class Shards:
    """Files ``part-00000`` and so on; a new one begins once the last holds ``shard_bytes``. Use it in a ``with``.

    A shard begins with a new compressor and ends between two pieces, which the stream alone decides. So a run that
    goes on after ``finished`` shards lets as many rows of the same stream pass, and writes the same bytes from there.

    Args:
        finished: the shards that stand in the folder already.
        record: told of each new one.
        tag: stands in the names of the files, so that they differ from those of another job.
    """

    def __init__(
        self,
        folder: Path,
        format: Format,
        shard_bytes: int,
        finished: Sequence[Entry] = (),
        record: Callable[[Entry], None] = lambda entry: None,
        tag: str = "",
    ) -> None:
        self.folder, self.format, self.shard_bytes = folder, format, shard_bytes
        self._tag = f"-{tag}" if tag else ""
        self.piece_bytes = format.piece_bytes(shard_bytes)
        self.entries = list(finished)
        self.skip = sum(entry.rows for entry in finished)
        """How many rows of the stream are still to pass."""
        self._record = record
        self._stack: ExitStack | None = None
        self._sink: Sink | None = None
        self._shard: Shard | None = None
        self._rows = 0

    def __enter__(self) -> Shards:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._sink is not None:
            self._sink.dead = True
        if self._shard is not None:
            self._shard.abort()
        if self._stack is not None:
            with suppress(ResourceError):  # the folder's owner explains the error, under the folder's name
                self._stack.__exit__(kind, error, trace)

    def write(self, batch: pa.RecordBatch) -> None:
        """Append prepared rows."""
        if self.skip and batch.num_rows <= self.skip:
            self.skip -= batch.num_rows
            return
        for piece in pieces(batch, self.piece_bytes):
            if self.skip:
                if piece.num_rows > self.skip:
                    raise MisfitError
                self.skip -= piece.num_rows
                continue
            shard, sink = self._begun()
            shard.write(piece)
            self._rows += piece.num_rows
            if sink.bytes >= self.shard_bytes:
                self.close()

    def _name(self) -> str:
        name = f"part-{len(self.entries):05d}{self._tag}{self.format.suffix}"
        return f"{self.format.folder}/{name}" if self.format.folder else name

    def _begun(self) -> tuple[Shard, Sink]:
        """The open shard, or a new one."""
        if self._shard is None or self._sink is None:
            self._stack = ExitStack()
            self._sink = Sink(self._stack.enter_context(whole_file(self.folder / self._name())))
            self._rows = 0
            self._shard = self.format.shard(self._sink)
        return self._shard, self._sink

    def close(self) -> None:
        """Finish the open shard; what is not closed when the ``with`` ends vanishes."""
        if self._shard is None or self._sink is None or self._stack is None:
            return
        self._shard.close()
        self._stack.close()
        name = self._name()
        footer = self.format.footer(self.folder / name)
        entry = Entry(name, self._rows, self._sink.bytes, self._sink.hexdigest(), footer)
        self._shard = self._stack = self._sink = None
        self.entries.append(entry)
        self._record(entry)


def pieces(batch: pa.RecordBatch, size: int) -> Iterator[pa.RecordBatch]:
    """Slices of a batch of about ``size`` bytes each, at least one row."""
    if batch.nbytes <= size:
        yield batch
        return
    for low, high in cuts(row_bytes(batch), size):
        yield batch.slice(low, high - low)
