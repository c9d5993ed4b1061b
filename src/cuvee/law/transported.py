"""Choosing a mixture by how its transport distance to validation data moves: the third step of projektor.

Kang et al., "Performance Scaling via Optimal Transport", NeurIPS 2023, arXiv 2307.02460. What is predicted for a
mixture p of sources depends on p itself and on the distance OT(p) between the mixture and validation data. The points
of source i have the weight p_i / n_i each, so by the envelope theorem the derivative of the distance by p_i is the mean
of its dual potential f over the points of source i, up to a constant, since weights sum to one. The constant is taken
out by comparing a source with the others,

    mean of f over source i - mean of f over all other points (by their weights),

which is the derivative on the way from the others, in proportion, to source i. The distance is the Sinkhorn divergence,
whose potential is that of the mixture against validation data less that of the mixture against itself (Feydy et al.,
"Interpolating between Optimal Transport and MMD using Sinkhorn Divergences", 2019).

The mixture climbs the predicted performance by projected gradients: 100 steps of 5e-4, as in the release, which is far
for an accuracy in percent and hardly a step for one between 0 and 1; what is left is said. Slopes by p and slopes by
the distance are calibrated together here, so that where the climb rests is a maximum of what is predicted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..core import Prediction, Settings
from ..errors import DataError, UsageError
from . import label_distance
from .label_distance import Labels
from .projektor import Projected

Floats = npt.NDArray[np.float64]
FAR = 10.0
"""Beyond so many times the larger measured size a projection is a guess."""
TOLERANCE = 1e-9
LEAST = 1e-3
"""A share below is looked at as if it were this: a source's first few points promise more than its first percent."""
STILL = 0.1
"""Of the first step: a climb whose last steps go farther, on average, has not come to rest."""


class MixtureDistance:
    """The Sinkhorn divergence between mixtures of sources and validation data, with its slopes.

    Potentials are kept from one question to the next, so that mixtures near the last one take few iterations.

    Args:
        sources: float64, (n_i, d) each: disclosed rows of every source, as vectors (labels may be among them, scaled).
        validation: float64, (m, d).
        blur: entropy as a share of the mean cost between the sources' rows and the validation rows. It is the same for
            all mixtures, or their distances could not be compared.
        steps: the most iterations for a mixture.
        labels: of the rows of each source and of the validation rows, in this order: what their labels cost to move is
            added (:mod:`cuvee.law.label_distance`). Each source has labels of its own, so that costs do not depend on
            the mixture.

    Memory: (n + m)^2 numbers for n rows of all sources; use one or two thousand.

    Raises:
        DataError: a source or the validation data has no rows, or other dimensions than the rest; or other labels than
            rows.
    """

    def __init__(
        self,
        sources: Sequence[Floats],
        validation: Floats,
        blur: float = 0.05,
        steps: int = 2_000,
        labels: Sequence[Labels] | None = None,
    ) -> None:
        rows = [np.asarray(one, np.float64) for one in (*sources, validation)]
        if any(one.ndim != 2 or not len(one) or one.shape[1] != rows[0].shape[1] for one in rows):
            raise DataError("Every source and the validation data need rows of vectors of one length.")
        if labels is not None and [len(one) for one in labels] != [len(one) for one in rows]:
            raise DataError("Every row of the sources and of the validation data needs a label, or none.")
        self.steps = steps
        self.owner = np.repeat(np.arange(len(rows) - 1), [len(one) for one in rows[:-1]])
        self.counts = np.bincount(self.owner)
        points, validation = np.concatenate(rows[:-1]), rows[-1]
        across, within, own = _cost(points, validation), _cost(points, points), _cost(validation, validation)
        if labels is not None:
            apart, member = label_distance.distances(rows, labels)
            left, right = np.concatenate(member[:-1]), member[-1]
            across, within, own = (
                across + apart[np.ix_(left, right)],
                within + apart[np.ix_(left, left)],
                own + apart[np.ix_(right, right)],
            )
        self.epsilon = blur * float(across.mean())
        if not self.epsilon > 0:
            raise DataError("All rows of sources and validation data are one point: no mixture is nearer than another.")
        self._across, self._within = across / self.epsilon, within / self.epsilon
        self._log_b = np.full(len(validation), -np.log(len(validation)))
        self._g = np.zeros(len(validation))
        self._self = np.zeros(len(points))
        alone = _symmetric(own / self.epsilon, self._log_b, np.zeros(len(validation)), steps)
        self._rest = float(alone.mean())

    def at(self, mixture: Floats) -> tuple[float, Floats]:
        """The distance of a mixture, (k,), and the mean potential of every source, float64, (k,).

        The means are the slopes by the shares, up to a constant; the weighted mean is 0 here.
        """
        with np.errstate(divide="ignore"):
            log_a = np.log(mixture / self.counts)[self.owner]
        for _ in range(self.steps):
            f = _transform(self._across, self._g, self._log_b)
            again = _transform(self._across.T, f, log_a)
            moved, self._g = float(np.abs(again - self._g).max()), again
            if moved < TOLERANCE:
                break
        f = _transform(self._across, self._g, self._log_b)
        self._self = _symmetric(self._within, log_a, self._self, self.steps)
        potential = np.bincount(self.owner, f - self._self) / self.counts
        value = float(mixture @ potential) + float(self._g.mean()) - self._rest
        return self.epsilon * value, self.epsilon * (potential - float(mixture @ potential))


def calibrated(mixture: Floats, potential: Floats) -> Floats:
    """The mean potential of every source less that of all other points: float64, (k,); 0 for a source that is all.

    Args:
        mixture: (k,). potential: (k,): the mean over each source's points.
    """
    rest = 1.0 - mixture
    others = (float(mixture @ potential) - mixture * potential) / np.where(rest > 0, rest, 1.0)
    return np.where(rest > 0, potential - others, 0.0)


@dataclass(frozen=True)
class Chosen:
    """Where the climb ended.

    Attributes:
        mixture: float64, (k,).
        performance, before: what is predicted there, and where the climb began.
        distance: of the mixture to validation data.
        slope: what a unit of shares moved would still bring, by the slopes there; 0 where the climb rests.
        path: float64, (steps + 1, k).
        notes: sentences about what to beware of.
    """

    mixture: Floats
    performance: float
    before: float
    distance: float
    slope: float
    path: Floats
    notes: tuple[str, ...]


def choose(
    fitted: Prediction,
    sources: Sequence[str],
    distance: MixtureDistance,
    samples: float,
    begin: Floats | None = None,
    rate: float = 5e-4,
    steps: int = 100,
    advance: Callable[[], object] | None = None,
) -> Chosen:
    """Climb the performance that a fitted ``projektor`` predicts, by projected gradients.

    Args:
        sources: names in the order of the fit, which is that of ``distance``.
        samples: the size that is asked about.
        begin: a mixture, (k,) [all alike].
        advance: called after every step.

    Raises:
        UsageError: the law is not projektor, or numbers do not fit together.
    """
    k = len(distance.counts)
    if not isinstance(fitted, Projected):
        raise UsageError("choose needs a fitted projektor: other laws have no slope by the distance.")
    if len(sources) != k or not rate > 0 or steps < 1 or not samples > 0:
        raise UsageError(
            f"choose: give one name for each of the {k} sources, and rate, steps and samples that are above 0."
        )
    p = np.full(k, 1 / k) if begin is None else np.asarray(begin, np.float64)
    if p.shape != (k,) or (p < 0).any() or abs(p.sum() - 1) > 1e-6:
        raise UsageError(f"choose: begin must be {k} shares that sum to 1.")
    path, told = [p], []
    for _ in range(steps + 1):
        p = np.maximum(path[-1], LEAST) / np.maximum(path[-1], LEAST).sum()
        away, potential = distance.at(p)
        values = {"distance": np.array([away]), "samples": np.array([float(samples)])}
        settings = Settings(tuple(sources), p[None], values)
        by_share, by_distance = fitted.slopes(settings)
        climb = by_share[0] + by_distance[0] * potential
        told.append((float(fitted.at(settings)[0]), away, float(climb.max() - p @ climb)))
        path.append(nearest(path[-1] + rate * (climb - float(p @ climb))))
        if advance is not None:
            advance()
    (performance, away, slope), before = told[-1], told[0][0]
    notes = []
    if samples > FAR * max(fitted.sizes):
        notes.append(f"{samples:g} samples are {samples / max(fitted.sizes):.0f} times the largest size measured.")
    late = steps - max(1, steps // 10)  # to and fro at a border is rest
    first, last = float(np.abs(path[1] - path[0]).max()), float(np.abs(path[steps] - path[late]).max()) / (steps - late)
    if last > STILL * first > 0:
        notes.append("The climb has not come to rest. Give more steps, or another rate.")
    if by_distance[0] > 0:
        notes.append(
            "More distance to validation data is predicted to help there: the regression is not to be trusted."
        )
    return Chosen(path[steps], performance, before, away, slope, np.array(path[:-1]), tuple(notes))


def nearest(point: Floats) -> Floats:
    """The nearest mixture to any point, (k,), in Euclid's distance (by sorting; Held, Wolfe and Crowder, 1974)."""
    falling = np.sort(point)[::-1]
    excess = (np.cumsum(falling) - 1) / np.arange(1, len(point) + 1)
    found = np.maximum(point - excess[np.flatnonzero(falling > excess)[-1]], 0.0)
    return found / found.sum()


def _cost(left: Floats, right: Floats) -> Floats:
    return np.maximum((left**2).sum(1)[:, None] + (right**2).sum(1)[None] - 2 * left @ right.T, 0.0)


def _transform(cost: Floats, other: Floats, log_weight: Floats) -> Floats:
    """-log sum_j weight_j exp(other_j - cost_ij): float64, (rows,)."""
    x = (other + log_weight)[None] - cost
    top = x.max(1, keepdims=True)
    return np.asarray(-(top + np.log(np.exp(x - top).sum(1, keepdims=True)))[:, 0])


def _symmetric(cost: Floats, log_weight: Floats, begin: Floats, steps: int) -> Floats:
    """The potential of a weighted sample against itself: averaged steps, which converge fast."""
    f = begin
    for _ in range(steps):
        again = 0.5 * (f + _transform(cost, f, log_weight))
        moved, f = float(np.abs(again - f).max()), again
        if moved < TOLERANCE:
            break
    return f
