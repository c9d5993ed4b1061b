"""Verdicts, families, looks, subgroups: by table, by hand and by simulation."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from cuvee.errors import UsageError
from cuvee.proof import groups, verdict
from cuvee.proof.power import t_quantile
from cuvee.proof.proxy import Measured
from cuvee.proof.verdict import Losses, Question


@pytest.mark.parametrize(
    ("low", "high", "margin", "expected"),
    [
        (-0.2, -0.1, None, "better"),
        (0.1, 0.2, None, "worse"),
        (-0.1, 0.1, None, "not shown"),
        (-0.1, 0.0, None, "not shown"),
        (0.0, 0.0, None, "not shown"),
        (-0.1, 0.1, 0.1, "equivalent"),
        (-0.1, 0.11, 0.1, "not shown"),
        (-0.09, -0.01, 0.1, "equivalent"),
        (-0.2, -0.01, 0.1, "better"),
        (0.01, 0.2, 0.1, "worse"),
    ],
)
def test_verdict_table(low: float, high: float, margin: float | None, expected: str) -> None:
    assert verdict.judge(low, high, margin) == expected


def trials(shift: float, seed: int, n: int = 6, m: int = 80, group: np.ndarray | None = None) -> dict[int, Measured]:
    """Paired by construction: documents are the same for every arm, noise is not. ``group`` shifts its documents."""
    random, shared = np.random.default_rng(seed), np.random.default_rng(0)
    size = shared.integers(50, 500, m).astype(np.float64)
    level = shared.normal(2, 0.3, m) + shift + (0 if group is None else group)
    return {
        one: Measured((level + random.normal(0, 0.02, m) + random.normal(0, 0.01)) * size, size)
        for one in range(1, n + 1)
    }


def losses() -> Losses:
    arms = {"dsir": -0.2, "random": 0.0, "length-matched": 0.0}
    return {
        name: {arm: trials(shift * scale, seed + 10 * at) for seed, (arm, shift) in enumerate(arms.items())}
        for at, (name, scale) in enumerate({"target": 1.0, "other": 0.0}.items())
    }


def test_a_family_shares_its_level() -> None:
    asked = verdict.questions(["dsir"], ["random", "length-matched"], ["target", "other"])
    assert len(asked) == 4
    found = verdict.answer(asked, losses(), fixed={"dsir": 0.5}, looks=2)
    assert {one.family for one in found} == {8} and found[0].level == pytest.approx(1 - 0.05 / 8)
    told = {(one.evaluation, one.against): one.verdict for one in found}
    assert told == {
        ("target", "random"): "better",
        ("target", "length-matched"): "better",
        ("other", "random"): "not shown",
        ("other", "length-matched"): "not shown",
    }
    alone = verdict.answer(asked[:1], losses(), fixed={"dsir": 0.5})[0]
    assert alone.high - alone.low < found[0].high - found[0].low
    for one in found:
        assert one.low <= min(one.student.low, one.bootstrap.low) and one.parts.luck > 0
        assert one.mean == pytest.approx(np.mean(one.differences)) == pytest.approx(one.arm_mean - one.against_mean)
        assert json.loads(json.dumps(dataclasses.asdict(one)))["verdict"] == one.verdict


def test_sentences() -> None:
    asked = verdict.questions(["dsir"], ["random"], ["target", "other"])
    better, nothing = verdict.answer(asked, losses())
    assert "dsir is better than random" in better.sentence() and "bits per byte" in better.sentence()
    assert "is shown" in nothing.sentence() and "4 of 5 experiments" in nothing.sentence()
    same = verdict.answer(asked, losses(), margin=0.5)[0]
    assert same.verdict == "equivalent" and "by less than the margin you declared" in same.sentence()


def test_what_cannot_vary_is_said() -> None:
    fixed = {seed: trials(0.0, 1)[1] for seed in (1, 2)}
    other = {seed: trials(0.1, 2)[1] for seed in (1, 2)}
    found = verdict.answer([Question("a", "b", "set")], {"set": {"a": fixed, "b": other}})[0]
    assert found.low < found.mean < found.high
    assert any("documents alone" in note for note in found.notes) and any("Two seeds" in note for note in found.notes)
    same = verdict.answer([Question("a", "b", "set")], {"set": {"a": fixed, "b": fixed}})[0]
    assert same.verdict == "not shown" and any("same model" in note for note in same.notes)


def test_margins_and_families_are_checked() -> None:
    with pytest.raises(UsageError, match="margin"):
        verdict.answer([Question("dsir", "random", "target")], losses(), margin=-1.0)


def test_looks_are_planned() -> None:
    assert verdict.planned_looks(8) == (4, 8) and verdict.planned_looks(7) == (4, 7)
    assert verdict.planned_looks(4) == (4,) and verdict.planned_looks(8, early=False) == (8,)
    shown, nothing = verdict.answer(verdict.questions(["dsir"], ["random"], ["target", "other"]), losses(), looks=2)
    assert verdict.stop((4, 8), 4, [shown]) and not verdict.stop((4, 8), 4, [shown, nothing])
    assert verdict.stop((4, 8), 8, [nothing])
    with pytest.raises(UsageError, match="planned: 4, 8"):
        verdict.stop((4, 8), 5, [nothing])


def test_looking_twice_does_not_raise_false_alarms() -> None:
    """Under the null, with the t test at alpha / 2 per look; at alpha per look there are too many."""
    random = np.random.default_rng(4)
    d = random.normal(0, 1, (40_000, 8))

    def alarms(alpha: float) -> float:
        called = np.zeros(len(d), bool)
        for n in verdict.planned_looks(8):
            t = d[:, :n].mean(axis=1) / d[:, :n].std(axis=1, ddof=1) * np.sqrt(n)
            called |= np.abs(t) > t_quantile(1 - alpha / 2, n - 1)
        return float(called.mean())

    assert alarms(0.05 / 2) < 0.05 < alarms(0.05) - 0.02


def grouped() -> tuple[Losses, verdict.Groups, np.ndarray]:
    """The average gains; group "poems" loses 0.3."""
    codes = np.repeat([0, 1, 2], [60, 15, 5]).astype(np.int32)
    arms = {
        "candidate": trials(-0.1, 1, group=np.where(codes == 1, 0.4, 0.0)),
        "random": trials(0.0, 2),
    }
    return {"target": arms}, {"target": (codes, ("prose", "poems", "rare"))}, codes


def test_a_group_that_loses_is_named() -> None:
    of, named, codes = grouped()
    asked, small = groups.group_questions(["candidate"], ["random"], named)
    assert [one.group for one in asked] == ["prose", "poems"] and small == ("target/rare",)
    found = verdict.answer(asked, of, groups=named)
    assert [one.verdict for one in found] == ["better", "worse"] and found[0].family == 2
    average = verdict.answer([Question("candidate", "random", "target")], of)[0]
    told = groups.warning(average, found)
    assert told is not None and "but loses on 1 of 2 groups: poems by 0.2966" in told
    assert groups.warning(average, found[:1]) is None
    worst, loss = groups.worst_group(of["target"]["candidate"], codes, named["target"][1])
    assert worst == "poems" and loss > groups.group_means(of["target"]["candidate"], codes, ("a", "b", "c"))["a"]


def test_one_group_asks_nothing_new() -> None:
    assert groups.group_questions(["a"], ["b"], {"x": (np.zeros(50, np.int32), ("all",))}) == ((), ())


def test_curves_are_told_from_lines() -> None:
    random = np.random.default_rng(6)
    x = random.uniform(0.5, 0.95, 40)
    bent = groups.curvature(x, 0.1 + 2 * (x - 0.5) ** 2 + random.normal(0, 0.01, 40))
    straight = groups.curvature(x, 0.1 + x + random.normal(0, 0.01, 40))
    assert bent.curved and bent.low < 4 < bent.high
    assert not straight.curved and straight.low < 0 < straight.high
    with pytest.raises(UsageError, match="at least 20"):
        groups.curvature(x[:19], x[:19])


def test_curvature_is_called_by_chance_in_one_of_twenty() -> None:
    random, called = np.random.default_rng(7), 0
    for _ in range(400):
        x = random.uniform(0.5, 0.95, 25)
        called += groups.curvature(x, x + random.normal(0, 0.02, 25)).curved
    assert called < 0.08 * 400


def test_probit_of_nothing_and_everything_is_finite() -> None:
    assert groups.probit(np.array([0, 50, 100]), 100) == pytest.approx([-2.5793, 0.0, 2.5793], abs=1e-3)
