"""RS2: a fresh random subset in every round.

**The paper's claim** (Okanovic et al., ICLR 2024). Training on a new random subset in every round beats training on a
subset chosen once, at random or by a score, with the same number of steps, and comes close to training on all data. Of
all baselines for leaving examples out, it is the one that is hard to beat.

**Small scale.** Pieces of 24 words from eleven domains, 300 a domain to train on and 200 to test on, from other
sources; a network with one hidden layer (hashed word 1- and 2-grams, 32 units, SGD with momentum) tells the domain. 80
rounds of 10 %, batches of 30, so all arms but the last take 880 steps: RS2 without and with replacement; a random
subset drawn once; the hardest tenth (least probability of the right class, mean of three networks after 4 passes); all
data for 8 passes. The last arm is all data for 80 passes. Passes over the training set are counted with the scoring.
The size of the pieces and the learning rate were set by runs on all data alone, on another seed.

**Reproduced** if, in both modes, accuracy is above that of both subsets chosen once, with 95 % intervals apart from 0,
and within 0.01 of that of all data at equal steps (the whole interval). **Direction only** if the first holds but the
second does not. **Not reproduced** otherwise.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from cuvee.core import Array, Policy
from cuvee.methods.policy.rs2 import Rs2
from cuvee.methods.policy.uniform import Uniform
from cuvee.proof.proxies.mlp import Mlp
from cuvee.proof.proxy import Evaluation, Outcome, Watch

from .harness import Claim, Found, Measured, Texts, chunks, demo, generator, join, sample, split

ACCURACY, LOSS, FORWARD, BACKWARD = "accuracy", "nats per example", "forward passes", "backward passes"
WITHOUT, WITH, FIXED, HARD = "rs2, without replacement", "rs2, with replacement", "random subset", "hardest subset"
EQUAL, FULL = "all data, equal steps", "all data, all rounds"
PROXY = Mlp(width=1024, hidden=32, batch=30, optimizer="sgd", rate=0.1)
CODE = ("../proof/loop.py", "../proof/proxies/labelled.py", "../proof/proxies/mlp.py")
CLAIM = Claim(
    name="rs2",
    judges=("policy/rs2.py", "policy/uniform.py", *CODE),
    metrics={
        ACCURACY: "share of held-out pieces whose domain is told",
        LOSS: "mean loss on the same pieces",
        FORWARD: "over the whole training set, scoring included",
        BACKWARD: "over the whole training set, scoring included",
    },
    contrasts=(
        *((ACCURACY, arm, (FIXED, HARD, EQUAL, FULL)) for arm in (WITHOUT, WITH)),
        (ACCURACY, HARD, (FIXED,)),
        *((LOSS, arm, (FIXED, HARD, EQUAL, FULL)) for arm in (WITHOUT, WITH)),
    ),
    settings={"words": 24, "train": 300, "test": 200, "fraction": 0.1, "rounds": 80, "scorers": 3, "scoring": 4.0},
    seeds=tuple(range(1, 11)),
)
MARGIN = 0.01


class Data(NamedTuple):
    """Pieces to train on, and the same number of test pieces of every domain."""

    train: Texts
    test: Texts

    def fit(self, policy: Policy, epochs: float, seed: int, at: Array | None = None) -> Outcome:
        """Train on all pieces, or those at these places; measured on the test pieces and on all training pieces."""
        sets = [
            Evaluation(name, one.batch, np.zeros(len(one), np.int32), ("all",))
            for name, one in (("test", self.test), ("train", self.train))
        ]
        data = self.train if at is None else self.train.take(at)
        found = PROXY.train(data.batch, sets, policy, epochs, seed, Watch())
        assert not found.diverged
        return found

    def passes(self, outcome: Outcome) -> float:
        """Presentations in training, in passes over the whole training set."""
        return outcome.cost["forward"] / len(self.train)


def pieces(seed: int, words: int, train: int, test: int) -> Data:
    """Equally many pieces of every domain, from sources that are in one part only."""
    parts = []
    for name, part, number in zip(("test", "train"), split(demo(), seed, 0.3), (test, train), strict=True):
        cut = chunks(part, words)
        parts.append(join([sample(cut.of(one), seed, f"{name} {one}", number) for one in np.unique(cut.domain)]))
    return Data(parts[1], parts[0])


def measures(outcome: Outcome) -> dict[str, float]:
    """What was learned."""
    found = outcome.measured["test"]
    assert found.correct is not None
    return {ACCURACY: float(found.correct.mean()), LOSS: found.mean()}


def trial(seed: int) -> Measured:
    """All arms."""
    given = CLAIM.settings
    data = pieces(seed, given["words"], given["train"], given["test"])
    n, share, rounds = len(data.train), given["fraction"], given["rounds"]
    k, epochs = round(share * n), share * rounds
    scorers = [data.fit(Uniform(), given["scoring"], 1000 * seed + number) for number in range(given["scorers"])]
    right = np.mean([np.exp(-one.measured["train"].loss) for one in scorers], axis=0)
    arms = {
        WITHOUT: data.fit(Rs2(share), epochs, seed),
        WITH: data.fit(Rs2(share, "with"), epochs, seed),
        FIXED: data.fit(Uniform(), rounds, seed, np.sort(generator(seed, "subset").permutation(n)[:k])),
        HARD: data.fit(Uniform(), rounds, seed, np.sort(np.argsort(right, kind="stable")[:k])),
        EQUAL: data.fit(Uniform(), epochs, seed),
        FULL: data.fit(Uniform(), rounds, seed),
    }
    found = {arm: measures(one) | {FORWARD: data.passes(one), BACKWARD: data.passes(one)} for arm, one in arms.items()}
    scoring = sum(map(data.passes, scorers))
    found[HARD][FORWARD] += scoring + len(scorers)
    found[HARD][BACKWARD] += scoring
    return found


def judge(found: Found) -> str:
    """By the rule above."""
    modes = (WITHOUT, WITH)
    if not all(found.of(ACCURACY, mode, other).above for mode in modes for other in (FIXED, HARD)):
        return "not reproduced"
    gaps = [found.of(ACCURACY, mode, EQUAL) for mode in modes]
    return "reproduced" if all(gap.low > -MARGIN and gap.high < MARGIN for gap in gaps) else "direction only"
