"""LESS: rows whose gradients, as Adam would step, point where the target's gradients point.

**The paper's claim** (Xia et al., 2024). 5 % of the data chosen by LESS train a model as well as all of it or better,
on tasks named by a few examples, and better than random rows, BM25, DSIR and nearness of representations; gradients as
Adam would step are better than plain ones.

**Small scale.** Whole documents, 500 of the pool's; two targets of two domains each, 12 documents from either, which
are the subtasks; 10 % of the tokens; means over the two targets. The probe is the small language model on bytes, warmed
up on 40,000 bytes of the pool in four passes, and sees the first 128 bytes of a text; RDS+ and DSIR as they come (RDS+
on the shipped static embedding). "plain gradients" is LESS without Adam's moments.

**Reproduced** if precision is above, and bits per character are below, those of random and of length-matched random,
bits are below those of DSIR and RDS+, and precision is above that of plain gradients, with 95 % intervals apart from 0.
**Direction only** if that holds against random and length-matched random. **Not reproduced** otherwise.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from cuvee.core import Batch, Budget
from cuvee.gradient.scores import GradientScores, subtasks_of, target_vectors
from cuvee.methods.choose.top_k import TopK
from cuvee.methods.score.dsir import Dsir
from cuvee.methods.score.less import Less
from cuvee.methods.score.rds_plus import RdsPlus

from .harness import BITS, NATS, PRECISION, Claim, Experiment, Found, Measured, join, mean_of, sample, study

NAME = "less"
RANDOM, OTHERS = ("random", "length-matched"), ("dsir", "rds_plus")
CLAIM = Claim(
    name=NAME,
    judges=("score/less.py", "choose/top_k.py"),
    metrics={
        PRECISION: "share of kept tokens from the target's two domains",
        BITS: "of held-out text of both domains, byte 5-grams",
        NATS: "the same text, word trigrams",
    },
    contrasts=(
        *((metric, NAME, (*RANDOM, *OTHERS)) for metric in (BITS, NATS)),
        (PRECISION, NAME, (*RANDOM, *OTHERS, "plain gradients")),
    ),
    settings={
        "targets": [["sqlite-docs", "speech"], ["code-python", "jargon"]],
        "texts": 24,
        "rows": 500,
        "share": 0.1,
        "tokens": 128,
        "warm_up": 40_000,
    },
)


@dataclass(frozen=True, eq=False)
class Kept:
    """A probe whose gradients of one batch are computed once, for all scores by them."""

    probe: Any
    found: dict[bytes, list[Any]]

    def each(self, batch: Batch) -> Iterator[Any]:
        key = batch.data.tobytes()
        if key not in self.found:
            self.found[key] = list(self.probe.each(batch))
        return iter(self.found[key])


def toward(pair: list[str], seed: int, known: list[GradientScores]) -> Measured:
    """All arms for one target of two domains; ``known`` holds the probe once it is fitted, which no target has a say
    in."""
    settings = CLAIM.settings
    budget, half = Budget("tokens", fraction=settings["share"]), settings["texts"] // 2
    runs = [study(seed, domain, 0, half) for domain in pair]
    target, held = join([run.target for run, _ in runs]), join([held for _, held in runs])
    run = Experiment(sample(runs[0][0].pool, seed, "fewer", settings["rows"]), target, seed)
    if not known:
        fitted = Less(tokens=settings["tokens"], warm_up=settings["warm_up"]).fit(run)
        known.append(replace(fitted, probe=Kept(fitted.probe, {})))
    batches, names = subtasks_of(run.targets(), by_domain=True)
    vectors, _ = target_vectors(known[0].probe.probe, batches, names, unit=True)
    fitted = replace(known[0], vectors=vectors)
    kept = run.choose(TopK(), budget, fitted.apply(run.pool.batch))
    arms = {NAME: kept, "random": run.random(budget), "length-matched": run.matched(kept, budget)}
    plain = replace(fitted, adam=None)
    arms["plain gradients"] = run.choose(TopK(), budget, plain.apply(run.pool.batch))
    arms |= {"dsir": run.select(Dsir(), budget), "rds_plus": run.select(RdsPlus(), budget)}
    return {name: run.measure(picked, held, *pair) for name, picked in arms.items()}


def trial(seed: int) -> Measured:
    """Means over the targets."""
    known: list[GradientScores] = []
    return mean_of([toward(pair, seed, known) for pair in CLAIM.settings["targets"]])


def judge(found: Found) -> str:
    """By the rule above."""
    precise = all(found.of(PRECISION, NAME, other).above for other in RANDOM)
    if not (precise and all(found.of(BITS, NAME, other).below for other in RANDOM)):
        return "not reproduced"
    better = all(found.of(BITS, NAME, other).below for other in OTHERS)
    return "reproduced" if better and found.of(PRECISION, NAME, "plain gradients").above else "direction only"
