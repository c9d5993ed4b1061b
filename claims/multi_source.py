"""Multi-source selection: uncertainty after a screen for rows from which nothing can be learned.

**The paper's claim** (Snijders, Kiela and Margatina, 2023). On pools of several sources, taking what a model is least
sure of is no better than random rows, since it takes groups of rows that cannot be learned; without these it is.

**Small scale.** Telling two domains apart, two pairs, in pieces of 16 words. Of the pool's 4,000 pieces 30 % are a
second source: other domains, with one of the two labels drawn at random. The classifier that is unsure learns from 60
pieces of the first source; 10 % of the pool's pieces are kept, and a linear classifier is trained on them with the
labels that they have. Measured is its accuracy on held-out pieces of the first source. The screen leaves out 30 %, by
label; by nearness to the 60 pieces beside it.

**Reproduced** if the accuracy without a screen is not above random's (interval), and with the screen by label is
above random's and above that without, with 95 % intervals apart from 0. **Direction only** if the screened is above
the unscreened, but the rest fails. **Not reproduced** otherwise.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from cuvee.core import Array, Batch, Budget, Fold
from cuvee.feature.ngrams import Ngrams
from cuvee.methods.choose.top_k import TopK
from cuvee.methods.score.classifier import fit_linear
from cuvee.methods.score.multi_source import MultiSource
from cuvee.methods.score.weak_supervision import WeakSupervision

from .harness import Claim, Experiment, Found, Measured, Texts, chunks, demo, generator, join, mean_of, sample, split

NAME, NEAR, PLAIN, RANDOM = "screened", "screened by nearness", "unscreened", "random"
ACCURACY, OUTLIERS = "accuracy", "second source"
CLAIM = Claim(
    name="multi_source",
    judges=("score/multi_source.py", "score/weak_supervision.py", "score/v_information.py"),
    metrics={
        ACCURACY: "of a linear classifier trained on the kept pieces, on held-out pieces of the first source",
        OUTLIERS: "share of the kept pieces that are of the source with random labels",
    },
    contrasts=(
        (ACCURACY, NAME, (RANDOM, PLAIN, NEAR)),
        (ACCURACY, PLAIN, (RANDOM,)),
        (ACCURACY, NEAR, (RANDOM, PLAIN)),
        (OUTLIERS, PLAIN, (RANDOM, NAME)),
    ),
    settings={
        "pairs": [["python-docs", "rust-docs"], ["fiction", "speech"]],
        "second": ["licence", "jargon"],
        "words": 16,
        "labelled": 60,
        "pool": 4000,
        "unlearnable": 0.3,
        "share": 0.1,
    },
)


def with_labels(texts: Texts, label: Array) -> Batch:
    """Rows with their labels."""
    return replace(texts.batch, columns={"label": pa.array(label.tolist(), pa.large_string())})


class Labelled(Experiment):
    """Pool and target with labels of their own."""

    names: tuple[Array, Array]

    def fold(self, fold: Fold, over: Literal["pool", "target"] = "pool") -> Any:
        at = 0 if over == "pool" else 1
        return fold.finish(fold.lift(with_labels((self.pool, self.target)[at], self.names[at])))

    def targets(self) -> Iterator[Batch]:
        yield with_labels(self.target, self.names[1])


def accuracy(train: Texts, label: Array, held: Texts, first: str, seed: int) -> float:
    """Of a classifier trained on the labels that rows have, on the true ones of the held-out pieces."""
    right = label == first
    if right.all() or not right.any():
        return float((held.domain == (first if right.any() else "")).mean())
    parts = train.take(right).batch, train.take(~right).batch
    model = fit_linear(*parts, Ngrams(1, 1 << 16), 1.0, 10, 0, seed)
    return float(((model.apply(held.batch)["score"] > 0) == (held.domain == first)).mean())


def between(pair: list[str], seed: int) -> Measured:
    """All ways to keep pieces."""
    asked = CLAIM.settings
    held, near, rest = split(demo(), seed, 0.15, 0.15)
    held, near, good, bad = (
        chunks(part.of(*names), asked["words"])
        for part, names in ((held, pair), (near, pair), (rest, pair), (rest, asked["second"]))
    )
    many = round(asked["unlearnable"] * asked["pool"])
    good, bad = sample(good, seed, "good", asked["pool"] - many), sample(bad, seed, "bad", many)
    pool, labelled = join([good, bad]), sample(near, seed, "labelled", asked["labelled"])
    label = np.concatenate([good.domain, generator(seed, "labels").choice(np.array(pair), len(bad))])
    run = Labelled(pool, labelled, seed)
    run.names = label, labelled.domain
    budget, rows = Budget("rows", fraction=asked["share"]), with_labels(pool, label)
    methods = {NAME: MultiSource(), NEAR: MultiSource(by="nearness"), PLAIN: WeakSupervision(rule="hard")}
    arms = {name: run.choose(TopK(), budget, method.fit(run).apply(rows)).rows for name, method in methods.items()}
    arms[RANDOM] = run.random(budget).rows
    return {
        name: {
            ACCURACY: accuracy(pool.take(at), label[at], held, pair[0], seed),
            OUTLIERS: float(np.mean(at >= len(good))),
        }
        for name, at in arms.items()
    }


def trial(seed: int) -> Measured:
    """Means over the pairs."""
    return mean_of([between(pair, seed) for pair in CLAIM.settings["pairs"]])


def judge(found: Found) -> str:
    """By the rule above."""
    recovers = found.of(ACCURACY, NAME, PLAIN).above
    if not recovers:
        return "not reproduced"
    fails, gains = not found.of(ACCURACY, PLAIN, RANDOM).above, found.of(ACCURACY, NAME, RANDOM).above
    return "reproduced" if fails and gains else "direction only"
