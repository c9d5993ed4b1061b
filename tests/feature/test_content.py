"""The content hash against published vectors, its quality, and the shape of texts against plain Python."""

from __future__ import annotations

import re

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings

from cuvee.feature.content import content_hash, string_hash, text_shape, wyhash
from cuvee.feature.ngrams import readonly

from .test_ngrams import batch_of
from .test_unicode import same_unicode, texts

VECTORS = {  # wyhash final 4; the seed is the position
    "": 0x93228A4DE0EEC5A2,
    "a": 0xC5BAC3DB178713C4,
    "abc": 0xA97F2F7B1D9B3314,
    "message digest": 0x786D1F1DF3801DF4,
    "abcdefghijklmnopqrstuvwxyz": 0xDCA5A8138AD37C87,
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789": 0xB9E734F117CFAF70,
    "1234567890" * 8: 0x6CC5EAB49A92D617,
}


@pytest.mark.parametrize("seed", range(len(VECTORS)))
def test_published_vectors(seed: int) -> None:
    text, expected = list(VECTORS.items())[seed]
    data = readonly(np.frombuffer(text.encode(), np.uint8), np.uint8)
    assert wyhash(data, 0, len(text), np.uint64(seed)) == expected


def test_million_near_identical_strings_do_not_collide() -> None:
    numbers = np.arange(1_000_000)
    for template in (["id-", ""], ["https://example.org/page/", "/index.html"], ["", " " * 60]):
        values = pa.array([f"{template[0]}{i}{template[1]}" for i in numbers.tolist()])
        found = string_hash(values)
        assert len(np.unique(found)) == len(numbers)
        upper = np.bincount((found >> np.uint64(54)).astype(int), minlength=1024)
        lower = np.bincount((found & np.uint64(1023)).astype(int), minlength=1024)
        for used in (upper, lower):
            statistic = ((used - len(numbers) / 1024) ** 2).sum() / (len(numbers) / 1024)
            assert abs(statistic - 1023) < 5 * np.sqrt(2 * 1023)


@pytest.mark.parametrize("size", [1, 3, 4, 8, 16, 17, 47, 48, 49, 100])
def test_every_input_bit_moves_half_of_the_output(size: int) -> None:
    generator = np.random.default_rng(size)
    plain = generator.integers(0, 256, (200, size), np.uint8)
    bounds = np.arange(201) * size
    before = content_hash(plain.ravel(), bounds)
    for bit in generator.choice(size * 8, min(size * 8, 40), replace=False):
        other = plain.copy()
        other[:, bit // 8] ^= np.uint8(1 << bit % 8)
        changed = np.bitwise_count(before ^ content_hash(other.ravel(), bounds))
        assert 30 < changed.mean() < 34 and changed.min() > 8


def test_string_arrays_of_every_kind() -> None:
    values = ["abc", "", None, "日本", "x" * 100]
    expected = content_hash(batch_of([v or "" for v in values]).data, batch_of([v or "" for v in values]).offsets)
    assert expected[0] != expected[1] == VECTORS[""]
    for kind in (pa.string(), pa.large_string(), pa.dictionary(pa.int8(), pa.string())):
        array = pa.array(values).cast(kind)
        assert np.array_equal(string_hash(array), expected)
        assert np.array_equal(string_hash(array[1:4]), expected[1:4])
        assert np.array_equal(string_hash(pa.chunked_array([array[:2], array[2:]])), expected)
    assert len(string_hash(pa.array([], pa.string()))) == len(string_hash(pa.chunked_array([], pa.string()))) == 0
    assert string_hash(pa.array([12, 7])).tolist() == string_hash(pa.array(["12", "7"])).tolist()


@same_unicode
@settings(max_examples=300, deadline=None)
@given(texts)
def test_shape(text: str) -> None:
    for padded in (text, "word " * 13 + text, text + "\n" * 70):
        found = {name: column[0] for name, column in text_shape(batch_of([padded], b"k")).items()}
        size = max(1, len(padded))
        assert found == {
            "characters": len(padded),
            "words": len(re.findall(r"\w+", padded)),
            "lines": padded.count("\n") + (padded != "" and padded[-1] != "\n"),
            "non_ascii_letters": sum(c.isalpha() and c > "\x7f" for c in padded) / size,
            "digits": sum(c.isdecimal() for c in padded) / size,
            "spaces": sum(c.isspace() for c in padded) / size,
        }
