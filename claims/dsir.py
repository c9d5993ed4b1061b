"""DSIR: importance resampling on hashed n-grams.

**The paper's claim** (Xie et al., NeurIPS 2023). Resampling a raw pool by n-gram likelihood ratios moves it towards the
target (KL reduction above 0, correlated with accuracy), and models trained on the result beat those trained on random
rows and on rows from a classifier against the target.

**Small scale.** Four targets (50 pieces each of SQLite's manual, Python code, speeches, novels) in a pool of eleven
domains, everything cut into pieces of 128 words as in the paper; 5 % of the pool's tokens are kept, and the means over
the four targets are compared. Precision is the share of kept tokens from the target's domain. The same on whole
documents tells what becomes of the weights: effective sample size, and the share of drawn rows that plain top-k takes
as well. These do not enter the verdict.

**Reproduced** if, at 128 words and with 95 % intervals apart from 0, precision is above random's, KL reduction is above
0, and bits per character are below those of random, of length-matched random and of the classifier. **Direction only**
if all of that holds but for the classifier. **Not reproduced** otherwise.
"""

from __future__ import annotations

import numpy as np

from cuvee.core import Array, Budget
from cuvee.feature.log_ratio import kl_reduction
from cuvee.feature.ngrams import Ngrams
from cuvee.methods.choose.top_k import TopK
from cuvee.methods.score.classifier import Classifier
from cuvee.methods.score.dsir import Dsir

from .harness import BITS, NATS, PRECISION, Claim, Found, Measured, mean_of, study

KL, SIZE, OVERLAP = "KL reduction", "effective sample size", "also in top-k"
SHORT, OTHERS = "dsir", ("random", "length-matched", "classifier")
CLAIM = Claim(
    name="dsir",
    judges=("score/dsir.py", "choose/gumbel.py"),
    metrics={
        PRECISION: "share of kept tokens from the target's domain",
        KL: "nats, over 10,000 buckets of word 1- and 2-grams, towards the target's 50 texts",
        BITS: "of held-out text of the target's domain, byte 5-grams",
        NATS: "the same text, word trigrams",
        SIZE: "of the weights over the whole pool: (sum w)^2 / sum w^2",
        OVERLAP: "share of rows drawn with Gumbel noise that the highest scores alone would keep",
    },
    contrasts=(
        *((metric, SHORT, OTHERS) for metric in (BITS, NATS)),
        (PRECISION, SHORT, ("random", "classifier")),
        (BITS, f"{SHORT}, whole documents", tuple(f"{arm}, whole documents" for arm in OTHERS)),
    ),
    settings={"targets": ["sqlite-docs", "code-python", "speech", "fiction"], "texts": 50, "words": 128, "share": 0.05},
)


def effective(score: Array) -> float:
    """(sum w)^2 / sum w^2 of w = exp(score)."""
    weight = np.exp(score - score.max())
    return float(weight.sum() ** 2 / (weight**2).sum())


def toward(domain: str, seed: int, words: int) -> Measured:
    """All arms for one target."""
    run, held = study(seed, domain, words, CLAIM.settings["texts"])
    budget = Budget("tokens", fraction=CLAIM.settings["share"])
    kept = run.select(Dsir(), budget)
    arms = {"dsir": kept, "random": run.random(budget), "length-matched": run.matched(kept, budget)}
    arms["classifier"] = run.select(Classifier(folds=1), budget)
    features = Ngrams(2, 10_000)
    goal, whole = features.count(run.target.batch), features.count(run.pool.batch)
    found = {name: run.measure(picked, held, domain) for name, picked in arms.items()}
    for name, picked in arms.items():
        found[name][KL] = kl_reduction(goal, whole, features.count(run.pool.take(picked.rows).batch))
    score = kept.table.data["score"]
    top = run.choose(TopK(), budget, {"score": score})
    found["dsir"] |= {SIZE: effective(score), OVERLAP: float(np.isin(kept.rows, top.rows).mean())}
    return found


def trial(seed: int) -> Measured:
    """Means over the targets, for pieces and for whole documents."""
    pieces, whole = (
        mean_of([toward(domain, seed, words) for domain in CLAIM.settings["targets"]])
        for words in (CLAIM.settings["words"], 0)
    )
    return pieces | {f"{arm}, whole documents": values for arm, values in whole.items()}


def judge(found: Found) -> str:
    """By the rule above."""
    nearer = found.of(PRECISION, SHORT, "random").above and found.of(KL, SHORT).above
    better = {other: found.of(BITS, SHORT, other).below for other in OTHERS}
    if not (nearer and better["random"] and better["length-matched"]):
        return "not reproduced"
    return "reproduced" if better["classifier"] else "direction only"
