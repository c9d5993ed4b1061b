"""Volume-rescaled sampling: all samples of a small case by enumeration, unbiased weighted least squares, budgets."""

from __future__ import annotations

import itertools
from collections import Counter
from typing import Any

import numpy as np
import pytest

from cuvee.core import Budget, Draw
from cuvee.errors import DataError, UsageError
from cuvee.methods.choose.rescaled import Rescaled, acceptance
from cuvee.methods.score.rescaled_volume import RescaledVolume
from tests.conftest import MemoryColumns
from tests.laws.test_laws import POOL, Straight

RUNS = 3000


def whitened(n: int, m: int, seed: int) -> np.ndarray:
    """Rows with X^T X = n I, of unlike leverages, as the method hands them on."""
    chance = np.random.default_rng(seed)
    x = chance.normal(size=(n, m)) * chance.lognormal(0, 0.8, size=(n, 1))
    values, axes = np.linalg.eigh(x.T @ x)
    return (x @ axes / np.sqrt(values) * n**0.5).astype(np.float32)


def samples(x: np.ndarray, size: int) -> list[tuple[int, ...]]:
    columns, found = MemoryColumns(2, embedding=x), []
    for seed in range(RUNS):
        taken = columns.taken(Rescaled(len(x)).choose(columns, Budget("rows", size), Draw(seed)))
        found.append(tuple(np.repeat(np.arange(len(x)), taken).tolist()))
    return found


def test_samples_come_with_their_probabilities() -> None:
    """Sequences of three of five rows: det(sum x^T x / l) l l l, summed over their orders."""
    x = whitened(5, 2, 0)
    leverage = (x**2).sum(axis=1) / 5
    expected: Counter[tuple[int, ...]] = Counter()
    for one in itertools.product(range(5), repeat=3):
        rows = x[list(one)]
        expected[tuple(sorted(one))] += np.linalg.det(rows.T / leverage[list(one)] @ rows) * leverage[list(one)].prod()
    whole, found = sum(expected.values()), Counter(samples(x, 3))
    away = 0.5 * sum(abs(found[one] / RUNS - weight / whole) for one, weight in expected.items())
    alone = 0.5 * sum(  # independent draws by leverage are farther
        abs(weight / whole - (leverage[list(one)] / 2).prod() * len(set(itertools.permutations(one))))
        for one, weight in expected.items()
    )
    assert set(found) <= set(expected) and all(len(one) == 3 for one in found)
    assert away < 0.06 < 0.15 < alone


@pytest.mark.parametrize("size", [3, 6])
def test_weighted_least_squares_is_unbiased(size: int) -> None:
    x = whitened(12, 3, 1).astype(np.float64)
    y = np.random.default_rng(2).normal(size=12)
    root = 1 / np.linalg.norm(x, axis=1)
    whole = np.linalg.lstsq(x, y, rcond=None)[0]
    found = []
    for one in samples(x.astype(np.float32), size):
        rows = list(one)
        found.append(np.linalg.lstsq(x[rows] * root[rows, None], y[rows] * root[rows], rcond=None)[0])
    error = np.mean(found, axis=0) - whole
    assert (np.abs(error) < 5 * np.std(found, axis=0) / RUNS**0.5).all()


def test_acceptance_is_one_for_orthogonal_rows() -> None:
    assert acceptance(np.tile(np.eye(3), (4, 1))) == pytest.approx(1.0)
    assert acceptance(np.tile(np.eye(3)[:2], (4, 1))) == 0.0


@pytest.mark.parametrize("budget", [Budget("tokens", 300), Budget("rows", 9), Budget("rows", 400)])
def test_budgets_hold_and_blocks_do_not_matter(budget: Budget) -> None:
    x, chance = whitened(200, 4, 3), np.random.default_rng(4)
    x[::25] = 0
    data: dict[str, Any] = {"embedding": x, "tokens": chance.integers(1, 30, 200)}
    results = []
    for blocks in (1, 7):
        columns = MemoryColumns(blocks, **data)
        decision = Rescaled(192).choose(columns, budget, Draw(5))
        taken = columns.taken(decision)
        assert not taken[::25].any()
        cost = taken.sum() if budget.unit == "rows" else int((taken * data["tokens"]).sum())
        assert decision.notes["kept"] == cost <= (budget.amount or 0)
        assert cost == budget.amount or (budget.unit == "tokens" and cost > 300 - 30)
        results.append(taken)
    assert np.array_equal(results[0], results[1])


def test_scores_are_logarithms_of_leverages_and_rows_are_whitened() -> None:
    fitted = RescaledVolume(dimensions=8, source="lsa", intercept=True).fit(Straight())
    block = fitted.apply(POOL)
    x = block["embedding"].astype(np.float64)
    assert np.allclose(x.T @ x / len(x), np.eye(x.shape[1]), atol=0.02)
    assert np.allclose(block["score"], np.log((x**2).sum(axis=1) / fitted.rows), atol=1e-6)


def test_refusals() -> None:
    with pytest.raises(UsageError, match="dimensions"):
        RescaledVolume(dimensions=0)
    with pytest.raises(UsageError, match="at least 4 rows"):
        Rescaled(50).choose(MemoryColumns(1, embedding=whitened(50, 4, 0)), Budget("rows", 3), Draw(0))
    with pytest.raises(DataError, match="has an embedding"):
        Rescaled(9).choose(MemoryColumns(1, embedding=np.zeros((9, 2), np.float32)), Budget("rows", 3), Draw(0))
