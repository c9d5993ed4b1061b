"""How many times the tokens random data would need for a candidate's loss: further trials of random in a proof.

Random is trained with other amounts of tokens, until it catches up or the pool ends; the answer lies where its losses
cross the candidate's (:mod:`cuvee.proof.multiples`). For mixtures see :mod:`cuvee.search.needed`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import proof_wording as wording
from . import findings
from .arms import multiple as of_random
from .draws import Arm
from .multiples import multiple
from .verdict import Comparison

if TYPE_CHECKING:
    from .job import Job


def tokens_needed(job: Job, seeds: Sequence[int], primary: Sequence[Comparison]) -> list[dict[str, Any]]:
    """Per candidate and evaluation set where it is shown to differ from random: what random would need.

    Args:
        seeds: that are done; the first of them are trained at. ``primary``: the answers at them.
    """
    pairs = [pair for pair in job.plan.pairs if pair.against.kind == "random"]
    if not pairs or job.question.equal == "cost" or findings.diverged_by_arm(job.records):
        return []
    random, seeds = pairs[0].against, seeds[: job.question.proxy.multiple_seeds]
    steps: dict[float, Arm] = {1.0: random}
    for times in job.question.proxy.multiples:
        if times * random.tokens > random.source.totals["tokens"]:
            break
        if times > 1 and _caught_up(job, pairs, steps, seeds):
            break
        arm = of_random(random, times)
        if not all(len(job.draw(arm, seed).row) for seed in seeds):
            continue  # so few tokens that no document fits
        job.train([arm], seeds)
        lost = sum(job.records[arm.name, seed].status == "diverged" for seed in seeds)
        if lost:
            job.warnings.append(
                f"{lost} of {len(seeds)} trials of '{arm.name}' diverged: what random would need is told without."
            )
            continue
        steps[times] = arm
    if len(steps) < 2:
        return []
    found = []
    for pair in pairs:
        for one in job.sets:
            losses = {
                times: {seed: job.records[arm.name, seed].metrics[one.name] for seed in seeds}
                for times, arm in steps.items()
            }
            own = {seed: job.records[pair.arm.name, seed].metrics[one.name] for seed in seeds}
            same = (pair.arm.name, pair.against.name, one.name)
            shown = next(each for each in primary if (each.arm, each.against, each.evaluation) == same)
            if shown.verdict == "not shown":
                continue  # by how much is no question where it is open whether
            answer = multiple(own, losses, luck=shown.parts.luck)
            order = sorted(steps)
            found.append(
                {
                    "arm": pair.arm.name,
                    "evaluation": one.name,
                    "tokens": [round(random.tokens * times) for times in order],
                    "loss": [float(np.mean(list(losses[times].values()))) for times in order],
                    "candidate_loss": float(np.mean(list(own.values()))),
                    **wording.multiple(answer),
                }
            )
    return found


def _mean(job: Job, arm: str, evaluation: str, seeds: Sequence[int]) -> float:
    return float(np.mean([job.records[arm, seed].metrics[evaluation] for seed in seeds]))


def _caught_up(job: Job, pairs: Sequence[Any], steps: Mapping[float, Arm], seeds: Sequence[int]) -> bool:
    """Whether random reaches every candidate's loss with the most tokens that it was given."""
    most = steps[max(steps)].name
    return all(
        _mean(job, most, one.name, seeds) <= _mean(job, pair.arm.name, one.name, seeds)
        for pair in pairs
        for one in job.sets
    )
