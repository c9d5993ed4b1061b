"""Rows that train the skills a model lacks, by how often it failed for want of each.

He et al., "Skill-Targeted Adaptive Training", arXiv 2510.10023 (STAT-Sel). The target is the questions that the model
failed, each with the skills it missed; profile(s) is how many questions missed skill s. The paper adds, for each
missed skill of each question, five training questions that have it, drawn uniformly. A row is thus expected in
proportion to

    W(x) = sum over skills s of x of profile(s) / (rows of the pool with s)  +  smoothing * mean of the sum,

and rows are drawn without replacement in proportion to W (``gumbel``; with ``--choose soft_cap`` or ``poisson`` as
these say). The sum's total is the profile's, whatever the pool holds, so a rare skill is not drowned. ``smoothing``
(an addition, as a share) lets rows without a missed skill in; at 0 they are never taken.

Inputs: skills as the label column of pool and target (``--label``), by any tagger; several in one string, between
``separator``. Where there is no label, the domain is the skill. A target row's skills are those that were missed; if
your tagger knows only what a failed question needs, give all of these. Block: "score" = log W, in nats.

Cost: two passes over labels. Traps: a tagger's errors become weights: repeat with the tags permuted, and the gain must
vanish; the profile is of one model at one time: make it again after training; a row with many skills is taken for any.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from ...core import Batch, Block, Card, Choose, Map, Method, Run
from ...errors import DataError, UsageError
from ...fold.tag_counts import TagCounts, tagged
from ..choose.gumbel import Gumbel


@dataclass(frozen=True, eq=False)
class SkillWeights(Map):
    """``weight``: what a row gets for each of ``skills``; ``floor`` for every row."""

    skills: tuple[str, ...]
    weight: tuple[float, ...]
    floor: float
    separator: str
    notes: dict[str, Any] = field(compare=False)

    def apply(self, batch: Batch) -> Block:
        at, sets = tagged(batch, self.separator)
        known = dict(zip(self.skills, self.weight, strict=True))
        each = np.array([self.floor + sum(known.get(skill, 0.0) for skill in sorted(one)) for one in sets])
        with np.errstate(divide="ignore"):
            return {"score": np.log(each)[at] if len(batch) else np.zeros(0)}


@dataclass(frozen=True)
class SkillTargeted(Method):
    """``smoothing``: the share that every row gets, against 1 for the missed skills; ``separator`` between skills."""

    smoothing: float = 0.0
    separator: str = ";"

    card: ClassVar[Card] = Card(
        summary="rows with the skills that a model missed, by how often it missed them",
        family="model-aware",
        needs=("label", "target"),
        cost="two passes over labels",
        bibtex="@article{he2025stat, title={Skill-Targeted Adaptive Training}, author={He, Yinghui and Panigrahi,"
        " Abhishek and Lin, Yong and Arora, Sanjeev}, journal={arXiv:2510.10023}, year={2025}}",
        evidence="expected counts of the published procedure; claim: reproduced (8 seeds)",
        use_when="Documents carry tags of the skills they train, and you know which ones your model was seen to miss.",
        fails_when="Wrong tags become weights, and skills that were not missed lose a little.",
    )

    def fit(self, run: Run) -> SkillWeights:
        if not 0 <= self.smoothing < np.inf or not self.separator:
            raise UsageError("skill_targeted: smoothing is at least 0, and separator is not empty.")
        profile: dict[str, int] = {}
        failed = without = 0
        for batch in run.targets():
            at, sets = tagged(batch, self.separator)
            failed += len(batch)
            for rows, one in zip(np.bincount(at, minlength=len(sets)).tolist(), sets, strict=True):
                without += 0 if one else rows
                for skill in one:
                    profile[skill] = profile.get(skill, 0) + rows
        skills = tuple(sorted(skill for skill, times in profile.items() if times))
        if not skills:
            raise DataError(
                "skill_targeted finds no skills in the target: give the failed questions a column with what was missed "
                "in each, and name it with --label."
            )
        rows, count = run.fold(TagCounts(skills, self.separator))
        there = count > 0
        if not there.any():
            raise DataError(
                f"No row of the pool has a skill that the target missed ({', '.join(skills[:3])}, ...). Tag the pool "
                "with the same words, and name the column with --label."
            )
        missed = np.array([profile[skill] for skill in skills])
        weight = np.where(there, missed / np.maximum(count, 1), 0.0)
        floor = self.smoothing * float(missed[there].sum()) / max(rows, 1)
        notes: dict[str, Any] = {"failed": failed, "without_skills": without, "missed": dict(profile)}
        if not there.all():
            absent = [skill for skill, one in zip(skills, there, strict=True) if not one]
            notes["not_in_the_pool"] = absent[:20]
            notes["warning"] = f"{len(absent)} of the {len(skills)} missed skills are in no row of the pool."
        return SkillWeights(skills, tuple(weight.tolist()), floor, self.separator, notes)

    def chooser(self, fitted: Map) -> Choose:
        return Gumbel()
