"""Objects of remote file systems as files: read by byte ranges, ahead of the reader, with patience, and of one version.

A reader asks for pieces of at most 1 MB. While it works on one, the next are on their way: two at first, and twice as
many whenever it had to wait, up to 8. A piece is let go of once it is read. What the first reads of a reader brought,
and what was fetched ahead in vain, stays in memory for a while (64 MB for all files), because spans overlap: where one
ends, another began. So each byte in use is fetched about once a pass.

Every request is repeated from where it stopped (``retry.py``). An object's size, times and entity tag are compared each
time a reader opens it, after each broken connection, and at its end: one that was replaced meanwhile is refused.
"""

from __future__ import annotations

import hashlib
import io
import os
import threading
from bisect import bisect_right
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, Protocol, TypeVar

import pyarrow.fs as pafs

from cuvee.errors import DataError

from .google import GoogleObject, is_google, known
from .retry import GivenUpError, persist, plain

END = 64 << 10
PIECE = 1 << 20
FIRST_AHEAD, MOST_AHEAD = 2, 8
KEPT_BYTES = 64 << 20
EDGE_BYTES = 4 << 20
GAP = 32 << 10
"""Ranges of a Parquet file that are closer than this are fetched together."""
CONNECTIONS = 16
_TRUNCATED = "It may be truncated: fetch it again."

T = TypeVar("T")


@dataclass(frozen=True)
class Version:
    """What tells one content of an object from another, as far as its file system knows."""

    size: int
    time: str
    tag: str

    def __str__(self) -> str:
        return f"{self.size} {self.time} {self.tag}"


Key = tuple[str, Version, int, int]
"""Name and version of an object, first byte and size."""


class Kept:
    """The most recently used pieces, up to a limit of bytes. Several threads may use it."""

    def __init__(self, limit: int) -> None:
        self.limit, self._size = limit, 0
        self._pieces: OrderedDict[Key, bytes] = OrderedDict()
        self._lock = threading.Lock()

    def put(self, key: Key, data: bytes) -> None:
        with self._lock:
            if key not in self._pieces:
                self._size += len(data)
            self._pieces[key] = data
            self._pieces.move_to_end(key)
            while self._size > self.limit:
                self._size -= len(self._pieces.popitem(last=False)[1])

    def get(self, key: Key) -> bytes | None:
        with self._lock:
            if key in self._pieces:
                self._pieces.move_to_end(key)
            return self._pieces.get(key)


kept = Kept(KEPT_BYTES)
_flying: dict[Key, Future[bytes]] = {}
"""The pieces that are on their way, whoever sent for them."""


@cache
def crew() -> ThreadPoolExecutor:
    """The threads that fetch; begun when first needed, hence behind any fork."""
    return ThreadPoolExecutor(CONNECTIONS, thread_name_prefix="cuvee-fetch")


def _in_child() -> None:
    """A forked process has none of the threads of its parent."""
    crew.cache_clear()
    _flying.clear()


os.register_at_fork(after_in_child=_in_child)


def ahead(work: Iterable[Callable[[], T]], depth: int = MOST_AHEAD) -> Iterator[T]:
    """The results of the calls, in order; up to ``depth`` of them run while earlier results are used."""
    calls = iter(work)
    waiting: list[Future[T]] = []
    try:
        while True:
            while len(waiting) < depth and (call := next(calls, None)) is not None:
                waiting.append(crew().submit(call))
            if not waiting:
                return
            yield waiting.pop(0).result()
    finally:
        for future in waiting:
            future.cancel()


class Remote:
    """One object: its version, and any range of its bytes. Several threads may use it."""

    def __init__(self, filesystem: Any, path: str, name: str) -> None:
        self.filesystem, self.path, self.name = filesystem, path, name
        self._handle: Any = None
        """Stateless: any thread may read any range of it."""
        self._version: Version | None = None
        self._lock = threading.Lock()

    @property
    def version(self) -> Version:
        """The version that was seen first."""
        if self._version is None:
            self.check()
        assert self._version is not None
        return self._version

    def check(self, place: str = "", stopped: threading.Event | None = None) -> None:
        """Ask the server for the object once more; refuse another version than the first."""
        handle, found = persist(self._open, self.name, place, stopped)
        with self._lock:
            if self._version is None:
                self._version = found
            self._handle = handle
        if found != self._version:
            raise DataError(
                f"{plain(self.name)} changed while it was being read: it is another version than at first. Run the "
                "same command again when nobody writes to it any more."
            )

    def known(self) -> Version | None:
        """The version of now; None if there is no such object."""
        return persist(lambda: self._open()[1] if self._exists() else None, self.name)

    def _exists(self) -> bool:
        return bool(self.filesystem.get_file_info(self.path).type == pafs.FileType.File)

    def expect(self, version: Version) -> None:
        """Refuse any other version from now on."""
        self._version = version

    def renew(self) -> Version:
        """The version of now, which becomes the one to compare with."""
        handle, found = persist(self._open, self.name)
        with self._lock:
            self._handle, self._version = handle, found
        return found

    def _open(self) -> tuple[Any, Version]:
        if is_google(self.filesystem):
            found = known(self.filesystem, self.path)
            if self._handle is None or self._handle.found != found:
                return GoogleObject(self.filesystem, self.path, found), Version(*found, "")
            return self._handle, Version(*found, "")
        handle = self.filesystem.open_input_file(self.path)
        try:
            told = handle.metadata() or {}
        except NotImplementedError:
            told = {}
        facts = {str(name).lower(): bytes(value).decode(errors="replace") for name, value in told.items()}
        size, time = handle.size(), facts.get("last-modified", "")
        if not time:
            time = str(self.filesystem.get_file_info(self.path).mtime_ns)
        return handle, Version(int(size), time, facts.get("etag") or facts.get("generation", ""))

    def fetch(self, start: int, size: int, stopped: threading.Event | None = None) -> bytes:
        """``size`` bytes from ``start``, less at the object's end; goes on where a connection broke."""
        size = min(size, self.version.size - start)
        if size <= 0:
            return b""
        key = (self.name, self.version, start, size)
        if (found := kept.get(key)) is not None:
            return found
        parts: list[bytes] = []
        done, broken = 0, self._handle is None
        place = f"byte {start:,}"

        def once() -> bytes:
            nonlocal done, broken
            if broken:
                self.check(place, stopped)
            broken = True
            while done < size:
                try:
                    part = self._handle.read_at(size - done, start + done)
                except FileNotFoundError:  # some stores know a replaced object no more
                    self.check(place, stopped)
                    raise
                if not part:
                    raise OSError(f"the server sent {done} of {size} bytes")
                parts.append(part)
                done += len(part)
            return parts[0] if len(parts) == 1 else b"".join(parts)

        return persist(once, self.name, place, stopped)

    def ends(self) -> str:
        """A digest of the first and the last 64 KB."""
        total = hashlib.blake2b(digest_size=16)
        size = self.version.size
        for start in (0, max(END, size - END)) if size > END else (0,):
            total.update(self.keep(start, END))
        return total.hexdigest()

    def keep(self, start: int, size: int) -> bytes:
        """Like :meth:`fetch`, for what will be asked for again."""
        data = self.fetch(start, size)
        kept.put((self.name, self.version, start, len(data)), data)
        return data


class Plan(Protocol):
    """Which pieces there are, in the order in which they will be wanted; pieces are numbered from 0."""

    def at(self, offset: int) -> int | None:
        """The number of the piece that holds a byte."""

    def extent(self, number: int) -> tuple[int, int] | None:
        """Where a piece begins and ends."""


class Blocks:
    """The whole object in order."""

    def __init__(self, size: int) -> None:
        self.size = size

    def at(self, offset: int) -> int | None:
        return offset // PIECE if offset < self.size else None

    def extent(self, number: int) -> tuple[int, int] | None:
        start = number * PIECE
        return (start, min(start + PIECE, self.size)) if start < self.size else None


class Ranges:
    """Ranges that are announced as they come into view, cut into pieces."""

    def __init__(self) -> None:
        self._extents: dict[int, tuple[int, int]] = {}
        self._views: list[tuple[list[int], list[int]]] = []
        """Of each announcement: where its pieces begin, ascending, and their numbers."""
        self.count = 0
        """How many pieces were announced so far."""

    def at(self, offset: int) -> int | None:
        for starts, numbers in self._views:
            k = bisect_right(starts, offset) - 1
            if k >= 0 and offset < self._extents[numbers[k]][1]:
                return numbers[k]
        return None

    def extent(self, number: int) -> tuple[int, int] | None:
        return self._extents.get(number)

    def announce(self, ranges: Sequence[tuple[int, int]]) -> None:
        """Ranges (start, end) that will be read side by side, each from its beginning, behind what was announced."""
        merged: list[tuple[int, int]] = []
        for start, end in sorted(ranges):
            if merged and start - merged[-1][1] <= GAP:
                merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
            else:
                merged.append((start, end))
        pieces = []
        for start, end in merged:
            count = -(-(end - start) // PIECE)
            borders = [start + (end - start) * k // count for k in range(count + 1)]
            pieces += [(k / count, borders[k], borders[k + 1]) for k in range(count)]
        numbered = list(enumerate(sorted(pieces), self.count))
        self.count += len(numbered)
        self._extents.update((number, (start, end)) for number, (_, start, end) in numbered)
        numbered.sort(key=lambda one: one[1][1])
        self._views.append(([start for _, (_, start, _) in numbered], [number for number, _ in numbered]))

    def forget(self, before: int) -> None:
        """Announcements all of whose pieces have smaller numbers are over."""
        self._views = [view for view in self._views if view[1] and max(view[1]) >= before]
        for number in [number for number in self._extents if number < before]:
            del self._extents[number]


class Window:
    """The pieces of one reader: those on their way, and those that are not read to the end yet."""

    def __init__(self, remote: Remote, plan: Plan) -> None:
        self.remote, self.plan = remote, plan
        self._coming: dict[int, Future[bytes]] = {}
        self._held: dict[int, tuple[bytes, int]] = {}
        """By piece: its bytes, and how many of them are still to be read."""
        self._depth, self._brought, self._last = FIRST_AHEAD, 0, -1
        self._read: deque[tuple[int, bytes]] = deque()
        """Where the last pieces begin that were read to the end, and their bytes."""
        self._stopped = threading.Event()

    def read(self, offset: int, size: int) -> Iterator[memoryview]:
        """The bytes in parts."""
        end = min(offset + size, self.remote.version.size)
        while offset < end:
            number = self.plan.at(offset)
            if number is None:
                starts = range(offset, end, PIECE)
                calls = (partial(self.remote.fetch, at, min(PIECE, end - at), self._stopped) for at in starts)
                for part in ahead(calls) if len(starts) > 1 else (call() for call in calls):
                    yield memoryview(part)
                return
            self._order(number, offset, end)
            start, stop = self.plan.extent(number) or (0, 0)
            stop = min(stop, end)
            data = self._piece(number)
            yield memoryview(data)[offset - start : stop - start]
            left = self._held[number][1] - (stop - offset)
            if left > 0:
                self._held[number] = data, left
            else:
                del self._held[number]
                self._read.append((start, data))
                while len(self._read) * PIECE > EDGE_BYTES:
                    self._read.popleft()
            offset = stop

    def _order(self, number: int, offset: int, end: int) -> None:
        """Send for the pieces behind this one, as far as they are wanted now or soon."""
        if number == self._last:
            return
        forward = 0 <= self._last < number or end - offset > PIECE
        self._last = number
        for k in range(number + 1, number + 1 + (self._depth if forward else 0)):
            extent = self.plan.extent(k)
            if extent is None:
                break
            if k not in self._coming and k not in self._held:
                self._coming[k] = self._send(*extent)

    def _send(self, start: int, end: int) -> Future[bytes]:
        key = (self.remote.name, self.remote.version, start, end - start)
        future = _flying.get(key)
        if future is None:
            future = crew().submit(partial(self.remote.fetch, start, end - start, self._stopped))
            _flying[key] = future
            future.add_done_callback(lambda _: _flying.pop(key, None))
        return future

    def _piece(self, number: int) -> bytes:
        if number in self._held:
            return self._held[number][0]
        start, end = self.plan.extent(number) or (0, 0)
        coming = self._coming.pop(number, None) or _flying.get(
            (self.remote.name, self.remote.version, start, end - start)
        )
        data = b""
        if coming is not None:
            if not coming.done():
                self._depth = min(2 * self._depth, MOST_AHEAD)
            with suppress(CancelledError, GivenUpError):  # another reader had sent for it, and has gone
                data = coming.result()
        data = data or self.remote.fetch(start, end - start)
        if len(data) != end - start:
            raise DataError(f"{plain(self.remote.name)}: has fewer bytes than it says. {_TRUNCATED}")
        self._held[number] = data, len(data)
        if self._brought < EDGE_BYTES:
            self._brought += len(data)
            self._keep(start, data)
        return data

    def _keep(self, start: int, data: bytes) -> None:
        kept.put((self.remote.name, self.remote.version, start, len(data)), data)

    def forget(self, before: int) -> None:
        """Let go of the pieces before one."""
        for number in [k for k in self._held if k < before]:
            del self._held[number]
        for number in [k for k in self._coming if k < before]:
            self._give_up(number)

    def close(self) -> None:
        self._stopped.set()
        for number, (data, _) in self._held.items():
            self._read.append(((self.plan.extent(number) or (0, 0))[0], data))
        for start, data in self._read:
            self._keep(start, data)
        self._held.clear()
        self._read.clear()
        for number in list(self._coming):
            self._give_up(number)

    def _give_up(self, number: int) -> None:
        coming, extent = self._coming.pop(number), self.plan.extent(number)
        if coming.cancel() or extent is None:
            return

        def keep(done: Future[bytes]) -> None:
            with suppress(Exception):
                self._keep(extent[0], done.result())

        coming.add_done_callback(keep)


class RemoteFile(io.RawIOBase):
    """A seekable binary file over an object. One thread at a time.

    ``ranges``: None reads ahead of wherever the reader stands; else only what is announced there is read ahead, and
    other bytes are fetched exactly as asked for.
    """

    def __init__(self, remote: Remote, ranges: Ranges | None = None) -> None:
        super().__init__()
        remote.check()
        self.remote = remote
        self._whole = ranges is None
        self._window = Window(remote, Blocks(remote.version.size) if ranges is None else ranges)
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def size(self) -> int:
        return self.remote.version.size

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self.size()}[whence]
        if base + offset < 0:
            raise OSError("a position before the beginning")
        self._at = base + offset
        return self._at

    def tell(self) -> int:
        return self._at

    def _parts(self, size: int) -> Iterator[memoryview]:
        if self._at >= self.size() and size and self._whole:
            self.remote.check("at its end")
        for part in self._window.read(self._at, size):
            self._at += len(part)
            yield part
        if self._whole:
            self._window.forget(self._at // PIECE)

    def read(self, size: int | None = -1) -> bytes:
        """All that is asked for, less only at the end."""
        size = self.size() if size is None or size < 0 else size
        return b"".join(self._parts(size))

    def readall(self) -> bytes:
        return self.read()

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        at = 0
        for part in self._parts(len(view)):
            view[at : at + len(part)] = part
            at += len(part)
        return at

    def announce(self, ranges: Sequence[tuple[int, int]], before: int = 0) -> int:
        """Ranges that are wanted behind those announced already; pieces ``before`` are no longer wanted.

        Returns:
            The number of the first new piece.
        """
        plan = self._window.plan
        assert isinstance(plan, Ranges)
        self._window.forget(before)
        plan.forget(before)
        first = plan.count
        plan.announce(ranges)
        return first

    def close(self) -> None:
        if not self.closed:
            self._window.close()
        super().close()
