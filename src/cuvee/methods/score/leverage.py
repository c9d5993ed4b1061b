"""Rows that a regression on the vectors cannot do without: leverage, root leverage and Lewis weights.

With rows a_i of length d (and, with ``intercept``, a 1 at their end),

    leverage  t_i = a_i (A^T A)^+ a_i^T, between 0 and 1, in sum the rank;
    root      t_i^(p/2): enough for l_p regression with 1 <= p < 2 (Woodruff and Yasuda, "Sharper Bounds for l_p
              Sensitivity Sampling", ICML 2023, arXiv 2306.00732);
    Lewis     w_i = (a_i (A^T W^(1 - 2/p) A)^-1 a_i^T)^(p/2), the fixed point, for p < 4 (Cohen and Peng, STOC 2015);
              for p <= 2 no smaller than the l_p sensitivity sup_x |a_i x|^p / |A x|_p^p.

The score is the logarithm, and rows are drawn independently with probability min(1, c t_i), so that sums over the
sample weighted by 1 / probability estimate the pool's (``poisson``; the budget is met on average).

Lewis weights are found by iterating their equation from the leverages, one pass each, which brings logarithms of
weights nearer by the factor |1 - p/2|: 10 passes for p = 1 or 3, one for p = 2, more and more towards p = 0 and 4. By
default as many are made as this factor asks for to come below 0.001, at most 60; ``notes["last_change"]`` tells by how
much, as a share, the last pass still changed the weighted Gram matrix: where it is large the weights are not final.

Inputs: texts or an embedding column. Cost: one pass for A^T A (28 microseconds a row at 256 dimensions); Lewis weights
one more pass for each of ``iterations``; one to score. Traps: it says nothing of the target or of quality: strange rows
have high leverage; with as many dimensions as rows all leverages are 1; 1 / probability must be carried along.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import numpy as np

from ...core import Array, Batch, Block, Card, Choose, Map, Method, Run
from ...errors import UsageError
from ...feature.embed import Embedder, of_pool
from ...fold.lewis import WeightedGram, form, root_of_inverse, rows_of
from ..choose.poisson import Poisson


@dataclass(frozen=True, eq=False)
class LogWeight(Map):
    """The fitted score: ``power`` times the logarithm of a_i R R^T a_i^T."""

    embedder: Embedder
    root: Array
    power: float
    intercept: bool
    notes: dict[str, Any] = field(compare=False)
    log_weight: ClassVar[bool] = True

    def apply(self, batch: Batch) -> Block:
        vectors = rows_of(self.embedder, batch, self.intercept)
        with np.errstate(divide="ignore"):
            score = self.power * np.log(form(vectors, self.root))
        return {"score": np.where(np.any(vectors != 0, axis=1), score, -np.inf)}


def passes(p: float) -> int:
    """How often the equation of Lewis weights is iterated."""
    factor = abs(1.0 - p / 2)
    return int(np.clip(np.ceil(np.log(1e-3) / np.log(factor)), 1, 60)) if factor > 0 else 1


@dataclass(frozen=True)
class Leverage(Method):
    """``kind``: "leverage", "root" or "lewis"; ``p``: of the norm that is to be kept; ``iterations``: for Lewis weights
    (0: as many as p needs)."""

    kind: Literal["leverage", "root", "lewis"] = "leverage"
    p: float = 1.0
    iterations: int = 0
    intercept: bool = False
    source: Literal["auto", "given", "static", "lsa"] = "auto"

    card: ClassVar[Card] = Card(
        summary="rows that a regression cannot do without: leverage, root leverage, Lewis weights; with probabilities",
        family="diversity",
        needs=("embedding",),
        cost="two passes at embedding speed and dimensions^2 a row; Lewis weights 10 more",
        bibtex="@inproceedings{woodruff2023sharper, title={Sharper Bounds for $\\ell_p$ Sensitivity Sampling},"
        " author={Woodruff, David P. and Yasuda, Taisuke}, booktitle={ICML}, year={2023}}",
        evidence="leverage by QR, Lewis weights, l_1 sensitivities computed apart; claim: direction only (8 seeds)",
        use_when="You need a small weighted sample on which linear functions of the vectors keep their sums.",
        fails_when="Strange rows have the highest leverage: as text to train on, its rows were worse than random ones.",
    )

    def fit(self, run: Run) -> LogWeight:
        if self.kind not in ("leverage", "root", "lewis") or not 0 < self.p < 4 or self.iterations < 0:
            raise UsageError("leverage: kind is leverage, root or lewis; 0 < p < 4; iterations is at least 0.")
        embedder = of_pool(run, self.source)
        gram, rows = run.fold(WeightedGram(embedder, intercept=self.intercept))
        root = root_of_inverse(gram)
        notes: dict[str, Any] = {"rows_with_a_vector": rows}
        for step in range((self.iterations or passes(self.p)) if self.kind == "lewis" else 0):
            before, (gram, _) = gram, run.fold(WeightedGram(embedder, root, self.p, self.intercept))
            root = root_of_inverse(gram)
            change = float(np.linalg.norm(gram - before)) / max(float(np.linalg.norm(gram)), 1e-300)
            notes |= {"passes": step + 1, "last_change": change}
        power = 1.0 if self.kind == "leverage" else self.p / 2
        return LogWeight(embedder, root, power, self.intercept, {"rank": root.shape[1], **notes})

    def chooser(self, fitted: Map) -> Choose:
        return Poisson()
