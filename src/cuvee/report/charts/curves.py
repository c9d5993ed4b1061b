"""Losses over tokens: learning curves with their bands, and how far random would have to go to reach a level."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..figures import NONE, brief, short
from ..markup import isolated, table
from ..text import Markup, cut, escape
from .paired import span
from .svg import (
    NARROW,
    Axis,
    Chart,
    Format,
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

_HEIGHT, _TOP, _GAP = 250, 34, 16
MOST_CURVES, MOST_POINTS, MOST_LISTED = 8, 20, 160
_LONGEST = 80
Point = tuple[float, float, float | None, float | None]
"""Tokens, mean, and the low and high end of the band (None: no band there)."""


@dataclass(frozen=True)
class Curve:
    """One line: its name, how it is drawn ("kept", "random", "arm1" to "arm4", "pool"), and its points."""

    name: str
    role: str
    points: Sequence[Point]


@dataclass(frozen=True)
class _Tokens(Axis):
    """A logarithmic axis with its ticks where something was measured, if these places are few."""

    places: tuple[float, ...] = ()

    def ticks(self, most: int = 6) -> list[float]:
        return list(self.places) if 2 <= len(self.places) <= 8 else super().ticks(most)


@dataclass(frozen=True)
class Reach:
    """Where a line meets a level: at ``times`` as many tokens as ``start``. ``bound``: it lies beyond the drawing."""

    name: str
    level: float
    start: float | None
    times: float | None = None
    low: float | None = None
    high: float | None = None
    bound: bool = False


def curves(lines: Sequence[Curve], form: Format, unit: str, quantity: str = "tokens") -> Chart:
    """Lines over a logarithmic axis, named at their ends. Those after the eighth are only in the table."""
    found = [Curve(cut(c.name, _LONGEST), c.role, _thin(c.points)) for c in lines]
    found = [c for c in found if c.points]
    numbers = _numbers(found, form, unit, quantity)
    if not found:
        return nothing("Nothing to draw.", numbers)
    shown, hidden = found[:MOST_CURVES], len(found) - MOST_CURVES
    ends = ", ".join(f"{cut(c.name, 40)} {form(c.points[-1][1])}" for c in shown)

    def draw(width: int) -> Markup:
        most = 104 if width == NARROW else 190
        right = min(most, max(extent(f"{c.name} {form(c.points[-1][1])}") for c in shown)) + 14
        x, y, parts = _plane(width, right, shown, f"{unit}, over {quantity}", ())
        for c in reversed(shown):  # the first lines lie above the others
            parts += _line(c, x, y, form)
        places = _spread([y(c.points[-1][1]) for c in shown])
        for c, at in zip(shown, places, strict=True):
            end = x(c.points[-1][0]), y(c.points[-1][1])
            if abs(at - end[1]) > 3 or end[0] < x.end - 3:
                parts.append(path([(end[0] + 4, end[1]), (x.end + 2, at), (x.end + 7, at)], "leader"))
            parts.append(_named(x.end + 9, at + 4, c, form(c.points[-1][1]), right - 10))
        parts.append(bottom(x, _TOP + _HEIGHT + 10, brief))
        low = _TOP + _HEIGHT + 36
        if hidden > 0:
            parts.append(label(1, low + 12, f"and {hidden:,} more, in the table", "note"))
        return frame(width, low + (20 if hidden > 0 else 0), f"{unit} over {quantity}; at the end {ends}", *parts)

    return both(draw, numbers)


def reach(curve: Curve, goal: Reach, form: Format, unit: str, told: str, quantity: str = "tokens") -> Chart:
    """A line, a level to be reached, and where it reaches it.

    Args:
        told: the reading, such as "4.0 times", to stand at the crossing.
    """
    thin = Curve(cut(curve.name, _LONGEST), curve.role, _thin(curve.points))
    numbers = _numbers([thin], form, unit, quantity)
    if not thin.points:
        return nothing("Nothing to draw.", numbers)
    crossing = _at(goal, goal.times)
    if crossing is None and not goal.bound:
        crossing = _crossing(thin, goal.level)
    name = f"{goal.name} {form(goal.level)}"

    def draw(width: int) -> Markup:
        begin = goal.start if _sane(goal.start) else None
        extra = [v for v in (begin, crossing) if v is not None]
        upper = _at(goal, goal.high)
        if upper is not None and crossing is not None and upper < 3 * crossing:
            extra.append(upper)
        x, y, parts = _plane(width, 14, [thin], f"{unit}, over {quantity}", [goal.level], extra)
        level, floor = y(goal.level), float(_TOP + _HEIGHT + 10)
        parts += _line(thin, x, y, form)
        past = goal.bound or crossing is None
        a = x.start if begin is None else x(begin)
        b = x.end if past or crossing is None else x(crossing)
        parts.append(path([(a, level), (b, level)], "line level"))
        if past:
            parts.append(path([(b - 7, level - 5), (b, level), (b - 7, level + 5)], "line level"))
        else:
            parts += [line(b, level, b, floor, "drop"), circle(b, level, 4.5, "ring kept", told)]
            ends = _at(goal, goal.low), _at(goal, goal.high)
            if ends[0] is not None and ends[1] is not None and ends[0] <= ends[1]:
                parts.append(line(x(ends[0]), floor, x(ends[1]), floor, "reached"))
        if begin is not None:
            parts.append(circle(a, level, 5, "dot kept", f"{name} after {short(begin)}"))
        parts.append(label(inside(a, name, x.start, width), level + 19, name, "value kept halo", "middle"))
        if told:
            side = "end" if b - x.start > (x.end - x.start) / 2 else "start"
            at = b - 8 if side == "end" else b + 8
            parts.append(label(at, floor - 9, told, "value halo", side, width - 40))
        first = thin.points[0]  # a line that falls leaves room above its beginning
        at, room = x(first[0]) + 10, width - x(first[0]) - 10
        parts.append(label(at, y(first[1]) - 2, thin.name, f"value {thin.role} halo", room=room))
        parts.append(bottom(x, floor, brief))
        return frame(width, floor + 26, f"{unit} over {quantity}: {name}; {told}", *parts)

    return both(draw, numbers)


def _sane(tokens: float | None) -> bool:
    """Whether a logarithmic axis can hold it."""
    return tokens is not None and 1e-3 < tokens < 1e21


def _at(goal: Reach, times: float | None) -> float | None:
    if goal.start is None or times is None or not _sane(goal.start) or not 1e-6 < times < 1e9:
        return None
    return goal.start * times


def _crossing(curve: Curve, level: float) -> float | None:
    """Where the line between two points first meets the level; None where it never does."""
    for (x1, y1, _, _), (x2, y2, _, _) in zip(curve.points, curve.points[1:], strict=False):
        if y1 >= level >= y2 and y1 > y2:
            return float(x1 * (x2 / x1) ** ((y1 - level) / (y1 - y2)))
    return None


def _thin(
    points: Sequence[Point],
) -> list[Point]:
    """Points with tokens that can be drawn, ascending, few enough to be drawn; the last one always stays."""
    known = sorted({p[0]: p for p in points if _sane(p[0])}.values())
    step = max(1, -(-len(known) // MOST_POINTS))
    return known[::-1][::step][::-1]


def _plane(
    width: int, right: float, lines: Sequence[Curve], unit: str, levels: Sequence[float], extra: Sequence[float] = ()
) -> tuple[Axis, Axis, list[Markup]]:
    """Both axes and the horizontal grid. Levels get room below them for their names."""
    values = [v for c in lines for p in c.points for v in p[1:] if v is not None]
    low, high = min(*values, *levels, values[0]), max(*values, *levels, values[0])
    if levels:
        room = 0.3 * (high - low)
        low, high = (low - room, high + 0.1 * room) if room > 0 else (low, high)
    y = axis(low, high, _TOP + _HEIGHT, _TOP)
    margin = 12 + max((extent(brief(t)) for t in y.ticks(4)), default=0)
    tokens = [p[0] for c in lines for p in c.points] + list(extra)
    plain = axis(min(tokens), max(tokens), margin, width - right, True)
    places = tuple(sorted({p[0] for c in lines for p in c.points}))
    x = _Tokens(plain.low, plain.high, plain.start, plain.end, True, places)
    return x, y, [label(1, 12, unit, "note", room=width - 2), left(y, 1, x.end, brief, 4)]


def _line(c: Curve, x: Axis, y: Axis, form: Format) -> list[Markup]:
    parts = []
    around = [(p[0], p[2], p[3]) for p in c.points if p[2] is not None and p[3] is not None]
    if len(around) > 1:
        above = [(x(t), y(high)) for t, _, high in around if high is not None]
        below = [(x(t), y(low)) for t, low, _ in around if low is not None]
        parts.append(path([*above, *reversed(below)], f"band {c.role}", close=True))
    parts.append(path([(x(p[0]), y(p[1])) for p in c.points], f"line {c.role}"))
    for p in c.points:
        parts.append(circle(x(p[0]), y(p[1]), 3, f"dot {c.role}", f"{cut(c.name, 16)}, {short(p[0])}: {form(p[1])}"))
    return parts


def _named(x: float, y: float, c: Curve, value: str, room: float) -> Markup:
    """The name at a line's end, and the value if both fit."""
    whole = f"{c.name} {value}"
    return label(x, y, whole if extent(whole) <= room else c.name, f"value {c.role} halo", room=room)


def _spread(places: Sequence[float]) -> list[float]:
    """The same heights, moved apart so that labels do not touch, within the drawing."""
    order = sorted(range(len(places)), key=lambda i: places[i])
    moved = list(places)
    free = -1e9
    for i in order:
        moved[i] = free = max(moved[i], free + _GAP)
    free = _TOP + _HEIGHT + _GAP
    for i in reversed(order):
        moved[i] = free = min(moved[i], free - _GAP)
    return moved


def _numbers(lines: Sequence[Curve], form: Format, unit: str, quantity: str) -> Markup:
    rows = [(c, p) for c in lines for p in c.points]
    return table(
        ["", quantity, cut(unit, _LONGEST), "Seeds' band"],
        [
            [
                isolated(c.name, 40),
                escape(short(p[0])),
                escape(form(p[1])),
                escape(span(form, p[2], p[3]) if p[2] is not None or p[3] is not None else NONE),
            ]
            for c, p in rows[:MOST_LISTED]
        ],
        f"{cut(unit, _LONGEST)} by {quantity}",
        more=len(rows) - MOST_LISTED,
    )
