"""Learning curves of groups that learn from one another's examples, and the budget that follows from them.

In :mod:`cuvee.online.budget` a group's error falls with its own examples alone. In a model that all groups share those
of others help, too. Here the curves are in effective examples,

    err_g = a_g m_g^(-b_g) + e_g,    m_g = n_g + rho sum_{h != g} n_h,

with one rho from 0 (groups are strangers) to 1 (an example is as good as any), fitted beside the curves. rho stays 0
unless the misfit falls by more than chance would make it (likelihood ratio at 5 %): where all groups grew in the same
proportions any rho fits as well, and nothing can be learned about it.

The welfare is convex in the split, since m is linear in it, but gains are no longer of one group each: the optimum is
found by exponentiated gradients on shares of the budget, until no group's marginal gain for a unit of cost is above the
mean of the split. Cost: some 25 fits of all curves, 0.1 s a group.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..errors import UsageError
from ..law.curve import huber
from .budget import Curves, allocate, fit_curves
from .law import Floats

CHANCE = 3.84
"""Twice the fall in log likelihood that one more number brings by chance in 5 of 100 cases."""


@dataclass(frozen=True)
class SharedCurves(Curves):
    """err_g = a m_g^(-b) + e with m as above; ``share``: rho."""

    share: float = 0.0

    def at(self, n: Floats) -> Floats:
        """Errors at so many examples of the groups' own, (..., k)."""
        return super().at(effective(n, self.share))


def effective(n: Floats, share: float) -> Floats:
    """m of all groups, (..., k)."""
    return np.asarray(n + share * (n.sum(axis=-1, keepdims=True) - n), np.float64)


def fit_shared(sizes: Floats, errors: Floats, resamples: int = 0, seed: int = 0) -> list[SharedCurves]:
    """As :func:`cuvee.online.budget.fit_curves`, rho fitted, too: to all measurements; resamples have the same one.

    Raises:
        UsageError: as there.
    """
    known = ~np.isnan(errors)
    floor = 1e-12 * known.sum()

    def misfit(share: float) -> float:
        seen = effective(sizes, share)
        residual = np.log(fit_curves(seen, errors)[0].at(seen)[known]) - np.log(errors[known])
        return float(huber(residual, 0.1).sum()) + floor

    grid = np.linspace(0.0, 1.0, 11)
    found = [misfit(share) for share in grid.tolist()]
    best = int(np.argmin(found))
    low, high = float(grid[max(best - 1, 0)]), float(grid[min(best + 1, 10)])
    ratio = (np.sqrt(5.0) - 1.0) / 2.0
    first, second = high - ratio * (high - low), low + ratio * (high - low)
    at_first, at_second = misfit(first), misfit(second)
    for _ in range(12):
        if at_first < at_second:
            high, second, at_second = second, first, at_first
            first = high - ratio * (high - low)
            at_first = misfit(first)
        else:
            low, first, at_first = first, second, at_second
            second = low + ratio * (high - low)
            at_second = misfit(second)
    share, least = min(
        ((first, at_first), (second, at_second), (float(grid[best]), found[best])), key=lambda one: one[1]
    )
    if known.sum() * np.log(found[0] / least) <= CHANCE:
        share = 0.0
    fits = fit_curves(effective(sizes, share), errors, resamples, seed)
    return [SharedCurves(one.a, one.b, one.e, share) for one in fits]


def allocate_shared(
    curves: SharedCurves,
    have: Floats,
    budget: float,
    costs: Floats | None = None,
    weights: Floats | None = None,
    power: float = 1.0,
) -> Floats:
    """As :func:`cuvee.online.budget.allocate`, for groups that help one another: float64, (k,); without, the same.

    Raises:
        UsageError: as there, and a share outside of 0 to 1.
    """
    alone = allocate(Curves(curves.a, curves.b, curves.e), have, budget, costs, weights, power)
    if not 0.0 <= curves.share <= 1.0:
        raise UsageError(f"rho must be from 0 to 1, not {curves.share:g}.")
    if curves.share == 0:
        return alone
    c, w = (np.ones(len(have)) if one is None else np.asarray(one, np.float64) for one in (costs, weights))
    first, unit = np.maximum(have, 1.0), budget / c

    def value(split: Floats) -> tuple[float, Floats]:
        """The logarithm of W, and its slopes by the shares of the budget."""
        seen = effective(first + unit * split, curves.share)
        error = Curves(curves.a, curves.b, curves.e).at(seen)
        part = w * (error / error.max()) ** power
        falls = part / part.sum() / error * curves.a * curves.b * seen ** (-curves.b - 1.0)
        level = float(np.log(error.max()) + np.log(part.sum() / w.sum()) / power)
        return level, -unit * ((1.0 - curves.share) * falls + curves.share * falls.sum())

    split = 0.9 * alone / unit + 0.1 / len(have)
    now, slope = value(split)
    step = 1.0 / max(float(np.ptp(slope)), 1e-300)
    for _ in range(5_000):
        if float(split @ slope - slope.min()) < 1e-10 or step * float(np.ptp(slope)) < 1e-12:
            break
        moved = split * np.exp(-step * (slope - slope.min()))
        moved /= moved.sum()
        then, there = value(moved)
        if then <= now:
            split, now, slope, step = moved, then, there, 1.3 * step
        else:
            step *= 0.5
    return np.asarray(unit * split, np.float64)
