"""Equitable budgets: each domain gets what its learning curve and its cost ask for, measured as training goes on.

The problem is that of adaptive sampling for equitable data collection (Cai, Encarnacion, Chern, Corbett-Davies, Bogen,
Bergman and Goel, "Adaptive Sampling Strategies to Construct Equitable Training Datasets", FAccT 2022, arXiv
2202.01327); the algorithm here is a derivation of ours, in :mod:`cuvee.online.budget`. In four turns of equal shares
every domain's held-out loss is measured at four sizes; then, before each of ``rounds`` turns, curves err = a n^(-b) + e
are fitted to all measurements so far, n the examples that a domain has been given, and the turn's examples go where the
welfare

    (mean_g loss_g^power)^(1 / power)

falls most: power 1 is the mean over domains, a large one the worst domain. No domain gets less than ``least`` times an
equal share, and each is believed by an optimistic fit (0.8 quantile of the gain over 12 resamples).

Inputs: domains; held-out losses. Cost: curves are fitted anew in each turn, some 10 ms a domain. To collect data rather
than to train, with prices per example, call :func:`cuvee.online.budget.allocate` in a loop of yours: here ``costs``
shape the shares alone, the turns are as many examples as without them, and no budget of costs is kept.

Traps: in training all domains share one model, so a loss falls with other domains' examples too, and with time; the
curve takes all of it for the domain's own, unless ``shared``, which learns nothing where domains grow in equal parts. A
domain of high irreducible loss is the worst for ever: a large power spends much on it as long as it falls at all.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ...core import Card, Draw, Feedback, State
from ...errors import UsageError
from ...online import budget, sharing
from ...online.mixture import Groups, MixturePolicy, Turn


@dataclass(frozen=True)
class Equitable(MixturePolicy):
    """``power``: of the welfare, 1 to 100. ``costs``: of an example of each domain, in the order of their names [1];
    they shape shares, and no budget of them is kept.
    ``rounds``: turns after the four first, which take ``explore`` of the training. ``least``: of an equal share.
    ``held``: share of the examples kept out of training. ``shared``: curves in which other domains' examples count by a
    fitted part (:mod:`cuvee.online.sharing`).
    """

    power: float = 2.0
    costs: tuple[float, ...] = ()
    rounds: int = 8
    explore: float = 0.3
    least: float = 0.1
    held: float = 0.05
    shared: bool = False

    card: ClassVar[Card] = Card(
        summary="Each domain gets what its learning curve and cost ask for, for the mean or the worst loss.",
        family="policy",
        needs=("domain",),
        cost="held-out losses at every turn, and a fit of k curves",
        bibtex="""@inproceedings{cai2022adaptive,
  author = {Cai, William and Encarnacion, Ro and Chern, Bobbie and Corbett-Davies, Sam and Bogen, Miranda and
            Bergman, Stevie and Goel, Sharad},
  title = {Adaptive Sampling Strategies to Construct Equitable Training Datasets},
  booktitle = {FAccT},
  year = {2022}
}""",
        evidence="closed form of the allocation, regret on planted curves; claim: not reproduced (8 seeds)",
        use_when="Domains or groups should all become good, and some learn slowly or cost more.",
    )

    def __post_init__(self) -> None:
        if not 1 <= self.power <= 100 or self.rounds < 1:
            raise UsageError("equitable: power must be from 1 to 100, and rounds at least 1.")
        if not (0 < self.explore < 1 and 0 <= self.least <= 1 and 0 < self.held < 1):
            raise UsageError("equitable: explore and held must be above 0 and below 1, least from 0 to 1.")
        if not all(0 < one < np.inf for one in self.costs):
            raise UsageError("equitable: costs must be numbers above 0.")

    def holds(self) -> float:
        return self.held

    def start(self, groups: Groups) -> State:
        k = len(groups)
        if len(self.costs) not in (0, k):
            raise UsageError(f"equitable: costs must be {k} numbers, one for each domain, not {len(self.costs)}.")
        return {"given": np.zeros((0, k)), "losses": np.zeros((0, k)), "mixture": np.full(k, 1.0 / k)}

    def turn(self, state: State, epochs: float, draw: Draw) -> Turn:
        early = len(state["losses"]) < budget.FEWEST
        share = self.explore / budget.FEWEST if early else (1.0 - self.explore) / self.rounds
        return Turn(state["mixture"], share * epochs, ("validation",))

    def learn(self, state: State, turn: Turn, feedback: Feedback) -> State:
        assert feedback.after is not None
        given = np.concatenate([state["given"], state["taken"][None].astype(np.float64)])
        losses = np.concatenate([state["losses"], feedback.after[None]])
        known = {**state, "given": given, "losses": losses}
        k, enough = len(feedback.after), len(losses) >= budget.FEWEST
        measured = np.array([len(np.unique(given[~np.isnan(losses[:, g]), g])) >= budget.FEWEST for g in range(k)])
        usable = measured & (np.where(np.isnan(losses), 1.0, losses) > 0).all(axis=0) & (given > 0).all(axis=0)
        if not enough or not usable.any():
            return known
        have, step = given[-1, usable], max(turn.length * float(state["sizes"].sum()), 1.0)
        fit = sharing.fit_shared if self.shared else budget.fit_curves
        fits = fit(given[:, usable], losses[:, usable], 12)
        curves = budget.believed(list(fits), budget.optimistic(list(fits), have, np.full(len(have), step / len(have))))
        together = sharing.SharedCurves(curves.a, curves.b, curves.e, getattr(fits[0], "share", 0.0))
        costs = np.array(self.costs or [1.0] * k)[usable]
        more = sharing.allocate_shared(together, have, step * float(costs.mean()), costs, None, self.power)
        mixture = np.full(k, 1.0 / k)
        mixture[usable] = usable.mean() * more / more.sum()
        return {**known, "mixture": self.least / k + (1.0 - self.least) * mixture}
