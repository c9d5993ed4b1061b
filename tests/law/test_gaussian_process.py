"""The Gaussian process against its closed form, scikit-learn's figures, and a planted optimum."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest

import cuvee
from cuvee.core import Runs, Settings
from cuvee.errors import UsageError
from cuvee.law import posterior
from cuvee.law.gaussian_process import GaussianProcess, Process
from cuvee.law.marginal import BOUNDS, FIRST, climb, likelihood, log_likelihood, squares
from cuvee.law.posterior import Draw, lowest
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
    """Resamples find about the noise that there is; runs that count twice are runs of half the noise."""
    runs = swarm(40, 0.05)
    whole = GaussianProcess().fit(runs)
    counts = np.random.default_rng(0).multinomial(40, np.full(40, 1 / 40), 10)
    noises = np.array([one.parameters["s"] for one in GaussianProcess().refit(runs, counts)])
    assert 0.03 < np.median(noises) < 0.07 and noises.min() > 0.01
    twice = GaussianProcess().refit(runs, np.full((1, 40), 2))[0]
    assert isinstance(twice, Process) and (twice.noise == 0.5).all()
    np.testing.assert_allclose(twice.theta, whole.theta, atol=1e-4)
    assert np.abs(twice.at(runs.settings) - runs.outcome).mean() < np.abs(whole.at(runs.settings) - runs.outcome).mean()


def test_draws_have_the_posterior_mean_and_spread(monkeypatch: pytest.MonkeyPatch) -> None:
    """With parameters that are certain: near runs and far from them, those of the closed form."""
    runs = swarm(20, 0.02)
    whole = GaussianProcess().fit(runs)
    monkeypatch.setattr(posterior, "parameters", lambda random, theta, far, y, count: np.tile(theta, (count, 1)))
    many = posterior.draws(whole.theta, runs.settings.mixture, runs.outcome, whole.mean, whole.scale, 2_000, 0)
    asked = Settings(NAMES, np.vstack([np.eye(3), np.full(3, 1 / 3), runs.settings.mixture[:3]]))
    values = np.stack([one.at(asked) for one in many])
    spread = whole.spread(asked)
    assert spread[0] > 3 * spread[3]  # a corner is far from the runs
    assert (np.abs(values.mean(0) - whole.at(asked)) < 4 * spread / math.sqrt(2_000)).all()
    np.testing.assert_allclose(values.std(0), spread, rtol=0.08)
    x = np.random.default_rng(4).dirichlet(np.ones(3), 5)
    for at in range(3):
        step = 1e-6 * np.eye(3)[at]
        rough = (many[0].at(Settings(NAMES, x + step)) - many[0].at(Settings(NAMES, x - step))) / 2e-6
        np.testing.assert_allclose(many[0].slope(Settings(NAMES, x))[:, at], rough, rtol=1e-4, atol=1e-6)


def test_checkpoints_of_a_run_are_one_row() -> None:
    """They share its luck: however many there are, what a process takes for possible stays as wide."""
    runs = swarm(20, 0.05)
    luck = np.random.default_rng(1).normal(0, 0.001, (20, 6))
    luck -= luck.mean(1, keepdims=True)
    many = Runs(
        Settings(NAMES, np.repeat(runs.settings.mixture, 6, 0)),
        (runs.outcome[:, None] + luck).ravel(),
        np.arange(120),
        np.repeat(np.arange(20), 6),
    )
    law, asked = GaussianProcess(), swarm(50, 0.0, seed=3).settings
    one, other = (law.fit(each) for each in (runs, many))
    np.testing.assert_allclose(one.spread(asked), other.spread(asked), rtol=1e-6)
    counts = np.ones((40, 20), np.int64)
    drawn, again = law.refit(runs, counts, one), law.refit(many, np.repeat(counts, 6, 1), other)
    wide, as_wide = (np.std([each.at(asked) for each in some], axis=0).mean() for some in (drawn, again))
    assert as_wide == pytest.approx(wide, rel=0.4)
    twice = np.repeat([[2, 0]], 10, 1)
    left, right = law.refit(runs, twice)[0], law.refit(many, np.repeat(twice, 6, 1))[0]
    np.testing.assert_allclose(left.at(asked), right.at(asked), rtol=1e-6)


def test_parameters_are_drawn_from_their_posterior() -> None:
    """Their means are those that a fine grid over the bounds gives."""
    runs = swarm(20, 0.05)
    whole = GaussianProcess().fit(runs)
    far, y = squares(whole.rows, whole.rows), (runs.outcome - whole.mean) / whole.scale
    grid = np.array(np.meshgrid(*[np.linspace(low, high, 28) for low, high in BOUNDS])).reshape(3, -1).T
    value = np.array([log_likelihood(one, far, np.ones(20), y) for one in grid])
    assert value.max() <= whole.parameters["likelihood"] + 1e-9
    assert value[0] == pytest.approx(likelihood(grid[0], far, np.ones(20), y)[0])
    weight = np.exp(value - value.max())
    mean = weight @ grid / weight.sum()
    spread = np.sqrt(weight @ (grid - mean) ** 2 / weight.sum())
    drawn = np.concatenate(
        [posterior.parameters(np.random.default_rng(at), whole.theta, far, y, 100) for at in range(20)]
    )
    assert (np.abs(drawn.mean(0) - mean) < 0.3 * spread).all()
    np.testing.assert_allclose(drawn.std(0), spread, rtol=0.25)


def test_draws_vary_in_their_parameters_and_hold_the_prediction() -> None:
    """Few runs of many sources: the prediction lies among its draws, whose parameters spread as information says."""
    random = np.random.default_rng(5)
    names = tuple("abcdefghijk")
    x = random.dirichlet(np.full(11, 2.0), 24)
    runs = Runs(Settings(names, x), np.exp(-x @ np.linspace(0.5, 3, 11)) + random.normal(0, 0.01, 24), np.arange(24))
    law = GaussianProcess()
    whole = law.fit(runs)
    many = law.refit(runs, np.ones((200, 24), np.int64), whole)
    lengths = np.log([one.parameters["l"] for one in many])
    assert lengths.std() > 0.1 and BOUNDS[1, 0] <= lengths.min() and lengths.max() <= BOUNDS[1, 1]
    asked = Settings(names, random.dirichlet(np.full(11, 2.0), 50))
    low, high = np.quantile([one.at(asked) for one in many], (0.05, 0.95), axis=0)
    assert ((low <= whole.at(asked)) & (whole.at(asked) <= high)).all()


def test_the_order_of_runs_is_nothing() -> None:
    runs, order = swarm(30, 0.02), np.random.default_rng(1).permutation(30)
    one, other = (GaussianProcess().fit(each).at(runs.settings) for each in (runs, runs.take(order)))
    np.testing.assert_allclose(one, other, atol=1e-5)
    law, counts = GaussianProcess(), np.ones((3, 30), np.int64)
    drawn, again = (law.refit(each, counts, law.fit(each)) for each in (runs, runs.take(order)))
    for one, other in zip(drawn, again, strict=True):
        np.testing.assert_allclose(one.at(runs.settings), other.at(runs.settings), atol=1e-3)


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


def test_draws_are_looked_through_for_their_least() -> None:
    """Two valleys: the one next to the natural mixture, and a deeper one beyond a ridge."""
    valleys, nothing = np.array([[0.7, 0.2, 0.1], [0.1, 0.1, 0.8]]), np.zeros(1)
    flat = np.zeros((1, 3))
    draw = Draw(0.15, 0.0, valleys, np.array([-1.0, -1.2]), flat, nothing, nothing, 0.0, 1.0, {})
    question = Question(NAMES, np.ones(1), Bounds(valleys[0], np.ones(3)), NOWHERE)
    downhill = question.best(GaussianProcess(), [[draw, draw]])
    np.testing.assert_allclose(downhill, np.tile(valleys[0], (2, 1)), atol=0.01)
    np.testing.assert_allclose(lowest(question, [[draw, draw]]), np.tile(valleys[1], (2, 1)), atol=0.01)


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
    assert not any("trees" in sentence for sentence in found["warnings"])
    assert found["optimism"] == 0  # draws of a posterior scatter about its mean, which is nobody's winner


def test_the_unit_of_a_loss_is_nothing(tmp_path: Path) -> None:
    """Neither to the proposal nor to its intervals, which are where draws are least, not downhill of proportional."""
    runs = swarm(30, 0.01)
    found = []
    for unit in (1.0, 2.0**-30):
        columns = {f"mix.{name}": shares for name, shares in zip(NAMES, runs.settings.mixture.T, strict=True)}
        table = write(tmp_path / "runs.csv", {**columns, "loss.a": runs.outcome * unit})
        with patch("cuvee.fitting.lowest", wraps=lowest) as looked:
            fit = cuvee.fit_law(table, law="gaussian_process", resample=20, output=tmp_path / "fit").summary
        assert looked.call_count == 1
        found.append([[one[key] for key in ("weight", "low", "high")] for one in fit["proposal"]])
    np.testing.assert_allclose(found[0], found[1], atol=1e-3)
