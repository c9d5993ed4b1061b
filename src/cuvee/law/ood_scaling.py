"""Scaling inside and outside the distribution: do losses on data unlike the training data fall as fast with size?

After Yao et al., "Towards Neural Scaling Laws for Time Series Foundation Models", ICLR 2025, arXiv 2410.12360, who find
power laws of the likelihood on both, and changes of architecture that help inside and cost scaling outside. Fitted
separately to the losses of the same runs on a set like the training data and on one that shares no source with it,

    L = E + (x_0 / x)^alpha,    x: parameters, tokens or compute;    E = 0 unless ``floor`` is true.

What is reported is alpha inside less alpha outside, with an interval over resampled runs, whose two losses stay
together. Percentiles of few runs are too narrow and are widened as Student's t is: of planted tables of 5 to 30 runs
95 to 99 of 100 intervals held the difference (unwidened: 88 to 92). So are the 90 % intervals of predictions: of 200
planted tables of 6 to 16 runs each 88 to 94 % held the loss (``bench/asking.py``). Least squares in logarithms.

Inputs: columns size and loss_inside; the outcome is the loss outside. Cost: less than a millisecond. Traps: where the
irreducible loss is not small, a fit without it gives too small an exponent; with it, few sizes do not tell E from
alpha; runs that differ in parameters and in tokens need ``joint_scaling``; a set that shares a generating source is not
outside.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from ..core import Card, Law, Prediction, Runs, Settings
from ..errors import DataError
from .judge import clusters, interval, resamples
from .moved import Moved, wider

Floats = npt.NDArray[np.float64]
GRID = 100
RESAMPLES = 1_000
LEVEL = 0.95


@dataclass(frozen=True)
class Power:
    """E + (x_0 / x)^alpha; NaN where the sizes could not tell."""

    alpha: float
    log_x0: float
    floor: float

    def at(self, size: Floats) -> Floats:
        return np.asarray(self.floor + np.exp(self.alpha * (self.log_x0 - np.log(size))))


@dataclass(frozen=True)
class TwoPowers(Prediction):
    """The power laws inside and outside; predicts the loss outside."""

    inside: Power
    outside: Power

    @property
    def difference(self) -> float:
        return self.inside.alpha - self.outside.alpha

    @property
    def parameters(self) -> Mapping[str, Any]:  # type: ignore[override]
        both = {"inside": self.inside, "outside": self.outside}
        found = {f"alpha_{name}": one.alpha for name, one in both.items()} | {"difference": self.difference}
        found |= {f"x0_{name}": float(np.exp(one.log_x0)) for name, one in both.items()}
        return found | {f"E_{name}": one.floor for name, one in both.items()}

    def at(self, settings: Settings) -> Floats:
        return self.outside.at(settings.values["size"])


@dataclass(frozen=True)
class OodScaling(Law):
    """``floor``: whether an irreducible loss is fitted to each."""

    floor: bool = False
    left_out: ClassVar[str | None] = "size"

    card: ClassVar[Card] = Card(
        summary="Whether losses outside the training distribution fall as fast with size as losses inside.",
        family="law",
        needs=("size", "loss_inside"),
        cost="less than a millisecond a fit",
        bibtex="""@inproceedings{yao2025towards,
  title={Towards Neural Scaling Laws for Time Series Foundation Models},
  author={Yao, Qingren and Yang, Chao-Han Huck and Jiang, Renhe and Liang, Yuxuan and Jin, Ming and Pan, Shirui},
  booktitle={International Conference on Learning Representations},
  year={2025}
}""",
        evidence="planted exponents recovered; intervals cover their difference",
        gives=("loss",),
    )

    def numbers(self, sources: int) -> int:
        return 3 if self.floor else 2

    def fit(self, runs: Runs) -> TwoPowers:
        size, inside = runs.settings.values["size"], runs.settings.values["loss_inside"]
        if min(size.min(), inside.min(), runs.outcome.min()) <= 0:
            raise DataError("ood_scaling: a size or a loss is not above 0. Leave that run out, or use another loss.")
        sizes, least = len(np.unique(size)), self.numbers(0) + 1
        if sizes < least:
            raise DataError(f"ood_scaling: {sizes} different sizes cannot tell an exponent. Give at least {least}.")
        return self._both(runs, np.ones(len(runs)))

    def refit(self, runs: Runs, counts: npt.NDArray[np.int64], begin: Prediction | None = None) -> list[Prediction]:
        found: list[Prediction] = [self._both(runs, row.astype(np.float64)) for row in counts]
        return found if begin is None else [Moved(begin, one, self._wider(runs)) for one in found]

    def _wider(self, runs: Runs, level: float = 0.9) -> float:
        """Percentiles of few runs are too narrow: those of so many numbers fitted to them, as Student's t says."""
        return wider(max(clusters(runs)[0], 3), self.numbers(0), level)

    def between(self, runs: Runs, fitted: TwoPowers) -> tuple[float, float]:
        """The 95 % interval of the difference of exponents; two sets of runs are taken as three."""
        again = [self._both(runs, row.astype(np.float64)).difference for row in resamples(runs, RESAMPLES, 0)]
        low, high = fitted.difference + self._wider(runs, LEVEL) * (
            np.array(interval(np.array(again), LEVEL)) - fitted.difference
        )
        return float(low), float(high)

    def _both(self, runs: Runs, weight: Floats) -> TwoPowers:
        x = np.log(runs.settings.values["size"])
        losses = (runs.settings.values["loss_inside"], runs.outcome)
        return TwoPowers(*(_power(x, y, weight, self.floor) for y in losses))

    def remarks(self, runs: Runs, fitted: Prediction) -> list[str]:
        assert isinstance(fitted, TwoPowers)
        low, high = self.between(runs, fitted)
        said = "losses outside fall more slowly" if low > 0 else "losses outside fall faster"
        said = "no difference is shown" if low <= 0 <= high else said
        found = [
            f"Exponents: {fitted.inside.alpha:.3g} inside, {fitted.outside.alpha:.3g} outside; difference "
            f"{fitted.difference:+.3g} [{low:+.3g}, {high:+.3g}], {100 * LEVEL:.0f} % over runs: {said}."
        ]
        size = runs.settings.values["size"]
        if size.max() < 10 * size.min():
            found.append("Sizes vary less than tenfold, which tells little of an exponent.")
        return found


def _power(x: Floats, y: Floats, weight: Floats, floored: bool) -> Power:
    """Least squares of log(y - E) on x; E is 0 or, of 100 values below the least y, the best by squared error."""
    used = weight > 0
    x, y, weight = x[used], y[used], weight[used] / weight[used].sum()
    centred = x - weight @ x
    if len(np.unique(x)) < (3 if floored else 2):
        return Power(np.nan, np.nan, np.nan)
    floor = np.linspace(0.0, float(y.min()), GRID + 1)[:-1] if floored else np.zeros(1)
    logs = np.log(y - floor[:, None])
    slope = logs @ (weight * centred) / (weight @ centred**2)
    level = logs @ weight - slope * float(weight @ (x - centred))
    error = (floor[:, None] + np.exp(level[:, None] + slope[:, None] * x) - y) ** 2 @ weight
    alpha, high, low = (float(one[int(error.argmin())]) for one in (-slope, level, floor))
    return Power(alpha, high / alpha if alpha else np.nan, low)
