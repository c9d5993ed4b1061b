"""DoReMi: domains on which a proxy is far above a reference model get more weight; then training begins anew.

Xie et al., "DoReMi: Optimizing Data Mixtures Speeds Up Language Model Pretraining", NeurIPS 2023; public code:
sangmichaelxie/doremi. Three trainings of one model, one after the other:

1. the reference, on the natural mix, for ``reference`` of the training;
2. the proxy, for ``proxy`` of it (a quarter of that is the reference's reading), on natural samples whose losses count
   w_i / (natural share of i). After each of ``updates`` stretches, with e_i the mean over examples of max(loss - loss
   of the reference, 0) in domain i (its last value where a stretch had none), log w_i += eta e_i, normalised, and w <-
   (1 - c) w + c / k, c = ``smoothing``;
3. the model that is kept, for the rest, on the mean of w over all updates.

Inputs: domains, the losses of the run and a reference model's. State: O(k); the trainer keeps the reference. Cost: 1
and 2 are trained and thrown away, and the reference reads what the proxy trains on.

Details: w begins uniform, as in the paper (the public code: at the reference's weights), e at 0 (the public code: at
the logarithm of the vocabulary's size, which makes a domain jump that the first batch lacks). The paper cuts each
*token's* excess at 0; a trainer of ours knows the means of examples, and cuts these. An update is a stretch here, a
step there. Weights of losses have mean 1 over a stretch; the public code divides each batch by the sum of its weights,
so that batches without rare domains count as much as others. Further rounds, with the output as the reference's mix
until it stays, are not run.

Traps: it wants no domain's loss far above what the reference can do; it knows no downstream target. Noise costs the
reference as much as the proxy, so a domain of noise is not lifted, but one that the reference has hardly seen is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ...core import Card, Draw, Feedback, State
from ...errors import UsageError
from ...online import law
from ...online.mixture import Groups, MixturePolicy, Turn, natural


@dataclass(frozen=True)
class Doremi(MixturePolicy):
    """``reference``, ``proxy``: shares of the training; ``updates``, ``eta``, ``smoothing``: see above."""

    reference: float = 0.2
    proxy: float = 0.2
    updates: int = 20
    eta: float = 1.0
    smoothing: float = 1e-3

    restarts: ClassVar[bool] = True
    card: ClassVar[Card] = Card(
        summary="Lifts domains on which a proxy is far above a reference model, then trains anew (DoReMi).",
        family="policy",
        needs=("domain",),
        cost="reference and proxy are trained and thrown away: two fifths of the training",
        bibtex="""@inproceedings{xie2023doremi,
  author = {Xie, Sang Michael and Pham, Hieu and Dong, Xuanyi and Du, Nan and Liu, Hanxiao and Lu, Yifeng and
            Liang, Percy and Le, Quoc V. and Ma, Tengyu and Yu, Adams Wei},
  title = {DoReMi: Optimizing Data Mixtures Speeds Up Language Model Pretraining},
  booktitle = {NeurIPS},
  year = {2023}
}""",
        evidence="the public code's updates, token by token and by domain; claim online: not reproduced (5 seeds)",
        use_when="You want no domain left behind and can afford a reference and a proxy.",
    )

    def __post_init__(self) -> None:
        if not (self.reference > 0 and self.proxy > 0 and self.reference + self.proxy < 1):
            raise UsageError("doremi: reference and proxy must be above 0, and together below 1.")
        if self.updates < 1 or not 0 <= self.eta < np.inf or not 0 <= self.smoothing < 1:
            raise UsageError("doremi: updates must be at least 1, eta at least 0, smoothing at least 0 and below 1.")

    def start(self, groups: Groups) -> State:
        k = len(groups)
        nothing: law.Floats = np.zeros(k)
        weights = {"mixture": np.full(k, 1.0 / k), "excess": nothing, "sum": nothing}
        return {**weights, "updates": np.zeros(1, np.int64), "part": np.zeros(1, np.int64)}

    def turn(self, state: State, epochs: float, draw: Draw) -> Turn:
        part, done, sizes = int(state["part"][0]), float(state["done"][0]), state["sizes"]
        if part == 0:
            length = self.reference * epochs
            return Turn(natural(sizes), length, restart=length, reference=True, mark=1)
        if part < 3 and (part == 1 or int(state["updates"][0]) < self.updates):
            whole = self.proxy * epochs
            weight = state["mixture"] / natural(sizes)
            length = 0.75 * whole / self.updates  # the reference reads all that is trained on
            return Turn(natural(sizes), length, ("excess",), whole * (part == 1), False, weight, 2)
        left = max(epochs - done, 0.5 / sizes.sum())
        return Turn(state["sum"] / state["updates"][0], left, restart=left * (part < 3), mark=3)

    def account(self, state: State, turn: Turn, counts: np.ndarray) -> State:
        return {**super().account(state, turn, counts), "part": np.array([turn.mark])}

    def learn(self, state: State, turn: Turn, feedback: Feedback) -> State:
        assert feedback.excess is not None
        excess = np.where(np.isnan(feedback.excess), state["excess"], feedback.excess)
        mixture = law.smoothed(law.tilted(state["mixture"], excess, self.eta), self.smoothing)
        learned = {"mixture": mixture, "excess": excess, "sum": state["sum"] + mixture}
        return {**state, **learned, "updates": state["updates"] + 1}
