"""Policies that decide about shares of groups: what they have in common.

A subclass says which mixture the next stretch has (``turn``) and what it learns from the measurements (``learn``), in
arrays of k groups; it never sees an example. From a turn, :class:`MixturePolicy` makes a round: whole examples by group
(the remainders of one round are owed to the next, so shares are exact in the long run), interleaved so that each prefix
is within one example of the shares, and in every group by walking through a random order of its examples, a new one in
each pass. So the examples of a group have been seen equally often, or once more. The same turns serve trainers that
draw their own examples (:class:`cuvee.OnlineMix`).

State: "group" int64 (n,), each example's place among the groups; "sizes" int64 (k,), how many there are of each;
"taken" int64 (k,), how often one was taken; "owed" float64 (k,); "done" float64 (1,), passes spent, measuring included;
and what the subclass adds.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..core import Ask, Draw, Examples, Feedback, Policy, Round, State
from ..errors import UsageError
from ..mix.interleave import interleave
from .law import Floats

Counts = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Groups:
    """What is mixed: ``names`` (k,), ascending by code, and how many examples each has, int64 (k,)."""

    names: tuple[str, ...]
    sizes: Counts

    def __len__(self) -> int:
        return len(self.sizes)

    def named(self, names: str, method: str) -> npt.NDArray[np.bool_]:
        """Which groups a parameter like "code+math" means, bool (k,).

        Raises:
            UsageError: there is no such group.
        """
        wanted = [name for name in names.split("+") if name]
        if unknown := [name for name in wanted if name not in self.names]:
            there = ", ".join(self.names[:12]) + (", ..." if len(self.names) > 12 else "")
            raise UsageError(f"{method}: no domain is called '{unknown[0]}'. There are: {there}.")
        return np.isin(self.names, wanted)


@dataclass(frozen=True)
class Turn:
    """The next stretch of training.

    Attributes:
        mixture: float64, (k,): shares that sum to one.
        length: in passes over all examples, above 0.
        asks, restart, reference: as in :class:`cuvee.core.Round`.
        loss_weight: float64, (k,): of the examples of each group; 1 by default. Scaled so that the mean is 1.
        mark: what :meth:`MixturePolicy.learn` needs to know about this turn: which stretch of a sweep it was, say.
    """

    mixture: Floats
    length: float
    asks: tuple[Ask, ...] = ()
    restart: float = 0.0
    reference: bool = False
    loss_weight: Floats | None = None
    mark: int = -1


def groups_of(examples: Examples) -> tuple[Groups, Counts]:
    """The domains that occur, by ascending code, and each example's place among them."""
    codes, place, sizes = np.unique(examples.domain, return_inverse=True, return_counts=True)
    names = tuple(examples.names[code] if examples.names else str(code) for code in codes.tolist())
    return Groups(names, sizes.astype(np.int64)), place.astype(np.int64)


def whole(wanted: Floats, size: int, open_to: npt.NDArray[np.bool_]) -> Counts:
    """``size`` examples for the groups ``open_to`` any, near to ``wanted``: floors, then the largest remainders."""
    floors = np.where(open_to, np.maximum(np.floor(wanted), 0.0), 0.0)
    if floors.sum() > size:  # debts of an earlier round
        floors *= size / floors.sum()
        floors = np.floor(floors)
    rest = np.where(open_to, wanted - floors, -np.inf)
    found = floors.astype(np.int64)
    missing = size - int(found.sum())
    order = np.argsort(-rest, kind="stable")[: int(open_to.sum())]
    found[order] += missing // len(order)
    found[order[: missing % len(order)]] += 1
    return found


def natural(sizes: Counts, among: npt.NDArray[np.bool_] | None = None) -> Floats:
    """Shares by size, (k,), of all groups or those of a mask; zeros if the mask is empty."""
    kept = sizes.astype(np.float64) if among is None else np.where(among, sizes, 0.0)
    return np.asarray(kept / max(kept.sum(), 1.0), np.float64)


def lifted(groups: Groups, names: str, share: float, method: str) -> Floats:
    """Named groups get ``share`` together and the others the rest, by size among their like, (k,).

    ``names``: as for :meth:`Groups.named`; empty means the groups smaller than an equal share. If these are none, or
    all, everything goes by size.
    """
    small = groups.sizes * len(groups) < groups.sizes.sum()
    chosen = groups.named(names, method) if names else small
    if chosen.all() or not chosen.any():
        return natural(groups.sizes)
    return share * natural(groups.sizes, chosen) + (1.0 - share) * natural(groups.sizes, ~chosen)


def phase(state: State, epochs: float, marks: Sequence[float] = ()) -> tuple[int, float]:
    """Which part of the training comes next, and for how many passes: to its end, but one pass at most.

    ``marks``: shares of the training where a part ends and the next begins, ascending.
    """
    done, least = float(state["done"][0]), 0.5 / float(state["sizes"].sum())
    edges = [mark * epochs for mark in marks] + [epochs]
    at = next((i for i, edge in enumerate(edges) if edge - done > least), len(edges) - 1)
    return at, min(1.0, max(edges[at] - done, least))


def missing_is_zero(drops: Floats) -> Floats:
    """Falls of losses, with nothing learned about groups that could not be measured."""
    return np.where(np.isnan(drops), 0.0, drops)


class MixturePolicy(Policy):
    """A policy whose decisions are mixtures. Subclasses are frozen dataclasses of plain parameters."""

    @abstractmethod
    def turn(self, state: State, epochs: float, draw: Draw) -> Turn:
        """What comes next in a training of ``epochs`` passes; a pure function. The trainer ends where they are
        spent."""

    def start(self, groups: Groups) -> State:
        """What this policy remembers, before the first turn; UsageError if its parameters do not suit the groups."""
        return {}

    def learn(self, state: State, turn: Turn, feedback: Feedback) -> State:
        """A new state, after a turn that asked for something. ``mixture``, ``mark``, ``restart`` of the turn hold."""
        return state

    def fresh(self, groups: Groups) -> State:
        """The state for groups of which the examples are another's business."""
        k = len(groups)
        nothing = {"taken": np.zeros(k, np.int64), "owed": np.zeros(k), "done": np.zeros(1)}
        return {**nothing, "sizes": groups.sizes, **self.start(groups)}

    def split(self, state: State, turn: Turn) -> tuple[Counts, npt.NDArray[np.int32]]:
        """The examples of each group, int64 (k,), and the groups in order, int32: what a turn asks for, whole."""
        size = max(1, round(turn.length * int(state["sizes"].sum())))
        counts = whole(state["owed"] + size * turn.mixture, size, turn.mixture > 0)
        return counts, interleave(counts)

    def account(self, state: State, turn: Turn, counts: Counts) -> State:
        """The state after a turn of so many examples of each group, before anything is learned from it."""
        owed = np.where(turn.mixture > 0, state["owed"] + counts.sum() * turn.mixture - counts, 0.0)
        if turn.restart:
            owed = np.zeros(len(counts))
        spent = counts.sum() / state["sizes"].sum()
        return {**state, "taken": state["taken"] + counts, "owed": owed, "done": state["done"] + spent}

    def told(self, state: State, turn: Turn, feedback: Feedback) -> State:
        """The state after what was measured."""
        return self.learn({**state, "done": state["done"] + feedback.cost}, turn, feedback)

    def init(self, examples: Examples) -> State:
        groups, place = groups_of(examples)
        return {**self.fresh(groups), "group": place}

    def propose(self, state: State, examples: Examples, number: int, epochs: float, draw: Draw) -> Round:
        turn, place = self.turn(state, epochs, draw), state["group"]
        counts, sequence = self.split(state, turn)
        order = np.empty(len(sequence), np.int64)
        for group in np.flatnonzero(counts).tolist():
            order[sequence == group] = walk(
                examples.key, np.flatnonzero(place == group), int(state["taken"][group]), int(counts[group]), draw
            )
        weight = np.ones(len(order))
        if turn.loss_weight is not None:
            weight = turn.loss_weight[sequence] / turn.loss_weight[sequence].mean()
        return Round(
            order,
            weight,
            len(order) / len(place),
            turn.asks,
            turn.restart,
            turn.reference,
            {"mixture": turn.mixture, "mark": np.array([turn.mark]), "restart": np.array([turn.restart])},
        )

    def update(self, state: State, done: Round, loss: Floats) -> State:
        counts = np.bincount(state["group"][done.order], minlength=len(state["taken"]))
        return self.account(state, self._turn(done), counts)

    def inform(self, state: State, done: Round, feedback: Feedback) -> State:
        return self.told(state, self._turn(done), feedback)

    @staticmethod
    def _turn(done: Round) -> Turn:
        note = done.note
        return Turn(note["mixture"], done.epochs, done.asks, float(note["restart"][0]), mark=int(note["mark"][0]))


def walk(key: npt.NDArray[np.uint64], members: Counts, taken: int, count: int, draw: Draw) -> Counts:
    """Places of the next ``count`` examples among ``members``, of which ``taken`` have been taken, pass after pass.

    Equal keys stand beside each other.
    """
    found, size = [], len(members)
    while count:
        number, at = divmod(taken, size)
        order = np.argsort(draw.uniform(f"mixture pass {number}", key[members]), kind="stable")
        found.append(members[order[at : at + count]])
        taken, count = taken + len(found[-1]), count - len(found[-1])
    return np.concatenate(found)
