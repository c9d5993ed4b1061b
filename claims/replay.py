"""Continual pretraining: re-warming, re-decaying and a little replay, against training on everything from the start.

**The paper's claim** (Ibrahim et al., "Simple and Scalable Strategies to Continually Pre-train", 2024). A finished
model that goes on with new data forgets the old; with the rate warmed up and decayed again, and 5 % (weak shift) to
25 % (strong shift) of old examples in every batch instead of new ones, it matches a model trained on the union from
the start, as the mean of old and new loss, at the cost of the new data alone.

**Small scale.** A transformer of 0.3 million parameters on bytes learns 40 kB of fiction and is kept; then 40 kB of
code follow, a strong shift. Arms: re-warmed with 0, 5 and 25 % replay; 25 % replay with a rate that falls from where
it ended; and the union of both, 80 kB from the start. Bits per byte on held-out sources of both domains.

**Reproduced** if replay of 25 % is below none on old text with a 95 % interval apart from 0, and its mean of old and
new is at most 0.05 above the union's (the whole interval). **Direction only** if on old text it is below none with an
interval apart from 0, and its mean of old and new is below that of no replay on average. **Not reproduced**
otherwise.
"""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

from cuvee.core import Policy
from cuvee.methods.policy.replay import Replay
from cuvee.methods.policy.uniform import Uniform
from cuvee.proof.proxies.transformer import Transformer
from cuvee.proof.proxy import Watch

from .harness import Claim, Found, Measured, demo, join, split
from .online import CODE, of_bytes
from .reuse import SHARED, by_domain

OLD, NEW, MEAN = "old domain", "new domain", "mean"
NONE, LITTLE, OURS = "replay 0 %", "replay 5 %", "replay 25 %"
FALLING, UNION = "replay 25 %, not warmed up", "union from the start"
BEFORE, AFTER = "fiction", "code-python"
PROXY = Transformer(context=64, batch=4, floor=0.1)
CLAIM = Claim(
    name="replay",
    judges=(
        *(f"policy/{name}.py" for name in ("replay", "uniform")),
        *(f"../{path}" for path in (*CODE, *SHARED, "proof/proxies/checkpoint.py")),
        *(f"../proof/proxies/{name}.py" for name in ("text_model", "transformer")),
    ),
    metrics={
        OLD: "bits per byte on held-out fiction",
        NEW: "bits per byte on held-out code",
        MEAN: "of both",
    },
    contrasts=tuple((metric, OURS, (NONE, LITTLE, FALLING, UNION)) for metric in (OLD, NEW, MEAN)),
    settings={"bytes": 40_000, "test": 8_000, "share": 0.25, "little": 0.05, "warmup": 0.05},
    seeds=(1, 2, 3, 4, 5),
)
MARGIN = 0.05


def trial(seed: int) -> Measured:
    """All arms from one checkpoint, and the union."""
    given = CLAIM.settings
    held, rest = split(demo(), seed, 0.3)
    old, new = (of_bytes(rest, seed, "train", {name: given["bytes"]}) for name in (BEFORE, AFTER))
    test = of_bytes(held, seed, "test", dict.fromkeys((BEFORE, AFTER), given["test"]))
    both = join([old, new])
    epochs = float(new.bytes.sum() / both.bytes.sum())
    found: Measured = {}
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "model"
        PROXY.train(old.batch, [], Uniform(), 1.0, seed, Watch(keep=place))
        warm = replace(PROXY, start=str(place), warmup=given["warmup"])
        arms: dict[str, tuple[Transformer, Policy, float]] = {
            NONE: (warm, Replay(BEFORE, 0.0, 0.0), epochs),
            LITTLE: (warm, Replay(BEFORE, given["little"], 0.0), epochs),
            OURS: (warm, Replay(BEFORE, given["share"], 0.0), epochs),
            FALLING: (replace(warm, onward="redecay"), Replay(BEFORE, given["share"], 0.0), epochs),
            UNION: (PROXY, Uniform(), 1.0),
        }
        for arm, (proxy, policy, passes) in arms.items():
            losses, _ = by_domain(proxy, both, test, policy, passes, seed)
            found[arm] = {OLD: losses[BEFORE], NEW: losses[AFTER], MEAN: (losses[BEFORE] + losses[AFTER]) / 2}
    return found


def judge(found: Found) -> str:
    """By the rule above."""
    if not found.of(OLD, OURS, NONE).below:
        return "not reproduced"
    if found.of(MEAN, OURS, UNION).high <= MARGIN:
        return "reproduced"
    return "direction only" if found.of(MEAN, OURS, NONE).mean < 0 else "not reproduced"
