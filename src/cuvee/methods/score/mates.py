"""MATES: rows that, by what was learned from some, bring the model's loss on a reference down fastest.

Yu, Das and Xiong, "MATES: Model-Aware Data Selection for Efficient Pretraining with Data Influence Models", NeurIPS
2024, arXiv 2406.06046. The influence of a text is what one step of training on it takes off the loss on a reference,

    I(x) = L_ref(model) - L_ref(model after one step on x),

measured for some ``probes`` of the pool; a regression learns to predict it, standardised to mean 0 and variance 1, for
all rows; these are drawn without replacement in proportion to exp(prediction / temperature), at temperature 0.5. (The
released code adds the noise to a score of which less is better and keeps the smallest, which is another distribution;
here the paper's.)

Give your own model's influences with ``influences``, a Parquet file with ``text``, or ``id`` as in the pool, and
``influence`` (higher is better): a step from a copy of the checkpoint with its optimiser's state. Without it, the model
is the tiny byte table of ``feature/step_influence.py``, trained on ``warmup`` random rows of the pool, with plain
gradient steps at ``rate``; the reference is the target. Deviations: the regression is ridge regression on the rows'
vectors (see ``embedding``) where the paper trains a BERT; its penalty is that of the highest rank correlation on a
tenth of the probes held out, by which the paper chooses its checkpoint.

Inputs: texts; a target, or ``influences``. Notes: ``held_out_correlation`` (Spearman) of predicted and measured,
``given_length`` (the same with text length partialled out), ``correlation_of_references`` (of the influences by two
halves of the reference: what the oracle's noise allows). Cost: a millisecond for each probe with the tiny model, one
pass to draw, one at embedding speed to score. Traps: the tiny model knows nearness of three bytes and no more; where
``held_out_correlation`` is near 0 the choice is random; for a changing model the paper repeats this every stage.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import numpy as np

from ...core import Array, Batch, Block, Card, Choose, Map, Method, Run
from ...engine.draw import uniform
from ...errors import DataError, UsageError
from ...feature import named_values
from ...feature.embed import Embedder, of_pool, similarities
from ...feature.regression import learn
from ...feature.step_influence import counts, train
from ...fold.bottom_k import BottomK, as_batch
from ...fold.keyed_vectors import KeyedVectors
from ...fold.linear_kernels import rank_correlation
from ..choose.gumbel import Gumbel

FEWEST = 20
"""Probes; with fewer nothing can be learned."""


@dataclass(frozen=True, eq=False)
class Predicted(Map):
    """score = vector . weight[:-1] + weight[-1], in standard deviations of the probes' influence."""

    embedder: Embedder
    weight: Array
    notes: dict[str, Any] = field(compare=False)

    def apply(self, batch: Batch) -> Block:
        vectors = self.embedder.vectors(batch)
        score = similarities(vectors, self.weight[None, :-1])[:, 0].astype(np.float64) + self.weight[-1]
        score[~np.any(vectors != 0, axis=1)] = -np.inf
        return {"score": score}


@dataclass(frozen=True)
class Mates(Method):
    """``influences``: measured with your own model; else ``probes``, ``warmup`` and ``rate`` of the tiny one."""

    influences: str = ""
    probes: int = 1000
    warmup: int = 2000
    rate: float = 30.0
    temperature: float = 0.5
    source: Literal["auto", "given", "static", "lsa"] = "auto"
    max_bytes: int = 4096

    card: ClassVar[Card] = Card(
        summary="rows predicted to lower a model's loss on the target most, by one-step influence on some of them",
        family="model-aware",
        needs=("text", "target"),
        cost="a millisecond for each probe, or your model's steps; two passes, one at embedding speed",
        bibtex="@inproceedings{yu2024mates, title={MATES: Model-Aware Data Selection for Efficient Pretraining with"
        " Data Influence Models}, author={Yu, Zichun and Das, Spandan and Xiong, Chenyan}, booktitle={NeurIPS},"
        " year={2024}}",
        evidence="a step of the whole table; picks of true Gumbel top-k; claim: reproduced (8 seeds)",
        use_when="You can measure how much single documents help your own model (`influences`), or want a cheap "
        "estimate of it: rows that lower the loss on the target, not rows that look like it.",
        fails_when="Influence on one model says little of another: where `held_out_correlation` in the notes is near "
        "0, it draws at random.",
    )

    def needs(self) -> tuple[str, ...]:
        return ("text",) if self.influences else self.card.needs

    def fit(self, run: Run) -> Predicted:
        if min(self.probes, self.warmup, self.rate, self.temperature) <= 0:
            raise UsageError("mates: probes, warmup, rate and temperature must be above 0.")
        embedder = of_pool(run, self.source)
        key, value, length, notes = self._given() if self.influences else self._measured(run)
        order = np.argsort(key, kind="stable")
        found = run.fold(KeyedVectors(key[order], embedder))
        at = order[np.searchsorted(key[order], found["key"])]
        if len(at) < FEWEST or not np.ptp(value[at]) > 0:
            raise DataError(
                f"mates has {len(at)} probes with a vector; it needs {FEWEST}, whose influences differ. Check that the "
                "ids or texts of the probes are those of the pool."
            )
        draw = uniform(run.seed, "mates held out", found["key"])
        held = draw <= np.sort(draw)[max(len(at) // 10, 4) - 1]
        weight, told = learn(found["vectors"], value[at], length[at], held)
        return Predicted(embedder, weight, {"probes": len(at), **notes, **told})

    def chooser(self, fitted: Map) -> Choose:
        return Gumbel(self.temperature)

    def _given(self) -> tuple[Array, Array, Array, dict[str, float]]:
        found = named_values.read(self.influences, ("influence",), "mates")
        length = np.diff(found.batch.offsets) if found.is_text else np.zeros(len(found.key), np.int64)
        return found.key, found.values[:, 0], length, {}

    def _measured(self, run: Run) -> tuple[Array, Array, Array, dict[str, float]]:
        """Keys of the probes, influences, lengths, and what the halves of the reference say of each other."""
        drawn = run.fold(BottomK(self.probes + self.warmup, "mates", run.seed, self.max_bytes))
        parts = max(min(self.probes, len(drawn["row"]) // 2), 1)
        probes, rest = (cut(as_batch(drawn), low, high) for low, high in ((0, parts), (parts, None)))
        table = train(rest)
        halves = np.zeros((2, *table.logits.shape))
        for batch in run.targets():
            for row in range(len(batch)):
                halves[row % 2] += counts(cut(batch, row, row + 1), table.order, table.bits)
        if not halves.any():
            raise DataError("mates needs target texts for the reference loss; the target is empty.")
        each = table.influence(probes, halves, self.rate)
        share = halves.sum(axis=(1, 2)) / halves.sum()
        notes = {"correlation_of_references": rank_correlation(each[:, 0], each[:, 1])}
        notes["reference_loss"] = table.loss(halves.sum(axis=0))
        return probes.key, each @ share, np.diff(probes.offsets), notes


def cut(batch: Batch, low: int, high: int | None) -> Batch:
    """Rows low to high."""
    end = len(batch) if high is None else high
    return Batch(batch.data, batch.offsets[low : end + 1], batch.row[low:end], batch.key[low:end])
