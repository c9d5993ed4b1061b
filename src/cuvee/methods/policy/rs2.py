"""RS2: a fresh random subset in every round; the baseline that dynamic pruning has to beat.

Okanovic et al., "Repeated Random Sampling for Minimizing the Time-to-Accuracy of Learning", ICLR 2024; public code:
PatrikOkanovic/RS2. With N examples, a round trains on k = round(fraction N) of them, halves to even, at least one:

* ``without`` replacement: k at a time along a random order of all examples, and a new order when it is used up, so
  every example comes once in 1 / fraction rounds;
* ``with``: a uniform subset that owes nothing to earlier rounds. Within a round no example repeats in either mode.

Where k does not divide N, a round has to wrap. ``wrap=new``: the rest of the old order, then the new order without the
examples that the round has already; these come next in the new order, so every order is still walked through whole.
``wrap=official``, as in the public code: the rest, and then the front of the same used order, k - 1 examples together.

Orders sort keyed draws, and round t is a function of the keys, the seed and t: there is no state. A round stands for
k / N passes, so at equal ``epochs`` RS2 costs what uniform shuffling costs; the published schedule (R rounds) is
epochs = R * fraction where fraction N is whole (else the rounded k decides). Inputs: none. Cost: a sort of all keys per
round, and with fractions above a half that do not divide N a sort for every earlier pass as well.

Traps: over time it sees all data, so it saves no storage and no labels. Comparisons with a subset chosen once need
equal steps, and the scoring's cost counted. The last batch of a small round is ragged. Examples of equal key stand
beside each other.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import numpy.typing as npt

from ...core import Card, Draw, Examples, Policy, Round, State
from ...errors import UsageError

Places = npt.NDArray[np.int64]
Orders = Callable[[int], Places]
"""Number of a pass, from 0 -> the places of all examples in that pass's random order."""


def wrapped_new(number: int, n: int, k: int, orders: Orders) -> Places:
    """Round ``number``: places ``number * k`` to ``(number + 1) * k`` of all passes in a row, wrapped by our rule."""
    begin, end = number * k, (number + 1) * k
    first, last = begin // n, (end - 1) // n
    # a pass differs from its random order in its first k places at most, and then only if the pass before ended in the
    # middle of a round; so one pass back is far enough, unless these places reach into what is left of a pass
    one = first if (2 * k <= n or first * n % k == 0) else 0
    order = orders(one)
    if one and one * n % k:
        order = _after(orders(one - 1), order, n, k, one)
    while one < first:
        one += 1
        order = _after(order, orders(one), n, k, one)
    if last == first:
        return order[begin - first * n : end - first * n]
    return np.concatenate([order[begin - first * n :], _after(order, orders(last), n, k, last)[: end - last * n]])


def _after(before: Places, order: Places, n: int, k: int, number: int) -> Places:
    """The random order of pass ``number``, with what its first round already has put behind that round."""
    rest = number * n % k  # of the pass before, in the round that wraps
    if not rest:
        return order
    has = np.zeros(n, bool)
    has[before[n - rest :]] = True
    head = order[~has[order]][: k - rest]
    has[:] = False
    has[head] = True
    return np.concatenate([head, order[~has[order]]])


def wrapped_official(number: int, n: int, k: int, orders: Orders) -> Places:
    """Round ``number`` by the public code's rule: its end moves on by k modulo n + 1."""
    rounds = -(-n // k)
    order, begin = orders(number // rounds), number % rounds * k
    return order[begin : begin + k] if begin + k <= n else np.concatenate([order[begin:], order[: begin + k - n - 1]])


@dataclass(frozen=True)
class Rs2(Policy):
    """``fraction``: of the examples in a round, above 0 and at most 1. ``wrap`` matters to mode ``without`` alone."""

    fraction: float = 0.1
    mode: Literal["without", "with"] = "without"
    wrap: Literal["new", "official"] = "new"

    card: ClassVar[Card] = Card(
        summary="A fresh random subset in every round (RS2), walking through all examples or drawn anew.",
        family="policy",
        needs=(),
        cost="one sort per round; training costs what uniform shuffling does at equal passes",
        bibtex="""@inproceedings{okanovic2024rs2,
  author = {Okanovic, Patrik and Waleffe, Roger and Mageirakos, Vasilis and Nikolakakis, Konstantinos and
            Karbasi, Amin and Kalogerias, Dionysis and G\\"urel, Nezihe Merve and Rekatsinas, Theodoros},
  title = {Repeated Random Sampling for Minimizing the Time-to-Accuracy of Learning},
  booktitle = {ICLR},
  year = {2024}
}""",
        evidence="the public code's rounds, both modes; claim: reproduced (10 seeds)",
        use_when="You judge a policy or a selection that leaves examples out: at equal steps, this is what it has to "
        "beat.",
    )

    def __post_init__(self) -> None:
        if not 0 < self.fraction <= 1:
            raise UsageError(f"rs2: fraction must be above 0 and at most 1, not {self.fraction}.")

    def size(self, n: int) -> int:
        """Examples in a round."""
        return max(1, round(self.fraction * n))

    def init(self, examples: Examples) -> State:
        return {}

    def propose(self, state: State, examples: Examples, number: int, epochs: float, draw: Draw) -> Round:
        n, k = len(examples.key), self.size(len(examples.key))

        def orders(which: int) -> Places:
            return np.argsort(draw.uniform(f"rs2 {self.mode} {which}", examples.key), kind="stable")

        if self.mode == "with":
            order = orders(number)[:k]
        else:
            order = (wrapped_new if self.wrap == "new" else wrapped_official)(number, n, k, orders)
        return Round(order, np.ones(len(order)), len(order) / n)
