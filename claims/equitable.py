"""Equitable budgets: examples go where learning curves say that they help, against equal and proportional shares.

**The paper's claim** (Cai et al., "Adaptive Sampling Strategies to Construct Equitable Training Datasets", 2022).
When examples can be collected from groups that learn at different rates, deciding as one goes, from the errors so
far, gives better and fairer models than equal or proportional numbers of examples, at the same cost.

**Small scale.** Text is collected from five domains (fiction, speech, code, scripture, licences; the proportions of
the pool), in pieces of 100 words, 240 of them; a byte 5-gram model is fitted to all that has been collected, whenever
the policy asks for it, and measured on held-out sources of each domain. The policy decides in twelve turns, four of
them equal. Measuring costs nothing here, and so does a group's example as much as another's. Welfare is the quadratic
mean of the five losses, which the policy is told to lower; the worst and the mean loss are told beside it. The
allocation is this project's own derivation, since the paper's algorithm was not at hand.

**Reproduced** if its welfare is below that of equal and of proportional shares, with 95 % intervals apart from 0.
**Direction only** if it is below both on average. **Not reproduced** otherwise.
"""

from __future__ import annotations

import numpy as np

import cuvee
from cuvee.online.budget import welfare

from .harness import Claim, Found, Measured, Texts, chunks, demo, fit_model, generator, join, split

WELFARE, WORST, MEAN = "welfare", "worst domain", "mean"
OURS, EQUAL, SIZED = "equitable", "equal", "proportional"
DOMAINS = {"fiction": 1.49, "speech": 1.41, "code-python": 1.22, "scripture": 0.89, "licence": 0.45}
CLAIM = Claim(
    name="equitable",
    judges=(
        *(f"policy/{name}.py" for name in ("equitable", "stratified")),
        *(f"../online/{name}.py" for name in ("budget", "mix", "mixture")),
    ),
    metrics={
        WELFARE: "quadratic mean of the domains' bits per character",
        WORST: "bits per character of the worst domain",
        MEAN: "bits per character, mean over domains",
    },
    contrasts=tuple((metric, OURS, (EQUAL, SIZED)) for metric in (WELFARE, WORST, MEAN)),
    settings={"words": 100, "pieces": 240, "test": 40, "rounds": 8, "power": 2.0},
    seeds=(1, 2, 3, 4, 5, 6, 7, 8),
)


class Collection:
    """What can be collected, in a random order, and what models of it lose."""

    def __init__(self, seed: int) -> None:
        given = CLAIM.settings
        held, rest = (chunks(part, given["words"]) for part in split(demo(), seed, 0.3))
        self.there: dict[str, Texts] = {}
        self.test: dict[str, Texts] = {}
        for name in DOMAINS:
            random = generator(seed, f"collect {name}")
            for into, part in ((self.there, rest.of(name)), (self.test, held.of(name))):
                into[name] = part.take(random.permutation(len(part)))
            self.test[name] = self.test[name].take(np.arange(min(given["test"], len(self.test[name]))))

    def losses(self, counts: dict[str, int]) -> dict[str, float]:
        """Bits per character of each domain after collecting so many pieces of each."""
        parts: list[Texts] = []
        for name, count in counts.items():
            own = self.there[name]
            parts.append(own.take(np.arange(min(count, len(own)))))
        model = fit_model(join(parts))
        found = {}
        for name, test in self.test.items():
            log10 = model.score(test.batch)["log10"].sum()
            found[name] = float(-log10 * np.log2(10) / sum(len(one.decode()) for one in test.text))
        return found


def trial(seed: int) -> Measured:
    """All arms."""
    given, pool = CLAIM.settings, Collection(seed)
    total = given["pieces"]
    sizes = {name: len(pool.there[name]) for name in DOMAINS}
    mix = cuvee.OnlineMix(
        sizes, "equitable", total=total, settings={"rounds": given["rounds"], "power": given["power"]}, seed=seed,
        losses=pool.losses(dict.fromkeys(DOMAINS, 1)),
    )  # fmt: skip
    taken = dict.fromkeys(DOMAINS, 0)
    while not mix.done:
        turn = mix.propose()
        for place in turn.order:
            taken[mix.sources[place]] += 1
        mix.update(pool.losses({name: max(1, count) for name, count in taken.items()}) if turn.measure else None)
    k, whole = len(DOMAINS), sum(DOMAINS.values())
    arms = {
        OURS: taken,
        EQUAL: dict.fromkeys(DOMAINS, total // k),
        SIZED: {name: round(total * share / whole) for name, share in DOMAINS.items()},
    }
    found: Measured = {}
    for arm, counts in arms.items():
        bits = np.array(list(pool.losses(counts).values()))
        value = welfare(bits, np.ones(k), given["power"])
        found[arm] = {WELFARE: value, WORST: float(bits.max()), MEAN: float(bits.mean())}
    return found


def judge(found: Found) -> str:
    """By the rule above."""
    gaps = [found.of(WELFARE, OURS, other) for other in (EQUAL, SIZED)]
    if all(gap.below for gap in gaps):
        return "reproduced"
    return "direction only" if all(gap.mean < 0 for gap in gaps) else "not reproduced"
