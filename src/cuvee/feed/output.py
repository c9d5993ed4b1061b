"""Whether an output folder may be written, and the finished shards of a write that has not come to its end.

An output may be written if it is new, empty, or cuvee's own from top to bottom.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from ..engine.files import append, explain, file_digest, staging_of, write_whole
from ..engine.progress import Progress
from ..engine.store import digest
from ..errors import UsageError
from ..layout import sealed
from ..source.files import plain
from ..source.written import KIND as KIND
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
        job: all that the bytes of the shards depend on, JSON-able.
    """

    def __init__(self, output: Path, job: dict[str, Any]) -> None:
        self._root = staging_of(output)
        self.folder = self._root / output.name
        self._output, self._journal = output, self._root / JOURNAL
        self._job = digest(job)
        self._count: int | None = None
        """How many shards the journal lists; None while that is being found out."""
        self.counts: list[int] = []
        """What was recorded with the last shard."""

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
        content = sealed({"job": self._job, "number": number, "shard": entry.as_json(), "counts": counts})
        return json.dumps(content).encode() + b"\n"

    def _listed(self) -> list[tuple[Entry, list[int]]]:
        """What the journal says, up to its first line that is cut short, damaged or another job's."""
        found: list[tuple[Entry, list[int]]] = []
        try:
            for line in self._journal.read_bytes().splitlines():
                content = json.loads(line)
                right = (sealed(content)["seal"], self._job, len(found))
                if (content["seal"], content["job"], content["number"]) != right:
                    break
                found.append((Entry(**content["shard"]), content["counts"]))
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            pass
        return found

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


def _own(output: Path) -> set[str]:
    """The files that the manifest lists, and itself; none when it is not one of ours."""
    try:
        manifest = json.loads((output / "manifest.json").read_bytes())
        if manifest["kind"] != KIND:
            return set()
        return {"manifest.json", *(str(shard["name"]) for shard in manifest["shards"])}
    except (OSError, ValueError, KeyError, TypeError):
        return set()
