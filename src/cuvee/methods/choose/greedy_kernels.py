"""Hot loops of the greedy choices. All break ties by the smaller place, so results do not depend on the processor's
number of threads; all stop before a row that no longer fits into ``amount``."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...core import Array
from ...engine.kernel import kernel, leaf

int64: Any = np.int64  # casts that fix a kernel's types; mypy need not follow them
float64: Any = np.float64
LANES = 64
"""Sums run side by side, each over every 64th number, so that vector instructions may be used without changing them."""


@leaf
def folded(lanes: Array) -> float:
    """The sum of the lanes, halves upon halves; changes them."""
    half = len(lanes) // 2
    while half > 0:
        for j in range(half):
            lanes[j] += lanes[j + half]
        half //= 2
    return float64(lanes[0])


@leaf
def add_squares(a: Array, b: Array, lanes: Array) -> None:
    for j in range(len(lanes)):
        step = a[j] - b[j]
        lanes[j] += step * step


@leaf
def square_distance(a: Array, b: Array, lanes: Array) -> float:
    """Sum of squared differences."""
    whole = len(a) - len(a) % LANES
    lanes[:] = 0
    for k in range(0, whole, LANES):
        add_squares(a[k : k + LANES], b[k : k + LANES], lanes)
    total = folded(lanes)
    for k in range(whole, len(a)):
        total += (a[k] - b[k]) * (a[k] - b[k])
    return total


@kernel
def farthest_first(x: Array, near: Array, cost: Array, amount: int, first: int, order: Array) -> int:
    """k-center greedy: places in the order taken, into ``order``; returns how many.

    ``near``, float64 (n,), holds squared distances to what was chosen before (inf: nothing was), -1 for rows that may
    not be taken; it is changed. ``first`` is taken first, if not below 0.
    """
    lanes = np.zeros(LANES, x.dtype)
    count, left, at = int64(0), amount, int64(first)
    while count < len(order):
        if at < 0:
            best = float64(-1.0)
            for i in range(len(x)):
                if near[i] > best:
                    best, at = near[i], int64(i)
        if at < 0 or cost[at] > left:
            break
        order[count] = at
        count += 1
        left -= cost[at]
        centre = x[at]
        near[at] = -1.0
        for i in range(len(x)):
            if near[i] >= 0.0:
                near[i] = min(near[i], square_distance(x[i], centre, lanes))
        at = int64(-1)
    return count


@leaf
def add_gains(row: Array, covered: Array, lanes: Array) -> None:
    for j in range(len(lanes)):
        more = row[j] - covered[j]
        lanes[j] += more if more > 0 else lanes.dtype.type(0)


@leaf
def gain_of(row: Array, covered: Array, lanes: Array) -> float:
    """How much better a row covers: the sum of max(row - covered, 0)."""
    whole = len(row) - len(row) % LANES
    lanes[:] = 0
    for k in range(0, whole, LANES):
        add_gains(row[k : k + LANES], covered[k : k + LANES], lanes)
    total = folded(lanes)
    for k in range(whole, len(row)):
        total += max(row[k] - covered[k], row.dtype.type(0))
    return total


@leaf
def sift_down(heap: Array, bound: Array, size: int) -> None:
    """Restore the heap of places (largest bound first, then smaller place) after its root's bound has fallen."""
    at, one = int64(0), heap[0]
    while True:
        child = 2 * at + 1
        if child >= size:
            break
        other = child + 1
        if other < size and (
            bound[heap[other]] > bound[heap[child]]
            or (bound[heap[other]] == bound[heap[child]] and heap[other] < heap[child])
        ):
            child = other
        a, b = bound[heap[child]], bound[one]
        if a < b or (a == b and heap[child] > one):
            break
        heap[at] = heap[child]
        at = child
    heap[at] = one


@kernel
def lazy_cover(similarity: Array, cost: Array, amount: int, covered: Array, order: Array, gains: Array) -> int:
    """Facility location by lazy greedy (Minoux 1978): float32 similarity (n, represented), changed ``covered``.

    A row's gain never grows, so an old one is an upper bound: only rows at the heap's root are measured again.
    """
    n = len(similarity)
    lanes, bound = np.zeros(LANES, similarity.dtype), np.zeros(n)
    for i in range(n):
        bound[i] = gain_of(similarity[i], covered, lanes)
    heap = np.argsort(-bound, kind="mergesort")
    count, left, size = int64(0), amount, int64(n)
    fresh = np.full(n, 0, np.int64)
    while count < len(order) and size > 0:
        at = heap[0]
        if fresh[at] < count:
            bound[at] = gain_of(similarity[at], covered, lanes)
            fresh[at] = count
            sift_down(heap, bound, size)
            continue
        if cost[at] > left:
            break
        order[count], gains[count] = at, bound[at]
        count += 1
        left -= cost[at]
        row = similarity[at]
        for k in range(len(covered)):
            covered[k] = max(covered[k], row[k])
        size -= 1
        heap[0] = heap[size]
        if size > 0:
            sift_down(heap, bound, size)
    return count


@leaf
def add_products(row: Array, pull: Array, lanes: Array) -> None:
    for j in range(len(lanes)):
        lanes[j] += row[j] * pull[j]


@kernel
def herd(features: Array, mean: Array, cost: Array, amount: int, order: Array) -> int:
    """Kernel herding without replacement: features float32 (n, d), mean float64 (d,), the pull that features follow."""
    n, d = features.shape
    pull, taken = mean.astype(np.float32), np.zeros(n, np.bool_)
    lanes = np.zeros(LANES, np.float32)
    count, left, whole = int64(0), amount, d - d % LANES
    while count < len(order):
        best, at = -np.inf, int64(-1)
        for i in range(n):
            if taken[i]:
                continue
            row = features[i]
            lanes[:] = 0
            for k in range(0, whole, LANES):
                add_products(row[k : k + LANES], pull[k : k + LANES], lanes)
            total = folded(lanes)
            for k in range(whole, d):
                total += row[k] * pull[k]
            if total > best:
                best, at = total, int64(i)
        if at < 0 or cost[at] > left:
            break
        order[count], taken[at] = at, True
        count += 1
        left -= cost[at]
        for k in range(d):
            pull[k] += np.float32(mean[k]) - features[at, k]
    return count
