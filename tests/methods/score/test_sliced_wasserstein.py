"""Sliced Wasserstein: distances and gradients against sorting and finite differences; weights that find the target."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.stats import wasserstein_distance

from cuvee.errors import UsageError
from cuvee.fold.slices import directions, potential, squared_distance, transported
from cuvee.methods.score.sliced_wasserstein import SlicedWasserstein, match
from tests.laws.test_laws import POOL, Straight

CHANCE = np.random.default_rng(0)


def test_distance_of_equal_weights_is_that_of_sorted_pairs() -> None:
    x, y = np.sort(CHANCE.normal(size=30)), np.sort(CHANCE.normal(1, 2, size=30))
    assert squared_distance(x, np.full(30, 1 / 30), y) == pytest.approx(((x - y) ** 2).mean(), rel=1e-12)


def test_distance_with_weights_is_that_of_repeated_points() -> None:
    x, times, y = np.sort(CHANCE.normal(size=7)), np.array([1, 2, 0, 3, 1, 4, 1]), np.sort(CHANCE.normal(size=4))
    a, b = np.repeat(x, 4 * times), np.repeat(y, times.sum())
    assert squared_distance(x, times / times.sum(), y) == pytest.approx(((a - b) ** 2).mean(), rel=1e-12)
    first = wasserstein_distance(x, y, times, np.ones(4))
    mean, _ = transported(times / times.sum(), y)
    assert (times / times.sum()) @ np.abs(x - mean) <= first + 1e-12  # the map's means are no farther than the plan


def test_potential_by_finite_differences() -> None:
    x, y = np.sort(CHANCE.normal(size=12)), np.sort(CHANCE.normal(0.5, 1.5, size=9))
    weight = CHANCE.uniform(0.5, 1, 12)
    weight /= weight.sum()
    phi = potential(x, weight, y)
    assert weight @ phi == pytest.approx(0, abs=1e-12)
    for i in range(12):
        step = 1e-7
        moved = (1 - step) * weight
        moved[i] += step
        slope = (squared_distance(x, moved, y) - squared_distance(x, weight, y)) / step
        assert slope == pytest.approx(phi[i], abs=1e-5)


def test_weights_move_the_pool_onto_the_target() -> None:
    """A target of two modes in a pool of three: the third loses its weight, the two get theirs in proportion."""
    chance = np.random.default_rng(1)
    centre = np.array([[4.0, 0.0], [-4.0, 0.0], [0.0, 6.0]])
    kind = np.repeat([0, 1, 2], [300, 300, 600])
    pool = centre[kind] + chance.normal(size=(1200, 2))
    target = centre[np.repeat([0, 1], [150, 50])] + chance.normal(size=(200, 2))
    lines = directions(16, 2, 0).astype(np.float64)
    weight, knots, value, notes = match(pool @ lines.T, target @ lines.T, 60, 0.5)
    share = np.bincount(kind, weights=weight)
    assert share[2] < 0.05 and share[0] == pytest.approx(0.75, abs=0.05)
    assert notes["distance_after"] < 0.05 * notes["distance_before"]
    score = sum(np.interp(pool @ lines[j], knots[j], value[j]) for j in range(16))
    assert np.allclose(score - np.log(weight) - (score - np.log(weight)).mean(), 0, atol=1e-9)


def test_one_target_text_in_the_pool_and_refusals() -> None:
    fitted = SlicedWasserstein(directions=4, steps=3, sample=50).fit(Straight())
    assert np.isfinite(fitted.apply(POOL)["score"]).all() and fitted.notes["sampled"] == 50
    for settings in ({"directions": 0}, {"steps": 0}, {"rate": 0.0}, {"sample": 1}):
        refused: dict[str, Any] = settings
        with pytest.raises(UsageError):
            SlicedWasserstein(**refused)
