"""MATES: predict from some rows which others take most off the model's loss on a reference.

**The paper's claim** (Yu, Das and Xiong, 2024). One training step on a row tells how much it helps on a reference; a
small regression learns this from some rows and predicts it for all; rows drawn by the prediction train better models
than random ones at equal tokens.

**Small scale.** Whole documents; two targets of two domains each, 20 documents from either, in a pool of eleven
domains; 1,000 of some 3,900 rows are measured, with the tiny byte table as the model; 5 % of the tokens are drawn.
"Permuted": the measured influences change places among the probes before the regression sees them. "Oracle" measures
every row and draws by that, with no regression; it has no vote. The model that judges (byte 5-grams) is not the one
that measures (single bytes after two), but of its kind.

**Reproduced** if bits per character of held-out text of both domains are below those of random, of length-matched
random and of permuted, with 95 % intervals apart from 0, and the rank correlation of predicted and measured influence
on rows held out is above 0. **Direction only** if bits are below those of random and length-matched random. **Not
reproduced** otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cuvee.core import Array, Budget, Card, Run
from cuvee.feature.step_influence import counts, train
from cuvee.fold.bottom_k import BottomK, as_batch
from cuvee.methods.choose.gumbel import Gumbel
from cuvee.methods.score.mates import Mates

from .harness import BITS, NATS, PRECISION, Claim, Experiment, Found, Measured, generator, join, mean_of, study

NAME, PERMUTED, ORACLE, RANKS = "mates", "permuted", "oracle", "rank correlation"
RANDOM = ("random", "length-matched")
CLAIM = Claim(
    name="mates",
    judges=("score/mates.py", "choose/gumbel.py"),
    metrics={
        PRECISION: "share of kept tokens from the target's two domains",
        BITS: "of held-out text of both domains, byte 5-grams",
        NATS: "the same text, word trigrams",
        RANKS: "Spearman's, of predicted and measured influence, on a tenth of the probes held out",
    },
    contrasts=(
        *((metric, NAME, (*RANDOM, PERMUTED, ORACLE)) for metric in (BITS, NATS)),
        (PRECISION, NAME, (*RANDOM, PERMUTED)),
        (RANKS, NAME, (PERMUTED,)),
    ),
    settings={"targets": [["sqlite-docs", "speech"], ["code-python", "fiction"]], "texts": 40, "share": 0.05},
)


@dataclass(frozen=True)
class Permuted(Mates):
    """The measured influences in another order."""

    card = Card("", "", (), "", "")

    def _measured(self, run: Run) -> tuple[Array, Array, Array, dict[str, float]]:
        key, value, length, notes = super()._measured(run)
        return key, generator(run.seed, "permuted").permutation(value), length, notes


def oracle(run: Experiment, budget: Budget) -> Array:
    """Rows drawn by measured influence."""
    method = Mates()
    warm = as_batch(run.fold(BottomK(method.warmup, "mates", run.seed, method.max_bytes)))
    table = train(warm)
    value = table.influence(run.pool.batch, counts(run.target.batch, table.order, table.bits)[None], method.rate)[:, 0]
    picked = run.choose(Gumbel(method.temperature), budget, {"score": (value - value.mean()) / value.std()})
    return picked.rows


def toward(pair: list[str], seed: int) -> Measured:
    """All arms for one target of two domains."""
    budget, half = Budget("tokens", fraction=CLAIM.settings["share"]), CLAIM.settings["texts"] // 2
    runs = [study(seed, domain, 0, half) for domain in pair]
    target, held = join([run.target for run, _ in runs]), join([held for _, held in runs])
    run = Experiment(runs[0][0].pool, target, seed)
    kept, permuted = run.select(Mates(), budget), run.select(Permuted(), budget)
    arms = {NAME: kept, "random": run.random(budget), "length-matched": run.matched(kept, budget), PERMUTED: permuted}
    found = {name: run.measure(picked, held, *pair) for name, picked in arms.items()}
    kept.rows = oracle(run, budget)
    found[ORACLE] = run.measure(kept, held, *pair)
    for name, picked in ((NAME, kept), (PERMUTED, permuted)):
        notes = getattr(picked.fitted, "notes", {})
        found[name][RANKS] = float(np.float64(notes["held_out_correlation"]))
    return found


def trial(seed: int) -> Measured:
    """Means over the targets."""
    return mean_of([toward(pair, seed) for pair in CLAIM.settings["targets"]])


def judge(found: Found) -> str:
    """By the rule above."""
    below = {other: found.of(BITS, NAME, other).below for other in (*RANDOM, PERMUTED)}
    if not all(below[other] for other in RANDOM):
        return "not reproduced"
    return "reproduced" if below[PERMUTED] and found.of(RANKS, NAME).above else "direction only"
