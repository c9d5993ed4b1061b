"""Which modes of the target a selection covers: precision and recall by k nearest neighbours.

Kynkäänniemi et al., "Improved Precision and Recall Metric for Assessing Generative Models", NeurIPS 2019, arXiv
1904.06991; coverage: Naeem et al., "Reliable Fidelity and Diversity Metrics for Generative Models", ICML 2020, arXiv
2002.09797. The ball of a point holds what is nearer to it than the k-th nearest of its own kind (itself not counted).

    precision  the share of chosen rows in the ball of some target text: how much of the choice is like the target
    recall     the share of target texts in the ball of some chosen row: how much of the target the choice reaches
    coverage   the share of target texts whose own ball holds a chosen row (not misled by outliers among the chosen)

Vectors are those that the method looked at: the embedding column, a model's, or its own of the first 4,000 bytes of
each text; for a method that looks at none, those of the shipped table (English). Distances are Euclidean between
vectors of length 1. Target texts of equal vectors count once: copies would leave a ball without radius. Every arm is
measured on as many rows, at most ``MOST_ROWS``, of the pool's uniform sample, because recall grows with their number.
Cost: the sampled texts are embedded, some 20,000 a second, or, for a column, one more pass over the pool; 1,000 x
1,000 distances for each arm and draw. Traps: a mode that the target names in fewer than about k texts has no ball of
its own; figures on different vectors are not to be compared.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from .core import Array, Decision, Draw, Map
from .engine.columns import DiskColumns
from .engine.draw import uniform
from .engine.run import Engine
from .examples import FEWEST_ROWS, MOST_ROWS, as_batch, sampled
from .feature.embed import Embedder, similarities
from .feature.static_embedding import StaticEmbedding, normalised
from .feature.used import column_of, embedder_of, in_words
from .fold.bottom_k import cut_ends
from .fold.keyed_vectors import KeyedVectors
from .report.terminal import plural

NEIGHBOURS, FEWEST_TARGETS, RANDOM_DRAWS, HEAD_BYTES = 5, 10, 10, 4_000
SAME_DIGITS = 6
"""Vectors that agree to so many decimals are the same: scaling to length 1 rounds."""
ALIKE = 0.95
"""Where random rows and those kept both reach this share of the ceiling in each figure, the figures tell nothing."""
FIGURES = ("precision", "recall", "coverage")
NAME = f"precision and recall by {NEIGHBOURS} nearest neighbours, on "
TOO_FEW = f"not estimated: fewer than {FEWEST_ROWS} kept rows are in the pool's sample"
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


@dataclass
class _Sample:
    """The pool's sample: its texts' heads, keys and rows, and the places of each arm's rows in it, in a keyed order."""

    texts: list[bytes]
    key: npt.NDArray[np.uint64]
    row: npt.NDArray[np.int64]
    members: dict[str, list[int]]


def coverage_of_target(
    engine: Engine,
    columns: DiskColumns,
    arms: Mapping[str, Decision],
    draw: Draw,
    fitted: Map | None = None,
    model: str | None = None,
) -> tuple[dict[str, Any] | None, str | None]:
    """Precision, recall and coverage of each arm, and of random rows (the mean of 10 draws), as many each.

    ``fitted``: the method, on whose vectors all is measured if it looks at any; ``model``: what made the column. Beside
    them "ceiling", what one half of the target reaches of the other, if both halves have at least 10 texts. The second
    value says why nothing is measured, or that the figures tell nothing apart: None without a target, with fewer than
    10 different target texts or 30 kept rows that have a vector, and where neither the method looks at vectors nor
    rows have texts.
    """
    if engine.target is None:
        return None, None
    embedder: Embedder = embedder_of(fitted) or StaticEmbedding()
    column = column_of(embedder)
    if column is not None and not _target_has(engine, column.width):
        embedder, column = StaticEmbedding(), None  # the method itself did not look at the target
    if engine.pool.manifest.spec.text is None and column is None:
        return None, "not estimated: the pool has no texts, and the method looks at no vectors"
    target = _target_vectors(engine, draw, embedder)
    sample = _sample(engine, columns, arms, draw)
    chosen = {name: at[:MOST_ROWS] for name, at in sample.members.items()}
    chosen = {name: at for name, at in chosen.items() if name == "kept" or len(at) >= FEWEST_ROWS}
    if len(target) < FEWEST_TARGETS:
        return None, f"not estimated: {plural(len(target), 'different target vector')}; {FEWEST_TARGETS} are needed"
    if len(chosen["kept"]) < FEWEST_ROWS:
        return None, TOO_FEW
    luck = [draw.uniform(f"coverage {number}", sample.key) for number in range(RANDOM_DRAWS)]
    most = min(len(at) for at in chosen.values())
    lucky = [np.argsort(one, kind="stable")[:most].tolist() for one in luck]
    every = np.unique(np.concatenate([*chosen.values(), *lucky]).astype(np.int64))
    known = dict(zip(every.tolist(), _vectors(engine, sample, every, embedder), strict=True))

    def vectors(at: list[int]) -> Array:
        found = np.stack([known[i] for i in at])
        return found[np.any(found != 0, axis=1)]

    found = {name: vectors(at) for name, at in chosen.items()}
    found = {name: rows for name, rows in found.items() if name == "kept" or len(rows) >= FEWEST_ROWS}
    if len(found["kept"]) < FEWEST_ROWS:
        return None, f"not estimated: fewer than {FEWEST_ROWS} kept rows of the pool's sample have a vector"
    n = min(len(rows) for rows in found.values())
    real = squared(target, target)

    def measured(rows: Array) -> dict[str, float]:
        return figures(real, squared(rows, rows), squared(target, rows), NEIGHBOURS)

    features = in_words(embedder, model)
    result: dict[str, Any] = {"name": NAME + features, "features": features, "rows": n, "target_rows": len(target)}
    result |= {name: measured(rows[:n]) for name, rows in found.items()}
    draws = [rows for at in lucky if len(rows := vectors(at[:n])) >= FEWEST_ROWS]
    known.clear()
    means = [measured(rows) for rows in draws]
    result["random"] = {name: float(np.mean([one[name] for one in means])) for name in FIGURES} if means else None
    result["ceiling"] = None
    if len(target) >= 2 * FEWEST_TARGETS:
        a, b = target[::2], target[1::2]  # they lie in an order drawn by key
        most = min(len(a), len(b))
        a, b = a[:most], b[:most]
        result["ceiling"] = figures(squared(a, a), squared(b, b), squared(a, b), NEIGHBOURS)
    return result, tells_nothing(result)


def tells_nothing(found: Mapping[str, Any]) -> str | None:
    """Why these figures do not tell a good choice from a bad one, if they do not."""
    arms = [found[name] for name in ("kept", "random", "length_matched") if found.get(name)]
    if not any(arm[name] for arm in arms for name in FIGURES):
        return "every figure is 0: they tell nothing apart here (no row lies near a target text)"
    ceiling = found.get("ceiling") or dict.fromkeys(FIGURES, 1.0)
    alike = [
        all(found[arm][name] >= ALIKE * ceiling[name] for name in FIGURES) for arm in ("kept", "random") if found[arm]
    ]
    if len(alike) == 2 and all(alike):
        return "random rows reach as much as texts of the target would: the figures tell nothing apart here"
    return None


def _vectors(engine: Engine, sample: _Sample, at: npt.NDArray[np.int64], embedder: Embedder) -> Array:
    """Unit vectors of rows of the sample, float32 (rows, d); zeros for those without."""
    if column_of(embedder) is None:
        return normalised(embedder.vectors(as_batch([sample.texts[i] for i in at.tolist()])))
    state = engine.fold(KeyedVectors(np.unique(sample.key[at]), embedder))
    found = np.zeros((len(at), embedder.width), np.float32)
    order = np.argsort(state["row"])
    place = np.searchsorted(state["row"], sample.row[at], sorter=order)
    there = order[np.minimum(place, len(order) - 1)] if len(order) else np.zeros(len(at), np.int64)
    some = np.flatnonzero(state["row"][there] == sample.row[at]) if len(order) else np.zeros(0, np.int64)
    found[some] = state["vectors"][there[some]]
    return normalised(found)


def _target_has(engine: Engine, width: int) -> bool:
    """Whether all of the target's rows have embeddings of this width."""
    given = [batch.columns.get("embedding") for batch in engine.targets()]
    return all(one is not None and one.shape[1] == width for one in given)


def _target_vectors(engine: Engine, draw: Draw, embedder: Embedder) -> Array:
    """Unit vectors of at most ``MOST_ROWS`` target rows in a keyed order, equal ones once; float32 (n, d)."""
    kept, luck = np.zeros((0, embedder.width), np.float32), np.zeros(0)
    for batch in engine.targets():
        drawn = uniform(draw.seed, "coverage target", batch.key)
        some = np.argsort(drawn, kind="stable")[:MOST_ROWS]  # no more than these rows are held at a time
        some = some[drawn[some] < luck[-1]] if len(luck) == MOST_ROWS else some
        start = np.ascontiguousarray(batch.offsets[some])
        ends = cut_ends(batch.data, start, np.ascontiguousarray(batch.offsets[some + 1]), HEAD_BYTES)
        heads = as_batch([batch.data[a:b].tobytes() for a, b in zip(start.tolist(), ends.tolist(), strict=True)])
        given = {name: values[some] for name, values in batch.columns.items() if name == "embedding"}
        kept = np.concatenate([kept, normalised(embedder.vectors(replace(heads, columns=given)))])
        luck = np.concatenate([luck, drawn[some]])
        order = np.argsort(luck, kind="stable")[:MOST_ROWS]
        kept, luck = kept[order], luck[order]
    kept = kept[np.any(kept != 0, axis=1)]
    _, first = np.unique(np.round(kept, SAME_DIGITS) + 0.0, axis=0, return_index=True)  # + 0.0: -0.0 is 0.0
    return kept[np.sort(first)]


def _sample(engine: Engine, columns: DiskColumns, arms: Mapping[str, Decision], draw: Draw) -> _Sample:
    texts: list[bytes] = []
    keys: list[Array] = []
    rows: list[Array] = []
    members: dict[str, list[int]] = {name: [] for name in arms}
    for _, block, at, heads in sampled(engine, columns):
        for name, decision in arms.items():
            members[name] += (np.flatnonzero(decision.repeats(block)[at]) + len(texts)).tolist()
        texts += heads
        keys.append(block["key"][at])
        rows.append(block["row"][at])
    key = np.concatenate(keys) if keys else np.zeros(0, np.uint64)
    row = np.concatenate(rows) if rows else np.zeros(0, np.int64)
    luck = draw.uniform("coverage", key)
    return _Sample(texts, key, row, {name: sorted(at, key=lambda i: luck[i]) for name, at in members.items()})
