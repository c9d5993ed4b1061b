"""Answers from trials: what diverged is counted and leaves no gap that reads like an answer."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from cuvee.core import Batch
from cuvee.methods.policy.uniform import Uniform
from cuvee.proof.arms import Pair, Plan
from cuvee.proof.draws import Arm
from cuvee.proof.evaluations import EvaluationSet
from cuvee.proof.findings import Answers, Asked, answers, group_curves
from cuvee.proof.proxy import Evaluation, Measured
from cuvee.proof.record import Record
from cuvee.proof_wording import group_curves as told_curves
from cuvee.proving import Proved

SEEDS = (0, 1, 2, 3)
SIZE = np.full(30, 100.0)
LEVELS = {"kept": 1.9, "random": 2.0, "length_matched": 2.0}


def record(arm: str, seed: int, diverged: bool) -> Record:
    random = np.random.default_rng([seed, *arm.encode()])
    loss = (LEVELS[arm] + random.normal(0, 0.01, 30)) * SIZE
    measured = {} if diverged else {"held": Measured(loss, SIZE)}
    status: Any = "diverged" if diverged else "finished"
    return Record(
        "", arm, "", "", "", seed, status, {}, {}, {}, (), measured, {}, {}, datetime(2026, 1, 1, tzinfo=UTC), 1.0
    )


def found(*diverged: tuple[str, int]) -> Answers:
    """Answers of one candidate against two baselines, where these trials diverged."""
    arms = {name: Arm(name, name, cast(Any, None), None, 10, Uniform()) for name in LEVELS}
    plan = Plan(
        tuple(arms.values()), tuple(Pair(arms["kept"], arms[name]) for name in ("random", "length_matched")), 10
    )
    batch = Batch(np.zeros(0, np.uint8), np.zeros(31, np.int64), np.arange(30), np.arange(30, dtype=np.uint64), {})
    held = EvaluationSet(Evaluation("held", batch, np.zeros(30, np.int32), ("all",)), "", "", np.arange(30), 30, 0, ())
    records = {(name, seed): record(name, seed, (name, seed) in diverged) for name in LEVELS for seed in SEEDS}
    return answers(plan, SEEDS, [held], records, Asked(0.05, None, (4,)))


def test_all_finished() -> None:
    told = found()
    assert [one.verdict for one in told.primary] == ["better", "better"]
    assert not told.unanswered and not told.diverged and {one.family for one in told.primary} == {2}


def test_one_diverged_trial_takes_the_verdict_and_not_the_numbers() -> None:
    told = found(("random", 2))
    random, matched = told.primary
    assert random.verdict == "not shown" and random.seeds == (0, 1, 3) and matched.verdict == "better"
    assert any("1 of 8 trials" in note for note in random.notes) and told.diverged == {"random": 1}
    assert not told.unanswered


def test_a_question_without_two_finished_pairs_is_named_and_still_counts_in_the_family() -> None:
    told = found(("random", 0), ("random", 2), ("kept", 1))
    (one,) = told.unanswered
    assert (one.arm, one.against) == ("kept", "random")
    (matched,) = told.primary
    assert matched.family == 2 and matched.level == pytest.approx(0.975)


def test_better_needs_every_answer() -> None:
    def better(diverged: int, kind: str = "random") -> bool:
        summary = {
            "comparisons": [{"verdict": "better", "primary": True}],
            "on_target": [],
            "arms": [{"kind": "candidate", "diverged": 0}, {"kind": kind, "diverged": diverged}],
        }
        return Proved(Path(), summary).better

    assert better(0) and not better(1)
    assert better(1, "full")  # a reference, which no verdict is about


def grouped(name: str, sizes: dict[str, int]) -> EvaluationSet:
    """An evaluation set with so many documents in each group."""
    group = np.repeat(np.arange(len(sizes), dtype=np.int32), list(sizes.values()))
    n = len(group)
    batch = Batch(np.zeros(0, np.uint8), np.zeros(n + 1, np.int64), np.arange(n), np.arange(n, dtype=np.uint64), {})
    return EvaluationSet(Evaluation(name, batch, group, tuple(sizes)), "", "", np.arange(n), n, 0, ())


def curves_of(sizes: dict[str, int], arms: int = 8, runs: int = 3) -> list[dict[str, Any]]:
    """Groups "few" and "other" over "many", whose losses go from 1 to 2: the first turns, the second follows."""
    records, random = {}, np.random.default_rng(0)
    for arm in range(arms):
        for seed in range(runs):
            x = 1 + arm / (arms - 1) + random.normal(0, 0.002)
            metrics = {"held/many": x, "held/few": (x - 1.7) ** 2 + random.normal(0, 0.002), "held/other": x}
            metrics |= {"held/tiny": 1.0, "held": 1.0}
            key, place = f"{arm} {seed}", (f"arm {arm}", seed)
            one = record("kept", seed, False)
            records[place] = replace(one, key=key, arm=f"arm {arm}", metrics=metrics)
    repeated = replace(records["arm 0", 0], seed=99)  # a trial without chance, found again at another seed
    return told_curves(group_curves([grouped("held", sizes)], records | {("arm 0", 99): repeated}, 0.05))


def test_small_groups_are_held_against_the_largest() -> None:
    few, other = curves_of({"many": 50, "few": 10, "other": 20, "tiny": 9})
    assert (few["majority"], few["minority"], few["documents"], few["trials"]) == ("many", "few", [50, 10], 24)
    assert few["answer"] == "curve" and few["against"] and few["end_high"] < 0
    assert few["said"].startswith("'few' and 'many' move on a curve that turns over 24 trials of 8 arms on held: where")
    assert other["answer"] == "line" and not other["against"]
    assert (
        other["said"].startswith("'other' follows 'many' on a line over 24 trials") and "slope +1.000" in other["said"]
    )
    assert len(few["points"]) == 24 and few["points"][0][0] == "arm 0"


def test_few_arms_trials_or_groups_tell_nothing_of_curves() -> None:
    assert curves_of({"many": 50, "few": 9}) == []
    assert curves_of({"many": 50, "few": 10}, arms=6, runs=3) == []
    (one,) = curves_of({"many": 50, "few": 10}, arms=4, runs=5)
    assert one["answer"] == "open" and one["p"] is None and "fewer than six arms" in one["said"]
    json.dumps(one, allow_nan=False)
