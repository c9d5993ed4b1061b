"""Quad: a bandit over clusters spends few evaluations of influence where they are worth most.

**The paper's claim** (Zhang et al., 2024). Clusters judged by the influence of a few of their rows, with a bonus for
those judged by few, lead to selections that train better models than random rows and than taking the rows of the
highest influence, at a fraction of the evaluations.

**Small scale.** Whole documents; two targets of two domains each, 20 documents from either, in a pool of eleven
domains; 100 clusters of the shipped static embedding, 600 evaluations of some 1,900 candidates, 5 % of the tokens.
"Even": as many evaluations, the same number in every cluster, and nothing else different. "Highest influence": every
row is evaluated, and those of the highest influence are taken.

**Reproduced** if bits per character of held-out text of both domains are below those of random, of length-matched
random and of the highest influence, with 95 % intervals apart from 0. **Direction only** if below those of both
random ones. **Not reproduced** otherwise. "Even" has no vote: it tells what the bandit itself is worth.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cuvee.core import Array, Budget, Card
from cuvee.feature.curved_influence import curved
from cuvee.feature.step_influence import counts, train
from cuvee.fold.bottom_k import BottomK, as_batch
from cuvee.methods.choose.top_k import TopK
from cuvee.methods.score.quad import Quad

from .harness import BITS, NATS, PRECISION, Claim, Experiment, Found, Measured, join, mean_of, study

NAME, EVEN, HIGHEST = "quad", "even", "highest influence"
RANDOM = ("random", "length-matched")
CLAIM = Claim(
    name="quad",
    judges=("score/quad.py", "choose/top_k.py"),
    metrics={
        PRECISION: "share of kept tokens from the target's two domains",
        BITS: "of held-out text of both domains, byte 5-grams",
        NATS: "the same text, word trigrams",
    },
    contrasts=(
        *((metric, NAME, (*RANDOM, HIGHEST, EVEN)) for metric in (BITS, NATS)),
        (PRECISION, NAME, (*RANDOM, EVEN)),
    ),
    settings={
        "targets": [["sqlite-docs", "speech"], ["code-python", "fiction"]],
        "texts": 40,
        "share": 0.05,
        "evaluations": 600,
    },
)


@dataclass(frozen=True)
class Even(Quad):
    """A bonus so large that all clusters are drawn from alike."""

    alpha: float = 1e6
    card = Card("", "", (), "", "")


def highest(run: Experiment, budget: Budget) -> Array:
    """Rows of the highest influence, each measured by itself."""
    method = Quad()
    warm = as_batch(run.fold(BottomK(method.warmup, "quad", run.seed, method.max_bytes)))
    table = train(warm)
    seen, reference = (counts(one, table.order, table.bits) for one in (warm, run.target.batch))
    value = curved(table, seen, reference, method.damping).influence(run.pool.batch)
    return run.choose(TopK(), budget, {"score": value}).rows


def toward(pair: list[str], seed: int) -> Measured:
    """All arms for one target of two domains."""
    budget, half = Budget("tokens", fraction=CLAIM.settings["share"]), CLAIM.settings["texts"] // 2
    runs = [study(seed, domain, 0, half) for domain in pair]
    target, held = join([run.target for run, _ in runs]), join([held for _, held in runs])
    run, spent = Experiment(runs[0][0].pool, target, seed), CLAIM.settings["evaluations"]
    kept = run.select(Quad(evaluations=spent), budget)
    arms = {NAME: kept, "random": run.random(budget), "length-matched": run.matched(kept, budget)}
    arms[EVEN] = run.select(Even(evaluations=spent), budget)
    found = {name: run.measure(picked, held, *pair) for name, picked in arms.items()}
    kept.rows = np.asarray(highest(run, budget))
    found[HIGHEST] = run.measure(kept, held, *pair)
    return found


def trial(seed: int) -> Measured:
    """Means over the targets."""
    return mean_of([toward(pair, seed) for pair in CLAIM.settings["targets"]])


def judge(found: Found) -> str:
    """By the rule above."""
    if not all(found.of(BITS, NAME, other).below for other in RANDOM):
        return "not reproduced"
    return "reproduced" if found.of(BITS, NAME, HIGHEST).below else "direction only"
