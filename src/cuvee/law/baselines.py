"""What a law has to beat: the mean, a straight line in all columns, and the nearest run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from ..core import Card, Law, Prediction, Runs, Settings

Floats = npt.NDArray[np.float64]


def design(settings: Settings, logs: Mapping[str, float]) -> Floats:
    """Shares and other columns side by side, float64, (n, columns); those in ``logs`` by their logarithm.

    A 0 may be left out of the runs and then asked about: it stands where the least value above 0 was.
    """
    columns = [
        np.log(np.where(values > 0, values, logs[name])) if name in logs else values
        for name, values in sorted(settings.values.items())
    ]
    return np.column_stack([settings.mixture, *columns]) if columns else settings.mixture


def positive(settings: Settings) -> dict[str, float]:
    """The least values of the columns whose values are all above 0."""
    return {name: float(values.min()) for name, values in sorted(settings.values.items()) if (values > 0).all()}


@dataclass(frozen=True)
class Guess(Prediction):
    """A prediction from standardised columns; ``kind`` names which."""

    kind: str
    logs: Mapping[str, float]
    centre: Floats
    scale: Floats
    weights: Floats
    rows: Floats
    parameters: Mapping[str, Any]

    def at(self, settings: Settings) -> Floats:
        x = (design(settings, self.logs) - self.centre) / self.scale
        if self.kind == "nearest":
            nearest = ((x[:, None, :] - self.rows[None]) ** 2).sum(-1).argmin(1)
            return self.weights[nearest]
        return self.weights[0] + x @ self.weights[1:]

    def slope(self, settings: Settings) -> Floats | None:
        if self.kind == "nearest":
            return None
        shares = settings.mixture.shape[1]
        return np.tile(self.weights[1 : shares + 1] / self.scale[:shares], (len(settings), 1))


@dataclass(frozen=True)
class Baseline(Law):
    """``kind``: "mean", "linear" or "nearest"."""

    kind: str = "linear"

    card: ClassVar[Card] = Card("A guess to be beaten.", "law", (), "none", "", gives=("loss",))

    def numbers(self, sources: int) -> int:
        return 1

    def fit(self, runs: Runs) -> Prediction:
        logs = positive(runs.settings)
        x = design(runs.settings, logs)
        centre, scale = x.mean(0), np.maximum(x.std(0), 1e-12)
        x = (x - centre) / scale
        if self.kind == "mean":
            weights = np.append(runs.outcome.mean(), np.zeros(x.shape[1]))
        elif self.kind == "nearest":
            # the mean of the runs of a setting: seeds of one mixture are one neighbour
            _, first, inverse = np.unique(runs.group, return_index=True, return_inverse=True)
            means = np.bincount(inverse, weights=runs.outcome) / np.bincount(inverse)
            return Guess(self.kind, logs, centre, scale, means, x[first], {})
        else:  # a trace of ridge, since shares sum to one and columns may be constant
            centred = runs.outcome - runs.outcome.mean()
            solved = np.linalg.solve(x.T @ x + 1e-6 * len(x) * np.eye(x.shape[1]), x.T @ centred)
            weights = np.append(runs.outcome.mean(), solved)
        return Guess(self.kind, logs, centre, scale, weights, x[:0], {})


BASELINES = tuple((kind, Baseline(kind)) for kind in ("mean", "linear", "nearest"))
