"""BLAST's grid: rows drawn uniformly over the cells of a plane on which their features are laid out.

Shao et al., "BLAST: Balanced Sampling Time Series Corpus for Universal Forecasting Models", 2025, arXiv 2505.17871.
Features are brought to two dimensions, scaled to [0, 1] and cut into a grid of G x G cells,

    cell = (int(u (G - 1)), int(v (G - 1))),

the smallest cells, which together hold at most ``tail`` of the rows, become one, and each draw takes a cell uniformly,
and a row uniformly in it (``cluster_clip`` computes these amounts, and limits how often a row is taken).

Deviations: the features are the rows' vectors, not statistics of a series, and the plane is spanned by their two main
axes (there UMAP, which has no fixed result), fitted on ``sample`` rows; ``scale`` "quantile" makes the cells of each
axis equally full. The paper repeats rows without limit, and has 100 x 100 cells for millions of series.

Inputs: texts, or an embedding column. Block: "cluster", the cell's number, int32, and "score", minus the distance from
the middle of the cell, in cells. Cost: a pass to sample and one to assign, at embedding speed. Traps: there must be far
fewer cells than rows to keep, or most get less than one row; a cell holds whatever falls on it in the projection;
sparse cells at the edge, junk as a rule, count as much as full ones.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import numpy as np

from ...core import Array, Batch, Block, Card, Choose, Map, Method, Run
from ...errors import DataError, UsageError
from ...feature.embed import Embedder, of_pool, similarities
from ...fold.kmeans import VectorSample
from ..choose.cluster_clip import ClusterClip


@dataclass(frozen=True, eq=False)
class Grid(Map):
    """``axes`` float32 (2, d); ``knots`` float64 (2, m): where each axis has the values 0, 1 / (m - 1), ..., 1."""

    embedder: Embedder
    axes: Array
    knots: Array
    cells: int
    notes: dict[str, Any] = field(compare=False)

    def apply(self, batch: Batch) -> Block:
        vectors = self.embedder.vectors(batch)
        at = similarities(vectors, self.axes).astype(np.float64)
        known = np.any(vectors != 0, axis=1)
        cell, away = place(np.stack([scaled(at[:, one], self.knots[one]) for one in (0, 1)], axis=1), self.cells)
        return {"cluster": np.where(known, cell, -1).astype(np.int32), "score": np.where(known, -away, -np.inf)}


def scaled(value: Array, knots: Array) -> Array:
    """Values between 0 and 1, cut there."""
    return np.interp(value, knots, np.linspace(0.0, 1.0, len(knots)))


def place(point: Array, cells: int) -> tuple[Array, Array]:
    """The cell of each point in the unit square, int64 (n,), row by row; and its distance from the cell's middle."""
    steps = np.asarray(point) * (cells - 1)
    index = np.clip(steps.astype(np.int64), 0, cells - 1)
    return index[:, 0] * cells + index[:, 1], np.sqrt(((steps - index - 0.5) ** 2).sum(axis=1))


def main_axes(vectors: Array) -> Array:
    """The two main axes of centred vectors, float32 (2, d), the largest entry of each positive."""
    x = np.asarray(vectors, np.float64)
    _, axes = np.linalg.eigh(np.atleast_2d(np.cov(x, rowvar=False)))
    found = np.pad(axes[:, ::-1].T[:2], ((0, max(0, 2 - len(axes))), (0, 0)))
    sign = np.sign(found[np.arange(2), np.abs(found).argmax(axis=1)])
    return (found * np.where(sign == 0, 1, sign)[:, None]).astype(np.float32)


@dataclass(frozen=True)
class Blast(Method):
    """``cells``: G; ``scale``: "range" (of the values) or "quantile"; ``repeats``, ``tail``: of ``cluster_clip``."""

    cells: int = 16
    scale: Literal["range", "quantile"] = "range"
    repeats: int = 5
    tail: float = 0.001
    sample: int = 20_000
    source: Literal["auto", "given", "static", "lsa"] = "auto"

    card: ClassVar[Card] = Card(
        summary="cells of a grid on the plane of the vectors' main axes, drawn from uniformly by cluster_clip",
        family="diversity",
        needs=("embedding",),
        cost="two passes at embedding speed",
        bibtex="@article{shao2025blast, title={{BLAST}: Balanced Sampling Time Series Corpus for Universal Forecasting"
        " Models}, author={Shao, Zezhi and others}, journal={arXiv:2505.17871}, year={2025}}",
        evidence="cells and merged tail of the release; claim: not reproduced (8 seeds)",
        gives=("score", "cluster"),
        use_when="The pool lies lopsidedly in the plane of its main axes, and every region should have its part.",
        fails_when="The variance of texts hardly lies in two axes: cells mix kinds of text, those at the edge hold "
        "strange ones, and nothing was gained over random rows.",
    )

    def __post_init__(self) -> None:
        if not 2 <= self.cells <= 1000 or self.sample < 3 or self.scale not in ("range", "quantile"):
            raise UsageError("blast: cells is 2 to 1000, sample at least 3, scale is range or quantile.")
        ClusterClip(self.repeats, self.tail)

    def fit(self, run: Run) -> Grid:
        embedder = of_pool(run, self.source)
        vectors = run.fold(VectorSample(self.sample, "blast", run.seed, embedder))["vectors"]
        if len(vectors) < 3:
            raise DataError(f"blast needs at least 3 rows with a vector; the pool has {len(vectors)}.")
        axes = main_axes(vectors)
        at = similarities(vectors, axes).astype(np.float64)
        shares = np.linspace(0, 1, 2 if self.scale == "range" else self.cells)
        knots = np.quantile(at, shares, axis=0).T
        knots[:, 1:] = np.maximum(knots[:, 1:], np.nextafter(knots[:, :-1], np.inf))
        notes = {"sampled": len(vectors), "share_of_variance": float(at.var(axis=0).sum() / vectors.var(axis=0).sum())}
        return Grid(embedder, axes, np.ascontiguousarray(knots), self.cells, notes)

    def chooser(self, fitted: Map) -> Choose:
        return ClusterClip(self.repeats, self.tail)
