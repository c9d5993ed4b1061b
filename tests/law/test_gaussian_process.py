"""The Gaussian process against its closed form, scikit-learn's figures, and a planted optimum."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cuvee
from cuvee.core import Runs, Settings
from cuvee.errors import UsageError
from cuvee.law.gaussian_process import GaussianProcess, Process
from cuvee.law.marginal import BOUNDS, FIRST, climb, likelihood, squares
from cuvee.law.propose import Bounds, Question

from .planted import NAMES, loss, swarm
from .test_fitting import frame, write

GOLDEN = Path(__file__).parents[1] / "data" / "golden" / "gaussian_process" / "k4.json"
CASE = json.loads(GOLDEN.read_text())
NOWHERE = Settings((), np.empty((1, 0)))


def points(mixtures: Any) -> Settings:
    x = np.array(mixtures, np.float64)
    return Settings(tuple(f"s{at}" for at in range(x.shape[1])), x)


def process(theta: Any, x: np.ndarray, outcome: np.ndarray) -> Process:
    """A process at given logarithms of C, l and s^2, its outcomes normalised as a fit does it."""
    theta = np.array(theta, np.float64)
    mean, scale = float(outcome.mean()), float(outcome.std())
    k = np.exp(theta[0] - 0.5 * squares(x, x) * math.exp(-2 * theta[1])) + math.exp(theta[2]) * np.eye(len(x))
    return Process(theta, x, np.ones(len(x)), np.linalg.solve(k, (outcome - mean) / scale), mean, scale)


def test_two_runs_by_hand() -> None:
    """Outcomes 1 and 3 at the two corners: y is -1 and 1, and a posterior of two lines."""
    c, length, white = 2.0, 0.8, 0.3
    fitted = process(np.log([c, length, white]), np.eye(2), np.array([1.0, 3.0]))
    asked = np.array([[0.7, 0.3], [0.5, 0.5], [1.0, 0.0]])
    near = c * np.exp(-np.array([[0.18, 0.98], [0.5, 0.5], [0.0, 2.0]]) / (2 * length**2))
    whole, beside = c + white, c * math.exp(-2 / (2 * length**2))
    expected = 2 + (near[:, 1] - near[:, 0]) / (whole - beside)
    np.testing.assert_allclose(fitted.at(points(asked)), expected, rtol=1e-12)
    bent = (whole * (near**2).sum(1) - 2 * beside * near.prod(1)) / (whole**2 - beside**2)
    np.testing.assert_allclose(fitted.spread(points(asked)), np.sqrt(c - bent), rtol=1e-9)
    value = likelihood(np.log([c, length, white]), squares(np.eye(2), np.eye(2)), np.ones(2), np.array([-1.0, 1.0]))[0]
    determinant = whole**2 - beside**2
    assert value == pytest.approx(-1 / (whole - beside) - 0.5 * math.log(determinant) - math.log(2 * math.pi))


@pytest.mark.parametrize("at", [0, 1])
def test_scikit_learn(at: int) -> None:
    """At given parameters: predictions, spreads, likelihood and its slope. Maximised: likelihood and predictions."""
    x, asked = np.array(CASE["inputs"]["X"]), points(CASE["inputs"]["test_X"])
    outcome, told, given = np.array(CASE["inputs"]["y"][at]), CASE["outputs"][at], CASE["inputs"]["fixed"]
    theta = np.log([given["C"], given["l"], given["s2"]])
    fixed = process(theta, x, outcome)
    np.testing.assert_allclose(fixed.at(asked), told["fixed"]["prediction"], rtol=1e-7)
    np.testing.assert_allclose(fixed.spread(asked), told["fixed"]["spread"], rtol=1e-5)
    y = (outcome - outcome.mean()) / outcome.std()
    value, slope, _ = likelihood(theta, squares(x, x), np.ones(len(x)), y)
    assert value == pytest.approx(told["fixed"]["likelihood"], rel=1e-7)
    np.testing.assert_allclose(slope, told["fixed"]["slope"], rtol=1e-6)
    fitted = GaussianProcess().fit(Runs(points(x), outcome, np.arange(len(x))))
    assert fitted.parameters["likelihood"] >= told["fitted"]["likelihood"] - 1e-6
    np.testing.assert_allclose(fitted.theta, told["fitted"]["theta"], atol=1e-3)
    np.testing.assert_allclose(fitted.at(asked), told["fitted"]["prediction"], atol=1e-5)


def test_no_start_is_better_than_the_restarts() -> None:
    """A grid of starts over the bounds finds no larger likelihood; the maximum stays within the bounds."""
    runs = swarm(24, 0.03, seed=3)
    fitted = GaussianProcess().fit(runs)
    x = runs.settings.mixture
    y = (runs.outcome - fitted.mean) / fitted.scale
    grid = np.array(np.meshgrid(*[np.linspace(low, high, 4) for low, high in BOUNDS])).reshape(3, -1).T
    best = max(climb(one, squares(x, x), np.ones(len(x)), y)[1] for one in grid)
    assert fitted.parameters["likelihood"] >= best - 1e-6
    assert (fitted.theta >= BOUNDS[:, 0]).all() and (fitted.theta <= BOUNDS[:, 1]).all()
    lower, slope = likelihood(FIRST, squares(x, x), np.ones(len(x)), y)[:2]
    for at in range(3):
        up = likelihood(FIRST + 1e-6 * np.eye(3)[at], squares(x, x), np.ones(len(x)), y)[0]
        assert (up - lower) / 1e-6 == pytest.approx(slope[at], abs=1e-3)


def test_slopes() -> None:
    fitted = GaussianProcess().fit(swarm(20, 0.01))
    x = np.random.default_rng(4).dirichlet(np.ones(3), 5)
    for at in range(3):
        step = 1e-6 * np.eye(3)[at]
        rough = (fitted.at(Settings(NAMES, x + step)) - fitted.at(Settings(NAMES, x - step))) / 2e-6
        np.testing.assert_allclose(fitted.slope(Settings(NAMES, x))[:, at], rough, rtol=1e-5, atol=1e-7)


def test_copies_of_runs_are_no_proof_of_silence() -> None:
    """Resamples find about the noise that there is; runs drawn twice are runs of half the noise."""
    runs = swarm(40, 0.05)
    whole = GaussianProcess().fit(runs)
    counts = np.random.default_rng(0).multinomial(40, np.full(40, 1 / 40), 10)
    drawn = GaussianProcess().refit(runs, counts, whole)
    noises = np.array([one.parameters["s"] for one in drawn])
    assert 0.03 < np.median(noises) < 0.07 and noises.min() > 0.01
    twice = GaussianProcess().refit(runs, np.full((1, 40), 2), whole)[0]
    assert isinstance(twice, Process) and (twice.noise == 0.5).all()
    np.testing.assert_allclose(twice.theta, whole.theta, atol=1e-4)
    assert np.abs(twice.at(runs.settings) - runs.outcome).mean() < np.abs(whole.at(runs.settings) - runs.outcome).mean()


def test_the_order_of_runs_is_nothing() -> None:
    runs, order = swarm(30, 0.02), np.random.default_rng(1).permutation(30)
    one, other = (GaussianProcess().fit(each).at(runs.settings) for each in (runs, runs.take(order)))
    np.testing.assert_allclose(one, other, atol=1e-5)


def test_descent_finds_the_planted_optimum() -> None:
    """Of the mean of three planted losses, within caps and without."""
    x = np.array([(a, b, 40 - a - b) for a in range(41) for b in range(41 - a)]) / 40
    total = sum(loss(x, outcome) for outcome in range(3)) / 3
    law = GaussianProcess()
    fits = [[law.fit(swarm(60, 0.005, outcome=outcome))] for outcome in range(3)]
    for cap in (1.0, 0.3):
        caps = np.array([1.0, cap, 1.0])
        best = Question(NAMES, np.full(3, 1 / 3), Bounds(np.full(3, 1 / 3), caps), NOWHERE).best(law, fits)[0]
        reached = sum(loss(best, outcome) for outcome in range(3)) / 3
        assert best[1] <= cap + 1e-9 and best.sum() == pytest.approx(1)
        assert reached < total[x[:, 1] <= cap].min() + 0.01


def test_noise_alone_is_said() -> None:
    random = np.random.default_rng(2)
    runs = swarm(30, 0.0)
    nothing = Runs(runs.settings, random.normal(2, 0.1, 30), runs.group)
    assert GaussianProcess().remarks(nothing, GaussianProcess().fit(nothing))[0].startswith("Noise about a mean")
    assert GaussianProcess().remarks(runs, GaussianProcess().fit(runs)) == []
    flat = GaussianProcess().fit(Runs(runs.settings, np.full(30, 2.0), runs.group))
    np.testing.assert_allclose(flat.at(runs.settings), 2.0)
    with pytest.raises(UsageError, match="restarts must be from 0"):
        GaussianProcess(-1)


def test_a_fit_of_a_table(tmp_path: Path) -> None:
    """Judged, with intervals, and a proposal, as with any law."""
    found = cuvee.fit_law(
        write(tmp_path / "runs.csv", frame(20)), law="gaussian_process", resample=20, output=tmp_path / "fit"
    ).summary
    assert sum(one["weight"] for one in found["proposal"]) == pytest.approx(1)
    assert all(one["low"] <= one["weight"] <= one["high"] for one in found["proposal"])
    assert all(one["error"] < one["baselines"]["mean"] for one in found["outcomes"])
    assert found["expected"]["proposal"]["loss"] < found["expected"]["uniform"]["loss"]
