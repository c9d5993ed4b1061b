"""Which documents each arm trains on at each seed: keyed draws of equal size from the pool or from a selection.

A candidate is one fixed selection, so a trial trains on a random part of it, another at each seed: the spread of the
results over seeds then tells how much the choice of documents matters, and with it how far the selection as a whole may
owe its result to luck (:mod:`cuvee.proof.intervals`). Its baselines are drawn afresh from the pool at each seed.
Every draw takes the longest prefix of a random order that fits into the budget, so arms differ by less than a document.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from ..core import Block, Budget, Choose, Columns, Decision, Draw, Policy
from ..engine.ordered import distinct
from ..engine.store import digest
from ..methods.choose.length_matched import BINS, length_bin, matched_to
from ..methods.choose.quota import Quota
from ..methods.choose.random import Random

Rows = npt.NDArray[np.int64]
NAMES = ("row", "key", "content", "bytes", "tokens", "domain")
Rule = Callable[[Columns, Budget, Draw], Decision]
HELD_ROWS = 4_000_000
"""Up to this many rows (44 bytes each) stay in memory instead of being read anew for every draw."""


class Part(Columns):
    """Some of a pool's rows as :class:`cuvee.core.Columns`; "tokens" and "bytes" count a repeated row's repeats."""

    def __init__(
        self,
        columns: Columns,
        *,
        only: Rows | None = None,
        repeats: Rows | None = None,
        without: Rows | None = None,
    ) -> None:
        """
        Args:
            only: the rows, ascending; all by default. ``repeats``: how often each is taken, once by default.
            without: rows to leave out, ascending.
        """
        self.columns, self.only, self.weights = columns, only, repeats
        self.without = without if without is not None else np.empty(0, np.int64)
        self.domains: Sequence[str] = columns.domains
        self._held: list[Block] | None = None
        held: list[Block] | None = []
        rows = 0
        totals = {"rows": 0, "tokens": 0, "bytes": 0}
        for block in self._stream():
            rows += len(block["row"])
            totals["rows"] += int(block["repeats"].sum())
            for unit in ("tokens", "bytes"):
                totals[unit] += int(block[unit].sum())
            if held is not None:
                held.append(block)
                held = held if rows <= HELD_ROWS else None
        self._held = held
        self.n_rows = rows
        self.totals: Mapping[str, int] = totals

    def blocks(self, *names: str) -> Iterator[Block]:
        for block in self._stream() if self._held is None else self._held:
            yield {name: block[name] for name in names} if names else dict(block)

    def _stream(self) -> Iterator[Block]:
        for whole in self.columns.blocks(*NAMES):
            row = whole["row"]
            kept = np.ones(len(row), bool) if self.only is None else np.zeros(len(row), bool)
            repeats = np.ones(len(row), np.int64)
            if self.only is not None and len(self.only):
                at = np.minimum(np.searchsorted(self.only, row), len(self.only) - 1)
                kept = self.only[at] == row
                if self.weights is not None:
                    repeats = self.weights[at]
            if len(self.without):
                at = np.minimum(np.searchsorted(self.without, row), len(self.without) - 1)
                kept &= self.without[at] != row
            if not kept.any():
                continue
            block = {name: values[kept] for name, values in whole.items()}
            block["repeats"] = repeats[kept]
            block["size"] = block["bytes"]
            for unit in ("tokens", "bytes"):
                block[unit] = block[unit] * block["repeats"]
            yield block


@dataclass(frozen=True)
class Drawn:
    """The documents of one trial.

    Attributes:
        row: int64, (n,): global row numbers, ascending. ``repeats``: int64, (n,).
        tokens, bytes, documents: with repeats.
        digest: of the content hashes with their repeats; the same documents give the same digest wherever they lie.
    """

    row: Rows
    repeats: Rows
    tokens: int
    bytes: int
    documents: int
    digest: str

    @property
    def places(self) -> Rows:
        """Row numbers, each as often as it is taken."""
        return np.repeat(self.row, self.repeats)


def take(part: Part, decision: Decision | None, tokens: int | None = None, draw: Draw | None = None) -> Drawn:
    """The rows that a decision takes from a part (all of them without one), or as many as fit into ``tokens``.

    Rules with quotas lose up to a document per group to their borders. So they are asked for more than is needed, and
    rows are then left out at random, whatever their group, until the rest fits.
    """
    names = ("row", "key", "repeats", "tokens", "bytes", "content")
    found: list[Block] = []
    for block in part.blocks():
        kept = decision.repeats(block) > 0 if decision is not None else np.ones(len(block["row"]), bool)
        if kept.any():
            found.append({name: block[name][kept] for name in names})
    if not found:
        return Drawn(np.empty(0, np.int64), np.empty(0, np.int64), 0, 0, 0, digest("drawn", ""))
    whole = {name: np.concatenate([block[name] for block in found]) for name in names}
    if tokens is not None and draw is not None:
        order = np.lexsort((whole["row"], draw.uniform("prove: trim", whole["key"])))
        fits = int(np.searchsorted(np.cumsum(whole["tokens"][order]), tokens, side="right"))
        kept = np.sort(order[:fits])
        whole = {name: values[kept] for name, values in whole.items()}
    return drawn(whole)


def drawn(whole: Block) -> Drawn:
    """The documents in a block with the columns row (ascending), repeats, tokens and bytes (with repeats), content."""
    order = np.argsort(whole["content"], kind="stable")
    raw = hashlib.blake2b(whole["content"][order].tobytes() + whole["repeats"][order].tobytes(), digest_size=20)
    return Drawn(
        whole["row"],
        whole["repeats"],
        int(whole["tokens"].sum()),
        int(whole["bytes"].sum()),
        int(whole["repeats"].sum()),
        digest("drawn", raw.hexdigest()),
    )


@dataclass(frozen=True)
class Arm:
    """One side of a comparison.

    Attributes:
        kind: "candidate", "random", "length_matched", "proportional", "full" or "multiple".
        fixed: the share of a fixed selection that a draw takes; 0 for what is drawn afresh at every seed.
        source: what is drawn from; ``choose`` how, given the budget in tokens and a draw (None takes everything).
        policy, epochs: how the documents are trained on.
        select_seconds, select_tokens: what selecting cost, and the tokens that it gave.
    """

    name: str
    kind: str
    source: Part = field(repr=False)
    choose: Rule | None = field(repr=False)
    tokens: int
    policy: Policy
    epochs: float = 1.0
    fixed: float = 0.0
    select_seconds: float = 0.0
    select_tokens: int = 0

    def draw(self, seed: int) -> Drawn:
        """The documents of the trial with this seed."""
        if self.choose is None:
            return take(self.source, None)
        draw = Draw(seed)
        more = min(self.tokens + max(self.tokens // 8, 1), max(self.source.totals["tokens"], 1))
        decision = self.choose(self.source, Budget("tokens", more), draw)
        return take(self.source, decision, self.tokens, draw)


def by_rule(rule: Choose) -> Rule:
    """Draw by a rule of methods/choose."""
    return rule.choose


RANDOM = by_rule(Random("prove: random"))
PROPORTIONAL = by_rule(Quota(Random("prove: proportional"), "proportional"))
PART_OF_SELECTION = by_rule(Random("prove: part of the selection"))


def cost_of_lengths(part: Part) -> npt.NDArray[np.int64]:
    """Tokens per length bin of a selection, int64, (BINS,)."""
    total = np.zeros(BINS)
    for block in part.blocks("size", "tokens"):
        total += np.bincount(length_bin(block["size"]), weights=block["tokens"], minlength=BINS)
    return total.astype(np.int64)


def length_matched(like: Part) -> Rule:
    """Draw rows with the lengths of ``like``."""
    cost = cost_of_lengths(like)
    return lambda part, budget, draw: matched_to(cost, part, budget, draw)


def union(draws: Mapping[object, Drawn] | Sequence[Drawn]) -> Rows:
    """All rows that occur in any of the draws, ascending."""
    every = draws.values() if isinstance(draws, Mapping) else draws
    rows = [drawn.row for drawn in every]
    return distinct(np.concatenate(rows)) if rows else np.empty(0, np.int64)
