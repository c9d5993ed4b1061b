"""Leverage, Lewis weights and sensitivities against values computed apart, and norms that the sample keeps."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from cuvee.core import Budget, Draw
from cuvee.errors import UsageError
from cuvee.fold.lewis import lewis_weights, quadratic, root_of_inverse
from cuvee.methods.choose.poisson import Poisson
from cuvee.methods.score.leverage import Leverage
from tests.conftest import MemoryColumns
from tests.feature.test_embeddings import Memory, with_vectors

GOLDEN = Path(__file__).parents[2] / "data" / "golden" / "lp_sensitivity" / "scores.json"


@pytest.fixture(scope="module")
def golden() -> dict:
    return json.loads(GOLDEN.read_text())


def test_leverage(golden: dict) -> None:
    a = np.array(golden["A"])
    assert np.allclose(quadratic(a, root_of_inverse(a.T @ a)), golden["leverage"], atol=1e-10)


def test_lewis_weights(golden: dict) -> None:
    a = np.array(golden["A"])
    assert np.allclose(lewis_weights(a, 1.0), golden["lewis_p1"], atol=1e-8)
    assert np.allclose(lewis_weights(a, 1.5), golden["lewis_p1_5"], atol=1e-8)


def test_sensitivities_are_below_the_lewis_weights(golden: dict) -> None:
    found = lewis_weights(np.array(golden["A"]), 1.0)
    assert (np.array(golden["l1_sensitivity"]) <= found + 1e-7).all()


def unscaled(golden: dict) -> Memory:
    """The method divides rows by their lengths, so the case is made of unit rows."""
    a = np.array(golden["A"], np.float32)
    length = np.linalg.norm(a, axis=1, keepdims=True)
    return Memory(with_vectors(np.where(length > 0, a / np.maximum(length, 1e-9), 0).astype(np.float32)))


@pytest.mark.parametrize("p", [1.0, 1.5, 3.0])
def test_the_folds_reach_the_fixed_point(golden: dict, p: float) -> None:
    run = unscaled(golden)
    vectors = run.pool.columns["embedding"]
    score = Leverage("lewis", p, iterations=60).fit(run).apply(run.pool)["score"]
    expected = lewis_weights(vectors, p)
    assert np.allclose(np.exp(score), expected, atol=2e-5)
    assert np.isneginf(score[~np.any(vectors != 0, axis=1)]).all()


@pytest.mark.parametrize(("p", "passes"), [(1.0, 10), (2.0, 1), (3.5, 25)])
def test_as_many_passes_as_p_needs(golden: dict, p: float, passes: int) -> None:
    """With ten for every p the weights for 3.5 would still be off by some percent."""
    run = unscaled(golden)
    fitted = Leverage("lewis", p).fit(run)
    score, expected = fitted.apply(run.pool)["score"], lewis_weights(run.pool.columns["embedding"], p, 2000)
    kept = np.isfinite(score)
    assert np.abs(score[kept] - np.log(expected[kept])).max() < 5e-3
    assert fitted.notes["passes"] == passes
    assert fitted.notes["last_change"] < 5e-3
    if p == 3.5:
        early = Leverage("lewis", p, iterations=10).fit(run)
        assert np.abs(early.apply(run.pool)["score"][kept] - np.log(expected[kept])).max() > 0.02
        assert early.notes["last_change"] > 5 * fitted.notes["last_change"]


def test_leverages_sum_to_the_rank(golden: dict) -> None:
    run = unscaled(golden)
    fitted = Leverage().fit(run)
    leverage = np.exp(fitted.apply(run.pool)["score"])
    assert leverage.sum() == pytest.approx(fitted.notes["rank"], abs=1e-4)
    assert leverage.max() <= 1 + 1e-5
    root = np.exp(Leverage("root", 1.0).fit(run).apply(run.pool)["score"])
    assert np.allclose(root**2, leverage, atol=1e-5)
    with_one = Leverage(intercept=True).fit(run)
    assert with_one.notes["rank"] == fitted.notes["rank"] + 1


def test_the_sample_keeps_norms_that_uniform_sampling_loses() -> None:
    """A direction that two rows of 2,000 carry: sums weighted by 1 / probability stay right with leverage."""
    chance = np.random.default_rng(0)
    vectors = np.zeros((2000, 4), np.float32)
    vectors[:, :3] = chance.normal(size=(2000, 3))
    vectors[:2] = [0, 0, 0, 1]
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    run = Memory(with_vectors(vectors))
    score, direction = Leverage().fit(run).apply(run.pool)["score"], vectors[0]
    whole, found = float((vectors @ direction) ** 2 @ np.ones(2000)), []
    for seed in range(20):
        columns = MemoryColumns(2, score=score, key=run.pool.key)
        decision = Poisson().choose(columns, Budget("rows", 200), Draw(seed))
        probability = np.concatenate([decision.probability(block) for block in columns.blocks()])
        taken = columns.taken(decision) > 0
        found.append(float(((vectors[taken] @ direction) ** 2 / probability[taken]).sum()))
    assert np.allclose(found, whole, rtol=1e-6)


def test_refusals() -> None:
    run = Memory(with_vectors(np.eye(3, dtype=np.float32)))
    for bad in (Leverage(p=0.0), Leverage(p=4.0), Leverage(iterations=-1), Leverage("best")):  # type: ignore[arg-type]
        with pytest.raises(UsageError, match="leverage"):
            bad.fit(run)
