"""How far a proposal goes: all the way where the law is right, nowhere where its errors could undo its promise."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest

from cuvee.core import Runs, Settings
from cuvee.law.caution import ROUGH, Step, cautious, distance, left_out
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
    proposals = BEST + moved
    measured = np.tile(BEST, (len(errors), 1))
    return cautious(
        NATURAL, BEST, proposals, bowl(BEST), lambda b, x: bowl(proposals[b])(x), measured, np.asarray(errors)
    )


def test_a_law_without_errors_is_believed() -> None:
    found = step(np.zeros(10))
    assert found.t == 1 and found.moved == pytest.approx(0.3) and found.optimism == pytest.approx(0, abs=1e-12)
    assert found.path[-1] == pytest.approx([1, -0.01, -0.01, -0.01])


def test_the_larger_the_errors_the_shorter_the_way() -> None:
    found = [step(np.full(10, one)).t for one in (0.0, 0.002, 0.005, 0.008, 0.012, 0.05)]
    assert found == sorted(found, reverse=True)
    assert found[0] == 1 and 0 < found[2] < 1 and found[-1] == 0


def test_the_bound_is_of_the_root_of_distance() -> None:
    """All errors alike: the bound is the predicted difference plus the error, scaled."""
    found = step(np.full(10, 0.004)).path
    assert found[:, 3] == pytest.approx(found[:, 1] + 0.004 * found[:, 0] ** ROUGH)


def test_errors_of_the_other_sign_do_not_shorten_the_way() -> None:
    """A law that promised too little is no reason to stay."""
    assert step(np.full(10, -0.01)).t == 1


def test_promises_that_differ_between_resamples_shorten_the_way() -> None:
    found = [step(np.zeros(10), spread) for spread in (0.0, 0.1, 1.0)]
    assert [one.t for one in found] == sorted((one.t for one in found), reverse=True)
    assert found[2].t < 1
    assert all((one.path[1:, 2] >= one.path[1:, 1] - 1e-12).all() for one in found)


def test_nothing_finite_is_nothing_shown() -> None:
    found = cautious(
        NATURAL, BEST, BEST[None], bowl(BEST), lambda b, x: np.full(len(x), np.nan), BEST[None], np.array([0.0])
    )
    assert found.t == 0 and found.as_json()["bound"] == np.inf


def test_the_way_does_not_need_the_optimum_to_differ() -> None:
    found = cautious(
        NATURAL, NATURAL, NATURAL[None], bowl(BEST), lambda b, x: bowl(BEST)(x), BEST[None], np.array([0.0])
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
