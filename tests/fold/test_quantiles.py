"""Exact quantiles and the solved factor, against NumPy and for any division into blocks."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cuvee.core import Array, Block, Columns
from cuvee.errors import DataError
from cuvee.fold import quantiles
from cuvee.fold.inclusion import UNIT, log_factor, weighted
from cuvee.fold.quantiles import exact_quantiles


class Memory(Columns):
    """Columns in memory, cut into blocks of a given size."""

    def __init__(self, table: dict[str, Array], size: int, domains: tuple[str, ...] = ("all",)) -> None:
        self.n_rows = len(next(iter(table.values())))
        self.table = {"row": np.arange(self.n_rows), "domain": np.zeros(self.n_rows, np.int32), **table}
        self.size, self.domains, self.passes = size, domains, 0
        self.totals = {"rows": self.n_rows, **{u: int(table[u].sum()) for u in ("tokens", "bytes") if u in table}}

    def blocks(self, *names: str) -> Iterator[Block]:
        self.passes += 1
        for start in range(0, self.n_rows, self.size):
            yield {name: self.table[name][start : start + self.size] for name in names or self.table}


FLOATS = st.floats(allow_nan=False) | st.sampled_from([0.0, -0.0, 1.0, 1.5])


@settings(max_examples=200, deadline=None)
@given(st.lists(FLOATS, min_size=1, max_size=60), st.integers(1, 20), st.sampled_from([0, 5, 1 << 20]))
def test_quantiles_equal_numpy(values: list[float], size: int, sort_rows: int) -> None:
    wanted = [0.25, 0.5, 0.75, 0.0, 1.0, 0.1]
    column = np.array(values)
    with pytest.MonkeyPatch.context() as patch, np.errstate(all="ignore"):
        patch.setattr(quantiles, "SORT_ROWS", sort_rows)
        found = exact_quantiles(Memory({"x": column}, size), "x", wanted)
        expected = np.quantile(column, wanted)
    finite = np.isfinite(expected)
    np.testing.assert_array_equal(found[finite], expected[finite])
    # Between an infinity and a number, or at the largest numbers, NumPy says NaN or infinity; so may we.
    assert not np.isfinite(found[~finite]).any()


def test_quantiles_of_a_large_column_are_those_of_a_sort() -> None:
    column = np.random.default_rng(0).lognormal(5, 2, 300_001)
    for size in (1000, 70_000, 10**6):
        columns = Memory({"x": column}, size)
        found = exact_quantiles(columns, "x", (0.25, 0.5, 0.75))
        np.testing.assert_array_equal(found, np.quantile(column, (0.25, 0.5, 0.75)))
        assert columns.passes == 2


def test_quantiles_refuse_nan_by_row_and_emptiness() -> None:
    with pytest.raises(DataError, match="'x' is not a number in row 2"):
        exact_quantiles(Memory({"x": np.array([1.0, 2.0, np.nan])}, 2), "x", (0.5,))
    with pytest.raises(DataError, match="no rows"):
        exact_quantiles(Memory({"x": np.zeros(0)}, 2), "x", (0.5,))


LOG_WEIGHTS = st.floats(-40, 3) | st.floats(-5000, 5000) | st.sampled_from([-1e5, 0.0, -np.inf])


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.tuples(LOG_WEIGHTS, st.integers(0, 10**6)), min_size=2, max_size=50),
    st.integers(0, 1000),
    st.integers(1, 60),
)
def test_factor_meets_the_budget(rows: list[tuple[float, int]], thousandths: int, size: int) -> None:
    logs, cost = np.array([r[0] for r in rows]), np.array([r[1] for r in rows])
    total = int(cost[logs > -np.inf].sum())
    amount = total * thousandths // 1000

    def solve(size: int) -> float:
        columns = Memory({"w": logs, "tokens": cost}, size)
        return log_factor(columns, ("w", "tokens"), lambda b: b["w"], lambda b: b["tokens"], amount)

    found = solve(size)
    assert found == solve(1000)  # the same bits for any blocks
    with np.errstate(invalid="ignore"):
        chance = np.where(logs > -np.inf, np.exp(np.minimum(logs + found, 0.0)), 0.0)
    assert float((chance * cost).sum()) == pytest.approx(amount, rel=1e-9)


@pytest.mark.parametrize(("spread", "most"), [(0.0, 3), (1.0, 14), (30.0, 40), (3000.0, 60)])
def test_passes_do_not_grow_with_the_spread_of_the_weights(spread: float, most: int) -> None:
    """Newton's method alone takes in one row a pass where weights span thousands of nats, as DSIR's do."""
    logs = np.random.default_rng(0).normal(0, spread, 20_000)
    for amount in (1, 137, 9_000, 19_999):
        columns = Memory({"w": logs}, 5_000)
        found = log_factor(columns, ("w",), lambda b: b["w"], lambda b: np.ones(len(b["w"]), np.int64), amount)
        assert np.exp(np.minimum(logs + found, 0.0)).sum() == pytest.approx(amount, rel=1e-9)
        assert columns.passes <= most


def test_weighted_sums_are_exact() -> None:
    rng = np.random.default_rng(0)
    share, cost = np.exp(rng.uniform(-745, 0, 2000)), rng.integers(0, 2**40, 2000)
    share[:4], cost[4:6] = (0.0, 1.0, 5e-324, 2.0**-1022), 2**62
    assert weighted(share, cost) == sum(int(Fraction(p) * UNIT) for p in (share * cost).tolist())
    assert weighted(share, cost) == weighted(share[:700], cost[:700]) + weighted(share[700:], cost[700:])
