"""BERTIN perplexity sampling: keep the middle of the pool's perplexities.

**The paper's claim** (de la Rosa et al., 2022). On a noisy pool, sampling with a Gaussian or a stepwise weight around
the median perplexity gives better models than random sampling; both weights do about equally well.

**Small scale.** Pool: 65 % clean text of seven domains (one, Go code, is rare: 2 % of the rows) and 35 % junk in three
equal kinds: words with shuffled letters, words drawn one by one from the clean text, one licence sentence repeated.
1/5 of the tokens is kept. Perplexity comes from a model of clean reference text without the rare domain, as in the
paper, or from the pool itself ("no reference"). Held-out text: the six common clean domains, and the rare one.

**Reproduced** if bits per character of held-out common clean text are below random's for both weights, with 95 %
intervals apart from 0, and the two differ by less than either gains. **Direction only** if the mean is below random's
for both but that much is not shown. **Not reproduced** otherwise. The lowest perplexities, length-matched random rows
and the keep rates of the rare domain and of junk stand beside it.
"""

from __future__ import annotations

import numpy as np

from cuvee.core import Budget
from cuvee.methods.score.perplexity import Perplexity

from .harness import BITS, NATS, Claim, Experiment, Found, Measured, Texts, demo, generator, join, losses, sample, split

RARE_BITS, RARE, JUNK, BORING = "bits, rare domain", "kept of the rare domain", "junk kept", "repeated sentence kept"
FIRST, THIRD = "Q1 / Q2", "Q3 / Q2"
ARMS = {
    "gaussian": Perplexity(fit_on="target"),
    "stepwise": Perplexity(fit_on="target", rule="stepwise"),
    "lowest": Perplexity(fit_on="target", rule="lowest"),
    "gaussian, no reference": Perplexity(),
    "stepwise, no reference": Perplexity(rule="stepwise"),
}
CLAIM = Claim(
    name="perplexity",
    judges=("score/perplexity.py", "choose/keep_probability.py"),
    metrics={
        BITS: "of held-out text of the six common clean domains, byte 5-grams",
        NATS: "the same text, word trigrams",
        RARE_BITS: "of held-out Go code, byte 5-grams",
        RARE: "share of the rare domain's rows that were kept (random: about a fifth)",
        JUNK: "share of all junk rows that were kept",
        BORING: "share of the rows of one repeated sentence that were kept",
        FIRST: "first quartile of the pool's perplexities by the second (0.81 in the paper's Spanish pool)",
        THIRD: "third quartile by the second (1.39 in the paper's)",
    },
    contrasts=(
        *((BITS, arm, ("random",)) for arm in ARMS),
        (BITS, "gaussian", ("length-matched", "stepwise")),
        *((metric, arm, ("random",)) for metric in (NATS, RARE, RARE_BITS) for arm in ("gaussian", "stepwise")),
    ),
    settings={
        "clean": ["speech", "fiction", "dialogue", "python-docs", "rust-docs", "sqlite-docs"],
        "rare": "code-go",
        "rows": 2600,
        "shares": {"clean": 0.63, "rare": 0.02, "junk": 0.35},
        "kept": 0.2,
    },
)


def junk(clean: Texts, rows: int, seed: int) -> Texts:
    """Three kinds of rubbish, as long as the texts that they are made from."""
    random, source = generator(seed, "junk"), sample(clean, seed, "junk", rows)
    vocabulary = np.array(b" ".join(clean.text).decode().split())
    sentence, made, kind = "THE SOFTWARE IS PROVIDED AS IS, WITHOUT WARRANTY OF ANY KIND.", [], []
    for row, text in enumerate(source.text):
        words = text.decode().split()
        shuffled = ("".join(random.permutation(list(word))) for word in words)
        drawn = random.choice(vocabulary, len(words))
        made.append(("\n".join([sentence] * (len(words) // 11 + 1)), " ".join(shuffled), " ".join(drawn))[row % 3])
        kind.append(("repeated", "shuffled", "drawn")[row % 3])
    names = np.array(kind)
    return Texts([one.encode() for one in made], names, names, np.arange(len(made)).astype("u8"))


def trial(seed: int) -> Measured:
    """All arms."""
    clean, rare, rows = (CLAIM.settings[name] for name in ("clean", "rare", "rows"))
    share = {name: round(part * rows) for name, part in CLAIM.settings["shares"].items()}
    held, reference, rest = split(demo(), seed, 0.12, 0.15)
    good, odd = sample(rest.of(*clean), seed, "clean", share["clean"]), rest.of(rare)
    pool = join([good, sample(odd, seed, "rare", share["rare"]), junk(rest.of(*clean), share["junk"], seed)])
    run, budget = Experiment(pool, reference.of(*clean), seed), Budget("tokens", fraction=CLAIM.settings["kept"])
    picked = {name: run.select(method, budget) for name, method in ARMS.items()}
    picked |= {"random": run.random(budget), "length-matched": run.matched(picked["gaussian"], budget)}
    found: Measured = {}
    for name, one in picked.items():
        kept, taken = pool.take(one.rows), np.isin(np.arange(len(pool)), one.rows)
        found[name] = losses(kept, held.of(*clean)) | {RARE_BITS: losses(kept, held.of(rare))[BITS]}
        bad = ~np.isin(pool.domain, [*clean, rare])
        masks = {RARE: pool.domain == rare, JUNK: bad, BORING: pool.domain == "repeated"}
        found[name] |= {metric: float(taken[mask].mean()) for metric, mask in masks.items()}
        if "quartiles" in one.decision.notes:
            low, middle, high = one.decision.notes["quartiles"]
            found[name] |= {FIRST: low / middle, THIRD: high / middle}
    return found


def judge(found: Found) -> str:
    """By the rule above."""
    gains = [found.of(BITS, name, "random") for name in ("gaussian", "stepwise")]
    gap = abs(found.of(BITS, "gaussian", "stepwise").mean)
    if all(gain.below for gain in gains) and gap < min(-gain.mean for gain in gains):
        return "reproduced"
    return "direction only" if all(gain.mean < 0 for gain in gains) else "not reproduced"
