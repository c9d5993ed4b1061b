"""Mixtures: weights with intervals, predicted against measured losses, and the losses of mixtures on a line, in a
triangle (three sources) or on parallel axes (more)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ..figures import number, percent
from ..markup import isolated, join, table
from ..text import Markup, escape
from .svg import (
    NARROW,
    Chart,
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

MOST_ROWS, MOST_LISTED, MOST_AXES = 16, 200, 12
_STEP, _HEIGHT, _TOP = 34, 260, 26
GOOD = 0.25
"""The best quarter of the mixtures is drawn like what is kept."""


@dataclass(frozen=True)
class Weight:
    """A source's proposed share with its interval, and what proportional and uniform give it."""

    name: str
    value: float
    low: float
    high: float
    proportional: float
    uniform: float


@dataclass(frozen=True)
class Mixture:
    """A mixture that was run: its name, shares in the order of the sources, measured and predicted loss."""

    name: str
    shares: Sequence[float]
    loss: float
    predicted: float | None = None


def weights(rows: Sequence[Weight]) -> Chart:
    """A row per source: the interval as a line, the proposal as a dot, proportional as a ring, uniform as a tick."""
    found = sorted(rows, key=lambda row: -row.value)
    head = ["Source", "Weight", "from", "to (90 %)", "Proportional", "Uniform"]
    numbers = table(
        head,
        [
            [isolated(r.name, 80), *(escape(percent(v)) for v in (r.value, r.low, r.high, r.proportional, r.uniform))]
            for r in found[:MOST_LISTED]
        ],
        "Proposed weights",
        more=len(found) - MOST_LISTED,
    )
    if not found:
        return nothing("Nothing to draw.", numbers)
    shown, hidden = found[:MOST_ROWS], len(found) - MOST_ROWS
    peak = max(max(r.high, r.value, r.proportional, r.uniform) for r in shown)

    def draw(width: int) -> Markup:
        stacked = width == NARROW
        words = [percent(r.value) for r in shown]
        room = 170
        start = 8 if stacked else min(room, max(extent(r.name) for r in shown)) + 18
        end = width - 8 if stacked else width - max(map(extent, words)) - 18
        step = _STEP + 14 if stacked else _STEP
        x = axis(0, peak, start, end)
        height = _TOP + len(shown) * step
        ticks = x.ticks(4)
        parts = [line(x(t), _TOP - 8, x(t), height, "grid") for t in ticks]
        parts += [label(inside(x(t), percent(t), 0, width), _TOP - 14, percent(t), "tick", "middle") for t in ticks]
        for i, (row, told) in enumerate(zip(shown, words, strict=True)):
            y = _TOP + i * step + (30 if stacked else 12)
            if stacked:
                parts.append(label(1, y - 13, row.name, "name halo", room=width - extent(told) - 16))
                parts.append(label(width - 1, y - 13, told, "value halo", "end"))
            else:
                parts.append(label(start - 18, y + 4, row.name, "name", "end", room))
                parts.append(label(width - 1, y + 4, told, "value", "end"))
            parts.append(line(x(row.low), y, x(row.high), y, "whisker kept"))
            parts.append(line(x(row.uniform), y - 7, x(row.uniform), y + 7, "mark random"))
            parts.append(circle(x(row.proportional), y, 4, "ring pool", f"proportional {percent(row.proportional)}"))
            told = f"{row.name}: {percent(row.value)} [{percent(row.low)}, {percent(row.high)}]"
            parts.append(circle(x(row.value), y, 5, "dot kept", told))
        if hidden > 0:
            parts.append(label(start, height + 14, f"and {hidden:,} more, in the table", "note"))
        best = shown[0]
        alt = f"Proposed weights; the largest is {best.name} with {percent(best.value)}"
        return frame(width, height + (24 if hidden > 0 else 6), alt, *parts)

    return both(draw, numbers)


def predicted(rows: Sequence[Mixture], unit: str) -> Chart:
    """Measured loss over the loss predicted while the mixture was left out; the line is where both agree."""
    found = [row for row in rows if row.predicted is not None and math.isfinite(row.predicted)]
    numbers = table(
        ["Mixture", "Predicted", "Measured"],
        [
            [isolated(r.name, 60), escape(number(r.predicted)), escape(number(r.loss))]
            for r in sorted(found, key=lambda r: r.loss)[:MOST_LISTED]
        ],
        "Predicted, while left out, and measured losses",
        more=len(found) - MOST_LISTED,
    )
    if not found:
        return nothing("Nothing to draw.", numbers)
    values = [row.loss for row in found]
    span = max(values) - min(values) or abs(values[0]) or 1.0
    low, high = min(values) - 0.1 * span, max(values) + 0.1 * span

    def draw(width: int) -> Markup:
        x = axis(low, high, 46, width - 14)
        y = axis(low, high, _TOP + _HEIGHT, _TOP)
        parts = [left(y, 1, width - 1, lambda v: f"{v:.5g}", 4, f"measured {unit}")]
        parts.append(path([(x(low), y(low)), (x(high), y(high))], "line pool"))
        for row in found:
            assert row.predicted is not None
            told = f"{row.name}: predicted {row.predicted:.4g}, measured {row.loss:.4g}"
            parts.append(circle(x(row.predicted), y(row.loss), 3.5, "dot kept", told))
        parts.append(bottom(x, _TOP + _HEIGHT + 10, lambda v: f"{v:.5g}", "predicted"))
        return frame(width, _TOP + _HEIGHT + 36, f"Measured over predicted loss of {len(found)} mixtures", *parts)

    return both(draw, numbers)


def losses(names: Sequence[str], rows: Sequence[Mixture], best: Sequence[float], surface: Sequence[Sequence[float]],
           unit: str) -> Chart:  # fmt: skip
    """The losses of mixtures by their shares: a curve for two sources, a triangle for three, parallel axes for more.

    Args:
        best: the proposal's shares. ``surface``: shares and the predicted loss on a grid, for up to three sources.
    """
    head = ["Mixture", *names[:MOST_AXES], unit]
    listed = sorted(rows, key=lambda r: r.loss)
    numbers = table(
        head,
        [
            [isolated(r.name, 60), *(escape(percent(s)) for s in r.shares[:MOST_AXES]), escape(number(r.loss))]
            for r in listed[:MOST_LISTED]
        ],
        "Mixtures run and their losses, the best first",
        more=len(listed) - MOST_LISTED,
    )
    if not rows or len(names) < 2:
        return nothing("Nothing to draw.", numbers)
    if len(names) == 2:
        return both(lambda width: _curve(width, names, listed, best, surface, unit), numbers)
    if len(names) == 3:
        return both(lambda width: _triangle(width, names, listed, best, surface), numbers)
    return both(lambda width: _parallel(width, names, listed, best), numbers)


def _good(rows: Sequence[Mixture]) -> int:
    return max(1, math.ceil(GOOD * len(rows)))


def _curve(
    width: int,
    names: Sequence[str],
    rows: Sequence[Mixture],
    best: Sequence[float],
    surface: Sequence[Sequence[float]],
    unit: str,
) -> Markup:
    measured = [row.loss for row in rows]
    span = max(measured) - min(measured) or 1.0
    top = max(measured) + 0.1 * span
    drawn = [(p[0], p[-1]) for p in surface if math.isfinite(p[-1]) and p[-1] <= top + span]
    low = min([*measured, *(v for _, v in drawn)]) - 0.05 * span
    x, y = axis(0.0, 1.0, 46, width - 14), axis(low, top, _TOP + _HEIGHT, _TOP)
    parts = [left(y, 1, width - 1, lambda v: f"{v:.4g}", 4)]
    parts.append(path([(x(a), y(v)) for a, v in drawn], "line kept"))
    parts += [circle(x(r.shares[0]), y(r.loss), 3.5, "dot", f"{r.name}: {r.loss:.4g}") for r in rows]
    parts.append(line(x(best[0]), _TOP, x(best[0]), _TOP + _HEIGHT, "mean"))
    told = f"proposal {percent(best[0])}"
    parts.append(label(inside(x(best[0]), told, 0, width), _TOP - 10, told, "value halo kept", "middle"))
    parts.append(bottom(x, _TOP + _HEIGHT + 10, percent, f"share of {names[0]}"))
    return frame(width, _TOP + _HEIGHT + 36, f"{unit} by the share of {names[0]}", *parts)


def _triangle(
    width: int, names: Sequence[str], rows: Sequence[Mixture], best: Sequence[float], surface: Sequence[Sequence[float]]
) -> Markup:
    side = min(width - 40.0, 420.0)
    x0, y0 = (width - side) / 2, 24 + side * math.sqrt(3) / 2

    def place(shares: Sequence[float]) -> tuple[float, float]:
        return x0 + side * (shares[1] + 0.5 * shares[2]), y0 - side * math.sqrt(3) / 2 * shares[2]

    values = sorted(p[-1] for p in surface if math.isfinite(p[-1]))
    cut = values[len(values) // 10] if values else math.inf
    parts = [path([place(c) for c in ((1, 0, 0), (0, 1, 0), (0, 0, 1))], "rule hollow", close=True)]
    reach = side / 40
    for p in surface:
        if p[-1] <= cut:  # the tenth of all mixtures that the law predicts to be best
            parts.append(circle(*place(p), reach, "band"))
    good = _good(rows)
    for at, row in enumerate(rows):
        told = f"{row.name}: {row.loss:.4g} ({', '.join(percent(s) for s in row.shares)})"
        parts.append(circle(*place(row.shares), 4, "dot kept" if at < good else "dot", told))
    parts.append(circle(*place(best), 8, "ring kept", f"proposal ({', '.join(percent(s) for s in best)})"))
    parts.append(label(x0 - 14, y0 + 20, f"all {names[0]}", "name", room=side / 2))
    parts.append(label(x0 + side + 14, y0 + 20, f"all {names[1]}", "name", "end", side / 2))
    parts.append(label(width / 2, 14, f"all {names[2]}", "name", "middle", side))
    return frame(width, y0 + 32, f"Mixtures of {', '.join(names)} and their losses", *parts)


def _parallel(width: int, names: Sequence[str], rows: Sequence[Mixture], best: Sequence[float]) -> Markup:
    order = sorted(range(len(names)), key=lambda at: -best[at])[: MOST_AXES if width != NARROW else 6]
    right = extent("measured loss")
    columns = len(order) + 1
    step = (width - 24 - right / 2) / (columns - 1)
    peak = max(max(row.shares[at] for at in order) for row in rows)
    share = axis(0.0, max(peak, max(best[at] for at in order)), _TOP + _HEIGHT, _TOP)
    loss = axis(rows[0].loss, rows[-1].loss, _TOP + _HEIGHT, _TOP)
    places = [14 + i * step for i in range(columns)]
    parts = [line(x, _TOP, x, _TOP + _HEIGHT, "grid") for x in places]

    def through(shares: Sequence[float], end: float | None) -> list[tuple[float, float]]:
        points = [(x, share(shares[at])) for x, at in zip(places, order, strict=False)]
        return points if end is None else [*points, (places[-1], loss(end))]

    good = _good(rows)
    others = [path(through(row.shares, row.loss), "leader") for row in rows[good : good + 150][::-1]]
    chosen = [path(through(row.shares, row.loss), "line arm1") for row in rows[:good][:12]]
    parts += [*others, *chosen, path(through(best, None), "line kept")]
    for tick in share.ticks(3):
        parts.append(label(16, share(tick) - 3, percent(tick), "tick halo"))
    low = _TOP + _HEIGHT + 18
    for i, (x, at) in enumerate(zip(places, order, strict=False)):  # names stand on three lines by turns
        half = min(1.5 * step - 4, width - x - 1, x - 1 if i else math.inf)
        anchor, begin = ("middle", x) if i else ("start", 1.0)
        parts.append(label(begin, low + 16 * (i % 3), names[at], "name", anchor, 2 * half if i else half))
    parts.append(label(width - 1, 14, "measured loss", "note", "end"))
    for value in sorted({rows[0].loss, rows[-1].loss}):
        over = -4 if value == rows[0].loss else 14
        parts.append(label(width - 1, loss(value) + over, f"{value:.4g}", "tick halo", "end"))
    hidden = len(names) - len(order)
    if hidden:
        parts.append(label(1, low + 52, f"and {hidden:,} more sources, in the table", "note"))
    return frame(width, low + (60 if hidden else 42), f"Shares of {len(rows)} mixtures on parallel axes", join(parts))
