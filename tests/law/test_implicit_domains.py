"""Sums of exponentials: the paper's formula, one domain as the plain law, and planted surfaces recovered."""

from __future__ import annotations

import numpy as np
import pytest

from cuvee.core import Runs, Settings
from cuvee.errors import UsageError
from cuvee.law.curve import _complex_steps, slopes
from cuvee.law.data_mixing_laws import DataMixingLaws
from cuvee.law.implicit_domains import ImplicitDomains
from cuvee.law.propose import Bounds, Question

from .planted import NAMES, swarm

FLOOR, TILT = 1.5, np.array([[-2.5, 0.4, -0.5], [-0.3, -3.0, 0.2]])


def truth(x: np.ndarray) -> np.ndarray:
    return np.asarray(FLOOR + np.exp(x @ TILT.T).sum(-1))


def planted(count: int, noise: float, seed: int = 0) -> Runs:
    random = np.random.default_rng(seed)
    x = random.dirichlet(np.ones(3), count)
    return Runs(Settings(NAMES, x), truth(x) + random.normal(0, noise, count), np.arange(count))


def test_the_papers_formula_is_the_same_surface() -> None:
    random = np.random.default_rng(1)
    for domains in (1, 4):
        s, c, k = random.normal(size=domains), random.uniform(0.5, 2, domains), random.uniform(0.1, 3, domains)
        t, x = random.normal(size=(domains, 5)), random.dirichlet(np.ones(5), 7)
        weight = np.exp(s) / np.exp(s).sum()
        paper = (weight * (c + k * np.exp(x @ t.T))).sum(1)
        theta = np.concatenate([[np.log(weight @ c)], (t + np.log(weight * k)[:, None]).ravel()])
        law = ImplicitDomains(domains)
        np.testing.assert_allclose(law.value(theta[None], Settings(tuple("abcde"), x))[0], paper, rtol=1e-12)
        assert len(theta) == law.numbers(5)


def test_one_domain_is_the_plain_law() -> None:
    runs = swarm(30, 0.01)
    x = Settings(NAMES, np.random.default_rng(3).dirichlet([2.5, 1.5, 1.0], 20))
    one, plain = ImplicitDomains(1).fit(runs), DataMixingLaws(delta=0.03).fit(runs)
    np.testing.assert_allclose(one.at(x), plain.at(x), atol=2e-4)


def test_derivatives_by_formula() -> None:
    random = np.random.default_rng(0)
    law, settings = ImplicitDomains(3), Settings(NAMES, random.dirichlet(np.ones(3), 9))
    theta = random.normal(size=(4, law.numbers(3)))
    value, jacobian = law.derived(theta, settings)
    exact, steps = _complex_steps(lambda at: law.value(at, settings))(theta)
    np.testing.assert_allclose(value, exact, rtol=1e-12)
    np.testing.assert_allclose(jacobian, steps, rtol=1e-10, atol=1e-12)
    plain = type("Plain", (ImplicitDomains,), {"by_share": lambda *_: None})(3)
    np.testing.assert_allclose(slopes(law, theta, settings), slopes(plain, theta, settings), rtol=1e-10, atol=1e-12)
    each = Settings(NAMES, random.dirichlet(np.ones(3), (4, 1)))
    np.testing.assert_allclose(slopes(law, theta, each), slopes(plain, theta, each), rtol=1e-10, atol=1e-12)


def test_two_planted_domains_are_recovered() -> None:
    """Where two exponentials were planted, one cannot follow, and the proposal is at the planted optimum."""
    runs = planted(60, 0.002)
    x = np.random.default_rng(9).dirichlet(np.ones(3), 200)
    two, one = ImplicitDomains().fit(runs), DataMixingLaws(delta=0.03).fit(runs)
    missed = [float(np.abs(fit.at(Settings(NAMES, x)) - truth(x)).mean()) for fit in (two, one)]
    assert missed[0] < 0.004 and missed[1] > 5 * missed[0]
    grid = np.array([(a, b, 50 - a - b) for a in range(51) for b in range(51 - a)]) / 50
    bounds = Bounds(np.full(3, 1 / 3), np.array([1.0, 0.3, 1.0]))
    best = Question(NAMES, np.ones(1), bounds, Settings((), np.empty((1, 0)))).best(ImplicitDomains(), [[two]])[0]
    assert best[1] <= 0.3 + 1e-9 and truth(best) < truth(grid[grid[:, 1] <= 0.3]).min() + 2e-3


def test_weights_of_runs_are_counts() -> None:
    runs, law = planted(40, 0.01), ImplicitDomains()
    counts = np.random.default_rng(2).multinomial(40, np.full(40, 1 / 40), 2)
    first = law.fit(runs)
    for row, fitted in zip(counts, law.refit(runs, counts, first), strict=True):
        repeated = law.fit(runs.take(np.repeat(np.arange(40), row)))
        assert fitted.at(runs.settings) == pytest.approx(repeated.at(runs.settings), abs=0.02)


def test_what_is_refused() -> None:
    with pytest.raises(UsageError, match="domains must be from 1 to 30"):
        ImplicitDomains(0)
