"""Swarms keep their caps, repeat no mixture, and later rounds look where a law points; the law finds planted optima."""

from __future__ import annotations

import numpy as np
import pytest

from cuvee.core import Runs, Settings
from cuvee.law.curve import _complex_steps, slopes
from cuvee.law.optimal_mixtures import OptimalMixtures
from cuvee.law.propose import Bounds, Question
from cuvee.search import design

NATURAL = np.array([0.7, 0.2, 0.08, 0.02])


def test_a_swarm_keeps_its_caps_and_has_no_copies() -> None:
    caps = np.array([1.0, 0.5, 0.3, 0.08])
    known = np.stack(list(design.anchors(NATURAL, caps).values()))
    found = design.swarm(NATURAL, caps, 40, 0, known)
    assert found.shape == (40, 4)
    assert np.allclose(found.sum(1), 1)
    assert (found <= caps + 1e-9).all()
    every = np.concatenate([known, found])
    gaps = np.abs(every[:, None] - every[None]).sum(2) + 9 * np.eye(len(every))
    assert gaps.min() >= design.NEAR
    assert np.array_equal(found, design.swarm(NATURAL, caps, 40, 0, known))
    assert not np.array_equal(found, design.swarm(NATURAL, caps, 40, 1, known))
    assert found[:, 3].max() > 0.05 and found[:, 0].min() < 0.4  # small sources are looked at, too


def test_uniform_gives_what_a_cap_forbids_to_the_others() -> None:
    uniform = design.anchors(NATURAL, np.array([1.0, 1.0, 1.0, 0.1]))["uniform"]
    assert uniform == pytest.approx([0.3, 0.3, 0.3, 0.1])


@pytest.mark.parametrize(("runs", "iterations"), [(64, 1), (112, 3), (17, 2), (8, 2)])
def test_rounds_share_the_runs(runs: int, iterations: int) -> None:
    found = design.rounds(runs, iterations)
    assert sum(found) == runs and len(found) == iterations
    assert found == sorted(found, reverse=True)


def test_a_further_round_is_better_by_the_law_and_new() -> None:
    best = np.array([0.4, 0.3, 0.2, 0.1])
    bounds = Bounds(NATURAL, np.array([1.0, 1.0, 1.0, 0.12]))
    known = design.swarm(NATURAL, bounds.caps, 20, 0, NATURAL[None])

    def value(x: np.ndarray) -> np.ndarray:
        return np.asarray(((x - best) ** 2).sum(1))

    found = design.refined(value, best, bounds, 8, 5, known)
    assert len(found) == 8 and (found <= bounds.caps + 1e-9).all()
    assert value(found).max() < np.median(value(known))
    assert np.abs(found[:, None] - known[None]).sum(2).min() >= design.NEAR


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("one_pass", [(), (0.3, 0.05, 0.4)])
def test_the_laws_derivatives_are_those_of_its_value(one_pass: tuple[float, ...], shared: bool) -> None:
    random = np.random.default_rng(0)
    law = OptimalMixtures(one_pass=one_pass, shared=shared)
    settings = Settings(("a", "b", "c"), random.dirichlet(np.ones(3), 20))
    theta = random.normal(size=(4, law.numbers(3)))
    value, jacobian = law.derived(theta, settings)
    exact, steps = _complex_steps(lambda at: law.value(at, settings))(theta)
    assert np.allclose(value, exact, rtol=1e-12) and np.allclose(jacobian, steps, rtol=1e-10, atol=1e-12)
    plain = type("Plain", (OptimalMixtures,), {"by_share": lambda *_: None})(one_pass=one_pass, shared=shared)
    assert np.allclose(slopes(law, theta, settings), slopes(plain, theta, settings), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("one_pass", [(), (0.5, 0.3, 0.1)])
def test_the_law_finds_a_planted_optimum(one_pass: tuple[float, ...]) -> None:
    """Three planted losses with noise: predictions within noise, and the proposal's true loss near the least."""
    random = np.random.default_rng(1)
    names, k = ("a", "b", "c"), 3
    truth = OptimalMixtures(one_pass=one_pass)
    planted = [
        np.concatenate([np.log([floor]), np.log(worth), np.log(power), *([np.log([0.5])] if one_pass else [])])
        for floor, worth, power in (
            (1.5, (1.5, 0.3, 0.2), (0.5, 0.3, 0.4)),
            (1.0, (0.2, 1.2, 0.3), (0.3, 0.6, 0.3)),
            (2.0, (0.3, 0.2, 2.0), (0.4, 0.3, 0.5)),
        )
    ]
    x = Settings(names, random.dirichlet(np.full(k, 1.5), 40))
    grid = np.array([(a, b, 30 - a - b) for a in range(31) for b in range(31 - a)]) / 30
    fits, total = [], np.zeros(len(grid))
    for theta in planted:
        clean = truth.value(theta[None], x)[0]
        fitted = truth.fit(Runs(x, clean + random.normal(0, 0.003, len(x)), np.arange(len(x))))
        assert np.abs(fitted.at(x) - clean).mean() < 0.004
        fits.append([fitted])
        total += truth.value(theta[None], Settings(names, grid))[0] / 3
    question = Question(names, np.full(3, 1 / 3), Bounds(np.full(3, 1 / 3), np.ones(3)), Settings((), np.empty((1, 0))))
    best = question.best(truth, fits)
    reached = sum(float(truth.value(theta[None], Settings(names, best))[0, 0]) for theta in planted) / 3
    assert reached < total.min() + 0.005
