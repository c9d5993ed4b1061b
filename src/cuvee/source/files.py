"""Where a file stands and how it is opened: the one place that touches filesystems and catches their errors."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.fs as pafs

from cuvee.errors import CuveeError, DataError

from .address import Address, open_address
from .remote import END, Ranges, Remote, RemoteFile, Version
from .retry import plain as plain


@contextmanager
def reading(name: str, place: str = "", advice: str = "Check or replace the file.") -> Iterator[None]:
    """Turn what PyArrow, NumPy and the operating system raise into a DataError that names the file."""

    def where() -> str:  # asked for only when something went wrong: this runs once a batch
        return f"{plain(name)}, {place}" if place else plain(name)

    try:
        yield
    except CuveeError:
        raise
    except FileNotFoundError:
        raise DataError(f"{where()}: no such file. Check the path.") from None
    except PermissionError:
        raise DataError(f"{where()}: no permission to read it. Change its mode or owner.") from None
    except MemoryError:
        raise DataError(f"{where()}: declares more data than fits into memory. {advice}") from None
    except (pa.ArrowException, OSError, ValueError, KeyError, TypeError, OverflowError, EOFError) as error:
        if isinstance(error, UnicodeEncodeError) and error.object == name:
            raise DataError(f"{where()}: its name is not UTF-8. Rename it.") from None
        said = (error.strerror if isinstance(error, OSError) else None) or str(error)
        reason = plain(said).rstrip(".") or type(error).__name__
        raise DataError(f"{where()}: cannot be read ({reason}). {advice}") from None


@dataclass(frozen=True)
class File:
    """A path in a PyArrow filesystem; ``name`` is what users know it by."""

    filesystem: pafs.FileSystem
    path: str
    name: str

    @classmethod
    def local(cls, path: str | Path) -> File:
        return cls(pafs.LocalFileSystem(), str(path), str(path))

    @property
    def is_local(self) -> bool:
        return isinstance(self.filesystem, pafs.LocalFileSystem)

    def sibling(self, path: str) -> File:
        """The file at another path of the same filesystem, named in the same way."""
        if self.is_local:
            return File(self.filesystem, path, path)
        address = Address.parse(self.name)
        assert address is not None
        base = self.path[: len(self.path) - len(address.key)]
        return File(self.filesystem, path, address.at(path[len(base) :].lstrip("/")))

    def below(self, path: str) -> File:
        """What stands at a path below this folder."""
        if self.is_local:
            return File(self.filesystem, f"{self.path.rstrip('/')}/{path}", f"{self.name.rstrip('/')}/{path}")
        return self.sibling(f"{self.path.rstrip('/')}/{path}")

    def __reduce__(self) -> Any:
        """Another process opens the address with its own credentials."""
        if self.is_local:
            return File.local, (self.path,)
        return _opened, (self.name, self.path, self.remote.version)

    @cached_property
    def remote(self) -> Remote:
        """The object behind a file that is not local."""
        return Remote(self.filesystem, self.path, self.name)

    def open(self, exact: bool = False) -> Any:
        """A seekable file; close it or use it in a ``with``.

        ``exact``: of a remote object fetch what is asked for, and ahead what is announced; else ahead of the reader.
        """
        if not self.is_local:
            return RemoteFile(self.remote, Ranges() if exact else None)
        with reading(self.name):
            return self.filesystem.open_input_file(self.path)

    def size(self) -> int:
        if not self.is_local:
            return self.remote.version.size
        with reading(self.name):
            return Path(self.path).stat().st_size

    def head(self, size: int = END) -> bytes:
        """The first bytes."""
        if not self.is_local:
            return self.remote.keep(0, size)
        with self.open() as file, reading(self.name):
            return bytes(file.read(size))

    def stamp(self) -> str:
        """Hex digest over size, times, inode and both ends: see ``Source.stamp``."""
        digest = hashlib.blake2b(digest_size=16)
        if not self.is_local:
            version = self.remote.renew()
            digest.update(f"{version} {self.remote.ends()}".encode())
            return digest.hexdigest()
        with reading(self.name):
            status = Path(self.path).stat()
        size = status.st_size
        digest.update(f"{size} {status.st_mtime_ns} {status.st_ctime_ns} {status.st_ino}".encode())
        with self.open() as file, reading(self.name):
            digest.update(file.read(min(size, END)))
            if size > END:
                file.seek(max(END, size - END))
                digest.update(file.read(END))
        return digest.hexdigest()


def _opened(name: str, path: str, version: Version) -> File:
    """A file of another process; only the version that was seen there will do."""
    address = Address.parse(name)
    assert address is not None
    file = File(open_address(address)[0], path, name)
    file.remote.expect(version)
    return file
