"""PreSelect: keep text on which losses rank models as their abilities do.

**The paper's claim** (Shum et al., 2025). A classifier trained on the documents of highest and lowest predictive
strength, over six models of one family, selects text that trains better models than random text, at equal size. The
order of the models must carry the information: with mixed families the result was no better than random.

**Small scale.** Six n-gram models on 250 documents each, of which 0, 10, 20, 40, 60 and 80 % are manuals (SQLite,
Python, Rust), the rest of other domains. Ability is minus the loss on a benchmark of held-out manuals. Losses are
taken on 1,200 documents that no model saw; the classifier then keeps 10 % of the pool's bytes. Final loss: manuals of
yet other pages. Controls: random; length-matched; the six abilities in random order (means over three orders); and,
beside it, a ladder of six random mixtures of all domains, where nothing but chance makes one model abler, and random
manuals, the most that could be hoped for.

**Reproduced** if bits per character are below those of random and of length-matched random, and below those of the
permuted order, with 95 % intervals apart from 0, and the interval of permuted less random contains 0. **Direction
only** if the real order is better than random and than length-matched, but the rest fails. Else **not reproduced**.
"""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from cuvee.core import Array, Budget
from cuvee.methods.score.preselect import PreSelect, strength

from . import harness
from .harness import BITS, NATS, PRECISION, Claim, Experiment, Found, Measured, Picked, Texts, mean_of, sample

REFUSED, PERFECT, PURE, CODE = "refused", "documents of strength 1", "manuals among these", "kept code"
REAL, OTHERS = "graded ladder", ("random", "length-matched", "permuted order")
CLAIM = Claim(
    name="preselect",
    judges=("score/preselect.py", "score/classifier.py", "choose/top_k.py"),
    metrics={
        PRECISION: "share of kept tokens from manuals",
        BITS: "of held-out manuals, byte 5-grams",
        NATS: "the same text, word trigrams",
        CODE: "share of kept tokens from Python and Go code",
        PERFECT: "of 1,200",
        PURE: "share of the documents of strength 1 that are manuals",
        REFUSED: "orders or ladders drawn and passed over, because no document had strength 1",
    },
    contrasts=(
        *((metric, REAL, OTHERS) for metric in (BITS, NATS)),
        *((BITS, arm, ("random",)) for arm in ("permuted order", "random mixtures", "random manuals")),
        (PRECISION, "permuted order", ("random",)),
    ),
    settings={
        "manuals": ["sqlite-docs", "python-docs", "rust-docs"],
        "shares": [0.0, 0.1, 0.2, 0.4, 0.6, 0.8],
        "rows": {"model": 250, "losses": 1200},
        "orders": 3,
        "kept": 0.1,
    },
)
MANUALS, BUDGET = CLAIM.settings["manuals"], Budget("bytes", fraction=CLAIM.settings["kept"])


def ladder(texts: Texts, seed: int, attempt: int | None = None) -> list[Texts]:
    """The training texts of six models: the graded ladder or, by ``attempt``, random mixtures."""
    rows, random = CLAIM.settings["rows"]["model"], harness.generator(seed, f"mixtures {attempt}")
    names, manual, found = np.unique(texts.domain), np.isin(texts.domain, MANUALS), []
    for number, share in enumerate(CLAIM.settings["shares"]):
        parts = [(texts.take(manual), round(share * rows)), (texts.take(~manual), rows - round(share * rows))]
        if attempt is not None:
            amounts = random.multinomial(rows, random.dirichlet(np.full(len(names), 0.5)))
            parts = [(texts.of(name), int(amount)) for name, amount in zip(names, amounts, strict=True)]
        found.append(harness.join([sample(part, seed, f"model {number}", n) for part, n in parts if n > 1]))
    return found


@dataclass(frozen=True)
class Losses:
    """What models told: ``loss`` (documents, models) and ``ability`` (models,)."""

    documents: Texts
    loss: Array
    ability: Array

    @classmethod
    def of(cls, models: list[Texts], documents: Texts, benchmark: Texts) -> Losses:
        """Train and measure."""
        fitted = [harness.fit_model(one) for one in models]
        ability = np.array([-float(np.mean(harness.bits_each(model, benchmark))) for model in fitted])
        return cls(documents, np.column_stack([harness.bits_each(model, documents) for model in fitted]), ability)

    def select(self, run: Experiment, ability: Array) -> tuple[Picked, dict[str, float]] | None:
        """PreSelect's choice and facts of the documents of strength 1; None where there is none."""
        perfect = strength(self.loss, ability) == 1
        if not perfect.any():
            return None
        with tempfile.TemporaryDirectory() as folder:
            columns = {str(model): column for model, column in enumerate(self.loss.T)}
            table = pa.table({"text": [one.decode() for one in self.documents.text], **columns})
            pq.write_table(table, f"{folder}/losses.parquet")
            told = json.dumps({str(model): float(one) for model, one in enumerate(ability)})
            Path(f"{folder}/losses.json").write_text(told, "utf-8")
            picked = run.select(PreSelect(f"{folder}/losses.parquet"), BUDGET)
        manuals = float(np.isin(self.documents.domain[perfect], MANUALS).mean())
        return picked, {PERFECT: float(perfect.sum()), PURE: manuals}


def trial(seed: int) -> Measured:
    """All arms."""
    held, benchmark, models, rest = harness.split(harness.demo(), seed, 0.1, 0.1, 0.35)
    rest, held, benchmark = sample(rest, seed, "pool", 0.9), held.of(*MANUALS), benchmark.of(*MANUALS)
    first = np.unique(np.array(rest.text, object), return_index=True)[1]
    documents = sample(rest.take(np.sort(first)), seed, "documents", CLAIM.settings["rows"]["losses"])
    run, random, drawn = Experiment(rest, benchmark, seed), harness.generator(seed, "orders"), range(1000)
    graded = Losses.of(ladder(models, seed), documents, benchmark)
    mixtures = (Losses.of(ladder(models, seed, attempt), documents, benchmark) for attempt in drawn)
    tried = {
        REAL: (1, iter([graded.select(run, graded.ability)])),
        "permuted order": (
            CLAIM.settings["orders"],
            (graded.select(run, random.permutation(graded.ability)) for _ in drawn),
        ),
        "random mixtures": (1, (mixture.select(run, mixture.ability) for mixture in mixtures)),
    }
    found: Measured = {}
    for name, (wanted, results) in tried.items():
        several: list[tuple[Picked, dict[str, float]]] = []
        refused = 0.0
        while len(several) < wanted:
            one = next(results)
            several, refused = (several, refused + 1) if one is None else ([*several, one], refused)
        found |= mean_of([{name: measure(run, picked, held) | facts} for picked, facts in several])
        found[name][REFUSED] = refused
        if name == REAL:
            found["length-matched"] = measure(run, run.matched(several[0][0], BUDGET), held)
    found["random"] = measure(run, run.random(BUDGET), held)
    only = Experiment(rest.of(*MANUALS), benchmark, seed)
    amount = Budget("bytes", BUDGET.resolve(int(rest.bytes.sum())))
    found["random manuals"] = measure(only, only.random(amount), held)
    return found


def measure(run: Experiment, picked: Picked, held: Texts) -> dict[str, float]:
    """Precision, losses, and the share of code."""
    kept = run.pool.take(picked.rows)
    code = kept.tokens[np.isin(kept.domain, ("code-python", "code-go"))].sum()
    return run.measure(picked, held, *MANUALS) | {CODE: float(code / kept.tokens.sum())}


def judge(found: Found) -> str:
    """By the rule above."""
    real = {name: found.of(BITS, REAL, name).below for name in OTHERS}
    control = found.of(BITS, "permuted order", "random")
    if not (real["random"] and real["length-matched"]):
        return "not reproduced"
    return "reproduced" if real["permuted order"] and control.low <= 0 <= control.high else "direction only"
