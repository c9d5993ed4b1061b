"""The merging sample: the laws of a Fold, the definition by sorting, and cuts at UTF-8 borders."""

from __future__ import annotations

import itertools

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cuvee.core import Batch, State
from cuvee.engine.draw import uniform
from cuvee.errors import DataError, UsageError
from cuvee.feature.content import content_hash
from cuvee.fold.bottom_k import BottomK, Keyed, as_batch, texts

WORDS = ["", "a", "Grüße aus Köln", "日本語のテキスト", "plain text " * 5, "🙂🙂🙂"]


def make(rows: list[str], first: int = 0, **columns: object) -> Batch:
    raw = [text.encode() for text in rows]
    offsets = np.cumsum([0, *map(len, raw)]).astype(np.int64)
    data = np.frombuffer(b"".join(raw), np.uint8)
    row = np.arange(first, first + len(rows), dtype=np.int64)
    return Batch(data, offsets, row, content_hash(data, offsets), columns)


def part(batch: Batch, low: int, high: int) -> Batch:
    columns = {name: values[low:high] for name, values in batch.columns.items()}
    return Batch(batch.data, batch.offsets[low : high + 1], batch.row[low:high], batch.key[low:high], columns)


def same(a: State, b: State) -> bool:
    return a.keys() == b.keys() and all(a[k].dtype == b[k].dtype and np.array_equal(a[k], b[k]) for k in a)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.sampled_from(WORDS) | st.text(st.characters(exclude_categories=["Cs"]), max_size=9), max_size=40),
    st.lists(st.integers(0, 40), max_size=4),
    st.integers(0, 12),
    st.integers(0, 7),
    st.randoms(use_true_random=False),
)
def test_any_split_in_any_order_gives_the_sorted_definition(rows, cuts, k, max_bytes, random):
    fold = BottomK(k, "test", 3, max_bytes)
    batch = make(rows)
    borders = sorted({0, len(rows), *(min(c, len(rows)) for c in cuts)})
    parts = [part(batch, a, b) for a, b in itertools.pairwise(borders)]
    random.shuffle(parts)
    updated, merged = fold.empty(), fold.empty()
    for one in parts:
        updated = fold.update(updated, one)
        merged = fold.merge(fold.lift(one), merged)
    draw = uniform(3, "test", batch.key)
    order = sorted(range(len(rows)), key=lambda i: (draw[i], batch.key[i], i))[:k]
    assert same(updated, merged)
    assert updated["row"].tolist() == order
    assert np.array_equal(updated["draw"], draw[order])
    for i, text in zip(order, texts(updated), strict=True):
        assert text.decode() == rows[i] or (max_bytes and text == cut(rows[i], max_bytes))
    assert same(fold.merge(fold.empty(), updated), updated)


def cut(text: str, limit: int) -> bytes:
    kept = ""
    for character in text:
        if len((kept + character).encode()) > limit:
            break
        kept += character
    return kept.encode()


@pytest.mark.parametrize("limit", range(1, 12))
def test_the_cut_keeps_as_many_whole_characters_as_fit(limit):
    rows = ["日本語", "aé日🙂b", "x" * 30]
    state = BottomK(3, "test", 0, limit).lift(make(rows))
    for row, text in zip(state["row"], texts(state), strict=True):
        assert text == cut(rows[row], limit)


def test_every_row_is_equally_likely():
    batch = make([f"row {i}" for i in range(20)])
    taken = np.zeros(20)
    for seed in range(2000):
        taken[BottomK(5, "test", seed).lift(batch)["row"]] += 1
    # each count is binomial(2000, 1/4), standard deviation 19.4; dependence within a draw only lowers chi-square
    assert np.abs(taken - 500).max() < 90
    assert ((taken - 500) ** 2 / 375).sum() < 45


def test_seed_and_purpose_change_the_sample():
    batch = make([f"row {i}" for i in range(200)])
    rows = [set(BottomK(20, p, s).lift(batch)["row"]) for p, s in (("a", 0), ("b", 0), ("a", 1))]
    assert rows[0] != rows[1] != rows[2] != rows[0]


def test_equal_keys_come_in_row_order():
    state = BottomK(3, "test").lift(make(["same"] * 5, first=7))
    assert state["row"].tolist() == [7, 8, 9]


def test_the_batch_is_not_changed_and_the_state_holds_copies():
    batch = make(["one", "two", "three"])
    batch.data.flags.writeable = False
    state = BottomK(2, "test").lift(batch)
    assert not np.shares_memory(state["data"], batch.data)


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string()])
def test_condition_on_domain(kind):
    domain = pa.array(["web", "code", None, "web", "code"], kind)
    batch = make(["a", "b", "c", "d", "e"], domain=domain)
    inside = BottomK(9, "test", value="web").lift(batch)["row"]
    outside = BottomK(9, "test", value="web", exclude=True).lift(batch)["row"]
    assert sorted(inside) == [0, 3]
    assert sorted(outside) == [1, 2, 4]
    full = BottomK(1, "test", value="code")
    state = full.update(full.lift(part(batch, 0, 2)), part(batch, 2, 5))
    assert same(state, full.lift(batch))


def test_refusals():
    with pytest.raises(DataError, match="domain column"):
        BottomK(1, "test", value="web").lift(make(["a"]))
    with pytest.raises(UsageError, match="at least 0"):
        BottomK(-1, "test")


def test_keyed_finds_the_named_rows_in_any_split():
    batch = make([f"text {i % 7}" for i in range(20)])
    keys = np.sort(np.append(batch.key[[3, 5]], np.uint64(1)))
    fold = Keyed(keys, 4)
    whole = fold.lift(batch)
    split = fold.merge(fold.lift(part(batch, 9, 20)), fold.update(fold.empty(), part(batch, 0, 9)))
    assert same(whole, split)
    assert sorted(whole["row"]) == [3, 5, 10, 12, 17, 19]
    assert set(texts(whole)) == {b"text"}
    assert np.all(np.diff(whole["key"].astype(object)) >= 0)
    assert len(Keyed(np.zeros(0, np.uint64)).lift(batch)["row"]) == 0
    again = as_batch(whole)
    assert len(again) == 6 and again.text(0) == "text"
