"""Objects of Google Cloud Storage through PyArrow, whose random access opens more than it is asked for.

The first thing that is done with what ``GcsFileSystem.open_input_file`` returns sends for the whole object, in a
connection that is then left standing, while Python's global lock is held; hence sockets, bytes and time for each object
that is merely looked at. So the version of an object is asked for without opening it, what is wanted as a whole is read
as a stream, and a handle is opened once per object and process, at the first range, and rid of that connection.

Reads are of one generation. It is the one that was asked about, because the question is asked again behind the opening.

Cost: the answer to that first request is dropped, but what the network had taken in by then was sent: about 0.1 MB to
3 MB for each object of which ranges are read.
"""

from __future__ import annotations

import threading
from typing import Any

import pyarrow.fs as pafs

WHOLE = 1 << 20
"""Objects up to this size are read as streams, if all of them is wanted."""


def is_google(filesystem: Any) -> bool:
    """Whether PyArrow's own client of Google Cloud Storage is behind it."""
    return isinstance(filesystem, pafs.GcsFileSystem)


def known(filesystem: Any, path: str) -> tuple[int, str]:
    """Size and time of making (ns) of the generation of now; the time is of no other generation."""
    info = filesystem.get_file_info(path)
    if info.type != pafs.FileType.File:
        raise FileNotFoundError(path)
    return int(info.size), str(info.mtime_ns)


class GoogleObject:
    """Ranges of one generation of an object. Several threads may use it."""

    def __init__(self, filesystem: Any, path: str, found: tuple[int, str]) -> None:
        self.filesystem, self.path, self.found = filesystem, path, found
        self._handle: Any = None
        self._lock = threading.Lock()

    def read_at(self, size: int, start: int) -> bytes:
        """Up to ``size`` bytes from ``start``.

        Raises:
            FileNotFoundError: the object is gone, or another one.
        """
        if start == 0 and self.found[0] <= min(size, WHOLE):
            return self._stream()
        with self._lock:
            if self._handle is None:
                self._handle = self._opened()
        return bytes(self._handle.read_at(size, start))

    def _stream(self) -> bytes:
        with self.filesystem.open_input_stream(self.path, compression=None) as stream:
            data = bytes(stream.read())
        self._same()
        return data

    def _opened(self) -> Any:
        handle = self.filesystem.open_input_file(self.path)
        self._same()
        handle.seek(self.found[0] - 1)  # the stream of the whole object ends here
        while handle.read(1):
            pass  # a stream that was read to its end gives its connection back
        return handle

    def _same(self) -> None:
        if known(self.filesystem, self.path) != self.found:
            raise FileNotFoundError(self.path)
