"""Lines: a median with its band over a quantity, and growth on two logarithmic axes."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from ..figures import brief, finite, number, short
from ..markup import table
from ..text import Markup, escape
from .svg import Chart, Format, axis, both, bottom, circle, extent, frame, label, left, nothing, path

_HEIGHT, _TOP = 230, 22
MOST_POINTS = 80
Point = tuple[float, float, float, float]


def band(
    edges: Sequence[float],
    low: Sequence[float | None],
    middle: Sequence[float | None],
    high: Sequence[float | None],
    form: Format,
    quantity: str,
    measure: str,
    log: bool = True,
) -> Chart:
    """The middle value of a measure per bin of a quantity, and the range that holds eight rows in ten.

    Bins without a middle interrupt the line. A line that runs flat says that the measure does not follow the quantity.
    """
    runs = _runs(edges, low, middle, high, log)
    points = [point for run in runs for point in run]
    numbers = table(
        [quantity, "10th percentile", "Median", "90th percentile"],
        [[escape(form(x)), *(escape(number(v)) for v in values)] for x, *values in points],
        f"{measure} by {quantity}",
    )
    if not points:
        return nothing("Nothing to draw.", numbers)
    bottom_value, top_value = min(p[1] for p in points), max(p[3] for p in points)
    slope = f"from {number(points[0][2])} at {form(points[0][0])} to {number(points[-1][2])} at {form(points[-1][0])}"

    def draw(width: int) -> Markup:
        y = axis(bottom_value, top_value, _TOP + _HEIGHT, _TOP)
        ticks = y.ticks(4)
        margin = 14 + max((extent(number(tick)) for tick in ticks[:-1]), default=0)
        x = axis(points[0][0], points[-1][0], margin, width - 14, log)
        parts = []
        for run in runs:
            around = [(x(p[0]), y(p[1])) for p in run] + [(x(p[0]), y(p[3])) for p in reversed(run)]
            parts.append(path(around, "band", close=True))
        parts.append(left(y, 1, width - 1, lambda v: f"{measure} {number(v)}" if v == ticks[-1] else number(v), 4))
        for run in runs:
            parts.append(path([(x(p[0]), y(p[2])) for p in run], "line kept"))
            parts += [circle(x(p[0]), y(p[2]), 2.5, "dot kept", f"{form(p[0])}: {number(p[2])}") for p in run]
        for point, beside, anchor in ((points[0], points[1:2], "start"), (points[-1], points[-2:-1], "end")):
            under = beside and beside[0][2] > point[2]  # the line comes from above, so its end is named below
            at = y(point[2]) + (20 if under else -10)
            parts.append(label(x(point[0]), at, number(point[2]), "value halo kept", anchor))
            if len(points) == 1:
                break
        parts.append(bottom(x, _TOP + _HEIGHT + 10, form, quantity))
        return frame(width, _TOP + _HEIGHT + 36, f"Median {measure} by {quantity}: {slope}", *parts)

    return both(draw, numbers)


def _runs(
    edges: Sequence[float],
    low: Sequence[float | None],
    middle: Sequence[float | None],
    high: Sequence[float | None],
    log: bool,
) -> list[list[Point]]:
    """Unbroken stretches of bins with a known middle, each bin at its centre."""
    runs: list[list[Point]] = [[]]
    bins = min(max(0, len(edges) - 1), len(middle))
    step = max(1, -(-bins // MOST_POINTS))
    for i in range(0, bins, step):
        a, b, m = finite(edges[i]), finite(edges[i + 1]), finite(middle[i])
        if a is None or b is None or m is None or b <= a or (log and b <= 0):
            runs.append([])
            continue
        centre = (max(a, b / 4, 1e-12) * b) ** 0.5 if log else (a + b) / 2
        p10 = finite(low[i]) if i < len(low) else None
        p90 = finite(high[i]) if i < len(high) else None
        ascends = not runs[-1] or centre > runs[-1][-1][0]
        if ascends:
            runs[-1].append((centre, min(m, m if p10 is None else p10), m, max(m, m if p90 is None else p90)))
    runs = [run for run in runs if run]
    ascending = all(a[-1][0] < b[0][0] for a, b in itertools.pairwise(runs))
    return runs if ascending else []


def growth(xs: Sequence[float], ys: Sequence[float], exponent: float | None, x_name: str, y_name: str) -> Chart:
    """How many different things (y) were met after so many (x), on logarithmic axes: a power law is a straight line."""
    pairs = [(finite(a), finite(b)) for a, b in zip(xs, ys, strict=False)]
    points = sorted({(a, b) for a, b in pairs if a is not None and b is not None and a > 0 and b > 0})
    step = max(1, -(-len(points) // MOST_POINTS))
    points = points[::-1][::step][::-1]
    numbers = table(
        [x_name, y_name], [[escape(number(a)), escape(number(b))] for a, b in points], f"{y_name} by {x_name}"
    )
    if not points:
        return nothing("Nothing to draw.", numbers)
    told = f"{short(points[-1][1])} after {short(points[-1][0])}"
    slope = f"exponent {number(exponent)}" if finite(exponent) is not None else ""

    def draw(width: int) -> Markup:
        x = axis(points[0][0], points[-1][0], 14, width - 14, True)
        y = axis(min(b for _, b in points), max(b for _, b in points), _TOP + _HEIGHT, _TOP, True)
        parts = [left(y, 1, width - 1, brief, 4, y_name)]
        parts.append(path([(x(a), y(b)) for a, b in points], "line kept"))
        parts += [circle(x(a), y(b), 2.5, "dot kept", f"{short(a)}: {short(b)}") for a, b in points]
        at = x(points[-1][0])
        parts.append(label(at, y(points[-1][1]) - 10, told, "value halo kept", "end"))
        if slope:
            a, b = points[len(points) // 2]
            right = min(x(a) + 12, width - extent(slope) - 4)
            parts.append(label(right, y(b) + 22, slope, "note halo"))
        parts.append(bottom(x, _TOP + _HEIGHT + 10, brief, x_name))
        return frame(width, _TOP + _HEIGHT + 36, f"{y_name}: {told} {x_name}. {slope}", *parts)

    return both(draw, numbers)
