"""Quotas: any choice by priority, with a budget of its own for each domain."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from ...core import Budget, Card, Choose, Columns, Decision, Draw
from ...errors import UsageError
from .cut import Prefix, cut
from .top_k import TopK


def shares_to_amounts(shares: dict[str, float], domains: list[str], total: int) -> npt.NDArray[np.int64]:
    """Whole amounts per domain by largest remainder; domains without a share get none."""
    unknown = sorted(set(shares) - set(domains))
    if unknown:
        raise UsageError(
            f"No domain is called {', '.join(map(repr, unknown[:3]))}. The pool has: {', '.join(domains[:20])}"
        )
    weights = np.array([shares.get(domain, 0.0) for domain in domains])
    if (weights < 0).any() or not np.isfinite(weights).all() or not weights.sum() > 0:
        raise UsageError("quota shares must be finite, not negative, and not all zero")
    exact = weights / weights.sum() * total
    amounts = np.floor(exact).astype(np.int64)
    rest = int(total - amounts.sum())
    order = np.lexsort((np.arange(len(domains)), -(exact - amounts)))
    amounts[order[:rest]] += 1
    return amounts


TOP_K = TopK()


@dataclass(frozen=True)
class Quota(Choose):
    """Give each domain its share of the budget and let ``inner`` choose within it.

    ``shares`` holds (domain, share) pairs, scaled to sum to one; "proportional" takes the pool's shares and "uniform"
    equal ones. What a small domain cannot fill is left unused and noted, never given to others in silence.
    ``inner`` must choose by priority (top_k, gumbel, random, threshold, keep probabilities).
    """

    inner: Choose = TOP_K
    shares: tuple[tuple[str, float], ...] | str = "proportional"

    card: ClassVar[Card] = Card(
        summary="A budget of its own for each domain; used by --quota.",
        family="choose",
        needs=("score", "domain"),
        cost="one more cut",
        bibtex="""""",
        evidence="closed form: largest remainder",
    )

    def choose(self, columns: Columns, budget: Budget, draw: Draw) -> Decision:
        domains = list(columns.domains)
        decision = self.inner.choose(columns, budget, draw)
        if not isinstance(decision, Prefix):
            raise UsageError(f"Quotas need a choice by priority; {type(self.inner).__name__} decides otherwise")
        total = budget.resolve(columns.totals[budget.unit])
        if self.shares == "uniform":
            shares = dict.fromkeys(domains, 1.0)
        elif isinstance(self.shares, str):
            amounts = np.zeros(len(domains), np.int64)
            for block in columns.blocks("domain", *(() if budget.unit == "rows" else (budget.unit,))):
                cost = np.ones(len(block["domain"])) if budget.unit == "rows" else block[budget.unit]
                amounts += np.bincount(block["domain"], weights=cost, minlength=len(domains)).astype(np.int64)
            shares = dict(zip(domains, amounts.tolist(), strict=True))
        else:
            shares = dict(self.shares)
        amounts = shares_to_amounts(shares, domains, total)
        limited = cut(
            columns,
            decision.priority,
            budget,
            needs=(*decision.needs, "domain"),
            group=lambda block: block["domain"].astype(np.int64),
            amounts=amounts,
        )
        kept = limited.notes.get("kept_by_group", [limited.notes["kept"]])
        limited.notes = {
            **limited.notes,
            "quota": {
                domain: {"asked": int(asked), "kept": int(got)}
                for domain, asked, got in zip(domains, amounts, kept, strict=True)
            },
        }
        return limited
