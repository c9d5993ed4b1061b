"""Judging, proposing and refusing: the helpers that all laws share."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cuvee import registry
from cuvee.core import Card, Prediction, Runs, Settings
from cuvee.engine.plan import make
from cuvee.errors import UsageError
from cuvee.law.baselines import BASELINES, Baseline
from cuvee.law.data_mixing_laws import DataMixingLaws
from cuvee.law.joint_scaling import JointScaling
from cuvee.law.judge import (
    folds,
    group_means,
    highest,
    judge,
    largest_left_out,
    resamples,
    seed_noise,
    spearman,
    together,
)
from cuvee.law.loss_to_loss import LossToLoss
from cuvee.law.propose import Bounds, Question, descend, random_mixtures
from cuvee.law.reach import hull_distance, nonnegative, outside, predict

from .planted import FLOOR, NAMES, SCALE, TILT, at, loss, swarm, table


def test_errors_are_of_runs_left_out() -> None:
    """A law that remembers its runs is judged no better than it is: the nearest run has error 0 in, not out."""
    runs = swarm(20, 0.0)
    nearest = Baseline("nearest")
    assert np.abs(nearest.fit(runs).at(runs.settings) - runs.outcome).max() < 1e-12
    assert judge(nearest, runs).error > 0.01


def test_seeds_of_a_mixture_are_left_out_together() -> None:
    runs = swarm(25, 0.05, repeats=3)
    for mask in folds(runs):
        assert not set(runs.group[mask]) & set(runs.group[~mask])
    assert np.sum(folds(runs), 0).tolist() == [1] * 75
    counts = resamples(runs, 50, 0)
    assert (counts.reshape(50, 25, 3) == counts.reshape(50, 25, 3)[:, :, :1]).all()
    assert (counts[:, ::3].sum(1) == 25).all()


def test_error_in_units_of_noise() -> None:
    """The right law misses group means by less than the noise of a run; a line misses by more."""
    runs = swarm(30, 0.01, repeats=2)
    verdict = judge(DataMixingLaws(), runs, BASELINES)
    assert verdict.noise == pytest.approx(0.01, rel=0.3)
    assert verdict.error_in_noise is not None and verdict.error_in_noise < 1.5
    assert verdict.error < min(verdict.baselines.values()) == verdict.baselines["linear"]
    assert verdict.rank > 0.95 and 0.3 < verdict.rank_best <= 1
    assert judge(DataMixingLaws(), swarm(30, 0.01)).error_in_noise is None


def test_noise_law_learns_nothing() -> None:
    """Where outcomes are noise, no law beats the mean: the judgement says so."""
    runs = swarm(30, 0.0)
    noise = Runs(runs.settings, np.random.default_rng(3).normal(2.0, 0.1, 30), runs.group)
    verdict = judge(DataMixingLaws(), noise, BASELINES)
    assert verdict.error > verdict.baselines["mean"] * 0.95


def test_largest_scale_left_out() -> None:
    n = np.repeat([1e7, 3e7, 1e8, 3e8, 1e9], 4)
    d = np.tile([1e9, 3e9, 1e10, 3e10], 5)
    runs = table(1.7 + 400 / n**0.34 + 410 / d**0.28, parameters=n, tokens=d)
    error = largest_left_out(JointScaling("chinchilla"), runs, "parameters")
    assert error is not None and error < 0.02
    assert largest_left_out(JointScaling(), runs.take(n <= 3e7), "parameters") is None


def test_the_largest_runs_are_those_of_least_loss() -> None:
    """Losses that follow a law down to a quarter of them, and then stop falling: that quarter is what is missed."""
    x = np.linspace(2.0, 4.0, 16)
    law = LossToLoss(1.5, 1.0)
    runs = table(0.9 * (x - 1.5) ** 1.1 + 1.0 + np.where(x < 2.5, 0.3, 0.0), loss_a=x)
    assert largest_left_out(law, runs, "loss_a") == pytest.approx(0.3, abs=1e-6)
    assert largest_left_out(LossToLoss(), runs.take(np.arange(4)), "loss_a") is None


class OneWay(Prediction):
    """Orders what is above 20 as it is, and the rest the other way round."""

    def at(self, settings: Settings) -> np.ndarray:
        x = settings.values["size"]
        return np.where(x > 20, x, -x)


@pytest.mark.parametrize(
    ("gives", "tokens", "best"),
    [("loss", 1, -1), ("error", 1, -1), ("score", 1, 1), ("performance", 1, 1), ("metric", 1, 1), ("metric", -1, -1)],
)
def test_the_best_quarter_is_where_choices_are_made(gives: str, tokens: int, best: int) -> None:
    """The lowest of losses and errors, the highest of scores, and of metrics what training brings."""

    class Known(Baseline):
        card = Card("", "law", ("size", "tokens"), "", "", gives=(gives,))

        def fit(self, runs: Runs) -> Prediction:
            return OneWay()

    x = np.arange(40.0)
    verdict = judge(Known(), table(x, size=x, tokens=50.0 + tokens * x))
    assert verdict.rank_best == pytest.approx(best)


def test_laws_of_which_more_is_better() -> None:
    laws = [make(registry.find("law", name), {}, name) for name in registry.found_in("law")]
    up, down = (table(x, tokens=np.arange(1.0, 9.0)) for x in (np.arange(8.0), -np.arange(8.0)))
    better = {type(law).__name__ for law in laws if highest(law, up)}
    assert better == {"ClusteringOnDifficulty", "DownstreamLog", "FineLine", "Projektor"}
    assert better - {type(law).__name__ for law in laws if highest(law, down)} == {"FineLine"}


def test_runs_that_are_all_alike_are_left_out_by_setting() -> None:
    runs = table(np.arange(6.0), share=np.full(6, 0.5), tokens=np.arange(1.0, 7.0))
    assert [mask.sum() for mask in folds(together(runs, "share"))] == [1] * 6


@settings(deadline=None)
@given(st.lists(st.integers(0, 5), min_size=3, max_size=12), st.lists(st.integers(0, 5), min_size=12, max_size=12))
def test_spearman(left: list[int], right: list[int]) -> None:
    """Pearson of mean ranks; signed, bounded, blind to monotone changes."""
    a, b = np.array(left, float), np.array(right[: len(left)], float)
    found = spearman(a, b)
    if np.isnan(found):
        assert len(set(a)) == 1 or len(set(b)) == 1
        return
    rank = [np.array([(x < one).sum() + ((x == one).sum() + 1) / 2 for one in x]) for x in (a, b)]
    assert found == pytest.approx(np.corrcoef(rank[0], rank[1])[0, 1], abs=1e-12)
    assert spearman(np.exp(a), b) == pytest.approx(found) == -spearman(-a, b)


def test_group_means_and_noise() -> None:
    runs = Runs(Settings((), np.empty((5, 0))), np.array([1.0, 3.0, 5.0, 5.5, 9.0]), np.array([0, 0, 1, 1, 2]))
    _, mean, size = group_means(runs)
    assert mean.tolist() == [2.0, 5.25, 9.0] and size.tolist() == [2, 2, 1]
    noise, freedom = seed_noise(runs)
    assert freedom == 2 and noise == pytest.approx(np.sqrt((2.0 + 0.125) / 2))


WEIGHT = np.full(3, 1 / 3)


def planted_objective(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    value = sum(w * loss(x, m) for m, w in enumerate(WEIGHT))
    slope = sum(w * SCALE[m] * np.exp(x @ TILT[m])[:, None] * TILT[m] for m, w in enumerate(WEIGHT))
    assert isinstance(value, np.ndarray) and isinstance(slope, np.ndarray)
    return value, slope


def grid(step: int) -> np.ndarray:
    return np.array([(a, b, step - a - b) for a in range(step + 1) for b in range(step + 1 - a)]) / step


@pytest.mark.parametrize("caps", [[1.0, 1.0, 1.0], [1.0, 0.3, 0.4], [0.2, 0.5, 0.4]])
def test_descent_finds_what_a_grid_finds(caps: list[float]) -> None:
    bounds = Bounds(np.array([0.5, 0.3, 0.2]), np.array(caps))
    found, value = descend(planted_objective, bounds, np.array([[0.4, 0.3, 0.3], [0.05, 0.05, 0.9]]))
    every = grid(200)
    every = every[(every <= np.array(caps) + 1e-12).all(1)]
    brute = planted_objective(every)[0].min()
    assert (found <= np.array(caps) + 1e-9).all() and found.sum(1) == pytest.approx([1, 1])
    assert value[0] <= brute + 1e-9 and value[1] == pytest.approx(value[0], abs=1e-7)


def test_steep_laws_stay_within_the_caps() -> None:
    """Slopes that drive all shares but two to nothing: what the caps of those leave still goes to the others."""
    caps = np.array([1.0, 1.0, 0.8, 0.4, 0.2])
    bounds = Bounds(np.array([0.40, 0.25, 0.20, 0.10, 0.05]), caps)
    for steep in (1e2, 1e6, 1e200, np.inf):

        def fall(x: np.ndarray, steep: float = steep) -> tuple[np.ndarray, np.ndarray]:
            return x @ np.array([0.0, 0.0, 0.0, -1.0, -2.0]), np.tile([0.0, 0.0, 0.0, -steep, -2 * steep], (len(x), 1))

        found, value = descend(fall, bounds, np.full((1, 5), 0.2))
        assert (found <= caps + 1e-12).all() and found.sum() == pytest.approx(1)
        assert steep > 1e2 or value[0] == pytest.approx(-0.8, abs=1e-9)


def test_the_pull_ends_at_the_prior() -> None:
    prior = np.array([0.5, 0.3, 0.2])
    distances = []
    for kl in (0.0, 0.1, 1.0, 100.0):
        found, _ = descend(planted_objective, Bounds(prior, np.ones(3), kl), np.full((1, 3), 1 / 3))
        distances.append(np.abs(found[0] - prior).sum())
    assert distances == sorted(distances, reverse=True) and distances[-1] < 2e-3


def test_caps_that_leave_tokens_missing() -> None:
    with pytest.raises(UsageError, match=r"sum to 0.8, so 20.0 % of the tokens are missing"):
        Bounds(np.array([0.5, 0.3, 0.2]), np.array([0.5, 0.2, 0.1]))


def test_proposal_is_near_the_planted_optimum() -> None:
    """From 30 noisy runs: the true loss of the proposal is within noise of the least."""
    bounds = Bounds(np.array([0.5, 0.3, 0.2]), np.ones(3))
    optimum = descend(planted_objective, bounds, np.full((1, 3), 1 / 3))[0]
    question = Question(NAMES, WEIGHT, bounds, Settings((), np.empty((1, 0))))
    fits = [[DataMixingLaws().fit(swarm(30, 0.01, outcome=m))] for m in range(3)]
    found = question.best(DataMixingLaws(), fits)
    regret = planted_objective(found)[0] - planted_objective(optimum)[0]
    assert 0 <= regret[0] + 1e-9 < 0.01
    assert np.abs(found - optimum).max() < 0.15 and FLOOR.shape == (3,)


def test_random_mixtures_lie_within_caps() -> None:
    bounds = Bounds(np.array([0.6, 0.3, 0.1, 0.0]), np.array([1.0, 0.4, 0.2, 1.0]))
    drawn = random_mixtures(bounds, 2_000, 0)
    assert drawn.sum(1) == pytest.approx(np.ones(2_000))
    assert (drawn <= bounds.caps + 1e-9).all() and (drawn[:, 3] == 0).all()
    assert drawn[:, 0].std() > 0.1
    assert (drawn == random_mixtures(bounds, 2_000, 0)).all()


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 10**6))
def test_hull(seed: int) -> None:
    """Means of measured mixtures are inside; a corner that no run is near is outside by its distance."""
    random = np.random.default_rng(seed)
    measured = random.dirichlet([1, 1, 1, 1], 12)
    inside = random.dirichlet(np.ones(12), 5) @ measured
    assert hull_distance(measured, inside).max() < 1e-4
    box = measured.copy()
    box[:, 0] = np.minimum(box[:, 0], 0.5)
    box /= box.sum(1, keepdims=True)
    corner = np.array([[1.0, 0, 0, 0]])
    assert hull_distance(box, corner)[0] >= 1 - box[:, 0].max() - 1e-6


def test_nonnegative_least_squares() -> None:
    random = np.random.default_rng(0)
    for _ in range(20):
        matrix, target = random.normal(size=(12, 6)), random.normal(size=12)
        x = nonnegative(matrix, target)
        gradient = matrix.T @ (matrix @ x - target)
        assert (x >= 0).all() and (gradient >= -1e-7).all() and np.abs(gradient * x).max() < 1e-7


def test_extrapolation_is_refused_or_said() -> None:
    runs = swarm(25, 0.01)
    fitted = DataMixingLaws().fit(runs)
    corner = Settings(NAMES, np.array([[1.0, 0.0, 0.0]]))
    assert outside(runs, Settings(NAMES, runs.settings.mixture.mean(0)[None])) == []
    with pytest.raises(UsageError, match="extrapolation: the mixture is"):
        predict(fitted, runs, corner)
    assert predict(fitted, runs, corner, extrapolate=True).shape == (1,)
    sized = table([1.0, 2.0, 3.0], tokens=[1e9, 2e9, 4e9])
    assert outside(sized, at(tokens=[3e9])) == []
    taught = table([1.0, 2.0, 3.0], teacher_loss=[0.0, 1.4, 1.5])
    assert outside(taught, at(teacher_loss=[0.0])) == [] == outside(taught, at(teacher_loss=[1.45]))
    assert outside(taught, at(teacher_loss=[0.6])) == ["teacher_loss is 0.6, and was measured at 1.4 to 1.5"]
    assert outside(sized, at(tokens=[8e9])) == ["tokens is 8e+09, and was measured at 1e+09 to 4e+09"]
