"""Surfaces that a Gaussian process takes for possible: draws of its posterior, parameters included.

See :mod:`cuvee.law.gaussian_process`. A draw is a surface of the prior, moved by what the runs say against it (Wilson
et al., "Efficiently Sampling Functions from Gaussian Process Posteriors", ICML 2020, equation 8: Matheron's rule), with
``FEATURES`` random cosines for the prior (Rahimi and Recht, "Random Features for Large-Scale Kernel Machines", 2007):

    draw(x) = f(x) + k(x) K^-1 (y - f(X) - e),    f(x) = (2 C / m)^(1/2) sum_j w_j cos(x . v_j / l + b_j),

w and v standard normal, b uniform, e of variance s^2. C, l and s^2 of each draw are drawn, too, from their posterior
under a uniform prior on logarithms within the bounds: ``CANDIDATES`` of Student's distribution about their maximum are
weighted by likelihood over density, and drawn again by weight. With one value of them for all draws, intervals are too
narrow.

:mod:`cuvee.law.surfaces` draws of another process, for laws that have no intervals of their own.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from ..core import Prediction, Settings
from .marginal import BOUNDS, likelihood, log_likelihood, squares
from .propose import Question, descend, random_mixtures, weighted

Floats = npt.NDArray[np.float64]
FEATURES = 512
CANDIDATES = 400
FREEDOM, WIDE = 4.0, 2.0
"""Of the distribution that candidates come from: degrees of freedom, and its scale beside Fisher's information."""
STARTS, STEPS = 2_000, 150
"""Random mixtures that descent begins from the best of, and its steps."""
_AT_ONCE = 512
"""Mixtures whose cosines are made together, so that they stay near the processor."""


@dataclass(frozen=True)
class Draw(Prediction):
    """One surface of the posterior.

    Attributes:
        length, height: l and (2 C / m)^(1/2). rows: float64, (n, k): the runs' mixtures. told: float64, (n,): C times
            K^-1 (y - f(X) - e). wave, shift, weight: float64, (m, k), (m,) and (m,): v / l, b and w.
        mean, scale: of the outcomes, which the process sees less their mean and over their standard deviation.
    """

    length: float
    height: float
    rows: Floats
    told: Floats
    wave: Floats
    shift: Floats
    weight: Floats
    mean: float
    scale: float
    parameters: Mapping[str, Any]

    posterior: ClassVar[bool] = True

    def at(self, settings: Settings) -> Floats:
        return np.asarray(self.mean + self.scale * self._value(settings.mixture))

    def slope(self, settings: Settings) -> Floats:
        return np.asarray(self.scale * self._slope(settings.mixture))

    def exact(self) -> Draw:
        """The same with all digits, as descent needs."""
        return self

    def _value(self, u: Floats, kind: Any = np.float64) -> Floats:
        """The surface in units of ``scale``: float64, (n,). ``kind``: of the cosines."""
        free = np.empty(len(u))
        wave, shift, weight = (one.astype(kind) for one in (self.wave.T, self.shift, self.weight))
        for begin in range(0, len(u), _AT_ONCE):
            phase = u[begin : begin + _AT_ONCE].astype(kind) @ wave
            phase += shift
            free[begin : begin + _AT_ONCE] = np.cos(phase, out=phase) @ weight
        return np.asarray(self.height * free + self._near(u))  # large terms cancel in the second

    def _near(self, u: Floats) -> Floats:
        """What the runs say: float64, (n,)."""
        rows, found = self.rows / self.length, np.empty(len(u))
        half = (rows**2).sum(1) / 2
        for begin in range(0, len(u), _AT_ONCE):
            some = u[begin : begin + _AT_ONCE] / self.length
            apart = some @ rows.T
            apart -= half
            apart -= (some**2).sum(1, keepdims=True) / 2
            found[begin : begin + _AT_ONCE] = np.exp(apart, out=apart) @ self.told
        return found

    def _slope(self, u: Floats) -> Floats:
        """Of :meth:`_value` by each number of u: float64, (n, k)."""
        free = -self.height * (np.sin(u @ self.wave.T + self.shift) * self.weight) @ self.wave
        pull = np.exp(-0.5 * squares(u, self.rows) / self.length**2) * self.told
        return np.asarray(free + (pull @ self.rows - pull.sum(1, keepdims=True) * u) / self.length**2)


def draws(theta: Floats, rows: Floats, outcome: Floats, mean: float, scale: float, count: int, seed: int) -> list[Draw]:
    """``count`` surfaces of a plain process's posterior, whatever the order of the runs.

    Args:
        theta: float64, (3,): logarithms of C, l and s^2. rows: float64, (n, k). outcome: float64, (n,).
        mean, scale: what the process sees outcomes less, and over.
    """
    order = np.lexsort((outcome, *rows.T))
    rows, outcome = rows[order], outcome[order]
    y, far = (outcome - mean) / scale, squares(rows, rows)
    random = generator(seed, y)
    thetas = parameters(random, theta, far, y, count)
    return [_draw(random, one, rows, far, outcome, mean, scale) for one in thetas]


def lowest(question: Question, fits: Sequence[Sequence[Prediction]]) -> Floats:
    """Where each column of ``fits``, draws of posteriors, outcomes by draws, is least: float64, (b, k).

    By descent from the best of ``STARTS`` random mixtures and the natural one: a draw may have several minima.
    """
    bounds = question.bounds
    inner = 0.9 * bounds.prior + 0.1 * (bounds.prior > 0) / (bounds.prior > 0).sum()
    tried = np.vstack([inner, random_mixtures(bounds, STARTS, question.seed)])
    best = np.stack([tried[np.argmin(question.value(fits, b, tried))] for b in range(len(fits[0]))])
    exact = [[one.exact() for one in each if isinstance(one, Draw)] for each in fits]
    unit = sum(share * one[0].scale for share, one in zip(question.weight, exact, strict=True))
    objective = weighted(exact, question.weight / unit, question.sources, question.values)
    return descend(objective, bounds, 0.99 * best + 0.01 * inner, STEPS)[0]


def generator(seed: int, y: Floats) -> np.random.Generator:
    """Outcomes are independent given their runs, and alike only where they are the same but for unit and origin.

    Args:
        y: float64, (n,): normalised outcomes.
    """
    return np.random.default_rng([seed, *np.round(np.nan_to_num(y) * 1e6).astype(np.int64).view(np.uint32).tolist()])


def parameters(random: np.random.Generator, theta: Floats, far: Floats, y: Floats, count: int) -> Floats:
    """Logarithms of C, l and s^2 by importance: float64, (count, 3)."""
    noise, prior = np.ones(len(y)), np.diag(12 / (BOUNDS[:, 1] - BOUNDS[:, 0]) ** 2)  # of a uniform's variance
    top, _, information = likelihood(theta, far, noise, y)
    spread = WIDE * np.linalg.cholesky(np.linalg.inv(information + prior))
    apart = random.normal(size=(CANDIDATES, 3)) / np.sqrt(random.chisquare(FREEDOM, (CANDIDATES, 1)) / FREEDOM)
    density = -(FREEDOM + 3) / 2 * np.log1p((apart**2).sum(1) / FREEDOM)
    tried = theta + apart @ spread.T
    weight = np.zeros(CANDIDATES)
    for at in np.flatnonzero(((tried >= BOUNDS[:, 0]) & (tried <= BOUNDS[:, 1])).all(1)):
        weight[at] = math.exp(min(log_likelihood(tried[at], far, noise, y) - top - density[at], 500.0))
    if not weight.sum() > 0:
        return np.tile(theta, (count, 1))
    return np.asarray(tried[random.choice(CANDIDATES, count, p=weight / weight.sum())])


def _draw(
    random: np.random.Generator, theta: Floats, rows: Floats, far: Floats, outcome: Floats, mean: float, scale: float
) -> Draw:
    c, length, white = np.exp(theta).tolist()
    wave = random.normal(size=(FEATURES, rows.shape[1])) / length
    shift, weight = random.uniform(0, 2 * math.pi, FEATURES), random.normal(size=FEATURES)
    height = math.sqrt(2 * c / FEATURES)
    free = height * np.cos(rows @ wave.T + shift) @ weight
    noise = math.sqrt(white) * random.normal(size=len(rows))
    k = c * np.exp(-0.5 * far / length**2) + white * np.eye(len(rows))
    told = c * np.linalg.solve(k, (outcome - mean) / scale - free - noise)
    named = {"C": c, "l": length, "s": math.sqrt(white) * scale}
    return Draw(length, height, rows, told, wave, shift, weight, mean, scale, named)
