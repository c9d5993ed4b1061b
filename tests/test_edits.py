"""Candidates compared by edit similarity: the kernel against the textbook, groups against what was planted."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cuvee import edits
from cuvee.edits import MOST_UNITS, Alike
from cuvee.engine.ordered import distinct
from cuvee.engine.store import Store
from cuvee.errors import UsageError
from cuvee.examples import as_batch
from cuvee.feature.edit_kernels import distance, grams, shared
from cuvee.feature.minhash import MinHash, jaccard
from cuvee.near_duplicates import Guarded, guard, make_rule
from cuvee.planted import measured_curve
from tests.test_same_bits import as_jsonl

WORDS = [f"word{number:03}" for number in range(300)]
SEQUENCE = st.lists(st.integers(0, 3), max_size=14)


def levenshtein(a: list[Any], b: list[Any]) -> int:
    """The textbook's table."""
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        before, row = row, [i]
        for j, y in enumerate(b, 1):
            row.append(min(before[j] + 1, row[-1] + 1, before[j - 1] + (x != y)))
    return row[-1]


@settings(max_examples=400, deadline=None)
@given(SEQUENCE, SEQUENCE, st.integers(0, 15))
def test_distances_are_the_textbooks(a: list[int], b: list[int], most: int) -> None:
    found = distance(np.array(a, np.uint32), np.array(b, np.uint32), most)
    assert found == min(levenshtein(a, b), most + 1)


def test_long_texts_of_known_distance() -> None:
    draw = np.random.default_rng(1)
    text = draw.integers(0, 1 << 32, 20_000, dtype=np.uint32)
    other = np.delete(text, np.arange(50, 20_000, 400))  # 50 are gone,
    other[7_003:19_000:1_000] = 0  # 12 replaced,
    other = np.insert(other, [9_500] * 30, 1)  # and 30 new
    assert distance(text, other, 4_000) == 92 and distance(text, other, 91) == 92


@settings(max_examples=200, deadline=None)
@given(st.lists(st.lists(st.integers(0, 5), max_size=12), max_size=5), st.integers(1, 4))
def test_n_grams_are_those_of_the_definition(texts: list[list[int]], n: int) -> None:
    offsets = np.cumsum([0, *map(len, texts)]).astype(np.int64)
    units = np.array([unit for text in texts for unit in text], np.uint32)
    found, ends = np.zeros(len(units), np.uint64), np.zeros(len(texts), np.int64)
    grams(units, offsets, n, found, ends)
    sets = [{tuple(text[i : i + n]) for i in range(len(text) - n + 1)} for text in texts]
    hashes = [found[low:high] for low, high in zip(offsets, ends, strict=False)]
    assert [len(one) for one in hashes] == [len(one) for one in sets]
    for (a, left), (b, right) in itertools.combinations(zip(sets, hashes, strict=True), 2):
        assert shared(left, right) == len(a & b)
    assert all((distinct(one) == one).all() for one in hashes)


def blocks_moved(words: list[str], number: int) -> list[str]:
    """The same text in another order of its parts: nearly all of its n-grams, and little of its order."""
    parts = np.array_split(np.array(words), 4)
    return np.concatenate([parts[at] for at in ([3, 1, 0, 2], [1, 3, 2, 0])[number]]).tolist()


def documents(seed: int = 0) -> tuple[list[str], dict[int, int]]:
    """Texts of 200 words, and of every text that is like an earlier one the first such: copies in which four words were
    replaced are, copies whose parts changed places are like each other alone."""
    draw, texts = np.random.default_rng(seed), []
    kind: list[tuple[int, int]] = []
    for number in range(24):
        words = draw.choice(WORDS, 200).tolist()
        for order in range(3):
            moved = words if order == 0 else blocks_moved(words, order - 1)
            for copy in range(1 + (number + order) % 3):
                changed = list(moved)
                for at in draw.choice(200, 4 * (copy > 0), replace=False):
                    changed[at] = "other"
                texts.append(" ".join(changed))
                kind.append((number, order))
    order = draw.permutation(len(texts)).tolist()
    texts, kind = [texts[at] for at in order], [kind[at] for at in order]
    first = {row: kind.index(one) for row, one in enumerate(kind)}
    return texts, {row: first[row] for row in first if kind.count(kind[row]) > 1}


def pool_of(folder: Path, texts: list[str], rows: int = 50) -> Path:
    pq.write_table(pa.table({"text": texts}), folder / "pool.parquet", row_group_size=rows)
    return folder / "pool.parquet"


def clusters_of(result: Guarded) -> dict[int, int]:
    return {one["row"]: one["cluster"] for one in pq.read_table(result.folder / "clusters.parquet").to_pylist()}


def test_order_counts(tmp_path: Path) -> None:
    """By n-grams, a text whose parts changed places is a near-duplicate; by edits it is not, but its own copies are."""
    texts, want = documents()
    pool = pool_of(tmp_path, texts)
    loose = guard(pool, threshold=0.6, output=tmp_path / "loose")
    assert loose.summary["counts"]["clusters"] == 24 and loose.summary["counts"]["in_clusters"] == len(texts)
    found = guard(pool, threshold=0.6, edit=0.8, output=tmp_path / "found")
    assert clusters_of(found) == want
    assert "exact Jaccard similarity at least 0.6 and edit similarity at least 0.8" in found.summary["method"]["near"]


@pytest.mark.parametrize("most", [300, 5_000])
def test_same_bits_for_any_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    """Files, workers, ranges and what a task holds change nothing; nor does a second run that finds it in the cache."""
    texts, want = documents(1)
    right = guard(pool_of(tmp_path, texts), threshold=0.6, edit=0.8, output=tmp_path / "right", workers=1)
    assert clusters_of(right) == want
    monkeypatch.setattr(edits, "RANGE_UNITS", most)
    monkeypatch.setattr("cuvee.engine.manifest.CHUNK_ROWS", 16)
    monkeypatch.setattr("cuvee.engine.manifest.SPAN_BYTES", (1, 4_000))
    folder = tmp_path / "pool"
    folder.mkdir()
    table = pa.table({"text": texts})
    for number, at in enumerate(range(0, len(texts), 40)):
        as_jsonl(table.slice(at, 40), folder / f"part-{number}.jsonl")
    cache = tmp_path / "cache"
    for again in range(2):
        found = guard(folder, threshold=0.6, edit=0.8, output=tmp_path / "found", workers=3, cache=cache)
        assert found.digest == right.digest and found.summary["sizes"] == right.summary["sizes"], again


@pytest.mark.parametrize("harm", ["flipped", "removed"])
def test_what_is_damaged_is_written_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, harm: str) -> None:
    texts, want = documents(2)
    monkeypatch.setattr(edits, "RANGE_UNITS", 1_000)
    put = Store.put_sections
    harmed = []

    def harming(store: Store, key: str, sections: Any) -> None:
        put(store, key, sections)
        if not harmed and store.path(key).stat().st_size > 1_000:
            harmed.append(key)
            path = store.path(key)
            if harm == "removed":
                path.unlink()
            else:
                raw = bytearray(path.read_bytes())
                raw[200] ^= 16
                path.write_bytes(raw)

    monkeypatch.setattr(Store, "put_sections", harming)
    found = guard(pool_of(tmp_path, texts), threshold=0.6, edit=0.8, output=tmp_path / "out", cache=tmp_path / "cache")
    assert harmed and clusters_of(found) == want


def test_pairs_are_judged_by_both_similarities() -> None:
    minhash = MinHash(5, "word")
    draw, left, right = np.random.default_rng(3), [], []
    for number in range(120):
        words = draw.choice(WORDS, 100).tolist()
        other = blocks_moved(words, 0) if number % 3 == 0 else list(words)
        for at in draw.choice(100, number % 30, replace=False):
            other[at] = "x"
        left.append(" ".join(words))
        right.append(" ".join(other[: 100 - number % 7]))
    one, two = (as_batch([text.encode() for text in side]) for side in (left, right))
    exact = [jaccard(a, b) for a, b in zip(minhash.shingles(one), minhash.shingles(two), strict=True)]
    edit = []
    for a, b in zip(left, right, strict=True):
        a, b = a.split(), b.split()
        edit.append(1 - levenshtein(a, b) / max(len(a), len(b)))
    for least, most in ((0.0, 0.8), (0.5, 0.6), (0.7, 0.9)):
        want = [j >= least and e >= most - 1e-9 for j, e in zip(exact, edit, strict=True)]
        assert Alike(minhash, least, most).pairs(one, two).tolist() == want and 0 < sum(want) < 120


def test_long_texts_are_compared_by_their_beginnings_and_sizes() -> None:
    """A bounded part of a text is held; what is much longer than the other is unlike it all the same."""
    words = np.random.default_rng(4).choice(WORDS, 400_000).tolist()
    long, longer, much = (" ".join(words[:end]).encode() for end in (200_000, 220_000, 400_000))
    alike = Alike(MinHash(5, "word"), 0.8, 0.8)
    documents = alike.documents(as_batch([long, much, b"a b"]))
    assert np.diff(documents.offsets).tolist() == [MOST_UNITS, MOST_UNITS, 2] and documents.size[2] == 2
    assert abs(documents.size[0] - 200_000) < 2_000 and abs(documents.size[1] - 400_000) < 4_000
    assert alike.pairs(as_batch([long, long]), as_batch([longer, much])).tolist() == [True, False]


def test_planted_pairs_are_judged_so_too(tmp_path: Path) -> None:
    texts = [" ".join(np.random.default_rng(at).choice(WORDS, 150)).encode() for at in range(60)]
    minhash = MinHash()
    loose = measured_curve(minhash, 0.6, texts, 0)
    strict = measured_curve(minhash, 0.6, texts, 0, Alike(minhash, 0.8, 0.8))
    kept = {one["low"]: one["found"] for one in strict}
    assert all(kept[one["low"]] == 0 for one in loose if one["high"] <= 0.8)
    assert sum(kept.values()) > 100 and all(kept[one["low"]] <= one["found"] for one in loose)


def test_what_is_asked_for() -> None:
    lee = make_rule(preset="lee")
    assert (lee.threshold, lee.edit, lee.minhash and lee.minhash.permutations) == (0.8, 0.8, 9000)
    assert 0.70 < lee.estimate < 0.75, "candidates that only seem to lie below are looked at"
    assert make_rule().edit == 0 and make_rule().estimate == 0.8
    assert make_rule(preset="lee", edit=0).edit == 0
    for wrong in (0.3, 1.0, -0.5, float("nan")):
        with pytest.raises(UsageError, match=r"edit similarity is at least 0\.5"):
            make_rule(edit=wrong)
    with pytest.raises(UsageError, match="leave them out"):
        make_rule(duplicates="exact", edit=0.8)
