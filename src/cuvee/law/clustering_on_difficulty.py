"""Clustering on difficulty: predict a benchmark's score at large compute from the items whose curves extrapolate.

Xu et al., "Unveiling Downstream Performance Scaling of LLMs: A Clustering-Based Perspective", 2025, arXiv 2502.17262.
Items are clustered by their pass rates over a ladder of small models (mean shift with a bounded radius); each cluster
gets the curve

    y(C) = g + (1 - g) exp(-a C^-b - c),    C in units of the least compute;

clusters that do not extrapolate (a > 1, b > 0.1, 0 <= c < 1, and here besides: whose rate rose by ``rise``, since
nothing bounds a curve that never left its floor) are set aside; and the score of the kept items is mapped to the score
of all by a monotone curve through (0, 0), the models whose full scores are known, and (1, 1). The paper smooths that
curve by splines; here it is isotonic and piecewise linear.

Inputs: one row per model and item: columns compute and item (a number), the outcome a pass rate. Cost: O(items^2
rungs). Traps: a cluster that is made by the rates it is then fitted to looks better than it is, so of ``LADDER`` sizes
or more every other one makes the clusters (fewer would hold too little of a curve to cluster by); kept items are easier
than the whole, so their own score must never be published as the benchmark's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from ..core import Card, Law, Prediction, Runs, Settings
from ..errors import DataError
from .curve import bounded_exp, minimise
from .items import clusters, isotonic

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
LADDER = 8
"""Sizes of models from which on half of them make the clusters."""
LIMIT = 14.0
"""a, b and c are at most exp of this, a million: items that emerge late on a long ladder need an a of thousands, and
without a bound those that only the last rung solves would get a step for a curve."""


def fit_cluster(compute: Floats, rate: Floats, guess: float) -> Floats:
    """a, b, c of one cluster's curve, none above exp(``LIMIT``); ``compute`` in units of the least."""
    logs = np.log(compute)

    def value(theta: Any) -> Any:
        a, b, c = (bounded_exp(theta[:, at : at + 1], LIMIT) for at in range(3))
        return guess + (1 - guess) * bounded_exp(-a * bounded_exp(-b * logs) - c)

    grid = [[np.log(a), np.log(b), np.log(c)] for a in (0.3, 1, 3, 10) for b in (0.05, 0.2, 0.6) for c in (0.01, 0.3)]
    starts = np.array(grid)
    theta, reached = minimise(value, starts, rate, np.ones((len(starts), len(rate))), delta=0.05)
    return bounded_exp(theta[int(reached.argmin())], LIMIT)


@dataclass(frozen=True)
class Difficulty(Prediction):
    """Curves of the clusters that extrapolate, and the map from their score to that of all items."""

    items: Floats
    label: Ints
    curves: Floats
    kept: npt.NDArray[np.bool_]
    unit: float
    guess: float
    anchors: tuple[Floats, Floats]
    parameters: Mapping[str, Any]

    def at(self, settings: Settings) -> Floats:
        """Pass rates of items, NaN for items in no cluster that extrapolates; the score where no item is named."""
        every = np.isnan(settings.values["item"])
        if every.any():
            of_items = self.at(settings.take(~every)) if not every.all() else np.empty(0)
            found = self.score(settings.values["compute"])
            found[~every] = of_items
            return found
        if not self.kept.any():
            return np.full(len(settings), np.nan)
        place = np.minimum(np.searchsorted(self.items, settings.values["item"]), len(self.items) - 1)
        label = np.where(self.items[place] == settings.values["item"], self.label[place], -1)
        known = (label >= 0) & self.kept[label]
        return np.where(known, self._rate(settings.values["compute"], np.maximum(label, 0)), np.nan)

    def _rate(self, compute: Floats, label: Ints) -> Floats:
        a, b, c = self.curves[label].T
        return self.guess + (1 - self.guess) * np.exp(-a * (compute / self.unit) ** -b - c)

    def kept_score(self, compute: Floats) -> Floats:
        """The mean over items of kept clusters at each compute, float64, (n,); NaN without any."""
        if not self.kept.any():
            return np.full(len(compute), np.nan)
        weight = np.array([(self.label == at).sum() if self.kept[at] else 0 for at in range(len(self.curves))])
        rates = np.stack([self._rate(compute, np.full(len(compute), at)) for at in range(len(self.curves))])
        return weight @ rates / weight.sum()

    def score(self, compute: Floats) -> Floats:
        """The whole benchmark's predicted score at each compute, float64, (n,)."""
        return np.interp(self.kept_score(compute), *self.anchors)


@dataclass(frozen=True)
class ClusteringOnDifficulty(Law):
    """``radius``: of a cluster, per rung; ``least``: its fewest items; ``guess``: the score of guessing; ``half``:
    cluster on every other rung only [with ``LADDER`` or more]; ``rise``: how far a cluster's rate must have risen."""

    radius: float = 0.08
    least: int = 10
    guess: float = 0.0
    half: bool | None = None
    rise: float = 0.05

    left_out: ClassVar[str | None] = "compute"
    drawn: ClassVar[str | None] = "item"
    card: ClassVar[Card] = Card(
        summary="A benchmark's score at large compute, from clusters of items whose curves extrapolate.",
        family="law",
        needs=("compute", "item"),
        cost="hundredths of a second a fit for 200 items; clusters cost O(items^2)",
        bibtex="""@article{xu2025unveiling,
  title={Unveiling Downstream Performance Scaling of {LLMs}: A Clustering-Based Perspective},
  author={Xu, Chengyin and Chen, Kaiyuan and Li, Xiao and Shen, Ke and Li, Chenggang},
  journal={arXiv preprint arXiv:2502.17262},
  year={2025}
}""",
        evidence="simulated items: nearer to the truth than one curve on the mean",
        gives=("score",),
    )

    def numbers(self, sources: int) -> int:
        return 4

    def fit(self, runs: Runs) -> Difficulty:
        if len(np.unique(runs.settings.values["compute"])) < 4:
            raise DataError("Pass rates of models of four sizes or more are needed. Run more sizes of models.")
        found = self._fit(runs)
        if not found.kept.any():
            raise DataError("No cluster of items extrapolates. Run larger models, or more of them.")
        return found

    def refit(self, runs: Runs, counts: Ints, begin: Prediction | None = None) -> list[Prediction]:
        """Items drawn twice are two; fits without a cluster that extrapolates have no answers."""
        item, found = runs.settings.values["item"], []
        for row in counts:
            drawn = runs.take(np.repeat(np.arange(len(runs)), row))
            copy = np.concatenate([np.arange(n) for n in row])
            apart = {**drawn.settings.values, "item": drawn.settings.values["item"] + copy * (np.ptp(item) + 1)}
            found.append(self._fit(replace(drawn, settings=replace(drawn.settings, values=apart))))
        return list[Prediction](found)

    def _fit(self, runs: Runs) -> Difficulty:
        compute, inverse = np.unique(runs.settings.values["compute"], return_inverse=True)
        items, column = np.unique(runs.settings.values["item"], return_inverse=True)
        total, seen = np.zeros((len(items), len(compute))), np.zeros((len(items), len(compute)))
        np.add.at(total, (column, inverse), runs.outcome)
        np.add.at(seen, (column, inverse), 1)
        if (seen == 0).any():
            missing = int((seen == 0).any(1).sum())
            raise DataError(
                f"Every item needs a pass rate from every size of model; {missing:,} of {len(items):,} lack one. "
                "Leave those items out."
            )
        rate = total / seen
        half = len(compute) >= LADDER if self.half is None else self.half
        used = rate[:, ::2] if half else rate
        label = clusters(used, self.radius * np.sqrt(used.shape[1]), self.least)
        number = int(label.max()) + 1
        curves = np.array(
            [fit_cluster(compute / compute[0], rate[label == at].mean(0), self.guess) for at in range(number)]
        )
        rose = [rate[label == at].mean(0)[-1] - rate[label == at].mean(0)[0] >= self.rise for at in range(number)]
        kept = np.array(
            [up and a > 1 and b > 0.1 and 0 <= c < 1 for up, (a, b, c) in zip(rose, curves, strict=True)], bool
        )
        inside = np.isin(label, np.flatnonzero(kept))
        part = rate[inside].mean(0) if inside.any() else rate.mean(0)
        x, y = isotonic(np.append(part, [0.0, 1.0]), np.append(rate.mean(0), [0.0, 1.0]))
        told = {"clusters": number, "kept": int(kept.sum()), "items_kept": int(inside.sum()), "items": len(items)}
        told["rungs_clustered"] = used.shape[1]
        return Difficulty(items, label, curves, kept, float(compute[0]), self.guess, (x, y), told)
