"""Counts of repeated values against counting them one by one."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from cuvee import duplicates as module
from cuvee.core import Block
from cuvee.duplicates import ROWS_IN_MEMORY, count_duplicates
from cuvee.engine.columns import DiskColumns
from cuvee.engine.executor import Executor
from cuvee.engine.local import Local
from cuvee.engine.store import Store, digest

from .conftest import MemoryColumns
from .test_same_bits import Shuffled


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


def on_disk(folder: Path, spans: list[int], executor: Executor) -> DiskColumns:
    """Spans of so many rows with some hundred different values, every third row unusable."""
    store, layer, first = Store(folder), [], 0
    for number, size in enumerate(spans):
        row = np.arange(first, first + 3 * size, 3)
        value = np.random.default_rng(number).integers(0, 300, size).astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        facts = {"row": row, "content": value, "domain": np.zeros(size, np.int32)}
        note = {"domains": ["(all)"], "totals": {"rows": size, "tokens": 0, "bytes": 0}}
        layer.append(digest("facts", number))
        store.put_table(layer[-1], [pa.RecordBatch.from_pydict(facts)], note)
        first += 3 * size
    return DiskColumns(store, [layer], executor=executor)


def some_rows(block: Block) -> np.ndarray:
    return block["row"] % 2 > 0


@pytest.mark.parametrize("executor", [Local(1), Local(3), Shuffled(0)], ids=["one", "three", "shuffled"])
@pytest.mark.parametrize("keep", [None, some_rows])
def test_files_change_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, executor: Executor, keep: module.Keep
) -> None:
    columns = on_disk(tmp_path, [90, 0, 1, 200, 40, 40, 40], executor)
    there = {*tmp_path.rglob("*.arrow")}
    monkeypatch.setattr(Store, "put_sections", None)
    want = count_duplicates(columns, "content", keep)
    assert want.rows > 50 and len(want.sizes) > 2
    monkeypatch.undo()
    for limit in (7, 100, 400):
        monkeypatch.setattr(module, "ROWS_IN_MEMORY", limit)
        assert count_duplicates(columns, "content", keep) == want
    assert {*tmp_path.rglob("*.arrow")} == there, "nothing is left behind"


def test_a_failure_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    columns = on_disk(tmp_path, [50, 50, 50], Local(1))
    there = {*tmp_path.rglob("*")}

    def keep(block: Block) -> np.ndarray:
        if block["row"][0] >= 150:
            raise KeyboardInterrupt
        return block["row"] >= 0

    monkeypatch.setattr(module, "ROWS_IN_MEMORY", 60)
    with pytest.raises(KeyboardInterrupt):
        count_duplicates(columns, "content", keep)
    assert {path for path in tmp_path.rglob("*") if path.is_file()} <= there
