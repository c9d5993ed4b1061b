"""How a quantity is spread: bars for the pool, outlines for what was kept and for a random choice.

On a shared axis below, the middle value and the range of nine rows in ten of each group, which also name the groups.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from ..figures import brief, counts, finite, number, percent, share
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
    inside,
    label,
    left,
    line,
    nothing,
    path,
)

MOST_BINS = 60
_HEIGHT, _TOP = 190, 22


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
    whole: bool = False,
) -> Chart:
    """Counts per bin over the quantity.

    Args:
        edges: bin borders, one more than counts; what does not ascend is dropped with its bin.
        shares: draw each series as a share of its own rows, to compare shapes instead of sizes.
        quantity: what the axis measures, in a word or two.
        whole: the quantity is a whole number, and so are the borders: a bin from 2 to 4 holds 2 and 3.
    """
    borders, groups = _clean(edges, series)
    totals = [sum(group.values) for group in groups]
    numbers = _table(borders, groups, totals, form, quantity, whole)
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
        parts = [left(y, 1, width - 1, percent if shares else brief, note="of rows" if shares else "rows")]
        parts.append(line(1, y(0), width - 1, y(0), "grid"))
        for group, height in zip(groups, heights, strict=True):
            parts.append(_outline(x, y, borders, height, group.role))
        parts.append(_hover(x, borders, groups, totals, form, whole))
        rows = [r for r in ranges if r.p5 <= r.p50 <= r.p95 and (not log or r.p5 > 0)]
        at = _TOP + _HEIGHT + 6.0
        for row in rows:
            name, step = _name(x, row, form)
            at += step
            parts.append(_strip(x, at, row, *name))
        at += 16 if rows else 6
        parts.append(bottom(x, at, form, quantity))
        return frame(width, at + 28, alt, *parts)

    return both(draw, numbers)


def _clean(edges: Sequence[float], series: Sequence[Series]) -> tuple[list[float], list[Series]]:
    """Finite ascending edges, equally many counts in every series, and at most MOST_BINS bins."""
    raw = [finite(e) for e in edges]
    bins = [i for i in range(len(raw) - 1) if _ascends(raw[i], raw[i + 1])]
    groups = [(g, counts(list(g.values))) for g in series if g.values is not None and len(g.values)]
    bins = [i for i in bins if all(i < len(v) for _, v in groups)]
    if not bins or not groups:
        return [], []
    full = [i for i in bins if any(v[i] > 0 for _, v in groups)]
    if full:  # one empty bin at either side says that the rows end there; more of them only take room
        bins = [i for i in bins if full[0] - 1 <= i <= full[-1] + 1]
    step = -(-len(bins) // MOST_BINS)
    merged = [bins[i : i + step] for i in range(0, len(bins), step)]
    borders = [float(raw[m[0]] or 0) for m in merged] + [float(raw[merged[-1][-1] + 1] or 0)]
    if any(not b > a for a, b in itertools.pairwise(borders)):
        return [], []
    return borders, [Series(g.name, g.role, [sum(v[i] for i in m) for m in merged]) for g, v in groups]


def span(a: float, b: float, form: Format, whole: bool) -> str:
    """What a bin holds, in words: of whole numbers those from a to b - 1."""
    if not whole:
        return f"{form(a)} to {form(b)}"
    return form(a) if b - a <= 1 else f"{form(a)} to {form(b - 1)}"


def _ascends(a: float | None, b: float | None) -> bool:
    return a is not None and b is not None and b > a


def _outline(x: Axis, y: Axis, borders: Sequence[float], heights: Sequence[float], role: str) -> Markup:
    parts, points = [], list[tuple[float, float]]()
    for i, height in enumerate([*heights, 0.0]):
        if height > 0:
            points = points or [(x(borders[i]), y(0))]
            points += [(x(borders[i]), y(height)), (x(borders[i + 1]), y(height))]
        elif points:
            parts.append(path([*points, (points[-1][0], y(0))], f"area {role}", close=role == "pool"))
            points = []
    return join(parts)


def _hover(
    x: Axis, borders: Sequence[float], groups: Sequence[Series], totals: Sequence[float], form: Format, whole: bool
) -> Markup:
    """Unseen bars that tell their numbers to a pointer."""
    parts = []
    for i, (a, b) in enumerate(itertools.pairwise(borders)):
        told = [
            f"{g.name} {number(g.values[i])} ({share(g.values[i], t)})" for g, t in zip(groups, totals, strict=True)
        ]
        title = element("title", escape(f"{span(a, b, form, whole)}: " + ", ".join(told)))
        parts.append(element("rect", title, x=x(a), y=_TOP, width=x(b) - x(a), height=_HEIGHT, class_="hover"))
    return join(parts)


def _name(x: Axis, row: Range, form: Format) -> tuple[tuple[str, str, float, float], float]:
    """What stands beside a range (words, anchor, x, offset), to whichever side has room, else above; and its height."""
    words = f"{row.name} {form(row.p50)} ({form(row.p5)} to {form(row.p95)})"
    a, b, need = x(row.p5), x(row.p95), extent(words) + 10
    if x.end - b > need:
        return (words, "start", b + 10, 4), 20
    if a - x.start > need:
        return (words, "end", a - 10, 4), 20
    return (words, "middle", inside((a + b) / 2, words, x.start, x.end), -7), 33


def _strip(x: Axis, y: float, row: Range, words: str, anchor: str, at: float, offset: float) -> Markup:
    """5th to 95th percentile as a line, the median as a dot."""
    a, b, kind = x(row.p5), x(row.p95), f"whisker {row.role}"
    ends = [line(a, y - 4, a, y + 4, kind), line(b, y - 4, b, y + 4, kind)]
    name = label(at, y + offset, words, f"name {row.role}", anchor, x.end - x.start)
    return join([line(a, y, b, y, kind), *ends, circle(x(row.p50), y, 4.5, f"dot {row.role}"), name])


def _table(
    borders: Sequence[float],
    groups: Sequence[Series],
    totals: Sequence[float],
    form: Format,
    quantity: str,
    whole: bool,
) -> Markup:
    head = [quantity, *(name for g in groups for name in (g.name, f"{g.name}, share"))]
    rows = [
        [
            escape(span(a, b, form, whole)),
            *(
                escape(words)
                for g, t in zip(groups, totals, strict=True)
                for words in (number(g.values[i]), share(g.values[i], t))
            ),
        ]
        for i, (a, b) in enumerate(itertools.pairwise(borders))
    ]
    return table(head, rows, f"Rows by {quantity}")
