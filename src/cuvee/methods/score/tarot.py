"""TAROT: the nearest rows of every target text, layer by layer, in whitened space; transport decides the last layer.

Feng et al., "TAROT: Targeted Data Selection via Optimal Transport", arXiv 2412.00420. With features F of pool and
target together, centred, and L L^T = F^T F / n + ridge I,

    u = L^-1 phi / |L^-1 phi|,     d(u, v) = sqrt(2 - 2 u . v).

Layer i holds the rows that are the i-th nearest of some target and in no layer before. Whole layers are taken while
they fit; of the next, the rows with the smallest potentials of optimal transport (uniform weights, cost d, entropic
with ``epsilon``) between all rows up to that layer and the targets: those whose mass would lower the distance most.

The paper's features are loss gradients of a trained model: give them as embedding columns of pool and target. On other
vectors it is the same selection in another space. Deviations from the release, whose code differs from its text:
columns are whitened by L^-1 as written, so rows by L^-T (the release multiplies rows by L^-1, which leaves covariances
of hundreds; ``whitening="released"``); the last layer takes the smallest potentials of the union (the release: the
largest of the layer, worse than chance in 95 % of 60 synthetic cases; ``last_layer="released"`` sorts by the layer
alone, largest first).

``suggest`` adds the paper's estimate of a good size to the notes: targets are divided into 5 folds (there 10); the
nearest rows of one fold, of positive cosine, are grown until the transport distance to the others has not fallen for
``patience`` = 2 steps (there until its first rise, and the set of that step is kept); the union over folds at their
best sizes. The paper's weights for repeating rows are left out.

Inputs: texts or embedding columns of pool and target. Cost: three passes at embedding speed, d * d multiplications a
row to whiten, rows x targets x dimensions for the lists; seconds to solve. Lists hold 50,000 entries in all: a budget
beyond them is left unfilled and noted. Memory: transport holds 16 bytes for each pair of a row on the lists and a
target, at most 256 MB (beyond, costs are computed anew in every iteration: minutes); ``suggest`` holds 4 for each pair
of a fold's rows and the other folds' targets, 32 MB at 1,000 targets, 1 GB at 10,000. Trap: with fewer rows than
dimensions the ridge decides; see ``condition`` in the notes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import numpy as np

from ...core import Array, Card, Choose, Map, Method, Run
from ...errors import DataError, UsageError
from ...feature.embed import of_target
from ...feature.static_embedding import normalised
from ...feature.whitening import Whitened
from ...fold.moments import Gaussian, Moments, gaussian_of
from ...fold.nearest import NearestRows, VectorsOf, list_length
from ...fold.tarot_layers import layers, suggested_size
from ..choose.layered import Layers
from .rds_plus import Ranked


def whitening(found: Gaussian, ridge: float, released: bool = False) -> tuple[Array, Array, float]:
    """Mean, L^-T (rows are multiplied by it; L^-1 as ``released``), and the condition number of the covariance."""
    covariance = found.covariance() + ridge * np.eye(len(found.total))
    try:
        lower = np.linalg.cholesky(covariance)
    except np.linalg.LinAlgError:
        raise DataError("tarot cannot whiten these vectors: give a larger ridge.") from None
    inverse = np.linalg.inv(lower)
    return found.mean, inverse if released else inverse.T, float(np.linalg.cond(covariance))


@dataclass(frozen=True, eq=False)
class InLayers(Ranked):
    """The score is minus the layer; rows on no list come after all of them, by their largest cosine."""

    layered: Layers = field(kw_only=True)


@dataclass(frozen=True)
class Tarot(Method):
    """``ridge``, ``epsilon``, ``whitening`` and ``last_layer`` as above; ``whiten=False`` leaves the space as it is;
    ``most``: rows in each list."""

    ridge: float = 1e-5
    whiten: bool = True
    whitening: Literal["text", "released"] = "text"
    epsilon: float = 0.02
    last_layer: Literal["union", "released"] = "union"
    suggest: bool = False
    most: int = 0
    source: Literal["auto", "given", "static", "lsa"] = "auto"

    card: ClassVar[Card] = Card(
        summary="the nearest rows of every target text, layer by layer in whitened space, and optimal transport",
        family="target similarity",
        needs=("embedding", "target"),
        cost="four passes at embedding speed, and rows x targets x dimensions in two; seconds to solve",
        bibtex="@article{feng2024tarot, title={{TAROT}: Targeted Data Selection via Optimal Transport}, author={Feng,"
        " Lan and Nie, Fan and Liu, Yuejiang and Alahi, Alexandre}, journal={arXiv:2412.00420}, year={2024}}",
        evidence="the paper's whitening, layers, potentials computed apart; claim: direction only (8 seeds)",
        use_when="You have gradients or other features in which a few directions drown the rest: whitening is its "
        "point.",
        fails_when="Vectors of a sentence encoder lie evenly already: whitening changed nothing there, and `rds_plus` "
        "was as good at less cost.",
    )

    def fit(self, run: Run) -> InLayers:
        if not (self.ridge >= 0 and self.epsilon > 0) or self.last_layer not in ("union", "released") or self.most < 0:
            raise UsageError("tarot: ridge and most are at least 0, epsilon above 0; last_layer is union or released.")
        if self.whitening not in ("text", "released"):
            raise UsageError("tarot: whitening is text or released; whiten=false leaves the space as it is.")
        inner, targets = of_target(run, self.source, unit=not self.whiten)
        notes: dict[str, Any] = {"targets": len(targets)}
        embedder: Any = inner
        if self.whiten:
            (pool,) = run.fold(Moments(inner))
            mean, matrix, condition = whitening(pool + gaussian_of(targets), self.ridge, self.whitening == "released")
            embedder = Whitened(inner, mean, matrix)
            targets = normalised((targets - mean) @ matrix)
            notes["condition"] = condition
        most = self.most or list_length(len(targets), 50_000)
        found = run.fold(NearestRows(embedder, targets, most))
        rows, layer = layers(found["row"], found["count"])
        if not len(rows):
            raise DataError("tarot found no row of the pool with a vector.")
        vectors = run.fold(VectorsOf(embedder, rows))["vectors"]
        notes |= {"list_length": most, "ranked": len(rows)}
        if self.suggest:
            places = np.searchsorted(rows, np.minimum(found["row"], rows[-1]))
            places[np.arange(places.shape[1]) >= found["count"][:, None]] = -1
            notes["suggested_rows"] = suggested_size(vectors, targets, places, self.epsilon, run.seed)
        chosen = Layers(rows, layer, vectors, targets, self.epsilon, self.last_layer)
        return InLayers(embedder, targets, rows, layer, "round_robin", notes, layered=chosen)

    def chooser(self, fitted: Map) -> Choose:
        assert isinstance(fitted, InLayers)
        return fitted.layered
