"""Whether an output folder may be written, and the finished shards of a write that has not come to its end.

An output may be written if it is new, empty, or cuvee's own from top to bottom.
"""

from __future__ import annotations

import json
import shutil
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from ..engine.files import append, explain, file_digest, lock, staging_of, whole_folder, write_whole
from ..engine.progress import Progress
from ..engine.store import digest
from ..errors import UsageError
from ..source.files import plain
from ..source.written import KIND as KIND
from ..source.written import MANIFEST
from .journal import journal_line, journal_lines
from .selection import Selection
from .shards import Entry

MANIFEST_VERSION = 1
JOURNAL = "progress.jsonl"


class Staging:
    """Shards that are finished while others are not; they outlive the process, for the next run of the same job.

    ``.NAME.writing/NAME`` is the folder that becomes the output; ``.NAME.writing/progress.jsonl`` gets a sealed line
    after each shard: the job's digest, the shard's number, what the manifest says about it, and counts that the next
    run goes on with. Another job, or a damaged shard, is never gone on from. Only who holds the lock of the output may
    use it.

    Args:
        output: the folder to write.
    """

    tag = ""
    """Stands in the names of shards; here they need none, since folders are replaced as a whole."""

    def __init__(self, output: Path) -> None:
        self._root = staging_of(output)
        self.folder = self._root / output.name
        self._output, self._journal = output, self._root / JOURNAL
        self._job = ""
        self._count: int | None = None
        """How many shards the journal lists; None while that is being found out."""
        self.counts: list[int] = []
        """What was recorded with the last shard."""

    def __str__(self) -> str:
        return str(self._output)

    def place(self, name: str) -> Path:
        """Where a file of the output stands in the end."""
        return self._output / name

    def check(self, folder: Path, selection: Selection, part: tuple[int, int]) -> None:
        """Refuse an output that may not be replaced."""
        check_output(self._output, folder, selection)
        refuse_other_part(str(self), _manifest(self._output), selection, part)

    def remarks(self, selection: Selection) -> list[str]:
        """What the manifest need not say about this place."""
        return beside_pool(self._output, selection)

    def lock(self) -> AbstractContextManager[None]:
        """Hold the right to write."""
        return lock(self._output)

    def begin(self, job: dict[str, Any]) -> None:
        """``job``: all that the bytes of the shards depend on, JSON-able."""
        self._job = digest(job)

    def building(self) -> AbstractContextManager[Path]:
        """The folder that becomes the output when the block ends well."""
        return whole_folder(self._output, self.folder)

    def finish(self, folder: Path, manifest: bytes) -> None:
        """Add the manifest."""
        write_whole(folder / MANIFEST, manifest)

    def discard(self) -> None:
        """The finished shards are of no use."""
        self.remove()

    def resume(self, progress: Progress) -> list[Entry]:
        """The intact shards that an earlier run of this job finished; everything else is removed."""
        listed = self._listed()
        entries = self._intact([entry for entry, _ in listed], progress)
        del listed[len(entries) :]
        try:
            if not entries and self._root.exists():
                shutil.rmtree(self._root)
            known = {self._journal, *(self.folder / entry.name for entry in entries)}
            for path in list(self._root.rglob("*")):
                if path not in known and (path.is_symlink() or not path.is_dir()):
                    path.unlink()
        except OSError as error:
            raise explain(error, self._output) from error
        self._count = len(entries)
        self.counts = listed[-1][1] if listed else []
        write_whole(self._journal, b"".join(self._line(number, *one) for number, one in enumerate(listed)))
        return entries

    def record(self, entry: Entry, counts: list[int]) -> None:
        """One more shard is finished."""
        assert self._count is not None
        append(self._journal, self._line(self._count, entry, counts))
        self._count += 1

    def remove(self) -> None:
        """There is nothing to go on from, or no need to."""
        shutil.rmtree(self._root, ignore_errors=True)

    def remove_if_empty(self) -> None:
        """Keep finished shards, if there are any."""
        if self._count == 0:
            self.remove()

    def _line(self, number: int, entry: Entry, counts: list[int]) -> bytes:
        return journal_line(self._job, number, entry.as_json(), counts)

    def _listed(self) -> list[tuple[Entry, list[int]]]:
        """What the journal says."""
        try:
            lines = journal_lines(self._journal.read_bytes(), self._job)
            return [(Entry(**content["shard"]), content["counts"]) for content in lines]
        except (OSError, KeyError, TypeError):
            return []

    def _intact(self, entries: list[Entry], progress: Progress) -> list[Entry]:
        """Those before the first that is not on the disk as it was written."""
        if not entries:
            return []
        found: list[Entry] = []
        progress.begin("checking finished shards", sum(entry.bytes for entry in entries))
        for entry in entries:
            path = self.folder / entry.name
            try:
                if path.stat().st_size != entry.bytes or file_digest(path) != entry.blake2b:
                    break
            except OSError:
                break
            found.append(entry)
            progress.advance(entry.bytes)
        progress.end()
        return found


def check_output(output: Path, folder: Path, selection: Selection) -> None:
    """Refuse an output whose replacement would destroy anything that cuvee write did not make, or what it reads."""
    shown = plain(str(output))
    inputs = [folder, *(Path(file.path).absolute() for file in selection.files)]
    for path in inputs:
        for place in (output, staging_of(output)):  # both are removed
            if path == place or place in path.parents or path.resolve().is_relative_to(place):
                raise UsageError(
                    f"{plain(str(place))} holds {plain(str(path))}, which is being read. Choose another folder with -o."
                )
    if output.is_relative_to(folder):
        raise UsageError(
            f"{shown} lies in the selection's own folder, which is replaced as a whole when the selection is made "
            "again. Choose a folder beside it with -o."
        )
    if not output.exists():
        return
    if not output.is_dir():
        raise UsageError(f"{shown} is a file, not a folder. Choose another place with -o.")
    present = {str(path.relative_to(output)) for path in output.rglob("*") if not path.is_dir() or path.is_symlink()}
    if not present and not any(output.iterdir()):
        return
    foreign = sorted(present - _own(output))
    if foreign or not present:
        named = plain(foreign[0]) if foreign else "folders"
        raise UsageError(
            f"{shown} is not empty and holds what cuvee write did not make ({named}). Choose a new folder with -o."
        )


def beside_pool(output: Path, selection: Selection) -> list[str]:
    """A note if the output stands below a folder with several files of the pool, which may be read as a whole again."""
    files = [Path(file.path).absolute().parent for file in selection.files if "://" not in file.path]
    for folder in output.parents:
        if files.count(folder) > 1:
            return [f"they lie in {plain(str(folder))}, as the pool does: read as a folder, it now holds them, too"]
    return []


def refuse_other_part(name: str, manifest: Any, selection: Selection, part: tuple[int, int]) -> None:
    """Refuse to replace one part of a selection by another: whoever writes parts wants all of them."""
    if not isinstance(manifest, dict) or manifest.get("selection_digest") != selection.digest:
        return
    there = manifest.get("part")
    if there and there[1] == part[1] and there[0] != part[0]:
        raise UsageError(
            f"{plain(name)} holds part {there[0]} of {there[1]} of this selection, which would be lost. Choose a "
            "folder for each part with -o."
        )


def _manifest(output: Path) -> dict[str, Any]:
    """The manifest, if it is one of ours."""
    try:
        manifest = json.loads((output / MANIFEST).read_bytes())
        return dict(manifest) if manifest["kind"] == KIND else {}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _own(output: Path) -> set[str]:
    """The files that the manifest lists, and itself; none when it is not one of ours."""
    try:
        return {MANIFEST, *(str(shard["name"]) for shard in _manifest(output)["shards"])}
    except (KeyError, TypeError):
        return set()
