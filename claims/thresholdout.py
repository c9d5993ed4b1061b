"""Reusable holdout: asking one evaluation set many times.

**The claim** (Dwork et al., "Generalization in Adaptive Data Analysis and Holdout Reuse", NIPS 2015). An analyst
selects features, then classifiers, by one holdout set. Reused as it is, the set reports more than chance where there is
nothing; through Thresholdout it does not, and where there is signal both find it.

**Small scale.** The paper's experiment with 3,000 instead of 10,000 points and features, twice a seed: features are
kept whose correlations on training and holdout set both exceed 1 / sqrt(n) with one sign, and the k strongest vote.
The Gaussian variant, T = 4 / sqrt(n) = 0.073. Beside it, what it means here: of 200 random selections of the
demonstration pool the best is picked by n-gram models, from answers of one guarded set of 60 documents, and what was
reported of it is held against its gain on fresh documents. With so few documents T is 0.52 bits per byte, so
Thresholdout is expected to hand back the development set's means and to protect nothing; this part does not decide.

**Reproduced** if, without signal, naive reuse reports more than fresh data show, Thresholdout less so than naive reuse,
all by their intervals, and by less than T; and with signal the fresh accuracy is above 0.6 with both. **Direction
only** if Thresholdout reports less too much than naive reuse, but a number is outside. Else **not reproduced**.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from cuvee.core import Array
from cuvee.fold.ngram_lm import NgramLM
from cuvee.proof.holdout import ReusableHoldout, practical_answer

from .harness import Claim, Found, Measured, Texts, demo, generator, split

Answer = Callable[[Array, Array], Array]
"""From means on the training and the holdout set, one per query, to what the analyst is told of the holdout set."""
MORE, MOST, FRESH = "reported too much, no signal", "reported too much, no signal, k = 500", "fresh accuracy, signal"
MORE_SIGNAL, BEST = "reported too much, signal", "best of 200: reported too much"
NAIVE, GUARDED, ONCE = "naive reuse", "Thresholdout", "one look"
CLAIM = Claim(
    name="thresholdout",
    judges=("../proof/holdout.py",),
    metrics={
        MORE: "accuracy told of the holdout set less fresh accuracy, mean over k = 10, 50, 100, 200, 500",
        MOST: "the same for 500 features",
        MORE_SIGNAL: "with 20 planted features, mean over k",
        FRESH: "mean over k",
        BEST: "bits per byte told of the best of 200 random selections less its gain on fresh documents; "
        "one look: best by the development set, told by the guarded set",
    },
    contrasts=((MORE, NAIVE, (GUARDED,)), (FRESH, GUARDED, (NAIVE,)), (BEST, NAIVE, (ONCE, GUARDED))),
    settings={"n": 3000, "d": 3000, "planted": 20, "repetitions": 2, "k": [10, 50, 100, 200, 500]}
    | {"selections": 200, "bytes": 50_000, "documents": 60},
)


def points(random: np.random.Generator, n: int, d: int, planted: int) -> Array:
    """Normal features and, in the last column, a label of -1 or 1, towards which some features are shifted. (n, d+1)"""
    x = random.standard_normal((n, d + 1), dtype=np.float32)
    x[:, d] = np.sign(x[:, d])
    x[:, :planted] += np.float32(6 / n**0.5) * x[:, d:]
    return x


def accuracy(x: Array, weight: Array) -> float:
    """Of the sign vote."""
    return float((np.sign(x[:, :-1] @ weight) == x[:, -1]).mean())


def select_and_vote(train: Array, holdout: Array, fresh: Array, sizes: list[int], answer: Answer) -> Array:
    """The paper's analyst: per k, accuracy on the training set, as told of the holdout set, and on fresh data."""
    n, chance = len(train), 1 / len(train) ** 0.5
    on_train, on_holdout = (one[:, :-1].T @ one[:, -1] / n for one in (train, holdout))
    told = answer(on_train, on_holdout)
    agree = (np.minimum(on_train, told) > chance) | (np.maximum(on_train, told) < -chance)
    strength = np.where(agree, on_train, 0)
    order = np.abs(strength).argsort()
    rows = []
    for k in sizes:
        weight = np.zeros_like(strength)
        weight[order[-k:]] = np.sign(strength[order[-k:]])
        own, guarded, new = (accuracy(one, weight) for one in (train, holdout, fresh))
        rows.append([own, float(answer(np.array(own), np.array(guarded))), new])
    return np.array(rows)


def naive(on_train: Array, on_holdout: Array) -> Array:
    """The holdout set as it is."""
    return on_holdout


def practical(random: np.random.Generator, n: int) -> Answer:
    """The Gaussian variant with the paper's threshold and noise."""
    return lambda on_train, on_holdout: practical_answer(
        on_train, on_holdout, 4 / n**0.5, *random.normal(0, 1 / n**0.5, (2, *on_train.shape))
    )


def repetition(random: np.random.Generator) -> Measured:
    """Both analysts on the same data, without and with signal."""
    given = CLAIM.settings
    found: Measured = {NAIVE: {}, GUARDED: {}}
    for planted in (0, given["planted"]):
        train, holdout, fresh = (points(random, given["n"], given["d"], planted) for _ in range(3))
        for arm, answer in ((NAIVE, naive), (GUARDED, practical(random, given["n"]))):
            result = select_and_vote(train, holdout, fresh, given["k"], answer)
            more = result[:, 1] - result[:, 2]
            if planted:
                found[arm] |= {MORE_SIGNAL: float(more.mean()), FRESH: float(result[:, 2].mean())}
            else:
                found[arm] |= {MORE: float(more.mean()), MOST: float(more[-1])}
    return found


def bits(texts: Texts, judged: Texts) -> Array:
    """Bits per byte of each judged document under the n-gram model of some texts."""
    fold = NgramLM(5, 16, "bytes")
    scored = fold.finish(fold.lift(texts.batch)).score(judged.batch)["log10"]
    return np.asarray(-scored * np.log2(10) / judged.bytes)


def best_of_many(seed: int) -> Measured:
    """The best of 200 random selections, picked by answers of one guarded set."""
    given, random = CLAIM.settings, generator(seed, "selections")
    held, rest = split(demo(), seed, 0.3)
    judged = held.take(random.permutation(len(held))[: 3 * given["documents"]])

    def losses() -> Array:
        order = random.permutation(len(rest))
        return bits(rest.take(order[: np.searchsorted(np.cumsum(rest.bytes[order]), given["bytes"])]), judged)

    base = losses()
    gain = np.clip([base - losses() for _ in range(given["selections"])], -1, 1)
    development, guarded, fresh = np.split(gain, 3, axis=1)
    with tempfile.TemporaryDirectory() as folder:
        holdout = ReusableHoldout(Path(folder) / "holdout.json", given["documents"], seed=seed)
        told = [holdout.ask(one, other) for one, other in zip(development, guarded, strict=True)]
    reports = {NAIVE: guarded.mean(axis=1), GUARDED: np.array(told)}
    found = {arm: {BEST: float(one.max() - fresh[one.argmax()].mean())} for arm, one in reports.items()}
    best = development.mean(axis=1).argmax()
    return found | {ONCE: {BEST: float(guarded[best].mean() - fresh[best].mean())}}


def trial(seed: int) -> Measured:
    """All arms."""
    given = CLAIM.settings
    random = generator(seed, "points")
    many = [repetition(random) for _ in range(given["repetitions"])]
    found = best_of_many(seed)
    for arm in (NAIVE, GUARDED):
        found[arm] |= {metric: float(np.mean([one[arm][metric] for one in many])) for metric in many[0][arm]}
    return found


def judge(found: Found) -> str:
    """By the rule above."""
    more = found.of(MORE, NAIVE).above and found.of(MORE, NAIVE, GUARDED).above
    within = found.of(MORE, GUARDED).high < 4 / CLAIM.settings["n"] ** 0.5
    if more and within and min(found.of(FRESH, arm).low for arm in (NAIVE, GUARDED)) > 0.6:
        return "reproduced"
    return "direction only" if found.of(MORE, NAIVE, GUARDED).above else "not reproduced"
