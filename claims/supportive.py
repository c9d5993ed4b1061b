"""Supportive data: rows whose gradients point where a task's do, found in rounds (ORCA-ICL).

**The paper's claim** (Han et al., 2023). Going on with the training on a few rows found by iterated nearness of
gradients makes a model better at in-context learning, by up to 18 points of accuracy; random rows do not, and one round
does less than several.

**Small scale.** A pool of 300 rows, a tenth of which are planted: lists of key-value pairs in which keys come again
with their values. The others are heads of documents of the demonstration pool. The target is 12 such lists of other
keys and values; 40 more are held out. The probe (60,000 parameters) is warmed up on 40,000 bytes of this pool, then
every arm takes 30 rows, and the probe goes on for one pass over them. The metrics are the loss on the held-out lists,
and on those of their values alone that the context gives away. Three rounds of gradients, at half of the peak rate;
"one round" has no iteration. "length-matched" are random rows of the same lengths.

**Reproduced** if the loss of a held-out list is below those of random, length-matched and one round, and the loss of
repeated values below that of random, with 95 % intervals apart from 0. **Direction only** if the loss of a list is
below that of random and of length-matched rows. **Not reproduced** otherwise.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from cuvee.core import Array, Batch, Budget
from cuvee.fold.scores import part_of
from cuvee.gradient.continuing import continue_text
from cuvee.gradient.text import TextProbe, TextSpec, one_thread
from cuvee.methods.choose.top_k import TopK
from cuvee.methods.score.dsir import Dsir
from cuvee.methods.score.supportive import Supportive

from .harness import PRECISION, Claim, Experiment, Found, Measured, Texts, demo, generator, sample, split

NAME, LOSS, VALUES = "supportive", "nats per byte", "nats per repeated value"
PLANTED, PAIRS, LETTERS = "planted", 12, "abcdefghijklmnopqrstuvwxyz"
RANDOM = ("random", "length-matched")
CLAIM = Claim(
    name=NAME,
    judges=("score/supportive.py", "choose/top_k.py"),
    metrics={
        LOSS: "of held-out lists, after a pass over the kept rows",
        VALUES: "of the values in them whose key has stood before",
        PRECISION: "share of kept rows that are planted",
    },
    contrasts=(
        (LOSS, NAME, (*RANDOM, "one round", "dsir")),
        (VALUES, NAME, (*RANDOM, "one round")),
        (PRECISION, NAME, ("random", "one round", "dsir")),
    ),
    settings={"rows": 300, "planted": 30, "target": 12, "held": 40, "kept": 30, "tokens": 96, "warm_up": 40_000}
    | {"rounds": 3, "rate": 0.5, "epochs": 2},
)


def lists(number: int, random: np.random.Generator) -> tuple[list[bytes], list[list[int]]]:
    """Lists of four key-value pairs, each of which comes three times, and the places of values seen before."""
    found, places = list[bytes](), list[list[int]]()
    for _ in range(number):
        keys = ["".join(random.choice(list(LETTERS), 2)) for _ in range(4)]
        values = random.integers(0, 10, 4)
        order = np.concatenate([random.permutation(4) for _ in range(PAIRS // 4)])
        found.append("".join(f"{keys[i]}={values[i]}; " for i in order).encode())
        places.append([6 * at + 3 for at in range(4, PAIRS)])
    return found, places


def measured(spec: TextSpec, parameters: Array, held: Batch, places: list[list[int]]) -> dict[str, float]:
    """Mean losses over all bytes of held-out lists, and over the values at these places."""
    import torch

    probe = TextProbe(spec, parameters[None], CLAIM.settings["tokens"])
    every, values = list[float](), list[float]()
    with one_thread(), torch.no_grad():
        for i, at in enumerate(places):
            windows = probe.windows(held.data[held.offsets[i] : held.offsets[i + 1]])
            assert windows is not None
            inputs, targets = (torch.from_numpy(one) for one in windows)
            loss = probe.models[0].losses(inputs, targets, None).ravel().tolist()
            every += loss
            values += [loss[one] for one in at]
    return {LOSS: float(np.mean(every)), VALUES: float(np.mean(values))}


def trial(seed: int) -> Measured:
    """All arms, by one probe."""
    settings, random = CLAIM.settings, generator(seed, "lists")
    _, rest = split(demo(), seed, 0.2)
    plain = sample(rest, seed, "pool", settings["rows"] - settings["planted"])
    cut = [one.decode()[: int(random.integers(40, 96))].encode() for one in plain.text]
    planted, _ = lists(settings["planted"], random)
    text = [*cut, *planted]
    domain = np.array([*plain.domain, *[PLANTED] * len(planted)])
    pool = Texts(text, domain, domain, np.arange(len(text), dtype=np.uint64))
    wanted, _ = lists(settings["target"], random)
    target = Texts(wanted, np.full(len(wanted), PLANTED), np.full(len(wanted), ""), np.arange(len(wanted)).astype("u8"))
    held, places = lists(settings["held"], random)
    held_batch = replace(target, text=held, domain=np.full(len(held), ""), key=np.arange(len(held)).astype("u8")).batch
    run, budget = Experiment(pool, target, seed), Budget("rows", amount=settings["kept"])
    shared = {"tokens": settings["tokens"], "epochs": settings["epochs"], "warm_up": settings["warm_up"]}
    method = Supportive(
        **shared, sample=len(pool), rounds=settings["rounds"], share=settings["kept"] / len(pool), rate=settings["rate"]
    )
    fitted = method.fit(run)
    kept = run.choose(TopK(), budget, fitted.apply(pool.batch))
    arms = {NAME: kept, "random": run.random(budget), "length-matched": run.matched(kept, budget)}
    arms["one round"] = run.choose(TopK(), budget, replace(method, rounds=1).fit(run).apply(pool.batch))
    arms["dsir"] = run.select(Dsir(min_length=0), budget)
    spec, begun = fitted.probe.spec, fitted.probe.parameters[0]
    found = {}
    for name, picked in arms.items():
        rows = np.unique(picked.rows)
        after = continue_text(spec, begun, part_of(pool.batch, rows), seed, settings["rate"])
        share = float((pool.domain[rows] == PLANTED).mean())
        found[name] = {PRECISION: share, **measured(spec, after, held_batch, places)}
    return found


def judge(found: Found) -> str:
    """By the rule above."""
    if not all(found.of(LOSS, NAME, other).below for other in RANDOM):
        return "not reproduced"
    more = found.of(LOSS, NAME, "one round").below and found.of(VALUES, NAME, "random").below
    return "reproduced" if more else "direction only"
