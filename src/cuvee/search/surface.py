"""A regression of losses on any numbers of a run: ridge, or boosted trees as in QuaDMix and RegMix.

Ridge is fitted to standardised numbers and their squares; its penalty is the one of least error on runs left out
one at a time, which has a closed form. Where runs cannot tell the parts of many numbers, the penalty grows until little
but the mean is left. Trees are those of :mod:`cuvee.law.regmix`, with leaves of 20 from 120 runs on: what leaves other
numbers than shares need is not measured. Their intervals come from resampled trees, which all follow a smooth loss in
the same steps, so they are too narrow.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from ..core import Card, Law, Prediction, Runs, Settings
from ..law.regmix import RegMix, fit_trees

Floats = npt.NDArray[np.float64]
SHIFT = 1024.0
PENALTIES = np.geomspace(1e-3, 1e5, 33)


def columns(settings: Settings) -> Floats:
    """The parameters side by side, in the order of their names: float64, (n, parameters)."""
    return np.column_stack([settings.values[name] for name in sorted(settings.values)]) + SHIFT


def settings_of(points: Floats) -> Settings:
    """Points as laws see them, float64, (n, parameters); moved below 0, since guesses take logarithms above it."""
    values = {f"parameter {at:04}": column - SHIFT for at, column in enumerate(np.asarray(points, np.float64).T)}
    return Settings((), np.empty((len(points), 0)), values)


@dataclass(frozen=True)
class _Ridge(Prediction):
    centre: Floats
    scale: Floats
    weights: Floats
    mean: float
    parameters: Mapping[str, Any] = field(default_factory=dict)

    def at(self, settings: Settings) -> Floats:
        return np.asarray(self.mean + (_bent(columns(settings)) - self.centre) / self.scale @ self.weights)


@dataclass(frozen=True)
class _Trees(Prediction):
    booster: Any
    parameters: Mapping[str, Any]

    def at(self, settings: Settings) -> Floats:
        return np.asarray(self.booster.predict(columns(settings), num_threads=1), np.float64)


def _bent(x: Floats) -> Floats:
    return np.concatenate([x, x**2], axis=1)


@dataclass(frozen=True)
class Surface(Law):
    """``regmix``: its model ("linear" is ridge here), and what trees are fitted by."""

    regmix: RegMix

    card: ClassVar[Card] = RegMix.card

    def numbers(self, sources: int) -> int:
        return 1

    def fit(self, runs: Runs) -> Prediction:
        x, y = columns(runs.settings), runs.outcome
        if self.regmix.model == "lightgbm":
            leaf = self.regmix.leaf or (20 if len(y) >= 120 else 5 if len(y) >= 40 else 3)
            if len(y) < 20:
                booster = fit_trees(x, y, None, None, min(self.regmix.iterations, 300), self.regmix.rate, leaf)
            else:
                stop = np.argsort(np.argsort(y, kind="stable"), kind="stable") % 10 == 5
                parts = (x[~stop], y[~stop], x[stop], y[stop])
                booster = fit_trees(*parts, self.regmix.iterations, self.regmix.rate, leaf)
            return _Trees(booster, {"trees": int(booster.num_trees()), "leaf": leaf})
        x = _bent(x)
        centre, mean = x.mean(0), float(y.mean())
        spread = x.std(0)
        scale = np.where(spread > 1e-12, spread, np.inf)  # what did not vary says nothing
        left, size, right = np.linalg.svd((x - centre) / scale, full_matrices=False)
        told, best = left.T @ (y - mean), (np.inf, PENALTIES[-1])
        for penalty in PENALTIES:
            shrink = size**2 / (size**2 + penalty)
            hat = ((left**2) @ shrink) + 1 / len(y)
            missed = float(np.mean(((y - mean - left @ (shrink * told)) / np.maximum(1 - hat, 1e-6)) ** 2))
            best = min(best, (missed, float(penalty)))
        weights = right.T @ (size / (size**2 + best[1]) * told)
        return _Ridge(centre, scale, weights, mean, {"penalty": best[1]})
