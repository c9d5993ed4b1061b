"""Which modes of the target a selection covers: precision and recall by k nearest neighbours.

Kynkäänniemi et al., "Improved Precision and Recall Metric for Assessing Generative Models", NeurIPS 2019, arXiv
1904.06991; coverage: Naeem et al., "Reliable Fidelity and Diversity Metrics for Generative Models", ICML 2020, arXiv
2002.09797. The ball of a point holds what is nearer to it than the k-th nearest of its own kind (itself not counted).

    precision  the share of chosen rows in the ball of some target text: how much of the choice is like the target
    recall     the share of target texts in the ball of some chosen row: how much of the target the choice reaches
    coverage   the share of target texts whose own ball holds a chosen row (not misled by outliers among the chosen)

Vectors are those of the shipped table (English) for the first 4,000 bytes of each text; distances are Euclidean between
vectors of length 1. Every arm is measured on as many rows, at most ``MOST_ROWS``, of the pool's uniform sample, because
recall grows with their number. Cost: the sampled texts are embedded, some 20,000 a second; 1,000 x 1,000 distances for
each arm. Trap: a mode that the target names in fewer than about k texts has no ball of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from .core import Array, Decision, Draw
from .engine.columns import DiskColumns
from .engine.draw import uniform
from .engine.run import Engine
from .examples import FEWEST_ROWS, MOST_ROWS, as_batch, sampled
from .feature.embed import similarities
from .feature.static_embedding import StaticEmbedding
from .fold.bottom_k import cut_ends

NEIGHBOURS, FEWEST_TARGETS, RANDOM_DRAWS, HEAD_BYTES = 5, 10, 5, 4_000
FIGURES = ("precision", "recall", "coverage")
NAME = f"precision and recall by {NEIGHBOURS} nearest neighbours, on vectors of texts"
Floats = npt.NDArray[np.float64]


def radii(within: Array, k: int) -> Floats:
    """The (squared) distance of each point to its k-th nearest other, from distances (n, n)."""
    found = np.array(within, np.float64)
    np.fill_diagonal(found, np.inf)
    return np.asarray(np.partition(found, k - 1, axis=1)[:, k - 1])


def figures(real: Array, fake: Array, across: Array, k: int) -> dict[str, float]:
    """Precision, recall and coverage from (squared) distances: within the real (n, n), the fake (m, m), across (n, m).

    Needs more than k points on each side. "Nearer" is strict, as in the package prdc.
    """
    around_real, around_fake = radii(real, k), radii(fake, k)
    return {
        "precision": float((across < around_real[:, None]).any(axis=0).mean()),
        "recall": float((across < around_fake[None, :]).any(axis=1).mean()),
        "coverage": float((across.min(axis=1) < around_real).mean()),
    }


def squared(x: Array, y: Array) -> Floats:
    """Squared distances of unit vectors, at least 0."""
    return np.maximum(2.0 - 2.0 * similarities(x, y).astype(np.float64), 0.0)


def coverage_of_target(
    engine: Engine, columns: DiskColumns, arms: Mapping[str, Decision], draw: Draw
) -> dict[str, Any] | None:
    """Precision, recall and coverage of each arm, and of random rows (the mean of 5 draws), as many each.

    None without a target, with fewer than 10 target texts or 30 kept rows that have a vector.
    """
    if engine.target is None:
        return None
    target = _target_vectors(engine, draw)
    texts, luck, members = _members(engine, columns, arms, draw)
    known: dict[int, Array] = {}

    def vectors(chosen: list[int]) -> Array:
        new = [i for i in chosen if i not in known]
        if new:
            known.update(zip(new, StaticEmbedding().vectors(as_batch([texts[i] for i in new])), strict=True))
        found = np.stack([known[i] for i in chosen]) if chosen else np.zeros((0, target.shape[1]), np.float32)
        return found[np.any(found != 0, axis=1)]

    found = {name: vectors(chosen[:MOST_ROWS]) for name, chosen in members.items()}
    found = {name: rows for name, rows in found.items() if name == "kept" or len(rows) >= FEWEST_ROWS}
    if len(target) < FEWEST_TARGETS or len(found["kept"]) < FEWEST_ROWS:
        return None
    n = min(len(rows) for rows in found.values())
    real = squared(target, target)

    def measured(rows: Array) -> dict[str, float]:
        return figures(real, squared(rows, rows), squared(target, rows), NEIGHBOURS)

    result: dict[str, Any] = {"name": NAME, "rows": n, "target_rows": len(target)}
    result |= {name: measured(rows[:n]) for name, rows in found.items()}
    draws = []
    for number in range(RANDOM_DRAWS):
        order = np.argsort(draw.uniform(f"coverage {number}", luck), kind="stable").tolist()
        rows = vectors(order[:n])
        if len(rows) >= FEWEST_ROWS:
            draws.append(measured(rows))
    result["random"] = {name: float(np.mean([one[name] for one in draws])) for name in FIGURES} if draws else None
    return result


def _target_vectors(engine: Engine, draw: Draw) -> Array:
    """Unit vectors of at most ``MOST_ROWS`` target texts, by keyed draw; float32 (n, d)."""
    heads: list[bytes] = []
    luck = np.zeros(0)
    for batch in engine.targets():
        drawn = uniform(draw.seed, "coverage target", batch.key)
        some = np.argsort(drawn, kind="stable")[:MOST_ROWS]  # no more than these texts are held at a time
        start = np.ascontiguousarray(batch.offsets[some])
        ends = cut_ends(batch.data, start, np.ascontiguousarray(batch.offsets[some + 1]), HEAD_BYTES)
        heads += [batch.data[a:b].tobytes() for a, b in zip(start.tolist(), ends.tolist(), strict=True)]
        luck = np.concatenate([luck, drawn[some]])
        order = np.argsort(luck, kind="stable")[:MOST_ROWS]
        heads, luck = [heads[i] for i in order.tolist()], luck[order]
    vectors = StaticEmbedding().vectors(as_batch(heads))
    return vectors[np.any(vectors != 0, axis=1)]


def _members(
    engine: Engine, columns: DiskColumns, arms: Mapping[str, Decision], draw: Draw
) -> tuple[list[bytes], npt.NDArray[np.uint64], dict[str, list[int]]]:
    """The sampled texts, their keys, and for each arm the places of its rows among them, in a keyed order."""
    texts: list[bytes] = []
    keys: list[Array] = []
    members: dict[str, list[int]] = {name: [] for name in arms}
    for _, block, at, heads in sampled(engine, columns):
        for name, decision in arms.items():
            members[name] += (np.flatnonzero(decision.repeats(block)[at]) + len(texts)).tolist()
        texts += heads
        keys.append(block["key"][at])
    key = np.concatenate(keys) if keys else np.zeros(0, np.uint64)
    luck = draw.uniform("coverage", key)
    return texts, key, {name: sorted(chosen, key=lambda i: luck[i]) for name, chosen in members.items()}
