"""Plain text files: each is one document; the files of a folder form one source."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import repeat
from pathlib import Path, PurePosixPath

import numpy as np
import pyarrow as pa

from .base import Bad, Index, RawBatch, Segment, Source, Spec
from .batches import pieces, to_raw
from .files import File, reading
from .remote import PIECE, ahead

GROUP_ROWS = 1024
GROUP_BYTES = 4 << 20
_FIELDS = ("id", "text", "domain")


class TextSource(Source):
    """Text files in the order given. Columns: ``id`` (path from the root), ``text``, ``domain`` (its folder's name)."""

    format = "text"

    def __init__(
        self,
        name: str,
        files: Sequence[tuple[File, str]],
        domain: str | None = None,
        row_limit: int = 512 << 20,
    ) -> None:
        """``files`` are pairs of file and id; ``domain``, when given, replaces the folders' names."""
        self.path = name
        self.files = tuple(files)
        self.domain = domain
        self.row_limit = row_limit

    def fields(self) -> list[str]:
        return list(_FIELDS)

    def stamp(self) -> str:
        """Over ids, sizes, times and inodes; the content of a single file is looked at, too."""
        digest = hashlib.blake2b(digest_size=16)
        for file, name in self.files:
            digest.update(name.encode("utf-8", "surrogatepass") + b"\0")
            if len(self.files) == 1:
                digest.update(file.stamp().encode())
            elif file.is_local:
                with reading(file.name):
                    s = Path(file.path).stat()
                digest.update(f"{s.st_size} {s.st_mtime_ns} {s.st_ctime_ns} {s.st_ino}\n".encode())
        if len(self.files) > 1 and not self.files[0][0].is_local:
            for version in ahead(file.remote.renew for file, _ in self.files):
                digest.update(f"{version}\n".encode())
        return digest.hexdigest()

    def index(self) -> Index:
        segments = []
        for first in range(0, len(self.files), GROUP_ROWS):
            group = self.files[first : first + GROUP_ROWS]
            sizes = ahead(file.size for file, _ in group) if not group[0][0].is_local else (f.size() for f, _ in group)
            segments.append(Segment(first, len(group), sum(sizes), first))
        return Index(len(self.files), tuple(segments))

    def read(self, start: Segment, skip: int, spec: Spec) -> Iterator[RawBatch]:
        for first, columns, reasons in self._groups(start.first_row + skip):
            batch = to_raw(columns, first, spec, lambda: 1, self.path)
            batch.bad = np.where(reasons > 0, reasons, batch.bad)
            yield from pieces(batch)

    def rows(self, start: Segment, skip: int) -> Iterator[pa.RecordBatch]:
        """Ids, texts and domains as strings, with U+FFFD for bytes that are not UTF-8."""
        for _, columns, _ in self._groups(start.first_row + skip):
            arrays = [
                pa.array(
                    [None if v is None else v.decode(errors="replace") for v in c.to_pylist()],
                    pa.large_string(),
                )
                for c in columns.columns
            ]
            yield pa.RecordBatch.from_arrays(arrays, names=_FIELDS)

    def _groups(self, first: int) -> Iterator[tuple[int, pa.RecordBatch, np.ndarray]]:
        texts: list[bytes] = []
        size = 0
        bad: list[int] = []
        for number, text in enumerate(self._bodies(first), first):
            bad.append(Bad.TOO_LONG if len(text) > self.row_limit else Bad.OK)
            texts.append(b"" if bad[-1] else text)
            size += len(texts[-1])
            if len(texts) == GROUP_ROWS or size >= GROUP_BYTES or number == len(self.files) - 1:
                begin = number + 1 - len(texts)
                yield begin, self._batch(begin, texts), np.array(bad, np.uint8)
                texts, size, bad = [], 0, []

    def _bodies(self, first: int) -> Iterator[bytes]:
        """The files' bytes, cut behind the row limit; remote ones are fetched ahead, unless they are large."""
        early = (partial(_small, file) for file, _ in self.files[first:] if not file.is_local)
        fetched: Iterator[bytes | None] = repeat(None) if self.files[0][0].is_local else ahead(early)
        for (file, _), body in zip(self.files[first:], fetched, strict=False):
            if body is None:
                with file.open() as stream, reading(file.name):
                    body = stream.read(self.row_limit + 1)
            yield body

    def _batch(self, begin: int, texts: list[bytes]) -> pa.RecordBatch:
        names = [name for _, name in self.files[begin : begin + len(texts)]]
        folders = [self._domain(file) for file, _ in self.files[begin : begin + len(texts)]]
        # a name that is not UTF-8 keeps its bytes, so that the row is rejected for it
        ids = [name.encode("utf-8", "surrogateescape") for name in names]
        domains = [None if d is None else d.encode("utf-8", "surrogateescape") for d in folders]
        arrays = [pa.array(values, pa.large_binary()) for values in (ids, texts, domains)]
        return pa.RecordBatch.from_arrays(arrays, names=_FIELDS)

    def _domain(self, file: File) -> str | None:
        return self.domain if self.domain is not None else PurePosixPath(file.path).parent.name or None


def _small(file: File) -> bytes | None:
    """The whole object, or None if it is more than a piece."""
    file.remote.check()
    size = file.remote.version.size
    return file.remote.fetch(0, size) if size <= PIECE else None
