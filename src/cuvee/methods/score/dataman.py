"""DataMan: the rows that a language model rated best, and those that resemble them.

Peng et al., "DataMan: Data Manager for Pre-training Large Language Models", ICLR 2025, arXiv 2502.19363. A model rates
each document by itself on fourteen criteria from 1 to 5, the last of them overall; rows are taken from the highest
rating down until the budget is full, over all rows or, with ``--quota proportional`` or ``uniform``, within each domain
at its share of the tokens or at equal ones.

``ratings`` is a Parquet file with ``key``, ``id`` or ``text`` and a column of numbers called ``criterion``: what
``cuvee rate`` writes, or your own. Where not every row was rated, ``others`` "predict" rates the rest by ridge
regression on their vectors (a local rater distilled from the paid one; the paper rates everything), and "drop" leaves
them out.

Inputs: texts (or embeddings). Block: "score", the rating, or the prediction cut to 1 .. 5. Notes: rows rated, their
mean, with "predict" the rank correlation of predicted and given ratings on a tenth held out.

Deviations: equal ratings are taken in the order of their keys, not of the file; the budget is never exceeded, where the
release takes the document that reaches it; a domain with too little text is never filled by repetition.

Cost: the ratings; then two passes, one at embedding speed. Traps: ratings are ordinal: criteria must not be added up
without saying so; most texts tie; a rater likes some lengths and kinds of text better than others, and a regression on
few ratings learns the kind first.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import numpy as np

from ...core import Array, Batch, Block, Card, Map, Method, Run
from ...engine.draw import uniform
from ...errors import DataError, UsageError
from ...feature import named_values
from ...feature.embed import Embedder, of_pool, similarities
from ...feature.regression import learn
from ...fold.keyed_vectors import KeyedVectors, Present

FEWEST = 20
"""Ratings; with fewer no rater is distilled."""


@dataclass(frozen=True, eq=False)
class Ratings(Map):
    """``key`` uint64, ascending, with its ``rating``; ``weight`` predicts the rest (empty: they are left out)."""

    key: Array
    rating: Array
    embedder: Embedder | None
    weight: Array
    notes: dict[str, Any] = field(compare=False)

    def apply(self, batch: Batch) -> Block:
        score = np.full(len(batch), -np.inf)
        if self.embedder is not None:
            vectors = self.embedder.vectors(batch)
            told = similarities(vectors, self.weight[None, :-1])[:, 0].astype(np.float64) + self.weight[-1]
            score = np.where(np.any(vectors != 0, axis=1), np.clip(told, 1.0, 5.0), score)
        at = np.minimum(np.searchsorted(self.key, batch.key), len(self.key) - 1)
        return {"score": np.where(self.key[at] == batch.key, self.rating[at], score)}


@dataclass(frozen=True)
class DataMan(Method):
    """``criterion``: a column of ``ratings``; ``others``: "predict" or "drop" what was not rated."""

    ratings: str = ""
    criterion: str = "overall_score"
    others: Literal["predict", "drop"] = "predict"
    source: Literal["auto", "given", "static", "lsa"] = "auto"

    card: ClassVar[Card] = Card(
        summary="rows that a language model rates high, by ratings of some or all of them",
        family="quality",
        needs=("text",),
        cost="the ratings (cuvee rate); then two passes, one at embedding speed",
        bibtex="@inproceedings{peng2025dataman, title={DataMan: Data Manager for Pre-training Large Language Models},"
        " author={Peng, Ru and Yang, Kexin and Zeng, Yawen and Lin, Junyang and Liu, Dayiheng and Zhao, Junbo},"
        " booktitle={ICLR}, year={2025}}",
        evidence="picks of the release; planted rater; claim: direction only (8 seeds)",
        use_when="Quality matters more than topic, and a language model can rate some of the documents (`cuvee rate`).",
        fails_when="The rater decides all: with permuted ratings nothing is gained, and cleaner text need not give a "
        "lower loss.",
    )

    def fit(self, run: Run) -> Ratings:
        return rated(run, self, "dataman")


def rated(run: Run, asked: DataMan, who: str) -> Ratings:
    """The pool's ratings, fitted; ``who``: the method that messages name."""
    if not asked.ratings or asked.others not in ("predict", "drop"):
        raise UsageError(
            f"{who} needs ratings=FILE.parquet, made by cuvee rate or by yourself; others is predict or drop."
        )
    found = named_values.read(asked.ratings, (asked.criterion,), who)
    order = np.argsort(found.key)
    key, rating = found.key[order], found.values[order, 0]
    notes: dict[str, Any] = {"ratings": len(key), "mean_rating": float(rating.mean()) if len(key) else None}
    at = np.zeros(0, np.int64)
    if asked.others == "predict":
        embedder = of_pool(run, asked.source)
        rows = run.fold(KeyedVectors(key, embedder))
        at = np.searchsorted(key, rows["key"])
    if len(at) < FEWEST or not np.ptp(rating[at]) > 0:
        notes["rated_rows"] = int(run.fold(Present(key)))
        if not notes["rated_rows"]:
            raise DataError(f"No row of the pool is rated in {asked.ratings}. Are they the pool's own ids or texts?")
        if asked.others == "drop" or notes["rated_rows"] == run.rows:  # nobody is left to predict
            return Ratings(key, rating, None, np.zeros(0), notes)
        raise DataError(
            f"{asked.ratings} rates {len(at)} rows of the pool with a vector; {who} needs {FEWEST}, not all rated "
            "alike, to predict the others. Rate more, or give others=drop."
        )
    draw = uniform(run.seed, "dataman held out", rows["key"])
    held = draw <= np.sort(draw)[max(len(at) // 10, 4) - 1]
    weight, told = learn(rows["vectors"], rating[at], np.zeros(len(at)), held)
    weight = weight * float(rating[at].std())
    weight[-1] += float(rating[at].mean())
    notes |= {"rated_rows": len(at), "held_out_correlation": told["held_out_correlation"]}
    return Ratings(key, rating, embedder, weight, notes)
