"""Projektor's third step: slopes from dual potentials against differences, and mixtures that climb."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cuvee.core import Runs, Settings
from cuvee.errors import DataError, UsageError
from cuvee.law.baselines import Baseline
from cuvee.law.projektor import Projected, Projektor, distance
from cuvee.law.transported import MixtureDistance, calibrated, choose, nearest

NAMES = ("a", "b", "c")
GOLDEN = Path(__file__).parents[1] / "data" / "golden" / "projektor" / "pseudo_quadratic_1.json"
RANDOM = np.random.default_rng(0)
SOURCES = [RANDOM.normal(middle, 1.0, (count, 2)) for middle, count in (((0, 0), 16), ((1.5, 0), 24), ((0, 3), 12))]
VALIDATION = RANDOM.normal((0.7, 0.3), 1.0, (21, 2))


def measured(law: Any = None) -> tuple[MixtureDistance, Projected]:
    """The distance, and projektor fitted to 0.5 + 0.05 log N - 0.08 OT + 0.02 p_a at two sizes."""
    away = MixtureDistance(SOURCES, VALIDATION)
    mixtures = np.random.default_rng(1).dirichlet([1.0, 1, 1], 14)
    far = np.array([away.at(one)[0] for one in mixtures])
    sizes = np.repeat([100.0, 250.0], 14)
    settings = Settings(NAMES, np.tile(mixtures, (2, 1)), {"distance": np.tile(far, 2), "samples": sizes})
    outcome = 0.5 + 0.05 * np.log(sizes) - 0.08 * np.tile(far, 2) + 0.02 * settings.mixture[:, 0]
    fitted = (law or Projektor()).fit(Runs(settings, outcome, np.arange(28)))
    return away, fitted


@pytest.mark.parametrize("mixture", [(0.5, 0.3, 0.2), (0.02, 0.9, 0.08), (0.599, 0.4, 0.001)])
def test_slopes_are_those_of_differences(mixture: tuple[float, ...]) -> None:
    """The calibrated potential is the distance's derivative on the way from the other sources to one."""
    p, away = np.array(mixture), MixtureDistance(SOURCES, VALIDATION)
    found = calibrated(p, away.at(p)[1])
    for place in range(3):
        toward = np.eye(3)[place] - np.where(np.arange(3) == place, 0, p) / (1 - p[place])
        step = 1e-5
        ends = away.at(p + step * toward)[0], away.at(p - step * toward)[0]
        assert found[place] == pytest.approx((ends[0] - ends[1]) / (2 * step), rel=1e-5)


def test_the_distance() -> None:
    """Of one source it is that of two samples; a mixture that is the validation data is at 0; order is no matter."""
    away = MixtureDistance(SOURCES, VALIDATION)
    scale = away.epsilon / float(((SOURCES[1][:, None] - VALIDATION[None]) ** 2).sum(-1).mean())
    assert away.at(np.array([0.0, 1, 0]))[0] == pytest.approx(distance(SOURCES[1], VALIDATION, blur=scale), rel=1e-6)
    parts = [VALIDATION[:8], VALIDATION[8:]]
    same = MixtureDistance(parts, VALIDATION)
    assert same.at(np.array([8, 13]) / 21)[0] == pytest.approx(0, abs=1e-7)
    assert same.at(np.array([0.5, 0.5]))[0] > 1e-4
    first, again = away.at(np.array([0.2, 0.5, 0.3])), away.at(np.array([0.9, 0.05, 0.05]))
    fresh = MixtureDistance(SOURCES, VALIDATION)
    assert fresh.at(np.array([0.9, 0.05, 0.05]))[0] == pytest.approx(again[0], abs=1e-7)
    assert fresh.at(np.array([0.2, 0.5, 0.3]))[1] == pytest.approx(first[1], abs=1e-6)
    assert np.isfinite(away.at(np.array([0.5, 0.5, 0]))[1]).all()
    weighted = np.array([0.2, 0.5, 0.3]) @ first[1]
    assert weighted == pytest.approx(0, abs=1e-9)


def test_slopes_of_the_regression() -> None:
    """Those of the law fitted to the release's case, at both sizes and between, against differences."""
    inputs = json.loads(GOLDEN.read_text())["inputs"]
    p = np.column_stack([inputs["p1"], inputs["p2"]])
    mixture = np.column_stack([p, 1 - p.sum(1)])
    parts = [(float(size), np.array(told["ot"]), np.array(told["acc"])) for size, told in inputs["sizes"].items()]
    columns = {
        "distance": np.concatenate([away for _, away, _ in parts]),
        "samples": np.concatenate([np.full(len(p), size) for size, _, _ in parts]),
    }
    settings = Settings(NAMES, np.tile(mixture, (2, 1)), columns)
    fitted = Projektor().fit(Runs(settings, np.concatenate([one for *_, one in parts]), np.arange(2 * len(p))))
    assert isinstance(fitted, Projected)
    asked = Settings(NAMES, mixture[:5], {"distance": parts[0][1][:5], "samples": np.full(5, 700.0)})
    by_share, by_distance = fitted.slopes(asked)
    for place in range(3):
        ends = []
        for step in (1e-4, -1e-4):
            moved = asked.mixture.copy()
            moved[:, place] += step
            ends.append(fitted.at(Settings(NAMES, moved, dict(asked.values))))
        np.testing.assert_allclose(by_share[:, place], (ends[0] - ends[1]) / 2e-4, rtol=1e-6, atol=1e-8)
    ends = [
        fitted.at(Settings(NAMES, asked.mixture, {**asked.values, "distance": asked.values["distance"] + step}))
        for step in (1e-3, -1e-3)
    ]
    np.testing.assert_allclose(by_distance, (ends[0] - ends[1]) / 2e-3, rtol=1e-8)


def test_the_climb_ends_at_the_best_mixture() -> None:
    """No random mixture is predicted to be better, and the release's settings go the same way, though not far."""
    away, fitted = measured()
    found = choose(fitted, NAMES, away, 1_000, rate=0.02, steps=200)
    draws = np.random.default_rng(2).dirichlet([1.0, 1, 1], 40)
    settings = {"distance": np.array([away.at(one)[0] for one in draws]), "samples": np.full(40, 1_000.0)}
    assert found.performance > fitted.at(Settings(NAMES, draws, settings)).max()
    assert found.performance > found.before and found.mixture.sum() == pytest.approx(1)
    assert found.slope < 0.02 and not found.notes
    short = choose(fitted, NAMES, away, 1_000)
    assert short.path.shape == (101, 3) and short.before < short.performance < found.performance
    assert "not come to rest" in short.notes[0]
    assert np.sign(short.mixture - 1 / 3)[2] == np.sign(found.mixture - 1 / 3)[2] == -1
    assert "times the largest size" in choose(fitted, NAMES, away, 5_000, steps=1).notes[0]


def test_nearest_mixture() -> None:
    """Projection on the simplex: mixtures stay, and nothing else in it is nearer."""
    random = np.random.default_rng(3)
    mixtures = random.dirichlet([0.5] * 4, 300)
    assert nearest(mixtures[0]) == pytest.approx(mixtures[0])
    for point in random.normal(0.25, 1.0, (20, 4)):
        found = nearest(point)
        assert found.min() >= 0 and found.sum() == pytest.approx(1)
        assert ((found - point) ** 2).sum() <= ((mixtures - point) ** 2).sum(1).min() + 1e-12


def test_what_is_refused() -> None:
    away, fitted = measured()
    with pytest.raises(UsageError, match="needs a fitted projektor"):
        choose(measured(Baseline())[1], NAMES, away, 1_000)
    with pytest.raises(UsageError, match="one name for each of the 3 sources"):
        choose(fitted, NAMES[:2], away, 1_000)
    with pytest.raises(UsageError, match="3 shares that sum to 1"):
        choose(fitted, NAMES, away, 1_000, begin=np.array([0.5, 0.4, 0.4]))
    with pytest.raises(DataError, match="vectors of one length"):
        MixtureDistance([np.ones((3, 2)), np.ones((0, 2))], VALIDATION)
    with pytest.raises(DataError, match="are one point"):
        MixtureDistance([np.ones((3, 2)), np.ones((4, 2))], np.ones((2, 2)))
