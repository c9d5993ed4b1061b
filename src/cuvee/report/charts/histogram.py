"""How a quantity is spread: bars for the pool, outlines for what was kept and for a random choice.

On a shared axis below, the middle value and the range of nine rows in ten of each group, which also name the groups.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from ..figures import counts, finite, number, percent, share
from ..markup import element, join, table
from ..text import Markup, escape
from .svg import (
    Axis,
    Chart,
    Format,
    Series,
    axis,
    both,
    bottom,
    circle,
    extent,
    frame,
    label,
    left,
    line,
    nothing,
    path,
)

MOST_BINS = 60
_HEIGHT, _TOP, _STRIP = 190, 22, 24


@dataclass(frozen=True)
class Range:
    """The 5th, 50th and 95th percentile of one group."""

    name: str
    role: str
    p5: float
    p50: float
    p95: float


def histogram(
    edges: Sequence[float],
    series: Sequence[Series],
    form: Format,
    quantity: str,
    ranges: Sequence[Range] = (),
    log: bool = False,
    shares: bool = False,
) -> Chart:
    """Counts per bin over the quantity.

    Args:
        edges: bin borders, one more than counts; what does not ascend is dropped with its bin.
        shares: draw each series as a share of its own rows, to compare shapes instead of sizes.
        quantity: what the axis measures, in a word or two.
    """
    borders, groups = _clean(edges, series)
    totals = [sum(group.values) for group in groups]
    numbers = _table(borders, groups, totals, form, quantity)
    if not groups or not any(totals):
        return nothing("No rows to draw.", numbers)
    heights = [[v / t if shares and t else v for v in g.values] for g, t in zip(groups, totals, strict=True)]
    peak = max(max(h) for h in heights)
    positive = next((b for b in borders if b > 0), 1.0)
    low = max(borders[0], min(positive / 2, 1.0), 1e-12) if log else borders[0]
    alt = f"{quantity}: " + "; ".join(f"{g.name}, {number(t)} rows" for g, t in zip(groups, totals, strict=True))

    def draw(width: int) -> Markup:
        x = axis(low, borders[-1], 1, width - 1, log)
        y = Axis(0, peak, _TOP + _HEIGHT, _TOP)
        parts = [left(y, 1, width - 1, percent if shares else number, note="of rows" if shares else "rows")]
        for group, height in zip(groups, heights, strict=True):
            parts.append(_outline(x, y, borders, height, group.role))
        parts.append(_hover(x, borders, groups, totals, form))
        rows = [r for r in ranges if r.p5 <= r.p50 <= r.p95 and (not log or r.p5 > 0)]
        base = _TOP + _HEIGHT
        for i, row in enumerate(rows):
            parts.append(_strip(x, base + 22 + i * _STRIP, row, form))
        parts.append(bottom(x, base + 12 + len(rows) * _STRIP, form, quantity))
        return frame(width, base + 40 + len(rows) * _STRIP, alt, *parts)

    return both(draw, numbers)


def _clean(edges: Sequence[float], series: Sequence[Series]) -> tuple[list[float], list[Series]]:
    """Finite ascending edges, equally many counts in every series, and at most MOST_BINS bins."""
    raw = [finite(e) for e in edges]
    bins = [i for i in range(len(raw) - 1) if _ascends(raw[i], raw[i + 1])]
    groups = [(g, counts(list(g.values))) for g in series if g.values is not None and len(g.values)]
    bins = [i for i in bins if all(i < len(v) for _, v in groups)]
    if not bins or not groups:
        return [], []
    step = -(-len(bins) // MOST_BINS)
    merged = [bins[i : i + step] for i in range(0, len(bins), step)]
    borders = [float(raw[m[0]] or 0) for m in merged] + [float(raw[merged[-1][-1] + 1] or 0)]
    if any(not b > a for a, b in itertools.pairwise(borders)):
        return [], []
    return borders, [Series(g.name, g.role, [sum(v[i] for i in m) for m in merged]) for g, v in groups]


def _ascends(a: float | None, b: float | None) -> bool:
    return a is not None and b is not None and b > a


def _outline(x: Axis, y: Axis, borders: Sequence[float], heights: Sequence[float], role: str) -> Markup:
    points = [(x(borders[0]), y(0))]
    for i, height in enumerate(heights):
        points += [(x(borders[i]), y(height)), (x(borders[i + 1]), y(height))]
    points.append((x(borders[-1]), y(0)))
    return path(points, f"area {role}", close=role == "pool")


def _hover(
    x: Axis, borders: Sequence[float], groups: Sequence[Series], totals: Sequence[float], form: Format
) -> Markup:
    """Unseen bars that tell their numbers to a pointer."""
    parts = []
    for i, (a, b) in enumerate(itertools.pairwise(borders)):
        told = [
            f"{g.name} {number(g.values[i])} ({share(g.values[i], t)})" for g, t in zip(groups, totals, strict=True)
        ]
        title = element("title", escape(f"{form(a)} to {form(b)}: " + ", ".join(told)))
        parts.append(element("rect", title, x=x(a), y=_TOP, width=x(b) - x(a), height=_HEIGHT, class_="hover"))
    return join(parts)


def _strip(x: Axis, y: float, row: Range, form: Format) -> Markup:
    """5th to 95th percentile as a line, the median as a dot, the name at whichever side has room."""
    a, b = x(row.p5), x(row.p95)
    words = f"{row.name} {form(row.p5)} · {form(row.p50)} · {form(row.p95)}"
    need = extent(words)
    if x.end - b > need + 10:
        name = label(b + 10, y + 4, words, f"name {row.role}")
    elif a - x.start > need + 10:
        name = label(a - 10, y + 4, words, f"name {row.role}", "end")
    else:
        name = label((x.start + x.end) / 2, y - 5, words, f"name halo {row.role}", "middle", x.end - x.start)
    ends = join([line(a, y - 4, a, y + 4, f"whisker {row.role}"), line(b, y - 4, b, y + 4, f"whisker {row.role}")])
    return join([line(a, y, b, y, f"whisker {row.role}"), ends, circle(x(row.p50), y, 4.5, f"dot {row.role}"), name])


def _table(
    borders: Sequence[float], groups: Sequence[Series], totals: Sequence[float], form: Format, quantity: str
) -> Markup:
    head = [quantity, *(name for g in groups for name in (g.name, f"{g.name}, share"))]
    rows = [
        [
            escape(f"{form(a)} to {form(b)}"),
            *(
                escape(words)
                for g, t in zip(groups, totals, strict=True)
                for words in (number(g.values[i]), share(g.values[i], t))
            ),
        ]
        for i, (a, b) in enumerate(itertools.pairwise(borders))
    ]
    return table(head, rows, f"Rows by {quantity}")
