"""What is reported about a selection: counts, lengths, scores and domains, before and after."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .core import Array, Block, Columns, Decision

LENGTHS = 1 << 20
"""Lengths are counted exactly up to this many bytes; longer ones count as this long in quantiles."""
SCORE_BINS = 40


class Counted(NamedTuple):
    """What a way of choosing keeps of some rows; lengths up to the longest of them."""

    rows: int
    copies: int
    tokens: int
    bytes: int
    lengths: Array
    domain_rows: Array
    domain_tokens: Array


def counted(block: Block, repeats: npt.NDArray[np.int64], domains: int) -> Counted:
    """Count a block's rows, each ``repeats`` times in tokens and bytes."""
    taken = repeats > 0
    tokens = repeats * block["tokens"]
    return Counted(
        int(np.count_nonzero(taken)),
        int(repeats.sum()),
        int(tokens.sum()),
        int((repeats * block["bytes"]).sum()),
        np.bincount(np.minimum(block["bytes"][taken], LENGTHS)),
        np.bincount(block["domain"][taken], minlength=domains),
        np.bincount(block["domain"], weights=tokens, minlength=domains).astype(np.int64),
    )


@dataclass
class Arm:
    """What one way of choosing keeps."""

    domains: int
    rows: int = 0
    copies: int = 0
    tokens: int = 0
    bytes: int = 0
    lengths: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(LENGTHS + 1, np.int64))
    domain_rows: npt.NDArray[np.int64] = field(init=False)
    domain_tokens: npt.NDArray[np.int64] = field(init=False)

    def __post_init__(self) -> None:
        self.domain_rows = np.zeros(self.domains, np.int64)
        self.domain_tokens = np.zeros(self.domains, np.int64)

    def add(self, block: Block, repeats: npt.NDArray[np.int64]) -> None:
        """Count a block's rows, each ``repeats`` times in tokens and bytes."""
        self.take(counted(block, repeats, self.domains))

    def take(self, more: Counted) -> None:
        """Take in what was counted."""
        self.rows += more.rows
        self.copies += more.copies
        self.tokens += more.tokens
        self.bytes += more.bytes
        self.lengths[: len(more.lengths)] += more.lengths
        self.domain_rows += more.domain_rows
        self.domain_tokens += more.domain_tokens

    def quantiles(self) -> dict[str, int]:
        """p5, p50 and p95 of the length in bytes."""
        running = np.cumsum(self.lengths)
        if not self.rows:
            return {}
        return {f"p{p}": int(np.searchsorted(running, max(1, -(-p * self.rows // 100)))) for p in (5, 50, 95)}


class LogWeights:
    """Effective sample size of weights given by their logarithms, (sum w)^2 / sum w^2, in one streaming pass."""

    def __init__(self) -> None:
        self.top, self.first, self.second = -np.inf, 0.0, 0.0

    def add(self, logs: npt.NDArray[np.float64]) -> None:
        """Take in log weights; -inf counts as weight 0."""
        logs = logs[np.isfinite(logs)]
        if not len(logs):
            return
        top = float(logs.max())
        weights = np.exp(logs - top)
        self.take(top, float(weights.sum()), float((weights**2).sum()))

    def take(self, top: float, first: float, second: float) -> None:
        """Take in sums of weights and of their squares, relative to the weight with logarithm ``top``."""
        highest = max(self.top, top)
        if not np.isfinite(highest):
            return
        own, other = np.exp(self.top - highest), np.exp(top - highest)
        self.first = self.first * float(own) + first * float(other)
        self.second = self.second * float(own) ** 2 + second * float(other) ** 2
        self.top = highest

    def effective(self) -> float | None:
        """The effective sample size, or None without weights."""
        return self.first**2 / self.second if self.second > 0 else None


def length_histogram(arms: dict[str, Arm]) -> dict[str, Any]:
    """Lengths of every arm in half-octave bins that cover all of them."""
    top = max((int(np.flatnonzero(arm.lengths)[-1]) for arm in arms.values() if arm.rows), default=1)
    low = min((int(np.flatnonzero(arm.lengths)[0]) for arm in arms.values() if arm.rows), default=1)
    steps = np.arange(np.floor(2 * np.log2(max(low, 1))), np.ceil(2 * np.log2(max(top, 2) + 1)) + 1)
    edges = np.unique(np.round(2 ** (steps / 2)).astype(np.int64))
    found: dict[str, Any] = {"edges": edges.tolist()}
    for name, arm in arms.items():
        running = np.concatenate([[0], np.cumsum(arm.lengths)])
        counts = np.diff(running[np.minimum(edges, LENGTHS + 1)])
        found[name] = counts.tolist()
    return found


def score_pictures(columns: Columns, decision: Decision, low: float, high: float) -> dict[str, Any]:
    """Histograms of the score for pool and kept rows, and the score's quantiles per length octave."""
    edges = np.linspace(low, high, SCORE_BINS + 1)
    pool, kept = np.zeros(SCORE_BINS, np.int64), np.zeros(SCORE_BINS, np.int64)
    fine = 400
    grid = np.zeros((48, fine), np.int64)
    width = max(high - low, 1e-300)
    for block in columns.blocks(*dict.fromkeys(("score", "bytes", *decision.needs))):
        score = block["score"]
        inside = np.isfinite(score)
        share = np.clip((np.where(inside, score, low) - low) / width, 0.0, 1.0 - 1e-9)
        at = (share * SCORE_BINS).astype(np.int64)
        pool += np.bincount(at[inside], minlength=SCORE_BINS)
        kept += np.bincount(at[inside & (decision.repeats(block) > 0)], minlength=SCORE_BINS)
        octave = np.minimum(np.log2(np.maximum(block["bytes"], 1)).astype(np.int64), 47)
        flat = octave[inside] * fine + (share[inside] * fine).astype(np.int64)
        grid += np.bincount(flat, minlength=grid.size).reshape(grid.shape)
    used = np.flatnonzero(grid.sum(1) >= 5)
    lines: dict[str, list[float]] = {"median": [], "p10": [], "p90": []}
    for octave_row in grid[used]:
        running = np.cumsum(octave_row)
        for name, p in (("p10", 0.1), ("median", 0.5), ("p90", 0.9)):
            lines[name].append(float(low + width * (np.searchsorted(running, p * running[-1]) + 0.5) / fine))
    return {
        "scores": {"edges": edges.tolist(), "pool": pool.tolist(), "kept": kept.tolist()},
        "score_by_length": {"length_edges": [int(2**o) for o in used], **lines},
    }
