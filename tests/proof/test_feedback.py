"""What the loop measures for policies: what is held out, right numbers, equal cost, new beginnings, exact resume."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pytest

from cuvee.core import Batch, Card, Draw, Examples, Feedback, Policy, Round, State
from cuvee.errors import UsageError
from cuvee.examples import as_batch
from cuvee.methods.policy.aioli import Aioli
from cuvee.methods.policy.doge import Doge
from cuvee.methods.policy.doremi import Doremi
from cuvee.methods.policy.equitable import Equitable
from cuvee.methods.policy.skill_it import SkillIt
from cuvee.methods.policy.stratified import Stratified
from cuvee.methods.policy.uniform import Uniform
from cuvee.methods.policy.upsample_end import UpsampleEnd
from cuvee.proof.loop import Trained, train
from cuvee.proof.proxies.mlp import Mlp
from cuvee.proof.proxy import Evaluation, Outcome, Watch

POLICIES: list[Policy] = [
    Aioli(rounds=2),
    SkillIt(rounds=3),
    Doremi(),
    Doge(updates=4),
    Doge(1.0, 20),
    Equitable(rounds=4),
]
PROXY = Mlp(width=64, n=1, hidden=4, batch=4)
DOMAINS = 3


class Line:
    """A model of k numbers: domain j's loss is (x_j - 1)^2 plus its place; steps are gradient descent.

    ``seen``: the places of every step, with their weights and progress. State is x alone.
    """

    def __init__(self, domain: np.ndarray, death: int = 10**9) -> None:
        self.domain, self.x, self.death = domain, np.zeros(DOMAINS), death
        self.seen: list[tuple[list[int], list[float], float]] = []

    def losses(self, places: np.ndarray) -> np.ndarray:
        return (self.x[self.domain[places]] - 1) ** 2 + self.domain[places]

    def step(self, places: np.ndarray, weights: np.ndarray, progress: float) -> np.ndarray:
        if len(self.seen) == self.death:
            raise KeyboardInterrupt
        found = self.losses(places)
        self.seen.append((places.tolist(), weights.tolist(), progress))
        np.subtract.at(self.x, self.domain[places], 0.02 * weights * (self.x[self.domain[places]] - 1))
        return found

    def products(self, groups: list[np.ndarray]) -> np.ndarray:
        slopes = np.zeros((len(groups), DOMAINS))
        for at, places in enumerate(groups):
            for place in places:
                slopes[at, self.domain[place]] += 2 * (self.x[self.domain[place]] - 1) / len(places)
        return slopes @ slopes.T

    def evaluate(self) -> dict[str, float]:
        return {"all": float(((self.x - 1) ** 2).sum())}

    def tokens(self, places: np.ndarray) -> int:
        return 10 * len(places)

    def state(self) -> State:
        return {"x": self.x}

    def load(self, state: State) -> None:
        self.x[...] = state["x"]


def examples_of(n: int = 120) -> Examples:
    chance = np.random.default_rng(5)
    return Examples(chance.integers(0, 2**64, n, dtype=np.uint64), chance.integers(0, DOMAINS, n).astype(np.int32))


def trained(
    policy: Policy, epochs: float = 4.0, watch: Watch | None = None, death: int = 10**9
) -> tuple[Line, Trained]:
    examples = examples_of()
    learner = Line(examples.domain, death)
    return learner, train(learner, examples, policy, epochs, 4, 1, watch or Watch())


def places_of(learner: Line) -> np.ndarray:
    return np.concatenate([places for places, _, _ in learner.seen])


@pytest.mark.parametrize("policy", POLICIES, ids=lambda one: type(one).__name__)
def test_equal_cost(policy: Policy) -> None:
    """What is trained, read and measured together costs what plain shuffling costs, within one measurement."""
    plain, ours = trained(Uniform())[1], trained(policy)[1]
    assert plain.passed == plain.tokens == 4800
    assert ours.passed == pytest.approx(plain.passed, abs=120)
    assert ours.tokens < plain.tokens and ours.read + ours.sloped > 0


@pytest.mark.parametrize("policy", [one for one in POLICIES if one.holds()], ids=lambda one: type(one).__name__)
def test_what_is_held_out_is_never_trained_on(policy: Policy) -> None:
    learner, _ = trained(policy)
    domain = examples_of().domain
    missing = np.setdiff1d(np.arange(len(domain)), places_of(learner))
    counts = np.bincount(domain[missing], minlength=DOMAINS)
    wanted = [max(1, round(policy.holds() * one)) for one in np.bincount(domain)]
    assert counts.tolist() == wanted


def test_a_lonely_example_is_not_held_out() -> None:
    """A domain of one example stays in training, and is measured as NaN, from which nothing follows."""
    examples = Examples(np.arange(9, dtype=np.uint64), np.array([0] * 4 + [1] * 4 + [2], np.int32))
    learner = Line(examples.domain)
    train(learner, examples, Aioli(rounds=1, sweeps=1, held=0.3), 30.0, 2, 0, Watch())
    assert 8 in places_of(learner) and np.isfinite(learner.x).all()


@dataclasses.dataclass(frozen=True)
class Asking(Policy):
    """Asks for everything after every round, and keeps what it is told."""

    card: ClassVar[Card] = Stratified.card
    restarts: ClassVar[bool] = True

    def init(self, examples: Examples) -> State:
        return {}

    def holds(self) -> float:
        return 0.2

    def propose(self, state: State, examples: Examples, number: int, epochs: float, draw: Draw) -> Round:
        order = np.arange(number % 7, len(examples.key), 7)
        more: dict[str, Any] = {"asks": ("validation", "excess", "gradients")} if number else {"reference": True}
        if number == 3:
            more["restart"] = 2.0
        return Round(
            order, np.ones(len(order)), len(order) / len(examples.key), note={"at": np.array([number])}, **more
        )

    def inform(self, state: State, done: Round, feedback: Feedback) -> State:
        assert feedback.before is not None and feedback.after is not None
        assert feedback.excess is not None and feedback.gradients is not None
        name = f"{int(done.note['at'][0])}"
        told = {"before": feedback.before, "after": feedback.after, "excess": feedback.excess}
        found = {**state, **{f"{key} {name}": value for key, value in told.items()}}
        return {**found, f"gradients {name}": feedback.gradients, f"cost {name}": np.array([feedback.cost])}


def test_the_numbers_are_right(monkeypatch: pytest.MonkeyPatch) -> None:
    """Against the stub's own losses and slopes, followed by hand."""
    from cuvee.proof import loop

    kept: list[Any] = []
    close = loop._Job.close
    monkeypatch.setattr(
        loop._Job, "close", lambda job, done: (close(job, done), kept.append((job, job.learner.x.copy())))[0]
    )
    trained(Asking())
    job, told = kept[0][0], kept[-1][0].memory
    x = [one for _, one in kept]
    here = np.arange(DOMAINS)
    for number in range(1, 6):
        before = np.zeros(DOMAINS) if number == 3 else x[number - 1]
        np.testing.assert_allclose(told[f"before {number}"], (before - 1) ** 2 + here)
        np.testing.assert_allclose(told[f"after {number}"], (x[number] - 1) ** 2 + here)
        slopes = np.diag(2 * (x[number] - 1))
        both = np.concatenate([slopes, slopes])
        np.testing.assert_allclose(told[f"gradients {number}"], both @ both.T)
        size = len(np.arange(number % 7, len(job.examples.key), 7))
        held = sum(map(len, job.meter.held))
        measured = held * (2 if number in (1, 3) else 1)
        passed = told[f"cost {number}"][0] * len(job.examples.key) - (measured + size) / 3
        assert (
            size < round(passed) <= size + DOMAINS * (size // DOMAINS)
        )  # gradients of the round and of held-out examples
    assert (told["excess 1"] >= 0).all()
    assert (told["excess 3"] > 0).all()  # a new model is above the reference


def test_a_new_beginning_has_a_schedule_of_its_own() -> None:
    """Progress starts again at 0, and reaches nearly 1 each time, with DoReMi's three trainings."""
    learner, _ = trained(Doremi(updates=3))
    progress = np.array([one for _, _, one in learner.seen])
    begins = np.flatnonzero(np.diff(progress) < 0) + 1
    assert len(begins) == 2 and progress[0] == 0 and (progress[begins] == 0).all()
    assert (progress[begins - 1] > 0.8).all() and progress[-1] > 0.9


def test_doremi_compares_with_its_reference() -> None:
    """Losses count w_i over natural shares in the proxy's rounds alone, and are 1 elsewhere."""
    learner, _ = trained(Doremi(updates=3))
    weights = [np.array(one) for _, one, _ in learner.seen]
    progress = np.array([one for _, _, one in learner.seen])
    first, second = np.flatnonzero(np.diff(progress) < 0) + 1
    assert all((one == 1).all() for one in (*weights[:first], *weights[second:]))
    assert any((one != 1).any() for one in weights[first:second])


@pytest.mark.parametrize("policy", [*POLICIES, Asking()], ids=lambda one: type(one).__name__)
@pytest.mark.parametrize("death", [1, 23])
def test_a_killed_run_goes_on_to_the_same_bits(policy: Policy, death: int, tmp_path: Path) -> None:
    whole, counted = trained(policy)
    watch = Watch(checkpoint=tmp_path, every_seconds=0.0)
    examples = examples_of()
    with pytest.raises(KeyboardInterrupt):
        trained(policy, watch=watch, death=min(death, len(whole.seen) - 1))
    again = Line(examples.domain)
    found = train(again, examples, policy, 4.0, 4, 1, watch)
    assert again.x.tobytes() == whole.x.tobytes()
    assert (found.tokens, found.read, found.sloped) == (counted.tokens, counted.read, counted.sloped)
    assert again.seen == whole.seen[-len(again.seen) :]


def test_a_diverging_measurement_ends_the_run() -> None:
    class Bad(Line):
        def losses(self, places: np.ndarray) -> np.ndarray:
            return super().losses(places) + (np.inf if len(self.seen) > 3 else 0.0)

        def step(self, places: np.ndarray, weights: np.ndarray, progress: float) -> np.ndarray:
            super().step(places, weights, progress)
            return np.ones(len(places))

    examples = examples_of()
    assert train(Bad(examples.domain), examples, Aioli(), 4.0, 4, 1, Watch()).diverged


def test_a_learner_that_cannot_measure_is_refused() -> None:
    class Plain:
        step, evaluate, tokens, state, load = Line.step, Line.evaluate, Line.tokens, Line.state, Line.load

    with pytest.raises(UsageError, match="does not measure"):
        train(Plain(), examples_of(), Aioli(), 1.0, 4, 0, Watch())


def texts(n: int, seed: int) -> Batch:
    chance = np.random.default_rng(seed)
    kind = chance.integers(0, 3, n)
    words = np.array(["sea ship whale", "def class self", "lord said unto"])
    found = [f"{words[one]} {' '.join(chance.choice(list('abcdefgh'), 6))}".encode() for one in kind]
    names = pa.array([("fiction", "code", "scripture")[one] for one in kind], pa.large_string())
    key = chance.integers(0, 2**64, n, dtype=np.uint64)
    return dataclasses.replace(as_batch(found), key=key, columns={"domain": names})


def outcome(policy: Policy, proxy: Mlp = PROXY) -> Outcome:
    held = Evaluation("test", texts(30, 9), np.zeros(30, np.int32), ("all",))
    return proxy.train(texts(90, 1), [held], policy, 3.0, 0, Watch())


@pytest.mark.parametrize("policy", POLICIES, ids=lambda one: type(one).__name__)
def test_a_proxy_trains_by_them(policy: Policy) -> None:
    """Twice the same bits, at the cost of shuffling."""
    first, second = outcome(policy), outcome(policy)
    assert not first.diverged
    assert first.measured["test"].loss.tobytes() == second.measured["test"].loss.tobytes()
    assert first.cost["train_flops"] == pytest.approx(outcome(Uniform()).cost["train_flops"], rel=0.05)


def test_domains_are_known_by_name() -> None:
    plain = outcome(UpsampleEnd("code", 0.9, 0.5)).measured["test"].loss
    assert (plain != outcome(UpsampleEnd("fiction", 0.9, 0.5)).measured["test"].loss).any()
    with pytest.raises(UsageError, match=r"no domain is called 'poetry'\. There are: code, fiction, scripture"):
        outcome(UpsampleEnd("poetry"))


def test_a_probe_measures_what_it_trains_by() -> None:
    """Losses as a step returns them; products as finite differences of the groups' mean losses."""
    from cuvee.proof.proxies import labelled

    kept: list[Any] = []

    def catch(learner: Any, *rest: Any) -> Trained:
        kept.append(learner)
        return train(learner, *rest)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(labelled, "train", catch)
        outcome(Uniform(), dataclasses.replace(PROXY, activation="gelu"))
    (learner,) = kept
    groups = [np.arange(5), np.arange(3, 20), np.empty(0, np.int64)]
    products = learner.products(groups)
    slopes = []
    for places in groups[:2]:
        found = []
        for part in learner.parameters.values():
            for at in np.ndindex(part.shape):
                old, ends = part[at], []
                for move in (-2e-3, 2e-3):
                    part[at] = old + np.float32(move)
                    ends.append(learner.losses(places).mean())
                part[at] = old
                found.append((ends[1] - ends[0]) / 4e-3)
        slopes.append(np.array(found))
    wanted = np.array([[one @ other for other in slopes] for one in slopes])
    np.testing.assert_allclose(products[:2, :2], wanted, rtol=0.02)
    assert (products[2] == 0).all()
    before = learner.losses(groups[1])
    np.testing.assert_allclose(learner.step(groups[1], np.ones(17), 0.5), before, rtol=1e-6)
