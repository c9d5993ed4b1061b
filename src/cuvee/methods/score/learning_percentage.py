"""Learning percentage: rows that a small model learns late in its training, as rows for a larger one.

Mekala, Nguyen and Shang, "Smaller Language Models are capable of selecting Instruction-Tuning Training Data for Larger
Language Models", Findings of ACL 2024, arXiv 2402.10430. With P_e a text's perplexity after e passes of training, and
n passes in all,

    LP = (P_0 - P_1) / (P_0 - P_n),         score = -LP:

the share of what is learned of a text that is learned in the first pass. Rows of low LP are hard, and taken first.
``approximate`` divides by P_0, and needs one pass only.

The paper trains on the pool itself; here the probe is a small language model on bytes and the pool's sample (``less``),
so most rows are new to it. Rows with P_0 - P_n <= ``least`` * P_0, of which little or nothing was learned, have no
score (the release divides by whatever there is). The paper takes the lowest LP within each of 1,000 clusters; use
``--quota`` for shares by domain.

Inputs: texts. Cost: a warm-up, and three forward passes a row: 7 milliseconds of a core. Needs PyTorch. Trap: junk
is learned late as well; remove it first.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from ...core import Array, Batch, Block, Card, Map, Method, Run
from ...errors import UsageError
from ...gradient.text import TextProbe, TextSpec
from ...gradient.warm_up import beginning, train_text, warm_up_texts


def learning_percentage(before: Array, first: Array, last: Array | None) -> Array:
    """LP, float64 (n,), from perplexities before, after the first and after the last pass (None: approximate)."""
    gained = before - first
    whole = before if last is None else before - last
    return np.where(whole == 0, 0.0, gained / np.where(whole == 0, 1.0, whole))


@dataclass(frozen=True, eq=False)
class Late(Map):
    """The fitted score: ``probe`` has the checkpoints before, after the first and (unless approximate) the last."""

    probe: TextProbe
    least: float
    notes: dict[str, Any] = field(default_factory=dict, compare=False)

    rows_at_once: ClassVar[int | None] = 256

    def apply(self, batch: Batch) -> Block:
        found = self.probe.perplexities(batch)
        last = found[:, 2] if found.shape[1] == 3 else None
        score = -learning_percentage(found[:, 0], found[:, 1], last)
        learned = found[:, 0] - found[:, -1] > self.least * found[:, 0]
        return {"score": np.where(learned & np.isfinite(score), score, -np.inf)}


@dataclass(frozen=True)
class LearningPercentage(Method):
    """``size``, ``tokens``, ``epochs``, ``warm_up``: as for ``less``; ``least``: share of P_0 that must be learned."""

    size: str = "0.06M"
    tokens: int = 256
    epochs: int = 3
    warm_up: int = 100_000
    approximate: bool = False
    least: float = 0.01

    card: ClassVar[Card] = Card(
        summary="rows that a small model learns late in its training",
        family="training dynamics",
        needs=("text",),
        cost="a warm-up, then three forward passes a row: 7 ms a text on one core; needs torch",
        bibtex="@inproceedings{mekala2024smaller, title={Smaller Language Models are capable of selecting"
        " Instruction-Tuning Training Data for Larger Language Models}, author={Mekala, Dheeraj and Nguyen, Alex and"
        " Shang, Jingbo}, booktitle={Findings of ACL}, year={2024}}",
        evidence="perplexities and percentages of the release; claim: not reproduced (8 seeds)",
        use_when="You have no target, and want the rows that are learned late, within domains (`--quota`).",
        fails_when="Over a whole pool either end is less diverse than the middle: rows learned late were worse than "
        "random ones.",
    )

    def fit(self, run: Run) -> Late:
        if self.epochs < 2 or self.warm_up < 1 or self.tokens < 2 or not 0 <= self.least < 1:
            raise UsageError("learning_percentage: epochs and tokens are at least 2, warm_up 1; least in [0, 1).")
        spec = TextSpec(self.size, epochs=self.epochs)
        texts = warm_up_texts(run, self.warm_up, False)
        found = train_text(spec, texts, run.seed, self.epochs)
        kept = [0] if self.approximate else [0, self.epochs - 1]
        models = np.concatenate([beginning(spec, run.seed)[None], found.parameters[kept]])
        notes = {"warm_up_texts": len(texts), "warm_up_loss": found.loss.tolist()}
        return Late(TextProbe(spec, models, self.tokens), self.least, notes)
