"""DoGE: domains whose gradients point where the held-out loss falls get more weight; then training begins anew.

Fan, Pagliardini and Jaggi, "DoGE: Domain Reweighting with Generalization Estimation", ICML 2024; the update as in
HazyResearch/aioli, from the authors' code. A proxy is trained for ``proxy`` of the training (two thirds of that are the
gradients of scores) on equally many examples of every domain, whose losses count k w_j. After each of ``updates``
stretches, with g_j the gradient of domain j's part of it and v that of the mean held-out loss, both cut to norm 1,

    log w_j += step * clip(<g_j, v> / mean_i |g_i|, 0, 5),

normalised; then the model begins anew, for the rest, on the mean of w over all updates. With ``proxy=1`` nothing begins
anew: the one training there is follows w. ``step`` is the paper's learning rate over mu, 5e-4 / 0.01; there it falls
with the rate's schedule and every step has an update, here it stays and an update is a stretch.

With ``target``, domains that are named there are never trained on, and v is the gradient of their held-out loss alone:
the paper's generalisation to an unseen target. The others are numbered j then.

Inputs: domains; gradients on the stretch and on as many held-out examples. State: O(k). Cost: the proxy is thrown away,
and each update takes a gradient of every domain twice, which is counted.

Traps: nothing smooths w: a weight that has become very small needs as long to come back. Domains that teach quickly at
the beginning are not those that are needed at the end.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from ...core import Card, Draw, Feedback, State
from ...errors import UsageError
from ...online import law
from ...online.mixture import Groups, MixturePolicy, Turn


@dataclass(frozen=True)
class Doge(MixturePolicy):
    """``proxy``: share of the training, above 0; 1 is one training without an end. ``updates``, ``step``: see above.
    ``most``: where scores are cut. ``target``: domains to do well on without training on them, joined by + [all
    domains, and all are trained on]. ``held``: share of the examples kept out of training.
    """

    proxy: float = 0.3
    updates: int = 20
    step: float = 0.05
    most: float = 5.0
    target: str = ""
    held: float = 0.05

    restarts: ClassVar[bool] = True
    card: ClassVar[Card] = Card(
        summary="Lifts domains whose gradients point where the held-out loss falls, then trains anew (DoGE).",
        family="policy",
        needs=("domain",),
        cost="a proxy is trained and thrown away; a gradient of every domain, twice, at each update",
        bibtex="""@inproceedings{fan2024doge,
  author = {Fan, Simin and Pagliardini, Matteo and Jaggi, Martin},
  title = {DoGE: Domain Reweighting with Generalization Estimation},
  booktitle = {ICML},
  year = {2024}
}""",
        evidence="the public code's updates; claim online: not reproduced (5 seeds)",
        use_when="Gradients of single domains can be had, and the held-out domains are what you care about.",
    )

    def __post_init__(self) -> None:
        if not 0 < self.proxy <= 1 or self.updates < 1 or not 0 < self.held < 1:
            raise UsageError("doge: proxy must be in (0, 1], updates at least 1, and held above 0 and below 1.")
        if not (0 <= self.step < np.inf and 0 < self.most < np.inf):
            raise UsageError("doge: step must be at least 0, and most above 0.")

    def holds(self) -> float:
        return self.held

    def start(self, groups: Groups) -> State:
        k, trained = len(groups), ~groups.named(self.target, "doge")
        if not trained.any():
            raise UsageError("doge: target names every domain, so nothing is left to train on. Name fewer.")
        weights = {"mixture": trained / trained.sum(), "sum": np.zeros(k)}
        if self.target:
            weights["trained"] = trained
        return {**weights, "updates": np.zeros(1, np.int64), "part": np.zeros(1, np.int64)}

    def turn(self, state: State, epochs: float, draw: Draw) -> Turn:
        part, number = int(state["part"][0]), int(state["updates"][0])
        whole = self.proxy * epochs
        if number < self.updates or self.proxy == 1:
            trained = _trained(state)
            equal = trained / trained.sum()
            restart = whole * (part == 0 and self.proxy < 1)
            length = whole / self.updates / 3.0  # two thirds are the gradients of scores
            return Turn(equal, length, ("gradients",), restart, False, trained.sum() * state["mixture"], 1)
        left = max(epochs - float(state["done"][0]), 0.5 / state["sizes"].sum())
        return Turn(state["sum"] / number, left, restart=left * (part < 2), mark=2)

    def account(self, state: State, turn: Turn, counts: np.ndarray) -> State:
        return {**super().account(state, turn, counts), "part": np.array([turn.mark])}

    def learn(self, state: State, turn: Turn, feedback: Feedback) -> State:
        assert feedback.gradients is not None
        trained = _trained(state)
        score = law.from_gradients(_toward(feedback.gradients, trained), self.most)
        own = law.tilted(state["mixture"][trained], score, self.step)
        mixture: law.Floats = np.zeros(len(trained))
        mixture[trained] = law.shares(np.maximum(np.log(own), law.LOWEST))
        return {**state, "mixture": mixture, "sum": state["sum"] + mixture, "updates": state["updates"] + 1}


def _trained(state: State) -> npt.NDArray[np.bool_]:
    """The domains that are trained on, (k,)."""
    return state.get("trained", np.full(len(state["mixture"]), True))


def _toward(products: law.Floats, trained: npt.NDArray[np.bool_]) -> law.Floats:
    """Products of the trained domains' gradients and of the target's mean one, (2 s, 2 s) for s trained domains."""
    if trained.all():
        return products
    k, s = len(trained), int(trained.sum())
    there = ~trained & (np.diag(products)[k:] > 0)
    pick = np.zeros((2 * s, 2 * k))
    pick[np.arange(s), np.flatnonzero(trained)] = 1.0
    pick[s, k:] = there / max(int(there.sum()), 1)
    return pick @ products @ pick.T
