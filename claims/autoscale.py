"""AutoScale: the best mixture changes with the amount of training, and is extrapolated from two small amounts.

**The paper's claim** (Kang et al., "AutoScale: Scale-Aware Data Mixing for Pre-Training LLMs", 2024). Mixtures that are
best for short runs are not so for long ones. A law of the domains' own amounts finds the best mixtures at two small
amounts; domain by domain, the amounts go on from one to the next by a constant factor, and the mixture so reached at a
large amount trains better than uniform and than mixtures tuned on short runs.

**Small scale.** Six domains, natural shares that fall from 0.34 to 0.06 in an order drawn for each seed; the
losses are of the same domains. 32 runs of 25 kB and of 100 kB fit the law at either size, 32 other mixtures test it
(``claims/swarm``). "Extrapolated" continues the two optima to 600 kB. "Unscaled" is the optimum for 100 kB; "read at
target size" that of the law of 100 kB with 600 kB in its place, which is what its formula says; "runs of target size"
that of a law fitted to runs of 600 kB. All are trained on 600 kB, and so are proportional, uniform and the best of the
32 runs. The formula has no factor before its powers, so the unit of the losses matters: "in fifths" is the fit to a
fifth of each loss, its error times five.

**Reproduced** if the extrapolated mixture has fewer bits than the unscaled one, than proportional and than uniform.
**Direction only** if it has fewer than the unscaled one, or than both proportional and uniform. **Not reproduced**
otherwise. All by 95 % intervals apart from 0.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from cuvee.core import Array
from cuvee.law.autoscale import Autoscale
from cuvee.law.curve import Curve

from .harness import Claim, Found, Measured
from .swarm import (
    BASES,
    BEST,
    BITS,
    ERROR,
    FIT,
    HERE,
    LEFT_OUT,
    METRICS,
    MOVED,
    PLAIN,
    RANK,
    SETTINGS,
    SMALL,
    TARGET,
    Ground,
    Swarm,
    accuracy,
    baselines,
    plain,
    predicted,
    run,
)

OURS, UNSCALED, READ, LONG = "extrapolated", "unscaled", "read at target size", "runs of target size"
FIFTHS = "unscaled, in fifths"
TINY = SMALL // 4
CLAIM = Claim(
    name="autoscale",
    judges=("../law/autoscale.py", "../law/curve.py", "../law/propose.py", HERE),
    metrics=METRICS,
    contrasts=(
        (BITS, OURS, (UNSCALED, *PLAIN, BEST, READ, LONG)),
        (BITS, READ, (UNSCALED,)),
        (BITS, UNSCALED, (*PLAIN, LONG)),
        (ERROR, UNSCALED, BASES),
        (ERROR, FIFTHS, (*BASES, UNSCALED)),
        (RANK, READ, (UNSCALED,)),
        (MOVED, LONG, (UNSCALED,)),
    ),
    settings=SETTINGS | {"tiny": TINY},
    seeds=tuple(range(1, 7)),
)


def extrapolated(first: Array, second: Array, caps: Array) -> Array:
    """Shares at the target's size, where every domain's amount goes on as from ``TINY`` to ``SMALL`` bytes: (k,)."""
    steps = np.log(TARGET / SMALL) / np.log(SMALL / TINY)
    logs = np.log(np.maximum(second, 1e-4)) + steps * (
        np.log(np.maximum(second, 1e-4)) - np.log(np.maximum(first, 1e-4))
    )
    share = np.exp(logs - logs.max())
    share /= share.sum()
    assert (share <= caps).all(), "more than there is"
    return np.asarray(share)


def trial(seed: int) -> Measured:
    """All arms."""
    ground = Ground.of(seed)
    fitted, left_out = run(ground, FIT, 0), run(ground, LEFT_OUT, 1)
    target = ground.measured(left_out.mixtures, TARGET)
    sizes = {TINY: run(ground, FIT, 0, TINY), SMALL: fitted, TARGET: run(ground, FIT, 0, TARGET)}
    fits, best = {}, {}
    for size, swarm in sizes.items():
        law = Autoscale(tokens=size)
        fits[size] = swarm.fits(law)
        best[size] = ground.propose(law, fits[size])
    far = Autoscale(tokens=TARGET)
    read = [replace(one, law=far) for one in fits[SMALL] if isinstance(one, Curve)]
    proposals = {
        OURS: extrapolated(best[TINY], best[SMALL], ground.caps),
        UNSCALED: best[SMALL],
        READ: ground.propose(far, read),
        LONG: best[TARGET],
    }
    found = ground.trained({**proposals, **plain(ground, fitted)})
    found[UNSCALED] |= accuracy(predicted(fits[SMALL], left_out.mixtures), left_out, target)
    for arm, own in ((READ, read), (LONG, fits[TARGET])):
        found[arm][RANK] = accuracy(predicted(own, left_out.mixtures), left_out, target)[RANK]
    smaller = Swarm(fitted.mixtures, fitted.losses / 5).fits(Autoscale(tokens=SMALL))
    found[FIFTHS] = accuracy(5 * predicted(smaller, left_out.mixtures), left_out, target)
    return found | baselines(fitted, left_out, target)


def judge(found: Found) -> str:
    """By the rule above."""
    scaled = found.of(BITS, OURS, UNSCALED).below
    better = all(found.of(BITS, OURS, other).below for other in PLAIN)
    return "reproduced" if scaled and better else "direction only" if scaled or better else "not reproduced"
