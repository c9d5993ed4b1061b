"""Online mixtures in anyone's training loop: propose, train, update; the journal of what was measured is the state.

    mix = cuvee.OnlineMix({"web": 40_000, "code": 10_000}, "aioli", total=6_000, losses=validate(model))
    while not mix.done:
        turn = mix.propose()
        for source in turn.order:
            train(model, next(batches[mix.sources[source]]))
        mix.update(validate(model) if turn.measure else None)

The unit is the trainer's: a batch, a sequence, a thousand tokens. Everything follows from the policy, the seed and what
``update`` was told, so a journal of that, one line of JSON a turn, gives the same weights again to the bit.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..core import Ask, Draw, Feedback, State
from ..engine import files
from ..engine.plan import make, parameters
from ..errors import DataError, UsageError
from ..layout import sealed
from ..registry import load as load_method
from ..registry import policies
from .arguments import Numbers, check_learned, check_numbers, loss_weights, typed
from .law import Floats
from .mixture import Groups, MixturePolicy, Turn

FORMAT = 1
KIND = "online mixture"
MOST = 10**8
"""Units of a training: a turn's order is an array of them."""
ESTIMATES = ("matrix", "drops", "squares", "graph")
"""Parts of a policy's state that tell what it has found out: journals hold them, and nothing reads them."""
PAID: dict[str, float] = {"excess": 1 / 3, "gradients": 2.0}
"""What measuring costs by unit of a turn: a reference model reads it, a forward pass being a third of a step; gradients
are taken of it and of as many units held out."""


@dataclass(frozen=True)
class Proposal:
    """What to train on next.

    Attributes:
        number: of the turn, from 0.
        weights: each source's share, by name, summing to one.
        order: int32, (units,): the source of every unit, as its place in :attr:`OnlineMix.sources`. Each prefix is
            within one unit of the shares; counts are whole, and what is left over is owed to the next turn.
        loss_weights: by name: what the loss of a unit of this source is multiplied by; on average 1 over the turn.
        measure: whether :meth:`OnlineMix.update` will need every source's held-out loss.
        asks: what else it will need, among "excess" and "gradients" (:class:`cuvee.core.Feedback`).
        restart: if above 0, begin with a new model now, and a rate schedule of so many units, those that measuring is
            counted for among them: the place in it is what :attr:`OnlineMix.spent` has grown by since.
        reference: keep the model as it is after this turn: the excess is over its losses.
    """

    number: int
    weights: dict[str, float]
    order: npt.NDArray[np.int32]
    loss_weights: dict[str, float]
    measure: bool
    asks: tuple[Ask, ...]
    restart: int
    reference: bool


class OnlineMix:
    """An online mixture for a trainer that draws its own examples. ``sources``: names sorted."""

    def __init__(
        self,
        sources: Mapping[str, int],
        policy: str = "aioli",
        *,
        total: int,
        settings: Mapping[str, Any] | None = None,
        losses: Numbers | None = None,
        seed: int = 0,
        journal: str | os.PathLike[str] | None = None,
    ) -> None:
        """Begin.

        Args:
            sources: how many units of data each source has, by name.
            policy: one that decides about shares: ``cuvee methods`` lists them.
            settings: its parameters. Names of sources are a list, or a text joined by +.
            total: units of the training, those of sweeps, proxies and references included.
            losses: each source's held-out loss before training, at least 0; needed by policies that measure losses.
            seed: a whole number.
            journal: a new file, to which a line is added at every update. Its folder is made if there is none.

        Raises:
            UsageError: no such policy, or one that decides about single examples; sizes, settings or losses that are
                no numbers, or not of the right kind; losses are needed and not given.
            ResourceError: the journal cannot be written.
        """
        if not isinstance(sources, Mapping) or not all(isinstance(name, str) for name in sources):
            raise UsageError("sources must be units by name, like {'web': 40000, 'code': 10000}.")
        if isinstance(seed, bool) or not isinstance(seed, int | np.integer):
            raise UsageError(f"seed must be a whole number, not {seed!r}.")
        if settings is not None and not isinstance(settings, Mapping):
            raise UsageError(f"settings must be parameters by name, like {{'rounds': 5}}, not {settings!r}.")
        check_numbers(losses, "losses")
        self.sources = tuple(sorted(sources))
        sizes = [sources[name] for name in self.sources]
        if not sizes or any(isinstance(one, bool) or not isinstance(one, int | np.integer) or one < 1 for one in sizes):
            raise UsageError("Give each source the whole number of units that it has, at least 1: {'web': 40000, ...}.")
        if isinstance(total, bool) or not isinstance(total, int | np.integer) or total < 1:
            raise UsageError(f"total must be a whole number of units of at least 1, not {total!r}.")
        if total > MOST:
            raise UsageError(
                f"{total:,} units are too many to order one by one. Count in batches rather than in tokens."
            )
        kind = load_method(policy, "policy")
        if not issubclass(kind, MixturePolicy) or "domain" not in kind.card.needs:
            able = [name for name in policies() if _mixes(name)]
            raise UsageError(f"'{policy}' decides about single examples, not about shares. Take {', '.join(able)}.")
        self.name, self.total, self.seed = policy.replace("-", "_"), int(total), int(seed)
        self.policy: MixturePolicy = make(kind, typed(settings or {}, kind, policy), policy)
        self.groups = Groups(self.sources, np.array(sizes, np.int64))
        self.memory: State = self.policy.fresh(self.groups)
        self.number = 0
        self.initial = self.last = None if losses is None else self._losses(losses)
        self._told: Proposal | None = None
        self._proposed = False
        self._journal: Path | None = None
        if losses is None and "validation" in self._turn()[0].asks:
            raise UsageError(
                f"{policy} needs each source's held-out losses before training: "
                "OnlineMix(..., losses={'web': 5.5, ...})."
            )
        if journal is not None:
            place = Path(journal)
            if place.exists():
                raise UsageError(f"{place} exists. Go on with it by OnlineMix.resume, or name another file.")
            files.write_whole(place, _line(self._header()))
            self._journal = place

    @property
    def epochs(self) -> float:
        """The training in passes over all sources."""
        return self.total / int(self.groups.sizes.sum())

    @property
    def spent(self) -> int:
        """Units trained on, or paid for measuring, so far."""
        return round(float(self.memory["done"][0]) * int(self.groups.sizes.sum()))

    @property
    def done(self) -> bool:
        """Whether the training is over."""
        return self.spent >= self.total

    def weights(self) -> dict[str, float]:
        """Each source's share of the next turn, or of the last one when the training is over."""
        return self._proposal().weights if not self.done or self._told is None else self._told.weights

    def propose(self) -> Proposal:
        """What to train on next; the same until :meth:`update`.

        Raises:
            UsageError: the training is over.
        """
        found = self._proposal()
        self._proposed = True
        return found

    def _proposal(self) -> Proposal:
        if self.done:
            raise UsageError(f"The {self.total:,} units are spent: the training is over.")
        turn, counts, order = self._turn()
        weight = loss_weights(turn.loss_weight, counts)
        return Proposal(
            self.number,
            dict(zip(self.sources, turn.mixture.tolist(), strict=True)),
            order,
            dict(zip(self.sources, weight.tolist(), strict=True)),
            "validation" in turn.asks or self._needed_next(turn, counts),
            tuple(one for one in turn.asks if one != "validation"),
            round(turn.restart * int(self.groups.sizes.sum())),
            turn.reference,
        )

    def update(
        self,
        losses: Numbers | None = None,
        *,
        excess: Numbers | None = None,
        gradients: Sequence[Sequence[float]] | npt.ArrayLike | None = None,
        cost: float | None = None,
    ) -> None:
        """Take in what was measured after training on the proposal, and go on to the next turn; once for each turn.

        Args:
            losses: each source's mean held-out loss now, at least 0.
            excess: by source the mean, over the turn, of max(loss - reference's loss, 0); sources without may lack.
            gradients: (2 k, 2 k): see :class:`cuvee.core.Feedback`.
            cost: units that measuring is to be counted for. By default ``PAID`` for excess and gradients, without which
                a proxy would end before the ``restart`` that it was given; held-out losses count nothing, since how
                many you measure is not known here.

        Raises:
            UsageError: nothing was proposed since the last update; something that was asked for is missing, or was
                given and not asked for (losses are always welcome); a number is not finite, or below 0, or of an
                unknown source; the policy divides by a loss that was 0. The mixture is as it was before.
        """
        proposal = self._proposal()
        if not self._proposed:
            raise UsageError(
                "update before propose: this turn was not proposed, so nothing can have been trained on it. Call "
                "propose(), train on its order, then call update once."
            )
        check_numbers(losses, "losses")
        check_numbers(excess, "excess")
        for name, value in (("excess", excess), ("gradients", gradients)):
            if value is not None and name not in proposal.asks:
                raise UsageError(
                    f"{self.name} did not ask for {name} in this turn. Give what the proposal's measure and asks name."
                )
        turn, counts, _ = self._turn()
        if proposal.measure and losses is None:
            raise UsageError("update needs every source's held-out loss after this turn: {'web': 3.1, ...}.")
        if "excess" in turn.asks and excess is None:
            raise UsageError("update needs excess={'web': 0.2, ...}: how far losses are above the reference model's.")
        if "gradients" in turn.asks and gradients is None:
            raise UsageError("update needs gradients: the inner products of the sources' gradients.")
        before = self.initial if turn.restart else self.last
        if "validation" in turn.asks and before is None:
            raise UsageError(
                f"{self.name} needs the losses before training: OnlineMix(..., losses={{'web': 5.5, ...}})."
            )
        if cost is None:
            cost = float(sum(PAID.get(ask, 0.0) for ask in turn.asks) * int(counts.sum()))
        number = isinstance(cost, int | float | np.integer | np.floating) and not isinstance(cost, bool)
        if not number or not 0 <= cost < math.inf:
            raise UsageError(f"cost must be a number of units of at least 0, not {cost!r}.")
        after = None if losses is None else self._losses(losses)
        feedback = Feedback(
            cost / int(self.groups.sizes.sum()),
            before,
            after,
            None if excess is None else self._losses(excess, partly=True),
            None if gradients is None else self._square(gradients),
        )
        memory = self.policy.account(self.memory, turn, counts)
        with np.errstate(all="ignore"):  # what is not finite is looked for and told in words
            memory = (
                self.policy.told(memory, turn, feedback)
                if turn.asks
                else {**memory, "done": memory["done"] + feedback.cost}
            )
        check_learned(memory, self.name, self.sources, before)
        if self._journal is not None:
            told = {"losses": losses, "excess": excess, "gradients": gradients, "cost": cost}
            files.append(self._journal, _line(self._record(proposal, counts, told, memory)))
        self.memory, self.last, self._told, self._proposed = memory, after, proposal, False
        self.number += 1

    def state(self) -> dict[str, Any]:
        """All that the next turns depend on, ready for JSON."""
        arrays = {name: [one.dtype.str, list(one.shape), one.ravel().tolist()] for name, one in self.memory.items()}
        last = None if self.last is None else self.last.tolist()
        return {**self._header(), "number": self.number, "last": last, "arrays": arrays}

    @classmethod
    def load(cls, state: Mapping[str, Any]) -> OnlineMix:
        """Go on from what :meth:`state` returned, without a journal.

        Raises:
            DataError: it is something else.
        """
        try:
            found = cls._begun(state)
            arrays = {
                name: np.array(values, np.dtype(kind)).reshape(shape)
                for name, (kind, shape, values) in state["arrays"].items()
            }
            if set(arrays) != set(found.memory) or any(one.dtype.hasobject for one in arrays.values()):
                raise ValueError
            found.memory, found.number = arrays, int(state["number"])
            found.last = None if state["last"] is None else np.array(state["last"], np.float64)
        except (KeyError, TypeError, ValueError, AttributeError):
            raise DataError("This is not the state of an online mixture. Give what OnlineMix.state returned.") from None
        return found

    @classmethod
    def replay(cls, journal: str | os.PathLike[str]) -> OnlineMix:
        """The mixture after what a journal tells; the file stays as it is, and is not continued.

        Raises:
            DataError: it is no journal, a line is damaged, or this version proposes other weights than were recorded.
                A last line that was cut short is passed over.
        """
        return cls._read(Path(journal))[0]

    @classmethod
    def resume(cls, journal: str | os.PathLike[str]) -> OnlineMix:
        """Like :meth:`replay`, and the next updates are added to the file. A line that was cut short is removed."""
        place = Path(journal)
        found, whole = cls._read(place)
        if place.stat().st_size != len(whole):
            files.write_whole(place, whole)
        found._journal = place
        return found

    @classmethod
    def _begun(cls, header: Mapping[str, Any]) -> OnlineMix:
        if header["kind"] != KIND or header["format"] != FORMAT:
            raise ValueError
        given = {name: header[name] for name in ("settings", "losses", "total", "seed")}
        return cls(header["sources"], header["policy"], **given)

    @classmethod
    def _read(cls, place: Path) -> tuple[OnlineMix, bytes]:
        try:
            content = place.read_bytes()
        except OSError as error:
            raise DataError(f"{place} cannot be read: {error.strerror}.") from None
        lines = content[: content.rfind(b"\n") + 1].splitlines(keepends=True)
        found: OnlineMix | None = None
        for number, line in enumerate(lines, 1):
            try:
                record = json.loads(line)
                if sealed(record)["seal"] != record["seal"]:
                    raise ValueError
                if found is None:
                    found = cls._begun(record)
                    continue
                proposed = found.propose()
                told = {name: record[name] for name in ("losses", "excess", "gradients", "cost")}
                recorded = record["weights"]
            except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
                raise DataError(f"{place}, line {number} is damaged, or is not of a journal of OnlineMix.") from None
            if proposed.weights != recorded:
                raise DataError(
                    f"{place}, line {number}: this version of cuvee proposes other weights than were recorded. Replay "
                    "it with the version that wrote it."
                )
            found.update(**told)
        if found is None:
            raise DataError(f"{place} holds no whole line of a journal of OnlineMix.")
        return found, b"".join(lines)

    def _turn(self) -> tuple[Turn, npt.NDArray[np.int64], npt.NDArray[np.int32]]:
        """The next turn and its units, cut where the training ends."""
        turn = self.policy.turn(self.memory, self.epochs, Draw(self.seed))
        _, order = self.policy.split(self.memory, turn)
        order = order[: max(1, self.total - self.spent)]
        return turn, np.bincount(order, minlength=len(self.sources)).astype(np.int64), order

    def _needed_next(self, turn: Turn, counts: npt.NDArray[np.int64]) -> bool:
        """Whether the turn after one that asks nothing begins by comparing losses."""
        if turn.asks:
            return False
        memory = self.policy.account(self.memory, turn, counts)
        if round(float(memory["done"][0]) * int(self.groups.sizes.sum())) >= self.total:
            return False
        after = self.policy.turn(memory, self.epochs, Draw(self.seed))
        return "validation" in after.asks and not after.restart

    def _losses(self, given: Mapping[str, float], partly: bool = False) -> Floats:
        """Numbers by source as an array, NaN where one may lack."""
        if unknown := sorted(set(given) - set(self.sources)):
            raise UsageError(f"There is no source '{unknown[0]}'. There are: {', '.join(self.sources)}.")
        if not partly and (lacking := [name for name in self.sources if name not in given]):
            raise UsageError(f"The loss of '{lacking[0]}' is missing. Give one for each source.")
        found: Floats = np.array([float(given.get(name, math.nan)) for name in self.sources])
        for name, value in zip(self.sources, found.tolist(), strict=True):
            if name in given and not math.isfinite(value):
                raise UsageError(
                    f"The loss of '{name}' is {value}: the training has diverged, or measuring went wrong."
                )
        return found

    def _square(self, given: Any) -> Floats:
        k = len(self.sources)
        try:
            found = np.asarray(given, np.float64)
        except (TypeError, ValueError):
            raise UsageError(f"gradients must be {2 * k} rows of as many numbers.") from None
        if found.shape != (2 * k, 2 * k) or not np.isfinite(found).all():
            raise UsageError(f"gradients must be {2 * k} x {2 * k} finite numbers, not an array of {found.shape}.")
        return found

    def _header(self) -> dict[str, Any]:
        initial = None if self.initial is None else dict(zip(self.sources, self.initial.tolist(), strict=True))
        sizes = dict(zip(self.sources, self.groups.sizes.tolist(), strict=True))
        about = {"kind": KIND, "format": FORMAT, "policy": self.name, "settings": parameters(self.policy)}
        return {**about, "sources": sizes, "total": self.total, "seed": self.seed, "losses": initial}

    def _record(
        self, proposal: Proposal, counts: npt.NDArray[np.int64], told: Mapping[str, Any], memory: State
    ) -> dict[str, Any]:
        """A line of the journal; at its end what a policy has estimated after this turn, for whoever reads along."""
        plain = {
            name: {key: float(one) for key, one in value.items()} if isinstance(value, Mapping) else value
            for name, value in told.items()
        }
        if told["gradients"] is not None:
            plain["gradients"] = np.asarray(told["gradients"], np.float64).tolist()
        units = dict(zip(self.sources, counts.tolist(), strict=True))
        known = {name: memory[name].tolist() for name in ESTIMATES if name in memory}
        return {"number": proposal.number, "weights": proposal.weights, "units": units, **plain, **known}


def _mixes(name: str) -> bool:
    kind = load_method(name, "policy")
    return issubclass(kind, MixturePolicy) and "domain" in kind.card.needs


def _line(record: dict[str, Any]) -> bytes:
    return json.dumps(sealed(record)).encode() + b"\n"
