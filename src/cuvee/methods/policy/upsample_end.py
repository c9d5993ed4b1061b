"""Domain upsampling at the end: the natural mix first, and for the last part a mix with small domains lifted.

Blakeney et al., "Does your data spark joy? Performance gains from domain upsampling at the end of training", 2024,
arXiv 2406.03476. For the first 1 - ``last`` of the training domains come by size; then the named ones together get
``share``, and the others the rest, each by size among its like. The paper finds 10 to 20 % of the training best at 7 B
parameters and 1 T tokens, with gains of 6 to 8 points on knowledge, mathematics and code. Its final proportions are not
repeated here; ``share`` is a choice of yours.

Inputs: domains. Cost: a sort a round. To tell "when" from "how much", compare with the same exposure spread over the
whole training. Traps: small domains are repeated, last * epochs * share / (their share) times; gains near a benchmark
may be contamination; the utility of one domain depends on the others in the last part.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ...core import Card, Draw, State
from ...errors import UsageError
from ...online.mixture import Groups, MixturePolicy, Turn, lifted, natural, phase


@dataclass(frozen=True)
class UpsampleEnd(MixturePolicy):
    """``domains``: names joined by +; by default those smaller than an equal share. ``share``: what they get together.
    ``last``: share of the training in which they get it.
    """

    domains: str = ""
    share: float = 0.5
    last: float = 0.2

    card: ClassVar[Card] = Card(
        summary="The natural mix first; small or named domains get a large share of the last part.",
        family="policy",
        needs=("domain",),
        cost="one sort per round",
        bibtex="""@article{blakeney2024spark,
  author = {Blakeney, Cody and Paul, Mansheej and Larsen, Brett W. and Owen, Sean and Frankle, Jonathan},
  title = {Does your data spark joy? Performance gains from domain upsampling at the end of training},
  journal = {arXiv preprint arXiv:2406.03476},
  year = {2024}
}""",
        evidence="shares by closed form; claim: not reproduced (5 seeds): no gain shows",
        use_when="You know which small domains matter, and the training's length is fixed beforehand.",
    )

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1 or not 0 < self.last <= 1:
            raise UsageError("upsample_end: share and last must be above 0 and at most 1.")

    def start(self, groups: Groups) -> State:
        return {"final": lifted(groups, self.domains, self.share, "upsample_end")}

    def turn(self, state: State, epochs: float, draw: Draw) -> Turn:
        part, length = phase(state, epochs, (1.0 - self.last,))
        return Turn(state["final"] if part else natural(state["sizes"]), length)
