"""Learning percentage: rows that a small model learns late are enough for a larger one.

**The paper's claim** (Mekala et al., 2024). The third of an instruction data set with the lowest learning percentage,
found by a small model, trains larger ones as well as all of it or better, and better than a random third.

**Small scale.** Whole documents, 600 of the pool's; the probe is the small language model on bytes, trained for three
passes over 40,000 bytes of them, and sees the first 128 bytes of a text; 33 % of the tokens are kept. "learned early"
keeps the highest percentages. The larger models are the tiny n-gram models; the held-out text is of all domains.

**Reproduced** if bits per character are below those of random and of length-matched random rows, with 95 % intervals
apart from 0. **Direction only** if they are below those of the rows learned early. **Not reproduced** otherwise.
"""

from __future__ import annotations

from cuvee.core import Budget
from cuvee.methods.choose.top_k import TopK
from cuvee.methods.score.learning_percentage import LearningPercentage

from .harness import BITS, NATS, Claim, Experiment, Found, Measured, demo, losses, sample, split

NAME, EARLY = "learning_percentage", "learned early"
RANDOM = ("random", "length-matched")
CLAIM = Claim(
    name=NAME,
    judges=("score/learning_percentage.py", "choose/top_k.py"),
    metrics={BITS: "of held-out text of all domains, byte 5-grams", NATS: "the same text, word trigrams"},
    contrasts=tuple((metric, NAME, (*RANDOM, EARLY)) for metric in (BITS, NATS)),
    settings={"rows": 600, "share": 0.33, "tokens": 128, "warm_up": 40_000},
)


def trial(seed: int) -> Measured:
    """Losses of all arms."""
    settings = CLAIM.settings
    held, _, rest = split(demo(), seed, 0.15, 0.15)
    pool = sample(rest, seed, "pool", settings["rows"])
    run, budget = Experiment(pool, pool, seed), Budget("tokens", fraction=settings["share"])
    scores = LearningPercentage(tokens=settings["tokens"], warm_up=settings["warm_up"]).fit(run).apply(pool.batch)
    kept = run.choose(TopK(), budget, scores)
    arms = {NAME: kept, "random": run.random(budget), "length-matched": run.matched(kept, budget)}
    known = scores["score"] > -float("inf")
    turned = scores["score"].copy()
    turned[known] *= -1
    arms[EARLY] = run.choose(TopK(), budget, {"score": turned})
    return {name: losses(pool.take(picked.rows), held) for name, picked in arms.items()}


def judge(found: Found) -> str:
    """By the rule above."""
    if all(found.of(BITS, NAME, other).below for other in RANDOM):
        return "reproduced"
    return "direction only" if found.of(BITS, NAME, EARLY).below else "not reproduced"
