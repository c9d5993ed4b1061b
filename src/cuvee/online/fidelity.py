"""Whether an estimated matrix A would move a mixture where the true one does.

Chen et al., "Aioli", 2024, arXiv 2411.05735, judge the matrices of online methods by A*, measured by brute force from
copies of one model: each group trained on alone (a factor of 1), often enough for the noise to go. All online updates
follow the column sums g_j = sum_i A_ij alone, what a share of group j brings to all losses together; so those are
compared. :func:`cuvee.online.law.fidelity` compares what A predicts for random mixtures instead.

Inputs: two (k, k) matrices, as they were measured. Cost: none; A* costs k stretches of training a repetition. Traps:
the cosine is near 1 where all columns help about alike, whichever helps most, and a shift of A (as
:func:`cuvee.online.law.normalised` makes) changes it; the rank says nothing of size, and of three groups has but a few
values.
"""

from __future__ import annotations

import numpy as np

from .law import Floats, gains, rank_correlation


def agreement(matrix: Floats, exact: Floats) -> dict[str, float]:
    """How well the column sums of a matrix agree with those of the one that brute force gave.

    Args:
        matrix, exact: float64, (k, k).

    Returns:
        "cosine" of the two vectors of column sums, 0 if one of them is 0; "rank", their Spearman correlation, 0 if one
        is constant.
    """
    told, true = gains(matrix), gains(exact)
    size = float(np.sqrt((told @ told) * (true @ true)))
    return {"cosine": float(told @ true) / size if size > 0 else 0.0, "rank": rank_correlation(told, true)}
