"""Scaling laws for data filtering: the use of a pool falls with each pass over it, and pools can be mixed.

Goyal et al., "Scaling Laws for Data Filtering: Data Curation cannot be Compute Agnostic", CVPR 2024, arXiv 2404.07177.
With n_j samples seen after pass j over a pool, and a use b < 0 that halves every tau passes,

    y = a n_1^{b_1} prod_{j >= 2} (n_j / n_{j-1})^{b_j} + d,    b_j = b (1/2)^((j - 1) / tau).

``form="code"`` is the release's: a stands inside the power and d is multiplied, too, so that long runs fall below d.
``form="data"`` is its other objective, in which samples decay instead: y = (a sum_j (n_j - n_{j-1})
(1/2)^((j - 1) / tau))^b + d. A union of pools with shares s_i is passed over as a whole: b_j is the mean of
b_i (1/2)^((j - 1) s_i / tau_i) weighted by s_i, since a pool of share s_i waits 1 / s_i as long for its next pass.

Inputs: mixtures whose sources are pools (one row per pool alone suffices), columns samples (seen) and pass (samples in
one pass over the row's union). The outcome is an error, of which less is better. Cost: seconds. Traps: tau is not
identified within one pass; a and d are shared by all pools; errors rather than losses were modelled.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from ..core import Card, Prediction, Runs, Settings
from ..errors import UsageError
from .curve import CurveLaw, Floats, Numbers, bounded_exp

UNIT = 1e5
"""Samples are counted in this unit, as in the release."""
FORMS = ("paper", "code", "data")


def utility(
    samples: Floats,
    one_pass: Floats,
    share: Numbers,
    a: Numbers,
    b: Numbers,
    tau: Numbers,
    d: Numbers,
    form: str = "paper",
) -> Numbers:
    """Errors of unions of pools: (n,), or (batch, n) if the parameters have a first axis for fits.

    Args:
        samples, one_pass: float64, (n,): samples seen, and samples in one pass over the union.
        share: (n, k): each pool's share of the union.
        a, d: (batch, 1). b, tau: (batch, 1, k); b is negative.
        form: "paper", "code" or "data"; see above.
    """
    passes = np.ceil(samples / one_pass * (1 - 1e-12)).astype(np.int64)
    seen = worth = np.minimum(one_pass, samples)
    logs = None
    for number in range(int(passes.max(initial=1))):
        left = share * 0.5 ** (number * share / tau)
        use = (b * left).sum(-1)
        if form == "data":  # samples decay, and the exponent is the mean of what is left of the pools
            use = use / left.sum(-1)
        if logs is None:
            logs = use * np.log(seen / UNIT) + (np.log(a) if form == "paper" else use * np.log(a))
            if form == "code":  # the release adds d before later passes multiply
                logs = np.log(np.exp(logs) + d)
            continue
        end = np.where(number < passes, np.minimum(one_pass * (number + 1), samples), seen)
        more = worth + (end - seen) * left.sum(-1) if form == "data" else end
        logs = logs + use * np.log(more / worth)
        seen, worth = end, more
    assert logs is not None
    return np.exp(logs) + (d if form != "code" else 0.0)


USE, LASTING = 1.0, 5.0
"""The largest logarithms of -b and of tau, which is 148 for a pool whose use does not fall."""


@dataclass(frozen=True)
class DataFiltering(CurveLaw):
    """``form``: "paper", "code" or "data"; ``floor``: the irreducible error d, NaN fits it; ``delta``: where residuals
    begin to count linearly, in the unit of the error, so that a single run that went wrong has little weight."""

    form: str = "paper"
    floor: float = float("nan")
    delta: float = 1e-2
    restarts: int = 32

    card: ClassVar[Card] = Card(
        summary="The use of a pool falls with every pass; which pools to unite at which budget.",
        family="law",
        needs=("mixture", "samples", "pass"),
        cost="seconds a fit for six pools",
        bibtex="""@inproceedings{goyal2024scaling,
  title={Scaling Laws for Data Filtering -- Data Curation cannot be Compute Agnostic},
  author={Goyal, Sachin and Maini, Pratyush and Lipton, Zachary C. and Raghunathan, Aditi and Kolter, J. Zico},
  booktitle={IEEE/CVF Conference on Computer Vision and Pattern Recognition},
  year={2024}
}""",
        evidence="oracle: the release's curves of single pools, and its unions, to 1e-9; planted parameters",
        gives=("error",),
    )

    def __post_init__(self) -> None:
        if self.form not in FORMS:
            raise UsageError(f"data_filtering: form is one of {', '.join(FORMS)}, not '{self.form}'.")

    def numbers(self, sources: int) -> int:
        return 2 * sources + 1 + int(np.isnan(self.floor))

    def value(self, theta: Numbers, settings: Settings) -> Numbers:
        k = settings.mixture.shape[-1]
        a, d = bounded_exp(theta[:, :1]), bounded_exp(theta[:, 1:2])
        b, tau = -bounded_exp(theta[:, None, 2 : 2 + k], USE), bounded_exp(theta[:, None, 2 + k :], LASTING)
        if not np.isnan(self.floor):
            d = self.floor + 0.0 * d
        samples, one_pass = settings.values["samples"], settings.values["pass"]
        return utility(samples, one_pass, settings.mixture, a, b, tau, d, self.form)

    def starts(self, runs: Runs) -> Floats:
        random = np.random.default_rng(0)
        k, low = runs.settings.mixture.shape[1], max(float(runs.outcome.min()), 1e-6)
        first = np.log(runs.settings.values["samples"] / UNIT)
        scale = -2.0 if self.form != "paper" else float(np.log(runs.outcome.max()) + 0.1 * first.mean())
        a = scale + random.uniform(-1.5, 1.0, (self.restarts, 1))
        d = np.log(low) + np.log(random.uniform(0.05, 0.95, (self.restarts, 1)))
        b = np.log(random.uniform(0.01, 0.5, (self.restarts, k)))
        return np.column_stack([a, d, b, np.log(random.uniform(1.0, 12.0, (self.restarts, k)))])

    def named(self, theta: Floats, sources: tuple[str, ...]) -> dict[str, Any]:
        k = len(sources)
        b, tau = (-bounded_exp(theta[2 : 2 + k], USE)).tolist(), bounded_exp(theta[2 + k :], LASTING).tolist()
        floor = float(np.exp(theta[1])) if np.isnan(self.floor) else self.floor
        pools = {name: {"b": one, "tau": half} for name, one, half in zip(sources, b, tau, strict=True)}
        return {"a": float(np.exp(theta[0])), "d": floor, "pools": pools}

    def remarks(self, runs: Runs, fitted: Prediction) -> list[str]:
        values = runs.settings.values
        passes = (values["samples"] / values["pass"])[:, None] * (runs.settings.mixture > 0)
        once = [name for name, most in zip(runs.settings.sources, passes.max(0), strict=True) if most <= 1.0]
        if not once:
            return []
        return [
            f"No run goes through {', '.join(once[:4])} twice, so how fast its use falls is a guess: run more passes."
        ]


def best_union(law: Any, sizes: Floats, samples: float) -> tuple[list[int], Floats]:
    """Which pools to unite at a budget: of the unions of the pools of most use, the one of least error.

    Args:
        law: a fit whose sources are the pools. sizes: float64, (k,): samples in one pass over each.

    Returns:
        places of the pools, and the error of each union tried, float64, (k,).
    """
    pools = law.parameters["pools"]
    order = sorted(range(len(sizes)), key=lambda at: list(pools.values())[at]["b"])
    share = np.zeros((len(sizes), len(sizes)))
    for number in range(len(sizes)):
        chosen = order[: number + 1]
        share[number, chosen] = sizes[chosen] / sizes[chosen].sum()
    one_pass = np.array([sizes[order[: number + 1]].sum() for number in range(len(sizes))])
    errors = law.at(Settings(tuple(pools), share, {"samples": np.full(len(sizes), samples), "pass": one_pass}))
    return order[: int(np.nanargmin(errors)) + 1], errors
