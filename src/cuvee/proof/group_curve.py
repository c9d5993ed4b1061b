"""Whether a small group's results follow the largest group's over many trials: on a line, on a curve, or the other way.

Over many models, results on a minority lie on a curved function of those on the majority (Liang et al., "Accuracy on
the Curve: On the Nonlinear Correlation of ML Performance Between Data Subpopulations", ICML 2023), so that gains of the
majority may be losses of the minority. Compared are y = a + b x and y = a + b x + c x^2, by AICc (Hurvich and Tsai
1989) and by the F of the added term. Trials of one arm share their data, so they are no independent points: F is
compared with its values when the line's residuals change signs arm by arm (the wild cluster bootstrap with the null
imposed; Cameron, Gelbach and Miller, Review of Economics and Statistics 2008), all sign patterns where there are at
most 12 arms. Intervals are jackknives over arms, Student's t with one degree of freedom less than arms.

Of 100 planted lines 1 to 5 were called curves (400 simulations each, 6 to 20 arms of 4 or 8 trials, noise that the
trials of an arm share of 0, 1 or 3 times each trial's own). G arms have 2^(G - 1) patterns, so fewer than six can show
nothing at 5 %. Where results lie close together (all models good), a bend cannot be seen: the answer is then "open",
not "line". Cost: milliseconds.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from ..errors import UsageError
from .groups import FEWEST_MODELS
from .power import t_quantile
from .proxy import Floats

FEWEST_ARMS = 6
"""Fewer arms have too few sign patterns for any test at 5 %."""
ALL_PATTERNS, PATTERNS = 12, 4_095
STRAIGHT = 0.1
"""A line, if no bend within the interval departs from it by more than this share of the range of y."""


@dataclass(frozen=True)
class Estimate:
    """A number and its interval; no interval is NaN at both ends."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class GroupCurve:
    """How y, a group's result, depends on x, that of the largest group, over trials.

    Attributes:
        answer: "curve" (F is rare under the line, AICc prefers the parabola, and its bend is apart from 0), "line" (any
            bend within its interval is small, see ``STRAIGHT``) or "open".
        slope: of the line. ``bend``: second derivative of y by x. ``end``: slope where x is best, the mean of the tenth
            of trials with the best x (at least two), of the curve if that is the answer, else of the line.
        gain: AICc of the line less that of the parabola; above 0 the parabola describes the trials better.
        f: of the quadratic term. ``p``: how often sign patterns reach it; NaN with fewer than six arms.
        spread: range of the residuals of the better of both in that tenth.
        coefficients: a, b, c of the parabola, of the line with c = 0 where the answer is no curve.
    """

    answer: Literal["curve", "line", "open"]
    slope: Estimate
    bend: Estimate
    end: Estimate
    gain: float
    f: float
    p: float
    spread: float
    coefficients: tuple[float, float, float]
    trials: int
    arms: int

    @property
    def against(self) -> bool:
        """Whether, among the best, gains of the largest group are shown to be losses of this one."""
        return self.end.high < 0


def group_curve(
    x: Floats, y: Floats, arm: npt.ArrayLike, alpha: float = 0.05, better: Literal["low", "high"] = "low"
) -> GroupCurve:
    """Compare a line with a parabola.

    Args:
        x, y: float64, (n,), finite: results of the largest and of another group, one a trial, in any unit.
        arm: (n,): what trials belong together; they count as one piece of evidence each.
        alpha: level of the test, and one less that of the intervals.
        better: which end of x is the good one: "low" for losses, "high" for accuracies.

    Raises:
        UsageError: fewer than 20 trials, fewer than three different x, or two arms.
    """
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    code = np.unique(np.asarray(arm), return_inverse=True)[1]
    n, arms = len(x), int(code.max(initial=-1)) + 1
    if n < FEWEST_MODELS:
        raise UsageError(f"{n} trials cannot tell a curve from a line: use at least {FEWEST_MODELS}.")
    if arms < 3 or len(np.unique(x)) < 3:
        raise UsageError("A curve takes trials of three arms or more, with different results on the largest group.")
    centre, scale = float(x.mean()), float(x.std())
    z = (x - centre) / scale
    design = np.stack([np.ones(n), z, z * z], axis=1)
    top = np.argsort(x if better == "low" else -x, kind="stable")[: max(2, n // 10)]
    at = float(z[top].mean())
    line, curve = (np.linalg.lstsq(design[:, :terms], y, rcond=None)[0] for terms in (2, 3))
    rest = [float(((y - design[:, : len(fit)] @ fit) ** 2).sum()) for fit in (line, curve)]
    gain = _aicc(rest[0], n, 2) - _aicc(rest[1], n, 3)
    f = _f(rest[0], rest[1], n)
    p = _p(design, design[:, :2] @ line, y, code, f) if arms >= FEWEST_ARMS else math.nan
    quantile = t_quantile(1 - alpha / 2, arms - 1)

    def interval(terms: int, weight: Floats, unit: float) -> Estimate:
        """Of a weighted sum of coefficients."""
        full = float((line if terms == 2 else curve) @ weight) / unit
        left = _without(design[:, :terms], y, code, arms)
        if left is None:
            return Estimate(full, math.nan, math.nan)
        error = math.sqrt((arms - 1) / arms * float((((left @ weight) / unit - full) ** 2).sum()))
        return Estimate(full, full - quantile * error, full + quantile * error)

    bend = interval(3, np.array([0.0, 0.0, 2.0]), scale**2)
    bent = gain > 0 and p < alpha and (bend.low > 0 or bend.high < 0)
    most = max(abs(bend.low), abs(bend.high)) * float(np.ptp(x)) ** 2 / 8  # how far a parabola leaves its chord
    straight = arms >= FEWEST_ARMS and most <= STRAIGHT * float(np.ptp(y))
    end = interval(3, np.array([0.0, 1.0, 2 * at]), scale) if bent else interval(2, np.array([0.0, 1.0]), scale)
    fit = curve if gain > 0 else np.append(line, 0.0)
    drawn = curve if bent else np.append(line, 0.0)
    a, b, c = drawn[0], drawn[1] / scale, drawn[2] / scale**2
    return GroupCurve(
        "curve" if bent else "line" if straight else "open",
        interval(2, np.array([0.0, 1.0]), scale),
        bend,
        end,
        gain,
        f,
        p,
        float(np.ptp((y - design @ fit)[top])),
        (float(a - b * centre + c * centre**2), float(b - 2 * c * centre), float(c)),
        n,
        arms,
    )


def _aicc(rest: float, n: int, terms: int) -> float:
    free = terms + 1  # coefficients and the residual variance
    return n * math.log(max(rest, 1e-300) / n) + 2 * free + 2 * free * (free + 1) / (n - free - 1)


def _f(line: float, curve: float, n: int) -> float:
    """Of the one term that the parabola has more; large, but finite, for an exact parabola."""
    return max(line - curve, 0.0) * (n - 3) / max(curve, 1e-12 * line, 1e-300)


def _p(design: Floats, fitted: Floats, y: Floats, code: npt.NDArray[np.int64], f: float) -> float:
    """The share of sign patterns, the observed one among them, whose F is at least the observed."""
    arms, n = int(code.max()) + 1, len(y)
    if arms <= ALL_PATTERNS:
        signs = np.array([(1, *rest) for rest in itertools.product((1, -1), repeat=arms - 1)], np.float64)
    else:
        drawn = np.random.default_rng(0).integers(0, 2, (PATTERNS, arms)) * 2.0 - 1
        signs = np.concatenate([np.ones((1, arms)), drawn])
    again = (y - fitted) * signs[:, code]  # what is fitted takes no part in F
    inner = [np.linalg.qr(design[:, :terms])[0] for terms in (2, 3)]
    whole = (again**2).sum(axis=1)
    line, curve = (np.maximum(whole - ((again @ q) ** 2).sum(axis=1), 0.0) for q in inner)
    found = np.maximum(line - curve, 0.0) * (n - 3) / np.maximum(np.maximum(curve, 1e-12 * line), 1e-300)
    return float((found >= f * (1 - 1e-9)).mean())


def _without(design: Floats, y: Floats, code: npt.NDArray[np.int64], arms: int) -> Floats | None:
    """Coefficients without each arm in turn, (arms, terms); None if what is left cannot tell them."""
    left = []
    for one in range(arms):
        kept = code != one
        fit, _, rank, _ = np.linalg.lstsq(design[kept], y[kept], rcond=1e-6)
        if rank < design.shape[1]:
            return None
        left.append(fit)
    return np.stack(left)
