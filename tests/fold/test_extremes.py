"""The most and least usual rows, against a plain Python reading of the definition, in any order and cut of the rows."""

from __future__ import annotations

import math
import random
import re
from itertools import pairwise

import numpy as np
import pytest

from cuvee.core import Batch
from cuvee.feature.ngrams import Ngrams
from cuvee.fold.extremes import Extremes, Words, characters, length_code, shortest_length

NGRAMS = Ngrams(n=2, buckets=1 << 20)
WORDS = ["the", "of", "and", "to", "in", "is", "that", "rare", "odd", "zebra", "quartz", "Ärger", "naïve", "語", "x1"]


def make_texts(rows: int = 300) -> list[str]:
    luck = random.Random(7)
    weights = [1 / (1 + at) for at in range(len(WORDS))]
    texts = [" ".join(luck.choices(WORDS, weights, k=luck.randint(3, 60))) for _ in range(rows)]
    texts[10] = "the of " * 40  # the highest score of all, but it only repeats itself
    texts[20] = texts[21] = texts[-50] = " ".join(f"once{n}" for n in range(30))
    return texts


def batch_of(texts: list[str], first: int = 0) -> Batch:
    raw = [text.encode() for text in texts]
    offsets = np.concatenate([[0], np.cumsum([len(one) for one in raw])]).astype(np.int64)
    rows = np.arange(first, first + len(raw), dtype=np.int64)
    keys = np.array([(row * 0x9E3779B97F4A7C15) % 2**64 for row in rows.tolist()], np.uint64)
    return Batch(np.frombuffer(b"".join(raw), np.uint8), offsets, rows, keys)


def grams(text: str) -> list[tuple[str, ...]]:
    words = re.findall(r"\w+|[^\w\s]+", text.lower())
    return [(word,) for word in words] + list(pairwise(words))


def fitted(texts: list[str], **settings: float) -> Extremes:
    words = Words(NGRAMS)
    return Extremes(NGRAMS, words.finish(words.lift(batch_of(texts))).log_shares(), **settings)  # type: ignore[arg-type]


def by_hand(texts: list[str], k: int) -> tuple[list[int], list[int], float]:
    counts: dict[tuple[str, ...], int] = {}
    for text in texts:
        for gram in grams(text):
            counts[gram] = counts.get(gram, 0) + 1
    total = sum(counts.values()) + 0.5 * NGRAMS.buckets
    scored: dict[str, tuple[float, int]] = {}
    keys = batch_of(texts).key
    order = sorted(range(len(texts)), key=lambda row: keys[row])
    for row in order:
        found = grams(texts[row])
        if len(found) >= 20 + 19 and texts[row] not in scored:
            scored[texts[row]] = (sum(math.log((counts[g] + 0.5) / total) for g in found) / len(found), row)
    varied = [v for text, v in scored.items() if len(set(grams(text))) >= 0.5 * len(grams(text))]
    high = [row for _, row in sorted(varied, reverse=True)[:k]]
    return high, [row for _, row in sorted(scored.values())[:k]], min(scored.values())[0]


def test_the_extremes_are_those_of_the_definition() -> None:
    texts = make_texts()
    found = fitted(texts, k=5)
    result = found.finish(found.lift(batch_of(texts)))
    high, low, lowest = by_hand(texts, 5)
    assert [one.row for one in result["typical"]] == high
    assert [one.row for one in result["strange"]] == low
    assert result["strange"][0].score == pytest.approx(lowest, rel=1e-12)
    assert low[0] in (20, 21, 250) and 10 not in high
    assert all(one.text == texts[one.row] for side in result.values() for one in side)
    assert result["strange"][0].score < result["strange"][-1].score < result["typical"][-1].score


def test_repetition_counts_as_usual_when_asked_for() -> None:
    texts = make_texts()
    found = fitted(texts, k=1, variety=0.0)
    assert found.finish(found.lift(batch_of(texts)))["typical"][0].row == 10


@pytest.mark.parametrize("seed", range(5))
def test_any_cut_and_any_order_of_merging_gives_the_same_bits(seed: int) -> None:
    texts = make_texts()
    luck = random.Random(seed)
    found = fitted(texts, k=4)
    whole = found.lift(batch_of(texts))
    cuts = [0, *sorted(luck.sample(range(1, 300), 6)), 300]
    parts = [found.lift(batch_of(texts[a:b], a)) for a, b in pairwise(cuts)]
    luck.shuffle(parts)
    merged = found.empty()
    for part in parts:
        merged = found.merge(part, merged) if luck.random() < 0.5 else found.merge(merged, part)
    updated = found.empty()
    for a, b in pairwise(cuts):
        updated = found.update(updated, batch_of(texts[a:b], a))
    for state in (merged, updated):
        assert state.keys() == whole.keys()
        assert all(
            np.array_equal(state[name], whole[name]) and state[name].dtype == whole[name].dtype for name in whole
        )


def test_words_merge_and_leave_the_batch_as_it_was() -> None:
    texts = make_texts(100)
    batch, fold = batch_of(texts), Words(NGRAMS)
    before = batch.data.copy(), batch.offsets.copy()
    whole = fold.lift(batch)
    halves = fold.merge(fold.lift(batch_of(texts[:20])), fold.lift(batch_of(texts[20:], 20)))
    assert all(np.array_equal(whole[name], halves[name]) for name in whole)
    assert np.array_equal(batch.data, before[0]) and np.array_equal(batch.offsets, before[1])
    lengths = sorted(len(text) for text in texts)
    assert fold.finish(whole).quantiles() == {"p5": lengths[4], "p50": lengths[49], "p95": lengths[94]}


def test_characters_are_code_points() -> None:
    texts = ["", "abc", "Ärger", "語" * 5, "\U0001f600x"]
    batch = batch_of(["skipped", *texts])
    shifted = Batch(batch.data, batch.offsets[1:], batch.row[1:], batch.key[1:])
    assert characters(shifted).tolist() == [0, 3, 5, 5, 2]


def test_length_codes_keep_order_and_three_digits() -> None:
    lengths = np.unique(np.concatenate([np.arange(5_000), np.geomspace(5_000, 2**48, 4_000).astype(np.int64)]))
    codes = length_code(lengths)
    assert (np.diff(codes) >= 0).all()
    back = np.array([shortest_length(int(code)) for code in codes])
    assert (back[:2_048] == lengths[:2_048]).all()
    assert (back <= lengths).all() and (lengths - back <= lengths / 1_000).all()


def test_nothing_gives_nothing() -> None:
    found = fitted(["a b c"], k=3)
    assert found.finish(found.lift(batch_of(["short", ""]))) == {"typical": [], "strange": []}
    assert found.finish(found.empty()) == {"typical": [], "strange": []}
    words = Words(NGRAMS)
    assert words.finish(words.empty()).quantiles() == {}
