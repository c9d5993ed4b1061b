"""Data mixing laws: an exponential of the shares, fitted to few small runs, against guesses and plain mixtures.

**The paper's claim** (Ye et al., "Data Mixing Laws", ICLR 2025). The loss on each domain is a constant plus an
exponential of the shares; fitted to a few tens of runs it predicts mixtures that were not run. Nested with a law of
steps, which takes the losses of short runs to a long one, it finds a mixture that trains better than the default one.

**Small scale.** Six domains, natural shares that fall from 0.34 to 0.06 in an order drawn for each seed, and three
others that nothing trains on, whose losses count (the paper trains on RedPajama and measures on the Pile); 32 runs of
100 kB fit the law, 32 other mixtures test it (``claims/swarm``). "Nested" is the paper's pipeline: the same mixtures at
25 and 50 kB besides, and every loss taken to 600 kB before the law is fitted (``nested_mixing``). The mixture of least
predicted mean loss is trained on 600 kB, and so are proportional, uniform and the best of the 32 runs. Beside it stand
the optimum of the runs of 100 kB themselves, and that of 32 runs as long as the final one, which nobody would make.

**Reproduced** if the law's error on mixtures left out is below that of the mean, a straight line and the nearest run,
and the pipeline's mixture has fewer bits than proportional and than uniform. **Direction only** if only one of both
holds. **Not reproduced** otherwise. All by 95 % intervals apart from 0.
"""

from __future__ import annotations

import numpy as np

from cuvee.core import Runs, Settings
from cuvee.law.data_mixing_laws import DataMixingLaws
from cuvee.law.nested_mixing import NestedMixing

from .harness import Claim, Found, Measured
from .swarm import (
    BASES,
    BEST,
    BITS,
    DOMAINS,
    ELSEWHERE,
    ERROR,
    FIT,
    HERE,
    LEFT_OUT,
    METRICS,
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

OURS, NESTED, LONG = "data_mixing_laws", "nested", "runs of target size"
SHORTER = (SMALL // 4, SMALL // 2)
CLAIM = Claim(
    name="data_mixing_laws",
    judges=("../law/data_mixing_laws.py", "../law/nested_mixing.py", "../law/curve.py", "../law/propose.py", HERE),
    metrics=METRICS,
    contrasts=(
        (ERROR, OURS, BASES),
        (RANK, OURS, BASES[1:]),
        (RANK, NESTED, (OURS,)),
        (BITS, NESTED, (*PLAIN, BEST, OURS, LONG)),
        (BITS, OURS, (*PLAIN, BEST)),
        (BITS, LONG, PLAIN),
    ),
    settings=SETTINGS | {"goals": ELSEWHERE, "shorter": SHORTER},
)


def nested(swarms: dict[int, Swarm]) -> Swarm:
    """Losses of the swarm's mixtures taken to the target's size."""
    mixtures = next(iter(swarms.values())).mixtures
    x = np.concatenate([mixtures] * len(swarms))
    size = np.repeat(np.array(list(swarms), np.float64), len(mixtures))
    settings = Settings(DOMAINS, x, {"tokens": size, "parameters": np.ones(len(x))})
    law, found = NestedMixing(), []
    for at in range(len(ELSEWHERE)):
        losses = np.concatenate([one.losses[:, at] for one in swarms.values()])
        last = law.taken(Runs(settings, losses, np.arange(len(x))), TARGET, 1.0)[0]
        found.append(last.outcome)
        order = last.settings.mixture
    return Swarm(order, np.column_stack(found))


def trial(seed: int) -> Measured:
    """All arms."""
    ground, law = Ground.of(seed, ELSEWHERE), DataMixingLaws()
    fitted, left_out = run(ground, FIT, 0), run(ground, LEFT_OUT, 1)
    target = ground.measured(left_out.mixtures, TARGET)
    longer = nested({**{size: run(ground, FIT, 0, size) for size in SHORTER}, SMALL: fitted})
    fits = {OURS: fitted.fits(law), NESTED: longer.fits(law), LONG: run(ground, FIT, 0, TARGET).fits(law)}
    found = ground.trained(
        {**{arm: ground.propose(law, own) for arm, own in fits.items()}, **plain(ground, fitted)}
    )  # fmt: skip
    for arm, own in fits.items():
        one = accuracy(predicted(own, left_out.mixtures), left_out, target)
        found[arm] |= one if arm == OURS else {RANK: one[RANK]}
    return found | baselines(fitted, left_out, target)


def judge(found: Found) -> str:
    """By the rule above."""
    predicts = all(found.of(ERROR, OURS, other).below for other in BASES)
    better = all(found.of(BITS, NESTED, other).below for other in PLAIN)
    return "reproduced" if predicts and better else "direction only" if predicts or better else "not reproduced"
