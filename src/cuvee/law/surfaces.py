"""Smooth surfaces that runs leave possible, for laws that have no intervals of their own.

They are draws of a Gaussian process (see :mod:`cuvee.law.posterior`; but all with its likeliest parameters), of kernel

    K(u, u') = C exp(u . u' / l^2) = s(u) C exp(-|u - u'|^2 / (2 l^2)) s(u'),    s(u) = exp(|u|^2 / (2 l^2)),

u the shares to the power a, less the runs' mean, each over how much longer its length is than others'
(:func:`fitted`), all over the largest |u| of a run. With a = 1 the surfaces are sums of exponentials of shares, as
losses are in mixing laws. With a = 1/2 they are sums of exponentials of roots, as reciprocals of sums of roots are:
they bend without bound near a share of 0, as losses that are powers of shares do. Each draw has one of ``POWERS``, as
often as the runs speak for it, by their marginal likelihoods (in Laplace's approximation: Rasmussen and Williams,
"Gaussian Processes for Machine Learning", section 5.2).

They see most of the sources that matter most. A plain process returns to the runs' mean where there are few of them,
so it bends too little at the edge of a swarm, where optima often lie. Beyond ``REACH`` times the largest |u|, s grows
no more.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ..core import Settings
from .marginal import FIRST, climb, likelihood
from .posterior import FEATURES, Draw, generator

Floats = npt.NDArray[np.float64]
POWERS = (1.0, 0.5)
MOST = 400
"""Runs that are looked at."""
BOUNDS = np.log([[1e-3, 1e3], [0.5, 1e2], [1e-5, 1e1]])
"""Of C, l and s^2: at the least length s is e^2 at the farthest run."""
LONGER = 2.0
"""Bound on logarithms of how many times longer one source's length is than another's."""
REACH = 2.0


@dataclass(frozen=True)
class Swell:
    """What makes u of a mixture: the power a, and float64, (k,) and (k,)."""

    power: float
    centre: Floats
    factor: Floats

    def __call__(self, mixture: Floats) -> Floats:
        """u of every mixture: float64, (n, k)."""
        return np.asarray((np.maximum(mixture, 0.0) ** self.power - self.centre) * self.factor)

    def slope(self, mixture: Floats) -> Floats:
        """How fast each number of u rises with its share: float64, (n, k); without bound at a share of 0 if a < 1."""
        with np.errstate(divide="ignore"):
            return np.asarray(self.power * np.maximum(mixture, 0.0) ** (self.power - 1) * self.factor)


def grown(u: Floats, length: float) -> Floats:
    """s of every u: float64, (n,)."""
    return np.asarray(np.exp(np.minimum((u**2).sum(1), REACH**2) / (2 * length**2)))


@dataclass(frozen=True)
class Surface(Draw):
    """One of the surfaces, of u: ``rows`` are those of the runs, and ``told`` is C s times K^-1 (y - f(X) - e).

    Attributes:
        kind: of the cosines: seven digits are as good for intervals, and many times as fast.
    """

    swell: Swell
    kind: Any = np.float32

    def at(self, settings: Settings) -> Floats:
        u = self.swell(settings.mixture)
        return np.asarray(self.mean + self.scale * self._value(u, self.kind) * grown(u, self.length))

    def slope(self, settings: Settings) -> Floats:
        u = self.swell(settings.mixture)
        grows = (u**2).sum(1, keepdims=True) < REACH**2
        found = self._slope(u) + self._value(u, self.kind)[:, None] * np.where(grows, u / self.length**2, 0.0)
        return np.asarray(self.scale * found * grown(u, self.length)[:, None] * self.swell.slope(settings.mixture))

    def exact(self) -> Surface:
        return replace(self, kind=np.float64)


def surfaces(rows: Floats, outcome: Floats, count: int) -> list[Surface]:
    """``count`` surfaces that runs leave possible, whatever their order.

    C, l and s^2 of a power are the likeliest. Drawn, as for a plain process, they made intervals hold 95 to 96 of 100
    planted best shares where the likeliest make them hold 90 to 94 (``bench/mixing.py``, exponentials).
    Of more than ``MOST`` runs, so many are looked at, evenly by their order of shares.
    Cost: cubic in runs; seven seconds for ``MOST`` runs of three sources, eleven for eight.

    Args:
        rows: float64, (n, k), not all alike. outcome: float64, (n,).
    """
    order = np.lexsort((outcome, *rows.T))
    seen = order[np.linspace(0, len(order) - 1, min(len(order), MOST)).round().astype(np.int64)]
    rows, outcome = rows[seen], outcome[seen]
    mean, scale = float(outcome.mean()), float(outcome.std()) or 1.0
    y = (outcome - mean) / scale
    random = generator(0, y)
    each = [fitted(rows, y, power, random) for power in POWERS]
    evidence = np.array([one.evidence for one in each])
    chance = np.exp(evidence - evidence.max())
    chosen = random.choice(len(POWERS), count, p=chance / chance.sum())
    number = np.bincount(chosen, minlength=len(POWERS)).tolist()
    kinds = [iter(_draws(random, one, rows, y, mean, scale, many)) for one, many in zip(each, number, strict=True)]
    return [next(kinds[at]) for at in chosen.tolist()]


@dataclass(frozen=True)
class Fitted:
    """A process at its likeliest.

    Attributes:
        theta: float64, (3,): logarithms of C, l and s^2. evidence: how much the runs speak for its power: the logarithm
            of the likelihood's integral over all parameters, less a constant.
    """

    swell: Swell
    theta: Floats
    evidence: float


def fitted(rows: Floats, y: Floats, power: float, random: np.random.Generator) -> Fitted:
    """What makes u of mixtures, by lengths at which the likelihood of outcomes ``y``, (n,), is largest; and C, l, s^2.

    Lengths are found together with C, l and s^2. Logarithms of how many times longer than l they are should be standard
    normal (automatic relevance determination: Rasmussen and Williams, section 5.1). The evidence is Laplace's, with
    Fisher's information in place of the Hessian, at the C, l and s^2 that surfaces may have: ``BOUNDS`` hold for l
    beside the largest |u|, which is only known with the lengths.
    """
    rows, noise = np.maximum(rows, 0.0) ** power, np.ones(len(y))
    centre = rows.mean(0)
    apart = rows - centre
    apart /= math.sqrt((apart**2).sum(1).max())
    each = -2 * apart.T[:, :, None] * apart.T[:, None, :]
    wide = np.tile([-LONGER, LONGER], (rows.shape[1], 1))
    begin = np.concatenate([FIRST, np.zeros(rows.shape[1])])
    first, _ = climb(begin, each, noise, y, np.vstack([BOUNDS, wide]))
    _, _, information = likelihood(first, each, noise, y)
    information[:3, :3] += np.diag(12 / (BOUNDS[:, 1] - BOUNDS[:, 0]) ** 2)  # of a uniform's variance
    longer, factor = first[3:], np.exp(-first[3:])
    largest = math.sqrt(((apart * factor) ** 2).sum(1).max())
    dots = -2 * (apart * factor / largest) @ (apart * factor / largest).T
    there = np.clip(first[:3] - [0.0, math.log(largest), 0.0], BOUNDS[:, 0], BOUNDS[:, 1])
    starts = np.vstack([FIRST, there, random.uniform(BOUNDS[:, 0], BOUNDS[:, 1], (2, 3))])
    theta, value = max((climb(one, dots, noise, y, BOUNDS) for one in starts), key=lambda end: end[1])
    evidence = value - float(longer @ longer) / 2 - float(np.linalg.slogdet(information)[1]) / 2
    scaled = factor / math.sqrt((((rows - centre) * factor) ** 2).sum(1).max())
    return Fitted(Swell(power, centre, scaled), theta, evidence if math.isfinite(evidence) else -math.inf)


def _draws(
    random: np.random.Generator, one: Fitted, rows: Floats, y: Floats, mean: float, scale: float, count: int
) -> list[Surface]:
    c, length, white = np.exp(one.theta).tolist()
    u = one.swell(rows)
    more, height = grown(u, length), math.sqrt(2 * c / FEATURES)
    wave = random.normal(size=(count, FEATURES, u.shape[1])) / length
    shift, weight = random.uniform(0, 2 * math.pi, (count, FEATURES)), random.normal(size=(count, FEATURES))
    left = np.tile(y, (count, 1)) - math.sqrt(white) * random.normal(size=(count, len(u)))
    for b in range(count):
        left[b] -= more * (height * np.cos(u @ wave[b].T + shift[b]) @ weight[b])
    k = c * np.exp(u @ u.T / length**2) + white * np.eye(len(u))
    told = c * more * np.linalg.solve(k, left.T).T
    named = {"a": one.swell.power, "C": c, "l": length, "s": math.sqrt(white) * scale}
    return [
        Surface(length, height, u, told[b], wave[b], shift[b], weight[b], mean, scale, named, one.swell)
        for b in range(count)
    ]
