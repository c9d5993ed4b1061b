"""A linear classifier, target against pool, as a filter.

**The papers' claim** (Brown et al., 2020, appendix A; Li et al., DataComp-LM, 2024). Documents that a bag-of-n-grams
classifier takes for the good kind train better models than random documents, at equal tokens.

**Small scale.** Whole documents; four targets (50 documents each of SQLite's manual, Python code, speeches, novels) in
a pool of eleven domains; the highest scores within 5 % of the tokens; means over the four targets. A control learns
from 50 documents drawn from the pool's own mixture, where nothing is to be found. DSIR stands beside it.

**Reproduced** if precision is above, and bits per character are below, those of random and of length-matched random
with 95 % intervals apart from 0, and the control gains less than a quarter as much over random. **Direction only** if
precision and bits are better than random's but one of the others fails. **Not reproduced** otherwise.
"""

from __future__ import annotations

import numpy as np

from cuvee.core import Budget
from cuvee.fold.linear_kernels import auc, rank_correlation
from cuvee.methods.score.classifier import Classifier
from cuvee.methods.score.dsir import Dsir

from .harness import BITS, NATS, PRECISION, Claim, Experiment, Found, Measured, demo, mean_of, sample, split, study

AUC, LENGTH = "AUC", "correlation with length"
OTHERS, CONTROL = ("random", "length-matched"), "control target"
CLAIM = Claim(
    name="classifier",
    judges=("score/classifier.py", "choose/top_k.py"),
    metrics={
        PRECISION: "share of kept tokens from the target's domain",
        BITS: "of held-out text of the target's domain, byte 5-grams",
        NATS: "the same text, word trigrams",
        AUC: "of the score, the domain's held-out documents against those of all other domains",
        LENGTH: "Spearman, of the score with bytes over the pool",
    },
    contrasts=(
        (BITS, "classifier", (*OTHERS, "dsir")),
        (NATS, "classifier", OTHERS),
        (PRECISION, "classifier", OTHERS),
        (BITS, CONTROL, ("random",)),
        (PRECISION, CONTROL, ("random",)),
    ),
    settings={"targets": ["sqlite-docs", "code-python", "speech", "fiction"], "target_texts": 50, "share": 0.05},
)


def toward(domain: str, seed: int) -> Measured:
    """All arms for one target."""
    budget, number = Budget("tokens", fraction=CLAIM.settings["share"]), CLAIM.settings["target_texts"]
    run, held = study(seed, domain, 0, number)
    everything, near, _ = split(demo(), seed, 0.15, 0.15)
    control = Experiment(run.pool, sample(near, seed, "control", number), seed)
    kept = run.select(Classifier(folds=1), budget)
    arms = {"classifier": kept, "random": run.random(budget), "length-matched": run.matched(kept, budget)}
    arms |= {CONTROL: control.select(Classifier(folds=1), budget), "dsir": run.select(Dsir(), budget)}
    found = {name: run.measure(picked, held, domain) for name, picked in arms.items()}
    right = everything.domain == domain
    for name in ("classifier", CONTROL):
        fitted = arms[name].fitted
        assert fitted is not None
        score = fitted.apply(everything.batch)["score"]
        found[name][AUC] = auc(score[right], score[~right])[0]
        lengths = run.pool.bytes.astype(np.float64)
        found[name][LENGTH] = rank_correlation(fitted.apply(run.pool.batch)["score"], lengths)
    return found


def trial(seed: int) -> Measured:
    """Means over the targets."""
    return mean_of([toward(domain, seed) for domain in CLAIM.settings["targets"]])


def judge(found: Found) -> str:
    """By the rule above."""
    precise = {other: found.of(PRECISION, "classifier", other).above for other in OTHERS}
    better = {other: found.of(BITS, "classifier", other).below for other in OTHERS}
    quiet = -found.of(BITS, CONTROL, "random").mean < -found.of(BITS, "classifier", "random").mean / 4
    if not (precise["random"] and better["random"]):
        return "not reproduced"
    return "reproduced" if all([*precise.values(), *better.values(), quiet]) else "direction only"
