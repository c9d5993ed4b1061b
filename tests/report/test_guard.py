"""The report on duplicates holds what it was given, as text, and nothing else."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cuvee.report.charts.detection import FEWEST, Planted, detection
from cuvee.report.guard import render
from cuvee.report.html import MOST_BYTES
from tests.report.page import payloads, read, replaced
from tests.report.summaries import RECIPE, REJECTS, example
from tests.report.test_charts import check

HOSTILE = payloads(Path(os.environ.get("CUVEE_HOSTILE_HTML", "/nonexistent")))
NUMBERLESS = re.compile(r"\b(nan|inf|-inf|infinity|none|null|undefined)\b", re.IGNORECASE)


def summary(domains: int = 3) -> dict[str, Any]:
    """As the command hands it over, small but complete."""
    grid = [at / 20 for at in range(21)]
    planted = [
        {
            "low": at - 0.025,
            "high": at + 0.025,
            "similarity": at,
            "pairs": 40,
            "found": int(40 * at),
            "interval": [max(0.0, at - 0.1), min(1.0, at + 0.1)],
            "candidates_expected": at,
        }
        for at in (0.3, 0.6, 0.9)
    ]
    return {
        "title": "Near and exact duplicates",
        "verdict": "1,814 of 9,981 rows (18 %) repeat others.",
        "warnings": ["The largest cluster holds 700 rows."],
        "next": "cuvee write out/guard --format parquet",
        "counts": {
            "rows": 10_000,
            "usable": 9_981,
            "rejected": 19,
            "kept": 8_167,
            "kept_tokens": 2_000_000,
            "pool_tokens": 2_500_000,
            "exact": 672,
            "near": 1_142,
            "clusters": 512,
            "removed": 1_814,
        },
        "method": {
            "name": "guard",
            "parameters": {"bands": 18, "rows": 7},
            "exact": "equal after: lower-cased",
            "near": "18 bands of 7",
            "preset": "cuvee's own",
            "finds": "99% at 0.8",
            "compares": "all rows with each other",
            "keeps": "1 of a cluster",
        },
        "sizes": [[2, 400], [3, 80], [9, 31], [700, 1]],
        "domains": [
            {
                "name": f"domain {at}",
                "pool_rows": 1_000,
                "kept_rows": 1_000 - 10 * at,
                "pool_tokens": 9_000,
                "kept_tokens": 8_000,
            }
            for at in range(domains)
        ],
        "curve": {"similarity": grid, "candidates": grid, "threshold": 0.8, "planted": planted},
        "largest": [{**example(at), "count": 700 - at} for at in range(3)],
        "pairs": [{"kept": example(1), "removed": example(2)}],
        "similarities": [0.7, 0.8, 0.9],
        "limits": ["A text of fewer than 5 units has no 5-gram."],
        "rejects": REJECTS,
        "reproduce": RECIPE,
    }


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_strings_in_every_field(text: str) -> None:
    for numbers in (False, True):
        page = render(replaced(summary(), text, numbers))
        read(page)
        assert "<script" not in page.lower() and len(page.encode()) < MOST_BYTES


def test_texts_are_readable_and_can_be_hidden() -> None:
    words = "".join(read(render(replaced(summary(), "<b>bold & 'brave'"))).words)
    assert words.count("<b>bold & 'brave'") > 10
    hidden = "".join(read(render(summary(), no_text=True)).words)
    assert "CREATE TABLE" not in hidden.upper() and "Text hidden on request" in hidden


@pytest.mark.parametrize("missing", sorted(summary()))
def test_any_key_may_be_missing(missing: str) -> None:
    for value in (None, [], {}, "text", 3.5, float("nan")):
        given = {**summary(), missing: value}
        page = read(render(given))
        assert not NUMBERLESS.search("".join(page.words).replace("None was", ""))
    read(render({name: value for name, value in summary().items() if name != missing}))


@pytest.mark.parametrize("count", [0, 1, 30, 3_000])
def test_many_domains(count: int) -> None:
    page = render(summary(count))
    read(page)
    assert len(page.encode()) < MOST_BYTES


def test_what_the_page_says() -> None:
    words = " ".join(read(render(summary())).words)
    for told in ("9,981 rows", "672", "700 times", "domain 2", "Jaccard", "0.70 to 0.90"):
        assert told in words, told


@settings(max_examples=80, deadline=None)
@given(
    st.lists(st.floats(0, 1), max_size=30),
    st.lists(st.tuples(st.floats(0, 1), st.integers(1, 10**6), st.floats(0, 1)), max_size=25),
    st.none() | st.floats(0.05, 0.95),
)
def test_the_curve_stays_in_its_frame(
    chance: list[float], pairs: list[tuple[float, int, float]], threshold: float | None
) -> None:
    grid = [at / 30 for at in range(len(chance))]
    planted = [Planted(at, number, int(number * share), 0.0, 1.0, share) for at, number, share in pairs]
    chart = detection(grid, chance, planted, threshold)
    check(chart)
    shown = sum(number >= FEWEST for _, number, _ in pairs) if chance else 0
    assert chart.wide.count("<circle") == shown


def test_what_is_no_number_is_left_out() -> None:
    chart = detection([0.1, float("nan"), 0.3], [0.2, 0.3, float("inf")], [], None)
    check(chart)
    check(detection([], [], [], 0.8))
