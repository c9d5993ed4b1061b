"""Data mixing laws: each validation loss is an exponential of the mixture, and the best mixture follows.

Ye et al., "Data Mixing Laws: Optimizing Data Mixtures by Predicting Language Modeling Performance", ICLR 2025, arXiv
2403.16952. With shares r of k sources,

    L(r) = c + K exp(sum_j t_j r_j),

one fit for every validation loss; a weighted sum of them is convex in r. Residuals count by Huber's loss (the release:
``delta`` 0.02 for two sources, 0.05 for five). Since shares sum to one, adding a to every t and dividing K by exp(a)
changes nothing: parameters are given with the last t at 0, and only predictions should be compared. The release keeps
the restart that is best on its test mixtures; here it is the best on the mixtures fitted.

For one share alone, :func:`one_proportion` is the paper's shortcut, and :func:`critical_share` the largest share of new
data at which a general loss stays below a bound.

Inputs: mixtures and one loss; about four runs a source. Cost: hundredths of a second a fit. Traps: losses at different
token counts do not belong into one fit (``nested_mixing`` brings them together); c and K trade off where losses vary
little; nothing is known beyond the mixtures measured, and the optimum often lies there: a share of 0 costs no more than
the exponential says, so some runs should leave sources out, or the proposal be held back (``olmix``, ``caution``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from ..core import Card, Runs, Settings
from ..errors import UsageError
from .curve import CurveLaw, Floats, Numbers, bounded_exp, dot, huber


@dataclass(frozen=True)
class DataMixingLaws(CurveLaw):
    """``delta``: where residuals begin to count linearly, in nats; ``restarts``: starts of the fit."""

    delta: float = 0.05
    restarts: int = 48

    card: ClassVar[Card] = Card(
        summary="A loss is a constant plus an exponential of the shares; the best mixture is convex to find.",
        family="law",
        needs=("mixture",),
        cost="hundredths of a second a fit; about four runs a source",
        bibtex="""@inproceedings{ye2025data,
  title={Data Mixing Laws: Optimizing Data Mixtures by Predicting Language Modeling Performance},
  author={Ye, Jiasheng and Liu, Peiju and Sun, Tianxiang and Zhan, Jun and Zhou, Yunhua and Qiu, Xipeng},
  booktitle={International Conference on Learning Representations},
  year={2025}
}""",
        evidence="oracle: the release's fits, 3 and 5 sources; planted parameters recovered; "
        "claim: direction only (8 seeds): it predicts, but its optimum is no better than proportional",
        gives=("loss",),
    )

    def numbers(self, sources: int) -> int:
        return sources + 1

    def value(self, theta: Numbers, settings: Settings) -> Numbers:
        return bounded_exp(theta[:, :1]) + bounded_exp(theta[:, 1:2] + dot(settings.mixture, theta[:, 2:]))

    def starts(self, runs: Runs) -> Floats:
        random = np.random.default_rng(0)
        low, high = float(runs.outcome.min()), float(runs.outcome.max())
        k = runs.settings.mixture.shape[1]
        floor = max(low, 1e-6) * random.uniform(0.05, 0.999, self.restarts)
        scale = np.maximum(high - floor, 1e-6) * random.uniform(0.3, 3.0, self.restarts)
        tilt = random.normal(size=(self.restarts, k)) * random.uniform(0.2, 3.0, (self.restarts, 1))
        return np.column_stack([np.log(floor), np.log(scale), tilt])

    def named(self, theta: Floats, sources: tuple[str, ...]) -> dict[str, Any]:
        t = dict(zip(sources, (theta[2:] - theta[-1]).tolist(), strict=True))
        return {"c": float(np.exp(theta[0])), "k": float(np.exp(theta[1] + theta[-1])), "t": t}


def one_proportion(share: Floats, loss: Floats, delta: float = 0.02, grid: int = 1_000) -> tuple[float, float, float]:
    """c, slope and intercept of log(L - c) = slope share + intercept: c by correlation on a grid, then a Huber line.

    Args:
        share, loss: float64, (n,), at least three runs of different shares.
    """
    if len(np.unique(share)) < 3:
        raise UsageError("One share's curve needs runs at three different shares or more.")
    candidates = np.linspace(0.0, float(loss.min()), grid)[:-1]
    logs = np.log(loss[None, :] - candidates[:, None])
    centred = logs - logs.mean(1, keepdims=True)
    x = share - share.mean()
    correlation = np.abs(centred @ x) / np.maximum(np.sqrt((centred**2).sum(1) * (x @ x)), 1e-300)
    c = float(candidates[int(correlation.argmax())])
    y = np.log(loss - c)
    design = np.column_stack([share, np.ones(len(share))])
    line = np.linalg.lstsq(design, y, rcond=None)[0]
    for _ in range(200):
        residual = design @ line - y
        weight = np.minimum(1.0, delta / np.maximum(np.abs(residual), 1e-300))
        again = np.linalg.solve(design.T @ (weight[:, None] * design), design.T @ (weight * y))
        if huber(design @ again - y, delta).sum() >= huber(residual, delta).sum() * (1 - 1e-14):
            break
        line = again
    return c, float(line[0]), float(line[1])


def critical_share(c: float, slope: float, intercept: float, bound: float) -> float:
    """The largest share at which the curve of :func:`one_proportion` is within ``bound``; NaN if it nowhere is.

    Shares are from 0 to 1, so 1 where the curve never reaches the bound. Of a curve that falls, the least such share.
    """
    if slope == 0:
        return 1.0 if c + np.exp(intercept) <= bound else float("nan")
    if not bound > c:
        return float("nan")
    share = float((np.log(bound - c) - intercept) / slope)
    if slope > 0:
        return min(share, 1.0) if share >= 0 else float("nan")
    return max(share, 0.0) if share <= 1 else float("nan")
