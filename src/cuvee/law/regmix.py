"""RegMix: a regression of a loss on the mixture, and the mean of the best of many simulated mixtures.

Liu et al., "RegMix: Data Mixture as Regression for Language Model Pre-training", ICLR 2025, arXiv 2407.01492. Boosted
trees (LightGBM: rate 0.01, at most 1,000 trees, seed 42, early stopping after 3) or a linear model predict one loss;
the proposal is the mean of the best 128 of simulated mixtures.

Trees stop early on a tenth of the mixtures, dealt by the rank of their loss with all checkpoints of a run on one side,
and never on those that a judgement is made with; the release stops on the set it reports. With fewer than 20 mixtures
nothing can be spared to stop on, and at most 300 trees are made. The release's leaves of 20 runs are for its 512. On
planted surfaces of 3, 6 and 12 sources with 40 to 250 runs (``bench/tree_leaves.py``) they err 0.95 to 2.2 times as
much as leaves of 5 where noise is 10 or 30 % of the losses' spread, and 0.74 to 1.4 times as much where it is 70 %; so
``leaf`` 0 takes 3 below 40 runs, 5 below 500, and 20 from there. Simulated mixtures, 20,000 (the paper: 100,000), lie
around the natural one at many strengths, not at one only. The proposer ``perturbed`` draws more near the best of them.

Trees follow a smooth loss in steps, resampled or not, so resamples do not tell how far they are from it. Intervals are
those of the smooth surfaces that the same runs leave possible, sums of exponentials of shares or of their roots
(``law/surfaces.py``): of what is measured, not of what trees make of it. Those of shares hold where the surfaces are
least. The proposal may lie outside, which is said: besides the trees' steps, a mean of simulated mixtures lies nearer
to their middle than the best of them, the more so the more sources there are. Intervals of predicted losses and gains
are widened to hold what trees say.

Inputs: mixtures and one loss. Cost: tenths of a second a fit with trees, and seconds for intervals, ten with 400 runs.
Traps: trees cannot extrapolate, and are flat near their minimum; with 32 runs of six sources they err more than a line,
with 128 less, and a formula a quarter less still (measured in its claim); ``model=linear`` has its minimum at a corner,
and the averaging does not keep it from going far.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from ..core import Card, Law, Prediction, Runs, Settings
from ..errors import UsageError
from .baselines import Baseline
from .gaussian_process import seen
from .judge import clusters
from .surfaces import surfaces

Floats = npt.NDArray[np.float64]


def fit_trees(
    x: Floats, y: Floats, x_stop: Floats | None, y_stop: Floats | None, iterations: int, rate: float, leaf: int
) -> Any:
    """A LightGBM booster, the same bits for any number of threads; stops early if it is given rows to stop on.

    Raises:
        UsageError: LightGBM is not installed, with the command that installs it.
    """
    try:
        import lightgbm
    except ImportError:
        raise UsageError(
            "Boosted trees need the package 'lightgbm', which is not installed. Install it with: "
            "pip install 'cuvee[mix]'; or use regmix:model=linear or data_mixing_laws."
        ) from None
    settings = {
        "objective": "regression",
        "metric": ["l1", "l2"],
        "seed": 42,
        "learning_rate": rate,
        "min_data_in_leaf": leaf,
        "verbosity": -1,
        "num_threads": 1,
        "deterministic": True,
        "force_row_wise": True,
    }
    train = lightgbm.Dataset(x, y, free_raw_data=False)
    if x_stop is None:
        return lightgbm.train(settings, train, iterations)
    stop = lightgbm.Dataset(x_stop, y_stop, reference=train, free_raw_data=False)
    early = lightgbm.early_stopping(3, verbose=False)
    return lightgbm.train(settings, train, iterations, valid_sets=[stop], callbacks=[early])


@dataclass(frozen=True)
class _Trees(Prediction):
    booster: Any
    parameters: Mapping[str, Any]

    def at(self, settings: Settings) -> Floats:
        return np.asarray(self.booster.predict(settings.mixture, num_threads=1), np.float64)


@dataclass(frozen=True)
class RegMix(Law):
    """``model``: "lightgbm" or "linear"; ``leaf``: the fewest runs in a tree's leaf, 0 chooses by their number."""

    model: str = "lightgbm"
    iterations: int = 1_000
    rate: float = 0.01
    leaf: int = 0

    simulated: ClassVar[bool] = True
    card: ClassVar[Card] = Card(
        summary="Boosted trees or a line on the shares; the mean of the best simulated mixtures.",
        family="law",
        needs=("mixture",),
        cost="tenths of a second a fit; pip install 'cuvee[mix]' for trees",
        bibtex="""@inproceedings{liu2025regmix,
  title={{RegMix}: Data Mixture as Regression for Language Model Pre-training},
  author={Liu, Qian and Zheng, Xiaosen and Muennighoff, Niklas and Zeng, Guangtao and Dou, Longxu and others},
  booktitle={International Conference on Learning Representations},
  year={2025}
}""",
        evidence="oracle: the release's fit and simulation with LightGBM 4.7.0; "
        "claim: reproduced (8 seeds): ranks above the line's; better than proportional and uniform, not than the best "
        "mixture run",
        gives=("loss",),
    )

    def __post_init__(self) -> None:
        if self.model not in ("lightgbm", "linear"):
            raise UsageError(f"regmix: model is 'lightgbm' or 'linear', not '{self.model}'.")
        if self.iterations < 1 or not self.rate > 0 or self.leaf < 0:
            raise UsageError("regmix: iterations must be at least 1, rate above 0, and leaf at least 0.")

    def numbers(self, sources: int) -> int:
        return sources if self.model == "linear" else max(10, sources)

    def fit(self, runs: Runs) -> Prediction:
        if self.model == "linear":
            return Baseline("linear").fit(
                Runs(Settings(runs.settings.sources, runs.settings.mixture), runs.outcome, runs.group)
            )
        number, inverse = clusters(runs)
        leaf = self._leaf(len(runs))
        x, y = runs.settings.mixture, runs.outcome
        if number < 20:
            booster = fit_trees(x, y, None, None, min(self.iterations, 300), self.rate, leaf)
            return _Trees(booster, {"trees": booster.num_trees(), "leaf": leaf})
        mean = np.bincount(inverse, weights=y) / np.bincount(inverse)
        stop = np.argsort(np.argsort(mean, kind="stable"), kind="stable")[inverse] % 10 == 5
        booster = fit_trees(x[~stop], y[~stop], x[stop], y[stop], self.iterations, self.rate, leaf)
        return _Trees(booster, {"trees": int(booster.best_iteration), "leaf": leaf})

    def refit(self, runs: Runs, counts: npt.NDArray[np.int64], begin: Prediction | None = None) -> list[Prediction]:
        if isinstance(begin, _Trees):
            rows, outcome, _ = seen(runs, np.ones(len(runs)))
            return list(surfaces(rows, outcome, len(counts)))
        return super().refit(runs, counts, begin)

    def _leaf(self, runs: int) -> int:
        return self.leaf or (20 if runs >= 500 else 5 if runs >= 40 else 3)
