"""Two-set training: a small fixed part of the examples is repeated often, the rest goes by as usual.

Charton and Kempe, "Emergent properties with repeated examples", 2024, arXiv 2410.07041. A random set S of s n examples
is fixed once; each example of a batch is one of S with probability p, else one of the rest. On tasks with generated
examples (greatest common divisors, modular multiplication, eigenvalues) this can beat single use at equal steps. There
is **no evidence for natural text**: an experiment, not a recommendation.

S are the examples of the smallest keyed draws, so neither order nor files matter. Its examples, and the rest, are
walked through in random orders, and S at an even pace, where the paper draws with replacement: the share of S is p at
every prefix, and each of S is repeated p epochs / s times, within one. Inputs: none. Cost: a sort a round.

Trap: p and s depend on the task: S should be so small that it is repeated tens of times, and not yet overfitted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ...core import Card, Draw, Examples, State
from ...engine.draw import uniform
from ...errors import UsageError
from ...online.mixture import Groups, MixturePolicy, Turn, phase


@dataclass(frozen=True)
class TwoSet(MixturePolicy):
    """``p``: share of the presentations that are of S, 0 to below 1; ``s``: share of the examples that S is; ``seed``:
    of the choice of S.
    """

    p: float = 0.25
    s: float = 0.02
    seed: int = 0

    card: ClassVar[Card] = Card(
        summary="A small fixed part of the examples is repeated often, the rest as usual (two-set training).",
        family="policy",
        needs=(),
        cost="one sort per round",
        bibtex="""@article{charton2024emergent,
  author = {Charton, Fran\\c{c}ois and Kempe, Julia},
  title = {Emergent properties with repeated examples},
  journal = {arXiv preprint arXiv:2410.07041},
  year = {2024}
}""",
        evidence="repetitions by closed form; claim: direction only (5 seeds), by 0.001; nothing known for text",
        use_when="You study repetition on generated examples; for text nothing speaks for it.",
    )

    def __post_init__(self) -> None:
        if not 0 <= self.p < 1 or not 0 < self.s < 1:
            raise UsageError("two_set: p must be at least 0, s above 0, and both below 1.")

    def init(self, examples: Examples) -> State:
        n = len(examples.key)
        size = min(max(1, round(self.s * n)), max(1, n - 1))
        place = np.ones(n, np.int64)
        place[np.argsort(uniform(self.seed, "two_set", examples.key), kind="stable")[:size]] = 0
        groups = Groups(("repeated", "rest")[: 1 + (size < n)], np.array([size, n - size][: 1 + (size < n)]))
        return {**self.fresh(groups), "group": place}

    def turn(self, state: State, epochs: float, draw: Draw) -> Turn:
        mixture = np.array([self.p, 1.0 - self.p]) if len(state["sizes"]) > 1 else np.ones(1)
        return Turn(mixture, phase(state, epochs)[1])
