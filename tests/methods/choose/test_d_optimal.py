"""D-optimal design: gains and picks against determinants computed apart, and greedy's bound by enumeration."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from cuvee.core import Budget, Draw
from cuvee.errors import UsageError
from cuvee.methods.choose.d_optimal import DOptimal, design
from tests.conftest import MemoryColumns


def log_det(x: np.ndarray, ridge: float) -> float:
    x = x.astype(np.float64)
    return float(np.linalg.slogdet(ridge * np.eye(x.shape[1]) + x.T @ x)[1])


@pytest.mark.parametrize("d", [3, 70])
def test_each_pick_adds_most_to_the_determinant(d: int) -> None:
    x = np.random.default_rng(d).normal(size=(40, d)).astype(np.float32)
    order, gains = design(x, np.ones(40, np.int64), 12, 0.1)
    assert len(order) == len(set(order.tolist())) == 12
    for size in range(12):
        before = log_det(x[order[:size]], 0.1)
        added = [log_det(x[[*order[:size], i]], 0.1) - before for i in range(40) if i not in order[:size]]
        assert gains[size] == pytest.approx(max(added), rel=1e-5)
        assert log_det(x[order[: size + 1]], 0.1) - before == pytest.approx(max(added), rel=1e-5)


def test_within_the_bound_of_greedy() -> None:
    x = np.random.default_rng(1).normal(size=(10, 3)).astype(np.float32)
    order, _ = design(x, np.ones(10, np.int64), 4, 1.0)
    best = max(log_det(x[list(rows)], 1.0) for rows in itertools.combinations(range(10), 4))
    assert log_det(x[order], 1.0) >= (1 - 1 / np.e) * best


def test_costs_and_rows_without_a_vector() -> None:
    chance = np.random.default_rng(2)
    x = chance.normal(size=(300, 6)).astype(np.float16)
    x[::7] = 0
    columns = MemoryColumns(5, embedding=x, tokens=chance.integers(1, 9, 300))
    taken = columns.taken(DOptimal().choose(columns, Budget("tokens", 60), Draw(0))) > 0
    assert 50 < columns.data["tokens"][taken].sum() <= 60 and not taken[::7].any()
    random = [log_det(x[chance.permutation(300)[: taken.sum()]], 0.1) for _ in range(20)]
    assert log_det(x[taken], 0.1) > max(random)


def test_shards_see_every_direction(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cuvee.methods.choose.greedy.AT_ONCE", 200)
    monkeypatch.setattr("cuvee.methods.choose.greedy.SHARD_ROWS", 64)
    x = np.tile(np.eye(8, dtype=np.float32)[:2], (300, 1))
    x[17], x[401] = np.eye(8, dtype=np.float32)[[5, 6]]
    columns = MemoryColumns(3, embedding=x)
    decision = DOptimal().choose(columns, Budget("rows", 40), Draw(0))
    taken = columns.taken(decision)
    assert decision.notes["chosen"] == "in two rounds" and taken[17] == taken[401] == 1 and taken.sum() == 40


def test_refusals() -> None:
    for ridge in (0.0, -1.0, np.inf, np.nan):
        with pytest.raises(UsageError):
            DOptimal(ridge)
