"""Perplexity sampling: keep the middle of the pool's perplexities, thin out both ends.

De la Rosa et al., "BERTIN: Efficient Pre-Training of a Spanish Language Model using Perplexity Sampling", Procesamiento
del Lenguaje Natural 68, 2022 (arXiv 2207.06814); formulas as in the published loader. With the quartiles Q1, Q2, Q3 of
the pool's perplexity x:

    gaussian   P(keep) = factor * exp(-((x - Q2) / Q2)**2 / width)
    stepwise   P(keep) = factor / r,  r = Q1        if x <= Q1
                                          Q2 - Q1   if Q1 < x < Q2
                                          Q3 - Q2   if Q2 <= x < Q3 (the loader fails at x = Q2)
                                          10 * Q3   if x >= Q3

``width`` divides the square of the relative distance. The paper took factor 0.78 (gaussian) and 1.5e5 (stepwise); the
latter is a perplexity, valid for one language model alone.
By default the budget is met exactly by sequential Poisson sampling (Ohlsson, Journal of Official Statistics 1998):
rows are taken by descending P / U, one keyed uniform U per row, until the budget is full. That is U < P for the factor
that just fits, so none is needed. With ``independent`` the factor is solved such that the expected amount, P clipped
to 1, is the budget, and each row is decided on its own by U < P; likewise with ``factor`` given, but as in the paper
the budget is then ignored.

Inputs: a column "perplexity", float64, positive. Cost: two or three passes over it for the quartiles, three for the cut
(about ten to solve a factor, up to 60 where weights span thousands of nats), one for the notes. Trap: rare clean
domains with unusual words are lost; see ``notes["kept_by_domain"]``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt

from ...core import Block, Budget, Card, Choose, Columns, Decision, Draw
from ...errors import DataError, UsageError
from ...fold.inclusion import UNIT, log_factor, weighted
from ...fold.quantiles import exact_quantiles
from .cut import columns_for, cost_of, cut
from .independent import Independent

Floats = npt.NDArray[np.float64]
Quartiles = tuple[float, float, float]


def gaussian(perplexity: Floats, quartiles: Quartiles, width: float) -> Floats:
    """log(P / factor); far distances are clipped so that their square stays finite."""
    with np.errstate(over="ignore"):
        distance = np.minimum((perplexity - quartiles[1]) / quartiles[1], 1e150)
    return np.asarray(-(distance**2) / width)


def stepwise(perplexity: Floats, quartiles: Quartiles) -> Floats:
    """log(P / factor)."""
    first, median, third = quartiles
    quarters = [perplexity <= first, perplexity < median, perplexity < third]
    with np.errstate(divide="ignore"):  # a quarter without width holds no row
        return np.asarray(-np.log(np.select(quarters, [first, median - first, third - median], 10.0 * third)))


@dataclass(frozen=True)
class KeepProbability(Choose):
    """``rule`` is "gaussian" or "stepwise"; ``width`` is the former's. ``quartiles`` of another pool may be given."""

    rule: Literal["gaussian", "stepwise"] = "gaussian"
    width: float = 4.5
    factor: float | None = None
    independent: bool = False
    quartiles: Quartiles | None = None

    card: ClassVar[Card] = Card(
        summary="Keep the middle of the pool's perplexities; draw few from either end.",
        family="choose",
        needs=("perplexity",),
        cost="about 7 passes over the perplexities; twice that when a factor is solved",
        bibtex="""@article{delarosa2022bertin,
  title={{BERTIN}: Efficient Pre-Training of a {Spanish} Language Model using Perplexity Sampling},
  author={{de la Rosa}, Javier and Ponferrada, Eduardo G. and Romero, Manu and Villegas, Paulo and
    {Gonz{\\'a}lez de Prado Salas}, Pablo and Grandury, Mar{\\'i}a},
  journal={Procesamiento del Lenguaje Natural},
  volume={68},
  year={2022},
  note={arXiv:2207.06814}
}""",
        evidence="equals the published loader's probabilities and decisions; claim: not reproduced (8 seeds)",
        use_when="You want the middle of a scale of which neither end is good. `perplexity` uses it by itself.",
        fails_when="Rare clean domains are lost, and where quarters differ much in width their shares do, too.",
    )

    def __post_init__(self) -> None:
        if self.rule not in ("gaussian", "stepwise"):
            raise UsageError(f"keep_probability: rule must be gaussian or stepwise, not {self.rule!r}")
        for name, value in (("width", self.width), ("factor", 1.0 if self.factor is None else self.factor)):
            if not 0 < value < np.inf:
                raise UsageError(f"keep_probability: {name} must be a positive number, not {value}")

    def log_weight(self, block: Block, quartiles: Quartiles) -> Floats:
        """Logarithm of P / factor for each row; refuses what is not a number."""
        x = block["perplexity"]
        if np.isnan(x).any():
            raise DataError(f"Perplexity is NaN in row {block['row'][np.isnan(x)][0]}: it cannot be chosen by.")
        return gaussian(x, quartiles, self.width) if self.rule == "gaussian" else stepwise(x, quartiles)

    def choose(self, columns: Columns, budget: Budget, draw: Draw) -> Decision:
        first, median, third = self.quartiles or exact_quantiles(columns, "perplexity", (0.25, 0.5, 0.75))
        quartiles = (float(first), float(median), float(third))
        if not 0 < first <= median <= third < np.inf:
            raise DataError(f"The quartiles of perplexity must be positive and ascending, not {quartiles}.")
        if self.factor is None and not self.independent:

            def priority(block: Block) -> Floats:  # the logarithm of P / U for factor 1
                return self.log_weight(block, quartiles) - np.log(draw.uniform("keep", block["key"]))

            prefix = cut(
                columns,
                priority,
                budget,
                needs=("perplexity",),
                measure="chance of its perplexity over its random draw (log)",
            )
            return replace(prefix, notes={**prefix.notes, **self._notes(columns, budget, prefix, quartiles)})
        amount, names = budget.resolve(columns.totals[budget.unit]), columns_for(budget, "perplexity")
        weight = partial(self.log_weight, quartiles=quartiles)
        if self.factor is None:
            found = log_factor(columns, names, weight, partial(cost_of, budget=budget), amount)
            more: dict[str, Any] = {"asked": amount, "factor": float(np.exp(found)) if found < np.inf else None}
        else:
            found, more = float(np.log(self.factor)), {"budget": "ignored, because the factor is given"}
        decision = Independent(draw, "keep", weight, found, ("perplexity", "key", "row"), {})
        return replace(decision, notes={**more, **self._notes(columns, budget, decision, quartiles)})

    def _notes(self, columns: Columns, budget: Budget, decision: Decision, quartiles: Quartiles) -> dict[str, Any]:
        domains = len(columns.domains)

        def counted(block: Block) -> tuple[Any, Any, int, int]:
            taken, cost = decision.repeats(block), cost_of(block, budget)
            kept = np.bincount(block["domain"], weights=taken, minlength=domains).astype(np.int64)
            rows = np.bincount(block["domain"], minlength=domains)
            expected = weighted(decision.probability(block), cost) if isinstance(decision, Independent) else 0
            return kept, rows, int((taken * cost).sum()), expected

        names = columns_for(budget, "perplexity", "domain")
        kept, rows, realised, expected = columns.total(counted, *names) or (*np.zeros((2, domains)), 0, 0)
        by_domain = {name: float(k / n) for name, k, n in zip(columns.domains, kept, rows, strict=True) if n}
        notes = {"unit": budget.unit, "kept": realised, "kept_by_domain": by_domain, "quartiles": list(quartiles)}
        return notes | ({"expected": expected / UNIT} if isinstance(decision, Independent) else {})
