"""Cross-domain D-CPT law: the D-CPT law for several domains at once, and for a new one at about 1 % of the cost.

Que et al., NeurIPS 2024, arXiv 2406.01375, section 5: one further term carries how learnable a domain is,

    L(N, D, r, K) = E + A / N^alpha + B r^eta / D^beta + C / (r + eps)^gamma + F / K^mu,    K = w1 / k1 + w2 k2,

with k1 the domain's loss in a short run and k2 how fast it falls there. The paper's details of fitting are not public;
here w1 is absorbed into F, and w = w2 / w1 is fitted.

Inputs: columns parameters, tokens, share, early_loss (k1) and early_decline (k2 >= 0), the last two alike for all rows
of a domain. Cost: a second. Traps: those of ``d_cpt``; with fewer than four domains F, mu and w are guesses.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from ..core import Card, Prediction, Runs, Settings
from .curve import CurveLaw, Floats, Numbers, bounded_exp, spread
from .d_cpt import BOUNDS, NAMES, formula, unidentified


@dataclass(frozen=True)
class CrossDomainDCpt(CurveLaw):
    """``delta``: where residuals of log losses begin to count linearly."""

    delta: float = 1e-3
    restarts: int = 64
    logarithmic: ClassVar[bool] = True

    card: ClassVar[Card] = Card(
        summary="The D-CPT law shared by several domains through how learnable each is.",
        family="law",
        needs=("parameters", "tokens", "share", "early_loss", "early_decline"),
        cost="about a second a fit",
        bibtex="""@inproceedings{que2024dcpt,
  title={{D-CPT} Law: Domain-specific Continual Pre-Training Scaling Law for Large Language Models},
  author={Que, Haoran and Liu, Jiaheng and Zhang, Ge and Zhang, Chenchen and Qu, Xingwei and others},
  booktitle={Advances in Neural Information Processing Systems},
  year={2024}
}""",
        evidence="planted parameters: a domain left out is predicted",
        gives=("loss",),
    )

    def numbers(self, sources: int) -> int:
        return 12

    def value(self, theta: Numbers, settings: Settings) -> Numbers:
        n, d = (np.log(settings.values[name] / 1e6) for name in ("parameters", "tokens"))
        loss, decline = settings.values["early_loss"], settings.values["early_decline"]
        learnable = 1 / loss + bounded_exp(theta[:, 11:12], 6.0) * decline
        term = bounded_exp(theta[:, 9:10] - bounded_exp(theta[:, 10:11], 2.0) * np.log(learnable))
        return formula(theta[:, :9], n, d, settings.values["share"]) + term

    def starts(self, runs: Runs) -> Floats:
        low, high = (
            np.array([*bound, *more]) for bound, more in zip(BOUNDS, ((-3.0, -1.5, -4.0), (0.0, 0.7, 1.0)), strict=True)
        )
        found = spread(0, self.restarts, low, high)
        found[:, 0] += np.log(max(float(runs.outcome.min()), 1e-3))
        return found

    def named(self, theta: Floats, sources: tuple[str, ...]) -> dict[str, Any]:
        return dict(zip((*NAMES, "F", "mu", "w"), np.exp(theta).tolist(), strict=True))

    def remarks(self, runs: Runs, fitted: Prediction) -> list[str]:
        found, values = unidentified(runs), runs.settings.values
        domains = len(np.unique(np.column_stack([values["early_loss"], values["early_decline"]]), axis=0))
        if domains < 4:
            found.append(
                f"Runs of {domains} domains leave F, mu and w open: a new domain's loss is a guess. Run four or more."
            )
        return found
