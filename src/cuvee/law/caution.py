"""How far to go from the natural mixture toward a law's optimum: no farther than runs show to be worth it.

A law promises a gain over the natural mixture, and the least of a fitted surface is where the law flatters most. How
wrong such promises are is measured in two ways:

* **Refits.** Each bootstrap resample of runs has a law, an optimum and a promise of its own. By how much more it
  promises, t of the way to its optimum, than the fit to all runs grants it there, is how wrong a promise may be for the
  choice of runs, the winner's curse included.
* **Misfit.** The natural mixture was run itself. For every other mixture i, its measured difference to the natural
  one less the difference that a law predicts which has not seen mixture i is an error e_i of just the kind that
  matters: a form that does not bend where the natural mixture begins to repeat text has errors of one sign. With d_i
  the total variation from the natural mixture, the error to be feared at distance d is e_i (d / d_i)^(1/2). The root is
  that of a continuous surface of any roughness (the variogram of exponential covariance near 0 is linear); errors in
  proportion to d would take the surface to be smooth, which it is not where a source has been gone through once.

The bound on the difference at t is what the fit to all runs says, plus the 95 % quantile of all sums of an error of one
kind and an error of the other. The t of the least bound is taken; 0, the natural mixture itself, where none is below 0.

Scaling errors of runs left out by how hard they are, and taking quantiles, is split conformal prediction (Lei et al.,
"Distribution-Free Predictive Inference for Regression", JASA 2018); guarantees do not carry over, since mixtures of the
swarm are not drawn as proposals are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from ..core import Law, Runs
from .judge import folds, group_means

Floats = npt.NDArray[np.float64]
STEPS = 20
LEVEL = 0.95
"""Of the bound, one-sided: the upper end of intervals of 90 %."""
ROUGH = 0.5
"""The power of distance by which errors grow."""


@dataclass(frozen=True)
class Step:
    """How far a proposal goes.

    Attributes:
        t: from 0, the natural mixture, to 1, the law's optimum.
        moved: total variation between the natural mixture and the proposal.
        optimism: by how much resamples promise more than the fit to all runs grants there, on average; 0 at least.
        path: float64, (STEPS + 1, 4): t, the difference that the law predicts, its bound by refits alone, and its bound
            by refits and misfit together.
    """

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
    best: Floats,
    proposals: Floats,
    full: Callable[[Floats], Floats],
    resampled: Callable[[int, Floats], Floats],
    measured: Floats,
    errors: Floats,
) -> Step:
    """How far to go from ``natural``, (k,), toward ``best``, (k,).

    Args:
        proposals: float64, (b, k): each resample's own optimum.
        full: what the fit to all runs predicts for mixtures, (n, k) to (n,). ``resampled``: what a resample predicts.
        measured, errors: what :func:`left_out` returns.
    """
    ts = np.linspace(0.0, 1.0, STEPS + 1)
    moved = ts * distance(best, natural)
    predicted = _difference(full, natural, best, ts)
    over = np.stack(
        [
            _difference(full, natural, one, ts) - _difference(partial(resampled, b), natural, one, ts)
            for b, one in enumerate(proposals)
        ]
    )
    far = distance(measured, natural)
    usable = np.isfinite(errors) & (far > 0)
    each = errors[usable] / far[usable] ** ROUGH if usable.any() else np.full(1, np.nan)
    chance = np.array([_quantile(column) for column in over.T])
    both = np.array(
        [_quantile(np.add.outer(column, each * d**ROUGH).ravel()) for column, d in zip(over.T, moved, strict=True)]
    )
    bound = predicted + both
    bound[0] = 0.0
    at = int(np.argmin(np.where(np.isfinite(bound), bound, np.inf)))
    known = over[np.isfinite(over[:, at]), at]
    optimism = max(0.0, float(known.mean())) if len(known) else 0.0
    return Step(float(ts[at]), float(moved[at]), optimism, np.column_stack([ts, predicted, predicted + chance, bound]))


def _difference(value: Callable[[Floats], Floats], natural: Floats, best: Floats, ts: Floats) -> Floats:
    """Predicted differences to the natural mixture on the way to ``best``."""
    found = value(natural + ts[:, None] * (best - natural))
    return found - found[0]


def _quantile(values: Floats) -> float:
    known = values[np.isfinite(values)]
    return float(np.quantile(known, LEVEL)) if len(known) else float("inf")
