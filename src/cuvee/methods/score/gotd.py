"""GOT-D: rows that move the pool's distribution towards the target's fastest.

Kang et al., "Get more for less: Principled Data Selection for Warming Up Fine-Tuning in LLMs", ICLR 2024, arXiv
2405.02774. The pool stands for the pre-training distribution. With uniform weights and cost c = |x - q|^2, the
derivative of the entropic transport cost between target and pool, as mass goes to row i, is its dual potential g_i up
to a constant; light fine-tuning adds such mass. So

    score(x) = -g(x),   g(x) = -epsilon log (1/M) sum_j exp((f_j - |x - q_j|^2) / epsilon),

and the highest scores (most negative gradients) are taken, in one shot. The potentials f of the M target rows are
solved (``fold/transport.py``) against ``sample`` pool rows drawn by key; the soft c-transform above carries them to
every row, so nothing of size pool x target is ever stored. Where the target is covered already by the pool, f is small:
GOT-D prefers what is missing, unlike nearest neighbours.

Against the release: ``epsilon`` is that share of the mean cost (there 0.1 absolute); iterated until the marginals are
off by 0.0001 (there a loose threshold); its calibrated gradient, g_i - mean of the others, ranks the same. The paper
cuts texts to equal length first, so that length does not enter the distance, and drops far source domains.

Inputs: texts or embedding columns of pool and target. At most ``targets`` target rows, by keyed draw. Cost: one pass to
sample, seconds to solve, one pass with M x dimensions multiplications and 2 M exponentials a row. Traps: near copies
share a potential and are all taken: remove duplicates first; in many dimensions g is nearly the distance to the nearest
target.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import numpy as np

from ...core import Array, Batch, Block, Card, Map, Method, Run
from ...engine.draw import uniform
from ...errors import DataError, UsageError
from ...feature.embed import Embedder, of_target, similarities
from ...fold.kmeans import VectorSample
from ...fold.transport import extend, sinkhorn, squared_distances


@dataclass(frozen=True, eq=False)
class Gradient(Map):
    """The fitted potential: target vectors (M, d) float32, f float64 (M,), epsilon in the cost's unit."""

    embedder: Embedder
    targets: Array
    potential: Array
    epsilon: float
    notes: dict[str, Any] = field(compare=False)

    def apply(self, batch: Batch) -> Block:
        vectors = self.embedder.vectors(batch)
        score = -potential_at(vectors, self.targets, self.potential, self.epsilon)
        score[~np.any(vectors != 0, axis=1)] = -np.inf
        return {"score": score}


def potential_at(vectors: Array, targets: Array, potential: Array, epsilon: float) -> Array:
    """g at any points, float64 (n,): the soft c-transform of f."""
    x, q = np.asarray(vectors, np.float64), np.asarray(targets, np.float64)
    out = np.empty(len(x))
    square, other = np.einsum("ij,ij->i", x, x), np.einsum("ij,ij->i", q, q)
    extend(similarities(vectors, targets), square, other, np.asarray(potential, np.float64), epsilon, out)
    return out


@dataclass(frozen=True)
class GotD(Method):
    """``epsilon``: smoothing as a share of the mean cost; ``sample``: pool rows that stand for the pool."""

    epsilon: float = 0.05
    sample: int = 5000
    targets: int = 2000
    source: Literal["auto", "given", "static", "lsa"] = "auto"

    card: ClassVar[Card] = Card(
        summary="rows that move the pool towards the target fastest: gradient of optimal transport",
        family="target similarity",
        needs=("embedding", "target"),
        cost="two passes at embedding speed, and rows x targets x dimensions; seconds to solve",
        bibtex="@inproceedings{kang2024get, title={Get more for less: Principled Data Selection for Warming Up"
        " Fine-Tuning in {LLM}s}, author={Kang, Feiyang and Just, Hoang Anh and Sun, Yifan and Jahagirdar, Himanshu and"
        " Zhang, Yuanzhi and Du, Rongxing and Sahu, Anit Kumar and Jia, Ruoxi}, booktitle={ICLR}, year={2024}}",
        evidence="potentials of ott-jax 0.6.0; finite differences; claim: reproduced (8 seeds)",
        use_when="The model has been trained on data like the pool, and you want what it lacks of the target.",
        fails_when="It does not see what it has taken already: of a target of two modes it served one alone, and was "
        "worse than random rows; judge it by the coverage of modes.",
    )

    def fit(self, run: Run) -> Gradient:
        if not 0 < self.epsilon < np.inf or min(self.sample, self.targets) < 1:
            raise UsageError("gotd: epsilon must be above 0, sample and targets at least 1.")
        embedder, targets = of_target(run, self.source)
        draw = uniform(run.seed, "gotd", np.arange(len(targets), dtype=np.uint64))
        targets = targets[np.sort(np.argsort(draw, kind="stable")[: self.targets])]
        pool = run.fold(VectorSample(self.sample, "gotd", run.seed, embedder))["vectors"]
        if not len(pool):
            raise DataError("gotd found no row of the pool with a vector.")
        cost = squared_distances(targets, pool)
        epsilon = self.epsilon * max(float(cost.mean()), 1e-12)
        found = sinkhorn(cost, epsilon)
        notes: dict[str, Any] = {"targets": len(targets), "sampled": len(pool), "epsilon": epsilon}
        notes |= {"distance": found.cost, "iterations": found.iterations, "marginal_error": found.error}
        return Gradient(embedder, targets, found.f, epsilon, notes)
