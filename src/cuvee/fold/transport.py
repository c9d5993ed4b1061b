"""Entropic optimal transport between two weighted point sets, and its extension to points that were not in them.

With cost C, weights a (n,) and b (m,), the dual potentials f, g of

    min_P <C, P> + epsilon KL(P | a b^T)   satisfy   f_i = -epsilon log sum_j b_j exp((g_j - C_ij) / epsilon)

and the mirror image; P_ij = a_i b_j exp((f_i + g_j - C_ij) / epsilon). They are found by Sinkhorn's iterations (Cuturi
2013) with falling epsilon and stabilised kernels (Schmitzer 2019): scaling vectors are absorbed into the potentials
before they leave the range of floating point, so small epsilon is safe. Stops when the columns' marginals are off by
less than ``tolerance`` in sum. Memory: two matrices n x m of float64; the methods sample so that these fit.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ..core import Array
from ..engine.kernel import kernel

Floats = npt.NDArray[np.float64]
RANGE = 60.0


class Transport(NamedTuple):
    """Potentials f (n,) and g (m,), transport cost <C, P>, iterations, and the marginals' error."""

    f: Floats
    g: Floats
    cost: float
    iterations: int
    error: float


def squared_distances(x: Array, y: Array) -> Floats:
    """|x_i - y_j|^2, float64 (n, m), never negative."""
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    found = (x * x).sum(axis=1)[:, None] + (y * y).sum(axis=1) - 2.0 * (x @ y.T)
    return np.maximum(found, 0.0)


def soft_minimum(cost: Floats, other: Floats, log_weight: Floats, epsilon: float) -> Floats:
    """-epsilon log sum_j weight_j exp((other_j - cost_ij) / epsilon), float64 (n,)."""
    z = (other - cost) / epsilon + log_weight
    most = z.max(axis=1)
    return -epsilon * (most + np.log(np.exp(z - most[:, None]).sum(axis=1)))


def sinkhorn(
    cost: Array,
    epsilon: float,
    a: Array | None = None,
    b: Array | None = None,
    tolerance: float = 1e-4,
    most: int = 5000,
) -> Transport:
    """Solve for the potentials; uniform weights by default. ``epsilon`` in the unit of the cost."""
    cost = np.asarray(cost, np.float64)
    n, m = cost.shape
    a, b = (np.full(k, 1.0 / k) if w is None else np.asarray(w, np.float64) for k, w in ((n, a), (m, b)))
    log_a, log_b = np.log(a), np.log(b)
    f, g = np.zeros(n), np.zeros(m)
    steps, error, now = 0, np.inf, max(float(cost.max()), epsilon)
    while True:
        f = soft_minimum(cost, g, log_b, now)
        g = soft_minimum(cost.T, f, log_a, now)
        last = now <= epsilon
        u, v, limit = np.ones(n), np.ones(m), tolerance if last else max(tolerance, 0.05)
        kernel_now = np.exp((f[:, None] + g - cost) / now)
        while steps < most:
            steps += 1
            u = 1.0 / (kernel_now @ (b * v))
            reached = kernel_now.T @ (a * u)
            error = float((b * np.abs(v * reached - 1.0)).sum())
            v = 1.0 / reached
            if error < limit:
                break
            if max(np.abs(np.log(u)).max(), np.abs(np.log(v)).max()) > RANGE:
                f, g = f + now * np.log(u), g + now * np.log(v)
                kernel_now, u, v = np.exp((f[:, None] + g - cost) / now), np.ones(n), np.ones(m)
        f, g = f + now * np.log(u), g + now * np.log(v)
        if last:
            plan_cost = float((np.exp((f[:, None] + g - cost) / epsilon) * cost * a[:, None] * b).sum())
            return Transport(f, g, plan_cost, steps, error)
        now = max(now * 0.5, epsilon)


@kernel
def extend(products: Array, square: Array, other_square: Array, other: Array, epsilon: float, out: Array) -> None:
    """The potential at new points: the soft minimum over j of |x_i - y_j|^2 - other_j, uniform weights.

    products float32 (n, m), square float64 (n,), other_square and other float64 (m,), out float64 (n,).
    """
    m = len(other)
    for i in range(len(out)):
        most = -np.inf
        for j in range(m):
            z = (other[j] - max(square[i] + other_square[j] - 2.0 * products[i, j], 0.0)) / epsilon
            most = max(most, z)
        total = 0.0
        for j in range(m):
            z = (other[j] - max(square[i] + other_square[j] - 2.0 * products[i, j], 0.0)) / epsilon
            total += np.exp(z - most)
        out[i] = -epsilon * (most + np.log(total / m))
