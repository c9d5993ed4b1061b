"""Distillation scaling: a student with a teacher, and one that is trained alone for as much compute.

**The paper's claim** (Busbridge et al., "Distillation Scaling Laws", ICML 2025). Where a teacher is there, or many
students share it, distilling beats supervised training up to a compute that grows with the student's size; where the
teacher must be trained for one student, supervised training is better.

**Small scale.** Models of the next letter with one hidden layer (``claims/letters``), all domains of the demonstration
pool, in one pass. A teacher of 48 units sees 400,000 letters; students of 8 and of 24 units are distilled on 60,000 and
on 400,000 others, its chances being their only targets. Beside each, a student of the same size and initial weights is
trained alone: on the same letters (nothing of the teacher counted), on as many as make up for the teacher's predictions
as well, and for its training, too, by 6 N D for training and 2 N D for predictions. Losses are of 8,000 held-out
letters. Two amounts do not show where the compute lies at which distilling stops to pay, nor how it grows.

**Reproduced** if, for both students, distilling has the lower loss on few letters with nothing of the teacher counted,
this lead is smaller on many, and with its training counted the student alone has the lower loss on both. **Direction
only** if the first and the last hold for one of the students. **Not reproduced** otherwise. By 95 % intervals apart
from 0.
"""

from __future__ import annotations

import numpy as np

from .harness import Claim, Found, Measured, demo, generator, split
from .letters import HERE, Letters, signs, windows

STUDENTS, AMOUNTS, TEACHER, TAUGHT, HELD = (8, 24), (60_000, 400_000), 48, 400_000, 8_000
DISTILLED, ALONE = "distilled", "alone, same letters"
PREDICTED, TRAINED = "alone, teacher's predictions counted", "alone, teacher's training counted"


def name(units: int, letters: int) -> str:
    """Of the loss of one student."""
    return f"nats, {units} units, {letters // 1000}k"


def won(units: int) -> str:
    """Of what more letters bring."""
    return f"won by more letters, {units} units"


LOSSES = tuple(name(units, letters) for units in STUDENTS for letters in AMOUNTS)
CLAIM = Claim(
    name="distillation",
    judges=(HERE,),
    metrics=dict.fromkeys(LOSSES, "held-out loss per letter")
    | {won(units): "loss on the fewer letters less that on the more" for units in STUDENTS},
    contrasts=(
        *((one, DISTILLED, (ALONE, PREDICTED, TRAINED)) for one in LOSSES),
        *((won(units), DISTILLED, (ALONE,)) for units in STUDENTS),
    ),
    settings={"students": STUDENTS, "letters": AMOUNTS, "teacher": TEACHER, "taught": TAUGHT, "held": HELD},
    seeds=tuple(range(1, 7)),
)


def trial(seed: int) -> Measured:
    """All arms."""
    held, rest = split(demo(), seed, 0.1)
    random = generator(seed, "windows")
    judged = windows(signs(held), random, HELD)
    every = windows(signs(rest), random, 6_000_000)
    teacher = Letters(TEACHER, seed).train(every[-TAUGHT:])
    found: Measured = {arm: {} for arm in (DISTILLED, ALONE, PREDICTED, TRAINED)}
    for units in STUDENTS:
        ratio = teacher.parameters / Letters(units, seed).parameters
        for letters in AMOUNTS:
            more = letters * (1 + ratio / 3)
            for arm, number in ((ALONE, letters), (PREDICTED, more), (TRAINED, more + ratio * TAUGHT)):
                student = Letters(units, seed).train(every[: round(number)])
                found[arm][name(units, letters)] = student.loss(judged)
            student = Letters(units, seed).train(every[:letters], teacher)
            found[DISTILLED][name(units, letters)] = student.loss(judged)
        for losses in found.values():
            losses[won(units)] = losses[name(units, AMOUNTS[0])] - losses[name(units, AMOUNTS[1])]
    return found


def judge(found: Found) -> str:
    """By the rule above."""
    few = np.array([found.of(name(units, AMOUNTS[0]), DISTILLED, ALONE).below for units in STUDENTS])
    less = np.array([found.of(won(units), DISTILLED, ALONE).below for units in STUDENTS])
    paid = np.array(
        [all(found.of(name(units, one), DISTILLED, TRAINED).above for one in AMOUNTS) for units in STUDENTS]
    )
    if (few & less & paid).all():
        return "reproduced"
    return "direction only" if (few & paid).any() else "not reproduced"
