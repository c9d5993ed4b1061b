"""Subgroups beside the average: which group is worst, who loses while the average gains, and how groups bend.

Over many models, accuracy on a minority group is often a curved function of accuracy on the majority, not a line
(Liang et al., "Accuracy on the Curve: On the Nonlinear Correlation of ML Performance Between Data Subpopulations",
ICML 2023): an average says little about a group. So groups are compared each for itself, as a family of their own, and
an average never stands in for them. Curvature is tested by AICc of y ~ x against y ~ x + x^2 (Hurvich and Tsai 1989).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import UsageError
from .power import NORMAL, t_quantile
from .proxy import Floats, Measured
from .verdict import Comparison, Groups, Question

FEWEST_DOCUMENTS = 10
"""Smaller groups are not compared: their documents cannot tell how much documents differ."""
FEWEST_MODELS = 20


def group_questions(
    arms: Sequence[str], baselines: Sequence[str], groups: Groups
) -> tuple[tuple[Question, ...], tuple[str, ...]]:
    """The family of subgroups, and the groups that are too small for it ("EVALUATION/GROUP").

    Groups that are an evaluation set's only one ask nothing new and are left out of both.
    """
    asked, small = [], []
    for evaluation, (codes, names) in groups.items():
        count = np.bincount(codes, minlength=len(names))
        if int((count > 0).sum()) < 2:
            continue
        for place, name in enumerate(names):
            if count[place] >= FEWEST_DOCUMENTS:
                asked += [Question(arm, other, evaluation, name) for arm in arms for other in baselines]
            elif count[place]:
                small.append(f"{evaluation}/{name}")
    return tuple(asked), tuple(small)


def group_means(trials: Mapping[int, Measured], codes: np.ndarray, names: Sequence[str]) -> dict[str, float]:
    """An arm's mean loss per group, averaged over seeds; groups without documents are left out."""
    found = {}
    for place, name in enumerate(names):
        at = codes == place
        if at.any():
            found[name] = float(np.mean([one.loss[at].sum() / one.size[at].sum() for one in trials.values()]))
    return found


def worst_group(trials: Mapping[int, Measured], codes: np.ndarray, names: Sequence[str]) -> tuple[str, float]:
    """The group with the highest mean loss, and that loss."""
    means = group_means(trials, codes, names)
    worst = max(means, key=lambda name: means[name])
    return worst, means[worst]


def warning(average: Comparison, groups: Sequence[Comparison], unit: str = "bits per byte") -> str | None:
    """A sentence if the average gains while a group is shown to lose, else None.

    ``groups``: comparisons of the same two arms on the same evaluation set's groups; others are passed over.
    """
    same = (average.arm, average.against, average.evaluation)
    mine = [one for one in groups if (one.arm, one.against, one.evaluation) == same and one.group is not None]
    losing = sorted((one for one in mine if one.verdict == "worse"), key=lambda one: -one.mean)
    if average.mean >= 0 or not losing:
        return None
    told = ", ".join(f"{one.group} by {one.mean:.4f}" for one in losing)
    return (
        f"{average.arm} gains {-average.mean:.4f} {unit} over {average.against} on {average.evaluation} on average, "
        f"but loses on {len(losing)} of {len(mine)} groups: {told}."
    )


@dataclass(frozen=True)
class Curvature:
    """How one group's result bends over another's.

    Attributes:
        second: second derivative of y over x (twice the quadratic coefficient); ``low``, ``high``: 95 % t interval.
        gain: AICc of the line less AICc of the parabola; above zero, the parabola describes the models better.
        spread: largest less smallest y among the tenth of models with the largest x (at least two).
        models: how many.
    """

    second: float
    low: float
    high: float
    gain: float
    spread: float
    models: int

    @property
    def curved(self) -> bool:
        """The parabola is better and its bend is apart from zero."""
        return self.gain > 0 and (self.low > 0 or self.high < 0)


def probit(count: Floats, n: int) -> Floats:
    """Accuracies on the scale of normal quantiles, from counts of right answers of n: (count + 0.5) / (n + 1)."""
    return np.array([NORMAL.inv_cdf((one + 0.5) / (n + 1)) for one in np.asarray(count, np.float64).tolist()])


def curvature(x: Floats, y: Floats) -> Curvature:
    """Whether y is a curved function of x over models.

    Args:
        x, y: float64, (models,): accuracies or :func:`probit` of counts, of majority and minority. Points are taken as
            independent: give one point a run, not one an epoch.

    Raises:
        UsageError: fewer than 20 models, or fewer than three different x.
    """
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    k = len(x)
    if k < FEWEST_MODELS:
        raise UsageError(f"{k} models cannot tell a curve from a line: use at least {FEWEST_MODELS}.")
    if len(np.unique(x)) < 3:
        raise UsageError("Models that all have the same result on one group cannot tell a curve from a line.")
    z = (x - x.mean()) / x.std()
    design = np.stack([np.ones(k), z, z * z], axis=1)
    score, fits = [], []
    for terms in (2, 3):
        fit = np.linalg.lstsq(design[:, :terms], y, rcond=None)[0]
        rest = float(((y - design[:, :terms] @ fit) ** 2).sum())
        free = terms + 1  # coefficients and the residual variance
        score.append(k * math.log(max(rest, 1e-300) / k) + 2 * free + 2 * free * (free + 1) / (k - free - 1))
        fits.append((fit, rest))
    fit, rest = fits[1]
    error = math.sqrt(rest / (k - 3) * float(np.linalg.inv(design.T @ design)[2, 2]))
    scale = 2 / float(x.var())
    half = t_quantile(0.975, k - 3) * error
    top = y[np.argsort(x)[-max(2, k // 10) :]]
    return Curvature(
        float(fit[2]) * scale,
        (float(fit[2]) - half) * scale,
        (float(fit[2]) + half) * scale,
        score[0] - score[1],
        float(np.ptp(top)),
        k,
    )
