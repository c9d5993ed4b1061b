"""Several scores as one: learned weights (M-FLYT), ranks and the smallest rank; and FLYT, learned from vectors.

**The paper's claim** (Shechter and Carmon, 2025). A score learned by the gradient of the downstream loss through a step
of training (FLYT) filters better than earlier scores; learned on the scores of other filters (M-FLYT), better still,
and better than each of its inputs.

**Small scale.** Whole documents; two targets (50 documents each of Python code and of speeches) in a pool of eleven
domains; the highest scores within 5 % of the tokens; means over both. Rates were set on other targets and seed 1, which
is left out here. Inputs are DSIR per
n-gram, the classifier, and the largest cosine with a target text. "Best input" is, in each seed, the one of lowest
loss, which no user could know beforehand.

**Reproduced** if bits per character of learned weights are below those of random, of length-matched random, of every
input and of equal ranks, with 95 % intervals apart from 0. **Direction only** if they are below those of random and
length-matched random, and not above those of any input. **Not reproduced** otherwise.
"""

from __future__ import annotations

from typing import Any

from cuvee.combine_rules import Learned, Min, Rank, Rule
from cuvee.combining import Combined
from cuvee.core import Budget
from cuvee.methods.choose.top_k import TopK
from cuvee.methods.score.classifier import Classifier
from cuvee.methods.score.dsir import Dsir
from cuvee.methods.score.flyt import Flyt
from cuvee.methods.score.rds_plus import RdsPlus

from .harness import BITS, NATS, PRECISION, Claim, Found, Measured, mean_of, study

NAME, BEST = "learned", "best input"
RANDOM, INPUTS, OTHERS = ("random", "length-matched"), ("dsir", "classifier", "cosine"), ("rank", "min", "flyt")
CLAIM = Claim(
    name="combine",
    judges=("score/flyt.py", "choose/top_k.py"),
    metrics={
        PRECISION: "share of kept tokens from the target's domain",
        BITS: "of held-out text of the target's domain, byte 5-grams",
        NATS: "the same text, word trigrams",
    },
    contrasts=(
        *((metric, NAME, (*RANDOM, *INPUTS, *OTHERS, BEST)) for metric in (BITS, PRECISION)),
        *((BITS, other, (*RANDOM, BEST)) for other in OTHERS),
        (BITS, "flyt, soft cap", ("flyt",)),
    ),
    settings={"domains": ["code-python", "speech"], "share": 0.05},
    seeds=tuple(range(2, 10)),
)


def toward(domain: str, seed: int) -> Measured:
    """All arms for one target."""
    run, held = study(seed, domain)
    budget = Budget("tokens", fraction=CLAIM.settings["share"])
    parts = (Dsir(normalise="mean"), Classifier(folds=0), RdsPlus(rule="max"))
    arms = {name: run.select(one, budget, TopK()) for name, one in zip(INPUTS, parts, strict=True)}
    rules: dict[str, Rule] = {"learned": Learned(), "rank": Rank(), "min": Min()}
    arms |= {name: run.select(Combined(parts, INPUTS, name, rule), budget) for name, rule in rules.items()}
    arms |= {"flyt": run.select(Flyt(), budget, TopK()), "flyt, soft cap": run.select(Flyt(), budget)}
    arms |= {"random": run.random(budget), "length-matched": run.matched(arms[NAME], budget)}
    return {name: run.measure(picked, held, domain) for name, picked in arms.items()}


def trial(seed: int) -> Measured:
    """Means over the targets."""
    found = mean_of([toward(domain, seed) for domain in CLAIM.settings["domains"]])
    best: Any = min((found[name] for name in INPUTS), key=lambda one: one[BITS])
    return {**found, BEST: dict(best)}


def judge(found: Found) -> str:
    """By the rule above."""
    if not all(found.of(BITS, NAME, other).below for other in RANDOM):
        return "not reproduced"
    if all(found.of(BITS, NAME, other).below for other in (*INPUTS, "rank")):
        return "reproduced"
    return "not reproduced" if any(found.of(BITS, NAME, other).above for other in INPUTS) else "direction only"
