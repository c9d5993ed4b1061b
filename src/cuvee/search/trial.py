"""The trial of a proposal: runs of it and of its rivals at seeds that the swarm has not seen, and what they show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ..methods.policy.uniform import Uniform
from ..proof import findings
from ..proof.arms import Pair, Plan
from ..proof.draws import Arm
from ..proof.record import Record
from .needed import tokens_needed
from .runs import Asked, Done, Runs

Floats = npt.NDArray[np.float64]
ALPHA = 0.05
PROPOSAL, BEST = "proposal", "best run"


def tried(
    runs: Runs, mixtures: Mapping[str, Floats], seeds: tuple[int, ...], natural: Floats, best: str
) -> dict[str, Any]:
    """What ``search.json`` says of the trial.

    Args:
        mixtures: of the proposal and its rivals, by name, or what else runs draw by. ``natural``: (k,): proportional.
        best: the name in the swarm of the rival ``BEST``.
    """
    made = runs.run([Asked(name, mixture, seed) for seed in seeds for name, mixture in mixtures.items()])
    records: dict[tuple[str, int], Record] = {(one.asked.arm, one.asked.seed): one.record for one in made}
    arms = {name: Arm(name, "mixture", runs.part, None, runs.grid.tokens, Uniform(), 1.0) for name in mixtures}
    pairs = tuple(Pair(arms[PROPOSAL], arm) for name, arm in arms.items() if name != PROPOSAL)
    plan = Plan(tuple(arms.values()), pairs, runs.grid.tokens)
    found = findings.answers(plan, seeds, runs.sets, records, findings.Asked(ALPHA, None, (len(seeds),)))
    multiples, more = tokens_needed(runs, natural, PROPOSAL, made, found.primary)
    return {
        "seeds": list(seeds),
        "best_run": best,
        "arms": findings.arms_table(plan, seeds, runs.sets, records),
        "comparisons": findings.comparisons(found),
        "unanswered": [[one.against, one.evaluation] for one in found.unanswered],
        "curves": findings.curves(plan, seeds, runs.sets, records),
        "multiples": multiples,
        "cost": cost([*made, *more]),
    }


def cost(made: Sequence[Done]) -> dict[str, float]:
    """What runs cost, each trial once."""
    once = {one.record.key: one.record.cost for one in made}.values()
    return {
        "runs": len(once),
        "tokens": sum(one["tokens"] for one in once),
        "train_seconds": sum(one.get("train_seconds", 0.0) for one in once),
        "eval_seconds": sum(one.get("eval_seconds", 0.0) for one in once),
    }
