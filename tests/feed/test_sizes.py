"""Cutting by size, however uneven the rows."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from cuvee.feed import order
from cuvee.feed.order import Prepared, in_pool_order, shuffled
from cuvee.feed.sizes import cuts, row_bytes


def test_rows_are_measured_through_lists_structs_and_slices() -> None:
    inner = [{"l": ["a" * 10, "b" * (100 * k)], "m": {"x": "c" * k}} for k in range(6)]
    batch = pa.record_batch({"n": [None, *inner], "v": pa.array(["d" * 7] * 7, pa.string_view())}).slice(1)
    assert row_bytes(batch).tolist() == [1 + 10 + 101 * k + 7 for k in range(6)]
    assert row_bytes(batch.slice(2, 2)).tolist() == [1 + 10 + 101 * k + 7 for k in (2, 3)]
    assert row_bytes(batch.slice(0, 0)).tolist() == []


def test_cuts_cover_everything_within_the_limit() -> None:
    rng = np.random.default_rng(1)
    for _ in range(100):
        sizes = rng.integers(1, 50, rng.integers(0, 40))
        found = cuts(sizes, 60)
        assert [k for low, high in found for k in range(low, high)] == list(range(len(sizes)))
        assert all(high == low + 1 or sizes[low:high].sum() <= 60 for low, high in found)


@pytest.mark.parametrize("shuffle", [False, True])
def test_one_huge_row_with_a_large_weight_stays_bounded(monkeypatch: pytest.MonkeyPatch, shuffle: bool) -> None:
    monkeypatch.setattr(order, "BLOCK_BYTES", 10_000)
    texts = ["x" * 3000, *("y" * 5 for _ in range(500))]
    rows = pa.record_batch({"text": texts})
    weight = np.ones(501, np.int64)
    weight[0] = 100
    one = Prepared(rows, weight)
    item = np.random.default_rng(3).permutation(np.repeat(np.arange(501), weight))
    out = list(shuffled(iter([one]), item, 1 << 20) if shuffle else in_pool_order(iter([one])))
    assert max(batch.nbytes for batch in out) < 16_000
    found = [text for batch in out for text in batch.column(0).to_pylist()]
    assert sorted(found) == sorted([*texts, *texts[:1] * 99])
