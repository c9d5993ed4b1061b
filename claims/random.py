"""The baselines: random rows, and random rows of given lengths.

**The claim** (textbook sampling without replacement). Uniform draws keep every domain's share on average, and shares of
rows spread over draws as sqrt(p (1 - p) / n * (N - n) / (N - 1)). Of ``length_matched``: its rows have the lengths of
the selection that it is given, and are random otherwise.

**Small scale.** In each of eight pools, 200 draws of 10 % of the rows; observed spread of each domain's share over the
predicted one, and the mean squared error of the mean share in predicted variances (1 on average). The loss of the tiny
model on held-out text of SQLite's manual over 20 draws of 5 % of the tokens tells how far apart two random arms lie: a
method that gains less has shown nothing by one run. Lengths: DSIR towards the Jargon File takes short documents; the
Kolmogorov-Smirnov distance, by tokens, of length-matched rows to these, against that of random rows.

**Reproduced** if the interval of the spread's ratio lies within 0.9 and 1.1, that of the squared error includes 1, and
the distance in length is below 0.05 for length-matched rows and above 0.2 for random ones, by their intervals.
**Direction only** if length-matched rows are nearer than random ones, but a number is outside. Else **not reproduced**.
"""

from __future__ import annotations

import numpy as np

from cuvee.core import Array, Budget
from cuvee.methods.score.dsir import Dsir

from .harness import BITS, Claim, Found, Measured, losses, study

RATIO, ERROR, DISTANCE = "spread over predicted", "squared error of the mean share", "distance in length"
SPREAD, TWO, RANGE = "standard deviation of bits", "95 % range of a difference", "range over 20 draws"
CLAIM = Claim(
    name="random",
    judges=("choose/random.py", "choose/length_matched.py"),
    metrics={
        RATIO: "mean over domains of the standard deviation of a domain's share over 200 draws, by the formula's",
        ERROR: "mean over domains, in units of the predicted variance of a mean of 200 draws",
        BITS: "of held-out pages of SQLite's manual, byte 5-grams, mean of 20 draws of 5 % of the tokens",
        SPREAD: "over these 20 draws",
        TWO: "2.77 standard deviations: what two random arms of one run differ by in 19 of 20 cases at most",
        RANGE: "largest less smallest bits per character of the 20 draws",
        DISTANCE: "largest difference of the distributions of bytes per row, by tokens, to those of the selection",
    },
    contrasts=((DISTANCE, "length-matched", ("random",)),),
    settings={"draws": 200, "rows": 0.1, "model_draws": 20, "tokens": 0.05, "like": "jargon", "held": "sqlite-docs"},
)


def distance(size: Array, weight: Array, other: Array, other_weight: Array) -> float:
    """Kolmogorov-Smirnov distance of two weighted samples."""
    at = np.unique(np.concatenate([size, other]))
    sides = []
    for x, w in ((size, weight), (other, other_weight)):
        order = np.argsort(x)
        sides.append(np.concatenate([[0], np.cumsum(w[order])])[np.searchsorted(x[order], at, "right")] / w.sum())
    return float(np.abs(sides[0] - sides[1]).max())


def trial(seed: int) -> Measured:
    """All arms."""
    given = CLAIM.settings
    run, held = study(seed, given["held"])
    rows, total = Budget("rows", fraction=given["rows"]), len(run.pool)
    code = np.unique(run.pool.domain, return_inverse=True)[1]
    draws = [run.random(rows, f"draw {number}").rows for number in range(given["draws"])]
    kept = np.array([np.bincount(code[one], minlength=code.max() + 1) / len(one) for one in draws])
    share, n = np.bincount(code) / total, len(draws[0])
    predicted = np.sqrt(share * (1 - share) / n * (total - n) / (total - 1))
    error = ((kept.mean(axis=0) - share) / predicted) ** 2 * len(draws)
    budget, bits = Budget("tokens", fraction=given["tokens"]), []
    for number in range(given["model_draws"]):
        bits.append(losses(run.pool.take(run.random(budget, f"draw {number}").rows), held)[BITS])
    jargon, _ = study(seed, given["like"])
    like = jargon.select(Dsir(), budget)
    size, tokens = jargon.pool.bytes, jargon.pool.tokens
    arms = {"random": jargon.random(budget), "length-matched": jargon.matched(like, budget)}
    found = {
        name: {DISTANCE: distance(size[one.rows], tokens[one.rows], size[like.rows], tokens[like.rows])}
        for name, one in arms.items()
    }
    spread = float(np.std(bits, ddof=1))
    found["random"] |= {RATIO: float((kept.std(axis=0, ddof=1) / predicted).mean()), ERROR: float(error.mean())}
    found["random"] |= {BITS: float(np.mean(bits)), SPREAD: spread, TWO: 2.77 * spread, RANGE: float(np.ptp(bits))}
    return found


def judge(found: Found) -> str:
    """By the rule above."""
    ratio, error = found.of(RATIO, "random"), found.of(ERROR, "random")
    matched, other = found.of(DISTANCE, "length-matched"), found.of(DISTANCE, "random")
    fits = ratio.low > 0.9 and ratio.high < 1.1 and error.low <= 1 <= error.high
    if fits and matched.high < 0.05 and other.low > 0.2:
        return "reproduced"
    return "direction only" if found.of(DISTANCE, "length-matched", "random").below else "not reproduced"
