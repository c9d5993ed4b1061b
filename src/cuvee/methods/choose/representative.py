"""A representative sample by declared variables: strata, allocation, and a report of how well it represents.

Stratified sampling (Cochran, "Sampling Techniques", 1977), as the tool of Cabot and others has it ("sample-creator",
arXiv 2410.00639). Strata are the domains times ``bins`` classes of text length (equal numbers of rows by quantiles; the
tool: one-dimensional k-means). Of a budget B, stratum h with share phi_h of the pool and standard deviation s_h of log
length gets

    proportional  B phi_h,     equal  B / H,     neyman  B phi_h s_h / sum of phi s

in whole numbers by largest remainder; within a stratum rows come by keyed draw, without replacement (the tool draws
with replacement, or takes the first rows). What a small stratum cannot fill goes to the others in proportion.

The notes hold what the report needs: for the domains the chi-square distance per degree of freedom between sample and
pool (about 1 for random rows, below for proportional strata), for log length the difference of means in standard
deviations, empty strata, and the design effect. ``fold/strata.py`` tells how many rows a wanted precision needs.

Inputs: columns "domain" and "bytes". Cost: about eight passes over the columns. Trap: it represents what is declared
and nothing else; equal and Neyman samples need the weights phi_h B / n_h to speak for the pool.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import numpy as np
import numpy.typing as npt

from ...core import Array, Block, Budget, Card, Choose, Columns, Decision, Draw
from ...errors import UsageError
from ...fold.quantiles import exact_quantiles
from ...fold.strata import allocate, report
from .cut import columns_for, cost_of, cut

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Representative(Choose):
    """``bins``: length classes; ``allocation``: "proportional", "equal" or "neyman"."""

    bins: int = 4
    allocation: Literal["proportional", "equal", "neyman"] = "proportional"

    by_priority: ClassVar[bool] = False
    card: ClassVar[Card] = Card(
        summary="A stratified sample by domain and length, with figures of how well it represents the pool.",
        family="baseline",
        needs=("domain",),
        cost="about eight passes over domains and lengths",
        bibtex="""@book{cochran1977sampling,
  title={Sampling Techniques},
  author={Cochran, William G.},
  publisher={Wiley},
  year={1977}
}""",
        evidence="sample sizes of sample-creator's release; closed forms; claim: reproduced (8 seeds)",
        use_when="A sample must speak for the pool by domain and length, with figures that show how well.",
        fails_when="It speaks for what is declared, domains and lengths, and for nothing else.",
    )

    def __post_init__(self) -> None:
        if self.bins < 1 or self.allocation not in ("proportional", "equal", "neyman"):
            raise UsageError("representative: bins is at least 1; allocation is proportional, equal or neyman.")

    def choose(self, columns: Columns, budget: Budget, draw: Draw) -> Decision:
        amount, names = budget.resolve(columns.totals[budget.unit]), columns_for(budget, "domain", "bytes")
        shares = tuple((i + 1) / self.bins for i in range(self.bins - 1))
        edges = np.unique(exact_quantiles(columns, "bytes", shares)) if shares else np.zeros(0)
        strata = len(columns.domains) * (len(edges) + 1)

        def group(block: Block) -> Ints:
            length = np.searchsorted(edges, block["bytes"], side="left")
            return block["domain"].astype(np.int64) * (len(edges) + 1) + length

        def moments(keep: Decision | None) -> tuple[Array, Array]:
            """Per stratum: cost, and count, sum and sum of squares of log2 length in steps of 2^-16 (exact sums)."""
            cost, found = np.zeros(strata, np.int64), np.zeros((3, strata), np.int64)
            for block in columns.blocks(*dict.fromkeys((*names, *(keep.needs if keep else ())))):
                used = slice(None) if keep is None else keep.repeats(block) > 0
                at, steps = group(block)[used], np.rint(np.log2(block["bytes"][used] + 1.0) * 2**16).astype(np.int64)
                np.add.at(cost, at, cost_of(block, budget)[used])
                for row, values in enumerate((np.ones_like(steps), steps, steps * steps)):
                    np.add.at(found[row], at, values)
            return cost, found

        size, pool = moments(None)
        count = np.maximum(pool[0], 1)
        spread = np.sqrt(np.maximum(pool[2] / count - (pool[1] / count) ** 2, 0.0))
        weight = {"proportional": size * 1.0, "equal": (size > 0) * 1.0, "neyman": size * (spread + 1e-9)}[
            self.allocation
        ]
        amounts = allocate(amount, weight, size)
        found = cut(
            columns,
            lambda block: draw.uniform("representative", block["key"]),
            budget,
            needs=("domain", "bytes"),
            group=group,
            amounts=amounts,
            measure="random draw within its stratum",
        )
        _, taken = moments(found)
        return replace(found, notes={**found.notes, **report(pool, taken, len(edges) + 1)})
