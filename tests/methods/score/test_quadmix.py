"""QuaDMix: merged scores, ranks and values of a public implementation; limits in closed form; plans and bad input."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cuvee.core import Batch, Budget, Draw
from cuvee.errors import DataError, UsageError
from cuvee.examples import as_batch
from cuvee.fold.quality_ranks import Ranks, Sampler
from cuvee.methods.score.quadmix import QuadMix
from tests.conftest import MemoryColumns
from tests.feature.test_embeddings import Memory

GOLDEN = Path(__file__).parents[2] / "data" / "golden" / "quadmix" / "ranks_and_values_small.json"


@pytest.fixture(scope="module")
def case() -> dict[str, Any]:
    return json.loads(GOLDEN.read_text())


def sampler(case: dict[str, Any]) -> Sampler:
    alpha, rest = np.array(case["inputs"]["alpha"]), np.array(case["inputs"]["beta_lambda_omega_eta_epsilon"])
    return Sampler(alpha, *rest.T)


def pool_of(case: dict[str, Any]) -> Batch:
    told = case["inputs"]
    n = len(told["domain"])
    columns = {
        "domain": pa.array([f"domain {at}" for at in told["domain"]], pa.large_string()),
        "tokens": np.array(told["tokens"], np.int64),
    }
    return replace(as_batch([b"x"] * n), key=np.arange(100, 100 + n, dtype=np.uint64), columns=columns)


def write(tmp_path: Path, case: dict[str, Any], **plan: Any) -> tuple[str, str]:
    scores, folder = np.array(case["inputs"]["quality_higher_is_better"]), tmp_path / "found"
    order = np.random.default_rng(0).permutation(len(scores))
    keys = np.arange(100, 100 + len(scores), dtype=np.uint64)
    path = tmp_path / "ratings.parquet"
    pq.write_table(pa.table({"key": keys[order], "a": scores[order, 0], "b": scores[order, 1]}), path)
    folder.mkdir(exist_ok=True)
    told = {
        "criteria": ["a", "b"],
        "mean": scores.mean(axis=0).tolist(),
        "deviation": scores.std(axis=0).tolist(),
        "domains": sampler(case).as_json(("domain 0", "domain 1", "domain 2")),
    }
    (folder / "search.json").write_text(json.dumps({"sampler": told | plan}))
    return str(path), str(folder)


def test_ranks_and_values_equal_the_public_implementation(case: dict[str, Any]) -> None:
    scores = np.array(case["inputs"]["quality_higher_is_better"])
    domain, tokens = np.array(case["inputs"]["domain"]), np.array(case["inputs"]["tokens"])
    rule = sampler(case)
    merged = rule.merged((scores - scores.mean(axis=0)) / scores.std(axis=0), domain)
    assert np.allclose(merged, case["outputs"]["merged"], rtol=1e-9, atol=0)
    rank = Ranks.of(merged, tokens, domain, 3).rank(merged, domain)
    assert np.allclose(rank, case["outputs"]["rank"], rtol=1e-9, atol=0)
    value = rule.value(rank, domain)
    assert np.allclose(value, case["outputs"]["sampling_value"], rtol=1e-9, atol=0)
    by_domain = np.bincount(domain, weights=value * tokens)
    assert np.allclose(by_domain, case["outputs"]["expected_tokens_per_domain"], rtol=1e-9, atol=0)


def test_the_method_gives_the_same_values_from_files(case: dict[str, Any], tmp_path: Path) -> None:
    """By a plan; the standardisation that the plan holds is the one that counts."""
    ratings, plan = write(tmp_path, case)
    pool = pool_of(case)
    fitted = QuadMix(ratings, plan=plan).fit(Memory(pool))
    assert np.allclose(np.exp(fitted.apply(pool)["score"]), case["outputs"]["sampling_value"], rtol=1e-9, atol=0)
    assert fitted.notes["rated_in_sample"] == len(pool) and fitted.notes["domains"] == 3
    columns = MemoryColumns(3, score=fitted.apply(pool)["score"], tokens=pool.columns["tokens"], key=pool.key)
    rule = QuadMix(limit=2).chooser(fitted)
    expected = sum(case["outputs"]["expected_tokens_per_domain"])
    decision = rule.choose(columns, Budget("tokens", round(expected)), Draw(0))
    taken = columns.taken(decision)
    assert taken.max() == 2 and abs(int((taken * pool.columns["tokens"]).sum()) - expected) < 2_000
    assert (np.abs(taken - np.array(case["outputs"]["sampling_value"])) < 1.01).all()
    _, plan = write(tmp_path, case, mean=[10.0, 10.0])
    moved = QuadMix(ratings, plan=plan).fit(Memory(pool)).apply(pool)["score"]
    assert np.allclose(np.exp(moved), case["outputs"]["sampling_value"])  # a shift changes no rank
    _, plan = write(tmp_path, case, deviation=[1e6, 1.0])
    assert not np.allclose(np.exp(QuadMix(ratings, plan=plan).fit(Memory(pool)).apply(pool)["score"]), np.exp(moved))


def test_limits_of_the_sampling_function() -> None:
    """Steep: a hard cut. Power 0: alike above the threshold. Threshold 1 and power 0: all alike. Flat: 1 above it."""
    rank, domain = np.linspace(0.001, 1, 1000), np.zeros(1000, np.int64)

    def value(*told: float) -> np.ndarray:
        return Sampler(np.ones((1, 1)), *(np.array([one]) for one in told)).value(rank, domain)

    steep = value(1e9, 0.1, 0.7, 0.01)
    assert np.allclose(steep[rank < 0.0999], 2**0.7 + 0.01) and np.allclose(steep[rank > 0.1001], 0.01)
    assert value(50, 0.1, 0, 0.01)[rank <= 0.1] == pytest.approx(1.01)
    assert value(50, 1, 0, 0.25) == pytest.approx(1.25)
    for power in (0.0, 0.5, 1.0):
        assert value(0, 0.1, power, 0.001)[rank <= 0.1] == pytest.approx(1.001)
    whole = value(200, 0.1, 1, 0.001)
    assert (np.diff(whole) <= 0).all() and whole.max() <= 2.001
    assert np.isfinite(value(1e300, 0.1, 1, 0)).all()


def test_ties_share_a_rank_and_other_rows_find_their_place() -> None:
    merged, tokens = np.array([3.0, 1.0, 1.0, 2.0]), np.array([10, 20, 30, 40])
    ranks = Ranks.of(merged, tokens, np.zeros(4, np.int64), 2)
    assert ranks.rank(merged, np.zeros(4, np.int64)).tolist() == [0.1, 1.0, 1.0, 0.5]
    assert ranks.rank(np.array([9.0, 2.5, 1.5, 0.0]), np.zeros(4, np.int64)).tolist() == [0.0, 0.1, 0.5, 1.0]
    assert ranks.rank(np.array([9.0]), np.ones(1, np.int64)).tolist() == [1.0]  # nothing is known of the other domain


def test_without_a_plan_all_domains_and_scores_are_alike(case: dict[str, Any], tmp_path: Path) -> None:
    ratings, _ = write(tmp_path, case)
    pool = pool_of(case)
    score = QuadMix(ratings, ("a", "b"), threshold=0.3, power=1.0).fit(Memory(pool)).apply(pool)["score"]
    z = np.array(case["inputs"]["quality_higher_is_better"])
    z = ((z - z.mean(axis=0)) / z.std(axis=0)).mean(axis=1)
    domain, tokens = np.array(case["inputs"]["domain"]), np.array(case["inputs"]["tokens"])
    for at in range(3):
        own = domain == at
        above = own & (score > np.log(0.5))
        assert z[above].min() > z[own & ~above].max()
        assert 0.2 < tokens[above].sum() / tokens[own].sum() <= 0.3
    assert np.allclose(np.exp(score.min()), 0.001)


def test_rows_and_domains_that_nothing_is_known_of_are_left_out(case: dict[str, Any], tmp_path: Path) -> None:
    ratings, plan = write(tmp_path, case)
    names = np.array(case["inputs"]["domain"]).astype(str)
    pool = pool_of(case)
    pool = replace(pool, key=np.where(np.arange(len(pool)) < 5, 0, pool.key).astype(np.uint64))
    other = pa.array(["another" if at == 7 else f"domain {one}" for at, one in enumerate(names)], pa.large_string())
    pool = replace(pool, columns={**pool.columns, "domain": other})
    score = QuadMix(ratings, plan=plan).fit(Memory(pool)).apply(pool)["score"]
    assert np.isneginf(score[[0, 1, 2, 3, 4, 7]]).all() and np.isfinite(score[8:]).all()


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({}, "needs ratings="),
        ({"threshold": -1.0}, "at least 0"),
        ({"criteria": ()}, "criteria names"),
        ({"criteria": ("nothing",)}, "no column 'nothing'"),
        ({"criteria": ("same",)}, "'same' is the same for all rows"),
        ({"plan": "nowhere"}, "holds no sampler"),
        ({"plan": "found", "domains": {}}, "No row of the pool is in a domain|holds no sampler"),
        ({"plan": "found", "mean": [0.0]}, "holds no sampler"),
        ({"plan": "found", "deviation": [0.0, 1.0]}, "holds no sampler"),
        ({"plan": "found", "deviation": [float("nan"), 1.0]}, "holds no sampler"),
    ],
)
def test_refused(case: dict[str, Any], tmp_path: Path, asked: dict[str, Any], said: str) -> None:
    given = {name: asked.pop(name) for name in ("mean", "deviation", "domains") if name in asked}
    ratings, plan = write(tmp_path, case, **given)
    if "same" in asked.get("criteria", ()):
        pq.write_table(pa.table({"key": np.arange(100, 220, dtype=np.uint64), "same": np.ones(120)}), ratings)
    if asked.get("plan") == "found":
        asked["plan"] = plan
    with pytest.raises((UsageError, DataError), match=said):
        QuadMix(ratings if asked else "", **asked).fit(Memory(pool_of(case)))


def test_ratings_of_another_pool(case: dict[str, Any], tmp_path: Path) -> None:
    ratings, _ = write(tmp_path, case)
    pool = replace(pool_of(case), key=np.arange(120, dtype=np.uint64) + 5_000)
    with pytest.raises(DataError, match="No row of the pool is rated"):
        QuadMix(ratings, ("a", "b")).fit(Memory(pool))
