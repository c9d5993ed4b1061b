"""Uncertain rows of a pool of several sources, after a screen for those from which nothing can be learned.

Snijders, Kiela and Margatina, "Investigating Multi-source Active Learning for Natural Language Inference", EACL 2023,
arXiv 2302.06976. On pools of several sources, choosing what a model is least sure of does no better than chance: it
takes collective outliers, whole groups of rows that are hard because they cannot be learned. Without these it
recovers.

    score(x) = log h(x)  where  screen(x) is not among the lowest share,  else minus infinity

h is the uncertainty of a classifier trained on the labelled target (``weak_supervision``). ``by`` says what screens:

* "label", for pools with labels (wrong ones included): how much a row's text tells held-out models about its label
  (``v_information``). It stands for the confidence over training that the paper takes from dataset cartography.
* "nearness", for pools yet to be labelled: the largest cosine with a labelled row (``rds_plus``). An addition.

Inputs: texts; a target with at least two labels; labels of the pool (domains where there are none) for "label". Notes:
``uncertain_screened``, the share of the most uncertain tenth that the screen takes out: well above ``screen`` means
that uncertainty was after outliers. Cost: that of both parts. Traps: hard rows that could be learned are screened as
well, and what is hard differs between sources; a source whose labels are wrong throughout in the same way looks
learnable.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import numpy as np

from ...core import Batch, Block, Card, Map, Method, Run
from ...errors import DataError, UsageError
from ...fold.scores import ScoreSample
from .rds_plus import RdsPlus
from .v_information import VInformation
from .weak_supervision import WeakSupervision, labelled


@dataclass(frozen=True, eq=False)
class Screened(Map):
    """The score of ``uncertain`` where that of ``screen`` is at least ``lowest``."""

    uncertain: Map
    screen: Map
    lowest: float
    notes: dict[str, Any] = field(compare=False)

    def apply(self, batch: Batch) -> Block:
        score = self.uncertain.apply(batch)["score"]
        return {"score": np.where(self.screen.apply(batch)["score"] >= self.lowest, score, -np.inf)}


@dataclass(frozen=True)
class MultiSource(Method):
    """``screen``: the share left out, by "label" or by "nearness"; ``sample``: rows by which the share is found."""

    screen: float = 0.3
    by: Literal["label", "nearness"] = "label"
    sample: int = 10_000

    card: ClassVar[Card] = Card(
        summary="rows whose labels a classifier is unsure of, without those from which nothing can be learned",
        family="model-aware",
        needs=("text", "target", "label"),
        cost="seconds of training, three passes to sample, one at n-gram speed",
        bibtex="@inproceedings{snijders2023investigating, title={Investigating Multi-source Active Learning for Natural"
        " Language Inference}, author={Snijders, Ard and Kiela, Douwe and Margatina, Katerina}, booktitle={EACL},"
        " year={2023}}",
        evidence="composition of its parts; claim: direction only (8 seeds)",
        use_when="You choose what to label or train on by uncertainty, from sources some of which may be noise.",
        fails_when="Uncertain rows were bad to learn from even where their labels are right: the screen helps, but "
        "random rows stayed ahead.",
    )

    def needs(self) -> tuple[str, ...]:
        return self.card.needs if self.by == "label" else ("text", "target")

    def fit(self, run: Run) -> Screened:
        if not 0 < self.screen < 1 or self.by not in ("label", "nearness") or self.sample < 1:
            raise UsageError("multi_source: screen is between 0 and 1, by label or nearness, sample at least 1.")
        labelled(run, "multi_source")  # what the target lacks is said in this method's name
        uncertain = WeakSupervision(rule="hard").fit(run)
        screen = VInformation("easy", 0.0, self.sample) if self.by == "label" else RdsPlus("max")
        found = screen.fit(run)
        drawn = run.fold(ScoreSample((uncertain, found), self.sample, "multi_source", run.seed))["score"]
        known = drawn[np.isfinite(drawn[:, 1])]
        if not len(known):
            raise DataError("multi_source: no row of the pool can be screened; it has no labels, or no known words.")
        lowest = float(np.quantile(known[:, 1], self.screen, method="higher"))
        most = known[known[:, 0] >= np.quantile(known[:, 0], 0.9)]
        notes: dict[str, Any] = {"screen": self.by, "lowest": lowest, "sampled": len(drawn)}
        notes["uncertain_screened"] = float(np.mean(most[:, 1] < lowest))
        notes["classifier"] = uncertain.notes
        return Screened(uncertain, found, lowest, notes)
