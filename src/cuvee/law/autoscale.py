"""AutoScale's form: each source helps by a power of its own tokens beyond what the others are worth.

Kang et al., "AutoScale: Scale-Aware Data Mixing for Pre-Training LLMs", 2024, arXiv 2407.20177, in the form that
allenai/olmix fits at one number of tokens N:

    L(x) = E + sum_j (N (alpha_j + x_j))^(-gamma_j),    alpha_j, gamma_j >= 0, 0 <= E <= min L.

Inputs: mixtures and one loss; ``tokens`` of the runs. Cost: a tenth of a second a fit for three sources, two seconds
for eight. Traps: twice as many numbers as sources and one; the shape at another N is an assumption, which the paper
checks by retraining; there is no factor before the powers, so the unit of the loss matters: what varies by a unit or
more with one share is fitted badly (in its claim the error halves when losses are divided by five); intervals are too
narrow (of 83 planted swarms of 40 mixtures they held the best shares in 72 to 83 %, loss and gain in 80 %, instead of
90).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from ..core import Card, Runs, Settings
from ..errors import UsageError
from .curve import CurveLaw, Floats, Numbers, bounded_exp


@dataclass(frozen=True)
class Autoscale(CurveLaw):
    """``tokens``: of every run; ``delta``: where residuals begin to count linearly."""

    tokens: float = 1e9
    delta: float = 1.0
    restarts: int = 32

    card: ClassVar[Card] = Card(
        summary="Each source helps by a power of its own tokens, beyond what the others are worth.",
        family="law",
        needs=("mixture",),
        cost="tenths of a second a fit, seconds for eight sources",
        bibtex="""@article{kang2024autoscale,
  title={{AutoScale}: Scale-Aware Data Mixing for Pre-Training {LLMs}},
  author={Kang, Feiyang and Sun, Yifan and Wen, Bingbing and Chen, Si and Song, Dawn and Mahmood, Rafid and Jia, Ruoxi},
  journal={arXiv preprint arXiv:2407.20177},
  year={2024}
}""",
        evidence="oracle: predictions and sum of squares of the olmix project's fit; "
        "claim: not reproduced (6 seeds): worse predictions than a line, and the best mixture did not change with size",
        gives=("loss",),
    )

    def __post_init__(self) -> None:
        if not self.tokens > 1:
            raise UsageError(f"autoscale: tokens must be more than 1, not {self.tokens}.")

    def numbers(self, sources: int) -> int:
        return 2 * sources + 1

    def value(self, theta: Numbers, settings: Settings) -> Numbers:
        k = settings.mixture.shape[-1]
        worth = self.tokens * (bounded_exp(theta[:, None, 1 : k + 1], 4.0) + settings.mixture)
        terms = bounded_exp(-bounded_exp(theta[:, None, k + 1 :], 2.0) * np.log(worth))
        return bounded_exp(theta[:, :1]) + terms.sum(-1)

    def starts(self, runs: Runs) -> Floats:
        random = np.random.default_rng(0)
        k = runs.settings.mixture.shape[1]
        floor = np.log(max(float(runs.outcome.min()), 1e-6)) + np.log(random.uniform(0.05, 0.95, (self.restarts, 1)))
        alpha = random.uniform(-4.0, 0.5, (self.restarts, k))
        gamma = np.log(random.uniform(0.01, 0.3, (self.restarts, k)))
        return np.column_stack([floor, alpha, gamma])

    def named(self, theta: Floats, sources: tuple[str, ...]) -> dict[str, Any]:
        values, k = np.exp(theta).tolist(), len(sources)
        alpha, gamma = (
            dict(zip(sources, values[1 : k + 1], strict=True)),
            dict(zip(sources, values[k + 1 :], strict=True)),
        )
        return {"E": values[0], "alpha": alpha, "gamma": gamma}
