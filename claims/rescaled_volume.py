"""Volume-rescaled sampling: unbiased like volume sampling, and safe where that fails.

**The paper's claim** (Dereziński, Warmuth and Hsu, NeurIPS 2018). Weighted least squares on rows drawn by leveraged
volume sampling is unbiased, which that on independent draws by leverage is not, and its loss comes as near to the least
as theirs; there are data on which plain volume sampling, unbiased too, stays away from the least whatever the size.

**Small scale.** "Text": 300 documents as vectors of the shipped static embedding on their 7 main axes, with an
intercept, d = 8; the answers are indicators of the domains and the logarithm of a document's tokens, each with variance
1, losses being summed. "Hard" is the paper's example: for each of 8 coordinates one row 1 with the answer 1, and 49
rows g with the answer 0, 49 g^2 = 0.1. 16 and 64 rows, 1,000 draws each; rows drawn by "leverage" independently, with
weights, by plain "volume" sampling and "uniform" without replacement, without weights. The loss is that over all rows,
its mean over the draws over the least loss, on a logarithmic scale. The squared bias is the inner product of the mean
errors of the two halves of the draws, in predictions, over the least loss: nothing on average if there is none.

**Reproduced** if on text, at 16 rows, the squared bias has an interval that holds 0, while that of leverage is above 0,
the loss at 16 rows is below that of leverage, and on the hard example, at 64 rows, it is below that of volume sampling,
intervals apart from 0. **Direction only** if one of the first two and the last hold. **Not reproduced** otherwise.
"""

from __future__ import annotations

import numpy as np

from cuvee.core import Array
from cuvee.feature.static_embedding import StaticEmbedding
from cuvee.fold.lewis import quadratic, root_of_inverse
from cuvee.methods.choose.rescaled import acceptance
from cuvee.methods.choose.volume import sample_volume

from .harness import Claim, Found, Measured, demo, generator, sample

NAME, OTHERS, D, SIZES, CASES = "rescaled", ("leverage", "volume", "uniform"), 8, (16, 64), ("text", "hard")
LOSS = {(case, size): f"log10 of loss, {case}, {size} rows" for case in CASES for size in SIZES}
BIAS = {size: f"squared bias, {size} rows" for size in SIZES}
CLAIM = Claim(
    name="rescaled_volume",
    judges=("score/rescaled_volume.py", "choose/rescaled.py", "choose/volume.py"),
    metrics=dict.fromkeys(LOSS.values(), "of the mean loss over all rows over the least")
    | dict.fromkeys(BIAS.values(), "on text, of the mean solution, in predictions, over the least loss"),
    contrasts=tuple((told, NAME, OTHERS) for told in (*LOSS.values(), *BIAS.values())),
    settings={"rows": 300, "copies": 49, "small": 0.1, "draws": 1000},
)


def drawn(arm: str, x: Array, size: int, random: np.random.Generator) -> tuple[Array, Array]:
    """Rows of whitened ``x``, and the roots of their weights."""
    one, leverage = np.ones(len(x), np.int64), quadratic(x, np.eye(D))
    if arm == "volume":
        rows = sample_volume(x, one, size, random.random(len(x)))
    elif arm == "uniform":
        rows = random.permutation(len(x))[:size]
    elif arm == "leverage":
        rows = random.choice(len(x), size, p=leverage / leverage.sum())
    else:
        many = max(4 * D * D, size)
        while True:
            rows = random.choice(len(x), many, p=leverage / leverage.sum())
            unit = x[rows] / np.sqrt(leverage[rows])[:, None]
            if random.random() < acceptance(unit):
                break
        rows = rows[sample_volume(unit, np.ones(many, np.int64), size, random.random(many))]
    return rows, leverage[rows] ** -0.5 if arm in (NAME, "leverage") else np.ones(size)


def trial(seed: int) -> Measured:
    """All arms, sizes and cases."""
    texts, random, settings = (
        sample(demo(), seed, "pool", CLAIM.settings["rows"]),
        generator(seed, "draws"),
        CLAIM.settings,
    )
    vectors = StaticEmbedding().vectors(texts.batch).astype(np.float64)
    axes = np.linalg.eigh(np.cov(vectors, rowvar=False))[1][:, ::-1][:, : D - 1]
    x = np.column_stack([(vectors - vectors.mean(axis=0)) @ axes, np.ones(len(vectors))])
    answers = np.column_stack([texts.domain[:, None] == np.unique(texts.domain), np.log(texts.tokens + 1)]).astype(
        float
    )
    y = (answers - answers.mean(axis=0)) / answers.std(axis=0)
    small = (settings["small"] / settings["copies"]) ** 0.5
    hard = np.concatenate([np.eye(D), np.tile(small * np.eye(D), (settings["copies"], 1))])
    cases = {"text": (x, y), "hard": (hard, (np.arange(len(hard)) < D).astype(float)[:, None])}
    found: Measured = {arm: {} for arm in (NAME, *OTHERS)}
    for arm, told in found.items():
        for (case, size), name in LOSS.items():
            x, y = cases[case]
            x = x @ root_of_inverse(x.T @ x)  # the same models, and predictions' distances are coefficients'
            best = x.T @ y
            least = float(((x @ best - y) ** 2).sum())
            away = np.empty((settings["draws"], *best.shape))
            for at in range(len(away)):
                rows, root = drawn(arm, x, size, random)
                away[at] = np.linalg.lstsq(x[rows] * root[:, None], y[rows] * root[:, None], rcond=None)[0] - best
            told[name] = float(np.log10(1 + (away**2).sum(axis=(1, 2)).mean() / least))
            if case == "text":
                first, second = (part.mean(axis=0) for part in np.array_split(away, 2))
                told[BIAS[size]] = float((first * second).sum() / least)
    return found


def judge(found: Found) -> str:
    """By the rule above."""
    bias = found.of(BIAS[16], NAME)
    unbiased = bias.low <= 0 <= bias.high and found.of(BIAS[16], "leverage").above
    near = found.of(LOSS["text", 16], NAME, "leverage").below
    if not found.of(LOSS["hard", 64], NAME, "volume").below:
        return "not reproduced"
    return "reproduced" if unbiased and near else "direction only" if unbiased or near else "not reproduced"
