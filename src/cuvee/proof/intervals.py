"""By how much two arms differ, and how far that number may be off: paired over seeds, three sources of chance.

The difference of a seed is the arm's mean loss less the other's on one evaluation set (sum of losses over sum of
sizes); below zero is better. What may move its average over n seeds:

* **Seeds**: initialisation, order, and the keyed draws of training data. s^2 / n, from the n differences.
* **Luck of a fixed selection.** An arm that is one selection, of which each run draws a share f, would come out
  differently if it were selected anew, and its runs share that luck. Let a fresh draw of a run's size have variance u.
  Then draws of a share f of a fixed set spread by v = u (1 - f) about it, and the set itself, being larger, has the
  variance u f = v f / (1 - f) (sampling without replacement; the argument of the delete-half jackknife, Shao and Wu
  1989). u is estimated by v / (1 - f), from the arm's own losses over seeds, or by the mean of this and the same of
  the other arm, whichever is larger. The own spread alone can lean to one side: a selection that happens to suit an
  evaluation set does better *and* spreads less, learning curves being convex. And if both arms come from one
  distribution, as a verdict must assume first, the other's spread is as good an estimate. (An arm whose data never
  change, like a whole pool, tells nothing, and so must not lower u.) claims/proof.py counts what either gives. Neither
  counts for more than the variance of the differences, since chance that both arms of a seed share is no luck of one
  of them. Arms that are drawn from the pool at every seed have no luck. With f above one half little of it can be
  seen: refused.
* **Evaluation documents**: the linearised variance of a ratio (Cochran, Sampling Techniques, 6.4), of the difference
  averaged over seeds.

The t interval adds these, with degrees of freedom by Welch and Satterthwaite. Luck is estimated from the same n runs as
the variance over seeds, so the two count as one estimate with n - 1 degrees of freedom. The bootstrap resamples seeds
and documents at once (Owen 2007), which assumes no shape, but takes percentiles: from 8 seeds these are about a fifth
too narrow, since a resample's spread is that of a population with the sample's variance, (n - 1)/n of what it should
be, and has the tails of the normal, not of t. So the t interval is the check, and what is reported is the hull of both.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ..errors import DataError, UsageError
from .power import NORMAL, degrees, t_quantile
from .proxy import Floats, Measured

RESAMPLES = 4_000
MOST_RESAMPLES = 40_000
PILES = 2_000
"""So many documents at most are resampled one by one; more are dealt into so many piles, to bound time and memory."""
HALF = 0.52
"""The largest share of a fixed selection that a run may draw: one half, and room for whole documents."""


class Interval(NamedTuple):
    """From ``low`` to ``high``, in the unit of the loss."""

    low: float
    high: float


@dataclass(frozen=True)
class Pairs:
    """Losses of two arms at the same seeds on the same documents.

    Attributes:
        arm, against: float64, (n, m): summed loss of each document at each seed.
        size: float64, (m,): what sums are divided by.
        seeds: (n,), ascending.
    """

    arm: Floats
    against: Floats
    size: Floats
    seeds: tuple[int, ...]

    @classmethod
    def of(cls, arm: Mapping[int, Measured], against: Mapping[int, Measured]) -> Pairs:
        """Pair finished trials by seed.

        Raises:
            UsageError: one seed, or seeds that only one arm has.
            DataError: evaluation sets that differ, fewer than two documents, or losses that are not finite.
        """
        if set(arm) != set(against):
            only = sorted(set(arm) ^ set(against))
            raise UsageError(
                f"Only one of two arms has results at the seeds {only}. Leave those out of both, or run them."
            )
        if len(arm) < 2:
            raise UsageError(
                f"{'One' if arm else 'No'} seed cannot tell a difference from chance: use at least 3, better 8."
            )
        seeds = tuple(sorted(arm))
        every = [side[seed] for side in (arm, against) for seed in seeds]
        size = every[0].size
        if any(one.size.shape != size.shape or not np.array_equal(one.size, size) for one in every):
            raise DataError("The two arms were evaluated on different documents. Evaluate both on the same.")
        if len(size) < 2:
            raise DataError(f"{len(size)} evaluation documents cannot tell how much documents differ. Use many more.")
        loss = np.stack([one.loss for one in every]).astype(np.float64)
        if not (np.isfinite(loss).all() and np.isfinite(size).all() and (size > 0).all()):
            raise DataError("A loss is not a finite number, or a document has no size. Leave diverged trials out.")
        return cls(loss[: len(seeds)], loss[len(seeds) :], size.astype(np.float64), seeds)

    def only(self, mask: npt.NDArray[np.bool_]) -> Pairs:
        """The documents under a mask, (m,)."""
        if int(mask.sum()) < 2:
            raise DataError(f"A group of {int(mask.sum())} documents cannot be compared. Use larger groups.")
        return replace(self, arm=self.arm[:, mask], against=self.against[:, mask], size=self.size[mask])

    @property
    def means(self) -> tuple[Floats, Floats]:
        """Mean loss per seed, (n,), of either arm."""
        total = self.size.sum()
        return self.arm.sum(axis=1) / total, self.against.sum(axis=1) / total

    @property
    def differences(self) -> Floats:
        """Per seed, (n,): arm less against."""
        return np.asarray((self.arm - self.against).sum(axis=1) / self.size.sum())


@dataclass(frozen=True)
class Components:
    """Variances of the mean difference by their source, and what they were estimated from.

    Attributes:
        seeds, luck, documents: variances, in the loss's unit squared.
        n, m: seeds and documents.
    """

    seeds: float
    luck: float
    documents: float
    n: int
    m: int

    @property
    def total(self) -> float:
        return self.seeds + self.luck + self.documents

    @property
    def df(self) -> float:
        """Degrees of freedom of the total."""
        return degrees(self.seeds + self.luck, self.n - 1, self.documents, self.m - 1)


def components(pairs: Pairs, fixed: float = 0.0, fixed_against: float = 0.0) -> Components:
    """Where the mean difference's variance comes from.

    Args:
        fixed, fixed_against: the share of a fixed selection that each run of the arm draws, 0 for an arm that is drawn
            afresh at every seed.

    Raises:
        UsageError: a share above one half.
    """
    differences = pairs.differences
    n, m = pairs.arm.shape
    spread = float(differences.var(ddof=1))
    fresh = []
    for share, own in zip((fixed, fixed_against), pairs.means, strict=True):
        if not 0 <= share <= HALF:
            raise UsageError(
                f"Each run draws {share:.0%} of a fixed selection: then runs hardly differ, and nothing tells how far "
                "the selection owes its result to luck. Select at least twice as many tokens as a run trains on."
            )
        fresh.append(min(float(own.var(ddof=1)), spread) / (1 - share))
    luck = fixed * max(fresh[0], sum(fresh) / 2) + fixed_against * max(fresh[1], sum(fresh) / 2)
    mean_loss = (pairs.arm - pairs.against).mean(axis=0)
    rest = mean_loss - differences.mean() * pairs.size
    documents = m / (m - 1) * float(rest @ rest) / float(pairs.size.sum()) ** 2
    return Components(spread / n, luck, documents, n, m)


def student_interval(mean: float, parts: Components, alpha: float = 0.05) -> Interval:
    """Student's t on the sum of the variances, level 1 - alpha."""
    half = t_quantile(1 - alpha / 2, parts.df) * math.sqrt(parts.total)
    return Interval(mean - half, mean + half)


def bootstrap_interval(
    pairs: Pairs, luck: float = 0.0, alpha: float = 0.05, resamples: int | None = None, seed: int = 0
) -> Interval:
    """Percentiles of the mean difference over resampled seeds and documents, widened for the luck of a fixed arm.

    Args:
        luck: variance; its normal half-width is added to either side's in squares.
        resamples: by default 4,000, or so many that ten are expected beyond each end, up to 40,000.
        seed: of the resampling. The same seed and shape give the same resamples, whatever the losses.
    """
    random = np.random.default_rng(seed)
    loss, size = _piles(pairs.arm - pairs.against, pairs.size, random)
    n, m = loss.shape
    count = resamples or int(min(max(RESAMPLES, math.ceil(20 / alpha)), MOST_RESAMPLES))
    found = []
    step = max(1, 1_000_000 // m)
    for begin in range(0, count, step):
        b = min(step, count - begin)
        weight = random.multinomial(n, np.full(n, 1 / n), size=b) / n
        places = random.integers(m, size=(b, m)) + np.arange(b)[:, None] * m
        times = np.bincount(places.ravel(), minlength=b * m).reshape(b, m).astype(np.float64)
        found.append(((weight @ loss) * times).sum(axis=1) / (times @ size))
    low, high = np.quantile(np.concatenate(found), (alpha / 2, 1 - alpha / 2))
    mean = float(pairs.differences.mean())
    more = NORMAL.inv_cdf(1 - alpha / 2) * math.sqrt(luck)
    return Interval(mean - math.hypot(max(mean - low, 0.0), more), mean + math.hypot(max(high - mean, 0.0), more))


def _piles(loss: Floats, size: Floats, random: np.random.Generator) -> tuple[Floats, Floats]:
    """Documents, (n, m) and (m,), or their sums over at most ``PILES`` random piles of equal count (random groups)."""
    m = len(size)
    if m <= PILES:
        return loss, size
    order = random.permutation(m)
    edges = np.linspace(0, m, PILES + 1).astype(np.int64)[:-1]
    return np.add.reduceat(loss[:, order], edges, axis=1), np.add.reduceat(size[order], edges)


def hull(one: Interval, other: Interval) -> Interval:
    """The smallest interval that holds both."""
    return Interval(min(one.low, other.low), max(one.high, other.high))
