"""Small sets without a target: information gain over tags (MIG), structures in turn, cells of a grid (BLAST).

**The papers' claims.** MIG (Chen et al., 2025): rows chosen by information gain over tags train better models than
random rows. Structurally diverse sampling (Gupta et al., 2022): a small set that shows frequent structures in turn
covers more of them than random rows do, and trains better models. BLAST (Shao et al., 2025): drawing uniformly over the
cells of a grid trains better models than drawing from the corpus as it is.

**Small scale.** The demonstration's pool, made lopsided: three of eleven domains are left whole, of the others 20 % of
the documents. 4 % of the tokens. Measured are the mean over all eleven domains of the loss on held-out text, and the
share of the pool's words (in at least two documents) that occur in what is kept. MIG has clusters for tags (256, 3 for
each row), structural diversity words, BLAST a grid of 8 x 8, since some hundred rows are kept. None looks at length,
so length-matched rows decide. Settings were tried on seed 11, which is not among those that count.

**Reproduced** if, for each of the three, the mean of bits per character is below that of random and of length-matched
random, and structural diversity covers more words than either, with 95 % intervals apart from 0. **Direction only** if
that holds for one or two of the methods. **Not reproduced** otherwise.
"""

from __future__ import annotations

import numpy as np

from cuvee.core import Budget
from cuvee.feature.ngrams import Ngrams
from cuvee.methods.score.blast import Blast
from cuvee.methods.score.mig import Mig
from cuvee.methods.score.structural_diversity import StructuralDiversity

from .harness import Claim, Experiment, Found, Measured, Picked, bits_each, demo, fit_model, join, sample, split

MACRO, COVER, RARE = "mean bits per character", "words covered", "rare domains"
METHODS = ("mig", "structures", "blast")
WORDS = Ngrams(1, 1 << 18)
CLAIM = Claim(
    name="tags",
    judges=(
        *("score/mig.py", "score/structural_diversity.py", "score/blast.py"),
        *("choose/information_gain.py", "choose/structure.py", "choose/cluster_clip.py"),
    ),
    metrics={
        MACRO: "mean over eleven domains of the bits per character of held-out text, byte 5-grams",
        COVER: "share of the words in at least two documents of the pool that the kept rows hold",
        RARE: "share of kept tokens from the eight thinned domains",
    },
    contrasts=(
        *((metric, name, ("random", f"lengths of {name}")) for metric in (MACRO, COVER) for name in METHODS),
        (RARE, "blast", ("random",)),
    ),
    settings={"whole": ["fiction", "code-python", "speech"], "left_of_others": 0.2, "share": 0.04},
)


def trial(seed: int) -> Measured:
    """All arms."""
    held, rest = split(demo(), seed, 0.15)
    whole = np.isin(rest.domain, CLAIM.settings["whole"])
    pool = join([rest.take(whole), sample(rest.take(~whole), seed, "thin", CLAIM.settings["left_of_others"])])
    run, budget = Experiment(pool, held, seed), Budget("tokens", fraction=CLAIM.settings["share"])
    methods = {"mig": Mig(tags="clusters"), "structures": StructuralDiversity(), "blast": Blast(cells=8)}
    arms = {name: run.select(method, budget) for name, method in methods.items()}
    arms |= {f"lengths of {name}": run.matched(arms[name], budget) for name in METHODS}
    arms["random"] = run.random(budget)
    held_by = np.bincount(WORDS.rows(pool.batch)[1], minlength=WORDS.buckets) >= 2
    return {name: measure(run, picked, held_by) for name, picked in arms.items()}


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
    holds = 0
    for name in METHODS:
        others = ("random", f"lengths of {name}")
        better = all(found.of(MACRO, name, other).below for other in others)
        if name == "structures":
            better &= all(found.of(COVER, name, other).above for other in others)
        holds += better
    return "reproduced" if holds == len(METHODS) else "direction only" if holds else "not reproduced"
