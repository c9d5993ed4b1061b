"""The training loop that all iterative proxies share: rounds from a policy, batches, learning curve, exact resume.

The learning-rate schedule follows progress, not steps: the share of the training that is done, by which a policy that
leaves examples out shortens the schedule instead of cutting it off. A checkpoint holds the learner's state, the
policy's state before the current round and the losses of that round so far; the round is proposed again, since
``Policy.propose`` is a pure function. So a resumed run equals an uninterrupted one to the bit.

What a policy asks for (:class:`cuvee.core.Feedback`) is measured by :mod:`cuvee.proof.feedback`, and paid for: a
training ends when its rounds and this measuring together have cost ``epochs`` passes. So a policy is compared with
shuffling at equal cost, whatever it measures or throws away.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from ..core import Draw, Examples, Policy, Round, State
from ..engine.store import Store
from ..errors import DataError
from .feedback import Meter, copied
from .proxy import Point, Watch

CURVE = (0.125, 0.25, 0.5, 1.0)
"""Shares of the training after which the evaluation sets are measured."""


Answer = TypeVar("Answer")


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
    """What the loop counted. ``examples``: presentations, repeats included. ``measuring``: seconds of measuring.

    ``read``, ``sloped``: tokens that passed forward, and forward and backward, to answer a policy; not in ``tokens``.
    """

    curve: list[Point]
    tokens: int = 0
    examples: int = 0
    measuring: float = 0.0
    diverged: bool = False
    read: int = 0
    sloped: int = 0

    @property
    def passed(self) -> float:
        """Tokens in units of a training step's work, which is three forward passes."""
        return self.tokens + self.sloped + self.read / 3.0


def train(
    learner: Learner, examples: Examples, policy: Policy, epochs: float, batch: int, seed: int, watch: Watch
) -> Trained:
    """Train until the policy's rounds, and what it asked for, stand for ``epochs`` passes over all examples.

    The last round is cut there. A policy that holds examples out sees, and trains on, the others alone.

    Args:
        batch: examples per step; the last step of a round may have fewer.

    Raises:
        DataError: there is nothing to train on.
        UsageError: the policy asks for what this learner cannot measure.
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
        self.learner, self.policy = learner, policy
        self.batch, self.draw, self.watch = batch, draw, watch
        self.meter = Meter(learner, examples, policy.holds(), draw)
        self.examples = self.meter.examples
        self.epochs = epochs * self.meter.stretch
        self.memory = policy.init(self.examples)
        self.number, self.cursor, self.done = 0, 0, 0.0
        self.begun, self.span = 0.0, self.epochs
        self.losses = np.empty(0)
        self.trained = Trained([])
        self.initial = copied(learner.state()) if policy.restarts else None
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
            self.open(proposed)
        while self.cursor < stop:
            end = min(self.cursor + self.batch, stop)
            places = self.meter.places[proposed.order[self.cursor : end]]
            progress = min(1.0, (self.done - self.begun + proposed.epochs * self.cursor / size) / self.span)
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
        finished = replace(proposed, order=proposed.order[:stop], weight=proposed.weight[:stop])
        self.memory = self.policy.update(self.memory, finished, self.losses)
        self.done = min(self.epochs, self.done + proposed.epochs)
        self.close(finished)
        self.number, self.cursor = self.number + 1, 0

    def open(self, proposed: Round) -> None:
        """What happens before the first step of a round."""
        if proposed.restart > 0:
            if self.initial is None:
                raise AssertionError(f"{type(self.policy).__name__} restarts and has not said so")
            self.learner.load(self.initial)
            self.begun, self.span = self.done, proposed.restart
            self.meter.forget()
        self.ask(lambda meter: meter.open(proposed))

    def close(self, finished: Round) -> None:
        """Answer what was asked, unless nothing follows from it any more."""
        if finished.asks and self.done < self.epochs - 1e-9:
            feedback = self.ask(lambda meter: meter.close(finished, self.losses, self.number))
            self.memory = self.policy.inform(self.memory, finished, feedback)
            self.done = min(self.epochs, self.done + feedback.cost)
        else:
            self.meter.forget()
        if finished.reference:
            self.meter.reference = copied(self.learner.state())

    def ask(self, what: Callable[[Meter], Answer]) -> Answer:
        """Let the meter measure, and count it."""
        found = what(self.meter)
        self.trained.read, self.trained.sloped = self.meter.read, self.meter.sloped
        if not self.meter.finite:
            raise Diverged
        return found

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
            "begun": self.begun,
            "span": self.span,
            "meter": self.meter.counts(),
            "curve": [[point.tokens, dict(point.loss)] for point in self.trained.curve],
        }
        states: Mapping[str, State] = {
            "learner": self.learner.state(),
            "policy": self.memory,
            "loop": {"losses": self.losses},
            **self.meter.states(),
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
        self.begun, self.span = note["begun"], note["span"]
        self.meter.restore(note["meter"], states)
        self.trained.read, self.trained.sloped = self.meter.read, self.meter.sloped
        self.trained.curve = [Point(tokens, loss) for tokens, loss in note["curve"]]

    def forget(self) -> None:
        """The run is over: its checkpoint is of no use any more."""
        if self.store is not None:
            self.store.remove(_KEY)


_KEY = b"checkpoint".hex().ljust(40, "0")
