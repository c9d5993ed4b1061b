"""Where a file stands and how it is opened: the one place that touches filesystems and catches their errors."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.fs as pafs

from cuvee.errors import CuveeError, DataError

END = 64 << 10


def plain(text: str, limit: int = 300) -> str:
    """One printable line: names and messages from outside may hold terminal escapes."""
    first = text.strip().split("\n", 1)[0]
    shown = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in first)
    return shown if len(shown) <= limit else shown[: limit - 3] + "..."


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

    def open(self) -> Any:
        """A seekable file; close it or use it in a ``with``."""
        with reading(self.name):
            return self.filesystem.open_input_file(self.path)

    def size(self) -> int:
        with reading(self.name):
            if self.is_local:
                return Path(self.path).stat().st_size
            return int(self.filesystem.get_file_info(self.path).size or 0)

    def head(self, size: int = END) -> bytes:
        """The first bytes."""
        with self.open() as file, reading(self.name):
            return bytes(file.read(size))

    def stamp(self) -> str:
        """Hex digest over size, times, inode and both ends: see ``Source.stamp``."""
        digest = hashlib.blake2b(digest_size=16)
        with reading(self.name):
            if self.is_local:
                status = Path(self.path).stat()
                size = status.st_size
                facts = f"{size} {status.st_mtime_ns} {status.st_ctime_ns} {status.st_ino}"
            else:
                info = self.filesystem.get_file_info(self.path)
                size = int(info.size or 0)
                facts = f"{size} {info.mtime_ns}"
        digest.update(facts.encode())
        with self.open() as file, reading(self.name):
            digest.update(file.read(min(size, END)))
            if size > END:
                file.seek(max(END, size - END))
                digest.update(file.read(END))
        return digest.hexdigest()
