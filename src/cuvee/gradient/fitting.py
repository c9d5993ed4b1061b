"""What the methods on gradients share: choosing, warming up and reading a probe."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from ..core import Array, Run
from ..engine.draw import bits, uniform
from ..errors import DataError, UsageError
from ..feature.embed import of_target
from ..fold.bottom_k import BottomK, as_batch
from ..fold.labelled_sample import LabelledSample, label_hash
from ..fold.scores import part_of
from . import labelled, warm_up
from .labelled import LabelledProbe, class_of, train_classifier
from .projection import Projection
from .scores import Adam, Probe, subtasks_of, target_vectors
from .text import SHAPES, TextProbe, TextSpec
from .warm_up import Checkpoints, train_text, warm_up_texts

ProbeKind: TypeAlias = Literal["text", "linear", "mlp"]
HIDDEN = 32
"""Units of the probe "mlp"."""
PROJECTED_AT_ONCE = 16


def probe_needs(kind: str) -> tuple[str, ...]:
    """What must be given: texts, or vectors (texts give them, too) and labels."""
    return ("text", "target") if kind == "text" else ("embedding", "label", "target")


@contextmanager
def told(run: Run, label: str) -> Iterator[Callable[[float], None]]:
    """A function that takes the share done of a step of fitting, and shows it where the run shows progress."""
    progress: Any = getattr(run, "progress", None)
    done = 0.0
    if progress is None:
        yield lambda share: None
        return

    def tell(share: float) -> None:
        nonlocal done
        progress.advance(100 * (share - done))
        done = share

    progress.begin(label, 100, "percent")
    yield tell
    progress.end()


@dataclass(frozen=True, eq=False)
class Fitted:
    """A warmed-up probe, the rates of its checkpoints, and Adam's moments there.

    ``seeds``: of the trainings, each of which gave as many of the checkpoints, one after the other.
    """

    probe: Any
    rate: npt.NDArray[np.float64]
    adam: Adam
    notes: dict[str, Any]
    name: str
    seeds: tuple[int, ...]

    def target_vectors(self, run: Run, by_domain: bool, unit: bool) -> tuple[Array, dict[str, int]]:
        """See :func:`cuvee.gradient.scores.target_vectors`."""
        batches, names = subtasks_of(run.targets(), by_domain)
        if not batches:
            raise DataError("The target gives no gradient: it has no rows.")
        with told(run, f"{self.name}: the target's gradients") as tell:
            return target_vectors(self.probe, batches, names, unit, tell)

    def grams(self, run: Run, projections: Sequence[Projection], sample: int) -> tuple[Array, int]:
        """Phi^T Phi / rows of the gradients projected by each checkpoint's projection, over sqrt(size), of pool rows
        drawn by key, float64 (checkpoints, k, k); and the number of rows."""
        total = np.zeros((len(self.probe), projections[0].dimensions, projections[0].dimensions))
        held: list[list[Array]] = [[] for _ in range(len(self.probe))]
        rows = 0

        def flush() -> None:
            for c, group in enumerate(held):
                if group:
                    found = projections[c].project(np.stack(group)) / np.sqrt(self.probe.size)
                    total[c] += np.einsum("ni,nj->ij", found, found)
                    group.clear()

        with told(run, f"{self.name}: projecting the pool's sample") as tell:
            for found in self._sampled(run, sample):
                if found:
                    rows += 1
                    for c, (gradient, _) in enumerate(found):
                        held[c].append(gradient)
                    if len(held[0]) == PROJECTED_AT_ONCE:
                        flush()
                    tell(min(1.0, rows / sample))
            flush()
        return total / max(rows, 1), rows

    def _sampled(self, run: Run, sample: int) -> Iterator[list[tuple[Array, float]]]:
        if isinstance(self.probe, LabelledProbe):
            drawn = LabelledSample(sample, self.name, run.seed, self.probe.embedder, self.probe.column)
            state = run.fold(drawn)
            return self.probe.of_vectors(state["vectors"], state["label"])
        probe: Probe = self.probe
        return probe.each(as_batch(run.fold(BottomK(sample, self.name, run.seed, 4096))))


def fit_probe(
    run: Run,
    method: Any,
    name: str,
    output: Literal["loss", "margin"] = "loss",
    total: bool = False,
    trainings: int = 1,
) -> Fitted:
    """Warm a probe up as a method's fields say (those of :class:`cuvee.methods.score.less.Less`).

    ``trainings``: one sees all rows of the warm-up; of several, each sees a random half, from a beginning and in an
    order of its own, and gives the method's number of checkpoints.

    Raises:
        UsageError: a field is out of range.
        MissingTorchError: the probe is one of texts, and PyTorch is not installed.
    """
    if method.probe not in ("text", "linear", "mlp"):
        raise UsageError(f"{name}: probe is text, linear or mlp, not {method.probe}.")
    if method.size not in SHAPES:
        raise UsageError(f"{name}: size is one of {', '.join(SHAPES)}, not {method.size}.")
    if not 1 <= method.checkpoints <= method.epochs:
        raise UsageError(f"{name}: checkpoints is at least 1 and at most epochs ({method.epochs}).")
    if method.tokens < 2 or method.warm_up < 1:
        raise UsageError(f"{name}: tokens must be at least 2 and warm_up at least 1.")
    seeds = seeds_of(run.seed, trainings)
    if method.probe != "text":
        return _fit_labelled(run, method, name, output, seeds)
    spec = TextSpec(method.size, epochs=method.epochs)
    texts = warm_up_texts(run, method.warm_up, method.mixed)
    found = []
    with told(run, f"{name}: warming the probe up") as tell:
        for t, seed in enumerate(seeds):
            part = texts if trainings == 1 else part_of(texts, half(texts.key, seed))

            def tell_part(share: float, t: int = t) -> None:
                tell((t + share) / trainings)

            found.append(train_text(spec, part, seed, method.checkpoints, tell_part))
    every = joined(found)
    probe = TextProbe(spec, every.parameters, method.tokens, output, total)
    return _fitted(probe, every, warm_up.BETAS, len(texts), name, seeds)


def seeds_of(seed: int, trainings: int) -> tuple[int, ...]:
    """The seeds of so many trainings: the run's own for one."""
    if trainings == 1:
        return (seed,)
    return tuple((bits(seed, "trainings", np.arange(trainings, dtype=np.uint64)) >> np.uint64(1)).tolist())


def half(key: Array, seed: int) -> npt.NDArray[np.int64]:
    """The places, ascending, of a random half of some rows (at least one), by key."""
    order = np.argsort(uniform(seed, "half of the warm-up", key), kind="stable")
    return np.sort(order[: max(1, len(key) // 2)])


def joined(parts: list[Checkpoints]) -> Checkpoints:
    """The checkpoints of several trainings, one after the other."""
    names = ("parameters", "first", "second", "rate", "loss")
    return Checkpoints(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


def _fit_labelled(
    run: Run, method: Any, name: str, output: Literal["loss", "margin"], seeds: tuple[int, ...]
) -> Fitted:
    embedder, _ = of_target(run)
    targets = [batch for batch in run.targets() if len(batch)]
    if not targets:
        raise DataError("The target gives no gradient: it has no rows.")
    column = "label" if all("label" in batch.columns for batch in targets) else "domain"
    told_apart = np.concatenate([label_hash(batch, column) for batch in targets])
    state = run.fold(LabelledSample(method.warm_up, "warm-up", run.seed, embedder, column))
    vectors, label, key = state["vectors"], state["label"], state["key"]
    if method.mixed:
        vectors = np.concatenate([vectors, *(embedder.vectors(batch) for batch in targets)])
        label = np.concatenate([label, told_apart])
        key = np.concatenate([key, *(batch.key ^ np.uint64(1) for batch in targets)])
    classes = np.unique(np.concatenate([label, told_apart]))
    if len(classes) < 2:
        raise DataError("All rows have one label, so there is nothing to tell apart: name another column with --label.")
    hidden = HIDDEN if method.probe == "mlp" else 0
    place, count, found = class_of(label, classes), len(classes) + 1, []
    for seed in seeds:
        at = np.arange(len(key)) if len(seeds) == 1 else half(key, seed)
        one = (vectors[at], place[at], count, key[at], hidden, method.epochs, method.checkpoints, seed)
        found.append(train_classifier(*one))
    every = joined(found)
    probe = LabelledProbe(embedder, classes, every.parameters, hidden, column, output)
    return _fitted(probe, every, labelled.BETAS, len(vectors), name, seeds)


def _fitted(
    probe: Any, found: Checkpoints, betas: tuple[float, float], rows: int, name: str, seeds: tuple[int, ...]
) -> Fitted:
    notes = {"warm_up_rows": rows, "warm_up_loss": found.loss.tolist(), "parameters": probe.size}
    return Fitted(probe, found.rate, Adam(found.first, found.second, betas), notes, name, seeds)
