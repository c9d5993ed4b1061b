"""Mixtures searched by a swarm of small runs, against proportional and uniform, with the search counted.

**The papers' claim** (Ye et al., "Data Mixing Laws", 2025; Liu et al., "RegMix", 2025). A law fitted to the losses of
many small runs finds a mixture that trains a larger model better than the natural one. Against it stands that most
mixing methods do not beat uniform ("stratified") sampling when they are compared at equal cost (Chen et al., "Aioli",
2024).

**Small scale.** Six domains, of which three are about software; held-out text is of these three. 40 runs of a twentieth
of the pool's tokens, byte n-grams; a law; a proposal for a run of as many tokens as the pool has, at most four passes
over a domain. At that size models are trained on the proposal, on proportional (the pool itself) and on uniform, and
measured on held-out text that the search has not seen. At equal total cost proportional and uniform get the tokens of
the search besides: three times as many, so they repeat the pool. The proposal is cautious: it goes from proportional
toward the law's optimum only as far as is shown to be worth it. "Bold" is that optimum itself, and so are the
proposals of two other laws that are fitted to the same swarm.

**Reproduced** if the proposal has fewer bits than proportional and than uniform, at equal tokens and at equal total
cost. **Direction only** if at equal tokens alone. **Not reproduced** otherwise. All by 95 % intervals apart from 0.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

import cuvee
from cuvee.core import Array

from .harness import BITS, Claim, Found, Measured, Texts, bits_each, demo, fit_model, generator, split

OURS = "optimal_mixtures"
BOLD = f"{OURS}, bold"
LAWS = {OURS: OURS, BOLD: OURS, "data_mixing_laws": "data_mixing_laws", "regmix": "regmix"}
PLAIN = ("proportional", "uniform")
COSTLY = tuple(f"{name}, equal total cost" for name in PLAIN)
ABOUT, RANK = "share about software", "rank correlation"
CLAIM = Claim(
    name="mix_search",
    judges=(
        "../law/optimal_mixtures.py",
        "../law/propose.py",
        "../law/caution.py",
        "../search/design.py",
        "../search/stock.py",
    ),
    metrics={
        BITS: "of held-out text about software, byte 5-grams",
        ABOUT: "share of training tokens from the three domains about software",
        RANK: "Spearman, of predicted and measured losses of mixtures left out of the law's fit",
    },
    contrasts=(
        (BITS, OURS, (*PLAIN, *COSTLY, BOLD, "data_mixing_laws", "regmix")),
        (BITS, "uniform", ("proportional",)),
    ),
    settings={
        "domains": ["code-python", "dialogue", "fiction", "python-docs", "scripture", "sqlite-docs"],
        "software": ["code-python", "python-docs", "sqlite-docs"],
        "runs": 40,
        "part": 20,
        "passes": 4.0,
    },
    seeds=tuple(range(1, 7)),
)


def written(texts: Texts, path: Path) -> Path:
    """The texts as a file of a pool."""
    columns = {"text": pa.array([one.decode() for one in texts.text]), "domain": pa.array(texts.domain.tolist())}
    pq.write_table(pa.table(columns), path)
    return path


def mixed(pool: Texts, weights: dict[str, float], size: float, seed: int) -> Texts:
    """``size`` bytes of the pool by these weights: every domain as often as needed, its last pass in part."""
    rows: list[Array] = []
    for name, weight in sorted(weights.items()):
        own = np.flatnonzero(pool.domain == name)
        own = own[generator(seed, f"mix {name}").permutation(len(own))]
        ends = np.cumsum(pool.bytes[own])
        full, rest = divmod(weight * size, float(ends[-1]))
        rows += [own] * int(full) + [own[ends - pool.bytes[own] / 2 < rest]]
    return pool.take(np.concatenate(rows))


def trial(seed: int) -> Measured:
    """All arms."""
    told = CLAIM.settings
    held, unseen, pool = split(demo().of(*told["domains"]), seed, 0.15, 0.15)
    near, test = held.of(*told["software"]), unseen.of(*told["software"])
    size = float(pool.bytes.sum())
    sizes = {name: float(pool.of(name).bytes.sum()) for name in told["domains"]}
    uniform = {name: 1 / len(sizes) for name in sizes}
    proposals: dict[str, dict[str, float]] = {}
    ranks: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        paths = written(pool, place / "pool.parquet"), written(near, place / "held.parquet")
        for arm, law in LAWS.items():
            found = cuvee.search_mix(
                paths[0],
                evaluations={"held": paths[1]},
                runs=told["runs"],
                proxy="ngram:table_bits=18",
                law=law,
                run_tokens=int(size / 4 / told["part"]),
                passes=told["passes"],
                seeds=0,
                bold=arm != OURS,
                seed=100 * seed,
                resample=20,
                ledger=place / "ledger",
                output=place / arm,
                cache=place / "cache",
                workers=1,
            )
            proposals[arm], ranks[arm] = found.weights, found.summary["confidence"]["rank"]
    proposals |= {"proportional": {name: own / size for name, own in sizes.items()}, "uniform": uniform}
    searched = 1 + told["runs"] / told["part"]
    measured = {}
    for arm, times in [*((arm, 1.0) for arm in proposals), *((arm, searched) for arm in COSTLY)]:
        weights = proposals[arm.removesuffix(", equal total cost")]
        model = fit_model(mixed(pool, weights, times * size, seed))
        characters = sum(len(one.decode()) for one in test.text)
        bits = bits_each(model, test) * np.array([len(one.decode()) for one in test.text])
        measured[arm] = {BITS: float(bits.sum() / characters), ABOUT: sum(weights[name] for name in told["software"])}
        if arm in ranks:
            measured[arm][RANK] = float(ranks[arm])
    return measured


def judge(found: Found) -> str:
    """By the rule above."""
    if not all(found.of(BITS, OURS, other).below for other in PLAIN):
        return "not reproduced"
    return "reproduced" if all(found.of(BITS, OURS, other).below for other in COSTLY) else "direction only"
