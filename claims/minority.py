"""Minority mining: rows of rare classes, by predictions that an autoencoder of the labelled rows fails to rebuild.

**The paper's claim** (Singh et al., 2022). From an unlabelled pool, the framework takes far more rows of the tail
classes than entropy and other measures of uncertainty do, and a model trained on what was mined, with labels, is better
for it.

**Small scale.** Documents of eleven domains, which are the classes, as vectors of the shipped static embedding. Three
domains are rare: 3 labelled rows each, against 40 of each of the others. The pool are 1,000 rows of other sources, a
tenth is taken. "entropy" and "least sure" (1 - the largest probability) are of the same recalibrated classifier,
"rare" takes its largest probability of a rare class over that class's share of the labelled rows. "logits" rebuilds
logits instead of probabilities. Then a softmax regression on the labelled and the taken rows with their true labels is
measured on held-out documents: its accuracy on the rare domains, and the mean over all domains.

**Reproduced** if the share of rare rows taken, and the accuracy on rare domains, are above those of entropy and random
rows, with 95 % intervals apart from 0. **Direction only** if the share is above that of random rows. **Not reproduced**
otherwise.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa

from cuvee.core import Array
from cuvee.feature.autoencoder import forward, softmax
from cuvee.feature.content import string_hash
from cuvee.feature.static_embedding import StaticEmbedding
from cuvee.gradient.labelled import parts_of, train_classifier
from cuvee.methods.score.minority import Minority

from .harness import Claim, Experiment, Found, Measured, demo, generator, join, sample, split

NAME, RARE, ACCURACY, MEAN = "minority", "rare rows", "accuracy, rare", "accuracy, all"
OTHERS = ("random", "entropy", "least sure", "rare", "logits")
CLAIM = Claim(
    name=NAME,
    judges=("score/minority.py",),
    metrics={
        RARE: "share of taken rows from the rare domains",
        ACCURACY: "on held-out documents of the rare domains, after training on labelled and taken rows",
        MEAN: "on held-out documents, every domain counting the same",
    },
    contrasts=((RARE, NAME, OTHERS), (ACCURACY, NAME, OTHERS), (MEAN, NAME, ("random", "entropy"))),
    settings={"rare": 3, "few": 3, "many": 40, "pool": 1000, "share": 0.1, "epochs": 20},
)


def accuracies(x: Array, label: Array, z: Array, held: Array, classes: int, seed: int) -> Array:
    """Of softmax regression trained on rows x, by class, on held-out rows z."""
    key = np.arange(len(x), dtype=np.uint64)
    found = train_classifier(x, label, classes, key, 0, CLAIM.settings["epochs"], 1, seed).parameters[0]
    _, _, w, b = parts_of(found.astype(np.float64), x.shape[1], classes, 0)
    right = (z.astype(np.float64) @ w + b).argmax(axis=1) == held
    return np.array([right[held == one].mean() for one in range(classes)])


def trial(seed: int) -> Measured:
    """All arms."""
    settings, random, embed = CLAIM.settings, generator(seed, "rare"), StaticEmbedding()
    held, known, rest = split(demo(), seed, 0.2, 0.25)
    names = np.unique(demo().domain)
    rare = random.permutation(len(names))[: settings["rare"]]
    parts = [
        sample(known.of(name), seed, f"labelled {name}", 1 + settings["few" if at in rare else "many"]).take(
            np.arange(settings["few" if at in rare else "many"])
        )
        for at, name in enumerate(names)
    ]
    pool, labelled = sample(rest, seed, "pool", settings["pool"]), join(parts)
    run = Experiment(pool, labelled, seed)
    fitted = Minority().fit(run)
    logits = replace(Minority(), rebuild="logits").fit(run)
    x, y = embed.vectors(pool.batch), np.searchsorted(names, pool.domain)
    own = np.searchsorted(names, labelled.domain)
    z = forward(x.astype(np.float64), fitted.classifier)[-1]
    hashed = string_hash(pa.array(names.tolist(), pa.large_string()))
    place = np.argsort(np.argsort(hashed))  # outputs are in the order of the labels' hashes
    p = softmax(z)
    share = np.bincount(own, minlength=len(names)) / len(own)
    scores = {
        NAME: fitted.apply(pool.batch)["score"],
        "logits": logits.apply(pool.batch)["score"],
        "random": random.random(len(pool)),
        "entropy": -(p * np.log(np.maximum(p, 1e-300))).sum(axis=1),
        "least sure": -p.max(axis=1),
        "rare": np.max([p[:, place[at]] / share[at] for at in rare], axis=0),
    }
    first, z_held = embed.vectors(labelled.batch), embed.vectors(held.batch)
    y_held, found = np.searchsorted(names, held.domain), {}
    for name, score in scores.items():
        taken = np.argsort(-score, kind="stable")[: int(settings["share"] * len(pool))]
        train, label = np.concatenate([first, x[taken]]), np.concatenate([own, y[taken]])
        right = accuracies(train, label, z_held, y_held, len(names), seed)
        found[name] = {
            RARE: float(np.isin(y[taken], rare).mean()),
            ACCURACY: float(right[rare].mean()),
            MEAN: float(right.mean()),
        }
    return found


def judge(found: Found) -> str:
    """By the rule above."""
    if not found.of(RARE, NAME, "random").above:
        return "not reproduced"
    better = all(found.of(metric, NAME, other).above for metric in (RARE, ACCURACY) for other in ("random", "entropy"))
    return "reproduced" if better else "direction only"
