"""Keys cut by their range come back range by range, all of them, in the order of rows."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cuvee.engine import divide
from cuvee.engine.store import Store, digest
from cuvee.errors import ResourceError


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.lists(st.integers(0, (1 << 64) - 1), max_size=12), max_size=6),
    st.integers(1, 9),
    st.integers(1, 20),
    st.booleans(),
)
def test_what_is_written_is_read(found: list[list[int]], parts: int, limit: int, placed: bool) -> None:
    every, given = [], []
    for number, values in enumerate(found):
        rows = np.arange(len(values), dtype=np.int64) * 3 + (10**12 + 10**6 * number)
        places = np.arange(len(values), dtype=np.int64) + (number << 32)
        given.append((np.array(values, np.uint64), rows, places if placed else None))
        every += list(zip(values, rows.tolist(), places.tolist(), strict=True))
    with TemporaryDirectory() as folder:
        store, key = Store(Path(folder)), digest("run")
        store.put_sections(key, divide.cut(given, parts, limit))
        for part in range(parts):
            value, row, place = divide.joined([divide.keys_of(raw, placed) for raw in store.sections(key, part, parts)])
            want = [one for one in every if (one[0] >> 32) * parts >> 32 == part]
            assert list(zip(value.tolist(), row.tolist(), strict=True)) == [one[:2] for one in want]
            assert place is None if not placed else place is not None and place.tolist() == [one[2] for one in want]


@pytest.mark.parametrize(("spans", "parts"), [(0, 3), (1, 5), (7, 3), (12, 4), (100, 1)])
def test_runs_cover_every_span_once(spans: int, parts: int) -> None:
    found = divide.runs(spans, parts)
    assert [span for run in found for span in run] == list(range(spans))
    assert len(found) <= parts


def test_rows_too_far_apart_are_refused_not_wrapped(tmp_path: Path) -> None:
    keys, rows = np.zeros(2, np.uint64), np.array([5, 5 + (1 << 32)])
    with pytest.raises(ResourceError, match="4,294,967,296 rows after row 5"):
        list(divide.cut([(keys, rows, None)], 2, 10))
    Store(tmp_path).put_sections(digest("run"), divide.cut([(keys, rows - [0, 1], None)], 2, 10))
    (raw,) = Store(tmp_path).sections(digest("run"), 0, 2)
    _, found, _ = divide.keys_of(raw)
    assert found.tolist() == [5, 4 + (1 << 32)]
