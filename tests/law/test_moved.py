"""Resamples moved farther from the fit, and the law that needs it and more starts: autoscale."""

from __future__ import annotations

import numpy as np
import pytest

from cuvee.core import Runs, Settings
from cuvee.law.autoscale import Autoscale
from cuvee.law.bimix import Bimix
from cuvee.law.curve import Curve, CurveLaw, Floats, Numbers, minimise, slopes
from cuvee.law.moved import Moved, MovedCurves, moved_curve, wider

from .planted import NAMES

LAW = Autoscale()
TRUTH = np.concatenate([[np.log(2.0)], np.log([0.05, 0.05, 0.05]), np.log([0.08, 0.03, 0.05])])


def swarm(seed: int, noise: float = 0.005) -> Runs:
    random = np.random.default_rng(seed)
    settings = Settings(NAMES, random.dirichlet(np.array([2.5, 1.5, 1.0]), 40))
    outcome = Curve(LAW, TRUTH, 0.0).at(settings) + random.normal(0, noise, 40)
    return Runs(settings, outcome, np.arange(40))


class Plain(CurveLaw):
    """autoscale's formula without what it writes out."""

    card = LAW.card

    def numbers(self, sources: int) -> int:
        return LAW.numbers(sources)

    def value(self, theta: Numbers, settings: Settings) -> Numbers:
        return LAW.value(theta, settings)

    def starts(self, runs: Runs) -> Floats:
        return LAW.starts(runs)

    named = Autoscale.named


def test_written_derivatives_of_autoscale() -> None:
    random = np.random.default_rng(0)
    settings = Settings(NAMES, np.vstack([random.dirichlet(np.ones(3), 20), np.eye(3)]))
    theta = np.column_stack(
        [random.normal(0, 1, 50), random.uniform(-8, 3.9, (50, 3)), np.log(random.uniform(0.001, 0.3, (50, 3)))]
    )
    values, derived = LAW.derived(theta, settings)
    np.testing.assert_allclose(values, LAW.value(theta, settings), rtol=1e-14)
    for at in range(7):
        moved = theta.astype(complex)
        moved[:, at] += 1e-30j
        np.testing.assert_allclose(derived[:, at], LAW.value(moved, settings).imag / 1e-30, rtol=1e-9, atol=1e-15)
    np.testing.assert_allclose(slopes(LAW, theta, settings), slopes(Plain(), theta, settings), rtol=1e-9)
    far = theta.copy()
    far[:, 1] = 10.0  # beyond the largest alpha nothing changes
    assert (LAW.derived(far, settings)[1][:, 1] == 0).all()


def test_resamples_look_for_minima_of_their_own() -> None:
    """From the fit alone, however long it is followed, many end in a minimum that is not theirs."""
    runs = swarm(2)
    fitted = LAW.fit(runs)
    counts = np.random.default_rng(0).multinomial(40, np.full(40, 1 / 40), 12)
    found = LAW.refit(runs, counts, fitted)
    begun = np.tile(fitted.theta, (12, 1))
    _, alone = minimise(lambda theta: LAW.value(theta, runs.settings), begun, runs.outcome, counts.astype(float), 1.0,
                        LAW.ridge, 2_000)  # fmt: skip
    better = np.array([one.objective for one in found]) / alone  # type: ignore[attr-defined]
    assert np.count_nonzero(better < 0.99) >= 3


def test_resamples_are_taken_farther_from_the_fit() -> None:
    """As far as a formula of 7 numbers fitted to 40 runs asks for; the fit itself stays where it is."""
    runs = swarm(2)
    fitted = LAW.fit(runs)
    one = LAW.refit(runs, np.ones((1, 40), np.int64), fitted)[0]
    np.testing.assert_allclose(one.at(runs.settings), fitted.at(runs.settings), atol=5e-4)
    counts = np.random.default_rng(0).multinomial(40, np.full(40, 1 / 40), 3)
    for curve in LAW.refit(runs, counts, fitted):
        assert isinstance(curve, Curve) and isinstance(curve.law, MovedCurves)
        assert curve.law.factor == pytest.approx(np.sqrt(40 / 33) * 1.6924 / 1.6449, rel=1e-3)
        drawn = Curve(LAW, np.split(curve.theta, 2)[1], 0.0)
        apart = curve.law.factor * (drawn.at(runs.settings) - fitted.at(runs.settings))
        np.testing.assert_allclose(curve.at(runs.settings) - fitted.at(runs.settings), apart, atol=1e-12)
        assert curve.parameters == LAW.named(drawn.theta, NAMES)


@pytest.mark.parametrize("law", [Autoscale(), Bimix()], ids=["written slopes", "complex steps"])
def test_a_moved_formula_is_what_moved_predictions_are(law: CurveLaw) -> None:
    runs = swarm(3)
    one, other = (law.fit(runs.take(np.arange(low, low + 30))) for low in (0, 10))
    settings = Settings(NAMES, np.random.default_rng(1).dirichlet(np.ones(3) * 3, 5))
    moved = moved_curve(one, other, -1.5)
    np.testing.assert_allclose(moved.at(settings), Moved(one, other, -1.5).at(settings), rtol=1e-12)
    slope = moved.slope(settings)
    assert slope is not None
    for at in range(3):
        step = np.array(1e-6 * np.eye(3)[at])
        up, down = (moved.at(Settings(NAMES, settings.mixture + sign * step)) for sign in (1, -1))
        np.testing.assert_allclose(slope[:, at], (up - down) / 2e-6, rtol=1e-4, atol=1e-6)


def test_how_much_wider() -> None:
    assert wider(10_000, 3) == pytest.approx(1.0, abs=1e-3)
    assert wider(6, 3) == pytest.approx(np.sqrt(2) * 2.3534 / 1.6449, rel=1e-3)
    assert wider(4, 9) == pytest.approx(2 * 6.3138 / 1.6449, rel=1e-3)  # fewer than numbers: one degree of freedom
