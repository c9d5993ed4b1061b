"""Projektor: performance from mixture ratios and an optimal-transport distance, projected to larger sizes.

Kang et al., "Performance Scaling via Optimal Transport: Enabling Data Selection from Partially Revealed Sources",
NeurIPS 2023, arXiv 2307.02460. At each size performance is linear in the distance OT between the mixture and validation
data,

    V(p, OT) = a_0 + a_1 OT + sum_j b_j p_j + sum_j (c_j p_j + d_j p_j^2) OT,    j over all sources but the last,

by least squares, and between sizes linear in the logarithm: V(N) from N_0 < N_1.

The mixture itself is chosen by climbing V along the slopes of OT (:func:`cuvee.law.transported.choose`); ``cuvee mix
transport`` measures the distances of runs, fits, judges and climbs.

Inputs: mixtures, columns distance (as :func:`distance` or any other gives it, the same for all rows) and samples; the
outcome is a performance of which more is better, at two sizes or more (the two largest are used). Cost: least squares.
Traps: the line in log size knows no bound, so accuracies are cut at one; beyond ten times the larger size it is a
guess; entropic distances are biased, which is why the Sinkhorn divergence is taken; the distance costs O(n^2): use one
or two thousand rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from ..core import Card, Law, Prediction, Runs, Settings
from ..errors import DataError, UsageError

Floats = npt.NDArray[np.float64]


def features(mixture: Floats, distance: Floats) -> Floats:
    """The regression's columns: float64, (n, 3 k - 1) for k sources."""
    p = mixture[:, :-1]
    ot = distance[:, None]
    return np.column_stack([np.ones(len(p)), ot, p, p * ot, p**2 * ot])


def project(small: Floats, large: Floats, size: Floats, small_size: float, large_size: float) -> Floats:
    """Performance at ``size`` from those at two sizes; exact where it is a + b log N."""
    lean = np.log(size / small_size) / np.log(large_size / small_size)
    return small + lean * (large - small)


@dataclass(frozen=True)
class Projected(Prediction):
    """Fitted weights of :func:`features` at one or two sizes."""

    sizes: tuple[float, ...]
    weights: tuple[Floats, ...]
    parameters: Mapping[str, Any]
    most: float = np.inf

    def at(self, settings: Settings) -> Floats:
        x = features(settings.mixture, settings.values["distance"])
        found = [x @ weight for weight in self.weights]
        every = found[0]
        if len(found) > 1:
            every = project(found[0], found[1], settings.values["samples"], *self.sizes)
        return every if np.isinf(self.most) else np.clip(every, 0.0, self.most)

    def slopes(self, settings: Settings) -> tuple[Floats, Floats]:
        """Derivatives by each share at a fixed distance, float64, (n, k), and by the distance, (n,)."""
        p, ot = settings.mixture[:, :-1], settings.values["distance"][:, None]
        found = []
        for weight in self.weights:
            by_p, by_product, by_square = weight[2:].reshape(3, -1)
            by_share = np.column_stack([by_p + (by_product + 2 * by_square * p) * ot, np.zeros(len(p))])
            found.append(np.column_stack([by_share, weight[1] + p @ by_product + p**2 @ by_square]))
        every = found[0]
        if len(found) > 1:
            every = project(found[0], found[1], settings.values["samples"][:, None], *self.sizes)
        return every[:, :-1], every[:, -1]


@dataclass(frozen=True)
class Projektor(Law):
    """Least squares at two sizes, and a line in log size between them. ``most``: the best a performance can be, 0 the
    worst; infinity for no bounds [1 if all outcomes lie between 0 and 1, as accuracies do; else no bounds]."""

    most: float = float("nan")

    left_out: ClassVar[str | None] = "mixture"
    drawn: ClassVar[str | None] = "mixture"
    card: ClassVar[Card] = Card(
        summary="Performance from the mixture and its transport distance to validation data, by size.",
        family="law",
        needs=("mixture", "distance", "samples"),
        cost="least squares; the distances cost O(n^2) each",
        bibtex="""@inproceedings{kang2023performance,
  title={Performance Scaling via Optimal Transport: Enabling Data Selection from Partially Revealed Sources},
  author={Kang, Feiyang and Just, Hoang Anh and Sahu, Anit Kumar and Jia, Ruoxi},
  booktitle={Advances in Neural Information Processing Systems},
  year={2023}
}""",
        evidence="oracle: the release's regression and projection, 66 mixtures at two sizes, to 1e-8",
        gives=("performance",),
    )

    def __post_init__(self) -> None:
        if self.most <= 0:
            raise UsageError(f"projektor: most must be above 0, not {self.most:g}.")

    def numbers(self, sources: int) -> int:
        return 3 * sources - 1

    def fit(self, runs: Runs) -> Prediction:
        samples = runs.settings.values["samples"]
        sizes = np.unique(samples)[-2:]
        weights = []
        for size in sizes:
            rows = samples == size
            x = features(runs.settings.mixture[rows], runs.settings.values["distance"][rows])
            if len(np.unique(runs.group[rows])) < x.shape[1]:
                raise DataError(
                    f"projektor needs {x.shape[1]} different mixtures at each of two sizes; "
                    f"{len(np.unique(runs.group[rows]))} were run with {size:,.0f} samples."
                )
            weights.append(np.linalg.lstsq(x, runs.outcome[rows], rcond=None)[0])
        told = {f"{size:g}": weight.tolist() for size, weight in zip(sizes, weights, strict=True)}
        most = self.most
        if np.isnan(most):
            most = 1.0 if runs.outcome.min() >= 0.0 and runs.outcome.max() <= 1.0 else np.inf
        return Projected(tuple(sizes.tolist()), tuple(weights), {"weights": told}, most)

    def refit(self, runs: Runs, counts: npt.NDArray[np.int64], begin: Prediction | None = None) -> list[Prediction]:
        found: list[Prediction] = []
        for row in counts:
            try:
                found.append(self.fit(runs.take(np.repeat(np.arange(len(runs)), row))))
            except DataError:
                found.append(Unknown())
        return found


@dataclass(frozen=True)
class Unknown(Prediction):
    """What is said by resamples of too few different mixtures: nothing."""

    parameters: Mapping[str, Any] = field(default_factory=dict)

    def at(self, settings: Settings) -> Floats:
        return np.full(len(settings), np.nan)


def distance(left: Floats, right: Floats, blur: float = 0.05, steps: int = 500) -> float:
    """The Sinkhorn divergence between two samples under squared Euclidean cost: 0 for equal ones.

    Args:
        left, right: float64, (n, d) and (m, d). blur: entropy, as a share of the mean cost between the samples.
    """
    scale = blur * float(_cost(left, right).mean())
    return _entropic(left, right, scale, steps) - 0.5 * (
        _entropic(left, left, scale, steps) + _entropic(right, right, scale, steps)
    )


def _cost(left: Floats, right: Floats) -> Floats:
    return np.maximum((left**2).sum(1)[:, None] + (right**2).sum(1)[None] - 2 * left @ right.T, 0.0)


def _entropic(left: Floats, right: Floats, scale: float, steps: int) -> float:
    if scale <= 0:
        return 0.0
    cost = _cost(left, right) / scale
    f, g = np.zeros(len(left)), np.zeros(len(right))
    for _ in range(steps):
        again = -_softmean(g[None] - cost)
        g = -_softmean((again[:, None] - cost).T)
        if np.abs(again - f).max() < 1e-9:
            f = again
            break
        f = again
    return scale * float(f.mean() + g.mean())


def _softmean(x: Floats) -> Floats:
    top = x.max(1, keepdims=True)
    return (top + np.log(np.exp(x - top).mean(1, keepdims=True)))[:, 0]
