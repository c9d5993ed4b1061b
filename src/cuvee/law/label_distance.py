"""How far labels are from one another: by the rows that have them, for distances between labelled data sets.

Alvarez-Melis and Fusi, "Geometric Dataset Distances via Optimal Transport", NeurIPS 2020, arXiv 2002.02923 (OTDD): a
row x with label y costs |x - x'|^2 + W^2(y, y') to move to x' with y', where W is the 2-Wasserstein distance between
the rows of the two labels. Both are taken for normal (the paper's fast form), so that with means m and covariances S

    W^2 = |m - m'|^2 + tr S + tr S' - 2 tr (S^1/2 S' S^1/2)^1/2.

Projektor (arXiv 2307.02460) measures labelled sources so. A label of one data set is not that of another, whatever
its name: a source whose labels are wrong has other rows under each, which is what this sees and |x - x'| does not.

Inputs: vectors and labels of each data set. Cost: a singular value decomposition for every pair of labels, of as many
rows and columns as they have rows. Traps: few rows of a label spread less than the label does, so that labels of a
handful of rows look near or far by chance: take 20 or more; the two parts of a cost are in one unit, squared vectors',
and where labels lie far apart they outweigh everything else.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Labels = npt.NDArray[np.generic]


def distances(sets: Sequence[Floats], labels: Sequence[Labels]) -> tuple[Floats, list[npt.NDArray[np.int64]]]:
    """Squared distances between all labels of all data sets.

    Args:
        sets: float64, (n_i, d) each. labels: (n_i,) each, of anything that can be sorted.

    Returns:
        float64, (c, c): between each two of the c pairs of a data set and one of its labels; and for each data set,
        which pair each of its rows belongs to, int64, (n_i,).
    """
    groups: list[Floats] = []
    member = []
    for rows, own in zip(sets, labels, strict=True):
        names, at = np.unique(own, return_inverse=True)
        member.append((at.ravel() + len(groups)).astype(np.int64))
        groups += [rows[at.ravel() == one] for one in range(len(names))]
    mean = [one.mean(0) for one in groups]
    around = [(one - middle) / np.sqrt(len(one)) for one, middle in zip(groups, mean, strict=True)]
    found = np.zeros((len(groups), len(groups)))
    for left in range(len(groups)):
        for right in range(left + 1, len(groups)):
            # the trace of the root is the sum of the singular values of X X'^T, where S = X^T X
            shared = float(np.linalg.svd(around[left] @ around[right].T, compute_uv=False).sum())
            spread = float((around[left] ** 2).sum() + (around[right] ** 2).sum()) - 2.0 * shared
            apart = float(((mean[left] - mean[right]) ** 2).sum()) + max(spread, 0.0)
            found[left, right] = found[right, left] = apart
    return found, member
