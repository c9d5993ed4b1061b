"""The cache: blocks and states keyed by what they were computed from, so that a second run computes only what is new.

A stored file is an Arrow IPC stream followed by a 32-byte BLAKE2b digest of it, or sections with a digest each.
Whatever fails that check is treated as absent and computed again. Nothing is pickled.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import functools
import hashlib
import json
import os
import re
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from .. import __version__
from ..core import Array, Block, State
from ..errors import UsageError
from . import files

_DIGEST_BYTES = 32
_PLACE = struct.Struct("<qq")
_ENTRY_BYTES = _PLACE.size + _DIGEST_BYTES
IN_USE = ".in-use"
"""What every cache holds, so that a pool's reader knows one."""
CACHED = re.compile(r"[0-9a-f]{2}")
"""The folders in a cache."""
_NAME = re.compile(r"\.?[0-9a-f]{38}\.arrow(\.\d+\.[0-9a-f]{8}\.tmp)?")


def digest(*parts: Any) -> str:
    """A hex digest of JSON-able values; equal for equal values whatever the order of keys."""
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"), allow_nan=True)
    return hashlib.blake2b(text.encode(), digest_size=20).hexdigest()


@functools.cache
def code_digest() -> str:
    """A digest of cuvee's own sources: results cached by other code are never taken for this code's."""
    root = Path(__file__).parents[1]
    total = hashlib.blake2b(__version__.encode(), digest_size=16)
    for path in sorted(root.rglob("*.py")):
        if path.parent.name not in ("report", "demo"):
            total.update(path.read_bytes())
    return total.hexdigest()


def default_root() -> Path:
    """``$CUVEE_CACHE``, else ``$XDG_CACHE_HOME/cuvee``, else ``~/.cache/cuvee``."""
    if named := os.environ.get("CUVEE_CACHE"):
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "cuvee"


def check_place(cache: str | os.PathLike[str] | None) -> None:
    """Refuse what names no folder for a cache: an empty name (an unset variable of the shell) or an address."""
    named = "default" if cache is None else os.fspath(cache)
    if not named:
        raise UsageError("The cache's folder is an empty name. Name a folder with --cache, or leave it out.")
    if address := re.match(r"([a-z][a-z0-9+]*):/", named, re.IGNORECASE):
        raise UsageError(
            f"The cache {named} is an address ({address[1]}): it has to be a folder. Name one with --cache; for a "
            "cluster one that all nodes see."
        )


class Store:
    """A folder of checked files. Several processes may use it at once: equal keys mean equal content."""

    def __init__(self, root: Path | None = None) -> None:
        self.root = root or default_root()
        self._sound: dict[str, tuple[int, int]] = {}  # files written or checked by this run: size and time of change

    def __reduce__(self) -> Any:
        """Another process has checked nothing yet."""
        return type(self), (self.root,)

    def path(self, key: str) -> Path:
        return self.root / key[:2] / f"{key[2:]}.arrow"

    @contextlib.contextmanager
    def in_use(self, limit_bytes: int = 20 << 30) -> Iterator[None]:
        """Hold the cache for the length of a run; afterwards, if nobody else uses it, trim it to the limit."""
        check_place(self.root)
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            handle = os.open(self.root / IN_USE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise files.explain(error, self.root) from error
        try:
            fcntl.flock(handle, fcntl.LOCK_SH)
            yield
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                self.trim(limit_bytes)
        finally:
            os.close(handle)

    def keep_from(self, folders: Iterable[Path]) -> None:
        """Refuse to be one of these folders of a pool: whoever reads it next would take the cache's tables for data."""
        root = self.root.resolve()
        if root in {folder.resolve() for folder in folders}:
            if not self._files():
                with contextlib.suppress(OSError):
                    (root / IN_USE).unlink()  # nothing is left in what is only read
            raise UsageError(
                f"The cache {self.root} is a folder of the pool, and its tables would be read as data the next time. "
                "Name another with --cache."
            )

    def used(self) -> int:
        """Bytes in the cache."""
        return sum(size for _, size, _ in self._files())

    def _files(self) -> list[tuple[int, int, Path]]:
        """(time of last use, size, path) of all that this class wrote, the files of killed writers included."""
        found = []
        for path in self.root.glob("[0-9a-f][0-9a-f]/*"):
            if _NAME.fullmatch(path.name):
                with contextlib.suppress(FileNotFoundError):
                    facts = path.stat()
                    found.append((facts.st_mtime_ns, facts.st_size, path))
        return found

    def clear(self) -> int:
        """Remove everything, unless a run holds the cache; return the bytes removed."""
        before = self.used()
        with self.in_use(limit_bytes=0):
            pass
        return before - self.used()

    def trim(self, limit_bytes: int) -> int:
        """Remove the files used least recently until the rest fits; return the bytes removed."""
        entries = self._files()
        excess = sum(size for _, size, _ in entries) - limit_bytes
        removed = 0
        for _, size, path in sorted(entries):
            if removed >= excess:
                break
            with contextlib.suppress(FileNotFoundError):
                path.unlink()
                removed += size
        return removed

    def has(self, key: str) -> bool:
        """Whether an intact file is there; marks it as used."""
        try:
            os.utime(self.path(key))
            self._checked(key)
        except OSError:
            return False
        return True

    def _checked(self, key: str) -> pa.Buffer:
        """The content of a stored file, checked once a run; FileNotFoundError when absent or damaged."""
        path = self.path(key)
        try:
            facts = path.stat()
            raw = pa.py_buffer(path.read_bytes())
        except OSError as error:
            raise FileNotFoundError(error.errno, error.strerror, str(path)) from error
        if self._sound.get(key) != (facts.st_size, facts.st_mtime_ns):
            _check(raw, path)
            self._sound[key] = (facts.st_size, facts.st_mtime_ns)
        return raw.slice(0, raw.size - _DIGEST_BYTES)

    def _write(self, key: str, batches: Sequence[pa.RecordBatch]) -> None:
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, batches[0].schema) as writer:
            for batch in batches:
                writer.write_batch(batch)
        body = sink.getvalue()
        with files.whole_file(self.path(key), durable=False) as stream:
            stream.write(memoryview(body))
            stream.write(hashlib.blake2b(body, digest_size=_DIGEST_BYTES).digest())
        with contextlib.suppress(OSError):
            facts = self.path(key).stat()
            self._sound[key] = (facts.st_size, facts.st_mtime_ns)  # until somebody changes it

    def put_table(self, key: str, batches: Sequence[pa.RecordBatch], note: Mapping[str, Any] | None = None) -> None:
        """Store record batches of one schema (at least one), with a JSON-able note."""
        schema = batches[0].schema.with_metadata({"note": json.dumps(note or {})})
        self._write(key, [batch.cast(schema) for batch in batches])

    def table(self, key: str) -> tuple[list[pa.RecordBatch], dict[str, Any]]:
        """The record batches and the note; FileNotFoundError when absent or damaged."""
        reader = pa.ipc.open_stream(self._checked(key))
        return list(reader), json.loads((reader.schema.metadata or {}).get(b"note", b"{}"))

    def mapped(self, key: str, *names: str) -> tuple[Block, dict[str, Any]]:
        """Columns of a table of one batch, mapped into memory: only what is looked at is read once it is checked.

        FileNotFoundError when absent or damaged.
        """
        path = self.path(key)
        facts = path.stat()
        with pa.memory_map(str(path)) as whole:  # another run may put an equal file in its place: this one stays
            raw = whole.read_buffer()
        if self._sound.get(key) != (facts.st_size, facts.st_mtime_ns) or raw.size != facts.st_size:
            _check(raw, path)
            self._sound[key] = (facts.st_size, facts.st_mtime_ns)
        reader = pa.ipc.open_stream(raw.slice(0, raw.size - _DIGEST_BYTES))
        (batch,) = reader
        return as_block(batch.select(names)), json.loads((reader.schema.metadata or {}).get(b"note", b"{}"))

    def put_sections(self, key: str, sections: Iterable[bytes]) -> None:
        """Store contents that are read one by one. After them stand, for each, where it begins and ends and its digest,
        and at the end of the file their number."""
        index, at = [], 0
        try:
            with files.whole_file(self.path(key), durable=False) as stream:
                for number, content in enumerate(_unmixed(sections)):
                    place = _PLACE.pack(at, at + len(content))
                    index.append(place + _section_digest(number, place, content))
                    stream.write(content)
                    at += len(content)
                stream.write(b"".join(index) + len(index).to_bytes(8, "little"))
        except _NotReadError as error:
            raise error.reason from None

    def sections(self, key: str, first: int = 0, step: int = 1) -> Iterator[bytes]:
        """Every ``step``-th section from ``first`` on; nothing else of the file is read, so nothing else is checked.

        FileNotFoundError when absent or damaged.
        """
        path = self.path(key)
        try:
            with path.open("rb") as stream:
                handle = stream.fileno()
                end = os.fstat(handle).st_size - 8
                count = int.from_bytes(os.pread(handle, 8, end), "little")
                for number in range(first, max(count, first + 1), step):
                    entry = os.pread(handle, _ENTRY_BYTES, end - _ENTRY_BYTES * (count - number))
                    place, expected = entry[: _PLACE.size], entry[_PLACE.size :]
                    begin, stop = _PLACE.unpack(place)
                    if not 0 <= begin <= stop <= end:
                        raise ValueError
                    content = os.pread(handle, stop - begin, begin)
                    if _section_digest(number, place, content) != expected:
                        raise ValueError
                    yield content
        except FileNotFoundError:
            raise
        except (OSError, OverflowError, ValueError, struct.error):
            raise FileNotFoundError(errno.ENOENT, "damaged while it was in use", str(path)) from None

    def put_states(self, key: str, states: Mapping[str, State], note: Mapping[str, Any]) -> None:
        """Store named states (each a dict of arrays) and a JSON-able note."""
        shapes, columns, names = {}, [], []
        for name, state in states.items():
            for part, array in state.items():
                if array.dtype.hasobject:
                    raise TypeError(f"state {name}.{part} holds Python objects")
                label = f"{name}\x1f{part}"
                shapes[label] = [array.dtype.str, list(array.shape)]
                names.append(label)
                columns.append(pa.array([np.ascontiguousarray(array).tobytes()], pa.large_binary()))
        schema = pa.schema([(name, pa.large_binary()) for name in names])
        batch = pa.RecordBatch.from_arrays(columns, schema=schema)
        self.put_table(key, [batch], {"shapes": shapes, "note": dict(note), "names": list(states)})

    def states(self, key: str) -> tuple[dict[str, State], dict[str, Any]]:
        """What :meth:`put_states` stored; FileNotFoundError when absent or damaged."""
        (batch,), note = self.table(key)
        found: dict[str, State] = {name: {} for name in note["names"]}
        for label, (dtype, shape) in note["shapes"].items():
            name, part = label.split("\x1f")
            raw = batch.column(label)[0].as_buffer()
            found[name][part] = np.frombuffer(raw, dtype=np.dtype(dtype)).reshape(shape).copy()
        return found, note["note"]

    def remove(self, key: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            self.path(key).unlink()


class _NotReadError(Exception):
    """What was to be written could not be read."""

    def __init__(self, reason: OSError) -> None:
        self.reason = reason


def _unmixed(sections: Iterable[bytes]) -> Iterator[bytes]:
    """The same; a failure to read is not mixed up with one to write."""
    try:
        yield from sections
    except OSError as error:
        raise _NotReadError(error) from error


def _section_digest(number: int, place: bytes, content: bytes) -> bytes:
    """Of a section with its number and place: no other section of the file passes for it."""
    total = hashlib.blake2b(number.to_bytes(8, "little") + place, digest_size=_DIGEST_BYTES)
    total.update(content)
    return total.digest()


def _check(raw: pa.Buffer, path: Path) -> None:
    """FileNotFoundError unless a file's content agrees with the digest at its end."""
    body = raw.slice(0, max(0, raw.size - _DIGEST_BYTES))
    if hashlib.blake2b(body, digest_size=_DIGEST_BYTES).digest() != raw.slice(body.size).to_pybytes():
        raise FileNotFoundError(errno.ENOENT, "damaged while it was in use", str(path))


def as_column(values: Array) -> Any:
    """A NumPy array as a column; the rows of a matrix become lists of one length."""
    if values.ndim == 1:
        return pa.array(values)
    return pa.FixedSizeListArray.from_arrays(pa.array(np.ascontiguousarray(values).reshape(-1)), values.shape[1])


def as_block(batch: pa.RecordBatch) -> Block:
    """A record batch's columns as NumPy arrays (no copy where Arrow allows), lists of one length as a matrix."""
    found = {}
    for name in batch.schema.names:
        column, width = batch.column(name), 0
        if pa.types.is_fixed_size_list(column.type):
            column, width = column.flatten(), column.type.list_size
        values = column.to_numpy(zero_copy_only=False)
        found[name] = values.reshape(-1, width) if width else values
    return found
