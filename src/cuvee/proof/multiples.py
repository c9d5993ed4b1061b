"""How many times the tokens random data would need for the candidate's loss.

Random draws are trained at several multiples of the candidate's tokens, each a run of its own (the learning rate's
schedule ends with the run, so a longer run's early losses would not do). Their mean losses over the logarithm of tokens
are made non-increasing (pool adjacent violators; Barlow et al. 1972) and joined by straight lines; the answer is where
that line first falls to the candidate's loss. Nothing is extrapolated: outside the multiples that were run it is "more
than the largest" or "less than the smallest".

Why not a power law, or a piecewise one (Mahmood et al., "How much more data do I need?", CVPR 2022; Jain et al., "A
meta-learning approach to predicting performance and data requirements", CVPR 2023)? With four or five points the switch
between its pieces is not identified without a model learned on other curves; between points a factor of two apart,
straight lines in log tokens and any smooth law differ by less than the seeds do; and beyond the last point a law would
state as a number what nobody has run.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import DataError, UsageError
from .power import NORMAL, t_quantile
from .proxy import Floats


@dataclass(frozen=True)
class Multiple:
    """Random data's tokens for the candidate's loss, in units of the candidate's.

    Attributes:
        value: 0 for less than ``smallest``, infinity for more than ``largest``; ``low``, ``high``: likewise, the
            interval at ``level``.
        smallest, largest: the multiples that were run.
    """

    value: float
    low: float
    high: float
    smallest: float
    largest: float
    level: float

    def _told(self, value: float) -> str:
        if value == 0.0:
            return f"less than {self.smallest:g}"
        return f"more than {self.largest:g}" if math.isinf(value) else f"{value:.2g}"

    def sentence(self, who: str = "Random data") -> str:
        """In words, never beyond what was run."""
        found = f"{who} would need {self._told(self.value)} times the tokens for this loss"
        low, high = self._told(self.low), self._told(self.high)
        if low == high:
            return f"{found} (both ends of the {self.level:.0%} interval say so)."
        return f"{found} ({self.level:.0%} interval: {low} to {high})."


def isotonic(values: Floats) -> Floats:
    """The nearest non-increasing sequence in least squares, by pooling adjacent violators. float64, (k,)."""
    blocks: list[tuple[float, int]] = []
    for value in np.asarray(values, np.float64).tolist():
        mean, count = value, 1
        while blocks and blocks[-1][0] < mean:
            other, more = blocks.pop()
            mean, count = (mean * count + other * more) / (count + more), count + more
        blocks.append((mean, count))
    return np.repeat([mean for mean, _ in blocks], [count for _, count in blocks])


def crossing(multiples: Floats, losses: Floats, loss: float) -> float:
    """The smallest multiple at which the monotone curve is at ``loss`` or below; 0 or infinity outside of what was run.

    Args:
        multiples: (k,), ascending; ``losses``: (k,), in any order.
    """
    curve = isotonic(losses)
    if loss > curve[0]:
        return 0.0
    if loss < curve[-1]:
        return math.inf
    at = int(np.argmax(curve <= loss))
    if at == 0 or curve[at] == loss:
        return float(multiples[at])
    share = (curve[at - 1] - loss) / (curve[at - 1] - curve[at])
    return float(multiples[at - 1] * (multiples[at] / multiples[at - 1]) ** share)


def multiple(
    candidate: Mapping[int, float],
    random: Mapping[float, Mapping[int, float]],
    *,
    luck: float = 0.0,
    alpha: float = 0.05,
    resamples: int = 4_000,
    seed: int = 0,
) -> Multiple:
    """How many times the tokens random data would need.

    The interval is a bootstrap over seeds, paired: a resample takes the candidate's and all random losses of its seeds.
    Deviations are stretched by t / z sqrt(n / (n - 1)), since percentiles of few seeds are too narrow (Hesterberg,
    "What Teachers Should Know about the Bootstrap", 2015), and the candidate's luck is added as normal noise.

    Args:
        candidate: mean loss by seed.
        random: by multiple of the candidate's tokens, then by seed; the seeds are the candidate's.
        luck: variance of the candidate's mean for being one fixed selection.

    Raises:
        UsageError: fewer than two multiples or seeds, or seeds that differ.
        DataError: a loss that is not finite.
    """
    seeds: Sequence[int] = sorted(candidate)
    n, steps = len(seeds), sorted(random)
    if n < 2 or len(steps) < 2 or steps[0] <= 0:
        raise UsageError(
            "Tokens for the same loss need at least two seeds and random runs at two multiples above zero."
        )
    if any(sorted(random[step]) != seeds for step in steps):
        raise UsageError(
            "The random runs and the candidate have different seeds. Run the same seeds at every multiple."
        )
    own = np.array([candidate[one] for one in seeds], np.float64)
    curve = np.array([[random[step][one] for step in steps] for one in seeds], np.float64)
    if not (np.isfinite(own).all() and np.isfinite(curve).all()):
        raise DataError("A loss is not a finite number. Leave diverged runs out.")
    at = np.array(steps, np.float64)
    generator = np.random.default_rng(seed)
    weight = generator.multinomial(n, np.full(n, 1 / n), size=resamples) / n
    stretch = t_quantile(1 - alpha / 2, n - 1) / NORMAL.inv_cdf(1 - alpha / 2) * math.sqrt(n / (n - 1))
    losses = own.mean() + (weight @ own - own.mean()) * stretch + generator.normal(0, math.sqrt(luck), resamples)
    curves = curve.mean(axis=0) + (weight @ curve - curve.mean(axis=0)) * stretch
    found = np.sort([crossing(at, one, loss) for one, loss in zip(curves, losses.tolist(), strict=True)])
    # Order statistics, not interpolation: between a number and infinity there is nothing.
    low = float(found[math.floor(alpha / 2 * (resamples - 1))])
    high = float(found[math.ceil((1 - alpha / 2) * (resamples - 1))])
    return Multiple(crossing(at, curve.mean(axis=0), float(own.mean())), low, high, steps[0], steps[-1], 1 - alpha)
