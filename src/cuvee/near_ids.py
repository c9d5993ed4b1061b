"""A column of sources that is nearly an id, and columns of the pool that would group it.

A mix of thousands of sources with a document each says nothing of sources.
"""

from __future__ import annotations

import numpy as np

from .engine.groupings import better_columns
from .engine.stage import Stage
from .mix.base import Sources
from .report.terminal import safe

LEAST_SOURCES = 50


def hints(stage: Stage, sources: Sources, column: str) -> list[str]:
    """That most sources have a single document, and which columns have fewer values; nothing where most have more."""
    alone = int(np.count_nonzero(sources.documents == 1))
    if len(sources) < LEAST_SOURCES or 2 * alone < len(sources):
        return []
    told = (
        f"The column '{safe(column, 40)}' is nearly an id: {len(sources):,} sources, of which {alone:,} have a single "
        "document."
    )
    better = better_columns(stage, column)
    return [f"{told} Others group the pool: --by {better}." if better else f"{told} Name a coarser one with --by."]
