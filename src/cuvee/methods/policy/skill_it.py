"""Skill-It: a graph of which domain helps which, measured before training; then the mixture follows the losses.

Chen et al., "Skill-it! A Data-Driven Skills Framework for Understanding and Training Language Models", NeurIPS 2023;
the online part as in HazyResearch/aioli. For each domain j a new model is trained for a while on j alone:

    G_ji = (L_i before - L_i after) / L_i before.

Then training begins anew with p_j = exp(eta sum_i G_ji) / Z, and after each of ``rounds`` stretches, from uniform,

    p_j = exp(eta sum_i G_ji S_i) / Z,    S_i: sum of loss i over the last ``window`` measurements.

Inputs: domains; held-out losses, on ``held`` of the examples. Cost: ``share`` of the training goes into the graph,
unless you give one; held-out losses 2 k times for it, and after each stretch.

Traps: the graph is of a new model and goes stale. The sum grows with the window, so eta and window belong together.
Domains of large loss dominate. The public code replaces an entry of the graph that is exactly 1 by 0.5; this does not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ...core import Card, Draw, Feedback, State
from ...errors import UsageError
from ...online import law
from ...online.mixture import Groups, MixturePolicy, Turn, missing_is_zero


@dataclass(frozen=True)
class SkillIt(MixturePolicy):
    """``graph``: G by rows, k * k numbers in the order of the domains' names [measured]; ``share``: of the training
    that measures it. ``eta``, ``window``, ``rounds``: see above. ``held``: share of the examples kept out of training.
    """

    rounds: int = 10
    eta: float = 0.2
    window: int = 3
    share: float = 0.2
    graph: tuple[float, ...] = ()
    held: float = 0.05

    restarts: ClassVar[bool] = True
    card: ClassVar[Card] = Card(
        summary="Short runs on each domain alone tell which helps which; the mixture follows the losses (Skill-It).",
        family="policy",
        needs=("domain",),
        cost="share of the training goes to k runs on single domains; held-out losses after every stretch",
        bibtex="""@inproceedings{chen2023skillit,
  author = {Chen, Mayee F. and Roberts, Nicholas and Bhatia, Kush and Wang, Jue and Zhang, Ce and Sala, Frederic and
            R\\'e, Christopher},
  title = {Skill-it! A Data-Driven Skills Framework for Understanding and Training Language Models},
  booktitle = {NeurIPS},
  year = {2023}
}""",
        evidence="the public code's proportions; claim online: not reproduced (5 seeds)",
        use_when="A graph of which domain helps which is at hand, or short runs are cheap.",
    )

    def __post_init__(self) -> None:
        if self.rounds < 1 or self.window < 1:
            raise UsageError("skill_it: rounds and window must be at least 1.")
        if not 0 < self.share < 1 or not 0 < self.held < 1 or not 0 <= self.eta < np.inf:
            raise UsageError("skill_it: share and held must be above 0 and below 1, and eta at least 0.")
        if not np.isfinite(self.graph).all():
            raise UsageError("skill_it: graph must be finite numbers.")

    def holds(self) -> float:
        return self.held

    def start(self, groups: Groups) -> State:
        k = len(groups)
        if len(self.graph) not in (0, k * k):
            raise UsageError(f"skill_it: graph must have {k} x {k} numbers, row by row, not {len(self.graph)}.")
        graph = np.array(self.graph, np.float64).reshape(k, k) if self.graph else np.zeros((k, k))
        known = np.array([k if self.graph else 0])
        seen: law.Floats = np.zeros((0, k))
        return {"graph": graph, "known": known, "seen": seen, "alone": known, "mixture": self.mixed(graph, np.ones(k))}

    def mixed(self, graph: law.Floats, losses: law.Floats) -> law.Floats:
        """The shares that follow from the graph and the losses, or sums of them."""
        k = len(graph)
        return law.tilted(np.full(k, 1.0 / k), law.gains(law.from_graph(graph, losses)), self.eta)

    def turn(self, state: State, epochs: float, draw: Draw) -> Turn:
        k, known = len(state["graph"]), int(state["known"][0])
        if known < k:
            length = self.share * epochs / k
            return Turn(law.probe(k, known, 1.0), length, ("validation",), length, mark=known)
        measured, left = not self.graph, epochs - float(state["done"][0])
        length = (1.0 - self.share * measured) * epochs / self.rounds
        again = left if measured and not len(state["seen"]) else 0.0
        return Turn(state["mixture"], length, ("validation",), again)

    def learn(self, state: State, turn: Turn, feedback: Feedback) -> State:
        assert feedback.before is not None and feedback.after is not None
        if turn.mark < 0:
            seen = np.concatenate([state["seen"], missing_is_zero(feedback.after)[None]])[-self.window :]
            return {**state, "seen": seen, "mixture": self.mixed(state["graph"], seen.sum(axis=0))}
        graph = state["graph"].copy()
        graph[turn.mark] = missing_is_zero((feedback.before - feedback.after) / feedback.before)
        found = {**state, "graph": graph, "known": state["known"] + 1}
        return {**found, "mixture": self.mixed(graph, np.ones(len(graph)))}
