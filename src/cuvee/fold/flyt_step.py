"""Scores learned through one step of training: the gradients of FLYT, and the loop that follows them.

Formulas and source in ``methods/score/flyt.py``. The reference model is a distribution over hashed n-grams, so that
gradients of losses are (softmax(theta) - a row's n-gram frequencies), sparse and exact.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..core import Run
from ..engine.draw import uniform
from ..errors import DataError, UsageError
from ..feature.ngrams import Ngrams
from ..methods.score.classifier import sparse_means
from .bottom_k import BottomK, as_batch
from .linear_kernels import decision

Floats = npt.NDArray[np.float64]
NGRAMS = Ngrams(2, 1 << 12)


def softmax(x: Floats) -> Floats:
    weight = np.exp(x - x.max())
    return np.asarray(weight / weight.sum())


def score_gradient(weight: Floats, toward: Floats, rate: float) -> Floats:
    """dL/ds (n,) from the weights and grad l_i . D grad L(theta') of every row."""
    slope = -rate * toward
    return weight * (slope - weight @ slope)


def standardised(score: Floats) -> tuple[Floats, Floats, Floats]:
    """(mean, standard deviation, scores moved and scaled); infinities are cut to the finite range of their column, NaN
    stands for its lowest; constants give zeros, and a column without a finite number is all zeros."""
    finite = np.isfinite(score)
    low = np.min(score, axis=0, initial=np.inf, where=finite)
    high = np.max(score, axis=0, initial=-np.inf, where=finite)
    low, high = np.where(low <= high, low, 0.0), np.where(low <= high, high, 0.0)
    x = np.clip(np.where(np.isnan(score), low, score), low, high)
    shift, scale = x.mean(axis=0), x.std(axis=0)
    scale = np.where(scale > 0, scale, np.inf)
    return shift, scale, (x - shift) / scale


def adam(start: Floats, slope: Callable[[int, Floats], Floats], steps: int, rate: float) -> Floats:
    """Adam with one second moment for all weights, so that noise is not scaled up; the rate falls to 0 as a cosine."""
    at, first, second = start.copy(), np.zeros_like(start), 0.0
    for step in range(steps):
        g = slope(step, at)
        first, second = 0.9 * first + 0.1 * g, 0.999 * second + 0.001 * float((g * g).mean())
        size = rate * 0.5 * (1 + np.cos(np.pi * step / steps)) / (np.sqrt(second / (1 - 0.999 ** (step + 1))) + 1e-8)
        at = at - size * first / (1 - 0.9 ** (step + 1))
    return at


@dataclass(frozen=True)
class Settings:
    """``steps`` of ``batch`` rows; ``rate``: the scorer's; ``eta``: the reference model's; ``follow``: it goes on."""

    steps: int = 300
    batch: int = 1024
    rate: float = 0.05
    eta: float = 0.05
    follow: bool = True

    def __post_init__(self) -> None:
        if min(self.steps, self.batch - 1) < 1 or not (self.rate > 0 and self.eta > 0):
            raise UsageError("flyt: steps is at least 1, batch at least 2, rate and eta above 0.")


def learn(run: Run, settings: Settings, inputs: Floats, purpose: str) -> tuple[Floats, dict[str, Any]]:
    """The scorer's weights for ``inputs`` (rows, k), those of the first rows of a sample by ``purpose``; and notes.

    Rows whose inputs are not finite, or that have no text, take no part.
    """
    batch = as_batch(run.fold(BottomK(len(inputs), purpose, run.seed)))
    rows = np.flatnonzero(np.isfinite(inputs).all(axis=1) & (np.diff(batch.offsets) > 0))
    goal = sum((NGRAMS.count(part) for part in run.targets()), np.zeros(NGRAMS.buckets, np.int64)).astype(np.float64)
    if len(rows) < 2 or not goal.any():
        raise DataError("flyt needs at least two rows of the pool and a target with text.")
    goal /= goal.sum()
    indptr, index, value = sparse_means(NGRAMS, batch)
    share = np.bincount(index, weights=value, minlength=NGRAMS.buckets) + 1.0
    theta = np.log(share / share.sum())
    square = np.bincount(index, weights=value * value, minlength=NGRAMS.buckets) / len(batch)
    diagonal = 1.0 / (np.sqrt(square) + 1e-4)
    state = {"theta": theta}

    def slope(step: int, at: Floats) -> Floats:
        luck = uniform(run.seed, f"flyt {step}", batch.key[rows])
        chosen = rows[np.argsort(luck, kind="stable")[: settings.batch]]
        size = np.diff(indptr)[chosen]
        places = np.repeat(indptr[chosen], size) + np.arange(size.sum()) - np.repeat(np.cumsum(size) - size, size)
        start = np.concatenate([[0], np.cumsum(size)])
        weight, p = softmax(inputs[chosen] @ at), softmax(state["theta"])
        mean = np.bincount(index[places], weights=value[places] * np.repeat(weight, size), minlength=NGRAMS.buckets)
        after = state["theta"] - settings.eta * diagonal * (p - mean)
        pull = diagonal * (softmax(after) - goal)
        toward = pull @ p - decision(start, index[places], value[places], pull, 0.0)
        if settings.follow:
            state["theta"] = after
        return np.asarray(inputs[chosen].T @ score_gradient(weight, toward, settings.eta))

    weights = adam(np.zeros(inputs.shape[1]), slope, settings.steps, settings.rate)
    spread = softmax(inputs[rows] @ weights)
    notes = {"learned_from": len(rows), "reference_loss_before": float(-goal @ np.log(softmax(theta)))}
    notes |= {"effective_rows": float(1 / (spread @ spread)), "steps": settings.steps}
    return weights, notes | {"reference_loss_after": float(-goal @ np.log(softmax(state["theta"])))}
