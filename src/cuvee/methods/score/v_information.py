"""Pointwise V-information: how much a row's text tells a simple model about its label.

Xu et al., "A Theory of Usable Information under Computational Constraints", ICLR 2020, arXiv 2002.10689; pointwise:
Ethayarajh, Choi and Swayamdipta, "Understanding Dataset Difficulty with V-Usable Information", ICML 2022, arXiv
2110.08420. For a family V of models that see the input or nothing, in bits,

    PVI(x, y) = log2 f(y given x) - log2 f(y given nothing),   I_V(X -> Y) = E PVI = H_V(Y) - H_V(Y | X).

High values are easy rows, values below 0 hard or wrongly labelled ones. As a way to choose what to train on, hard rows
first: "Maximizing V-information for Pre-training Superior Foundation Models", 2024, arXiv 2408.07107, whose samples
composed of critical regions are not made here; so this is hard-row selection, not OptiDEL.

V: linear classifiers on hashed words, one class against the rest, at the classes' shares (``score/classifier.py``); f(y
given nothing) are the shares. Rows are divided by key into two halves, and each is scored by the models that a sample
of the other half trained, so that every value is held out. ``prefer``: "hard" or "easy" rows; ``drop`` leaves out this
share of the lowest PVI, where wrong labels are (by quantile of the sample).

Inputs: texts and a label column (domains where there is none), 2 to 100 labels. Cost: two passes to sample, seconds to
train, one pass at n-gram speed. Traps: the hardest rows are noise; a weak V takes for hard what your model finds easy;
rows of frequent labels have little to tell.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ...core import Array, Batch, Block, Card, Map, Method, Run
from ...engine.draw import uniform
from ...errors import DataError, UsageError
from ...feature.ngrams import Ngrams
from ...fold.bottom_k import BottomK, as_batch
from ...fold.scores import ScoreSample, part_of
from ...fold.tag_names import TagNames, labels
from .classifier import fit_linear
from .weak_supervision import MOST_CLASSES

NAME = "v_information"


def pointwise(logits: Array, label: Array, share: Array) -> npt.NDArray[np.float64]:
    """PVI in bits (n,) from log odds of each class against the rest (n, classes), numbers of labels, and shares."""
    each = -np.logaddexp(0.0, -np.clip(logits, -30.0, 30.0))
    log_p = each - np.logaddexp.reduce(each, axis=1, keepdims=True)
    return (log_p[np.arange(len(label)), label] - np.log(share[label])) / np.log(2.0)


@dataclass(frozen=True, eq=False)
class Pointwise(Map):
    """``table`` float64 (2 halves x classes, buckets) and ``bias``: rows are scored by the models trained on the other
    half. ``lowest``: rows below it are left out; ``sign`` -1 prefers hard rows, 0 gives the label's number."""

    names: tuple[str, ...]
    share: Array
    seed: int
    ngrams: Ngrams | None = None
    table: Array = field(default_factory=lambda: np.zeros((0, 1)))
    bias: Array = field(default_factory=lambda: np.zeros(0))
    lowest: float = -np.inf
    sign: float = 0.0
    notes: dict[str, Any] = field(default_factory=dict, compare=False)

    def half(self, key: Array) -> Array:
        return (uniform(self.seed, f"{NAME} half", key) < 0.5).astype(np.int64)

    def apply(self, batch: Batch) -> Block:
        number = pc.index_in(labels(batch, NAME), value_set=pa.array(self.names, pa.large_string()))
        label = pc.fill_null(number, -1).to_numpy(zero_copy_only=False).astype(np.int64)
        if self.ngrams is None:
            return {"score": np.where(label >= 0, label, -np.inf)}
        logits = (self.ngrams.means(batch, self.table) + self.bias).reshape(len(batch), 2, len(self.names))
        found = pointwise(logits[np.arange(len(batch)), self.half(batch.key)], np.maximum(label, 0), self.share)
        return {"score": np.where((label >= 0) & (found >= self.lowest), self.sign * found, -np.inf)}


@dataclass(frozen=True)
class VInformation(Method):
    """``prefer`` and ``drop``: see above; ``sample``: rows to train on, half of them for each half of the pool."""

    prefer: Literal["hard", "easy"] = "hard"
    drop: float = 0.05
    sample: int = 10_000
    buckets: int = 1 << 16
    cost: float = 1.0
    epochs: int = 10

    card: ClassVar[Card] = Card(
        summary="rows whose text tells a linear model little (or much) about their label, in bits of V-information",
        family="model-aware",
        needs=("text", "label"),
        cost="two passes to sample, seconds of training, one pass at n-gram speed",
        bibtex="@inproceedings{ethayarajh2022understanding, title={Understanding Dataset Difficulty with"
        " $\\mathcal{V}$-Usable Information}, author={Ethayarajh, Kawin and Choi, Yejin and Swayamdipta, Swabha},"
        " booktitle={ICML}, year={2022}}",
        evidence="closed form: planted information; claim: direction only (8 seeds)",
        use_when="Rows have labels, and you look for the hard, the easy or the wrongly labelled ones.",
        fails_when="The hardest rows are noise or hold nothing of their label: far worse to train on than random ones.",
    )

    def fit(self, run: Run) -> Pointwise:
        if (
            self.prefer not in ("hard", "easy")
            or not 0 <= self.drop < 1
            or min(self.sample, self.epochs, self.cost) <= 0
        ):
            raise UsageError("v_information: prefer is hard or easy, drop from 0 to below 1, the others above 0.")
        names, count = run.fold(TagNames(NAME, ""))
        if not 2 <= len(names) <= MOST_CLASSES:
            raise DataError(f"v_information needs 2 to {MOST_CLASSES} labels in the pool; it has {len(names)}.")
        share = count / count.sum()
        plain = Pointwise(tuple(names), share, run.seed)
        batch = as_batch(run.fold(BottomK(self.sample, NAME, run.seed)))  # the same rows as those of the labels
        label = run.fold(ScoreSample((plain,), self.sample, NAME, run.seed))["score"][:, 0]
        half, ngrams, found = plain.half(batch.key), Ngrams(1, self.buckets), []
        for side in (1, 0):  # half 0 is scored by models of half 1, the first in the table
            for at in range(len(names)):
                rows = [np.flatnonzero((half == side) & (label >= 0) & ((label == at) == one)) for one in (True, False)]
                if not min(map(len, rows)):
                    raise DataError(
                        f"v_information has too few rows of the label '{names[at]}': raise sample, or drop it."
                    )
                wanted = (part_of(batch, rows[0]), part_of(batch, rows[1]))
                found.append(fit_linear(*wanted, ngrams, self.cost, self.epochs, 0, run.seed))
        odds = np.tile(np.log(share / (1 - share)), 2)  # models are trained at equal sizes of a class and the rest
        table, bias = np.array([one.weight for one in found]), np.array([one.bias for one in found]) + odds
        fitted = Pointwise(tuple(names), share, run.seed, ngrams, table, bias, sign=1.0)
        known = np.flatnonzero(label >= 0)
        logits = (ngrams.means(batch, table) + bias).reshape(len(batch), 2, -1)[np.arange(len(batch)), half]
        bits = pointwise(logits[known], label[known].astype(np.int64), share)
        lowest = float(np.quantile(bits, self.drop, method="lower")) if self.drop else -np.inf
        entropy = float(-(share * np.log2(share)).sum())
        notes: dict[str, Any] = {"bits_of_label": entropy, "bits_told_by_text": float(bits.mean()), "lowest": lowest}
        notes |= {"by_label": {name: float(bits[label[known] == at].mean()) for at, name in enumerate(names)}}
        return Pointwise(
            fitted.names,
            share,
            run.seed,
            ngrams,
            table,
            bias,
            lowest,
            -1.0 if self.prefer == "hard" else 1.0,
            notes | {"-inf": "without a label, or among the share that drop leaves out"},
        )
