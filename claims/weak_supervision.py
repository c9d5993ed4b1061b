"""Weak supervision: training on rows that a weak model is unsure of.

**The paper's claim** (Kolossov, Montanari and Tandon, ICLR 2024). With a surrogate trained on few labels, rows drawn
with a preference for hard ones, and trained on without weights, give better models than as many random rows, and
sometimes than all rows; taking the hardest without chance fails at small shares.

**Small scale.** Telling two domains apart, three pairs, in pieces of 16 words; the surrogate learns from 40 labelled
pieces; 20 % of the pool's pieces are kept and a linear classifier is trained on them with their true labels. Measured
is its accuracy on held-out pieces. "Hard" and "easy" are the extremes; "all" has five times the rows and no vote.

**Reproduced** if the accuracy of alpha = 1 is above that of random rows and of the hardest rows, with 95 % intervals
apart from 0. **Direction only** if above random's. **Not reproduced** otherwise.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa

from cuvee.core import Array, Batch, Budget
from cuvee.feature.ngrams import Ngrams
from cuvee.methods.score.classifier import fit_linear
from cuvee.methods.score.weak_supervision import WeakSupervision

from .harness import Claim, Experiment, Found, Measured, Texts, chunks, demo, mean_of, sample, split

NAME, ACCURACY, SHARE = "alpha = 1", "accuracy", "rows kept"
OTHERS = ("random", "hard")
CLAIM = Claim(
    name="weak_supervision",
    judges=("score/weak_supervision.py", "choose/poisson.py"),
    metrics={
        ACCURACY: "of a linear classifier trained on the kept pieces, on held-out pieces",
        SHARE: "number of pieces trained on",
    },
    contrasts=((ACCURACY, NAME, (*OTHERS, "easy", "all")), (ACCURACY, "alpha = 0.5", ("random",))),
    settings={
        "pairs": [["python-docs", "rust-docs"], ["code-python", "code-go"], ["fiction", "speech"]],
        "words": 16,
        "labelled": 40,
        "share": 0.2,
        "pool": 4000,
    },
)


class Labelled(Experiment):
    """The target's domains are its labels, as a column of their own."""

    def targets(self) -> object:  # type: ignore[override]
        label = pa.array(self.target.domain.tolist(), pa.large_string())
        yield replace(self.target.batch, columns={"label": label})


def part_of(texts: Texts, rows: Array) -> Batch:
    """Some rows as a batch of their own."""
    return texts.take(rows).batch


def accuracy(train: Texts, held: Texts, first: str, seed: int) -> float:
    """Of a classifier for the first domain against the second; a set of one domain says that one always."""
    right = train.domain == first
    if right.all() or not right.any():
        return float((held.domain == (first if right.any() else "")).mean())
    model = fit_linear(part_of(train, right), part_of(train, ~right), Ngrams(1, 1 << 16), 1.0, 10, 0, seed)
    return float(((model.apply(held.batch)["score"] > 0) == (held.domain == first)).mean())


def between(pair: list[str], seed: int) -> Measured:
    """All ways to keep pieces of two domains."""
    words = CLAIM.settings["words"]
    held, near, rest = (chunks(part.of(*pair), words) for part in split(demo(), seed, 0.15, 0.15))
    pool = sample(rest, seed, "pool", CLAIM.settings["pool"])
    run = Labelled(pool, sample(near, seed, "labelled", CLAIM.settings["labelled"]), seed)
    budget = Budget("rows", fraction=CLAIM.settings["share"])
    arms = {NAME: run.select(WeakSupervision(), budget), "random": run.random(budget)}
    arms["alpha = 0.5"] = run.select(WeakSupervision(0.5), budget)
    arms |= {rule: run.select(WeakSupervision(rule=rule), budget) for rule in ("hard", "easy")}
    kept = {name: picked.rows for name, picked in arms.items()} | {"all": np.arange(len(pool))}
    return {
        name: {ACCURACY: accuracy(pool.take(rows), held, pair[0], seed), SHARE: float(len(rows))}
        for name, rows in kept.items()
    }


def trial(seed: int) -> Measured:
    """Means over the pairs."""
    return mean_of([between(pair, seed) for pair in CLAIM.settings["pairs"]])


def judge(found: Found) -> str:
    """By the rule above."""
    better = {other: found.of(ACCURACY, NAME, other).above for other in OTHERS}
    if not better["random"]:
        return "not reproduced"
    return "reproduced" if better["hard"] else "direction only"
