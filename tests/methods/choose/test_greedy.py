"""The greedy choices: picks of public packages, bounds by enumeration, and the same rows for every cut of the pool."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cuvee.core import Budget, Draw
from cuvee.errors import DataError, UsageError
from cuvee.methods.choose import greedy
from cuvee.methods.choose.facility_location import FacilityLocation, cover
from cuvee.methods.choose.greedy_kernels import farthest_first
from cuvee.methods.choose.herding import Herding, follow
from cuvee.methods.choose.k_center import KCenter, spread_out
from tests.conftest import MemoryColumns

GOLDEN = Path(__file__).parents[2] / "data" / "golden"
RULES = [KCenter(), FacilityLocation(), FacilityLocation(represented=40), Herding(64), Herding(0)]


def ones(n: int) -> np.ndarray:
    return np.ones(n, np.int64)


def pool(n: int = 500, d: int = 6, seed: int = 0) -> dict[str, Any]:
    chance = np.random.default_rng(seed)
    vectors = chance.normal(size=(n, d)) + 2 * chance.normal(size=(5, d))[chance.integers(5, size=n)]
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors[::50] = 0
    key = chance.integers(0, 2**63, n).astype(np.uint64)
    return {"embedding": vectors.astype(np.float16), "key": key, "tokens": chance.integers(1, 30, n)}


def test_facility_location_takes_the_packages_rows() -> None:
    case = json.loads((GOLDEN / "submodular" / "greedy.json").read_text())
    similarity, expected = np.array(case["similarity"]), case["facility_location"]
    order, gains = cover(similarity, ones(len(similarity)), len(expected["ranking"]))
    assert order.tolist() == expected["ranking"]
    assert np.allclose(gains, expected["gains"], rtol=1e-9)


def test_lazy_greedy_is_greedy() -> None:
    chance = np.random.default_rng(3)
    similarity = np.abs(chance.normal(size=(60, 35))).astype(np.float32)
    order, _ = cover(similarity, ones(60), 25)
    covered, left = np.zeros(35, np.float32), list(range(60))
    for taken in order:
        gains = [np.maximum(similarity[i] - covered, 0).sum(dtype=np.float64) for i in left]
        assert gains[left.index(taken)] == pytest.approx(max(gains), rel=1e-5)
        covered = np.maximum(covered, similarity[taken])
        left.remove(int(taken))


def test_what_is_covered_already_is_not_covered_again() -> None:
    similarity = np.array([[1.0, 0, 0], [0, 0.5, 0], [0, 0, 0.2]])
    assert cover(similarity, ones(3), 1)[0].tolist() == [0]
    assert cover(similarity, ones(3), 1, np.array([1.0, 0, 0]))[0].tolist() == [1]


def test_farthest_first_takes_the_release_s_rows() -> None:
    case = json.loads((GOLDEN / "snp" / "search.json").read_text())["furthest_first"]
    points = np.array(case["points"])
    near = ((points[:, None] - np.array(case["start"])[None]) ** 2).sum(axis=2).min(axis=1)
    order = np.empty(len(case["picks"]), np.int64)
    assert farthest_first(points, near, ones(len(points)), 10**6, -1, order) == len(order)
    assert order.tolist() == case["picks"]
    order = np.empty(len(case["picks_without_start"]), np.int64)
    farthest_first(points, np.full(len(points), np.inf), ones(len(points)), 10**6, -1, order)
    assert order.tolist() == case["picks_without_start"]


@pytest.mark.parametrize("seed", range(5))
def test_k_center_is_within_twice_the_optimum(seed: int) -> None:
    points = np.random.default_rng(seed).normal(size=(12, 2)).astype(np.float32)
    distance = np.linalg.norm(points[:, None] - points[None], axis=2)
    best = min(distance[:, chosen].min(axis=1).max() for chosen in itertools.combinations(range(12), 3))
    found = spread_out(points, ones(12), 3)
    assert distance[:, found].min(axis=1).max() <= 2 * best + 1e-6


def test_outliers_are_left_out() -> None:
    points = np.random.default_rng(0).normal(size=(100, 3)).astype(np.float32)
    points[17] *= 1000
    assert spread_out(points, ones(100), 1).tolist() == [17]
    assert 17 not in spread_out(points, ones(100), 99, outliers=0.01)


def test_herding_is_its_recursion() -> None:
    chance = np.random.default_rng(1)
    features = chance.normal(size=(80, 5)).astype(np.float32)
    mean = features.mean(axis=0, dtype=np.float64)
    pull, taken = mean.copy(), []
    for _ in range(30):
        scores = features @ pull
        scores[taken] = -np.inf
        taken.append(int(np.argmax(scores)))
        pull += mean - features[taken[-1]]
    assert follow(features, mean, ones(80), 30).tolist() == taken


def test_herding_is_nearer_to_the_pool_than_random_rows() -> None:
    data = pool(800)
    notes = Herding(128).choose(MemoryColumns(3, **data), Budget("rows", 60), Draw(0)).notes
    assert 0 < notes["discrepancy"] < 0.3 * notes["discrepancy_of_random_rows"]


@pytest.mark.parametrize("rule", RULES, ids=str)
@pytest.mark.parametrize("rounds", ["at once", "in two rounds", "shard by shard"])
def test_the_budget_holds_whatever_the_blocks(rule: Any, rounds: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(greedy, "AT_ONCE", {"at once": 10**6, "in two rounds": 450, "shard by shard": 10}[rounds])
    monkeypatch.setattr(greedy, "SHARD_ROWS", 64)
    data, results = pool(), []
    for blocks in (1, 4, 13):
        columns = MemoryColumns(blocks, **data)
        decision = rule.choose(columns, Budget("tokens", 700), Draw(2))
        taken = columns.taken(decision)
        assert decision.notes["chosen"] == rounds
        assert 600 < int((taken * data["tokens"]).sum()) <= 700
        assert decision.notes["kept"] == int((taken * data["tokens"]).sum())
        assert not taken[::50].any()
        results.append(taken)
    assert all(np.array_equal(results[0], other) for other in results[1:])


def test_two_rounds_cover_nearly_as_well_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    data = pool(1000)
    vectors = data["embedding"].astype(np.float32)
    similarity = np.maximum(vectors @ vectors.T, 0)

    def value() -> float:
        columns = MemoryColumns(3, **data)
        taken = columns.taken(FacilityLocation(0).choose(columns, Budget("rows", 20), Draw(0))) > 0
        return float(similarity[:, taken].max(axis=1).sum())

    whole = value()
    monkeypatch.setattr(greedy, "AT_ONCE", 900)
    monkeypatch.setattr(greedy, "SHARD_ROWS", 128)
    assert value() > 0.98 * whole


def test_rows_without_a_vector_and_bad_settings_are_refused() -> None:
    data = pool(30)
    data["embedding"][:] = 0
    with pytest.raises(DataError, match="embedding"):
        KCenter().choose(MemoryColumns(2, **data), Budget("rows", 3), Draw(0))
    for bad in (lambda: KCenter(1.0), lambda: FacilityLocation(-1), lambda: Herding(-1), lambda: Herding(width=0.0)):
        with pytest.raises(UsageError):
            bad()


def test_rows_with_broken_numbers_are_never_taken() -> None:
    data = pool(60)
    data["embedding"][7] = np.nan
    data["embedding"][9] = np.inf
    columns = MemoryColumns(2, **data)
    taken = columns.taken(KCenter().choose(columns, Budget("rows", 50), Draw(0)))
    assert not taken[[7, 9]].any()
    assert taken.sum() == 50
