"""Leverage and Lewis weights: sums over a weighted sample that hold for every linear function of the vectors.

**The papers' claim** (Cohen and Peng, STOC 2015; Woodruff and Yasuda, ICML 2023). Rows drawn with probability in
proportion to leverage (p = 2) or Lewis weights (p = 1), each counted 1 / probability times, keep |A x|_p for all x at
once within a small error, where as many uniformly drawn rows do not.

**Small scale.** The demonstration's pool, vectors by latent semantic analysis (64 dimensions), to which 20 rows in a
direction of their own are added. 600 rows in expectation. The error is the largest of | |S A x|_p / |A x|_p - 1 | over
2,000 directions x: random ones, those of single rows through the inverse of A^T A, and the added one.

**Reproduced** if the error of leverage at p = 2, and of Lewis weights at p = 1, is below that of uniform rows with 95 %
intervals apart from 0. **Direction only** if one of the two is. **Not reproduced** otherwise.
"""

from __future__ import annotations

import numpy as np

from cuvee.core import Array, Budget
from cuvee.feature.lsa import fit_lsa
from cuvee.fold.inclusion import log_factor
from cuvee.fold.lewis import lewis_weights, quadratic, root_of_inverse

from .harness import Claim, Experiment, Found, Measured, Table, demo, generator, sample

ERRORS = {p: f"error, p = {p}" for p in (1, 2)}
CLAIM = Claim(
    name="leverage",
    judges=("score/leverage.py", "choose/poisson.py"),
    metrics=dict.fromkeys(ERRORS.values(), "the largest relative error of |A x|_p over 2,000 directions"),
    contrasts=tuple((name, arm, ("uniform",)) for name in ERRORS.values() for arm in ("leverage", "root", "lewis")),
    settings={"rows": 600, "added": 20, "directions": 2000, "share": 0.85},
)


def trial(seed: int) -> Measured:
    """Errors of all ways to draw."""
    pool = sample(demo(), seed, "pool", CLAIM.settings["share"])
    vectors = fit_lsa(Experiment(pool, pool, seed)).vectors(pool.batch).astype(np.float64)
    d, random = vectors.shape[1], generator(seed, "directions")
    a = np.zeros((len(vectors), d + 1))
    a[:, :d] = vectors
    a[random.permutation(len(a))[: CLAIM.settings["added"]]] = np.eye(d + 1)[d]
    root = root_of_inverse(a.T @ a)
    own = a[random.permutation(len(a))[: CLAIM.settings["directions"] // 2]] @ root @ root.T
    x = np.concatenate(
        [random.normal(size=(CLAIM.settings["directions"] - len(own) - 1, d + 1)), own, np.eye(d + 1)[d:]]
    )
    weights = {"uniform": np.ones(len(a)), "leverage": quadratic(a, root)}
    weights |= {"root": weights["leverage"] ** 0.5, "lewis": lewis_weights(a, 1.0, 50)}
    found: Measured = {}
    for name, weight in weights.items():
        chance = probabilities(pool, weight)
        taken = np.flatnonzero(random.random(len(a)) < chance)
        found[name] = {ERRORS[p]: error(a, x, taken, chance[taken], p) for p in (1, 2)}
    return found


def probabilities(pool: object, weight: Array) -> Array:
    """min(1, c w) with the wanted number of rows in expectation."""
    with np.errstate(divide="ignore"):
        table = Table(pool, {"score": np.log(weight)})  # type: ignore[arg-type]
    amount = Budget("rows", CLAIM.settings["rows"]).resolve(len(weight))
    factor = log_factor(table, ("score",), lambda b: b["score"], lambda b: np.ones(len(b["score"]), np.int64), amount)
    return np.minimum(1.0, np.exp(factor) * weight)


def error(a: Array, x: Array, taken: Array, chance: Array, p: int) -> float:
    """The largest relative error of the norm over the directions."""
    whole = (np.abs(a @ x.T) ** p).sum(axis=0)
    part = (np.abs(a[taken] @ x.T) ** p / chance[:, None]).sum(axis=0)
    return float(np.abs((part / whole) ** (1 / p) - 1).max())


def judge(found: Found) -> str:
    """By the rule above."""
    holds = [found.of(ERRORS[2], "leverage", "uniform").below, found.of(ERRORS[1], "lewis", "uniform").below]
    return "reproduced" if all(holds) else "direction only" if any(holds) else "not reproduced"
