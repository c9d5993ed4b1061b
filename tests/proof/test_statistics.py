"""Student's t against tables, power against simulation, intervals against what they promise."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from cuvee.errors import DataError, UsageError
from cuvee.proof import intervals, power
from cuvee.proof.intervals import Pairs, bootstrap_interval, components, hull, student_interval
from cuvee.proof.proxy import Measured

# Upper 5 %, 2.5 %, 0.5 % and 0.05 % points: the usual printed table.
TABLE = {
    1: (6.314, 12.706, 63.657, 636.619),
    2: (2.920, 4.303, 9.925, 31.599),
    3: (2.353, 3.182, 5.841, 12.924),
    5: (2.015, 2.571, 4.032, 6.869),
    7: (1.895, 2.365, 3.499, 5.408),
    10: (1.812, 2.228, 3.169, 4.587),
    20: (1.725, 2.086, 2.845, 3.850),
    60: (1.671, 2.000, 2.660, 3.460),
    120: (1.658, 1.980, 2.617, 3.373),
    1e9: (1.645, 1.960, 2.576, 3.291),
}


@pytest.mark.parametrize("df", TABLE)
def test_t_against_the_table(df: float) -> None:
    found = [power.t_quantile(p, df) for p in (0.95, 0.975, 0.995, 0.9995)]
    assert found == pytest.approx(TABLE[df], abs=6e-4)
    assert power.t_quantile(0.025, df) == pytest.approx(-power.t_quantile(0.975, df), rel=1e-12)
    assert power.t_tail(power.t_quantile(0.9, df), df) == pytest.approx(0.1, rel=1e-9)


def test_t_with_one_and_two_degrees_is_known_exactly() -> None:
    """Cauchy's distribution, and t / sqrt(2 + t^2)."""
    for t in (-3.0, -0.1, 0.0, 0.7, 50.0):
        assert power.t_tail(t, 1) == pytest.approx(0.5 - np.arctan(t) / np.pi, abs=1e-12)
        assert power.t_tail(t, 2) == pytest.approx(0.5 - t / (2 * np.sqrt(2 + t * t)), abs=1e-12)


def test_incomplete_beta_of_whole_numbers_is_a_binomial_sum() -> None:
    x = 0.3
    assert power.incomplete_beta(2, 3, x) == pytest.approx(6 * x**2 - 8 * x**3 + 3 * x**4, abs=1e-14)
    assert power.incomplete_beta(1, 1, x) == pytest.approx(x)
    with pytest.raises(ValueError, match="I_x"):
        power.incomplete_beta(1, 1, 1.5)


def test_exact_binomial_limits() -> None:
    """0 of 10 and 5 of 10 as in the printed tables; 0 of n has (alpha / 2)^(1 / n) as its upper limit."""
    assert power.binomial_interval(0, 10) == pytest.approx((0.0, 1 - 0.025**0.1))
    assert power.binomial_interval(10, 10) == pytest.approx((0.025**0.1, 1.0))
    assert power.binomial_interval(5, 10) == pytest.approx((0.1871, 0.8129), abs=1e-4)


@pytest.mark.parametrize(("ratio", "df"), [(3.0, 7.0), (5.0, 2.0), (2.5, 40.0)])
def test_power_against_simulation(ratio: float, df: float) -> None:
    random = np.random.default_rng(1)
    spread = np.sqrt(random.chisquare(df, 400_000) / df)
    found = (random.standard_normal(400_000) + ratio) / spread > power.t_quantile(0.975, df)
    assert power.power(ratio, df, 0.05) == pytest.approx(found.mean(), abs=0.003)
    assert power.power(power.detectable_ratio(df, 0.05), df, 0.05) == pytest.approx(0.8, abs=1e-6)


def test_seeds_needed_find_the_difference_in_four_of_five_experiments() -> None:
    """Planned with the true spread, the paired t test has the power that was asked for, and one seed less has not."""
    effect, spread, alpha = 1.0, 1.5, 0.05 / 3
    needed = power.seeds_needed(effect, spread, pilot=8, alpha=alpha)
    assert needed.seeds is not None and needed.cautious is not None and needed.cautious > needed.seeds
    random, found = np.random.default_rng(2), []
    for n in (needed.seeds - 1, needed.seeds):
        d = random.normal(effect, np.sqrt(spread), (40_000, n))
        t = d.mean(axis=1) / d.std(axis=1, ddof=1) * np.sqrt(n)
        found.append((t > power.t_quantile(1 - alpha / 2, n - 1)).mean())
    assert found[0] < 0.8 < found[1] + 0.006
    assert f"{needed.seeds} seeds" in needed.sentence()


def test_no_number_of_seeds_removes_luck_and_documents() -> None:
    needed = power.seeds_needed(-0.01, 1e-6, pilot=3, luck=1e-4, documents=1e-5, n_documents=100)
    assert needed.seeds is None and needed.cautious is None
    assert needed.floor == pytest.approx(2.8 * np.sqrt(1.1e-4), rel=0.01)
    assert "No number of seeds" in needed.sentence() and "select more tokens" in needed.sentence()
    documents = power.seeds_needed(0.01, 1e-6, pilot=3, luck=1e-6, documents=1e-4, n_documents=100)
    assert "evaluate on more documents" in documents.sentence()
    seen = power.seeds_needed(0.1, 1e-6, pilot=3, luck=1e-4, documents=1e-5, n_documents=100)
    assert seen.seeds is not None and seen.seeds < 10


def test_caution_raises_luck_with_the_spread() -> None:
    """Both come from the same few runs."""
    assert power.seeds_needed(0.1, 1e-4, pilot=3).cautious is not None
    needed = power.seeds_needed(0.1, 1e-4, pilot=3, luck=8e-4)
    assert needed.seeds is not None and needed.cautious is None
    assert "(no number if the pilot understates the spread)" in needed.sentence()
    wide = power.seeds_needed(0.2, 1e-3, pilot=3, luck=1e-3)
    fifth = (1 - 1 / 9 + power.NORMAL.inv_cdf(0.2) / 3) ** 3
    assert wide.cautious == power.seeds_needed(0.2, 1e-3 / fifth, pilot=3, luck=1e-3 / fifth).seeds


def test_pilots_that_cannot_tell_are_refused() -> None:
    with pytest.raises(UsageError, match="at least 3"):
        power.seeds_needed(1.0, 1.0, pilot=2)
    with pytest.raises(UsageError, match="above zero"):
        power.seeds_needed(0.0, 1.0, pilot=3)


def measured(loss: np.ndarray, size: np.ndarray) -> Mapping[int, Measured]:
    """Losses (n, m) as trials."""
    return {seed + 1: Measured(one, size) for seed, one in enumerate(loss)}


def example(seed: int = 0, n: int = 8, m: int = 60) -> Pairs:
    random = np.random.default_rng(seed)
    size = random.integers(50, 500, m).astype(np.float64)
    base = random.normal(2.0, 0.3, m) * size
    arm = base + random.normal(0, 0.1, (n, m)) * size + random.normal(0, 0.02, (n, 1)) * size
    against = base + random.normal(0.02, 0.1, (n, m)) * size
    return Pairs.of(measured(arm, size), measured(against, size))


def both(pairs: Pairs, fixed: tuple[float, float] = (0.0, 0.0)) -> np.ndarray:
    """Mean and both intervals, (5,)."""
    parts, mean = components(pairs, *fixed), float(pairs.differences.mean())
    return np.array([mean, *student_interval(mean, parts), *bootstrap_interval(pairs, parts.luck)])


def test_swapping_the_arms_negates() -> None:
    pairs = example()
    other = Pairs(pairs.against, pairs.arm, pairs.size, pairs.seeds)
    mean, low, high, bootstrap_low, bootstrap_high = both(pairs, (0.5, 0.0))
    swapped = both(other, (0.0, 0.5))
    assert swapped == pytest.approx([-mean, -high, -low, -bootstrap_high, -bootstrap_low], abs=1e-12)


def test_what_both_arms_share_changes_nothing() -> None:
    pairs = example()
    more = np.random.default_rng(5).normal(0, 1, pairs.arm.shape) * pairs.size
    shifted = Pairs(pairs.arm + more, pairs.against + more, pairs.size, pairs.seeds)
    assert both(shifted) == pytest.approx(both(pairs), abs=1e-9)
    # A constant for both arms leaves the luck alone, too.
    constant = Pairs(pairs.arm + 3 * pairs.size, pairs.against + 3 * pairs.size, pairs.size, pairs.seeds)
    assert both(constant, (0.5, 0.0)) == pytest.approx(both(pairs, (0.5, 0.0)), abs=1e-9)


def test_units_scale() -> None:
    pairs = example()
    scaled = Pairs(7 * pairs.arm, 7 * pairs.against, pairs.size, pairs.seeds)
    assert both(scaled, (0.5, 0.0)) == pytest.approx(7 * both(pairs, (0.5, 0.0)))
    longer = Pairs(pairs.arm, pairs.against, 10 * pairs.size, pairs.seeds)
    assert both(longer, (0.5, 0.0)) == pytest.approx(both(pairs, (0.5, 0.0)) / 10)


def test_components_of_a_worked_example() -> None:
    """Two documents of size 1, three seeds."""
    arm, against = np.array([[1.0, 2.0], [2.0, 3.0], [3.0, 7.0]]), np.ones((3, 2))
    pairs = Pairs.of(measured(arm, np.ones(2)), measured(against, np.ones(2)))
    assert pairs.differences == pytest.approx([0.5, 1.5, 4.0])
    variance = np.var([0.5, 1.5, 4.0], ddof=1)
    parts = components(pairs, fixed=1 / 3)
    assert parts.seeds == pytest.approx(variance / 3)
    # Of a fresh draw: 3/2 of the variance by the arm itself; the other, which never varies, tells nothing.
    assert parts.luck == pytest.approx(1.5 * variance / 3)
    assert parts.documents == pytest.approx(2 / 1 * (2 * 1.0**2) / 4)
    assert 1 < parts.df < 3


def test_arms_that_are_always_the_same_still_depend_on_the_documents() -> None:
    random = np.random.default_rng(3)
    loss = random.normal(2, 0.5, (2, 40))
    pairs = Pairs.of(*(measured(np.repeat(one[None], 4, axis=0), np.ones(40)) for one in loss))
    parts = components(pairs, fixed=0.5)
    assert parts.seeds == parts.luck == 0.0 and parts.documents > 0
    mean, low, high, bootstrap_low, bootstrap_high = both(pairs)
    error = np.std(loss[0] - loss[1], ddof=1) / np.sqrt(40)
    assert (high - low) / 2 == pytest.approx(power.t_quantile(0.975, 39) * error)
    assert bootstrap_low < mean < bootstrap_high


def coverage(n: int, m: int, fixed: bool, repetitions: int, seed: int) -> dict[str, float]:
    """Share of intervals that hold the truth, 0, when seeds, a fixed selection and documents move the difference."""
    random, held = np.random.default_rng(seed), {"hull": 0, "no luck": 0, "bootstrap": 0}
    for number in range(repetitions):
        size = random.integers(50, 500, m).astype(np.float64)
        documents = random.normal(0, 0.05, m)
        documents -= documents.mean()
        # Half draws of a fixed selection: its luck has variance c, its draws spread by c about it.
        luck = random.normal(0, 0.05) if fixed else 0.0
        arm = (luck + random.normal(0, 0.05, (n, 1)) + random.normal(0, 0.05, m)) * size
        against = random.normal(0, 0.05 * np.sqrt(2), (n, 1)) * size + np.zeros(m)
        pairs = Pairs(arm + 2 * size, against + 2 * size, size, tuple(range(n)))
        mean, parts, bare = pairs.differences.mean(), components(pairs, 0.5 * fixed), components(pairs)
        bootstrap = bootstrap_interval(pairs, parts.luck, resamples=400, seed=number)
        for name, one in (
            ("hull", hull(student_interval(mean, parts), bootstrap)),
            ("no luck", student_interval(mean, bare)),
            ("bootstrap", bootstrap),
        ):
            held[name] += one.low <= 0 <= one.high
    return {name: count / repetitions for name, count in held.items()}


def test_coverage_with_a_fixed_selection() -> None:
    found = coverage(n=8, m=80, fixed=True, repetitions=1_000, seed=11)
    assert found["hull"] > 0.93
    assert found["no luck"] < 0.8
    assert found["bootstrap"] < found["hull"]


def test_coverage_of_arms_drawn_afresh() -> None:
    found = coverage(n=5, m=80, fixed=False, repetitions=1_000, seed=12)
    assert 0.93 < found["hull"] < 0.995


def test_many_documents_are_resampled_in_piles() -> None:
    """Random groups give about the interval of single documents."""
    pairs = example(m=5_000)
    few, one_by_one = bootstrap_interval(pairs), None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(intervals, "PILES", 5_000)
        one_by_one = bootstrap_interval(pairs, resamples=2_000)
    assert few.high - few.low == pytest.approx(one_by_one.high - one_by_one.low, rel=0.1)


def test_one_seed_is_refused() -> None:
    size = np.ones(5)
    with pytest.raises(UsageError, match=r"One seed cannot tell .* use at least 3, better 8"):
        Pairs.of(measured(np.ones((1, 5)), size), measured(np.ones((1, 5)), size))
    with pytest.raises(UsageError, match=r"seeds \[3\]"):
        Pairs.of(measured(np.ones((3, 5)), size), measured(np.ones((2, 5)), size))


def test_bad_losses_are_refused() -> None:
    size, good, bad = np.ones(5), np.ones((2, 5)), np.ones((2, 5))
    bad[1, 2] = np.nan
    with pytest.raises(DataError, match="finite"):
        Pairs.of(measured(good, size), measured(bad, size))
    with pytest.raises(DataError, match="different documents"):
        Pairs.of(measured(good, size), measured(good, 2 * size))
    with pytest.raises(DataError, match="1 evaluation documents"):
        Pairs.of(measured(good[:, :1], size[:1]), measured(good[:, :1], size[:1]))
    with pytest.raises(DataError, match="group of 1"):
        example().only(np.arange(60) == 3)


def test_more_than_half_of_a_selection_is_refused() -> None:
    with pytest.raises(UsageError, match="at least twice as many tokens"):
        components(example(), fixed=0.6)
    assert components(example(), fixed=0.51).luck > 0
