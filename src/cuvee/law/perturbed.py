"""The mean of the best of many random mixtures, a third of them drawn near the best of the others.

Liu et al., "RegMix", ICLR 2025, arXiv 2407.01492, average the best of mixtures simulated around the natural one. With
many sources few of these lie where the law is low, and those that do are the mean of whatever was hit. So half as many
are drawn again, around the mean of the best: Dirichlet(a times that mean), a log-uniform in [5, 200]; then the best of
all are averaged.

On planted losses of 6 and 16 sources, trees fitted to 64 or 256 runs (``bench/search_options.py``), this loses less of
what could be gained than draws around the natural mixture alone: see docs/mix.md. Half as many draws more around the
natural mixture bring nothing, and so do further rounds of this.

Inputs: fits, bounds. Cost: half as many predictions again as without. Traps: those of the law. Where its least is a
false one, as of lines, which have theirs at a corner, draws near it lead there.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ..core import Prediction
from .propose import Question, mean_of_best, random_mixtures
from .rounds import around, within

Floats = npt.NDArray[np.float64]
LEAST, MOST = 5.0, 200.0
"""Strengths of the draws near the best."""
FLOOR = 1e-3
"""A source that the best mixtures lack is drawn as if they had so much of it."""


def best(question: Question, fits: Sequence[Sequence[Prediction]], at: int) -> Floats:
    """The proposal of the ``at``-th fits: float64, (k,), within the caps."""
    bounds = question.bounds
    random = np.random.default_rng([question.seed, 7])  # the same draws for every resample
    drawn = random_mixtures(bounds, question.draws, question.seed)
    value = question.value(fits, at, drawn)
    middle = np.maximum(mean_of_best(lambda _: value, drawn, question.top), FLOOR)
    centre = np.where(bounds.prior > 0, middle, 0.0)
    strength = np.exp(random.uniform(np.log(LEAST), np.log(MOST), question.draws // 2))
    near = within(around(centre / centre.sum(), strength, random), bounds)
    every = np.concatenate([value, question.value(fits, at, near)])
    return mean_of_best(lambda _: every, np.concatenate([drawn, near]), question.top)
