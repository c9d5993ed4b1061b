"""Surfaces that a Gaussian process takes for possible: draws of its posterior, parameters included.

See :mod:`cuvee.law.gaussian_process`. A draw is a surface of the prior, moved by what the runs say against it (Wilson
et al., "Efficiently Sampling Functions from Gaussian Process Posteriors", ICML 2020, equation 8: Matheron's rule), with
``FEATURES`` random cosines for the prior (Rahimi and Recht, "Random Features for Large-Scale Kernel Machines", 2007):

    draw(x) = f(x) + k(x) K^-1 (y - f(X) - e),    f(x) = (2 C / m)^(1/2) sum_j w_j cos(x . v_j / l + b_j),

w and v standard normal, b uniform, e of variance s^2. C, l and s^2 of each draw are drawn, too, from their posterior
under a uniform prior on logarithms within the bounds: ``CANDIDATES`` of Student's distribution about their maximum are
weighted by likelihood over density, and drawn again by weight. With one value of them for all draws, intervals are too
narrow.

:func:`surfaces` are draws of another process, for laws that have no intervals of their own. Its kernel is

    K(u, u') = C exp(u . u' / l^2) = s(u) C exp(-|u - u'|^2 / (2 l^2)) s(u'),    s(u) = exp(|u|^2 / (2 l^2)),

u a mixture less the runs' mean, each share over how much longer its length is than others' (:func:`stretched`), all
over the largest |u| of a run. Its surfaces are sums of exponentials of shares, as losses are in mixing laws, and see
most of the sources that matter most. A plain process returns to the runs' mean where there are few of them, so it bends
too little at the edge of a swarm, where optima often lie. Beyond ``REACH`` times the largest |u|, s grows no more.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from ..core import Prediction, Settings
from .marginal import BOUNDS, FIRST, climb, likelihood, log_likelihood, squares

Floats = npt.NDArray[np.float64]
FEATURES = 512
CANDIDATES = 400
FREEDOM, WIDE = 4.0, 2.0
"""Of the distribution that candidates come from: degrees of freedom, and its scale beside Fisher's information."""
MOST = 400
"""Runs that :func:`surfaces` looks at."""
SWELLING = np.log([[1e-3, 1e3], [0.5, 1e2], [1e-5, 1e1]])
"""Bounds of a process that swells: at the least length s is e^2 at the farthest run."""
LONGER = 2.0
"""Bound on logarithms of how many times longer one source's length is than another's."""
REACH = 2.0


@dataclass(frozen=True)
class Swell:
    """What makes u of a mixture: float64, (k,) and (k,)."""

    centre: Floats
    factor: Floats

    def __call__(self, mixture: Floats) -> Floats:
        """u of every mixture: float64, (n, k)."""
        return (mixture - self.centre) * self.factor


def grown(u: Floats, length: float) -> Floats:
    """s of every u: float64, (n,)."""
    return np.asarray(np.exp(np.minimum((u**2).sum(1), REACH**2) / (2 * length**2)))


@dataclass(frozen=True)
class Draw(Prediction):
    """One surface of the posterior.

    Attributes:
        length, height: l and (2 C / m)^(1/2). rows: float64, (n, k): the runs' mixtures, or u of them. told: float64,
            (n,): C times K^-1 (y - f(X) - e). wave, shift, weight: float64, (m, k), (m,) and (m,): v / l, b and w.
        mean, scale: of the outcomes, which the process sees less their mean and over their standard deviation.
        rough: whether cosines are taken to seven digits, many times as fast: as good for intervals, too few for
            descent.
        swell: makes u of a mixture, by whose s the surface is multiplied; None of a plain process.
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
    rough: bool = False
    swell: Swell | None = None

    posterior: ClassVar[bool] = True

    def _near(self, mixture: Floats) -> Floats:
        return np.asarray(np.exp(-0.5 * squares(mixture, self.rows) / self.length**2) * self.told)

    def _before(self, x: Floats) -> Floats:
        """The surface before it swells, in units of ``scale``."""
        kind = np.float32 if self.rough else np.float64
        phase = (x @ self.wave.T + self.shift).astype(kind, copy=False)
        free = self.height * (np.cos(phase, out=phase) @ self.weight.astype(kind))
        return np.asarray(free + self._near(x).sum(1))  # large terms cancel in the second

    def at(self, settings: Settings) -> Floats:
        x = settings.mixture if self.swell is None else self.swell(settings.mixture)
        found = self._before(x)
        if self.swell is not None:
            found = found * grown(x, self.length)
        return np.asarray(self.mean + self.scale * found)

    def slope(self, settings: Settings) -> Floats:
        x = settings.mixture if self.swell is None else self.swell(settings.mixture)
        free = -self.height * (np.sin(x @ self.wave.T + self.shift) * self.weight) @ self.wave
        pull = self._near(x)
        found = free + (pull @ self.rows - pull.sum(1, keepdims=True) * x) / self.length**2
        if self.swell is not None:
            grows = (x**2).sum(1, keepdims=True) < REACH**2
            found += self._before(x)[:, None] * np.where(grows, x / self.length**2, 0.0)
            found *= grown(x, self.length)[:, None] * self.swell.factor
        return np.asarray(self.scale * found)


def draws(theta: Floats, rows: Floats, outcome: Floats, mean: float, scale: float, count: int, seed: int) -> list[Draw]:
    """``count`` surfaces of a plain process's posterior, whatever the order of the runs.

    Args:
        theta: float64, (3,): logarithms of C, l and s^2. rows: float64, (n, k). outcome: float64, (n,).
        mean, scale: what the process sees outcomes less, and over.
    """
    order = np.lexsort((outcome, *rows.T))
    rows, outcome = rows[order], outcome[order]
    random, far = _random(seed, outcome), squares(rows, rows)
    thetas = parameters(random, theta, far, (outcome - mean) / scale, count)
    return [_draw(random, one, rows, far, outcome, mean, scale) for one in thetas]


def surfaces(rows: Floats, outcome: Floats, count: int) -> list[Draw]:
    """``count`` surfaces that runs leave possible, whatever their order.

    Of more than ``MOST`` runs, so many are looked at, evenly by their order of shares.
    Cost: cubic in runs; ten seconds for ``MOST``.

    Args:
        rows: float64, (n, k), not all alike. outcome: float64, (n,).
    """
    order = np.lexsort((outcome, *rows.T))
    seen = order[np.linspace(0, len(order) - 1, min(len(order), MOST)).round().astype(np.int64)]
    rows, outcome = rows[seen], outcome[seen]
    mean, scale = float(outcome.mean()), float(outcome.std()) or 1.0
    y, random = (outcome - mean) / scale, _random(0, outcome)
    swell = stretched(rows, y)
    u = swell(rows)
    dots = -2 * u @ u.T
    starts = np.vstack([FIRST, random.uniform(SWELLING[:, 0], SWELLING[:, 1], (2, 3))])
    theta = max((climb(one, dots, np.ones(len(y)), y, SWELLING) for one in starts), key=lambda one: one[1])[0]
    thetas = parameters(random, theta, dots, y, count, SWELLING)
    return [_draw(random, one, u, dots, outcome, mean, scale, swell) for one in thetas]


def stretched(rows: Floats, y: Floats) -> Swell:
    """What makes u of mixtures: each source's length where the likelihood of outcomes ``y``, (n,), is largest.

    Lengths are found together with C, l and s^2; logarithms of how many times longer than l they are should be standard
    normal (automatic relevance determination: Rasmussen and Williams, section 5.1).
    """
    centre = rows.mean(0)
    apart = rows - centre
    apart /= math.sqrt((apart**2).sum(1).max())
    each = -2 * apart.T[:, :, None] * apart.T[:, None, :]
    wide = np.tile([-LONGER, LONGER], (rows.shape[1], 1))
    begin = np.concatenate([FIRST, np.zeros(rows.shape[1])])
    theta, _ = climb(begin, each, np.ones(len(y)), y, np.vstack([SWELLING, wide]))
    factor = np.exp(-theta[3:])
    return Swell(centre, factor / math.sqrt((((rows - centre) * factor) ** 2).sum(1).max()))


def _random(seed: int, outcome: Floats) -> np.random.Generator:
    """Outcomes are independent given their runs, and alike only where they are the same."""
    return np.random.default_rng([seed, *np.frombuffer(outcome.tobytes(), np.uint32).tolist()])


def parameters(
    random: np.random.Generator, theta: Floats, far: Floats, y: Floats, count: int, bounds: Floats = BOUNDS
) -> Floats:
    """Logarithms of C, l and s^2 by importance: float64, (count, 3)."""
    noise, prior = np.ones(len(y)), np.diag(12 / (bounds[:, 1] - bounds[:, 0]) ** 2)  # of a uniform's variance
    top, _, information = likelihood(theta, far, noise, y)
    spread = WIDE * np.linalg.cholesky(np.linalg.inv(information + prior))
    apart = random.normal(size=(CANDIDATES, 3)) / np.sqrt(random.chisquare(FREEDOM, (CANDIDATES, 1)) / FREEDOM)
    density = -(FREEDOM + 3) / 2 * np.log1p((apart**2).sum(1) / FREEDOM)
    tried = theta + apart @ spread.T
    weight = np.zeros(CANDIDATES)
    for at in np.flatnonzero(((tried >= bounds[:, 0]) & (tried <= bounds[:, 1])).all(1)):
        weight[at] = math.exp(min(log_likelihood(tried[at], far, noise, y) - top - density[at], 500.0))
    if not weight.sum() > 0:
        return np.tile(theta, (count, 1))
    return np.asarray(tried[random.choice(CANDIDATES, count, p=weight / weight.sum())])


def _draw(
    random: np.random.Generator,
    theta: Floats,
    rows: Floats,
    far: Floats,
    outcome: Floats,
    mean: float,
    scale: float,
    swell: Swell | None = None,
) -> Draw:
    c, length, white = np.exp(theta).tolist()
    wave = random.normal(size=(FEATURES, rows.shape[1])) / length
    shift, weight = random.uniform(0, 2 * math.pi, FEATURES), random.normal(size=FEATURES)
    height, more = math.sqrt(2 * c / FEATURES), grown(rows, length) if swell else np.ones(len(rows))
    free = more * (height * np.cos(rows @ wave.T + shift) @ weight)
    noise = math.sqrt(white) * random.normal(size=len(rows))
    k = c * np.exp(-0.5 * far / length**2) + white * np.eye(len(rows))
    told = c * more * np.linalg.solve(k, (outcome - mean) / scale - free - noise)
    named = {"C": c, "l": length, "s": math.sqrt(white) * scale}
    return Draw(
        length, height, rows, told, wave, shift, weight, mean, scale, named, rough=swell is not None, swell=swell
    )
