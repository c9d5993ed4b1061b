"""The linear classifier: its solver against the optimality conditions, its statistics by hand, its notes by effect."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cuvee.core import Batch, Fold
from cuvee.engine.plan import describe
from cuvee.errors import DataError, UsageError
from cuvee.feature.content import content_hash
from cuvee.feature.ngrams import Ngrams
from cuvee.fold.linear_kernels import auc, decision, mean_ranks, rank_correlation, train
from cuvee.methods.score import classifier
from cuvee.methods.score.classifier import Classifier, Linear, sparse_means


def make(rows: list[str], first: int = 0, domain: list[str] | None = None) -> Batch:
    import pyarrow as pa

    raw = [text.encode() for text in rows]
    offsets = np.cumsum([0, *map(len, raw)]).astype(np.int64)
    data = np.frombuffer(b"".join(raw), np.uint8)
    columns = {} if domain is None else {"domain": pa.array(domain, pa.string())}
    return Batch(data, offsets, np.arange(first, first + len(rows)), content_hash(data, offsets), columns)


class Run:
    """What the engine offers, over lists; ``size`` rows a batch."""

    def __init__(self, pool, target, *, domain=None, seed=0, size=50, backwards=False):
        self.seed, self.rows, self.domain = seed, {"pool": pool, "target": target}, domain
        self.size, self.backwards = size, backwards

    def fold(self, fold: Fold, over: str = "pool") -> object:
        rows, state = self.rows[over], fold.empty()
        starts = list(range(0, len(rows), self.size))
        for i in reversed(starts) if self.backwards else starts:
            domain = self.domain[i : i + self.size] if self.domain and over == "pool" else None
            state = fold.update(state, make(rows[i : i + self.size], i, domain))
        return fold.finish(state)


def vocabulary(seed: int, words: range, rows: int, length: tuple[int, int] = (20, 60)) -> list[str]:
    random = np.random.default_rng(seed)
    return [" ".join(f"w{w}" for w in random.choice(words, random.integers(*length))) for _ in range(rows)]


def problem(rows: int = 120, columns: int = 30):
    random = np.random.default_rng(0)
    dense = random.normal(size=(rows, columns)) * (random.random((rows, columns)) < 0.3)
    label = dense @ random.normal(size=columns) + random.normal(size=rows) > 0
    indptr = np.append(0, np.cumsum((dense != 0).sum(axis=1)))
    order = np.concatenate([random.permutation(rows) for _ in range(300)])
    return dense, label, indptr, np.nonzero(dense)[1].astype(np.int32), dense[dense != 0], order


@pytest.mark.parametrize("cost", [1e-3, 1.0, 100.0])
def test_training_reaches_the_optimum(cost):
    dense, label, indptr, index, value, order = problem()
    limit = np.where(label, cost, 2 * cost)
    weight, bias = train(indptr, index, value, label, limit, np.tile(order, 10), 30)
    sign = np.where(label, 1.0, -1.0)
    score = dense @ weight + bias
    np.testing.assert_allclose(decision(indptr, index, value, weight, bias), score, rtol=1e-12, atol=1e-12)
    pull = limit * sign / (1 + np.exp(sign * score))
    np.testing.assert_allclose(weight, dense.T @ pull, rtol=0, atol=1e-5 * max(1, np.abs(weight).max()))
    assert bias == pytest.approx(pull.sum(), abs=1e-5 * max(1, np.abs(weight).max()))


def test_rows_that_are_not_visited_do_not_count():
    _, label, indptr, index, value, order = problem()
    limit = np.ones(len(label))
    first = train(indptr, index, value, label, limit, order[order < 60], 30)
    cut = indptr[60]
    alone = train(indptr[:61], index[:cut], value[:cut], label[:60], limit[:60], order[order < 60], 30)
    assert np.array_equal(first[0], alone[0]) and first[1] == alone[1]
    assert not np.array_equal(first[0], train(indptr, index, value, label, limit, order, 30)[0])


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(-3, 3), min_size=2, max_size=9), st.lists(st.integers(-3, 3), min_size=2, max_size=9))
def test_auc_is_the_share_of_ordered_pairs(positive, negative):
    p, n = np.array(positive, float), np.array(negative, float)
    wins = (p[:, None] > n) + 0.5 * (p[:, None] == n)
    area, variance = auc(p, n)
    assert area == pytest.approx(wins.mean())
    expected = wins.mean(axis=1).var(ddof=1) / len(p) + wins.mean(axis=0).var(ddof=1) / len(n)
    assert variance == pytest.approx(expected)


def test_rank_correlation_by_hand():
    assert mean_ranks(np.array([5.0, 1.0, 5.0, 2.0])).tolist() == [3.5, 1.0, 3.5, 2.0]
    assert rank_correlation(np.array([1.0, 2.0, 3.0, 4.0]), np.array([1.0, 3.0, 2.0, 4.0])) == pytest.approx(0.8)
    assert rank_correlation(np.ones(4), np.arange(4.0)) == 0.0


def test_sparse_means_are_counts_over_their_number_whatever_the_block(monkeypatch):
    rows = ["a b a", "", "  ", "c", *vocabulary(0, range(30), 20), ""]
    ngrams = Ngrams(2, 64)
    whole = sparse_means(ngrams, make(rows))
    monkeypatch.setattr(classifier, "BLOCK_BYTES", 100)
    for a, b in zip(whole, sparse_means(ngrams, make(rows)), strict=True):
        assert a.dtype == b.dtype and np.array_equal(a, b)
    table = np.random.default_rng(0).normal(size=64)
    np.testing.assert_allclose(decision(*whole, table, 0.0), ngrams.means(make(rows), table), rtol=1e-12, atol=1e-15)


def fitted(run: Run, **settings: object) -> Linear:
    return Classifier(**{"sample": 150, "buckets": 1 << 12, **settings}).fit(run)


TARGET = vocabulary(1, range(60), 100)
POOL = vocabulary(2, range(60), 100) + vocabulary(3, range(40, 100), 300)


def test_it_finds_rows_like_the_target_and_knows_how_well():
    model = fitted(Run(POOL, TARGET))
    fresh = vocabulary(4, range(60), 50), vocabulary(5, range(40, 100), 50)
    like, unlike = (model.apply(make(rows))["score"] for rows in fresh)
    assert auc(like, unlike)[0] > 0.99
    notes = model.notes
    assert (notes["positives"], notes["negatives"]) == (100, 100)
    # a quarter of the pool is like the target, so a perfect classifier has AUC 3/4 + 1/8
    assert notes["auc_low"] < 0.875 < notes["auc_high"]
    assert 0.02 < notes["auc_high"] - notes["auc_low"] < 0.25
    assert "warning" not in notes


def test_same_bits_for_any_batches_and_other_bits_for_another_seed():
    one = fitted(Run(POOL, TARGET))
    for run in (Run(POOL, TARGET, size=3), Run(POOL, TARGET, size=64, backwards=True)):
        other = fitted(run)
        assert np.array_equal(one.weight, other.weight) and one.bias == other.bias and one.notes == other.notes
    assert not np.array_equal(one.weight, fitted(Run(POOL, TARGET, seed=1)).weight)
    score = one.apply(make(POOL))["score"]
    assert score.dtype == np.float64
    assert score.tolist() == [one.apply(make([row]))["score"][0] for row in POOL]
    assert describe(one) == describe(other)


def test_no_difference_gives_no_auc():
    same = vocabulary(6, range(50), 400)
    notes = fitted(Run(same[:200], same[200:])).notes
    assert notes["auc_low"] < 0.5 < notes["auc_high"]


@pytest.mark.parametrize(
    ("negative", "expected"),
    [((1, 3), (np.log(3), -np.log(3))), ((1, 1), (np.log(3 / 2), -np.log(2)))],
    ids=["equal", "fewer negatives"],
)
def test_scores_are_log_odds_at_equal_class_sizes(negative, expected):
    first, second = "a b c d", "e f g h"
    target, pool = [first] * 3 + [second], [first] * negative[0] + [second] * negative[1]
    model = Classifier(cost=100.0, epochs=4000, folds=0, buckets=64, n=1).fit(Run(pool, target))
    score = model.apply(make([first, second]))["score"]
    np.testing.assert_allclose(score, expected, atol=0.02)
    assert "auc" not in model.notes


def test_it_warns_when_the_score_follows_length():
    short = vocabulary(7, range(50), 150, (5, 10))
    lines = vocabulary(8, range(50), 150, (5, 80))
    pool = [text + " end" * (len(text) // 8) for text in lines]
    notes = fitted(Run(pool, short)).notes
    assert notes["correlation_with_length"] < -0.3 and "length" in notes["warning"]
    assert notes["auc_of_length"] < 0.1


def test_a_domain_can_be_the_target():
    domain = ["mine"] * 100 + ["other"] * 300
    model = fitted(Run(POOL, [], domain=domain), domain="mine")
    like, unlike = np.split(model.apply(make(POOL))["score"], [100])
    assert auc(like, unlike)[0] > 0.99
    assert model.notes["auc_low"] > 0.95  # negatives are the other domains alone


@pytest.mark.parametrize(("pool", "target"), [([], ["a"]), (["a"], [])])
def test_an_empty_side_is_refused(pool, target):
    with pytest.raises(DataError, match="it needs both"):
        fitted(Run(pool, target))


@pytest.mark.parametrize("wrong", [{"sample": 0}, {"epochs": 0}, {"cost": 0.0}])
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(UsageError, match="classifier"):
        fitted(Run(POOL, TARGET), **wrong)


def test_texts_without_any_word_get_the_bias():
    model = fitted(Run([*POOL, " "], [*TARGET, "\n"]))
    assert model.apply(make([" \n "]))["score"][0] == model.bias
