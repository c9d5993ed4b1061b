"""Mixtures that cover the simplex: many random ones, of which the closest two are merged until few enough remain.

Chen et al., "Aioli: A Unified Optimization Framework for Language Model Data Mixing", 2024, arXiv 2411.05735, fit their
static laws to such mixtures (public code: HazyResearch/aioli): 2^4 N draws of Dirichlet(1.5), of which the closest pair
is replaced by its midpoint, again and again, until N remain. Distances are Euclid's.

What differs here: shares above a source's cap go to the others before anything is merged, and midpoints keep the caps,
which are convex; and each mixture that is run anyway (proportional, uniform) takes the place of the nearest point.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ..law.propose import Bounds
from ..law.rounds import within
from . import design

Floats = npt.NDArray[np.float64]
DESIGNS = ("random", "cover")
"""How a search draws its first mixtures: around the natural one (``design``), or all over the simplex (here)."""
SHAPE = 1.5
TIMES = 16


def swarm(caps: Floats, count: int, seed: int, known: Floats) -> Floats:
    """Mixtures that cover the simplex within the caps: (count, k), or fewer if the caps leave no room.

    Args:
        caps: float64, (k,). known: float64, (n, k): mixtures that are run besides; none of the others is near them.

    Cost: O((16 count)^2 k): a tenth of a second for 64 mixtures of 34 sources.
    """
    k = len(caps)
    random = np.random.default_rng([seed, 8])
    drawn = random.dirichlet(np.full(k, SHAPE), TIMES * (count + len(known)))
    left = merged(within(drawn, Bounds(np.full(k, 1 / k), caps)), count + len(known))
    for one in known:
        left = np.delete(left, int(((left - one) ** 2).sum(1).argmin()), axis=0)
    return design.apart(left, known, count)


def merged(points: Floats, count: int) -> Floats:
    """The points, (n, k), with the closest two replaced by their midpoint until ``count`` remain: (count, k)."""
    at = points.copy()
    number, squares = len(at), (at**2).sum(1)
    alive = np.ones(number, bool)
    nearest, away = np.zeros(number, np.int64), np.full(number, np.inf)

    def look(row: int) -> Floats:
        """Distances to one point, squared; infinite to itself and to what is gone."""
        found = squares - 2.0 * np.einsum("nk,k->n", at, at[row]) + squares[row]
        found[~alive] = np.inf
        found[row] = np.inf
        return np.asarray(found)

    def settle(row: int) -> None:
        found = look(row)
        nearest[row] = found.argmin()
        away[row] = found[nearest[row]]

    for row in range(number):
        settle(row)
    for _ in range(number - count):
        one = int(away.argmin())
        other = int(nearest[one])
        at[one] = (at[one] + at[other]) / 2
        squares[one] = (at[one] ** 2).sum()
        alive[other], away[other] = False, np.inf
        found = look(one)
        closer = found < away
        closer &= alive
        nearest[closer], away[closer] = one, found[closer]
        stale = alive & ((nearest == one) | (nearest == other)) & ~closer
        stale[one] = True
        for left in np.flatnonzero(stale).tolist():
            settle(left)
    return at[alive]
