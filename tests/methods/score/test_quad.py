"""Quad: curvature against a dense Hessian, signs against real steps, and the bandit on planted arms."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cuvee.errors import DataError, UsageError
from cuvee.feature.curved_influence import curved, solve
from cuvee.feature.step_influence import counts, train
from cuvee.fold.linear_kernels import rank_correlation
from cuvee.methods.score.quad import Quad, pull
from tests.feature.test_embeddings import Memory
from tests.methods.score.test_mates import SEA, mixed, rows


def test_closed_form_is_the_dense_inverse() -> None:
    chance = np.random.default_rng(0)
    p = chance.dirichlet(np.ones(256), 3)
    share, right = np.array([0.0, 0.2, 0.8]), chance.normal(size=(3, 256))
    for damping in (1e-3, 1.0):
        for c, found in enumerate(solve(share, p, right, damping)):
            hessian = share[c] * (np.diag(p[c]) - np.outer(p[c], p[c])) + damping * np.eye(256)
            assert np.allclose(found, np.linalg.solve(hessian, right[c]), rtol=1e-7, atol=1e-9)


def test_influence_is_the_product_of_gradients_in_that_metric() -> None:
    training, probes = rows(mixed(1, 40, 0.5)), rows([*mixed(2, 5, 0.5), ""])
    table, seen = train(training, 3, 6), counts(training, 3, 6)
    reference = counts(rows(mixed(3, 9, 1.0)), 3, 6)
    p, share = np.exp(table.logits), seen.sum(axis=1) / seen.sum()

    def gradient(count: Any) -> Any:
        return (count.sum(axis=1, keepdims=True) * p - count) / max(count.sum(), 1)

    damping = 0.3 * float((share[:, None] * p * (1 - p)).mean())
    u = solve(share, p, gradient(reference), damping)
    expected = [float((u * gradient(counts(rows([probes.text(i)]), 3, 6))).sum()) for i in range(6)]
    assert np.allclose(curved(table, seen, reference, 0.3).influence(probes), expected)
    assert expected[5] == 0


def test_positive_where_a_real_step_helps() -> None:
    training, probes = rows(mixed(1, 100, 0.5)), rows(mixed(2, 60, 0.5))
    table, seen, reference = train(training), counts(training, 3, 12), counts(rows(mixed(3, 20, 1.0)), 3, 12)
    step = table.influence(probes, reference[None], 1.0)[:, 0]
    assert rank_correlation(curved(table, seen, reference, 1e6).influence(probes), step) > 0.99
    assert rank_correlation(curved(table, seen, reference, 1.0).influence(probes), step) > 0.8


def planted(means: list[float], size: int, seed: int) -> tuple[list[Any], Any]:
    chance = np.random.default_rng(seed)
    values = np.concatenate([chance.normal(mean, 1.0, size) for mean in means])
    return [np.arange(arm * size, (arm + 1) * size) for arm in range(len(means))], values


def test_the_bandit_finds_the_best_arms_and_keeps_its_budget() -> None:
    means = [0.0] * 8 + [2.0, 3.0]
    for seed in range(5):
        arms, values = planted(means, 200, seed)
        asked: list[int] = []
        told = pull(arms, lambda at, v=values, a=asked: a.extend(at.tolist()) or v[at], 400, 5, 1.0)
        assert told["count"].sum() == 400 == len(asked) == len(set(asked))
        assert np.argmax(told["mean"]) == 9 and told["count"][9] > 3 * told["count"][:8].mean()
        assert (told["count"] >= 5).all()
        for arm in range(10):
            seen = values[arms[arm][: told["count"][arm]]]
            assert told["mean"][arm] == pytest.approx(seen.mean() / values[asked].std())
            bonus = np.sqrt(2 * np.log(400) / told["count"][arm])
            assert told["bound"][arm] - told["mean"][arm] == pytest.approx(bonus)


def test_arms_run_out_and_empty_arms_are_never_chosen() -> None:
    values = np.array([5.0, 4.0, 1.0, 0.0])
    told = pull([np.array([0]), np.zeros(0, np.int64), np.array([1, 2, 3])], lambda at: values[at], 100, 2, 0.0)
    assert told["count"].tolist() == [1, 0, 3] and np.isneginf(told["mean"][1])
    few = pull([np.array([0]), np.array([1]), np.array([2, 3])], lambda at: values[at], 2, 2, 1.0)
    assert few["count"].tolist() == [1, 1, 0] and np.isneginf(few["bound"][2])


def test_first_visits_leave_half_for_the_rule() -> None:
    arms, values = planted([0.0] * 19 + [5.0], 40, 0)
    told = pull(arms, lambda at: values[at], 120, 10, 0.1)
    assert (told["count"] >= 3).all() and told["count"].sum() == 120 and told["count"][19] == 40


def test_alike_values_are_no_trouble() -> None:
    told = pull([np.arange(5), np.arange(5, 10)], lambda at: np.full(len(at), 2.0), 6, 2, 1.0)
    assert np.isfinite(told["bound"]).all() and told["count"].sum() == 6


def test_rows_like_the_target_are_in_the_best_clusters() -> None:
    texts = mixed(4, 300, 0.3)
    run = Memory(rows(texts), rows(mixed(5, 30, 1.0)))
    fitted = Quad(k=8, evaluations=80, warmup=100, candidates=150).fit(run)
    block = fitted.apply(run.pool)
    like = np.array([set(text.split()) <= set(SEA.split()) for text in texts])
    assert np.mean(block["score"][like][:, None] > block["score"][~like][None]) > 0.9
    assert fitted.notes["evaluated"] == 80
    for cluster in range(8):
        assert len(set(block["score"][block["cluster"] == cluster].tolist())) <= 1


def test_what_cannot_be_measured_is_refused() -> None:
    pool = rows(mixed(1, 50, 0.5))
    with pytest.raises(DataError, match="target is empty"):
        Quad().fit(Memory(pool, rows([])))
    for few in ([SEA], []):
        with pytest.raises(DataError, match="quad needs two rows of text"):
            Quad().fit(Memory(rows(few), rows([SEA])))
    for wrong in (Quad(k=0), Quad(evaluations=0), Quad(alpha=-1), Quad(damping=0)):
        with pytest.raises(UsageError, match="quad"):
            wrong.fit(Memory(pool, rows([SEA])))
