"""Ladder: a guarded set that tells of the best alone, under attack and in honest use.

**The claim** (Blum and Hardt, "The Ladder: A Reliable Leaderboard for Machine Learning Competitions", ICML 2015). A
leaderboard that tells every score is fooled by an attack that needs no data: of many random guesses, the majority of
those with a good score has a good score itself and is worth nothing. A ladder reports nearly the truth all the same,
without parameters, and in honest use it follows the best as a plain leaderboard does; its error falls as n^(-1/3).

**Small scale.** The paper's attack: 400 guesses at 4,000 random labels, then their majority (of those above chance; of
those that a ladder released). The truth is 0 above chance. Honest use: 400 models whose true accuracy rises from 0.5 to
0.6 with setbacks; the leaderboard's error is the largest distance, at any time, of what is told from the best
true accuracy so far. Five repetitions of both a seed. Beside them, what it means here: of 200 random selections of the
demonstration pool the best is picked by n-gram models from the answers of one guarded set of 60 documents, and what was
told of it is held against its gain on fresh documents. That part does not decide: luck of independent tries is what a
ladder cannot take away.

**Reproduced** if under attack naive reuse tells more than n^(-1/3) = 0.063 too much and the parameter-free ladder less,
and less than naive reuse; and in honest use its leaderboard error is below 0.063; all by their 95 % intervals.
**Direction only** if it tells less too much than naive reuse under attack. **Not reproduced** otherwise.
"""

from __future__ import annotations

import numpy as np

from cuvee.core import Array
from cuvee.proof.ladder import Best, climb

from .harness import Claim, Found, Measured, Texts, demo, generator, split
from .thresholdout import bits

ATTACK, HONEST, BEST = "attack: told too much", "honest use: leaderboard error", "best of 200: told too much"
NAIVE, FREE, FIXED = "naive reuse", "ladder", "ladder, step n^(-1/3)"
CLAIM = Claim(
    name="ladder",
    judges=("../proof/ladder.py",),
    metrics={
        ATTACK: "accuracy told of the best, 400 random guesses and their majority, less 1/2",
        HONEST: "largest distance of the accuracy told from the best true one so far, 400 models",
        BEST: "bits per byte told of the best of 200 random selections less its gain on fresh documents, in which the "
        "best is the last that was released, or that of the highest mean",
    },
    contrasts=((ATTACK, NAIVE, (FREE, FIXED)), (HONEST, FREE, (NAIVE, FIXED)), (BEST, NAIVE, (FREE, FIXED))),
    settings={"n": 4000, "k": 400, "rise": 0.1, "setback": 0.02, "repetitions": 5}
    | {"selections": 200, "bytes": 50_000, "documents": 60},
)


def steps(n: int) -> dict[str, float | None]:
    """Of both ladders over n documents."""
    return {FREE: None, FIXED: n ** (-1 / 3)}


def climbed(gains: Array, step: float | None) -> tuple[Array, list[int], Best]:
    """What is told after each query, (k,), which queries were released, and the best."""
    best, told, released = Best(0.0, np.zeros(gains.shape[1])), [], []
    for at, one in enumerate(gains):
        found = climb(best, one, step)
        if found is not best:
            released.append(at)
        best = found
        told.append(best.gain)
    return np.array(told), released, best


def attack(random: np.random.Generator) -> dict[str, float]:
    """What is told of the best after the attack, above chance."""
    n, k = CLAIM.settings["n"], CLAIM.settings["k"]
    labels, guesses = random.integers(0, 2, n, np.int8), random.integers(0, 2, (k, n), np.int8)
    gains = (guesses == labels) - 0.5

    def majority(chosen: Array | list[int]) -> Array:
        vote = guesses[chosen].mean(axis=0) > 0.5 if len(chosen) else guesses[0]
        return np.asarray((vote == labels) - 0.5)

    means = gains.mean(axis=1)
    found = {NAIVE: float(max(means.max(), majority(np.flatnonzero(means > 0)).mean()))}
    for arm, step in steps(n).items():
        _, released, best = climbed(gains, step)
        found[arm] = climb(best, majority(released), step).gain
    return found


def honest(random: np.random.Generator) -> dict[str, float]:
    """Leaderboard errors over models that get better, with setbacks."""
    given = CLAIM.settings
    n, k = given["n"], given["k"]
    true = given["rise"] * np.arange(k) / k - given["setback"] * random.random(k)
    gains = (random.random((k, n)) < 0.5 + true[:, None]) - 0.5
    best = np.maximum(np.maximum.accumulate(true), 0.0)
    found = {NAIVE: float(np.abs(np.maximum.accumulate(gains.mean(axis=1)) - best).max())}
    return found | {arm: float(np.abs(climbed(gains, step)[0] - best).max()) for arm, step in steps(n).items()}


def best_of_many(seed: int) -> Measured:
    """The best of 200 random selections, picked by answers of one guarded set."""
    given, random = CLAIM.settings, generator(seed, "selections")
    held, rest = split(demo(), seed, 0.3)
    judged = held.take(random.permutation(len(held))[: 2 * given["documents"]])

    def losses() -> Array:
        order = random.permutation(len(rest))
        kept: Texts = rest.take(order[: np.searchsorted(np.cumsum(rest.bytes[order]), given["bytes"])])
        return bits(kept, judged)

    base = losses()
    gain = np.clip([base - losses() for _ in range(given["selections"])], -1, 1)
    guarded, fresh = np.split(gain, 2, axis=1)
    mean, new = guarded.mean(axis=1), fresh.mean(axis=1)
    found = {NAIVE: {BEST: float(mean.max() - new[mean.argmax()])}}
    for arm, step in steps(given["documents"]).items():
        _, released, best = climbed(guarded, step)
        found[arm] = {BEST: best.gain - (float(new[released[-1]]) if released else 0.0)}
    return found


def trial(seed: int) -> Measured:
    """All arms."""
    random = generator(seed, "guesses")
    found = best_of_many(seed)
    for metric, what in ((ATTACK, attack), (HONEST, honest)):
        many = [what(random) for _ in range(CLAIM.settings["repetitions"])]
        for arm in found:
            found[arm][metric] = float(np.mean([one[arm] for one in many]))
    return found


def judge(found: Found) -> str:
    """By the rule above."""
    bound = CLAIM.settings["n"] ** (-1 / 3)
    less = found.of(ATTACK, NAIVE, FREE).above
    fooled = found.of(ATTACK, NAIVE).low > bound > found.of(ATTACK, FREE).high
    if less and fooled and found.of(HONEST, FREE).high < bound:
        return "reproduced"
    return "direction only" if less else "not reproduced"
