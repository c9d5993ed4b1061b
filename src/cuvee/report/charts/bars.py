"""Horizontal bars: one row per group, its name to the left, its number at the bar's end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..figures import finite
from ..markup import element, join, table
from ..text import Markup, escape
from .svg import NARROW, Chart, axis, both, extent, frame, label, nothing

MOST_BARS = 14
_STEP = 30


@dataclass(frozen=True)
class Bar:
    """One bar: its name, its length, the words at its end and, by its role, its colour."""

    name: str
    value: float
    words: str
    role: str = "pool"


def bars(rows: Sequence[Bar], caption: str, unit: str, most: int = MOST_BARS, largest_first: bool = True) -> Chart:
    """Bars from zero. What does not fit is counted, never silently left out.

    Args:
        caption: one sentence on what is drawn, for the table and for those who cannot see.
        unit: the heading of the numbers in the table.
    """
    known = [row for row in rows if finite(row.value) is not None]
    if largest_first:
        known = sorted(known, key=lambda row: -row.value)
    numbers = table(
        ["", unit],
        [[element("bdi", escape(row.name, 80)), escape(row.words, 80)] for row in known[:200]],
        caption,
        more=len(known) - 200,
    )
    if not known:
        return nothing("Nothing to draw.", numbers)
    shown, hidden = known[:most], len(known) - most
    lowest, peak = min(0.0, *(r.value for r in shown)), max(0.0, *(r.value for r in shown))

    def draw(width: int) -> Markup:
        stacked = width == NARROW
        room = width - 4 if stacked else 180
        start = 1 if stacked else min(room, max(extent(row.name) for row in shown)) + 12
        end = width - max(extent(row.words) for row in shown) - 10
        step = _STEP + 16 if stacked else _STEP
        x = axis(lowest, peak if peak > lowest else lowest + 1, start, max(end, start + 40))
        parts = []
        for i, row in enumerate(shown):
            y = 8 + i * step + (20 if stacked else 0)
            a, b = sorted((x(0), x(row.value)))
            name = label(1, y - 6, row.name, "name", room=room) if stacked else None
            name = name or label(start - 12, y + 13, row.name, "name", "end", room)
            mark = element("rect", x=a, y=float(y), width=max(b - a, 1.0), height=18, rx=1, class_=f"bar {row.role}")
            parts.append(join([name, mark, label(b + 7, y + 13, row.words, f"value {row.role}")]))
        height = 8 + len(shown) * step
        if hidden > 0:
            parts.append(label(start, height + 14, f"and {hidden:,} more", "note"))
        return frame(width, height + (26 if hidden > 0 else 0), f"{caption}. {_alt(shown)}", *parts)

    return both(draw, numbers)


def _alt(shown: Sequence[Bar]) -> str:
    return ", ".join(f"{row.name} {row.words}" for row in shown[:5])
