"""What the probes share: labelled examples as rows of numbers, the loss, the optimisers, a training run.

An example is a row of column "embedding", or, where there is none, its text's hashed word n-grams. Every row is scaled
to length 1 by itself (embeddings by their norm; n-grams to the square roots of their shares, the Hellinger map), so
that no arm's data, and no evaluation set, has a say in another's features; nothing is centred for the same reason. Its
label is in column "label" or, where the training data has none, in column "domain".

Classes are the labels of the evaluation sets, in order of their text, and one more for all labels that occur in no
evaluation set. So arms of one comparison share the model's shape and its initial weights whatever they train on; a
class that an arm has no example of is never predicted well, which is that arm's fault.

Parameters and features are float32, losses are computed in float64. The last bits of a matrix product depend on how
many threads the BLAS library uses (measured: other bits with 2 threads than with 1, even for batches of 30 rows), so a
run gives the same bits only for the same number; the trial runner pins it to one.
"""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt

from ...core import Array, Batch, Examples, Policy, State
from ...errors import DataError, UsageError
from ...feature.ngrams import Ngrams
from ..loop import train
from ..proxy import Evaluation, Floats, Measured, Outcome, Proxy, Watch

Places = npt.NDArray[np.int64]
Parameters = dict[str, Array]
ROWS = 512
"""Rows of an evaluation set that are measured at a time."""
NOMINAL_CLASSES = 10


@dataclass(frozen=True)
class Features:
    """Rows of numbers, kept sparse: row i has ``value[start[i]:start[i + 1]]`` in columns ``at`` (None: in all)."""

    width: int
    start: Places
    at: Places | None
    value: npt.NDArray[np.float32]

    def rows(self, places: Places) -> npt.NDArray[np.float32]:
        """float32, (len(places), width)."""
        if self.at is None:
            return self.value.reshape(-1, self.width)[places]
        size = np.diff(self.start)[places]
        inside = np.arange(size.sum()) + np.repeat(self.start[places] - np.cumsum(size) + size, size)
        found = np.zeros((len(places), self.width), np.float32)
        found[np.repeat(np.arange(len(places)), size), self.at[inside]] = self.value[inside]
        return found


def features(batch: Batch, ngrams: Ngrams, embedded: bool) -> Features:
    """An example's numbers: its embedding, or the hashed n-grams of its text; every row of length 1, or all zeros.

    Raises:
        DataError: an embedding is not finite, or not two-dimensional.
    """
    if not embedded:
        start, at, count = ngrams.rows(batch)
        size = np.diff(start)
        total = np.maximum(np.bincount(np.repeat(np.arange(len(size)), size), count, len(size)), 1)
        return Features(ngrams.buckets, start, at, np.sqrt(count / np.repeat(total, size)).astype(np.float32))
    x = np.asarray(batch.columns["embedding"], np.float64)
    if x.ndim != 2:
        raise DataError(f"Embeddings must be rows of numbers, not of shape {x.shape}.")
    bad = np.flatnonzero(~np.isfinite(x).all(axis=1))
    if len(bad):
        raise DataError(f"Row {int(batch.row[bad[0]]) + 1} has an embedding that is not finite.")
    largest = np.abs(x).max(axis=1, initial=0.0)  # first, so that no square overflows or vanishes
    x = x / np.where(largest > 0, largest, 1.0)[:, None]
    norm = np.sqrt((x * x).sum(axis=1))
    x = x / np.where(norm > 0, norm, 1.0)[:, None]
    return Features(x.shape[1], np.arange(len(x) + 1) * x.shape[1], None, x.astype(np.float32).ravel())


def labels_of(batch: Batch, column: str) -> list[str]:
    """The labels as text.

    Raises:
        UsageError: there is no such column.
        DataError: a label is missing.
    """
    if column not in batch.columns:
        raise UsageError(f"A probe needs labels, and there is no column '{column}' in a part of the data.")
    values = batch.columns[column]
    plain = values.tolist() if isinstance(values, np.ndarray) else values.to_pylist()
    for row, value in zip(batch.row.tolist(), plain, strict=True):
        if value is None or value != value:
            raise DataError(f"Row {row + 1} has no label (column '{column}').")
    return [str(value) for value in plain]


def domains_of(batch: Batch) -> tuple[npt.NDArray[np.int32], tuple[str, ...]]:
    """Codes of the domains, int32 (n,), for policies, and their names; codes 0 where there is no column."""
    values = batch.columns.get("domain")
    if values is None:
        return np.zeros(len(batch), np.int32), ()
    plain = values.tolist() if isinstance(values, np.ndarray) else values.to_pylist()
    names, codes = np.unique([str(one) for one in plain], return_inverse=True)
    return codes.astype(np.int32), tuple(names.tolist())


def cross_entropy(logits: Array, label: Places) -> tuple[Floats, Floats]:
    """Nats of every row, float64 (n,), and their slopes by the logits, float64 (n, classes)."""
    z = logits.astype(np.float64)
    z -= z.max(axis=1, keepdims=True)
    e = np.exp(z)
    total = e.sum(axis=1)
    rows = np.arange(len(label))
    loss = np.log(total) - z[rows, label]
    slope = e / total[:, None]
    slope[rows, label] -= 1.0
    return loss, slope


@dataclass(frozen=True)
class Probe(Proxy):
    """A classifier trained by minibatches; subclasses bring the model.

    ``width``, ``n``: buckets and order of the word n-grams, where there are no embeddings. ``batch``: examples a step.
    ``optimizer``: AdamW (0.9, 0.999) or SGD with ``momentum``. ``rate``: at the beginning; it falls to 0 along half a
    cosine of the training's progress. ``decay``: of weights, not biases, times the rate, apart from the gradient.
    """

    width: int = 4096
    n: int = 2
    batch: int = 64
    optimizer: Literal["adamw", "sgd"] = "adamw"
    rate: float = 0.01
    momentum: float = 0.9
    decay: float = 0.0

    unit: ClassVar[str] = "nats per example"
    needs: ClassVar[tuple[str, ...]] = ()
    """Either "embedding" or "text", and "label" or "domain": :meth:`train` tells what is missing."""
    most_tokens: ClassVar[int | None] = 1_000_000

    def __post_init__(self) -> None:
        Ngrams(self.n, self.width)  # refuses what it cannot do
        if self.batch < 1:
            raise UsageError(f"A batch must have at least 1 example, not {self.batch}.")
        if self.optimizer not in ("adamw", "sgd"):
            raise UsageError(f"The optimizer is adamw or sgd, not {self.optimizer!r}.")
        if not (0 < self.rate < np.inf and 0 <= self.momentum < 1 and 0 <= self.decay < np.inf):
            raise UsageError("rate must be above 0, momentum at least 0 and below 1, and decay at least 0.")

    @abstractmethod
    def begin(self, random: np.random.Generator, inputs: int, classes: int) -> Parameters:
        """Initial parameters, float32."""

    @abstractmethod
    def forward(self, parameters: Parameters, x: Array) -> tuple[Array, Any]:
        """Logits (n, classes) of rows (n, inputs), and what :meth:`backward` needs."""

    @abstractmethod
    def backward(self, parameters: Parameters, memory: Any, slope: Array) -> Parameters:
        """The gradient, from the loss's slopes by the logits."""

    @abstractmethod
    def weights(self, inputs: int, classes: int) -> int:
        """How many weights an example meets."""

    def train(
        self, data: Batch, evaluations: Sequence[Evaluation], policy: Policy, epochs: float, seed: int, watch: Watch
    ) -> Outcome:
        column = "label" if "label" in data.columns else "domain"
        embedded = "embedding" in data.columns
        if any(("embedding" in one.batch.columns) != embedded for one in evaluations):
            raise UsageError("Training data and evaluation sets must all have embeddings, or none of them.")
        told = {one.name: labels_of(one.batch, column) for one in evaluations}
        classes = {name: at for at, name in enumerate(sorted({label for one in told.values() for label in one}))}
        if not classes:
            raise UsageError("A probe learns the classes of its evaluation sets, and there is no evaluation example.")
        if len(classes) < 2:
            raise DataError(
                f"All evaluation examples have one label ('{next(iter(classes))}'), so there is nothing to tell apart. "
                "Give examples of at least two, or another column with --label or --domain."
            )
        label = np.array([classes.get(one, len(classes)) for one in labels_of(data, column)], np.int64)
        order = np.lexsort((label, data.key))  # the order of the examples must not matter
        ngrams = Ngrams(self.n, self.width)
        known = features(data, ngrams, embedded)
        held = [
            (one.name, features(one.batch, ngrams, embedded), np.array([classes[name] for name in told[one.name]]))
            for one in evaluations
        ]
        if any(one.width != known.width for _, one, _ in held):
            raise DataError("Embeddings of training data and evaluation sets differ in length.")
        learner = _Learner(self, known, label, order, held, len(classes) + 1, seed)
        domain, names = domains_of(data)
        examples = Examples(data.key[order], domain[order], names)
        done = train(learner, examples, policy, epochs, self.batch, seed, watch)
        begun = time.monotonic()
        measured = {} if done.diverged else learner.measure()
        measuring = done.measuring + time.monotonic() - begun
        diverged = done.diverged or not learner.finite or not all(one.finite for one in measured.values())
        operations = self.weights(known.width, len(classes) + 1)
        cost = {
            "train_flops": 6.0 * operations * (done.examples + done.sloped + done.read / 3.0),
            "eval_flops": 2.0 * operations * sum(len(one) for _, _, one in held) * (len(done.curve) + 1),
            "eval_seconds": measuring,
            "train_tokens": float(done.tokens),
            "forward": float(done.examples),
            "backward": float(done.examples),
        }
        return Outcome(diverged, {} if diverged else measured, tuple(done.curve), cost)

    def train_flops(self, tokens: float) -> float:
        """Six operations per weight and example (two forward, four backward), for n-grams and ten classes."""
        return 6.0 * self.weights(self.width, NOMINAL_CLASSES) * tokens


class _Learner:
    """A probe in training, on the examples in the order of ``order``."""

    def __init__(
        self,
        probe: Probe,
        known: Features,
        label: Places,
        order: Places,
        held: list[tuple[str, Features, Places]],
        classes: int,
        seed: int,
    ) -> None:
        self.probe, self.known, self.label, self.order, self.held = probe, known, label, order, held
        self.parameters = probe.begin(np.random.default_rng(seed), known.width, classes)
        self.first = {name: np.zeros_like(one) for name, one in self.parameters.items()}
        self.second = {name: np.zeros_like(one) for name, one in self.first.items()}
        self.steps = 0

    def step(self, places: Places, weights: Floats, progress: float) -> Floats:
        at = self.order[places]
        with np.errstate(all="ignore"):  # what is not finite ends the run, without warnings
            logits, memory = self.probe.forward(self.parameters, self.known.rows(at))
            loss, slope = cross_entropy(logits, self.label[at])
            slope *= (weights / len(places))[:, None]
            gradient = self.probe.backward(self.parameters, memory, slope.astype(logits.dtype))
            self.steps += 1
            self.descend(gradient, self.probe.rate * 0.5 * (1.0 + float(np.cos(np.pi * progress))))
        return loss

    def losses(self, places: Places) -> Floats:
        """Each example's loss as :meth:`step` returns it, and nothing is learned."""
        found = [np.empty(0)]
        for low in range(0, len(places), ROWS):
            at = self.order[places[low : low + ROWS]]
            with np.errstate(all="ignore"):
                logits, _ = self.probe.forward(self.parameters, self.known.rows(at))
                found.append(cross_entropy(logits, self.label[at])[0])
        return np.concatenate(found)

    def products(self, groups: Sequence[Places]) -> Floats:
        """Inner products of the gradients of the groups' mean losses."""
        slopes: list[Floats] = []
        for places in groups:
            if not len(places):
                slopes.append(np.zeros(sum(one.size for one in self.parameters.values())))
                continue
            at = self.order[places]
            with np.errstate(all="ignore"):
                logits, memory = self.probe.forward(self.parameters, self.known.rows(at))
                _, slope = cross_entropy(logits, self.label[at])
                found = self.probe.backward(self.parameters, memory, (slope / len(places)).astype(logits.dtype))
            slopes.append(np.concatenate([found[name].ravel().astype(np.float64) for name in self.parameters]))
        matrix = np.stack(slopes)
        return np.asarray(matrix @ matrix.T, np.float64)

    def descend(self, gradient: Parameters, rate: float) -> None:
        """One step of the optimiser, in place."""
        adam = self.probe.optimizer == "adamw"
        for name, slope in gradient.items():
            value, first, second = self.parameters[name], self.first[name], self.second[name]
            if value.ndim == 2 and self.probe.decay:
                value -= np.float32(rate * self.probe.decay) * value
            if adam:
                first += np.float32(0.1) * (slope - first)
                second += np.float32(0.001) * (slope * slope - second)
                speed = np.float32(rate / (1.0 - 0.9**self.steps))
                value -= speed * first / (np.sqrt(second / np.float32(1.0 - 0.999**self.steps)) + np.float32(1e-8))
            else:
                first *= np.float32(self.probe.momentum)
                first += slope
                value -= np.float32(rate) * first

    @property
    def finite(self) -> bool:
        return all(bool(np.isfinite(one).all()) for one in self.parameters.values())

    def measure(self) -> dict[str, Measured]:
        """Every evaluation example's loss, and whether the likeliest class is right (the first among equals)."""
        found = {}
        for name, known, label in self.held:
            loss, correct = np.empty(len(label)), np.empty(len(label))
            for low in range(0, len(label), ROWS):
                part = np.arange(low, min(low + ROWS, len(label)))
                with np.errstate(all="ignore"):
                    logits, _ = self.probe.forward(self.parameters, known.rows(part))
                    loss[part], _ = cross_entropy(logits, label[part])
                correct[part] = logits.argmax(axis=1) == label[part]
            found[name] = Measured(loss, np.ones(len(label)), correct)
        return found

    def evaluate(self) -> dict[str, float]:
        return {name: one.mean() for name, one in self.measure().items()}

    def tokens(self, places: Places) -> int:
        return len(places)

    def state(self) -> State:
        groups = {"parameter": self.parameters, "first": self.first, "second": self.second}
        found = {f"{group} {name}": one for group, parts in groups.items() for name, one in parts.items()}
        return found | {"steps": np.array([self.steps])}

    def load(self, state: State) -> None:
        for group, parts in (("parameter", self.parameters), ("first", self.first), ("second", self.second)):
            for name, one in parts.items():
                one[...] = state[f"{group} {name}"]
        self.steps = int(state["steps"][0])
