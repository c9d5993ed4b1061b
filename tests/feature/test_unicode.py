"""The shipped Unicode tables and the lower-casing kernel against Python's own ``str`` and ``re``."""

from __future__ import annotations

import re
import unicodedata

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cuvee.feature.ngram_kernels import lower_text, scratch
from cuvee.feature.ngrams import readonly
from cuvee.feature.unicode import CLASS_BITS, DIGIT, LETTER, NUMBER, SPACE, SPECIAL, tables, unicode_version

same_unicode = pytest.mark.skipif(
    unicodedata.unidata_version != unicode_version(), reason="this interpreter has another version of Unicode"
)
ODD = list("ΣσςİıßẞǅǄΑa·'’.:\u0301\u0345\u00ad\u200d\u02b0_0٣½²Ⅷ\u2028\u0085\xa0\x1c\x1f \t\n日本😀𝐀𐐀ⓐªKȺk\0~")
texts = st.one_of(st.text(), st.text(st.sampled_from(ODD), max_size=200), st.text(st.characters(max_codepoint=0x3FF)))


def lowered(raw: bytes) -> tuple[bytes, list[int], list[int]]:
    """Lower case of one text, with the word and space bit of each byte."""
    memory = scratch(len(raw))
    data = readonly(np.frombuffer(raw, np.uint8), np.uint8)
    length = lower_text(data, 0, len(raw), tables(), memory)
    word, space = (
        np.unpackbits(bits[: length // 64 + 1].view(np.uint8), bitorder="little")
        for bits in (memory.word, memory.space)
    )
    return memory.text[:length].tobytes(), word[:length].tolist(), space[: length + 1].tolist()


def test_version() -> None:
    assert unicode_version() == "14.0.0"


@same_unicode
def test_every_code_point_has_python_s_class() -> None:
    t = tables()
    code = np.r_[0:0xD800, 0xE000:0x110000]
    flags = t.flags[t.record[t.block[code >> 7].astype(int) << 7 | (code & 127)]]
    chars = [chr(c) for c in code]
    assert np.array_equal((flags & CLASS_BITS) == SPACE, [c.isspace() for c in chars])
    assert np.array_equal((flags & CLASS_BITS) >= NUMBER, [c.isalnum() or c == "_" for c in chars])
    assert np.array_equal((flags & CLASS_BITS) == LETTER, [c.isalpha() for c in chars])
    assert np.array_equal((flags & CLASS_BITS) == DIGIT, [c.isdecimal() for c in chars])
    assert np.array_equal((flags & SPECIAL) > 0, [len(c.lower()) > 1 for c in chars])
    assert {c for c in chars if re.match(r"\s", c)} == {c for c in chars if c.isspace()}


@same_unicode
def test_every_code_point_is_lower_cased_as_in_python() -> None:
    text = "".join(chr(c) + " " for c in range(0x110000) if not 0xD800 <= c < 0xE000)
    assert lowered(text.encode())[0] == text.lower().encode()


@same_unicode
@settings(max_examples=400, deadline=None)
@given(texts)
def test_lower_case_and_classes_of_any_text(text: str) -> None:
    low = text.lower()
    found, word, space = lowered(text.encode())
    assert found == low.encode()
    assert word == [int(bool(re.match(r"\w", c))) for c in low for _ in c.encode()]
    assert space == [int(c.isspace()) for c in low for _ in c.encode()] + [1]


@pytest.mark.parametrize(
    "text",
    ["Σ", "ΑΣ", "ΑΣ.", "ΑΣΑ", "Α.Σ", "Α Σ", "ΑΣ'Α", "ΑΣ' Α", "ΣΣΣ", "1Σ", "\u0301Σ", "İΣ", "aʰΣ", "İSTANBUL", "Ⱥ" * 99],
)
def test_final_sigma_and_growing_lower_case(text: str) -> None:
    for padded in (text, "x" * 63 + text, text + "y" * 70, "é" * 31 + text + " "):
        assert lowered(padded.encode())[0] == padded.lower().encode()


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200) | st.lists(st.sampled_from([0xC3, 0xE2, 0xF0, 0xCE, 0xA3, 0x80, 0xFF, 0x41])).map(bytes))
def test_bytes_that_are_no_utf8_read_nothing_outside(raw: bytes) -> None:
    memory = scratch(len(raw))
    alone = lowered(raw)
    for before, after in ((b"\xce\xa3A", b"\x80\xbf\xa3z" * 20), (b"a" * 70, b"")):
        data = readonly(np.frombuffer(before + raw + after, np.uint8), np.uint8)
        length = lower_text(data, len(before), len(before) + len(raw), tables(), memory)
        assert memory.text[:length].tobytes() == alone[0]
        assert length <= len(raw) * 1.5
