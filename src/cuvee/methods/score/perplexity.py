"""Perplexity sampling: score texts by a small n-gram language model, keep the middle of the pool.

De la Rosa et al., "BERTIN: Efficient Pre-Training of a Spanish Language Model using Perplexity Sampling", Procesamiento
del Lenguaje Natural 68, 2022 (arXiv 2207.06814). A text is split at line feeds; with words(line) tokens and one end per
line,

    perplexity = 10 ** (-sum over lines of log10 p(line) / sum over lines of (words(line) + 1)),

so an empty line counts one token. The paper's model is KenLM, 5-grams with modified Kneser-Ney smoothing, over words
between spaces; this one is :class:`cuvee.fold.ngram_lm.NgramLM`, trigrams with Witten-Bell smoothing, over lower-case
words and punctuation. Values therefore differ from KenLM's; the rules need no more than the pool's quartiles of them.

``fit_on="target"`` is the paper's way: a clean reference text (Wikipedia there), on which the model learns what good
text looks like. ``fit_on="pool"`` needs no target: two models learn from either half of the pool's rows, and each row
is scored by the one that has not seen it (a model that has seen a text predicts it far too well, the strangest text
most of all). Perplexity then tells how unlike the rest of the pool a text is. Either way the counts come from a sample
by key, because tables that fit into memory hold no more.

Inputs: texts. Block: "perplexity", and "score" = -log10(perplexity): higher is more predictable. "score" serves the
rule "lowest" alone; "gaussian" and "stepwise" (``choose/keep_probability.py``) read "perplexity",
for neither end of the scale is better.

Cost: two passes over the texts, one to sample and one to score at 40 to 60 MB/s per core; 160 MB of tables, up to
330 MB for the sample where texts are long. Traps: short texts have noisy perplexity; the lowest perplexities are
boilerplate, which is why "lowest" is a baseline and not advice; rare clean domains are lost (see the notes of the
choice).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import numpy as np

from ...core import Batch, Block, Card, Choose, Map, Method, Run
from ...errors import UsageError
from ...fold.bottom_k import BottomK, as_batch
from ...fold.ngram_lm import LanguageModel, NgramLM
from ..choose.keep_probability import KeepProbability
from ..choose.top_k import TopK


@dataclass(frozen=True)
class PerplexityMap(Map):
    """Perplexity and -log10 of it, per text."""

    model: LanguageModel

    def apply(self, batch: Batch) -> Block:
        perplexity = self.model.score(batch)["perplexity"]
        return {"score": -np.log10(perplexity), "perplexity": perplexity}


@dataclass(frozen=True)
class Perplexity(Method):
    """Perplexity sampling as in BERTIN.

    Attributes:
        order, table_bits: of the language model, see :class:`cuvee.fold.ngram_lm.NgramLM`.
        fit_on: "pool" or "target".
        fit_rows: how many rows, drawn by key, the model is fitted on at most; of each, the first 16,384 bytes.
        fit_megabytes: how much of their text (10**6 bytes), in the order of their draws.
        rule: "gaussian", "stepwise" or "lowest".
    """

    order: int = 3
    table_bits: int = 22
    fit_on: Literal["pool", "target"] = "pool"
    fit_rows: int = 20_000
    fit_megabytes: float = 32.0
    rule: Literal["gaussian", "stepwise", "lowest"] = "gaussian"

    card: ClassVar[Card] = Card(
        summary="Keeps texts of middling perplexity under a small n-gram language model.",
        family="perplexity",
        needs=("text",),
        gives=("score", "perplexity"),
        cost="two passes, the second at 40 to 60 MB/s per core; 160 MB of tables",
        bibtex=KeepProbability.card.bibtex,
        evidence="the model's equations, the loader's rules; claim: not reproduced (8 seeds)",
        use_when="You have no target and want to drop boilerplate at one end and noise at the other. With "
        "`fit_on=target`, a clean reference text says what good text looks like.",
        fails_when="Rare clean domains with unusual words are lost, and repetitive text of middling perplexity stays.",
    )

    def __post_init__(self) -> None:
        if self.fit_on not in ("pool", "target"):
            raise UsageError(f"perplexity: fit_on must be 'pool' or 'target', not {self.fit_on!r}")
        if self.rule not in ("gaussian", "stepwise", "lowest"):
            raise UsageError(f"perplexity: rule must be gaussian, stepwise or lowest, not {self.rule!r}")
        if self.fit_rows < 1 or not 0 < self.fit_megabytes < 4096:
            raise UsageError("perplexity: fit_rows must be at least 1, and fit_megabytes above 0 and below 4096")
        NgramLM(order=self.order, table_bits=self.table_bits)  # refuses what is out of range, before any pass

    def needs(self) -> tuple[str, ...]:
        return ("text", "target") if self.fit_on == "target" else self.card.needs

    def fit(self, run: Run) -> Map:
        sample = as_batch(run.fold(BottomK(self.fit_rows, "perplexity sample", run.seed), self.fit_on))
        rows = int(np.searchsorted(sample.offsets, int(self.fit_megabytes * 1e6), side="right")) - 1
        rows = max(1, rows) if len(sample) else 0
        sample = replace(sample, offsets=sample.offsets[: rows + 1], row=sample.row[:rows], key=sample.key[:rows])
        counts = NgramLM(self.order, self.table_bits, halves=self.fit_on == "pool")
        return PerplexityMap(counts.finish(counts.lift(sample)))

    def chooser(self, fitted: Map) -> Choose:
        return TopK() if self.rule == "lowest" else KeepProbability(self.rule)
