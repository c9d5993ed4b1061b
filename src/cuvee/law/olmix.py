"""The log-linear law of olmix, and its proposal: minimise predicted losses plus a pull toward the natural mix.

After allenai/olmix, its utilities for fits and proposals (commit 9586977). With shares x of k sources,

    L(x) = c + exp(sum_j t_j x_j),

as in data mixing laws (the factor before the exponential is absorbed, since shares sum to one), by Huber's loss with
``delta`` 0.02. The proposal minimises the mean of the losses plus ``kl`` times KL(x || prior) under caps from tokens
and repetition, which is convex; it is :func:`cuvee.law.propose.descend` with this law's ``kl``.

Inputs: mixtures and one loss. Cost: hundredths of a second a fit. Traps: without the pull, the best mixture sits at a
corner and follows noise; a source of prior 0 can never be proposed; caps that sum to less than one leave tokens
missing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from ..core import Card, Runs, Settings
from ..errors import UsageError
from .curve import CurveLaw, Floats, Numbers, bounded_exp, dot


@dataclass(frozen=True)
class Olmix(CurveLaw):
    """``delta``: where residuals begin to count linearly; ``kl``: the pull toward the natural mix."""

    delta: float = 0.02
    restarts: int = 48
    kl: float = 0.1

    ridge: ClassVar[float] = 1e-5
    card: ClassVar[Card] = Card(
        summary="A log-linear law with a pull of the proposal toward the natural mix.",
        family="law",
        needs=("mixture",),
        cost="hundredths of a second a fit",
        bibtex="""@misc{olmix2025,
  title={olmix: Fitting and proposing data mixtures},
  author={{Allen Institute for AI}},
  howpublished={https://github.com/allenai/olmix, commit 9586977},
  year={2025}
}""",
        evidence="oracle: the project's fits and proposals, 4 sources; claim: reproduced (8 seeds)",
        gives=("loss",),
    )

    def __post_init__(self) -> None:
        if not 0 <= self.kl < math.inf:
            raise UsageError(f"olmix: kl must be a number of at least 0, not {self.kl:g}.")

    def numbers(self, sources: int) -> int:
        return sources + 1

    def value(self, theta: Numbers, settings: Settings) -> Numbers:
        return bounded_exp(theta[:, :1]) + bounded_exp(dot(settings.mixture, theta[:, 1:]))

    def starts(self, runs: Runs) -> Floats:
        random = np.random.default_rng(0)
        low, high = float(runs.outcome.min()), float(runs.outcome.max())
        k = runs.settings.mixture.shape[1]
        floor = max(low, 1e-6) * random.uniform(0.05, 0.999, self.restarts)
        level = np.log(np.maximum(high - floor, 1e-6) * random.uniform(0.3, 3.0, self.restarts))
        tilt = random.normal(size=(self.restarts, k)) * random.uniform(0.2, 3.0, (self.restarts, 1))
        return np.column_stack([np.log(floor), level[:, None] + tilt])

    def named(self, theta: Floats, sources: tuple[str, ...]) -> dict[str, Any]:
        return {"c": float(np.exp(theta[0])), "t": dict(zip(sources, theta[1:].tolist(), strict=True))}
