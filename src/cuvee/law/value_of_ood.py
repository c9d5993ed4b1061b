"""The value of out-of-distribution samples: some may help, more may hurt, and a weight keeps what helps.

De Silva et al., "The Value of Out-of-Distribution Data", ICML 2023, arXiv 2208.10967. Fisher's discriminant in one
dimension, classes at -mu and mu with standard deviation sigma; n target samples and m samples whose centre is shifted
by delta. With weight w on a target sample and 1 - w on another (1/2 each: unweighted),

    centre = (1-w) m delta / (w n + (1-w) m),    s^2 = sigma^2 (w^2 n + (1-w)^2 m) / (w n + (1-w) m)^2,
    error  = (1 + Phi((centre - mu) / sqrt(sigma^2 + s^2)) - Phi((centre + mu) / sqrt(sigma^2 + s^2))) / 2.

Small shifts help, middling ones help first and hurt later (a U in m), large ones hurt at once. As a law, mu and delta
(in units of sigma) are fitted to the error at several m; as a guide, :func:`dose` says whether a measured curve is a U
(by means of runs and the noise between seeds). Networks weight two means instead of sums (:func:`weight_of_means`);
:func:`weights_to_try` are the paper's.

Inputs: columns target and other (numbers of samples). Cost: milliseconds. Traps: the law is this toy's, and a network
may follow it in shape only; for large n differences are tiny; a weight chosen on the data that is reported flatters.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from ..core import Card, Prediction, Runs, Settings
from .curve import CurveLaw, Floats, Numbers, bounded_exp


def normal(x: Any) -> Any:
    """The standard normal distribution function, also a first-order step along the imaginary axis."""
    x = np.asarray(x)
    real = np.vectorize(lambda one: 0.5 * math.erfc(-one / math.sqrt(2)), otypes=[np.float64])(x.real)
    if not np.iscomplexobj(x):
        return real
    return real + 1j * np.exp(-0.5 * x.real**2) / math.sqrt(2 * math.pi) * x.imag


def risk(n: Any, m: Any, mu: Any, sigma: Any, delta: Any, weight: Any = 0.5) -> Any:
    """Expected target error; arguments broadcast. ``weight`` is of a target sample among sums, 1/2 for none."""
    total = weight * n + (1 - weight) * m
    centre = (1 - weight) * m * delta / total
    spread = sigma * np.sqrt(1 + (weight**2 * n + (1 - weight) ** 2 * m) / total**2)
    return 0.5 * (1 + normal((centre - mu) / spread) - normal((centre + mu) / spread))


def best_weight(n: float, m: float, mu: float, sigma: float, delta: float) -> tuple[float, float]:
    """The weight of target samples of least error, and that error; 1/2 where there are no others."""
    if m == 0:
        return 0.5, float(risk(n, m, mu, sigma, delta))
    low, high = 0.0, 1.0
    for _ in range(6):  # each round narrows the bracket about a minimum of the grid by fifty
        grid = np.linspace(low, high, 101)[1 if low == 0 else 0 :]
        at = int(np.argmin(risk(n, m, mu, sigma, delta, grid)))
        low, high = float(grid[max(at - 1, 0)]), float(grid[min(at + 1, len(grid) - 1)])
    weight = 0.5 * (low + high)
    return weight, float(risk(n, m, mu, sigma, delta, weight))


def weight_of_means(weight: float, n: int, m: int) -> float:
    """The weight of a target *sample* from that of the target *mean*: networks weight means, the toy sums."""
    target, other = weight / n, (1 - weight) / m
    return target / (target + other)


def weight_in_means(weight: float, n: float, m: float) -> float:
    """The weight of the target *mean* from that of a target *sample*: the inverse of :func:`weight_of_means`."""
    target, other = weight * n, (1 - weight) * m
    return target / (target + other)


def weights_to_try(before: float | None = None) -> Floats:
    """Weights of the target mean that the paper's networks are trained with: 1/2 to 1 by 0.025, or 20 from the best.

    Args:
        before: the best weight with fewer others, where the search for more of them begins.
    """
    return np.linspace(0.5, 1.0, 21) if before is None else np.linspace(before, 1.0, 20)


@dataclass(frozen=True)
class ValueOfOod(CurveLaw):
    """``delta``: where residuals begin to count linearly, in units of the error."""

    delta: float = 1e-2
    restarts: int = 24

    card: ClassVar[Card] = Card(
        summary="How target error moves with samples from elsewhere: helping, a U, or hurting.",
        family="law",
        needs=("target", "other"),
        cost="milliseconds a fit",
        bibtex="""@inproceedings{desilva2023value,
  title={The Value of Out-of-Distribution Data},
  author={De Silva, Ashwin and Ramesh, Rahul and Priebe, Carey E. and Chaudhari, Pratik and Vogelstein, Joshua T.},
  booktitle={International Conference on Machine Learning},
  year={2023}
}""",
        evidence="oracle: the release's notebook, unweighted and with the best weight",
        gives=("error",),
    )

    def numbers(self, sources: int) -> int:
        return 2

    def value(self, theta: Numbers, settings: Settings) -> Numbers:
        mu, shift = bounded_exp(theta[:, :1], 5.0), bounded_exp(theta[:, 1:2], 5.0)
        return risk(settings.values["target"], settings.values["other"], mu, 1.0, shift)

    def starts(self, runs: Runs) -> Floats:
        return np.array(
            [[np.log(mu), np.log(shift)] for mu in (0.2, 0.5, 1.0, 2.0) for shift in (0.05, 0.2, 0.5, 1, 2, 4)]
        )

    def named(self, theta: Floats, sources: tuple[str, ...]) -> dict[str, Any]:
        return {"mu": float(np.exp(theta[0])), "shift": float(np.exp(theta[1]))}

    def remarks(self, runs: Runs, fitted: Prediction) -> list[str]:
        if len(np.unique(runs.settings.values["target"])) > 1:
            return []
        told = dose(runs)
        best = f"the best measured number of others is {told['best']:g}"
        said = {
            "U": f"The error falls first and rises later: {best}.",
            "falls": f"The error falls with more of the others: {best}.",
        }
        said |= {
            "rises": "The error rises with any others: leave them out, or weight them.",
            "flat": "The error does not depend on the others beyond noise.",
        }
        return [said.get(told["shape"], f"The shape is {told['shape']}."), *self._weighted(runs, fitted)]

    def _weighted(self, runs: Runs, fitted: Prediction) -> list[str]:
        """What a weight would make of the most others that were measured."""
        n, m = float(runs.settings.values["target"][0]), float(runs.settings.values["other"].max())
        if m <= 0:
            return []
        mu, shift = fitted.parameters["mu"], fitted.parameters["shift"]
        weight, least = best_weight(n, m, mu, 1.0, shift)
        return [
            f"By the fit, {m:g} others give an error of {float(risk(n, m, mu, 1.0, shift)):.4f} unweighted and "
            f"{least:.4f} where the target mean has the weight {weight_in_means(weight, n, m):.2f}. Choose weights on "
            "other data than what is reported."
        ]


def dose(runs: Runs) -> dict[str, Any]:
    """What a dose-response curve says: "falls", "rises", "U", or "flat" within noise, and the best number of others.

    Args:
        runs: the outcome (an error) at several numbers of other samples, several seeds each.
    """
    from .judge import group_means, seed_noise

    settings, mean, size = group_means(runs)
    others = settings.values["other"]
    order = np.argsort(others)
    others, mean, size = others[order], mean[order], size[order]
    noise = seed_noise(runs)[0]
    best = int(mean.argmin())
    if noise is None or len(mean) < 3:
        return {"shape": "not known: run every amount with several seeds", "best": float(others[best])}
    apart = 2.0 * noise * np.sqrt(1 / size[best] + 1 / size)
    better = mean - mean[best] > apart
    if not better[0] and not better[-1]:
        shape = "flat"
    elif better[0] and better[-1] and 0 < best < len(mean) - 1:
        shape = "U"
    else:
        shape = "falls" if better[0] else "rises"
    return {"shape": shape, "best": float(others[best])}
