"""Random projections of gradients: P numbers to k, inner products kept up to an error of about 1 / sqrt(k).

    z_j = sum_p g_p R[p, j] / sqrt(k),   R[p, j] = +1 or -1, or standard normal

(Johnson and Lindenstrauss 1984; Achlioptas 2003 for signs). For unit vectors the inner product of two projections has
the exact one x as its mean and a standard deviation of at most sqrt((1 + x^2) / k).

R is a function of (seed, p, j), made anew ``UNIT`` parameters at a time and never held: projections do not depend on
how many gradients are projected at once, nor on how a gradient is cut into blocks of parameters, to the bit. Products
of a unit are single precision, their sum over units double. Cost per gradient: P x k multiplications and additions, 4
billion a second and core; the signs cost about as much for one gradient, and little for 16 at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from ..core import Array
from ..engine.draw import bits
from ..errors import UsageError
from ..feature.embed_kernels import products

UNIT = 128
"""Parameters whose part of the matrix is held at a time. Part of what the numbers are: it decides the rounding."""


@dataclass(frozen=True)
class Projection:
    """To ``dimensions`` numbers. ``kind``: what the matrix holds, signs or normal numbers."""

    dimensions: int = 1024
    seed: int = 0
    kind: Literal["rademacher", "normal"] = "rademacher"

    def __post_init__(self) -> None:
        if self.dimensions < 1:
            raise UsageError(f"A projection needs at least 1 dimension, not {self.dimensions}.")
        if self.kind not in ("rademacher", "normal"):
            raise UsageError(f"A projection is rademacher or normal, not {self.kind!r}.")

    def matrix(self, first: int, last: int) -> npt.NDArray[np.float32]:
        """Rows [first, last) of R, float32 (last - first, dimensions)."""
        place = np.arange(first, last, dtype=np.uint64)[:, None]
        if self.kind == "rademacher":
            words = -(-self.dimensions // 64)
            key = np.asarray(place * np.uint64(words) + np.arange(words, dtype=np.uint64), np.uint64)
            drawn = bits(self.seed, f"signs {self.dimensions}", key.ravel()).astype("<u8")
            signs = np.unpackbits(drawn.view(np.uint8), bitorder="little").reshape(len(place), -1)
            return np.float32(1) - np.float32(2) * signs[:, : self.dimensions].astype(np.float32)
        key = np.asarray(place * np.uint64(self.dimensions) + np.arange(self.dimensions, dtype=np.uint64), np.uint64)
        drawn = bits(self.seed, f"normal {self.dimensions}", key.ravel())
        low, high = drawn & np.uint64(0xFFFFFFFF), drawn >> np.uint64(32)
        radius = np.sqrt(-2.0 * np.log((low.astype(np.float64) + 0.5) * 2.0**-32))  # Box and Muller 1958
        found = radius * np.cos(2.0 * np.pi * 2.0**-32 * high.astype(np.float64))
        return found.reshape(len(place), -1).astype(np.float32)

    def project(self, gradients: Array) -> npt.NDArray[np.float64]:
        """Projections, float64 (n, dimensions), of gradients, float32 (n, P)."""
        total = np.zeros((len(gradients), self.dimensions))
        self.add(gradients, 0, total)
        return total / np.sqrt(self.dimensions)

    def add(self, block: Array, first: int, total: Array) -> None:
        """Add what parameters [first, first + width) of gradients, float32 (n, width), give, not yet divided by
        sqrt(dimensions), to ``total``. ``first`` is a multiple of ``UNIT``."""
        if first % UNIT:
            raise ValueError(f"a block of parameters begins at a multiple of {UNIT}")
        out = np.empty(total.shape, np.float32)
        for low in range(0, block.shape[1], UNIT):
            part = np.ascontiguousarray(block[:, low : low + UNIT], np.float32)
            products(part, self.matrix(first + low, first + low + part.shape[1]), out)
            total += out

    def back(self, weights: Array, parameters: int) -> npt.NDArray[np.float32]:
        """R w / sqrt(dimensions), float32 (s, parameters), for ``weights`` (s, dimensions): <g, back(w)> is
        <project(g), w>, so that products with a few vectors need no projection of every gradient."""
        found = np.empty((len(weights), parameters), np.float32)
        w = np.asarray(weights, np.float64).T / np.sqrt(self.dimensions)
        for low in range(0, parameters, UNIT):
            high = min(low + UNIT, parameters)
            found[:, low:high] = np.einsum("pk,ks->sp", self.matrix(low, high).astype(np.float64), w)
        return found
