"""PreSelect: rows on which the losses of several models rank the models as their abilities do.

Shum et al., "Predictive Data Selection: The Data That Predicts Is the Data That Teaches", arXiv 2503.00808. For N
models with abilities S and losses C(d) on document d, the predictive strength is the share of pairs in which the
abler model has the lower loss,

    strength(d) = sum_{i, j: S_i < S_j} [C_i(d) > C_j(d)] / (N (N - 1) / 2);

ties, in loss or ability, count 0. Documents of strength 1 are the positives; the negatives are as many others of the
lowest strengths, ties in the order of the row key (the hash of the id). The score is the log odds of a linear
classifier on word uni- and bigrams trained on both (``score/classifier.py``; the paper trains fastText with
wordNgrams=2, epoch=3, lr=0.1; ours has no hidden layer and, being convex, no learning rate).

Inputs: ``losses``, a Parquet file with one row per document: its ``text``, or its ``id`` as in the pool, and one
number per model (bits in total or per character: within a document the divisor cancels), in columns named as in
``abilities``, a JSON file {"model": ability, ...}, higher is better (default: NAME.json beside NAME.parquet).

Cost: the losses, N forward passes over a seed set, are not made here; then one pass to find texts given by id, and
one to score. Traps: mixed model families gave random results in the paper; where abilities follow size alone, strength
means no more than that larger models do better here; score each document by itself, not in a stream with others, whose
context leaks in; most documents tie (N models give N(N - 1)/2 + 1 values). The paper took all documents of strength 1,
about 200,000; here ``sample`` of them are drawn by key. It keeps the top 10 % by characters; of our budget units bytes
come nearest.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from ...core import Array, Batch, Card, Method, Run
from ...engine.draw import uniform
from ...errors import DataError, UsageError
from ...feature.content import string_hash
from ...feature.ngrams import Ngrams
from ...fold.bottom_k import Keyed, as_batch
from .classifier import Linear, fit_linear

Floats = npt.NDArray[np.float64]


def concordant_pairs(losses: Floats, ability: Floats) -> npt.NDArray[np.int64]:
    """Pairs of models in which the abler one has the lower loss: losses (documents, models), ability (models,)."""
    total = np.zeros(len(losses), np.int64)
    for i in range(len(ability)):
        for j in np.flatnonzero(ability > ability[i]):
            total += losses[:, i] > losses[:, j]
    return total


def strength(losses: Floats, ability: Floats) -> Floats:
    """Predictive strength, float64 (documents,), between 0 and 1."""
    n = len(ability)
    return concordant_pairs(losses, ability) / (n * (n - 1) / 2)


def classes(value: Floats, key: Array, seed: int, sample: int) -> tuple[Array, Array]:
    """Places of the positives and of as many negatives."""
    order = np.lexsort((key, uniform(seed, "preselect positives", key), -value))
    positive = order[: min(sample, int(np.count_nonzero(value == 1.0)))]
    others = np.lexsort((key, value))
    others = others[value[others] < 1.0]
    return positive, others[: len(positive)]


def read_abilities(path: str) -> dict[str, float]:
    """The JSON file of abilities, checked."""
    try:
        found = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"preselect cannot read the abilities {path}: {error}") from error
    numbers = found.values() if isinstance(found, dict) else ()
    if len(numbers) < 2 or not all(type(x) in (int, float) and abs(x) < 1e300 for x in numbers):
        raise DataError(f'{path} must hold the abilities of two or more models: {{"model": number, ...}}.')
    return {name: float(x) for name, x in found.items()}


def read_losses(path: str, models: list[str]) -> tuple[pa.Array, bool, Floats]:
    """(texts or ids, whether they are texts, losses (documents, models)) from the Parquet file, checked."""
    try:
        names = pq.read_schema(path).names
        what = "text" if "text" in names else "id"
        lacking = [name for name in (what, *models) if name not in names]
        if lacking:
            raise DataError(f"{path} has no column {lacking[0]!r}; preselect needs text or id, and {models}.")
        table = pq.read_table(path, columns=[what, *models])
        name = table.column(what).cast(pa.large_string()).combine_chunks()
        losses = np.column_stack([table.column(m).cast(pa.float64()).to_numpy() for m in models])
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"preselect cannot read the losses {path}: {error}") from error
    bad = np.argwhere(~np.isfinite(losses))
    if len(bad):
        raise DataError(f"{path}, row {bad[0][0] + 1}: the loss of {models[bad[0][1]]} is missing, NaN or infinite.")
    if name.null_count:
        raise DataError(f"{path}: {name.null_count} rows have no {what}.")
    return name, what == "text", losses


def as_rows(name: Any, key: Array) -> Batch:
    """A column of texts (Arrow large strings) as a batch."""
    offsets = np.frombuffer(name.buffers()[1], np.int64)[name.offset : name.offset + len(name) + 1]
    return Batch(np.frombuffer(name.buffers()[2] or b"", np.uint8), offsets, np.arange(len(name)), key)


@dataclass(frozen=True)
class PreSelect(Method):
    """Predictive strength, carried over to the pool by a classifier."""

    losses: str = ""
    abilities: str = ""
    sample: int = 10000
    buckets: int = 1 << 18
    cost: float = 1.0
    epochs: int = 3
    max_bytes: int = 8192
    card: ClassVar[Card] = Card(
        summary="rows like those whose losses rank models as their abilities do",
        family="predictive of ability",
        needs=("text",),
        cost="the losses of several models on a seed set, then two passes at n-gram speed",
        bibtex="@article{shum2025preselect, title={Predictive Data Selection: The Data That Predicts Is the Data That"
        " Teaches}, author={Shum, Kashun and Huang, Yuzhen and Zou, Hongjian and Ding, Qi and Liao,"
        " Yixuan and Chen, Xiaoxin and Liu, Qian and He, Junxian}, journal={arXiv:2503.00808}, year={2025}}",
        evidence="counts of the released script; claim: not reproduced (8 seeds)",
        use_when="You have the losses of several models on a seed set, and know how able these models are.",
        fails_when="The classifier may learn what the weakest documents are not: its highest scores were of another "
        "kind than the documents of strength 1.",
    )

    def fit(self, run: Run) -> Linear:
        if not self.losses or min(self.sample, self.epochs, self.cost) <= 0:
            raise UsageError("preselect needs losses=FILE.parquet, and sample, epochs and cost above 0.")
        ability = read_abilities(self.abilities or self.losses.removesuffix(".parquet") + ".json")
        name, is_text, losses = read_losses(self.losses, list(ability))
        key = string_hash(name)
        if len(np.unique(key)) < len(key):
            raise DataError(f"{self.losses} names a document twice: give each text or id once.")
        value = strength(losses, np.array(list(ability.values())))
        chosen = [np.sort(key[at]) for at in classes(value, key, run.seed, self.sample)]
        if not len(chosen[0]) or not len(chosen[1]):
            raise DataError(f"preselect needs documents of strength 1, and others, in {self.losses}; it has not both.")
        wanted = Keyed(np.sort(np.concatenate(chosen)), self.max_bytes)
        found = as_batch(wanted.lift(as_rows(name, key)) if is_text else run.fold(wanted))
        positive, negative = (as_batch(Keyed(keys, self.max_bytes).lift(found)) for keys in chosen)
        if not len(positive) or not len(negative):
            raise DataError(f"preselect found {len(found)} of {len(wanted.keys)} documents by their ids in the pool.")
        fitted = fit_linear(positive, negative, Ngrams(2, self.buckets), self.cost, self.epochs, 5, run.seed)
        highest = float(value[np.isin(key, chosen[1])].max())
        fitted.notes.update(documents=len(key), strength_1=int((value == 1.0).sum()), highest_negative_strength=highest)
        return fitted
