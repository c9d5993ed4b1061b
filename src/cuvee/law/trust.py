"""Whether a law knows enough about mixtures for one to be proposed by it.

Two things are asked of it on mixtures left out. Its error must be less than that of guesses without a form, the mean
and the nearest run. And it must order them better than chance: with n mixtures that a law knows nothing of, Spearman's
correlation has the standard deviation (n - 1)^(-1/2), so it has to lie above ``LEVEL``'s quantile of that. A straight
line is no such guess: a law of lines is no worse for being one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import NormalDist
from typing import Any

import numpy as np

from .judge import spearman

GUESSES = ("mean", "nearest")
LEVEL = 0.95
"""Of the rank correlation, one-sided."""


def doubt(outcomes: Sequence[Mapping[str, Any]]) -> str:
    """Why the law is not to be relied on, in a clause; empty if it is.

    Args:
        outcomes: what a fit says of each, with "weight", "error", "baselines" by name, and for every mixture
            "observed" and, while it was left out, "predicted"; what a law has no form for is not finite.
    """
    error = sum(one["weight"] * one["error"] for one in outcomes)
    for name in GUESSES:
        guess = sum(one["weight"] * one["baselines"].get(name, math.inf) for one in outcomes)
        if not error < guess:
            return f"the law misses mixtures left out by as much as {_WORDS[name]} does"
    observed, predicted = (
        np.sum([one["weight"] * np.array(one[key], np.float64) for one in outcomes], axis=0)
        for key in ("observed", "predicted")
    )
    known = np.isfinite(predicted)
    rank, number = spearman(predicted[known], observed[known]), int(known.sum())
    if math.isnan(rank):
        return "the law predicts the same for all mixtures left out, or for too few"
    least = NormalDist().inv_cdf(LEVEL) / math.sqrt(number - 1)
    if rank <= least:
        return f"the law's rank correlation on {number} mixtures left out is {rank:.2f}, and chance reaches {least:.2f}"
    return ""


_WORDS = {"mean": "the mean of the others", "nearest": "the nearest run"}
