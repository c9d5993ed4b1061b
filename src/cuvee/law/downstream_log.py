"""Downstream log law: a score after fine-tuning by the tokens of pretraining, and where that law breaks.

Isik et al., "Scaling Laws for Downstream Task Performance of Large Language Models", ICLR 2025, arXiv 2402.04177. A
score such as BLEU, of which more is better, and the downstream cross-entropy follow

    f(D) = (log(A D^alpha))^beta,    L(D) = E + A / D^alpha.

The first holds where pretraining and downstream data are aligned. Under misalignment the score may stop or fall with
more pretraining while the cross-entropy still improves: :func:`misaligned` looks for that, and no conclusion should
rest on cross-entropy alone. (``joint_scaling`` and ``nested_mixing`` fit the second form.)

Inputs: column tokens; the outcome is a score above 0. Cost: milliseconds. Traps: three numbers for often six sizes; a
larger fine-tuning set flattens the curve; the score is bounded, this form is not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from ..core import Card, Prediction, Runs, Settings
from .curve import CurveLaw, Floats, Numbers, bounded_exp

SURE = 0.01
"""Of chance alone, the share of tables that are remarked upon."""


@dataclass(frozen=True)
class DownstreamLog(CurveLaw):
    """``delta``: where residuals begin to count linearly, in units of the score."""

    delta: float = 1.0
    restarts: int = 48

    card: ClassVar[Card] = Card(
        summary="A score after fine-tuning grows as a power of the logarithm of pretraining tokens.",
        family="law",
        needs=("tokens",),
        cost="milliseconds a fit",
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
        inner = theta[:, :1] + bounded_exp(theta[:, 1:2], 5.0) * np.log(settings.values["tokens"])
        # the law is undefined where the logarithm is not above 0: near 0 there, so that no fit stays
        positive = np.where(inner.real > 1e-6, inner, 1e-6)
        return bounded_exp(bounded_exp(theta[:, 2:3], 3.0) * np.log(positive))

    def starts(self, runs: Runs) -> Floats:
        logs, score = np.log(runs.settings.values["tokens"]), np.maximum(runs.outcome, 1e-9)
        found = []
        for beta in np.geomspace(0.2, 4.0, self.restarts):
            line = np.polyfit(logs, score ** (1 / beta), 1)
            slope = max(float(line[0]), 1e-6)
            found.append([max(float(line[1]), 1e-3 - slope * logs.min()), np.log(slope), np.log(beta)])
        return np.array(found)

    def named(self, theta: Floats, sources: tuple[str, ...]) -> dict[str, Any]:
        return {"log_A": float(theta[0]), "alpha": float(np.exp(theta[1])), "beta": float(np.exp(theta[2]))}

    def remarks(self, runs: Runs, fitted: Prediction) -> list[str]:
        told, found = misaligned(runs, fitted), []
        if told["p_lack_of_fit"] < SURE:
            found.append(
                f"The score does not follow the law (lack of fit {told['lack_of_fit']:.1f} times seed variance): "
                "pretraining and task may be misaligned, and then a lower cross-entropy says nothing."
            )
        if told["p_fall"] < SURE:
            found.append(
                "The score falls with more pretraining over the upper half of the sizes: look for misaligned data."
            )
        return found


def misaligned(runs: Runs, fitted: Any, resamples: int = 2_000, seed: int = 0) -> dict[str, float]:
    """Whether the score stops following the law: lack of fit against seed noise, and a fall over the upper half.

    Args:
        fitted: a fit to these runs; at least one size has several seeds.

    Returns:
        "lack_of_fit": the ratio of the mean square of residuals of group means to seed variance; "p_lack_of_fit": its
        p-value under normal noise, by simulation; "fall": Spearman correlation of score and tokens over the upper half
        of the sizes; "p_fall": how often chance orders them so low. NaN where the runs cannot tell.
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
    upper = tokens >= np.median(np.unique(tokens))
    fall = spearman(tokens[upper], runs.outcome[upper])
    p_fall = float("nan")
    if np.isfinite(fall):
        random = np.random.default_rng([seed, 1])
        chance = [spearman(tokens[upper], random.permutation(runs.outcome[upper])) for _ in range(resamples)]
        p_fall = float((1 + sum(one <= fall + 1e-12 for one in chance)) / (resamples + 1))
    return {"lack_of_fit": ratio, "p_lack_of_fit": p, "fall": fall, "p_fall": p_fall}
