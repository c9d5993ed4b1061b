"""D-CPT law: loss after continued pretraining by model size, tokens and share of the domain.

Que et al., "D-CPT Law: Domain-specific Continual Pre-Training Scaling Law for Large Language Models", NeurIPS 2024,
arXiv 2406.01375. With N parameters, D tokens and r the share of the corpus whose loss is modelled,

    L(N, D, r) = E + A / N^alpha + B r^eta / D^beta + C / (r + eps)^gamma,

nine positive numbers, fitted by Huber's loss on logarithms. One fit for the domain's loss (r its share) and one for
the general loss (r the share of general text). N and D are counted in millions.

Inputs: columns parameters, tokens, share. Cost: a fraction of a second. Traps: that more of a corpus lowers its own
loss is *not* guaranteed by the form, since B r^eta has the other sign: :func:`rising` says where it fails, first of all
at few tokens, and the same for all N, so it is looked at with the least and the most tokens fitted; eps, C and
gamma are not identified without runs near r = 0, nor eta and beta if D varies less than fourfold; checkpoints of one
run are correlated: a column ``run`` tells which rows are, and they are drawn together; every D should end its schedule.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from ..core import Card, Prediction, Runs, Settings
from .curve import CurveLaw, Floats, Numbers, bounded_exp, spread


@dataclass(frozen=True)
class DCpt(CurveLaw):
    """``delta``: where residuals of log losses begin to count linearly."""

    delta: float = 1e-3
    restarts: int = 64
    logarithmic: ClassVar[bool] = True
    left_out: ClassVar[str | None] = "share"

    card: ClassVar[Card] = Card(
        summary="Loss after continued pretraining by parameters, tokens and the domain's share.",
        family="law",
        needs=("parameters", "tokens", "share"),
        cost="a fraction of a second a fit",
        bibtex="""@inproceedings{que2024dcpt,
  title={{D-CPT} Law: Domain-specific Continual Pre-Training Scaling Law for Large Language Models},
  author={Que, Haoran and Liu, Jiaheng and Zhang, Ge and Zhang, Chenchen and Qu, Xingwei and others},
  booktitle={Advances in Neural Information Processing Systems},
  year={2024}
}""",
        evidence="planted parameters: predictions recovered; where more of a corpus raises its own loss in the fitted "
        "range is told (the paper's other requirements hold by the form)",
        gives=("loss",),
    )

    def numbers(self, sources: int) -> int:
        return 9

    def value(self, theta: Numbers, settings: Settings) -> Numbers:
        n, d = (np.log(settings.values[name] / 1e6) for name in ("parameters", "tokens"))
        return formula(theta[:, :9], n, d, settings.values["share"])

    def starts(self, runs: Runs) -> Floats:
        low, high = BOUNDS
        floor = np.log(max(float(runs.outcome.min()), 1e-3))
        found = spread(0, self.restarts, np.array(low), np.array(high))
        found[:, 0] += floor
        return found

    def named(self, theta: Floats, sources: tuple[str, ...]) -> dict[str, Any]:
        return told(theta)

    def remarks(self, runs: Runs, fitted: Prediction) -> list[str]:
        values = runs.settings.values
        share = values["share"]
        found = unidentified(runs)
        places = []
        for tokens in sorted({float(values["tokens"].min()), float(values["tokens"].max())}):
            wrong = rising(fitted, float(values["parameters"].max()), tokens)
            wrong = wrong[(wrong >= share.min()) & (wrong <= share.max())]
            if len(wrong):
                places.append(f"shares of {wrong[0]:.2g} to {wrong[-1]:.2g} with {tokens:.2g} tokens")
        if places:
            found.append(
                f"By the fit, more of a corpus raises its own loss at {' and '.join(places)}, which the form allows "
                "and runs rarely show: do not choose a share there."
            )
        return found


NEAR_ZERO, ZOOMS = 0.05, 4
NAMES = ("E", "A", "B", "C", "alpha", "beta", "gamma", "eta", "eps")
STEEP = 3.0
"""The largest logarithm of alpha, beta, gamma, eta and eps."""
BOUNDS = (
    (-1.5, -1.0, -1.0, -4.0, -2.0, -2.0, -2.5, -2.5, -4.0),
    (-0.05, 2.0, 2.0, 0.0, 0.0, 0.0, 0.0, 0.5, -0.5),
)


def told(theta: Floats) -> dict[str, float]:
    """The numbers of :func:`formula` by name, within their bounds."""
    return dict(zip(NAMES, np.exp(theta[:4]).tolist() + bounded_exp(theta[4:9], STEEP).tolist(), strict=True))


def formula(theta: Numbers, n: Floats, d: Floats, r: Floats) -> Numbers:
    """The law from log parameters (b, 9), log N and log D in millions, and shares: (b, rows).

    r^eta is 0 at r = 0, however small eta is.
    """
    e, a, b, c, alpha, beta, gamma, eta, eps = (theta[:, at : at + 1] for at in range(9))
    logs = np.log(np.where(r > 0, r, 1.0))
    size = bounded_exp(a - bounded_exp(alpha, STEEP) * n)
    data = np.where(r > 0, bounded_exp(b + bounded_exp(eta, STEEP) * logs - bounded_exp(beta, STEEP) * d), 0.0)
    share = bounded_exp(c - bounded_exp(gamma, STEEP) * np.log(r + bounded_exp(eps, STEEP)))
    return bounded_exp(e) + size + data + share


def unidentified(runs: Runs) -> list[str]:
    """Which numbers of the law these runs leave open."""
    values, found = runs.settings.values, []
    if values["share"].min() > NEAR_ZERO:
        found.append(
            f"No run has a share below {NEAR_ZERO:g}, so eps, C and gamma are guesses, as is what happens near 0."
        )
    if values["tokens"].max() < 4 * values["tokens"].min():
        found.append(
            "Tokens vary less than fourfold, so beta and eta are guesses: do not ask about other numbers of tokens."
        )
    return found


def losses(law: Any, parameters: float, tokens: Any, share: Floats) -> Floats:
    """A fit's losses at these shares, with one number of parameters: float64, as many as shares."""
    every = np.ones(len(share))
    values = {"parameters": parameters * every, "tokens": tokens * every, "share": share}
    return np.asarray(law.at(Settings((), np.empty((len(share), 0)), values)), np.float64)


def rising(law: Any, parameters: float, tokens: float, grid: int = 101) -> Floats:
    """The shares at which a fit says that more of a corpus raises its own loss: float64, possibly empty."""
    share = np.linspace(0.0, 1.0, grid)
    return share[1:][np.diff(losses(law, parameters, tokens, share)) > 0]


def largest_share(general: Any, parameters: float, tokens: float, bound: float, grid: int = 1_000) -> float:
    """The largest share of the domain at which the general loss stays within ``bound``; NaN if none does.

    Looked for on a grid, and three times on a grid between two of its shares: to 1e-12.

    Args:
        general: a fit to the general loss, whose share is of general text: one minus the domain's.
    """
    low, high = 0.0, 1.0
    for _ in range(ZOOMS):
        share = np.linspace(low, high, grid + 1)
        fine = np.flatnonzero(losses(general, parameters, tokens, 1 - share) <= bound)
        if not len(fine):
            return float("nan")
        low, high = share[fine[-1]], share[min(int(fine[-1]) + 1, grid)]
    return float(low)


def best_share(domain: Any, parameters: float, domain_tokens: float, grid: int = 1_000) -> float:
    """With a fixed number of domain tokens, repeated nowhere, the share r at D = domain_tokens / r of least loss.

    Looked for as :func:`largest_share` is. With the general fit and the tokens of general text it is that text's share.
    """
    low, high = 1 / grid, 1.0
    for _ in range(ZOOMS):
        share = np.linspace(low, high, grid)
        best = int(np.nanargmin(losses(domain, parameters, domain_tokens / share, share)))
        low, high = share[max(best - 1, 0)], share[min(best + 1, grid - 1)]
    return float(share[best])
