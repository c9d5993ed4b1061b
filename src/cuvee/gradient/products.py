"""What is made of one example's gradient: inner products with a few vectors, and the step that Adam would take.

Every sum is a double in the order of the parameters, so its bits depend on the two vectors alone, not on threads, on
batches or on a library's blocking. Cost: a multiplication and addition per parameter and vector, about a millisecond
for a million.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..core import Array
from ..engine.kernel import kernel

float64: Any = np.float64  # casts that fix a kernel's types; mypy need not follow them
ADAM_EPSILON = 1e-8
"""Inside the root, as in the release of LESS."""


@kernel
def inner(gradient: Array, vectors: Array, out: Array) -> None:
    """out[s] = sum over p of gradient[p] * vectors[s, p]; the last of ``out`` is the gradient's squared length."""
    squares = float64(0)
    for p in range(len(gradient)):
        squares += float64(gradient[p]) * float64(gradient[p])
    out[len(vectors)] = squares
    for s in range(len(vectors)):
        total, vector = float64(0), vectors[s]
        for p in range(len(gradient)):
            total += float64(gradient[p]) * float64(vector[p])
        out[s] = total


@kernel
def adam_direction(
    gradient: Array, first: Array, second: Array, beta1: float, beta2: float, epsilon: float, out: Array
) -> None:
    """out = (beta1 m + (1 - beta1) g) / sqrt(beta2 v + (1 - beta2) g^2 + epsilon), without bias correction.

    The direction of Adam's next step if its gradient were this one (LESS, section 2.1, and its release).
    """
    for p in range(len(gradient)):
        g = float64(gradient[p])
        upper = beta1 * float64(first[p]) + (1.0 - beta1) * g
        out[p] = upper / np.sqrt(beta2 * float64(second[p]) + (1.0 - beta2) * g * g + epsilon)
