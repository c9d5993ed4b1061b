"""DataMan: text that a rater calls good trains better models than more text taken at random.

**The paper's claim** (Peng et al., 2025). Models trained on the documents of the highest overall rating beat those
trained on half as much text again drawn uniformly.

**Small scale.** The rater is planted, since what a language model thinks of a text cannot be repeated here: each
document of the pool is spoiled at one of five levels, none to all of its words (put out of order, letters put out of
order, letters replaced, or taken from another text), and its rating is five less the level, off by one in three of
ten. 1,000 of some 3,900 documents are rated; ridge regression on their vectors rates the others. 10 % of the tokens
are kept, and the tiny model is judged by clean held-out text of all domains. "All rated": every document has its
(noisy) rating. "Permuted": the ratings change places. "Random, half as much again": 15 % of the tokens.

**Reproduced** if bits per character are below those of random, of length-matched random, of permuted and of random
with half as much again, with 95 % intervals apart from 0. **Direction only** if below those of random and
length-matched random. **Not reproduced** otherwise.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from cuvee.core import Array, Budget
from cuvee.methods.score.dataman import DataMan

from .harness import (
    BITS,
    NATS,
    Claim,
    Experiment,
    Found,
    Measured,
    Picked,
    Texts,
    demo,
    generator,
    losses,
    sample,
    split,
)
from .league.field import SPOILS, repeated_line

NAME, CLEAN = "dataman", "mean rating"
RANDOM, PERMUTED, MORE = ("random", "length-matched"), "permuted", "random, half as much again"
CLAIM = Claim(
    name="dataman",
    judges=("score/dataman.py", "choose/top_k.py"),
    metrics={
        CLEAN: "of the kept tokens, the mean of five less the level at which they were spoiled",
        BITS: "of clean held-out text of all domains, byte 5-grams",
        NATS: "the same text, word trigrams",
    },
    contrasts=(
        *((metric, NAME, (*RANDOM, PERMUTED, MORE, "all rated")) for metric in (BITS, NATS)),
        (CLEAN, NAME, RANDOM),
    ),
    settings={"rated": 1000, "noise": 0.3, "share": 0.1, "held": 300},
)


def planted(texts: Texts, seed: int) -> tuple[Texts, Array]:
    """The texts at their levels, and the levels 0 .. 4."""
    random = generator(seed, "levels")
    level, ways = random.integers(5, size=len(texts)), [way for way in SPOILS if way is not repeated_line]
    found = list(texts.text)
    for row in np.flatnonzero(level):
        words, other = (texts.text[i].decode().split() for i in (row, random.integers(len(texts))))
        if words and other:
            worse = ways[int(random.integers(len(ways)))](words, random, other)
            hit = random.random(len(words)) < level[row] / 4
            found[row] = " ".join(new if bad else old for old, new, bad in zip(words, worse, hit, strict=True)).encode()
    return Texts(found, texts.domain, texts.source, texts.key), level


def trial(seed: int) -> Measured:
    """All arms."""
    asked, random = CLAIM.settings, generator(seed, "rater")
    held, rest = split(demo(), seed, 0.15)
    pool, level = planted(sample(rest, seed, "pool", 0.7), seed)
    off = np.where(random.random(len(pool)) < asked["noise"], random.choice([-1, 1], len(pool)), 0)
    rating = np.clip(5 - level + off, 1, 5)
    run, budget = Experiment(pool, held, seed), Budget("tokens", fraction=asked["share"])
    rated = np.sort(random.permutation(len(pool))[: asked["rated"]])

    def select(rows: Array, ratings: Array, others: str) -> Picked:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "ratings.parquet"
            pq.write_table(pa.table({"key": pool.key[rows], "overall_score": ratings}), path)
            return run.select(DataMan(str(path), others="drop" if others == "drop" else "predict"), budget)

    kept = select(rated, rating[rated], "predict")
    arms = {NAME: kept, "random": run.random(budget), "length-matched": run.matched(kept, budget)}
    arms[PERMUTED] = select(rated, random.permutation(rating[rated]), "predict")
    arms["all rated"] = select(np.arange(len(pool)), rating, "drop")
    arms[MORE] = run.random(Budget("tokens", fraction=1.5 * asked["share"]), "more")
    tested = sample(held, seed, "held", asked["held"])
    found: Measured = {}
    for name, picked in arms.items():
        tokens = pool.tokens[picked.rows]
        clean = float((tokens * (5 - level[picked.rows])).sum() / tokens.sum())
        found[name] = {CLEAN: clean, **losses(pool.take(picked.rows), tested)}
    return found


def judge(found: Found) -> str:
    """By the rule above."""
    below = {other: found.of(BITS, NAME, other).below for other in (*RANDOM, PERMUTED, MORE)}
    if not all(below[other] for other in RANDOM):
        return "not reproduced"
    return "reproduced" if all(below.values()) else "direction only"
