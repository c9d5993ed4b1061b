"""Columns of a pool that group its rows: few values, each of many rows.

They are named where a column of sources has too many values. Heads of the pool's files are read for them; nested
fields are not looked into.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from typing import Any

import numpy as np
import pyarrow as pa

from ..report.terminal import safe
from .stage import Stage

LOOKED_AT, OF_A_FILE, FILES = 2_000, 200, 40
MOST_GROUPS, LEAST_ROWS = 100, 5
"""Of a column that groups: at most so many values in the rows looked at, and on average at least so many rows each."""
LONGEST = 80
"""Characters of a value that may be a name."""
MOST_NAMED = 3


def better_columns(stage: Stage, column: str) -> str:
    """Columns to name instead of one with too many values: "licence (2 values), domain (3 values)"; empty if none."""
    found = groupings(stage, column)[:MOST_NAMED]
    return ", ".join(f"{safe(name, 40)} ({values:,} values)" for name, values in found)


def groupings(stage: Stage, column: str) -> list[tuple[str, int]]:
    """Columns whose values stand for many rows each, of few values first, with how many values were seen."""
    values: dict[str, Counter[str]] = {}
    rows = 0
    for row in islice(_heads(stage), LOOKED_AT):
        rows += 1
        for name, value in row.items():
            if isinstance(value, str) and len(value) <= LONGEST:
                values.setdefault(str(name), Counter())[value] += 1
    spec = stage.manifest.spec
    used = {column, spec.text, spec.id}
    found = [
        (name, len(seen))
        for name, seen in values.items()
        if name not in used
        and 2 <= len(seen) <= MOST_GROUPS
        and seen.total() >= rows / 2
        and seen.total() >= LEAST_ROWS * len(seen)
    ]
    return sorted(found, key=lambda one: (one[1], one[0]))


def _heads(stage: Stage) -> Iterator[dict[str, Any]]:
    """The first rows of some files, as records; rows that cannot be parsed are passed over."""
    manifest = stage.manifest
    chosen = np.unique(np.linspace(0, len(manifest.sources) - 1, FILES).astype(int)).tolist()
    share = max(OF_A_FILE, LOOKED_AT // len(chosen))
    for number in chosen:
        segments = manifest.index(number).segments
        if not segments:
            continue
        left = share
        for part in manifest.sources[number].rows(segments[0], 0):
            records = part.slice(0, left).to_pylist() if isinstance(part, pa.RecordBatch) else [_parsed(part)]
            yield from (one for one in records if one)
            left -= max(len(records), 1)
            if left <= 0:
                break


def _parsed(line: bytes) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
