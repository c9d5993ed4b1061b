"""Gradients of a classifier of labelled vectors, in closed form: softmax regression, or one hidden layer.

With x a row's vector, y its class, z = W^T h + b the logits, h = x or h = max(U^T x + a, 0), and s the slope of the
output by the logits,

    dW = h s^T,  db = s,  dU = x ((W s) [h > 0])^T,  da = (W s) [h > 0],

    s = p - e_y for the loss -log p_y,    s = e_y - q for the margin log(p_y / (1 - p_y)),

p the softmax of z, and q that of z without y. Parameters lie in the order U, a, W, b, each by rows; double precision,
rounded to single at the end, one row at a time, so that a row's bits are its own. Cost: d x classes numbers a row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from ..core import Array, Batch
from ..engine.draw import uniform
from ..errors import DataError
from ..fold.labelled_sample import label_hash
from .warm_up import Checkpoints

Floats = npt.NDArray[np.float64]
BETAS = (0.9, 0.999)
BATCH = 32


def parts_of(flat: Array, width: int, classes: int, hidden: int) -> tuple[Floats, Floats, Floats, Floats]:
    """U (width, hidden), a (hidden,), W (hidden or width, classes), b (classes,): views of the parameters."""
    last = hidden or width
    sizes = (width * hidden, hidden, last * classes, classes)
    u, a, w, b = np.split(flat, np.cumsum(sizes)[:-1])
    return u.reshape(width, hidden), a, w.reshape(last, classes), b


def size_of(width: int, classes: int, hidden: int) -> int:
    """How many parameters there are."""
    return width * hidden + hidden + (hidden or width) * classes + classes


def slopes(logits: Floats, label: Array, output: str) -> tuple[Floats, Floats]:
    """The slopes by the logits, (n, classes), and 1 - p of the labels, (n,)."""
    rows = np.arange(len(label))
    z = np.exp(logits - logits.max(axis=1, keepdims=True))
    p = z / z.sum(axis=1, keepdims=True)
    others = z.copy()
    others[rows, label] = 0.0
    left = others.sum(axis=1)
    wrong = left / z.sum(axis=1)
    right = np.zeros_like(p)
    right[rows, label] = 1.0
    if output == "loss":
        return p - right, wrong
    return right - others / np.where(left > 0, left, 1.0)[:, None], wrong


@dataclass(frozen=True, eq=False)
class LabelledProbe:
    """Classifiers saved along one training.

    Attributes:
        embedder: gives the vectors (``feature/embed.py``).
        classes: uint64, (k,), ascending: hashes of the labels that have a class; all others share one more.
        parameters: float32, (checkpoints, size).
        hidden: units of the hidden layer; 0 for none.
    """

    embedder: Any
    classes: npt.NDArray[np.uint64]
    parameters: Array
    hidden: int = 0
    column: str = "label"
    output: Literal["loss", "margin"] = "loss"

    def __len__(self) -> int:
        return len(self.parameters)

    @property
    def size(self) -> int:
        """How many numbers a gradient has."""
        return int(self.parameters.shape[1])

    def each(self, batch: Batch) -> Iterator[list[tuple[npt.NDArray[np.float32], float]]]:
        """For every row its gradient, float32 (size,), and 1 - p, at every checkpoint; [] for a row without vector."""
        if len(batch):
            yield from self.of_vectors(self.embedder.vectors(batch), label_hash(batch, self.column))

    def of_vectors(self, vectors: Array, label: Array) -> Iterator[list[tuple[npt.NDArray[np.float32], float]]]:
        """The same for vectors, float32 (n, width), and hashes of their labels, uint64 (n,)."""
        place = class_of(label, self.classes)
        shape = (vectors.shape[1], len(self.classes) + 1, self.hidden)
        models = [parts_of(one.astype(np.float64), *shape) for one in self.parameters]
        for x, y in zip(vectors.astype(np.float64), place, strict=True):
            if not x.any():
                yield []
                continue
            found = (gradients(model, x[None], np.array([y]), self.output) for model in models)
            yield [(one.astype(np.float32), float(wrong[0])) for one, wrong in found]


def class_of(label: Array, classes: Array) -> npt.NDArray[np.int64]:
    """The place of each label among ``classes``; of others, the one behind the last."""
    at = np.searchsorted(classes, label)
    known = classes[np.minimum(at, len(classes) - 1)] == label
    return np.where(known, at, len(classes)).astype(np.int64)


def gradients(model: tuple[Floats, ...], x: Floats, label: Array, output: str = "loss") -> tuple[Floats, Floats]:
    """The sum over rows of their gradients, (size,), and 1 - p of each row."""
    u, a, w, b = model
    z = np.einsum("nd,dh->nh", x, u) + a
    h = np.maximum(z, 0.0) if u.size else x
    slope, wrong = slopes(np.einsum("nh,hk->nk", h, w) + b, label, output)
    parts = [np.einsum("nh,nk->hk", h, slope), slope.sum(axis=0)]
    if u.size:
        inner = np.einsum("nk,hk->nh", slope, w) * (z > 0)
        parts = [np.einsum("nd,nh->dh", x, inner), inner.sum(axis=0), *parts]
    return np.concatenate([part.ravel() for part in parts]), wrong


def train_classifier(
    vectors: Array,
    label: Array,
    classes: int,
    key: Array,
    hidden: int,
    epochs: int,
    keep: int,
    seed: int,
    rate: float = 0.02,
    progress: Callable[[float], None] = lambda share: None,
) -> Checkpoints:
    """Train by Adam in batches of 32, in a keyed order, the rate falling along half a cosine to a tenth.

    No library of linear algebra is used, whose sums follow the number of its threads.

    Raises:
        DataError: there are no rows.
    """
    if not len(vectors):
        raise DataError("There is no row with a vector to warm the classifier up on.")
    x, shape = vectors.astype(np.float64), (vectors.shape[1], classes, hidden)
    chance = np.random.default_rng([seed, 7])
    flat = np.zeros(size_of(*shape))
    if hidden:
        u, _, w, _ = parts_of(flat, *shape)
        u[...] = chance.normal(0.0, 0.1, u.shape)
        w[...] = chance.normal(0.0, hidden**-0.5, w.shape)
    first, second = np.zeros_like(flat), np.zeros_like(flat)
    steps = -(-len(x) // BATCH)
    kept: list[tuple[Floats, Floats, Floats]] = []
    rates, losses = np.zeros(epochs), np.zeros(epochs)
    for step in range(epochs * steps):
        epoch, at = divmod(step, steps)
        if at == 0:
            order = np.argsort(uniform(seed, f"classifier pass {epoch}", key), kind="stable")
        places = order[at * BATCH : (at + 1) * BATCH]
        found, wrong = gradients(parts_of(flat, *shape), x[places], label[places])
        g = found / len(places)
        first += (1 - BETAS[0]) * (g - first)
        second += (1 - BETAS[1]) * (g * g - second)
        now = rate * (0.55 + 0.45 * np.cos(np.pi * step / (epochs * steps)))
        mean = first / (1 - BETAS[0] ** (step + 1))
        flat -= now * mean / (np.sqrt(second / (1 - BETAS[1] ** (step + 1))) + 1e-8)
        rates[epoch] += now / steps
        losses[epoch] -= float(np.log(np.maximum(1 - wrong, 1e-300)).mean()) / steps
        if at == steps - 1 and epoch >= epochs - keep:
            kept.append((flat.copy(), first.copy(), second.copy()))
        progress((step + 1) / (epochs * steps))
    arrays = [np.stack([one[i] for one in kept]).astype(np.float32) for i in range(3)]
    return Checkpoints(arrays[0], arrays[1], arrays[2], rates[-keep:], losses[-keep:])
