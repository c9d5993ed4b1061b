"""The arithmetic of bag-of-n-grams importance weights: log ratios per bucket, and how much closer a selection came.

With counts c of a target and r of a pool over the same buckets, p = (c + s) / sum(c + s), q = r / sum(r):

    d_j = log(p_j + 1e-8) - log(q_j + 1e-8)
    KL(p || q) = sum_j p_j (log(p_j + 1e-8) - log(q_j + 1e-8))
    KL reduction = mean over targets of KL(p || q) - KL(p || q'), q' from the counts of the selection

Arrays are (buckets,) or, for several targets, (targets, buckets). The 1e-8 is the reference's: a bucket absent from
one side weighs log(p / 1e-8), about 10 for a common n-gram, so a single rare token can decide.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ..errors import DataError

Floats = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]
EPSILON = 1e-8


def shares(counts: Counts, smoothing: float = 0.0) -> Floats:
    """(counts + smoothing) / their sum, along the last axis."""
    raised = counts + float(smoothing)
    total = raised.sum(axis=-1, keepdims=True)
    if not (total > 0).all():
        raise DataError("There is not a single n-gram to count: the texts are empty or hold white space only.")
    return np.asarray(raised / total, np.float64)


def log_ratio(target: Floats, pool: Floats) -> Floats:
    """log(target + 1e-8) - log(pool + 1e-8) per bucket; both are shares."""
    return np.asarray(np.log(target + EPSILON) - np.log(pool + EPSILON), np.float64)


def divergence(target: Floats, other: Floats) -> Floats:
    """KL(target || other) with the same 1e-8, in nats, per target."""
    return np.asarray((target * log_ratio(target, other)).sum(axis=-1), np.float64)


def kl_reduction(target: Counts, pool: Counts, selected: Counts) -> float:
    """How much nearer the selection's n-grams are to the target's than the pool's were, in nats; mean over targets.

    All three are n-gram counts in the same buckets. DSIR's paper (section 5) finds it correlated with accuracy.
    """
    wanted = shares(target)
    return float(np.mean(divergence(wanted, shares(pool)) - divergence(wanted, shares(selected))))


def quotas(amount: int, proportions: Sequence[float] | Floats) -> Counts:
    """int(amount * proportion) for each target, the remainder to the last."""
    weights = np.asarray(proportions, np.float64)
    parts = np.array([int(amount * share) for share in weights / weights.sum()], np.int64)
    parts[-1] += amount - parts.sum()
    return parts
