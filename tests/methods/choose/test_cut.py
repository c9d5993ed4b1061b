"""Cuts and choices against plain sorting."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cuvee.core import Budget, Draw
from cuvee.errors import UsageError
from cuvee.methods.choose import cut as module
from cuvee.methods.choose.cut import cut
from cuvee.methods.choose.gumbel import Gumbel
from cuvee.methods.choose.poisson import Poisson
from cuvee.methods.choose.quota import Quota, shares_to_amounts, spread_groups
from cuvee.methods.choose.random import Random
from cuvee.methods.choose.soft_cap import SoftCap
from cuvee.methods.choose.threshold import Threshold
from cuvee.methods.choose.top_k import TopK
from tests.conftest import MemoryColumns


def plain(score: np.ndarray, key: np.ndarray, cost: np.ndarray, amount: int) -> np.ndarray:
    """The specification: sort, drop what can never fit, take the longest prefix within the amount."""
    eligible = [i for i in range(len(score)) if not (np.isnan(score[i]) or score[i] == -np.inf) and cost[i] <= amount]
    eligible.sort(key=lambda i: (-score[i], int(key[i]), i))
    taken, used = np.zeros(len(score), np.int64), 0
    for i in eligible:
        if used + cost[i] > amount:
            break
        taken[i], used = 1, used + cost[i]
    return taken


SCORES = st.one_of(
    st.sampled_from([0.0, -0.0, 1.0, np.nan, np.inf, -np.inf, 5e-324, -5e-324, 1e308]),
    st.floats(width=16, allow_nan=False),
)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(SCORES, st.integers(0, 3), st.integers(0, 9)), min_size=1, max_size=60),
    st.integers(1, 120),
    st.integers(1, 5),
    st.sampled_from([1, 4, 1 << 20]),
)
def test_cut_equals_sorting(rows: list[tuple[float, int, int]], amount: int, blocks: int, memory: int) -> None:
    score, key, cost = (np.array(part) for part in zip(*rows, strict=True))
    columns = MemoryColumns(blocks, score=score.astype(float), key=key, tokens=cost)
    before, module.SORT_ROWS = module.SORT_ROWS, memory
    try:
        decision = cut(columns, lambda block: block["score"], Budget("tokens", amount))
    finally:
        module.SORT_ROWS = before
    expected = plain(score.astype(float), key, cost, amount)
    assert columns.taken(decision).tolist() == expected.tolist()
    assert decision.notes["kept"] == int((expected * cost).sum()) <= amount


def test_equal_keys_and_scores_are_cut_by_row() -> None:
    columns = MemoryColumns(4, score=np.zeros(1000), key=np.zeros(1000))
    before, module.SORT_ROWS = module.SORT_ROWS, 8
    try:
        decision = cut(columns, lambda block: block["score"], Budget("rows", 137))
    finally:
        module.SORT_ROWS = before
    assert np.flatnonzero(columns.taken(decision)).tolist() == list(range(137))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 300), st.integers(1, 6))
def test_groups_are_cut_each_for_itself(seed: int, rows: int, groups: int) -> None:
    rng = np.random.default_rng(seed)
    score, group, cost = rng.normal(size=rows).round(1), rng.integers(0, groups, rows), rng.integers(1, 20, rows)
    amounts = rng.integers(0, 200, groups)
    columns = MemoryColumns(3, score=score, tokens=cost, domain=group)
    decision = cut(
        columns,
        lambda block: block["score"],
        Budget("tokens", 1),
        needs=("score", "domain"),
        group=lambda block: block["domain"],
        amounts=amounts,
    )
    taken = columns.taken(decision)
    for g in range(groups):
        own = np.flatnonzero(group == g)
        expected = plain(score[own], np.arange(rows)[own], cost[own], int(amounts[g]))
        assert taken[own].tolist() == expected.tolist()


def test_gumbel_samples_in_proportion_to_weights() -> None:
    weights = np.array([1.0, 2.0, 4.0, 8.0])
    columns = MemoryColumns(1, score=np.log(weights))
    first = np.zeros(4)
    for seed in range(4000):
        first += columns.taken(Gumbel().choose(columns, Budget("rows", 1), Draw(seed)))
    share = weights / weights.sum()
    assert np.all(np.abs(first / 4000 - share) < 4 * np.sqrt(share * (1 - share) / 4000))
    hot = columns.taken(Gumbel(temperature=1e-9).choose(columns, Budget("rows", 2), Draw(0)))
    assert hot.tolist() == [0, 0, 1, 1]


def test_random_ignores_scores_and_is_keyed() -> None:
    keys = np.arange(1000, dtype=np.uint64) * np.uint64(7919)
    here = MemoryColumns(3, key=keys, score=np.arange(1000.0))
    back = MemoryColumns(5, key=keys[::-1].copy(), score=np.arange(1000.0))
    one = here.taken(Random().choose(here, Budget("rows", 100), Draw(1)))
    two = back.taken(Random().choose(back, Budget("rows", 100), Draw(1)))
    assert one.sum() == 100 and one.tolist() == two[::-1].tolist()


def test_threshold_bounds() -> None:
    columns = MemoryColumns(2, score=np.array([1.0, 5.0, 3.0, np.nan, 4.0, -np.inf]))
    decision = Threshold(minimum=3.0, maximum=4.0).choose(columns, Budget("rows", 10), Draw(0))
    assert columns.taken(decision).tolist() == [0, 0, 1, 0, 1, 0]
    with pytest.raises(UsageError, match="above maximum"):
        Threshold(minimum=2, maximum=1)


def test_quota_refuses_rules_whose_priority_is_not_all() -> None:
    columns = MemoryColumns(3, ["a", "b"], score=np.arange(100.0), domain=np.arange(100) % 2)
    for inner in (Poisson(), SoftCap(), Quota(TopK(), "uniform")):
        with pytest.raises(UsageError, match="Quotas need a rule that ranks rows"):
            Quota(inner).choose(columns, Budget("rows", 40), Draw(0))


def test_poisson_expectation_and_probabilities() -> None:
    rng = np.random.default_rng(0)
    score, cost = rng.normal(size=5000), rng.integers(1, 9, 5000)
    columns = MemoryColumns(4, score=score, tokens=cost)
    decision = Poisson().choose(columns, Budget("tokens", 4000), Draw(3))
    assert decision.notes["expected"] == pytest.approx(4000, rel=1e-12)
    realised = int((columns.taken(decision) * cost).sum())
    assert abs(realised - 4000) < 5 * decision.notes["standard_deviation"]
    c = np.exp(decision.log_factor)  # type: ignore[attr-defined]
    p = np.minimum(1, c * np.exp(score))
    assert (p * cost).sum() == pytest.approx(4000, rel=1e-9)
    assert decision.notes["standard_deviation"] == pytest.approx(np.sqrt((p * (1 - p) * cost**2).sum()))
    for blocks in (1, 7, 999):
        other = Poisson().choose(MemoryColumns(blocks, score=score, tokens=cost), Budget("tokens", 4000), Draw(3))
        assert (other.log_factor, other.notes) == (decision.log_factor, decision.notes)  # type: ignore[attr-defined]
    everything = Poisson().choose(columns, Budget("tokens", 10**9), Draw(3))
    assert columns.taken(everything).all()


def test_poisson_counts_infinity_as_the_best_score_and_nan_as_none() -> None:
    score = np.array([np.inf, np.nan, 2.0, -np.inf, 2.0, -800.0, np.inf])
    columns = MemoryColumns(2, score=score)
    decision = Poisson(temperature=0.5).choose(columns, Budget("rows", 2), Draw(0))
    block = next(MemoryColumns(1, score=score).blocks())
    np.testing.assert_allclose(decision.probability(block), [0.5, 0, 0.5, 0, 0.5, 0, 0.5])  # type: ignore[attr-defined]
    assert decision.notes["expected"] == pytest.approx(2)
    everything = Poisson().choose(columns, Budget("rows", 5), Draw(0))
    assert columns.taken(everything).tolist() == [1, 0, 1, 0, 1, 1, 1]
    nothing = MemoryColumns(2, score=np.array([np.nan, -np.inf]))
    assert not nothing.taken(Poisson().choose(nothing, Budget("rows", 1), Draw(0))).any()


def test_soft_cap_is_water_filling() -> None:
    rng = np.random.default_rng(1)
    score = rng.normal(size=2000)
    columns = MemoryColumns(3, score=score)
    decision = SoftCap(beta=0.5, limit=4).choose(columns, Budget("rows", 3000), Draw(0))
    taken = columns.taken(decision)
    assert taken.max() <= 4 and 2990 <= taken.sum() <= 3000
    expected = np.clip((score - decision.notes["level"]) / 0.5, 0, 4)
    assert np.all(np.abs(taken - expected) < 1)
    assert abs(expected.sum() - 3000) < 150


def published_soft_cap(score: np.ndarray, total: int, group: int, beta: float, rng: np.random.Generator) -> np.ndarray:
    """The release's loop: batches of distinct rows by softmax(score), whose scores then fall by beta."""
    left, counts = score.copy(), np.zeros(len(score), np.int64)
    while (rest := total - int(counts.sum())) > 0:
        drawn = np.argsort(-(left + rng.gumbel(size=len(left))))[: min(group, rest)]
        counts[drawn] += 1
        left[drawn] -= beta
    return counts


def test_soft_cap_has_the_mean_counts_of_the_published_loop() -> None:
    rng = np.random.default_rng(4)
    score = rng.normal(0, 2, 200)
    loop = np.mean([published_soft_cap(score, 6000, 4, 0.1, rng) for _ in range(3)], axis=0)
    columns = MemoryColumns(3, score=score)
    rule = SoftCap(beta=0.1, limit=1000)
    ours = np.mean([columns.taken(rule.choose(columns, Budget("rows", 6000), Draw(s))) for s in range(20)], axis=0)
    assert np.abs(ours - loop).max() < 0.15 * loop.max()
    assert np.abs(ours - loop).mean() < 0.08 * loop.mean()  # the loop also draws rows just below the level


def test_soft_cap_passes_over_what_cannot_fit_and_counts_infinity_as_the_best_score() -> None:
    score = np.array([9.0, 3.0, np.inf, np.nan, 3.0, -np.inf, 1.0])
    columns = MemoryColumns(2, score=score, tokens=np.array([500, 10, 10, 10, 10, 10, 10]))
    decision = SoftCap(beta=1.0, limit=2).choose(columns, Budget("tokens", 60), Draw(0))
    assert columns.taken(decision).tolist() == [0, 2, 2, 0, 2, 0, 0]
    assert decision.notes["larger_than_budget"] == 1 and decision.notes["kept"] == 60
    half = SoftCap(beta=1.0, limit=2).choose(columns, Budget("tokens", fraction=0.1), Draw(0))
    assert decision.notes["level"] < half.notes["level"] and half.notes["asked"] == 56


def test_groups_of_domains_divide_their_share() -> None:
    sizes = {"code/go": 30, "code/rust": 10, "web/forum": 5, "web/news": 20, "web/news/old": 0, "web": 7}
    found = spread_groups({"web/*": 0.5, "code/*": 0.2, "code/go": 0.3}, sizes)
    assert found == pytest.approx(
        {"web/forum": 0.1, "web/news": 0.4, "web/news/old": 0.0, "code/rust": 0.2, "code/go": 0.3}
    )
    assert spread_groups({"web/n*": 1.0, "web*": 2.0}, sizes) == pytest.approx(
        {"web/news": 1.0, "web/news/old": 0.0, "web/forum": 5 / 6, "web": 7 / 6}
    )
    assert spread_groups({"a*": 1.0}, {"a*": 3, "ab": 4}) == {"a*": 1.0}  # a domain's own name comes first
    with pytest.raises(UsageError, match="begins with 'weeb/'"):
        spread_groups({"weeb/*": 1.0}, sizes)
    with pytest.raises(UsageError, match="No domain is called 'x'"):
        shares_to_amounts(spread_groups({"x": 1, "web/*": 1}, sizes), list(sizes), 10)


def test_two_levels_of_quotas() -> None:
    """Sources by the shares asked for, kinds within them by the pool's; and proportional keeps both levels' shares."""
    names, sizes = ["code/go", "code/rust", "web/forum", "web/news"], [240, 80, 120, 360]
    columns = MemoryColumns(3, names, score=np.arange(800.0), domain=np.repeat(np.arange(4), sizes))
    for shares, expected in (
        ((("code/*", 3.0), ("web/*", 1.0)), [45, 15, 5, 15]),
        ("proportional", [24, 8, 12, 36]),
        ((("web/*", 0.5), ("code/rust", 0.5)), [0, 40, 10, 30]),
    ):
        taken = columns.taken(Quota(TopK(), shares).choose(columns, Budget("rows", 80), Draw(0)))
        assert [int(part.sum()) for part in np.split(taken, np.cumsum(sizes)[:-1])] == expected


def test_quota_by_largest_remainder() -> None:
    amounts = shares_to_amounts({"a": 1, "b": 1, "c": 1}, ["a", "b", "c", "d"], 100)
    assert amounts.tolist() == [34, 33, 33, 0]
    with pytest.raises(UsageError, match="No domain is called 'x'"):
        shares_to_amounts({"x": 1}, ["a"], 10)
    with pytest.raises(UsageError, match="finite"):
        shares_to_amounts({"a": -1}, ["a"], 10)
    huge = 2**61 + 1  # floating point would be off by hundreds
    assert shares_to_amounts({"a": 1, "b": 2}, ["a", "b"], huge).tolist() == [huge // 3, huge - huge // 3]
    domain = np.array([0] * 90 + [1] * 10)
    columns = MemoryColumns(3, ["big", "small"], score=np.arange(100.0), domain=domain)
    decision = Quota(TopK(), (("big", 0.5), ("small", 0.5))).choose(columns, Budget("rows", 40), Draw(0))
    taken = columns.taken(decision)
    assert taken[:90].sum() == 20 and taken[90:].sum() == 10
    assert decision.notes["quota"]["small"] == {"asked": 20, "kept": 10}
    natural = Quota(Random(), "proportional").choose(columns, Budget("rows", 50), Draw(0))
    assert columns.taken(natural)[90:].sum() == 5
