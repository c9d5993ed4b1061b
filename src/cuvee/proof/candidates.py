"""The selections to be proved, and the pool that they were chosen from."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..engine.facts import Facts
from ..engine.local import Executor
from ..engine.manifest import Manifest
from ..engine.progress import Progress
from ..engine.run import Engine
from ..engine.stage import Stage
from ..engine.store import Store
from ..errors import DataError, UsageError
from ..feed.pool import open_source
from ..feed.selection import Selection
from ..layout import PLAN
from ..source.files import plain
from .draws import Rows


@dataclass(frozen=True)
class Candidate:
    """One selection.

    Attributes:
        row, repeats: int64, (n,): its rows by global number, ascending, and how often each is taken (16 bytes a row).
        plan: the content of its ``plan.json``.
    """

    name: str
    folder: Path
    row: Rows
    repeats: Rows
    plan: dict[str, Any]

    @property
    def method(self) -> str:
        return str(self.plan.get("method", {}).get("name", "unknown"))

    @property
    def seconds(self) -> float:
        """What selecting took, by the clock, with what its parts found in the cache had taken."""
        timings = self.plan.get("reproduce", {}).get("timings", {})
        return sum(float(timings.get(name) or 0.0) for name in ("total", "found in the cache"))


def open_candidates(
    folders: Sequence[Path], store: Store, executor: Executor, progress: Progress
) -> tuple[Engine, list[Candidate]]:
    """The selections and an engine over their pool.

    Raises:
        UsageError: there is no selection, or they are of different pools.
        DataError: a selection is damaged, or its pool has changed.
    """
    opened = [Selection.open(folder) for folder in folders]
    first = opened[0]
    for folder, other in zip(folders[1:], opened[1:], strict=True):
        if (other.files, other.spec) != (first.files, first.spec):
            raise UsageError(
                f"{plain(str(folder))} and {plain(str(folders[0]))} were chosen from different pools, or with other "
                "columns, so no random draw is a baseline for both. Prove them one by one."
            )
    plans = [json.loads((folder / PLAN).read_bytes()) for folder in folders]
    sources = []
    for file in first.files:
        try:
            source = open_source(file.path, file.format)
            changed = source.stamp() != file.stamp
        except DataError as error:
            raise DataError(f"A file of the pool cannot be opened. {error}") from error
        if changed:
            raise DataError(f"{plain(file.path)} has changed since the selection was made. Run cuvee select again.")
        sources.append(source)
    manifest = Manifest.build(sources, first.spec, store)
    facts = Facts(plans[0].get("tokenizer"), plans[0].get("key", "id"))
    engine = Engine(Stage(manifest, facts, "pool"), None, store, executor, progress)
    names = _names(folders)
    found = []
    for name, folder, selection, plan in zip(names, folders, opened, plans, strict=True):
        parts = list(selection.parts())
        if not parts:
            raise DataError(f"The selection in {plain(str(folder))} chose no rows: there is nothing to prove.")
        row = np.concatenate([part.row + manifest.starts[part.file] for part in parts])
        repeats = np.concatenate([part.weight for part in parts])
        found.append(Candidate(name, folder, row, repeats, plan))
    return engine, found


def _names(folders: Sequence[Path]) -> list[str]:
    """The folders' own names, or their paths where two are equal."""
    names = [folder.resolve().name for folder in folders]
    if len(set(names)) < len(names):
        names = [str(folder) for folder in folders]
    if len(set(names)) < len(names):
        raise UsageError("The same selection is named twice.")
    return names
