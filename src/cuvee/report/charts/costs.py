"""What a gain costs: the difference to random over the time that selection and training took together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..figures import NONE, duration, number
from ..markup import isolated, table
from ..text import Markup, cut, escape
from .paired import span
from .svg import Axis, Chart, Format, axis, both, bottom, circle, extent, frame, label, left, line, nothing

MOST_ARMS = 24
_HEIGHT, _TOP = 230, 34
_LONGEST = 80
_CLOCK = tuple(
    unit * factor
    for unit, factors in ((1e-3, (1, 2, 5, 10, 20, 50, 100, 200, 500)), (1, (1, 2, 5, 10, 30)), (60, (1, 2, 5, 10, 30)))
    for factor in factors
) + tuple(3600.0 * factor for factor in (1, 2, 5, 10, 24, 48, 120, 240, 1000, 1e4, 1e5, 1e6))


@dataclass(frozen=True)
class Cost:
    """One arm: how long it took, and its difference to random with an interval."""

    name: str
    role: str
    seconds: float
    select: float | None
    train: float | None
    gain: float
    low: float | None = None
    high: float | None = None


class _Clock(Axis):
    """A logarithmic axis of time, with ticks at which clocks are read."""

    def ticks(self, most: int = 6) -> list[float]:
        found = [t for t in _CLOCK if self.low <= t <= self.high]
        step = max(1, -(-len(found) // max(1, most)))
        return found[::step] if len(found) > 1 else super().ticks(most)


def clock(seconds: float) -> str:
    """A duration without zeros that say nothing: 1 s, 2 h."""
    return duration(seconds).replace(".0 s", " s").replace(" 00 min", "")


def costs(rows: Sequence[Cost], form: Format, unit: str) -> Chart:
    """A dot per arm: time to the right, on a logarithmic axis, and below zero what was gained."""
    numbers = table(
        ["Arm", "Selection", "Training", "Together", "Difference", "Interval"],
        [
            [
                isolated(row.name, _LONGEST),
                *(escape(duration(v)) for v in (row.select, row.train, row.seconds)),
                escape(form(row.gain)),
                escape(span(form, row.low, row.high)),
            ]
            for row in rows[:100]
        ],
        "Cost and gain",
        more=len(rows) - 100,
    )
    known = [row for row in rows if 0 < row.seconds < 1e12]
    if not known:
        return nothing("No cost is known.", numbers)
    shown = known[:MOST_ARMS]
    values = [v for row in shown for v in (row.gain, row.low, row.high) if v is not None]
    told = ", ".join(f"{cut(row.name, 40)} {form(row.gain)} for {clock(row.seconds)}" for row in shown[:6])
    missing = len(rows) - len(shown)

    def draw(width: int) -> Markup:
        low, high = min(0.0, *values, 0.0), max(0.0, *values, 0.0)
        y = axis(low, high + 0.08 * (high - low), _TOP + _HEIGHT, _TOP)
        margin = 20 + max((extent(number(t)) for t in y.ticks(4)), default=0)
        plain = axis(min(r.seconds for r in shown) / 1.5, max(r.seconds for r in shown) * 1.5, margin, width - 14, True)
        x = _Clock(plain.low, plain.high, plain.start, plain.end, True)
        parts = [label(1, 12, f"{unit} against random, over total time", "note", room=width - 2)]
        parts += [left(y, 1, width - 1, number, 4), line(1, y(0), width - 1, y(0), "zero")]
        taken = [(0.0, 1.0, margin - 8, _TOP + _HEIGHT + 0.0)]
        marks = [(x(row.seconds), y(row.gain)) for row in shown]
        taken += [(a - 7, b - 7, a + 7, b + 7) for a, b in marks]
        for row, (a, _) in zip(shown, marks, strict=True):
            if row.low is not None and row.high is not None:
                parts.append(line(a, y(row.low), a, y(row.high), f"whisker {row.role}"))
                taken.append((a - 2, y(row.high), a + 2, y(row.low)))
        for row, (a, b) in zip(shown, marks, strict=True):
            words = f"{cut(row.name, _LONGEST)}, {clock(row.seconds)}: {form(row.gain)} {span(form, row.low, row.high)}"
            parts.append(circle(a, b, 6, f"dot {row.role}", words.removesuffix(f" {NONE}")))
            parts.append(_name(row, a, b, taken, width))
        parts.append(bottom(x, _TOP + _HEIGHT + 10, clock))
        height = _TOP + _HEIGHT + 36
        if missing > 0:
            parts.append(label(1, height + 12, f"and {missing:,} more, in the table", "note"))
        return frame(width, height + (20 if missing > 0 else 0), f"Difference to random by cost: {told}", *parts)

    return both(draw, numbers)


def _name(row: Cost, a: float, b: float, taken: list[tuple[float, float, float, float]], width: int) -> Markup:
    """The name beside its dot, wherever nothing else stands; if there is no such place the table has it."""
    shown = cut(row.name, 24)
    need = extent(shown)
    kind = f"value {row.role} halo"
    for dx, dy, anchor in ((11, 4, "start"), (-11, 4, "end"), (0, -13, "middle"), (0, 21, "middle"), (11, -12, "start"),
                           (-11, -12, "end"), (11, 20, "start"), (-11, 20, "end")):  # fmt: skip
        x, y = a + dx, b + dy
        start = {"start": x, "middle": x - need / 2, "end": x - need}[anchor]
        box = (start, y - 11, start + need, y + 3)
        if box[0] < 0 or box[2] > width or box[1] < 16 or box[3] > _TOP + _HEIGHT + 8:
            continue
        if not any(box[0] < o[2] and o[0] < box[2] and box[1] < o[3] and o[1] < box[3] for o in taken):
            taken.append(box)
            return label(x, y, shown, kind, anchor)
    return Markup("")
