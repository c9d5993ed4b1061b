"""Judging a fitted law on runs that it has not seen, in units of seed noise, beside guesses that know nothing.

All runs of one mixture are left out together (they share its luck), and all checkpoints of a run, or what a law names
as ``left_out``, or the runs of the largest scale. Errors are divided by the standard deviation of runs that differ in
the seed alone, without which an error says nothing; rank correlation is given over all mixtures and over the best
quarter, where choices are made: that of the highest outcomes for laws of which more is better.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from ..core import Law, Prediction, Runs, Settings
from ..errors import DataError

Floats = npt.NDArray[np.float64]
FOLDS = 10
"""With more groups than this, so many sets of them are left out at a time."""
FAR = 5.0
"""Residuals beyond so many usual ones belong to runs that something happened to."""
MORE_IS_BETTER = ("score", "performance")
"""What a law's card says that it gives, where the highest outcome is the best; of a metric its own curve tells."""
QUARTER = 0.25
"""Of the runs: where choices are made, and what stands for the largest scale if only a loss tells the scale."""


@dataclass(frozen=True)
class Verdict:
    """How well a law predicts runs left out.

    Attributes:
        error: mean absolute error of the means of groups left out.
        noise: standard deviation of runs that differ in the seed alone; None if no setting was run twice.
        rank, rank_best: Spearman correlation over all groups, and over the best quarter of them; NaN below 4 groups.
        predicted: float64, (groups,): what was predicted for each group while it was left out.
        baselines: error of each baseline on the same folds.
    """

    error: float
    noise: float | None
    rank: float
    rank_best: float
    predicted: Floats
    baselines: dict[str, float]

    @property
    def error_in_noise(self) -> float | None:
        """The error in units of seed noise."""
        return self.error / self.noise if self.noise else None

    @property
    def best_baseline(self) -> tuple[str, float]:
        """The baseline of least error."""
        name = min(self.baselines, key=lambda one: (self.baselines[one], one))
        return name, self.baselines[name]


def group_means(runs: Runs) -> tuple[Settings, Floats, Floats]:
    """One row a group: its settings, its mean outcome, and how many runs it has."""
    groups, first, inverse = np.unique(runs.group, return_index=True, return_inverse=True)
    size = np.bincount(inverse, minlength=len(groups)).astype(np.float64)
    mean = np.bincount(inverse, weights=runs.outcome, minlength=len(groups)) / size
    return runs.settings.take(first), mean, size


def seed_noise(runs: Runs) -> tuple[float | None, int]:
    """The pooled standard deviation within groups, and its degrees of freedom; (None, 0) without repeated runs."""
    _, inverse = np.unique(runs.group, return_inverse=True)
    size = np.bincount(inverse)
    freedom = int((size - 1).sum())
    if freedom == 0:
        return None, 0
    mean = np.bincount(inverse, weights=runs.outcome) / size
    squares = float(((runs.outcome - mean[inverse]) ** 2).sum())
    return math.sqrt(squares / freedom), freedom


def ranks(values: Floats) -> Floats:
    """Ranks from 1, ties sharing their mean."""
    _, inverse, count = np.unique(values, return_inverse=True, return_counts=True)
    top = np.cumsum(count)
    return (top - (count - 1) / 2)[inverse]


def spearman(left: Floats, right: Floats) -> float:
    """Spearman's rank correlation; NaN with fewer than three values, or if one side is constant."""
    if len(left) < 3:
        return math.nan
    a, b = ranks(left), ranks(right)
    a, b = a - a.mean(), b - b.mean()
    scale = math.sqrt(float(a @ a) * float(b @ b))
    return float(a @ b) / scale if scale > 0 else math.nan


def clusters(runs: Runs) -> tuple[int, npt.NDArray[np.int64]]:
    """How many sets of runs share no luck, and which each run belongs to: int64, (n,)."""
    _, inverse = np.unique(runs.group if runs.cluster is None else runs.cluster, return_inverse=True)
    return int(inverse.max()) + 1, inverse.astype(np.int64)


def folds(runs: Runs) -> list[npt.NDArray[np.bool_]]:
    """Masks of the runs left out: one cluster at a time, or tenths of the clusters dealt by their outcome's rank.

    A cluster is a group, or all groups that hold checkpoints of the same runs. Dealing by rank gives every fold good
    and bad mixtures, and depends on nothing but the runs. Where all are one cluster, nothing would be left to fit to:
    then groups are left out.
    """
    number, inverse = clusters(runs)
    if number == 1:
        number, inverse = clusters(replace(runs, cluster=None))
    mean = np.bincount(inverse, weights=runs.outcome) / np.bincount(inverse)
    order = np.argsort(np.argsort(mean, kind="stable"), kind="stable")
    fold = order % min(FOLDS, number)
    return [fold[inverse] == at for at in range(int(fold.max()) + 1)]


def highest(law: Law, runs: Runs) -> bool:
    """Whether the highest outcome is the best one: of a score, a performance, and a metric that rises over training."""
    gives, tokens = law.card.gives[0], runs.settings.values.get("tokens")
    if gives == "metric" and tokens is not None:
        return spearman(tokens, runs.outcome) > 0
    return gives in MORE_IS_BETTER


def judge(law: Law, runs: Runs, baselines: Sequence[tuple[str, Law]] = ()) -> Verdict:
    """Leave mixtures out, fit to the others, and compare.

    Every fit owes nothing to what was left out. Baselines are judged on the same folds.
    """
    masks = folds(runs)
    settings, mean, _ = group_means(runs)
    groups, inverse = np.unique(runs.group, return_inverse=True)
    counts = np.array([~mask for mask in masks], np.int64)
    owner = np.zeros(len(groups), np.int64)
    for at, mask in enumerate(masks):
        owner[np.unique(inverse[mask])] = at

    def left_out(one: Law) -> Floats:
        found = np.full(len(groups), np.nan)
        for at, fitted in enumerate(one.refit(runs, counts)):
            found[owner == at] = fitted.at(settings.take(owner == at))
        return found

    predicted = left_out(law)
    known = np.isfinite(predicted)  # guesses are judged where the law has an answer, too
    errors = {
        name: float(np.abs(left_out(one) - mean)[known].mean()) if known.any() else math.nan for name, one in baselines
    }
    error = float(np.abs(predicted[known] - mean[known]).mean()) if known.any() else math.nan
    order = np.argsort(-mean if highest(law, runs) else mean, kind="stable")
    best = order[: max(4, math.ceil(QUARTER * len(mean)))]
    best = best[known[best]]
    few = len(mean) < 4
    return Verdict(
        error,
        seed_noise(runs)[0],
        math.nan if few else spearman(predicted[known], mean[known]),
        math.nan if few else spearman(predicted[best], mean[best]),
        predicted,
        errors,
    )


def unlike(runs: Runs, fitted: Prediction, row: npt.NDArray[np.int64] | None = None) -> list[str]:
    """The runs that lie far from a fit to all of them, as a sentence; none where all lie about as far as one another.

    Far is more than ``FAR`` standard deviations of normal noise, which the median absolute deviation tells whatever a
    few diverged runs do.

    Args:
        row: int64, (n,): the number of each run in its table, where some rows of it were left out.
    """
    row = np.arange(1, len(runs) + 1) if row is None else row
    residual = runs.outcome - fitted.at(runs.settings)
    middle = np.nanmedian(residual)
    usual = 1.4826 * float(np.nanmedian(np.abs(residual - middle)))
    far = np.flatnonzero(np.abs(residual - middle) > FAR * max(usual, 1e-3 * float(np.ptp(runs.outcome))))
    if not len(far):
        return []
    worst = far[np.argsort(-np.abs(residual[far]), kind="stable")]
    which = f"Run {row[worst[0]]} of the table lies" if len(far) == 1 else f"{len(far):,} runs lie"
    named = "" if len(far) == 1 else f" (rows {', '.join(map(str, sorted(row[worst[:5]])))})"
    found = f"{which} {abs(residual[worst[0]]):.3g} from the law, where {usual:.2g} is usual{named}"
    return [f"{found}: did {'it' if len(far) == 1 else 'they'} diverge, or does the law not hold there?"]


def largest_left_out(law: Law, runs: Runs, column: str) -> float | None:
    """Mean absolute error on the runs of the largest value of a column, fitted to all others; None if they are too few.

    A column that is a loss is least for the largest runs, and rarely the same for two: the quarter of least loss is
    left out. Cost: one fit.
    """
    values = runs.settings.values[column]
    largest = values == values.max()
    if column.startswith("loss_"):
        largest = values <= np.quantile(values, QUARTER)
    rest = runs.take(~largest)
    if len(np.unique(values)) < 3 or len(np.unique(rest.group)) < law.numbers(len(runs.settings.sources)):
        return None
    settings, mean, _ = group_means(runs.take(largest))
    try:
        fitted = law.fit(rest)
    except DataError:  # the law says that these are too few for it
        return None
    error = np.abs(fitted.at(settings) - mean)
    known = np.isfinite(error)
    return float(error[known].mean()) if known.any() else None


def together(runs: Runs, whole: str | tuple[str, ...] | None) -> Runs:
    """The runs with those joined that are alike in ``whole``: left out and drawn at once.

    Args:
        whole: "mixture", a column, or several in all of which they are alike.
    """
    if whole is None:
        return runs
    if whole == "mixture":
        by = runs.settings.mixture.round(9)
    else:
        columns = (whole,) if isinstance(whole, str) else whole
        by = np.column_stack([runs.settings.values[name] for name in columns])
    alike = np.unique(by, axis=0, return_inverse=True)[1].ravel().astype(np.int64)
    _, other = np.unique(
        runs.group if runs.cluster is None or whole != "mixture" else runs.cluster, return_inverse=True
    )
    label = alike
    while True:  # the least label of all that share a run, until nothing changes
        before = label
        for key in (other.ravel(), alike):
            least = np.full(int(key.max()) + 1, len(label), np.int64)
            np.minimum.at(least, key, label)
            label = least[key]
        if (label == before).all():
            return replace(runs, cluster=label)


def resamples(runs: Runs, number: int, seed: int) -> npt.NDArray[np.int64]:
    """How often each run is drawn, int64, (number, n): whole clusters with replacement, so that seeds stay together."""
    many, inverse = clusters(runs)
    random = np.random.default_rng(seed)
    drawn = random.multinomial(many, np.full(many, 1 / many), size=number)
    return drawn[:, inverse].astype(np.int64)


def interval(values: Floats, level: float = 0.9) -> tuple[float, float]:
    """The central quantiles of what is finite; NaN without any.

    Quantiles are at places p (n + 1) of n values in order (Weibull, 1939): one more draw lies between them as often as
    ``level`` says. Usual are the places 1 + p (n - 1), between which it lies 86 instead of 90 times in 100 for n = 40.
    """
    known = values[np.isfinite(values)]
    if not len(known):
        return math.nan, math.nan
    low, high = np.quantile(known, (0.5 - level / 2, 0.5 + level / 2), method="weibull")
    return float(low), float(high)


def fits_with_numbers(fitted: Sequence[Prediction], settings: Settings) -> Floats:
    """Predictions of many fits: float64, (fits, rows)."""
    return np.stack([one.at(settings) for one in fitted])
