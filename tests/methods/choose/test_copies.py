"""Copies: expected copies in closed form, the budget to a row, and the mean of many draws."""

from __future__ import annotations

import numpy as np
import pytest

from cuvee.core import Budget, Draw
from cuvee.errors import UsageError
from cuvee.methods.choose.copies import Copies
from tests.conftest import MemoryColumns


def table(score: np.ndarray, tokens: np.ndarray | int = 10, blocks: int = 3) -> MemoryColumns:
    return MemoryColumns(blocks, score=score, tokens=np.broadcast_to(np.asarray(tokens, np.int64), score.shape).copy())


def test_expected_copies_follow_the_weights_up_to_the_limit() -> None:
    """Weights 1, 2, 4 and 8, 150 tokens of 10 each: 1, 2, 4 and 8 copies; with a limit of 4, others get it."""
    columns = table(np.log([1.0, 2.0, 4.0, 8.0]))
    assert columns.taken(Copies(limit=8).choose(columns, Budget("tokens", 150), Draw(0))).tolist() == [1, 2, 4, 8]
    limited = Copies(limit=4).choose(columns, Budget("tokens", 110), Draw(0))
    assert columns.taken(limited).tolist() == [1, 2, 4, 4] and limited.notes["at_the_limit"] == 2
    halved = Copies(temperature=0.5, limit=100).choose(columns, Budget("tokens", 850), Draw(0))
    assert columns.taken(halved).tolist() == [1, 4, 16, 64]  # 850 / 10 = 1 + 4 + 16 + 64


def test_the_mean_of_many_draws_is_what_was_expected() -> None:
    """Sequential Poisson sampling meets its probabilities only nearly; each within 0.05, their mean within 0.01."""
    chance = np.random.default_rng(0)
    score = chance.normal(0, 0.7, 300)
    columns = table(score, chance.integers(5, 15, 300))
    budget = Budget("tokens", int(1.3 * columns.totals["tokens"]))
    draws = []
    for seed in range(400):
        decision = Copies().choose(columns, budget, Draw(seed))
        draws.append(columns.taken(decision))
        spent = int((draws[-1] * columns.data["tokens"]).sum())
        assert budget.amount is not None and budget.amount - 15 < spent <= budget.amount == decision.notes["asked"]
        assert spent == decision.notes["kept"]
    expected = np.concatenate([decision.expected(block) for block in columns.blocks("score", "tokens")])  # type: ignore[attr-defined]
    assert (expected * columns.data["tokens"]).sum() == pytest.approx(budget.amount)
    assert np.allclose(expected, np.minimum(4, expected[0] * np.exp(score - score[0])))
    error = np.mean(draws, axis=0) - expected
    assert abs(error).max() < 0.1 and abs(error.mean()) < 0.01
    assert np.abs(np.array(draws) - expected).max() < 1  # whole copies are sure


def test_more_than_the_pool_can_give_is_left_unused() -> None:
    columns = table(np.array([0.0, 1.0, -np.inf, np.nan]))
    decision = Copies(limit=3).choose(columns, Budget("tokens", 1_000), Draw(0))
    assert columns.taken(decision).tolist() == [3, 3, 0, 0]
    assert decision.notes["kept"] == 60 and decision.notes["asked"] == 1_000


def test_rows_larger_than_the_budget_are_passed_over() -> None:
    columns = table(np.zeros(5), np.array([10, 10, 10, 10, 900]))
    decision = Copies().choose(columns, Budget("tokens", 80), Draw(0))
    assert columns.taken(decision).tolist() == [2, 2, 2, 2, 0] and decision.notes["larger_than_budget"] == 1
    assert decision.reasons(next(columns.blocks()))[0].endswith("taken")


@pytest.mark.parametrize("asked", [{"temperature": 0.0}, {"temperature": float("nan")}, {"limit": 0}])
def test_refused(asked: dict[str, float]) -> None:
    with pytest.raises(UsageError, match="above 0"):
        Copies(**asked)  # type: ignore[arg-type]
