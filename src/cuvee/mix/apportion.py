"""Exact integer apportionment: whole tokens, documents or sequences of a total, in proportion to weights.

Largest remainder (Hamilton) stays within one unit of the exact shares, but a larger total can take a unit away from a
source: weights 6, 6, 2 give 4, 4, 2 of 10 and 5, 5, 1 of 11. Divisor methods never do, so nested plans want one of
them, but may stray further than one unit. With s units given so far, the next goes to the largest

    webster a / (2s + 1)    dhondt a / (s + 1)    huntington_hill a / sqrt(s (s + 1))    adams a / s

and the quota method (Balinski and Young, "The Quota Method of Apportionment", 1975) is dhondt among the sources that a
further unit leaves below their upper quota: both properties at once. All arithmetic is exact: weights are taken as the
fractions that they are, so a float 0.1 is 3602879701896397 / 2^55; give text or ``Fraction`` for a tenth.

Cost: O(k log k) for largest remainder, O(t k) for the others with t the units beyond their start: meant for sequences
and batches rather than for tokens.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from ..errors import UsageError

Weight = Fraction | int | float | str
METHODS = ("largest_remainder", "webster", "dhondt", "huntington_hill", "adams", "quota")
_INFINITE = Fraction(1 << 200)


def exact(weights: Sequence[Weight]) -> list[Fraction]:
    """The weights as fractions.

    Raises:
        UsageError: one is no number, not finite or negative, or all are zero.
    """
    found = []
    for weight in weights:
        try:
            found.append(Fraction(weight))
        except (ValueError, OverflowError, ZeroDivisionError, TypeError):
            raise UsageError(f"The weight {weight!r} is not a finite number of at least 0.") from None
    if any(weight < 0 for weight in found):
        raise UsageError(f"The weight {float(min(found)):g} is negative. Weights are numbers of at least 0.")
    if not any(found):
        raise UsageError("All weights are zero, so nothing can be mixed. Give at least one source a weight above 0.")
    return found


def apportion(weights: Sequence[Weight], total: int, method: str = "largest_remainder") -> npt.NDArray[np.int64]:
    """Whole units of ``total`` for each source: int64, (k,), summing to ``total``. Ties go to the earlier source.

    Args:
        weights: not negative, not all zero; need not sum to one.
        method: one of ``METHODS``.
    """
    shares = exact(weights)
    if total < 0:
        raise UsageError(f"A total of {total} cannot be apportioned. Give one of at least 0.")
    if method == "largest_remainder":
        return np.array(_largest_remainder(shares, total), np.int64)
    if method not in METHODS:
        raise UsageError(f"No method of apportionment is called '{method}'. There are: {', '.join(METHODS)}.")
    return np.array(_one_by_one(shares, total, method), np.int64)


def _largest_remainder(shares: list[Fraction], total: int) -> list[int]:
    whole = sum(shares)
    quotas = [share * total / whole for share in shares]
    found = [int(quota) for quota in quotas]
    order = sorted(range(len(shares)), key=lambda at: found[at] - quotas[at])
    for at in order[: total - sum(found)]:
        found[at] += 1
    return found


def _one_by_one(shares: list[Fraction], total: int, method: str) -> list[int]:
    """Unit after unit to the largest priority, by exact comparison of its square where a root is taken."""
    priority: Callable[[Fraction, int], Fraction] = {
        "webster": lambda a, s: a / (2 * s + 1),
        "dhondt": lambda a, s: a / (s + 1),
        "quota": lambda a, s: a / (s + 1),
        "adams": lambda a, s: a / s if s else a * _INFINITE,
        "huntington_hill": lambda a, s: a * a / (s * (s + 1)) if s else a * a * _INFINITE,
    }[method]
    whole = sum(shares)
    found = [0] * len(shares)
    given = 0
    if method != "quota":  # a divisor method gives at least this much: begin there instead of at nothing
        found = [max(0, math.floor(share * total / whole) - len(shares)) for share in shares]
        found = found if _consistent(shares, found, priority) else [0] * len(shares)
        given = sum(found)
    ranks = [priority(share, had) for share, had in zip(shares, found, strict=True)]
    for unit in range(given + 1, total + 1):
        open_to = [at for at in range(len(shares)) if shares[at] > 0]
        if method == "quota":
            open_to = [at for at in open_to if found[at] < shares[at] * unit / whole]
        best = max(open_to, key=lambda at: (ranks[at], -at))
        found[best] += 1
        ranks[best] = priority(shares[best], found[best])
    return found


def _consistent(shares: list[Fraction], found: list[int], priority: Callable[[Fraction, int], Fraction]) -> bool:
    """Whether a divisor method passes through these counts: every unit given ranked above every one that was not."""
    given = [priority(share, had - 1) for share, had in zip(shares, found, strict=True) if had]
    coming = [priority(share, had) for share, had in zip(shares, found, strict=True) if share]
    return not given or min(given) > max(coming)


def apportion_capped(
    weights: Sequence[Weight], total: int, caps: Sequence[int | None]
) -> tuple[npt.NDArray[np.int64], int]:
    """Largest remainder under upper bounds: what a capped source cannot take goes to the others by their weights.

    Args:
        caps: the most units of each source; None for no bound.

    Returns:
        int64, (k,), and the shortfall: what no source could take. It is never hidden by scaling.
    """
    shares = exact(weights)
    found = [0] * len(shares)
    open_to = [at for at, share in enumerate(shares) if share > 0]
    left = total
    while open_to:
        whole = sum(shares[at] for at in open_to)
        full = [at for at in open_to if (cap := caps[at]) is not None and shares[at] * left >= cap * whole]
        if not full:
            for at, units in zip(open_to, _largest_remainder([shares[at] for at in open_to], left), strict=True):
                found[at] = units
            return np.array(found, np.int64), 0
        for at in full:
            found[at] = caps[at] or 0
            left -= found[at]
        open_to = [at for at in open_to if at not in full]
    return np.array(found, np.int64), left
