"""The two rules against the published loader's numbers; the budget met exactly and in expectation."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from cuvee.core import Array, Block, Budget, Columns, Draw
from cuvee.errors import DataError, UsageError
from cuvee.methods.choose.independent import Independent
from cuvee.methods.choose.keep_probability import KeepProbability, gaussian, stepwise

GOLDEN: dict[str, Any] = json.loads((Path(__file__).parents[2] / "data/golden/bertin/keep.json").read_text())
X, Q, U = np.array(GOLDEN["perplexity"]), tuple(GOLDEN["boundaries"]), np.array(GOLDEN["uniforms"])


class Memory(Columns):
    """Columns in memory, in blocks."""

    def __init__(self, x: Array, size: int = 64, **more: Array) -> None:
        n = self.n_rows = len(x)
        self.table = {
            "perplexity": x, "row": np.arange(n), "key": np.arange(n).astype(np.uint64),
            "tokens": np.ones(n, np.int64), "domain": np.zeros(n, np.int32), **more,
        }  # fmt: skip
        self.size, self.domains = size, ("web", "books")
        self.totals = {"rows": n, "tokens": int(self.table["tokens"].sum())}

    def blocks(self, *names: str) -> Iterator[Block]:
        for start in range(0, self.n_rows, self.size):
            yield {name: self.table[name][start : start + self.size] for name in names}


@dataclass(frozen=True)
class GoldenDraw(Draw):
    def uniform(self, purpose: str, key: npt.NDArray[np.uint64]) -> npt.NDArray[np.float64]:
        return U[key.astype(np.int64)]


def taken(decision: Any, columns: Memory) -> Array:
    return np.concatenate([decision.repeats(block) for block in columns.blocks(*decision.needs)])


def pool(n: int = 20_000, seed: int = 0, size: int = 1000) -> Memory:
    rng = np.random.default_rng(seed)
    key = rng.integers(0, 2**63, n).astype(np.uint64)
    x = rng.lognormal(6, 0.7, n)
    domain = (x > np.quantile(x, 0.95)).astype(np.int32)
    return Memory(x, size, key=key, tokens=rng.integers(1, 2000, n), domain=domain)


@pytest.mark.parametrize("rule", ["gaussian", "stepwise"])
def test_published_probabilities_and_decisions(rule: str) -> None:
    golden = GOLDEN["gaussian" if rule == "gaussian" else "step"]
    logs = gaussian(X, Q, golden["width"]) if rule == "gaussian" else stepwise(X, Q)
    np.testing.assert_allclose(golden["factor"] * np.exp(logs), golden["probability"], rtol=1e-12, atol=0)
    method = KeepProbability(rule, factor=golden["factor"], quartiles=Q)
    columns = Memory(X)
    decision = method.choose(columns, Budget("rows", 7), GoldenDraw(0))
    assert taken(decision, columns).tolist() == [int(keep) for keep in golden["keep"]]
    assert decision.notes["budget"].startswith("ignored")
    assert decision.notes["kept"] == sum(golden["keep"])
    assert isinstance(decision, Independent)
    block = next(Memory(X, 1000).blocks("perplexity", "row"))
    np.testing.assert_allclose(decision.probability(block), np.minimum(golden["probability"], 1), rtol=1e-12)


def test_borders_of_the_quarters() -> None:
    q = (10.0, 20.0, 50.0)
    x = np.array([1e-9, 10, np.nextafter(10, 11), np.nextafter(20, 0), 20, np.nextafter(50, 0), 50, 1e308, np.inf])
    np.testing.assert_allclose(np.exp(-stepwise(x, q)), [10, 10, 10, 10, 30, 30, 500, 500, 500])
    assert gaussian(np.array([20.0, 40.0, 0.0]), q, 4.5).tolist() == [0.0, -1 / 4.5, -1 / 4.5]
    far = gaussian(np.array([1e308, np.inf]), (1e-9, 1e-8, 1e-7), 4.5)
    assert np.isfinite(far).all() and (far < -1e200).all()
    assert (stepwise(np.full(3, 7.0), (7.0, 7.0, 7.0)) == -np.log(7.0)).all()


@pytest.mark.parametrize("rule", ["gaussian", "stepwise"])
@pytest.mark.parametrize("fraction", [0.001, 0.2, 0.9])
def test_default_meets_the_budget(rule: str, fraction: float) -> None:
    columns, budget = pool(), Budget("tokens", fraction=fraction)
    decision = KeepProbability(rule).choose(columns, budget, Draw(0))
    kept = taken(decision, columns)
    amount = budget.resolve(columns.totals["tokens"])
    used = int((kept * columns.table["tokens"]).sum())
    assert amount - 2000 < used <= amount
    assert decision.notes["kept"] == used and decision.notes["asked"] == amount
    quartiles = tuple(np.quantile(columns.table["perplexity"], (0.25, 0.5, 0.75)))
    assert decision.notes["quartiles"] == list(quartiles)
    for number, name in enumerate(columns.domains):
        rate = kept[columns.table["domain"] == number].mean()
        assert decision.notes["kept_by_domain"][name] == pytest.approx(rate)
    # The same rows whatever the blocks are, and other rows for another seed.
    other = pool(size=77)
    assert (taken(KeepProbability(rule).choose(other, budget, Draw(0)), other) == kept).all()
    assert (taken(KeepProbability(rule).choose(columns, budget, Draw(1)), columns) != kept).any()


def test_default_is_the_published_rule_with_the_factor_that_just_fits() -> None:
    columns, draw = pool(), Draw(3)
    default = KeepProbability().choose(columns, Budget("rows", 4000), draw)
    kept = taken(default, columns).astype(bool)
    quartiles = tuple(default.notes["quartiles"])
    ratio = gaussian(columns.table["perplexity"], quartiles, 4.5) - np.log(draw.uniform("keep", columns.table["key"]))
    factor = float(np.exp(-0.5 * (ratio[kept].min() + ratio[~kept].max())))
    fixed = KeepProbability(factor=factor, quartiles=quartiles).choose(columns, Budget("rows", 1), draw)
    assert (taken(fixed, columns) == kept).all()


@pytest.mark.parametrize("rule", ["gaussian", "stepwise"])
@pytest.mark.parametrize("unit", ["rows", "tokens"])
def test_independent_meets_the_budget_in_expectation(rule: str, unit: Any) -> None:
    columns, budget = pool(), Budget(unit, fraction=0.95)
    decision = KeepProbability(rule, independent=True).choose(columns, budget, Draw(0))
    assert isinstance(decision, Independent)
    p = np.concatenate([decision.probability(b) for b in columns.blocks("perplexity", "row")])
    cost = np.ones(columns.n_rows) if unit == "rows" else columns.table["tokens"]
    amount = budget.resolve(columns.totals[unit])
    assert float(p @ cost) == pytest.approx(amount, rel=1e-9)
    assert decision.notes["expected"] == pytest.approx(amount, rel=1e-9)
    assert (p == 1).any() and (p < 1).any()  # the clipping is at work
    deviation = np.sqrt(float((p * (1 - p)) @ cost.astype(float) ** 2))
    assert abs(decision.notes["kept"] - amount) < 4 * deviation
    kept = taken(decision, columns).astype(bool)
    assert decision.notes["kept"] == int(cost[kept].sum())
    assert kept[p == 1].all()
    assert kept[p < 1].mean() == pytest.approx(p[p < 1].mean(), abs=0.03)
    other = pool(size=77)
    assert KeepProbability(rule, independent=True).choose(other, budget, Draw(0)).notes == decision.notes


def test_whole_pool_and_nothing() -> None:
    columns = pool(500)
    for method in (KeepProbability(), KeepProbability(independent=True)):
        assert taken(method.choose(columns, Budget("rows", 500), Draw(0)), columns).all()
        assert not taken(method.choose(columns, Budget("rows", 0), Draw(0)), columns).any()


def test_gaussian_prefers_the_middle() -> None:
    columns = pool()
    kept = taken(KeepProbability().choose(columns, Budget("rows", fraction=0.2), Draw(0)), columns)
    x = columns.table["perplexity"]
    q = np.quantile(x, (0.25, 0.75))
    middle, upper = kept[(x > q[0]) & (x < q[1])].mean(), kept[x > np.quantile(x, 0.95)].mean()
    assert middle > 0.2 > upper
    assert upper < 0.3 * middle


def test_refusals() -> None:
    nan = Memory(np.array([1.0, np.nan, 2.0]))
    for method in (KeepProbability(), KeepProbability("stepwise", quartiles=(1.0, 2.0, 3.0), factor=1.0)):
        with pytest.raises(DataError, match="row 1"):
            method.choose(nan, Budget("rows", 1), Draw(0))
    with pytest.raises(DataError, match="positive"):
        KeepProbability().choose(Memory(np.array([0.0, 0.0, 1.0])), Budget("rows", 1), Draw(0))
    for wrong in ({"rule": "step"}, {"width": 0.0}, {"factor": -1.0}, {"factor": float("nan")}):
        with pytest.raises(UsageError, match=next(iter(wrong))):
            KeepProbability(**wrong)
