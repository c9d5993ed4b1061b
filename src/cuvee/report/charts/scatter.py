"""One result of each trial over another, with the line or curve through them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..markup import isolated, table
from ..text import Markup, cut, escape
from .svg import Chart, Format, axis, both, bottom, circle, extent, frame, left, nothing, path

MOST_DOTS, MOST_LISTED = 400, 200
_HEIGHT, _TOP, _STEPS = 260, 26, 48


@dataclass(frozen=True)
class Dot:
    """A trial: the arm that it is of and how that is drawn, and its two results."""

    name: str
    role: str
    x: float
    y: float


def scatter(
    dots: Sequence[Dot], coefficients: Sequence[float], form: Format, x_name: str, y_name: str, measure: str
) -> Chart:
    """Dots, and a + b x + c x^2 as far as they reach.

    Args:
        coefficients: a, b and c; anything else draws none. ``measure``: of both axes.
    """
    x_name, y_name = cut(x_name, 30), cut(y_name, 30)
    numbers = table(
        ["Arm", x_name, y_name],
        [[isolated(one.name, 60), escape(form(one.x)), escape(form(one.y))] for one in dots[:MOST_LISTED]],
        f"{measure} of every trial",
        more=len(dots) - MOST_LISTED,
    )
    shown = dots[:MOST_DOTS]
    if not shown:
        return nothing("Nothing to draw.", numbers)
    xs, ys = [one.x for one in shown], [one.y for one in shown]
    low, high = _room(xs)
    bottom_value, top_value = _room(ys)
    fitted = list[tuple[float, float]]()
    if len(coefficients) == 3:
        a, b, c = coefficients
        at = [min(xs) + (max(xs) - min(xs)) * step / _STEPS for step in range(_STEPS + 1)]
        fitted = [(v, a + b * v + c * v * v) for v in at]
        fitted = [(v, w) for v, w in fitted if bottom_value <= w <= top_value]

    def draw(width: int) -> Markup:
        y = axis(bottom_value, top_value, _TOP + _HEIGHT, _TOP)
        margin = 14 + max((extent(form(tick)) for tick in y.ticks(4)), default=0)
        x = axis(low, high, margin, width - 14)
        parts = [left(y, 1, width - 1, form, 4, y_name if width > 500 else cut(y_name, 16))]
        parts.append(path([(x(v), y(w)) for v, w in fitted], "line pool"))
        for one in shown:
            told = f"{cut(one.name, 40)}: {form(one.x)}, {form(one.y)}"
            plain = one.role == "pool"
            parts.append(circle(x(one.x), y(one.y), 3.5, "ring" if plain else f"dot {one.role}", told))
        parts.append(bottom(x, _TOP + _HEIGHT + 10, form, x_name if width > 500 else cut(x_name, 16)))
        return frame(
            width, _TOP + _HEIGHT + 36, f"{measure} {y_name} over {measure} {x_name}, {len(shown)} trials", *parts
        )

    return both(draw, numbers)


def _room(values: Sequence[float]) -> tuple[float, float]:
    """Least and largest with a little room about them."""
    span = max(values) - min(values) or abs(values[0]) or 1.0
    return min(values) - 0.08 * span, max(values) + 0.08 * span
