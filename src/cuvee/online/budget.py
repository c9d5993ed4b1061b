"""How much more to collect, or to train on, of each group: learning curves, costs, and a welfare of all groups.

The problem is that of Cai et al., "Adaptive Sampling Strategies to Construct Equitable Training Datasets", FAccT 2022,
arXiv 2202.01327: the error of group g falls with its examples, err_g(n) = a_g n^(-b_g) + e_g; an example costs c_g;
wanted is the split of a budget that makes

    W = (sum_g w_g err_g^power / sum_g w_g)^(1 / power)

smallest: power 1 is the mean, a large one looks at the worst group. The objective is convex and each group's marginal
gain w_g power err_g^(power - 1) a_g b_g n^(-b_g - 1) / c_g falls with n, so at the optimum it is one number for all
groups that get anything: found by bisection, exactly. With power 1, equal b and nothing collected, n_g is proportional
to (w_g a_g b_g / c_g)^(1 / (1 + b)).

The published algorithm was not at hand: curves, welfare and this allocation are a derivation of our own.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..errors import UsageError
from ..law.curve import Numbers, minimise
from .law import Floats

SLOPES = (0.05, 1.5)
"""Of b: a curve fitted flatter would stop funding its group for ever."""
FEWEST = 4
"""Sizes at which a group must have been measured before a curve is fitted."""


@dataclass(frozen=True)
class Curves:
    """err_g(n) = a n^(-b) + e of every group: float64, (k,)."""

    a: Floats
    b: Floats
    e: Floats

    def at(self, n: Floats) -> Floats:
        """Errors at so many examples, (..., k)."""
        return np.asarray(self.a * n**-self.b + self.e, np.float64)


def welfare(errors: Floats, weights: Floats, power: float = 1.0) -> float:
    """W above; ``errors``, ``weights``: (k,).

    Raises:
        UsageError: there are no groups, or not one weight for each, or none is above 0.
    """
    if not (weights >= 0).all() or not weights.sum() > 0:
        raise UsageError("Weights of groups are at least 0, and one of them above.")
    if errors.ndim != 1 or not len(errors) or weights.shape != errors.shape:
        shapes = f"{errors.shape} and {weights.shape}"
        raise UsageError(f"Errors and weights are one number a group, not arrays of {shapes}.")
    top = float(errors.max())
    if top <= 0:
        return 0.0
    return top * float((weights @ (errors / top) ** power / weights.sum()) ** (1.0 / power))


def fit_curves(sizes: Floats, errors: Floats, resamples: int = 0, seed: int = 0) -> list[Curves]:
    """Curves of all groups, by robust least squares of logarithms: the fit, and then one for each resample.

    Args:
        sizes, errors: (t, k): what each group had been given, above 0, and its error then; NaN where not measured.
        resamples: bootstrap fits, of t measurements drawn with replacement (all groups alike).

    Raises:
        UsageError: a group was measured at fewer than four different sizes, an error is not above 0, or sizes and
            errors are not of one shape.
    """
    if sizes.ndim != 2 or errors.shape != sizes.shape:
        raise UsageError(
            "Sizes and errors have a row for each measurement and a column for each group, both: not "
            f"{sizes.shape} and {errors.shape}."
        )
    k = sizes.shape[1]
    drawn = np.random.default_rng(seed).multinomial(len(sizes), np.full(len(sizes), 1.0 / len(sizes)), resamples)
    counts = np.concatenate([np.ones((1, len(sizes))), drawn.astype(np.float64)])
    parts = [_fit(sizes[:, g], errors[:, g], counts, g) for g in range(k)]
    return [Curves(*(np.array([parts[g][row, i] for g in range(k)]) for i in range(3))) for row in range(len(counts))]


def _fit(sizes: Floats, errors: Floats, counts: Floats, group: int) -> Floats:
    """(a, b, e) of one group for every row of counts, (r, 3)."""
    there = ~np.isnan(errors)
    n, err = sizes[there], errors[there]
    if len(np.unique(n)) < FEWEST:
        raise UsageError(f"Group {group} was measured at fewer than {FEWEST} sizes. Measure it at more, then fit.")
    if not (err > 0).all() or not np.isfinite(err).all() or not (n > 0).all():
        raise UsageError(f"Group {group} has an error or a size that is not a finite number above 0.")
    low, high = SLOPES
    scale = float(np.exp(np.log(n).mean()))

    def value(theta: Numbers) -> Numbers:
        b = low + (high - low) / (1.0 + np.exp(-theta[:, 1:2]))
        return np.log(np.exp(theta[:, :1] - b * np.log(n / scale)) + np.exp(theta[:, 2:3]))

    least, middle = float(err.min()), float(np.median(err))
    starts = np.array(
        [
            [np.log(max(middle - share * least, 1e-3 * middle)), slope, np.log(share * least)]
            for share in (0.01, 0.5, 0.9)
            for slope in (-2.0, 0.0, 2.0)
        ]
    )
    whole, reached = minimise(value, starts, np.log(err), np.ones((len(starts), len(n))), 0.1, 1e-6, 60)
    best = whole[int(np.argmin(reached))]
    again, _ = minimise(value, np.tile(best, (len(counts), 1)), np.log(err), counts[:, there], 0.1, 1e-6, 25)
    again[0] = best
    b = low + (high - low) / (1.0 + np.exp(-again[:, 1]))
    return np.stack([np.exp(again[:, 0]) * scale**b, b, np.exp(again[:, 2])], axis=1)


def allocate(
    curves: Curves,
    have: Floats,
    budget: float,
    costs: Floats | None = None,
    weights: Floats | None = None,
    power: float = 1.0,
) -> Floats:
    """How many examples more of each group make the welfare best, float64, (k,); their costs sum to the budget.

    Args:
        have: (k,): what each group has already, at least 0; the curve begins at one example.
        costs, weights: (k,), above 0; 1 by default.
        power: at least 1.

    Raises:
        UsageError: costs, weights, power or budget are out of range.
    """
    c, w = (np.ones(len(have)) if one is None else np.asarray(one, np.float64) for one in (costs, weights))
    if c.shape != have.shape or w.shape != have.shape or not (c > 0).all() or not (w > 0).all():
        raise UsageError(f"Give {len(have)} costs and weights above 0, one for each group.")
    if not (1.0 <= power <= 100.0 and budget > 0 and np.isfinite(budget)):
        raise UsageError("power must be from 1 to 100, and the budget a number above 0.")
    first = np.maximum(have, 1.0)
    lowest = np.log(first)
    highest = np.log(first + budget / c)

    def log_gain(log_n: Floats) -> Floats:
        bend = (power - 1.0) * np.log(curves.at(np.exp(log_n)))
        return np.asarray(np.log(w * curves.a * curves.b / c) + bend - (curves.b + 1.0) * log_n)

    def sizes(level: float) -> Floats:
        """Where the marginal gain has fallen to this level, log n."""
        low, high = lowest.copy(), highest.copy()
        for _ in range(60):
            middle = 0.5 * (low + high)
            above = log_gain(middle) > level
            low, high = np.where(above, middle, low), np.where(above, high, middle)
        return np.where(log_gain(lowest) <= level, lowest, 0.5 * (low + high))

    bottom, top = float(log_gain(highest).min()) - 1.0, float(log_gain(lowest).max())
    for _ in range(100):
        level = 0.5 * (bottom + top)
        spent = float(c @ (np.exp(sizes(level)) - first))
        bottom, top = (level, top) if spent > budget else (bottom, level)
    more = np.maximum(np.exp(sizes(top)) - first, 0.0)
    total = float(c @ more)
    return more * (budget / total) if total > 0 else budget * w / float(c @ w)


def optimistic(fits: list[Curves], have: Floats, step: Floats, quantile: float = 0.8) -> npt.NDArray[np.int64]:
    """Which of several fits each group is believed by: the one at this quantile of what ``step`` more would gain.

    A group whose curve looks flat by chance would else never be given anything, and never be measured again. int64,
    (k,).
    """
    gains = np.stack([one.at(np.maximum(have, 1.0)) - one.at(np.maximum(have, 1.0) + step) for one in fits])
    order = np.argsort(gains, axis=0, kind="stable")
    return np.asarray(order[round(quantile * (len(fits) - 1))], np.int64)


def believed(fits: list[Curves], which: npt.NDArray[np.int64]) -> Curves:
    """Each group's curve from the fit that :func:`optimistic` names."""
    at = range(len(which))
    return Curves(*(np.array([getattr(fits[which[g]], name)[g] for g in at]) for name in ("a", "b", "e")))
