"""What an output format must offer. In every format, prepared rows travel as record batches until they are written."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from pathlib import Path
from typing import IO, Any

import pyarrow as pa

from .reach import Block


class Sink:
    """The stream of one shard: counts and digests what passes; once dead it swallows what late destructors flush."""

    def __init__(self, stream: Any) -> None:
        self._stream: IO[bytes] = stream
        self._digest = hashlib.blake2b(digest_size=20)
        self.bytes = 0
        self.dead = False
        self.closed = False

    def write(self, data: Any) -> int:
        size = memoryview(data).nbytes
        if not self.dead:
            self._stream.write(data)
            self._digest.update(data)
            self.bytes += size
        return size

    def hexdigest(self) -> str:
        return self._digest.hexdigest()

    def tell(self) -> int:
        return self.bytes

    def flush(self) -> None: ...

    def close(self) -> None: ...

    def readable(self) -> bool:
        return False

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return False


class Shard(ABC):
    """One output file while it is being written."""

    @abstractmethod
    def write(self, batch: pa.RecordBatch) -> None:
        """Append prepared rows."""

    @abstractmethod
    def close(self) -> None:
        """Write what is still held back."""

    def abort(self) -> None:  # noqa: B027 (most formats have nothing to let go of)
        """The sink is dead: let go without an error."""


class Format(ABC):
    """One output format, set up for one pool."""

    suffix: str
    folder = ""
    """Where in the output the shards stand."""

    @abstractmethod
    def prepare(self, block: Block) -> pa.RecordBatch:
        """The block's rows, one for one, in the schema that :meth:`shard` writes."""

    @abstractmethod
    def shard(self, sink: Sink) -> Shard:
        """Begin a file."""

    @abstractmethod
    def piece_bytes(self, shard_bytes: int) -> int:
        """Into pieces of which size rows are to be cut before they are written; a shard ends between pieces."""

    def footer(self, path: Path) -> str | None:
        """A digest of what at a finished file's end tells how to read it, where the format has no checksum for it."""
        return None

    def notes(self) -> list[str]:
        """What the user should know about the conversion."""
        return []
