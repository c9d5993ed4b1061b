"""Smooth surfaces through runs: their closed form, which power of shares they see, and what they make of odd swarms."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from cuvee.core import Runs, Settings
from cuvee.law import surfaces as module
from cuvee.law.gaussian_process import seen
from cuvee.law.marginal import climb, likelihood, log_likelihood
from cuvee.law.posterior import lowest
from cuvee.law.propose import Bounds, Question
from cuvee.law.surfaces import REACH, fitted, surfaces

from .planted import NAMES, loss, swarm


@pytest.mark.parametrize("noise", [0.0, 1e-3, 0.03])
def test_rough_draws_are_as_good_for_intervals(noise: float) -> None:
    """Cosines of seven digits, also where there is no noise, and large numbers cancel in what the runs say."""
    runs, fresh = swarm(80, noise, seed=1), swarm(100, 0.0, seed=2)
    rough = surfaces(runs.settings.mixture, runs.outcome, 20)
    exact = [replace(one, kind=np.float64) for one in rough]
    said, told = (np.stack([one.at(fresh.settings) for one in many]) for many in (rough, exact))
    assert np.abs(said - told).max() < 0.02 * told.std(axis=0).mean()
    assert not np.array_equal(said, told)


def test_surfaces_look_at_so_many_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Evenly by shares, whatever the order of the runs."""
    monkeypatch.setattr(module, "MOST", 30)
    runs = swarm(90, 0.01, seed=1)
    order = np.random.default_rng(0).permutation(90)
    one, other = (surfaces(some.settings.mixture, some.outcome, 3) for some in (runs, runs.take(order)))
    assert len(one[0].rows) == 30
    assert np.ptp(one[0].rows[:, -1]) > 0.9 * np.ptp(one[0].swell(runs.settings.mixture)[:, -1])
    for left, right in zip(one, other, strict=True):
        np.testing.assert_array_equal(left.at(runs.settings), right.at(runs.settings))


@pytest.mark.parametrize("power", [1.0, 0.5])
def test_surfaces_swell_away_from_the_runs(monkeypatch: pytest.MonkeyPatch, power: float) -> None:
    """With parameters that are certain: mean and spread of the kernel C exp(u . u' / l^2)."""
    runs, theta = swarm(20, 0.02), np.log([2.0, 1.5, 0.05])
    monkeypatch.setattr(module, "POWERS", (power,))
    monkeypatch.setattr(module, "fitted", lambda *known: replace(fitted(*known), theta=theta))
    many = surfaces(runs.settings.mixture, runs.outcome, 2_000)
    x, y = runs.settings.mixture, (runs.outcome - runs.outcome.mean()) / runs.outcome.std()
    swell = many[0].swell
    assert swell.power == power and (swell(x) ** 2).sum(1).max() == pytest.approx(1)
    np.testing.assert_allclose(swell(x).mean(0), 0.0, atol=1e-12)
    asked = np.vstack([np.eye(3), np.full((1, 3), 1 / 3), x[:3]])
    asked = asked[(swell(asked) ** 2).sum(1) < REACH**2]
    assert len(asked) > 4

    def kernel(left: Any, right: Any) -> Any:
        return 2.0 * np.exp(swell(left) @ swell(right).T / 1.5**2)

    near, whole = kernel(asked, x), kernel(x, x) + 0.05 * np.eye(20)
    expected = runs.outcome.mean() + runs.outcome.std() * near @ np.linalg.solve(whole, y)
    left = np.diag(kernel(asked, asked) - near @ np.linalg.solve(whole, near.T))
    spread = runs.outcome.std() * np.sqrt(left)
    values = np.stack([replace(one, kind=np.float64).at(Settings(NAMES, asked)) for one in many])
    assert (np.abs(values.mean(0) - expected) < 4 * spread / math.sqrt(2_000)).all()
    np.testing.assert_allclose(values.std(0), spread, rtol=0.08)


def test_sources_that_matter_have_short_lengths() -> None:
    """One of four sources makes the loss; and the likelihood's slope by lengths is that of differences."""
    random = np.random.default_rng(0)
    x = random.dirichlet(np.full(4, 2.0), 60)
    y = np.exp(-3 * x[:, 1]) + random.normal(0, 0.01, 60)
    y = (y - y.mean()) / y.std()
    factor = fitted(x, y, 1.0, random).swell.factor
    assert factor[1] > 2 * np.delete(factor, 1).max()
    apart = x - x.mean(0)
    each = -2 * apart.T[:, :, None] * apart.T[:, None, :]
    theta = np.array([0.3, 0.2, -3.0, 0.5, -0.6, 0.1, 0.9])
    _, slope, information = likelihood(theta, each, np.ones(60), y)
    for at in range(7):
        step = 1e-5 * np.eye(7)[at]
        ends = [likelihood(theta + sign * step, each, np.ones(60), y)[0] for sign in (1, -1)]
        assert slope[at] == pytest.approx((ends[0] - ends[1]) / 2e-5, rel=1e-5, abs=1e-5)
    assert np.linalg.eigvalsh(information).min() > 0


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_beyond_what_numbers_hold_is_no_maximum() -> None:
    """Lengths so short that the kernel has no inverse are as bad as can be, and an ascent that tries them goes on."""
    y = np.array([-1.0, 1.0, -1.0, 1.0])
    far = -np.outer([1e3, 2e3, 3e3, 4e3], [1e3, 2e3, 3e3, 4e3])
    for noise in (1e-5, 1.0):
        theta = np.log([1.0, 0.5, noise])
        assert likelihood(theta, far, np.ones(4), y)[0] == -math.inf
        assert math.isfinite(
            climb(np.log([1.0, 1e3, noise]), far, np.ones(4), y, np.log([[1e-3, 1e3], [0.5, 1e4], [1e-5, 10]]))[1]
        )
    same = np.full((4, 4), -2e3)
    assert likelihood(np.log([1.0, 1.0, 1e-5]), same, np.ones(4), y)[0] == -math.inf
    assert log_likelihood(np.log([1.0, 1.0, 1e-5]), same, np.ones(4), y) == -math.inf


def test_surfaces_of_a_narrow_swarm_stay_finite() -> None:
    """Corners lie hundreds of units away from runs of one place."""
    random = np.random.default_rng(0)
    x = random.dirichlet([4e5, 3e5, 2e5], 30)
    many = surfaces(x, 2.0 + random.normal(0, 0.01, 30), 20)
    said = np.stack([one.at(Settings(NAMES, np.eye(3))) for one in many])
    assert np.isfinite(said).all() and np.abs(said - 2).max() < 1e3


def test_runs_say_which_power_of_shares_they_follow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Roots where losses are powers of shares, and then they are nearer to the truth beside a share of 0."""
    random = np.random.default_rng(0)
    x = random.dirichlet(np.ones(3), 80)
    worth = np.array([3.0, 1.0, 0.6])
    powers = 2.0 + 1 / (np.sqrt(x) @ worth) + random.normal(0, 0.003, 80)
    exponentials = 2.0 + np.exp(x @ [-4.0, -0.5, 1.0]) + random.normal(0, 0.003, 80)
    many = surfaces(x, powers, 40)
    assert all(one.parameters["a"] == 0.5 for one in many)
    assert all(one.parameters["a"] == 1.0 for one in surfaces(x, exponentials, 40))
    edge = 0.98 * x + 0.02 * np.eye(3)[x.argmax(1)]
    truth = 2.0 + 1 / (np.sqrt(edge) @ worth)
    monkeypatch.setattr(module, "POWERS", (1.0,))
    roots, shares = (
        np.abs(np.mean([one.at(Settings(NAMES, edge)) for one in some], 0) - truth).mean()
        for some in (many, surfaces(x, powers, 40))
    )
    assert 1.5 * roots < shares


def test_surfaces_of_both_powers_stand_in_any_order() -> None:
    """What one outcome's draws are of does not tell what another's at the same place are."""
    runs = [swarm(25, 0.1, seed=1, outcome=outcome) for outcome in (0, 1)]
    one, other = ([d.parameters["a"] for d in surfaces(r.settings.mixture, r.outcome, 400)] for r in runs)
    assert set(one) == set(other) == {0.5, 1.0}
    assert abs(np.corrcoef(one, other)[0, 1]) < 0.2


def test_powers_are_compared_as_they_can_be_drawn() -> None:
    """Lengths that the likelihood likes may be shorter than surfaces may have, for one power and not the other."""
    random = np.random.default_rng(134)
    x, steep, _ = random.dirichlet(np.full(6, 0.5), 100), 2 * random.normal(size=6), random.uniform(size=7)
    y = np.exp(x @ steep)
    y += random.normal(0, 0.02, 100) * y.std()
    y = (y - y.mean()) / y.std()
    line, root = (fitted(x, y, power, np.random.default_rng(0)) for power in (1.0, 0.5))
    best = []
    for one in (line, root):
        u = one.swell(x)
        best.append(log_likelihood(one.theta, -2 * u @ u.T, np.ones(100), y))
    assert best[0] > best[1] + 3 and line.evidence > root.evidence + 3


@pytest.mark.parametrize("power", [1.0, 0.5])
def test_slopes(monkeypatch: pytest.MonkeyPatch, power: float) -> None:
    """Within reach of the runs and beyond it, where surfaces swell no more."""
    monkeypatch.setattr(module, "POWERS", (power,))
    x = np.random.default_rng(0).dirichlet([25.0, 15.0, 10.0], 20)
    exact = replace(surfaces(x, loss(x, 0), 1)[0], kind=np.float64)
    far = np.random.default_rng(4).dirichlet(np.full(3, 0.5), 12)
    beyond = (exact.swell(far) ** 2).sum(1) > REACH**2
    assert beyond.any() and not beyond.all()
    for at in range(3):
        step = 1e-7 * np.eye(3)[at]
        rise = (exact.at(Settings(NAMES, far + step)) - exact.at(Settings(NAMES, far - step))) / 2e-7
        np.testing.assert_allclose(exact.slope(Settings(NAMES, far))[:, at], rise, rtol=1e-3, atol=1e-4)


def test_the_least_of_surfaces_of_many_sources() -> None:
    """Also a best share of 0, which no mean of simulated mixtures has."""
    random, rate = np.random.default_rng(1), np.array([4.0, 4.0, 3.0, 3.0, 0.0, 0.0])
    names = tuple("abcdef")
    x = random.dirichlet(np.ones(6), 120)
    y = np.exp(-rate * x).sum(1) + random.normal(0, 0.01, 120)
    question = Question(names, np.ones(1), Bounds(np.full(6, 1 / 6), np.ones(6)), Settings((), np.empty((1, 0))))
    found = lowest(question, [surfaces(x, y, 40)])
    np.testing.assert_allclose(found.sum(1), 1)
    low, high = np.quantile(found, (0.05, 0.95), axis=0)
    assert (low[4:] < 1e-3).all() and (high[:4] > 0.2).all() and (low[:4] < 0.31).all()
    assert question.value([surfaces(x, y, 40)], 3, found[3:4])[0] <= y.min()


def test_draws_do_not_depend_on_the_unit_or_on_the_order_of_checkpoints() -> None:
    runs = swarm(30, 0.02)
    x, asked = runs.settings.mixture, swarm(20, 0.0, seed=3).settings
    one, other = (surfaces(x, outcome, 4) for outcome in (runs.outcome, 1e-8 * runs.outcome - 3e-9))
    for left, right in zip(one, other, strict=True):
        np.testing.assert_allclose(1e-8 * left.at(asked) - 3e-9, right.at(asked), rtol=1e-5)
    order = np.random.default_rng(0).permutation(90)
    luck = np.random.default_rng(1).normal(0, 0.01, 90)
    many = Runs(
        Settings(NAMES, np.repeat(x, 3, 0)),
        np.repeat(runs.outcome, 3) + luck,
        np.arange(90),
        np.repeat(np.arange(30), 3),
    )
    for left, right in zip(seen(many, np.ones(90))[:2], seen(many.take(order), np.ones(90))[:2], strict=True):
        np.testing.assert_array_equal(left, right)
