"""A network with one hidden layer on embeddings or hashed n-grams: the smallest model that learns features.

logits = V f(U x + a) + b, f = ReLU, max(z, 0), or GELU in its tanh form, z/2 (1 + tanh(c (z + 0.044715 z^3))) with
c = sqrt(2 / pi) (Hendrycks and Gimpel 2016). U begins as N(0, 0.01) and V as N(0, 1 / hidden), biases at zero: rows
have length 1, and so small a U lets features be learned from the data instead of being drawn. Data, labels, classes,
scaling: :mod:`.labelled`. Cost: a second a run for some thousands of texts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from ...core import Array
from ...errors import UsageError
from .labelled import Parameters, Probe


@dataclass(frozen=True)
class Mlp(Probe):
    """``hidden``: units. ``activation``: of the hidden layer. For the rest see :class:`.labelled.Probe`."""

    rate: float = 0.003
    hidden: int = 64
    activation: Literal["relu", "gelu"] = "relu"

    summary: ClassVar[str] = "one hidden layer on embeddings, or on hashed n-grams of texts with labels"

    def __post_init__(self) -> None:
        Probe.__post_init__(self)
        if self.hidden < 1:
            raise UsageError(f"mlp: hidden must be at least 1, not {self.hidden}.")
        if self.activation not in ("relu", "gelu"):
            raise UsageError(f"mlp: the activation is relu or gelu, not {self.activation!r}.")

    def begin(self, random: np.random.Generator, inputs: int, classes: int) -> Parameters:
        return {
            "weight": random.normal(0.0, 0.1, (inputs, self.hidden)).astype(np.float32),
            "bias": np.zeros(self.hidden, np.float32),
            "out": random.normal(0.0, self.hidden**-0.5, (self.hidden, classes)).astype(np.float32),
            "out_bias": np.zeros(classes, np.float32),
        }

    def forward(self, parameters: Parameters, x: Array) -> tuple[Array, Any]:
        z = x @ parameters["weight"] + parameters["bias"]
        h, slope = relu(z) if self.activation == "relu" else gelu(z)
        return h @ parameters["out"] + parameters["out_bias"], (x, h, slope)

    def backward(self, parameters: Parameters, memory: Any, slope: Array) -> Parameters:
        x, h, inner = memory
        below = (slope @ parameters["out"].T) * inner
        return {
            "weight": x.T @ below,
            "bias": below.sum(axis=0),
            "out": h.T @ slope,
            "out_bias": slope.sum(axis=0),
        }

    def weights(self, inputs: int, classes: int) -> int:
        return (inputs + classes) * self.hidden


def relu(z: Array) -> tuple[Array, Array]:
    """The activation and its slope; 0 at 0."""
    on = z > 0
    return z * on, on.astype(z.dtype)


def gelu(z: Array) -> tuple[Array, Array]:
    """The activation in its tanh form, and its slope."""
    c = z.dtype.type((2.0 / np.pi) ** 0.5)
    t = np.tanh(c * (z + 0.044715 * z**3))
    return 0.5 * z * (1 + t), 0.5 * (1 + t) + 0.5 * z * (1 - t * t) * c * (1 + 3 * 0.044715 * z * z)
