"""The noise floor: how much runs that differ in nothing but the seed differ in their results.

Jordan, "Calibrated Chaos: Variance Between Runs of Neural Network Training is Harmless and Inevitable" (ICLR 2024).
Runs of one recipe differ on a given test set mostly because errors fall on other items, hardly on the distribution that
the items come from. With u[r, i] the result of run r on item i (0 or 1, or a loss over the mean size) and n items:

    V       variance over runs of the mean over this test set
    V_ind   (1/n^2) sum_i var_r u[r, i]: what V would be if runs erred independently on every item
    V_dist  n / (n - 1) (V - V_ind): variance over runs of the mean over the distribution, unbiased

V_dist is the mean covariance of two different items over runs; it may come out below zero and is not clipped. A gain
on this test set must stand out from V, a gain in general from V_dist and the choice of items. That V_dist is small
holds for large well-trained networks and not for small ones, so it is measured, never assumed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ..errors import DataError, UsageError
from .intervals import Interval
from .proxy import Floats


@dataclass(frozen=True)
class NoiseFloor:
    """Variances over runs, in the unit of the result squared, with 95 % bootstrap intervals over runs and items.

    Attributes:
        mean: over runs and items.
        test_set, independent, distribution: V, V_ind and V_dist.
        calibrated: for 0/1 results, the V that calibrated runs have on a task of two classes: error / (2 n); else None.
        runs, items: how many.
    """

    mean: float
    test_set: float
    independent: float
    distribution: float
    test_set_interval: Interval
    distribution_interval: Interval
    calibrated: float | None
    runs: int
    items: int

    @property
    def ratio(self) -> float:
        """V / V_ind: near 1 if runs differ by independent errors; NaN if no item's result varies."""
        return self.test_set / self.independent if self.independent > 0 else math.nan

    def sentence(self, unit: str = "") -> str:
        """Both noises in words, as standard deviations."""
        on_set, general = math.sqrt(self.test_set), math.sqrt(max(self.distribution, 0.0))
        unit = f" {unit}" if unit else ""
        return (
            f"Runs that differ in the seed alone spread by {on_set:.2g}{unit} on this evaluation set, and by about "
            f"{general:.2g}{unit} on the distribution that it was drawn from ({self.runs} runs)."
        )


def noise_floor(values: Floats, size: Floats | None = None, resamples: int = 1_000, seed: int = 0) -> NoiseFloor:
    """The three variances.

    Args:
        values: (runs, items): 1 for right and 0 for wrong, or each document's loss, summed.
        size: (items,): what sums of losses are divided by; None for 0/1 results.
        resamples, seed: of the bootstrap over runs and items at once.

    Raises:
        UsageError: fewer than two runs or items.
        DataError: values that are not finite.
    """
    values = np.asarray(values, np.float64)
    if values.ndim != 2 or min(values.shape) < 2:
        raise UsageError("The noise floor needs at least two runs and two items, as a table with one row a run.")
    if not np.isfinite(values).all():
        raise DataError("A result is not a finite number. Leave diverged runs out.")
    runs, items = values.shape
    u = values if size is None else values / (np.asarray(size, np.float64).mean())
    total, alone, _ = _variances(u, np.ones(runs), np.ones(items))
    random = np.random.default_rng(seed)
    found = []
    for _ in range(resamples):
        w = random.multinomial(runs, np.full(runs, 1 / runs)).astype(np.float64)
        c = np.bincount(random.integers(items, size=items), minlength=items).astype(np.float64)
        pairs = items**2 - float(c @ c)
        if pairs > 0:
            # An item drawn twice is one item: only pairs of different ones tell about the distribution.
            v, repeated, once = _variances(u, w, c)
            general = (v - repeated) * items**2 / pairs
            found.append((general * (items - 1) / items + once, general))
    # Duplicates among resampled runs hide a share of the variance.
    low, high = np.quantile(np.array(found) * runs / (runs - 1), (0.025, 0.975), axis=0)
    binary = size is None and bool(np.isin(values, (0.0, 1.0)).all())
    return NoiseFloor(
        float(u.mean()),
        total,
        alone,
        items / (items - 1) * (total - alone),
        Interval(float(low[0]), float(high[0])),
        Interval(float(low[1]), float(high[1])),
        float(1 - u.mean()) / (2 * items) if binary else None,
        runs,
        items,
    )


def _variances(u: Floats, w: Floats, c: Floats) -> tuple[float, float, float]:
    """V of runs taken ``w`` times and items taken ``c`` times, V_ind with repeated items as one, and as different ones.

    w and c sum to their lengths.
    """
    runs, items = u.shape
    results = u @ c / items
    total = float(w @ (results - w @ results / runs) ** 2) / (runs - 1)
    mean = w @ u / runs
    each = np.maximum((w @ (u * u) - runs * mean * mean) / (runs - 1), 0.0)
    return total, float(c * c @ each) / items**2, float(c @ each) / items**2
