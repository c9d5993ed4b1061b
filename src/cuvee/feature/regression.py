"""Ridge regression on vectors, with the penalty that ranks held-out rows best; and how well it does beside text length.

With centred rows X (n, d) and outcomes y of mean 0 and variance 1, the weights are (X^T X + n p I)^{-1} X^T y. Of
``PENALTIES`` p the one is taken whose predictions have the highest rank correlation with the outcomes held out; the
weights are then fitted to all rows. Sums do not go through a library that splits them among threads. Cost: d^2 n.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ..core import Array
from ..fold.linear_kernels import rank_correlation

Floats = npt.NDArray[np.float64]
PENALTIES = tuple(10.0**power for power in range(-4, 4))


def ridge(x: Floats, y: Floats, penalties: tuple[float, ...]) -> list[Floats]:
    """Weights (d + 1,) for each penalty, the last number for the constant, which is not shrunk."""
    mean, middle = x.mean(axis=0), float(y.mean())
    centred = x - mean
    gram, right = np.einsum("ni,nj->ij", centred, centred), np.einsum("ni,n->i", centred, y - middle)
    unit = len(x) * np.eye(x.shape[1])
    found = [np.linalg.solve(gram + penalty * unit, right) for penalty in penalties]
    return [np.append(weight, middle - mean @ weight) for weight in found]


def beside(a: Array, b: Array, c: Array) -> float:
    """Spearman's correlation of a and b with c partialled out."""
    ab, ac, bc = rank_correlation(a, b), rank_correlation(a, c), rank_correlation(b, c)
    return float((ab - ac * bc) / np.sqrt(max((1 - ac * ac) * (1 - bc * bc), 1e-12)))


def learn(vectors: Array, outcome: Array, length: Array, held: Array) -> tuple[Floats, dict[str, float]]:
    """Weights (d + 1,) that predict the standardised outcome, and notes on the rows under the mask ``held``.

    Notes: "held_out_correlation" (Spearman) of predicted and true, "given_length" the same with ``length`` partialled
    out, "outcome_with_length" over all rows, and "penalty".
    """
    x, y, long = (np.asarray(one, np.float64) for one in (vectors, outcome, length))
    y = (y - y.mean()) / max(float(y.std()), 1e-300)
    told = [x[held] @ weight[:-1] for weight in ridge(x[~held], y[~held], PENALTIES)]
    right = [rank_correlation(one, y[held]) for one in told]
    best = int(np.argmax(right))
    notes = {"held_out_correlation": right[best], "given_length": beside(told[best], y[held], long[held])}
    notes |= {"outcome_with_length": rank_correlation(y, long), "penalty": PENALTIES[best]}
    return ridge(x, y, PENALTIES[best : best + 1])[0], notes
