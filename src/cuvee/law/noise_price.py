"""The price of a noisy sample: how many noisy samples are worth one clean one.

After Daras et al., "How Much is a Noisy Image Worth? Data Scaling Laws for Ambient Diffusion", ICLR 2025, arXiv
2411.02780, who find one clean image worth about 1.5 to 1.75 noisy ones at a mild noise, given some clean images, and
noisy images alone never as good. Here an error follows a power law in the effective number of samples,

    L = E + A / (n_clean + price n_noisy)^alpha,    price >= 0,

for one noise level.

Inputs: columns clean and noisy (samples). Cost: hundredths of a second. Traps: the price holds with at least about 1 %
clean samples (:func:`enough_clean`), for the noise and learner that it was measured with: in a parametric toy (a
mixture of Gaussians by EM) clean and noisy samples together were hardly better than the clean ones alone; without runs
on clean samples alone, A and price trade off.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from ..core import Card, Prediction, Runs, Settings
from .curve import Curve, CurveLaw, Floats, Numbers, bounded_exp, spread
from .judge import clusters, interval, resamples
from .moved import wider

RESAMPLES, LEVEL = 200, 0.9
STEEP, DEAR = 2.0, 3.0
"""The largest logarithms of alpha and of the price."""


@dataclass(frozen=True)
class NoisePrice(CurveLaw):
    """``delta``: where residuals of log losses begin to count linearly."""

    delta: float = 1e-2
    restarts: int = 48
    logarithmic: ClassVar[bool] = True

    card: ClassVar[Card] = Card(
        summary="How many noisy samples are worth a clean one, by a power law in effective samples.",
        family="law",
        needs=("clean", "noisy"),
        cost="hundredths of a second a fit",
        bibtex="""@inproceedings{daras2025noisy,
  title={How Much is a Noisy Image Worth? Data Scaling Laws for Ambient Diffusion},
  author={Daras, Giannis and Cherapanamjeri, Yeshwanth and Daskalakis, Constantinos},
  booktitle={International Conference on Learning Representations},
  year={2025}
}""",
        evidence="planted price recovered",
        gives=("loss",),
    )

    def numbers(self, sources: int) -> int:
        return 4

    def value(self, theta: Numbers, settings: Settings) -> Numbers:
        e, a, alpha, price = (theta[:, at : at + 1] for at in range(4))
        effective = settings.values["clean"] + bounded_exp(price, DEAR) * settings.values["noisy"]
        return bounded_exp(e) + bounded_exp(bounded_exp(alpha, STEEP) * (a - np.log(effective)))

    def starts(self, runs: Runs) -> Floats:
        floor = np.log(max(float(runs.outcome.min()), 1e-9))
        most = float(np.log((runs.settings.values["clean"] + runs.settings.values["noisy"]).max()))
        low = np.array([floor - 4.0, most - 12.0, -2.5, -4.0])
        return spread(0, self.restarts, low, np.array([floor - 0.02, most, 0.3, 0.3]))

    def named(self, theta: Floats, sources: tuple[str, ...]) -> dict[str, Any]:
        alpha, price = float(bounded_exp(theta[2], STEEP)), float(bounded_exp(theta[3], DEAR))
        told = {"E": float(np.exp(theta[0])), "A": float(np.exp(theta[1] * alpha)), "alpha": alpha, "price": price}
        return {**told, "noisy_for_one_clean": 1 / price}

    def between(self, runs: Runs, fitted: Curve) -> tuple[float, float]:
        """The interval of the price over resampled runs, 90 %, as wide as few runs ask for.

        Of 60 planted tables of 9 and of 20 runs, 56 intervals held the price.
        """
        again = self.refit(runs, resamples(runs, RESAMPLES, 0), fitted)
        logs = np.array([min(one.theta[3], DEAR) for one in again if isinstance(one, Curve)])
        middle, factor = min(float(fitted.theta[3]), DEAR), wider(clusters(runs)[0], self.numbers(0), LEVEL)
        low, high = (float(np.exp(middle + factor * (end - middle))) for end in interval(logs, LEVEL))
        return low, high

    def remarks(self, runs: Runs, fitted: Prediction) -> list[str]:
        assert isinstance(fitted, Curve)
        price, (low, high) = fitted.parameters["price"], self.between(runs, fitted)
        found = [
            f"A noisy sample is worth {price:.3g} of a clean one, {100 * LEVEL:.0f} % over resampled runs "
            f"[{low:.3g}, {high:.3g}]."
        ]
        if not enough_clean(runs):
            found.append("Some runs have less than 1 % of clean samples, where a price says nothing. Leave them out.")
        if not (runs.settings.values["noisy"] == 0).any():
            found.append("No run is on clean samples alone, so A and price trade off: run some.")
        return found


def enough_clean(runs: Runs, least: float = 0.01) -> bool:
    """Whether every run has at least this share of clean samples, without which the price says nothing."""
    clean, noisy = runs.settings.values["clean"], runs.settings.values["noisy"]
    return bool((clean >= least * (clean + noisy)).all())
