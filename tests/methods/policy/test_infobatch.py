"""InfoBatch against the public code's schedules, its unbiasedness, and where it departs from that code."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from cuvee.core import Draw, Examples
from cuvee.errors import UsageError
from cuvee.methods.policy.infobatch import InfoBatch, Places, plan, well_learned

from .common import GOLDEN, examples_of, rounds


@pytest.mark.parametrize("name", ["schedule_r05_d0875_E16", "schedule_r03_d08_E10"])
def test_public_schedules(name: str) -> None:
    """Which examples, in which order, with which weights and batch losses, from the public code's random stream."""
    with np.load(GOLDEN / "infobatch" / f"{name}.npz") as file:
        case = {key: file[key] for key in file.files}
    meta = json.loads(str(case["meta"]))
    n, epochs, policy = meta["n"], meta["epochs"], InfoBatch(meta["r"], meta["delta"], "package")
    state = policy.init(Examples(np.arange(n, dtype=np.uint64), np.zeros(n, np.int32)))
    pruned = 0
    for epoch in range(epochs):
        assert np.array_equal(state["loss"].astype(np.float32), case[f"scores_before_{epoch}"])
        stream = np.random.RandomState(epoch + 1)
        if epoch + 1 <= policy.anneal * epochs:
            order, weight = plan(
                state["loss"],
                policy.ratio,
                policy.weights,
                policy.clip,
                lambda places, k, stream=stream: stream.choice(places, k, replace=False),
            )
        else:
            order, weight = np.arange(n), np.ones(n)
        pruned += n - len(order)
        stream.shuffle(order)
        assert np.array_equal(order, case[f"indices_{epoch}"])
        np.testing.assert_allclose(weight, case[f"weights_{epoch}"], rtol=1e-6)
        loss = case[f"losses_{epoch}"].astype(np.float64)
        weighted = (weight * loss)[order]
        batches = [weighted[low : low + 8].mean() for low in range(0, len(order), 8)]
        np.testing.assert_allclose(batches, case[f"batch_loss_{epoch}"], rtol=1e-6)
        assert pruned == case["pruned_total"][epoch]
        done: Any = type("Done", (), {"order": order})
        state = policy.update(state, done, loss[order])


def first(places: Places, k: int) -> Places:
    return places[:k]


def falling(at: int, order: Places) -> np.ndarray:
    """Losses that differ from example to example and from round to round."""
    return np.exp(-0.1 * at) * (1.0 + np.sin(7.0 * order + at) ** 2)


def test_the_sampled_gradient_is_unbiased() -> None:
    """The mean of 2,000 plans' weighted sums is the full sum, within five standard errors."""
    chance = np.random.default_rng(0)
    n, dimensions, trials = 61, 5, 2_000
    gradient, examples = chance.normal(size=(n, dimensions)), examples_of(n)
    state, policy = {"loss": chance.gamma(1.0, size=n)}, InfoBatch(ratio=0.45)
    sums = np.empty((trials, dimensions))
    for at in range(trials):
        one = policy.propose(state, examples, 1, 100.0, Draw(at))
        sums[at] = (one.weight[:, None] * gradient[one.order]).sum(axis=0)
    error = sums.std(axis=0, ddof=1) / trials**0.5
    assert (np.abs(sums.mean(axis=0) - gradient.sum(axis=0)) < 5 * error).all()
    biased = np.mean([_total(InfoBatch(ratio=0.45, weights="none"), state, examples, at) for at in range(50)])
    assert biased < 0.9 * n
    assert _total(policy, state, examples, 3) == pytest.approx(n)


def _total(policy: InfoBatch, state: dict[str, Any], examples: Examples, seed: int) -> float:
    return float(policy.propose(state, examples, 1, 100.0, Draw(seed)).weight.sum())


def test_only_well_learned_examples_are_left_out() -> None:
    """k = floor((1 - r) |B|) of them stay with weight |B| / k, all others with weight 1."""
    loss = np.array([0.1, 5.0, 0.2, 0.3, 6.0, 0.4, 0.5, 2.0])  # mean 1.8125, B has 5
    kept, weight = plan(loss, 0.5, "exact", 1.0, first)
    assert kept.tolist() == [1, 4, 7, 0, 2]
    assert weight.tolist() == [2.5, 1, 2.5, 1, 1, 1, 1, 1]
    _, package = plan(loss, 0.5, "package", 1.0, first)
    assert package.tolist() == [2, 1, 2, 1, 1, 1, 1, 1]
    assert (plan(loss, 0.5, "none", 1.0, first)[1] == 1).all()


def test_the_keep_ratio_is_clipped_and_someone_stays() -> None:
    loss = np.concatenate([np.zeros(40), np.ones(2)])
    kept, weight = plan(loss, 1.0, "exact", 1.0, first)
    assert len(kept) == 2 + 4 and weight[0] == 10
    kept, weight = plan(np.array([0.0, 1.0, 1.0]), 0.9, "exact", 1.0, first)
    assert sorted(kept.tolist()) == [0, 1, 2] and weight[0] == 1
    kept, weight = plan(loss, 0.0, "exact", 1.0, first)
    assert len(kept) == 42 and (weight == 1).all()


@pytest.mark.parametrize("value", [3.0, 0.1, 1e-300, 1e300 / 64])
def test_equal_losses_leave_nothing_out(value: float) -> None:
    """Not even where the mean of equal numbers rounds to something larger."""
    for n in (1, 3, 10, 49):
        assert not well_learned(np.full(n, value)).any()


def test_the_mean_does_not_depend_on_the_order() -> None:
    chance = np.random.default_rng(3)
    loss = np.exp(chance.normal(scale=8.0, size=999))
    loss[0] = loss[1:].mean()  # near the mean
    for _ in range(20):
        order = chance.permutation(len(loss))
        assert np.array_equal(well_learned(loss[order]), well_learned(loss)[order])


def test_clipping_withstands_an_outlier() -> None:
    loss = np.array([*np.linspace(0.0, 1.0, 99), 1e6])
    assert well_learned(loss).sum() == 99
    assert well_learned(loss, 0.95).sum() == 50


def test_an_example_left_out_keeps_its_old_loss() -> None:
    policy, examples = InfoBatch(), examples_of(40)
    state = {"loss": np.linspace(0.0, 1.0, 40)}
    one = policy.propose(state, examples, 3, 100.0, Draw(0))
    after = policy.update(state, one, np.full(len(one.order), 9.0))
    left = np.setdiff1d(np.arange(40), one.order)
    assert len(left) and np.array_equal(after["loss"][left], state["loss"][left])
    assert (after["loss"][one.order] == 9.0).all()


@pytest.mark.parametrize(
    ("epochs", "anneal", "pruning"), [(16, 0.875, 14), (10, 0.875, 8), (10, 0.8, 8), (100, 0.29, 29)]
)
def test_the_last_epochs_are_whole(epochs: int, anneal: float, pruning: int) -> None:
    """floor(anneal * epochs) epochs may leave out; the first of them does not; then all weights are 1."""
    found = rounds(InfoBatch(anneal=anneal), examples_of(60), epochs, epochs, falling)
    assert [len(one.order) < 60 for one in found] == [False] + [True] * (pruning - 1) + [False] * (epochs - pruning)
    for one in found[pruning:]:
        assert (one.weight == 1).all()
    assert all(one.epochs == 1.0 for one in found)


def test_the_order_is_uniform_shuffling_thinned_out() -> None:
    from cuvee.methods.policy.uniform import Uniform

    examples = examples_of(60)
    plain = rounds(Uniform(), examples, 16, 16, falling)
    for one, whole in zip(rounds(InfoBatch(), examples, 16, 16, falling), plain, strict=True):
        assert np.array_equal(one.order, whole.order[np.isin(whole.order, one.order)])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"ratio": 1.5}, "ratio must be between"),
        ({"anneal": -0.1}, "anneal must be between"),
        ({"initial": float("inf")}, "initial must be a finite"),
        ({"clip": 0.0}, "clip must be above 0"),
    ],
)
def test_parameters_are_checked(settings: dict[str, float], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        InfoBatch(**settings)  # type: ignore[arg-type]
