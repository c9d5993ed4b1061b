"""Quotas: any choice by priority, with a budget of its own for each domain.

Amounts are whole numbers by largest remainder (exact arithmetic; equal remainders in the order of the domains' names).
"proportional" with ``random`` is proportional stratified sampling. A name that ends in "*" stands for all domains that
begin so and have no share of their own; they divide it in proportion to what the pool has of them. So domains of two
levels, SOURCE/KIND, have two-level quotas: "web/*=0.7,code/*=0.3" gives each source its share and its kinds theirs of
it, "proportional" gives both levels the pool's, as DataMan's release does with two columns (Peng et al., ICLR 2025).
Cost: one more cut. Trap: what a small domain cannot fill is left unused and noted.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from ...core import Array, Block, Budget, Card, Choose, Columns, Decision, Draw
from ...errors import UsageError
from .cut import Prefix, columns_for, cost_of, cut, one_group
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
    exact = [Fraction(weight) for weight in weights.tolist()]
    whole = sum(exact)
    exact = [weight * total / whole for weight in exact]
    amounts = [int(amount) for amount in exact]
    order = sorted(range(len(domains)), key=lambda at: amounts[at] - exact[at])
    for at in order[: total - sum(amounts)]:
        amounts[at] += 1
    return np.array(amounts, np.int64)


def spread_groups(shares: dict[str, float], sizes: dict[str, int]) -> dict[str, float]:
    """The shares with those of groups, "BEGINNING*", divided among their domains in proportion to ``sizes``.

    A domain that is named keeps its own share, and of several groups the one with the longest beginning has it.
    """
    found = {name: share for name, share in shares.items() if name in sizes or not name.endswith("*")}
    groups = sorted(set(shares) - set(found), key=len, reverse=True)
    left = {domain: size for domain, size in sizes.items() if domain not in found}
    for name in groups:
        own = {domain: size for domain, size in left.items() if domain.startswith(name[:-1])}
        whole = sum(own.values())
        if not whole:
            raise UsageError(f"No domain that has rows and no share of its own begins with {name[:-1]!r}.")
        found |= {domain: shares[name] * size / whole for domain, size in own.items()}
        left = {domain: size for domain, size in left.items() if domain not in own}
    return found


TOP_K = TopK()
NEEDS_RANKS = (
    "Quotas need a rule that ranks rows; the one that chooses here does not. Name another, like --choose top_k, or "
    "leave out --quota."
)


@dataclass(frozen=True)
class Quota(Choose):
    """Give each domain its share of the budget and let ``inner`` choose within it.

    ``shares`` holds (domain, share) pairs, scaled to sum to one; a name like "web/*" is that of a group, which divides
    its share in proportion; "proportional" takes the pool's shares and "uniform" equal ones. What a small domain cannot
    fill is left unused and noted, never given to others in silence.
    ``inner`` must choose by one priority for all rows (top_k, gumbel, random, threshold, keep_probability).
    """

    inner: Choose = TOP_K
    shares: tuple[tuple[str, float], ...] | str = "proportional"

    card: ClassVar[Card] = Card(
        summary="A budget of its own for each domain; used by --quota.",
        family="choose",
        needs=("score", "domain"),
        cost="one more cut",
        bibtex="",
        evidence="closed form: largest remainder, shares of two levels",
        use_when="You want to fix each domain's share. Give `--quota` instead of naming it.",
        fails_when="What a small domain cannot fill is left unused. The rule within a domain must rank rows: poisson "
        "and soft_cap do not.",
    )

    def choose(self, columns: Columns, budget: Budget, draw: Draw) -> Decision:
        domains = list(columns.domains)
        decision = self.inner.choose(columns, budget, draw)
        if not isinstance(decision, Prefix) or decision.group is not one_group:
            raise UsageError(NEEDS_RANKS)
        total = budget.resolve(columns.totals[budget.unit])
        if self.shares == "uniform":
            shares = dict.fromkeys(domains, 1.0)
        elif isinstance(self.shares, str) or any(name.endswith("*") for name, _ in self.shares):

            def cost_by_domain(block: Block) -> tuple[Array]:
                cost = np.bincount(block["domain"], weights=cost_of(block, budget), minlength=len(domains))
                return (cost.astype(np.int64),)

            (found,) = columns.total(cost_by_domain, *columns_for(budget, "domain"))
            sizes = dict(zip(domains, found.tolist(), strict=True))
            shares = sizes if isinstance(self.shares, str) else spread_groups(dict(self.shares), sizes)
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
            measure=decision.measure,
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
