"""What all charts share: axes, ticks, labels that do not collide, and the frame around a drawing.

Every chart is drawn twice, for a wide and for a narrow column, and the style sheet shows one of them: letters keep
their size on a telephone. Colours are classes ("pool", "kept", "random") that the style sheet fills in for light,
dark and paper; lightness and shape differ too, so that nobody depends on hue.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..markup import EMPTY, element
from ..text import Markup, cut, escape, fit, visible
from ..text import width as columns

WIDE, NARROW = 760, 360
LETTER = 7.1
"""Width of a letter of the charts' type size in pixels, on the generous side."""
Format = Callable[[float], str]


@dataclass(frozen=True)
class Chart:
    """A drawing in two widths and the numbers behind it."""

    wide: Markup
    narrow: Markup
    table: Markup


@dataclass(frozen=True)
class Series:
    """Counts of one group of rows. ``role`` is "pool", "kept" or "random" and decides how it is drawn."""

    name: str
    role: str
    values: Sequence[float]


@dataclass(frozen=True)
class Axis:
    """Maps numbers to pixels, linearly or by logarithm; numbers outside are moved to the nearer end."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        value = min(self.high, max(self.low, value))
        if self.log:
            part = math.log(value / self.low) / math.log(self.high / self.low)
        else:
            part = (value - self.low) / (self.high - self.low)
        return self.start + part * (self.end - self.start)

    def ticks(self, most: int = 6) -> list[float]:
        """Round numbers inside the axis, about ``most`` of them, ascending."""
        return _log_ticks(self.low, self.high, most) if self.log else _linear_ticks(self.low, self.high, most)


def axis(low: float, high: float, start: float, end: float, log: bool = False) -> Axis:
    """An axis over at least a little range, so that equal values stand in the middle instead of nowhere."""
    if log:
        low, high = max(low, 1e-12), max(high, 1e-12)
        if high < low * 1.0001:
            low, high = low / 2, high * 2
    elif not high - low > 1e-9 * max(1e-9, abs(low), abs(high)):
        spread = 0.5 * max(1e-9, abs(low))
        low, high = low - spread, high + spread
    return Axis(low, high, start, end, log)


def _linear_ticks(low: float, high: float, most: int) -> list[float]:
    raw = max((high - low) / max(1, most), sys.float_info.min)
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * m for m in (1, 2, 5, 10) if power * m >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    digits = max(12, 3 - math.floor(math.log10(step)))
    return [round(k * step, digits) + 0.0 for k in range(first, min(last, first + 50) + 1)]


def _log_ticks(low: float, high: float, most: int) -> list[float]:
    decades = range(math.floor(math.log10(low)) - 1, math.ceil(math.log10(high)) + 1)
    for factors in ((1, 2, 3, 5), (1, 2, 5), (1, 3), (1,)):
        ticks = [f * 10.0**d for d in decades for f in factors if low * 0.9999 <= f * 10.0**d <= high * 1.0001]
        if len(ticks) <= most:
            break
    step = -(-len(ticks) // most) if ticks else 1
    ticks = ticks[::step]
    return ticks if len(ticks) >= 2 else sorted({low, high})


def label(x: float, y: float, value: str, kind: str = "", anchor: str = "start", room: float = 10_000) -> Markup:
    """A line of text; cut with an ellipsis where it would need more than ``room`` pixels."""
    shown = visible(value).replace("\n", " ").replace("\t", " ")
    return element(
        "text", escape(fit(shown, max(1, int(room / LETTER)))), x=x, y=y, class_=kind or None, text_anchor=anchor
    )


def inside(x: float, words: str, start: float, end: float) -> float:
    """Where the middle of a label stands so that it is near x and does not leave the frame."""
    half = extent(words) / 2
    return min(max(x, start + half), end - half)


def extent(value: str) -> float:
    """Pixels that a label needs."""
    return columns(visible(value)) * LETTER


def line(x1: float, y1: float, x2: float, y2: float, kind: str) -> Markup:
    return element("line", x1=x1, y1=y1, x2=x2, y2=y2, class_=kind)


def circle(x: float, y: float, r: float, kind: str, title: str = "") -> Markup:
    return element("circle", element("title", escape(title)) if title else EMPTY, cx=x, cy=y, r=r, class_=kind)


def path(points: Sequence[tuple[float, float]], kind: str, close: bool = False) -> Markup:
    """Straight lines through the points."""
    if not points:
        return EMPTY
    steps = "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
    return element("path", d=f"M{steps}{'Z' if close else ''}", class_=kind)


def bottom(scale: Axis, y: float, form: Format, note: str = "") -> Markup:
    """The horizontal axis: a rule, ticks, labels that do not touch each other, and what is measured at its end."""
    parts = [line(scale.start, y, scale.end, y, "rule")]
    free = -1e9
    until = scale.end - (extent(note) + 14 if note else 0)
    for tick in scale.ticks(max(2, int((scale.end - scale.start) / 90))):
        x, words = scale(tick), form(tick)
        half = extent(words) / 2
        at = inside(x, words, scale.start, scale.end)
        parts.append(line(x, y, x, y + 4, "rule"))
        if at - half > free and at + half < until + 0.5:
            parts.append(label(at, y + 18, words, "tick", "middle"))
            free = at + half + 8
    if note:
        parts.append(label(scale.end, y + 18, note, "note", "end"))
    return Markup("".join(parts))


def left(scale: Axis, x1: float, x2: float, form: Format, most: int = 3, note: str = "") -> Markup:
    """Horizontal grid lines with their values written on them, at the left."""
    ticks = [tick for tick in scale.ticks(most) if abs(scale(tick) - scale.start) > 12]
    parts = []
    for i, tick in enumerate(ticks):
        y = scale(tick)
        words = form(tick) + (f" {note}" if note and i == len(ticks) - 1 else "")
        parts += [line(x1, y, x2, y, "grid"), label(x1, y - 4, words, "tick")]
    return Markup("".join(parts))


def frame(width: int, height: float, alt: str, *parts: Markup) -> Markup:
    """The drawing itself, with one sentence for those who cannot see it."""
    return element(
        "svg",
        *parts,
        viewBox=f"0 0 {width} {height:.0f}",
        width=width,
        height=round(height),
        role="img",
        aria_label=cut(visible(alt), 300),
        class_="wide" if width == WIDE else "narrow",
    )


def both(draw: Callable[[int], Markup], table: Markup) -> Chart:
    """A chart drawn in both widths."""
    return Chart(draw(WIDE), draw(NARROW), table)


def nothing(reason: str, table: Markup) -> Chart:
    """Stands in for a chart without data."""

    def draw(width: int) -> Markup:
        middle = label(width / 2, 46, reason, "note", "middle", width)
        return frame(width, 80, reason, element("rect", x=1, y=1, width=width - 2, height=78, class_="hollow"), middle)

    return both(draw, table)
