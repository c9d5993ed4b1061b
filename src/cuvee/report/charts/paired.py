"""Paired differences around zero: a forest of comparisons with their intervals, and the same seed by seed.

Left is better, since a loss that falls is a gain. What an interval shows is told by a word and by a shape: a filled dot
(better), a square (worse), a small grey dot (equivalent), a ring (not shown).
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..figures import NONE, number
from ..markup import EMPTY, element, isolated, join, table
from ..text import Markup, cut, escape
from .svg import NARROW, Axis, Chart, Format, axis, both, circle, extent, frame, inside, label, line, nothing, path

ROLES = {"better": "better", "worse": "worse", "equivalent": "same"}
"""How a verdict is drawn; every other one is open."""
MOST_SEEDS = 50
_TOP, _NAMES, _VERDICT = 46, 210, 12
_LONGEST = 80


@dataclass(frozen=True)
class Difference:
    """One comparison: mean difference, interval, verdict, and the differences of which it is the mean.

    ``depth`` 0 for a whole evaluation set, 1 for a subgroup of the one above.
    """

    name: str
    mean: float
    low: float | None = None
    high: float | None = None
    verdict: str = ""
    depth: int = 0
    values: Sequence[float | None] = ()

    @property
    def role(self) -> str:
        return ROLES.get(self.verdict, "open")


@dataclass(frozen=True)
class _Row:
    """One line of the drawing: what stands to the left, to the right, and the mark between. No mark: a heading."""

    name: str
    depth: int = 0
    value: str = ""
    brief: str = ""
    verdict: str = ""
    role: str = ""
    mark: Callable[[Axis, float], Markup] | None = None


def span(form: Format, low: float | None, high: float | None) -> str:
    """An interval in brackets; an end that is not known or not finite is a dash."""
    if low is None and high is None:
        return NONE
    return f"[{NONE if low is None else form(low)}, {NONE if high is None else form(high)}]"


def forest(
    rows: Sequence[Difference | str], form: Format, unit: str, margin: float | None = None, more: str = ""
) -> Chart:
    """A row per comparison, its interval as a line and its mean as a mark. Strings are headings.

    Args:
        margin: differences smaller than this count as equivalent; drawn as a band around zero.
        more: a sentence on what was left out.
    """
    found = [row for row in rows if isinstance(row, Difference)]
    numbers = _numbers(rows, form, unit)
    if not found:
        return nothing("No comparison to draw.", numbers)
    drawn = [
        _Row(cut(row, _LONGEST))
        if isinstance(row, str)
        else _Row(
            cut(row.name, _LONGEST),
            row.depth,
            f"{form(row.mean)} {span(form, row.low, row.high) if _known(row) else '(no interval)'}",
            form(row.mean),
            cut(row.verdict, _VERDICT),
            row.role,
            _interval(row, form),
        )
        for row in rows
    ]
    told = ", ".join(f"{cut(r.name, 40)} {form(r.mean)} {cut(r.verdict, _VERDICT)}" for r in found[:6])
    limits = _limits(found, margin)
    return both(lambda width: _draw(width, drawn, limits, f"Paired differences: {told}", 28, margin, more), numbers)


def seeds(rows: Sequence[Difference | str], names: Sequence[str], form: Format, more: str = "") -> Chart:
    """A row per comparison, a dot per seed at a height of its own, behind them mean and interval.

    Strings are headings.
    """
    found = [row for row in rows if isinstance(row, Difference) and any(v is not None for v in row.values)]
    names = [cut(name, 20) for name in names[:MOST_SEEDS]]
    most = min(MOST_SEEDS, max((len(row.values) for row in found), default=0))
    names += [f"no. {i + 1}" for i in range(len(names), most)]
    numbers = table(
        ["", "Mean", *(f"Seed {name}" for name in names)],
        [
            [
                name,
                escape(form(row.mean)),
                *(escape(NONE if v is None else form(v)) for v in (*row.values, *[None] * len(names))[: len(names)]),
            ]
            for name, row in _headed(rows)
        ],
        "Paired differences by seed",
    )
    if not found:
        return nothing("No seed to draw.", numbers)
    drawn = [_Row(cut(row, _LONGEST)) if isinstance(row, str) else _seeds(row, names, form) for row in rows]
    values = [v for row in found for v in row.values[:MOST_SEEDS] if v is not None] + [row.mean for row in found]
    most_far = 2.0 * max(max(values) - min(values), *map(abs, values), 0.0)  # one wide interval must not hide all dots
    for row in found:
        if row.low is not None and row.high is not None and most_far:
            values += [max(row.low, row.mean - most_far), min(row.high, row.mean + most_far)]
    limits = _around(min(0.0, *values), max(0.0, *values))
    told = ", ".join(f"{cut(row.name, 40)} {row.value}" for row in [r for r in drawn if r.mark][:6])
    return both(lambda width: _draw(width, drawn, limits, f"Differences by seed: {told}", 44, None, more), numbers)


def _seeds(row: Difference, names: Sequence[str], form: Format) -> _Row:
    known = [v for v in row.values if v is not None]
    agree = f"{sum(v < 0 for v in known):,} of {len(known):,} better"
    role = "better" if all(v < 0 for v in known) else ""
    return _Row(cut(row.name, _LONGEST), 0, agree, agree, "", role, _dots(row, names, form))


def _headed(rows: Sequence[Difference | str]) -> list[tuple[Markup, Difference]]:
    """Every comparison with its name, after the heading under which it stands."""
    made, heading = list[tuple[Markup, Difference]](), ""
    for row in rows:
        if isinstance(row, str):
            heading = row
            continue
        name = isolated(row.name, _LONGEST)
        made.append((join([isolated(heading, _LONGEST), escape(": "), name]) if heading else name, row))
    return made


def _known(row: Difference) -> bool:
    return row.low is not None or row.high is not None


def _limits(rows: Sequence[Difference], margin: float | None) -> tuple[float, float]:
    """What the axis covers: every mean, and intervals unless they are much wider than most of them."""
    halves = [
        max(row.mean - row.low, row.high - row.mean) for row in rows if row.low is not None and row.high is not None
    ]
    most = 4 * statistics.median(halves) if halves else 0.0
    values = [0.0, *(row.mean for row in rows), *([margin, -margin] if margin is not None else [])]
    values += [max(row.low, row.mean - most) for row in rows if row.low is not None]
    values += [min(row.high, row.mean + most) for row in rows if row.high is not None]
    return _around(min(values), max(values))


def _around(low: float, high: float) -> tuple[float, float]:
    """Room at both sides of zero, where the directions are named."""
    room = 0.26 * max(-low, high)
    return (min(low, -room), max(high, room)) if room > 0 else (-1.0, 1.0)


def _draw(
    width: int,
    rows: Sequence[_Row],
    limits: tuple[float, float],
    alt: str,
    step: int,
    margin: float | None,
    more: str,
) -> Markup:
    stacked = width == NARROW
    words = max(extent(row.value) for row in rows)
    verdicts = max(extent(row.verdict) for row in rows)
    room = max((extent(row.name) + 14 * row.depth for row in rows if row.mark), default=0.0)
    start = 8 if stacked else min(_NAMES + (60 if words < 130 else 0), room) + 16
    end = width - 8 if stacked else width - words - (verdicts + 12 if verdicts else 0) - 14
    x = axis(*limits, start, max(end, start + 60))
    heights = [(30 if row.mark is None else step + 18 * stacked) for row in rows]
    low = _TOP + sum(heights)
    parts = [_ground(x, low, width, margin)]
    at: float = _TOP
    for row, height in zip(rows, heights, strict=True):
        parts.append(_line(row, x, at, height, width, verdicts, stacked))
        at += height
    if more:
        parts.append(label(1, low + 20, more, "note", room=width - 2))
    return frame(width, low + (28 if more else 6), alt, *parts)


def _line(row: _Row, x: Axis, at: float, height: float, width: int, verdicts: float, stacked: bool) -> Markup:
    indent = 14.0 * row.depth
    name = "name sub" if row.depth else "name"
    if row.mark is None:
        return label(1, at + 21, row.name, "name head halo", room=width - 2)
    if stacked:
        told = " ".join(part for part in (row.brief, row.verdict) if part)
        return join(
            [
                label(1 + indent, at + 14, row.name, f"{name} halo", room=width - extent(told) - indent - 14),
                label(width - 1, at + 14, told, f"value {row.role} halo", "end"),
                row.mark(x, at + 18 + (height - 18) / 2),
            ]
        )
    y = at + height / 2
    right = width - 1 - (verdicts + 12 if verdicts else 0)
    return join(
        [
            label(1 + indent, y + 4, row.name, name, room=x.start - 14 - indent),
            row.mark(x, y),
            label(right, y + 4, row.value, "name sub" if row.depth else "name", "end"),
            label(right + 12, y + 4, row.verdict, f"value {row.role}") if row.verdict else EMPTY,
        ]
    )


def _ground(x: Axis, low: float, width: int, margin: float | None) -> Markup:
    """Margin, grid, zero line, and which side of it is better."""
    zero = x(0)
    parts = []
    if margin is not None and margin > 0:
        a, b = x(-margin), x(margin)
        parts.append(
            element("rect", x=a, y=_TOP - 8, width=max(b - a, 2.0), height=float(low - _TOP + 8), class_="margin")
        )
    free = -1e9
    for tick in x.ticks(6):
        words = number(tick)
        at = inside(x(tick), words, 0, width)
        parts.append(line(x(tick), _TOP - 8, x(tick), low, "grid"))
        if at - extent(words) / 2 > free:
            parts.append(label(at, _TOP - 14, words, "tick", "middle"))
            free = at + extent(words) / 2 + 6
    parts.append(line(zero, _TOP - 8, zero, low, "zero"))
    parts += [label(zero - 7, 14, "← better", "note", "end"), label(zero + 7, 14, "worse →", "note")]
    return join(parts)


def _interval(row: Difference, form: Format) -> Callable[[Axis, float], Markup]:
    told = f"{cut(row.name, _LONGEST)}: {form(row.mean)} {span(form, row.low, row.high)} {cut(row.verdict, _VERDICT)}"
    kind = f"whisker {row.role}{' sub' if row.depth else ''}"

    def mark(x: Axis, y: float) -> Markup:
        parts = []
        if _known(row):
            a = x.low if row.low is None else row.low
            b = x.high if row.high is None else row.high
            parts.append(line(x(a), y, x(b), y, kind))
            parts += [_end(x, y, a, row.low is None, -1, kind), _end(x, y, b, row.high is None, 1, kind)]
        return join([*parts, _symbol(x(row.mean), y, 4.0 if row.depth else 6.0, row.role, told)])

    return mark


def _end(x: Axis, y: float, value: float, open_: bool, side: int, kind: str) -> Markup:
    """A small cap where an interval ends, an arrow where it goes on outside."""
    at = x(value)
    if open_ or value < x.low or value > x.high:
        return path([(at - 5 * side, y - 5), (at, y), (at - 5 * side, y + 5)], f"{kind} open")
    return line(at, y - 4, at, y + 4, kind)


def _symbol(x: float, y: float, r: float, role: str, told: str) -> Markup:
    if role == "worse":
        title = element("title", escape(told))
        return element(
            "rect", title, x=x - r + 0.5, y=y - r + 0.5, width=2 * r - 1, height=2 * r - 1, class_="dot worse"
        )
    if role == "same":
        return circle(x, y, r - 1, "dot same", told)
    return circle(x, y, r, "dot better" if role == "better" else "ring", told)


def _dots(row: Difference, names: Sequence[str], form: Format) -> Callable[[Axis, float], Markup]:
    values = row.values[:MOST_SEEDS]

    def mark(x: Axis, y: float) -> Markup:
        parts = []
        if row.low is not None and row.high is not None:
            a, b = x(row.low), x(row.high)
            parts.append(element("rect", x=a, y=y - 12, width=max(b - a, 1.0), height=24, class_="span"))
        parts.append(line(x(row.mean), y - 15, x(row.mean), y + 15, "mean"))
        for i, value in enumerate(values):
            if value is not None:
                height = y + 20 * ((i + 0.5) / len(values) - 0.5)
                parts.append(circle(x(value), height, 3.5, "dot seed", f"seed {names[i]}: {form(value)}"))
        return join(parts)

    return mark


def _numbers(rows: Sequence[Difference | str], form: Format, unit: str) -> Markup:
    known = _headed(rows)
    body = [
        [
            name,
            escape(row.verdict, _VERDICT),
            escape(form(row.mean)),
            escape(span(form, row.low, row.high)),
        ]
        for name, row in known[:200]
    ]
    caption = f"Difference in {cut(unit, _LONGEST)}"
    return table(["", "Verdict", "Difference", "Interval"], body, caption, words=2, more=len(known) - 200)
