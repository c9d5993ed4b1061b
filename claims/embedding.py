"""Choosing by vectors without a target: facility location, k-center and herding against random rows.

**The papers' claim** (Wei, Iyer and Bilmes, ICML 2015; Sener and Savarese, ICLR 2018; Chen, Welling and Smola, UAI
2010). A subset that covers the data trains better models than random rows of the same number, most of all when it is
small.

**Small scale.** The demonstration's pool of eleven domains; 2 % of its tokens, by the shipped static embedding.
Measured are the mean over all domains of the loss on held-out text, and the loss over all held-out text. "Zipfian" is
facility location on vectors whitened by the pool's token counts.

**Reproduced** if, for facility location, the mean of bits per character is below that of random and of length-matched
random with 95 % intervals apart from 0. **Direction only** if below random's only. **Not reproduced** otherwise.
k-center and herding have no vote.
"""

from __future__ import annotations

import numpy as np

from cuvee.core import Budget
from cuvee.methods.choose.herding import Herding
from cuvee.methods.choose.k_center import KCenter
from cuvee.methods.score.embedding import Embedding

from .harness import Claim, Experiment, Found, Measured, Picked, bits_each, demo, fit_model, split

NAME, MACRO, MEAN, COVER = "facility location", "mean bits per character", "bits per character", "cover"
RANDOM, OTHERS = ("random", "length-matched"), ("k-center", "herding", "zipfian")
CLAIM = Claim(
    name="embedding",
    judges=("score/embedding.py", "choose/facility_location.py", "choose/k_center.py", "choose/herding.py"),
    metrics={
        MACRO: "mean over eleven domains of the bits per character of held-out text, byte 5-grams",
        MEAN: "of all held-out documents, the mean",
        COVER: "mean over the pool of the largest cosine with a kept row",
    },
    contrasts=(
        (MACRO, NAME, (*RANDOM, *OTHERS)),
        *((MACRO, other, RANDOM) for other in OTHERS),
        (COVER, NAME, ("random",)),
    ),
    settings={"share": 0.02},
)


def trial(seed: int) -> Measured:
    """All arms."""
    held, pool = split(demo(), seed, 0.15)
    run, budget = Experiment(pool, held, seed), Budget("tokens", fraction=CLAIM.settings["share"])
    kept = run.select(Embedding(), budget)
    arms = {NAME: kept, "random": run.random(budget), "length-matched": run.matched(kept, budget)}
    arms |= {
        "k-center": run.select(Embedding(), budget, KCenter()),
        "herding": run.select(Embedding(), budget, Herding()),
    }
    arms["zipfian"] = run.select(Embedding(whiten="zipfian"), budget)
    vectors = kept.table.data["embedding"].astype(np.float32)
    return {name: measure(run, picked, vectors) for name, picked in arms.items()}


def measure(run: Experiment, picked: Picked, vectors: np.ndarray) -> dict[str, float]:
    """Losses by domain and overall, and the cover of the pool."""
    held = run.target
    bits = bits_each(fit_model(run.pool.take(picked.rows)), held)
    by_domain = [float(bits[held.domain == domain].mean()) for domain in np.unique(held.domain)]
    cover = float((vectors @ vectors[picked.rows].T).max(axis=1).mean())
    return {MACRO: float(np.mean(by_domain)), MEAN: float(bits.mean()), COVER: cover}


def judge(found: Found) -> str:
    """By the rule above."""
    if not found.of(MACRO, NAME, "random").below:
        return "not reproduced"
    return "reproduced" if found.of(MACRO, NAME, "length-matched").below else "direction only"
