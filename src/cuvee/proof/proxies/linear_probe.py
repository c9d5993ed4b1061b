"""Multinomial logistic regression on embeddings or hashed n-grams: what a linear model makes of the data.

The loss is convex and the weights begin at zero, so a run's result depends on data, policy and order alone; the seed
decides the order. Data, labels, classes, scaling: :mod:`.labelled`. Cost: milliseconds to seconds a run. Trap: it tells
which examples define classes, and little about what a deeper model would learn from them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from ...core import Array
from .labelled import Parameters, Probe


@dataclass(frozen=True)
class LinearProbe(Probe):
    """No parameters beside those of all probes."""

    rate: float = 0.05

    summary: ClassVar[str] = "logistic regression on embeddings, or on hashed n-grams of texts with labels"

    def begin(self, random: np.random.Generator, inputs: int, classes: int) -> Parameters:
        return {"weight": np.zeros((inputs, classes), np.float32), "bias": np.zeros(classes, np.float32)}

    def forward(self, parameters: Parameters, x: Array) -> tuple[Array, Any]:
        return x @ parameters["weight"] + parameters["bias"], x

    def backward(self, parameters: Parameters, memory: Any, slope: Array) -> Parameters:
        return {"weight": memory.T @ slope, "bias": slope.sum(axis=0)}

    def weights(self, inputs: int, classes: int) -> int:
        return inputs * classes
