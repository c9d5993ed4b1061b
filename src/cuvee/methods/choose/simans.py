"""SimANS: rows about as good as a known good one, neither clearly worse nor suspiciously better.

Zhou et al., "SimANS: Simple Ambiguous Negatives Sampling for Dense Text Retrieval", EMNLP 2022, arXiv 2210.11773. With
a row's score s, that of the positive s+, and the pool's standard deviation d of scores,

    p(row) in proportion to exp(-a ((s - s+) / d - b)^2),

drawn without replacement (Gumbel top-k in log space, so that no weight underflows). The paper's a = 0.5 is in the unit
of its own inner products; here scores are divided by d first (``standardise=False`` takes them as they are). ``kernel``
"laplace" is the released training code's exp(-a |s - s+|), with a = 3. The release's other program adds b where the
paper subtracts it: give b its sign.

Inputs: a column "score"; ``positive`` is s+, by default the highest finite score. Cost: three or four passes over the
scores. Traps: it was made for the 100 to 200 top-ranked negatives of one query: over a whole pool the row count far
from s+ can outweigh their small probabilities; choose a large enough ``a``. The release's sign of b differs from the
paper's.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import numpy as np
import numpy.typing as npt

from ...core import Array, Block, Budget, Card, Choose, Columns, Decision, Draw
from ...errors import DataError, UsageError
from .cut import cut, finite_range

Floats = npt.NDArray[np.float64]


def log_weight(score: Array, positive: float, a: float, b: float, kernel: str = "gauss") -> Floats:
    """Logarithm of the unnormalised probability, float64; scores in the unit of a and b."""
    away = np.asarray(score, np.float64) - positive - b
    return -a * (np.abs(away) if kernel == "laplace" else away * away)


@dataclass(frozen=True)
class SimANS(Choose):
    """``a``: sharpness, ``b``: offset, in standard deviations of the score unless ``standardise`` is off."""

    a: float = 0.5
    b: float = 0.0
    positive: float | None = None
    standardise: bool = True
    kernel: Literal["gauss", "laplace"] = "gauss"

    card: ClassVar[Card] = Card(
        summary="Rows that score about as a known good one: hard, but not too hard.",
        family="choose",
        needs=("score",),
        cost="three or four passes over the scores",
        bibtex="""@inproceedings{zhou2022simans,
  title={{SimANS}: Simple Ambiguous Negatives Sampling for Dense Text Retrieval},
  author={Zhou, Kun and Gong, Yeyun and Liu, Xiao and Zhao, Wayne Xin and Shen, Yelong and Dong, Anlei and
    Lu, Jingwen and Majumder, Rangan and Wen, Ji-Rong and Duan, Nan and Chen, Weizhu},
  booktitle={Empirical Methods in Natural Language Processing: Industry Track},
  year={2022}
}""",
        evidence="the release's formulas, frequencies of draws; claim: direction only (8 seeds)",
        use_when="Rows near a known good score are wanted: hard negatives, or texts about as good as a reference.",
        fails_when="Over a whole pool the many rows far from the reference outweigh their small probabilities, unless "
        "`a` is large.",
    )

    def __post_init__(self) -> None:
        if not 0 <= self.a < np.inf or not np.isfinite(self.b) or self.kernel not in ("gauss", "laplace"):
            raise UsageError("simans: a is at least 0, b finite, kernel gauss or laplace.")
        if self.positive is not None and not np.isfinite(self.positive):
            raise UsageError("simans: positive must be a finite score.")

    def choose(self, columns: Columns, budget: Budget, draw: Draw) -> Decision:
        low, high = finite_range(columns)
        positive = high if self.positive is None else self.positive
        unit = 1.0
        if self.standardise:
            unit = deviation(columns, low, high)
            if not unit > 0:
                raise DataError("simans cannot standardise scores that are all the same; try --choose random.")

        def priority(block: Block) -> Floats:
            finite = np.isfinite(block["score"])
            score = np.where(finite, block["score"], positive) / unit
            weight = log_weight(score, positive / unit, self.a, self.b, self.kernel)
            return np.where(finite, weight + draw.gumbel("simans", block["key"]), -np.inf)

        found = cut(columns, priority, budget, measure="log probability with its random draw")
        return replace(found, notes={**found.notes, "positive": positive, "unit_of_score": unit})


def deviation(columns: Columns, low: float, high: float) -> float:
    """The standard deviation of finite scores, by whole-number sums, so that blocks do not matter."""
    scale = 2.0**20 / max(high - low, 1e-300)
    count = total = square = 0
    for block in columns.blocks("score"):
        finite = block["score"][np.isfinite(block["score"])]
        steps = np.rint((finite - low) * scale).astype(np.int64)
        count, total = count + len(steps), total + int(steps.sum())
        square += int((steps * steps).sum(dtype=object)) if len(steps) > 1 << 20 else int((steps * steps).sum())
    return float(np.sqrt(max(square / max(count, 1) - (total / max(count, 1)) ** 2, 0.0)) / scale)
