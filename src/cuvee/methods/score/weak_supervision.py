"""Rows whose labels a weak model is unsure of (or sure of): which ones to have labelled, or to train on.

Kolossov, Montanari and Tandon, "Towards a Statistical Theory of Data Selection under Weak Supervision", ICLR 2024,
arXiv 2309.14563. A surrogate trained on few labelled rows gives probabilities p_c(x); a row's hardness is

    h(x) = (1 - sum_c p_c^2) / 2,      for two classes p (1 - p),

and rows are drawn independently with probability min(1, c h^alpha): alpha above 0 prefers hard rows, below 0 easy ones,
0 is uniform. ``rule`` "hard" and "easy" keep the most and the least hard rows without chance. The paper trains on the
drawn rows without weights ("non-reweighting", often better than all rows) or weighted by 1 / probability (unbiased).
Its general optimum, the root of a quadratic form of gradients and Hessians, is left out.

The surrogate is a linear classifier on hashed words (``score/classifier.py``; one against the rest for more than two
classes, their probabilities divided by their sum, which is an extension), fitted on the target's texts with their label
column, or their domains where there is no label. Logits are cut at 10 and -10, so that no row is ruled out for ever.

Inputs: texts; a target with at least two labels. Block: "score" = alpha log h, in nats. Cost: seconds to train, one
pass at n-gram speed. Traps: with few rows to keep, hard rows alone are worse than random ones (label noise and outliers
are hard too); 1 / probability explodes for alpha far from 0; what is hard for the surrogate need not be hard for your
model.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ...core import Array, Batch, Block, Card, Choose, Map, Method, Run
from ...errors import DataError, UsageError
from ...feature.ngrams import Ngrams
from ...fold.kmeans import cut_texts
from ..choose.poisson import Poisson
from ..choose.top_k import TopK
from .classifier import fit_linear

MOST_CLASSES = 100


def hardness(logits: Array) -> npt.NDArray[np.float64]:
    """h of logits (n,) of two classes, or (n, classes) of one class against the rest: float64 (n,)."""
    p = 1.0 / (1.0 + np.exp(-np.clip(np.asarray(logits, np.float64), -10.0, 10.0)))
    if p.ndim == 1:
        return p * (1.0 - p)
    p = p / p.sum(axis=1, keepdims=True)
    return (1.0 - (p * p).sum(axis=1)) / 2


@dataclass(frozen=True, eq=False)
class Hardness(Map):
    """The fitted surrogate: ``table`` float64 (models, buckets), ``bias`` (models,); score = power * log h."""

    ngrams: Ngrams
    table: Array
    bias: Array
    power: float
    notes: dict[str, Any] = field(compare=False)

    def apply(self, batch: Batch) -> Block:
        logits = self.ngrams.means(batch, self.table) + self.bias
        found = hardness(logits[:, 0] if len(self.bias) == 1 else logits)
        return {"score": self.power * np.log(found)}


def labelled(run: Run, who: str = "weak_supervision") -> tuple[list[str], list[list[Batch]]]:
    """The target's classes in the order of their names, and the rows of each, one batch for each that was read.

    ``who``: the method that asks, for error messages.
    """
    found: dict[str, list[Batch]] = {}
    for batch in run.targets():
        column = batch.columns.get("label", batch.columns.get("domain"))
        if column is None:
            raise DataError(f"{who} learns from labels: give the target a label column, named by --label, or domains.")
        names = pc.fill_null(pc.cast(pa.array(column), pa.large_string()), "(none)")
        for name in pc.unique(names).to_pylist():
            chosen = np.flatnonzero(pc.equal(names, name).to_numpy(zero_copy_only=False))
            part = Batch(*cut_texts(batch, chosen), batch.row[chosen], batch.key[chosen])
            found.setdefault(name, []).append(part)
    if not 2 <= len(found) <= MOST_CLASSES:
        raise DataError(f"{who} needs 2 to {MOST_CLASSES} labels in the target; it has {len(found)}.")
    return sorted(found), [found[name] for name in sorted(found)]


def joined(parts: list[Batch]) -> Batch:
    """One batch with the rows of several that hold nothing but their rows."""
    sizes = np.concatenate([np.diff(part.offsets) for part in parts])
    data, row, key = (np.concatenate([getattr(part, name) for part in parts]) for name in ("data", "row", "key"))
    return Batch(data, np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64), row, key)


@dataclass(frozen=True)
class WeakSupervision(Method):
    """``alpha``: above 0 hard rows, below 0 easy ones; ``rule``: "sample", "hard" or "easy"."""

    alpha: float = 1.0
    rule: Literal["sample", "hard", "easy"] = "sample"
    buckets: int = 1 << 16
    cost: float = 1.0
    epochs: int = 10

    card: ClassVar[Card] = Card(
        summary="rows whose labels a weak classifier is unsure of, drawn with known probabilities",
        family="model-aware",
        needs=("text", "target"),
        cost="seconds of training; one pass at n-gram speed",
        bibtex="@inproceedings{kolossov2024towards, title={Towards a Statistical Theory of Data Selection under Weak"
        " Supervision}, author={Kolossov, Germain and Montanari, Andrea and Tandon, Pulkit}, booktitle={ICLR},"
        " year={2024}}",
        evidence="inclusion probabilities of the release; claim: not reproduced (8 seeds)",
        use_when="You have a few labelled rows and must decide which others to label or to train on.",
        fails_when="Hard rows alone fail, most of all where few are kept; a mild preference for them gained little.",
    )

    def fit(self, run: Run) -> Hardness:
        if not abs(self.alpha) < 100 or self.rule not in ("sample", "hard", "easy") or min(self.epochs, self.cost) <= 0:
            raise UsageError("weak_supervision: alpha is a number, rule sample, hard or easy, epochs and cost above 0.")
        names, parts = labelled(run)
        ngrams = Ngrams(1, self.buckets)
        models = []
        for at in range(1 if len(names) == 2 else len(names)):
            others = joined([part for number, rows in enumerate(parts) for part in rows if number != at])
            models.append(fit_linear(joined(parts[at]), others, ngrams, self.cost, self.epochs, 0, run.seed))
        power = {"sample": self.alpha, "hard": 1.0, "easy": -1.0}[self.rule]
        notes = {"labels": len(names), "labelled_rows": sum(len(part) for rows in parts for part in rows)}
        table = np.array([model.weight for model in models])
        return Hardness(ngrams, table, np.array([model.bias for model in models]), power, notes)

    def chooser(self, fitted: Map) -> Choose:
        return Poisson() if self.rule == "sample" else TopK()
