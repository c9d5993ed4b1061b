"""InfoBatch: unbiased dynamic pruning of well-learned examples.

**The paper's claim** (Qin et al., ICLR 2024). Leaving out, in every epoch, half of the examples whose last loss is
below the mean, and counting the others of these twice, saves 20 to 40 % of the passes without loss of accuracy; it is
better than leaving out random examples, and the weights and the last whole epochs are needed.

**Small scale.** The pieces, the network and the batches of the claim on RS2; 16 epochs. Against all data; InfoBatch
with all weights 1; InfoBatch without the last whole epochs; and, at the number of passes that InfoBatch took, a random
part of the examples left out for good, and RS2 without replacement. All arms follow one rate schedule by progress.

**Reproduced** if at least 20 % of the passes are saved, accuracy is within 0.01 of that of all data, and it is above
that of the random part and of RS2 at equal passes; all by the whole 95 % interval. **Direction only** if the first two
hold but the third does not. **Not reproduced** otherwise. The arms without weights and without whole epochs do not
enter the verdict.
"""

from __future__ import annotations

import numpy as np

from cuvee.methods.policy.infobatch import InfoBatch
from cuvee.methods.policy.rs2 import Rs2
from cuvee.methods.policy.uniform import Uniform

from .harness import Claim, Found, Measured, generator
from .rs2 import ACCURACY, CODE, LOSS, measures, pieces

PASSES, SAVED = "passes", "passes saved"
OURS, UNWEIGHTED, UNANNEALED = "infobatch", "infobatch, weights 1", "infobatch, no whole epochs at the end"
FULL, DROP, RS2 = "all data", "random part left out, equal passes", "rs2, equal passes"
OTHERS = (FULL, UNWEIGHTED, UNANNEALED, DROP, RS2)
SHARED = "../../../claims/rs2.py"  # whose data and training this claim uses
CLAIM = Claim(
    name="infobatch",
    judges=("policy/infobatch.py", "policy/rs2.py", "policy/uniform.py", *CODE, SHARED),
    metrics={
        ACCURACY: "share of held-out pieces whose domain is told",
        LOSS: "mean loss on the same pieces",
        PASSES: "forward and backward, over the whole training set",
        SAVED: "share of all data's passes that the arm did without",
    },
    contrasts=tuple((metric, OURS, OTHERS) for metric in (ACCURACY, LOSS)),
    settings={"words": 24, "train": 300, "test": 200, "epochs": 16.0},
    seeds=tuple(range(1, 11)),
)
MARGIN, LEAST = 0.01, 0.2


def trial(seed: int) -> Measured:
    """All arms."""
    given = CLAIM.settings
    data, epochs = pieces(seed, given["words"], given["train"], given["test"]), given["epochs"]
    n = len(data.train)
    ours = data.fit(InfoBatch(), epochs, seed)
    share = data.passes(ours) / epochs
    part = np.sort(generator(seed, "subset").permutation(n)[: round(share * n)])
    arms = {
        OURS: ours,
        FULL: data.fit(Uniform(), epochs, seed),
        UNWEIGHTED: data.fit(InfoBatch(weights="none"), epochs, seed),
        UNANNEALED: data.fit(InfoBatch(anneal=1.0), epochs, seed),
        DROP: data.fit(Uniform(), epochs, seed, part),
        RS2: data.fit(Rs2(share), share * epochs, seed),
    }
    return {
        arm: measures(one) | {PASSES: data.passes(one), SAVED: 1.0 - data.passes(one) / epochs}
        for arm, one in arms.items()
    }


def judge(found: Found) -> str:
    """By the rule above."""
    gap = found.of(ACCURACY, OURS, FULL)
    if not (found.of(SAVED, OURS).low >= LEAST and gap.low > -MARGIN and gap.high < MARGIN):
        return "not reproduced"
    better = all(found.of(ACCURACY, OURS, other).above for other in (DROP, RS2))
    return "reproduced" if better else "direction only"
