"""A report holds what it was given, as text, and nothing else."""

from __future__ import annotations

import base64
import copy
import hashlib
import json
import math
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cuvee.report import profile, select
from cuvee.report.html import MOST_BYTES, Page, policy
from cuvee.report.text import escape
from tests.report.page import payloads, read, replaced
from tests.report.summaries import example
from tests.report.summaries import profile as profile_summary
from tests.report.summaries import select as select_summary

Render = Callable[..., str]
BOTH: list[tuple[Render, Callable[..., dict[str, Any]]]] = [
    (select.render, select_summary),
    (profile.render, profile_summary),
]
HOSTILE = payloads(Path(os.environ.get("CUVEE_HOSTILE_HTML", "/nonexistent")))
both = pytest.mark.parametrize(("render", "summary"), BOTH, ids=["select", "profile"])
NUMBERLESS = re.compile(r"\b(nan|inf|-inf|infinity|none|null|undefined)\b", re.IGNORECASE)


@both
@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_strings_in_every_field(render: Render, summary: Callable[..., Any], text: str) -> None:
    for numbers in (False, True):
        page = render(replaced(summary(), text, numbers))
        read(page)
        assert "<script" not in page.lower()
        assert len(page.encode()) < MOST_BYTES


@both
def test_hostile_strings_are_still_readable(render: Render, summary: Callable[..., Any]) -> None:
    words = "".join(read(render(replaced(summary(), "<b>bold & 'brave'"))).words)
    assert words.count("<b>bold & 'brave'") > 10


@settings(max_examples=60, deadline=None)
@given(st.text(st.characters(), max_size=60), st.sampled_from(BOTH))
def test_any_text_in_every_field(text: str, pair: tuple[Render, Callable[..., Any]]) -> None:
    read(pair[0](replaced(pair[1](), text)))


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
ANYTHING = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
)


@settings(max_examples=120, deadline=None)
@given(st.data(), st.sampled_from(BOTH))
def test_any_shape_in_any_field(data: st.DataObject, pair: tuple[Render, Callable[..., Any]]) -> None:
    summary = copy.deepcopy(pair[1]())
    for key in data.draw(st.lists(st.sampled_from(sorted(summary)), min_size=1, max_size=4)):
        if isinstance(summary[key], dict) and summary[key] and data.draw(st.booleans()):
            inner = data.draw(st.sampled_from(sorted(summary[key])))
            summary[key][inner] = data.draw(ANYTHING)
        else:
            summary[key] = data.draw(ANYTHING)
    read(pair[0](summary))


@both
@pytest.mark.parametrize("odd", [math.nan, math.inf, -math.inf, 0, -1, 1e308, 10**400, None, True, "nine"])
def test_odd_numbers_everywhere(render: Render, summary: Callable[..., Any], odd: Any) -> None:
    def spoil(value: Any) -> Any:
        if isinstance(value, dict):
            return {k: spoil(v) for k, v in value.items()}
        if isinstance(value, list):
            return [spoil(v) for v in value]
        return odd if isinstance(value, int | float) else value

    page = render(spoil(summary()))
    reader = read(page)
    assert not NUMBERLESS.search(" ".join(reader.words + reader.labels()))
    drawn = [str(v) for tag, a in reader.seen if tag in ("path", "line", "rect", "circle", "text") for v in a.values()]
    assert not any(re.search(r"nan|inf", v) for v in drawn)


@both
def test_empty_and_partial_summaries(render: Render, summary: Callable[..., Any]) -> None:
    assert "No verdict" in render({})
    whole = summary()
    for key in whole:
        read(render({k: v for k, v in whole.items() if k != key}))
        alone = read(render({key: whole[key]}))
        assert not NUMBERLESS.search(" ".join(alone.words))
    hollow = {k: [] if isinstance(v, list) else {} if isinstance(v, dict) else "" for k, v in whole.items()}
    read(render(hollow))


@both
def test_largest_page(render: Render, summary: Callable[..., Any]) -> None:
    worst = '"' * 100_000
    page = replaced(summary(domains=3_000), worst)
    many = [
        {**example(1), "text": worst, "reason": worst, "id": worst, "domain": worst, "file": worst} for _ in range(100)
    ]
    page |= {name: many for name in ("typical", "strange", "sample") if name in page}
    if "examples" in page:
        page["examples"] = dict.fromkeys(page["examples"], many)
    page["duplicates"]["largest"] = many
    page["warnings"] = page["limits"] = [worst] * 1_000
    page["reproduce"]["citations"] = [worst] * 1_000
    page["reproduce"]["files"] = [[worst, 1]] * 1_000
    page["reproduce"]["versions"] = {f"{i}{worst}": worst for i in range(300)}
    page["rejects"]["by_reason"] = {f"{i}{worst}": 1 for i in range(300)}
    made = render(page)
    read(made)
    assert len(made.encode()) <= MOST_BYTES


@both
def test_nothing_outside_is_asked_for(render: Render, summary: Callable[..., Any]) -> None:
    page = render(summary())
    reader = read(page)
    assert not re.search(r"https?:|//[a-z]|@import|url\(|javascript:", page.split("</head>")[1])
    sheet = page.split("<style>")[1].split("</style>")[0]
    assert not re.search(r"url\(|@import|https?:", sheet)
    digest = base64.b64encode(hashlib.sha256(sheet.encode()).digest()).decode()
    found = next(a["content"] or "" for tag, a in reader.seen if a.get("http-equiv"))
    assert found == policy() and f"'sha256-{digest}'" in found and found.startswith("default-src 'none'")
    assert "unsafe" not in found and "eval" not in found


@both
def test_order_of_reading_and_language(render: Render, summary: Callable[..., Any]) -> None:
    page = render(summary())
    marks = [
        'lang="en"',
        'id="verdict"',
        "Warning",
        "What to do next",
        "<figure",
        "The numbers</h2>",
        "Limits and",
        "How to",
    ]
    places = [page.index(mark) for mark in marks]
    assert places == sorted(places)
    reader = read(page)
    anchors = {a["href"] for tag, a in reader.seen if tag == "a"}
    assert anchors <= {f"#{a['id']}" for _, a in reader.seen if "id" in a}
    ids = [a["id"] for _, a in reader.seen if "id" in a]
    assert len(ids) == len(set(ids))


@both
def test_a_table_behind_each_chart(render: Render, summary: Callable[..., Any]) -> None:
    figures = re.findall(r"<figure.*?</figure>", render(summary()), re.DOTALL)
    assert len(figures) >= 4
    for figure in figures:
        assert figure.count("<svg") == 2 and figure.count('role="img" aria-label="') == 2
        assert "<table>" in figure.split("<details>")[1]


@both
def test_no_text_hides_what_quotes_the_pool(render: Render, summary: Callable[..., Any]) -> None:
    shown, hidden = render(summary()), render(summary(), no_text=True)
    for quoted in ("planner", "pool.jsonl:231") + (("Same text",) if render is profile.render else ()):
        assert quoted in shown and quoted not in hidden
    assert "row-1" in hidden and "hidden on request" in hidden
    read(hidden)


def test_long_texts_are_cut_and_say_so() -> None:
    long = {**example(1), "text": "word " * 1_000}
    page = select.render({"examples": {"kept": [long]}})
    assert "The first 2,000 of 5,000 characters are shown." in page
    assert 390 < page.count("word ") < 402


def test_direction_overrides_are_shown_and_isolated() -> None:
    page = profile.render(
        {"domains": [{"name": "\u202egnp.exe", "tokens": 1}], "sample": [{"text": "שלום", "id": "\u2067x"}]}
    )
    assert not re.search("[\u202a-\u202e\u2066-\u2069]", page)
    assert "‹U+202E›gnp.exe" in page and 'dir="auto"' in page and "<bdi>‹U+2067›x</bdi>" in page


def test_grams_are_marked_by_their_sign() -> None:
    page = select.render({"examples": {"kept": [example(0)]}})
    assert '<mark class="up">Create TABLE</mark>' in page and "<mark>whole</mark>" in page
    assert "+0.31" in page and "-0.2" in page


def test_escape_is_idempotent_on_what_it_lets_through() -> None:
    assert escape("a & b <c> \"d\" 'e'") == "a &amp; b &lt;c&gt; &quot;d&quot; &#x27;e&#x27;"
    assert escape("abcdef", 4) == "abc…"
    assert escape("a\r\nb\rc\x00") == "a\nb\nc␀"
    json.dumps(escape("\ud800")).encode()


def test_a_page_of_its_own() -> None:
    page = Page("guard", "evals", "Clean: no row found.")
    page.add("Numbers", "The numbers")
    assert "The numbers" not in page.render()
    read(page.render())
