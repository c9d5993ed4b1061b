"""What a loop of somebody's own may get wrong in the arguments of :class:`cuvee.OnlineMix`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import numpy as np
import numpy.typing as npt

from ..core import State
from ..errors import UsageError
from .law import LOWEST, Floats

Numbers = Mapping[str, float]


def typed(settings: Mapping[str, Any], kind: type, policy: str) -> dict[str, Any]:
    """Settings of a policy, with lists of names joined by +.

    Raises:
        UsageError: a value is not of its parameter's kind. (Whether there is such a parameter is asked where the policy
            is made.)
    """
    hints = get_type_hints(kind)
    found = {}
    for name, value in settings.items():
        hint = hints.get(name)
        if hint is str and isinstance(value, list | tuple) and all(isinstance(one, str) for one in value):
            value = "+".join(value)
        if hint is not None and not isinstance(value, str) and (wanted := _unlike(value, hint)):
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


def check_numbers(given: Any, what: str) -> None:
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


def check_learned(memory: State, policy: str, sources: Sequence[str], before: Floats | None) -> None:
    """That a policy made numbers of what it was told: falls relative to a loss of 0 are none.

    Args:
        memory: its state after the turn. ``before``: the held-out losses before it, (k,), if they are known.

    Raises:
        UsageError: something is not finite; names a source whose loss was 0.
    """
    if all(np.isfinite(one).all() for one in memory.values() if one.dtype.kind == "f"):
        return
    zero = [] if before is None else [name for name, loss in zip(sources, before.tolist(), strict=True) if loss == 0]
    why = f": '{zero[0]}' was at 0 before the turn, and the policy looks at falls relative to that" if zero else ""
    raise UsageError(
        f"{policy} can make nothing of these losses{why}. Give losses that stay above 0 and far below 1e300, or take "
        "another policy."
    )


def loss_weights(given: Floats | None, counts: npt.NDArray[np.int64]) -> Floats:
    """Weights of the sources' losses with mean 1 over a turn of these units, (k,); none is below exp(``LOWEST``) of the
    largest, so that a turn of sources that count for nothing has weights, too."""
    if given is None:
        return np.ones(len(counts))
    weight = np.maximum(given, math.exp(LOWEST) * given.max())
    return np.asarray(weight / (weight @ counts / counts.sum()), np.float64)
