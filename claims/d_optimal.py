"""D-optimal design: a linear model fitted on few chosen rows predicts the others well.

**The classic claim** (Fedorov, 1972; Krause, Singh and Guestrin, 2008). For a linear model, rows that maximise the
determinant of the information matrix give better estimates than random rows of the same number.

**Small scale.** The demonstration's documents as vectors of the shipped static embedding on their 40 main axes, with an
intercept; the answers are eleven: 1 for documents of one domain and 0 for others. 60 rows are chosen, least squares
(with a ridge of 0.001) is fitted on their answers and asked about all other rows: their mean squared error, mean over
the answers. A second set of answers is the truth of the model, random coefficients with noise of standard deviation
0.3. k-center and volume sampling stand beside it.

**Reproduced** if both errors are below those of random rows with 95 % intervals apart from 0. **Direction only** if one
is. **Not reproduced** otherwise.
"""

from __future__ import annotations

import numpy as np

from cuvee.core import Array
from cuvee.feature.static_embedding import StaticEmbedding
from cuvee.methods.choose.d_optimal import design
from cuvee.methods.choose.k_center import spread_out
from cuvee.methods.choose.volume import sample_volume

from .harness import Claim, Found, Measured, demo, generator, sample

NAME, DOMAINS, LINEAR = "d_optimal", "error on domains", "error on linear answers"
CLAIM = Claim(
    name="d_optimal",
    judges=("choose/d_optimal.py", "choose/volume.py", "choose/k_center.py"),
    metrics={
        DOMAINS: "mean squared error of domains' indicators, on rows not chosen",
        LINEAR: "the same for answers of a linear model with noise, the noise not counted",
    },
    contrasts=tuple((metric, NAME, ("random", "volume", "k-center")) for metric in (DOMAINS, LINEAR)),
    settings={"rows": 60, "axes": 40, "ridge": 0.001, "noise": 0.3, "pool": 4000},
)


def trial(seed: int) -> Measured:
    """All arms."""
    texts, random = sample(demo(), seed, "pool", CLAIM.settings["pool"]), generator(seed, "answers")
    x = StaticEmbedding().vectors(texts.batch).astype(np.float64)
    axes = np.linalg.eigh(np.cov(x, rowvar=False))[1][:, ::-1][:, : CLAIM.settings["axes"]]
    x = np.column_stack([(x - x.mean(axis=0)) @ axes, np.full(len(x), 0.3)])
    domains = (texts.domain[:, None] == np.unique(texts.domain)).astype(float)
    truth = x / x.std(axis=0).mean() @ random.normal(size=(x.shape[1], 11)) / x.shape[1] ** 0.5
    noisy = truth + CLAIM.settings["noise"] * random.normal(size=truth.shape)
    n, one = CLAIM.settings["rows"], np.ones(len(x), np.int64)
    few = np.sort(random.permutation(len(x))[:2048])
    chosen = {
        NAME: design(x, one, n, 0.01)[0],
        "random": random.permutation(len(x))[:n],
        "volume": few[sample_volume(x[few], one[few], n, random.random(len(few)))],
        "k-center": spread_out(x, one, n),
    }
    return {
        name: {DOMAINS: error(x, rows, domains, domains), LINEAR: error(x, rows, noisy, truth)}
        for name, rows in chosen.items()
    }


def error(x: Array, rows: Array, answers: Array, truth: Array) -> float:
    """Of least squares on the chosen rows, on the others."""
    a = x[rows]
    fitted = np.linalg.solve(a.T @ a + CLAIM.settings["ridge"] * np.eye(x.shape[1]), a.T @ answers[rows])
    others = np.setdiff1d(np.arange(len(x)), rows)
    return float(((x[others] @ fitted - truth[others]) ** 2).mean())


def judge(found: Found) -> str:
    """By the rule above."""
    better = [found.of(metric, NAME, "random").below for metric in (DOMAINS, LINEAR)]
    return "reproduced" if all(better) else "direction only" if any(better) else "not reproduced"
