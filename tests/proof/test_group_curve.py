"""Lines, parabolas and what cannot be told apart, against closed forms and planted relations."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from cuvee.errors import UsageError
from cuvee.proof.group_curve import GroupCurve, group_curve
from cuvee.proof.proxy import Floats

ARMS, EACH = 10, 4
ARM = np.repeat(np.arange(ARMS), EACH)


def results(seed: int, low: float = 0.0, high: float = 1.0) -> Floats:
    """Results on the largest group: arms spread evenly, their trials a little."""
    random = np.random.default_rng(seed)
    return np.asarray(np.linspace(low, high, ARMS)[ARM] + (high - low) * random.normal(0, 0.01, ARMS * EACH))


def noisy(x: Floats, y: Floats, seed: int, noise: float = 0.01) -> GroupCurve:
    random = np.random.default_rng([seed, 1])
    return group_curve(x, y + random.normal(0, noise, ARMS)[ARM] + random.normal(0, noise, len(x)), ARM)


def test_an_exact_parabola_gives_its_coefficients() -> None:
    x = results(0, 2.0, 3.0)
    found = group_curve(x, 5 - 3 * x + 0.7 * x**2, ARM)
    assert found.answer == "curve"
    assert found.coefficients == pytest.approx((5, -3, 0.7), abs=1e-8)
    assert (found.bend.mean, found.bend.low, found.bend.high) == pytest.approx((1.4, 1.4, 1.4), abs=1e-6)
    best = float(np.sort(x)[:4].mean())
    assert found.end.mean == pytest.approx(-3 + 1.4 * best, abs=1e-7)
    assert found.spread == pytest.approx(0, abs=1e-8)


def test_an_exact_line_is_a_line() -> None:
    x = results(1)
    found = group_curve(x, 1 + 2 * x, ARM)
    assert found.answer == "line" and not found.against
    assert found.slope.mean == found.end.mean == pytest.approx(2)
    assert found.coefficients == pytest.approx((1, 2, 0), abs=1e-9)


def test_f_gain_and_jackknife_are_those_of_the_textbook() -> None:
    random, x = np.random.default_rng(2), results(2)
    y = x + 0.3 * x**2 + random.normal(0, 0.05, len(x))
    found = group_curve(x, y, ARM)
    n, rest = len(x), []
    for degree in (1, 2):
        rest.append(float(((y - np.polyval(np.polyfit(x, y, degree), x)) ** 2).sum()))
    assert found.f == pytest.approx((rest[0] - rest[1]) / (rest[1] / (n - 3)))
    aicc = [n * math.log(one / n) + 2 * k + 2 * k * (k + 1) / (n - k - 1) for one, k in zip(rest, (3, 4), strict=True)]
    assert found.gain == pytest.approx(aicc[0] - aicc[1])
    full = np.polyfit(x, y, 2)[0] * 2
    left = np.array([np.polyfit(x[one != ARM], y[one != ARM], 2)[0] * 2 for one in range(ARMS)])
    error = math.sqrt((ARMS - 1) / ARMS * float(((left - full) ** 2).sum()))
    assert found.bend.high - found.bend.mean == pytest.approx(2.262157 * error, rel=1e-5)  # t, 9 degrees of freedom


def test_p_counts_sign_patterns_of_the_lines_residuals() -> None:
    arm = np.repeat(np.arange(6), 4)
    random = np.random.default_rng(3)
    x = np.linspace(0, 1, 6)[arm] + random.normal(0, 0.02, 24)
    y = x + random.normal(0, 0.1, 6)[arm] + random.normal(0, 0.05, 24)

    def f(values: Floats) -> float:
        rest = [float(((values - np.polyval(np.polyfit(x, values, d), x)) ** 2).sum()) for d in (1, 2)]
        return (rest[0] - rest[1]) / (rest[1] / 21)

    line = np.polyval(np.polyfit(x, y, 1), x)
    all_of_them = [f(line + (y - line) * np.array(signs)[arm]) for signs in itertools.product((-1, 1), repeat=6)]
    found = group_curve(x, y, arm)
    assert found.p == pytest.approx(np.mean(np.array(all_of_them) >= f(y) * (1 - 1e-9)))
    assert found.p >= 1 / 32


def test_planted_parabolas_are_found_and_planted_lines_are_not_called_so() -> None:
    bent = straight = 0
    for seed in range(60):
        x = results(seed)
        bent += noisy(x, x + 0.6 * (x - 0.5) ** 2, seed).answer == "curve"
        straight += noisy(x, x, seed).answer == "curve"
    assert bent >= 54
    assert straight <= 8


def test_good_models_alone_hide_the_curve() -> None:
    """The same parabola over a tenth of the range: neither a curve nor a line is claimed."""
    whole = [noisy(x, (x - 0.5) ** 2, seed).answer for seed in range(20) for x in [results(seed)]]
    part = [noisy(x, (x - 0.5) ** 2, seed).answer for seed in range(20) for x in [results(seed, 0.0, 0.1)]]
    assert whole.count("curve") >= 18
    assert part.count("open") >= 15 and "line" not in part


def test_where_the_best_lose_is_said_by_either_end() -> None:
    x = results(4)
    turned = noisy(x, 2 * (x - 0.5) ** 2, 4)
    assert turned.answer == "curve" and turned.against and turned.end.mean == pytest.approx(-2, abs=0.2)
    other = group_curve(1 - x, -2 * (x - 0.5) ** 2, ARM, better="high")  # accuracies: more is better on both axes
    assert other.answer == "curve" and other.against
    assert noisy(x, -x, 4).against and not noisy(x, x, 4).against


def test_trials_of_one_arm_are_no_independent_evidence() -> None:
    """Noise that arms share looks like a curve to F alone; counted by arms it seldom does."""
    by_arm = alone = 0
    for seed in range(60):
        random = np.random.default_rng([seed, 2])
        arm = np.repeat(np.arange(7), 12)
        x = random.uniform(0, 1, 7)[arm] + random.normal(0, 0.01, 84)
        found = group_curve(x, x + random.normal(0, 0.1, 7)[arm] + random.normal(0, 0.01, 84), arm)
        by_arm += found.answer == "curve"
        alone += found.f > 3.96  # the 95 % quantile with 1 and 81 degrees of freedom
    assert alone > 30 and by_arm <= 6


def test_units_and_order_do_not_matter() -> None:
    x, order = results(5), np.random.default_rng(5).permutation(ARMS * EACH)
    y = x + 0.4 * x**2 + np.random.default_rng(6).normal(0, 0.02, len(x))
    one, other = group_curve(x, y, ARM), group_curve(100 + 10 * x[order], 3 * y[order], ARM[order])
    assert (other.answer, other.arms) == (one.answer, one.arms)
    assert (other.f, other.p, other.gain) == pytest.approx((one.f, one.p, one.gain), rel=1e-6)
    assert other.bend.mean == pytest.approx(one.bend.mean * 3 / 100, rel=1e-6)
    assert other.slope.high == pytest.approx(one.slope.high * 3 / 10, rel=1e-6)


def test_too_little_is_open_or_refused() -> None:
    x = results(7)
    few = group_curve(x, x**2, ARM // 2)
    assert few.arms == 5 and few.answer == "open" and math.isnan(few.p)
    with pytest.raises(UsageError, match="at least 20"):
        group_curve(x[:19], x[:19], ARM[:19])
    with pytest.raises(UsageError, match="three arms"):
        group_curve(x, x, ARM > 4)
    with pytest.raises(UsageError, match="different results"):
        group_curve(np.ones(40), x, ARM)
