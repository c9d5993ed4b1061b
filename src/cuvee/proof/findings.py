"""From finished trials to answers: comparisons, subgroups, curves, costs; everything that a report shows in numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np

from .arms import Plan
from .evaluations import EvaluationSet
from .group_curve import Estimate, group_curve
from .groups import FEWEST_DOCUMENTS, FEWEST_MODELS, group_questions, worst_group
from .noise import noise_floor
from .power import t_quantile
from .proxy import Floats
from .record import Record
from .verdict import Comparison, Groups, Question, answer

Records = Mapping[tuple[str, int], Record]
"""Trials by arm and seed, diverged ones included."""
MOST_SMALL = 3
"""Of an evaluation set's groups so many, the smallest, are held against the largest: each takes its part of the 5 %."""
MOST_POINTS = 400
SELECT_OPERATIONS_PER_SECOND = 1e9
"""Selecting is integer work that nobody counts; this many operations stand for a second of it."""


@dataclass(frozen=True)
class Asked:
    """What is decided before the first trial."""

    alpha: float
    margin: float | None
    looks: tuple[int, ...]


@dataclass(frozen=True)
class Answers:
    """All comparisons: the primary family, the subgroups' family, and the references, which get no verdict.

    ``small``: subgroups with too few documents. ``diverged``: trials that diverged, by arm. ``unanswered``: primary
    questions for which fewer than two seeds finished in both arms.
    """

    primary: tuple[Comparison, ...]
    groups: tuple[Comparison, ...]
    references: tuple[Comparison, ...]
    small: tuple[str, ...]
    diverged: Mapping[str, int]
    unanswered: tuple[Question, ...] = ()


def diverged_by_arm(records: Records) -> dict[str, int]:
    """How many trials of each arm diverged; arms without any are left out."""
    found: dict[str, int] = {}
    for (arm, _), record in records.items():
        if record.status == "diverged":
            found[arm] = found.get(arm, 0) + 1
    return found


def answers(
    plan: Plan, seeds: Sequence[int], evaluations: Sequence[EvaluationSet], records: Records, asked: Asked
) -> Answers:
    """Answer every question of the plan from the trials at these seeds."""
    diverged = diverged_by_arm(records)
    verdicts = [pair for pair in plan.pairs if not pair.reference]
    groups: Groups = {one.name: (one.evaluation.group, one.evaluation.groups) for one in evaluations}
    primary = [Question(pair.arm.name, pair.against.name, one.name) for pair in verdicts for one in evaluations]
    by_group: list[Question] = []
    small: tuple[str, ...] = ()
    for pair in verdicts:
        found, small = group_questions([pair.arm.name], [pair.against.name], groups)
        by_group += found
    references = [
        Question(pair.arm.name, pair.against.name, one.name)
        for pair in plan.pairs
        if pair.reference
        for one in evaluations
    ]
    shares = {arm.name: arm.fixed for arm in plan.arms}

    def settle(family: Sequence[Question], looks: int, margin: float | None) -> tuple[Comparison, ...]:
        done = []
        for one in family:
            common = [
                seed for seed in seeds if _finished(records, one.arm, seed) and _finished(records, one.against, seed)
            ]
            if len(common) < 2:
                continue
            losses = {
                one.evaluation: {
                    name: {seed: records[name, seed].measured[one.evaluation] for seed in common}
                    for name in (one.arm, one.against)
                }
            }
            fixed = {name: shares[name] for name in (one.arm, one.against)}
            # a family of one question each, at the level that all of them share
            (found,) = answer(
                [one], losses, fixed=fixed, groups=groups, alpha=asked.alpha / len(family), looks=looks, margin=margin
            )
            lost = sum(diverged.get(name, 0) for name in (one.arm, one.against))
            if lost:
                note = f"{lost} of {2 * len(seeds)} trials of these arms diverged: no verdict is given."
                found = replace(found, verdict="not shown", notes=(*found.notes, note))
            done.append(replace(found, family=len(family) * looks))
        return tuple(done)

    looks = len(asked.looks)
    settled = settle(primary, looks, asked.margin)
    answered = {(one.arm, one.against, one.evaluation) for one in settled}
    return Answers(
        settled,
        settle(by_group, looks, asked.margin),
        settle(references, 1, None),
        small,
        diverged,
        tuple(one for one in primary if (one.arm, one.against, one.evaluation) not in answered),
    )


def _finished(records: Records, arm: str, seed: int) -> bool:
    record = records.get((arm, seed))
    return record is not None and record.status == "finished"


def mean_and_band(values: Sequence[float]) -> tuple[float, float, float]:
    """Mean over seeds with its 95 % t interval; of one value, that value thrice."""
    x = np.asarray(values, np.float64)
    mean = float(x.mean())
    if len(x) < 2:
        return mean, mean, mean
    half = t_quantile(0.975, len(x) - 1) * float(x.std(ddof=1)) / math.sqrt(len(x))
    return mean, mean - half, mean + half


def curves(plan: Plan, seeds: Sequence[int], evaluations: Sequence[EvaluationSet], records: Records) -> dict[str, Any]:
    """Per evaluation set and arm: tokens seen (by the pool's count, like all others), mean loss, and its band."""
    found: dict[str, Any] = {}
    for evaluation in evaluations:
        of = found.setdefault(evaluation.name, {})
        for arm in plan.arms:
            runs = [records[arm.name, seed].curve for seed in seeds if _finished(records, arm.name, seed)]
            points = min((len(run) for run in runs), default=0)
            done = [records[arm.name, seed] for seed in seeds if _finished(records, arm.name, seed)]
            share = float(np.mean([_of_pool(one) for one in done])) if done else 0.0
            bands = [mean_and_band([run[at].loss[evaluation.name] for run in runs]) for at in range(points)]
            if bands:
                of[arm.name] = {
                    "tokens": [round(float(share * np.mean([run[at].tokens for run in runs]))) for at in range(points)],
                    "mean": [band[0] for band in bands],
                    "low": [band[1] for band in bands],
                    "high": [band[2] for band in bands],
                }
    return found


def _of_pool(record: Record) -> float:
    """The pool's tokens for each of the proxy's own."""
    return record.cost["tokens"] / max(record.cost["train_tokens"], 1.0)


def arms_table(
    plan: Plan, seeds: Sequence[int], evaluations: Sequence[EvaluationSet], records: Records
) -> list[dict[str, Any]]:
    """What each arm trained on, cost and reached, on average over seeds."""
    found = []
    for arm in plan.arms:
        runs = [records[arm.name, seed] for seed in seeds if (arm.name, seed) in records]
        if not runs:
            continue
        good = [run for run in runs if run.status == "finished"]

        def average(name: str, runs: list[Record] = runs) -> float:
            return float(np.mean([run.cost.get(name, 0.0) for run in runs]))

        losses: dict[str, Any] = {}
        for one in evaluations if good else ():
            mean, low, high = mean_and_band([run.metrics[one.name] for run in good])
            losses[one.name] = {"mean": mean, "low": low, "high": high}
            if len(one.evaluation.groups) > 1:
                trials = {run.seed: run.measured[one.name] for run in good}
                group, loss = worst_group(trials, one.evaluation.group, one.evaluation.groups)
                losses[one.name] |= {"worst_group": group, "worst_group_mean": loss}
        tokens = average("tokens")
        found.append(
            {
                "name": arm.name,
                "kind": arm.kind,
                "tokens": round(tokens),
                "train_tokens": round(average("train_tokens")),
                "documents": round(average("documents")),
                "selection_tokens": arm.select_tokens or None,
                "part": arm.fixed or None,
                "passes": arm.epochs,
                "select_seconds": average("select_seconds"),
                "select_flops": average("select_flops"),
                "train_seconds": average("train_seconds"),
                "train_flops": average("train_flops"),
                "diverged": len(runs) - len(good),
                "losses": losses,
            }
        )
    return found


def costs(arms: Sequence[Mapping[str, Any]], first: Sequence[Comparison]) -> list[dict[str, Any]]:
    """Gain over the first baseline against total cost, per candidate; and that baseline's own cost, at no gain."""
    by_name = {arm["name"]: arm for arm in arms}
    found = []
    seen = set()
    for one in first:
        for name, mean, low, high in ((one.against, 0.0, 0.0, 0.0), (one.arm, one.mean, one.low, one.high)):
            if name in by_name and name not in seen:
                seen.add(name)
                select, train = by_name[name]["select_seconds"], by_name[name]["train_seconds"]
                found.append(
                    {
                        "arm": name,
                        "select_seconds": select,
                        "train_seconds": train,
                        "total_seconds": select + train,
                        "gain": mean,
                        "low": low,
                        "high": high,
                    }
                )
    return found


def as_json(one: Comparison, role: Literal["primary", "group", "reference"]) -> dict[str, Any]:
    """A comparison as the report takes it; arms of unlike size are a reference, of which no verdict is given."""
    return {
        "arm": one.arm,
        "against": one.against,
        "evaluation": one.evaluation,
        "group": one.group,
        "primary": role == "primary",
        "mean": one.mean,
        "low": one.low,
        "high": one.high,
        "arm_mean": one.arm_mean,
        "against_mean": one.against_mean,
        "t_low": one.student.low,
        "t_high": one.student.high,
        "bootstrap_low": one.bootstrap.low,
        "bootstrap_high": one.bootstrap.high,
        "level": one.level,
        "family": one.family,
        "verdict": one.verdict if role != "reference" else "reference",
        "seeds": list(one.seeds),
        "differences": list(one.differences),
        "detectable": one.detectable,
        "variance": {"seeds": one.parts.seeds, "luck": one.parts.luck, "documents": one.parts.documents},
        "notes": list(one.notes),
    }


def comparisons(found: Answers) -> list[dict[str, Any]]:
    """All that was compared, in the form that summaries have it: primary ones, subgroups, and references."""
    return [
        *(as_json(one, "primary") for one in found.primary),
        *(as_json(one, "group") for one in found.groups),
        *(as_json(one, "reference") for one in found.references),
    ]


def noise(
    plan: Plan, seeds: Sequence[int], evaluations: Sequence[EvaluationSet], records: Records
) -> list[dict[str, Any]]:
    """How far the first baseline's runs spread, on each evaluation set and on what it was drawn from."""
    arm = plan.pairs[0].against.name
    found = []
    for one in evaluations:
        runs = [records[arm, seed].measured[one.name] for seed in seeds if _finished(records, arm, seed)]
        if len(runs) > 1:
            floor = noise_floor(np.stack([run.loss for run in runs]), runs[0].size)
            found.append({"arm": arm, "evaluation": one.name, "said": floor.sentence(), **asdict(floor)})
    return found


def gains(records: Records, one: Comparison, evaluation: str) -> Floats:
    """How much less the arm loses than the other on each document, float64 (m,), averaged over seeds."""
    total = []
    for seed in one.seeds:
        mine, other = (records[name, seed].measured[evaluation] for name in (one.arm, one.against))
        total.append((other.loss - mine.loss) / mine.size)
    return np.asarray(np.mean(total, axis=0))


def group_curves(evaluations: Sequence[EvaluationSet], records: Records, alpha: float) -> list[dict[str, Any]]:
    """Whether small groups follow the largest over all finished trials, multiples included; see :mod:`.group_curve`.

    Per evaluation set the largest group by documents against the three smallest of ten documents or more, at ``alpha``
    for all together. Sets with fewer than 20 different trials, three arms or two such groups are left out.
    """
    trials = list({(one.arm, one.key): one for one in records.values() if one.status == "finished"}.values())
    trials.sort(key=lambda one: (one.arm, one.seed))
    asked = []
    for one in evaluations:
        count = np.bincount(one.evaluation.group, minlength=len(one.evaluation.groups))
        order = [at for at in np.argsort(count, kind="stable").tolist() if count[at] >= FEWEST_DOCUMENTS]
        if len(order) > 1:
            asked += [(one, order[-1], small) for small in order[: min(MOST_SMALL, len(order) - 1)]]
    found = []
    for one, large, small in asked if len(trials) >= FEWEST_MODELS else ():
        names = [one.evaluation.groups[at] for at in (large, small)]
        x, y = (np.array([trial.metrics[f"{one.name}/{name}"] for trial in trials]) for name in names)
        arms = [trial.arm for trial in trials]
        if len(set(arms)) < 3 or len(np.unique(x)) < 3:
            continue
        told = group_curve(x, y, arms, alpha / len(asked))
        count = np.bincount(one.evaluation.group, minlength=len(one.evaluation.groups))
        found.append(
            {
                "evaluation": one.name,
                "majority": names[0],
                "minority": names[1],
                "documents": [int(count[large]), int(count[small])],
                "trials": told.trials,
                "arms": told.arms,
                "answer": told.answer,
                "against": told.against,
                **_estimate("slope", told.slope),
                **_estimate("bend", told.bend),
                **_estimate("end", told.end),
                "aicc_gain": told.gain,
                "f": told.f,
                "p": told.p if math.isfinite(told.p) else None,
                "spread": told.spread,
                "coefficients": list(told.coefficients),
                "points": [[*point] for point in zip(arms, x.tolist(), y.tolist(), strict=True)][:MOST_POINTS],
            }
        )
    return found


def _estimate(name: str, one: Estimate) -> dict[str, float | None]:
    values = {name: one.mean, f"{name}_low": one.low, f"{name}_high": one.high}
    return {key: value if math.isfinite(value) else None for key, value in values.items()}
