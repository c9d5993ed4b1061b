"""Loss by model size and tokens: the forms of Kaplan et al. and of Hoffmann et al.

    kaplan        L(N, D) = ((A / N)^(alpha / beta) + B / D)^beta + E
    chinchilla    L(N, D) = A / N^alpha + B / D^beta + E

Kaplan et al., "Scaling Laws for Neural Language Models", 2020, arXiv 2001.08361, with an irreducible loss E as in
Brandfonbrener et al., "Loss-to-Loss Prediction", 2024, arXiv 2411.12925; Hoffmann et al., "Training Compute-Optimal
Large Language Models", 2022, arXiv 2203.15556. Positive numbers, by Huber's loss on logarithms with ``delta`` 1e-3.

Inputs: columns parameters and tokens. Cost: a fraction of a second. Traps: A and alpha are not identified unless both N
and D vary several fold; one run's checkpoints are no runs of their own; predictions far outside are extrapolation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from ..core import Card, Runs, Settings
from ..errors import UsageError
from .curve import CurveLaw, Floats, Numbers, bounded_exp, spread


@dataclass(frozen=True)
class JointScaling(CurveLaw):
    """``form``: "kaplan" or "chinchilla"."""

    form: str = "kaplan"
    delta: float = 1e-3
    restarts: int = 48
    logarithmic: ClassVar[bool] = True

    card: ClassVar[Card] = Card(
        summary="Loss by parameters and tokens, in the form of Kaplan et al. or of Hoffmann et al.",
        family="law",
        needs=("parameters", "tokens"),
        cost="a fraction of a second a fit",
        bibtex="""@article{kaplan2020scaling,
  title={Scaling Laws for Neural Language Models},
  author={Kaplan, Jared and McCandlish, Sam and Henighan, Tom and Brown, Tom B. and others},
  journal={arXiv preprint arXiv:2001.08361},
  year={2020}
}""",
        evidence="oracle: a joint fit of the loss-to-loss release, predictions to 3e-3",
        gives=("loss",),
    )

    def __post_init__(self) -> None:
        if self.form not in ("kaplan", "chinchilla"):
            raise UsageError(f"joint_scaling: form is 'kaplan' or 'chinchilla', not '{self.form}'.")

    def numbers(self, sources: int) -> int:
        return 5

    def value(self, theta: Numbers, settings: Settings) -> Numbers:
        e, a, b, alpha, beta = (theta[:, at : at + 1] for at in range(5))
        n, d = np.log(settings.values["parameters"]), np.log(settings.values["tokens"])
        alpha, beta = bounded_exp(alpha, 3.0), bounded_exp(beta, 3.0)
        if self.form == "chinchilla":  # a and b are log A and log B divided by their exponents, as in the other form
            return bounded_exp(alpha * (a - n)) + bounded_exp(beta * (b - d)) + bounded_exp(e)
        inner = bounded_exp(alpha / beta * (a - n)) + bounded_exp(b - d)
        return bounded_exp(beta * np.log(inner)) + bounded_exp(e)

    def starts(self, runs: Runs) -> Floats:
        n, d = np.log(runs.settings.values["parameters"]), np.log(runs.settings.values["tokens"])
        floor = np.log(max(float(runs.outcome.min()), 1e-6))
        low = [floor - 1.0, n.min() - 6.0, d.min() - 6.0, -1.6, -1.6]
        high = [floor - 0.02, n.max(), d.max(), -0.2, -0.2]
        return spread(0, self.restarts, np.array(low), np.array(high))

    def named(self, theta: Floats, sources: tuple[str, ...]) -> dict[str, Any]:
        found = dict(zip(("E", "A", "B", "alpha", "beta"), np.exp(theta).tolist(), strict=True))
        if self.form == "chinchilla":
            found["A"], found["B"] = found["A"] ** found["alpha"], found["B"] ** found["beta"]
        return found
