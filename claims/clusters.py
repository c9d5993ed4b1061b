"""ClusterClip: the same from every cluster, small ones repeated a few times.

**The paper's claim** (Shao et al., Findings of ACL 2024). Balancing clusters, with a limit on repetitions, trains
better models than random sampling and than uniform sampling of clusters without a limit.

**Small scale.** A skewed pool of the demonstration's domains: three of eleven are left whole, of the others 5 % of the
documents. 100 clusters of the shipped static embedding; 10 % of the tokens. Measured is the mean over all eleven
domains of the loss on held-out text, so that rare domains count. "No limit" lets rows repeat 1,000 times.

**Reproduced** if the mean of bits per character is below that of random, of length-matched random and of no limit, with
95 % intervals apart from 0. **Direction only** if below random's and length-matched random's. **Not reproduced**
otherwise.
"""

from __future__ import annotations

import numpy as np

from cuvee.core import Budget
from cuvee.methods.choose.cluster_clip import ClusterClip
from cuvee.methods.score.clusters import Clusters

from .harness import Claim, Experiment, Found, Measured, Picked, bits_each, demo, fit_model, join, sample, split

NAME, MACRO, RARE, DISTINCT = "clusters", "mean bits per character", "rare domains", "distinct rows"
RANDOM, FREE = ("random", "length-matched"), "no limit"
CLAIM = Claim(
    name="clusters",
    judges=("score/clusters.py", "choose/cluster_clip.py"),
    metrics={
        MACRO: "mean over eleven domains of the bits per character of held-out text, byte 5-grams",
        RARE: "share of kept tokens from the eight thinned domains",
        DISTINCT: "number of different documents kept",
    },
    contrasts=((MACRO, NAME, (*RANDOM, FREE)), (RARE, NAME, RANDOM)),
    settings={"whole": ["fiction", "code-python", "speech"], "left_of_others": 0.05, "share": 0.1},
)


def trial(seed: int) -> Measured:
    """All arms."""
    held, rest = split(demo(), seed, 0.15)
    whole = np.isin(rest.domain, CLAIM.settings["whole"])
    pool = join([rest.take(whole), sample(rest.take(~whole), seed, "thin", CLAIM.settings["left_of_others"])])
    run, budget = Experiment(pool, held, seed), Budget("tokens", fraction=CLAIM.settings["share"])
    kept = run.select(Clusters(), budget)
    arms = {NAME: kept, "random": run.random(budget), "length-matched": run.matched(kept, budget)}
    arms[FREE] = run.select(Clusters(), budget, ClusterClip(1000))
    return {name: measure(run, picked) for name, picked in arms.items()}


def measure(run: Experiment, picked: Picked) -> dict[str, float]:
    """Loss by domain, and what was kept."""
    kept = run.pool.take(picked.rows)
    model, held = fit_model(kept), run.target
    bits = bits_each(model, held)
    by_domain = [float(bits[held.domain == domain].mean()) for domain in np.unique(held.domain)]
    rare = kept.tokens[~np.isin(kept.domain, CLAIM.settings["whole"])].sum() / kept.tokens.sum()
    return {MACRO: float(np.mean(by_domain)), RARE: float(rare), DISTINCT: float(len(np.unique(picked.rows)))}


def judge(found: Found) -> str:
    """By the rule above."""
    if not all(found.of(MACRO, NAME, other).below for other in RANDOM):
        return "not reproduced"
    return "reproduced" if found.of(MACRO, NAME, FREE).below else "direction only"
