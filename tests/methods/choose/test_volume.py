"""Volume sampling: all subsets of a small case by enumeration, inclusion probabilities, unbiased least squares."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import pytest

from cuvee.core import Budget, Draw
from cuvee.errors import UsageError
from cuvee.methods.choose.volume import Volume, sample_volume
from tests.conftest import MemoryColumns
from tests.methods.choose.test_greedy import ones, pool

GOLDEN = Path(__file__).parents[2] / "data" / "golden" / "dpp_volume" / "small.json"
RUNS = 4000


@pytest.fixture(scope="module")
def golden() -> dict:
    return json.loads(GOLDEN.read_text())


def draws(golden: dict, size: int) -> list[tuple[int, ...]]:
    phi, chance = np.array(golden["Phi"]), np.random.default_rng(size)
    found = (sample_volume(phi, ones(len(phi)), size, chance.random(len(phi))) for _ in range(RUNS))
    return [tuple(one.tolist()) for one in found]


def test_subsets_come_in_proportion_to_their_volume(golden: dict) -> None:
    phi = np.array(golden["Phi"])
    subsets = list(itertools.combinations(range(len(phi)), 3))
    volume = np.array([np.linalg.det(phi[list(one)]) ** 2 for one in subsets])
    expected, found = volume / volume.sum(), draws(golden, 3)
    assert all(len(one) == 3 for one in found)
    count = np.array([found.count(one) for one in subsets]) / RUNS
    assert 0.5 * np.abs(count - expected).sum() < 0.06


@pytest.mark.parametrize("size", [3, 5, 8])
def test_inclusion_probabilities(golden: dict, size: int) -> None:
    phi = np.array(golden["Phi"])
    n, m = phi.shape
    leverage = np.diag(golden["projection_kernel"])
    expected = 1 - (n - size) / (n - m) * (1 - leverage)
    found = np.bincount([i for one in draws(golden, size) for i in one], minlength=n) / RUNS
    assert np.abs(found - expected).max() < 4 * np.sqrt(0.25 / RUNS)


@pytest.mark.parametrize("size", [3, 5])
def test_least_squares_is_unbiased(golden: dict, size: int) -> None:
    phi, chance = np.array(golden["Phi"]), np.random.default_rng(0)
    y = chance.normal(size=len(phi))
    whole = np.linalg.lstsq(phi, y, rcond=None)[0]
    found = np.array([np.linalg.lstsq(phi[list(one)], y[list(one)], rcond=None)[0] for one in draws(golden, size)])
    error = found.mean(axis=0) - whole
    assert (np.abs(error) < 5 * found.std(axis=0) / np.sqrt(RUNS)).all()


def test_samples_span_what_random_rows_do_not() -> None:
    data = pool(600, 12)
    vectors = data["embedding"].astype(np.float64)
    vectors[np.arange(600) % 20 != 3, 0] = 0  # a direction that one row in twenty has
    data["embedding"] = vectors.astype(np.float16)
    columns = MemoryColumns(3, **data)
    rule = Volume(dimensions=12)
    smallest, usable = [], np.flatnonzero(np.any(vectors != 0, axis=1))
    for seed in range(10):
        taken = columns.taken(rule.choose(columns, Budget("rows", 24), Draw(seed))) > 0
        assert taken.sum() == 24
        random = np.random.default_rng(seed).choice(usable, 24, replace=False)
        smallest.append([np.linalg.svd(vectors[rows])[1][-1] for rows in (taken, random)])
    found, by_chance = np.array(smallest).mean(axis=0)
    assert found > 1.3 * by_chance


@pytest.mark.parametrize("amount", [1, 3, 40, 900])
def test_budgets_hold_and_blocks_do_not_matter(amount: int) -> None:
    data, results = pool(300), []
    for blocks in (1, 5):
        columns = MemoryColumns(blocks, **data)
        taken = columns.taken(Volume(4, 64).choose(columns, Budget("tokens", amount), Draw(3)))
        assert 0 < int((taken * data["tokens"]).sum()) <= amount
        results.append(taken)
    assert np.array_equal(results[0], results[1])


def test_refusals() -> None:
    with pytest.raises(UsageError, match="volume"):
        Volume(dimensions=0)
    with pytest.raises(UsageError, match="volume"):
        Volume(dimensions=10, candidates=12)
