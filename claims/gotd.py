"""GOT-D: rows that move the training data towards the target fastest.

**The paper's claim** (Kang et al., ICLR 2024). For warming up a model that is trained already, rows chosen by the
gradient of optimal transport between its training data and the target serve better than random rows and than those
nearest to the target, because they are what the training data lacks.

**Small scale.** Pairs of a domain that the pool has plenty of and one of which nine tenths are taken out of it; the
target is 20 documents of either. The model's training data before is a random tenth of the pool; 2 % of the pool's
tokens are chosen and added, and the tiny model is fitted on both. Rows of the largest cosine with any target, and
random ones, are added in the same way.

**Reproduced** if bits per character of held-out text of both domains are below those of random, of length-matched
random and of the largest cosine, with 95 % intervals apart from 0, and the rare domain's share of the kept tokens is
above the largest cosine's. **Direction only** if bits are below those of both random ones. **Not reproduced**
otherwise.
"""

from __future__ import annotations

import numpy as np

from cuvee.core import Budget
from cuvee.methods.score.gotd import GotD
from cuvee.methods.score.rds_plus import RdsPlus

from .harness import BITS, NATS, PRECISION, Claim, Experiment, Found, Measured, join, losses, mean_of, sample, study

NAME, RARE = "gotd", "rare domain"
RANDOM, NEAREST = ("random", "length-matched"), "largest cosine"
CLAIM = Claim(
    name="gotd",
    judges=("score/gotd.py", "choose/top_k.py"),
    metrics={
        PRECISION: "share of kept tokens from the target's two domains",
        RARE: "share of kept tokens from the domain that the pool has little of",
        BITS: "of held-out text of both domains, byte 5-grams fitted on a tenth of the pool and the kept rows",
        NATS: "the same text, word trigrams",
    },
    contrasts=(
        *((metric, NAME, (*RANDOM, NEAREST)) for metric in (BITS, NATS, RARE)),
        (PRECISION, NAME, (*RANDOM, NEAREST)),
    ),
    settings={
        "targets": [["sqlite-docs", "speech"], ["code-python", "fiction"], ["python-docs", "code-go"]],
        "texts": 40,
        "share": 0.02,
        "kept_of_rare": 0.1,
    },
)


def toward(pair: list[str], seed: int) -> Measured:
    """All arms for one target: the first of the two domains is plentiful, the second made rare."""
    half = CLAIM.settings["texts"] // 2
    runs = [study(seed, domain, 0, half) for domain in pair]
    target, held = join([run.target for run, _ in runs]), join([held for _, held in runs])
    whole = runs[0][0].pool
    rare = sample(whole.of(pair[1]), seed, "rare", CLAIM.settings["kept_of_rare"])
    pool = join([whole.take(whole.domain != pair[1]), rare])
    run = Experiment(pool, target, seed)
    budget = Budget("tokens", fraction=CLAIM.settings["share"])
    kept = run.select(GotD(), budget)
    arms = {NAME: kept, "random": run.random(budget), "length-matched": run.matched(kept, budget)}
    arms[NEAREST] = run.select(RdsPlus(rule="max"), budget)
    before = sample(pool, seed, "before", 0.1)
    found: Measured = {}
    for name, picked in arms.items():
        taken = pool.take(picked.rows)
        share = [
            float(taken.tokens[np.isin(taken.domain, names)].sum() / taken.tokens.sum()) for names in (pair, pair[1:])
        ]
        found[name] = {PRECISION: share[0], RARE: share[1], **losses(join([before, taken]), held)}
    return found


def trial(seed: int) -> Measured:
    """Means over the targets."""
    return mean_of([toward(pair, seed) for pair in CLAIM.settings["targets"]])


def judge(found: Found) -> str:
    """By the rule above."""
    if not all(found.of(BITS, NAME, other).below for other in RANDOM):
        return "not reproduced"
    better = found.of(BITS, NAME, NEAREST).below and found.of(RARE, NAME, NEAREST).above
    return "reproduced" if better else "direction only"
