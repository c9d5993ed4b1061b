"""Pointwise V-information: what is left of a pool when the hardest, the easiest or random labelled rows are kept.

**The papers' claim** (Ethayarajh, Choi and Swayamdipta, ICML 2022). PVI finds wrong labels: rows with values below 0.
Rows of low V-information given the model, the hard ones, train better than random ones, even than all (the idea behind
OptiDEL, 2024, arXiv 2408.07107, whose composed samples are not made here).

**Small scale.** Two pairs of domains, cut into pieces of 16 words; 4,000 pieces with their domain as label; 20 % are
kept, by PVI of linear models on words. A linear classifier is trained on what is kept and asked about held-out pieces.
Once labels are right, once 10 % are swapped. "Hard, 10 % dropped" leaves out the lowest values. Means over the pairs.

**Reproduced** if at least 80 % of the swapped labels stand among the lowest fifth, and hard rows (of right labels) give
a higher accuracy than random rows and no lower one than all rows by 0.01, with 95 % intervals. **Direction only** if
the first part holds. **Not reproduced** otherwise.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa

from cuvee.core import Array, Batch, Budget
from cuvee.feature.ngrams import Ngrams
from cuvee.methods.score.classifier import fit_linear
from cuvee.methods.score.v_information import VInformation

from .harness import Claim, Experiment, Found, Measured, Texts, chunks, demo, generator, mean_of, sample, split

ACCURACY, FOUND = "accuracy", "wrong labels found"
ARMS = ("hard", "hard, 10 % dropped", "easy", "random", "all")
CLAIM = Claim(
    name="v_information",
    judges=("score/v_information.py", "choose/top_k.py"),
    metrics={
        ACCURACY: "of a linear classifier trained on the kept pieces, on held-out pieces",
        FOUND: "of the swapped labels, the share among the fifth of lowest PVI",
    },
    contrasts=(
        (ACCURACY, "hard", ("random", "easy", "all")),
        (ACCURACY, "hard, 10 % dropped", ("random",)),
        *((ACCURACY, f"{arm}, swapped", ("random, swapped",)) for arm in ARMS if arm != "random"),
    ),
    settings={
        "pairs": [["python-docs", "rust-docs"], ["code-python", "code-go"]],
        "words": 16,
        "pool": 4000,
        "share": 0.2,
        "swapped": 0.1,
    },
)


class Labelled(Experiment):
    """The pool's rows with a label each."""

    label: Array

    @property
    def batch(self) -> Batch:
        return replace(self.pool.batch, columns={"label": pa.array(self.label.tolist(), pa.large_string())})

    def fold(self, fold: object, over: str = "pool") -> object:
        return fold.finish(fold.lift(self.batch))  # type: ignore[attr-defined]


def accuracy(run: Labelled, rows: Array, held: Texts, first: str) -> float:
    """Of a classifier for the first label against the second."""
    kept, right = run.pool.take(rows), run.label[rows] == first
    if right.all() or not right.any():
        return float((held.domain == (first if right.any() else "")).mean())
    ngrams = Ngrams(1, 1 << 16)
    model = fit_linear(kept.take(right).batch, kept.take(~right).batch, ngrams, 1.0, 10, 0, run.seed)
    return float(((model.apply(held.batch)["score"] > 0) == (held.domain == first)).mean())


def between(pair: list[str], seed: int) -> Measured:
    """All arms for two domains."""
    held, rest = (chunks(part.of(*pair), CLAIM.settings["words"]) for part in split(demo(), seed, 0.15))
    pool = sample(rest, seed, "pool", CLAIM.settings["pool"])
    found: Measured = {}
    for suffix, share in (("", 0.0), (", swapped", CLAIM.settings["swapped"])):
        run, budget = Labelled(pool, held, seed), Budget("rows", fraction=CLAIM.settings["share"])
        wrong = generator(seed, "swapped").random(len(pool)) < share
        other = np.where(pool.domain == pair[0], pair[1], pair[0])
        run.label = np.where(wrong, other, pool.domain)

        def kept(method: VInformation, run: Labelled = run, budget: Budget = budget) -> Array:
            fitted = method.fit(run)
            return run.choose(method.chooser(fitted), budget, fitted.apply(run.batch), fitted).rows

        rows = {
            "hard": kept(VInformation(drop=0.0)),
            "hard, 10 % dropped": kept(VInformation(drop=0.1)),
            "easy": kept(VInformation(prefer="easy", drop=0.0)),
            "random": run.random(budget).rows,
            "all": np.arange(len(pool)),
        }
        for name, chosen in rows.items():
            found[name + suffix] = {ACCURACY: accuracy(run, chosen, held, pair[0])}
        if share:
            found["hard" + suffix][FOUND] = float(wrong[rows["hard"]].sum() / wrong.sum())
    return found


def trial(seed: int) -> Measured:
    """Means over the pairs."""
    return mean_of([between(pair, seed) for pair in CLAIM.settings["pairs"]])


def judge(found: Found) -> str:
    """By the rule above."""
    if found.of(FOUND, "hard, swapped").low < 0.8:
        return "not reproduced"
    better = found.of(ACCURACY, "hard", "random").above and found.of(ACCURACY, "hard", "all").low > -0.01
    return "reproduced" if better else "direction only"
