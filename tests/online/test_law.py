"""The linear law: the public codes' numbers, and what must hold of any matrix."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cuvee.errors import UsageError
from cuvee.online import law
from cuvee.online.rates import cosine, falls_to, infinite, rewarmed

GOLDEN = Path(__file__).parents[1] / "data/golden"


def case(name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    found = json.loads((GOLDEN / name).read_text())
    return found["inputs"], found["outputs"]


def drops_of(before: list[float], after: list[list[float]], groups: list[int], sweeps: int) -> np.ndarray:
    """Mean falls of the losses by group trained on."""
    losses = np.array([before, *after])
    found = np.zeros((losses.shape[1],) * 2)
    for step, group in enumerate(groups):
        found[:, group] += (losses[step] - losses[step + 1]) / sweeps
    return found


@pytest.mark.parametrize("name", ["smoothed_k3", "onehot_k4"])
def test_aiolis_matrix(name: str) -> None:
    given, wanted = case(f"aioli/learn_params_{name}.json")
    drops = drops_of(
        given["loss_before"], given["losses_after_each_interval"], given["mixture_order"], given["lp_rounds"]
    )
    np.testing.assert_allclose(law.from_sweep(drops, given["one_hot_factor"]), wanted["A"], rtol=0, atol=1e-10)
    for step, group in enumerate(given["mixture_order"]):
        mixture = law.probe(given["k"], group, given["one_hot_factor"])
        np.testing.assert_allclose(mixture, given["mixtures_played"][step], atol=1e-15)


@pytest.mark.parametrize("name", ["no_ema", "ema"])
def test_aiolis_proportions(name: str) -> None:
    given, wanted = case(f"aioli/closed_loop_{name}_k3.json")
    k, ema = given["k"], given["ema"]
    mixture, mean = np.full(k, 1 / k), None
    for one, told in zip(given["rounds"], wanted["rounds"], strict=True):
        groups = [int(np.argmax(played)) for played in one["mixtures_played"]]
        drops = drops_of(one["loss_before"], one["losses_after_each_interval"], groups, given["lp_rounds"])
        matrix = law.normalised(law.from_sweep(drops, given["one_hot_factor"]))
        assert matrix.min() >= 0 and matrix.sum() == pytest.approx(1)
        mean = matrix if mean is None or ema is None else (1 - ema) * matrix + ema * mean
        mixture = law.tilted(mixture if ema is None else np.full(k, 1 / k), law.gains(mean), given["eta"])
        np.testing.assert_allclose(mixture, told["proportions"], rtol=0, atol=1e-9)


def test_skill_its_proportions() -> None:
    given, wanted = case("skill_it/skillit_k3.json")
    graph, losses, window = np.array(given["graph"]), np.array(given["losses_at_evals"]), given["window"]
    every = given["update_steps"] // given["eval_every"]
    for number, told in enumerate(wanted["proportions_per_round"]):
        seen = losses[max(0, every * number - window) : every * number].sum(axis=0) if number else np.ones(3)
        found = law.tilted(np.full(3, 1 / 3), law.gains(law.from_graph(graph, seen)), given["eta"])
        np.testing.assert_allclose(found, told, rtol=0, atol=1e-9)


def test_doges_weights() -> None:
    given, wanted = case("doge/doge_mixgrad_k3.json")
    weights, seen = np.full(3, 1 / 3), []
    for one, told in zip(given["steps"], wanted["steps"], strict=True):
        slopes = np.array(one["train_grads"] + one["val_grads"])
        slopes[[at for at in range(3) if at not in one["train_domains_present"]]] = 0
        score = law.from_gradients(slopes @ slopes.T, given["dw_max"])
        weights = law.tilted(weights, score, given["lr"] / given["mu"])
        seen.append(weights)
        np.testing.assert_allclose(weights, told["weights"], rtol=0, atol=1e-5)
    np.testing.assert_allclose(np.mean(seen, axis=0), wanted["average"], rtol=0, atol=1e-5)


def test_doremis_weights_by_token() -> None:
    given, wanted = case("doremi/doremi_token_clip_k4.json")
    weights, score, seen = np.array(given["initial_weights"]), np.array(given["initial_scores"]), []
    for one, told in zip(given["steps"], wanted["steps"], strict=True):
        excess, mask = np.array(one["excess"]), np.array(one["mask"])
        found = law.excess_by_group(excess, np.zeros_like(excess), np.array(one["domains"]), given["k"], mask)
        score = np.where(np.isnan(found), score, found)
        np.testing.assert_allclose(score, told["scores"], rtol=0, atol=1e-5)
        weights = law.smoothed(law.tilted(weights, score, given["eta"]), given["smoothing"])
        np.testing.assert_allclose(weights, told["weights"], rtol=0, atol=1e-5)
        seen.append(weights)
    np.testing.assert_allclose(np.mean(seen, axis=0), wanted["average"], rtol=0, atol=1e-5)


def test_doremis_weights_by_domain() -> None:
    """The variant that cuts a domain's mean at 0; a difference of exactly 0 is a domain that was not there."""
    given, wanted = case("doremi/doremi_domain_clip_k3.json")
    weights, score, seen = np.full(3, 1 / 3), np.zeros(3), []
    for one, told in zip(given["steps"], wanted["steps"], strict=True):
        gap = np.array(one["proxy_loss"]) - np.array(one["reference_loss"])
        score = np.where(gap == 0, score, np.maximum(gap, 0))
        weights = law.smoothed(law.tilted(weights, score, given["eta"]), given["smoothing"])
        np.testing.assert_allclose(weights, told["weights"], rtol=0, atol=1e-6)
        seen.append(weights)
    np.testing.assert_allclose(np.mean(seen, axis=0), wanted["average"], rtol=0, atol=1e-6)


@pytest.mark.parametrize("factor", [0.4, 0.75, 1.0])
def test_a_sweep_recovers_the_matrix(factor: float) -> None:
    """Falls that are A p give A back, whatever the tilt; the diagonal estimate is right for diagonal matrices."""
    chance = np.random.default_rng(0)
    matrix = chance.normal(size=(5, 5))
    drops = np.stack([matrix @ law.probe(5, group, factor) for group in range(5)], axis=1)
    np.testing.assert_allclose(law.from_sweep(drops, factor), matrix, atol=1e-10)
    own = np.diag([0.3, 0.1, 0.2, 0.5, 0.4])
    drops = np.stack([own @ law.probe(5, group, factor) for group in range(5)], axis=1)
    np.testing.assert_allclose(law.from_sweep(drops, factor, diagonal=True), own, atol=1e-12)


@pytest.mark.parametrize(("groups", "factor"), [(2, 0.5), (4, 0.25), (4, 0.2504), (3, 1.1), (3, float("nan"))])
def test_tilts_that_tell_nothing_are_refused(groups: int, factor: float) -> None:
    with pytest.raises(UsageError, match="factor above"):
        law.probe(groups, 0, factor)


def test_exponentiated_gradient() -> None:
    """Equal gains change nothing, ln 2 doubles odds, absent groups stay absent, large numbers do no harm."""
    start = np.array([0.5, 0.3, 0.2, 0.0])
    np.testing.assert_allclose(law.tilted(start, np.full(4, 7.0), 3.0), start, atol=1e-15)
    found = law.tilted(start, np.array([np.log(2), 0, 0, 9]), 1.0)
    assert found[0] / found[1] == pytest.approx(2 * 0.5 / 0.3) and found[3] == 0
    assert np.isfinite(law.tilted(start, np.array([1e5, -1e5, 0, 0]), 1.0)).all()


def test_bounded_by_eta_without_accumulation() -> None:
    """After normalising, one step from uniform leaves shares within a factor of e^eta."""
    for seed in range(20):
        matrix = law.normalised(np.random.default_rng(seed).normal(size=(6, 6)))
        mixture = law.tilted(np.full(6, 1 / 6), law.gains(matrix), 0.2)
        assert mixture.max() / mixture.min() <= np.exp(0.2) + 1e-12
    assert (law.normalised(np.zeros((2, 2))) == 0).all()


def test_excess_is_cut_before_it_is_averaged() -> None:
    loss, reference = np.array([1.0, 3.0, 2.0]), np.array([2.0, 1.0, 2.5])
    found = law.excess_by_group(loss, reference, np.array([0, 0, 2]), 4)
    assert found[0] == 1.0 and found[2] == 0.0 and np.isnan(found[[1, 3]]).all()


def test_gradients_that_say_nothing() -> None:
    assert (law.from_gradients(np.zeros((6, 6))) == 0).all()
    slopes = np.array([[1.0, 0], [0, 1], [-1, 0], [0, 0], [1, 0], [0, 0]])  # held-out gradient of one group alone
    found = law.from_gradients(slopes @ slopes.T)
    assert found[0] > 0.9 and found[1] == 0 and found[2] == 0  # against the gradient: cut at 0


def test_fidelity_is_free_of_scale_and_level() -> None:
    """The true matrix explains everything, so does a multiple with other levels; one that ignores mixtures nothing."""
    chance = np.random.default_rng(1)
    matrix, mixtures = chance.random((3, 3)), chance.dirichlet(np.ones(3), 40)
    drops = mixtures @ matrix.T
    for other in (matrix, 50 * matrix, matrix + np.array([[1.0], [2.0], [3.0]])):
        found = law.fidelity(other, mixtures, drops + np.array([5.0, 6.0, 7.0]))
        assert found["r2"] == pytest.approx(1) and found["rank"] == pytest.approx(1)
    assert law.fidelity(np.ones((3, 3)), mixtures, drops)["r2"] == pytest.approx(0, abs=1e-9)
    assert law.fidelity(-matrix, mixtures, drops)["scale"] == pytest.approx(-1)


def test_rank_correlation_with_ties() -> None:
    stats = pytest.importorskip("scipy.stats")
    x, y = np.array([1.0, 1, 2, 5, 3, 3]), np.array([2.0, 1, 1, 4, 4, 9])
    assert law.rank_correlation(x, y) == pytest.approx(stats.spearmanr(x, y).statistic)
    assert law.rank_correlation(np.ones(6), y) == 0


def test_rates() -> None:
    """A cosine to a hundredth has fallen to a fifth after 71.1 %; schedules meet where their parts do."""
    assert falls_to(0.2, 0.01) == pytest.approx(0.7113, abs=1e-4)
    for fraction in (0.02, 0.1, 0.5, 1.0):
        assert cosine(falls_to(fraction), 4.5e-5) == pytest.approx(fraction * 4.5e-5)
    with pytest.raises(UsageError, match="never falls"):
        falls_to(0.01, 0.01)
    assert rewarmed(0, 1, 0.1) == pytest.approx(0.1) and rewarmed(1, 1, 0.1) == pytest.approx(0.1)
    assert rewarmed(0.01, 1, 0.1, 0.01) == pytest.approx(1)
    given = {"peak": 1.0, "constant": 0.5, "floor": 0.05, "warm": 0.1, "cool": 0.3, "anneal": 0.8}
    ends = [infinite(at, **given) for at in (0.0, 0.1, 0.3, 0.6, 0.8, 1.0)]
    assert ends == pytest.approx([0, 1, 0.5, 0.5, 0.5, 0.05])
