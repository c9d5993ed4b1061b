"""Data mixing laws for a validation set that is none of the sources: a sum of exponentials, one an implicit domain.

Ye et al., "Data Mixing Laws", ICLR 2025, arXiv 2403.16952: a validation set of unknown composition is taken
for a mix of K' domains that nobody named, each with a data mixing law of its own,

    L(r) = sum_a softmax(s)_a (c_a + k_a exp(sum_j t_aj r_j)).

Shares r sum to one, so the softmax, c_a and k_a tell no more than one constant and what t_a may absorb. Fitted is

    L(r) = c + sum_a exp(sum_j T_aj r_j),    c = sum_a softmax(s)_a c_a,    T_aj = t_aj + log(softmax(s)_a k_a),

the same surfaces with 1 + K' k numbers instead of K' (k + 3). It is convex, as one exponential is. The release takes 30
domains and fits them by 5,000 steps of AdamW; that is for thousands of numbers, and left out.

The release boosts 30 such fits (AdaBoost.R2; Drucker, "Improving Regressors using Boosting Techniques", ICML 1997):
each is fitted to runs weighted by how far the ones before missed them, and the answer is the median of all, weighted
by how well each did. ``boosts`` does that, with weights where the release draws runs by them (``law/boosted.py``). On
planted losses of six sources (``bench/law_errors.py``, 10 swarms each) 30 boosts miss less where the form is wrong, 45
instead of 55 and 38 instead of 47 hundredths of what the mean would miss, with 64 and 128 runs of powers of the
shares, but not where it holds: 28 for 26 and 17 for 16, of three exponentials. With 24 runs the first fit mostly stays
the only one. On the reference swarms of ``data_mixing_laws`` and RegMix they change the error from 0.0047 to 0.0047
and from 0.0136 to 0.0140. So one fit is the default; where the form is wrong, ``optimal_mixtures`` is better still (19
and 15 of powers).

Inputs: mixtures and one loss, more than a hundred runs. Cost: tenths of a second a fit, ``boosts`` times that. Traps:
it follows noise where ``data_mixing_laws`` does not: with 24 runs of six sources it misses planted losses by twice as
much, and with 64 by as much even where three exponentials were planted (``bench/law_errors.py``); in 64 runs of five
real sources it saw a mixture 0.02 better than the best run, which was 0.14 worse when it was trained; domains may trade
off or coincide, so only predictions mean anything.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from ..core import Card, Prediction, Runs, Settings
from ..errors import UsageError
from .boosted import boosted
from .curve import Curve, CurveLaw, Floats, Numbers, bounded_exp

LIMIT = 30.0


@dataclass(frozen=True)
class ImplicitDomains(CurveLaw):
    """``domains``: K'; ``delta``: where residuals begin to count linearly, in nats; ``restarts``: starts of the fit;
    ``boosts``: fits whose weighted median is the answer, 1 for one fit."""

    domains: int = 2
    delta: float = 0.03
    restarts: int = 32
    boosts: int = 1

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
        if not 1 <= self.boosts <= 100:
            raise UsageError(f"implicit_domains: boosts must be from 1 to 100, not {self.boosts}.")

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

    def fit(self, runs: Runs) -> Curve:
        if self.boosts == 1:
            return super().fit(runs)
        return boosted(self, self.boosts, runs, np.ones((1, len(runs))))[0]

    def refit(self, runs: Runs, counts: npt.NDArray[np.int64], begin: Prediction | None = None) -> list[Prediction]:
        if self.boosts == 1:
            return super().refit(runs, counts, begin)
        return list(boosted(self, self.boosts, runs, counts.astype(np.float64), begin))

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
