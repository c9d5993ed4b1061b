"""Diversify and Conquer: quality within clusters, and rounds in which junk clusters lose their part.

**The paper's claim** (Yu et al., 2024). Sampling by clusters is better than random, by quality within clusters better
still, and best with weights refined over three rounds, since clusters of low quality fade.

**Small scale.** The demonstration's pool of eleven domains, of which 30 % of the documents are spoilt: the letters of
each word are in random order. 50 clusters of the shipped static embedding; 5 % of the tokens. In place of a reward
model stands a byte 5-gram model of 200 clean documents of other sources (minus its bits per character): its score is
the quality, drawn by in proportion to exp(score / 0.5 bits), and, as mean over what was chosen of a cluster, the gain
of a round, at a temperature of 2 bits. Clusters get parts in proportion to their sizes, in rounds at first alike, both
as in the paper. Settings were tried on seed 11, which is not among those that count. Measured are the bits per
character of held-out clean text, mean over domains.

**Reproduced** if in bits clusters are below random, quality below clusters, and refined below quality, with 95 %
intervals apart from 0. **Direction only** if refined is below random and length-matched random. **Not reproduced**
otherwise.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from cuvee.core import Block, Budget
from cuvee.feature.content import string_hash
from cuvee.methods.choose.kmq import Kmq
from cuvee.methods.score.clusters import Clusters

from .harness import (
    Claim,
    Experiment,
    Found,
    Measured,
    Picked,
    Texts,
    bits_each,
    demo,
    fit_model,
    generator,
    sample,
    split,
)

MACRO, JUNK = "mean bits per character", "junk"
RANDOM = ("random", "length-matched")
CLAIM = Claim(
    name="kmq",
    judges=("score/clusters.py", "choose/kmq.py"),
    metrics={
        MACRO: "mean over eleven domains of the bits per character of held-out clean text, byte 5-grams",
        JUNK: "share of kept tokens from spoilt documents",
    },
    contrasts=(
        *((MACRO, "refined", (*RANDOM, "clusters", "quality")),),
        *((MACRO, name, RANDOM) for name in ("clusters", "quality")),
        (MACRO, "quality", ("clusters",)),
        (JUNK, "refined", ("random", "clusters", "quality")),
    ),
    settings={"junk": 0.3, "k": 50, "share": 0.05, "rounds": 3, "clean": 200} | {"temperature": 2.0, "scale": 0.5},
)


def spoil(texts: Texts, seed: int) -> tuple[Texts, np.ndarray]:
    """A share of the documents with the letters of each word in random order, and which; keys are of row numbers."""
    random = generator(seed, "junk")
    bad = random.random(len(texts)) < CLAIM.settings["junk"]
    found = list(texts.text)
    for i in np.flatnonzero(bad):
        words = (word.decode() for word in found[i].split())
        found[i] = " ".join("".join(random.permutation(list(word))) for word in words).encode()
    key = string_hash(pa.array([f"{i}" for i in range(len(found))], pa.large_string()))
    return Texts(found, texts.domain, texts.source, key), bad


def trial(seed: int) -> Measured:
    """All arms."""
    held, near, rest = split(demo(), seed, 0.15, 0.15)
    pool, bad = spoil(sample(rest, seed, "pool", 0.85), seed)
    run, budget = Experiment(pool, held, seed), Budget("tokens", fraction=CLAIM.settings["share"])
    reward = -bits_each(fit_model(sample(near, seed, "clean", CLAIM.settings["clean"])), pool)
    block: Block = Clusters(k=CLAIM.settings["k"]).fit(run).apply(pool.batch)
    block["score"] = reward
    arms = {
        "clusters": run.choose(Kmq(quality="none"), budget, block),
        "quality": run.choose(Kmq(quality="softmax", scale=CLAIM.settings["scale"]), budget, block),
        "refined": refined(run, budget, block),
        "random": run.random(budget),
    }
    arms["length-matched"] = run.matched(arms["refined"], budget)
    arms["highest quality"] = run.choose(Kmq(quality="softmax", scale=1e-6), budget, block)
    return {name: measure(run, picked, bad) for name, picked in arms.items()}


def refined(run: Experiment, budget: Budget, block: Block) -> Picked:
    """Three rounds with a third of the budget each; the last decision stands for its table alone."""
    rounds, known, gain, number = CLAIM.settings["rounds"], [], [], []
    part = Budget("tokens", fraction=CLAIM.settings["share"] / rounds)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "feedback.parquet"
        for at in range(rounds):
            scale, temperature = (CLAIM.settings[name] for name in ("scale", "temperature"))
            rule = Kmq("equal", "softmax", scale, feedback=str(path) if at else "", temperature=temperature)
            picked = run.choose(rule, part, block)
            known += picked.rows.tolist()
            gain += block["score"][picked.rows].tolist()
            number += [at] * len(picked.rows)
            pq.write_table(pa.table({"id": [f"{i}" for i in known], "gain": gain, "round": number}), path)
    from cuvee.methods.choose.greedy import Listed

    rows = np.sort(np.array(known))
    return Picked(rows, picked.table, Listed(rows, np.ones(len(rows), np.int64), {}))


def measure(run: Experiment, picked: Picked, bad: np.ndarray) -> dict[str, float]:
    """Loss by domain, and the share of junk."""
    kept, held = run.pool.take(picked.rows), run.target
    bits = bits_each(fit_model(kept), held)
    by_domain = [float(bits[held.domain == domain].mean()) for domain in np.unique(held.domain)]
    return {MACRO: float(np.mean(by_domain)), JUNK: float(kept.tokens[bad[picked.rows]].sum() / kept.tokens.sum())}


def judge(found: Found) -> str:
    """By the rule above."""
    steps = (("clusters", "random"), ("quality", "clusters"), ("refined", "quality"))
    if all(found.of(MACRO, better, worse).below for better, worse in steps):
        return "reproduced"
    return "direction only" if all(found.of(MACRO, "refined", one).below for one in RANDOM) else "not reproduced"
