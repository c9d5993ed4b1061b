"""Two-set training: a small fixed part of the examples repeated often, against single use at equal steps.

**The paper's claim** (Charton and Kempe, "Emergent properties with repeated examples", 2024). On tasks with generated
examples, like the greatest common divisor, at equal steps a small set repeated often is better than single use of all,
and two-set training (a quarter of each batch from a small fixed part) is better than both, though the part is random.

**Small scale.** A network of one hidden layer (128 units) tells the greatest common divisor, 1 to 9 or above, of two
numbers below 1,296 from their digits in base 6, one-hot; 150,000 presentations (a first run of 12,000 and 64 units, in
which hardly anything was learned, is not counted). Arms: single use of 150,000 pairs; a twelfth of them twelve times;
two-set with a quarter of the presentations from 2 % of the pairs (12.5 times each) and from 0.4 % (62 times). Share of
2,000 other pairs that are told right, and loss in nats.

**Reproduced** if the better of the two two-set arms by mean has a higher accuracy than single use and than the repeated
twelfth, with 95 % intervals apart from 0. **Direction only** if it has one than single use on average. **Not
reproduced** otherwise.
"""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa

from cuvee.core import Batch, Policy
from cuvee.methods.policy.two_set import TwoSet
from cuvee.methods.policy.uniform import Uniform
from cuvee.proof.proxies.mlp import Mlp
from cuvee.proof.proxy import Evaluation, Watch

from .harness import Claim, Found, Measured, generator

ACCURACY, LOSS = "accuracy", "loss"
SINGLE, REPEATED, OURS, SMALLER = "single use", "a twelfth, 12 times", "two-set, 2 %", "two-set, 0.4 %"
BASE, DIGITS = 6, 4
PROXY = Mlp(hidden=128)
CLAIM = Claim(
    name="two_set",
    judges=(
        *(f"policy/{name}.py" for name in ("two_set", "uniform")),
        *(f"../{path}" for path in ("online/mixture.py", "proof/loop.py")),
        *(f"../proof/proxies/{name}.py" for name in ("labelled", "mlp")),
    ),
    metrics={ACCURACY: "share of other pairs whose divisor is told", LOSS: "nats on the same pairs"},
    contrasts=tuple((metric, arm, (SINGLE, REPEATED)) for metric in (ACCURACY, LOSS) for arm in (OURS, SMALLER)),
    settings={"pairs": 150_000, "test": 2_000, "p": 0.25, "s": [0.02, 0.004], "largest": 9},
    seeds=(1, 2, 3, 4, 5),
)


def pairs(seed: int, purpose: str, number: int) -> Batch:
    """Random pairs as one-hot digits, labelled by their divisor."""
    chance = generator(seed, purpose)
    values = chance.integers(1, BASE**DIGITS, (number, 2))
    digits = values[:, :, None] // BASE ** np.arange(DIGITS) % BASE
    hot = np.eye(BASE, dtype=np.float32)[digits].reshape(number, -1)
    most = CLAIM.settings["largest"] + 1
    label = [str(min(math.gcd(*pair), most)) for pair in values.tolist()]
    key = chance.integers(0, 2**63, number).astype(np.uint64)
    columns = {"embedding": hot, "label": pa.array(label, pa.large_string())}
    return Batch(np.zeros(0, np.uint8), np.zeros(number + 1, np.int64), np.arange(number), key, columns)


def part(batch: Batch, number: int) -> Batch:
    """The first rows."""
    columns = {name: values[:number] for name, values in batch.columns.items()}
    return Batch(batch.data, batch.offsets[: number + 1], batch.row[:number], batch.key[:number], columns)


def trial(seed: int) -> Measured:
    """All arms."""
    given = CLAIM.settings
    train, test = pairs(seed, "train", given["pairs"]), pairs(seed, "test", given["test"])
    told = Evaluation("test", test, np.zeros(len(test), np.int32), ("all",))
    few = part(train, given["pairs"] // 12)
    arms: dict[str, tuple[Batch, Policy, float]] = {
        SINGLE: (train, Uniform(), 1.0),
        REPEATED: (few, Uniform(), 12.0),
        OURS: (train, TwoSet(given["p"], given["s"][0], seed), 1.0),
        SMALLER: (train, TwoSet(given["p"], given["s"][1], seed), 1.0),
    }
    found: Measured = {}
    for arm, (data, policy, epochs) in arms.items():
        outcome = PROXY.train(data, [told], policy, epochs, seed, Watch())
        one = outcome.measured["test"]
        assert one.correct is not None
        found[arm] = {ACCURACY: float(one.correct.mean()), LOSS: one.mean()}
    return found


def judge(found: Found) -> str:
    """By the rule above."""
    best = max((OURS, SMALLER), key=lambda arm: found.of(ACCURACY, arm).mean)
    if all(found.of(ACCURACY, best, other).above for other in (SINGLE, REPEATED)):
        return "reproduced"
    return "direction only" if found.of(ACCURACY, best, SINGLE).mean > 0 else "not reproduced"
