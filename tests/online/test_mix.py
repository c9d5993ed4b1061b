"""Mixtures in anyone's loop: shares, journals, and refusals."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cuvee
from cuvee import registry
from cuvee.errors import DataError, UsageError
from cuvee.online.mixture import MixturePolicy

SIZES = {"code": 200, "web": 600, "books": 400}
NAMES = sorted(name for name in registry.policies() if issubclass(registry.load(name), MixturePolicy))
MIXING = [name for name in NAMES if name != "two_set"]
EFFECT = np.array([[0.9, 0.1, 0.0], [0.05, 0.9, 0.05], [0.3, 0.2, 0.5]]) / 100
"""How much a unit of each source (columns) lowers each loss, in the world of :func:`run`."""


def run(
    mix: cuvee.OnlineMix, turns: int = 10**9, world: dict[str, Any] | None = None, cost: float | None = None
) -> list[dict[str, float]]:
    """Train in a world where the law is exact; the weights of every turn."""
    found, given = [], {"seen": np.zeros(3)} if world is None else world
    while not mix.done and len(found) < turns:
        turn = mix.propose()
        found.append(turn.weights)
        if turn.restart:
            given["seen"] = np.zeros(3)
        given["seen"] = given["seen"] + np.bincount(turn.order, minlength=3)
        told: dict[str, Any] = {}
        if "excess" in turn.asks:
            told["excess"] = {"code": 0.1, "books": 0.4}
        if "gradients" in turn.asks:
            slopes = np.random.default_rng(turn.number).normal(size=(6, 4))
            told["gradients"] = slopes @ slopes.T
        mix.update(losses_of(mix, given["seen"]) if turn.measure else None, cost=cost, **told)
    return found


def losses_of(mix: cuvee.OnlineMix, seen: np.ndarray) -> dict[str, float]:
    return dict(zip(mix.sources, (60.0 - EFFECT @ seen).tolist(), strict=True))


def begun(policy: str, **more: Any) -> cuvee.OnlineMix:
    given = {"total": 300, "losses": dict.fromkeys(SIZES, 60.0)} | more
    return cuvee.OnlineMix(SIZES, policy, **given)


@pytest.mark.parametrize("policy", MIXING)
def test_the_journal_is_the_state(policy: str, tmp_path: Path) -> None:
    """Replayed, resumed after a torn line, or loaded from JSON: the same weights as without interruption."""
    whole = run(begun(policy))
    journal, world = tmp_path / "mix.jsonl", {"seen": np.zeros(3)}
    mix = begun(policy, journal=journal)
    half = len(whole) // 2
    before = run(mix, half, world)
    from_json = cuvee.OnlineMix.load(json.loads(json.dumps(mix.state())))
    with journal.open("ab") as stream:
        stream.write(b'{"number": 1, "wei')
    assert cuvee.OnlineMix.replay(journal).state() == mix.state()
    resumed = cuvee.OnlineMix.resume(journal)
    seen = world["seen"]
    for other in (from_json, resumed):
        assert before + run(other, world={"seen": seen}) == whole
    assert cuvee.OnlineMix.replay(journal).done
    assert len(journal.read_bytes().splitlines()) == len(whole) + 1


@pytest.mark.parametrize("policy", MIXING)
def test_shares_and_the_end(policy: str) -> None:
    """Exactly the units asked for; each prefix of a turn near its shares; orders depend on nothing else."""
    mix, world = begun(policy), {"seen": np.zeros(3)}
    trained, owed = 0, np.zeros(3)
    while not mix.done:
        turn = mix.propose()
        assert np.array_equal(turn.order, mix.propose().order)
        shares = np.array([turn.weights[name] for name in mix.sources])
        assert shares.sum() == pytest.approx(1) and (shares >= 0).all()
        weight = np.array([turn.loss_weights[name] for name in mix.sources])
        assert weight[turn.order].mean() == pytest.approx(1)
        counts = np.bincount(turn.order, minlength=3)
        owed = (0.0 if turn.restart else owed) + shares * len(turn.order) - counts
        assert np.abs(owed[shares > 0]).max() < 1.5
        trained += len(turn.order)
        run(mix, 1, world, cost=0)
    assert trained == mix.spent == 300
    assert sum(mix.weights().values()) == pytest.approx(1)
    with pytest.raises(UsageError, match="the training is over"):
        mix.propose()


def test_aioli_finds_the_source_that_helps() -> None:
    """Where the law is exact, the estimated matrix is the true one, up to its own normalisation, and weights follow."""
    mix = begun("aioli", total=3_000, settings={"rounds": 2, "sweeps": 3, "eta": 2.0})
    weights = run(mix)[-1]
    gain = dict(zip(mix.sources, EFFECT.sum(axis=0).tolist(), strict=True))
    ranked = sorted(gain, key=lambda name: gain[name])
    assert sorted(weights, key=lambda name: weights[name]) == ranked
    stretch = round(0.4 * 1_500 / 9)
    wanted = EFFECT - min(EFFECT.min(), 0)
    np.testing.assert_allclose(mix.memory["matrix"], wanted / wanted.sum(), atol=0.02)
    assert stretch > 10  # else rounding to whole units would hide the matrix


def test_measuring_is_paid_for() -> None:
    mix = begun("skill_it")
    mix.propose()
    mix.update(losses_of(mix, np.zeros(3)), cost=40)
    assert mix.spent == len(begun("skill_it").propose().order) + 40


@pytest.mark.parametrize(("policy", "paid"), [("doge", 2.0), ("doremi", 1 / 3)])
def test_a_proxy_is_as_long_as_it_was_told(policy: str, paid: float, tmp_path: Path) -> None:
    """Trained on and paid for, a proxy takes the units of its restart, though nobody said what measuring costs."""
    mix, world = begun(policy, total=3_000, journal=tmp_path / "mix.jsonl"), {"seen": np.zeros(3)}
    spans: list[list[float]] = []
    while not mix.done:
        turn, before = mix.propose(), mix.spent
        if turn.restart:
            spans.append([turn.restart, 0.0, 0.0])
        run(mix, 1, world)
        spans[-1][1] += len(turn.order)
        spans[-1][2] += mix.spent - before
        assert mix.spent - before == pytest.approx(len(turn.order) * (1 + paid * bool(turn.asks)), abs=1)
    for promised, trained, spent in spans:
        assert spent == pytest.approx(promised, abs=25)  # whole units a turn
        assert trained <= spent
    assert sum(spent for _, _, spent in spans) == 3_000
    assert cuvee.OnlineMix.replay(tmp_path / "mix.jsonl").state() == mix.state()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"policy": "infobatch"}, "decides about single examples"),
        ({"policy": "two_set"}, "decides about single examples"),
        ({"policy": "aiolli"}, "Did you mean aioli"),
        ({"sources": {}}, "whole number of units"),
        ({"sources": {"a": 0}}, "whole number of units"),
        ({"sources": {"a": 1.5}}, "whole number of units"),
        ({"total": 0}, "at least 1"),
        ({"total": 10**12}, "in batches rather than in tokens"),
        ({"settings": {"share": 2}}, "below 1"),
        ({"settings": {"prior": (1.0, 2.0)}}, "3 numbers above 0"),
        ({"settings": {"rounds": None}}, "rounds=None is not a whole number"),
        ({"settings": {"rounds": 2.5}}, "rounds=2.5 is not a whole number"),
        ({"settings": {"rounds": True}}, "rounds=True is not a whole number"),
        ({"settings": {"eta": [1.0]}}, "is not a number"),
        ({"settings": {"ema": [1.0]}}, "is not a number or None"),
        ({"settings": {"diagonal": 2}}, "is not True or False"),
        ({"settings": {"prior": [1.0, None, 1.0]}}, "is not a list of numbers"),
        ({"settings": {"prior": 1.0}}, "is not a list of numbers"),
        ({"settings": ["rounds"]}, "parameters by name"),
        ({"settings": {"old": [1]}, "policy": "replay"}, "text, or a list of names"),
        ({"settings": {"old": ["map"]}, "policy": "replay"}, "no domain is called 'map'"),
        ({"sources": ["a", "b"]}, "units by name"),
        ({"sources": {1: 5}}, "units by name"),
        ({"seed": 1.5}, "seed must be a whole number"),
        ({"losses": None}, "needs each source's held-out losses before training"),
        ({"losses": None, "policy": "skill_it"}, "needs each source's held-out losses before training"),
        ({"losses": {**dict.fromkeys(SIZES, 1.0), "web": True}}, "must be a number, not True"),
        ({"losses": {"web": 1.0}}, "loss of 'books' is missing"),
        ({"losses": {**dict.fromkeys(SIZES, 1.0), "map": 1.0}}, "no source 'map'"),
        ({"losses": {**dict.fromkeys(SIZES, 1.0), "web": float("nan")}}, "loss of 'web' is nan"),
    ],
)
def test_a_bad_beginning_is_refused(given: dict[str, Any], said: str, tmp_path: Path) -> None:
    arguments: dict[str, Any] = {"sources": SIZES, "policy": "aioli", "total": 100, "journal": tmp_path / "mix.jsonl"}
    arguments |= {"losses": dict.fromkeys(SIZES, 6.0)} | given
    with pytest.raises(UsageError, match=said):
        cuvee.OnlineMix(**arguments)
    assert not list(tmp_path.iterdir())


def test_missing_measurements_are_refused_and_change_nothing() -> None:
    mix = begun("aioli")
    mix.propose()
    before = json.dumps(mix.state())
    for told, said in (
        (None, "held-out loss after this turn"),
        ({"web": 1.0}, "is missing"),
        ({**dict.fromkeys(SIZES, 1.0), "web": float("inf")}, "diverged"),
    ):
        with pytest.raises(UsageError, match=said):
            mix.update(told)
    with pytest.raises(UsageError, match="cost must be"):
        mix.update(dict.fromkeys(SIZES, 1.0), cost=-1)
    assert json.dumps(mix.state()) == before
    doge = begun("doge")
    doge.propose()
    with pytest.raises(UsageError, match="needs gradients"):
        doge.update()
    with pytest.raises(UsageError, match="must be 6 x 6"):
        doge.update(gradients=np.zeros((3, 3)))
    for bad in ("x", [["a", "b"], ["c", "d"]], [[1.0], [1.0, 2.0]]):
        with pytest.raises(UsageError, match="6 rows of as many numbers"):
            doge.update(gradients=bad)


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ({"losses": {**dict.fromkeys(SIZES, 1.0), "web": "x"}}, "loss of 'web' must be a number, not 'x'"),
        ({"losses": {**dict.fromkeys(SIZES, 1.0), "web": None}}, "must be a number, not None"),
        ({"losses": {**dict.fromkeys(SIZES, 1.0), "web": True}}, "must be a number, not True"),
        ({"losses": {**dict.fromkeys(SIZES, 1.0), "web": [1.0]}}, "must be a number, not"),
        ({"losses": {**dict.fromkeys(SIZES, 1.0), "web": -5.0}}, "loss of 'web' is -5: below 0"),
        ({"losses": [1.0, 1.0, 1.0]}, "numbers by source"),
        ({"losses": dict.fromkeys(SIZES, 1.0), "excess": {"web": 0.1}}, "aioli did not ask for excess"),
        ({"losses": dict.fromkeys(SIZES, 1.0), "gradients": np.eye(6)}, "aioli did not ask for gradients"),
        ({"losses": dict.fromkeys(SIZES, 1.0), "cost": "9"}, "cost must be"),
        ({"losses": dict.fromkeys(SIZES, 1.0), "cost": True}, "cost must be"),
    ],
)
def test_measurements_of_the_wrong_kind_are_refused(told: dict[str, Any], said: str, tmp_path: Path) -> None:
    journal = tmp_path / "mix.jsonl"
    mix = begun("aioli", journal=journal)
    mix.propose()
    before, lines = json.dumps(mix.state()), journal.read_bytes()
    with pytest.raises(UsageError, match=said):
        mix.update(**told)
    assert json.dumps(mix.state()) == before and journal.read_bytes() == lines
    mix.update({name: np.float32(1.0) for name in SIZES})  # the turn is still open, and NumPy's numbers are numbers
    assert mix.number == 1


def test_a_turn_is_proposed_before_it_is_done_and_done_once() -> None:
    """Else units that nothing was trained on would count as spent."""
    mix = begun("stratified", total=3_000)
    mix.weights()
    for _ in range(2):
        with pytest.raises(UsageError, match="update before propose"):
            mix.update()
        mix.propose()
        spent = mix.spent
        mix.update()
        assert mix.spent > spent
    loaded = cuvee.OnlineMix.load(mix.state())
    with pytest.raises(UsageError, match="update before propose"):
        loaded.update()
    run(mix)
    with pytest.raises(UsageError, match="training is over"):
        mix.update()


def test_settings_as_python_writes_them() -> None:
    """Lists of names, whole numbers where shares are meant, arrays of shares; and they come back from the journal."""
    for old in (["web", "books"], ("web", "books"), "web+books"):
        mix = begun("replay", settings={"old": old, "begin": 0})
        assert mix.propose().weights["code"] == pytest.approx(0.95)
        assert cuvee.OnlineMix.load(mix.state()).weights() == mix.weights()
    assert begun("aioli", settings={"prior": np.array([1, 2, 1]), "rounds": "2", "ema": None}).policy.rounds == 2  # type: ignore[attr-defined]


def test_damaged_journals_are_refused(tmp_path: Path) -> None:
    journal = tmp_path / "mix.jsonl"
    run(begun("stratified", journal=journal), 1)
    with pytest.raises(UsageError, match="exists"):
        begun("stratified", journal=journal)
    good = journal.read_bytes().splitlines(keepends=True)
    for bad in (
        b"",
        b"{}\n",
        b"null\n",
        b"\xff\n",
        good[1],
        good[0].replace(b'"seed": 0', b'"seed": 1'),
        good[0] + good[1].replace(b'"cost": 0.0', b'"cost": 9.0'),
        good[0] + b"[" * 100_000 + b"\n",
    ):
        journal.write_bytes(bad)
        with pytest.raises(DataError):
            cuvee.OnlineMix.replay(journal)
    with pytest.raises(DataError, match="cannot be read"):
        cuvee.OnlineMix.replay(tmp_path / "none")
    for state in ({}, {"kind": 1}, None, {**begun("cooldown").state(), "arrays": {"x": ["<f8", [1], [0.0]]}}):
        with pytest.raises(DataError, match="not the state"):
            cuvee.OnlineMix.load(state)  # type: ignore[arg-type]


def test_other_weights_than_recorded(tmp_path: Path) -> None:
    """A line that is whole, but of another program, is noticed."""
    from cuvee.layout import sealed

    journal = tmp_path / "mix.jsonl"
    run(begun("stratified", journal=journal), 1)
    lines = journal.read_bytes().splitlines()
    record = json.loads(lines[1])
    record["weights"]["web"] += 1e-12
    journal.write_bytes(lines[0] + b"\n" + json.dumps(sealed(record)).encode() + b"\n")
    with pytest.raises(DataError, match="line 2: this version"):
        cuvee.OnlineMix.replay(journal)


def test_a_loss_of_0_that_rises_is_told_and_changes_nothing(recwarn: pytest.WarningsRecorder) -> None:
    """Skill-It divides by it; what would follow was a division by zero turns later."""
    mix = begun("skill_it", losses={"code": 0.0, "web": 60.0, "books": 60.0})
    before = mix.propose().weights
    with pytest.raises(UsageError, match="'code' was at 0 before the turn"):
        mix.update({"code": 0.5, "web": 59.0, "books": 59.0})
    assert mix.propose().weights == before and mix.spent == 0
    mix.update({"code": 0.0, "web": 59.0, "books": 59.0})  # no fall of nothing
    assert np.isfinite(list(mix.propose().weights.values())).all() and not recwarn.list


def test_weights_of_losses_that_underflow_are_still_weights() -> None:
    """DoReMi without smoothing: turns of sources that count for nothing have weights of mean 1."""
    mix = cuvee.OnlineMix({"a": 10_000, "b": 10}, "doremi", total=300, settings={"smoothing": 0.0, "eta": 100.0})
    weighed = 0
    while not mix.done:
        turn = mix.propose()
        weight = np.array(list(turn.loss_weights.values()))
        assert np.isfinite(weight).all() and weight[turn.order].mean() == pytest.approx(1)
        weighed += "excess" in turn.asks
        mix.update(excess={"a": 0.0, "b": 50.0} if "excess" in turn.asks else None)
    assert weighed > 2
