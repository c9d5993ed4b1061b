"""The search by rounds against descent, on fits of the olmix project and on a surface with two valleys."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cuvee
from cuvee.core import Prediction, Settings
from cuvee.errors import UsageError
from cuvee.law import proposers, rounds
from cuvee.law.curve import Curve
from cuvee.law.olmix import Olmix
from cuvee.law.propose import Bounds, Question
from cuvee.mix.base import poured
from tests.command import cuvee as run

from .planted import NAMES
from .test_fitting import frame, write

GOLDEN = Path(__file__).parents[1] / "data" / "golden" / "olmix" / "log_linear_k4_propose.json"
NOWHERE = Settings((), np.empty((1, 0)))
SOURCES = tuple("abcd")


@dataclass(frozen=True)
class Valleys(Prediction):
    """A shallow valley near the middle and a deep, narrow one near a corner."""

    parameters: Mapping[str, Any] = field(default_factory=dict)

    def at(self, settings: Settings) -> np.ndarray:
        shallow = ((settings.mixture - [0.3, 0.3, 0.4]) ** 2).sum(1)
        deep = 9 * ((settings.mixture - [0.9, 0.05, 0.05]) ** 2).sum(1) - 0.1
        return np.minimum(shallow, deep)


def planted() -> tuple[list[list[Prediction]], np.ndarray]:
    inputs = json.loads(GOLDEN.read_text())["inputs"]
    fits: list[list[Prediction]] = [[Curve(Olmix(), np.array(one), 0.0)] for one in inputs["params_log_c_then_t"]]
    return fits, np.array(inputs["prior"])


@pytest.mark.parametrize("cap", [1.0, 0.35])
def test_as_good_as_descent(cap: float) -> None:
    """On the project's fits: within a thousandth of the exact minimum, and within the caps."""
    fits, prior = planted()
    bounds = Bounds(prior, np.array([1.0, cap, cap, 1.0]))
    question = Question(SOURCES, np.full(2, 0.5), bounds, NOWHERE)
    exact = question.best(Olmix(kl=0.0), fits)
    found = proposers.best("rounds", question, Olmix(), fits)
    assert found.shape == (1, 4) and found.sum() == pytest.approx(1)
    assert (found <= bounds.caps + 1e-9).all() and (found >= 0).all()
    least, reached = question.value(fits, 0, np.concatenate([exact, found]))
    assert 0 <= reached - least + 1e-9 < rounds.NEAR
    assert np.array_equal(found, proposers.best("rounds", question, Olmix(), fits))
    pulled = proposers.best("law", question, Olmix(), fits)
    assert np.array_equal(pulled, question.best(Olmix(), fits))


def test_a_deep_and_narrow_valley() -> None:
    question = Question(NAMES, np.ones(1), Bounds(np.full(3, 1 / 3), np.ones(3)), NOWHERE)
    found = proposers.best("rounds", question, Olmix(), [[Valleys()]])[0]
    assert found == pytest.approx([0.9, 0.05, 0.05], abs=0.02)


def test_what_cannot_be_told_apart_is_averaged() -> None:
    """Losses that all lie within the tolerance leave the prior where it is; a source of prior 0 stays at 0."""
    prior = np.array([0.5, 0.3, 0.2, 0.0])
    flat = Curve(Olmix(), np.array([0.0, *np.full(4, -20.0)]), 0.0)
    question = Question(SOURCES, np.ones(1), Bounds(prior, np.ones(4)), NOWHERE)
    assert proposers.best("rounds", question, Olmix(), [[flat]])[0] == pytest.approx(prior, abs=0.005)


def test_caps_are_water_filled() -> None:
    """As one row at a time; also where one source alone is open, and where caps leave no choice."""
    random = np.random.default_rng(5)
    for caps in ([1.0, 0.2, 0.2, 0.4], [0.25, 0.25, 0.25, 0.25], [0.1, 0.3, 0.05, 0.6]):
        bounds = Bounds(np.full(4, 0.25), np.array(caps))
        drawn = np.concatenate([random.dirichlet(np.full(4, 0.4), 200), np.eye(4)])
        found = rounds.within(drawn, bounds)
        expected = np.stack([poured(row + 1e-12, bounds.caps, 1.0) for row in drawn])
        np.testing.assert_allclose(found, expected, atol=1e-9)


def test_draws_are_dirichlet() -> None:
    """Mean and variance of Dirichlet(a prior), also where a times the prior is far below one."""
    prior, random = np.array([0.6, 0.3, 0.1]), np.random.default_rng(0)
    for strength in (0.5, 40.0):
        drawn = rounds.around(prior, np.full(60_000, strength), random)
        np.testing.assert_allclose(drawn.mean(0), prior, atol=0.01)
        np.testing.assert_allclose(drawn.var(0), prior * (1 - prior) / (strength + 1), rtol=0.05)
    tiny = rounds.around(np.array([1.0 - 1e-9, 1e-9]), np.full(1_000, 0.1), random)
    assert np.isfinite(tiny).all() and np.allclose(tiny.sum(1), 1)


def test_fitting_by_rounds(tmp_path: Path) -> None:
    """``cuvee mix fit --proposer rounds``: near the exact proposal of a law without a pull, and told in fit.json."""
    path = write(tmp_path / "runs.csv", frame())
    exact = cuvee.fit_law(path, resample=20, output=tmp_path / "exact")
    found = cuvee.fit_law(path, resample=20, proposer="rounds", output=tmp_path / "rounds")
    assert exact.summary["law"]["proposer"] == "law" and found.summary["law"]["proposer"] == "rounds"
    told = found.summary["expected"]["proposal"]["loss"] - exact.summary["expected"]["proposal"]["loss"]
    assert abs(told) < 3e-3
    assert found.weights == pytest.approx(exact.weights, abs=0.12) and found.weights != exact.weights
    assert all(one["low"] <= one["weight"] <= one["high"] for one in found.summary["proposal"])
    with pytest.raises(UsageError, match="proposer is 'law', 'rounds' or 'perturbed'"):
        cuvee.fit_law(path, proposer="grid", output=tmp_path / "bad")
    answer = run("mix", "fit", path, "--resamples", 20, "--proposer", "rounds", "-o", tmp_path / "typed")
    assert answer.status == 0
    assert json.loads((tmp_path / "typed" / "fit.json").read_text())["proposal"] == found.summary["proposal"]
