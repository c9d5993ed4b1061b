"""Aioli: short stretches on tilted mixtures measure, during training, what each domain does to each domain's loss.

Chen et al., "Aioli: A Unified Optimization Framework for Language Model Data Mixing", 2024, arXiv 2411.05735; public
code: HazyResearch/aioli. The training is cut into ``rounds``. Each begins with a sweep: ``sweeps`` random orders of the
k domains; for each domain j a stretch on the mixture with ``factor`` on j and the rest spread evenly, before and after
which all held-out losses are measured. The mean falls, solved for the mixtures, are A
(:func:`cuvee.online.law.from_sweep`), shifted to be non-negative and scaled to sum to one. Then, for the rest of the
round,

    p_j <- p_j exp(eta sum_i A_ij) / Z,                      without ``ema``: over rounds the steps add up;
    M <- (1 - ema) A + ema M,  p_j = exp(eta sum_i M_ij) / Z,    with it: from uniform each time.

Shares that another method found on shorter runs are a ``prior``: the training begins on them, for ``prior_share`` of it
(``prior_steps`` in the public code), and then the first round from p = 1/k.

Inputs: domains; held-out losses, on ``held`` of the examples. State: O(k^2). Cost: the sweeps are training on mixtures
that nobody wants, ``share`` of it, and every stretch needs the losses of all held-out examples: k * sweeps * rounds
times. Both are counted.

Details: the length of a stretch follows from ``share``; the rest of a round is never shorter than what its sweep cost,
measuring included, and no sweep begins where as much could not follow. Where the noise of a loss is s and falls differ
by d, (s / d)^2 sweeps are needed: one outlier makes all other entries alike, because the smallest becomes 0. Random
orders, anew in each sweep, cancel what falls anyway.

Traps: with ``ema`` the largest share is at most e^eta times the smallest, 1.22 at 0.2: it hardly leaves uniform. The
paper's own table says that a lower mean loss went with worse benchmarks (r = 0.53 of perplexity and accuracy).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ...core import Card, Draw, Feedback, State
from ...errors import UsageError
from ...online import law
from ...online.law import Floats
from ...online.mixture import Groups, MixturePolicy, Turn, missing_is_zero

PRIOR = -2  # marks the turn on the prior


@dataclass(frozen=True)
class Aioli(MixturePolicy):
    """``rounds``, ``sweeps``, ``factor``, ``eta``, ``ema``: see above. ``share``: of a round that is swept.
    ``diagonal``: the ablation in which domains help themselves alone. ``prior``: shares by domain, in the order of
    their names, and ``prior_share``: see above. ``held``: share of the examples kept out of training to measure on.
    """

    rounds: int = 5
    sweeps: int = 2
    factor: float = 0.75
    eta: float = 0.5
    ema: float | None = None
    share: float = 0.4
    diagonal: bool = False
    prior: tuple[float, ...] = ()
    prior_share: float = 0.2
    held: float = 0.05

    card: ClassVar[Card] = Card(
        summary="Measures during training what each domain does to each loss, and tilts the mixture by it (Aioli).",
        family="policy",
        needs=("domain",),
        cost="share of the training goes to sweeps; held-out losses after each of rounds * sweeps * k stretches",
        bibtex="""@article{chen2024aioli,
  author = {Chen, Mayee F. and Hu, Michael Y. and Lourie, Nicholas and Cho, Kyunghyun and R\\'e, Christopher},
  title = {Aioli: A Unified Optimization Framework for Language Model Data Mixing},
  journal = {arXiv preprint arXiv:2411.05735},
  year = {2024}
}""",
        evidence="the public code's matrices and proportions; claim online: not reproduced (5 seeds)",
        use_when="Measuring is cheap beside training (a large batch, a small held-out set), and nobody knows which "
        "domain helps which.",
    )

    def __post_init__(self) -> None:
        if self.rounds < 1 or self.sweeps < 1:
            raise UsageError("aioli: rounds and sweeps must be at least 1.")
        if not (0 < self.share < 1 and 0 < self.held < 1 and 0 < self.prior_share < 1):
            raise UsageError("aioli: share, held and prior_share must be above 0 and below 1.")
        if not (0 <= self.eta < np.inf) or (self.ema is not None and not 0 <= self.ema < 1):
            raise UsageError("aioli: eta must be at least 0, and ema at least 0 and below 1.")

    def holds(self) -> float:
        return self.held

    def start(self, groups: Groups) -> State:
        k = len(groups)
        law.probe(k, 0, self.factor)
        prior = np.asarray(self.prior or [1.0] * k, np.float64)
        if prior.shape != (k,) or not (prior > 0).all():
            raise UsageError(f"aioli: prior must be {k} numbers above 0, one for each domain.")
        none = np.zeros((k, k))
        counters = {
            "round": np.zeros(1, np.int64),
            "step": np.zeros(1, np.int64),
            "begun": np.zeros(1),
            "swept": np.zeros(1),
        }
        return {**counters, "mixture": prior / prior.sum(), "drops": none, "squares": none, "matrix": none}

    def turn(self, state: State, epochs: float, draw: Draw) -> Turn:
        k, step, number = len(state["mixture"]), int(state["step"][0]), int(state["round"][0])
        first = self.prior_share * epochs if self.prior else 0.0
        if first and not state["done"].any():
            return Turn(state["mixture"], first, mark=PRIOR)
        whole, stretches = (epochs - first) / self.rounds, len(state["mixture"]) * self.sweeps
        left = epochs - float(state["done"][0])
        if step == 0 and left < 2.0 * float(state["swept"][0]):  # too late to act on another sweep
            return Turn(state["mixture"], max(left, 0.5 / state["sizes"].sum()))
        if step < stretches:
            sweep, place = divmod(step, k)
            order = np.argsort(draw.uniform(f"aioli sweep {number} {sweep}", np.arange(k, dtype=np.uint64)))
            group = int(order[place])
            mixture = law.probe(k, group, self.factor)
            return Turn(mixture, self.share * whole / stretches, ("validation",), mark=group)
        spent = float(state["done"][0] - state["begun"][0])
        return Turn(state["mixture"], max(whole - spent, spent))

    def account(self, state: State, turn: Turn, counts: np.ndarray) -> State:
        found = super().account(state, turn, counts)
        if turn.mark >= 0:
            return found
        if turn.mark == PRIOR:
            return {**found, "begun": found["done"], "mixture": np.full(len(counts), 1.0 / len(counts))}
        none = np.zeros_like(state["drops"])
        after = {"round": state["round"] + 1, "step": np.zeros(1, np.int64), "begun": found["done"]}
        return {**found, **after, "drops": none, "squares": none}

    def learn(self, state: State, turn: Turn, feedback: Feedback) -> State:
        assert feedback.before is not None and feedback.after is not None
        drop = missing_is_zero(feedback.before - feedback.after)
        drops, squares, step = state["drops"].copy(), state["squares"].copy(), state["step"] + 1
        drops[:, turn.mark] += drop / self.sweeps
        squares[:, turn.mark] += drop**2 / self.sweeps
        found = {**state, "drops": drops, "squares": squares, "step": step}
        if int(step[0]) < len(drops) * self.sweeps:
            return found
        found["swept"] = state["done"] - state["begun"]
        matrix = law.normalised(law.from_sweep(drops, self.factor, self.diagonal))
        if self.ema is None:
            return {**found, "matrix": matrix, "mixture": law.tilted(state["mixture"], law.gains(matrix), self.eta)}
        if int(state["round"][0]):
            matrix = (1.0 - self.ema) * matrix + self.ema * state["matrix"]
        uniform: Floats = np.full(len(drops), 1.0 / len(drops))
        return {**found, "matrix": matrix, "mixture": law.tilted(uniform, law.gains(matrix), self.eta)}
