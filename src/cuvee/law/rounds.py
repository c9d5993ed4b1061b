"""Rounds of random mixtures that tighten around the best: a search that asks nothing of a law but its predictions.

The simulation that allenai/olmix proposes by (its utilities for fits and proposals, commit 9586977): ten rounds of
draws from Dirichlet(a prior), in round r from 0 with a log-uniform in [1, 100] times 2 (r + 1). All that is within 1e-3
of a round's least prediction is averaged, shares below 1e-5 become 0, and the next round's prior is the mean of this
one's and that average. The last average is the proposal.

It finds minima that descent from a few starts does not, and averages what a law cannot tell apart, which keeps it from
corners; no pull toward the natural mixture is applied (``olmix`` alone has one, in its descent). Shares above a cap are
poured over the others here, where the project drops the draw: under tight caps few would be left.

Inputs: fits, bounds. Cost: a million predictions for the fit to all runs (the project: ten million), 40,000 for each
resample. Traps: 1e-3 is in the outcome's unit, so losses that all lie within it give the middle of all draws; a source
of prior 0, or of share 0 in two rounds' averages, hardly returns.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ..core import Prediction
from .propose import Bounds, Question

Floats = npt.NDArray[np.float64]
ROUNDS = 10
LEAST, MOST, FACTOR = 1.0, 100.0, 2.0
NEAR = 1e-3
"""How far, in the outcome's unit, a prediction may be above the least to be averaged."""
SMALL = 1e-5
DRAWS, FEW_DRAWS = 100_000, 4_000
"""A round's draws for the fit to all runs, and for each of many resamples."""


def tightened(question: Question, fits: Sequence[Sequence[Prediction]], at: int, draws: int) -> Floats:
    """The proposal of the ``at``-th fits, by rounds of so many draws: float64, (k,), within the caps."""
    random = np.random.default_rng([question.seed, 3])  # the same draws for every resample
    bounds, prior = question.bounds, question.bounds.prior
    found = prior
    for number in range(ROUNDS):
        strength = FACTOR * (number + 1) * np.exp(random.uniform(np.log(LEAST), np.log(MOST), draws))
        drawn = within(around(prior, strength, random), bounds)
        value = question.value(fits, at, drawn)
        value = np.where(np.isfinite(value), value, np.inf)
        if not np.isfinite(value.min()):
            continue
        found = drawn[value - value.min() < NEAR].mean(0)
        found = np.where(found < SMALL, 0.0, found)
        found = found / found.sum()
        prior = (found + prior) / 2
    return within(found[None], bounds)[0]


def around(prior: Floats, strength: Floats, random: np.random.Generator) -> Floats:
    """A Dirichlet draw of each strength times the prior, (n,): float64, (n, k)."""
    shape = strength[:, None] * prior
    # Gamma(a) is Gamma(a + 1) U^(1 / a): logarithms do not underflow where a is small
    with np.errstate(divide="ignore"):
        logs = np.log(random.gamma(shape + 1.0)) + np.log(random.random(shape.shape)) / np.maximum(shape, 1e-300)
    logs = np.where(shape > 0, logs, -np.inf)
    drawn = np.exp(logs - logs.max(1, keepdims=True))
    return np.asarray(drawn / drawn.sum(1, keepdims=True))


def within(rows: Floats, bounds: Bounds) -> Floats:
    """The rows with what lies above caps poured over the others in proportion, all rows at once."""
    found = rows.copy()
    over = np.flatnonzero((rows > bounds.caps).any(1))
    open_to = np.where(bounds.prior > 0, 1e-12, 0.0)  # what has no share yet may take what others must not
    row, full = rows[over] + open_to, np.zeros((len(over), rows.shape[1]), bool)
    level = row / row.sum(1, keepdims=True)
    while (
        above := level > bounds.caps * (1 + 1e-12)
    ).any():  # a source that is full stays full, as the rest only rises
        full |= above
        rest = np.where(full, 0.0, row)
        left = 1.0 - np.where(full, bounds.caps, 0.0).sum(1, keepdims=True)
        level = np.where(full, bounds.caps, rest * (left / np.maximum(rest.sum(1, keepdims=True), 1e-300)))
    found[over] = level / level.sum(1, keepdims=True)
    return found
