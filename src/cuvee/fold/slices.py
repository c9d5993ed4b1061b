"""Sliced optimal transport: along a direction it is a matter of sorting, and so are its potentials.

Rabin et al., "Wasserstein Barycenter and its Application to Texture Mixing", SSVM 2011; Bonneel et al., JMIV 2015. For
points with weights on a line with distribution function F and m target points with quantiles G^-1, the squared distance
and the derivative of it as mass goes to x are

    W^2 = int_0^1 (F^-1(u) - G^-1(u))^2 du,    phi(x), where phi'(x) = 2 (x - T(x)),  T = G^-1(F(x)),

phi up to a constant. Sliced distances and potentials are means over directions.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def directions(count: int, width: int, seed: int) -> npt.NDArray[np.float32]:
    """Random unit vectors, float32 (count, width), the same for the same seed."""
    found = np.random.default_rng([seed, 0x511CE]).normal(size=(count, width))
    return np.asarray(found / np.linalg.norm(found, axis=1, keepdims=True), np.float32)


def transported(weight: Floats, target: Floats) -> tuple[Floats, Floats]:
    """For points in ascending order with weights (n,) that sum to one: the mean and the mean square of the target (m,),
    ascending, over each one's share of the mass; float64 (n,)."""
    edges = np.concatenate([[0.0], np.minimum(np.cumsum(weight), 1.0)])
    edges[-1] = 1.0
    m = len(target)
    at = np.minimum((edges * m).astype(np.int64), m - 1)
    found = []
    for values in (target, target * target):
        total = np.concatenate([[0.0], np.cumsum(values)])
        integral = (total[at] + values[at] * (edges * m - at)) / m
        found.append(np.diff(integral) / np.maximum(np.diff(edges), 1e-300))
    return found[0], found[1]


def squared_distance(point: Floats, weight: Floats, target: Floats) -> float:
    """W^2 of points in ascending order with weights, and a target in ascending order with equal ones."""
    mean, square = transported(weight, target)
    return float(weight @ (point * point - 2 * point * mean + square))


def potential(point: Floats, weight: Floats, target: Floats) -> Floats:
    """phi at points in ascending order, its weighted mean 0, float64 (n,).

    Between two points F is constant, at the mass up to the first of them, so phi is a parabola there.
    """
    reached = np.minimum((np.cumsum(weight) * len(target)).astype(np.int64), len(target) - 1)[:-1]
    steps = point[1:] ** 2 - point[:-1] ** 2 - 2 * target[reached] * (point[1:] - point[:-1])
    found = np.concatenate([[0.0], np.cumsum(steps)])
    return found - weight @ found
