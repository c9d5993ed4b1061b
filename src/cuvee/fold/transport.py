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


class GrowingTransport:
    """Transport from a set of points that grows to targets that stay, uniform weights on both sides.

    Each solution begins where the last one ended: new points get the potentials that the targets' imply, and what the
    kernel held stays. Near the solution, steps go further than Sinkhorn's (over-relaxation: Thibault et al.,
    "Overrelaxed Sinkhorn-Knopp algorithm for regularized optimal transport", 2021), which halves their number or
    better. Memory: two matrices points x targets of float32.

    Args:
        targets: how many there are.
        epsilon, tolerance: as for :func:`sinkhorn`.
    """

    def __init__(self, targets: int, epsilon: float, tolerance: float = 1e-3) -> None:
        self.epsilon, self.tolerance = epsilon, tolerance
        self.f, self.g = np.zeros(0), np.zeros(targets)
        self.v: Array = np.ones(targets, np.float32)
        self.cost: Array = np.zeros((0, targets), np.float32)
        self.kernel: Array = self.cost

    def add(self, cost: Array) -> None:
        """Points that join, by their costs to the targets, (n, targets)."""
        if not len(self.f):
            self.g = sinkhorn(cost, self.epsilon, tolerance=self.tolerance).g
        m = len(self.g)
        g = self.g + self.epsilon * np.log(self.v.astype(np.float64))
        f = soft_minimum(cost, g, np.full(m, -np.log(m)), self.epsilon)
        kernel_now = np.exp((f[:, None] + self.g - cost) / self.epsilon)
        self.f = np.concatenate([self.f, f])
        self.cost = np.concatenate([self.cost, cost.astype(np.float32)])
        self.kernel = np.concatenate([self.kernel, kernel_now.astype(np.float32)])

    def solve(self, most: int = 5000) -> float:
        """The transport cost of all points that have joined."""
        a, b = np.float32(1.0 / len(self.f)), np.float32(1.0 / len(self.g))
        u: Array = np.ones(len(self.f), np.float32)
        v: Array = self.v
        error, near = np.inf, False
        for step in range(most):
            # a step that is to end the search must be Sinkhorn's own, which keeps the rows' marginals
            relax = np.float32(1.6 if 0 < step < 1000 and error < 0.1 and not near else 1.0)
            u = u ** (1 - relax) * (self.kernel @ (b * v)) ** -relax
            reached = self.kernel.T @ (a * u)
            error = float((b * np.abs(v * reached - 1.0)).sum())
            if error < self.tolerance and relax == 1.0:
                v = np.reciprocal(reached)
                break
            near = error < self.tolerance
            v = v ** (1 - relax) * reached**-relax
            if max(np.abs(np.log(u)).max(), np.abs(np.log(v)).max()) > 0.5 * RANGE:
                self.f += self.epsilon * np.log(u.astype(np.float64))
                self.g = self.g + self.epsilon * np.log(v.astype(np.float64))
                u, v = np.ones_like(u), np.ones_like(v)
                self.kernel = np.exp((self.f[:, None] + self.g - self.cost) / self.epsilon).astype(np.float32)
        self.v = v
        return float((a * u) @ ((self.kernel * self.cost) @ (b * v)))


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
