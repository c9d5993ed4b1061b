"""The contract of static mixes: from the sizes of the sources and a budget to the tokens asked of each."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from ..core import Card

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Sources:
    """What can be mixed, in one fixed order (the names sorted).

    Attributes:
        names: (k,), different ones.
        tokens, documents: int64, (k,): what each holds.
    """

    names: tuple[str, ...]
    tokens: npt.NDArray[np.int64]
    documents: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.names)

    def natural(self) -> Floats:
        """Each source's share of all tokens, float64, (k,), summing to one."""
        return self.tokens / self.tokens.sum()


class Mix(ABC):
    """How much of each source, from sizes alone. Subclasses are frozen dataclasses of plain parameters."""

    card: ClassVar[Card]

    @abstractmethod
    def allot(self, sources: Sources, budget: int) -> Floats:
        """Tokens of each source in a run of ``budget`` tokens: float64, (k,), not negative.

        They sum to the budget, or to less if the rule's own bounds on repetition leave some of it unspent. More than a
        source holds means that it is repeated.
        """

    def shares(self, sources: Sources) -> Sequence[Fraction] | None:
        """The shares behind :meth:`allot` as exact numbers up to a factor, (k,), where the rule has them; else None.

        Doubles decide wrongly who gets the last unit where exact shares tie.
        """
        return None


def poured(target: Floats, caps: Floats, total: float) -> Floats:
    """The allocation nearest to ``target`` in Kullback-Leibler divergence that no cap is above: min(cap, s target).

    Args:
        target: float64, (k,), not negative; a source of target 0 gets nothing.
        caps: float64, (k,), not negative; infinity where there is none.
        total: what to spend.

    Returns:
        float64, (k,); sums to ``total``, or to the caps of all sources with a target if that is less.
    """
    found = np.where(target > 0, np.minimum(caps, np.inf), 0.0)
    if found.sum() <= total:
        return found
    # The source that meets its cap at the smallest scale is capped first.
    with np.errstate(over="ignore"):
        scale = np.divide(caps, target, out=np.full(len(target), np.inf), where=target > 0)
    order = np.argsort(scale, kind="stable")
    # sums from the end: subtracting the large targets one by one would lose the small ones
    left = np.cumsum(target[order][::-1])[::-1]
    spent = np.concatenate([[0.0], np.cumsum(found[order])[:-1]])
    with np.errstate(over="ignore", invalid="ignore"):  # scales beyond every total belong to no first cap
        enough = (scale[order] * left >= total - spent) & (target[order] > 0)
    open_from = int(np.argmax(enough))
    # those before stay at their caps whatever rounding makes of the level; ratios, since targets may be tiny
    rest = order[open_from:]
    found[rest] = np.minimum(found[rest], max(total - spent[open_from], 0.0) * (target[rest] / left[open_from]))
    return found
