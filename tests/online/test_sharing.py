"""Groups that learn from one another: the part that counts is found, and no other split of a budget is better."""

from __future__ import annotations

import numpy as np
import pytest

from cuvee.errors import UsageError
from cuvee.online.budget import allocate, fit_curves, welfare
from cuvee.online.sharing import SharedCurves, allocate_shared, effective, fit_shared

A, B, E = np.array([2.0, 4.0, 1.0]), np.array([0.5, 0.7, 0.3]), np.array([0.1, 0.2, 0.05])


def collected(turns: int = 10) -> np.ndarray:
    """What was given after each turn, in other proportions each time, (turns, 3)."""
    return (
        np.cumsum(np.random.default_rng(1).dirichlet(np.ones(3), turns) * np.geomspace(30, 600, turns)[:, None], 0) + 5
    )


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_the_planted_part_is_found(share: float) -> None:
    sizes = collected()
    planted = SharedCurves(A, B, E, share)
    found = fit_shared(sizes, planted.at(sizes), 3)
    assert found[0].share == pytest.approx(share, abs=0.02) and len(found) == 4
    asked = np.array([[500.0, 900.0, 2_000.0]])
    np.testing.assert_allclose(found[0].at(asked), planted.at(asked), rtol=0.01)
    assert {one.share for one in found} == {found[0].share}


def test_noise_and_equal_proportions_say_nothing() -> None:
    """Strangers with noise stay strangers; where all grew alike rho cannot be told, and is 0."""
    sizes = collected()
    for seed in range(3):
        noise = np.exp(0.03 * np.random.default_rng(seed).normal(size=sizes.shape))
        assert fit_shared(sizes, SharedCurves(A, B, E, 0.0).at(sizes) * noise)[0].share < 0.15
    alike = np.geomspace(20, 2_000, 8)[:, None] * np.array([1.0, 2.0, 3.0])
    errors = SharedCurves(A, B, E, 0.5).at(alike)
    assert fit_shared(alike, errors)[0].share == 0
    np.testing.assert_array_equal(fit_shared(alike, errors)[0].a, fit_curves(alike, errors)[0].a)


@pytest.mark.parametrize("power", [1.0, 8.0])
@pytest.mark.parametrize("share", [0.05, 0.6])
def test_no_other_split_is_better(share: float, power: float) -> None:
    have, costs, weights, budget = np.array([50.0, 10.0, 400.0]), np.array([1.0, 3.0, 0.5]), np.ones(3), 600.0
    curves = SharedCurves(A, B, E, share)
    ours = allocate_shared(curves, have, budget, costs, weights, power)
    assert (ours >= 0).all() and costs @ ours == pytest.approx(budget)
    best = welfare(curves.at(have + ours), weights, power)
    for split in np.random.default_rng(0).dirichlet(np.full(3, 0.5), 2_000):
        assert best <= welfare(curves.at(have + budget * split / costs), weights, power) * (1 + 1e-9)
    alone = allocate(SharedCurves(A, B, E, 0.0), have, budget, costs, weights, power)
    assert best < welfare(curves.at(have + alone), weights, power)


def test_the_ends_of_sharing() -> None:
    """Strangers get what they got without; where every example is as good as any, the cheapest are bought."""
    have, costs = np.array([50.0, 10.0, 400.0]), np.array([1.0, 3.0, 0.5])
    strangers = allocate_shared(SharedCurves(A, B, E, 0.0), have, 600.0, costs)
    np.testing.assert_array_equal(strangers, allocate(SharedCurves(A, B, E, 0.0), have, 600.0, costs))
    bought = allocate_shared(SharedCurves(A, B, E, 1.0), have, 600.0, costs)
    np.testing.assert_allclose(bought, [0.0, 0.0, 1_200.0], atol=0.01)
    np.testing.assert_allclose(effective(have, 1.0), [460.0] * 3)
    with pytest.raises(UsageError, match="from 0 to 1"):
        allocate_shared(SharedCurves(A, B, E, 1.5), have, 600.0, costs)
