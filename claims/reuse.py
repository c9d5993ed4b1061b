"""Reuse, Don't Retrain: two blends and a falling rate from where pretraining ended, against other ways to go on.

**The paper's claim** (Parmar et al., "Reuse, Don't Retrain", 2024). Going on from a finished model, a rate that begins
where the pretraining's ended and falls, on a general blend first and on one that lifts what the model lacks once the
rate has fallen to a fifth, is better than going on with the pretraining's blend; better than the lifted blend all
along, than changing earlier or later, and than warming the rate up again.

**Small scale.** A transformer of 0.3 million parameters on bytes learns 48 kB (code 24, fiction 16, scripture 4,
dialogue 4 kB) with a rate that ends at a tenth of its peak, and is kept. From this checkpoint all arms go on for as
many bytes of other documents in the same proportions: the blend of the pretraining; half of the blend for the two small
domains all along; and the change where the rate has fallen to a half, a fifth (the recipe) and a tenth; the recipe with
a rate that is warmed up to the old peak again. The seed is that of the checkpoint, too. Bits per byte on held-out
sources, mean over the four domains; and of the two small, and of the two large ones alone.

**Reproduced** if the recipe's mean loss is below that of the pretraining's blend, of the lifted blend all along and of
the warmed-up rate, with 95 % intervals apart from 0, and on average not above that of the other places of the change.
**Direction only** if it is below the pretraining's blend with an interval apart from 0. **Not reproduced** otherwise.
"""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from cuvee.core import Policy
from cuvee.methods.policy.reuse import Reuse
from cuvee.methods.policy.uniform import Uniform
from cuvee.proof.proxies.transformer import Transformer
from cuvee.proof.proxy import Evaluation, Outcome, Watch

from .harness import Claim, Found, Measured, Texts, demo, split
from .online import CODE, of_bytes

MEAN, LIFTED, GENERAL = "mean of domains", "small domains", "large domains"
OURS, SAME, ALL_ALONG, WARMED = "reuse", "pretraining's blend", "lifted all along", "reuse, warmed up"
EARLY, LATE = "changed at a half", "changed at a tenth"
OTHERS = (SAME, ALL_ALONG, WARMED, EARLY, LATE)
SHARED = ("../../claims/reuse.py", "../../claims/online.py")
"""Whose measuring and texts claims share, seen from the package."""
DOMAINS = {"code-python": 24_000, "fiction": 16_000, "dialogue": 4_000, "scripture": 4_000}
SMALL = ("dialogue", "scripture")
PROXY = Transformer(context=64, batch=4, floor=0.1)
CLAIM = Claim(
    name="reuse",
    judges=(
        *(f"policy/{name}.py" for name in ("reuse", "uniform")),
        *(f"../{path}" for path in (*CODE, SHARED[1], "online/rates.py", "proof/proxies/checkpoint.py")),
        *(f"../proof/proxies/{name}.py" for name in ("text_model", "transformer")),
    ),
    metrics={
        MEAN: "bits per byte on held-out sources, mean over four domains",
        LIFTED: "bits per byte, mean of dialogue and scripture",
        GENERAL: "bits per byte, mean of code and fiction",
    },
    contrasts=tuple((metric, OURS, OTHERS) for metric in (MEAN, LIFTED, GENERAL)),
    settings={"domains": DOMAINS, "test": 6_000, "second": 0.5},
    seeds=(1, 2, 3, 4, 5),
)


def by_domain(
    proxy: Transformer, train: Texts, test: Texts, policy: Policy, epochs: float, seed: int, watch: Watch | None = None
) -> tuple[dict[str, float], Outcome]:
    """Bits per byte of every domain of the test texts, and the whole outcome."""
    names, group = np.unique(test.domain, return_inverse=True)
    told = Evaluation("test", test.batch, group.astype(np.int32), tuple(names.tolist()))
    outcome = proxy.train(train.batch, [told], policy, epochs, seed, watch or Watch())
    one = outcome.measured["test"]
    bits = np.bincount(group, one.loss) / np.bincount(group, one.size)
    return dict(zip(names.tolist(), bits.tolist(), strict=True)), outcome


def trial(seed: int) -> Measured:
    """All arms from one checkpoint."""
    given = CLAIM.settings
    held, first, rest = split(demo(), seed, 0.3, 0.35)
    old, new = (of_bytes(part, seed, name, given["domains"]) for name, part in (("old", first), ("new", rest)))
    test = of_bytes(held, seed, "test", dict.fromkeys(given["domains"], given["test"]))
    names = "+".join(SMALL)
    found: Measured = {}
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "model"
        PROXY.train(old.batch, [], Uniform(), 1.0, seed, Watch(keep=place))
        on = replace(PROXY, start=str(place), onward="redecay", floor=0.01)
        warm = replace(PROXY, start=str(place), floor=0.01)
        recipe = Reuse(domains=names, second=given["second"])
        arms: dict[str, tuple[Transformer, Policy]] = {
            OURS: (on, recipe),
            SAME: (on, Uniform()),
            ALL_ALONG: (on, replace(recipe, first=given["second"])),
            WARMED: (warm, recipe),
            EARLY: (on, replace(recipe, fraction=0.5)),
            LATE: (on, replace(recipe, fraction=0.1)),
        }
        for arm, (proxy, policy) in arms.items():
            losses, _ = by_domain(proxy, new, test, policy, 1.0, seed)
            small = float(np.mean([losses[name] for name in SMALL]))
            large = float(np.mean([losses[name] for name in DOMAINS if name not in SMALL]))
            found[arm] = {MEAN: (small + large) / 2, LIFTED: small, GENERAL: large}
    return found


def judge(found: Found) -> str:
    """By the rule above."""
    ahead = all(found.of(MEAN, OURS, other).below for other in (SAME, ALL_ALONG, WARMED))
    if ahead and all(found.of(MEAN, OURS, other).mean <= 0 for other in (EARLY, LATE)):
        return "reproduced"
    return "direction only" if found.of(MEAN, OURS, SAME).below else "not reproduced"
