"""Columns on disk give the same blocks whether they are held in memory or not."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from cuvee.engine import columns as module
from cuvee.engine.columns import DiskColumns
from cuvee.engine.executor import Watch
from cuvee.engine.local import Local
from cuvee.engine.store import Store, digest


def written(store: Store) -> list[list[str]]:
    """Two layers, facts and scores, of three spans, each with its own order of domains."""
    layers: list[list[str]] = [[], []]
    for span, names in enumerate((["b", "a"], ["a"], ["c", "b"])):
        rows = np.arange(span * 10, span * 10 + 10)
        facts = {"row": rows, "key": rows.astype(np.uint64), "domain": (rows % len(names)).astype(np.int32)}
        keys = [digest("facts", span), digest("map", span)]
        note = {"domains": names, "totals": {"rows": 10, "tokens": 20, "bytes": 30}}
        store.put_table(keys[0], [pa.RecordBatch.from_pydict(facts)], note)
        store.put_table(keys[1], [pa.RecordBatch.from_pydict({"score": rows * 0.5})])
        for layer, key in zip(layers, keys, strict=True):
            layer.append(key)
    return layers


@pytest.mark.parametrize("room", [0, 500, 1 << 20])
def test_blocks_do_not_depend_on_what_is_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, room: int) -> None:
    monkeypatch.setattr(module, "HELD_BYTES", room)
    store = Store(tmp_path)
    columns = DiskColumns(store, written(store))
    assert columns.domains == ["a", "b", "c"]
    for _ in range(3):
        blocks = list(columns.blocks("domain", "score"))
        assert [sorted(block) for block in blocks] == [["domain", "score"]] * 3
        domains = [np.asarray(columns.domains)[block["domain"]].tolist() for block in blocks]
        assert domains == [["b", "a"] * 5, ["a"] * 10, ["c", "b"] * 5]
        assert [block["score"][0] for block in blocks] == [0.0, 5.0, 10.0]
        with pytest.raises(KeyError, match="missing"):
            list(columns.blocks("missing"))
    assert sum(values.nbytes for held in columns._held.values() for b in held for values in b.values()) <= room


def test_blocks_are_the_callers_own(tmp_path: Path) -> None:
    store = Store(tmp_path)
    columns = DiskColumns(store, written(store))
    for block in columns.blocks():
        del block["score"]
        with pytest.raises(ValueError):
            block["domain"][0] = 1
    assert all("score" in block for block in columns.blocks())


class SlowFirst(Local):
    """A cluster whose first task of those it is given always ends last; counts what waits for it."""

    remote = True

    def __init__(self) -> None:
        super().__init__(2)
        self.waiting = 0

    def map(self, work: Callable[[Any, Watch], Any], tasks: Iterable[Any], *_: Any) -> Iterator[tuple[Any, Any]]:
        first, *others = tasks
        self.waiting = max(self.waiting, len(others))
        for task in (*others, first):
            yield task, work(task, Watch())


def test_a_slow_task_does_not_pile_up_the_results_of_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path)
    facts, scores = written(store)
    layers, executor = [facts * 20, scores * 20], SlowFirst()
    for name, value in (("SHARED_ROWS", 0), ("TASK_SPANS", 1), ("WINDOW_TASKS", 4)):
        monkeypatch.setattr(module, name, value)
    columns = DiskColumns(store, layers, executor=executor)
    found = list(columns.each(lambda block: float(block["score"][0]), "score"))
    assert found == [0.0, 5.0, 10.0] * 20
    assert executor.waiting == 4 * 2 - 1
