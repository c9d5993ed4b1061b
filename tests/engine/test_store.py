"""The cache returns what was put there, or says that it is absent."""

from __future__ import annotations

import os
import random
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from cuvee.engine.store import Store, digest


def states() -> dict[str, dict[str, np.ndarray]]:
    return {
        "one": {"a": np.arange(6, dtype=np.int64).reshape(2, 3), "b": np.array(2.5)},
        "two": {"a": np.empty((0, 4), np.float32)},
    }


def test_states_round_trip(tmp_path: Path) -> None:
    store = Store(tmp_path)
    key = digest("x")
    assert not store.has(key)
    store.put_states(key, states(), {"done": [1, 2]})
    found, note = store.states(key)
    assert note == {"done": [1, 2]}
    for name, state in states().items():
        assert state.keys() == found[name].keys()
        for part, array in state.items():
            assert found[name][part].dtype == array.dtype and np.array_equal(found[name][part], array)
            assert found[name][part].flags.writeable, "folds merge in place"


def test_python_objects_are_refused(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="Python objects"):
        Store(tmp_path).put_states(digest("x"), {"s": {"a": np.array([None])}}, {})


def test_no_flipped_bit_goes_unnoticed(tmp_path: Path) -> None:
    store = Store(tmp_path)
    key = digest("x")
    store.put_table(key, [pa.RecordBatch.from_pydict({"v": np.arange(100)})])
    path = store.path(key)
    good = path.read_bytes()
    chance = random.Random(5)
    for _ in range(300):
        bad = bytearray(good)
        bad[chance.randrange(len(bad))] ^= 1 << chance.randrange(8)
        path.write_bytes(bad)
        assert not store.has(key)
        with pytest.raises(FileNotFoundError):
            store.table(key)
    path.write_bytes(good[:-7])
    assert not store.has(key)
    path.write_bytes(b"")
    assert not store.has(key)


def test_sections_are_checked_one_by_one(tmp_path: Path) -> None:
    store, key = Store(tmp_path), digest("x")
    wanted = [b"one", b"", b"three" * 9, b"four"]
    store.put_sections(key, iter(wanted))
    assert list(store.sections(key)) == wanted
    assert list(store.sections(key, 1, 2)) == [b"", b"four"]
    path = store.path(key)
    good = path.read_bytes()
    for at in range(8 * len(good)):
        bad = bytearray(good)
        bad[at // 8] ^= 1 << at % 8
        path.write_bytes(bad)
        with pytest.raises(FileNotFoundError, match="damaged"):
            list(store.sections(key))
        if at < 8 * len(wanted[0]):
            assert list(store.sections(key, 1)) == wanted[1:], "what is not read is not checked"
    for size in (len(good) - 1, len(good) - 8, 20, 3, 0):
        path.write_bytes(good[:size])
        with pytest.raises(FileNotFoundError, match="damaged"):
            list(store.sections(key, 1, 4))
    store.remove(key)
    with pytest.raises(FileNotFoundError):
        list(store.sections(key))


def test_reading_a_section_reads_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, key, read, pread = Store(tmp_path), digest("x"), [0], os.pread
    store.put_sections(key, [bytes(1000)] * 100)

    def counted(handle: int, size: int, at: int) -> bytes:
        found = pread(handle, size, at)
        read[0] += len(found)
        return found

    monkeypatch.setattr(os, "pread", counted)
    assert list(store.sections(key, 7, 100)) == [bytes(1000)]
    assert 1000 <= read[0] < 1100


def test_trim_removes_the_oldest(tmp_path: Path) -> None:
    store = Store(tmp_path)
    keys = [digest(i) for i in range(4)]
    for age, key in enumerate(keys):
        store.put_table(key, [pa.RecordBatch.from_pydict({"v": np.arange(100)})])
        os.utime(store.path(key), (1000 + age, 1000 + age))
    size = store.path(keys[0]).stat().st_size
    with store.in_use(limit_bytes=2 * size + 1):
        assert all(store.path(key).exists() for key in keys), "never while it is in use"
    assert [store.path(key).exists() for key in keys] == [False, False, True, True]


def test_digest_tells_values_apart() -> None:
    assert digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})
    values = [0, False, None, "", "0", 0.5, [], [0], {}, "a", ["a"], [["a"]]]
    assert len({digest(value) for value in values}) == len(values)
