"""Boosting of laws that are formulas: AdaBoost.R2, for many resamples at once.

Drucker, "Improving Regressors using Boosting Techniques", ICML 1997. Runs begin with equal weights w. Each fit is
made to the runs by their weights; with e_i = |residual_i| / max |residual|, and their mean m = sum_i w_i e_i,

    beta = m / (1 - m),    w_i <- w_i beta^(1 - e_i) / Z,    vote = log(1 / beta),

so that runs which were missed weigh more in the next fit. It ends early where m is 1/2 or more, or nothing is missed.
The answer at a mixture is the median of all fits there, weighted by their votes.

Weights enter the fit itself; drawing runs by them, as scikit-learn and the release of data mixing laws do, would add
chance. A boosted fit is a :class:`cuvee.law.curve.Curve` whose parameters are the votes and those of all fits, so that
predictions, slopes and descent are those of any formula. At a mixture its slope is that of the fit that is the median.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..core import Prediction, Runs, Settings
from .curve import Curve, CurveLaw, Floats, Numbers, slopes

CERTAIN = 1e-12
"""The least mean error by which a fit votes: one that misses nothing would outvote all others for ever."""


@dataclass(frozen=True)
class Boosted(CurveLaw):
    """The weighted median of ``boosts`` fits of a law. Parameters, (b, boosts (1 + p)): votes, then each fit's."""

    law: CurveLaw
    boosts: int

    def numbers(self, sources: int) -> int:
        return self.law.numbers(sources)

    def starts(self, runs: Runs) -> Floats:
        raise TypeError("a boosted law is fitted by boosted()")

    def value(self, theta: Numbers, settings: Settings) -> Numbers:
        every = self._every(theta, settings)
        return np.take_along_axis(every, self._median(theta, every)[:, None], 1)[:, 0]

    def by_share(self, theta: Floats, settings: Settings) -> Floats:
        at = self._median(theta, self._every(theta, settings))
        each = slopes(self.law, self._members(theta), _repeated(settings, self.boosts))
        each = each.reshape(len(theta), self.boosts, *each.shape[1:])
        return np.take_along_axis(each, at[:, None, :, None], 1)[:, 0]

    def named(self, theta: Floats, sources: tuple[str, ...]) -> dict[str, Any]:
        votes, members = theta[: self.boosts], self._members(theta[None])
        first = self.law.named(members[int(votes.argmax())], sources)
        return {"fits": int((votes > 0).sum()), "of the fit with most votes": first}

    def _members(self, theta: Numbers) -> Numbers:
        """Every fit's own parameters: (b boosts, p)."""
        return theta[:, self.boosts :].reshape(len(theta) * self.boosts, -1)

    def _every(self, theta: Numbers, settings: Settings) -> Numbers:
        """What every fit says: (b, boosts, n)."""
        found = self.law.value(self._members(theta), _repeated(settings, self.boosts))
        return found.reshape(len(theta), self.boosts, -1)

    def _median(self, theta: Numbers, every: Numbers) -> npt.NDArray[np.int64]:
        """Which fit is the median at each mixture: int64, (b, n)."""
        order = np.argsort(every.real, axis=1, kind="stable")
        votes = np.take_along_axis(np.broadcast_to(theta[:, : self.boosts, None].real, every.shape), order, 1)
        passed = np.cumsum(votes, axis=1) >= 0.5 * votes.sum(1, keepdims=True)
        return np.asarray(np.take_along_axis(order, passed.argmax(1)[:, None], 1)[:, 0])


def _repeated(settings: Settings, times: int) -> Settings:
    """Settings whose mixtures differ by row, (b, n, k), for so many fits of every row."""
    if settings.mixture.ndim == 2:
        return settings
    return Settings(settings.sources, np.repeat(settings.mixture, times, 0), dict(settings.values))


def boosted(law: CurveLaw, boosts: int, runs: Runs, counts: Floats, begin: Prediction | None = None) -> list[Curve]:
    """One boosted fit for each row of ``counts``, float64, (b, n): how often each run is in that resample.

    Args:
        begin: a boosted fit to all runs: each fit begins at its one of the same number.

    Cost: ``boosts`` times that of the law's own fits.
    """
    many, total = len(counts), counts.sum(1, keepdims=True)
    weight, open_rows = counts / total, np.ones(many, bool)
    votes, members, objective = np.zeros((many, boosts)), [], np.zeros(many)
    known = (
        begin.law._members(begin.theta[None]) if isinstance(begin, Curve) and isinstance(begin.law, Boosted) else None
    )
    fitted: list[Curve] = []
    for at in range(boosts):
        if open_rows.any():
            starts = law._begun(runs) if known is None else known[at : at + 1]
            fitted = law._curves(runs, total * weight, starts)
        theta = np.stack([one.theta for one in fitted])
        if at == 0:
            objective = np.array([one.objective for one in fitted])
        missed = np.abs(law.value(theta.astype(np.complex128), runs.settings).real - runs.outcome)
        missed = np.where(counts > 0, missed, 0.0)
        most = missed.max(1, keepdims=True)
        share = missed / np.where(most > 0, most, 1.0)
        mean = np.maximum((weight * share).sum(1), CERTAIN)
        good = open_rows & (mean < 0.5)
        beta = np.where(good, mean / (1.0 - np.minimum(mean, 0.5)), 1.0)
        votes[:, at] = -np.log(beta)
        if at == 0:
            votes[~good, 0] = 1.0
        members.append(theta)
        weight = weight * beta[:, None] ** (1.0 - share)
        weight /= weight.sum(1, keepdims=True)
        open_rows = good & (mean > CERTAIN)
    own = Boosted(law, boosts)
    stacked = np.concatenate([votes, np.stack(members, 1).reshape(many, -1)], axis=1)
    return [
        Curve(own, row, float(one), own.named(row, runs.settings.sources))
        for row, one in zip(stacked, objective, strict=True)
    ]
