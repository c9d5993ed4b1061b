"""Scores of rows by the inner products of their gradients with a target's, at one or more checkpoints.

With g_c(x) a row's gradient at checkpoint c and u_{c,s} a vector for each of the target's subtasks s,

    cosine  max_s sum_c w_c <a_c(x), u_{c,s}> / |a_c(x)|,
    dot     max_s sum_c w_c <a_c(x), u_{c,s}>,

where a is the gradient, or the direction that Adam would take by it if the checkpoints' moments are given. ``doubt``
multiplies by the mean of 1 - p over checkpoints (TRAK). A target's rows enter as sums alone, since all of these are
linear in them: a row costs its gradients and S products, however many rows the target has, and no projection.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

import numpy as np
import numpy.typing as npt

from ..core import Array, Batch, Block, Map
from ..errors import DataError
from .products import ADAM_EPSILON, adam_direction, inner

Floats32 = npt.NDArray[np.float32]
Floats = npt.NDArray[np.float64]


class Probe(Protocol):
    """What gives gradients; each row's depends on that row alone."""

    def __len__(self) -> int:
        """The number of checkpoints."""
        ...

    @property
    def size(self) -> int:
        """How many numbers a gradient has."""
        ...

    def each(self, batch: Batch) -> Iterator[list[tuple[Floats32, float]]]:
        """For every row its gradient, float32 (size,), and its mean 1 - p, at every checkpoint; [] for a row that has
        none."""
        ...


@dataclass(frozen=True, eq=False)
class Adam:
    """The moments of Adam at every checkpoint, float32 (checkpoints, size), and its decay rates."""

    first: Array
    second: Array
    betas: tuple[float, float]

    def direction(self, gradient: Array, checkpoint: int) -> Floats32:
        """See :func:`cuvee.gradient.products.adam_direction`."""
        found = np.empty(len(gradient), np.float32)
        adam_direction(gradient, self.first[checkpoint], self.second[checkpoint], *self.betas, ADAM_EPSILON, found)
        return found


@dataclass(frozen=True, eq=False)
class GradientScores(Map):
    """The fitted score.

    Attributes:
        vectors: float32, (checkpoints, subtasks, size).
        weight: float64, (checkpoints,).
        cosine: whether what is multiplied is divided by its length.
        doubt: whether the result is multiplied by the mean 1 - p.
    """

    probe: Any
    vectors: Array
    weight: Floats
    adam: Adam | None = None
    cosine: bool = True
    doubt: bool = False
    notes: dict[str, Any] = field(default_factory=dict, compare=False)

    rows_at_once: ClassVar[int | None] = 64

    def apply(self, batch: Batch) -> Block:
        score = np.full(len(batch), -np.inf)
        for i, found in enumerate(self.probe.each(batch)):
            if found:
                one = self.score(found)
                score[i] = one if np.isfinite(one) else -np.inf
        return {"score": score}

    def score(self, found: list[tuple[Floats32, float]]) -> float:
        """The score of a row by its gradients and mean 1 - p."""
        subtasks = self.vectors.shape[1]
        total, out = np.zeros(subtasks), np.empty(subtasks + 1)
        for c, (gradient, _) in enumerate(found):
            one = gradient if self.adam is None else self.adam.direction(gradient, c)
            inner(one, self.vectors[c], out)
            length = np.sqrt(out[-1]) if self.cosine else 1.0
            if length > 0:
                total += self.weight[c] * out[:-1] / length
        doubt = sum(wrong for _, wrong in found) / len(found) if self.doubt else 1.0
        return float(total.max()) * doubt


def subtasks_of(batches: Iterable[Batch], by_domain: bool) -> tuple[list[Batch], list[list[str]]]:
    """The target's batches that hold rows, and the subtask of every row: its domain, if asked for and known."""
    kept, names = [], []
    for batch in batches:
        if len(batch):
            kept.append(batch)
            domain = batch.columns.get("domain") if by_domain else None
            named = [""] * len(batch) if domain is None else [str(one) for one in domain.to_pylist()]
            names.append(named)
    return kept, names


def target_vectors(
    probe: Probe,
    batches: list[Batch],
    names: list[list[str]],
    unit: bool,
    progress: Callable[[float], None] = lambda share: None,
) -> tuple[Floats32, dict[str, int]]:
    """Mean gradients of every subtask, float32 (checkpoints, subtasks, size), and the rows of each by its name.

    ``unit``: every gradient is divided by its length first.

    Raises:
        DataError: the target has no row with a gradient.
    """
    subtasks = sorted({name for part in names for name in part})
    total = np.zeros((len(probe), len(subtasks), probe.size))
    count = dict.fromkeys(subtasks, 0)
    rows, done = sum(len(batch) for batch in batches), 0
    for batch, part in zip(batches, names, strict=True):
        for name, found in zip(part, probe.each(batch), strict=True):
            for c, (gradient, _) in enumerate(found):
                length = np.sqrt(np.square(gradient, dtype=np.float64).sum()) if unit else 1.0
                if length > 0:
                    total[c, subtasks.index(name)] += gradient / length
            count[name] += bool(found)
            done += 1
            progress(done / rows)
    used = [s for s, name in enumerate(subtasks) if count[name]]
    if not used:
        raise DataError("The target gives no gradient: it has no rows, or no text.")
    total = total[:, used] / np.array([count[subtasks[s]] for s in used], np.float64)[:, None]
    return total.astype(np.float32), {subtasks[s]: count[subtasks[s]] for s in used}
