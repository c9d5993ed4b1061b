"""Boosting: AdaBoost.R2 written out run by run, medians and slopes of what it gives, and laws of many resamples."""

from __future__ import annotations

import numpy as np
import pytest

from cuvee.core import Runs, Settings
from cuvee.errors import UsageError
from cuvee.law.boosted import Boosted
from cuvee.law.curve import Curve
from cuvee.law.implicit_domains import ImplicitDomains
from cuvee.law.propose import Bounds, Question

from .planted import NAMES

BOOSTS = 6


def rough(count: int, seed: int = 0) -> Runs:
    """Powers of the shares and a bump: of no sum of exponentials' form."""
    random = np.random.default_rng(seed)
    x = random.dirichlet([2.0, 1.5, 1.0], count)
    y = 2 + 0.3 / (0.05 + x[:, 0] ** 0.5 + x[:, 1]) + 0.02 * np.cos(9 * x[:, 2]) + random.normal(0, 0.002, count)
    return Runs(Settings(NAMES, x), y, np.arange(count))


def written_out(runs: Runs, boosts: int) -> tuple[list[Curve], list[float]]:
    """Fits and votes, one after the other, as the paper tells it."""
    law, weight = ImplicitDomains(1, restarts=4), [1 / len(runs)] * len(runs)
    fits, votes = [], []
    for _ in range(boosts):
        fitted = law._curves(runs, len(runs) * np.array([weight]), law.starts(runs))[0]
        missed = [abs(float(one)) for one in fitted.at(runs.settings) - runs.outcome]
        mean = sum(w * one / max(missed) for w, one in zip(weight, missed, strict=True))
        assert mean < 0.5
        beta = mean / (1 - mean)
        fits.append(fitted)
        votes.append(float(np.log(1 / beta)))
        weight = [w * beta ** (1 - one / max(missed)) for w, one in zip(weight, missed, strict=True)]
        weight = [w / sum(weight) for w in weight]
    return fits, votes


def median(fits: list[Curve], votes: list[float], settings: Settings) -> list[float]:
    """The least prediction that at least half of the votes do not exceed."""
    found = []
    for column in np.stack([one.at(settings) for one in fits]).T:
        order = np.argsort(column)
        at = next(n for n in range(len(fits)) if sum(votes[one] for one in order[: n + 1]) >= sum(votes) / 2)
        found.append(float(column[order[at]]))
    return found


def test_the_algorithm_run_by_run() -> None:
    runs = rough(25)
    x = Settings(NAMES, np.random.default_rng(1).dirichlet(np.ones(3), 30))
    fits, votes = written_out(runs, BOOSTS)
    fitted = ImplicitDomains(1, restarts=4, boosts=BOOSTS).fit(runs)
    np.testing.assert_allclose(fitted.theta[:BOOSTS], votes, rtol=1e-4)
    np.testing.assert_allclose(fitted.at(x), median(fits, votes, x), rtol=1e-6)
    assert fitted.parameters["fits"] == BOOSTS
    assert np.ptp([one.at(x) for one in fits], axis=0).max() > 1e-3  # the fits differ, or nothing was tested


def test_slopes_are_those_of_what_is_predicted() -> None:
    fitted = ImplicitDomains(2, restarts=4, boosts=BOOSTS).fit(rough(40))
    x = np.random.default_rng(2).dirichlet(np.ones(3), 12)
    written = fitted.slope(Settings(NAMES, x))
    assert written is not None
    for place in range(3):
        step = 1e-7 * np.eye(3)[place]
        ends = [fitted.at(Settings(NAMES, x + sign * step)) for sign in (1, -1)]
        np.testing.assert_allclose(written[:, place], (ends[0] - ends[1]) / 2e-7, rtol=1e-4, atol=1e-5)


def test_resamples_at_once_are_those_one_by_one() -> None:
    """Copies of runs are counts, descent takes all rows at once, and nothing depends on the order of runs."""
    runs, law = rough(30), ImplicitDomains(1, restarts=4, boosts=BOOSTS)
    counts = np.random.default_rng(3).multinomial(30, np.full(30, 1 / 30), 3)
    together = law.refit(runs, counts)
    for row, one in zip(counts, together, strict=True):
        alone = law.fit(runs.take(np.repeat(np.arange(30), row)))
        np.testing.assert_allclose(one.at(runs.settings), alone.at(runs.settings), rtol=1e-6)
    turned = law.fit(runs.take(np.random.default_rng(4).permutation(30)))
    np.testing.assert_allclose(turned.at(runs.settings), law.fit(runs).at(runs.settings), rtol=1e-6)
    begun = law.refit(runs, counts, law.fit(runs))
    bounds = Bounds(np.full(3, 1 / 3), np.array([0.7, 1.0, 1.0]))
    question = Question(NAMES, np.ones(1), bounds, Settings((), np.empty((1, 0))))
    found = question.best(law, [begun])
    grid = np.array([(a, b, 40 - a - b) for a in range(29) for b in range(41 - a)]) / 40
    for row, (one, mixture) in enumerate(zip(begun, found, strict=True)):
        assert mixture[0] <= 0.7 + 1e-9
        reached = question.value([begun], row, mixture[None])[0]
        assert reached <= one.at(Settings(NAMES, grid)).min() + 2e-3


def test_where_it_ends_early() -> None:
    """A law that misses nothing has one fit that counts; one boost is the law itself."""
    x = np.random.default_rng(5).dirichlet(np.ones(3), 20)
    exact = Runs(Settings(NAMES, x), np.full(20, 2.0), np.arange(20))
    fitted = ImplicitDomains(1, restarts=4, boosts=BOOSTS).fit(exact)
    assert isinstance(fitted.law, Boosted) and np.isfinite(fitted.at(exact.settings)).all()
    np.testing.assert_allclose(fitted.at(exact.settings), 2.0, atol=1e-3)
    runs = rough(25)
    plain = ImplicitDomains(1, restarts=4).fit(runs)
    assert not isinstance(plain.law, Boosted)
    first = Boosted(ImplicitDomains(1), 1)
    np.testing.assert_array_equal(
        Curve(first, np.concatenate([[1.0], plain.theta]), 0.0).at(runs.settings), plain.at(runs.settings)
    )


def test_what_is_refused() -> None:
    for boosts in (0, 101):
        with pytest.raises(UsageError, match="boosts must be from 1 to 100"):
            ImplicitDomains(boosts=boosts)
