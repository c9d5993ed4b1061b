"""Pictures of ``docs/performance.md`` as SVG files, drawn by the reports' own charts and coloured by their style sheet.

A file stands for itself: it carries the part of the style sheet that colours charts, light and dark, and a ground.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files

from cuvee.report.charts import Bar, bars
from cuvee.report.charts.svg import WIDE, axis, bottom, circle, extent, frame, label, left, path
from cuvee.report.figures import brief, number
from cuvee.report.text import Markup

from .measure import ROOT

FOLDER = ROOT / "docs" / "pictures"
_HEIGHT, _TOP, _APART = 300, 24, 17


@dataclass(frozen=True)
class Line:
    """One line: its name, its role in the style sheet ("kept", "arm1", ...), and its points, ascending."""

    name: str
    role: str
    points: Sequence[tuple[float, float]]


def logarithmic(lines: Sequence[Line], x_name: str, y_name: str, told: str) -> Markup:
    """Lines on two logarithmic axes, named at their ends: a power law is straight, and linear growth rises by 1.

    Args:
        told: one sentence for those who cannot see it.
    """
    width, every = WIDE, [point for one in lines for point in one.points]
    right = max(extent(one.name) for one in lines) + 18
    x = axis(min(a for a, _ in every), max(a for a, _ in every), 40, width - right, True)
    y = axis(min(b for _, b in every) / 1.3, max(b for _, b in every) * 1.3, _TOP + _HEIGHT, _TOP, True)
    parts = [left(y, 1, width - right, brief, 5, y_name)]
    order = sorted(lines, key=lambda one: one.points[-1][1], reverse=True)
    free = 0.0
    for one in order:
        parts.append(path([(x(a), y(b)) for a, b in one.points], f"line {one.role}"))
        parts += [circle(x(a), y(b), 3, f"dot {one.role}", f"{brief(a)}: {number(b)}") for a, b in one.points]
        free = max(y(one.points[-1][1]) + 4, free)
        parts.append(label(x.end + 10, free, one.name, f"value {one.role}"))
        free += _APART
    parts.append(bottom(x, _TOP + _HEIGHT + 10, brief, x_name))
    return frame(width, _TOP + _HEIGHT + 36, told, *parts)


def barred(rows: Sequence[tuple[str, float, str, str]], caption: str, unit: str, largest_first: bool = False) -> Markup:
    """Bars of (name, value, words, role)."""
    return bars([Bar(*row) for row in rows], caption, unit, len(rows), largest_first).wide


def save(name: str, drawing: Markup) -> str:
    """Write a drawing into the documentation's pictures; returns its address from a page beside them."""
    FOLDER.mkdir(exist_ok=True)
    opening = re.match(r'<svg viewBox="0 0 (\d+) (\d+)"', drawing)
    if opening is None:
        raise ValueError("a drawing begins with its frame")
    ground = '<rect x="-12" y="-12" width="100%" height="100%" fill="var(--paper)"/>'
    wide, high = (int(one) + 24 for one in opening.groups())
    size = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="-12 -12 {wide} {high}"'
    start, _, rest = drawing.partition(">")
    start = size + re.sub(r' (width|height)="\d+"', "", start[opening.end() :]) + f' width="{wide}" height="{high}">'
    (FOLDER / f"{name}.svg").write_text(f"{start}<style>{style()}</style>{ground}{rest}\n", encoding="utf-8")
    return f"pictures/{name}.svg"


def style() -> str:
    """The colours, and the rules for charts, of the reports' style sheet."""
    sheet = files("cuvee.report").joinpath("report.css").read_text(encoding="utf-8")
    colours = sheet[: sheet.index("*, *::before")]
    charts = sheet[sheet.index("/* charts */") : sheet.index("/* numbers */")]
    wanted = "\n".join(line for line in charts.splitlines() if "narrow" not in line and "svg.wide" not in line)
    return colours + wanted
