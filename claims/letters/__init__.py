"""Tiny models of the next letter, for claims about training itself: sizes, checkpoints, teachers.

A window of eight bytes is embedded in eight dimensions each, one hidden layer follows, and a softmax over 96 signs (the
printable ones of ASCII, and one for all others). Adam with batches of 256 windows, in one pass over text that is drawn
without replacement; the rate falls along a cosine to nothing. A run takes a second, so that a claim can have a hundred.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from cuvee.core import Array

from ..harness import Texts

HERE = "../../../claims/letters/__init__.py"
SIGNS, WINDOW, WIDE, BATCH, RATE = 96, 8, 8, 256, 0.01


def signs(texts: Texts) -> Array:
    """All texts as codes of signs, uint8, one newline between them."""
    raw = np.frombuffer(b"\n".join(texts.text), np.uint8)
    return np.where((raw >= 32) & (raw < 127), raw - 32, SIGNS - 1).astype(np.uint8)


def windows(codes: Array, random: np.random.Generator, number: int) -> Array:
    """So many windows and the sign that follows each, (number, WINDOW + 1), without replacement."""
    starts = random.permutation(len(codes) - WINDOW)[:number]
    assert len(starts) == number, "more letters asked for than there are"
    return np.lib.stride_tricks.sliding_window_view(codes, WINDOW + 1)[starts]


@dataclass
class Letters:
    """A model of ``hidden`` units; float32 throughout."""

    hidden: int
    seed: int

    def __post_init__(self) -> None:
        random = np.random.default_rng(self.seed)
        shapes = [(SIGNS, WIDE), (WINDOW * WIDE, self.hidden), (self.hidden,), (self.hidden, SIGNS), (SIGNS,)]
        scales = [0.3, (WINDOW * WIDE) ** -0.5, 0.0, self.hidden**-0.5, 0.0]
        self.weights = [
            (scale * random.standard_normal(shape)).astype(np.float32)
            for shape, scale in zip(shapes, scales, strict=True)
        ]

    @property
    def parameters(self) -> int:
        return sum(one.size for one in self.weights)

    def _forward(self, x: Array) -> tuple[Array, Array, Array]:
        embed, into, shift, out, bias = self.weights
        flat = embed[x].reshape(len(x), -1)
        units = np.tanh(flat @ into + shift)
        logits = units @ out + bias
        logits -= logits.max(1, keepdims=True)
        chance = np.exp(logits)
        return flat, units, chance / chance.sum(1, keepdims=True)

    def chances(self, x: Array) -> Array:
        """Of every sign after each window: (n, SIGNS)."""
        return np.concatenate([self._forward(x[at : at + 4096])[2] for at in range(0, len(x), 4096)])

    def trained(self, data: Array, teacher: Letters | None = None) -> Iterator[int]:
        """One pass over windows; after every batch, how many were seen. ``teacher``: its chances are the targets."""
        first = [np.zeros_like(one) for one in self.weights]
        second = [np.zeros_like(one) for one in self.weights]
        steps = len(data) // BATCH
        for step in range(steps):
            rows = data[step * BATCH : (step + 1) * BATCH]
            x, y = rows[:, :-1], rows[:, -1]
            flat, units, chance = self._forward(x)
            wrong = chance.copy()
            if teacher is None:
                wrong[np.arange(BATCH), y] -= 1
            else:
                wrong -= teacher._forward(x)[2]
            wrong /= BATCH
            back = (wrong @ self.weights[3].T) * (1 - units**2)
            embedded = np.zeros_like(self.weights[0])
            np.add.at(embedded, x.ravel(), (back @ self.weights[1].T).reshape(-1, WIDE))
            slopes = [embedded, flat.T @ back, back.sum(0), units.T @ wrong, wrong.sum(0)]
            rate = RATE * 0.5 * (1 + np.cos(np.pi * step / steps)) * min(1.0, (step + 1) / 20)
            for weight, slope, m, v in zip(self.weights, slopes, first, second, strict=True):
                m += 0.1 * (slope - m)
                v += 0.01 * (slope**2 - v)
                scale = rate / (1 - 0.9 ** (step + 1))
                weight -= scale * m / (np.sqrt(v / (1 - 0.99 ** (step + 1))) + 1e-8)
            yield (step + 1) * BATCH

    def train(self, data: Array, teacher: Letters | None = None) -> Letters:
        """The same without stops."""
        for _ in self.trained(data, teacher):
            pass
        return self

    def loss(self, data: Array) -> float:
        """Nats per sign."""
        chance = self.chances(data[:, :-1])[np.arange(len(data)), data[:, -1]]
        return float(-np.log(np.maximum(chance, 1e-12)).mean())
