"""Questions of the right difficulty, by the share of a model's answers that were right.

With q a row's pass rate, training on a group of G answers whose rewards are compared with each other (GRPO: Shao et
al., "DeepSeekMath", 2024, arXiv 2402.03300) learns from it only if some are right and some wrong, which happens with

    p(q) = 1 - q^G - (1 - q)^G.

``prefer`` "informative" scores by the expectation of p under what ``samples`` answers tell of q (a Beta distribution,
from Jeffreys' prior: 0 of 8 right still allows q up to 0.3), "hard" by 1 - E q, as in Pikus, Tiwari and Ye, "Hard
Examples Are All You Need: Maximizing GRPO Post-Training Under Annotation Budgets", 2025, arXiv 2508.14094, where the
hardest tenth is kept. ``solved`` leaves out rows without a right answer.

Inputs: a numeric label column: the share of right answers, or with ``counted`` their number, of ``samples`` each. Cost:
one pass. Traps: choosing by noisy rates falls back to the mean: chosen rows are less hard than they look; impossible
questions are the hardest of all; a verifier that errs makes them look rare.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ...core import Batch, Block, Card, Map, Method, Run
from ...errors import DataError, UsageError

Floats = npt.NDArray[np.float64]


def informative(right: Floats, samples: int, group: int) -> Floats:
    """E[1 - q^G - (1 - q)^G] for q from Beta(right + 1/2, samples - right + 1/2); float64, of ``right``'s shape."""
    a, b = right + 0.5, samples - right + 0.5
    found = [np.ones_like(a), np.ones_like(a)]
    for j in range(group):  # E q^G = product of (a + j) / (a + b + j)
        found[0] *= (a + j) / (samples + 1.0 + j)
        found[1] *= (b + j) / (samples + 1.0 + j)
    return np.maximum(1.0 - found[0] - found[1], 0.0)


@dataclass(frozen=True)
class Difficulty(Map):
    """The score by a row's label; see :class:`PassRate`."""

    prefer: str
    samples: int
    group: int
    counted: bool
    solved: bool

    def apply(self, batch: Batch) -> Block:
        right = self._right(batch)
        score = 1.0 - (right + 0.5) / (self.samples + 1.0)
        if self.prefer == "informative":
            score = informative(right, self.samples, self.group)
        out = np.isnan(right) | ((right < 0.5) if self.solved else False)
        return {"score": np.where(out, -np.inf, score)}

    def _right(self, batch: Batch) -> Floats:
        """How many answers were right, NaN for rows without a label."""
        column = batch.columns.get("label")
        if column is None:
            raise DataError("pass_rate needs a column with each row's pass rate: name it with --label.")
        try:
            rate = pc.cast(pa.array(column), pa.float64()).to_numpy(zero_copy_only=False).astype(np.float64)
        except pa.ArrowInvalid as error:
            raise DataError("pass_rate needs numbers as labels: name the column of pass rates with --label.") from error
        most = self.samples if self.counted else 1
        bad = np.flatnonzero((rate < 0) | (rate > most))
        if len(bad):
            what = f"number of right answers, 0 to {most}" if self.counted else "pass rate from 0 to 1"
            raise DataError(
                f"Row {batch.row[bad[0]] + 1} of the pool has the label {rate[bad[0]]:g}, which is no {what}."
            )
        return rate if self.counted else rate * self.samples


@dataclass(frozen=True)
class PassRate(Method):
    """``samples``: answers that each rate is measured on; ``group``: G, those of a training step."""

    prefer: Literal["informative", "hard"] = "informative"
    samples: int = 8
    group: int = 8
    counted: bool = False
    solved: bool = False

    card: ClassVar[Card] = Card(
        summary="questions that a model answers sometimes: the chance that a group has right and wrong answers",
        family="model-aware",
        needs=("label",),
        cost="one pass; the answers beforehand",
        bibtex="@article{pikus2025hard, title={Hard Examples Are All You Need: Maximizing {GRPO} Post-Training Under"
        " Annotation Budgets}, author={Pikus, Benjamin and Tiwari, Pratyush Ranjan and Ye, Burton},"
        " journal={arXiv:2508.14094}, year={2025}}",
        evidence="closed form: integrals over the Beta distribution; claim: not reproduced (8 seeds)",
        use_when="You train by reinforcement on questions, and know how often a model answers each rightly.",
        fails_when="Impossible questions are the hardest of all: `prefer=hard` keeps them unless `solved` leaves out "
        "what was never answered.",
    )

    def fit(self, run: Run) -> Difficulty:
        if self.samples < 1 or self.group < 2 or self.prefer not in ("informative", "hard"):
            raise UsageError("pass_rate: samples is at least 1, group at least 2, prefer is informative or hard.")
        return Difficulty(self.prefer, self.samples, self.group, self.counted, self.solved)
