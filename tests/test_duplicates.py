"""Counts of repeated values against counting them one by one."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from cuvee.duplicates import ROWS_IN_MEMORY, count_duplicates

from .conftest import MemoryColumns


@pytest.mark.parametrize("values", [1, 4, 60, 1 << 40])
@pytest.mark.parametrize("rows", [None, 3 * ROWS_IN_MEMORY])
def test_against_a_counter(values: int, rows: int | None) -> None:
    key = np.random.default_rng(values).integers(0, values, 200).astype(np.uint64)
    found = count_duplicates(MemoryColumns(key=key), "key", lambda block: block["row"] % 3 > 0, rows=rows)
    kept = [(int(value), row) for row, value in enumerate(key) if row % 3]
    groups = {value: count for value, count in Counter(value for value, _ in kept).items() if count > 1}
    first = dict(reversed(kept))
    assert found.rows == sum(groups.values()) - len(groups)
    assert found.groups == len(groups)
    assert found.sizes == sorted(Counter(groups.values()).items())
    assert found.largest == sorted(((n, first[value]) for value, n in groups.items()), key=lambda g: (-g[0], g[1]))[:10]
