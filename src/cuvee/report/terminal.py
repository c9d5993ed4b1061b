"""What may stand on a terminal: text that cannot move the cursor, and small pictures made of characters.

A pool's text can hold escape sequences that rename the window, recolour the screen or hide what was printed before.
``safe`` lets none through. Print its result as plain text: a library that reads markup of its own in square brackets
must be told not to.
"""

from __future__ import annotations

import textwrap
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any

from .figures import NONE, brief, duration, finite, number, percent, plural, share, short, size
from .text import fit, visible, width

__all__ = [
    "NONE",
    "bar",
    "brief",
    "duration",
    "number",
    "percent",
    "plural",
    "safe",
    "share",
    "short",
    "size",
    "spark",
    "warned",
    "warning_lines",
    "width",
]

_LEVELS = "▁▂▃▄▅▆▇"
_JOINERS = "\u200c\u200d"
_STACK = 3
"""Combining marks kept on one letter; the rest of a pile only covers neighbouring lines."""


def safe(text: Any, limit: int = 72) -> str:
    """Any value as one harmless line of at most ``limit`` columns.

    Control characters, escape sequences, direction overrides and separators become signs, lone surrogates "\ufffd",
    newlines "↵"; wide characters count twice; what is left out is marked by an ellipsis.
    """
    raw = text if isinstance(text, str) else visible(text)
    shown: list[str] = []
    marks = 0
    for character in visible(raw[: 8 * max(limit, 0) + 8]):
        category = unicodedata.category(character)
        if category in ("Mn", "Me"):
            marks += 1
            if marks <= _STACK:
                shown.append(character)
            continue
        marks = 0
        if character == "\n":
            shown.append("↵")
        elif character == "\t":
            shown.append("␉")
        elif category == "Cf" and character not in _JOINERS:
            shown.append(f"‹U+{ord(character):04X}›")
        elif category in ("Zl", "Zp", "Cc", "Cs", "Cn"):
            shown.append("\ufffd")
        else:
            shown.append(" " if category == "Zs" else character)
    line = "".join(shown)
    if len(raw) > 8 * max(limit, 0) + 8 and width(line) <= limit:
        line += "…"
    return fit(line, limit)


def warned(sentence: Any, columns: int, most: int = 3) -> list[str]:
    """A warning on at most ``most`` lines of so many columns; what is left out is marked by an ellipsis."""
    text = safe(sentence, most * columns)
    wrapped = textwrap.wrap(text, columns - 6, break_on_hyphens=False, max_lines=most, placeholder=" …")
    return [f"  (!) {part}" if at == 0 else f"      {part}" for at, part in enumerate(wrapped)]


def warning_lines(sentences: Sequence[Any], room: int, columns: int = 80) -> list[str]:
    """Warnings, gravest first, in at most ``room`` lines: cut to fewer lines each before any is left out, and how many
    are left out is said."""
    for most in (4, 3, 2):
        told = [warned(one, columns, most) for one in sentences]
        if sum(map(len, told)) <= room:
            return [line for one in told for line in one]
    found: list[str] = []
    for at, one in enumerate(told):
        if len(found) + len(one) > room - 1:
            rest = len(told) - at
            more = (
                f"  and {plural(rest, 'more warning')} in the report"
                if at
                else f"  {plural(rest, 'warning')} in the report"
            )
            return [*found, more] if room > 0 else []
        found += one
    return found


def spark(values: Iterable[Any], columns: int | None = None) -> str:
    """A row of bars: [0, 2, 6, 5, 2, 0] -> "▁▃▇▆▃▁". Heights start at zero; what is not a number leaves a gap.

    Args:
        values: usually counts.
        columns: if there are more values, neighbours are added up until they fit.
    """
    heights: Sequence[float | None] = [finite(value) for value in values]
    if columns and len(heights) > columns:
        step = -(-len(heights) // columns)
        groups = [[x for x in heights[i : i + step] if x is not None] for i in range(0, len(heights), step)]
        heights = [sum(group) if group else None for group in groups]
    known = [x for x in heights if x is not None]
    low = min(known, default=0.0)
    low = min(low, 0.0)
    span = max(known, default=0.0) - low
    top = len(_LEVELS) - 1
    return "".join(" " if x is None else _LEVELS[round(top * (x - low) / span) if span else 0] for x in heights)


def bar(value: Any, columns: int = 20) -> str:
    """A share of 1 as a bar of that many columns: 0.5 -> "██████████          "; anything else is empty."""
    x = finite(value)
    eighths = round(8 * columns * min(1.0, max(0.0, x or 0.0)))
    if x is not None and x > 0:
        eighths = max(1, eighths)
    full, rest = divmod(eighths, 8)
    return ("█" * full + (" ▏▎▍▌▋▊▉"[rest] if rest else "")).ljust(columns)
