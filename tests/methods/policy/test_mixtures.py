"""The mixture policies: shares over the training by closed form, and what each learns from measurements."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cuvee.core import Draw, Examples, Feedback, Round, State
from cuvee.errors import UsageError
from cuvee.methods.policy.aioli import Aioli
from cuvee.methods.policy.cooldown import Cooldown
from cuvee.methods.policy.doge import Doge
from cuvee.methods.policy.doremi import Doremi
from cuvee.methods.policy.equitable import Equitable
from cuvee.methods.policy.replay import Replay
from cuvee.methods.policy.reuse import Reuse
from cuvee.methods.policy.skill_it import SkillIt
from cuvee.methods.policy.stratified import Stratified
from cuvee.methods.policy.two_set import TwoSet
from cuvee.methods.policy.upsample_end import UpsampleEnd
from cuvee.online import law
from cuvee.online.mixture import MixturePolicy, whole

SIZES = np.array([1000, 200, 50])
N = int(SIZES.sum())
NAMES = ("web", "code", "poems")


def examples() -> Examples:
    chance = np.random.default_rng(3)
    domain = np.repeat(np.arange(3), SIZES).astype(np.int32)
    return Examples(chance.integers(0, 2**64, N, dtype=np.uint64), chance.permutation(domain), NAMES)


def run(policy: MixturePolicy, epochs: float = 4.0, told: Any = None) -> tuple[list[Round], list[State]]:
    """A whole training; ``told(number, round)`` answers what is asked."""
    data = examples()
    state, done = policy.init(data), 0.0
    rounds: list[Round] = []
    states: list[State] = []
    while done < epochs - 1e-9:
        one = policy.propose(state, data, len(rounds), epochs, Draw(1))
        rounds.append(one)
        state, done = policy.update(state, one, np.ones(len(one.order))), done + one.epochs
        if one.asks:
            feedback = told(len(rounds) - 1, one)
            state, done = policy.inform(state, one, feedback), done + feedback.cost
        states.append(state)
    return rounds, states


def counts(rounds: list[Round], begin: float = 0.0, end: float = 1.0) -> np.ndarray:
    """Examples of each domain between two shares of the training."""
    order = np.concatenate([one.order for one in rounds])
    part = order[round(begin * len(order)) : round(end * len(order))]
    return np.bincount(examples().domain[part], minlength=3)


def near(found: np.ndarray, shares: Any) -> None:
    """Counts are those shares to within two examples."""
    np.testing.assert_allclose(found, np.asarray(shares) * found.sum(), atol=2)


def by_size(*domains: int) -> np.ndarray:
    kept = np.where(np.isin(np.arange(3), domains), SIZES, 0)
    return kept / kept.sum()


def test_stratified() -> None:
    rounds, _ = run(Stratified())
    order = np.concatenate([one.order for one in rounds])
    for end in (10, 100, 777, len(order)):
        assert np.ptp(np.bincount(examples().domain[order[:end]], minlength=3)) <= 2
    times = np.bincount(order, minlength=N)
    for domain in range(3):
        assert np.ptp(times[examples().domain == domain]) <= 1


def test_cooldown() -> None:
    rounds, _ = run(Cooldown(tau=5.0, final=1.0, at=0.25))
    hot = SIZES**0.2 / (SIZES**0.2).sum()
    near(counts(rounds, 0, 0.25), hot)
    near(counts(rounds, 0.25, 1), SIZES / N)


def test_upsample_end() -> None:
    small = run(UpsampleEnd(share=0.6, last=0.2))[0]
    near(counts(small, 0, 0.8), SIZES / N)
    near(counts(small, 0.8, 1), 0.6 * by_size(1, 2) + 0.4 * by_size(0))
    named = run(UpsampleEnd("poems", 0.5, 0.5))[0]
    near(counts(named, 0.5, 1), 0.5 * by_size(2) + 0.5 * by_size(0, 1))
    near(counts(run(UpsampleEnd("web+code+poems"))[0]), SIZES / N)
    with pytest.raises(UsageError, match="no domain is called 'poetry'"):
        run(UpsampleEnd("web+poetry"))


def test_reuse_changes_where_the_rate_has_fallen() -> None:
    rounds, _ = run(Reuse("code", first=0.3, second=0.7))
    near(counts(rounds, 0, 0.7113), 0.3 * by_size(1) + 0.7 * by_size(0, 2))
    near(counts(rounds, 0.7113, 1), 0.7 * by_size(1) + 0.3 * by_size(0, 2))
    near(counts(run(Reuse())[0], 0, 0.71), SIZES / N)


def test_replay() -> None:
    rounds, _ = run(Replay(share=0.25, begin=0.5))
    near(counts(rounds, 0, 0.5), by_size(0))
    near(counts(rounds, 0.5, 1), 0.25 * by_size(0) + 0.75 * by_size(1, 2))
    later = np.concatenate([one.order for one in rounds])[2500:]
    old = np.cumsum(examples().domain[later] == 0)
    assert np.abs(old - 0.25 * np.arange(1, len(old) + 1)).max() < 2  # in every batch, not only on average
    near(counts(run(Replay("web+code", 0.1, 0.0))[0]), 0.1 * by_size(0, 1) + 0.9 * by_size(2))
    near(counts(run(Replay("web+code+poems"))[0]), SIZES / N)


def test_two_sets() -> None:
    """A fixed part, drawn by key, is repeated p epochs / s times, the rest (1 - p) epochs / (1 - s), within one."""
    policy = TwoSet(p=0.25, s=0.02)
    rounds, states = run(policy, 8.0)
    times = np.bincount(np.concatenate([one.order for one in rounds]), minlength=N)
    often = states[0]["group"] == 0
    assert often.sum() == 25
    assert set(times[often]) <= {100, 101, 99}
    assert np.ptp(times[~often]) <= 1 and times[~often].mean() == pytest.approx(0.75 * 8 * N / (N - 25), rel=0.01)
    other = TwoSet(p=0.25, s=0.02, seed=1).init(examples())["group"] == 0
    assert 0 <= (other & often).sum() < 10


def test_owed_examples() -> None:
    """Whole examples of small rounds sum to the exact shares; debts are paid before anything else."""
    owed, total = np.zeros(3), np.zeros(3)
    mixture = np.array([0.62, 0.33, 0.05])
    for _ in range(1_000):
        found = whole(owed + 4 * mixture, 4, mixture > 0)
        assert found.sum() == 4 and (found >= 0).all()
        owed, total = owed + 4 * mixture - found, total + found
        assert np.abs(owed).max() < 1.5
    np.testing.assert_allclose(total, 4_000 * mixture, atol=1.5)
    assert whole(np.array([-0.9, -0.9, 6.8]), 5, np.ones(3, bool)).tolist() == [0, 0, 5]


EFFECT = np.array([[0.5, 0.1, 0.0], [0.0, 0.6, 0.1], [0.1, 0.3, 0.8]])


def world() -> Any:
    """Held-out losses that fall by EFFECT times the share of training, and everything else by day."""
    seen = np.zeros(3)

    def told(number: int, one: Round) -> Feedback:
        if one.restart:
            seen[:] = 0
        before = 9.0 - EFFECT @ seen
        seen[:] += np.bincount(examples().domain[one.order], minlength=3) / N
        slopes = np.concatenate([np.eye(3), np.eye(3)[[1, 1, 1]]])
        excess = np.array([0.1, 0.5, 0.2]) if number % 2 else np.array([0.1, np.nan, 0.2])
        return Feedback(0.01, before, 9.0 - EFFECT @ seen, excess, slopes @ slopes.T)

    return told


def test_aioli_learns_the_matrix() -> None:
    """Where the law holds, A is the true one in its normalised form; accumulated or smoothed weights follow it."""
    given = {"rounds": 3, "sweeps": 2, "share": 0.4}
    wanted = law.normalised(EFFECT)
    for policy in (Aioli(eta=2.0, **given), Aioli(eta=2.0, ema=0.3, **given)):  # type: ignore[arg-type]
        rounds, states = run(policy, told=world())
        np.testing.assert_allclose(states[-1]["matrix"], wanted, atol=0.01)
        ends = [at for at, one in enumerate(rounds) if not one.asks]
        assert len(ends) == 3 and len(rounds) == 3 * (3 * 2 + 1)
        used = [states[at]["matrix"] for at in ends] if policy.ema is None else [states[-1]["matrix"]]
        gain = np.sum([law.gains(one) for one in used], axis=0)
        np.testing.assert_allclose(states[-1]["mixture"], law.shares(2.0 * gain), rtol=1e-12)
        near(counts([rounds[-1]]), states[-1]["mixture"])
        orders = [np.argmax(one.note["mixture"]) for one in rounds if one.asks]
        assert all(sorted(orders[low : low + 3]) == [0, 1, 2] for low in range(0, 18, 3))
        assert len({tuple(orders[low : low + 3]) for low in range(0, 18, 3)}) > 1
    own = run(Aioli(diagonal=True, eta=2.0, **given), told=world())[1][-1]["matrix"]  # type: ignore[arg-type]
    assert (own[~np.eye(3, dtype=bool)] == 0).all() and own[2, 2] == own.max()


@pytest.mark.parametrize("ema", [None, 0.3])
def test_aioli_trains_on_a_prior_first(ema: float | None) -> None:
    """A fifth of the training is the prior's; then the weights begin from ones, accumulated or smoothed."""
    prior = np.array([0.2, 0.7, 0.1])
    policy = Aioli(rounds=2, eta=2.0, ema=ema, prior=tuple(10 * prior))
    rounds, states = run(policy, 2.0, told=world())
    assert not rounds[0].asks and rounds[0].epochs == pytest.approx(0.4)
    near(counts(rounds[:1]), prior)
    ends = [at for at, one in enumerate(rounds) if not one.asks]
    assert len(ends) == 3 and sum(one.epochs for one in rounds[1 : ends[1] + 1]) == pytest.approx(0.8, abs=0.1)
    gain = [law.gains(states[at]["matrix"]) for at in ends[1:]]
    wanted = np.sum(gain, axis=0) if ema is None else gain[-1]
    np.testing.assert_allclose(states[-1]["mixture"], law.shares(2.0 * wanted), rtol=1e-12)


def test_aiolis_sweeps_never_take_more_than_half() -> None:
    """Dear measuring makes fewer rounds, not rounds without training on what was learned."""
    rounds, _ = run(Aioli(rounds=4, share=0.5), told=lambda number, one: Feedback(0.2, np.ones(3), np.ones(3)))
    swept = sum(one.epochs for one in rounds if one.asks) + 0.2 * sum(bool(one.asks) for one in rounds)
    assert swept < 2.1 and not rounds[-1].asks


def test_skill_it_measures_its_graph() -> None:
    """Three new models on one domain each; the graph is relative falls; then a fourth follows the losses."""
    rounds, states = run(SkillIt(rounds=4, eta=5.0, share=0.3), told=world())
    assert [one.restart > 0 for one in rounds] == [True] * 4 + [False] * (len(rounds) - 4)
    for domain in range(3):
        assert (examples().domain[rounds[domain].order] == domain).all()
    graph = states[2]["graph"]
    np.testing.assert_allclose(graph, EFFECT.T * 0.4 / 9.0, rtol=1e-2, atol=1e-12)
    seen = states[-1]["seen"]
    assert len(seen) == 3 < len(rounds)
    wanted = law.tilted(np.full(3, 1 / 3), law.gains(law.from_graph(graph, seen.sum(axis=0))), 5.0)
    np.testing.assert_allclose(states[-1]["mixture"], wanted, rtol=1e-12)
    given = SkillIt(graph=tuple(graph.ravel().tolist()), rounds=4)
    assert not any(one.restart for one in run(given, told=world())[0])
    with pytest.raises(UsageError, match="3 x 3 numbers"):
        run(SkillIt(graph=(1.0, 2.0)), told=world())


def test_doremi_follows_the_excess() -> None:
    """Reference, proxy, and a final training on the mean weights; a domain that was not there keeps its excess."""
    rounds, states = run(Doremi(updates=6, eta=0.5, smoothing=0.1), told=world())
    parts = [bool(one.restart) for one in rounds]
    assert sum(parts) == 3 and rounds[0].reference and sum(one.reference for one in rounds) == 1
    weights, score, seen = np.full(3, 1 / 3), np.zeros(3), []
    for number in range(1, 7):
        found = np.array([0.1, 0.5 if number % 2 else np.nan, 0.2])
        score = np.where(np.isnan(found), score, found)
        weights = law.smoothed(law.tilted(weights, score, 0.5), 0.1)
        seen.append(weights)
    np.testing.assert_allclose(rounds[-1].note["mixture"], np.mean(seen, axis=0))
    proxy = rounds[2]
    domain = examples().domain[proxy.order]
    ratio = [proxy.weight[domain == one].mean() for one in range(3)]
    wanted = states[1]["mixture"] / (SIZES / N)
    np.testing.assert_allclose(np.array(ratio) / ratio[0], wanted / wanted[0])
    assert sum(one.epochs for one in rounds if not one.asks) > 2.5


def test_doge_follows_the_gradients() -> None:
    """All held-out gradients point to the second domain, which gains; with proxy=1 nothing begins anew."""
    rounds, states = run(Doge(updates=6, step=0.2), told=world())
    assert [bool(one.restart) for one in rounds] == [True] + [False] * 5 + [True]
    mixture = rounds[-1].note["mixture"]
    assert mixture[1] > 0.35 and mixture[0] == pytest.approx(mixture[2])
    score = law.from_gradients(np.array(world()(0, rounds[0]).gradients))
    np.testing.assert_allclose(states[0]["mixture"], law.tilted(np.full(3, 1 / 3), score, 0.2))
    assert not any(one.restart for one in run(Doge(1.0, 6), told=world())[0])


def test_doge_towards_an_unseen_domain() -> None:
    """The target is never trained on, and its held-out gradient alone says who gains, whatever the others' say."""
    slopes = np.zeros((6, 3))
    slopes[:3] = [[1.0, 0.0, 0.0], [0.0, 0.0, 0.0], [0.0, 2.0, 0.0]]  # the target, web, had no examples in the turn
    slopes[3:] = [[0.0, 5.0, 0.0], [3.0, 1.0, 0.0], [0.0, 5.0, 0.0]]
    policy = Doge(updates=6, step=0.2, target=NAMES[1])
    rounds, states = run(policy, told=lambda number, one: Feedback(0.0, None, None, None, slopes @ slopes.T))
    for one in rounds:
        assert (examples().domain[one.order] != 1).all()
    near(counts(rounds[:1]), [0.5, 0.0, 0.5])
    assert rounds[1].weight.mean() == pytest.approx(1)
    v = slopes[4] / np.linalg.norm(slopes[4])
    score = np.array([v[0], v[1]])  # of gradients cut to norm 1
    wanted = law.tilted(np.full(2, 0.5), score, 0.2)
    np.testing.assert_allclose(states[0]["mixture"], [wanted[0], 0.0, wanted[1]], rtol=1e-5)
    assert rounds[-1].note["mixture"][1] == 0 and rounds[-1].note["mixture"][0] > 0.5
    with pytest.raises(UsageError, match="nothing is left to train on"):
        Doge(target="+".join(NAMES)).init(examples())
    with pytest.raises(UsageError, match="no domain is called 'moon'"):
        Doge(target="moon").init(examples())


def test_equitable_funds_the_steepest_or_the_worst() -> None:
    """Planted curves: the mean looks at slopes, a large power at the domain that is worst."""
    a, b, e = np.array([4.0, 9.0, 3.0]), np.array([0.8, 0.3, 0.5]), np.array([0.01, 0.01, 0.8])
    seen = np.zeros(3)

    def told(number: int, one: Round) -> Feedback:
        if number == 0:
            seen[:] = 0
        seen[:] += np.bincount(examples().domain[one.order], minlength=3)
        return Feedback(0.0, None, a * seen**-b + e)

    last = {}
    for power in (1.0, 30.0):
        rounds, states = run(Equitable(power=power, explore=0.2), 4.0, told)
        near(counts(rounds[:4]), np.full(3, 1 / 3))
        last[power] = states[-1]["mixture"]
        assert last[power].min() >= 0.1 / 3 - 1e-12
    worst = int(np.argmax(a * seen**-b + e))
    assert last[30.0][worst] > 0.5 > last[1.0][worst]


def test_equitable_sees_what_domains_share() -> None:
    """Where every example is as good as any, the cheapest domain is bought once the turns have told it."""
    a, b, e = np.array([4.0, 9.0, 3.0]), np.array([0.8, 0.5, 0.5]), np.array([0.01, 0.01, 0.1])
    seen = np.zeros(3)

    def told(number: int, one: Round) -> Feedback:
        if number == 0:
            seen[:] = 0
        seen[:] += np.bincount(examples().domain[one.order], minlength=3)
        return Feedback(0.0, None, a * seen.sum() ** -b + e)

    last = {}
    for shared in (False, True):
        policy = Equitable(power=1.0, explore=0.2, rounds=6, costs=(1.0, 4.0, 4.0), shared=shared)
        last[shared] = run(policy, 4.0, told)[1][-1]["mixture"]
    assert last[True][0] > 0.9 > last[False][0]


@pytest.mark.parametrize(
    ("kind", "given"),
    [
        (Aioli, {"rounds": 0}),
        (Aioli, {"held": 0.0}),
        (Aioli, {"ema": 1.0}),
        (Aioli, {"eta": float("nan")}),
        (Cooldown, {"tau": 0.0}),
        (Cooldown, {"at": 2.0}),
        (Doge, {"proxy": 0.0}),
        (Doge, {"step": float("inf")}),
        (Doremi, {"reference": 0.6, "proxy": 0.4}),
        (Doremi, {"smoothing": 1.0}),
        (Equitable, {"power": 0.5}),
        (Equitable, {"costs": (0.0,)}),
        (Replay, {"begin": 1.0}),
        (Reuse, {"fraction": 0.01}),
        (SkillIt, {"window": 0}),
        (SkillIt, {"graph": (float("nan"),)}),
        (TwoSet, {"p": 1.0}),
        (TwoSet, {"s": 0.0}),
        (UpsampleEnd, {"last": 0.0}),
        (Aioli, {"prior_share": 1.0}),
    ],
)
def test_bad_parameters_are_refused(kind: Any, given: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        kind(**given)


def test_parameters_that_do_not_fit_the_domains() -> None:
    for policy in (Aioli(prior=(1.0, 2.0)), Aioli(factor=0.3), Equitable(costs=(1.0, 1.0))):
        with pytest.raises(UsageError, match=r"domain|factor above"):
            policy.init(examples())
