"""Piecewise power law: how much more data an error needs, from learning curves that bend before they are straight.

Jain et al., "A Meta-Learning Approach to Predicting Performance and Data Requirements", CVPR 2023, arXiv 2303.01598.
With x = log n and the logarithm of the error, straight beyond a switch x_s and quadratic before it, smooth between,

    log err = u + v (x - x_s) + q (x - x_s)^2 [x < x_s].

From five points or fewer x_s and q are not identified. The paper predicts them by a random forest trained on many known
curves; here :func:`from_similar` takes them from the known curves most like the given one (first and last slope, and
level), which needs no training and can be read. Without known curves the fit is regularised toward a plain power law.

Inputs: column samples; the outcome is an error above 0 (add 1 / (2 n_test) where it may be 0). Cost: milliseconds.
Traps: a prediction holds only to where its interval stays narrow: :func:`reach`; beyond, measure once more and refit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from ..core import Card, Law, Prediction, Runs, Settings
from ..errors import DataError

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class _Piecewise(Prediction):
    switch: float
    line: tuple[float, float, float]

    @property
    def parameters(self) -> Mapping[str, Any]:  # type: ignore[override]
        u, v, q = self.line
        return {"switch": float(np.exp(self.switch)), "u": u, "v": v, "q": q}

    def at(self, settings: Settings) -> Floats:
        return np.exp(_columns(np.log(settings.values["samples"]), self.switch) @ np.array(self.line))


def _columns(x: Floats, switch: float) -> Floats:
    z = x - switch
    return np.column_stack([np.ones(len(x)), z, np.minimum(z, 0.0) ** 2])


@dataclass(frozen=True)
class PiecewisePowerLaw(Law):
    """``switch``: samples at which the curve becomes straight, ``bend``: q before it; NaN fits them."""

    switch: float = float("nan")
    bend: float = float("nan")
    ridge: float = 1e-2

    card: ClassVar[Card] = Card(
        summary="An error by number of samples: bent at first, straight later, on logarithmic axes.",
        family="law",
        needs=("samples",),
        cost="milliseconds a fit",
        bibtex="""@inproceedings{jain2023meta,
  title={A Meta-Learning Approach to Predicting Performance and Data Requirements},
  author={Jain, Achin and Swaminathan, Gurumurthy and Favaro, Paolo and Yang, Hao and Ravichandran, Avinash and others},
  booktitle={IEEE/CVF Conference on Computer Vision and Pattern Recognition},
  year={2023}
}""",
        evidence="planted curves; similar curves instead of the paper's forest",
        gives=("error",),
    )

    def numbers(self, sources: int) -> int:
        return 2 + int(np.isnan(self.switch)) + int(np.isnan(self.bend))

    def fit(self, runs: Runs) -> Prediction:
        if (runs.outcome <= 0).any():
            raise DataError("An error is not above 0, and this law is of logarithms. Add 1 / (2 n) for n test items.")
        x, y = np.log(runs.settings.values["samples"]), np.log(runs.outcome)
        known = [np.log(self.switch)] if not np.isnan(self.switch) else np.linspace(x.min(), x.max() + 1.0, 60)
        best: tuple[float, _Piecewise] | None = None
        for switch in known:
            design, target = _columns(x, float(switch)), y
            if not np.isnan(self.bend):
                target = y - self.bend * design[:, 2]
                design = design[:, :2]
                penalty = 0.0
            else:
                design = np.vstack([design, [0.0, 0.0, np.sqrt(self.ridge)]])
                target = np.append(y, 0.0)
                penalty = 1.0
            line = np.linalg.lstsq(design, target, rcond=None)[0]
            error = float(((design @ line - target) ** 2).sum())
            q = float(line[2]) if penalty else self.bend
            if best is None or error < best[0] - 1e-15:
                best = error, _Piecewise(float(switch), (float(line[0]), float(line[1]), q))
        assert best is not None
        return best[1]


def from_similar(runs: Runs, known: Sequence[Runs], neighbours: int = 5) -> PiecewisePowerLaw:
    """The law with switch and bend taken from the known curves that are most like the runs where both were measured."""
    mine = _shape(runs, None)
    limit = float(runs.settings.values["samples"].max())
    found = []
    for curve in known:
        fitted = PiecewisePowerLaw().fit(curve)
        assert isinstance(fitted, _Piecewise)
        found.append((float(((_shape(curve, limit) - mine) ** 2).sum()), fitted.switch, fitted.line[2]))
    nearest = sorted(found)[:neighbours]
    switch, bend = np.median([one[1] for one in nearest]), np.median([one[2] for one in nearest])
    return PiecewisePowerLaw(float(np.exp(switch)), float(bend))


def _shape(runs: Runs, limit: float | None) -> Floats:
    """First slope, last slope and last level of a curve, up to ``limit`` samples."""
    samples = runs.settings.values["samples"]
    rows = samples <= limit if limit is not None and (samples <= limit).sum() >= 3 else np.ones(len(runs), bool)
    order = np.argsort(samples[rows], kind="stable")
    x, y = np.log(samples[rows][order]), np.log(runs.outcome[rows][order])
    half = max(2, len(x) // 2)
    first, last = np.polyfit(x[:half], y[:half], 1), np.polyfit(x[-half:], y[-half:], 1)
    return np.array([first[0], last[0], 0.25 * y[-1]])


def reach(fits: Sequence[Prediction], begin: float, widest: float = 0.2, most: float = 1e4) -> float:
    """The most samples at which the fits' 90 % interval of the log error is no wider than ``widest``."""
    samples = np.geomspace(begin, begin * most, 200)
    logs = np.log(np.stack([one.at(Settings((), np.empty((200, 0)), {"samples": samples})) for one in fits]))
    low, high = np.quantile(logs, (0.05, 0.95), axis=0)
    wide = np.flatnonzero(high - low > widest)
    return float(samples[wide[0] - 1]) if len(wide) and wide[0] else float(begin if len(wide) else samples[-1])


def samples_needed(fitted: Prediction, error: float, begin: float, most: float = 1e6) -> float:
    """The fewest samples whose predicted error is at most ``error``; NaN if more than ``most`` times ``begin``."""
    samples = np.geomspace(begin, begin * most, 4_000)
    good = fitted.at(Settings((), np.empty((len(samples), 0)), {"samples": samples})) <= error
    return float(samples[int(good.argmax())]) if good.any() else float("nan")
