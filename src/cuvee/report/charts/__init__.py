"""Charts as inline SVG: one file per kind, no script, no outside request, the numbers of each in a table."""

from __future__ import annotations

from .bars import Bar, bars
from .dumbbell import Change, dumbbell
from .histogram import Range, histogram
from .lines import band, growth
from .svg import Chart, Series, nothing

__all__ = ["Bar", "Change", "Chart", "Range", "Series", "band", "bars", "dumbbell", "growth", "histogram", "nothing"]
