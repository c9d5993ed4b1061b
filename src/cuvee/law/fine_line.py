"""The fine line: a small model's checkpoints foretell what a large model's curve of the same metric will come to.

Yang et al., "The Fine Line: Navigating Large Language Model Pretraining with Down-streaming Capability Analysis", 2024,
arXiv 2404.01204, observe that some downstream metrics move alike over training in models of different sizes. They state
no formula; here it is a law that can be tested. Curves are smoothed (nearest monotone curve), laid over one another by
tokens, and over the tokens that both have seen

    large(D) = level + slope small(D),    by least squares,

which is taken on to where the small model has been and the large one has not. With several metrics in a table it is
said whether a metric's curve is more like itself in the other size than like other metrics' curves (all matchings of
curves are the null), and for which metrics the forecast fails: from the first ``part`` of the tokens the large model's
last value is foretold, and compared with the last value known then and with a line of the metric in the loss.

Inputs: a row for every checkpoint: columns parameters and tokens, an outcome for every metric. Cost: less than a
millisecond. Traps: a metric that the small model never learns (emergent ones) says nothing, and a flat curve has no
line; the intervals count noise of checkpoints (redrawn as normal; 90 % ones held 87 to 88 of 100 planted ends), not
luck between runs; no forecast reaches beyond the small model's tokens; both sizes need the same data, and as far a
rate's schedule at equal tokens.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from ..core import Card, Law, Prediction, Runs, Settings
from ..errors import DataError, UsageError
from .checkpoints import LEAST, Course, aligned, courses, likeness, redrawn, told
from .moved import Moved, few

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Alignment(Prediction):
    """Curves of the smaller sizes, and the line that takes one of them to the largest size's."""

    curves: Mapping[float, Course]
    small: float
    large: float
    line: tuple[float, float]
    parameters: Mapping[str, Any]

    def at(self, settings: Settings) -> Floats:
        """NaN outside the tokens that a curve has; without tokens, where the small model's curve ends."""
        size, tokens = settings.values["parameters"], settings.values["tokens"]
        found = np.full(len(size), np.nan)
        for one, curve in self.curves.items():
            if len(curve.tokens) and one != self.large:
                found[size == one] = curve.at(tokens[size == one])
        own = self.curves.get(self.small)
        if own is not None and len(own.tokens):
            rows = size == self.large
            asked = np.where(np.isnan(tokens[rows]), own.tokens[-1], tokens[rows])
            found[rows] = self.line[0] + self.line[1] * own.at(asked)
        return found


@dataclass(frozen=True)
class FineLine(Law):
    """``small``: the size that foretells [next to largest]; ``part``: of the tokens, from which forecasts are tried;
    ``loss``: the outcome that is the pretraining loss [none]."""

    small: float = 0.0
    part: float = 1 / 3
    loss: str = ""

    left_out: ClassVar[str | None] = "tokens"
    checkpoints: ClassVar[bool] = True
    card: ClassVar[Card] = Card(
        summary="A large model's metric from a small model's checkpoints, and for which metrics that fails.",
        family="law",
        needs=("parameters", "tokens"),
        cost="less than a millisecond a fit",
        bibtex="""@article{yang2024fine,
  title={The Fine Line: Navigating Large Language Model Pretraining with Down-streaming Capability Analysis},
  author={Yang, Chen and Li, Junzhuo and Niu, Xinyao and Du, Xinrun and Gao, Songyang and others},
  journal={arXiv preprint arXiv:2404.01204},
  year={2024}
}""",
        evidence="planted curves; claim: not reproduced (8 seeds): curves alike, forecasts worse than the last value",
        gives=("metric",),
    )

    def __post_init__(self) -> None:
        if not 0 < self.part < 1:
            raise UsageError(f"fine_line: part must be between 0 and 1, not {self.part:g}.")
        if self.small < 0:
            raise UsageError(f"fine_line: small is a number of parameters, not {self.small:g}.")

    def numbers(self, sources: int) -> int:
        return 2 * LEAST - 1

    def fit(self, runs: Runs) -> Alignment:
        sizes = np.unique(runs.settings.values["parameters"])
        if len(sizes) < 2:
            raise DataError("fine_line needs checkpoints of two sizes of models or more. Train a smaller one, too.")
        if self.small and self.small not in sizes[:-1]:
            known = ", ".join(f"{one:g}" for one in sizes[:-1])
            raise UsageError(f"fine_line: no smaller model has {self.small:g} parameters. There are: {known}.")
        curves = courses(runs)
        found = self._fit(curves, self._pair(curves))
        if found.parameters["common"] < LEAST:
            raise DataError(
                f"The models of {found.small:g} and {found.large:g} parameters share {found.parameters['common']} "
                f"checkpoints by tokens, and {LEAST} are needed. Evaluate both over the same stretch of training."
            )
        return found

    def refit(self, runs: Runs, counts: npt.NDArray[np.int64], begin: Prediction | None = None) -> list[Prediction]:
        """With ``begin`` no checkpoint is left out: its noise is drawn anew. Noise makes a line too flat, and that of a
        resample once more: so the bootstrap is pivotal."""
        sizes = np.unique(runs.settings.values["parameters"])
        pair = (self.small or float(sizes[max(len(sizes) - 2, 0)]), float(sizes[-1]))
        if isinstance(begin, Alignment):
            draws = [np.random.default_rng(at) for at in range(len(counts))]
            again = [{size: redrawn(curve, one) for size, curve in begin.curves.items()} for one in draws]
            wider = few(begin.parameters["common"] - 2)
            return [Moved(begin, self._fit(curves, pair), -wider) for curves in again]
        return [self._fit(courses(runs.take(row > 0)), pair) for row in counts]

    def _fit(self, curves: Mapping[float, Course], pair: tuple[float, float]) -> Alignment:
        small, large = pair
        if small not in curves or large not in curves:
            return Alignment(curves, small, large, (np.nan, np.nan), {"common": 0})
        level, slope, common = aligned(curves[small], curves[large])
        named = {"small": small, "large": large, "level": level, "slope": slope, "common": common}
        named |= {"likeness": likeness(curves[small], curves[large]), "until": float(curves[small].tokens[-1])}
        return Alignment(curves, small, large, (level, slope), named)

    def _pair(self, curves: Mapping[float, Course]) -> tuple[float, float]:
        sizes = sorted(curves)
        return self.small or sizes[-2], sizes[-1]

    def remarks(self, runs: Runs, fitted: Prediction) -> list[str]:
        assert isinstance(fitted, Alignment)
        if np.isnan(fitted.line[1]):
            return ["The small model's curve does not move, so it says nothing about the large model's."]
        if fitted.line[1] <= 0:
            return [
                "Where one model's curve rises the other's falls: they are not alike, and no forecast is to be had."
            ]
        return []

    def across(self, outcomes: Mapping[str, Runs]) -> list[str]:
        if self.loss and self.loss not in outcomes:
            raise UsageError(f"fine_line: no outcome is called '{self.loss}'. The table has: {', '.join(outcomes)}.")
        every = [(name, courses(runs)) for name, runs in outcomes.items()]
        pairs = {name: (one[self._pair(one)[0]], one[self._pair(one)[1]]) for name, one in every}
        return told(pairs, self.part, self.loss)
