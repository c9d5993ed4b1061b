"""BiMix: losses as negative powers of the shares, against guesses, another law and plain mixtures.

**The paper's claim** (Ge et al., "BiMix: A Bivariate Data Mixing Law for Language Model Pretraining", 2024). The loss
on a domain falls as a power of the domain's own share, so few runs predict the losses of mixtures that were not run,
and the mixture optimised by it trains better than the default one.

**Small scale.** Six domains, natural shares that fall from 0.34 to 0.06 in an order drawn for each seed; the losses are
of the same domains. 32 runs of 100 kB fit the law, in which each domain has 1 % or more, and 32 other such mixtures
test it (``claims/swarm``). The form is that of the olmix project, a sum of powers of all shares; "own share" is the
paper's, at one number of tokens: a power of the own share alone. The mixture of least predicted mean loss is trained on
600 kB, and so are proportional, uniform and the best of the 32 runs. "Absent" tests the same fit on 32 mixtures in
which domains may be missing.

**Reproduced** if the law's error on mixtures left out is below that of the mean, a straight line and the nearest run,
and its mixture has fewer bits than proportional and than uniform. **Direction only** if only one of both holds. **Not
reproduced** otherwise. All by 95 % intervals apart from 0.
"""

from __future__ import annotations

import numpy as np

from cuvee.core import Prediction, Runs, Settings
from cuvee.law.bimix import Bimix
from cuvee.law.curve import Curve
from cuvee.law.data_mixing_laws import DataMixingLaws

from .harness import Claim, Found, Measured
from .swarm import (
    BASES,
    BEST,
    BITS,
    DOMAINS,
    ERROR,
    FIT,
    HERE,
    LEFT_OUT,
    METRICS,
    PLAIN,
    RANK,
    SETTINGS,
    TARGET,
    Ground,
    Swarm,
    accuracy,
    baselines,
    plain,
    predicted,
    run,
)

OURS, OWN, OTHER, ABSENT = "bimix", "bimix, own share", "data_mixing_laws", "error, absent"
CLAIM = Claim(
    name="bimix",
    judges=("../law/bimix.py", "../law/curve.py", "../law/propose.py", HERE),
    metrics=METRICS | {ABSENT: "the same of mixtures in which domains may be missing"},
    contrasts=(
        (ERROR, OURS, (*BASES, OTHER, OWN)),
        (ERROR, OWN, BASES),
        (RANK, OURS, (*BASES[1:], OTHER)),
        (ABSENT, OURS, (OTHER,)),
        (BITS, OURS, (*PLAIN, BEST, OTHER, OWN)),
        (BITS, OWN, PLAIN),
    ),
    settings=SETTINGS,
)


def own_share(swarm: Swarm) -> list[Prediction]:
    """The paper's law for each domain: what other shares do is set to 0."""
    law, k, group = Bimix(), len(DOMAINS), np.arange(len(swarm.mixtures))
    found: list[Prediction] = []
    for at, loss in enumerate(swarm.losses.T):
        alone = law.fit(Runs(Settings(DOMAINS[at : at + 1], swarm.mixtures[:, at : at + 1]), loss, group))
        theta = np.full(2 * k, -50.0)  # logarithms of factors and powers
        theta[[at, k + at]] = alone.theta
        found.append(Curve(law, theta, alone.objective))
    return found


def trial(seed: int) -> Measured:
    """All arms."""
    ground = Ground.of(seed)
    fitted, left_out, absent = run(ground, FIT, 0), run(ground, LEFT_OUT, 1), run(ground, LEFT_OUT, 2, floor=0.0)
    target = ground.measured(left_out.mixtures, TARGET)
    law, other = Bimix(), DataMixingLaws()
    fits = {OURS: fitted.fits(law), OWN: own_share(fitted), OTHER: fitted.fits(other)}
    proposals = {arm: ground.propose(other if arm == OTHER else law, own) for arm, own in fits.items()}
    found = ground.trained({**proposals, **plain(ground, fitted)})
    for arm, own in fits.items():
        found[arm] |= accuracy(predicted(own, left_out.mixtures), left_out, target)
        found[arm][ABSENT] = float(np.abs(predicted(own, absent.mixtures) - absent.losses).mean())
    return found | baselines(fitted, left_out, target)


def judge(found: Found) -> str:
    """By the rule above."""
    predicts = all(found.of(ERROR, OURS, other).below for other in BASES)
    better = all(found.of(BITS, OURS, other).below for other in PLAIN)
    return "reproduced" if predicts and better else "direction only" if predicts or better else "not reproduced"
