"""The only place where cuvee writes to disk.

Files appear whole or not at all: written under a temporary name in the same folder, synchronised, renamed. Folders
likewise: built beside the target, then swapped in. The three calls that can fail on a full or failing disk go through
:data:`system`, which tests replace by a faulty double.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import re
import shutil
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from ..errors import BusyError, ResourceError, UsageError


class System:
    """The operating-system calls that writing depends on."""

    def write(self, stream: IO[bytes], data: bytes | memoryview) -> None:
        stream.write(data)

    def sync(self, stream: IO[bytes]) -> None:
        stream.flush()
        os.fsync(stream.fileno())

    def rename(self, source: Path, target: Path) -> None:
        source.replace(target)


system = System()


class _Stream:
    """A binary stream whose writes go through :data:`system`; enough of a file for PyArrow to write to."""

    def __init__(self, raw: IO[bytes]) -> None:
        self._raw = raw
        self.closed = False

    def write(self, data: bytes | memoryview) -> int:
        system.write(self._raw, data)
        return memoryview(data).nbytes

    def tell(self) -> int:
        return self._raw.tell()

    def flush(self) -> None:
        self._raw.flush()

    def readable(self) -> bool:
        return False

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return False

    def close(self) -> None:
        """The owner closes the file."""


def temporary_name(target: Path) -> Path:
    """A hidden name beside ``target`` that no other live process uses."""
    return target.with_name(f".{target.name}.{os.getpid()}.{os.urandom(4).hex()}.tmp")


def staging_of(target: Path) -> Path:
    """The hidden folder beside ``target`` where finished parts of it wait for the others, from one run to the next.

    What is to become ``target`` has the same name in it.
    """
    return target.with_name(f".{target.name}.writing")


def explain(error: OSError, target: Path) -> ResourceError:
    """Turn an operating-system failure while writing into a sentence."""
    target = Path(*(re.sub(r"^\.(.+)\.[0-9]+\.[0-9a-f]{8}\.tmp$", r"\1", part) for part in target.parts))
    target = Path(re.sub(r"/\.([^/]+)\.writing(/\1(?=/|$)|/progress\.jsonl$|$)", r"/\1", str(target)))
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        place = target if target.exists() else target.parent
        try:
            free = f"{shutil.disk_usage(place).free:,} bytes are free"
        except OSError:
            free = "the disk is full"
        return ResourceError(
            f"No space left while writing {target} ({free} there). Earlier results are untouched. "
            "Free some space and run the same command again: it goes on where it stopped."
        )
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS, errno.EEXIST, errno.ENOTDIR):
        return ResourceError(f"Cannot write {target}: {error.strerror}. Choose another place with -o or --cache.")
    return ResourceError(f"Writing {target} failed: {error.strerror or error}. Earlier results are untouched.")


@contextlib.contextmanager
def whole_file(target: Path, durable: bool = True) -> Iterator[_Stream]:
    """A stream to a new file that takes ``target``'s name when the block ends well, and vanishes otherwise.

    ``durable=False`` does not wait for the disk: for files that are checked when read and can be computed again.
    """
    temporary = temporary_name(target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as raw:
            yield _Stream(raw)
            if durable:
                system.sync(raw)
        system.rename(temporary, target)
        if durable:
            _sync_folder(target.parent)
    except OSError as error:
        raise explain(error, target) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def write_whole(target: Path, data: bytes) -> None:
    """Write ``data`` to ``target``, whole or not at all."""
    with whole_file(target) as stream:
        stream.write(data)


def append(target: Path, data: bytes) -> None:
    """Add ``data`` to the end of a file, synchronised; a kill may leave a part of it there."""
    try:
        with target.open("ab") as stream:
            system.write(stream, data)
            system.sync(stream)
    except OSError as error:
        raise explain(error, target) from error


def _sync_folder(folder: Path) -> None:
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


@contextlib.contextmanager
def whole_folder(target: Path, staging: Path | None = None) -> Iterator[Path]:
    """A new folder that replaces ``target`` when the block ends well, and vanishes otherwise.

    ``staging``, a folder on the same disk, is taken as it is instead of a new one, and does not vanish.

    An existing ``target`` is moved aside, and moved back if anything fails; one that a killed run left moved aside is
    put back first. A symbolic link stays, and the folder that it points to is replaced.
    """
    target = target.resolve()
    aside = target.with_name(f".{target.name}.replaced")
    temporary = staging or temporary_name(target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if aside.exists():
            if target.exists():
                shutil.rmtree(aside)
            else:
                aside.replace(target)
        for stale in target.parent.glob(f".{target.name}.*.tmp"):
            shutil.rmtree(stale, ignore_errors=True)  # the caller holds the lock: nobody else is writing
        temporary.mkdir(parents=True, exist_ok=staging is not None)
        yield temporary
        moved = target.exists()
        if moved:
            system.rename(target, aside)
        try:
            system.rename(temporary, target)
        except OSError:
            if moved:
                aside.replace(target)
            raise
        _sync_folder(target.parent)
        shutil.rmtree(aside, ignore_errors=True)
    except OSError as error:
        raise explain(error, target) from error
    finally:
        if staging is None:
            shutil.rmtree(temporary, ignore_errors=True)


@contextlib.contextmanager
def lock(target: Path, tidy: bool = True) -> Iterator[None]:
    """Hold the right to write ``target``; raise BusyError naming the owner if somebody else holds it.

    The lock belongs to the open file, so it ends with its process, however that ends. ``tidy``: folders that
    were made for it and stayed empty are removed.
    """
    try:
        target = target.resolve()
        if Path.cwd().is_relative_to(target):
            raise UsageError(f"{target} is replaced as a whole, and you are in it. Name a folder of its own with -o.")
        path = target.with_name(f".{target.name}.lock")
        missing = [folder for folder in target.parents if tidy and not folder.exists()]
        while True:
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            except FileNotFoundError:
                if target.parent.exists():  # a place where nothing can be made, like /proc
                    raise
                continue  # another run that failed has just removed the folder
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                owner = _owner(handle)
                os.close(handle)
                raise BusyError(f"{target} is being written by {owner}. Wait for it, or choose another -o.") from None
            try:
                same = os.fstat(handle).st_ino == path.stat().st_ino
            except FileNotFoundError:
                same = False
            if same:
                break
            os.close(handle)  # the file was removed between opening and locking
    except OSError as error:
        raise explain(error, target) from error
    try:
        try:
            os.ftruncate(handle, 0)
            os.pwrite(handle, f"process {os.getpid()} on {socket.gethostname()}".encode(), 0)
        except OSError as error:
            raise explain(error, target) from error
        yield
    finally:
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)
        os.close(handle)
        with contextlib.suppress(OSError):  # folders in which nothing was written
            for folder in missing:
                folder.rmdir()


@contextlib.contextmanager
def waited_lock(target: Path, seconds: float) -> Iterator[None]:
    """As :func:`lock`, after waiting for others; BusyError once that has taken longer than ``seconds``."""
    until = time.monotonic() + seconds
    with contextlib.ExitStack() as stack:
        while True:
            try:
                stack.enter_context(lock(target))
                break
            except BusyError:
                if time.monotonic() > until:
                    raise
                time.sleep(0.01)
        yield


def _owner(handle: int) -> str:
    """Who holds a lock; it may be about to write its name."""
    for _ in range(100):
        if owner := os.pread(handle, 200, 0).decode(errors="replace").strip():
            return owner
        time.sleep(0.01)
    return "another process"


def file_digest(path: Path) -> str:
    """BLAKE2b digest of a file's bytes."""
    total = hashlib.blake2b(digest_size=20)
    with path.open("rb") as stream:
        while part := stream.read(1 << 20):
            total.update(part)
    return total.hexdigest()
