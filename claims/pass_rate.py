"""Questions by pass rate: what reinforcement learning gains from hard, easy and informative ones.

**The paper's claim** (Pikus, Tiwari and Ye, 2025). Under a budget of questions, training by GRPO on the hardest tenth
gains far more than on random, middling or easy ones.

**Small scale.** A simulation. 2,000 questions of 20 kinds with difficulties d (normal, deviation 2); the chance of a
right answer is sigmoid(a_kind - d - 1). Rates are measured on 8 answers each; a tenth of the questions is kept. In each
of 30 steps every kept question gets a group of 8 answers, and a_kind follows the policy gradient with normalised
advantages, sum of (r - mean) / (deviation + 1e-6) times (r - chance), at a rate of 0.01. What counts is the mean chance
on 2,000 fresh questions of the same distribution. In a second pool a fifth of the questions cannot be solved at all.

**Reproduced** if the gain on "hard" is above that on random and on easy questions in both pools, with 95 % intervals
apart from 0. **Direction only** if that holds in the first pool. **Not reproduced** otherwise. "informative" (the
expected share of groups with mixed answers) and "hard, solved" (rows answered at least once) stand beside it.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from cuvee.core import Array, Budget
from cuvee.methods.choose.top_k import TopK
from cuvee.methods.score.pass_rate import PassRate

from .harness import Claim, Experiment, Found, Measured, demo, generator

GAIN, MIXED, IMPOSSIBLE = "gain", "mixed groups", "cannot be solved"
ARMS = ("hard", "informative", "hard, solved")
POOLS = {"": 0.0, ", impossible": 0.2}
CLAIM = Claim(
    name="pass_rate",
    judges=("score/pass_rate.py", "choose/top_k.py"),
    metrics={
        GAIN: "mean chance of a right answer on fresh questions, less that before training",
        MIXED: "share of the groups in training whose answers were not all alike",
        IMPOSSIBLE: "share of the kept questions that cannot be solved",
    },
    contrasts=tuple(
        (GAIN, f"{arm}{pool}", (f"random{pool}", f"easy{pool}", *([f"hard{pool}"] if arm != "hard" else [])))
        for pool in POOLS
        for arm in ARMS
    ),
    settings={"questions": 2000, "kinds": 20, "share": 0.1, "answers": 8, "steps": 30, "rate": 0.01, "deviation": 2.0},
)


def chances(ability: Array, kind: Array, difficulty: Array) -> Array:
    """Of a right answer to each question."""
    return np.asarray(1 / (1 + np.exp(np.minimum(difficulty + 1 - ability[kind], 700.0))))


def train(kind: Array, difficulty: Array, random: np.random.Generator) -> tuple[Array, float]:
    """Abilities after all steps on these questions, and the share of groups with mixed answers."""
    ability, mixed = np.zeros(CLAIM.settings["kinds"]), []
    for _ in range(CLAIM.settings["steps"]):
        p = chances(ability, kind, difficulty)
        right = random.random((len(kind), CLAIM.settings["answers"])) < p[:, None]
        advantage = (right - right.mean(axis=1, keepdims=True)) / (right.std(axis=1, keepdims=True) + 1e-6)
        slope = (advantage * (right - p[:, None])).sum(axis=1)
        np.add.at(ability, kind, CLAIM.settings["rate"] * slope)
        mixed.append(float((right.std(axis=1) > 0).mean()))
    return ability, float(np.mean(mixed))


def trial(seed: int) -> Measured:
    """All arms in both pools."""
    found: Measured = {}
    n, kinds = CLAIM.settings["questions"], CLAIM.settings["kinds"]
    texts = demo().take(np.arange(n))  # stand for the questions; nothing reads them
    for pool, share in POOLS.items():
        random = generator(seed, f"questions{pool}")
        kind, difficulty = random.integers(kinds, size=n), CLAIM.settings["deviation"] * random.normal(size=n)
        impossible = random.random(n) < share
        difficulty = np.where(impossible, 1e9, difficulty)
        fresh = random.integers(kinds, size=n), CLAIM.settings["deviation"] * random.normal(size=n)
        start = np.zeros(kinds)
        rate = random.binomial(CLAIM.settings["answers"], chances(start, kind, difficulty)) / CLAIM.settings["answers"]
        batch = replace(texts.batch, columns={"label": rate})
        run, budget = (
            Experiment(texts, texts, seed),
            Budget("rows", fraction=None, amount=int(CLAIM.settings["share"] * n)),
        )

        def kept(method: PassRate, sign: float = 1.0, run: Experiment = run, batch: object = batch) -> Array:
            score = method.fit(run).apply(batch)["score"]  # type: ignore[arg-type]
            return run.choose(TopK(), budget, {"score": sign * score}).rows  # noqa: B023

        hard = PassRate(prefer="hard")
        rows = {"hard": kept(hard), "informative": kept(PassRate()), "easy": kept(hard, -1.0)}
        rows |= {"hard, solved": kept(PassRate(prefer="hard", solved=True)), "random": run.random(budget).rows}
        before = chances(start, *fresh).mean()
        for name, chosen in rows.items():
            ability, mixed = train(kind[chosen], difficulty[chosen], generator(seed, f"training{pool}"))
            gain = float(chances(ability, *fresh).mean() - before)
            found[f"{name}{pool}"] = {GAIN: gain, MIXED: mixed, IMPOSSIBLE: float(impossible[chosen].mean())}
    return found


def judge(found: Found) -> str:
    """By the rule above."""
    better = [
        all(found.of(GAIN, f"hard{pool}", f"{other}{pool}").above for other in ("random", "easy")) for pool in POOLS
    ]
    return "reproduced" if all(better) else "direction only" if better[0] else "not reproduced"
