"""Strata: how many rows a wanted precision needs, whole allocations, and how well a sample represents.

Cochran, "Sampling Techniques", 1977, chapters 4 and 5; see ``methods/choose/representative.py``.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt

from ..core import Array

Ints = npt.NDArray[np.int64]


def sample_size(
    sizes: Sequence[int], deviations: Sequence[float], precision: float, confidence: float, rule: str
) -> int:
    """Rows for a mean within ``precision``: ceil(sum phi^2 s^2 / w / ((e / z)^2 + sum phi s^2 / N)) (Cochran 5.25)."""
    rows, s = np.asarray(sizes, np.float64), np.asarray(deviations, np.float64)
    phi, z = rows / rows.sum(), NormalDist().inv_cdf(0.5 + confidence / 2)
    weight = {"equal": np.full(len(rows), 1 / len(rows)), "proportional": phi, "neyman": phi * s / (phi @ s)}[rule]
    least = (phi**2 * s**2 / weight).sum() / ((precision / z) ** 2 + (phi * s**2).sum() / rows.sum())
    return int(np.ceil(least))


def sample_size_of_share(precision: float, confidence: float, rows: int | None = None) -> int:
    """Rows for a share within ``precision`` at worst: ceil((z / 2e)^2), less in a pool of so many ``rows``."""
    size = (NormalDist().inv_cdf(0.5 + confidence / 2) / (2 * precision)) ** 2
    return int(np.ceil(size if rows is None else size / (1 + (size - 1) / rows)))


def allocate(amount: int, weight: Array, most: Array) -> Ints:
    """Whole amounts in proportion to ``weight``, none above ``most``: what one cannot take goes to the others."""
    given, open_ = np.zeros(len(weight), np.int64), (np.asarray(weight) > 0) & (np.asarray(most) > 0)
    amount = min(amount, int(np.asarray(most)[open_].sum()))
    while amount > int(given.sum()) and open_.any():
        left, share = amount - int(given.sum()), np.where(open_, weight, 0.0)
        exact = left * share / share.sum()
        part = np.floor(exact).astype(np.int64)
        order = np.lexsort((np.arange(len(part)), -(exact - part)))
        part[order[: left - int(part.sum())]] += 1
        given = np.minimum(given + part, most)
        open_ = open_ & (given < most)
    return given


def allocate_by_logs(amount: int, logs: Array, most: Array) -> Ints:
    """``allocate`` for logarithms of weights: where all that is open would round to 0, it is filled by the largest."""
    given = np.zeros(len(logs), np.int64)
    while amount > int(given.sum()) and (open_ := (logs > -np.inf) & (given < most)).any():
        weight = np.exp(np.where(open_, logs, -np.inf) - logs[open_].max())
        given = given + allocate(amount - int(given.sum()), np.where(weight > 1e-200, weight, 0.0), most - given)
    return given


def report(pool: Array, taken: Array, bins: int) -> dict[str, Any]:
    """How well the sample represents the pool; both (count, sum, sum of squares) per stratum, domains times bins."""
    by_domain = [counts[0].reshape(-1, bins).sum(axis=1) for counts in (pool, taken)]
    expected = by_domain[0] / max(by_domain[0].sum(), 1) * by_domain[1].sum()
    chi = (((by_domain[1] - expected) ** 2)[expected > 0] / expected[expected > 0]).sum()
    n, m = int(pool[0].sum()), int(taken[0].sum())
    mean, other = pool[1].sum() / max(n, 1), taken[1].sum() / max(m, 1)
    deviation = np.sqrt(max(pool[2].sum() / max(n, 1) - mean**2, 1e-9))
    phi, rows = pool[0] / max(n, 1), taken[0]
    weight = np.where(rows > 0, phi * m / np.maximum(rows, 1), 0.0)
    effect = m * float((rows * weight**2).sum()) / max(float((rows * weight).sum()) ** 2, 1e-300)
    freedom = max(int((expected > 0).sum()) - 1, 1)
    return {
        "strata": int((pool[0] > 0).sum()),
        "empty_strata": int(((pool[0] > 0) & (rows == 0)).sum()),
        "domain_chi_square_per_degree": float(chi / freedom),
        "log_length_difference": float((other - mean) / deviation),
        "design_effect": effect,
    }
