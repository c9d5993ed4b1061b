"""Skill-targeted selection: train on what the model was seen to miss.

**The paper's claim** (He, Panigrahi, Lin and Arora, 2025). Training examples weighted by how often the model failed for
want of their skills improve a model that no longer gains from more of the same data; the tags must be right for it.

**Small scale.** A document's skill is its domain, as told by a tagger that is wrong for one in ten. The student is the
tiny model fitted on a tenth of the pool, from which nine tenths of three domains are missing; a teacher is fitted on
the same tenth with nothing missing. Of 400 other documents the 100 on which the student's loss is most above the
teacher's are those that it failed. Rows of 2 % of the rest's tokens are added to the student's text. "Permuted": the
tags of the pool change places. "Hardest": the rows of the highest loss under the student, without tags.

**Reproduced** if the mean over all domains of bits per character of held-out text is below those of random, of
length-matched random, of permuted and of hardest, with 95 % intervals apart from 0. **Direction only** if it is below
those of random and length-matched random. **Not reproduced** otherwise.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from cuvee.core import Array, Batch, Budget, Fold, Map
from cuvee.methods.choose.top_k import TopK
from cuvee.methods.score.skill_targeted import SkillTargeted

from .harness import Claim, Experiment, Found, Measured, Texts, bits_each, demo, fit_model, generator, join, sample
from .harness import split as cut

NAME, MACRO, LACKED, REST = "skill-targeted", "mean bits per character", "lacked", "the rest"
RANDOM, OTHERS = ("random", "length-matched"), ("permuted", "hardest")
CLAIM = Claim(
    name="skill_targeted",
    judges=("score/skill_targeted.py", "choose/gumbel.py"),
    metrics={
        MACRO: "mean over eleven domains of the bits per character of held-out text, byte 5-grams",
        LACKED: "the same over the three domains that the student lacks",
        REST: "the same over the eight others",
    },
    contrasts=(
        *((metric, NAME, (*RANDOM, *OTHERS)) for metric in (MACRO, LACKED)),
        (REST, NAME, RANDOM),
    ),
    settings={
        "lacked": ["rust-docs", "fiction", "code-go"],
        "left": 0.1,
        "student": 0.1,
        "questions": 400,
        "failed": 100,
        "wrong_tags": 0.1,
        "share": 0.02,
    },
)


def tags(texts: Texts, seed: int, purpose: str) -> Array:
    """What the tagger says: the domain, or for one in ten that of another row."""
    random = generator(seed, purpose)
    wrong = random.random(len(texts)) < CLAIM.settings["wrong_tags"]
    return np.where(wrong, random.permutation(texts.domain), texts.domain)


def labelled(texts: Texts, names: Array) -> Batch:
    """Rows with tags."""
    return replace(texts.batch, columns={"label": pa.array(names.tolist(), pa.large_string())})


class Tagged(Experiment):
    """Pool and target with what the tagger says."""

    names: tuple[Array, Array]

    def fold(self, fold: Fold, over: Literal["pool", "target"] = "pool") -> Any:
        return fold.finish(fold.lift(labelled(self.pool, self.names[0])))

    def targets(self) -> Iterator[Batch]:
        yield labelled(self.target, self.names[1])

    def scored(self) -> Map:
        return SkillTargeted().fit(self)


def trial(seed: int) -> Measured:
    """All arms."""
    asked = CLAIM.settings
    held, near, rest = cut(demo(), seed, 0.15, 0.15)
    base = sample(rest, seed, "student", asked["student"])
    pool = rest.take(~np.isin(rest.key, base.key))
    lacking = np.isin(base.domain, asked["lacked"])
    before = join([base.take(~lacking), sample(base.take(lacking), seed, "left", asked["left"])])
    student, teacher = fit_model(before), fit_model(base)
    questions = sample(near, seed, "questions", asked["questions"])
    worse = bits_each(student, questions) - bits_each(teacher, questions)
    run = Tagged(pool, questions.take(np.sort(np.argsort(-worse, kind="stable")[: asked["failed"]])), seed)
    run.names = tags(pool, seed, "pool tags"), tags(run.target, seed, "target tags")
    budget, rule = Budget("tokens", fraction=asked["share"]), SkillTargeted().chooser(run.scored())
    kept = run.choose(rule, budget, run.scored().apply(labelled(pool, run.names[0])))
    arms = {NAME: kept, "random": run.random(budget), "length-matched": run.matched(kept, budget)}
    run.names = generator(seed, "permuted").permutation(run.names[0]), run.names[1]
    arms["permuted"] = run.choose(rule, budget, run.scored().apply(labelled(pool, run.names[0])))
    arms["hardest"] = run.choose(TopK(), budget, {"score": bits_each(student, pool)})
    return {name: measure(join([before, pool.take(picked.rows)]), held) for name, picked in arms.items()}


def measure(train: Texts, held: Texts) -> dict[str, float]:
    """Losses by domain, averaged over groups of them."""
    bits = bits_each(fit_model(train), held)
    by_domain = {str(name): float(bits[held.domain == name].mean()) for name in np.unique(held.domain)}
    lacked = [by_domain[name] for name in CLAIM.settings["lacked"]]
    rest = [one for name, one in by_domain.items() if name not in CLAIM.settings["lacked"]]
    return {MACRO: float(np.mean([*lacked, *rest])), LACKED: float(np.mean(lacked)), REST: float(np.mean(rest))}


def judge(found: Found) -> str:
    """By the rule above."""
    below = {other: found.of(MACRO, NAME, other).below for other in (*RANDOM, *OTHERS)}
    if not all(below[other] for other in RANDOM):
        return "not reproduced"
    return "reproduced" if all(below.values()) else "direction only"
