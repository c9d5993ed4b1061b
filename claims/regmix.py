"""RegMix: boosted trees on the shares of many small runs, against a straight line and plain mixtures.

**The paper's claim** (Liu et al., "RegMix", ICLR 2025). Trees fitted to many tiny runs rank mixtures that were not run,
better than a linear model, and still do so for runs of a larger size; the mean of the best mixtures simulated with them
trains better than the mixture that people chose, and than the best of the mixtures tried.

**Small scale.** Six domains, natural shares that fall from 0.34 to 0.06 in an order drawn for each seed, and three
others that nothing trains on, whose losses count; 128 runs of 100 kB fit the trees (the paper: 512), 32 other mixtures
at 600 kB test the ranks (``claims/swarm``). The proposal is trained on 600 kB, and so are proportional, uniform and the
best of the 128 runs. Beside the trees stand the linear model and ``data_mixing_laws`` on the same runs, and all three
on 32 of them.

**Reproduced** if the trees' rank correlation at the target's size is above the linear model's, and their mixture has
fewer bits than proportional and than uniform. **Direction only** if only one of both holds. **Not reproduced**
otherwise. All by 95 % intervals apart from 0.
"""

from __future__ import annotations

from cuvee.core import Law
from cuvee.law.data_mixing_laws import DataMixingLaws
from cuvee.law.regmix import RegMix

from .harness import Claim, Found, Measured
from .swarm import (
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
    TARGET,
    Ground,
    accuracy,
    plain,
    predicted,
    run,
)

OURS, LINE, CURVE = "regmix", "regmix:model=linear", "data_mixing_laws"
RUNS = 128
LAWS: dict[str, Law] = {OURS: RegMix(), LINE: RegMix("linear"), CURVE: DataMixingLaws()}
FEW = tuple(f"{name}, {FIT} runs" for name in LAWS)
CLAIM = Claim(
    name="regmix",
    judges=("../law/regmix.py", "../law/baselines.py", "../law/propose.py", HERE),
    metrics=METRICS,
    contrasts=(
        (RANK, OURS, (LINE, CURVE, FEW[0])),
        (RANK, FEW[0], FEW[1:]),
        (ERROR, OURS, (LINE, CURVE, FEW[0])),
        (ERROR, FEW[0], FEW[1:]),
        (BITS, OURS, (*PLAIN, BEST, LINE, CURVE, FEW[0])),
    ),
    settings=SETTINGS | {"goals": ELSEWHERE, "runs": RUNS},
)


def trial(seed: int) -> Measured:
    """All arms."""
    ground = Ground.of(seed, ELSEWHERE)
    fitted, left_out = run(ground, RUNS, 0), run(ground, LEFT_OUT, 1)
    target = ground.measured(left_out.mixtures, TARGET)
    proposals, told = plain(ground, fitted), {}
    for number in (RUNS, FIT):
        for name, law in LAWS.items():
            arm = name if number == RUNS else f"{name}, {FIT} runs"
            fits = fitted.first(number).fits(law)
            proposals[arm] = ground.propose(law, fits)
            told[arm] = accuracy(predicted(fits, left_out.mixtures), left_out, target)
    found = ground.trained(proposals)
    return {arm: found[arm] | told.get(arm, {}) for arm in (*told, *PLAIN, BEST)}


def judge(found: Found) -> str:
    """By the rule above."""
    ranks = found.of(RANK, OURS, LINE).above
    better = all(found.of(BITS, OURS, other).below for other in PLAIN)
    return "reproduced" if ranks and better else "direction only" if ranks or better else "not reproduced"
