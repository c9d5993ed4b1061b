"""Data mixing laws for a validation set that is none of the sources: a sum of exponentials, one an implicit domain.

Ye et al., "Data Mixing Laws", ICLR 2025, arXiv 2403.16952: a validation set of unknown composition is taken
for a mix of K' domains that nobody named, each with a data mixing law of its own,

    L(r) = sum_a softmax(s)_a (c_a + k_a exp(sum_j t_aj r_j)).

Shares r sum to one, so the softmax, c_a and k_a tell no more than one constant and what t_a may absorb. Fitted is

    L(r) = c + sum_a exp(sum_j T_aj r_j),    c = sum_a softmax(s)_a c_a,    T_aj = t_aj + log(softmax(s)_a k_a),

the same surfaces with 1 + K' k numbers instead of K' (k + 3). It is convex, as one exponential is. The release takes 30
domains, fits them by 5,000 steps of AdamW and boosts 30 such fits; that is for thousands of numbers, and left out.

Inputs: mixtures and one loss, more than a hundred runs. Cost: tenths of a second a fit. Traps: it follows noise where
``data_mixing_laws`` does not: with 24 runs of six sources it misses planted losses by twice as much, and with 64 by as
much even where three exponentials were planted (``bench/law_errors.py``); domains may trade off or coincide, so only
predictions mean anything.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from ..core import Card, Runs, Settings
from ..errors import UsageError
from .curve import CurveLaw, Floats, Numbers, bounded_exp

LIMIT = 30.0


@dataclass(frozen=True)
class ImplicitDomains(CurveLaw):
    """``domains``: K'; ``delta``: where residuals begin to count linearly, in nats; ``restarts``: starts of the fit."""

    domains: int = 2
    delta: float = 0.03
    restarts: int = 32

    ridge: ClassVar[float] = 1e-6
    card: ClassVar[Card] = Card(
        summary="A loss is a constant plus a sum of exponentials: for validation sets that are none of the sources.",
        family="law",
        needs=("mixture",),
        cost="tenths of a second a fit; more than 100 runs",
        bibtex="""@inproceedings{ye2025data,
  title={Data Mixing Laws: Optimizing Data Mixtures by Predicting Language Modeling Performance},
  author={Ye, Jiasheng and Liu, Peiju and Sun, Tianxiang and Zhan, Jun and Zhou, Yunhua and Qiu, Xipeng},
  booktitle={International Conference on Learning Representations},
  year={2025}
}""",
        evidence="oracle: the paper's formula; one domain is data_mixing_laws; planted surfaces; no claim",
        gives=("loss",),
    )

    def __post_init__(self) -> None:
        if not 1 <= self.domains <= 30:
            raise UsageError(f"implicit_domains: domains must be from 1 to 30, not {self.domains}.")

    def numbers(self, sources: int) -> int:
        return 1 + self.domains * sources

    def _parts(self, theta: Numbers, settings: Settings) -> Numbers:
        """Each domain's part: (b, n, domains)."""
        tilt = theta[:, 1:].reshape(len(theta), self.domains, -1)
        mixture = settings.mixture if settings.mixture.ndim == 3 else settings.mixture[None]
        return bounded_exp(mixture @ tilt.transpose(0, 2, 1), LIMIT)

    def value(self, theta: Numbers, settings: Settings) -> Numbers:
        return np.asarray(bounded_exp(theta[:, :1], LIMIT) + self._parts(theta, settings).sum(-1))

    def derived(self, theta: Floats, settings: Settings) -> tuple[Floats, Floats]:
        floor, parts = bounded_exp(theta[:, :1], LIMIT), self._parts(theta, settings)
        by_tilt = parts.transpose(0, 2, 1)[:, :, None, :] * settings.mixture.T  # (b, domains, k, n)
        by_floor = np.broadcast_to(floor[:, :, None], (len(theta), 1, parts.shape[1]))
        slopes = np.concatenate([by_floor, by_tilt.reshape(len(theta), -1, parts.shape[1])], axis=1)
        return np.asarray(floor + parts.sum(-1)), slopes

    def by_share(self, theta: Floats, settings: Settings) -> Floats:
        return np.asarray(self._parts(theta, settings) @ theta[:, 1:].reshape(len(theta), self.domains, -1))

    def starts(self, runs: Runs) -> Floats:
        random = np.random.default_rng(0)
        low, high = float(runs.outcome.min()), float(runs.outcome.max())
        k = runs.settings.mixture.shape[1]
        floor = max(low, 1e-6) * random.uniform(0.05, 0.999, self.restarts)
        level = np.log(np.maximum(high - floor, 1e-6) * random.uniform(0.3, 3.0, self.restarts) / self.domains)
        width = random.uniform(0.2, 3.0, (self.restarts, 1, 1))
        tilt = level[:, None, None] + width * random.normal(size=(self.restarts, self.domains, k))
        return np.column_stack([np.log(floor), tilt.reshape(self.restarts, -1)])

    def named(self, theta: Floats, sources: tuple[str, ...]) -> dict[str, Any]:
        rows = theta[1:].reshape(self.domains, -1)
        order = np.argsort(-np.exp(rows.mean(1)), kind="stable")  # the largest first, since their order is chance
        return {"c": float(np.exp(theta[0])), "T": [dict(zip(sources, rows[at].tolist(), strict=True)) for at in order]}
