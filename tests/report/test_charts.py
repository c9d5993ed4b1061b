"""Charts stay inside their frame, and labels do not fall on each other, however many groups there are."""

from __future__ import annotations

import html
import math
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cuvee.report.charts import Bar, Change, Chart, Dot, Range, Series, band, bars, dumbbell, growth, histogram, scatter
from cuvee.report.charts.svg import LETTER, axis
from cuvee.report.figures import number, size
from cuvee.report.text import Markup, width
from tests.report.page import read

TEXT = re.compile(r'<text x="([-\d.]+)" y="([-\d.]+)"[^>]*?text-anchor="(\w+)">([^<]*)</text>')


def labels(svg: Markup) -> list[tuple[float, float, float]]:
    """Left end, right end and base line of every label."""
    found = []
    for x, y, anchor, words in TEXT.findall(svg):
        need, at = 0.8 * LETTER * width(html.unescape(words)), float(x)
        start = {"start": at, "middle": at - need / 2, "end": at - need}[anchor]
        found.append((start, start + need, float(y)))
    return found


NUMBERLESS = re.compile(r"nan|inf\b")


def check(chart: Chart) -> None:
    for svg in (chart.wide, chart.narrow):
        read(svg)
        right, low = map(float, re.findall(r'viewBox="0 0 (\d+) (\d+)"', svg)[0])
        found = labels(svg)
        for i, (start, end, y) in enumerate(found):
            assert start > -6 and end < right + 6 and 0 < y <= low, svg
            for other_start, other_end, other_y in found[i + 1 :]:
                apart = end <= other_start or other_end <= start or abs(y - other_y) >= 9
                assert apart, (svg, start, end, y, other_start, other_end, other_y)
        assert not NUMBERLESS.search(svg.lower())
    read(chart.table)


@pytest.mark.parametrize("count", [0, 1, 2, 11, 16, 17, 40, 500])
def test_many_domains(count: int) -> None:
    changes = [Change(f"domain number {i} of the pool", 100 + i, 7 * i % 40, 30.0) for i in range(count)]
    chart = dumbbell(changes)
    check(chart)
    assert ("more" in chart.wide) == (count > 16)
    chart = bars([Bar(c.name, c.pool, f"{c.pool} · 3 %") for c in changes], "Tokens by domain", "tokens")
    check(chart)
    assert ("more" in chart.wide) == (count > 14)
    assert chart.table.count("<tr>") == 1 + min(200, max(1, count)) + (count > 200)


def test_the_folded_rows_hold_what_is_missing() -> None:
    chart = dumbbell([Change(f"d{i}", 1.0, 1.0) for i in range(32)])
    assert "and 17 more" in chart.wide and "53 % → 53 %" in chart.wide


def test_values_of_one_kind() -> None:
    check(dumbbell([Change("all", 5.0, 5.0, 5.0), Change("none", 0.0, 0.0, None)]))
    check(bars([Bar("a", 0.0, "0"), Bar("b", 0.0, "0")], "Nothing", "n"))
    check(histogram([5.0, 5.0, 5.0], [Series("pool", "pool", [3, 4])], size, "length", log=True))
    check(histogram([5.0, 6.0], [Series("pool", "pool", [3])], number, "score"))
    check(histogram([5.0, 6.0], [Series("pool", "pool", [0])], number, "score"))
    check(
        histogram(
            [0.0, 1.0, 10.0], [Series("pool", "pool", [3, 1])], size, "length", [Range("pool", "pool", 1, 1, 1)], True
        )
    )
    check(band([1.0, 10.0], [2.0], [2.0], [2.0], size, "length", "score"))
    check(growth([5.0, 5.0], [3.0, 3.0], None, "tokens", "words"))
    check(growth([], [], None, "tokens", "words"))


def test_gaps_interrupt_a_line() -> None:
    chart = band([1, 2, 4, 8, 16], [0.0, 0, None, 0], [1.0, 1, math.nan, 1], [2.0, 2, None, 2], size, "length", "score")
    check(chart)
    assert chart.wide.count('class="line kept"') == 2
    assert chart.table.count("<tr>") == 1 + 3


def test_two_hundred_bins_are_added_up() -> None:
    pool = [float(i % 7) for i in range(200)]
    chart = histogram([float(i + 1) for i in range(201)], [Series("pool", "pool", pool)], size, "length", log=True)
    check(chart)
    rows = [int(n.replace(",", "")) for n in re.findall(r'<td class="n">([\d,]+)</td>', chart.table)]
    assert sum(rows) == sum(pool) and len(rows) <= 60


FINITE = st.floats(-1e12, 1e12)
COUNTS = st.lists(st.floats(0, 1e12), min_size=1, max_size=70)


@settings(max_examples=80, deadline=None)
@given(COUNTS, COUNTS, st.floats(0, 1e6), st.floats(1e-3, 1e6), st.booleans(), st.booleans())
def test_any_histogram(pool: list[float], kept: list[float], low: float, step: float, log: bool, shares: bool) -> None:
    edges = [low + step * i for i in range(len(pool) + 1)]
    ranges = [Range(n, n, low + 1e-3, low + 1 + step, low + 2 + step * len(pool)) for n in ("pool", "kept", "random")]
    series = [Series("pool", "pool", pool), Series("kept", "kept", kept), Series("random", "random", pool)]
    check(histogram(edges, series, size, "length of a text", ranges, log, shares))


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.text(max_size=60).filter(lambda name: not NUMBERLESS.search(name.lower())),
            st.floats(0, 1e15),
            st.floats(0, 1e15),
        ),
        max_size=30,
    )
)
def test_any_dumbbell(rows: list[tuple[str, float, float]]) -> None:
    check(dumbbell([Change(*row) for row in rows]))


@settings(max_examples=150, deadline=None)
@given(FINITE, FINITE, st.booleans())
def test_ticks_are_few_ascending_and_inside(a: float, b: float, log: bool) -> None:
    scale = axis(min(a, b), max(a, b), 0, 700, log)
    ticks = scale.ticks(6)
    assert ticks == sorted(ticks) and len(ticks) <= 12
    slack = 1e-6 * (scale.high - scale.low) + 1e-3 * scale.high * log
    assert all(scale.low - slack <= t <= scale.high + slack for t in ticks)
    assert all(-1 <= scale(t) <= 701 for t in ticks)


def test_a_chart_is_drawn_for_both_widths() -> None:
    chart = dumbbell([Change("a", 1.0, 2.0)])
    assert 'class="wide"' in chart.wide and 'class="narrow"' in chart.narrow


def test_two_mixtures_have_words_of_their_own() -> None:
    chart = dumbbell([Change("a", 0.25, 0.75), Change("b", 0.75, 0.25)], mixtures=("proportional", "proposal"))
    shown = f"{chart.wide}{chart.table}"
    assert "a: proportional 25 %, proposal 75 %<" in shown
    assert not any(word in shown for word in ("Pool", "Kept", "Random", "kept 75", "0.75 tokens", "pool 25"))


@pytest.mark.parametrize("spread", [0.0, 1e-9, 1.0, 1e6])
def test_dots_and_their_curve_stay_inside(spread: float) -> None:
    dots = [
        Dot(f"arm {i % 5}", ("kept", "random", "pool")[i % 3], 2 + spread * i, 3 - spread * i * i) for i in range(500)
    ]
    chart = scatter(dots, [1.0, -2.0, 0.5], number, "on the largest group of all", "on the smallest group", "bits")
    check(chart)
    assert chart.wide.count("<circle") == 400 and "300 more" in chart.table
    for x, y in re.findall(r'<circle cx="([-\d.]+)" cy="([-\d.]+)"', chart.wide):
        assert 0 <= float(x) <= 760 and 0 <= float(y) <= 322
    for path in re.findall(r'<path d="M([^"]*)"', chart.wide):
        assert all(0 <= float(v) <= 760 for v in re.split("[L ]", path))
    check(scatter([], [], number, "x", "y", "bits"))
