"""How often a pair of a given similarity is found: the curve of the formula, and what planted pairs gave."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..figures import finite, number, percent
from ..markup import join, table
from ..text import Markup, escape
from .svg import Axis, Chart, both, bottom, circle, frame, label, left, line, nothing, path

_HEIGHT, _TOP = 220, 20
FEWEST = 10
"""Points of fewer pairs stand in the table alone: their intervals would say nothing and hide the rest."""


@dataclass(frozen=True)
class Planted:
    """Pairs of about one similarity: how many were planted and found, and the interval of that share."""

    similarity: float
    pairs: int
    found: int
    low: float
    high: float
    expected: float | None = None


def detection(
    similarity: Sequence[float], chance: Sequence[float], planted: Sequence[Planted], threshold: float | None = None
) -> Chart:
    """Similarity from 0 to 1 to the right, the probability of being found upwards.

    Args:
        similarity, chance: points of the curve; what is no number is left out.
        threshold: the similarity below which candidates are let go, drawn as an upright line.
    """
    curve = [
        (a, min(1.0, max(0.0, b)))
        for a, b in ((finite(x), finite(y)) for x, y in zip(similarity, chance, strict=False))
        if a is not None and b is not None and 0 <= a <= 1
    ]
    known = [one for one in planted if one.pairs > 0 and 0 <= one.similarity <= 1]
    points = [one for one in known if one.pairs >= FEWEST]
    numbers = table(
        ["Similarity of planted pairs", "Pairs", "Found", "95 % interval", "Candidates expected"],
        [
            [
                escape(f"{one.similarity:.2f}"),
                escape(number(one.pairs)),
                escape(percent(one.found / one.pairs)),
                escape(f"{percent(one.low)} to {percent(one.high)}"),
                escape(percent(one.expected)),
            ]
            for one in known
        ],
        "Planted pairs found, by exact Jaccard similarity",
    )
    if not curve:
        return nothing("Nothing to draw.", numbers)

    def draw(width: int) -> Markup:
        x, y = Axis(0.0, 1.0, 44, width - 12), Axis(0.0, 1.0, _TOP + _HEIGHT, _TOP)
        parts = [left(y, 1, width - 1, percent, 4), line(x(0), y(0), x(1), y(0), "grid")]
        if threshold is not None and 0 < threshold < 1:
            parts.append(line(x(threshold), _TOP, x(threshold), y(0), "drop"))
            beside = (-6, "end") if threshold >= 0.5 else (6, "start")
            words = f"kept above {threshold:g}"
            parts.append(label(x(threshold) + beside[0], y(0.22), words, "note halo", beside[1]))
        parts.append(path([(x(a), y(b)) for a, b in curve], "line random"))
        parts += [_mark(x, y, one) for one in points]
        parts.append(bottom(x, _TOP + _HEIGHT + 10, number, "Jaccard similarity"))
        told = ", ".join(f"{percent(one.found / one.pairs)} at {one.similarity:.2f}" for one in points)
        return frame(width, _TOP + _HEIGHT + 36, f"Share of pairs found by similarity; planted pairs: {told}", *parts)

    return both(draw, numbers)


def _mark(x: Axis, y: Axis, one: Planted) -> Markup:
    at, share = x(one.similarity), one.found / one.pairs
    told = f"{one.similarity:.2f}: {number(one.found)} of {number(one.pairs)} found"
    whisker = line(at, y(one.low), at, y(one.high), "whisker kept")
    return join([whisker, circle(at, y(share), 4.0, "dot kept", told)])
