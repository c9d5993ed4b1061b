"""Cooldown: a high sampling temperature first and a low one after, against either alone and against loss weights.

**The paper's claim** (Li et al., "Upsample or Upweight?", 2024). On imbalanced data a high temperature learns small
domains fast and then overfits them; weighting losses instead does not repeat but has larger gradient variance; one
switch from a high temperature to proportional sampling is better than both, and better than the other direction.

**Small scale.** A transformer of 0.3 million parameters on bytes, 40 kB of code and 2 kB of scripture, trained on
64 kB: tau = 5 goes through the small domain 11 times. Arms: tau = 1, tau = 5, losses weighted by the ratio of the two
shares, Cooldown (5, then 1 from the middle on), and the same the other way round. Equal numbers of examples; bits
per byte on held-out sources of each domain.

**Reproduced** if Cooldown's loss on the small domain is below that of each other arm, with 95 % intervals apart from 0,
and on the large one it is not above tau = 5's by more than 0.02 (the whole interval). **Direction only** if its mean
over both domains is, on average, below that of each other arm. **Not reproduced** otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cuvee.core import Draw, Policy, State
from cuvee.methods.policy.cooldown import Cooldown
from cuvee.methods.policy.uniform import Uniform
from cuvee.online.law import shares
from cuvee.online.mixture import MixturePolicy, Turn, natural, phase
from cuvee.proof.proxies.transformer import Transformer

from .harness import Claim, Found, Measured, demo, split
from .online import CODE, of_bytes
from .reuse import SHARED, by_domain

SMALL, LARGE, MEAN = "small domain", "large domain", "mean"
OURS, LOW, HIGH, WEIGHTED, REVERSE = "cooldown", "tau 1", "tau 5", "weighted losses", "tau 1, then 5"
OTHERS = (LOW, HIGH, WEIGHTED, REVERSE)
DOMAINS = {"code-python": 40_000, "scripture": 2_000}
PROXY = Transformer(context=64, batch=4)
CLAIM = Claim(
    name="cooldown",
    judges=(
        *(f"policy/{name}.py" for name in ("cooldown", "uniform")),
        *(f"../{path}" for path in (*CODE, *SHARED, "proof/proxies/text_model.py", "proof/proxies/transformer.py")),
    ),
    metrics={
        SMALL: "bits per byte on held-out scripture",
        LARGE: "bits per byte on held-out code",
        MEAN: "of both",
    },
    contrasts=tuple((metric, OURS, OTHERS) for metric in (SMALL, LARGE, MEAN)),
    settings={"domains": DOMAINS, "test": 8_000, "train": 64_000, "tau": 5.0},
    seeds=(1, 2, 3, 4, 5),
)
MARGIN = 0.02


@dataclass(frozen=True)
class Weighted(MixturePolicy):
    """Sampled by size, with losses weighted by the shares at a temperature over those by size."""

    tau: float

    def turn(self, state: State, epochs: float, draw: Draw) -> Turn:
        plain = natural(state["sizes"])
        wanted = shares(np.log(state["sizes"]) / self.tau)
        return Turn(plain, phase(state, epochs)[1], loss_weight=wanted / plain)


def trial(seed: int) -> Measured:
    """All arms."""
    given = CLAIM.settings
    held, rest = split(demo(), seed, 0.3)
    train = of_bytes(rest, seed, "train", given["domains"])
    test = of_bytes(held, seed, "test", dict.fromkeys(given["domains"], given["test"]))
    tau = given["tau"]
    arms: dict[str, Policy] = {
        OURS: Cooldown(tau=tau),
        LOW: Uniform(),
        HIGH: Cooldown(tau=tau, at=1.0),
        WEIGHTED: Weighted(tau),
        REVERSE: Cooldown(tau=1.0, final=tau),
    }
    epochs = given["train"] / float(train.bytes.sum())
    found: Measured = {}
    for arm, policy in arms.items():
        losses, _ = by_domain(PROXY, train, test, policy, epochs, seed)
        large, small = (losses[name] for name in DOMAINS)
        found[arm] = {SMALL: small, LARGE: large, MEAN: (small + large) / 2}
    return found


def judge(found: Found) -> str:
    """By the rule above."""
    ahead = all(found.of(SMALL, OURS, other).below for other in OTHERS)
    if ahead and found.of(LARGE, OURS, HIGH).high <= MARGIN:
        return "reproduced"
    lower = all(found.of(MEAN, OURS, other).mean < 0 for other in OTHERS)
    return "direction only" if lower else "not reproduced"
