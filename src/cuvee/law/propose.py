"""The mixture of least predicted loss: by descent on the capped simplex, or as the mean of the best of many draws.

Descent is mirror descent in the entropy geometry: multiplicative steps, then the projection that Kullback-Leibler
divergence asks for, which under caps is water-filling (:func:`cuvee.mix.base.poured`). Sums of convex losses have one
minimum, and all starts find it; for others the best start is kept. Means of the best simulated mixtures are what RegMix
proposes: its smoothing matters more than its regressor, since trees are flat and their argmin is noise.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from ..core import Law, Prediction, Settings
from ..errors import UsageError
from ..mix.base import poured
from .curve import Curve, CurveLaw, slopes

Floats = npt.NDArray[np.float64]
STRENGTH = np.geomspace(0.5, 50.0, 16)
LOWEST = -600.0
"""Logarithm of the least share beside the largest: what underflows to 0 cannot take what others' caps leave."""
STEEPEST = 1e100
"""Bound on slopes, and on the rates that multiply them."""


@dataclass(frozen=True)
class Bounds:
    """What a proposal may be.

    Attributes:
        prior: float64, (k,), sums to one: the natural mixture. Descent begins there, random mixtures lie around it.
        caps: float64, (k,): the largest share of each source.
        kl: how strongly the proposal is pulled toward the prior, in the outcome's unit per nat.
    """

    prior: Floats
    caps: Floats
    kl: float = 0.0

    def __post_init__(self) -> None:
        able = float(np.minimum(self.caps, 1.0)[self.prior > 0].sum())
        if able < 1 - 1e-9:
            raise UsageError(
                f"The caps on shares sum to {able:.3g}, so {100 * (1 - able):.1f} % of the tokens are missing. "
                "Train on fewer tokens, or allow more passes."
            )


Objective = Callable[[Floats], tuple[Floats, Floats]]
"""(b, k) mixtures to (b,) values and (b, k) slopes; row b may have a function of its own."""


def weighted(
    fits: Sequence[Sequence[Prediction]], weight: Floats, sources: tuple[str, ...], values: Settings
) -> Objective:
    """The weighted sum of several outcomes' laws as a function of the mixture.

    Args:
        fits: one sequence for each outcome: the b-th fit belongs to row b.
        weight: float64, (outcomes,).
        values: one row: where the other columns stand.
    """
    stacked = [_stack(one) for one in fits]

    def objective(mixture: Floats) -> tuple[Floats, Floats]:
        total, gradient = np.zeros(len(mixture)), np.zeros(mixture.shape)
        for (law, theta), one, share in zip(stacked, fits, weight, strict=True):
            if law is not None and theta is not None:
                settings = Settings(sources, mixture[:, None, :], dict(values.values))
                with np.errstate(all="ignore"):
                    total += share * law.value(theta.astype(np.complex128), settings).real[:, 0]
                    gradient += share * slopes(law, theta, settings)[:, 0]
                continue
            for row, fitted in enumerate(one):
                at = Settings(sources, mixture[row : row + 1], dict(values.values))
                total[row] += share * fitted.at(at)[0]
                slope = fitted.slope(at)
                if slope is None:
                    raise TypeError("this law has no slopes to descend by")
                gradient[row] += share * slope[0]
        return total, gradient

    return objective


def _stack(fits: Sequence[Prediction]) -> tuple[CurveLaw | None, Floats | None]:
    if all(isinstance(one, Curve) for one in fits):
        curves = [one for one in fits if isinstance(one, Curve)]
        return curves[0].law, np.stack([one.theta for one in curves])
    return None, None


def descend(objective: Objective, bounds: Bounds, begin: Floats, steps: int = 2_000) -> tuple[Floats, Floats]:
    """Minimise each row's objective plus ``kl`` times KL(x || prior) over the capped simplex.

    Args:
        begin: float64, (b, k): where each row begins, all shares above 0 where the prior is.

    Returns:
        float64, (b, k) mixtures and (b,) objectives, the pull included.
    """
    prior = np.maximum(bounds.prior, 1e-300)
    x = _within(begin, bounds)
    rate = np.full(len(x), 1.0)
    value, slope = _pulled(objective, x, prior, bounds.kl)
    still = np.zeros(len(x), np.int64)
    for _ in range(steps):
        open_rows = still < 8
        if not open_rows.any():
            break
        # the pull is taken in closed form: x^(1 / (1 + rate kl)) prior^(rate kl / (1 + rate kl))
        pull = rate * bounds.kl
        logs = (np.log(np.maximum(x, 1e-300)) - rate[:, None] * slope + pull[:, None] * np.log(prior)) / (
            1 + pull[:, None]
        )
        logs -= logs.max(1, keepdims=True)
        tried = _within(np.where(bounds.prior > 0, np.exp(np.maximum(logs, LOWEST)), 0.0), bounds)
        reached, steeper = _pulled(objective, tried, prior, bounds.kl)
        better = open_rows & (reached < value)
        small = (np.abs(value - reached) <= 1e-13 * (1 + np.abs(value))) | (np.abs(tried - x).max(1) < 1e-9)
        still = np.where(small, still + 1, 0)
        x[better], value[better], slope[better] = tried[better], reached[better], steeper[better]
        rate = np.where(better, np.minimum(rate * 1.6, STEEPEST), rate * 0.4)
    return x, value


def _within(rows: Floats, bounds: Bounds) -> Floats:
    """Rows scaled to sum to one, water-filled where that is above a cap."""
    found = rows / rows.sum(1, keepdims=True)
    for at in np.flatnonzero((found > bounds.caps).any(1)):
        row = poured(rows[at], bounds.caps, 1.0)
        found[at] = row / row.sum()
    return found


def _pulled(objective: Objective, x: Floats, prior: Floats, kl: float) -> tuple[Floats, Floats]:
    """Objective with the pull, and the slope without it, which descent takes in closed form."""
    value, slope = objective(x)
    divergence = (x * (np.log(np.maximum(x, 1e-300)) - np.log(prior))).sum(1)
    held = np.clip(np.nan_to_num(slope), -STEEPEST, STEEPEST)  # a rate times a slope stays finite
    return np.where(np.isfinite(value), value, np.inf) + kl * divergence, held


def random_mixtures(bounds: Bounds, count: int, seed: int, strength: Floats = STRENGTH) -> Floats:
    """Mixtures around the prior within the caps: float64, (count, k).

    Dirichlet draws of log-spaced strengths times the prior (and the square root of the number of sources), between 0.5
    and 50 by default: one strength alone gives either corners or copies of the prior.
    """
    random = np.random.default_rng(seed)
    active = bounds.prior > 0
    drawn = np.zeros((count, len(bounds.prior)))
    for at, one in enumerate(strength):
        rows = slice(at, count, len(strength))
        alpha = one * bounds.prior[active] * active.sum() ** 0.5
        drawn[rows, active] = random.dirichlet(np.maximum(alpha, 1e-3), len(range(*rows.indices(count))))
    return _within(np.where(active, np.maximum(drawn, 1e-9), 0.0), bounds)


def mean_of_best(value: Callable[[Floats], Floats], drawn: Floats, top: int) -> Floats:
    """The mean of the ``top`` mixtures of least value: float64, (k,). Ties by place."""
    return drawn[np.argsort(value(drawn), kind="stable")[:top]].mean(0)


@dataclass(frozen=True)
class Question:
    """What is to be minimised: a weighted sum of outcomes over mixtures of these sources, other columns fixed."""

    sources: tuple[str, ...]
    weight: Floats
    bounds: Bounds
    values: Settings
    draws: int = 20_000
    top: int = 128
    seed: int = 0

    def best(self, law: Law, fits: Sequence[Sequence[Prediction]]) -> Floats:
        """One proposal for each column of ``fits``, outcomes by resamples: float64, (b, k)."""
        many = len(fits[0])
        bounds = replace(self.bounds, kl=self.bounds.kl or float(getattr(law, "kl", 0.0)))
        if law.simulated:
            drawn = random_mixtures(bounds, self.draws, self.seed)
            return np.stack([mean_of_best(lambda x, b=b: self.value(fits, b, x), drawn, self.top) for b in range(many)])  # type: ignore[misc]
        inner = 0.9 * bounds.prior + 0.1 * (bounds.prior > 0) / (bounds.prior > 0).sum()
        starts = [inner, *_corners(bounds)] if many == 1 else [inner]
        rows, values = [], []
        for start in starts:
            objective = weighted(fits, self.weight, self.sources, self.values)
            x, reached = descend(objective, bounds, np.tile(start, (many, 1)))
            rows.append(x)
            values.append(reached)
        best = np.argmin(np.stack(values), 0)
        return np.stack(rows)[best, np.arange(many)]

    def value(self, fits: Sequence[Sequence[Prediction]], at: int, mixture: Floats) -> Floats:
        """What the ``at``-th fits predict for mixtures, summed by weight: float64, (n,)."""
        fixed = {name: np.full(len(mixture), column[0]) for name, column in self.values.values.items()}
        settings = Settings(self.sources, mixture, fixed)
        return np.sum([w * one[at].at(settings) for w, one in zip(self.weight, fits, strict=True)], axis=0)


def _corners(bounds: Bounds) -> list[Floats]:
    """Starts that lean toward each of the largest sources."""
    active = np.flatnonzero(bounds.prior > 0)
    order = active[np.argsort(-bounds.prior[active], kind="stable")][:8]
    lean = 0.4 * (bounds.prior > 0) / len(active)
    return [lean + 0.6 * np.eye(len(bounds.prior))[at] for at in order]
