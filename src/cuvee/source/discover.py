"""From what users name (files, folders, globs, URIs) to readers, in one order for every machine: bytewise by path."""

from __future__ import annotations

import glob
import os
import re
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow.fs as pafs

from cuvee.errors import DataError, UsageError
from cuvee.layout import CLUSTERS, PLAN, PROFILE, REJECTS, REPORT, SELECTION

from ..engine.store import CACHED, IN_USE
from .address import Address, ask, open_address, rank
from .base import Source
from .files import File, plain, reading
from .formats import SUPPORTED, TABLES, Kind, extensions, kind_of, source_of
from .hf import MARKS, hf_sources, refuse_dict
from .remote import ahead
from .retry import persist
from .text import TextSource
from .written import JOURNAL, MANIFEST, SHARD, Listed, beside, shards

_OURS = {"selection": {PLAN, SELECTION}, "profile": {PROFILE, REPORT}}
"""What tells a folder that cuvee wrote, by what it holds."""
_WILD = re.compile(r"[*?\[]")
_NOTES = re.compile(
    r"^(readme|licen[cs]e|copying|notice|changelog|datasheet|citation)\b.*"
    r"|.*\.(md5|sha\d*|sha\d+sums?|crc|lock|tmp|part|idx|bib)$"
    r"|(dataset_infos?|state|dataset_dict|config|manifest|metadata|index|info|stats)\.json$",
    re.IGNORECASE,
)


@dataclass
class Found:
    """Readers in order, and what was passed over, with the reason."""

    sources: list[Source] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)
    order: dict[str, tuple[bytes, int]] = field(default_factory=dict, repr=False)
    """Where files stand that have an order of their own: (path of their folder, number in it)."""


@dataclass(frozen=True)
class _Entry:
    file: File
    below: str
    """Path from the folder that was named; empty for a file named directly."""
    size: int


def discover(paths: Sequence[str | os.PathLike[str]]) -> Found:
    """Readers for everything that the paths name. What is hidden, unknown or empty in a folder is skipped and listed;
    the same when named directly is a DataError."""
    if not paths:
        raise UsageError("No input. Name files, folders, globs or URIs.")
    found = Found()
    taken: set[str] = set()
    for path in paths:
        _one(os.fspath(path), found, taken)
    found.sources.sort(key=lambda source: found.order.get(source.path, (_bytes(rank(source.path)), 0)))
    found.skipped.sort()
    return found


def _bytes(path: str) -> bytes:
    try:
        return os.fsencode(path)
    except UnicodeEncodeError:
        return path.encode("utf-8", "surrogatepass")


def _one(path: str, found: Found, taken: set[str]) -> None:
    if "\0" in path or not path:
        raise UsageError("An input path is empty or holds a NUL character.")
    if (address := Address.parse(path)) is not None:
        filesystem, inner = open_address(address)
        if not isinstance(filesystem, pafs.LocalFileSystem):
            _remote(address, filesystem, inner, found, taken)
            return
        path = inner
    if os.path.lexists(path):
        _local(path, found, taken)
        return
    if not _WILD.search(path):
        raise DataError(f"{plain(path)}: no such file or folder. Check the path.")
    matches = sorted(glob.iglob(path, recursive=True), key=os.fsencode)  # noqa: PTH207 (takes absolute patterns)
    if not matches:
        raise DataError(f"{plain(path)}: nothing matches. Check the pattern; quote it, so that the shell leaves it.")
    for match in matches:
        if Path(match).is_dir() and "**" in path:
            continue  # its files match as well
        _local(match, found, taken)


def _local(path: str, found: Found, taken: set[str]) -> None:
    with reading(path):
        status = Path(path).stat()
    if stat.S_ISDIR(status.st_mode):
        entries = list(_walk(path, found))
        _folder(File.local(path), entries, found, taken, _outputs(entries))
        return
    if not stat.S_ISREG(status.st_mode):
        raise DataError(f"{plain(path)}: is a pipe, socket or device, not a file. Save the data to a file first.")
    _file(_Entry(File.local(path), "", status.st_size), found, taken)


def _walk(root: str, found: Found) -> Iterator[_Entry]:
    """All regular files below a folder. Linked folders are followed, but none is entered twice."""
    filesystem = pafs.LocalFileSystem()
    seen: set[tuple[int, int]] = set()
    waiting = [(root, "")]
    while waiting:
        folder, below = waiting.pop()
        with reading(folder):
            status = Path(folder).stat()
            if (status.st_dev, status.st_ino) in seen:
                found.skipped.append((folder, "a link to a folder that is already read"))
                continue
            seen.add((status.st_dev, status.st_ino))
            with os.scandir(folder) as listing:
                entries = sorted(listing, key=lambda entry: os.fsencode(entry.name))
        if any(entry.name == IN_USE for entry in entries):
            others = [entry for entry in entries if not CACHED.fullmatch(entry.name)]
            if len(others) < len(entries):
                found.skipped.append((folder, "cuvee's cache in it, not data"))
            entries = others
        for entry in entries:
            inside = f"{below}{entry.name}"
            if entry.name.startswith((".", "_")):
                found.skipped.append((entry.path, "hidden"))
                continue
            try:
                status = entry.stat()
            except OSError:
                found.skipped.append((entry.path, "a broken link"))
                continue
            if stat.S_ISDIR(status.st_mode):
                waiting.append((entry.path, f"{inside}/"))
            elif stat.S_ISREG(status.st_mode):
                yield _Entry(File(filesystem, entry.path, entry.path), inside, status.st_size)
            else:
                found.skipped.append((entry.path, "a pipe, socket or device"))


def _remote(address: Address, filesystem: Any, path: str, found: Found, taken: set[str]) -> None:
    base = path[: len(path) - len(address.key)]
    uri = str(address)

    def file(inner: str) -> File:
        return File(filesystem, inner, address.at(inner[len(base) :].lstrip("/")))

    def entry(info: Any, root: str) -> _Entry:
        below = info.path[len(root) :].lstrip("/") if root else ""
        return _Entry(file(info.path), below, int(info.size or 0))

    info = ask(address, lambda: filesystem.get_file_info(path))
    if info.type == pafs.FileType.File:
        _file(entry(info, ""), found, taken)
        return
    wild = info.type != pafs.FileType.Directory
    root = path
    if wild:
        first = _WILD.search(path)
        if first is None:
            raise _absent(address, filesystem, path)
        root = path[: first.start()].rsplit("/", 1)[0] if "/" in path[: first.start()] else ""
    listed = persist(lambda: filesystem.get_file_info(pafs.FileSelector(root, recursive=True)), uri)
    pattern = re.compile(_pattern(path))
    entries, every, unfinished = list[_Entry](), list[_Entry](), list[_Entry]()
    for info in sorted(listed, key=lambda info: _bytes(info.path)):
        if info.type != pafs.FileType.File:
            continue
        item = entry(info, root)
        every.append(item)
        if item.below.rsplit("/", 1)[-1] == JOURNAL:
            unfinished.append(item)
        if wild and not pattern.fullmatch(info.path):
            continue
        if not wild and any(part.startswith((".", "_")) for part in item.below.split("/")):
            found.skipped.append((item.file.name, "hidden"))
            continue
        entries.append(item)
    if wild and not entries:
        raise DataError(f"{plain(uri)}: nothing matches. Check the pattern.")
    _refuse_unfinished(unfinished, {item.below for item in every})
    _folder(file(root), entries, found, taken, _outputs(every))


def _refuse_unfinished(journals: list[_Entry], names: set[str]) -> None:
    """An output that is being written to an object store, or that was interrupted, has a journal and no manifest."""
    for journal in journals:
        if f"{journal.below.removesuffix(JOURNAL)}{MANIFEST}" not in names:
            raise DataError(
                f"{plain(journal.file.name)}: stands for an output that cuvee write has not finished. Run that command "
                "again, or remove the folder."
            )


def _absent(address: Address, filesystem: Any, path: str) -> DataError:
    """Nothing is there: is it the bucket?"""
    bucket = path.partition("/")[0]
    if address.kind in ("s3", "gs", "gcs") and bucket:
        info = persist(lambda: filesystem.get_file_info(bucket), str(address))
        if info.type == pafs.FileType.NotFound:
            return DataError(f"{plain(str(address))}: there is no such bucket. Check the address and the endpoint.")
    return DataError(f"{plain(str(address))}: no such file or folder. Check the address.")


def _pattern(path: str) -> str:
    """A glob as a regular expression: ``**/`` crosses folders, ``*`` and ``?`` do not."""
    parts = re.split(r"(\*\*/|\*\*|\*|\?)", path)
    meaning = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    return "".join(meaning.get(part, re.escape(part)) for part in parts)


def _file(entry: _Entry, found: Found, taken: set[str]) -> None:
    """A file named directly."""
    file = entry.file
    if _again(file, found, taken):
        return
    if entry.size == 0:
        raise DataError(f"{plain(file.name)}: is empty (0 bytes). Leave it out or fetch it again.")
    if listed := beside(file):
        listed.check(file.name, entry.size)
    kind = kind_of(file)
    if kind.format == "text":
        found.sources.append(TextSource(file.name, [(file, file.path.rsplit("/", 1)[-1])]))
    else:
        found.sources.append(source_of(file, kind, listed.footer if listed else None))


def _again(file: File, found: Found, taken: set[str]) -> bool:
    real = os.path.realpath(file.path) if file.is_local else file.name
    if real in taken:
        found.skipped.append((file.name, "named before"))
        return True
    taken.add(real)
    return False


def _folder(
    folder: File, entries: list[_Entry], found: Found, taken: set[str], outputs: dict[str, Listed | None]
) -> None:
    """The files of a folder: saved datasets as a whole, tables one by one; text files only where there is no table.

    ``outputs``: what manifests say about shards, see ``_outputs``.
    """
    names = {entry.below for entry in entries}
    if "dataset_dict.json" in names:
        refuse_dict(folder)
    begun = len(found.sources)
    passed = len(found.skipped)
    saved = {name.removesuffix(MARKS[0]) for name in names if f"/{name}".endswith(f"/{MARKS[0]}")}
    saved = {base for base in saved if f"{base}dataset_info.json" in names}
    for base in sorted(saved):
        prefix = base.rstrip("/")
        owner = folder.below(prefix) if prefix else folder
        for number, source in enumerate(hf_sources(owner)):
            if not _again(_file_of(source), found, taken):
                found.order[source.path] = (_bytes(f"{rank(owner.name).rstrip('/')}/"), number)
                found.sources.append(source)
    texts = []
    ours = _results(names)
    for base, result in ours.items():
        place = folder.below(base.rstrip("/")) if base else folder
        found.skipped.append((place.name.rstrip("/"), f"a cuvee {result}, not data"))
    unknown = list[_Entry]()
    for entry in entries:
        name = entry.below.rsplit("/", 1)[-1]
        base = entry.below[: len(entry.below) - len(name)]
        if base in ours and name in (PLAN, SELECTION, CLUSTERS, PROFILE, REPORT, REJECTS):
            continue
        if base in saved:
            if not name.endswith(".arrow"):
                found.skipped.append((entry.file.name, "notes of a saved dataset"))
        elif _NOTES.match(name):
            found.skipped.append((entry.file.name, "notes, not data"))
        elif _again(entry.file, found, taken):
            continue
        elif entry.below in outputs and outputs[entry.below] is None:
            found.skipped.append((entry.file.name, f"a shard that is not in its {MANIFEST}"))
        elif entry.size == 0 and extensions(name)[0] in TABLES:
            found.skipped.append((entry.file.name, "empty (0 bytes)"))
        else:
            unknown.append(entry)
    for entry, kind in zip(unknown, _kinds(unknown), strict=True):
        if kind.format == "text":
            texts.append(entry)
        elif kind.format in ("unknown", "document", "feather1"):
            reason = "one JSON document, not JSON Lines" if kind.format == "document" else "no known format"
            found.skipped.append((entry.file.name, reason))
        else:
            listed = outputs.get(entry.below)
            found.sources.append(source_of(entry.file, kind, listed.footer if listed else None))
    if len(found.sources) > begun:
        found.skipped += [(entry.file.name, "text beside tables; name it to read it") for entry in texts]
    elif texts:
        texts.sort(key=lambda entry: os.fsencode(entry.below))
        found.sources.append(TextSource(folder.name, [(entry.file, entry.below) for entry in texts]))
    elif "" in ours:
        advice = "Name the pool itself" + (
            f", or write the chosen rows out: cuvee write {plain(folder.name)}." if ours[""] == "selection" else "."
        )
        raise DataError(f"{plain(folder.name)}: is a cuvee {ours['']}, not data. {advice}")
    elif not any(reason == "named before" for _, reason in found.skipped[passed:]):
        count = len(found.skipped)
        skipped = f"{count} file{'' if count == 1 else 's'} skipped"
        raise DataError(f"{plain(folder.name)}: holds no data ({skipped}). Supported: {SUPPORTED}.")


def _kinds(entries: list[_Entry]) -> Iterator[Kind]:
    """The formats of the files, of remote ones several at a time."""
    calls = (partial(kind_of, entry.file) for entry in entries)
    return ahead(calls) if entries and not entries[0].file.is_local else (call() for call in calls)


def _outputs(entries: list[_Entry]) -> dict[str, Listed | None]:
    """The shards in folders that ``cuvee write`` made, by path: what the manifest says, None if it does not list it.

    Raises:
        DataError: naming a shard that is missing or of another size.
    """
    sizes = {entry.below: entry for entry in entries}
    found: dict[str, Listed | None] = {}
    for entry in entries:
        base = entry.below[: -len(MANIFEST)]
        if f"/{entry.below}".endswith(f"/{MANIFEST}") and (listed := shards(entry.file)) is not None:
            for name, shard in listed.items():
                there = sizes.get(base + name)
                if there is None:
                    raise DataError(
                        f"{plain(entry.file.name)}: lists {plain(name)}, which is not there. Fetch it, or run cuvee "
                        f"write again; or remove {MANIFEST} to read what is left."
                    )
                shard.check(there.file.name, there.size)
                found[base + name] = shard
            for below in sizes:
                if below.startswith(base) and SHARD.fullmatch(below[len(base) :]):
                    found.setdefault(below, None)
    return found


def _results(names: set[str]) -> dict[str, str]:
    """The folders (as paths from the one named, with a slash behind) that hold a result of cuvee, and of which kind."""
    bases = sorted(
        name.removesuffix(mark) for mark in (PLAN, PROFILE) for name in names if f"/{name}".endswith(f"/{mark}")
    )
    kinds = (
        (base, kind) for base in bases for kind, marks in _OURS.items() if {base + mark for mark in marks} <= names
    )
    return dict(kinds)


def _file_of(source: Source) -> File:
    file = getattr(source, "file", None)
    assert isinstance(file, File)
    return file
