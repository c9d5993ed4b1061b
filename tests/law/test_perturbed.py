"""Draws near the best of others: better where the law is low in few of them, and within caps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cuvee
from cuvee.core import Prediction, Settings
from cuvee.law import perturbed, proposers
from cuvee.law.propose import Bounds, Question, random_mixtures
from cuvee.law.regmix import RegMix

from .planted import NAMES
from .test_fitting import frame, write

K = 12
TARGET = np.array([0.3, 0.3, *np.full(K - 2, 0.04)])
NATURAL = np.array([0.05, 0.05, *np.full(K - 2, 0.09)])


@dataclass(frozen=True)
class Bowl(Prediction):
    """Least at a mixture that hardly any draw around the natural one comes near."""

    centre: np.ndarray = field(default_factory=lambda: TARGET)
    parameters: Mapping[str, Any] = field(default_factory=dict)

    def at(self, settings: Settings) -> np.ndarray:
        return np.asarray(((settings.mixture - self.centre) ** 2).sum(1))


def asked(caps: float = 1.0) -> Question:
    nowhere = Settings((), np.empty((1, 0)))
    names = tuple(f"s{at}" for at in range(K))
    return Question(names, np.ones(1), Bounds(NATURAL, np.full(K, caps)), nowhere, draws=4_000, top=40)


def test_nearer_to_the_least_than_draws_and_more_draws() -> None:
    question, fits = asked(), [[Bowl()]]
    found = perturbed.best(question, fits, 0)
    plain = question.best(RegMix(), fits)[0]
    more = replace(question, draws=3 * question.draws // 2).best(RegMix(), fits)[0]
    value = [float(Bowl().at(Settings(question.sources, one[None]))[0]) for one in (found, plain, more)]
    assert found.sum() == pytest.approx(1) and value[0] < 0.6 * min(value[1:])
    assert np.array_equal(found, proposers.best("perturbed", question, RegMix(), fits)[0])


def test_the_best_of_all_draws_are_averaged() -> None:
    """By hand: where all that is near the best is worse, the answer is that of the draws alone."""
    question = asked()
    drawn = random_mixtures(question.bounds, question.draws, question.seed)

    @dataclass(frozen=True)
    class Known(Prediction):
        parameters: Mapping[str, Any] = field(default_factory=dict)

        def at(self, settings: Settings) -> np.ndarray:
            same = np.isclose(settings.mixture.sum(1), 1) & np.isin(settings.mixture[:, 0], drawn[:, 0])
            return np.where(same, settings.mixture[:, 0], 9.0)

    by_hand = drawn[np.argsort(drawn[:, 0], kind="stable")[: question.top]].mean(0)
    np.testing.assert_allclose(perturbed.best(question, [[Known()]], 0), by_hand)


def test_caps_and_sources_without_a_share() -> None:
    question = asked(0.15)
    prior = np.where(np.arange(K) == 3, 0.0, NATURAL)
    bounds = Bounds(prior / prior.sum(), question.bounds.caps)
    found = proposers.best("perturbed", replace(question, bounds=bounds), RegMix(), [[Bowl(), Bowl(NATURAL)]])
    assert found.shape == (2, K) and (found <= 0.15 + 1e-9).all() and (found[:, 3] == 0).all()
    assert not np.allclose(found[0], found[1])


def test_through_a_fit(tmp_path: Path) -> None:
    """The name stands in fit.json, and the proposal is another one."""
    path = write(tmp_path / "runs.csv", frame())
    found = [
        cuvee.fit_law(path, resample=20, proposer=how, output=tmp_path / how).summary for how in ("law", "perturbed")
    ]
    assert found[1]["law"]["proposer"] == "perturbed"
    weights = [np.array([one["weight"] for one in told["proposal"]]) for told in found]
    assert weights[1].sum() == pytest.approx(1) and 0 < np.abs(weights[0] - weights[1]).sum() < 0.3
    assert len(found[1]["proposal"]) == len(NAMES)
