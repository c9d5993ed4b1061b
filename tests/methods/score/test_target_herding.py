"""Herding towards a target: the plain recursion, a mean that is met in closed form, modes in proportion."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cuvee.core import Budget, Draw
from cuvee.errors import UsageError
from cuvee.methods.choose import greedy
from cuvee.methods.choose.herding import Herding
from cuvee.methods.score.target_herding import TargetHerding, Towards, mean_feature
from tests.conftest import MemoryColumns

CENTRES = np.eye(4)


def around(kinds: list[int], seed: int) -> np.ndarray:
    """Unit vectors near their kind's centre, as the pool keeps them."""
    found = CENTRES[kinds] + 0.15 * np.random.default_rng(seed).normal(size=(len(kinds), 4))
    return (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float16)


def pool(n: int = 600) -> dict[str, Any]:
    vectors = around((np.arange(n) % 4).tolist(), 1)
    vectors[::50] = 0
    return {"embedding": vectors, "tokens": np.random.default_rng(2).integers(1, 30, n)}


TARGET = around([0] * 45 + [1] * 15, 3).astype(np.float32)


@pytest.mark.parametrize("features", [0, 64])
def test_picks_are_those_of_the_recursion(features: int) -> None:
    rule, draw, data = Herding(features), Draw(5), pool(120)
    usable = np.flatnonzero(np.any(data["embedding"] != 0, axis=1))
    f = rule.map(data["embedding"][usable].astype(np.float32), draw).astype(np.float64)
    mean = rule.map(TARGET, draw).astype(np.float64).mean(axis=0)
    taken: list[int] = []
    for k in range(20):
        gain = (k + 1) * f @ mean - f @ f[taken].sum(axis=0)
        gain[taken] = -np.inf
        taken.append(int(np.argmax(gain)))
    columns = MemoryColumns(2, **data)
    found = columns.taken(Towards(rule, TARGET).choose(columns, Budget("rows", 20), draw))
    assert set(np.flatnonzero(found)) == set(usable[taken])


def test_kinds_come_in_the_target_s_proportions() -> None:
    """Three to one; its other two kinds hardly at all. The nearest rows would be of the larger kind alone."""
    data, draw = pool(), Draw(0)
    columns = MemoryColumns(3, **data)
    decision = Towards(Herding(256), TARGET).choose(columns, Budget("rows", 60), draw)
    kinds = np.bincount(np.flatnonzero(columns.taken(decision)) % 4, minlength=4)
    assert kinds[0] == pytest.approx(45, abs=3) and kinds[1] == pytest.approx(15, abs=3)
    usable = np.any(data["embedding"] != 0, axis=1)
    f = Herding(256).map(data["embedding"].astype(np.float32), draw).astype(np.float64)
    near = np.where(usable, f @ mean_feature(Herding(256), TARGET, draw), -np.inf)
    assert (np.argsort(-near)[:60] % 4 == 0).all()


def test_the_notes_measure_the_discrepancy() -> None:
    data, draw, rule = pool(), Draw(4), Herding(128)
    columns = MemoryColumns(3, **data)
    decision = Towards(rule, TARGET).choose(columns, Budget("rows", 40), draw)
    f = rule.map(data["embedding"].astype(np.float32), draw).astype(np.float64)
    mean, usable = mean_feature(rule, TARGET, draw), np.flatnonzero(np.any(data["embedding"] != 0, axis=1))

    def away(rows: np.ndarray) -> float:
        return float(((f[rows].mean(axis=0) - mean) ** 2).sum())

    assert decision.notes["discrepancy"] == pytest.approx(away(np.flatnonzero(columns.taken(decision))), rel=1e-5)
    assert decision.notes["discrepancy_of_pool"] == pytest.approx(away(usable), rel=1e-5)
    chance = np.random.default_rng(0)
    random = [away(chance.choice(usable, 40, replace=False)) for _ in range(2000)]
    assert decision.notes["discrepancy_of_random_rows"] == pytest.approx(np.mean(random), rel=0.02)
    assert decision.notes["discrepancy"] < 0.1 * decision.notes["discrepancy_of_random_rows"]


@pytest.mark.parametrize("rounds", ["at once", "in two rounds", "shard by shard"])
def test_the_budget_holds_whatever_the_blocks(rounds: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(greedy, "AT_ONCE", {"at once": 10**6, "in two rounds": 450, "shard by shard": 10}[rounds])
    monkeypatch.setattr(greedy, "SHARD_ROWS", 64)
    data, results = pool(), []
    for blocks in (1, 7):
        columns = MemoryColumns(blocks, **data)
        decision = Towards(Herding(64), TARGET).choose(columns, Budget("tokens", 700), Draw(2))
        taken = columns.taken(decision)
        assert decision.notes["chosen"] == rounds
        assert 600 < int((taken * data["tokens"]).sum()) <= 700
        results.append(taken)
    assert np.array_equal(results[0], results[1])


def test_refusals() -> None:
    for bad in ({"features": -1}, {"width": 0.0}):
        with pytest.raises(UsageError, match="herding"):
            TargetHerding(**bad)
