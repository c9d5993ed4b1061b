"""TRAK: what a model would put out, had it been trained on other rows.

**The paper's claim** (Park et al., 2023). Sums of TRAK's scores over a random part of the training rows follow the
outputs of models trained on that part (linear datamodelling score, LDS), better than those of TracIn and of nearness of
representations, at the cost of a few trained models.

**Small scale.** 300 documents of eleven domains, as vectors of the shipped static embedding with the domain as label,
softmax regression for 20 passes; the target is 40 documents of one domain from other sources. 80 random halves of the
rows are trained on; the output is the target's mean margin, log(p / (1 - p)). The score is the rank correlation over
the halves between the output and the sum of the rows' scores. "trak" and "tracin" use one training on all rows: TRAK
its end (512 dimensions), TracIn its last four passes. "trak, 10 trainings" is the paper's ensemble: ten models, each
trained on a random half of the rows. "nearness" is the cosine with the target's mean vector.

**Reproduced** if the ensemble's correlation is above those of one training, TracIn, nearness and random scores, with
95 % intervals apart from 0. **Direction only** if both TRAKs are above random scores. **Not reproduced** otherwise.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from cuvee.core import Array, Method
from cuvee.feature.static_embedding import StaticEmbedding
from cuvee.gradient.labelled import parts_of, train_classifier
from cuvee.methods.score.tracin import TracIn
from cuvee.methods.score.trak import Trak

from .harness import Claim, Experiment, Found, Measured, demo, generator, sample, split

NAME, ENSEMBLE, LDS = "trak", "trak, 10 trainings", "correlation"
OTHERS = ("tracin", "nearness", "random")
CLAIM = Claim(
    name=NAME,
    judges=("score/trak.py",),
    metrics={LDS: "rank correlation of summed scores and outputs over random halves of the rows"},
    contrasts=((LDS, NAME, OTHERS), (LDS, ENSEMBLE, (NAME, *OTHERS))),
    settings={
        "rows": 300,
        "target": 40,
        "domains": ["sqlite-docs", "speech", "code-python", "jargon"],
        "halves": 80,
        "epochs": 20,
        "dimensions": 512,
        "trainings": 10,
    },
)


def margin(x: Array, label: Array, key: Array, z: Array, place: int, classes: int, seed: int) -> float:
    """The target's mean margin under a model trained on some rows."""
    found = train_classifier(x, label, classes, key, 0, CLAIM.settings["epochs"], 1, seed)
    _, _, w, b = parts_of(found.parameters[0].astype(np.float64), x.shape[1], classes, 0)
    out = np.einsum("nd,dk->nk", z.astype(np.float64), w) + b
    others = np.delete(out, place, axis=1)
    return float((out[:, place] - np.log(np.exp(others).sum(axis=1))).mean())


def ranks(values: Array) -> Array:
    """0 for the smallest, 1 for the next, ..."""
    return np.argsort(np.argsort(values, kind="stable"), kind="stable").astype(np.float64)


def correlations(seed: int, methods: dict[str, Method]) -> Measured:
    """The correlation of each method's scores, of nearness and of random scores."""
    settings = CLAIM.settings
    _, near, rest = split(demo(), seed, 0.2, 0.2)
    domain = settings["domains"][seed % len(settings["domains"])]
    pool, target = sample(rest, seed, "pool", settings["rows"]), sample(near.of(domain), seed, "t", settings["target"])
    run, embed = Experiment(pool, target, seed), StaticEmbedding()
    x, z = embed.vectors(pool.batch), embed.vectors(target.batch)
    scores = {name: method.fit(run).apply(pool.batch)["score"] for name, method in methods.items()}
    scores |= {"nearness": np.einsum("nd,d->n", x, z.mean(axis=0)), "random": generator(seed, "r").random(len(pool))}
    names, label = np.unique(pool.domain, return_inverse=True)
    place, chance = int(np.searchsorted(names, domain)), generator(seed, "halves")
    outputs, sums = [], {name: list[float]() for name in scores}
    for _ in range(settings["halves"]):
        half = np.sort(chance.permutation(len(pool))[: len(pool) // 2])
        outputs.append(margin(x[half], label[half], pool.key[half], z, place, len(names), seed))
        for name, score in scores.items():
            sums[name].append(float(score[half].sum()))
    wanted = ranks(np.array(outputs))
    return {name: {LDS: float(np.corrcoef(ranks(np.array(one)), wanted)[0, 1])} for name, one in sums.items()}


def tracin(**more: Any) -> TracIn:
    """TracIn for the same task."""
    return TracIn("linear", epochs=CLAIM.settings["epochs"], warm_up=CLAIM.settings["rows"], checkpoints=4, **more)


def trial(seed: int) -> Measured:
    """The correlation of every arm."""
    rows, epochs, dimensions = (CLAIM.settings[name] for name in ("rows", "epochs", "dimensions"))
    trak = Trak("linear", epochs=epochs, checkpoints=1, warm_up=rows, sample=rows, dimensions=dimensions)
    ensemble = replace(trak, trainings=CLAIM.settings["trainings"])
    return correlations(seed, {NAME: trak, ENSEMBLE: ensemble, "tracin": tracin()})


def judge(found: Found) -> str:
    """By the rule above."""
    if not all(found.of(LDS, arm, "random").above for arm in (NAME, ENSEMBLE)):
        return "not reproduced"
    better = all(found.of(LDS, ENSEMBLE, other).above for other in (NAME, *OTHERS))
    return "reproduced" if better else "direction only"
