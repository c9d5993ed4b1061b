"""Olmix: a log-linear law fitted to few runs a source, and a proposal that is held near the natural mixture.

**The project's claim** (allenai/olmix; Chen et al., "Olmix: A Framework for Data Mixing Throughout LM Development",
2026, arXiv 2602.12237). A number of runs linear in the number of sources is enough for a log-linear law; and minimising
predicted losses together with a pull toward the natural mixture gives a mixture that trains better than the natural
one, where the law's own optimum follows noise.

**Small scale.** Six domains, natural shares that fall from 0.34 to 0.06 in an order drawn for each seed, and three
others that nothing trains on, whose losses count (the paper: tasks); 32 runs of 100 kB fit the law, 32 other mixtures
test it (``claims/swarm``). The proposal with the pull of the project's examples
(0.1) and the one without are trained on 600 kB, and so are proportional, uniform and the best of the 32 runs. "Spread"
is how far apart the proposals of either half of the runs are. The law's error is compared with other laws', too.

**Reproduced** if the law's error on mixtures left out is below that of the mean, a straight line and the nearest run,
and the proposal has fewer bits than proportional, than uniform and than the one without the pull. **Direction only** if
only the error's part holds, or only all of the bits'. **Not reproduced** otherwise. All by 95 % intervals apart from 0.
"""

from __future__ import annotations

import numpy as np

from cuvee.core import Law
from cuvee.law.autoscale import Autoscale
from cuvee.law.bimix import Bimix
from cuvee.law.data_mixing_laws import DataMixingLaws
from cuvee.law.olmix import Olmix
from cuvee.law.regmix import RegMix

from .harness import Claim, Found, Measured
from .swarm import (
    BASES,
    BEST,
    BITS,
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

OURS, FREE, SPREAD = "olmix", "olmix, no pull", "spread"
OTHERS: dict[str, Law] = {
    "data_mixing_laws": DataMixingLaws(),
    "bimix": Bimix(),
    "autoscale": Autoscale(tokens=SMALL),
    "regmix": RegMix(),
}
CLAIM = Claim(
    name="olmix",
    judges=("../law/olmix.py", "../law/curve.py", "../law/propose.py", HERE),
    metrics=METRICS | {SPREAD: "total variation between the proposals of the first and of the second half of the runs"},
    contrasts=(
        (ERROR, OURS, (*BASES, *OTHERS)),
        (RANK, OURS, BASES[1:]),
        (BITS, OURS, (*PLAIN, FREE, BEST)),
        (BITS, FREE, PLAIN),
        (SPREAD, OURS, (FREE,)),
    ),
    settings=SETTINGS | {"goals": ELSEWHERE},
)


def trial(seed: int) -> Measured:
    """All arms."""
    ground = Ground.of(seed, ELSEWHERE)
    fitted, left_out = run(ground, FIT, 0), run(ground, LEFT_OUT, 1)
    target = ground.measured(left_out.mixtures, TARGET)
    halves = [Swarm(fitted.mixtures[part], fitted.losses[part]) for part in (slice(0, FIT // 2), slice(FIT // 2, FIT))]
    proposals, apart = plain(ground, fitted), {}
    for arm, law in ((OURS, Olmix()), (FREE, Olmix(kl=0.0))):
        proposals[arm] = ground.propose(law, fitted.fits(law))
        first, second = (ground.propose(law, half.fits(law)) for half in halves)
        apart[arm] = {SPREAD: float(0.5 * np.abs(first - second).sum())}
    trained = ground.trained(proposals)
    told = {
        name: accuracy(predicted(fitted.fits(law), left_out.mixtures), left_out, target)
        for name, law in {OURS: Olmix(), **OTHERS}.items()
    }
    found = {arm: trained[arm] | apart.get(arm, {}) | told.get(arm, {}) for arm in (OURS, FREE, *PLAIN, BEST)}
    return found | {name: told[name] for name in OTHERS} | baselines(fitted, left_out, target)


def judge(found: Found) -> str:
    """By the rule above."""
    predicts = all(found.of(ERROR, OURS, other).below for other in BASES)
    better = all(found.of(BITS, OURS, other).below for other in (*PLAIN, FREE))
    return "reproduced" if predicts and better else "direction only" if predicts or better else "not reproduced"
