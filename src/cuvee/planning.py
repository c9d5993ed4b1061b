"""``--plan``: what a command would read, and about what it would cost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .engine.local import Local
from .engine.memory import expected
from .engine.store import Store
from .pool import Paths, Reading, open_stage

SECONDS_PER_BYTE = 1 / 150e6
"""Reading and scoring text by n-grams on one core; methods whose card says otherwise take longer."""


def planned(pool: Paths, reading: Reading, cache: str | None, workers: int, passes: int) -> dict[str, Any]:
    """Files, rows, bytes, expected seconds and memory of some passes over a pool."""
    store = Store(Path(cache) if cache is not None else None)
    opened = open_stage(pool, reading, store)
    manifest = opened.stage.manifest
    local = Local(workers)
    seconds = max(2.0, passes * manifest.bytes * SECONDS_PER_BYTE / local.workers)
    columns = ", ".join(f"{role} = {name}" for role, name in vars(opened.spec).items() if name)
    return {
        "reads": f"{len(manifest.sources):,} files, {manifest.rows:,} rows, "
        f"about {manifest.bytes / 1e6:,.1f} MB of text, {passes} times",
        "columns": columns,
        "cache": str(store.root),
        "time": f"about {seconds:,.0f} s with {local.workers} workers",
        "memory": f"about {expected(local.workers) / 1e6:,.0f} MB",
    }
