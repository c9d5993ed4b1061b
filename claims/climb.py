"""CLIMB: clusters of a pool as sources, and their mixture searched in rounds, against one round of as many runs.

**The paper's claim** (Diao et al., "CLIMB: Clustering-based Iterative Data Mixture Bootstrapping", 2025). Documents
without domains are clustered, and the mixture of the clusters is searched by small models: each round's runs are drawn
from what a regression (boosted trees) fitted to all runs so far takes for good. The mixture that it ends with is better
than random ones, and better than what one round of as many runs finds (RegMix).

**Small scale.** Texts of six domains, whose names are not told: eight clusters of their vectors are the sources.
Held-out text is of the three domains about software. 42 runs of a twentieth of the pool's tokens, byte n-grams, in
three rounds of 24, 12 and 6 (the paper's 4 : 2 : 1; eight of the first are proportional and uniform) or in one; boosted
trees; the proposal is the mean of the best simulated mixtures for a run of as many tokens as the pool has, at most four
passes over a cluster, without caution. At that size models are trained on it, on the pool as it is (proportional), on
uniform, on the best run of the single round, and on four of its random mixtures, whose mean loss counts as "random
mixtures"; they are measured on held-out text that no search has seen. The same two searches are made with the package's
own law, a formula ("climb, formula"; "one round, formula"). All arms train on as many tokens; what a search costs is
not counted, since both cost the same.

**Reproduced** if three rounds have fewer bits than one, than random mixtures and than proportional, with 95 % intervals
apart from 0. **Direction only** if fewer than random mixtures and proportional alone. **Not reproduced** otherwise.
"""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

import cuvee
from cuvee.core import Array

from .harness import BITS, Claim, Found, Measured, Texts, bits_each, demo, fit_model, split
from .mix_search import mixed, written

OURS, ONCE, BEST, ANY = "climb", "one round", "best run", "random mixtures"
PLAIN = ("proportional", "uniform")
LAWS = ("regmix", "optimal_mixtures")
FORMULA, ONCE_FORMULA = f"{OURS}, formula", f"{ONCE}, formula"
ABOUT, RANK, PURITY = "share about software", "rank correlation", "purity"
CLAIM = Claim(
    name="climb",
    judges=(
        "../search/design.py",
        "../search/cluster_sources.py",
        "../search/stock.py",
        "../law/regmix.py",
        "../law/optimal_mixtures.py",
        "../law/propose.py",
    ),
    metrics={
        BITS: "of held-out text about software, byte 5-grams",
        ABOUT: "of the bytes trained on, those from the three domains about software",
        RANK: "Spearman, of predicted and measured losses of mixtures left out of the law's fit",
        PURITY: "share of bytes that are of their cluster's commonest domain",
    },
    contrasts=(
        (BITS, OURS, (ONCE, ANY, *PLAIN, BEST, FORMULA)),
        (BITS, ONCE, (ANY, "proportional", BEST)),
        (BITS, FORMULA, (ONCE_FORMULA, ANY, *PLAIN, BEST)),
    ),
    settings={
        "domains": ["code-python", "dialogue", "fiction", "python-docs", "scripture", "sqlite-docs"],
        "software": ["code-python", "python-docs", "sqlite-docs"],
        "clusters": 8,
        "runs": 42,
        "rounds": 3,
        "part": 20,
        "passes": 4.0,
        "random": 4,
    },
    seeds=tuple(range(1, 8)),
)


def trial(seed: int) -> Measured:
    """All arms."""
    told = CLAIM.settings
    held, unseen, pool = split(demo().of(*told["domains"]), seed, 0.15, 0.15)
    near, test = held.of(*told["software"]), unseen.of(*told["software"])
    size = float(pool.bytes.sum())
    found: dict[str, cuvee.Searched] = {}
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        paths = written(pool, place / "pool.parquet"), written(near, place / "held.parquet")
        for rounds, arms in ((told["rounds"], (OURS, FORMULA)), (1, (ONCE, ONCE_FORMULA))):
            for arm, law in zip(arms, LAWS, strict=True):
                found[arm] = cuvee.search_mix(
                    paths[0],
                    evaluations={"held": paths[1]},
                    runs=told["runs"],
                    iterations=rounds,
                    clusters=told["clusters"],
                    proxy="ngram:table_bits=18",
                    law=law,
                    run_tokens=int(size / 4 / told["part"]),
                    passes=told["passes"],
                    seeds=0,
                    bold=True,
                    seed=100 * seed,
                    resample=20,
                    ledger=place / "ledger",
                    output=place / arm,
                    cache=place / "cache",
                    workers=1,
                )
        members = pq.read_table(place / OURS / "clusters.parquet")
    rows = members.column("row").to_numpy()
    sources = replace(pool.take(rows), domain=np.array(members.column("cluster").to_pylist()))
    mixtures = {arm: one.weights for arm, one in found.items()} | {
        name: {one["name"]: one[name] for one in found[OURS].summary["proposal"]} for name in PLAIN
    }
    runs = found[ONCE].summary["mixtures"]
    names = [one["name"] for one in found[ONCE].summary["proposal"]]
    mixtures[BEST] = dict(zip(names, min(runs, key=lambda one: one["loss"])["shares"], strict=True))
    drawn = [one for one in runs if one["name"] not in PLAIN][: told["random"]]
    tried = [f"{ANY} {at}" for at in range(len(drawn))]
    mixtures |= {name: dict(zip(names, one["shares"], strict=True)) for name, one in zip(tried, drawn, strict=True)}
    truth = pool.domain[rows]
    measured = {arm: outcome(sources, truth, test, weights, size, seed) for arm, weights in mixtures.items()}
    each = [measured.pop(name) for name in tried]
    measured[ANY] = {metric: float(np.mean([one[metric] for one in each])) for metric in each[0]}
    for arm, one in found.items():
        measured[arm][RANK] = float(one.summary["confidence"]["rank"])
    measured[OURS][PURITY] = purity(sources, truth)
    return measured


def outcome(
    sources: Texts, truth: Array, test: Texts, weights: dict[str, float], size: float, seed: int
) -> dict[str, float]:
    """Of a model trained on ``size`` bytes of the clusters by these weights."""
    at = np.arange(len(sources))
    kept = mixed(replace(sources, key=at), weights, size, seed)
    characters = np.array([len(one.decode()) for one in test.text])
    bits = float((bits_each(fit_model(kept), test) * characters).sum() / characters.sum())
    right = np.isin(truth[kept.key.astype(np.int64)], CLAIM.settings["software"])
    return {BITS: bits, ABOUT: float(kept.bytes[right].sum() / kept.bytes.sum())}


def purity(sources: Texts, truth: Array) -> float:
    """How far clusters are domains."""
    _, cluster = np.unique(sources.domain, return_inverse=True)
    _, domain = np.unique(truth, return_inverse=True)
    table = np.zeros((cluster.max() + 1, domain.max() + 1))
    np.add.at(table, (cluster, domain), sources.bytes)
    return float(table.max(axis=1).sum() / table.sum())


def judge(found: Found) -> str:
    """By the rule above."""
    if not all(found.of(BITS, OURS, other).below for other in (ANY, "proportional")):
        return "not reproduced"
    return "reproduced" if found.of(BITS, OURS, ONCE).below else "direction only"
