"""Domain upsampling at the end: small domains lifted for the last part, against never and against all along.

**The paper's claim** (Blakeney et al., "Does your data spark joy?", 2024). Lifting domain-specific sets against web
crawl for the last 10 to 20 % of the training improves what they teach, at little cost for general text; a longer last
part is not better.

**Small scale.** A transformer of 0.3 million parameters on bytes, one pass over 48 kB: 36 kB of fiction stands for
the crawl, code and scripture with 6 kB each for the rest. Arms: by size all along; the two with half of the last 10,
20 or 30 %; and the exposure of the 20 % spread over the whole training, which tells "when" from "how much". Bits per
byte on held-out sources. The rate is the same cosine in all arms, and falls to 0.

**Reproduced** if 20 % at the end is below both by size and the spread exposure on the small domains, with 95 %
intervals apart from 0, and at most 0.03 above by size on the large one (the whole interval). **Direction only** if on
the small domains it is below by size with an interval apart from 0. **Not reproduced** otherwise.
"""

from __future__ import annotations

from cuvee.core import Policy
from cuvee.methods.policy.uniform import Uniform
from cuvee.methods.policy.upsample_end import UpsampleEnd
from cuvee.proof.proxies.transformer import Transformer

from .harness import Claim, Found, Measured, demo, split
from .online import CODE, of_bytes
from .reuse import SHARED, by_domain

LIFTED, LARGE = "small domains", "large domain"
OURS, SHORT, LONG, SPREAD, PLAIN = "last 20 %", "last 10 %", "last 30 %", "spread over all", "by size"
OTHERS = (PLAIN, SPREAD, SHORT, LONG)
BIG, SMALL = "fiction", ("code-python", "scripture")
DOMAINS = {BIG: 36_000, **dict.fromkeys(SMALL, 6_000)}
PROXY = Transformer(context=64, batch=4)
CLAIM = Claim(
    name="upsample_end",
    judges=(
        *(f"policy/{name}.py" for name in ("upsample_end", "uniform")),
        *(f"../{path}" for path in (*CODE, *SHARED, "proof/proxies/text_model.py", "proof/proxies/transformer.py")),
    ),
    metrics={
        LIFTED: "bits per byte, mean of code and scripture",
        LARGE: "bits per byte on held-out fiction",
    },
    contrasts=tuple((metric, OURS, OTHERS) for metric in (LIFTED, LARGE)),
    settings={"domains": DOMAINS, "test": 6_000, "share": 0.5, "last": 0.2},
    seeds=(1, 2, 3, 4, 5),
)
MARGIN = 0.03


def trial(seed: int) -> Measured:
    """All arms."""
    given = CLAIM.settings
    held, rest = split(demo(), seed, 0.3)
    train = of_bytes(rest, seed, "train", given["domains"])
    test = of_bytes(held, seed, "test", dict.fromkeys(given["domains"], given["test"]))
    names, share, last = "+".join(SMALL), given["share"], given["last"]
    before = float(sum(given["domains"][name] for name in SMALL) / sum(given["domains"].values()))
    arms: dict[str, Policy] = {
        OURS: UpsampleEnd(names, share, last),
        SHORT: UpsampleEnd(names, share, last / 2),
        LONG: UpsampleEnd(names, share, 1.5 * last),
        SPREAD: UpsampleEnd(names, last * share + (1 - last) * before, 1.0),
        PLAIN: Uniform(),
    }
    found: Measured = {}
    for arm, policy in arms.items():
        losses, _ = by_domain(PROXY, train, test, policy, 1.0, seed)
        found[arm] = {LIFTED: sum(losses[name] for name in SMALL) / len(SMALL), LARGE: losses[BIG]}
    return found


def judge(found: Found) -> str:
    """By the rule above."""
    gain = found.of(LIFTED, OURS, PLAIN)
    if not gain.below:
        return "not reproduced"
    when = found.of(LIFTED, OURS, SPREAD).below and found.of(LARGE, OURS, PLAIN).high <= MARGIN
    return "reproduced" if when else "direction only"
