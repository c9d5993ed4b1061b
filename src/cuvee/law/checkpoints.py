"""Curves of checkpoints: how one outcome moves over a training, in models of two sizes.

A curve is smoothed by the nearest one that only rises or only falls, whichever is nearer. Curves of two sizes are laid
over one another by tokens, as the correlation of the smoothed ones at the tokens that both have seen. Any two monotone
curves correlate, so a correlation says nothing until it is compared with that of different metrics' curves.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..core import Runs
from .items import isotonic

Floats = npt.NDArray[np.float64]
DRAWS = 9_999
EXACT = 7
"""With so many metrics or fewer, all their matchings are looked at; else ``DRAWS`` random ones."""
LEVEL = 0.05
"""Of the test whether metrics keep their curves across sizes."""
MOST = 8
"""Metrics that are named in a sentence."""
LEAST = 3
"""Common checkpoints without which two curves are not compared."""


@dataclass(frozen=True)
class Course:
    """One outcome of one size: tokens, rising, the means of what was measured there, and the smoothed ones."""

    tokens: Floats
    value: Floats
    smooth: Floats

    @property
    def rises(self) -> bool:
        return bool(self.smooth[-1] >= self.smooth[0])

    def at(self, tokens: Floats) -> Floats:
        """The smoothed curve, straight between checkpoints; NaN before the first and after the last."""
        return np.interp(tokens, self.tokens, self.smooth, left=np.nan, right=np.nan)

    def until(self, tokens: float) -> Course:
        """The curve as it would be known at so many tokens."""
        seen = self.tokens <= tokens
        return course(self.tokens[seen], self.value[seen])


def course(tokens: Floats, value: Floats) -> Course:
    """A curve from checkpoints in any order; several at the same tokens (seeds) count as their mean."""
    at, inverse = np.unique(tokens, return_inverse=True)
    mean = np.bincount(inverse, weights=value) / np.bincount(inverse)
    if not len(at):
        return Course(at, mean, mean)
    up, down = isotonic(at, mean)[1], -isotonic(at, -mean)[1]
    return Course(at, mean, up if ((up - mean) ** 2).sum() <= ((down - mean) ** 2).sum() else down)


def noise(curve: Course) -> float:
    """The standard deviation of a checkpoint's noise, from how far each lies from the line between its neighbours.

    Gasser, Sroka and Jennen-Steinmetz, "Residual variance and residual pattern in nonlinear regression", 1986: no curve
    is fitted, so none can follow the noise, as the nearest monotone curve does where it is steep. Bends count as noise.
    """
    x, y = curve.tokens, curve.value
    if len(x) < 3:
        return 0.0
    share = (x[1:-1] - x[:-2]) / (x[2:] - x[:-2])
    gap = y[1:-1] - (1 - share) * y[:-2] - share * y[2:]
    return math.sqrt(float((gap**2 / (1 + share**2 + (1 - share) ** 2)).mean()))


def redrawn(curve: Course, random: np.random.Generator) -> Course:
    """Another draw of the checkpoints: the smoothed curve with normal noise."""
    return course(curve.tokens, curve.smooth + random.normal(0.0, noise(curve), len(curve.tokens)))


def courses(runs: Runs) -> dict[float, Course]:
    """The curve of every size, smallest first; needs columns parameters and tokens."""
    size, tokens = runs.settings.values["parameters"], runs.settings.values["tokens"]
    return {float(one): course(tokens[size == one], runs.outcome[size == one]) for one in np.unique(size)}


def likeness(small: Course, large: Course) -> float:
    """Pearson's correlation of two smoothed curves over the tokens that both have seen.

    NaN if fewer than ``LEAST`` checkpoints of either lie there, or if a curve is flat.
    """
    grid = np.union1d(small.tokens, large.tokens)
    a, b = small.at(grid), large.at(grid)
    both = np.isfinite(a) & np.isfinite(b)
    if min(np.isin(one.tokens, grid[both]).sum() for one in (small, large)) < LEAST:
        return math.nan
    a, b = a[both] - a[both].mean(), b[both] - b[both].mean()
    scale = math.sqrt(float(a @ a) * float(b @ b))
    least = 1e-12 * float(np.abs(small.smooth).max() * np.abs(large.smooth).max())
    return float(a @ b) / scale if scale > least else math.nan


@dataclass(frozen=True)
class Alike:
    """Likeness of curves across sizes, against that of different metrics.

    Attributes:
        names: the metrics, M of them.
        matrix: float64, (M, M): of the small model's curve of a row to the large model's of a column, both turned so
            that the small model's rises.
        p: float64, (M,): the share of pairs with another metric that are as alike; 1 / (2 M - 1) at least.
        p_all: of all metrics at once: the share of matchings of small to large curves that are as alike in sum.
    """

    names: tuple[str, ...]
    matrix: Floats
    p: Floats
    p_all: float


def alike(small: Mapping[str, Course], large: Mapping[str, Course]) -> Alike:
    """Whether each metric's curve is more like itself in the other size than like other metrics'.

    Metrics without a likeness of their own (flat, or too few checkpoints) take no part in the null. NaN for fewer than
    two metrics that do.
    """
    names = tuple(small)
    turn = np.array([1.0 if small[name].rises else -1.0 for name in names])
    matrix = np.array([[likeness(small[a], large[b]) for b in names] for a in names]).reshape(len(names), -1)
    matrix = matrix * turn[:, None] * turn[None]
    used = np.flatnonzero(np.isfinite(np.diag(matrix)))
    p = np.full(len(names), math.nan)
    if len(used) < 2:
        return Alike(names, matrix, p, math.nan)
    part = np.nan_to_num(matrix[np.ix_(used, used)], nan=-1.0)
    for place, at in enumerate(used):
        others = np.concatenate([np.delete(part[place], place), np.delete(part[:, place], place)])
        p[at] = (1 + (others >= part[place, place] - 1e-12).sum()) / (1 + len(others))
    rows = np.arange(len(used))
    if len(used) <= EXACT:
        matchings = np.array(list(itertools.permutations(rows)))
    else:
        random = np.random.default_rng(0)
        matchings = np.stack([rows, *(random.permutation(len(used)) for _ in range(DRAWS))])
    sums = part[rows, matchings].sum(1)
    return Alike(names, matrix, p, float((sums >= sums[0] - 1e-12).mean()))


def aligned(small: Course, large: Course) -> tuple[float, float, int]:
    """The line that takes the small model's curve to the large one's: level, slope, and common checkpoints.

    Least squares of the large model's means on the small model's smoothed curve at the same tokens. NaN with fewer than
    ``LEAST`` checkpoints, or where the small model's curve does not move.
    """
    x = small.at(large.tokens)
    both = np.isfinite(x)
    x, y = x[both], large.value[both]
    number = int(both.sum())
    centred = x - x.mean() if number else x
    moved = float(centred @ centred)
    if number < LEAST or moved <= 1e-18 * number * max(1.0, float(np.abs(x).max())) ** 2:
        return math.nan, math.nan, number
    slope = float(centred @ y) / moved
    return float(y.mean() - slope * x.mean()), slope, number


@dataclass(frozen=True)
class Forecast:
    """The large model's last value as it would have been foretold from the first part of its training.

    Attributes:
        known: checkpoints of the large model in that part.
        actual: what came out. fine: from the small model's curve. last: the last value known then. loss: from a line of
            the metric in the loss, at the large model's last loss, which it is given; NaN without a loss.
    """

    known: int
    actual: float
    fine: float
    last: float
    loss: float = math.nan

    @property
    def errors(self) -> dict[str, float]:
        """Absolute errors by name: "fine", "last", "loss"."""
        return {name: abs(getattr(self, name) - self.actual) for name in ("fine", "last", "loss")}

    @property
    def fails(self) -> bool:
        """Whether another forecast comes nearer, or as near."""
        others = [one for name, one in self.errors.items() if name != "fine" and math.isfinite(one)]
        return not self.errors["fine"] < min(others, default=math.inf)


def forecast(small: Course, large: Course, part: float, losses: tuple[Course, Course] | None = None) -> Forecast | None:
    """Foretell the end of the large model's curve from its first ``part`` in tokens, and from all of the small one's.

    Args:
        losses: the loss of the small and of the large model, at the same checkpoints.

    Returns:
        None if the large model has fewer than ``LEAST`` checkpoints in that part, or none beyond.
    """
    common = large.tokens[np.isfinite(small.at(large.tokens))]
    if not len(common):
        return None
    end = float(common.max())
    cut = part * float(min(small.tokens.max(), large.tokens.max()))
    begun = large.until(cut)
    if len(begun.tokens) < LEAST or end <= cut:
        return None
    level, slope, _ = aligned(small, begun)
    actual = float(large.value[large.tokens == end][0])
    fine = level + slope * float(small.at(np.array([end]))[0])
    told = math.nan
    if losses is not None:
        told = _by_loss((small, begun), losses, end)
    return Forecast(len(begun.tokens), actual, fine, float(begun.value[-1]), told)


def _by_loss(known: tuple[Course, Course], losses: tuple[Course, Course], end: float) -> float:
    """A straight line of the metric in the loss over all that is known, at the large model's loss in the end."""
    x, y = [], []
    for one, loss in zip(known, losses, strict=True):
        same = np.isin(one.tokens, loss.tokens)
        x.append(loss.value[np.isin(loss.tokens, one.tokens)])
        y.append(one.value[same])
    of, to = np.concatenate(x), np.concatenate(y)
    last = losses[1].value[losses[1].tokens == end]
    if len(of) < LEAST or not len(last) or np.ptp(of) <= 0:
        return math.nan
    slope, level = np.polyfit(of, to, 1)
    return float(level + slope * last[0])


Pairs = Mapping[str, tuple[Course, Course]]
"""The small and the large model's curve of every metric."""


def forecasts(pairs: Pairs, part: float, loss: str = "") -> dict[str, Forecast | None]:
    """:func:`forecast` for every metric but the loss itself."""
    losses = pairs.get(loss)
    return {name: forecast(*pair, part, losses) for name, pair in pairs.items() if name != loss}


def told(pairs: Pairs, part: float, loss: str = "") -> list[str]:
    """What several metrics together say of a small model's curves, a sentence each."""
    found = []
    both = alike({name: one for name, (one, _) in pairs.items()}, {name: one for name, (_, one) in pairs.items()})
    if math.isfinite(both.p_all):
        own = np.diag(both.matrix)
        used = np.isfinite(own)
        others = both.matrix[np.ix_(used, used)][~np.eye(int(used.sum()), dtype=bool)]
        against = f"mean correlation {own[used].mean():.2f}, with other metrics' {np.nanmean(others):.2f}"
        verdict = "are more alike than" if both.p_all < LEVEL else "are not shown to be more alike than"
        found.append(
            f"Curves of {int(used.sum())} metrics: those of one metric in two sizes {verdict} those of different "
            f"metrics ({against}; p = {both.p_all:.2g})."
        )
    tried = {name: one for name, one in forecasts(pairs, part, loss).items() if one is not None}
    if not tried:
        return [
            *found,
            f"Too few checkpoints in the first {100 * part:.0f} % of the tokens to try a forecast of the rest.",
        ]
    failed = [name for name, one in tried.items() if one.fails]
    beaten = "the last value known then" + (" and than the loss tells" if loss else "")
    found.append(
        f"Foretold from the first {100 * part:.0f} % of the tokens, the large model's last value is nearer than "
        f"{beaten} for {len(tried) - len(failed)} of {len(tried)} metrics"
        + (f"; not for: {', '.join(failed[:MOST])}" if failed else "")
        + (f" and {len(failed) - MOST:,} more." if len(failed) > MOST else ".")
    )
    return found
