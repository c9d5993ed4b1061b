"""DSIR: rows whose n-grams are likelier under the target than under the pool, resampled by that likelihood ratio.

Xie, Santurkar, Ma, Liang, "Data Selection for Language Models via Importance Resampling", NeurIPS 2023, arXiv
2302.03169. With z_ij how often text i has a 1..n-gram of bucket j, target shares p and pool shares q of all n-grams,

    d_j = log(p_j + 1e-8) - log(q_j + 1e-8)        score(x_i) = log w_i = sum_j z_ij d_j

and rows are drawn without replacement in proportion to w (Gumbel top-k). Inputs: UTF-8 texts; the score is in nats.
Cost: the pool is read twice, once to count and once to score; each pass hashes about 500 MB a second and core.

Traps. The sum grows with length, so log w spreads over hundreds to thousands of nats against noise of 1.3: the
effective sample size is 1 to 2 and resampling is top-k in all but name. Two deviations from the paper, neither the
default: ``temperature`` divides log w; ``normalise="mean"`` takes the mean per n-gram times that of a text of 128
words, to which the paper cut all texts first. A bucket that one side lacks counts about 10 nats: ``smoothing`` for
small targets. Compare with random rows of equal length.

Against the release (data-selection 1.0.3): ``hash="sha256"`` gives its buckets; words are Python's
``\\w+|[^\\w\\s]+`` in Unicode 14, where nltk from 3.10 also counts combining marks as word characters (its ``regex``
engine), and the treebank tokeniser is not offered. Its "auto" limit, 100,000 n-grams per bucket from the start of
each file, depends on file order and process count; here the pool's shares come from a keyed uniform sample of about
``fit_rows`` rows, and from all rows of a smaller pool (0: always all). At 100,000 rows of 800 n-grams the sampling
error of a score is about half a nat, below the noise of the draw. Noise is keyed by row, not global.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import numpy as np

from ...core import Array, Batch, Block, Budget, Card, Choose, Columns, Decision, Draw, Map, Method, Run
from ...errors import DataError, UsageError
from ...feature.explain import contributions
from ...feature.log_ratio import log_ratio, quotas, shares
from ...feature.ngrams import Ngrams
from ...fold.counts import NgramCounts, count_by_domain
from ..choose.cut import columns_for, cut
from ..choose.gumbel import Gumbel

COMMON_WORDS = 128


@dataclass(frozen=True, eq=False)
class LogRatio(Map):
    """log w per row; -inf for rows shorter than ``min_length`` tokens. ``table`` is (targets, buckets).

    Several targets: "score" is the best of "score_0", "score_1", ...; ``proportions`` are their shares of the budget.
    """

    ngrams: Ngrams
    table: Array
    min_length: int
    mean: bool
    proportions: Array
    notes: dict[str, Any] = field(compare=False)
    log_weight: ClassVar[bool] = True

    def apply(self, batch: Batch) -> Block:
        total, number = self.ngrams.sums(batch, self.table)
        n = self.ngrams.n
        if self.mean:
            total *= ((COMMON_WORDS * n - n * (n - 1) // 2) / np.maximum(number, 1))[:, None]
        total[(number + n * (n - 1) // 2) // n < self.min_length] = -np.inf
        block = {"score": total.max(axis=1)}
        if len(self.table) > 1:
            block |= {f"score_{t}": np.ascontiguousarray(column) for t, column in enumerate(total.T)}
        return block

    def explain(self, text: str) -> list[tuple[str, float]]:
        """The n-grams that weighed most, for reports (one target)."""
        return contributions(self.ngrams, self.table[0], text) if len(self.table) == 1 else []


def served(block: Block, parts: tuple[Decision, ...]) -> Array:
    """Which rows any of the decisions takes; each is told what those before it took, so none asks them again."""
    if "served" in block:
        return block["served"]
    taken = np.zeros(len(block["row"]), bool)
    for part in parts:
        taken = taken | (part.repeats({**block, "served": taken}) > 0)
    return taken


@dataclass
class Union(Decision):
    """Rows that any of several disjoint decisions takes."""

    parts: tuple[Decision, ...]
    needs: tuple[str, ...]
    notes: dict[str, Any]

    def repeats(self, block: Block) -> Array:
        return served(block, self.parts).astype(np.int64)


@dataclass(frozen=True)
class SeparateTargets(Choose):
    """Serve the targets in order, each with its quota; a row taken for one is no longer available to the next."""

    proportions: tuple[float, ...]
    temperature: float = 1.0

    def choose(self, columns: Columns, budget: Budget, draw: Draw) -> Decision:
        names = ["score"] if len(self.proportions) == 1 else [f"score_{t}" for t in range(len(self.proportions))]
        needs = columns_for(budget, *names)
        parts: tuple[Decision, ...] = ()
        for t, amount in enumerate(quotas(budget.resolve(columns.totals[budget.unit]), self.proportions)):

            def priority(block: Block, t: int = t, earlier: tuple[Decision, ...] = parts) -> Array:
                score = block[names[t]] / self.temperature + draw.gumbel(f"gumbel {t}", block["key"])
                return np.where(served(block, earlier), -np.inf, score)

            parts = (
                *parts,
                cut(
                    columns,
                    priority,
                    Budget(budget.unit, int(amount)),
                    needs=needs,
                    measure="score with its random draw",
                ),
            )
        return Union(parts, needs, {f"target_{t}": dict(part.notes) for t, part in enumerate(parts)})


@dataclass(frozen=True)
class Dsir(Method):
    """DSIR. ``separate_targets``: one ratio per target domain; ``proportions`` in the order of the domains'
    names (empty: by n-grams)."""

    ngrams: int = 2
    buckets: int = 10_000
    min_length: int = 100
    smoothing: float = 0.0
    fit_rows: int = 100_000
    temperature: float = 1.0
    normalise: Literal["sum", "mean"] = "sum"
    hash: Literal["fast", "sha256"] = "fast"
    separate_targets: bool = False
    proportions: tuple[float, ...] = ()
    card: ClassVar[Card] = Card(
        summary="rows whose n-grams are likelier under the target than under the pool",
        family="target similarity",
        needs=("text", "target"),
        cost="two passes over the pool; n-grams at about 500 MB a second and core",
        bibtex="@inproceedings{xie2023dsir, title={Data Selection for Language Models via Importance Resampling},"
        " author={Xie, Sang Michael and Santurkar, Shibani and Ma, Tengyu and Liang, Percy},"
        " booktitle={Advances in Neural Information Processing Systems}, year={2023}, note={arXiv:2302.03169}}",
        evidence="public package data-selection 1.0.3: same buckets, weights and top-k; claim: reproduced (8 seeds)",
        use_when="You have a target of running text in the language and register that you want, and a large pool: the "
        "cheapest method that follows a target.",
        fails_when="Its weights collapse onto the top of the score, and long rows win; where the pool held much junk "
        "it was worse than random rows.",
    )

    def fit(self, run: Run) -> LogRatio:
        if self.smoothing < 0 or self.fit_rows < 0 or self.normalise not in ("sum", "mean"):
            raise UsageError("dsir: smoothing and fit_rows are at least 0; normalise is sum or mean.")
        Gumbel(self.temperature)  # refuses what is out of range, before any pass
        ngrams = Ngrams(self.ngrams, self.buckets, "word", self.hash)
        if self.separate_targets:
            named = count_by_domain(ngrams, run.targets())
        else:
            named = {"target": run.fold(NgramCounts(ngrams), over="target")}
        if not named:
            raise DataError("dsir needs at least one target text; the target is empty.")
        counts = np.array(list(named.values()))
        wanted = shares(counts, self.smoothing if counts.sum(axis=-1).all() else 0.0)
        given = np.array(self.proportions or counts.sum(axis=1), np.float64)
        if len(given) != len(named) or not (given >= 0).all() or not 0 < given.sum() < np.inf:
            raise DataError(f"dsir found {len(named)} targets ({', '.join(named)}) for {len(given)} proportions.")
        part = min(1.0, self.fit_rows / max(run.rows, 1)) if self.fit_rows else 1.0
        pool = shares(run.fold(NgramCounts(ngrams, part)))
        notes = {"targets": list(named), "target_ngrams": counts.sum(axis=1).tolist()}
        notes["-inf"] = f"shorter than min_length = {self.min_length} words"
        table = log_ratio(wanted, pool)
        return LogRatio(ngrams, table, self.min_length, self.normalise == "mean", given / given.sum(), notes)

    def chooser(self, fitted: Map) -> Choose:
        if self.separate_targets and isinstance(fitted, LogRatio):
            return SeparateTargets(tuple(fitted.proportions.tolist()), self.temperature)
        return Gumbel(self.temperature)
