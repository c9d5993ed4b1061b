"""FLYT: rows on which one step of training lowers the target's loss most, as a score that is learned by gradient.

Shechter and Carmon, "Filter Like You Test: Data-Driven Data Filtering for CLIP Pretraining", 2025, arXiv 2503.08805.
A scorer gives s_i = a . x_i for the rows of a batch from the pool, w = softmax(s) weighs their losses, a reference
model takes one optimiser step on the weighted loss, and the scorer follows the gradient of the target's loss then:

    theta' = theta - eta D sum_i w_i grad l_i(theta),   dL/dw_i = -eta grad l_i(theta) . D grad L(theta'),
    dL/ds_i = w_i (dL/dw_i - sum_j w_j dL/dw_j),        D: the diagonal of an adaptive optimiser, held fixed.

Here x are the rows' vectors; M-FLYT, the same with the standardised scores of other methods for x, is
``--combine learned``. Rows are chosen by the paper's soft cap (``soft_cap``),
for which scores are divided by their standard deviation.

Deviations: the reference model is no network but a distribution over hashed word uni- and bigrams, softmax(theta),
begun at the pool's, with l_i the mean nats of row i's n-grams, whose gradients are exact and sparse; after each step
the reference goes on from theta' (``follow``), as in the release. D is 1 / the root mean square of the pool's n-gram
frequencies. The scorer follows by Adam with one second moment for all its weights (there one for each, which gives
noise the same steps as signal).

Inputs: texts (and vectors, made or given) of pool and target. Cost: one pass to sample, seconds to learn, one to score.
Traps: only differences of scores mean anything, and weights only within a batch: small batches blur them; the reference
rewards nearness of n-grams, as ``dsir`` does, at more cost; x learned on few steps need not have converged.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import numpy as np

from ...core import Array, Batch, Block, Card, Choose, Map, Method, Run
from ...errors import UsageError
from ...feature.embed import Embedder, of_target, similarities
from ...fold.bottom_k import BottomK
from ...fold.flyt_step import Settings, learn
from ...fold.kmeans import VectorSample
from ..choose.soft_cap import SoftCap


@dataclass(frozen=True, eq=False)
class Scorer(Map):
    """The fitted score: the inner product with ``weights``, float64 (d,), times ``scale``."""

    embedder: Embedder
    weights: Array
    notes: dict[str, Any] = field(compare=False)

    def apply(self, batch: Batch) -> Block:
        vectors = self.embedder.vectors(batch)
        score = similarities(vectors, self.weights[None])[:, 0].astype(np.float64)
        return {"score": np.where(np.any(vectors != 0, axis=1), score, -np.inf)}


@dataclass(frozen=True)
class Flyt(Method):
    """``steps`` of ``batch`` rows; ``rate``: the scorer's; ``eta``: the reference model's; ``follow``: see above."""

    steps: int = 300
    batch: int = 1024
    rate: float = 0.01
    eta: float = 0.05
    follow: bool = True
    sample: int = 20_000
    source: Literal["auto", "given", "static", "lsa"] = "auto"

    card: ClassVar[Card] = Card(
        summary="rows on which a step of training lowers the target's loss most, by a score learned through that step",
        family="model-aware",
        needs=("text", "embedding", "target"),
        cost="two passes at embedding speed; seconds to learn",
        bibtex="@article{shechter2025filter, title={Filter Like You Test: Data-Driven Data Filtering for {CLIP}"
        " Pretraining}, author={Shechter, Mikey and Carmon, Yair}, journal={arXiv:2503.08805}, year={2025}}",
        evidence="score gradients of automatic differentiation through a step; claim: direction only (8 seeds)",
        use_when="The target should teach, not only be imitated, and you accept repeated rows. With scores at hand "
        "already, `--combine learned` weighs them by the same gradient (M-FLYT).",
        fails_when="At a budget that is a small share of the pool soft cap repeats a few dozen rows, which was the "
        "worst choice of all: `--choose top_k` takes none twice.",
    )

    def __post_init__(self) -> None:
        self.settings()
        if self.sample < 2:
            raise UsageError(f"flyt: sample is at least 2, not {self.sample}.")

    def settings(self) -> Settings:
        return Settings(self.steps, self.batch, self.rate, self.eta, self.follow)

    def fit(self, run: Run) -> Scorer:
        embedder, _ = of_target(run, self.source)
        texts = run.fold(BottomK(self.sample, "flyt", run.seed))
        found = run.fold(VectorSample(self.sample, "flyt", run.seed, embedder))
        order = np.argsort(found["row"], kind="stable")
        at = order[np.minimum(np.searchsorted(found["row"], texts["row"], sorter=order), len(order) - 1)]
        inputs = np.where((found["row"][at] == texts["row"])[:, None], found["vectors"][at].astype(np.float64), np.nan)
        inputs *= embedder.width**0.5
        weights, notes = learn(run, self.settings(), inputs, "flyt")
        spread = float(np.nanstd(inputs @ weights))
        notes["standard_deviation"] = spread
        return Scorer(embedder, weights * embedder.width**0.5 / max(spread, 1e-300), notes)

    def chooser(self, fitted: Map) -> Choose:
        return SoftCap()
