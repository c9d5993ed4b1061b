"""PreSelect: keep text on which losses rank models as their abilities do.

**The paper's claim** (Shum et al., 2025). A classifier trained on the documents of highest and lowest predictive
strength, over six models of one family, selects text that trains better models than random text, at equal size. The
order of the models must carry the information: with mixed families the result was no better than random.

**Small scale.** Six n-gram models on 250 documents each, of which 0, 10, 20, 40, 60 and 80 % are manuals (SQLite,
Python, Rust), the rest of other domains. Ability is minus the loss on a benchmark of held-out manuals. Losses are
taken on 1,200 documents that no model saw; the classifier then keeps 10 % of the pool's bytes. Final loss: manuals of
yet other pages. Controls: random; length-matched; the six abilities in random order (means over three orders); and,
beside it, a ladder of six random mixtures of all domains, where nothing but chance makes one model abler.

**Reproduced** if bits per character are below those of random and of length-matched random, and below those of the
permuted order, with 95 % intervals apart from 0, and the interval of permuted less random contains 0. **Direction
only** if the real order is better than random and than length-matched, but the rest fails. Else **not reproduced**.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from cuvee.core import Array, Budget
from cuvee.methods.score.classifier import Linear
from cuvee.methods.score.preselect import PreSelect, strength

from .harness import (
    BITS,
    NATS,
    PRECISION,
    Claim,
    Experiment,
    Found,
    Measured,
    Picked,
    Texts,
    bits_each,
    demo,
    fit_model,
    generator,
    join,
    mean_of,
    sample,
    split,
)

REFUSED, PERFECT = "refused", "documents of strength 1"
CLAIM = Claim(
    name="preselect",
    judges=("score/preselect.py", "score/classifier.py", "choose/top_k.py", "choose/cut.py"),
    metrics={
        PRECISION: "share of kept tokens from manuals",
        BITS: "of held-out manuals, byte 5-grams",
        NATS: "the same text, word trigrams",
        PERFECT: "of 1,200",
        REFUSED: "orders or ladders drawn and passed over, because no document had strength 1, which the method refuses",
    },
    contrasts=(
        *((BITS, "graded ladder", other) for other in ("random", "length-matched", "permuted order")),
        *((NATS, "graded ladder", other) for other in ("random", "length-matched", "permuted order")),
        (BITS, "permuted order", "random"),
        (PRECISION, "permuted order", "random"),
        (BITS, "random mixtures", "random"),
    ),
    settings={
        "manuals": ["sqlite-docs", "python-docs", "rust-docs"],
        "shares": [0.0, 0.1, 0.2, 0.4, 0.6, 0.8],
        "model_rows": 250,
        "seed_rows": 1200,
        "orders": 3,
        "kept": 0.1,
    },
)


def ladder(texts: Texts, seed: int, attempt: int | None = None) -> list[Texts]:
    """The training texts of six models: the graded ladder or, by ``attempt``, random mixtures."""
    rows, random, names = CLAIM.settings["model_rows"], generator(seed, f"mixtures {attempt}"), np.unique(texts.domain)
    manual, found = np.isin(texts.domain, CLAIM.settings["manuals"]), []
    for number, share in enumerate(CLAIM.settings["shares"]):
        parts = [(texts.take(manual), round(share * rows)), (texts.take(~manual), rows - round(share * rows))]
        if attempt is not None:
            amounts = random.multinomial(rows, random.dirichlet(np.full(len(names), 0.5)))
            parts = [(texts.of(name), int(amount)) for name, amount in zip(names, amounts, strict=True)]
        found.append(join([sample(part, seed, f"model {number}", amount) for part, amount in parts if amount > 1]))
    return found


def measured(models: list[Texts], documents: Texts, benchmark: Texts) -> tuple[Array, Array]:
    """Losses (documents, models) and abilities (models,) of models trained on these texts."""
    fitted = [fit_model(one) for one in models]
    ability = np.array([-float(np.mean(bits_each(model, benchmark))) for model in fitted])
    return np.column_stack([bits_each(model, documents) for model in fitted]), ability


def selected(run: Experiment, documents: Texts, loss: Array, ability: Array) -> Picked | None:
    """PreSelect by these losses and abilities; None where no document has strength 1."""
    with tempfile.TemporaryDirectory() as folder:
        columns = {str(model): column for model, column in enumerate(loss.T)}
        table = pa.table({"text": [one.decode() for one in documents.text], **columns})
        pq.write_table(table, f"{folder}/losses.parquet")
        told = json.dumps({str(model): float(one) for model, one in enumerate(ability)})
        Path(f"{folder}/losses.json").write_text(told, "utf-8")
        if not (strength(loss, ability) == 1).any():
            return None
        return run.select(PreSelect(f"{folder}/losses.parquet"), Budget("bytes", fraction=CLAIM.settings["kept"]))


def several(draws: Iterator[Picked | None], wanted: int) -> tuple[list[Picked], float]:
    """The first selections that came about, and how many did not."""
    found: list[Picked] = []
    refused = 0
    while len(found) < wanted:
        one = next(draws)
        found, refused = (found, refused + 1) if one is None else ([*found, one], refused)
    return found, float(refused)


def trial(seed: int) -> Measured:
    """All arms."""
    manuals, budget = CLAIM.settings["manuals"], Budget("bytes", fraction=CLAIM.settings["kept"])
    held, benchmark, models, rest = split(demo(), seed, 0.1, 0.1, 0.35)
    rest, held, benchmark = sample(rest, seed, "pool", 0.9), held.of(*manuals), benchmark.of(*manuals)
    first = np.unique(np.array(rest.text, object), return_index=True)[1]
    documents = sample(rest.take(np.sort(first)), seed, "documents", CLAIM.settings["seed_rows"])
    run, random = Experiment(rest, benchmark, seed), generator(seed, "orders")
    loss, ability = measured(ladder(models, seed), documents, benchmark)
    orders = (selected(run, documents, loss, random.permutation(ability)) for _ in count())
    mixed = (selected(run, documents, *measured(ladder(models, seed, n), documents, benchmark)) for n in count())
    picks = {
        "graded ladder": several(iter([selected(run, documents, loss, ability)]), 1),
        "permuted order": several(orders, CLAIM.settings["orders"]),
        "random mixtures": several(mixed, 1),
        "random": ([run.random(budget)], 0.0),
    }
    picks["length-matched"] = [run.matched(picks["graded ladder"][0][0], budget)], 0.0
    found: Measured = {}
    for name, (chosen, refused) in picks.items():
        found |= mean_of([{name: run.measure(one, held, *manuals)} for one in chosen])
        perfect = [one.fitted.notes["strength_1"] for one in chosen if isinstance(one.fitted, Linear)]
        if perfect:
            found[name] |= {PERFECT: float(np.mean(perfect)), REFUSED: refused}
    return found


def judge(found: Found) -> str:
    """By the rule above."""
    real = {
        name: found.of(BITS, "graded ladder", name).below for name in ("random", "length-matched", "permuted order")
    }
    control = found.of(BITS, "permuted order", "random")
    if not (real["random"] and real["length-matched"]):
        return "not reproduced"
    return "reproduced" if real["permuted order"] and control.low <= 0 <= control.high else "direction only"
