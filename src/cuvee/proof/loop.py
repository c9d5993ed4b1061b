"""The training loop that all iterative proxies share: rounds from a policy, batches, learning curve, exact resume.

The learning-rate schedule follows progress, not steps: the share of the training that is done, by which a policy that
leaves examples out shortens the schedule instead of cutting it off. A checkpoint holds the learner's state, the
policy's state before the current round and the losses of that round so far; the round is proposed again, since
``Policy.propose`` is a pure function. So a resumed run equals an uninterrupted one to the bit.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from ..core import Draw, Examples, Policy, Round, State
from ..engine.store import Store
from ..errors import DataError
from .proxy import Point, Watch

CURVE = (0.125, 0.25, 0.5, 1.0)
"""Shares of the training after which the evaluation sets are measured."""


class Diverged(Exception):  # noqa: N818
    """A loss is not finite."""


class Learner(Protocol):
    """A model in training."""

    def step(
        self, places: npt.NDArray[np.int64], weights: npt.NDArray[np.float64], progress: float
    ) -> npt.NDArray[np.float64]:
        """One update on a batch of examples at ``progress`` (0 to 1); returns their losses before weighting."""
        ...

    def evaluate(self) -> dict[str, float]:
        """Mean loss per evaluation set."""
        ...

    def tokens(self, places: npt.NDArray[np.int64]) -> int:
        """Tokens (or examples) in a batch."""
        ...

    def state(self) -> State:
        """Everything that the next step depends on, as named arrays."""
        ...

    def load(self, state: State) -> None:
        """Go on from what :meth:`state` returned."""
        ...


@dataclass
class Trained:
    """What the loop counted. ``examples``: presentations, repeats included. ``measuring``: seconds of measuring."""

    curve: list[Point]
    tokens: int = 0
    examples: int = 0
    measuring: float = 0.0
    diverged: bool = False


def train(
    learner: Learner, examples: Examples, policy: Policy, epochs: float, batch: int, seed: int, watch: Watch
) -> Trained:
    """Train until the policy's rounds stand for ``epochs`` passes; the last round is cut where they do.

    Args:
        batch: examples per step; the last step of a round may have fewer.

    Raises:
        DataError: there is nothing to train on.
    """
    if not len(examples.key):
        raise DataError("There is nothing to train on: the arm holds no whole example.")
    job = _Job(learner, examples, policy, epochs, batch, Draw(seed), watch)
    try:
        job.run()
    except Diverged:
        job.trained.diverged = True
    job.forget()
    return job.trained


class _Job:
    """One training run; what :meth:`save` stores is all that it depends on."""

    def __init__(
        self,
        learner: Learner,
        examples: Examples,
        policy: Policy,
        epochs: float,
        batch: int,
        draw: Draw,
        watch: Watch,
    ) -> None:
        self.learner, self.examples, self.policy = learner, examples, policy
        self.epochs, self.batch, self.draw, self.watch = epochs, batch, draw, watch
        self.memory = policy.init(examples)
        self.number, self.cursor, self.done = 0, 0, 0.0
        self.losses = np.empty(0)
        self.trained = Trained([])
        self.store = Store(watch.checkpoint) if watch.checkpoint is not None else None
        self.saved = time.monotonic()

    def run(self) -> None:
        self.restore()
        while self.done < self.epochs - 1e-9:
            self.train_round(self.policy.propose(self.memory, self.examples, self.number, self.epochs, self.draw))
        if not self.trained.curve or self.trained.curve[-1].tokens != self.trained.tokens:
            self.measure()

    def train_round(self, proposed: Round) -> None:
        """Train on a round from the cursor on."""
        size, left = len(proposed.order), self.epochs - self.done
        if not size or proposed.epochs <= 0:
            raise AssertionError(f"{type(self.policy).__name__} proposed an empty round")
        # the last round may stand for more than what is left
        stop = size if proposed.epochs <= left + 1e-9 else max(1, round(size * left / proposed.epochs))
        if self.cursor == 0:
            self.losses = np.empty(stop)
        while self.cursor < stop:
            end = min(self.cursor + self.batch, stop)
            places = proposed.order[self.cursor : end]
            progress = (self.done + proposed.epochs * self.cursor / size) / self.epochs
            found = self.learner.step(places, proposed.weight[self.cursor : end], progress)
            self.losses[self.cursor : end] = found
            self.trained.tokens += self.learner.tokens(places)
            self.trained.examples += len(places)
            if not np.isfinite(found).all():
                raise Diverged
            self.cursor = end
            now = min(1.0, (self.done + proposed.epochs * end / size) / self.epochs)
            self.watch.progress(now)
            if len(self.trained.curve) < len(CURVE) and now >= CURVE[len(self.trained.curve)] - 1e-9:
                self.measure()
            if self.store is not None and time.monotonic() - self.saved > self.watch.every_seconds:
                self.save()
        finished = Round(proposed.order[:stop], proposed.weight[:stop], proposed.epochs)
        self.memory = self.policy.update(self.memory, finished, self.losses)
        self.number, self.cursor = self.number + 1, 0
        self.done = min(self.epochs, self.done + proposed.epochs)

    def measure(self) -> None:
        """One more point of the curve."""
        begun = time.monotonic()
        found = self.learner.evaluate()
        self.trained.measuring += time.monotonic() - begun
        self.trained.curve.append(Point(self.trained.tokens, found))
        if not np.isfinite(list(found.values())).all():
            raise Diverged

    def save(self) -> None:
        """Write a checkpoint."""
        assert self.store is not None
        note = {
            "number": self.number,
            "cursor": self.cursor,
            "done": self.done,
            "tokens": self.trained.tokens,
            "examples": self.trained.examples,
            "measuring": self.trained.measuring,
            "curve": [[point.tokens, dict(point.loss)] for point in self.trained.curve],
        }
        states: Mapping[str, State] = {
            "learner": self.learner.state(),
            "policy": self.memory,
            "loop": {"losses": self.losses},
        }
        self.store.put_states(_KEY, states, note)
        self.saved = time.monotonic()

    def restore(self) -> None:
        """Go on from a checkpoint if there is an intact one."""
        if self.store is None:
            return
        try:
            states, note = self.store.states(_KEY)
        except FileNotFoundError:
            return
        self.learner.load(states["learner"])
        self.memory, self.losses = states["policy"], states["loop"]["losses"]
        self.number, self.cursor, self.done = note["number"], note["cursor"], note["done"]
        self.trained.tokens, self.trained.examples = note["tokens"], note["examples"]
        self.trained.measuring = note["measuring"]
        self.trained.curve = [Point(tokens, loss) for tokens, loss in note["curve"]]

    def forget(self) -> None:
        """The run is over: its checkpoint is of no use any more."""
        if self.store is not None:
            self.store.remove(_KEY)


_KEY = b"checkpoint".hex().ljust(40, "0")
