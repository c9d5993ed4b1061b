"""Entropic optimal transport between two weighted point sets, and its extension to points that were not in them.

With cost C, weights a (n,) and b (m,), the dual potentials f, g of

    min_P <C, P> + epsilon KL(P | a b^T)   satisfy   f_i = -epsilon log sum_j b_j exp((g_j - C_ij) / epsilon)

and the mirror image; P_ij = a_i b_j exp((f_i + g_j - C_ij) / epsilon). They are found by Sinkhorn's iterations (Cuturi
2013) with falling epsilon and stabilised kernels (Schmitzer 2019): scaling vectors are absorbed into the potentials
before they leave the range of floating point, so small epsilon is safe. Stops when the columns' marginals are off by
less than ``tolerance`` in sum. Memory: the cost and one more matrix n x m of float64; the methods sample so that these
fit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from mmap import mmap
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
    found: Floats = (x * x).sum(axis=1)[:, None] + (y * y).sum(axis=1)
    found -= 2.0 * (x @ y.T)
    return np.maximum(found, 0.0, out=found)


def soft_minimum(cost: Floats, other: Floats, log_weight: Floats, epsilon: float) -> Floats:
    """-epsilon log sum_j weight_j exp((other_j - cost_ij) / epsilon), float64 (n,)."""
    found = np.empty(len(cost))
    for part in blocks(len(cost)):
        z = (other - cost[part]) / epsilon + log_weight
        most = z.max(axis=1)
        found[part] = -epsilon * (most + np.log(np.exp(z - most[:, None]).sum(axis=1)))
    return found


def blocks(n: int, begin: int = 0) -> Iterator[slice]:
    """Runs of at most 64 rows from ``begin`` to ``n``: temporary matrices are made of so many."""
    return (slice(start, min(start + 64, n)) for start in range(begin, n, 64))


def fill(out: Array, cost: Floats, f: Floats, g: Floats, epsilon: float) -> None:
    """exp((f_i + g_j - cost_ij) / epsilon) into ``out``, (n, m)."""
    for part in blocks(len(cost)):
        out[part] = np.exp((f[part, None] + g - cost[part]) / epsilon)


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
    steps, error, now, kernel_now = 0, np.inf, max(float(cost.max()), epsilon), np.empty((n, m))
    while True:
        f = soft_minimum(cost, g, log_b, now)
        g = soft_minimum(cost.T, f, log_a, now)
        last = now <= epsilon
        u, v, limit = np.ones(n), np.ones(m), tolerance if last else max(tolerance, 0.05)
        fill(kernel_now, cost, f, g, now)
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
                u, v = np.ones(n), np.ones(m)
                fill(kernel_now, cost, f, g, now)
        f, g = f + now * np.log(u), g + now * np.log(v)
        if last:
            plan_cost = 0.0
            for part in blocks(n):
                plan = np.exp((f[part, None] + g - cost[part]) / epsilon) * a[part, None] * b
                plan_cost += float((plan * cost[part]).sum())
            return Transport(f, g, plan_cost, steps, error)
        now = max(now * 0.5, epsilon)


def sinkhorn_by_blocks(
    x: Array,
    y: Array,
    distances: Callable[[Array, Array], Array],
    epsilon: float,
    tolerance: float = 1e-4,
    most: int = 5000,
) -> Transport:
    """The same with uniform weights for sets of which no matrix fits: costs are computed anew in every iteration.

    Blocks of 64 of the n points ``x`` meet all m points ``y``, in logarithms throughout; memory is 64 x m and what the
    points take. An iteration costs n x m distances and twice as many exponentials.
    """
    n, m = len(x), len(y)
    y = np.asarray(y, np.float64)
    f, g, weight = np.zeros(n), np.zeros(m), np.full(m, -np.log(m))
    now = max((float(np.max(distances(x[part], y))) for part in blocks(n)), default=0.0)
    now, steps, error, cost = max(now, epsilon), 0, np.inf, 0.0
    while True:
        limit = tolerance if now <= epsilon else max(tolerance, 0.05)
        while steps < most:
            steps += 1
            top, total, cost = np.full(m, -np.inf), np.zeros(m), 0.0
            for part in blocks(n):
                here = np.asarray(distances(x[part], y), np.float64)
                f[part] = soft_minimum(here, g, weight, now)
                z = (f[part, None] - here) / now
                higher = np.maximum(top, z.max(axis=0))
                plan = np.exp(z - higher)
                total = total * np.exp(top - higher) + plan.sum(axis=0)
                top = higher
                plan *= here
                cost += float(plan.sum(axis=0) @ np.exp(g / now + higher))
            reached = np.exp(g / now + top) * total / n
            error = float(np.abs(reached - 1.0).mean())
            g = -now * (top + np.log(total / n))
            if error < limit:
                break
        if now <= epsilon:
            return Transport(f, g, cost / (n * m), steps, error)
        now = max(now * 0.5, epsilon)


class GrowingTransport:
    """Transport from a set of points that grows to targets that stay, uniform weights on both sides.

    Each solution begins where the last one ended: new points get the potentials that the targets' imply, and what the
    kernel held stays. Near the solution, steps go further than Sinkhorn's (over-relaxation: Thibault et al.,
    "Overrelaxed Sinkhorn-Knopp algorithm for regularized optimal transport", 2021), which halves their number or
    better. Memory: one matrix points x targets of float32; costs are read off it, and computed again where scalings are
    absorbed.

    Args:
        points, targets: (n, d) and (m, d).
        room: how many points may join; what they do not come to need is never touched.
        distances: the cost of points (n, d) and targets, (n, m), not negative.
        epsilon, tolerance: as for :func:`sinkhorn`.
    """

    def __init__(
        self,
        points: Array,
        targets: Array,
        room: int,
        distances: Callable[[Array, Array], Array],
        epsilon: float,
        tolerance: float = 1e-3,
    ) -> None:
        self.points, self.targets, self.distances = points, np.asarray(targets, np.float64), distances
        self.epsilon, self.tolerance = epsilon, tolerance
        self.f, self.g = np.zeros(0), np.zeros(len(targets))
        self.v: Array = np.ones(len(targets), np.float32)
        self.places: Array = np.zeros(0, np.int64)
        # pages of the system's own: those that are not reached take no memory, and the rest goes back at the end
        pages = mmap(-1, max(4 * room * len(targets), 1))
        self._kernel: Array = np.frombuffer(pages, np.float32, room * len(targets)).reshape(room, len(targets))

    @property
    def kernel(self) -> Array:
        """exp((f_i + g_j - cost_ij) / epsilon) of the points that have joined."""
        return self._kernel[: len(self.f)]

    def cost_of(self, part: slice) -> Floats:
        """The costs of some of the points that have joined, float64 (n, m)."""
        return np.asarray(self.distances(self.points[self.places[part]], self.targets), np.float64)

    def add(self, places: Array) -> None:
        """Points that join, by their places, int64 (n,)."""
        m, known = len(self.g), len(self.f)
        self.places = np.concatenate([self.places, places])
        if not known:
            self.g = sinkhorn(self.cost_of(slice(None)), self.epsilon, tolerance=self.tolerance).g
        g, weight = self.g + self.epsilon * np.log(self.v.astype(np.float64)), np.full(m, -np.log(m))
        self.f = np.concatenate([self.f, np.empty(len(places))])
        for part in blocks(len(self.f), known):
            cost = self.cost_of(part)
            self.f[part] = soft_minimum(cost, g, weight, self.epsilon)
            fill(self.kernel[part], cost, self.f[part], self.g, self.epsilon)

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
                self.absorb(u, v)
                u, v = np.ones_like(u), np.ones_like(v)
        self.v = v
        return self.cost(u)

    def absorb(self, u: Array, v: Array) -> None:
        """Take scalings into the potentials, and compute the kernel anew."""
        self.f += self.epsilon * np.log(u.astype(np.float64))
        self.g = self.g + self.epsilon * np.log(v.astype(np.float64))
        for part in blocks(len(self.f)):
            cost = self.cost_of(part)
            fill(self.kernel[part], cost, self.f[part], self.g, self.epsilon)

    def cost(self, u: Array) -> float:
        """<C, P>, with C_ij = f_i + g_j - epsilon log K_ij; pairs below the range of K carry no mass."""
        v, least, total = self.v, np.finfo(np.float32).tiny, 0.0
        total += float(self.f @ (u * (self.kernel @ v))) + float(self.g @ (v * (self.kernel.T @ u)))
        for part in blocks(len(self.f)):
            entropy = np.log(np.maximum(self.kernel[part], least))
            entropy *= self.kernel[part]
            total -= self.epsilon * float(u[part] @ (entropy @ v))
        return total / (len(self.f) * len(self.g))


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
