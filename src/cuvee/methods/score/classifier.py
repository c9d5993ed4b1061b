"""A hashed linear classifier, target against pool, on word uni- and bigrams.

The model class is fastText's: Joulin et al., "Bag of Tricks for Efficient Text Classification", EACL 2017, without
its hidden layer. As a quality filter: Brown et al., "Language Models are Few-Shot Learners", 2020, appendix A, and
Li et al., "DataComp-LM", 2024. With f(x) the mean of the one-hot vectors of the row's n-grams,

    score(x) = w f(x) + b = log odds (at equal class sizes) that x comes from the target,

w and b minimise the L2-regularised logistic loss (``fold/linear_kernels.py``), each class weighing the same.

Inputs: texts. Positives are at most ``sample`` target rows, or pool rows whose domain is ``domain``; negatives are
as many other pool rows, both uniform samples by keyed draws, cut to ``max_bytes``. Weights: float64 (buckets,).
``cost`` is C in the loss per row at features of mean square norm 1: smaller is smoother.

The notes hold the AUC by cross-validation with its 95 % interval (over test rows, given the trained models), the AUC
of text length alone, and the rank correlation of held-out scores with length over the negatives.

Cost: one pass to sample, ``folds`` + 1 trainings in memory on one core, one pass to score. Measured: 200 to
300 MB/s scoring on one core; with 50 targets in a pool of five kinds of text, one in five rows of the target's kind,
AUC 0.93 to 0.99 for the kind.
Traps: negatives contain rows like the target, so the AUC is an underestimate and the odds are not probabilities;
the classifier takes any difference (length, encoding, boilerplate) that tells both apart for relevance.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from ...core import Array, Batch, Block, Card, Map, Method, Run
from ...engine.draw import bits, uniform
from ...errors import DataError, UsageError
from ...feature.explain import contributions
from ...feature.ngrams import Ngrams
from ...fold.bottom_k import BottomK, as_batch
from ...fold.linear_kernels import auc, decision, rank_correlation, train

BLOCK_BYTES = 1 << 23
FOLLOWS_LENGTH = 0.3


@dataclass(frozen=True, eq=False)
class Linear(Map):
    """The fitted score: the mean weight of the row's n-grams, plus the bias."""

    ngrams: Ngrams
    weight: Array
    bias: float
    notes: dict[str, Any] = field(compare=False)

    def apply(self, batch: Batch) -> Block:
        return {"score": self.ngrams.means(batch, self.weight) + self.bias}

    def explain(self, text: str) -> list[tuple[str, float]]:
        """The n-grams that weighed most, for reports."""
        return contributions(self.ngrams, self.weight, text)


def sparse_means(ngrams: Ngrams, batch: Batch) -> tuple[Array, Array, Array]:
    """f(x) of all rows in compressed sparse form: int64 (rows + 1,), int32 and float64 (entries,)."""
    parts, sizes, first = [], [np.zeros(1, np.int64)], 0
    while first < len(batch):
        last = max(first + 1, int(np.searchsorted(batch.offsets, batch.offsets[first] + BLOCK_BYTES, "right")) - 1)
        cut = slice(first, last)
        part = Batch(batch.data, batch.offsets[first : last + 1], batch.row[cut], batch.key[cut])
        indptr, index, counts = ngrams.rows(part)
        total = np.add.reduceat(np.append(counts, 0), indptr[:-1]) * (np.diff(indptr) > 0)
        parts.append((index.astype(np.int32), counts / np.repeat(total, np.diff(indptr))))
        sizes.append(np.diff(indptr))
        first = last
    indptr = np.cumsum(np.concatenate(sizes))
    return indptr, np.concatenate([i for i, _ in parts]), np.concatenate([v for _, v in parts])


def join(positive: Batch, negative: Batch) -> Batch:
    """One batch with the rows of both."""
    parts = (positive, negative)
    offsets = np.concatenate([positive.offsets, negative.offsets[1:] + positive.offsets[-1]])
    data, row, key = (np.concatenate([getattr(b, name) for b in parts]) for name in ("data", "row", "key"))
    return Batch(data, offsets, row, key)


def fit_linear(
    positive: Batch, negative: Batch, ngrams: Ngrams, cost: float, epochs: int, folds: int, seed: int
) -> Linear:
    """Train on two batches whose data hold nothing but their rows, and cross-validate. Needs rows of both classes."""
    batch, n = join(positive, negative), len(positive)
    indptr, index, value = sparse_means(ngrams, batch)
    scale = 1.0 / np.sqrt(max(float((value * value).sum()) / len(batch), 1e-300))
    value *= scale
    label = np.arange(len(batch)) < n
    limit = cost * np.where(label, len(batch) / (2.0 * n), len(batch) / (2.0 * (len(batch) - n)))
    visits = [np.argsort(bits(seed, f"classifier epoch {e}", batch.key), kind="stable") for e in range(epochs)]
    order = np.concatenate(visits)
    weight, bias = train(indptr, index, value, label, limit, order, ngrams.buckets)
    part = (uniform(seed, "classifier fold", batch.key) * folds).astype(np.int64)
    length, held, found = np.diff(batch.offsets).astype(np.float64), np.zeros(len(batch)), []
    for number in range(folds if folds > 1 else 0):
        model = train(indptr, index, value, label, limit, order[part[order] != number], ngrams.buckets)
        score, here = decision(indptr, index, value, *model), part == number
        held[here] = score[here]
        if min(np.count_nonzero(here & label), np.count_nonzero(here & ~label)) > 1:
            found.append(auc(score[here & label], score[here & ~label]))
    notes: dict[str, Any] = {"positives": n, "negatives": len(batch) - n}
    if found:
        mean, half = (float(x) for x in (np.mean([a for a, _ in found]), 1.96 * np.sqrt(sum(v for _, v in found))))
        half /= len(found)
        notes |= {"auc": mean, "auc_low": max(0.0, mean - half), "auc_high": min(1.0, mean + half)}
        notes |= {"auc_of_length": auc(length[label], length[~label])[0]}
        notes |= {"correlation_with_length": rank_correlation(held[~label], length[~label])}
        if abs(notes["correlation_with_length"]) > FOLLOWS_LENGTH:
            notes["warning"] = "The score follows text length: compare with a control of equal length."
    return Linear(ngrams, weight * scale, bias, notes)


@dataclass(frozen=True)
class Classifier(Method):
    """Target (or one domain) against the pool."""

    sample: int = 5000
    n: int = 2
    buckets: int = 1 << 18
    cost: float = 1.0
    epochs: int = 10
    folds: int = 5
    max_bytes: int = 8192
    domain: str = ""
    card: ClassVar[Card] = Card(
        summary="log odds that a row comes from the target, by a linear classifier on hashed n-grams",
        family="target similarity",
        needs=("text", "target"),
        cost="two passes at n-gram speed; seconds of training",
        bibtex="@inproceedings{joulin2017bag, title={Bag of Tricks for Efficient Text Classification}, author={Joulin,"
        " Armand and Grave, Edouard and Bojanowski, Piotr and Mikolov, Tomas}, booktitle={EACL}, year={2017}}",
        evidence="optimality conditions of the loss; claim: reproduced (8 seeds)",
        use_when="You have some hundreds of texts that you want more of, and a score with a natural zero (more like "
        "the target than like the pool) is useful. The notes tell by cross-validation whether the difference can be "
        "learned at all.",
        fails_when="Its highest scores resemble each other, and of a target of several modes they serve one: top "
        "scores were worse than random rows where draws by the same score (`--choose gumbel`, `poisson`) were better.",
    )

    def needs(self) -> tuple[str, ...]:
        return ("text", "domain") if self.domain else self.card.needs

    def fit(self, run: Run) -> Linear:
        if min(self.sample, self.epochs, self.cost) <= 0:
            raise UsageError("classifier needs sample and epochs of at least 1 and a cost above 0.")
        domain = self.domain or None
        wanted = BottomK(self.sample, "classifier positives", run.seed, self.max_bytes, domain)
        positive = as_batch(run.fold(wanted, over="pool" if domain else "target"))
        others = BottomK(len(positive), "classifier negatives", run.seed, self.max_bytes, domain, exclude=True)
        negative = as_batch(run.fold(others))
        if not len(positive) or not len(negative):
            raise DataError(
                f"classifier has {len(positive)} positive and {len(negative)} negative rows; it needs both."
            )
        ngrams = Ngrams(self.n, self.buckets)
        return fit_linear(positive, negative, ngrams, self.cost, self.epochs, self.folds, run.seed)
