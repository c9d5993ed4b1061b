"""EK-FAC: influence functions whose curvature is a Kronecker product with corrected eigenvalues.

**The paper's claim** (Grosse et al., 2023). Influence by EK-FAC follows what training would change about as well as
influence by far dearer ways to invert the curvature, and much better than products of gradients.

**Small scale.** As for TRAK (``claims/trak.py``): 300 documents of eleven domains, as vectors of the shipped static
embedding with the domain as label, softmax regression for 20 passes; the target is 40 documents of one domain from
other sources. 80 random halves of the rows are trained on; the output is the target's mean log likelihood. The score is
the rank correlation over the halves between the output and the sum of the rows' scores, all of them by one training on
all rows. "exact" inverts the whole Fisher matrix (3,084 parameters) with the same share of its mean eigenvalue as
damping, "kfac" has uncorrected eigenvalues, "gradient products" have no curvature, "tracin" has the last four passes,
"nearness" is the cosine with the target's mean vector. (The paper compares with the response of a linearised and damped
objective, not with retraining.)

**Reproduced** if EK-FAC's correlation is above those of gradient products, nearness and random scores, with 95 %
intervals apart from 0, and at most 0.05 below "exact", by the whole interval. **Direction only** if it is above random
scores. **Not reproduced** otherwise.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from cuvee.core import Array
from cuvee.feature.static_embedding import StaticEmbedding
from cuvee.gradient.labelled import LabelledProbe, parts_of, train_classifier
from cuvee.gradient.scores import GradientScores
from cuvee.methods.score.ekfac import EkFac
from cuvee.methods.score.tracin import TracIn

from .harness import Claim, Experiment, Found, Measured, demo, generator, sample, split
from .trak import LDS, ranks

NAME = "ekfac"
BELOW = ("gradient products", "nearness", "random")
CLAIM = Claim(
    name=NAME,
    judges=("score/ekfac.py",),
    metrics={LDS: "rank correlation of summed scores and outputs over random halves of the rows"},
    contrasts=((LDS, NAME, (*BELOW, "exact", "kfac", "tracin")),),
    settings={
        "rows": 300,
        "target": 40,
        "domains": ["sqlite-docs", "speech", "code-python", "jargon"],
        "halves": 80,
        "epochs": 20,
        "damping": 0.1,
        "slack": 0.05,
    },
)


def likelihood(x: Array, label: Array, key: Array, z: Array, place: int, classes: int, seed: int) -> float:
    """The target's mean log likelihood under a model trained on some rows."""
    found = train_classifier(x, label, classes, key, 0, CLAIM.settings["epochs"], 1, seed)
    _, _, w, b = parts_of(found.parameters[0].astype(np.float64), x.shape[1], classes, 0)
    out = np.einsum("nd,dk->nk", z.astype(np.float64), w) + b
    return float((out[:, place] - np.logaddexp.reduce(out, axis=1)).mean())


def exact(probe: LabelledProbe, x: Array, query: Array, damping: float) -> Array:
    """(F + lambda)^-1 query by the whole Fisher matrix F of softmax regression on the rows, float32 (parameters,).

    With B B^T = diag(p) - p p^T for each row, F = M^T M / n for M of n x classes rows (1, x) times a column of B.
    """
    classes = len(probe.classes) + 1
    _, _, w, b = parts_of(probe.parameters[0].astype(np.float64), x.shape[1], classes, 0)
    one = np.concatenate([x.astype(np.float64), np.ones((len(x), 1))], axis=1)
    z = one[:, :-1] @ w + b
    p = np.exp(z - z.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    root = np.sqrt(p)[:, :, None] * np.eye(classes) - p[:, :, None] * np.sqrt(p)[:, None, :]
    m = np.einsum("nd,nkj->njdk", one, root).reshape(len(x) * classes, -1) / np.sqrt(len(x))
    amount = damping * float(np.square(m).sum()) / m.shape[1]
    inner = np.linalg.solve(m @ m.T + amount * np.eye(len(m)), m @ query.astype(np.float64))
    return np.asarray((query - m.T @ inner) / amount, np.float32)


def trial(seed: int) -> Measured:
    """The correlation of every arm."""
    settings = CLAIM.settings
    _, near, rest = split(demo(), seed, 0.2, 0.2)
    domain = settings["domains"][seed % len(settings["domains"])]
    pool, target = sample(rest, seed, "pool", settings["rows"]), sample(near.of(domain), seed, "t", settings["target"])
    run, embed = Experiment(pool, target, seed), StaticEmbedding()
    x, z = embed.vectors(pool.batch), embed.vectors(target.batch)
    rows, epochs = settings["rows"], settings["epochs"]
    method = EkFac("linear", epochs=epochs, warm_up=rows, sample=rows, damping=settings["damping"])
    products = TracIn("linear", epochs=epochs, warm_up=rows, checkpoints=1).fit(run)
    assert isinstance(products, GradientScores)
    solved = exact(products.probe, x, products.vectors[0, 0], settings["damping"])
    fitted = {
        NAME: method.fit(run),
        "kfac": replace(method, corrected=False).fit(run),
        "exact": replace(products, vectors=solved[None, None]),
        "gradient products": products,
        "tracin": TracIn("linear", epochs=epochs, warm_up=rows, checkpoints=4).fit(run),
    }
    scores = {name: one.apply(pool.batch)["score"] for name, one in fitted.items()}
    scores |= {"nearness": np.einsum("nd,d->n", x, z.mean(axis=0)), "random": generator(seed, "r").random(len(pool))}
    names, label = np.unique(pool.domain, return_inverse=True)
    place, chance = int(np.searchsorted(names, domain)), generator(seed, "halves")
    outputs, sums = [], {name: list[float]() for name in scores}
    for _ in range(settings["halves"]):
        half = np.sort(chance.permutation(len(pool))[: len(pool) // 2])
        outputs.append(likelihood(x[half], label[half], pool.key[half], z, place, len(names), seed))
        for name, score in scores.items():
            sums[name].append(float(score[half].sum()))
    wanted = ranks(np.array(outputs))
    return {name: {LDS: float(np.corrcoef(ranks(np.array(one)), wanted)[0, 1])} for name, one in sums.items()}


def judge(found: Found) -> str:
    """By the rule above."""
    if not found.of(LDS, NAME, "random").above:
        return "not reproduced"
    above = all(found.of(LDS, NAME, other).above for other in BELOW)
    near = found.of(LDS, NAME, "exact").low > -CLAIM.settings["slack"]
    return "reproduced" if above and near else "direction only"
