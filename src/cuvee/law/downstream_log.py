"""Downstream log law: a score after fine-tuning by the tokens of pretraining, and where that law breaks.

Isik et al., "Scaling Laws for Downstream Task Performance of Large Language Models", ICLR 2025, arXiv 2402.04177. A
score such as BLEU, of which more is better, and the downstream cross-entropy follow

    f(D) = (log(A D^alpha))^beta,    L(D) = E + A / D^alpha.

The first holds where pretraining and downstream data are aligned. Under misalignment the score may stop or fall with
more pretraining while the cross-entropy still improves: :func:`misaligned` looks for that, and no conclusion should
rest on cross-entropy alone. (``joint_scaling`` and ``nested_mixing`` fit the second form.)

Inputs: column tokens; the outcome is a score above 0. Cost: hundredths of a second. Traps: three numbers for often six
sizes; a larger fine-tuning set flattens the curve; the score is bounded, this form is not.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations
from typing import Any, ClassVar

import numpy as np

from ..core import Card, Prediction, Runs, Settings
from ..report.figures import plural
from .curve import Curve, CurveLaw, Floats, Numbers, bounded_exp

SURE = 0.01
"""Of chance alone, the share of tables that are remarked upon."""
CLEARLY = -0.69
"""Rank correlations below this look like a fall, whether or not the runs can show it."""
FEWEST, ALL_ORDERS = 5, 7
"""Runs of which one order in a hundred is rarer than ``SURE``: 1 / 5!; and up to which all orders are counted."""
STEEP, CURVED = 5.0, 3.0
"""The largest logarithms of alpha and beta."""


@dataclass(frozen=True)
class _Defined(Curve):
    """NaN where A D^alpha is not above 1, of which the logarithm has no such power."""

    def at(self, settings: Settings) -> Floats:
        inner = self.theta[0] + bounded_exp(self.theta[1], STEEP) * np.log(settings.values["tokens"])
        return np.where(inner > 0, super().at(settings), np.nan)


@dataclass(frozen=True)
class DownstreamLog(CurveLaw):
    """``delta``: where residuals begin to count linearly, in units of the score."""

    delta: float = 1.0
    restarts: int = 48

    card: ClassVar[Card] = Card(
        summary="A score after fine-tuning grows as a power of the logarithm of pretraining tokens.",
        family="law",
        needs=("tokens",),
        cost="hundredths of a second a fit",
        bibtex="""@inproceedings{isik2025scaling,
  title={Scaling Laws for Downstream Task Performance of Large Language Models},
  author={Isik, Berivan and Ponomareva, Natalia and Hazimeh, Hussein and Paparas, Dimitris and others},
  booktitle={International Conference on Learning Representations},
  year={2025}
}""",
        evidence="planted parameters recovered; planted misalignment flagged",
        gives=("score",),
    )

    def numbers(self, sources: int) -> int:
        return 3

    def value(self, theta: Numbers, settings: Settings) -> Numbers:
        inner = theta[:, :1] + bounded_exp(theta[:, 1:2], STEEP) * np.log(settings.values["tokens"])
        # the law is undefined where the logarithm is not above 0: near 0 there, so that no fit stays
        positive = np.where(inner.real > 1e-6, inner, 1e-6)
        return bounded_exp(bounded_exp(theta[:, 2:3], CURVED) * np.log(positive))

    def starts(self, runs: Runs) -> Floats:
        logs, score = np.log(runs.settings.values["tokens"]), np.maximum(runs.outcome, 1e-9)
        found = []
        for beta in np.geomspace(0.2, 4.0, self.restarts):
            line = np.polyfit(logs, score ** (1 / beta), 1)
            slope = max(float(line[0]), 1e-6)
            found.append([max(float(line[1]), 1e-3 - slope * logs.min()), np.log(slope), np.log(beta)])
        return np.array(found)

    def _curves(self, runs: Runs, weight: Floats, starts: Floats) -> list[Curve]:
        return [_Defined(**vars(one)) for one in super()._curves(runs, weight, starts)]

    def named(self, theta: Floats, sources: tuple[str, ...]) -> dict[str, Any]:
        alpha, beta = float(bounded_exp(theta[1], STEEP)), float(bounded_exp(theta[2], CURVED))
        return {"log_A": float(theta[0]), "alpha": alpha, "beta": beta}

    def remarks(self, runs: Runs, fitted: Prediction) -> list[str]:
        told, found = misaligned(runs, fitted), []
        if told["p_lack_of_fit"] < SURE:
            found.append(
                f"The score does not follow the law (lack of fit {told['lack_of_fit']:.1f} times seed variance): "
                "pretraining and task may be misaligned, and then a lower cross-entropy says nothing."
            )
        if told["p_fall"] < SURE:
            found.append("The score falls with more pretraining over the larger sizes: look for misaligned data.")
        elif told["fall"] < CLEARLY:
            found.append(
                f"The score falls over the larger sizes, and {plural(int(told['looked_at']), 'run')} there cannot tell "
                f"that from chance (p = {told['p_fall']:.2g}): repeat them with more seeds, or data may be misaligned."
            )
        return found


def misaligned(runs: Runs, fitted: Any, resamples: int = 2_000, seed: int = 0) -> dict[str, float]:
    """Whether the score stops following the law: lack of fit against seed noise, and a fall over the upper half.

    Args:
        fitted: a fit to these runs; at least one size has several seeds.

    Returns:
        "lack_of_fit": the ratio of the mean square of residuals of group means to seed variance; "p_lack_of_fit": its
        p-value under normal noise, by simulation; "fall": Spearman correlation of score and tokens over the upper half
        of the sizes, and as many below it as five runs need, of which no fewer could show a fall; "p_fall": how often
        chance orders them so low, of all orders up to seven runs; "looked_at": of so many runs. NaN where the runs
        cannot tell.
    """
    from .judge import group_means, seed_noise, spearman

    settings, mean, size = group_means(runs)
    noise, freedom = seed_noise(runs)
    spare = len(mean) - 3
    residual = mean - fitted.at(settings)
    ratio = p = float("nan")
    if noise and freedom > 0 and spare > 0:
        ratio = float((size * residual**2).sum() / spare / noise**2)
        random = np.random.default_rng(seed)
        null = (random.chisquare(spare, resamples) / spare) / (random.chisquare(freedom, resamples) / freedom)
        p = float((1 + (null >= ratio).sum()) / (resamples + 1))
    tokens = runs.settings.values["tokens"]
    sizes = np.unique(tokens)
    least = next((one for one in sizes[::-1] if one <= np.median(sizes) and (tokens >= one).sum() >= FEWEST), sizes[0])
    upper = tokens >= least
    x, y = tokens[upper], runs.outcome[upper]
    fall, p_fall = spearman(x, y), float("nan")
    if np.isfinite(fall) and len(y) <= ALL_ORDERS:
        chance = [spearman(x, y[list(order)]) for order in permutations(range(len(y)))]
        p_fall = float(np.mean([one <= fall + 1e-12 for one in chance]))
    elif np.isfinite(fall):
        random = np.random.default_rng([seed, 1])
        chance = [spearman(x, random.permutation(y)) for _ in range(resamples)]
        p_fall = float((1 + sum(one <= fall + 1e-12 for one in chance)) / (resamples + 1))
    looked_at = float(upper.sum())
    return {"lack_of_fit": ratio, "p_lack_of_fit": p, "fall": fall, "p_fall": p_fall, "looked_at": looked_at}
