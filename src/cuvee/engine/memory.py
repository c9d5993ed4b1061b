"""How much memory a run takes, and how many workers fit into a limit."""

from __future__ import annotations

import os

from ..errors import ResourceError

BASE = 420 << 20
"""The interpreter, NumPy, PyArrow, the compiled kernels and one pass's shared state."""
PER_WORKER = 160 << 20
"""One span's batches, its blocks and its part of a Fold's state."""


def expected(workers: int) -> int:
    """Bytes that a run with this many workers is expected to take at its peak."""
    return BASE + PER_WORKER * workers


def workers_within(limit: int, asked: int = 0) -> int:
    """The number of workers that fits into ``limit`` bytes; ResourceError if not even one does."""
    fitting = (limit - BASE) // PER_WORKER
    if fitting < 1:
        raise ResourceError(
            f"--memory {limit / 1e6:,.0f} MB is too little: one worker takes about {expected(1) / 1e6:,.0f} MB."
        )
    return int(min(fitting, asked or len(os.sched_getaffinity(0))))
