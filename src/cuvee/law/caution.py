"""How far to go from the natural mixture toward what a law proposes: as far as runs show it to be worth it.

A law promises a gain over the natural mixture, and the least of a fitted surface is where the law flatters most. So not
that optimum is aimed at, but the mean of the optima of the laws that bootstrap resamples of the runs have: what single
runs decide differs between resamples and cancels (Breiman, "Bagging Predictors", 1996). How wrong the promised
difference may be on the way there, t of it, has three sources, the first two
taken as independent:

* **Refits**, with the standard deviation r(t) over resamples of the difference that each predicts.
* **Misfit.** The natural mixture was run itself. For every other mixture i, its measured difference to the natural
  one less the difference that a law predicts which has not seen mixture i is an error e_i of just the kind that
  matters. With d_i the total variation from the natural mixture, the error to be feared at distance d has the square
  mean(e_i^2 / d_i) d: the variogram of a continuous surface of any roughness is linear near 0. Errors in proportion to
  d would take the surface to be smooth, which it is not where a source has been gone through once.
* **Level.** Where the mixtures that lie nearest the natural one, a third of all, are mostly worse than the law says, it
  misses the natural one itself, which alone may repeat nothing. The median of their errors, where it is above 0, is l.

The bound on the difference at t is the larger of what the fit to all runs predicts and the mean over resamples, plus l
plus z (r(t)^2 + mean((e_i - l)^2 / d_i) d(t))^(1/2), with z of the one-sided level ``LEVEL`` for up to six sources.
The direction was chosen by the same runs, the best of as many as there are sources less one: as in a bound on all
directions at once (Scheffe), z grows with the root of that number. The t of the least bound is taken; 0, the natural
mixture itself, where none is below 0.

The level is measured, not meant: errors of mixtures left out hold the noise of their own runs and are those of laws
with fewer runs, and the least bound is where the law is worst. ``claims/caution.py`` counts in planted swarms how many
proposals are worse than the natural mixture.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt

from ..core import Law, Runs
from .judge import folds, group_means

Floats = npt.NDArray[np.float64]
STEPS = 20
LEVEL = 0.8
"""Of the bound, one-sided, for up to ``FEW`` sources; see above."""
FEW = 6
NEAR = 3
"""The part of the mixtures that counts as near the natural one: a third."""
ROUGH = 0.5
"""The power of distance by which errors grow."""


@dataclass(frozen=True)
class Step:
    """How far a proposal goes.

    Attributes:
        toward: float64, (k,): the mean of the resamples' optima.
        t: from 0, the natural mixture, to 1, ``toward``.
        moved: total variation between the natural mixture and the proposal.
        optimism: by how much resamples promise more than the fit to all runs grants there, on average; 0 at least.
        path: float64, (STEPS + 1, 4): t, the difference that the law predicts, its bound by refits alone, and its bound
            by refits and misfit together.
    """

    toward: Floats
    t: float
    moved: float
    optimism: float
    path: Floats

    def as_json(self) -> dict[str, Any]:
        """What search.json says; "bound" is the least of the bounds on the way, also where nothing is gone."""
        least = 1 + int(np.argmin(np.where(np.isfinite(self.path[1:, 3]), self.path[1:, 3], np.inf)))
        return {
            "share": self.t,
            "moved": self.moved,
            "predicted": float(self.path[least, 1]),
            "bound": float(self.path[least, 3]),
            "bound_at": float(self.path[least, 0]),
            "level": LEVEL,
            "path": self.path.tolist(),
        }


def distance(mixtures: Floats, natural: Floats) -> Floats:
    """Total variation from the natural mixture: float64, (n,)."""
    return np.asarray(0.5 * np.abs(mixtures - natural).sum(-1))


def left_out(law: Law, runs: Sequence[Runs], weight: Floats, anchor: int) -> tuple[Floats, Floats]:
    """How wrong the law is about mixtures' differences to the natural one, while they are left out of the fit.

    Args:
        runs: of each outcome. ``weight``: float64, (outcomes,). ``anchor``: the group of the natural mixture's runs,
            which are never left out: the proposal's law has seen them, too.

    Returns:
        float64, (n, k): the other mixtures run, and float64, (n,): measured less predicted difference.

    Cost: ten fits for each outcome.
    """
    first = runs[0]
    groups = np.unique(first.group)
    natural = first.group == anchor
    masks = [mask & ~natural for mask in folds(first)]
    counts = np.array([~mask for mask in masks], np.int64)
    refits = [law.refit(one, counts) for one in runs]
    settings = group_means(first)[0]
    measured = np.sum([w * group_means(one)[1] for w, one in zip(weight, runs, strict=True)], axis=0)
    at = int(np.flatnonzero(groups == anchor)[0])
    errors = np.full(len(groups), np.nan)
    for fold, mask in enumerate(masks):
        own = np.isin(groups, first.group[mask])
        said = np.sum([w * fits[fold].at(settings) for w, fits in zip(weight, refits, strict=True)], axis=0)
        errors[own] = ((measured - measured[at]) - (said - said[at]))[own]
    others = groups != anchor
    return settings.mixture[others], errors[others]


def cautious(
    natural: Floats,
    proposals: Floats,
    full: Callable[[Floats], Floats],
    resampled: Callable[[int, Floats], Floats],
    measured: Floats,
    errors: Floats,
) -> Step:
    """How far to go from ``natural``, (k,), toward the mean of the resamples' optima.

    Args:
        proposals: float64, (b, k): each resample's own optimum.
        full: what the fit to all runs predicts for mixtures, (n, k) to (n,). ``resampled``: what a resample predicts.
        measured, errors: what :func:`left_out` returns.
    """
    ts = np.linspace(0.0, 1.0, STEPS + 1)
    known = proposals[np.isfinite(proposals).all(1)]
    toward = known.mean(0) if len(known) else natural
    moved = ts * distance(toward, natural)
    predicted = _difference(full, natural, toward, ts)
    each = np.stack([_difference(lambda x, b=b: resampled(b, x), natural, toward, ts) for b in range(len(proposals))])  # type: ignore[misc]
    told = np.isfinite(each).all(1)
    if told.sum() > 1:
        middle, spread = np.maximum(predicted, each[told].mean(0)), each[told].std(0)
    else:
        middle, spread = predicted, np.full(len(ts), np.inf)
    missed = level(measured, errors, natural)
    middle = middle + missed
    z = NormalDist().inv_cdf(LEVEL) * math.sqrt(max(1.0, (np.count_nonzero(natural) - 1) / (FEW - 1)))
    with np.errstate(invalid="ignore"):  # an infinite error at distance 0
        bound = middle + z * np.hypot(spread, misfit(measured, errors - missed, natural) * moved**ROUGH)
    middle[0] = bound[0] = 0.0
    at = int(np.argmin(np.where(np.isfinite(bound), bound, np.inf)))
    step = Step(
        toward, float(ts[at]), float(moved[at]), 0.0, np.column_stack([ts, predicted, middle + z * spread, bound])
    )
    return replace(step, optimism=_optimism(natural, proposals, full, resampled, step.t))


def misfit(measured: Floats, errors: Floats, natural: Floats) -> float:
    """The error to be feared at distance 1, by mixtures left out; infinite if none can tell."""
    far = distance(measured, natural)
    usable = np.isfinite(errors) & (far > 0)
    return math.sqrt(float((errors[usable] ** 2 / far[usable] ** (2 * ROUGH)).mean())) if usable.any() else math.inf


def level(measured: Floats, errors: Floats, natural: Floats) -> float:
    """By how much most mixtures near the natural one are worse than a law says that has not seen them; 0 at least."""
    far = distance(measured, natural)
    usable = np.flatnonzero(np.isfinite(errors) & (far > 0))
    near = usable[np.argsort(far[usable], kind="stable")][: max(1, len(usable) // NEAR)]
    return max(0.0, float(np.median(errors[near]))) if len(near) else 0.0


def _optimism(
    natural: Floats,
    proposals: Floats,
    full: Callable[[Floats], Floats],
    resampled: Callable[[int, Floats], Floats],
    t: float,
) -> float:
    """By how much resamples promise more, t of the way to their own optima, than the fit to all runs grants there."""
    if t == 0.0:
        return 0.0
    over = []
    for b, one in enumerate(proposals):
        granted, promised = (
            _difference(value, natural, one, np.array([0.0, t]))[1] for value in (full, lambda x, b=b: resampled(b, x))
        )
        over.append(granted - promised)
    known = np.array(over)[np.isfinite(over)]
    return max(0.0, float(known.mean())) if len(known) else 0.0


def _difference(value: Callable[[Floats], Floats], natural: Floats, best: Floats, ts: Floats) -> Floats:
    """Predicted differences to the natural mixture on the way to ``best``."""
    found = value(natural + ts[:, None] * (best - natural))
    return found - found[0]
