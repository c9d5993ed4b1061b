"""A small network of layers with ReLU between them, and its training to rebuild its inputs.

Plain NumPy in double precision, products in a kernel: a row's outputs depend on that row alone, to the bit, and the
training on the rows, their keys and the seed. Inputs: (n, C) numbers of about unit size. Cost: 0.2 ms a step of 64 rows
of ten numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from ..core import Array
from ..engine.draw import uniform
from ..gradient.curvature import times

Floats = npt.NDArray[np.float64]
Layers = list[tuple[Floats, Floats]]
"""Weights (in, out) and biases (out,)."""
BATCH, RATE = 64, 1e-3


def forward(x: Floats, layers: Sequence[tuple[Floats, Floats]]) -> list[Floats]:
    """The outputs of every layer, ReLU behind all but the last; sums in the order of the inputs, each row by itself."""
    found: list[Floats] = []
    for i, (w, b) in enumerate(layers):
        z = times((found[-1] if found else x).T, w) + b
        found.append(np.maximum(z, 0.0) if i + 1 < len(layers) else z)
    return found


def softmax(z: Floats) -> Floats:
    """Of every row, (n, C)."""
    p = np.exp(z - z.max(axis=1, keepdims=True))
    return np.asarray(p / p.sum(axis=1, keepdims=True))


def train_autoencoder(x: Floats, key: Array, steps: int, seed: int) -> Layers:
    """Layers of C - C - (C - 1) - C - C units that rebuild ``x`` (n, C): Adam on mean squares, from uniform numbers
    within 1 / sqrt(inputs), rows in a keyed order that is drawn anew for every pass."""
    classes, chance = x.shape[1], np.random.default_rng([seed, 11])
    sizes = [classes, classes, max(1, classes - 1), classes, classes]
    flat: list[Floats] = []
    for before, after in pairwise(sizes):
        flat += [chance.uniform(-1, 1, shape) / np.sqrt(before) for shape in ((before, after), (after,))]
    moments = [[np.zeros_like(one) for one in flat] for _ in range(2)]
    batches = -(-len(x) // BATCH)
    for step in range(steps):
        epoch, at = divmod(step, batches)
        if at == 0:
            order = np.argsort(uniform(seed, f"autoencoder pass {epoch}", key), kind="stable")
        part = x[order[at * BATCH : (at + 1) * BATCH]]
        layers = list(zip(flat[::2], flat[1::2], strict=True))
        outputs = forward(part, layers)
        slope, gradient = 2 * (outputs[-1] - part) / part.size, list[Floats]()
        for i in range(len(layers) - 1, -1, -1):
            gradient = [times(outputs[i - 1] if i else part, slope), slope.sum(axis=0), *gradient]
            if i:
                slope = times(slope.T, layers[i][0].T) * (outputs[i - 1] > 0)
        for one, g, m, v in zip(flat, gradient, *moments, strict=True):
            m += 0.1 * (g - m)
            v += 0.001 * (g * g - v)
            one -= RATE * m / (1 - 0.9 ** (step + 1)) / (np.sqrt(v / (1 - 0.999 ** (step + 1))) + 1e-8)
    return list(zip(flat[::2], flat[1::2], strict=True))
