"""A linear classifier on sparse rows, and the two statistics by which it is judged.

``train`` solves L2-regularised logistic regression,

    min 1/2 (|w|^2 + b^2) + sum_i C_i log(1 + exp(-y_i (w x_i + b))),

by dual coordinate descent (Yu, Huang and Lin, "Dual coordinate descent methods for logistic regression and
maximum entropy models", Machine Learning 85, 2011). There is one optimum and no learning rate, and rows are
visited in a given order on one thread: same input, same bits. Rows are in compressed sparse form: row i has
the values ``value[indptr[i]:indptr[i + 1]]`` at the places ``index[indptr[i]:indptr[i + 1]]``.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ..core import Array
from ..engine.kernel import kernel

Floats = npt.NDArray[np.float64]


@kernel
def decision(indptr: Array, index: Array, value: Array, weight: Floats, bias: float) -> Floats:
    """Log odds of every row."""
    out = np.empty(len(indptr) - 1, np.float64)
    for i in range(len(out)):
        total = bias
        for j in range(indptr[i], indptr[i + 1]):
            total += value[j] * weight[index[j]]
        out[i] = total
    return out


@kernel
def train(
    indptr: Array, index: Array, value: Array, positive: Array, limit: Floats, order: Array, buckets: int
) -> tuple[Floats, float]:
    """Weights float64 (buckets,) and bias after visiting the rows in ``order`` int64 (visits,).

    ``positive`` bool (rows,) are the classes, ``limit`` float64 (rows,) the constants C_i. Each visit solves
    log(z / (C - z)) + q (z - a) + y s = 0 for one dual variable z in (0, C), by Newton steps in a bracket.
    """
    rows = len(indptr) - 1
    weight, bias = np.zeros(buckets, np.float64), 0.0
    dual, norm = np.zeros(rows, np.float64), np.ones(rows, np.float64)
    for i in range(rows):
        for j in range(indptr[i], indptr[i + 1]):
            norm[i] += value[j] * value[j]
    for i in order:
        sign = 1.0 if positive[i] else -1.0
        margin = bias
        for j in range(indptr[i], indptr[i + 1]):
            margin += value[j] * weight[index[j]]
        low, high, old = 0.0, limit[i], dual[i]
        z = old if old > 0.0 else 0.5 * high
        for _ in range(100):
            slope = np.log(z / (limit[i] - z)) + norm[i] * (z - old) + sign * margin
            if slope > 0.0:
                high = z
            else:
                low = z
            if abs(slope) < 1e-12 or not low < high:
                break
            following = z - slope / (limit[i] / (z * (limit[i] - z)) + norm[i])
            if not low < following < high:
                following = 0.5 * (low + high)
            if following == z or not 0.0 < following < limit[i]:
                break
            z = following
        dual[i] = z
        step = sign * (z - old)
        bias += step
        for j in range(indptr[i], indptr[i + 1]):
            weight[index[j]] += step * value[j]
    return weight, bias


def mean_ranks(values: Floats) -> Floats:
    """Ranks from 1; equal values share their mean rank."""
    _, inverse, count = np.unique(values, return_inverse=True, return_counts=True)
    ranks: Floats = (np.cumsum(count) - (count - 1) / 2.0)[inverse]
    return ranks


def rank_correlation(a: Floats, b: Floats) -> float:
    """Spearman's correlation; 0 where one side is constant."""
    x, y = (ranks - ranks.mean() if len(ranks) else ranks for ranks in (mean_ranks(a), mean_ranks(b)))
    scale = float(np.sqrt((x * x).sum() * (y * y).sum()))
    return float((x * y).sum()) / scale if scale else 0.0


def auc(positive: Floats, negative: Floats) -> tuple[float, float]:
    """The area under the ROC curve and its variance (DeLong, DeLong and Clarke-Pearson, Biometrics 44, 1988).

    Needs at least two scores on each side.
    """
    m, n = len(positive), len(negative)
    joint = mean_ranks(np.concatenate([positive, negative]))
    above = (joint[:m] - mean_ranks(positive)) / n  # share of negatives below each positive
    below = 1.0 - (joint[m:] - mean_ranks(negative)) / m
    return float(above.mean()), float(above.var(ddof=1) / m + below.var(ddof=1) / n)
