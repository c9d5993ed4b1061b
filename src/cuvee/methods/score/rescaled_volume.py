"""Volume-rescaled sampling: weighted least squares on few rows, unbiased, and near the best for any answers.

Dereziński, Warmuth and Hsu, "Leveraged Volume Sampling for Linear Regression", NeurIPS 2018. With rows x_i of m numbers
and their leverages l_i = x_i (X^T X)^-1 x_i^T, sequences of k rows, with repetition, are drawn with

    P(i_1 .. i_k) in proportion to det(sum_j x_j^T x_j / l_j) l_1 ... l_k,

and each counts 1 / l_i. Least squares so weighted is that of all rows on average, as after volume sampling, but its
errors fall as those of independent draws by leverage do: with k of the order of m log m its loss is within a constant
of the least, which plain volume sampling cannot promise. The draw is exact: s = max(4 m^2, k) rows are drawn by
leverage, thrown away unless a uniform number is below det(m / s sum_j u_j^T u_j), u_j being whitened rows of length 1
(about one time in eight they are), and reduced to k by reverse volume sampling (``volume``).

Rows are the vectors on the pool's ``dimensions`` main axes (of second moments), with ``intercept`` after a 1 is put at
their end. Block: "score", log l_i, and "embedding", the whitened rows, float32 (n, m). A row's weight in the regression
is the selection's "weight", how often it was drawn, times exp(-score). Budgets in rows are exact; by tokens or bytes,
rows are dropped until the budget holds, which is not unbiased to the letter. Cost: two passes at embedding speed, two
over the vectors for each attempt; (4 m^2)^2 m to reduce, a second at 32 dimensions. Traps: it says nothing of quality,
and strange rows have the highest leverage; the weights must be carried along.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import numpy as np

from ...core import Array, Batch, Block, Card, Choose, Map, Method, Run
from ...errors import DataError, UsageError
from ...feature.embed import Embedder, of_pool, similarities
from ...fold.lewis import WeightedGram, rows_of
from ..choose.rescaled import Rescaled


@dataclass(frozen=True, eq=False)
class WhitenedRows(Map):
    """The fitted map: rows times ``root``, float64 (d, m), and the logarithms of their leverages."""

    embedder: Embedder
    root: Array
    rows: int
    intercept: bool
    notes: dict[str, Any] = field(compare=False)

    def apply(self, batch: Batch) -> Block:
        vectors = rows_of(self.embedder, batch, self.intercept)
        x = similarities(vectors, self.root.T * self.rows**0.5)
        with np.errstate(divide="ignore"):
            score = np.log(np.einsum("ij,ij->i", x, x, dtype=np.float64) / self.rows)
        return {"embedding": x, "score": score}


@dataclass(frozen=True)
class RescaledVolume(Method):
    """``dimensions``: main axes of the regression (fewer where the vectors span fewer); ``intercept``: with a 1."""

    dimensions: int = 32
    intercept: bool = False
    source: Literal["auto", "given", "static", "lsa"] = "auto"

    card: ClassVar[Card] = Card(
        summary="rows for weighted least squares, drawn together: volume sampling rescaled by leverage",
        family="diversity",
        needs=("embedding",),
        cost="two passes at embedding speed; (4 dimensions^2)^2 x dimensions, a second at 32",
        bibtex="@inproceedings{derezinski2018leveraged, title={Leveraged Volume Sampling for Linear Regression},"
        " author={Derezi{\\'n}ski, Micha{\\l} and Warmuth, Manfred K. and Hsu, Daniel},"
        " booktitle={NeurIPS}, year={2018}}",
        evidence="probabilities of all samples by enumeration; claim: reproduced (8 seeds)",
        gives=("score", "embedding"),
        use_when="Labels are dear, and a linear model of the vectors is to be fitted on few rows, with weights.",
        fails_when="Without their weights the rows are worth no more than others, and strange ones come first. With "
        "leverages as alike as those of text, plain `volume` sampling was 3 % better.",
    )

    def __post_init__(self) -> None:
        if not 1 <= self.dimensions <= 256:
            raise UsageError("rescaled_volume: dimensions is from 1 to 256.")

    def fit(self, run: Run) -> WhitenedRows:
        embedder = of_pool(run, self.source)
        gram, rows = run.fold(WeightedGram(embedder, intercept=self.intercept))
        values, axes = np.linalg.eigh(gram)
        kept = np.flatnonzero(values > 1e-10 * max(float(values[-1]), 0.0))[::-1][: self.dimensions]
        if not len(kept):
            raise DataError("rescaled_volume found no row of the pool with a vector.")
        notes = {"rows_with_a_vector": rows, "dimensions": len(kept)}
        return WhitenedRows(embedder, axes[:, kept] / np.sqrt(values[kept]), rows, self.intercept, notes)

    def chooser(self, fitted: Map) -> Choose:
        assert isinstance(fitted, WhitenedRows)
        return Rescaled(fitted.rows)
