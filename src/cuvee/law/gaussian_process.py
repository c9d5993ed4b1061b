"""A Gaussian process on mixtures: a smooth surface of no fixed form through the runs, with noise of its own.

The regressor that allenai/olmix offers beside its formulas (commit 9586977), after Rasmussen and Williams, "Gaussian
Processes for Machine Learning", MIT Press 2006, chapters 2 and 5. Losses y, less their mean and over their standard
deviation, are a draw of a process over mixtures x of n runs with

    K_ij = C exp(-|x_i - x_j|^2 / (2 l^2)) + s^2 [i = j],
    prediction(x) = k(x) K^-1 y,    spread(x)^2 = C - k(x) K^-1 k(x)'.

C, l and s^2 make the marginal likelihood -(y' K^-1 y + log|K| + n log 2 pi) / 2 largest, by damped Fisher scoring with
exact derivatives from C = l = 1, s^2 = 0.1 and ten draws, within the project's bounds (``BOUNDS``). A run that counts
c times is one run of noise s^2 / c, and counts once while the three numbers are found, as copies would pass for proof
that there is no noise. Intervals come from draws of the posterior (``law/posterior.py``), not from resampled runs: a
process knows where it has seen nothing, and its own prediction lies among its draws.

Inputs: mixtures and one loss. Cost: cubic in runs; hundredths of a second for 64. Traps: away from all runs it
returns to their mean, so it sees no optimum there; one length for all sources, so a source that hardly varies is hardly
seen; its surface may have several minima, and the best of some descents is kept; a formula that holds misses half as
much with the same 64 runs (``bench/law_errors.py``), one that does not half as much again.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from ..core import Card, Law, Prediction, Runs, Settings
from ..errors import UsageError
from .marginal import BOUNDS, FIRST, climb, squares
from .posterior import draws

Floats = npt.NDArray[np.float64]
WORTH = 3.0
"""A surface is one if the logarithm of its likelihood is larger by this than without: a number each."""


def seen(runs: Runs, counts: Floats) -> tuple[Floats, Floats, Floats]:
    """What a process is told: mixtures (n, k), outcomes (n,) and how often each counts (n,), all float64.

    Checkpoints of one run share its luck, so they are one row: the mean of their mixtures and outcomes.
    """
    if runs.cluster is None:
        return runs.settings.mixture, runs.outcome, counts
    order = np.lexsort((runs.outcome, *runs.settings.mixture.T))  # sums are the same bits in whatever order they came
    _, first, inverse = np.unique(runs.cluster[order], return_index=True, return_inverse=True)
    size = np.bincount(inverse)
    mixture = np.stack([np.bincount(inverse, weights=column[order]) / size for column in runs.settings.mixture.T], 1)
    return mixture, np.bincount(inverse, weights=runs.outcome[order]) / size, counts[order][first]


@dataclass(frozen=True)
class Process(Prediction):
    """A fitted process: ``theta`` as in :func:`likelihood`, the runs, and the mean and scale of their outcomes."""

    theta: Floats
    rows: Floats
    noise: Floats
    told: Floats
    mean: float
    scale: float
    parameters: Mapping[str, Any] = field(default_factory=dict)

    posterior: ClassVar[bool] = True

    def _near(self, mixture: Floats) -> Floats:
        return np.asarray(np.exp(self.theta[0] - 0.5 * squares(mixture, self.rows) * math.exp(-2 * self.theta[1])))

    def at(self, settings: Settings) -> Floats:
        return self.mean + self.scale * (self._near(settings.mixture) @ self.told)

    def slope(self, settings: Settings) -> Floats:
        pull = self._near(settings.mixture) * self.told
        toward = pull @ self.rows - pull.sum(1, keepdims=True) * settings.mixture
        return np.asarray(self.scale * math.exp(-2 * self.theta[1]) * toward)

    def spread(self, settings: Settings) -> Floats:
        """The posterior standard deviation of the surface, in the outcome's unit: float64, (n,)."""
        k = self._near(self.rows) + np.diag(math.exp(self.theta[2]) * self.noise)
        near = self._near(settings.mixture)
        left = math.exp(self.theta[0]) - (near * np.linalg.solve(k, near.T).T).sum(1)
        return self.scale * np.sqrt(np.maximum(left, 0.0))


@dataclass(frozen=True)
class GaussianProcess(Law):
    """``restarts``: starts of the likelihood's ascent beside the first; ``seed``: of these, and of posterior draws."""

    restarts: int = 10
    seed: int = 0

    card: ClassVar[Card] = Card(
        summary="A smooth surface of no fixed form through the runs, with noise of its own.",
        family="law",
        needs=("mixture",),
        cost="hundredths of a second a fit for 64 runs, cubic in runs",
        bibtex="""@book{rasmussen2006gaussian,
  title={Gaussian Processes for Machine Learning},
  author={Rasmussen, Carl Edward and Williams, Christopher K. I.},
  publisher={MIT Press},
  year={2006}
}""",
        evidence="oracle: closed form of two runs; scikit-learn's predictions, spreads and likelihoods; no claim",
        gives=("loss",),
    )

    def __post_init__(self) -> None:
        if not 0 <= self.restarts <= 1_000:
            raise UsageError(f"gaussian_process: restarts must be from 0 to 1,000, not {self.restarts}.")
        if self.seed < 0:
            raise UsageError(f"gaussian_process: seed must be at least 0, not {self.seed}.")

    def numbers(self, sources: int) -> int:
        return sources + 1  # three are fitted; but fewer runs do not even tell a slope for each source

    def fit(self, runs: Runs) -> Process:
        return self._climbed(runs, np.ones(len(runs)))

    def refit(self, runs: Runs, counts: npt.NDArray[np.int64], begin: Prediction | None = None) -> list[Prediction]:
        if isinstance(begin, Process):
            rows, outcome, _ = seen(runs, np.ones(len(runs)))
            return list(draws(begin.theta, rows, outcome, begin.mean, begin.scale, len(counts), self.seed))
        return [self._climbed(runs, row.astype(np.float64)) for row in counts]

    def _climbed(self, runs: Runs, counts: Floats) -> Process:
        drawn = counts > 0
        rows, outcome, count = seen(runs.take(drawn), counts[drawn])
        noise, mean = 1 / count, float(np.average(outcome, weights=count))
        scale = math.sqrt(float(np.average((outcome - mean) ** 2, weights=count))) or 1.0
        y, far = (outcome - mean) / scale, squares(rows, rows)
        random = np.random.default_rng(self.seed)
        starts = np.vstack([FIRST, random.uniform(BOUNDS[:, 0], BOUNDS[:, 1], (self.restarts, 3))])
        theta, value = max((climb(one, far, np.ones(len(y)), y) for one in starts), key=lambda one: one[1])
        c, length, white = np.exp(theta)
        told = np.linalg.solve(c * np.exp(-0.5 * far / length**2) + np.diag(white * noise), y)
        named = {"C": float(c), "l": float(length), "s": math.sqrt(white) * scale, "likelihood": value}
        return Process(theta, rows, noise, told, mean, scale, named)

    def remarks(self, runs: Runs, fitted: Prediction) -> list[str]:
        alone = -0.5 * len(runs) * (1 + math.log(2 * math.pi))  # the likelihood of noise about a mean
        if fitted.parameters["likelihood"] < alone + WORTH:
            return [
                "Noise about a mean explains these runs about as well as any surface: give more runs or more seeds."
            ]
        return []
