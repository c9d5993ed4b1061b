"""Equitable budgets: the optimum by closed form and by brute force, planted curves, and regret."""

from __future__ import annotations

import numpy as np
import pytest

from cuvee.errors import UsageError
from cuvee.online.budget import Curves, allocate, believed, fit_curves, optimistic, welfare

CURVES = Curves(np.array([2.0, 4.0, 1.0]), np.array([0.5, 0.7, 0.3]), np.array([0.1, 0.2, 0.05]))


def test_closed_form() -> None:
    """Equal slopes, nothing collected, the mean: n is proportional to (w a b / c)^(1 / (1 + b))."""
    curves = Curves(np.array([2.0, 4.0, 1.0]), np.full(3, 0.5), np.array([0.0, 0.3, 0.1]))
    costs, weights = np.array([1.0, 2.0, 5.0]), np.array([1.0, 1.0, 3.0])
    found = allocate(curves, np.zeros(3), 1e7, costs, weights)
    wanted = (weights * curves.a * curves.b / costs) ** (1 / 1.5)
    np.testing.assert_allclose(found / found.sum(), wanted / wanted.sum(), rtol=1e-5)
    assert costs @ found == pytest.approx(1e7)


@pytest.mark.parametrize("power", [1.0, 3.0, 20.0])
def test_no_other_split_is_better(power: float) -> None:
    """Against 2,000 random splits of the same budget, with something collected already."""
    have, costs, weights, budget = np.array([50.0, 10.0, 400.0]), np.array([1.0, 3.0, 0.5]), np.ones(3), 600.0
    ours = allocate(CURVES, have, budget, costs, weights, power)
    assert (ours >= 0).all() and costs @ ours == pytest.approx(budget)
    best = welfare(CURVES.at(have + ours), weights, power)
    for split in np.random.default_rng(0).dirichlet(np.full(3, 0.5), 2_000):
        assert best <= welfare(CURVES.at(have + budget * split / costs), weights, power) * (1 + 1e-9)


def test_a_large_power_looks_at_the_worst() -> None:
    have = np.full(3, 100.0)
    worst = int(np.argmax(CURVES.at(have)))
    shares = [allocate(CURVES, have, 30.0, power=power)[worst] for power in (1.0, 4.0, 50.0)]
    assert shares == sorted(shares) and shares[-1] > 29


def test_more_budget_takes_nothing_away() -> None:
    few, many = (allocate(CURVES, np.zeros(3), budget) for budget in (100.0, 1000.0))
    assert (many >= few - 1e-9).all()


def test_planted_curves_are_found() -> None:
    sizes = np.array([20.0, 40, 80, 160, 320, 640])[:, None] * np.ones(3)
    found = fit_curves(sizes, CURVES.at(sizes))[0]
    for name in ("a", "b", "e"):
        np.testing.assert_allclose(getattr(found, name), getattr(CURVES, name), rtol=0.02)


def test_an_outlier_does_not_move_the_curve() -> None:
    sizes = np.geomspace(20, 2000, 12)[:, None] * np.ones(3)
    errors = CURVES.at(sizes)
    errors[5] *= 4
    far = np.full((1, 3), 5000.0)
    np.testing.assert_allclose(fit_curves(sizes, errors)[0].at(far), CURVES.at(far), rtol=0.15)


def test_a_flat_fit_is_believed_least() -> None:
    """Of several fits, each group is believed by one that gains more than most."""
    steep = Curves(np.ones(2), np.array([0.9, 0.9]), np.zeros(2))
    flat = Curves(np.ones(2), np.array([0.05, 0.9]), np.zeros(2))
    which = optimistic([flat, flat, flat, steep, steep], np.full(2, 10.0), np.full(2, 10.0))
    assert believed([flat, flat, flat, steep, steep], which).b.tolist() == [0.9, 0.9]


def test_regret_against_fixed_splits() -> None:
    """Collecting in eight rounds by measured curves: less regret than equal, proportional and inverse-cost splits."""
    costs, sizes, total = np.array([1.0, 4.0, 1.0, 2.0]), np.array([8.0, 1.0, 4.0, 1.0]), 4_000.0
    regret = dict.fromkeys(("ours", "equal", "proportional", "inverse cost"), 0.0)
    for seed in range(5):
        chance = np.random.default_rng(seed)
        truth = Curves(chance.uniform(1, 6, 4), chance.uniform(0.2, 0.9, 4), chance.uniform(0.01, 0.3, 4))

        def score(n: np.ndarray, truth: Curves = truth) -> float:
            return welfare(truth.at(np.maximum(n, 1.0)), np.ones(4), 3.0)

        best = score(allocate(truth, np.zeros(4), total, costs, power=3.0))
        fixed = {"equal": np.ones(4), "proportional": sizes, "inverse cost": 1 / costs}
        for name, split in fixed.items():
            regret[name] += score(total * split / (costs @ split)) - best
        have, given, errors = np.zeros(4), [], []
        for turn in range(12):
            if turn < 4:
                have = have + 0.05 * total / costs.sum()
            else:
                fits = fit_curves(np.array(given), np.array(errors), 4, seed)
                curves = believed(fits, optimistic(fits, have, np.full(4, 50.0)))
                have = have + allocate(curves, have, 0.1 * total, costs, power=3.0)
            given.append(have)
            errors.append(truth.at(have) * np.exp(0.03 * chance.normal(size=4)))
        assert costs @ have == pytest.approx(total)
        regret["ours"] += score(have) - best
    assert regret["ours"] < 0.5 * min(regret["equal"], regret["proportional"], regret["inverse cost"]), regret


def test_bad_numbers_are_refused() -> None:
    with pytest.raises(UsageError, match="fewer than 4 sizes"):
        fit_curves(np.ones((6, 2)), np.ones((6, 2)))
    with pytest.raises(UsageError, match="not a finite number above 0"):
        fit_curves(np.arange(1.0, 6.0)[:, None], np.array([1.0, 0.5, 0.0, 0.2, 0.1])[:, None])
    with pytest.raises(UsageError, match=r"a column for each group, both: not \(6, 2\) and \(6,\)"):
        fit_curves(np.ones((6, 2)), np.ones(6))
    with pytest.raises(UsageError, match="one number a group"):
        welfare(np.ones(3), np.ones(2))
    with pytest.raises(UsageError, match="one of them above"):
        welfare(np.ones(3), np.zeros(3))
    for given in ({"costs": np.zeros(3)}, {"power": 0.5}, {"weights": np.ones(2)}):
        with pytest.raises(UsageError):
            allocate(CURVES, np.zeros(3), 10.0, **given)  # type: ignore[arg-type]
    with pytest.raises(UsageError):
        allocate(CURVES, np.zeros(3), 0.0)
