"""How far a proposal goes: all the way where the law is right, nowhere where its errors could undo its promise."""

from __future__ import annotations

from collections.abc import Callable
from statistics import NormalDist

import numpy as np
import numpy.typing as npt
import pytest

from cuvee.core import Runs, Settings
from cuvee.law.caution import LEVEL, ROUGH, Step, cautious, distance, left_out, level, misfit
from cuvee.law.data_mixing_laws import DataMixingLaws

from .planted import NAMES, swarm

Floats = npt.NDArray[np.float64]
NATURAL = np.array([0.6, 0.3, 0.1])
BEST = np.array([0.3, 0.3, 0.4])
LAW = DataMixingLaws(restarts=8)


def bowl(lowest: Floats) -> Callable[[Floats], Floats]:
    """A loss that falls by 0.01 from the natural mixture to the best, where it is level."""
    scale = 0.01 / float(((NATURAL - BEST) ** 2).sum())
    return lambda x: 2.0 + scale * ((x - lowest) ** 2).sum(-1)


def step(errors: Floats, spread: float = 0.0) -> Step:
    """With resamples whose optima lie ``spread`` around the best, and errors of mixtures at distance 0.3."""
    random = np.random.default_rng(0)
    moved = spread * random.normal(size=(40, 1)) * np.array([1.0, 0.0, -1.0])
    proposals = BEST + moved - moved.mean(0)
    measured = np.tile(BEST, (len(errors), 1))
    return cautious(NATURAL, proposals, bowl(BEST), lambda b, x: bowl(proposals[b])(x), measured, np.asarray(errors))


def either(size: float) -> Floats:
    """Errors of both signs, which cancel in any even number of them from the first."""
    return size * np.tile([1.0, -1.0], 6)


def test_a_law_without_errors_is_believed() -> None:
    found = step(np.zeros(10))
    assert found.t == 1 and found.moved == pytest.approx(0.3) and found.optimism == pytest.approx(0, abs=1e-12)
    assert found.toward == pytest.approx(BEST)
    assert found.path[-1] == pytest.approx([1, -0.01, -0.01, -0.01])


def test_the_larger_the_errors_the_shorter_the_way() -> None:
    found = [step(either(one)).t for one in (0.0, 0.004, 0.01, 0.016, 0.024, 0.1)]
    assert found == sorted(found, reverse=True)
    assert found[0] == 1 and 0 < found[2] < 1 and found[-1] == 0


def test_the_bound_is_of_the_root_of_distance() -> None:
    """All errors alike but for their signs: the bound is the predicted difference plus the error, scaled."""
    found = step(either(0.004)).path
    z = NormalDist().inv_cdf(LEVEL)
    assert found[1:, 3] == pytest.approx((found[:, 1] + z * 0.004 * found[:, 0] ** ROUGH)[1:])
    assert misfit(np.tile(BEST, (10, 1)), np.full(10, 0.004), NATURAL) == pytest.approx(0.004 / 0.3**ROUGH)


def test_a_law_that_misses_the_natural_mixture_is_told_by_those_near_it() -> None:
    """Mixtures near it that are all worse than predicted count against every step, however short; far ones do not."""
    near, far = np.tile(0.9 * NATURAL + 0.1 * BEST, (4, 1)), np.tile(BEST, (8, 1))
    measured = np.concatenate([far, near])
    for errors, expected in (([0.0] * 8 + [0.02] * 4, 0.02), ([0.02] * 8 + [0.0] * 4, 0.0), ([-0.02] * 12, 0.0)):
        assert level(measured, np.array(errors), NATURAL) == pytest.approx(expected)
    missed = np.array([0.0] * 8 + [0.02] * 4)
    found = cautious(NATURAL, BEST[None].repeat(3, 0), bowl(BEST), lambda b, x: bowl(BEST)(x), measured, missed)
    assert found.t == 0 and found.path[0, 3] == 0 and found.path[1, 3] > 0.015
    alike = step(np.full(12, 0.004)).path  # errors that are the same everywhere do not grow with distance, too
    assert alike[1:, 3] == pytest.approx(alike[1:, 1] + 0.004)
    assert level(measured, np.full(12, np.nan), NATURAL) == 0


def test_more_sources_ask_for_more() -> None:
    """Up to six count as six; beyond, the bound grows with the root of how many directions there are."""

    def bound(sources: int) -> float:
        natural = np.full(sources, 1 / sources)
        best = natural + np.where(np.arange(sources) == 0, 0.1, -0.1 / (sources - 1))
        measured = best[None].repeat(12, 0)
        found = cautious(natural, best[None].repeat(3, 0), flat, lambda b, x: flat(x), measured, either(0.01))
        return float(found.path[-1, 3])

    def flat(x: Floats) -> Floats:
        return np.ones(len(x))

    assert bound(3) == pytest.approx(bound(6)) == pytest.approx(NormalDist().inv_cdf(LEVEL) * 0.01)
    assert bound(21) == pytest.approx(2 * bound(6))


def test_the_way_leads_to_the_mean_of_the_optima() -> None:
    """What single resamples decide cancels; a resample without an optimum does not count."""
    proposals = np.array([[0.2, 0.3, 0.5], [0.4, 0.3, 0.3], [np.nan, np.nan, np.nan]])
    found = cautious(
        NATURAL, proposals, bowl(BEST), lambda b, x: bowl(BEST)(x) * [1, 1, np.nan][b], BEST[None], np.array([0.0])
    )
    assert found.toward == pytest.approx(BEST) and found.t == 1


def test_the_worse_of_two_predictions_counts() -> None:
    """A fit to all runs that promises more than resamples do on the average is not believed."""
    proposals = np.tile(BEST, (20, 1))

    def half(b: int, x: Floats) -> Floats:
        return 0.5 * bowl(BEST)(x)

    found = cautious(NATURAL, proposals, bowl(BEST), half, BEST[None], np.array([0.0]))
    assert found.path[-1] == pytest.approx([1, -0.01, -0.005, -0.005])
    assert found.optimism == 0.0  # resamples promise less than the fit grants: nothing to be taken off
    bold = cautious(
        NATURAL, proposals, lambda x: 0.5 * bowl(BEST)(x), lambda b, x: bowl(BEST)(x), BEST[None], np.zeros(1)
    )
    assert bold.optimism == pytest.approx(0.005)


def test_promises_that_differ_between_resamples_shorten_the_way() -> None:
    found = [step(np.zeros(10), spread) for spread in (0.0, 0.1, 1.0)]
    assert [one.t for one in found] == sorted((one.t for one in found), reverse=True)
    assert found[2].t < 1
    assert all((one.path[1:, 2] >= one.path[1:, 1] - 1e-12).all() for one in found)


def test_nothing_finite_is_nothing_shown() -> None:
    found = cautious(NATURAL, BEST[None], bowl(BEST), lambda b, x: np.full(len(x), np.nan), BEST[None], np.array([0.0]))
    assert found.t == 0 and found.as_json()["bound"] == np.inf


def test_the_way_does_not_need_the_optimum_to_differ() -> None:
    found = cautious(
        NATURAL, np.tile(NATURAL, (3, 1)), bowl(BEST), lambda b, x: bowl(BEST)(x), BEST[None], np.array([0.0])
    )
    assert found.t == 0 and found.moved == 0


def test_errors_are_of_mixtures_left_out_but_the_natural_one() -> None:
    """A law that remembers what it saw still errs on mixtures left out; a planted law has hardly any error."""
    runs = swarm(25, 0.0)
    mixtures, errors = left_out(LAW, [runs], np.ones(1), 3)
    assert mixtures.shape == (24, 3) and np.abs(errors).max() < 1e-3
    assert distance(mixtures, runs.settings.mixture[3]).min() > 0
    shifted = Runs(runs.settings, runs.outcome - 0.05 * (runs.group == 3), runs.group)
    _, late = left_out(LAW, [shifted], np.ones(1), 3)
    assert (
        np.median(late) > 0.03
    )  # the natural mixture is better than any law of this form says: all errors have a sign


def test_outcomes_are_weighted() -> None:
    runs = swarm(20, 0.02)
    settings = Settings(NAMES, runs.settings.mixture)
    other = Runs(settings, runs.outcome[::-1].copy(), runs.group)
    both = left_out(LAW, [runs, runs], np.array([0.25, 0.75]), 0)[1]
    assert both == pytest.approx(left_out(LAW, [runs], np.ones(1), 0)[1])
    assert left_out(LAW, [runs, other], np.array([1.0, 0.0]), 0)[1] == pytest.approx(both)


def test_without_a_measured_error_nothing_is_shown() -> None:
    assert step(np.full(10, np.nan)).t == 0
