"""Loss-to-loss prediction: a loss on one data set or task from a loss on another, by a shifted power law.

Brandfonbrener et al., "Loss-to-Loss Prediction: Scaling Laws for All Datasets", 2024, arXiv 2411.12925:

    L_b = K (L_a - E_a)^kappa + E_b,

for pairs of models of equal size and tokens on two training sets, or for one model's losses on two sets. With E_a and
E_b known (from ``joint_scaling``) it is a line in logarithms, by least squares; with E_a alone, bounded least squares;
with neither, a grid of 100 x 100 values below the least losses, by squared error.

Inputs: column loss_a; the outcome is loss_b. Cost: milliseconds. Traps: with 0.3 % noise E_a and E_b together are not
identified (predictions between the runs still hold); losses at or below E_a have no prediction (NaN); models must be
paired by size and tokens, not by compute alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from ..core import Card, Law, Prediction, Runs, Settings
from ..errors import DataError, UsageError
from .curve import minimise

Floats = npt.NDArray[np.float64]
GRID = 100


@dataclass(frozen=True)
class ShiftedPower(Prediction):
    """A fitted shifted power law."""

    kappa: float
    factor: float
    floor_a: float
    floor_b: float

    @property
    def parameters(self) -> Mapping[str, Any]:  # type: ignore[override]
        return {"kappa": self.kappa, "K": self.factor, "E_a": self.floor_a, "E_b": self.floor_b}

    def at(self, settings: Settings) -> Floats:
        above = settings.values["loss_a"] - self.floor_a
        reached = np.power(np.maximum(above, 1e-300), self.kappa)
        return np.where(above > 0, self.factor * reached + self.floor_b, np.nan)


def translated(law: Mapping[str, float], power: ShiftedPower) -> dict[str, float]:
    """The parameters of ``joint_scaling`` (form "kaplan") on set b from those on set a: E, A, B, alpha, beta."""
    kappa, factor = power.kappa, power.factor
    return {
        "E": power.floor_b,
        "A": law["A"] * factor ** (1 / (kappa * law["alpha"])),
        "B": law["B"] * factor ** (1 / (kappa * law["beta"])),
        "alpha": kappa * law["alpha"],
        "beta": kappa * law["beta"],
    }


@dataclass(frozen=True)
class LossToLoss(Law):
    """``floor_a``, ``floor_b``: the irreducible losses; NaN fits them."""

    floor_a: float = float("nan")
    floor_b: float = float("nan")

    card: ClassVar[Card] = Card(
        summary="A loss from another loss, by a shifted power law.",
        family="law",
        needs=("loss_a",),
        cost="milliseconds a fit",
        bibtex="""@article{brandfonbrener2024loss,
  title={Loss-to-Loss Prediction: Scaling Laws for All Datasets},
  author={Brandfonbrener, David and Anand, Nikhil and Vyas, Nikhil and Malach, Eran and Kakade, Sham},
  journal={arXiv preprint arXiv:2411.12925},
  year={2024}
}""",
        evidence="oracle: the release's three fits, with and without noise",
        gives=("loss",),
    )

    def __post_init__(self) -> None:
        if np.isnan(self.floor_a) and not np.isnan(self.floor_b):
            raise UsageError("loss_to_loss: floor_b alone is no case of the paper. Give floor_a too, or neither.")

    def numbers(self, sources: int) -> int:
        return 2 + int(np.isnan(self.floor_a)) + int(np.isnan(self.floor_b))

    def fit(self, runs: Runs) -> ShiftedPower:
        x, y = runs.settings.values["loss_a"], runs.outcome
        if not np.isnan(self.floor_b):
            return _line(x, y, self.floor_a, self.floor_b)
        if not np.isnan(self.floor_a):
            return _one_floor(x, y, self.floor_a)
        return _two_floors(x, y)

    def remarks(self, runs: Runs, fitted: Prediction) -> list[str]:
        if not np.isnan(self.floor_a):
            return []
        return [
            "With both irreducible losses free, neither is identified: predictions hold between the runs, not beyond."
        ]


def _line(x: Floats, y: Floats, floor_a: float, floor_b: float) -> ShiftedPower:
    if x.min() <= floor_a or y.min() <= floor_b:
        raise DataError("A loss lies at or below its irreducible loss. Give smaller floors, or leave that run out.")
    kappa, level = np.polyfit(np.log(x - floor_a), np.log(y - floor_b), 1)
    return ShiftedPower(float(kappa), float(np.exp(level)), floor_a, floor_b)


def _one_floor(x: Floats, y: Floats, floor_a: float) -> ShiftedPower:
    if x.min() <= floor_a:
        raise DataError("A loss lies at or below its irreducible loss. Give a smaller floor_a, or leave that run out.")
    logs, least = np.log(x - floor_a), float(y.min())

    def value(theta: Any) -> Any:  # log kappa, log K, and E_b as a share of the least loss
        share = least / (1 + np.exp(-theta[:, 2:3]))
        return np.exp(theta[:, 1:2] + np.exp(theta[:, :1]) * logs) + share

    starts = []
    for share in (0.1, 0.3, 0.5, 0.7, 0.85, 0.95, 0.99):
        line = np.polyfit(logs, np.log(y - share * least), 1)
        starts.append([np.log(max(float(line[0]), 1e-3)), float(line[1]), np.log(share / (1 - share))])
    begin = np.array(starts)
    theta, reached = minimise(value, begin, y, np.ones((len(begin), len(y))), delta=1e9)
    kappa, factor, share = theta[int(reached.argmin())]
    return ShiftedPower(float(np.exp(kappa)), float(np.exp(factor)), floor_a, float(least / (1 + np.exp(-share))))


def _two_floors(x: Floats, y: Floats) -> ShiftedPower:
    first, second = (np.linspace(0.0, float(values.min()), GRID)[:-1] for values in (x, y))
    u, v = np.log(x[None] - first[:, None]), np.log(y[None] - second[:, None])
    uc, vc = u - u.mean(1, keepdims=True), v - v.mean(1, keepdims=True)
    kappa = (uc @ vc.T) / (uc**2).sum(1)[:, None]
    level = v.mean(1)[None] - kappa * u.mean(1)[:, None]
    error = np.empty_like(kappa)
    for at in range(len(first)):
        reached = np.exp(level[at][:, None] + kappa[at][:, None] * u[at][None]) + second[:, None]
        error[at] = ((reached - y) ** 2).sum(1)
    a, b = np.unravel_index(int(error.argmin()), error.shape)
    return ShiftedPower(float(kappa[a, b]), float(np.exp(level[a, b])), float(first[a]), float(second[b]))
