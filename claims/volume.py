"""Volume sampling: the expected loss of least squares on few rows is known, and rows drawn one by one do worse.

**The paper's claim** (Dereziński and Warmuth, NIPS 2017 and JMLR 2018). Whatever the answers, least squares fitted on
a volume sample of d rows, d being the number of coefficients, has d + 1 times the least loss over all rows in
expectation, and samples of any size give the least squares solution of all rows on average. Rows drawn independently
give neither: they may miss a direction, and are biased.

**Small scale.** 300 documents as vectors of the shipped static embedding on their 7 main axes, with an intercept, so d
is 8; the answers are real ones, that no linear model fits: 1 for documents of one domain and 0 for others, and the
logarithm of a document's tokens, each with variance 1; losses are summed over the answers. Least squares without a
ridge, on 8, 16 and 64 rows, 2,000 draws each: a volume sample; uniform rows, without replacement; and rows drawn
independently by leverage, each counted 1 / probability times ("leverage") or once ("plain leverage"). The loss is that
over all 300 rows, its mean over the draws over the least loss, on a logarithmic scale. The squared bias is the inner
product of the mean errors of the two halves of the draws, in predictions, over the least loss: nothing on average if
there is none.

**Reproduced** if the loss of volume samples at 8 rows is 9 times the least within 10 % (the whole 95 % interval), their
squared bias at 16 rows has an interval that holds 0, while that of uniform rows is above 0, and their loss at 8 and at
16 rows is below those of uniform rows and of leverage with intervals apart from 0. **Direction only** if at 8 and at 16
rows it is below that of uniform rows. **Not reproduced** otherwise. 64 rows have no vote.
"""

from __future__ import annotations

import numpy as np

from cuvee.core import Array
from cuvee.feature.static_embedding import StaticEmbedding
from cuvee.fold.lewis import quadratic, root_of_inverse
from cuvee.methods.choose.volume import sample_volume

from .harness import Claim, Found, Measured, demo, generator, sample

NAME, OTHERS, D = "volume", ("uniform", "leverage", "plain leverage"), 8
SIZES = (D, 2 * D, 8 * D)
LOSS = {size: f"log10 of loss, {size} rows" for size in SIZES}
BIAS = {size: f"squared bias, {size} rows" for size in SIZES}
AWAY = "log10 of loss over d + 1"
CLAIM = Claim(
    name=NAME,
    judges=("choose/volume.py",),
    metrics={LOSS[size]: "of the mean loss over all rows over the least" for size in SIZES}
    | {
        BIAS[size]: "of the mean of solutions, in predictions, over the least loss; 0 on average without bias"
        for size in SIZES
    }
    | {AWAY: "the first less its expectation for volume samples"},
    contrasts=(
        *((LOSS[size], NAME, OTHERS) for size in SIZES),
        (BIAS[2 * D], NAME, OTHERS),
    ),
    settings={"rows": 300, "draws": 2000, "within": 0.1},
)


def trial(seed: int) -> Measured:
    """All arms at all sizes."""
    texts, random = sample(demo(), seed, "pool", CLAIM.settings["rows"]), generator(seed, "draws")
    vectors = StaticEmbedding().vectors(texts.batch).astype(np.float64)
    axes = np.linalg.eigh(np.cov(vectors, rowvar=False))[1][:, ::-1][:, : D - 1]
    x = np.column_stack([(vectors - vectors.mean(axis=0)) @ axes, np.ones(len(vectors))])
    x = x @ root_of_inverse(x.T @ x)  # the same models, and predictions' distances are coefficients'
    answers = np.column_stack([texts.domain[:, None] == np.unique(texts.domain), np.log(texts.tokens + 1)]).astype(
        float
    )
    y = (answers - answers.mean(axis=0)) / answers.std(axis=0)
    best = x.T @ y
    least = float(((x @ best - y) ** 2).sum())
    chance, one = quadratic(x, np.eye(D)) / D, np.ones(len(x), np.int64)

    def drawn(arm: str, size: int) -> tuple[Array, Array]:
        """Rows, and the root of their weights."""
        if arm == NAME:
            rows = sample_volume(x, one, size, random.random(len(x)))
        elif arm == "uniform":
            rows = random.permutation(len(x))[:size]
        else:
            rows = random.choice(len(x), size, p=chance)
        return rows, chance[rows] ** -0.5 if arm == "leverage" else np.ones(size)

    found: Measured = {}
    for arm in (NAME, *OTHERS):
        told: dict[str, float] = {}
        for size in SIZES:
            away = np.empty((CLAIM.settings["draws"], D, y.shape[1]))
            for at in range(len(away)):
                rows, root = drawn(arm, size)
                away[at] = np.linalg.lstsq(x[rows] * root[:, None], y[rows] * root[:, None], rcond=None)[0] - best
            told[LOSS[size]] = float(np.log10(1 + (away**2).sum(axis=(1, 2)).mean() / least))
            first, second = (part.mean(axis=0) for part in np.array_split(away, 2))
            told[BIAS[size]] = float((first * second).sum() / least)
        found[arm] = told | {AWAY: told[LOSS[D]] - float(np.log10(D + 1))}
    return found


def judge(found: Found) -> str:
    """By the rule above."""
    few = SIZES[:2]
    if not all(found.of(LOSS[size], NAME, "uniform").below for size in few):
        return "not reproduced"
    away, within = found.of(AWAY, NAME), CLAIM.settings["within"]
    known = np.log10(1 - within) < away.low and away.high < np.log10(1 + within)
    bias = found.of(BIAS[2 * D], NAME)
    unbiased = bias.low <= 0 <= bias.high and found.of(BIAS[2 * D], "uniform").above
    better = all(found.of(LOSS[size], NAME, "leverage").below for size in few)
    return "reproduced" if known and unbiased and better else "direction only"
