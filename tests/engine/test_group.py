"""Rows with equal keys: the same clusters for any cut into tasks and any order, against a definition in Python."""

from __future__ import annotations

import itertools
import os
import pickle
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cuvee.engine import group as module
from cuvee.engine.executor import Stopped, Watch
from cuvee.engine.group import Clusters, EqualKeys, Preparing, Share, group, shares, verified
from cuvee.engine.local import Local
from cuvee.engine.progress import Progress
from cuvee.engine.store import Store


def components(edges: list[tuple[int, int]]) -> dict[int, int]:
    """The oracle: rows that hang together, by repeated relabelling."""
    root = {row: row for edge in edges for row in edge}
    while any(root[a] != root[b] for a, b in edges):
        for a, b in edges:
            root[a] = root[b] = min(root[a], root[b])
    return root


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 25), st.integers(0, 25))), st.integers(1, 7), st.randoms())
def test_clusters_do_not_depend_on_order_or_parts(edges: list[tuple[int, int]], step: int, chance: Any) -> None:
    edges = [(a * 10**12, b * 10**12) for a, b in edges if a != b]  # rows far apart: memory follows members alone
    chance.shuffle(edges)
    clusters = Clusters(_limit=3)
    for at in range(0, len(edges), step):
        left, right = zip(*edges[at : at + step], strict=True)
        clusters.add(np.array(left, np.int64), np.array(right, np.int64))
    row, root = clusters.members()
    assert dict(zip(row.tolist(), root.tolist(), strict=True)) == components(edges)
    assert row.tolist() == sorted(row.tolist())


def test_a_long_chain_is_one_cluster() -> None:
    size, clusters = 200_000, Clusters()
    order = np.random.default_rng(0).permutation(size - 1)
    clusters.add(order, order + 1)
    row, root = clusters.members()
    assert len(row) == size and (root == 0).all()


def stored(store: Store, spans: list[dict[str, Any]]) -> tuple[list[str], list[str]]:
    """Facts and keys as the engine leaves them."""
    facts, keys, first = [], [], 0
    for number, span in enumerate(spans):
        rows = len(span["key"])
        names = sorted({*span["domain"]}, key=lambda name: (number % 2, name) if number % 2 else name)
        table = {
            "row": np.arange(first, first + rows),
            "domain": np.array([names.index(name) for name in span["domain"]], np.int32),
        }
        for what, columns, note in (("f", table, {"domains": names}), ("k", span["columns"], {})):
            key = f"{what}{number:039x}"
            store.put_table(key, [pa.RecordBatch.from_pydict(columns)], note)
            (facts if what == "f" else keys).append(key)
        first += rows
    return facts, keys


def spans_of(draw: np.random.Generator, sizes: list[int]) -> list[dict[str, Any]]:
    spans = []
    for size in sizes:
        key = draw.integers(0, 40, size).astype(np.uint64) * np.uint64(0x123456789ABCDEF1)
        counted = draw.integers(0, 3, size).astype(np.int32)
        domain = draw.choice(["a", "b", "c"], size).tolist()
        columns = {"band": key, "shingles": counted} if size else {}
        spans.append({"key": key, "shingles": counted, "domain": domain, "columns": columns})
    return spans


@pytest.mark.parametrize("apart", [False, True])
@pytest.mark.parametrize("task_rows", [7, 50, 10_000])
def test_pairs_are_a_forest_of_equal_keys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, apart: bool, task_rows: int
) -> None:
    monkeypatch.setattr(module, "TASK_ROWS", task_rows)
    store = Store(tmp_path)
    spans = spans_of(np.random.default_rng(3), [40, 0, 1, 90, 69])
    facts, keys = stored(store, spans)
    by_key: dict[Any, list[int]] = defaultdict(list)
    row = 0
    for span in spans:
        for key, counted, domain in zip(span["key"].tolist(), span["shingles"], span["domain"], strict=True):
            if counted:
                by_key[key, domain if apart else ""].append(row)
            row += 1
    work = EqualKeys(store, facts, keys, "shingles", apart)
    found: dict[Share, Any] = dict(group(work, ["band"], row, Local(2), Progress(), "near"))
    assert len(found) == max(1, -(-row // task_rows))
    clusters = Clusters()
    for left, right in found.values():
        clusters.add(left, right)
    want = components([pair for rows in by_key.values() for pair in itertools.pairwise(rows)])
    assert dict(zip(*(part.tolist() for part in clusters.members()), strict=True)) == want
    pairs = sum(len(left) for left, _ in found.values())
    assert pairs == sum(len(rows) - 1 for rows in by_key.values()), "a spanning forest has no pair too many"


def test_every_key_is_in_one_share() -> None:
    keys = np.random.default_rng(0).integers(0, 1 << 63, 1000, dtype=np.uint64) * np.uint64(2)
    for parts in (1, 3, 7):
        tasks = shares(["x"], parts * module.TASK_ROWS)
        assert [one.part for one in tasks] == list(range(parts))
        number = (keys >> np.uint64(32)) * np.uint64(parts) >> np.uint64(32)
        assert set(number.tolist()) == set(range(parts))


def test_answers_are_kept_and_damaged_ones_computed_again(tmp_path: Path) -> None:
    store = Store(tmp_path)
    facts, keys = stored(store, spans_of(np.random.default_rng(1), [50, 50]))
    given = {store.path(key) for key in (*facts, *keys)}

    def once() -> list[list[int]]:
        work = pickle.loads(pickle.dumps(EqualKeys(Store(tmp_path), facts, keys, name="this")))
        ((_, pairs),) = group(work, ["band"], 100, Local(1), Progress(), "near")
        return [part.tolist() for part in pairs]

    first = once()
    (answer,) = {*tmp_path.rglob("*.arrow")} - given
    answer.write_bytes(answer.read_bytes()[:-40])
    assert once() == first, "computed again"
    for path in given:
        path.unlink()
    assert once() == first, "only the answer was read"


def with_checks(spans: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The same spans with two columns of checks: equal keys are of two kinds, which share no byte."""
    for number, span in enumerate(spans):
        kind = np.random.default_rng(number).integers(0, 2, len(span["key"])).astype(np.uint64)
        for at in range(2):
            span["columns"][f"check_{at}"] = (kind + np.uint64(at)) * np.uint64(0x0101010101010101)
    return spans


CHECKED = {"checks": ("check_0", "check_1"), "least": 16}


def clusters_of(work: EqualKeys, rows: int, executor: Local) -> list[list[int]]:
    clusters = Clusters()
    for _, pairs in group(work, ["band"], rows, executor, Progress(), "near"):
        clusters.add(*pairs)
    return [part.tolist() for part in clusters.members()]


@pytest.mark.parametrize(("more", "most"), [({}, 34), (CHECKED, 42 + 2 * 24 + 2 * 16 + 8)])
def test_reading_grows_with_the_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, more: dict[str, Any], most: int
) -> None:
    """``most``: bytes a row of key, row, domain and the cut keys; with checks also of candidates and checks, twice."""
    monkeypatch.setattr(module, "TASK_ROWS", 1000)
    read, pread, mapped = [0], os.pread, Store.mapped

    def counted_pread(handle: int, size: int, at: int) -> bytes:
        found = pread(handle, size, at)
        read[0] += len(found)
        return found

    def counted_mapped(store: Store, key: str, *names: str) -> Any:
        block, note = mapped(store, key, *names)
        read[0] += sum(column.nbytes for column in block.values())
        return block, note

    monkeypatch.setattr(os, "pread", counted_pread)
    monkeypatch.setattr(Store, "mapped", counted_mapped)
    total = {}
    for spans in (20, 80):
        store = Store(tmp_path / str(spans))
        facts, keys = stored(store, with_checks(spans_of(np.random.default_rng(0), [200] * spans)))
        read[0] = 0
        clusters_of(EqualKeys(store, facts, keys, **more), 200 * spans, Local(1))
        total[spans] = read[0]
    assert total[80] < 4.5 * total[20], "four times the rows; reading all keys for every range would take 16 times"
    assert total[80] < 80 * 200 * most


@pytest.mark.parametrize("more", [{}, CHECKED], ids=["keys", "checks"])
def test_what_was_prepared_is_used_again_and_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, more: dict[str, Any]
) -> None:
    monkeypatch.setattr(module, "TASK_ROWS", 40)
    store = Store(tmp_path)
    facts, keys = stored(store, with_checks(spans_of(np.random.default_rng(4), [30] * 8)))
    work = EqualKeys(store, facts, keys, "shingles", name="this", **more)
    given, made = {*tmp_path.rglob("*.arrow")}, []

    class Dying(Local):
        """Ends the program after a few tasks of any kind."""

        def map(self, work: Any, *arguments: Any, **more: Any) -> Any:
            for number, item in enumerate(super().map(work, *arguments, **more)):
                made.extend([(work.step, item[0])] if isinstance(work, Preparing) else [])
                if number >= 2:
                    raise KeyboardInterrupt
                yield item

    died = 0
    for _ in range(20):
        try:
            found = clusters_of(work, 240, Dying(1))
            break
        except KeyboardInterrupt:
            died += 1
    steps = {"keys": 4, "candidates": 6, "checks": 4} if more else {"keys": 4}
    assert died > 2
    assert sorted(made) == sorted((step, number) for step, size in steps.items() for number in range(size)), "once each"
    whole = EqualKeys(store, facts, keys, "shingles", **more)
    monkeypatch.setattr(module, "TASK_ROWS", 10_000)
    assert found == clusters_of(whole, 240, Local(1)) != [[], []]
    assert len({*tmp_path.rglob("*.arrow")} - given) == 6, "the answers alone are left"


@pytest.mark.parametrize("harm", ["flipped", "removed"])
@pytest.mark.parametrize("step", ["keys", "candidates", "checks"])
def test_what_is_damaged_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, harm: str) -> None:
    """Whatever comes to harm after a pass, and all that was made before it."""
    monkeypatch.setattr(module, "TASK_ROWS", 60)
    store = Store(tmp_path)
    facts, keys = stored(store, with_checks(spans_of(np.random.default_rng(5), [50] * 6)))
    work = EqualKeys(store, facts, keys, apart=True, **CHECKED)
    want = clusters_of(work, 300, Local(1))
    given, harmed = {*tmp_path.rglob("*.arrow")}, []

    class Harming(Local):
        def map(self, work: Any, *arguments: Any, **more: Any) -> Any:
            yield from super().map(work, *arguments, **more)
            if isinstance(work, Preparing) and work.step == step:
                for path in {*tmp_path.rglob("*.arrow")} - given:
                    raw = bytearray(path.read_bytes())
                    raw[10] ^= 1
                    path.write_bytes(raw) if harm == "flipped" else path.unlink()
                    harmed.append(path)

    assert clusters_of(work, 300, Harming(2)) == want != [[], []]
    assert len(harmed) > 2


def test_a_damaged_column_is_refused_not_used(tmp_path: Path) -> None:
    facts, keys = stored(Store(tmp_path), spans_of(np.random.default_rng(1), [50, 50]))
    path = Store(tmp_path).path(keys[1])
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.write_bytes(bytes(raw))
    for parts in (1, 3):
        with pytest.raises(FileNotFoundError, match="damaged"):
            EqualKeys(Store(tmp_path), facts, keys)(Share("band", 0, parts), Watch())


def test_work_stops_when_asked(tmp_path: Path) -> None:
    store = Store(tmp_path)
    facts, keys = stored(store, spans_of(np.random.default_rng(1), [5]))
    with pytest.raises(Stopped):
        EqualKeys(store, facts, keys)(Share("band", 0, 1), Watch(stopped=lambda: True))


def test_verification_keeps_what_is_similar_together() -> None:
    """In a group A B A B the two As are a pair though a B stands between them."""
    one, other = np.full(4, 0x1111111111111111, np.uint64), np.full(4, 0x2222222222222222, np.uint64)
    nearly = one.copy()
    nearly[3] = 0x1111111100000000  # 28 of 32 bytes agree
    checks = np.stack([one, other, nearly, other, one])
    left, right = verified(np.array([0]), np.array([5]), checks, 28)
    assert sorted(zip(left.tolist(), right.tolist(), strict=True)) == [(0, 2), (0, 4), (1, 3)]
    left, right = verified(np.array([0]), np.array([5]), checks, 29)
    assert sorted(zip(left.tolist(), right.tolist(), strict=True)) == [(0, 4), (1, 3)]
    left, right = verified(np.array([0, 2]), np.array([2, 5]), checks, 29)
    assert len(left) == 0, "groups are looked at one by one"


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 50, 1000])
def test_portions_cover_all_groups(limit: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Groups are never torn apart but for larger ones, whose parts all begin with the first member."""
    monkeypatch.setattr(module, "CHECK_ROWS", limit)
    sizes = np.random.default_rng(0).integers(2, 9, 30)
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    parts = [part.tolist() for part in module._portions(starts, int(sizes.sum()))]
    group_of = np.repeat(starts, sizes)
    met: list[int] = []
    for part in parts:
        assert len(part) <= limit + 1
        mine = [group_of[at] for at in part]
        for start in set(mine):
            assert start in part, "with its first member"
            if mine.count(start) < sizes[starts.tolist().index(start)]:
                assert set(mine) == {start} and sizes[starts.tolist().index(start)] > limit
        met += part
    assert set(met) == set(range(int(sizes.sum())))


@pytest.mark.parametrize("limit", [3, 40])
def test_verification_in_portions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: int) -> None:
    """Where similar rows are equal, any portion gives the same clusters."""
    draw = np.random.default_rng(2)
    spans = spans_of(draw, [60, 80])
    for span in spans:
        kind = draw.integers(0, 2, len(span["key"])).astype(np.uint64)
        span["kind"] = kind
        span["columns"]["check"] = kind * np.uint64(0x0101010101010101)
    store = Store(tmp_path)
    facts, keys = stored(store, spans)
    by_both: dict[Any, list[int]] = defaultdict(list)
    kinds = np.concatenate([span["kind"] for span in spans])
    for row, (key, kind) in enumerate(zip(np.concatenate([span["key"] for span in spans]), kinds, strict=True)):
        by_both[int(key), int(kind)].append(row)
    want = components([pair for rows in by_both.values() for pair in itertools.pairwise(rows)])
    work = EqualKeys(store, facts, keys, checks=("check",), least=8)
    clusters = Clusters()
    clusters.add(*work(Share("band", 0, 1), Watch()))
    assert dict(zip(*(part.tolist() for part in clusters.members()), strict=True)) == want
    monkeypatch.setattr(module, "CHECK_ROWS", limit)
    if limit == 40:  # no group is larger
        again = Clusters()
        again.add(*work(Share("band", 0, 1), Watch()))
        assert [part.tolist() for part in again.members()] == [part.tolist() for part in clusters.members()]
    else:
        left, right = work(Share("band", 0, 1), Watch())
        assert len(left) and all(kinds[a] == kinds[b] for a, b in zip(left, right, strict=True))


def test_a_group_of_unlike_rows_costs_a_bounded_number_of_comparisons() -> None:
    checks = np.random.default_rng(0).integers(0, 1 << 63, (5_000, 2), dtype=np.uint64)
    checks[-1], checks[-2] = checks[0], checks[module.LEADERS]
    left, right = verified(np.array([0]), np.array([5_000]), checks, 16)
    assert list(zip(left.tolist(), right.tolist(), strict=True)) == [(0, 4_999)], "row 64 led nobody"
