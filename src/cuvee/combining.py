"""Several scores as one: ``cuvee select --with a,b --combine RULE``.

Scores of different methods have different units, so they are compared by their ranks in the pool: the share of rows
with a lower score, equal scores sharing their mean rank. With r_j a row's rank by method j and weights a_j:

    rank      sum_j a_j r_j / sum_j a_j
    min       min_j r_j: as good as the worst of its ranks, so that every method has to agree
    filter    the first method's score where all others are at or above their bounds (a filter is a score with a
              threshold); others are not eligible
    learned   sum_j a_j z_j with the scores standardised and the weights learned by M-FLYT (``methods/score/flyt.py``)

Ranks are by a keyed sample of ``SAMPLE`` rows: exact in a pool with no more, else off by about 0.0014; between and
beyond the sampled scores they go on rising, so that few rows tie. A row that one of the methods leaves out (-inf) is
left out. Columns beside the score (vectors, clusters) are passed on for rules that choose by them; of two columns of a
name, the first method's is taken. Cost: that of fitting and applying each method, and of scoring the sample once more.
Traps: ranks forget distances: an outlier counts no more than the row next to it; two scores that measure the same
thing are that thing counted twice (``notes["rank_correlation"]``).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .combine_rules import PURPOSE, Rule, Scores
from .core import Array, Batch, Block, Card, Choose, Map, Method, Run
from .fold.linear_kernels import rank_correlation
from .fold.scores import ScoreSample
from .methods.choose.top_k import TopK

SAMPLE = 1 << 17


@dataclass(frozen=True, eq=False)
class Mixed(Map):
    """Block: the columns of all Maps, and the combined "score"; rows without one lose what they could be chosen by."""

    maps: tuple[Map, ...]
    scores: Scores
    notes: dict[str, Any] = field(compare=False)

    @property
    def rows_at_once(self) -> int | None:  # type: ignore[override]
        """As the slowest Map wants it."""
        return min((one.rows_at_once for one in self.maps if one.rows_at_once is not None), default=None)

    def apply(self, batch: Batch) -> Block:
        found: Block = {}
        score = np.empty((len(batch), len(self.maps)))
        for at, one in enumerate(self.maps):
            block = one.apply(batch)
            score[:, at] = np.where(np.isnan(block["score"]), -np.inf, block["score"])
            found = {**block, **found}
        combined = self.scores.of(score)
        out = combined == -np.inf
        return {name: _without(name, values, out) for name, values in found.items()} | {"score": combined}


def _without(name: str, values: Array, out: Array) -> Array:
    """A column of which rules take no row under the mask."""
    if name in ("embedding", "cluster", "tags"):
        values = values.copy()
        values[out] = 0 if name == "embedding" else -1
    return values


@dataclass(frozen=True)
class Combined(Method):
    """``methods`` with their ``names``, and how their scores become one."""

    methods: tuple[Method, ...]
    names: tuple[str, ...]
    combine: str
    rule: Rule

    @property
    def card(self) -> Card:  # type: ignore[override]
        """Of all parts together."""
        cards = [method.card for method in self.methods]
        gives = tuple(dict.fromkeys(name for card in cards for name in card.gives if name != "perplexity"))
        cost = "; ".join(f"{name}: {card.cost}" for name, card in zip(self.names, cards, strict=True))
        papers = tuple(dict.fromkeys(card.bibtex for card in cards if card.bibtex))
        if self.combine == "learned":
            from .methods.score.flyt import Flyt

            papers += (Flyt.card.bibtex,)
        summary = f"{' and '.join(self.names)} as one score, combined by {self.combine}"
        return Card(summary, "combination", self.needs(), cost, "\n".join(papers), "that of its parts", gives)

    def needs(self) -> tuple[str, ...]:
        more = ("text", "target") if self.combine == "learned" else ()
        return tuple(dict.fromkeys([name for method in self.methods for name in method.needs()] + list(more)))

    def fit(self, run: Run) -> Mixed:
        maps = tuple(method.fit(run) for method in self.methods)
        sample = run.fold(ScoreSample(maps, SAMPLE, PURPOSE, run.seed))["score"]
        scores = self.rule.fit(run, self.names, sample)
        usable = np.isfinite(sample).all(axis=1)
        notes: dict[str, Any] = {"-inf": "they do not pass a filter, or one of the methods leaves them out"}
        notes["rank_correlation"] = {
            f"{a} {b}": rank_correlation(sample[usable, i], sample[usable, j])
            for i, a in enumerate(self.names)
            for j, b in enumerate(self.names)
            if i < j
        }
        for name, fitted in zip(self.names, maps, strict=True):
            notes[name] = dict(getattr(fitted, "notes", None) or {})
        return Mixed(maps, scores, notes | scores.notes())

    def chooser(self, fitted: Map) -> Choose:
        """The first method's own rule if it weighs columns by the score (``mig``), or to choose among what passes a
        filter; else the highest scores."""
        assert isinstance(fitted, Mixed)
        own = self.methods[0].chooser(fitted.maps[0])
        needs = set(getattr(type(own), "card", Card("", "", ("row",), "", "", "")).needs)
        weighs = "score" in needs and len(needs) > 1
        if (weighs or self.combine == "filter") and needs <= set(self.card.gives):
            return own
        return TopK()
