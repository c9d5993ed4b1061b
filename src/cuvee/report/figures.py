"""Numbers in words that people read: thousands separated, three digits where more would be noise, never "nan"."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any

NONE = "–"
"""Stands where a number is missing, not a number, or infinite."""

_LARGEST = 1e290
"""Beyond this no number means anything here, and sums of them would become infinite."""


def finite(value: Any) -> float | None:
    """The value as a finite float; None for everything else: text, NaN, infinities, missing, truth values."""
    if isinstance(value, bool) or not isinstance(value, Real):
        return None
    try:
        result = float(value)
    except (OverflowError, ValueError, TypeError):
        return None
    return result if math.isfinite(result) and abs(result) < _LARGEST else None


def counts(values: Any) -> list[float]:
    """A list of numbers with 0 for what is not one, or is negative."""
    return [max(0.0, finite(value) or 0.0) for value in items(values)]


def items(value: Any) -> list[Any]:
    """A list, tuple or array as a list; empty for anything else, text and mappings included."""
    if hasattr(value, "tolist") and not isinstance(value, str | bytes):
        value = value.tolist()
    return list(value) if isinstance(value, Sequence) and not isinstance(value, str | bytes) else []


def mapping(value: Any) -> Mapping[Any, Any]:
    """A mapping as it is; empty for anything else."""
    return value if isinstance(value, Mapping) else {}


def number(value: Any) -> str:
    """9981 -> "9,981"; 0.41234 -> "0.412"; 3.2e-7 -> "3.2e-07"; not a number -> "–"."""
    x = finite(value)
    if x is None:
        return NONE
    if x == int(x) and abs(x) < 1e15:
        return f"{int(x):,}"
    if abs(x) >= 1e15 or abs(x) < 1e-3:
        return f"{x:.2g}"
    if abs(x) >= 1000:
        return f"{x:,.0f}"
    digits = 3 if abs(x) < 10 else 1
    return f"{x:.{digits}f}".rstrip("0").rstrip(".")


def short(value: Any) -> str:
    """2,003,114 -> "2.00M"; 41,200 -> "41.2k"; below 10,000 as ``number`` writes it."""
    x = finite(value)
    if x is None or abs(x) < 10_000:
        return number(value)
    for unit, name in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k")):
        scaled = x / unit
        if abs(scaled) >= 0.9995:
            digits = 2 if abs(scaled) < 9.995 else 1 if abs(scaled) < 99.95 else 0
            return f"{scaled:,.{digits}f}{name}" if abs(scaled) < 1e6 else f"{scaled:.2g}{name}"
    return number(value)


def brief(value: Any) -> str:
    """As ``short``, without zeros that say nothing: 10,000 -> "10k". For the ticks of an axis."""
    return re.sub(r"\.0+(?=[kMBT]$)|(?<=\.\d)0(?=[kMBT]$)", "", short(value))


def percent(value: Any) -> str:
    """A share of 1: 0.25 -> "25 %", 0.042 -> "4.2 %", 0.0001 -> "<0.1 %", 0.9999 -> ">99.9 %"."""
    x = finite(value)
    if x is None:
        return NONE
    if 0 < abs(x) < 0.001:
        return "<0.1 %" if x > 0 else ">-0.1 %"
    if 0.995 <= abs(x) < 1:
        return ">99 %" if abs(x) < 0.999 else ">99.9 %"
    hundredths = 100 * x
    if abs(hundredths) >= 1e7:
        return f"{hundredths:.2g} %"
    text = f"{hundredths:.1f}" if abs(hundredths) < 9.95 else f"{hundredths:,.0f}"
    return f"{text.removesuffix('.0')} %"


def share(part: Any, whole: Any) -> str:
    """``percent`` of a part in a whole; "–" where the whole is nothing."""
    a, b = finite(part), finite(whole)
    return NONE if a is None or not b else percent(a / b)


def size(value: Any) -> str:
    """Bytes in decimal units: 254 -> "254 B", 7,100,000 -> "7.1 MB"."""
    x = finite(value)
    if x is None:
        return NONE
    for unit, name in ((1e15, "PB"), (1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if abs(x) >= 0.9995 * unit:
            scaled = x / unit
            text = (
                f"{scaled:,.1f}" if abs(scaled) < 99.95 else f"{scaled:,.0f}" if abs(scaled) < 1e6 else f"{scaled:.2g}"
            )
            return f"{text.removesuffix('.0')} {name}"
    return f"{x:.0f} B"


def duration(value: Any) -> str:
    """Seconds: 0.32 -> "320 ms", 1.44 -> "1.4 s", 840 -> "14 min", 7500 -> "2 h 05 min"."""
    x = finite(value)
    if x is None:
        return NONE
    if abs(x) < 0.9995:
        return f"{1000 * x:.0f} ms"
    if abs(x) < 59.5:
        return f"{x:.1f} s" if abs(x) < 9.95 else f"{x:.0f} s"
    if abs(x) >= 3.6e9:
        return f"{x / 3600:.2g} h"
    minutes = round(x / 60)
    if abs(minutes) < 60:
        rest = round(x) - 60 * int(x // 60)
        return f"{int(x // 60)} min {rest:02d} s" if x < 600 and 0 < rest < 60 else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours:,} h {minutes:02d} min"


def plural(count: Any, one: str, many: str | None = None) -> str:
    """1 -> "1 row", 2 -> "2 rows"."""
    return f"{number(count)} {one if finite(count) == 1 else many or one + 's'}"
