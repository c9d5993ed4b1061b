"""Structurally diverse sampling: every frequent structure in turn.

**The paper's claim** (Gupta, Singh and Gardner, 2022). A small set that shows frequent structures in turn, in rows of
templates not used yet, covers more structures than random rows do, and trains better models.

**Small scale.** The demonstration's pool, made lopsided: three of eleven domains are left whole, of the others 20 % of
the documents. 4 % of the tokens, some hundred documents. Structures are words, templates the domains. "No templates"
gives every row a template of its own, "domain quota" draws random rows with an equal budget for each domain; neither
has a vote. Measured are the mean over all eleven domains of the loss on held-out text, and the share of the pool's
words (in at least two documents) that occur in what is kept. The settings were tried on seed 11, which is not among
those that count.

**Reproduced** if the mean of bits per character is below that of random and of length-matched random, and more words
are covered than by either, with 95 % intervals apart from 0. **Direction only** if the loss is below both, and more
words are covered than by one of them. **Not reproduced** otherwise.
"""

from __future__ import annotations

import numpy as np

from cuvee.core import Budget
from cuvee.feature.ngrams import Ngrams
from cuvee.methods.choose.quota import Quota
from cuvee.methods.choose.random import Random
from cuvee.methods.score.structural_diversity import StructuralDiversity

from .harness import Claim, Experiment, Found, Measured, Picked, bits_each, demo, fit_model, join, sample, split

NAME, MACRO, COVER, RARE = "structural_diversity", "mean bits per character", "words covered", "rare domains"
RANDOM = ("random", "length-matched")
WORDS = Ngrams(1, 1 << 18)
CLAIM = Claim(
    name="structural_diversity",
    judges=("score/structural_diversity.py", "choose/structure.py"),
    metrics={
        MACRO: "mean over eleven domains of the bits per character of held-out text, byte 5-grams",
        COVER: "share of the words in at least two documents of the pool that the kept rows hold",
        RARE: "share of kept tokens from the eight thinned domains",
    },
    contrasts=tuple(
        (metric, arm, RANDOM) for metric in (MACRO, COVER, RARE) for arm in (NAME, "no templates", "domain quota")
    ),
    settings={"whole": ["fiction", "code-python", "speech"], "left_of_others": 0.2, "share": 0.04},
)


def trial(seed: int) -> Measured:
    """All arms."""
    held, rest = split(demo(), seed, 0.15)
    whole = np.isin(rest.domain, CLAIM.settings["whole"])
    pool = join([rest.take(whole), sample(rest.take(~whole), seed, "thin", CLAIM.settings["left_of_others"])])
    run, budget = Experiment(pool, held, seed), Budget("tokens", fraction=CLAIM.settings["share"])
    kept = run.select(StructuralDiversity(), budget)
    arms = {NAME: kept, "random": run.random(budget), "length-matched": run.matched(kept, budget)}
    arms["no templates"] = run.select(StructuralDiversity(templates="none"), budget)
    arms["domain quota"] = run.choose(Quota(Random(), "uniform"), budget)
    known = np.bincount(WORDS.rows(pool.batch)[1], minlength=WORDS.buckets) >= 2
    return {name: measure(run, picked, known) for name, picked in arms.items()}


def measure(run: Experiment, picked: Picked, wanted: np.ndarray) -> dict[str, float]:
    """Loss by domain, and what of the words is covered."""
    kept, held = run.pool.take(picked.rows), run.target
    bits = bits_each(fit_model(kept), held)
    by_domain = [float(bits[held.domain == domain].mean()) for domain in np.unique(held.domain)]
    seen = WORDS.count(kept.batch) > 0
    rare = kept.tokens[~np.isin(kept.domain, CLAIM.settings["whole"])].sum() / kept.tokens.sum()
    return {MACRO: float(np.mean(by_domain)), COVER: float((seen & wanted).sum() / wanted.sum()), RARE: float(rare)}


def judge(found: Found) -> str:
    """By the rule above."""
    better = all(found.of(MACRO, NAME, other).below for other in RANDOM)
    covers = sum(found.of(COVER, NAME, other).above for other in RANDOM)
    return ("not reproduced", "direction only", "reproduced")[covers] if better else "not reproduced"
