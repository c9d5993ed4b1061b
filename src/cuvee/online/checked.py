"""The online mixture as other people's loops use it (:class:`cuvee.OnlineMix`): arguments are checked first.

The arithmetic and the journal are in :mod:`cuvee.online.mix`. Here is what a loop of somebody's own may get wrong:
settings and measurements of the wrong kind, measurements that no turn asked for, turns that were never proposed.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import numpy as np
import numpy.typing as npt

from ..errors import UsageError
from ..registry import load as load_method
from . import mix
from .mix import Proposal

Numbers = Mapping[str, float]


class OnlineMix(mix.OnlineMix):
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
        _check(losses, "losses")
        given: dict[str, Any] = {
            "total": total,
            "settings": typed(settings or {}, policy),
            "losses": losses,
            "seed": seed,
        }
        if losses is None:
            first, _, _ = mix.OnlineMix(sources, policy, **given)._turn()  # no journal: a refusal leaves none behind
            if "validation" in first.asks:
                raise UsageError(
                    f"{policy} needs each source's held-out losses before training: "
                    "OnlineMix(..., losses={'web': 5.5, ...})."
                )
        self._open = False
        super().__init__(sources, policy, journal=journal, **given)

    def weights(self) -> dict[str, float]:
        """Each source's share of the next turn, or of the last one when the training is over."""
        opened = self._open
        found = super().weights()
        self._open = opened  # to look at the shares is not to train on them
        return found

    def propose(self) -> Proposal:
        """What to train on next; the same until :meth:`update`.

        Raises:
            UsageError: the training is over.
        """
        found = super().propose()
        self._open = True
        return found

    def update(
        self,
        losses: Numbers | None = None,
        *,
        excess: Numbers | None = None,
        gradients: Sequence[Sequence[float]] | npt.ArrayLike | None = None,
        cost: float = 0.0,
    ) -> None:
        """Take in what was measured after training on the proposal, and go on to the next turn; once for each turn.

        Args:
            losses: each source's mean held-out loss now, at least 0.
            excess: by source the mean, over the turn, of max(loss - reference's loss, 0); sources without may lack.
            gradients: (2 k, 2 k): see :class:`cuvee.core.Feedback`.
            cost: units that measuring is to be counted for.

        Raises:
            UsageError: nothing was proposed since the last update; something that was asked for is missing, or was
                given and not asked for (losses are always welcome); a number is not finite, or below 0, or of an
                unknown source. The mixture is as it was before.
        """
        if not self._open and not self.done:
            raise UsageError(
                "update before propose: this turn was not proposed, so nothing can have been trained on it. Call "
                "propose(), train on its order, then call update once."
            )
        _check(losses, "losses")
        _check(excess, "excess")
        if isinstance(cost, bool) or not isinstance(cost, int | float | np.integer | np.floating):
            raise UsageError(f"cost must be a number of units of at least 0, not {cost!r}.")
        asks = super().propose().asks
        for name, value in (("excess", excess), ("gradients", gradients)):
            if value is not None and name not in asks:
                raise UsageError(
                    f"{self.name} did not ask for {name} in this turn. Give what the proposal's measure and asks name."
                )
        if gradients is not None:
            try:
                np.asarray(gradients, np.float64)
            except (TypeError, ValueError):
                raise UsageError(f"gradients must be {2 * len(self.sources)} rows of as many numbers.") from None
        super().update(losses, excess=excess, gradients=gradients, cost=cost)
        self._open = False


def typed(settings: Mapping[str, Any], policy: str) -> dict[str, Any]:
    """Settings of a policy, with lists of names joined by +.

    Raises:
        UsageError: no such policy, or a value is not of its parameter's kind. (Whether there is such a parameter is
            asked where the policy is made.)
    """
    hints = get_type_hints(load_method(policy, "policy"))
    found = {}
    for name, value in settings.items():
        kind = hints.get(name)
        if kind is str and isinstance(value, list | tuple) and all(isinstance(one, str) for one in value):
            value = "+".join(value)
        if kind is not None and not isinstance(value, str) and (wanted := _unlike(value, kind)):
            raise UsageError(f"{policy}: {name}={value!r} is not {wanted}. See: cuvee methods {policy}")
        found[name] = value
    return found


def _unlike(value: Any, kind: Any) -> str:
    """What a value of this kind would be, if this one is not; else nothing."""
    origin, inside = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        told = [_unlike(value, one) for one in inside]
        return "" if "" in told else " or ".join(told)
    if origin is tuple:
        several = isinstance(value, list | tuple | np.ndarray)
        return "" if several and not any(_unlike(one, inside[0]) for one in value) else "a list of numbers"
    if origin is Literal:
        return "" if value in inside else f"one of {', '.join(map(str, inside))}"
    if kind is type(None):
        return "" if value is None else "None"
    if kind is bool:
        return "" if isinstance(value, bool) else "True or False"
    if kind is int:
        return "" if isinstance(value, int | np.integer) and not isinstance(value, bool) else "a whole number"
    if kind is float:
        number = isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)
        return "" if number and not math.isnan(value) else "a number"
    return "" if kind is not str or isinstance(value, str) else "text, or a list of names"


def _check(given: Any, what: str) -> None:
    """Numbers by source; whether they are finite and the sources known is asked where they are taken in."""
    if given is None:
        return
    if not isinstance(given, Mapping):
        raise UsageError(f"{what} must be numbers by source, like {{'web': 3.1, ...}}, not {type(given).__name__}.")
    for name, value in given.items():
        told = "excess" if what == "excess" else "loss"
        scalar = getattr(value, "ndim", 0) == 0 and hasattr(value, "__float__") and not isinstance(value, np.bool_)
        if isinstance(value, bool | str | bytes) or not scalar:
            raise UsageError(f"The {told} of '{name}' must be a number, not {value!r}.")
        if float(value) < 0:
            raise UsageError(f"The {told} of '{name}' is {float(value):g}: below 0. Give a mean loss, not its change.")
