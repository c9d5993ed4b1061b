"""Kernel herding: rows whose mean in a feature space stays as near as can be to the pool's mean.

Chen, Welling and Smola, "Super-Samples from Kernel Herding", UAI 2010. With features f and their mean m over the pool,

    w = m at first;   take argmax_i w . f(x_i);   w <- w + m - f(x_i),

each row at most once. For a Gaussian kernel exp(-|x - y|^2 / (2 width^2)) the features are random Fourier features
(Rahimi and Recht 2007), ``features`` of them by keyed draws; ``features=0`` takes the vectors themselves, which matches
the mean and nothing else. In the space of the features the error of means falls about as 1/n where random rows' falls
as 1/sqrt(n); in that of the kernel itself, on vectors of many dimensions, it is lower, but falls hardly faster. The
notes give both errors squared: the maximum mean discrepancy to the pool, and its expectation for as many random rows.

Inputs: a column "embedding". Cost: rows x taken x features. A pool of more than 65,536 rows is chosen from in two
rounds (``greedy.py``), always towards the whole pool's mean (towards a target's: ``target_herding``). Trap: it
imitates the pool, junk in proportion; it does not diversify.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from ...core import Array, Budget, Card, Choose, Columns, Decision, Draw
from ...errors import UsageError
from ...feature.embed import similarities
from .greedy import SHARD_ROWS, Listed, choose_greedily, eligible, shards
from .greedy_kernels import herd

Floats = npt.NDArray[np.float32]


def follow(features: Array, mean: Array, cost: Array, amount: int) -> Array:
    """Places in the order taken, int64: features float32 (n, d), mean float64 (d,)."""
    order = np.empty(min(len(features), int(amount)), np.int64)
    return order[: herd(np.ascontiguousarray(features, np.float32), np.asarray(mean, np.float64), cost, amount, order)]


@dataclass(frozen=True)
class Herding(Choose):
    """``features``: random Fourier features of a Gaussian kernel of this ``width`` (0: the vectors themselves)."""

    features: int = 512
    width: float = 0.7

    by_priority: ClassVar[bool] = False
    card: ClassVar[Card] = Card(
        summary="Rows whose mean features follow the pool's: kernel herding.",
        family="choose",
        needs=("embedding",),
        cost="rows x rows taken x features",
        bibtex="""@inproceedings{chen2010super,
  title={Super-Samples from Kernel Herding},
  author={Chen, Yutian and Welling, Max and Smola, Alex},
  booktitle={Uncertainty in Artificial Intelligence},
  year={2010}
}""",
        evidence="picks of the plain recursion; discrepancy below that of random rows; claim: direction only (8 seeds)",
        use_when="The selection should look like the pool, only smaller, better than random rows do.",
        fails_when="It imitates the pool, junk in proportion, and was no better than random rows to train on.",
    )

    def __post_init__(self) -> None:
        if self.features < 0 or not 0 < self.width < np.inf:
            raise UsageError("herding: features must be at least 0 and width a number above 0.")

    def map(self, vectors: Array, draw: Draw) -> Floats:
        """float32 (n, features): sqrt(2 / D) cos(x . w / width + b), w normal and b uniform."""
        if not self.features:
            return np.asarray(vectors, np.float32)
        d = vectors.shape[1]
        cell = np.arange(2 * self.features * d, dtype=np.uint64)
        u = draw.uniform("herding directions", cell).reshape(2, self.features, d)
        normal = np.sqrt(-2.0 * np.log(u[0])) * np.cos(2 * np.pi * u[1])
        shift = 2 * np.pi * draw.uniform("herding shifts", cell[: self.features])
        angle = similarities(vectors, normal / self.width) + shift.astype(np.float32)
        return (np.sqrt(2.0 / self.features) * np.cos(angle)).astype(np.float32)

    def choose(self, columns: Columns, budget: Budget, draw: Draw) -> Decision:
        count, total, square = 0, np.zeros(0), 0.0
        parts = shards(columns, ("embedding", "row", "key"), SHARD_ROWS)
        for part in (eligible(part, Budget("rows", 1), 1) for part in parts):
            f = self.map(part["embedding"], draw).astype(np.float64)
            total = f.sum(axis=0) if not count else total + f.sum(axis=0)
            square, count = square + float((f * f).sum()), count + len(f)
        mean = total / max(count, 1)

        def pick(vectors: Array, cost: Array, amount: int, key: Array) -> Array:
            return follow(self.map(vectors, draw), mean, cost, amount)

        found = choose_greedily(columns, budget, pick, "the nearest to what the pool's mean lacks")
        return self._noted(found, columns, draw, mean, square / max(count, 1), count)

    def _noted(self, found: Listed, columns: Columns, draw: Draw, mean: Array, square: float, count: int) -> Listed:
        taken = np.zeros(len(mean))
        for block in shards(columns, ("embedding", "row"), SHARD_ROWS):
            vectors = block["embedding"][found.repeats(block) > 0].astype(np.float32)
            taken += self.map(vectors, draw).astype(np.float64).sum(axis=0)
        n = len(found.rows)
        random = (square - float(mean @ mean)) / n * (count - n) / max(count - 1, 1)
        notes = {"discrepancy": float(((taken / n - mean) ** 2).sum()), "discrepancy_of_random_rows": random}
        return Listed(found.rows, found.times, {**found.notes, **notes}, found.because)
