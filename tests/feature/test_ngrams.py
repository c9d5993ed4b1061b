"""Hashed n-grams against a plain Python reference, bucket by bucket."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cuvee.core import Batch
from cuvee.errors import UsageError
from cuvee.feature.ngrams import Ngrams

from .test_unicode import same_unicode, texts

pytestmark = same_unicode
A, B, C, D = 0x2D358DCCAA6C78A5, 0x8BB84B93962EACC9, 0x4B33A62ED433D4A3, 0x4D5A2DA51DE1AA47
MASK = 2**64 - 1


def batch_of(documents: Sequence[str | bytes], lead: bytes = b"") -> Batch:
    """A batch whose buffer begins with foreign bytes."""
    raw = [d.encode() if isinstance(d, str) else d for d in documents]
    offsets = np.cumsum([len(lead), *(len(r) for r in raw)]).astype(np.int64)
    data = np.frombuffer(lead + b"".join(raw), np.uint8)
    return Batch(data, offsets, np.arange(len(raw)), np.arange(len(raw), dtype=np.uint64))


def fold(a: int, b: int) -> int:
    product = a * b
    return (product >> 64) ^ (product & MASK)


def token_hash(token: bytes, unit: str) -> int:
    if unit == "char":
        return fold(fold(int.from_bytes(token, "little") ^ A, B) ^ D, A)
    mix = len(token) * C & MASK
    while len(token) > 16:
        mix = fold(int.from_bytes(token[:8], "little") ^ A, int.from_bytes(token[8:16], "little") ^ B ^ mix)
        token = token[16:]
    inner = fold(int.from_bytes(token[:8], "little") ^ A, int.from_bytes(token[8:], "little") ^ B ^ mix)
    return fold(inner ^ D, A)


def tokens_of(text: str, unit: str) -> list[str]:
    low = text.lower()
    return re.findall(r"\w+|[^\w\s]+", low) if unit == "word" else list(re.sub(r"\s+", " ", low))


def reference(text: str, g: Ngrams) -> list[int]:
    """Buckets of all n-grams, one order after the other."""
    tokens = tokens_of(text, g.unit)
    found = []
    for order in range(1, g.n + 1):
        for i in range(len(tokens) - order + 1):
            gram = tokens[i : i + order]
            if g.hash == "sha256":
                joined = (" " if g.unit == "word" else "").join(gram)
                found.append(int(hashlib.sha256(joined.encode()).hexdigest(), 16) % g.buckets)
                continue
            number = token_hash(gram[0].encode(), g.unit)
            for token in gram[1:]:
                number = fold(number ^ C, token_hash(token.encode(), g.unit) ^ D)
            found.append(number * g.buckets >> 64)
    return found


def ids_of(text: str, g: Ngrams) -> list[int]:
    (_, _, ends, ids), *rest = g.pieces(batch_of([text], b"\xce\xa3q"))
    assert not rest
    return ids[: ends[0]].tolist()


grams = st.builds(
    Ngrams,
    n=st.integers(1, 5),
    buckets=st.sampled_from([1, 2, 997, 10_000, 2**16, 2**28 - 57, 2**28]),
    unit=st.sampled_from(["word", "char"]),
    hash=st.sampled_from(["fast", "sha256"]),
)


@settings(max_examples=500, deadline=None)
@given(texts, grams)
def test_buckets_are_those_of_the_reference(text: str, g: Ngrams) -> None:
    assert ids_of(text, g) == reference(text, g)


@pytest.mark.parametrize("unit", ["word", "char"])
@pytest.mark.parametrize("hash", ["fast", "sha256"])
def test_long_texts_across_windows_and_pieces(unit: str, hash: str) -> None:
    generator = np.random.default_rng(0)
    words = ["Ab", "ç", "日本語", "x" * 40, "...", "Σας", "\t \n", "q1_", "y" * 17, "ΟΔΟΣ"]
    documents = ["", " \n", "a" * 20_000, "a" * 64, "b" * 4096, "." * 8191 + "x", "Σ" * 3000]
    documents += [" ".join(generator.choice(words, 3000)) for _ in range(5)] + ["a b " * 30_000]
    if hash == "sha256":
        documents = documents[:-3]
    for n in (1, 2, 5):
        g = Ngrams(n, 1009, unit, hash)  # type: ignore[arg-type]
        batch = batch_of(documents)
        expected = [Counter(reference(d, g)) for d in documents]
        indptr, buckets, counts = g.rows(batch)
        rows = [dict(zip(buckets[a:b], counts[a:b], strict=True)) for a, b in pairwise(indptr)]
        assert rows == expected
        weight = np.arange(len(documents)) % 3
        total = sum(
            (np.bincount(list(e.elements()), minlength=1009) * w for e, w in zip(expected, weight, strict=True))
        )
        assert np.array_equal(g.count(batch, weight), total)
        assert np.array_equal(g.lengths(batch), [e.total() for e in expected])


def test_one_token_of_a_megabyte() -> None:
    text = "Z" * 1_000_000
    for hash in ("fast", "sha256"):
        g = Ngrams(2, 10_000, "word", hash)  # type: ignore[arg-type]
        assert ids_of(text, g) == reference(text, g)
        both = ids_of(text + " " + text[:70], g)
        assert both == reference(text + " " + text[:70], g)


@pytest.mark.parametrize("size", [0, 1, 15, 16, 17, 31, 32, 33, 54, 55, 56, 63, 64, 65, 118, 119, 120, 200])
def test_token_sizes_around_every_block(size: int) -> None:
    text = "k" * size + " " + "m" * (size // 2)
    for hash in ("fast", "sha256"):
        g = Ngrams(3, 2**28, "word", hash)  # type: ignore[arg-type]
        assert ids_of(text, g) == reference(text, g)


def test_borders_of_n_grams_count() -> None:
    g = Ngrams(2, 2**28)
    assert ids_of("ab c", g)[-1] != ids_of("a bc", g)[-1]
    assert set(ids_of("a b c", g)[3:]).isdisjoint(ids_of("ab bc", g))


def test_scores_do_not_depend_on_the_batch_or_the_thread() -> None:
    generator = np.random.default_rng(1)
    documents = ["".join(map(chr, generator.integers(32, 0x500, size))) for size in generator.integers(0, 30_000, 40)]
    g = Ngrams(3, 5000)
    table = generator.normal(size=(3, 5000))
    whole, number = g.sums(batch_of(documents), table)
    single = [g.sums(batch_of([d], b"--"), table[1]) for d in documents]
    assert np.array_equal(whole[:, 1], [float(s[0][0]) for s in single])
    assert np.array_equal(number, [int(s[1][0]) for s in single])
    exact = [sum(table[2][j] for j in reference(d, g)) for d in documents]
    assert np.allclose(whole[:, 2], exact, rtol=1e-12, atol=1e-9)
    with ThreadPoolExecutor(4) as pool:
        for again in pool.map(lambda _: g.sums(batch_of(documents), table)[0], range(8)):
            assert np.array_equal(again, whole)
    means = g.means(batch_of(documents), table)
    assert np.array_equal(means, whole / np.maximum(number, 1)[:, None])


def test_inputs_stay_as_they_are_and_a_sliced_buffer_works() -> None:
    batch = batch_of(["one two", "two THREE three"], b"zero ")
    before = batch.data.tobytes()
    part = Batch(batch.data, batch.offsets[1:], batch.row[1:], batch.key[1:])
    g = Ngrams(2, 50)
    assert np.array_equal(g.count(batch) - g.count(part), g.count(batch_of(["one two"])))
    assert batch.data.tobytes() == before
    empty = batch_of([])
    assert g.count(empty).sum() == 0 and len(g.sums(empty, np.zeros(50))[0]) == 0 and g.rows(empty)[0].tolist() == [0]


@pytest.mark.parametrize(("unit", "n"), [("word", 1), ("word", 2), ("char", 3)])
@pytest.mark.parametrize("form", ["{:06d}", "w{:x}", "{:b}", "internationalisation{}", "{}a"])
def test_similar_tokens_spread_evenly_over_buckets(unit: str, n: int, form: str) -> None:
    documents = [form.format(i) if n < 2 or unit == "char" else form.format(i) + " the" for i in range(50_000)]
    g = Ngrams(n, 1024, unit)  # type: ignore[arg-type]
    last = {d if unit == "word" else d[-3:] for d in documents}
    ids = np.array(
        [
            buckets[ends[j] - 1]
            for d in [batch_of(sorted(last))]
            for _, m, ends, buckets in g.pieces(d)
            for j in range(m)
        ]
    )
    expected = len(ids) / 1024
    statistic = float(((np.bincount(ids, minlength=1024) - expected) ** 2 / expected).sum())
    assert statistic < 1023 + 5 * np.sqrt(2 * 1023)


def test_bad_parameters_are_refused() -> None:
    for wrong in ({"n": 0}, {"n": 65}, {"buckets": 0}, {"buckets": 2**28 + 1}, {"unit": "x"}, {"hash": "md5"}):
        with pytest.raises(UsageError):
            Ngrams(**wrong)  # type: ignore[arg-type]
    with pytest.raises(UsageError):
        Ngrams(1, 10).sums(batch_of(["a"]), np.zeros(11))
