"""Utilities at the end of training: ends of one run that leave a source out, against whole runs that leave it out.

**The paper's claim** (Blakeney et al., "Does your data spark joy?", 2024). What single data sets are worth can be told
by removing one from the last part of a run alone, at about a tenth of the cost of whole runs.

**Small scale.** A transformer of 0.3 million parameters on bytes, 48 kB: fiction with half of it, and code, the manuals
of Python and SQLite, dialogue and scripture with a tenth each; by size for 70 %, then 75 % for the five small ones.
From one beginning a seed, one end is trained on the full final mix and one without each of the six sources; and whole
runs lack one source from their first step on, with orders of documents, rates and seed the same. Loss: bits per byte
on held-out code and manuals, the mean of three. A utility is the loss without a source less the loss with all. A source
that is missing all along is made up for by more of the others, as at the end.

**Reproduced** if the rank correlation of both kinds of utility over the six sources, in one seed, is above 0.5 on
average over the seeds with its whole 95 % interval. **Direction only** if its interval is above 0. **Not reproduced**
otherwise.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from cuvee.core import Array
from cuvee.law.judge import spearman
from cuvee.methods.policy.uniform import Uniform
from cuvee.proof.proxies.transformer import Transformer
from cuvee.proof.proxy import Watch
from cuvee.search.ending import Course, left_out, rates

from .harness import Claim, Found, Measured, Texts, demo, split
from .online import of_bytes
from .reuse import SHARED, by_domain

LARGE, WANTED = "fiction", ("code-python", "python-docs", "sqlite-docs")
SMALL = (*WANTED, "dialogue", "scripture")
NAMES = tuple(sorted((LARGE, *SMALL)))
DOMAINS = {LARGE: 24_000, **dict.fromkeys(SMALL, 4_800)}
ENDS, WHOLE = "ends", "whole runs"
RANK, TRAINED = "rank correlation", "bytes trained on, of a run"
PROXY = Transformer(context=64, batch=4)
CLAIM = Claim(
    name="end_utilities",
    judges=(
        "../search/ending.py",
        "policy/uniform.py",
        "../proof/loop.py",
        *(f"../proof/proxies/{name}.py" for name in ("packing", "text_model", "transformer")),
        *(f"../{path}" for path in SHARED),
    ),
    metrics={
        RANK: "Spearman, over the six sources, of what ends and whole runs say, in one seed",
        TRAINED: "for six utilities at one seed, in runs of 48 kB",
        **{name: f"utility of {name}: bits per byte that are lost without it" for name in NAMES},
    },
    contrasts=tuple((name, WHOLE, (ENDS,)) for name in NAMES),
    settings={"domains": DOMAINS, "test": 5_000, "share": 0.75, "last": 0.3},
    seeds=(1, 2, 3, 4, 5),
)


def stock(texts: Texts) -> dict[str, Array]:
    """The documents as a course takes them; rows are places."""
    return {
        "row": np.arange(len(texts)),
        "content": texts.key,
        "tokens": texts.bytes,
        "bytes": texts.bytes,
        "domain": np.searchsorted(NAMES, texts.domain),
    }


def trial(seed: int) -> Measured:
    """Both kinds of utility."""
    given = CLAIM.settings
    held, rest = split(demo(), seed, 0.3)
    train = of_bytes(rest, seed, "train", given["domains"])
    test = of_bytes(held, seed, "test", dict.fromkeys(WANTED, given["test"]))
    size, last = int(train.bytes.sum()), given["last"]
    natural = np.array([train.of(name).bytes.sum() for name in NAMES]) / size
    small = np.where(np.isin(NAMES, SMALL), natural, 0.0)
    final = given["share"] * small / small.sum() + (1 - given["share"]) * (natural - small) / (natural - small).sum()
    trained = dict.fromkeys((ENDS, WHOLE), 0.0)

    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "model"

        def begin(course: Course) -> int:
            drawn = course.beginning()
            texts = train.take(drawn.places)
            rates(PROXY, last).train(texts.batch, [], Uniform(), 1.0, seed, Watch(keep=place))
            return drawn.bytes

        def end(course: Course, mixture: Array) -> tuple[float, int]:
            drawn, _ = course.ending(mixture, seed)
            proxy = rates(PROXY, last, str(place))
            losses, _ = by_domain(proxy, train.take(drawn.places), test, Uniform(), 1.0, seed)
            return float(np.mean([losses[name] for name in WANTED])), drawn.bytes

        documents = stock(train)
        course = Course.of(documents, natural, size, last, seed)
        before = begin(course)
        full, amount = end(course, final)
        trained = {ENDS: float(before + amount), WHOLE: float(before + amount)}
        ends, whole = np.zeros(len(NAMES)), np.zeros(len(NAMES))
        for at in range(len(NAMES)):
            loss, amount = end(course, left_out(final, at))
            ends[at] = loss - full
            trained[ENDS] += amount
        for at in range(len(NAMES)):
            without = Course.of(documents, left_out(natural, at), size, last, seed)
            before = begin(without)
            loss, amount = end(without, left_out(final, at))
            whole[at] = loss - full
            trained[WHOLE] += before + amount
    found: Measured = {ENDS: {RANK: spearman(ends, whole)}, WHOLE: {}}
    for arm, values in ((ENDS, ends), (WHOLE, whole)):
        found[arm] |= {TRAINED: trained[arm] / size} | dict(zip(NAMES, values.tolist(), strict=True))
    return found


def judge(found: Found) -> str:
    """By the rule above."""
    rank = found.of(RANK, ENDS)
    return "reproduced" if rank.low > 0.5 else "direction only" if rank.above else "not reproduced"
