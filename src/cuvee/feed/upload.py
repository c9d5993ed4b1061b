"""Outputs on object stores: each shard is uploaded whole, and the manifest comes last.

A shard is made in a local folder and uploaded as a whole, so an object appears only when it is complete. The names of
shards hold a digest of the job, so a new output never overwrites the files of the one before: putting the manifest is
the moment in which the new one replaces it, and only then are the old shards removed. Until then a journal beside them
lists what is finished, and the same command goes on from there, as long as the objects are those that it uploaded.
Cost: local disk for one shard.

A lock in the cache keeps two runs on one machine apart. Object stores have no lock that PyArrow can take: of two
machines that write the same output at once, one may remove the other's shards. So these are looked for once more before
the manifest is put.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import pyarrow.fs as pafs

from ..engine.files import lock
from ..engine.progress import Progress
from ..engine.store import default_root, digest
from ..errors import BusyError, DataError, ResourceError, UsageError
from ..source.address import Address, ask, open_address
from ..source.files import File, plain
from ..source.remote import MOST_AHEAD, Remote, Version, ahead, crew
from ..source.retry import persist
from ..source.written import JOURNAL, MANIFEST, SHARD, shards
from .journal import journal_line, journal_lines
from .output import refuse_other_part
from .selection import Selection
from .shards import Entry

_BARE = (pafs.S3FileSystem, pafs.GcsFileSystem)
"""Stores whose folders are nothing but parts of names."""

PART_BYTES = 8 << 20

T = TypeVar("T")


class Upload:
    """An output at an address: see :class:`cuvee.feed.output.Staging` for what the methods have in common."""

    def __init__(self, address: Address) -> None:
        self.address = address
        self.filesystem, self.root = open_address(address, writing=True)
        self.spool = default_root() / "uploads" / digest(str(address))[:16]
        self.folder = self.spool / "shards"
        self.tag = ""
        self.counts: list[int] = []
        self._job = ""
        self._lines: list[bytes] = []

    def __str__(self) -> str:
        return str(self.address)

    def place(self, name: str) -> str:
        """The address of a file of the output."""
        return self.address.at(f"{self.address.key}/{name}".lstrip("/"))

    def check(self, folder: Path, selection: Selection, part: tuple[int, int]) -> None:
        """Refuse an output whose replacement would destroy what cuvee write did not make, or what it reads."""
        for file in selection.files:
            of_pool = Address.parse(file.path)
            if of_pool is not None and _same(of_pool, self.address):
                raise UsageError(
                    f"{plain(str(self))} holds {plain(file.path)}, which is being read. Choose another place with -o."
                )
        names = set(self._sizes())
        foreign = sorted(names - self._own(names))
        if foreign:
            raise UsageError(
                f"{plain(str(self))} is not empty and holds what cuvee write did not make ({plain(foreign[0])}). "
                "Choose a new place with -o."
            )
        if MANIFEST in names:
            refuse_other_part(str(self), json.loads(self._get(MANIFEST) or b"null"), selection, part)

    def remarks(self, _: Selection) -> list[str]:
        """Nothing."""
        return []

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the right to write, among the processes of this machine."""
        try:
            with lock(self.spool):
                yield
        except BusyError as error:
            raise BusyError(str(error).replace(str(self.spool.resolve()), plain(str(self)))) from None

    def begin(self, job: dict[str, Any]) -> None:
        """``job``: all that the bytes of the shards depend on, JSON-able."""
        self._job = digest(job)
        self.tag = self._job[:8]

    def resume(self, progress: Progress) -> list[Entry]:
        """The finished shards of an earlier run of this job that are still what it uploaded."""
        shutil.rmtree(self.spool, ignore_errors=True)
        listed = list(journal_lines(self._get(JOURNAL) or b"", self._job))
        progress.begin("checking finished shards", len(listed))
        entries: list[Entry] = []
        self._lines, self.counts = [], []
        calls = (partial(self._version, content["shard"]["name"]) for content in listed)
        for content, version in zip(listed, ahead(calls, MOST_AHEAD), strict=True):
            if version is None or str(version) != content["version"]:
                break
            entries.append(Entry(**content["shard"]))
            self._lines.append(content["line"])
            self.counts = content["counts"]
            progress.advance(1)
        progress.end()
        return entries

    def record(self, entry: Entry, counts: list[int]) -> None:
        """Upload one more finished shard."""
        local, place = self.folder / entry.name, self.place(entry.name)
        self._put(local, entry.name)
        version = self._version(entry.name)
        if version is None or version.size != entry.bytes:
            raise ResourceError(
                f"{plain(place)}: the upload of {entry.bytes:,} bytes left {version.size if version else 0:,}. Run the "
                "same command again: it goes on at this file."
            )
        local.unlink()
        more = {"version": str(version)}
        self._lines.append(journal_line(self._job, len(self._lines), entry.as_json(), counts, **more))
        self._write(JOURNAL, b"".join(self._lines))

    @contextmanager
    def building(self) -> Iterator[Path]:
        """The local folder where shards are made."""
        self.folder.mkdir(parents=True, exist_ok=True)
        yield self.folder

    def finish(self, _folder: Path, manifest: bytes) -> None:
        """Put the manifest; then remove what the output before consisted of."""
        listed = {str(one["name"]): int(one["bytes"]) for one in json.loads(manifest)["shards"]}
        present = self._sizes()
        for name, size in listed.items():
            if present.get(name) != size:
                raise ResourceError(
                    f"{plain(self.place(name))}: is no longer what was uploaded there: another run writes to the same "
                    "place. Run the same command again when it has ended, or choose another place with -o."
                )
        self._write(MANIFEST, manifest)
        for name in sorted(present):
            if name == JOURNAL or (SHARD.fullmatch(name) and name not in listed):
                self._remove(name)

    def remove(self) -> None:
        """There is nothing to go on from, or no need to."""
        shutil.rmtree(self.spool, ignore_errors=True)

    def discard(self) -> None:
        """The finished shards are of no use."""
        self.remove()
        for content in journal_lines(self._get(JOURNAL) or b"", self._job):
            self._remove(content["shard"]["name"])
        self._remove(JOURNAL)

    def remove_if_empty(self) -> None:
        self.remove()

    def _at(self, name: str) -> str:
        return f"{self.root}/{name}"

    def _try(self, work: Callable[[], T], name: str) -> T:
        try:
            return persist(work, self.place(name) if name else str(self))
        except DataError as error:
            raise ResourceError(str(error)) from None

    def _sizes(self) -> dict[str, int]:
        """Everything below the address, with its size."""
        info = self._try(lambda: self.filesystem.get_file_info(self.root), "")
        if info.type == pafs.FileType.File:
            raise UsageError(f"{plain(str(self))} is a file, not a folder. Choose another place with -o.")
        if info.type == pafs.FileType.NotFound:
            self._need_bucket()
            return {}
        listed = self._try(lambda: self.filesystem.get_file_info(pafs.FileSelector(self.root, recursive=True)), "")
        return {one.path[len(self.root) :].lstrip("/"): one.size for one in listed if one.type == pafs.FileType.File}

    def _need_bucket(self) -> None:
        bucket = self.root.partition("/")[0]
        if isinstance(self.filesystem, _BARE):
            info = self._try(lambda: self.filesystem.get_file_info(bucket), "")
            if info.type == pafs.FileType.NotFound:
                raise ResourceError(
                    f"{plain(str(self))}: there is no such bucket. Create it, or check the address and the endpoint."
                )

    def _own(self, names: set[str]) -> set[str]:
        """Those of the files that cuvee wrote: the manifest with what it lists, a journal and any shards beside it."""
        own = set()
        if MANIFEST in names:
            listed = shards(File(self.filesystem, self._at(MANIFEST), self.place(MANIFEST)))
            if listed is not None:
                own |= {MANIFEST, *listed}
        if JOURNAL in names:
            own |= {JOURNAL, *(name for name in names if SHARD.fullmatch(name))}
        return own

    def _version(self, name: str) -> Version | None:
        try:
            return Remote(self.filesystem, self._at(name), self.place(name)).known()
        except DataError as error:
            raise ResourceError(str(error)) from None

    def _get(self, name: str) -> bytes | None:
        remote = Remote(self.filesystem, self._at(name), self.place(name))
        version = self._version(name)
        return None if version is None else remote.fetch(0, version.size)

    def _put(self, local: Path, name: str) -> None:
        """Upload a local file, again from its beginning if the connection breaks.

        In a thread, because an interrupt would close the stream early, and what is closed appears. PyArrow's own
        ``copy_files`` is of no use: it never closes the stream, and loses the errors of the last parts.
        """
        target = self._at(name)
        bare = isinstance(self.filesystem, _BARE)
        first = target if bare else f"{target.rpartition('/')[0]}/.{target.rpartition('/')[2]}.part"

        def send() -> None:
            if not bare:
                self.filesystem.create_dir(target.rpartition("/")[0], recursive=True)
            with local.open("rb") as source:
                stream = self.filesystem.open_output_stream(first, compression=None)
                try:
                    while piece := source.read(PART_BYTES):
                        stream.write(piece)
                finally:
                    stream.close()
            if not bare:
                self.filesystem.move(first, target)

        self._try(lambda: crew().submit(send).result(), name)

    def _write(self, name: str, data: bytes) -> None:
        local = self.spool / f"{name}.part"
        local.parent.mkdir(parents=True, exist_ok=True)
        local.write_bytes(data)
        self._put(local, name)
        local.unlink()

    def _remove(self, name: str) -> None:
        with suppress(ResourceError, FileNotFoundError):  # what is left there is not listed anywhere
            self._try(lambda: self.filesystem.delete_file(self._at(name)), name)


def _same(file: Address, output: Address) -> bool:
    """Whether a file stands below the output."""
    below = not output.key or f"{file.key}/".startswith(f"{output.key}/")
    return (file.kind, file.host) == (output.kind, output.host) and below


def upload_of(output: Path | str) -> Upload | Path:
    """Where to write: an upload for an address, a path for what is local."""
    address = Address.parse(output) if isinstance(output, str) else None
    if address is None:
        return Path(output)
    filesystem, path = open_address(address)
    if isinstance(filesystem, pafs.LocalFileSystem):
        return Path(path)
    try:  # by a client that gives up soon: the one that writes is patient
        ask(address, lambda: filesystem.get_file_info(path))
    except DataError as error:
        raise ResourceError(str(error)) from None
    return Upload(address)
