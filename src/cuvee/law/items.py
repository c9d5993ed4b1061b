"""Items by the models that solve them: clusters of alike difficulty, and the nearest rising curve through points."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


def clusters(difficulty: Floats, radius: float, least: int) -> Ints:
    """Clusters of items within ``radius`` of their mean, largest first; -1 for items in none: int64, (items,).

    Args:
        difficulty: float64, (items, rungs): pass rates.
        least: the fewest items of a cluster.
    """
    label = np.full(len(difficulty), -1, np.int64)
    open_items = np.arange(len(difficulty))
    number = 0
    while len(open_items) >= least:
        here = difficulty[open_items]
        squares = (here**2).sum(1)
        near = squares[:, None] + squares[None] - 2 * here @ here.T <= radius**2 + 1e-12
        centre = here[int(near.sum(1).argmax())]
        inside = np.zeros(len(here), bool)
        for _ in range(50):
            again = ((here - centre) ** 2).sum(1) <= radius**2 + 1e-12
            if not again.any() or (again == inside).all():
                break
            inside, centre = again, here[again].mean(0)
        if inside.sum() < least:
            break
        label[open_items[inside]] = number
        open_items = open_items[~inside]
        number += 1
    return label


def isotonic(x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """The nearest rising curve through points, by pooling neighbours that fall: sorted x, and y."""
    order = np.argsort(x, kind="stable")
    levels: list[list[float]] = []
    for one in y[order]:
        levels.append([float(one), 1.0])
        while len(levels) > 1 and levels[-2][0] >= levels[-1][0]:
            value, weight = levels.pop()
            total = levels[-1][1] + weight
            levels[-1] = [(levels[-1][0] * levels[-1][1] + value * weight) / total, total]
    return x[order], np.repeat([one[0] for one in levels], [int(one[1]) for one in levels])
