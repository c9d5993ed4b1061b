"""Sliced Wasserstein matching: rows weighted such that along many random directions they lie as the target does.

The sliced distance is Rabin et al.'s (SSVM 2011; see ``fold/slices.py``); its gradient by the rows' masses plays the
part that GOT-D's potential has (Kang et al., ICLR 2024), but is followed for many steps instead of one: with weights w
of the sampled pool rows, begun alike, and phi the mean over directions of the potential of the transport between w and
the target along each,

    w_i <- w_i exp(-size phi_i) / sum (exponentiated gradient),      score(x) = log w(x) = - sum_t size_t phi_t(x),

a step that does not lower the distance being tried again at half its size. Along a direction all steps' potentials add
up to one function, kept at ``KNOTS`` quantiles of the pool and carried to every row by interpolation, at the ends by
the last value. Rows are drawn without replacement in proportion to w (``gumbel``): they follow the target's
distribution, its modes in proportion, not only its centre.

Inputs: texts or embedding columns of pool and target; of at most ``sample`` pool and 5,000 target rows. Cost: two
passes at embedding speed with ``directions`` products a row; steps x directions x sample. Traps: along single
directions two distributions may agree that do not in the plane: more directions; what the pool lacks cannot be matched
(``notes["distance_after"]``); many steps put the weight on few rows (``notes["effective_rows"]``).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import numpy as np

from ...core import Array, Batch, Block, Card, Choose, Map, Method, Run
from ...engine.draw import uniform
from ...errors import DataError, UsageError
from ...feature.embed import Embedder, of_target, similarities
from ...fold.kmeans import VectorSample
from ...fold.slices import directions, potential, squared_distance
from ..choose.gumbel import Gumbel

KNOTS, MOST_TARGETS = 256, 5_000


@dataclass(frozen=True, eq=False)
class Matched(Map):
    """log w: the sum over directions of a function given at ``knots`` float64 (directions, m) by ``value``."""

    embedder: Embedder
    directions: Array
    knots: Array
    value: Array
    notes: dict[str, Any] = field(compare=False)
    log_weight: ClassVar[bool] = True

    def apply(self, batch: Batch) -> Block:
        vectors = self.embedder.vectors(batch)
        at = similarities(vectors, self.directions).astype(np.float64)
        score = np.zeros(len(vectors))
        for one in range(len(self.knots)):
            score += np.interp(at[:, one], self.knots[one], self.value[one])
        return {"score": np.where(np.any(vectors != 0, axis=1), score, -np.inf)}


def match(pool: Array, target: Array, steps: int, rate: float) -> tuple[Array, Array, Array, dict[str, Any]]:
    """Weights (n,) of the pool's rows, and the score's functions, from projections (n, directions), (m, directions)."""
    order, goal = np.argsort(pool, axis=0, kind="stable"), np.sort(target, axis=0)
    point = np.take_along_axis(pool, order, axis=0)
    n, count = pool.shape
    shares = (np.arange(KNOTS) + 0.5) / KNOTS
    knots = np.quantile(pool, shares, axis=0).T
    value, log_weight, size = np.zeros(knots.shape), np.zeros(n), 0.0

    def distance(weight: Array) -> float:
        return float(np.mean([squared_distance(point[:, j], weight[order[:, j]], goal[:, j]) for j in range(count)]))

    weight = np.full(n, 1.0 / n)
    before = now = distance(weight)
    total, found, fresh = np.zeros(n), np.zeros(knots.shape), True
    for _ in range(steps):
        if fresh:
            total[:] = 0
            for j in range(count):
                phi = potential(point[:, j], weight[order[:, j]], goal[:, j]) / count
                found[j] = np.interp(knots[j], point[:, j], phi)
                total[order[:, j]] += np.interp(point[:, j], knots[j], found[j])
        size = size or rate / max(float(total.std()), 1e-300)
        tried = np.exp(log_weight - size * total - (log_weight - size * total).max())
        tried /= tried.sum()
        fresh = (then := distance(tried)) < now
        if fresh:  # a step that overshoots is taken back, and half of it tried next
            value, log_weight = value - size * found, log_weight - size * total
            weight, now = tried, then
        size *= 1.25 if fresh else 0.5
    notes = {"distance_before": before, "distance_after": now, "steps": steps}
    return weight, knots, value, notes | {"effective_rows": float(1 / (weight @ weight)), "sampled": n}


@dataclass(frozen=True)
class SlicedWasserstein(Method):
    """``directions``, ``steps``, ``rate`` (of the first step, in nats), ``sample``: see above."""

    directions: int = 64
    steps: int = 20
    rate: float = 0.5
    sample: int = 10_000
    source: Literal["auto", "given", "static", "lsa"] = "auto"

    card: ClassVar[Card] = Card(
        summary="rows drawn so that along random directions of the vectors they are distributed as the target",
        family="target similarity",
        needs=("embedding", "target"),
        cost="two passes at embedding speed; steps x directions x sample, seconds",
        bibtex="@inproceedings{rabin2011wasserstein, title={Wasserstein Barycenter and Its Application to Texture"
        " Mixing}, author={Rabin, Julien and Peyr{\\'e}, Gabriel and Delon, Julie and Bernot, Marc}, booktitle={Scale"
        " Space and Variational Methods in Computer Vision}, year={2011}}",
        evidence="distances by sorting, gradients by finite differences; claim: reproduced (8 seeds)",
        use_when="The kept rows should be distributed as the target is, its kinds of text in its proportions, not be "
        "its nearest rows.",
        fails_when="It takes rows of middling weight, too, so fewer of them are of the wanted kind than with "
        "`rds_plus`.",
    )

    def __post_init__(self) -> None:
        if min(self.directions, self.steps) < 1 or self.sample < 2 or not 0 < self.rate < np.inf:
            raise UsageError("sliced_wasserstein: directions and steps at least 1, sample at least 2, rate above 0.")

    def fit(self, run: Run) -> Matched:
        embedder, target = of_target(run, self.source)
        key = np.arange(len(target), dtype=np.uint64)
        target = target[np.argsort(uniform(run.seed, "sliced targets", key), kind="stable")[:MOST_TARGETS]]
        pool = run.fold(VectorSample(self.sample, "sliced", run.seed, embedder))["vectors"]
        if len(pool) < 2:
            raise DataError("sliced_wasserstein needs at least two rows of the pool with a vector.")
        lines = directions(self.directions, embedder.width, run.seed)
        projected, goal = (similarities(rows, lines).astype(np.float64) for rows in (pool, target))
        _, knots, value, notes = match(projected, goal, self.steps, self.rate)
        return Matched(embedder, lines, knots, value, notes | {"targets": len(target)})

    def chooser(self, fitted: Map) -> Choose:
        return Gumbel()
