"""ZIP-FIT: choose what compresses well together with the target.

**The paper's claim** (Obbad et al., 2024). Rows of high gzip alignment with a target of code train better models than
random rows and than DSIR's, at equal size. The published package, though, calls gzip at level 0 unless told otherwise,
and level 0 only stores.

**Small scale.** Target: 50 pieces of Python code. Pool: 300 documents each of Python code, Go code, Python's manual,
novels and licences, and 300 rows that hold one letter 30 times. 5 % of the pool's tokens are kept, by exact alignment
at level 6, by the pooled variant (ours), by level 0 (by the internal function, since the method refuses it), by DSIR,
at random, at random with the lengths of level 6, and at random from Python code alone. Held-out text is Python code of
other files.

**Reproduced** if level 6 has a higher precision and fewer bits per character than random and length-matched random, and
fewer bits than DSIR, all with 95 % intervals apart from 0. **Direction only** if all of that holds but for DSIR. **Not
reproduced** otherwise. Beside it, without a vote: level 0 equals "shortest first" if no row ranks above a shorter one
and scores equal mean_j 23 / (max(|x|, |q_j|) + 23).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from cuvee.core import Array, Budget
from cuvee.fold.linear_kernels import rank_correlation
from cuvee.methods.choose.top_k import TopK
from cuvee.methods.score.dsir import Dsir
from cuvee.methods.score.zipfit import Alignment, Sizes, Zipfit

from .harness import BITS, NATS, PRECISION, Claim, Experiment, Found, Measured, Texts, join, sample, study

LETTERS, RANKS, SHORTER, GAP, SIZE = "rows of one letter", "rank correlation", "inversions", "gap", "bytes per row"
OTHERS = ("random", "length-matched", "dsir")
CLAIM = Claim(
    name="zipfit",
    judges=("score/zipfit.py", "choose/top_k.py"),
    metrics={
        PRECISION: "share of kept tokens from Python code",
        BITS: "of held-out Python code, byte 5-grams",
        NATS: "the same text, word trigrams",
        LETTERS: "share of the 300 rows of one letter that were kept",
        SIZE: "mean size of kept rows",
        RANKS: "Spearman, of the scores of all documents (rows of one letter left out) with those of exact level 6",
        SHORTER: "neighbours in the order of size of which the longer has the higher score",
        GAP: "largest difference between a score and the closed form of level 0",
    },
    contrasts=(
        (BITS, "level 6", (*OTHERS, "pooled", "level 0", "random Python code")),
        (NATS, "level 6", OTHERS),
        (PRECISION, "level 6", OTHERS),
        (PRECISION, "level 0", ("random",)),
    ),
    settings={"domains": ["code-python", "code-go", "python-docs", "fiction", "licence"], "rows": 300, "share": 0.05},
)
TARGET = CLAIM.settings["domains"][0]


def pool_of(found: Texts, seed: int) -> Texts:
    """Five domains in equal parts, and as many rows of one letter."""
    rows, names = CLAIM.settings["rows"], CLAIM.settings["domains"]
    nothing = np.array(["letters"] * rows)
    letters = Texts([b"x" * 30] * rows, nothing, nothing, np.arange(rows).astype("u8"))
    return join([*(sample(found.of(name), seed, name, rows) for name in names), letters])


def stored_only(exact: Alignment, target: Texts) -> Alignment:
    """What the package's default computes."""
    sizes = Sizes("gzip", 0)
    own = sizes.each(target.text)
    return replace(exact, sizes=sizes, target=own, joined=tuple(target.text), joined_sizes=own, max_bytes=0)


def trial(seed: int) -> Measured:
    """All arms."""
    budget, (run, held) = Budget("tokens", fraction=CLAIM.settings["share"]), study(seed, TARGET)
    run = Experiment(pool_of(run.pool, seed), run.target, seed)
    exact = run.select(Zipfit(), budget)
    assert isinstance(exact.fitted, Alignment)
    zero: Array = stored_only(exact.fitted, run.target).apply(run.pool.batch)["score"]
    arms = {"level 6": exact, "pooled": run.select(Zipfit(mode="pooled"), budget)}
    arms |= {"level 0": run.choose(TopK(), budget, {"score": zero}), "dsir": run.select(Dsir(), budget)}
    arms |= {"random": run.random(budget), "length-matched": run.matched(exact, budget)}
    found = {arm: run.measure(picked, held, TARGET) for arm, picked in arms.items()}
    only = Experiment(run.pool.of(TARGET), run.target, seed)
    picked = only.random(Budget("tokens", budget.resolve(int(run.pool.tokens.sum()))))
    found["random Python code"] = only.measure(picked, held, TARGET)
    letters = run.pool.domain == "letters"
    for arm, picked in arms.items():
        nothing = float(np.isin(np.flatnonzero(letters), picked.rows).mean())
        found[arm] |= {LETTERS: nothing, SIZE: float(run.pool.bytes[picked.rows].mean())}
    for arm in ("pooled", "level 0", "dsir"):
        both = (np.maximum(one.table.data["score"][~letters], -1e300) for one in (arms[arm], exact))
        found[arm][RANKS] = rank_correlation(*both)
    size, goal = run.pool.bytes, run.target.bytes
    order = np.argsort(size, kind="stable")
    closed = (23 / (np.maximum(size[:, None], goal[None, :]) + 23)).mean(axis=1)
    found["level 0"] |= {SHORTER: float(np.sum(np.diff(zero[order]) > 1e-12)), GAP: float(np.abs(zero - closed).max())}
    return found


def judge(found: Found) -> str:
    """By the rule above."""
    precise = all(found.of(PRECISION, "level 6", other).above for other in ("random", "length-matched"))
    better = {other: found.of(BITS, "level 6", other).below for other in OTHERS}
    if not (precise and better["random"] and better["length-matched"]):
        return "not reproduced"
    return "reproduced" if better["dsir"] else "direction only"
