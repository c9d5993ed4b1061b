"""Kronecker-factored curvature of linear layers, with corrected eigenvalues (EK-FAC), and what its inverse makes of a
vector.

A layer's weights are a matrix W (rows, columns); the gradient of one example's loss by W is G = sum_t l_t r_t^T over
the example's tokens t, where of l and r one is the layer's input, with a 1 for the bias, and the other the slope of the
loss by its output. With means over tokens and examples i

    L = mean_t l l^T = Q_L diag(a) Q_L^T,   R = mean_t r r^T = Q_R diag(b) Q_R^T,
    Lambda = mean_i (Q_L^T G_i Q_R)^2,      or a b^T (K-FAC; Martens and Grosse 2015, arXiv 1503.05671),
    F^-1 V = Q_L [(Q_L^T V Q_R) / (Lambda + damping * mean Lambda)] Q_R^T

(George et al. 2018, arXiv 1806.03884, equations 5 to 8; damping: Grosse et al. 2023, arXiv 2308.03296). Layers are
taken for independent of each other; parameters outside of all layers get 0.

Sums are doubles in the order of examples and tokens, in kernels, so that they do not depend on a library's threads.
Cost: two passes over the examples (one for K-FAC), each of tokens x (rows^2 + columns^2 or rows x columns) additions.
Memory: 24 bytes a parameter at most.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..core import Array
from ..engine.kernel import kernel
from ..errors import DataError

Floats = npt.NDArray[np.float64]
Sides = list[tuple[Floats, Floats]]
"""Of one example and every layer, l (tokens, rows) and r (tokens, columns)."""


@dataclass(frozen=True)
class Layer:
    """Where a layer's weights lie among the parameters: (rows, columns) from ``start``, by rows."""

    start: int
    rows: int
    columns: int

    def of(self, flat: Array) -> Array:
        """The layer's part of flat parameters, as a view."""
        return flat[self.start : self.start + self.rows * self.columns].reshape(self.rows, self.columns)


@dataclass(frozen=True, eq=False)
class Factors:
    """Of one layer: eigenvectors in columns, (rows, rows) and (columns, columns), and Lambda (rows, columns)."""

    left: Floats
    right: Floats
    values: Floats


@dataclass(frozen=True, eq=False)
class Curvature:
    """``factors[c][i]``: of layer i at checkpoint c; ``examples``: how many were seen."""

    layers: tuple[Layer, ...]
    factors: list[list[Factors]]
    examples: int

    def solve(self, checkpoint: int, vector: Array, damping: float) -> Floats:
        """F^-1 of a vector, float64 (parameters,); ``damping`` above 0 is a share of every layer's mean Lambda."""
        found = np.zeros(len(vector))
        for layer, one in zip(self.layers, self.factors[checkpoint], strict=True):
            turned = times(times(one.left, layer.of(vector.astype(np.float64))).T, one.right)
            turned /= one.values + damping * one.values.mean()
            layer.of(found)[...] = times(times(one.left.T, turned).T, one.right.T)
        return found


@kernel
def add_outer(left: Array, right: Array, out: Array) -> None:
    """out += left^T right: the sum over t of left[t] right[t]^T, in the order of t."""
    for t in range(len(left)):
        for i in range(left.shape[1]):
            x = left[t, i]
            for j in range(right.shape[1]):
                out[i, j] += x * right[t, j]


def times(left: Array, right: Array) -> Floats:
    """left^T right, float64."""
    found = np.zeros((left.shape[1], right.shape[1]))
    add_outer(np.ascontiguousarray(left), np.ascontiguousarray(right), found)
    return found


def fit_curvature(
    layers: Sequence[Layer], checkpoints: int, sides: Callable[[], Iterator[list[Sides]]], corrected: bool = True
) -> Curvature:
    """The curvature by examples' sides: ``sides()`` gives, for every example, those at each checkpoint ([] for an
    example without any), and is passed over twice (once unless ``corrected``).

    Raises:
        DataError: there is no example, or none has a gradient.
    """
    at = range(len(layers))
    left = [[np.zeros((one.rows, one.rows)) for one in layers] for _ in range(checkpoints)]
    right = [[np.zeros((one.columns, one.columns)) for one in layers] for _ in range(checkpoints)]
    tokens = examples = 0
    for example in sides():
        for c, parts in enumerate(example):
            for i, (l_side, r_side) in enumerate(parts):
                add_outer(l_side, l_side, left[c][i])
                add_outer(r_side, r_side, right[c][i])
        if example:
            examples += 1
            tokens += len(example[0][0][0])
    if not examples:
        raise DataError("The pool's sample has no row with a gradient, so there is no curvature: raise sample.")
    factors = [[_eigen(left[c][i] / tokens, right[c][i] / tokens) for i in at] for c in range(checkpoints)]
    if corrected:
        for one in (one for row in factors for one in row):
            one.values[...] = 0.0
        for example in sides():
            for c, parts in enumerate(example):
                for one, (l_side, r_side) in zip(factors[c], parts, strict=True):
                    gradient = times(l_side, r_side)
                    one.values[...] += np.square(times(times(one.left, gradient).T, one.right)) / examples
    if not all(one.values.mean() > 0 for row in factors for one in row):
        raise DataError("The pool's sample has gradients of 0 alone, so there is no curvature: take another seed.")
    return Curvature(tuple(layers), factors, examples)


def _eigen(left: Floats, right: Floats) -> Factors:
    (a, q_left), (b, q_right) = (np.linalg.eigh(one) for one in (left, right))
    return Factors(q_left, q_right, np.maximum(a, 0.0)[:, None] * np.maximum(b, 0.0))
