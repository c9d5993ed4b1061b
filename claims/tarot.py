"""TAROT: layers of nearest rows in whitened space, and optimal transport for the last.

**The paper's claim** (Feng et al., 2024). Selecting by optimal transport in whitened feature space beats random rows
and selection by plain similarity, and whitening is part of the reason.

**Small scale.** Whole documents; three targets of two domains each, 20 documents from either (SQLite's manual and
speeches, Python code and novels, Rust's manual and a dictionary of jargon), in a pool of eleven domains; 5 % of the
tokens; the shipped static embedding; means over the three targets. The paper's features are gradients; here they are
vectors of texts. The largest cosine with any target, RDS+ and TAROT without whitening stand beside it.

**Reproduced** if precision is above, and bits per character are below, those of random and of length-matched random,
and bits are below those of the largest cosine and of TAROT without whitening, with 95 % intervals apart from 0.
**Direction only** if that holds against random and length-matched random. **Not reproduced** otherwise.
"""

from __future__ import annotations

from cuvee.core import Budget
from cuvee.methods.score.rds_plus import RdsPlus
from cuvee.methods.score.tarot import Tarot

from .harness import BITS, NATS, PRECISION, Claim, Experiment, Found, Measured, join, mean_of, study

NAME, SMALLER = "tarot", "smaller mode"
RANDOM, OTHERS = ("random", "length-matched"), ("largest cosine", "rds_plus", "not whitened")
CLAIM = Claim(
    name="tarot",
    judges=("score/tarot.py", "choose/layered.py"),
    metrics={
        PRECISION: "share of kept tokens from the target's two domains",
        BITS: "of held-out text of both domains, byte 5-grams",
        NATS: "the same text, word trigrams",
        SMALLER: "of the kept tokens of the two domains, the share of the one that has less",
    },
    contrasts=(
        *((metric, NAME, (*RANDOM, *OTHERS)) for metric in (BITS, NATS)),
        *((metric, NAME, (*RANDOM, *OTHERS)) for metric in (PRECISION, SMALLER)),
    ),
    settings={
        "targets": [["sqlite-docs", "speech"], ["code-python", "fiction"], ["rust-docs", "jargon"]],
        "texts": 40,
        "share": 0.05,
    },
)


def toward(pair: list[str], seed: int) -> Measured:
    """All arms for one target of two domains."""
    budget, half = Budget("tokens", fraction=CLAIM.settings["share"]), CLAIM.settings["texts"] // 2
    runs = [study(seed, domain, 0, half) for domain in pair]
    target, held = join([run.target for run, _ in runs]), join([held for _, held in runs])
    run = Experiment(runs[0][0].pool, target, seed)
    kept = run.select(Tarot(), budget)
    arms = {NAME: kept, "random": run.random(budget), "length-matched": run.matched(kept, budget)}
    arms |= {"largest cosine": run.select(RdsPlus(rule="max"), budget), "rds_plus": run.select(RdsPlus(), budget)}
    arms["not whitened"] = run.select(Tarot(whiten=False), budget)
    found = {name: run.measure(picked, held, *pair) for name, picked in arms.items()}
    for name, picked in arms.items():
        tokens = run.pool.take(picked.rows)
        by_mode = [tokens.tokens[tokens.domain == domain].sum() for domain in pair]
        found[name][SMALLER] = float(min(by_mode) / max(sum(by_mode), 1))
    return found


def trial(seed: int) -> Measured:
    """Means over the targets."""
    return mean_of([toward(pair, seed) for pair in CLAIM.settings["targets"]])


def judge(found: Found) -> str:
    """By the rule above."""
    precise = all(found.of(PRECISION, NAME, other).above for other in RANDOM)
    if not (precise and all(found.of(BITS, NAME, other).below for other in RANDOM)):
        return "not reproduced"
    better = [found.of(BITS, NAME, other).below for other in ("largest cosine", "not whitened")]
    return "reproduced" if all(better) else "direction only"
