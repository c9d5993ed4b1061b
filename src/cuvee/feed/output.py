"""Whether an output folder may be written: new, empty, or cuvee's own from top to bottom."""

from __future__ import annotations

import json
from pathlib import Path

from ..errors import UsageError
from ..source.files import plain
from .selection import Selection

KIND = "cuvee documents"
MANIFEST_VERSION = 1


def check_output(output: Path, folder: Path, selection: Selection) -> None:
    """Refuse an output whose replacement would destroy anything that cuvee write did not make, or what it reads."""
    shown = plain(str(output))
    inputs = [folder, *(Path(file.path).absolute() for file in selection.files)]
    for path in inputs:
        if path == output or output in path.parents or path.resolve().is_relative_to(output):
            raise UsageError(f"{shown} holds {plain(str(path))}, which is being read. Choose another folder with -o.")
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
