"""Charts as inline SVG: one file per kind, no script, no outside request, the numbers of each in a table."""

from __future__ import annotations

from .bars import Bar, bars
from .costs import Cost, costs
from .curves import Curve, Reach, curves, reach
from .dumbbell import Change, dumbbell
from .histogram import Range, histogram
from .lines import band, growth
from .mixtures import Mixture, Weight, losses, predicted, weights
from .paired import Difference, forest, seeds, span
from .scatter import Dot, scatter
from .svg import Chart, Series, nothing

__all__ = [
    "Bar",
    "Change",
    "Chart",
    "Cost",
    "Curve",
    "Difference",
    "Dot",
    "Mixture",
    "Range",
    "Reach",
    "Series",
    "Weight",
    "band",
    "bars",
    "costs",
    "curves",
    "dumbbell",
    "forest",
    "growth",
    "histogram",
    "losses",
    "nothing",
    "predicted",
    "reach",
    "scatter",
    "seeds",
    "span",
    "weights",
]
