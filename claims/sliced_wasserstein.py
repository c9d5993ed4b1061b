"""Sliced Wasserstein matching: the target's modes in the target's proportions.

**The claim** (no paper's, but after that of GOT-D, Kang et al., ICLR 2024, that transport finds what the target needs).
Rows drawn by the weights follow the target's distribution, so that its
modes are kept in proportion, and models trained on them do better than on random rows and on the nearest rows.

**Small scale.** Whole documents; two targets of two domains each, 60 documents of the first and 20 of the second
(SQLite's manual and speeches, Python code and novels), in a pool of eleven domains; 5 % of the tokens; the shipped
static embedding; means over the targets. Held-out text has the domains three to one, too.

**Reproduced** if precision is above, and bits per character are below, those of random and of length-matched random,
bits are below those of the largest mean cosine, and the smaller mode's share of the right tokens is nearer to a quarter
than theirs, with 95 % intervals apart from 0. **Direction only** if the first part holds. **Not reproduced** otherwise.
RDS+ and GOT-D stand beside it.
"""

from __future__ import annotations

import numpy as np

from cuvee.core import Budget
from cuvee.methods.score.gotd import GotD
from cuvee.methods.score.rds_plus import RdsPlus
from cuvee.methods.score.sliced_wasserstein import SlicedWasserstein

from .harness import BITS, NATS, PRECISION, Claim, Experiment, Found, Measured, join, mean_of, sample, study

NAME, OFF, SMALLER = "sliced wasserstein", "off the proportion", "smaller mode"
RANDOM, OTHERS = ("random", "length-matched"), ("mean cosine", "rds_plus", "gotd")
CLAIM = Claim(
    name="sliced_wasserstein",
    judges=("score/sliced_wasserstein.py", "choose/gumbel.py"),
    metrics={
        PRECISION: "share of kept tokens from the target's two domains",
        BITS: "of held-out text of both domains, three to one, byte 5-grams",
        NATS: "the same text, word trigrams",
        SMALLER: "of the kept tokens of the two domains, the share of the second",
        OFF: "how far that is from the target's own share of tokens",
    },
    contrasts=(
        *((metric, NAME, (*RANDOM, *OTHERS)) for metric in (BITS, PRECISION)),
        (OFF, NAME, OTHERS),
    ),
    settings={"targets": [["sqlite-docs", "speech"], ["code-python", "fiction"]], "texts": [60, 20], "share": 0.05},
)


def toward(pair: list[str], seed: int) -> Measured:
    """All arms for one target of two domains."""
    budget = Budget("tokens", fraction=CLAIM.settings["share"])
    runs = [study(seed, domain, 0, texts) for domain, texts in zip(pair, CLAIM.settings["texts"], strict=True)]
    first, second = (held for _, held in runs)
    fewer = min(len(first), 3 * len(second))
    held = join([sample(first, seed, "held", fewer), sample(second, seed, "held", max(1, fewer // 3))])
    target = join([run.target for run, _ in runs])
    run = Experiment(runs[0][0].pool, target, seed)
    kept = run.select(SlicedWasserstein(), budget)
    arms = {NAME: kept, "random": run.random(budget), "length-matched": run.matched(kept, budget)}
    arms |= {"mean cosine": run.select(RdsPlus(rule="mean"), budget), "rds_plus": run.select(RdsPlus(), budget)}
    arms["gotd"] = run.select(GotD(), budget)
    wanted = float(target.tokens[target.domain == pair[1]].sum() / target.tokens.sum())
    found = {name: run.measure(picked, held, *pair) for name, picked in arms.items()}
    for name, picked in arms.items():
        kept_texts = run.pool.take(picked.rows)
        by_mode = [float(kept_texts.tokens[kept_texts.domain == domain].sum()) for domain in pair]
        share = by_mode[1] / max(sum(by_mode), 1.0)
        found[name] |= {SMALLER: share, OFF: float(np.abs(share - wanted))}
    return found


def trial(seed: int) -> Measured:
    """Means over the targets."""
    return mean_of([toward(pair, seed) for pair in CLAIM.settings["targets"]])


def judge(found: Found) -> str:
    """By the rule above."""
    precise = all(found.of(PRECISION, NAME, other).above for other in RANDOM)
    if not (precise and all(found.of(BITS, NAME, other).below for other in RANDOM)):
        return "not reproduced"
    better = found.of(BITS, NAME, "mean cosine").below and found.of(OFF, NAME, "mean cosine").below
    return "reproduced" if better else "direction only"
