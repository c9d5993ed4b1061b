"""How often a difference is found, and how many seeds that takes; Student's t without SciPy.

An interval's variance has three parts (:mod:`cuvee.proof.intervals`): seeds, the luck of a fixed selection, evaluation
documents. More seeds lower the first alone; so some differences no number of seeds shows.

Sources: the continued fraction of the incomplete beta function, Abramowitz and Stegun 26.5.8, evaluated by the modified
method of Lentz (Press et al., Numerical Recipes, 6.4); t, A&S 26.7.1; exact binomial limits, Clopper and Pearson 1934;
power, the noncentral t as an integral over the spread's distribution; degrees of freedom, Welch 1947. Degrees of
freedom need not be whole. Accurate to about 1e-10 (power: 1e-4 from two degrees of freedom on).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist

import numpy as np

from ..errors import UsageError

NORMAL = NormalDist()
_TINY, _STEPS = 1e-300, 100_000
_AS_NORMAL = 1e7
"""Beyond so many degrees of freedom t is the normal distribution to eight digits."""
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(256)


def incomplete_beta(a: float, b: float, x: float) -> float:
    """The regularised incomplete beta function I_x(a, b), for a, b > 0 and 0 <= x <= 1."""
    if not (a > 0 and b > 0 and 0 <= x <= 1):
        raise ValueError(f"I_x(a, b) needs a, b > 0 and x between 0 and 1, not a = {a}, b = {b}, x = {x}.")
    if x in (0.0, 1.0):
        return x
    if x > (a + 1) / (a + b + 2):  # the fraction converges fast on the other side only
        return 1.0 - incomplete_beta(b, a, 1.0 - x)
    log_front = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    c, d = 1.0, 1.0 / _away(1.0 - (a + b) * x / (a + 1))
    total = d
    for m in range(1, _STEPS):
        for factor in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            d = 1.0 / _away(1.0 + factor * d)
            c = _away(1.0 + factor / c)
            total *= d * c
        if abs(d * c - 1.0) < 1e-15:
            break
    return math.exp(log_front) * total / a


def _away(value: float) -> float:
    """Not zero: Lentz's method divides by it."""
    return value if abs(value) > _TINY else _TINY


def t_tail(t: float, df: float) -> float:
    """The probability that Student's t with ``df`` degrees of freedom exceeds ``t``."""
    if df > _AS_NORMAL:
        return NORMAL.cdf(-t)
    half = 0.5 * incomplete_beta(df / 2, 0.5, df / (df + t * t))
    return half if t >= 0 else 1.0 - half


@lru_cache(maxsize=4096)
def t_quantile(p: float, df: float) -> float:
    """The value below which Student's t lies with probability ``p``, 0 < p < 1; ``df`` > 0."""
    if not (0 < p < 1 and df > 0):
        raise ValueError(f"a quantile of t needs 0 < p < 1 and df > 0, not p = {p}, df = {df}.")
    if df > _AS_NORMAL:
        return NORMAL.inv_cdf(p)
    if p < 0.5:
        return -t_quantile(1.0 - p, df)
    high = 1.0
    while t_tail(high, df) > 1.0 - p:
        high *= 2
    return bisect(lambda t: t_tail(t, df) <= 1.0 - p, 0.0, high)


def bisect(reached: Callable[[float], bool], low: float, high: float) -> float:
    """Where ``reached`` turns true between ``low`` (false) and ``high`` (true), to the last digits."""
    for _ in range(200):
        middle = (low + high) / 2
        if middle in (low, high):
            break
        low, high = (low, middle) if reached(middle) else (middle, high)
    return high


def binomial_interval(count: int, n: int, alpha: float = 0.05) -> tuple[float, float]:
    """Exact limits of a share of which ``count`` of ``n`` were seen (Clopper and Pearson), level 1 - alpha."""
    low = 0.0 if count == 0 else bisect(lambda p: incomplete_beta(count, n - count + 1, p) >= alpha / 2, 0.0, 1.0)
    high = 1.0 if count == n else bisect(lambda p: incomplete_beta(count + 1, n - count, p) >= 1 - alpha / 2, 0.0, 1.0)
    return low, high


def power(ratio: float, df: float, alpha: float) -> float:
    """How often a two-sided t test at level ``alpha`` finds a difference, with the right sign.

    Args:
        ratio: the true difference over its standard error, >= 0 (the noncentrality).
        df: degrees of freedom of the estimated standard error.
    """
    critical = t_quantile(1 - alpha / 2, df)
    if df > 1e5:
        return NORMAL.cdf(ratio - critical)
    # s is the estimated standard error over the true one: chi with df degrees of freedom, over sqrt(df).
    spread = 1 / math.sqrt(2 * df)
    low, high = max(0.0, 1 - 9 * spread), 1 + 9 * spread
    s = (low + high) / 2 + (high - low) / 2 * _NODES
    log_density = math.log(2) + df / 2 * math.log(df / 2) - math.lgamma(df / 2) + (df - 1) * np.log(s) - df * s * s / 2
    found = np.array([NORMAL.cdf(ratio - critical * one) for one in s.tolist()])
    density = np.exp(log_density) * _WEIGHTS
    return float((density * found).sum() / density.sum())


@lru_cache(maxsize=4096)
def detectable_ratio(df: float, alpha: float, wanted: float = 0.8) -> float:
    """The smallest true difference, in standard errors, that a two-sided t test finds with probability ``wanted``."""
    high = t_quantile(1 - alpha / 2, df) + 1.0
    while power(high, df, alpha) < wanted:
        high *= 2
    low = 0.0
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (low, middle) if power(middle, df, alpha) >= wanted else (middle, high)
    return high


def degrees(own: float, own_df: float, documents: float, documents_df: float) -> float:
    """Welch-Satterthwaite degrees of freedom of the sum of two estimated variances, each with its own."""
    if own + documents == 0.0:
        return own_df
    total = own + documents
    return 1.0 / ((own / total) ** 2 / own_df + (documents / total) ** 2 / documents_df)


@dataclass(frozen=True)
class Needed:
    """How many seeds a difference needs.

    Attributes:
        effect: the true difference asked about, > 0.
        seeds: find it with the wanted probability if the pilot's spread is the true one; None: no number does.
        cautious: the same with the upper 80 % limit of the spread, since few pilot seeds tell it badly. Luck was
            estimated from the same runs and is raised with it. None: no number does.
        floor: the smallest difference that infinitely many seeds find.
        luck, documents: variances that more seeds do not lower.
    """

    effect: float
    seeds: int | None
    cautious: int | None
    floor: float
    luck: float
    documents: float
    wanted: float

    def sentence(self) -> str:
        """What to do, in words."""
        if self.seeds is not None:
            more = f" ({self.cautious or 'no number'} if the pilot understates the spread)"
            return (
                f"{self.seeds} seeds{more} show a difference of {self.effect:.3g} with {self.wanted:.0%} probability."
            )
        advice = "evaluate on more documents"
        if self.luck > self.documents:
            advice = "select more tokens, so that each run draws a smaller part of them"
        return (
            f"No number of seeds shows a difference of {self.effect:.3g} reliably: the choice of documents alone hides "
            f"differences below {self.floor:.3g}. To see it, {advice}."
        )


MOST_SEEDS = 10_000


def seeds_needed(
    effect: float,
    spread: float,
    pilot: int,
    luck: float = 0.0,
    documents: float = 0.0,
    n_documents: int = 2,
    alpha: float = 0.05,
    wanted: float = 0.8,
) -> Needed:
    """How many seeds find a true difference, judged by a pilot.

    Args:
        effect: size of the difference, in the unit of the loss; its sign does not matter.
        spread: sample variance of the pilot's paired differences; ``pilot``: how many these are, at least 3.
        luck, documents: the other variances, as the pilot's :class:`cuvee.proof.intervals.Components` has them.
        alpha: of one comparison, after correction for many.

    Raises:
        UsageError: fewer than three pilot differences, or no effect to look for.
    """
    effect = abs(effect)
    if pilot < 3:
        raise UsageError(f"{pilot} pilot seeds cannot tell how much results spread. Run at least 3.")
    if not (0 < effect < math.inf):
        raise UsageError("Name the difference that you want to see, a number above zero.")
    df = pilot - 1
    # Wilson and Hilferty's approximation of the lower fifth of chi-squared, by which the spread may be understated.
    fifth = (1 - 2 / (9 * df) + NORMAL.inv_cdf(0.2) * math.sqrt(2 / (9 * df))) ** 3

    def floor(luck: float) -> float:
        return detectable(0.0, 10**9, luck, documents, n_documents, alpha, wanted)

    def seeds(variance: float, luck: float) -> int | None:
        def enough(n: float) -> bool:
            return detectable(variance, int(n), luck, documents, n_documents, alpha, wanted) <= effect

        if effect <= floor(luck) or not enough(MOST_SEEDS):
            return None
        low, high = 1, 2
        while not enough(high):
            low, high = high, min(2 * high, MOST_SEEDS)
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if enough(middle) else (middle, high)
        return high

    cautious = seeds(spread / fifth, luck / fifth)
    return Needed(effect, seeds(spread, luck), cautious, floor(luck), luck, documents, wanted)


def detectable(
    spread: float,
    seeds: int,
    luck: float = 0.0,
    documents: float = 0.0,
    n_documents: int = 2,
    alpha: float = 0.05,
    wanted: float = 0.8,
) -> float:
    """The smallest true difference that so many seeds find with the wanted probability; arguments as above."""
    if seeds < 2:
        return math.inf
    own = spread / seeds + luck
    df = degrees(own, seeds - 1, documents, n_documents - 1)
    return math.sqrt(own + documents) * detectable_ratio(df, alpha, wanted)
