"""TracIn: rows whose training steps lowered, or raised, the loss of others.

**The paper's claim** (Pruthi et al., 2020). Inner products of gradients, summed over checkpoints, tell how much each
training example lowered the loss of others; examples that harm, mislabelled ones above all, are found by them better
than by losses and by other measures of influence.

**Small scale.** Documents of eleven domains, as vectors of the shipped static embedding with the domain as label,
softmax regression. First, as for TRAK (``claims/trak.py``): the rank correlation, over 80 random halves of 300 rows,
of summed scores with the margin of a target of one domain under a model trained on the half; "cosine" is TracIn with
gradients' directions alone. Second, 600 rows of which a fifth have another domain's label: the target is 110 documents
of all domains with their right labels, and rows of low score are taken for mislabelled; "loss" takes those of the
largest loss at the end of the training. (The paper uses a row's influence on itself, for want of a clean target.)

**Reproduced** if the correlation is above that of nearness and of random scores, and the area under the curve for
mislabelled rows is above that of the loss and of random scores, with 95 % intervals apart from 0. **Direction only** if
both are above those of random scores. **Not reproduced** otherwise.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from cuvee.core import Array
from cuvee.feature.static_embedding import StaticEmbedding
from cuvee.gradient.labelled import parts_of, train_classifier
from cuvee.methods.score.tracin import TracIn

from . import trak
from .harness import Claim, Experiment, Found, Measured, Texts, demo, generator, sample, split

NAME, AREA = "tracin", "area"
CLAIM = Claim(
    name=NAME,
    judges=("score/tracin.py",),
    metrics={
        trak.LDS: trak.CLAIM.metrics[trak.LDS],
        AREA: "under the curve of mislabelled against other rows, by falling score",
    },
    contrasts=((trak.LDS, NAME, ("nearness", "random", "cosine")), (AREA, NAME, ("loss", "random", "cosine"))),
    settings={"rows": 600, "target": 110, "flipped": 0.2, "epochs": 12, "checkpoints": 4}
    | {"halves": trak.CLAIM.settings},
)


def area(score: Array, wrong: Array) -> float:
    """The share of pairs in which the mislabelled row has the lower score."""
    return float((score[wrong][:, None] < score[~wrong]).mean() + 0.5 * (score[wrong][:, None] == score[~wrong]).mean())


def logits(train: Texts, label: Array, seed: int, texts: Texts) -> Array:
    """Of a classifier trained on ``train`` for as many passes as the probe."""
    x, z = (StaticEmbedding().vectors(part.batch) for part in (train, texts))
    classes, epochs = int(label.max()) + 1, CLAIM.settings["epochs"]
    found = train_classifier(x, label, classes, train.key, 0, epochs, 1, seed)
    _, _, w, b = parts_of(found.parameters[0].astype(np.float64), x.shape[1], classes, 0)
    return np.einsum("nd,dk->nk", z.astype(np.float64), w) + b


def mislabelled(seed: int) -> dict[str, float]:
    """The area of all arms."""
    settings, random = CLAIM.settings, generator(seed, "flips")
    _, near, rest = split(demo(), seed, 0.2, 0.1)
    pool, target = sample(rest, seed, "pool", settings["rows"]), sample(near, seed, "target", settings["target"])
    names, right = np.unique(pool.domain, return_inverse=True)
    wrong = random.random(len(pool)) < settings["flipped"]
    label = np.where(wrong, (right + random.integers(1, len(names), len(pool))) % len(names), right)
    given = replace(pool, domain=names[label])
    run = Experiment(given, target, seed)
    method = TracIn("linear", epochs=settings["epochs"], checkpoints=settings["checkpoints"], warm_up=len(pool))
    scores = {
        NAME: method.fit(run).apply(given.batch)["score"],
        "cosine": replace(method, cosine=True).fit(run).apply(given.batch)["score"],
        "random": random.random(len(pool)),
    }
    z = logits(given, label, seed, given)
    z = z - z.max(axis=1, keepdims=True)
    scores["loss"] = (z - np.log(np.exp(z).sum(axis=1, keepdims=True)))[np.arange(len(z)), label]
    return {name: area(score, wrong) for name, score in scores.items()}


def trial(seed: int) -> Measured:
    """Correlation and area of the arms that have them."""
    found = trak.correlations(seed, {NAME: trak.tracin(), "cosine": trak.tracin(cosine=True)})
    for name, value in mislabelled(seed).items():
        found.setdefault(name, {})[AREA] = value
    return found


def judge(found: Found) -> str:
    """By the rule above."""

    def above(correlated: str, separated: str) -> bool:
        return found.of(trak.LDS, NAME, correlated).above and found.of(AREA, NAME, separated).above

    if not above("random", "random"):
        return "not reproduced"
    return "reproduced" if above("nearness", "loss") else "direction only"
