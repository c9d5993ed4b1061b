"""What the training loop measures for a policy: held-out losses, excess over a reference, products of gradients.

Examples held out are drawn by key, a share of each domain's and at least one where a domain has two; they are never
trained on. All costs are counted in passes over the examples that are trained on; a forward pass is a third of a step.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from ..core import Draw, Examples, Feedback, Round, State
from ..errors import UsageError
from ..online.law import excess_by_group

Places = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@runtime_checkable
class Measuring(Protocol):
    """What a learner must be able to do for a policy that asks for something."""

    def losses(self, places: Places) -> Floats:
        """Each example's loss as the model stands, as :meth:`Learner.step` would return it; nothing is learned."""
        ...

    def products(self, groups: Sequence[Places]) -> Floats:
        """Inner products of the gradients of the groups' mean losses, float64 (g, g); zeros for an empty group."""
        ...

    def tokens(self, places: Places) -> int: ...

    def state(self) -> State: ...

    def load(self, state: State) -> None: ...


def copied(state: State) -> State:
    """A learner may hand out the arrays that it trains."""
    return {name: one.copy() for name, one in state.items()}


class Meter:
    """Measures for one training run.

    Attributes:
        examples: those that are trained on; ``places``: where each stands among all.
        stretch: how many passes over these a pass over all is.
        read, sloped: tokens that passed forward, and forward and backward.
        finite: whether everything measured was.
        reference: the reference model's state.
    """

    def __init__(self, learner: object, examples: Examples, share: float, draw: Draw) -> None:
        self.learner, self.draw, self.key = learner, draw, examples.key
        codes, group = np.unique(examples.domain, return_inverse=True)
        self.held: list[Places] = [np.empty(0, np.int64) for _ in codes]
        self.examples, self.places, self.stretch = examples, np.arange(len(examples.key)), 1.0
        if share > 0:
            luck = draw.uniform("held out", examples.key)
            for at in range(len(codes)):
                members = np.flatnonzero(group == at)
                many = min(max(1, round(share * len(members))), len(members) - 1)
                self.held[at] = np.sort(members[np.argsort(luck[members], kind="stable")[:many]])
            kept = np.setdiff1d(self.places, np.concatenate(self.held))
            self.stretch = len(self.places) / len(kept)
            self.places, group = kept, group[kept]
            self.examples = Examples(examples.key[kept], examples.domain[kept], examples.names)
        self.group = group.astype(np.int64)
        self.read, self.sloped, self.cost, self.finite = 0, 0, 0.0, True
        self.before: Floats | None = None
        self.last: Floats | None = None
        self.reference: State = {}

    def forget(self) -> None:
        """The model has changed since the held-out losses were measured."""
        self.last = None

    def open(self, proposed: Round) -> None:
        """Before a round's first step."""
        self.cost, self.before = 0.0, None
        if proposed.asks and not isinstance(self.learner, Measuring):
            raise UsageError("This policy asks for losses that this proxy does not measure. Take transformer or mlp.")
        if "validation" in proposed.asks:
            self.before = self.validation() if self.last is None else self.last
        self.last = None

    def close(self, done: Round, loss: Floats, number: int) -> Feedback:
        """After a round's last step; the answers to what it asked."""
        after = excess = gradients = None
        if "validation" in done.asks:
            after = self.last = self.validation()
        places = self.places[done.order]
        if "excess" in done.asks:
            excess = excess_by_group(loss, self.by_reference(places), self.group[done.order], len(self.held))
        if "gradients" in done.asks:
            gradients = self.gradients(done, number)
        return Feedback(self.cost / len(self.places), self.before, after, excess, gradients)

    def validation(self) -> Floats:
        """Mean held-out loss of each domain, (k,); NaN where nothing is held out."""
        found = self.losses(np.concatenate(self.held))
        parts = np.split(found, np.cumsum([len(one) for one in self.held])[:-1])
        return np.array([one.mean() if len(one) else np.nan for one in parts])

    def losses(self, places: Places) -> Floats:
        assert isinstance(self.learner, Measuring)
        self.read += self.learner.tokens(places)
        self.cost += len(places) / 3.0
        found = self.learner.losses(places)
        self.finite &= bool(np.isfinite(found).all())
        return found

    def by_reference(self, places: Places) -> Floats:
        """The reference model's losses on these examples."""
        assert isinstance(self.learner, Measuring)
        if not self.reference:
            raise AssertionError("excess was asked for before there was a reference")
        present = copied(self.learner.state())
        self.learner.load(self.reference)
        found = self.losses(places)
        self.learner.load(present)
        return found

    def gradients(self, done: Round, number: int) -> Floats:
        """See :class:`Feedback`. Of each domain's held-out examples, as many as the round has on average, by key."""
        assert isinstance(self.learner, Measuring)
        group, k = self.group[done.order], len(self.held)
        trained = [np.unique(self.places[done.order[group == at]]) for at in range(k)]
        many = max(1, len(done.order) // k)
        luck = self.draw.uniform(f"held-out gradients {number}", self.key)
        held = [np.sort(one[np.argsort(luck[one], kind="stable")[:many]]) for one in self.held]
        everything = np.concatenate([*trained, *held])
        self.sloped += self.learner.tokens(everything)
        self.cost += len(everything)
        found = self.learner.products([*trained, *held])
        self.finite &= bool(np.isfinite(found).all())
        return found

    def counts(self) -> dict[str, Any]:
        """What a checkpoint's note holds."""
        return {"read": self.read, "sloped": self.sloped, "cost": self.cost}

    def states(self) -> dict[str, State]:
        """What a checkpoint's arrays hold."""
        measured = {name: one for name, one in (("before", self.before), ("last", self.last)) if one is not None}
        return {"measured": measured, "reference": self.reference}

    def restore(self, counts: Mapping[str, Any], states: Mapping[str, State]) -> None:
        """Go on from what :meth:`counts` and :meth:`states` gave."""
        self.read, self.sloped, self.cost = counts["read"], counts["sloped"], counts["cost"]
        measured = states.get("measured", {})
        self.before, self.last = measured.get("before"), measured.get("last")
        self.reference = dict(states.get("reference", {}))
