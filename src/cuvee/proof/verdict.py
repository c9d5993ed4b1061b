"""What a comparison shows, judged by rules that are fixed before the runs.

* **Questions** are declared beforehand, in families. Among k questions each interval has level 1 - alpha / k
  (Bonferroni), so that all of a family hold at once in 1 - alpha of experiments. The primary family is every candidate
  against every baseline on every evaluation set named as primary; subgroups are a family of their own.
* **Verdicts**: "equivalent" if the interval lies within the margin declared beforehand (none by default), else "better"
  or "worse" if it excludes zero, else "not shown". (Equivalence by the inclusion of the whole interval is stricter than
  by two one-sided tests, Schuirmann 1987, which may use a narrower one.)
* **Early stopping**: looks at numbers of seeds fixed beforehand share alpha evenly. That costs a little power against
  O'Brien and Fleming's spending, and asks for no joint distribution, which eight seeds would not support.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from ..errors import UsageError
from .intervals import Components, Interval, Pairs, bootstrap_interval, components, hull, student_interval
from .power import detectable
from .proxy import Measured

Verdict = Literal["better", "worse", "equivalent", "not shown"]
Losses = Mapping[str, Mapping[str, Mapping[int, Measured]]]
"""By evaluation set, arm and seed: finished trials only."""
Groups = Mapping[str, tuple[npt.NDArray[np.int32], Sequence[str]]]
"""By evaluation set: each document's group, (m,), as a place among the names."""


@dataclass(frozen=True)
class Question:
    """Is ``arm`` better than ``against`` on an evaluation set, or on one subgroup of it?"""

    arm: str
    against: str
    evaluation: str
    group: str | None = None


def questions(arms: Sequence[str], baselines: Sequence[str], evaluations: Sequence[str]) -> tuple[Question, ...]:
    """The primary family: every arm against every baseline on every evaluation set."""
    return tuple(Question(arm, other, one) for arm in arms for other in baselines for one in evaluations)


@dataclass(frozen=True)
class Comparison:
    """The answer to one question. Losses and differences are in the proxy's unit; below zero is better.

    Attributes:
        seeds, differences: (n,): per seed, the arm's mean loss less the other's.
        arm_mean, against_mean, mean: averages over seeds; ``mean`` is their difference.
        low, high: the reported interval, the hull of ``student`` and ``bootstrap``, at ``level`` = 1 - alpha / family.
        family: number of intervals that share alpha.
        margin: differences smaller than this were declared beforehand to be of no importance.
        parts: the variances of the mean.
        detectable: the smallest true difference that this experiment finds with 80 % probability.
        notes: what a reader should know besides, as sentences.
    """

    arm: str
    against: str
    evaluation: str
    group: str | None
    seeds: tuple[int, ...]
    differences: tuple[float, ...]
    arm_mean: float
    against_mean: float
    mean: float
    low: float
    high: float
    student: Interval
    bootstrap: Interval
    level: float
    family: int
    margin: float | None
    verdict: Verdict
    parts: Components
    detectable: float
    notes: tuple[str, ...]

    def sentence(self, unit: str = "bits per byte") -> str:
        """The verdict in words, with its numbers."""
        place = self.evaluation if self.group is None else f"{self.evaluation}, {self.group}"
        size = f"{self.mean:+.4f} {unit}, {100 * self.level:.4g} % interval {self.low:+.4f} to {self.high:+.4f}"
        said = {
            "better": f"{self.arm} is better than {self.against}",
            "worse": f"{self.arm} is worse than {self.against}",
            "equivalent": f"{self.arm} and {self.against} do not differ by as much as the margin declared beforehand",
            "not shown": f"no difference between {self.arm} and {self.against} is shown",
        }[self.verdict]
        tail = ""
        if self.verdict == "equivalent" and (self.low > 0 or self.high < 0):
            tail = " They do differ, by less than the margin you declared."
        if self.verdict == "not shown":
            tail = f" A true difference of {self.detectable:.4f} would have been found in 4 of 5 experiments."
        return f"On {place}, {said} ({size}).{tail}"


def judge(low: float, high: float, margin: float | None = None) -> Verdict:
    """The verdict that an interval gives."""
    if margin is not None and -margin <= low and high <= margin:
        return "equivalent"
    if high < 0:
        return "better"
    return "worse" if low > 0 else "not shown"


def compare(
    question: Question,
    pairs: Pairs,
    *,
    fixed: float = 0.0,
    fixed_against: float = 0.0,
    family: int = 1,
    alpha: float = 0.05,
    margin: float | None = None,
    seed: int = 0,
) -> Comparison:
    """Answer one question.

    Args:
        pairs: losses of both arms, of the question's group only.
        fixed, fixed_against: as for :func:`cuvee.proof.intervals.components`.
        family: how many intervals share ``alpha``: questions of the family times planned looks.
        seed: of the bootstrap.
    """
    if not (0 < alpha < 1 and family >= 1 and (margin is None or margin > 0)):
        raise UsageError("alpha lies between 0 and 1, a family has at least one question, and a margin is above zero.")
    parts, differences = components(pairs, fixed, fixed_against), pairs.differences
    mean, each = float(differences.mean()), alpha / family
    student = student_interval(mean, parts, each)
    bootstrap = bootstrap_interval(pairs, parts.luck, each, seed=seed)
    low, high = hull(student, bootstrap)
    notes = []
    if len(pairs.seeds) < 3:
        notes.append("Two seeds hardly tell how much results spread: use at least 3, better 8.")
    if parts.seeds == 0.0:
        notes.append("All seeds gave the same difference: the interval rests on the evaluation documents alone.")
    if parts.total == 0.0:
        notes.append("Every document gave the same difference at every seed: are both arms the same model?")
    own, other = pairs.means
    return Comparison(
        question.arm,
        question.against,
        question.evaluation,
        question.group,
        pairs.seeds,
        tuple(differences.tolist()),
        float(own.mean()),
        float(other.mean()),
        mean,
        low,
        high,
        student,
        bootstrap,
        1 - each,
        family,
        margin,
        judge(low, high, margin),
        parts,
        detectable(parts.seeds * parts.n, parts.n, parts.luck, parts.documents, parts.m, each),
        tuple(notes),
    )


def answer(
    asked: Sequence[Question],
    losses: Losses,
    *,
    fixed: Mapping[str, float] | None = None,
    groups: Groups | None = None,
    alpha: float = 0.05,
    looks: int = 1,
    margin: float | None = None,
    seed: int = 0,
) -> tuple[Comparison, ...]:
    """Answer a family of questions together.

    Args:
        losses: finished trials; both arms of a question need the same seeds.
        fixed: by arm, the share of a fixed selection that each of its runs draws; 0 for arms not named.
        groups: the groups of documents that questions name.
        looks: how often results are looked at, as planned beforehand.
        margin: differences below it do not matter, in the unit of the loss; None: every difference does.
    """
    shares, found = fixed or {}, []
    for one in asked:
        of = losses[one.evaluation]
        pairs = Pairs.of(of[one.arm], of[one.against])
        if one.group is not None:
            codes, names = (groups or {})[one.evaluation]
            pairs = pairs.only(codes == list(names).index(one.group))
        given = {"fixed": shares.get(one.arm, 0.0), "fixed_against": shares.get(one.against, 0.0)}
        found.append(compare(one, pairs, **given, family=len(asked) * looks, alpha=alpha, margin=margin, seed=seed))
    return tuple(found)


def planned_looks(seeds: int, early: bool = True) -> tuple[int, ...]:
    """After how many seeds results are looked at: half of them and all, or all if half would be fewer than three."""
    half = (seeds + 1) // 2
    return (half, seeds) if early and 3 <= half < seeds else (seeds,)


def stop(looks: Sequence[int], finished: int, comparisons: Sequence[Comparison]) -> bool:
    """Whether to stop after ``finished`` seeds: at the last look, or when every primary question is answered.

    Raises:
        UsageError: a look that was not planned; looking more often finds differences that are not there.
    """
    if finished not in looks:
        told = ", ".join(map(str, looks))
        raise UsageError(f"A look after {finished} seeds was not planned (planned: {told}). Wait for the next.")
    return finished == max(looks) or all(one.verdict != "not shown" for one in comparisons)
