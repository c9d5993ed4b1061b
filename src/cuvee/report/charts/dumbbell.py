"""What a choice changed: each group's share before (a ring), after (a dot), and in a random choice (a tick)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..figures import percent, short
from ..markup import element, join, table
from ..text import Markup, escape
from .svg import NARROW, Axis, Chart, axis, both, circle, extent, frame, inside, label, line, nothing

MOST_ROWS = 16
_STEP, _TOP = 30, 26


@dataclass(frozen=True)
class Change:
    """Tokens of one domain in the pool, in what was kept and, where there is one, in a random choice."""

    name: str
    pool: float
    kept: float
    random: float | None = None


@dataclass(frozen=True)
class _Row:
    name: str
    pool: float
    kept: float
    random: float | None
    tokens: float


def dumbbell(changes: Sequence[Change], most: int = MOST_ROWS, mixtures: tuple[str, str] | None = None) -> Chart:
    """Shares of tokens, the domains that gained most on top; those that changed least are folded into one row.

    Args:
        mixtures: what is compared, if it is two mixtures by their shares instead of a pool and what was kept of it.
    """
    rows = _shares(changes)
    if mixtures is None:
        before, after = "pool", "kept"
        head = ["Domain", "Pool tokens", "Pool", "Kept tokens", "Kept", "Random"]
        cells = [
            [short(change.pool), percent(row.pool), short(change.kept), percent(row.kept), percent(row.random)]
            for row, change in list(zip(rows, changes, strict=True))[:200]
        ]
    else:
        before, after = mixtures
        head = ["Source", before.capitalize(), after.capitalize()]
        cells = [[percent(row.pool), percent(row.kept)] for row in rows[:200]]
    numbers = table(
        head,
        [
            [element("bdi", escape(row.name, 80)), *map(escape, words)]
            for row, words in zip(rows[:200], cells, strict=True)
        ],
        "Shares of tokens by domain" if mixtures is None else "Shares of tokens by source",
        more=len(rows) - 200,
    )
    if not any(row.pool or row.kept for row in rows):
        return nothing("No tokens to compare.", numbers)
    shown = _fold(rows, most)
    peak = max(max(r.pool, r.kept, r.random or 0) for r in shown)
    compared = "the pool and in what was kept" if mixtures is None else f"{before} and in {after}"
    alt = f"Share of tokens in {compared}. " + ", ".join(
        f"{row.name} {percent(row.pool)} to {percent(row.kept)}" for row in shown[:6]
    )

    def draw(width: int) -> Markup:
        stacked = width == NARROW
        words = [f"{percent(row.pool)} → {percent(row.kept)}" for row in shown]
        room = 170
        start = 8 if stacked else min(room, max(extent(row.name) for row in shown)) + 18
        end = width - max(extent(w) for w in words) - (8 if stacked else 18)
        end = width - 8 if stacked else end
        step = _STEP + 14 if stacked else _STEP
        x = axis(0, peak, start, end)
        height = _TOP + len(shown) * step
        parts = [_grid(x, _TOP - 8, height, width)]
        for i, (row, told) in enumerate(zip(shown, words, strict=True)):
            y = _TOP + i * step + (28 if stacked else 12)
            if stacked:
                name = label(1, y - 13, row.name, "name halo", room=width - extent(told) - 16)
                value = label(width - 1, y - 13, told, "value halo", "end")
            else:
                name = label(start - 18, y + 4, row.name, "name", "end", room)
                value = label(width - 1, y + 4, told, "value", "end")
            parts.append(join([name, value, _marks(x, y, row, before, after, mixtures is None)]))
        return frame(width, height + 6, alt, *parts)

    return both(draw, numbers)


def _shares(changes: Sequence[Change]) -> list[_Row]:
    pool, kept = (sum(max(0.0, getattr(c, key)) for c in changes) for key in ("pool", "kept"))
    random = sum(max(0.0, c.random or 0.0) for c in changes)
    return [
        _Row(
            change.name,
            max(0.0, change.pool) / pool if pool else 0.0,
            max(0.0, change.kept) / kept if kept else 0.0,
            max(0.0, change.random) / random if random and change.random is not None else None,
            change.kept,
        )
        for change in changes
    ]


def _fold(rows: Sequence[_Row], most: int) -> list[_Row]:
    """At most ``most`` rows: the largest changes, largest gain first, and the sum of the others last."""
    by_gain = sorted(rows, key=lambda row: (row.pool - row.kept, -row.pool))
    if len(rows) <= most:
        return by_gain
    by_change = sorted(by_gain, key=lambda row: -abs(row.kept - row.pool) - 1e-9 * row.pool)
    named, rest = set(map(id, by_change[: most - 1])), by_change[most - 1 :]
    random = [row.random for row in rest if row.random is not None]
    other = _Row(
        f"and {len(rest):,} more",
        sum(row.pool for row in rest),
        sum(row.kept for row in rest),
        sum(random) if random else None,
        sum(row.tokens for row in rest),
    )
    return [row for row in by_gain if id(row) in named] + [other]


def _grid(x: Axis, top: float, height: float, width: int) -> Markup:
    ticks = x.ticks(4)
    lines = [line(x(t), top, x(t), height, "grid") for t in ticks]
    words = [percent(t) for t in ticks]
    places = [inside(x(t), w, 0, width) for t, w in zip(ticks, words, strict=True)]
    return join([*lines, *(label(at, top - 6, w, "tick", "middle") for at, w in zip(places, words, strict=True))])


def _marks(x: Axis, y: float, row: _Row, before: str, after: str, tokens: bool) -> Markup:
    told = f"{row.name}: {before} {percent(row.pool)}, {after} {percent(row.kept)}"
    told += f", {short(row.tokens)} tokens" if tokens else ""
    parts = [line(x(row.pool), y, x(row.kept), y, "stem")]
    if row.random is not None:
        at = x(row.random)
        parts.append(line(at, y - 8, at, y + 8, "mark random"))
    parts += [circle(x(row.pool), y, 5, "ring pool", told), circle(x(row.kept), y, 6, "dot kept", told)]
    return join(parts)
