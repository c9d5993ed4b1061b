"""Targeted choices on vectors: RDS+ and GOT-D against the releases' own numbers and against finite differences."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from cuvee.errors import DataError, UsageError
from cuvee.feature.embed import Given
from cuvee.fold.nearest import NearestRows
from cuvee.fold.transport import sinkhorn, squared_distances
from cuvee.methods.score.gotd import GotD, potential_at
from cuvee.methods.score.rds_plus import RdsPlus, pooled, round_robin
from tests.feature.test_embeddings import Memory, with_vectors

GOLDEN = Path(__file__).parents[2] / "data" / "golden"


@pytest.fixture(scope="module")
def rds() -> dict:
    return json.loads((GOLDEN / "rds_plus" / "pool_and_select.json").read_text())


def test_pooling_is_the_release_s(rds: dict) -> None:
    for side in ("candidate", "target"):
        found = [pooled(np.array(hidden)) for hidden in rds[f"{side}_hidden"]]
        assert np.allclose(found, rds[f"{side}_embedding"], atol=1e-6)


def test_round_robin_picks_are_the_release_s(rds: dict) -> None:
    """Through the Fold that keeps lists, with the targets in the release's order."""
    candidates, targets = (np.array(rds[f"{side}_embedding"], np.float32) for side in ("candidate", "target"))
    d = candidates.shape[1]
    found = NearestRows(Given(d), targets, len(candidates)).lift(with_vectors(candidates))
    for size, expected in rds["selections"].items():
        assert round_robin(found["row"], found["count"], int(size)).tolist() == expected


def test_the_score_ranks_rows_as_they_are_taken(rds: dict) -> None:
    candidates, targets = (np.array(rds[f"{side}_embedding"], np.float32) for side in ("candidate", "target"))
    pool = with_vectors(candidates)
    fitted = RdsPlus(most=3).fit(Memory(pool, with_vectors(targets)))
    score = fitted.apply(pool)["score"]
    order = np.argsort(-score, kind="stable")
    lists = np.argsort(-(fitted.targets @ candidates.T), axis=1)[:, :3]
    expected = round_robin(lists, np.full(len(targets), 3), 99)
    assert order[: len(expected)].tolist() == expected.tolist()
    assert score[order[: len(expected)]].tolist() == [-float(i) for i in range(len(expected))]
    rest = order[len(expected) :]
    assert (score[rest] < -len(expected)).all()
    nearest = (candidates @ targets.T).max(axis=1)
    assert np.array_equal(rest, rest[np.argsort(-nearest[rest], kind="stable")])


@pytest.mark.parametrize("most", [4, 60])
def test_sets_of_targets_take_turns_by_their_best_text(most: int) -> None:
    """Against all similarities sorted anew: a set with many texts is served no more often than one with few."""
    chance = np.random.default_rng(2)
    rows, texts = chance.normal(size=(60, 6)), chance.normal(size=(9, 6))
    texts[4] = 0  # without a vector
    pool = with_vectors(rows.astype(np.float32))
    target = with_vectors(texts.astype(np.float32))
    domain = np.array(["b", "a", "a", "c", "c", "a", "a", "a", "b"])
    target = replace(target, columns={**target.columns, "domain": pa.array(domain)})
    fitted = RdsPlus(sets="domain", most=most).fit(Memory(pool, target))
    units = [x / np.linalg.norm(x, axis=1, keepdims=True) for x in (rows, np.delete(texts, 4, axis=0))]
    similar, names = units[0] @ units[1].T, np.delete(domain, 4)
    best = {name: np.argsort(-similar[:, names == name].max(axis=1), kind="stable") for name in "abc"}
    turns = list(fitted.notes["sets"])
    length = np.array([fitted.notes["sets"][name] for name in turns])
    assert sorted(turns) == ["a", "b", "c"]
    assert (length >= most).all()
    expected = round_robin(np.array([best[name] for name in turns]), length, 99)
    order = np.argsort(-fitted.apply(pool)["score"], kind="stable")
    assert order[: len(expected)].tolist() == expected.tolist()
    with pytest.raises(DataError, match="--domain"):
        RdsPlus(sets="domain").fit(Memory(pool, with_vectors(texts.astype(np.float32))))


def test_every_mode_of_the_target_is_served() -> None:
    """Four modes, three of them small in the pool: the mean cosine forgets them, turns do not."""
    chance = np.random.default_rng(0)
    modes = np.eye(4, 12)
    label = np.repeat([0, 1, 2, 3], [900, 30, 30, 30])
    pool = with_vectors((modes[label] + 0.2 * chance.normal(size=(len(label), 12))).astype(np.float32))
    target = with_vectors((np.repeat(modes, 5, axis=0) + 0.05 * chance.normal(size=(20, 12))).astype(np.float32))
    run = Memory(pool, target)
    taken = {}
    for rule in ("round_robin", "mean"):
        score = RdsPlus(rule=rule).fit(run).apply(pool)["score"]  # type: ignore[arg-type]
        taken[rule] = np.bincount(label[np.argsort(-score)[:40]], minlength=4)
    assert taken["round_robin"].min() >= 5
    assert taken["round_robin"].min() > taken["mean"].min()


@pytest.mark.parametrize("case", [0, 1])
def test_potentials_are_those_of_ott(case: int) -> None:
    with np.load(GOLDEN / "gotd" / f"potentials_{case}.npz") as stored:
        golden = dict(stored)
    epsilon = float(golden["epsilon"])
    cost = squared_distances(golden["target"], golden["candidates"])
    found = sinkhorn(cost, epsilon, tolerance=1e-9, most=100_000)
    for ours, theirs in ((found.g, golden["g"]), (found.f, golden["f"])):
        assert np.allclose(ours - ours.mean(), theirs - theirs.mean(), atol=1e-5)
    carried = potential_at(golden["candidates"].astype(np.float32), golden["target"], found.f, epsilon)
    assert np.allclose(carried - carried.mean(), found.g - found.g.mean(), atol=1e-4)
    assert np.array_equal(np.argsort(found.g, kind="stable"), golden["rank_ascending"])


def test_potentials_are_the_gradient_of_the_cost() -> None:
    chance = np.random.default_rng(1)
    x, y = chance.normal(size=(7, 3)), chance.normal(size=(9, 3))
    cost, epsilon = squared_distances(x, y), 0.3

    def value(b: np.ndarray) -> float:
        one = sinkhorn(cost, epsilon, b=b, tolerance=1e-13, most=100_000)
        return float(one.f.mean() + one.g @ b)

    g, b, step = sinkhorn(cost, epsilon, tolerance=1e-13, most=100_000).g, np.full(9, 1 / 9), 1e-5
    for i, j in ((0, 1), (3, 8), (5, 2)):
        move = np.zeros(9)
        move[i], move[j] = step, -step
        slope = (value(b + move) - value(b - move)) / (2 * step)
        assert slope == pytest.approx(g[i] - g[j], rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("epsilon", [1e-3, 1e-4])
def test_small_epsilon_stays_finite(epsilon: float) -> None:
    chance = np.random.default_rng(2)
    x, y = chance.normal(size=(30, 4)), chance.normal(size=(40, 4)) + 1
    found = sinkhorn(squared_distances(x, y), epsilon, most=3000)
    assert np.isfinite(found.f).all()
    assert np.isfinite(found.g).all()


def test_gotd_prefers_what_the_pool_lacks() -> None:
    """Pool of A with little C, target of A and C: nearest neighbours take both, GOT-D takes C."""
    chance = np.random.default_rng(3)
    modes = 2 * np.eye(3, 8)
    label = np.repeat([0, 1, 2], [600, 300, 60])
    pool = with_vectors((modes[label] + 0.3 * chance.normal(size=(len(label), 8))).astype(np.float32))
    wanted = np.repeat([0, 2], 25)
    target = with_vectors((modes[wanted] + 0.3 * chance.normal(size=(50, 8))).astype(np.float32))
    run = Memory(pool, target)
    share = {}
    for name, method in (("gotd", GotD()), ("nearest", RdsPlus(rule="max"))):
        taken = np.argsort(-method.fit(run).apply(pool)["score"])[:60]
        share[name] = float((label[taken] == 2).mean())
    assert share["gotd"] > 0.9
    assert share["gotd"] > share["nearest"]


def test_refusals() -> None:
    pool = with_vectors(np.eye(3, dtype=np.float32))
    zero = with_vectors(np.zeros((2, 3), np.float32))
    for method in (RdsPlus(), GotD()):
        with pytest.raises(DataError, match="no embedding"):
            method.fit(Memory(pool, zero))
    with pytest.raises(DataError, match="no row of the pool"):
        GotD().fit(Memory(zero, pool))
    for bad in (GotD(epsilon=0.0), GotD(sample=0), RdsPlus(most=-1)):
        with pytest.raises(UsageError):
            bad.fit(Memory(pool, pool))
