"""Optimal transport to a set of rows that grows, against solving anew."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from cuvee.fold.tarot_layers import distances
from cuvee.fold.transport import GrowingTransport, sinkhorn, sinkhorn_by_blocks


@pytest.mark.parametrize("epsilon", [0.02, 0.2])
@pytest.mark.parametrize("spread", [0.05, 0.8])
def test_growing_is_the_same_as_solving_anew(epsilon: float, spread: float) -> None:
    """Also where the first rows leave most targets far away, and where later ones come in modes of their own."""
    chance = np.random.default_rng(3)
    centres = chance.normal(size=(6, 10))

    def drawn(mode: np.ndarray) -> np.ndarray:
        x = centres[mode] + spread * chance.normal(size=(len(mode), 10))
        return x / np.linalg.norm(x, axis=1, keepdims=True)

    targets, rows = drawn(np.arange(60) % 6), drawn(np.sort(np.arange(120) % 6))
    growing, known = GrowingTransport(rows, targets, len(rows), distances, epsilon, 1e-4), 0
    for end in (3, 20, 21, 70, 120):
        growing.add(np.arange(known, end))
        anew = sinkhorn(distances(rows[:end], targets), epsilon, tolerance=1e-7, most=10**5)
        assert growing.solve() == pytest.approx(anew.cost, rel=2e-3)
        known = end


def test_solving_holds_one_matrix_beside_the_cost() -> None:
    chance = np.random.default_rng(0)
    cost = chance.uniform(size=(600, 500))
    tracemalloc.start()
    try:
        found = sinkhorn(cost, 0.05)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 1.7 * cost.nbytes
    plan = np.exp((found.f[:, None] + found.g - cost) / 0.05) / cost.size
    assert found.cost == pytest.approx((plan * cost).sum(), rel=1e-9)
    assert np.allclose(plan.sum(axis=1), 1 / 600, rtol=1e-3)


@pytest.mark.parametrize("epsilon", [0.02, 0.1])
def test_blocks_find_the_same_potentials_in_the_memory_of_one(epsilon: float) -> None:
    """Targets in modes, one of which no row is near."""
    chance = np.random.default_rng(5)
    centres = chance.normal(size=(5, 8))
    x, y = (centres[chance.integers(k, size=n)] + 0.3 * chance.normal(size=(n, 8)) for n, k in ((500, 4), (100, 5)))
    x, y = (one / np.linalg.norm(one, axis=1, keepdims=True) for one in (x, y))
    tracemalloc.start()
    try:
        found = sinkhorn_by_blocks(x, y, distances, epsilon, tolerance=1e-6)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 500 * 100 * 8
    known = sinkhorn(distances(x, y), epsilon, tolerance=1e-8, most=10**5)
    assert np.allclose(found.f - found.f.mean(), known.f - known.f.mean(), atol=1e-5)
    assert np.allclose(found.g - found.g.mean(), known.g - known.g.mean(), atol=1e-5)
    assert found.cost == pytest.approx(known.cost, rel=1e-5)
    assert found.error < 1e-6
