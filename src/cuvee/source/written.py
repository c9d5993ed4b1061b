"""What ``cuvee write`` left: a folder whose manifest.json says which files belong to it, their sizes and footers.

Damage to pages of a Parquet file is noticed by their checksums, but a footer has none: of 1,300 single bits flipped
there, 5 gave another column name or type without an error. So the manifest holds a digest of each footer, which the
reader compares at the cost of reading the footer, as it does anyway. The manifest also makes an output on an object
store appear as a whole: a shard that it does not list belongs to a write that is not finished.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cuvee.errors import DataError

from .files import File, plain

KIND = "cuvee documents"
MANIFEST = "manifest.json"
JOURNAL = "_cuvee-writing.jsonl"
"""Where an unfinished output on an object store keeps its place."""
FOLDERS = ("documents",)
"""Folders of an output that hold its shards; else they stand beside the manifest."""
SHARD = re.compile(r"(documents/)?part-\d{5,}(-[0-9a-f]{8})?\.(parquet|jsonl(\.gz|\.zst)?)")
MOST = 256 << 20
_parsed: dict[tuple[str, str], Mapping[str, Any] | None] = {}
"""The manifests that were looked at last, by name and version: a folder's files may be opened one by one."""


@dataclass(frozen=True)
class Listed:
    """What the manifest says about a shard."""

    bytes: int
    footer: str | None

    def check(self, name: str, size: int) -> None:
        """Refuse a file of another size."""
        if size != self.bytes:
            raise DataError(
                f"{plain(name)}: has {size:,} bytes, but {self.bytes:,} by its {MANIFEST}: it is damaged or was "
                "replaced. Fetch it again, or run cuvee write again."
            )


def shards(manifest: File) -> Mapping[str, Listed] | None:
    """The shards by name, if this is a manifest of ``cuvee write``; None if it is something else or not there."""
    if manifest.is_local:
        try:
            status = Path(manifest.path).stat()
        except OSError:
            return None
        return _shards(manifest, f"{status.st_size} {status.st_mtime_ns} {status.st_ino}")
    version = manifest.remote.known()
    return None if version is None else _shards(manifest, str(version))


def _shards(manifest: File, version: str) -> Mapping[str, Listed] | None:
    key = (manifest.name, version)
    if key not in _parsed:
        if len(_parsed) > 8:
            _parsed.clear()
        _parsed[key] = _parse(manifest)
    return _parsed[key]


def _parse(manifest: File) -> Mapping[str, Listed] | None:
    if manifest.size() > MOST:
        return None
    try:
        content: Any = json.loads(manifest.head(MOST))
        if content["kind"] != KIND:
            return None
        return {str(one["name"]): Listed(int(one["bytes"]), one.get("footer")) for one in content["shards"]}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def beside(file: File) -> Listed | None:
    """What a manifest in a file's folder (or the one above, for Dolma) says about it."""
    folder, _, name = file.path.rpartition("/")
    found = _at(file, folder, name)
    if found is None and folder.rpartition("/")[2] in FOLDERS:
        folder, _, below = folder.rpartition("/")
        found = _at(file, folder, f"{below}/{name}")
    return found


def _at(file: File, folder: str, name: str) -> Listed | None:
    if not SHARD.fullmatch(name):
        return None
    found = shards(file.sibling(f"{folder}/{MANIFEST}" if folder else MANIFEST))
    return None if found is None else found.get(name)
