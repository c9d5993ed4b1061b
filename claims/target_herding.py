"""Herding towards a target: few rows whose mean features are the target's.

**The paper's claim** (Chen, Welling and Smola, UAI 2010, of points herded towards their own distribution; here the mean
is a target's). Herded points stand for a distribution better than as many random draws from it: means of functions over
them come out nearer.

**Small scale.** Whole documents; two targets of two domains each, 60 documents of the first and 20 of the second
(SQLite's manual and speeches, Python code and novels), in a pool of eleven domains; 5 % of the tokens; the shipped
static embedding; means over the targets. Held-out text has the domains three to one, too. The discrepancy is that
between the kept rows and the held-out text, by a Gaussian kernel on the vectors (width 0.7, as the method's), squared.
"Drawn from it" are random rows of the two domains, as many as were herded, three to one, as only one who knows the
domains can draw them.

**Reproduced** if the discrepancy is below those of random rows, of the largest mean cosine and of rows drawn from it,
and bits per character are below those of random, of length-matched random and of the largest mean cosine, with 95 %
intervals apart from 0. **Direction only** if both are below those of random rows. **Not reproduced** otherwise. RDS+
and sliced Wasserstein stand beside it.
"""

from __future__ import annotations

import numpy as np

from cuvee.core import Array, Budget
from cuvee.feature.static_embedding import StaticEmbedding
from cuvee.methods.score.rds_plus import RdsPlus
from cuvee.methods.score.sliced_wasserstein import SlicedWasserstein
from cuvee.methods.score.target_herding import TargetHerding

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
    generator,
    join,
    mean_of,
    sample,
    study,
)

NAME, AWAY, SMALLER, DRAWN = "target herding", "discrepancy", "smaller mode", "drawn from it"
RANDOM, OTHERS = ("random", "length-matched"), ("mean cosine", "rds_plus", "sliced wasserstein")
CLAIM = Claim(
    name="target_herding",
    judges=("score/target_herding.py", "choose/herding.py"),
    metrics={
        AWAY: "squared maximum mean discrepancy between kept rows and held-out text, times 1,000",
        BITS: "of held-out text of both domains, three to one, byte 5-grams",
        NATS: "the same text, word trigrams",
        PRECISION: "share of kept tokens from the target's two domains",
        SMALLER: "of the kept tokens of the two domains, the share of the second",
    },
    contrasts=(
        (AWAY, NAME, (*RANDOM, *OTHERS, DRAWN)),
        (BITS, NAME, (*RANDOM, *OTHERS, DRAWN)),
        (PRECISION, NAME, OTHERS),
    ),
    settings={"targets": [["sqlite-docs", "speech"], ["code-python", "fiction"]], "texts": [60, 20], "share": 0.05},
)


def discrepancy(kept: Texts, held: Texts) -> float:
    """Squared, by the kernel exp(-|x - y|^2 / (2 0.7^2)), times 1,000; rows with themselves included."""
    x, y = (StaticEmbedding().vectors(one.batch).astype(np.float64) for one in (kept, held))

    def mean(a: Array, b: Array) -> float:
        square = (a * a).sum(axis=1)[:, None] + (b * b).sum(axis=1) - 2 * a @ b.T
        return float(np.exp(-square / (2 * 0.7**2)).mean())

    return 1000 * (mean(x, x) - 2 * mean(x, y) + mean(y, y))


def toward(pair: list[str], seed: int) -> Measured:
    """All arms for one target of two domains."""
    budget = Budget("tokens", fraction=CLAIM.settings["share"])
    runs = [study(seed, domain, 0, texts) for domain, texts in zip(pair, CLAIM.settings["texts"], strict=True)]
    first, second = (held for _, held in runs)
    fewer = min(len(first), 3 * len(second))
    held = join([sample(first, seed, "held", fewer), sample(second, seed, "held", max(1, fewer // 3))])
    run = Experiment(runs[0][0].pool, join([each.target for each, _ in runs]), seed)
    kept = run.select(TargetHerding(), budget)
    arms = {NAME: kept, "random": run.random(budget), "length-matched": run.matched(kept, budget)}
    arms |= {"mean cosine": run.select(RdsPlus(rule="mean"), budget), "rds_plus": run.select(RdsPlus(), budget)}
    arms["sliced wasserstein"] = run.select(SlicedWasserstein(), budget)
    random, rows = generator(seed, DRAWN), []
    for domain, share in zip(pair, (0.75, 0.25), strict=True):
        own = random.permutation(np.flatnonzero(run.pool.domain == domain))
        rows.append(own[: round(share * len(kept.rows))])
    arms[DRAWN] = Picked(np.concatenate(rows), kept.table, kept.decision)
    found = {name: run.measure(picked, held, *pair) for name, picked in arms.items()}
    for name, picked in arms.items():
        texts = run.pool.take(picked.rows)
        by_mode = [float(texts.tokens[texts.domain == domain].sum()) for domain in pair]
        found[name] |= {AWAY: discrepancy(texts, held), SMALLER: by_mode[1] / max(sum(by_mode), 1.0)}
    return found


def trial(seed: int) -> Measured:
    """Means over the targets."""
    return mean_of([toward(pair, seed) for pair in CLAIM.settings["targets"]])


def judge(found: Found) -> str:
    """By the rule above."""
    if not all(found.of(metric, NAME, "random").below for metric in (AWAY, BITS)):
        return "not reproduced"
    near = all(found.of(AWAY, NAME, other).below for other in ("mean cosine", DRAWN))
    learned = all(found.of(BITS, NAME, other).below for other in ("length-matched", "mean cosine"))
    return "reproduced" if near and learned else "direction only"
