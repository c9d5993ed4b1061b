"""The league's record, one row for each contender: ``claims/results/league.json``."""

from __future__ import annotations

import json
from typing import Any

from ..harness import RESULTS, Effect, effect, write
from .contenders import Contender, discover
from .field import CELLS

PATH = RESULTS / "league.json"
RANDOM, STRONG = "random", "rds_plus"
Rows = dict[str, dict[str, Any]]


def record() -> dict[str, Any]:
    """ "rows" by name, and "hardware" and "seeds"; without rows if there is no record."""
    if not PATH.is_file():
        return {"rows": {}, "hardware": "", "seeds": []}
    found: dict[str, Any] = json.loads(PATH.read_text("utf-8"))
    return found


def read() -> Rows:
    """The rows by name."""
    found: Rows = record()["rows"]
    return found


def save(rows: Rows, about: dict[str, Any]) -> None:
    """Write the record."""
    write(PATH, json.dumps({**about, "rows": dict(sorted(rows.items()))}, indent=1, allow_nan=False) + "\n")


def stale(rows: Rows, slow: bool = False) -> list[Contender]:
    """The contenders that have no row of the present code; slow ones only if they have one, or with ``slow``."""
    found = [one for one in discover()[0] if slow or not one.slow or one.name in rows]
    return [one for one in found if rows.get(one.name, {}).get("digest") != one.digest()]


def values(row: dict[str, Any], task: str, metric: str) -> list[float] | None:
    """One number for each seed, or None where the contender took no part."""
    found = row["tasks"][task]
    return None if isinstance(found, str) else found[metric]


def against(rows: Rows, name: str, other: str, task: str | None, metric: str = "bits") -> Effect | None:
    """The paired difference in ``bits``, on one task or (``task`` None) in the mean over all of them.

    ``other`` may be "length-matched": random rows with the lengths of ``name``'s.
    """
    parts = []
    for each in CELLS if task is None else (task,):
        own = values(rows[name], each, metric)
        theirs = values(rows[name], each, "matched") if other == "length-matched" else values(rows[other], each, metric)
        if own is None or theirs is None:
            return None
        parts.append([a - b for a, b in zip(own, theirs, strict=True)])
    return effect([sum(seed) / len(parts) for seed in zip(*parts, strict=True)])
