"""How far a law may be asked: inside the mixtures and settings that were measured, or outside, and then it says so."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ..core import Prediction, Runs, Settings
from ..errors import UsageError

Floats = npt.NDArray[np.float64]
FAR = 10.0
"""So many times beyond what was measured a law has nothing to stand on."""


def hull_distance(measured: Floats, asked: Floats) -> Floats:
    """How far points are from the convex hull of others, in total variation: float64, (m,), 0 inside.

    Args:
        measured: float64, (n, k): mixtures of finished runs.
        asked: float64, (m, k).

    The nearest mean of measured mixtures, by non-negative least squares (Lawson and Hanson, 1974).
    """
    heavy = 10.0  # the weights of the mean sum to one almost exactly
    matrix = np.vstack([measured.T, np.full(len(measured), heavy)])
    found = np.empty(len(asked))
    for at, point in enumerate(asked):
        weight = nonnegative(matrix, np.append(point, heavy))
        total = weight.sum()
        nearest = weight @ measured / total if total > 0 else measured.mean(0)
        found[at] = 0.5 * np.abs(nearest - point).sum()
    return found


def nonnegative(matrix: Floats, target: Floats, steps: int = 500) -> Floats:
    """The x >= 0 of least ``|matrix x - target|``: float64, (columns,)."""
    count = matrix.shape[1]
    x = np.zeros(count)
    free = np.zeros(count, bool)
    tolerance = 1e-10 * max(1.0, float(np.abs(matrix.T @ target).max()))
    for _ in range(steps):
        gradient = matrix.T @ (target - matrix @ x)
        gradient[free] = -np.inf
        enter = int(gradient.argmax())
        if gradient[enter] <= tolerance:
            break
        free[enter] = True
        for _ in range(steps):
            trial = np.zeros(count)
            trial[free] = np.linalg.lstsq(matrix[:, free], target, rcond=None)[0]
            if (trial[free] > 0).all():
                break
            leaving = free & (trial <= 0)
            share = x[leaving] / np.maximum(x[leaving] - trial[leaving], 1e-300)
            x = x + float(share.min()) * (trial - x)
            free &= x > 1e-14
            x[~free] = 0.0
        x = trial
    return x


def outside(runs: Runs, settings: Settings, tolerance: float = 0.01) -> list[str]:
    """Why a question is beyond the runs, one clause for each way in which it is; empty if it is not.

    Args:
        tolerance: how far, in total variation, a mixture may be from a mean of measured ones.
    """
    found = []
    if len(runs.settings.sources):
        far = float(hull_distance(runs.settings.mixture, settings.mixture).max(initial=0.0))
        if far > tolerance:
            found.append(f"the mixture is {100 * far:.1f} % of its tokens away from any mean of the measured mixtures")
    for name, asked in settings.values.items():
        if name not in runs.settings.values or not len(asked):
            continue
        known = runs.settings.values[name]
        if name.startswith("teacher_") and (asked > 0).all() and (known > 0).any():
            known = known[known > 0]  # 0 stands for no teacher, and is no teacher's value
        if asked.min() < known.min() * (1 - 1e-9) or asked.max() > known.max() * (1 + 1e-9):
            least, most = f"{known.min():.4g}", f"{known.max():.4g}"
            span = f"{least} to {most}" if least != most else f"{least} alone"
            worst = asked.max() if asked.max() > known.max() else asked.min()
            clause = f"{name} is {worst:.4g}, and was measured at {span}"
            if 0 < FAR * known.max() < worst:
                clause += f": {worst / known.max():.3g} times as large, where any law is a guess"
            found.append(clause)
    return found


def predict(fitted: Prediction, runs: Runs, settings: Settings, extrapolate: bool = False) -> Floats:
    """What a law says, refusing to extrapolate unless that is asked for: float64, (n,).

    Raises:
        UsageError: the question is outside what was measured, with the way in which it is.
    """
    beyond = outside(runs, settings)
    if beyond and not extrapolate:
        raise UsageError(f"That would be extrapolation: {'; '.join(beyond)}. Measure there, or allow extrapolation.")
    return fitted.at(settings)
