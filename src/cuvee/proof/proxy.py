"""What a proxy is: a small model with a fixed way to train it, and what a training run gives.

A proxy is a frozen dataclass whose fields are all that its training depends on besides data, policy and seed. Its file
in ``proxies/`` carries its name.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from ..core import Batch, Policy
from ..engine.plan import describe
from ..engine.store import digest

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Evaluation:
    """Examples that no arm may train on.

    Attributes:
        name: unique among the evaluation sets of a comparison.
        batch: texts, or columns "embedding" and "label".
        group: int32, (n,): each example's subgroup, a place in ``groups``.
    """

    name: str
    batch: Batch
    group: npt.NDArray[np.int32]
    groups: tuple[str, ...]


@dataclass(frozen=True)
class Measured:
    """What a model makes of every example of an evaluation set.

    Attributes:
        loss: float64, (n,): each example's loss, summed: bits for texts, nats for labelled examples.
        size: float64, (n,): what the sum is divided by: UTF-8 bytes of a text, 1 for a labelled example.
        correct: float64, (n,), 0 or 1, where there is a right answer.
    """

    loss: Floats
    size: Floats
    correct: Floats | None = None

    def mean(self) -> float:
        """Bits per byte, or nats per example."""
        return float(self.loss.sum() / self.size.sum())

    @property
    def finite(self) -> bool:
        return bool(np.isfinite(self.loss).all())


@dataclass(frozen=True)
class Point:
    """A place on the learning curve: training tokens (or examples) seen, and the mean loss per evaluation set."""

    tokens: int
    loss: Mapping[str, float]


@dataclass(frozen=True)
class Outcome:
    """One finished or diverged training run.

    Attributes:
        diverged: a loss or a parameter was not finite; ``measured`` is then empty.
        measured: by the evaluation set's name.
        curve: from early to late; its last point is the end of training.
        cost: "train_flops", "eval_flops", "train_tokens" (with repeats), "forward" and "backward" (examples passed),
            "eval_seconds" (of measuring, by the clock). All other seconds are measured by whoever runs the trial, and
            what is left of these is taken for training.
    """

    diverged: bool
    measured: Mapping[str, Measured]
    curve: tuple[Point, ...]
    cost: Mapping[str, float]


@dataclass(frozen=True)
class Watch:
    """How a run reports its progress (share done, 0 to 1) and where it may keep a checkpoint to go on from.

    ``keep``: a file for the model at the end, if the proxy can be gone on from; a diverged one is not written.
    """

    progress: Callable[[float], None] = field(default=lambda share: None)
    checkpoint: Path | None = None
    every_seconds: float = 30.0
    keep: Path | None = None


class Proxy(ABC):
    """A small model and how it is trained."""

    summary: ClassVar[str]
    unit: ClassVar[str]
    """Of a mean loss: "bits per byte" or "nats per example"."""
    needs: ClassVar[tuple[str, ...]] = ("text",)
    """Columns that the pool must have: "text", or "embedding" and "label"."""
    most_tokens: ClassVar[int | None] = None
    """Of a trial, unless more are asked for."""
    eval_bytes: ClassVar[int] = 8 << 20
    """Of an evaluation set at most, unless more are asked for."""
    seedless: ClassVar[bool] = False
    """Whether the seed changes nothing, so that trials on the same documents are one trial."""
    iterates: ClassVar[bool] = True
    """Whether order, weights and repeated passes matter to it, so that policies can be compared by it."""
    multiples: ClassVar[tuple[float, ...]] = (0.5, 2.0)
    """Times the tokens of a trial with which random is trained as well, to tell what it would need."""
    multiple_seeds: ClassVar[int | None] = 3
    """At how many seeds; None for all."""

    @abstractmethod
    def train(
        self, data: Batch, evaluations: Sequence[Evaluation], policy: Policy, epochs: float, seed: int, watch: Watch
    ) -> Outcome:
        """Train on ``data`` for ``epochs`` passes and measure.

        Args:
            data: the training examples, distinct; their order carries no meaning and must not matter.
            seed: of initialisation and order. Arms of one seed are paired: they share both, whatever their data.

        Raises:
            UsageError: the policy or the columns do not suit this proxy.
        """

    def train_flops(self, tokens: float) -> float:
        """About how many operations training on so many tokens (bytes of text, or examples) takes."""
        raise NotImplementedError


@dataclass(frozen=True)
class Recipe:
    """One training run, apart from its data and seed.

    Attributes:
        proxy: the model and how it is trained.
        policy: in which order and with which weights it sees its examples.
        epochs: passes over the examples.
    """

    proxy: Proxy
    policy: Policy
    epochs: float = 1.0

    def digest(self) -> str:
        """Changes with every field of proxy and policy, and with the code that trains."""
        return digest("recipe", describe(self), training_code())


@cache
def training_code() -> str:
    """A digest of the sources that decide what a training run gives: trials of other code are not taken for this's."""
    root = Path(__file__).parents[1]
    files = [root / "proof" / "loop.py", root / "fold" / "ngram_lm.py", root / "fold" / "ngram_lm_kernels.py"]
    files += [root / path for path in ("engine/draw.py", "proof/feedback.py", "mix/interleave.py", "law/curve.py")]
    for folder in ("proof/proxies", "methods/policy", "online", "feature"):
        files += sorted((root / folder).glob("*.py"))
    return digest(*(path.read_text("utf-8") for path in files))
