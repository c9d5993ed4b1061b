"""Tokens for the same loss: interpolation by hand, bounds, intervals. Noise floor: by hand and by simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest

from cuvee.errors import DataError, UsageError
from cuvee.proof.multiples import crossing, isotonic, multiple
from cuvee.proof.noise import noise_floor

AT = np.array([0.5, 1.0, 2.0, 4.0])


def test_pooling_adjacent_violators() -> None:
    assert isotonic(np.array([3.0, 1.0, 2.0, 0.0])).tolist() == [3.0, 1.5, 1.5, 0.0]
    assert isotonic(np.array([1.0, 2.0, 3.0])).tolist() == [2.0, 2.0, 2.0]
    random = np.random.default_rng(0)
    for _ in range(50):
        values = random.normal(0, 1, 6)
        found = isotonic(values)
        assert (np.diff(found) <= 0).all() and found.sum() == pytest.approx(values.sum())
        assert isotonic(found) == pytest.approx(found)


@pytest.mark.parametrize(
    ("loss", "expected"),
    [(4.1, 0.0), (4.0, 0.5), (3.0, 1.0), (2.5, 2**0.5), (1.0, 4.0), (0.99, math.inf), (1.5, 2 * 2**0.5)],
)
def test_crossing_of_a_straight_curve(loss: float, expected: float) -> None:
    assert crossing(AT, np.array([4.0, 3.0, 2.0, 1.0]), loss) == pytest.approx(expected)


def test_a_flat_stretch_counts_from_its_beginning() -> None:
    assert crossing(AT, np.array([4.0, 2.0, 2.0, 1.0]), 2.0) == 1.0
    assert crossing(AT, np.array([2.0, 2.0, 2.0, 2.0]), 2.0) == 0.5


def runs(gain: float, seed: int = 0, n: int = 8) -> tuple[dict[int, float], dict[float, dict[int, float]]]:
    """A curve of 3 - 0.2 log2(multiple), and a candidate that is ``gain`` below it at 1."""
    random = np.random.default_rng(seed)
    shared = random.normal(0, 0.05, n)

    def trial(level: float) -> dict[int, float]:
        return {one + 1: level + shared[one] + random.normal(0, 0.01) for one in range(n)}

    return trial(3 - gain), {float(at): trial(3 - 0.2 * np.log2(at)) for at in AT}


def test_multiple_and_its_interval() -> None:
    found = multiple(*runs(0.2, seed=1))
    assert found.low < 2 < found.high and found.value == pytest.approx(2, rel=0.1)
    assert found.high - found.low < 0.6  # what all arms of a seed share cancels
    assert f"need {found.value:.2g} times the tokens" in found.sentence()
    wide = multiple(*runs(0.2, seed=1), luck=0.05**2)
    assert wide.low < found.low and wide.high > found.high


def test_never_beyond_what_was_run() -> None:
    much, little = multiple(*runs(1.0)), multiple(*runs(-1.0))
    assert much.value == much.low == much.high == math.inf and "more than 4 times" in much.sentence()
    assert little.value == little.high == 0.0 and "less than 0.5 times" in little.sentence()
    edge = multiple(*runs(0.4, seed=1))
    assert edge.high == math.inf and "to more than 4" in edge.sentence()


def test_the_interval_holds_the_truth() -> None:
    held = sum(
        one.low <= 2 <= one.high for one in (multiple(*runs(0.2, seed, 5), resamples=300) for seed in range(200))
    )
    assert held > 0.9 * 200


def test_what_multiples_refuse() -> None:
    candidate, random = runs(0.2)
    with pytest.raises(UsageError, match="different seeds"):
        multiple(candidate, random | {8.0: {1: 2.0}})
    with pytest.raises(UsageError, match="two multiples"):
        multiple(candidate, {1.0: random[1.0]})
    with pytest.raises(DataError, match="finite"):
        multiple(candidate | {1: math.nan}, random)


def test_noise_of_runs_that_agree() -> None:
    found = noise_floor(np.tile([0.0, 1.0, 1.0, 0.0], (5, 1)))
    assert found.test_set == found.independent == found.distribution == 0.0 and math.isnan(found.ratio)
    assert found.calibrated == 0.5 / 8


def test_noise_of_independent_errors() -> None:
    random = np.random.default_rng(1)
    chance = random.uniform(0.2, 1, 1_000)
    found = noise_floor((random.random((200, 1_000)) < chance).astype(np.float64), resamples=200)
    assert 0.75 < found.ratio < 1.3
    assert found.distribution_interval.low < 0 < found.distribution_interval.high
    assert found.test_set_interval.low < found.test_set < found.test_set_interval.high


def test_noise_of_runs_that_differ_in_quality() -> None:
    """Each run's level varies with variance 0.01^2 beside independent errors: that part is V_dist."""
    random = np.random.default_rng(2)
    values = 2 + random.normal(0, 0.01, (300, 1)) + random.normal(0, 0.2, (300, 400))
    found = noise_floor(values, resamples=300)
    assert found.distribution == pytest.approx(1e-4, rel=0.25)
    assert found.independent == pytest.approx(0.04 / 400, rel=0.05)
    low, high = found.distribution_interval
    assert low < 1e-4 < high and low > 0
    assert found.calibrated is None and "300 runs" in found.sentence("bits per byte")


def test_distribution_noise_is_the_mean_covariance_of_different_items() -> None:
    random = np.random.default_rng(3)
    values, size = random.normal(0, 1, (6, 9)), random.uniform(1, 5, 9)
    found = noise_floor(values, size, resamples=10)
    covariance = np.cov((values / size.mean()).T)
    assert found.distribution == pytest.approx((covariance.sum() - np.trace(covariance)) / (9 * 8))
    assert found.test_set == pytest.approx(np.var(values.sum(axis=1) / size.sum(), ddof=1))
    assert found.mean == pytest.approx(np.mean(values.sum(axis=1) / size.sum()))


def test_bootstrap_of_the_distribution_noise_is_centred() -> None:
    """Items drawn twice would add their own variance if they were taken for two."""
    random = np.random.default_rng(4)
    values = (random.random((100, 60)) < 0.7).astype(np.float64)
    found = noise_floor(values, resamples=400)
    low, high = found.distribution_interval
    assert abs((low + high) / 2 - found.distribution) < (high - low) / 4


def test_what_the_noise_floor_refuses() -> None:
    with pytest.raises(UsageError, match="two runs"):
        noise_floor(np.ones((1, 5)))
    with pytest.raises(DataError, match="finite"):
        noise_floor(np.array([[1.0, np.nan], [1.0, 1.0]]))
