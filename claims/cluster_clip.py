"""ClusterClip on clusters that are known: five passes at most over the small ones, against no limit and no balance.

**The paper's claim** (Shao et al., Findings of ACL 2024). Drawing uniformly from clusters, with a limit on how often a
row is repeated, trains better models than random sampling and than uniform sampling without the limit, which overfits
the small clusters.

**Small scale.** Planted clusters, the best case for the rule: three domains of the demonstration with 32 kB each, nine
tenths of the pool, and the other eight with 3 kB down to 250 bytes, dealt out anew by each seed; in pieces of 24 words,
so that lengths are alike. The cluster is the domain. A transformer of 0.3 million parameters on bytes is trained on
48 kB: random pieces, ClusterClip with a limit of five, without a limit (an even part goes through 250 bytes some 17
times), and with a limit of one. Bits per byte on held-out sources, mean over all eleven domains; and, for the three
smallest, how much lower the loss is on the pieces of the pool than on held-out ones. The n-gram model that other
claims use stands beside it and decides nothing: to it, a repeated text is more evidence, however often it comes.
``claims/clusters.py`` has clusters that are found.

**Reproduced** if the mean of ClusterClip is below that of random and of no limit, and the gap of the smallest clusters
below that of no limit, with 95 % intervals apart from 0. **Direction only** if the mean is below that of random with an
interval apart from 0. **Not reproduced** otherwise.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from cuvee.core import Budget
from cuvee.methods.choose.cluster_clip import ClusterClip
from cuvee.methods.policy.uniform import Uniform
from cuvee.proof.proxies.transformer import Transformer

from .harness import (
    Claim,
    Experiment,
    Found,
    Measured,
    Picked,
    Texts,
    bits_each,
    chunks,
    demo,
    fit_model,
    generator,
    join,
    split,
)
from .online import CODE, of_bytes
from .reuse import SHARED, by_domain

NAME, RANDOM, FREE, ONCE = "cluster_clip", "random", "no limit", "once"
MACRO, LARGE, SMALL, GAP, NGRAM = "mean of domains", "large domains", "small domains", "gap of the smallest", "n-gram"
MOST, SEEN = "most repeats", " (pool)"
PROXY = Transformer(context=64, batch=4)
CLAIM = Claim(
    name="cluster_clip",
    judges=(
        *("choose/cluster_clip.py", "policy/uniform.py"),
        *(f"../{path}" for path in (*CODE, *SHARED, "proof/proxies/text_model.py", "proof/proxies/transformer.py")),
    ),
    metrics={
        MACRO: "bits per byte on held-out sources, mean over eleven domains, transformer",
        LARGE: "the same, mean of the three large domains",
        SMALL: "the same, mean of the eight small ones",
        GAP: "bits per byte on held-out less on the pool's pieces, mean of the three smallest clusters",
        NGRAM: "bits per character of held-out text, mean over eleven domains, byte 5-grams",
        MOST: "the most times that a piece was taken",
    },
    contrasts=(
        (MACRO, NAME, (RANDOM, FREE, ONCE)),
        *((metric, NAME, (RANDOM, FREE)) for metric in (LARGE, SMALL)),
        (GAP, NAME, (FREE,)),
        (NGRAM, NAME, (RANDOM, FREE, ONCE)),
    ),
    settings={
        "large": {"fiction": 32_000, "code-python": 32_000, "speech": 32_000},
        "small": [3000, 2000, 1400, 1000, 700, 500, 350, 250],
        "words": 24,
        "train": 48_000,
        "test": 3_000,
        "repeats": 5,
    },
)


def trial(seed: int) -> Measured:
    """All arms."""
    told = CLAIM.settings
    held, rest = (chunks(part, told["words"]) for part in split(demo(), seed, 0.3))
    names = np.unique(rest.domain)
    dealt = generator(seed, "deal").permutation(np.setdiff1d(names, list(told["large"]))).tolist()
    pool = of_bytes(rest, seed, "pool", told["large"] | dict(zip(dealt, told["small"], strict=True)))
    test = of_bytes(held, seed, "test", dict.fromkeys(names.tolist(), told["test"]))
    run, budget = Experiment(pool, test, seed), Budget("bytes", told["train"])
    block = {"cluster": np.unique(pool.domain, return_inverse=True)[1].astype(np.int32)}
    arms = {NAME: run.choose(ClusterClip(told["repeats"]), budget, block), RANDOM: run.random(budget)}
    arms |= {FREE: run.choose(ClusterClip(10_000), budget, block), ONCE: run.choose(ClusterClip(1), budget, block)}
    return {arm: measure(run, picked, dealt[-3:]) for arm, picked in arms.items()}


def measure(run: Experiment, picked: Picked, smallest: list[str]) -> dict[str, float]:
    """Losses by domain, and the gap on the smallest clusters."""
    kept, held, large = run.pool.take(picked.rows), run.target, CLAIM.settings["large"]
    known = run.pool.of(*smallest)
    seen = replace(known, domain=np.array([f"{name}{SEEN}" for name in known.domain]))
    losses, _ = by_domain(PROXY, join([kept]), join([held, seen]), Uniform(), 1.0, run.seed)
    held_losses = {name: loss for name, loss in losses.items() if not name.endswith(SEEN)}
    return {
        MACRO: float(np.mean(list(held_losses.values()))),
        LARGE: float(np.mean([losses[name] for name in large])),
        SMALL: float(np.mean([loss for name, loss in held_losses.items() if name not in large])),
        GAP: float(np.mean([losses[name] - losses[f"{name}{SEEN}"] for name in smallest])),
        NGRAM: by_ngrams(kept, held),
        MOST: float(np.bincount(picked.rows).max()),
    }


def by_ngrams(kept: Texts, held: Texts) -> float:
    """Mean over the domains of the n-gram model's loss."""
    bits = bits_each(fit_model(kept), held)
    return float(np.mean([bits[held.domain == name].mean() for name in np.unique(held.domain)]))


def judge(found: Found) -> str:
    """By the rule above."""
    if not found.of(MACRO, NAME, RANDOM).below:
        return "not reproduced"
    limited = found.of(MACRO, NAME, FREE).below and found.of(GAP, NAME, FREE).below
    return "reproduced" if limited else "direction only"
