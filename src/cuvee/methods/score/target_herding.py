"""Herding towards a target: rows whose mean in a feature space follows the target's, each pick repairing the last.

Kernel herding (Chen, Welling and Smola, "Super-Samples from Kernel Herding", UAI 2010; see ``herding``) towards another
set's mean, which is greedy minimisation of the maximum mean discrepancy of Gretton et al. ("A Kernel Two-Sample Test",
JMLR 2012). With features f, the target's rows q and the pool's x,

    m = mean f(q);    w = m at first;    take argmax_i w . f(x_i);    w <- w + m - f(x_i),

each row at most once. The k-th pick, times k, is thus k m . f(x) - sum of f(x) . f(x_s) over those taken: as near to
the target as can be, less what has been taken already, so that the target's kinds of text come in its proportions.
Features are random Fourier features of a Gaussian kernel of this ``width``, or the vectors themselves (``features`` 0),
as in ``herding``.

Inputs: texts or embedding columns of pool and target. Block: "embedding", and "score", f(x) . m with features drawn by
the seed: how near a row is to the target on average. The notes give the squared discrepancies between the target and
what is kept, the pool, and as many random rows (in expectation). Cost: two passes at embedding speed; rows x taken x
features. A pool of more than 65,536 rows is chosen from in two rounds (``choose/greedy.py``), always towards the whole
target's mean. Traps: where many rows are asked for, those near the target run out and the mean is kept by rows about
it, not of it; the width is in the unit of the vectors, and much too large a one knows the mean alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import numpy as np

from ...core import Array, Batch, Block, Budget, Card, Choose, Columns, Decision, Draw, Map, Method, Run
from ...feature.embed import Embedder, of_target, similarities
from ..choose.greedy import SHARD_ROWS, Listed, choose_greedily, eligible, shards
from ..choose.herding import Herding, follow


@dataclass(frozen=True, eq=False)
class Towards(Choose):
    """Herding by ``rule`` towards the mean feature of ``targets``, float32 (m, d)."""

    rule: Herding
    targets: Array

    by_priority: ClassVar[bool] = False
    card: ClassVar[Card] = Herding.card

    def choose(self, columns: Columns, budget: Budget, draw: Draw) -> Decision:
        mean = mean_feature(self.rule, self.targets, draw)

        def pick(vectors: Array, cost: Array, amount: int, key: Array) -> Array:
            return follow(self.rule.map(vectors, draw), mean, cost, amount)

        found = choose_greedily(columns, budget, pick, "the nearest to what the target's mean lacks")
        total, taken, square, count = np.zeros(len(mean)), np.zeros(len(mean)), 0.0, 0
        for part in shards(columns, ("embedding", "row", "key"), SHARD_ROWS):
            usable = eligible(part, Budget("rows", 1), 1)
            features = self.rule.map(usable["embedding"], draw).astype(np.float64)
            total, square, count = (
                total + features.sum(axis=0),
                square + float((features**2).sum()),
                count + len(usable["row"]),
            )
            taken += features[found.repeats(usable) > 0].sum(axis=0)
        n, pool = len(found.rows), total / count
        away = float(((pool - mean) ** 2).sum())
        spread = (square / count - float(pool @ pool)) / n * (count - n) / max(count - 1, 1)
        notes = {"discrepancy": float(((taken / n - mean) ** 2).sum()), "discrepancy_of_pool": away}
        notes |= {"discrepancy_of_random_rows": away + spread, "targets": len(self.targets)}
        return Listed(found.rows, found.times, {**found.notes, **notes}, found.because)


def mean_feature(rule: Herding, vectors: Array, draw: Draw) -> Array:
    """float64 (features,)."""
    return rule.map(vectors, draw).astype(np.float64).mean(axis=0)


@dataclass(frozen=True, eq=False)
class NearTarget(Map):
    """The fitted map: vectors, and their features' inner products with the target's ``mean``, float64 (features,)."""

    embedder: Embedder
    chosen: Towards
    mean: Array
    seed: int
    notes: dict[str, Any] = field(compare=False)

    def apply(self, batch: Batch) -> Block:
        vectors = self.embedder.vectors(batch)
        features = self.chosen.rule.map(vectors, Draw(self.seed))
        score = similarities(features, self.mean[None])[:, 0].astype(np.float64)
        score[~np.any(vectors != 0, axis=1)] = -np.inf
        return {"embedding": vectors.astype(np.float16) if self.embedder.unit else vectors, "score": score}


@dataclass(frozen=True)
class TargetHerding(Method):
    """``features``: random Fourier features of a Gaussian kernel of this ``width`` (0: the vectors themselves)."""

    features: int = 512
    width: float = 0.7
    source: Literal["auto", "given", "static", "lsa"] = "auto"

    card: ClassVar[Card] = Card(
        summary="rows whose mean features follow the target's: kernel herding towards it",
        family="target similarity",
        needs=("embedding", "target"),
        cost="two passes at embedding speed; then rows x rows taken x features",
        bibtex="""@inproceedings{chen2010super,
  title={Super-Samples from Kernel Herding},
  author={Chen, Yutian and Welling, Max and Smola, Alex},
  booktitle={Uncertainty in Artificial Intelligence},
  year={2010}
}""",
        evidence="picks of the plain recursion, discrepancies; claim: direction only (8 seeds)",
        gives=("score", "embedding"),
        use_when="Few rows are wanted that together stand for the target, its kinds of text in its proportions.",
        fails_when="It takes time in proportion to the rows taken, and near the target's rows there are only so many.",
    )

    def __post_init__(self) -> None:
        Herding(self.features, self.width)  # refuses what cannot be

    def fit(self, run: Run) -> NearTarget:
        rule = Herding(self.features, self.width)
        embedder, targets = of_target(run, self.source)
        chosen = Towards(rule, targets)
        notes = {"targets": len(targets), "width": embedder.width}
        return NearTarget(embedder, chosen, mean_feature(rule, targets, Draw(run.seed)), run.seed, notes)

    def chooser(self, fitted: Map) -> Choose:
        assert isinstance(fitted, NearTarget)
        return fitted.chosen
