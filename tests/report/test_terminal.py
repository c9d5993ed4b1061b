"""Nothing from a pool reaches the terminal as a command, and no number is printed that is none."""

from __future__ import annotations

import math
import unicodedata
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cuvee.report.terminal import bar, brief, duration, number, percent, plural, safe, share, short, size, spark, width
from tests.report.page import NASTY


@given(st.text(st.characters(), max_size=300), st.integers(0, 100))
def test_any_text_is_one_harmless_line(text: str, limit: int) -> None:
    line = safe(text, limit)
    assert width(line) <= limit
    line.encode("utf-8")
    for character in line:
        category = unicodedata.category(character)
        assert category not in ("Cc", "Cs", "Zl", "Zp", "Cn")
        assert category != "Cf" or character in "\u200c\u200d"


@pytest.mark.parametrize("text", NASTY)
def test_hostile_strings(text: str) -> None:
    assert not set(safe(text, 200)) & set("\x00\x07\x1b\x9b\r\n\t\u202e\u2028\u2029\ud800")


def test_what_is_replaced_is_seen() -> None:
    assert safe("a\x1b[31mb") == "a␛[31mb"
    assert safe("\u202egnp.exe") == "‹U+202E›gnp.exe"
    assert safe("one\ntwo\tthree") == "one↵two␉three"
    assert safe("\ud800") == "\ufffd"
    assert safe(b"\xff\x1b") == "\ufffd␛"
    assert safe(None) == "" and safe(12) == "12"


def test_wide_characters_count_twice() -> None:
    assert safe("日本語テキスト", 7) == "日本語…"
    assert safe("abcdef", 4) == "abc…" and safe("abcd", 4) == "abcd"
    assert safe("e" + "\u0301" * 40, 10) == "e" + "\u0301" * 3
    assert safe("e" + "\u0301" * 500, 10) == "e" + "\u0301" * 3 + "…"


@given(st.lists(st.floats() | st.integers() | st.none() | st.text(), max_size=50), st.none() | st.integers(1, 20))
def test_spark_takes_anything(values: list[Any], columns: int | None) -> None:
    line = spark(values, columns)
    assert set(line) <= set("▁▂▃▄▅▆▇ ")
    assert len(line) <= (columns or len(values))


def test_spark_and_bar() -> None:
    assert spark([0, 2, 6, 5, 2, 0]) == "▁▃▇▆▃▁"
    assert spark([]) == "" and spark([0, 0]) == "▁▁" and spark([4, 4]) == "▇▇"
    assert bar(0.5, 4) == "██  " and bar(0.0001, 4) == "▏   " and bar(7, 4) == "████" and bar(math.nan, 4) == "    "


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (number(9981), "9,981"),
        (number(0.41234), "0.412"),
        (number(-0.031), "-0.031"),
        (number(12.5), "12.5"),
        (number(3.2e-7), "3.2e-07"),
        (short(2_003_114), "2.00M"),
        (short(41_200), "41.2k"),
        (short(999_999), "1.00M"),
        (short(1130), "1,130"),
        (brief(10_000), "10k"),
        (brief(1_500_000), "1.5M"),
        (percent(0.25), "25 %"),
        (percent(0.042), "4.2 %"),
        (percent(0.0001), "<0.1 %"),
        (percent(0.9999), ">99.9 %"),
        (percent(0.996), ">99 %"),
        (percent(1), "100 %"),
        (percent(0), "0 %"),
        (share(1, 4), "25 %"),
        (share(1, 0), "–"),
        (size(254), "254 B"),
        (size(7_100_000), "7.1 MB"),
        (size(2_000), "2 kB"),
        (size(999_999), "1 MB"),
        (duration(0.32), "320 ms"),
        (duration(1.44), "1.4 s"),
        (duration(75), "1 min 15 s"),
        (duration(840), "14 min"),
        (duration(7_500), "2 h 05 min"),
        (plural(1, "row"), "1 row"),
        (plural(2, "row"), "2 rows"),
    ],
)
def test_words(words: str, expected: str) -> None:
    assert words == expected


@given(st.floats() | st.integers() | st.none() | st.text() | st.booleans())
def test_no_form_ever_prints_what_is_no_number(value: Any) -> None:
    for form in (number, short, brief, percent, size, duration):
        words = form(value)
        assert words and "nan" not in words and "inf" not in words and "None" not in words
        assert len(words) < 24
