"""Laws against the releases that their papers' authors made."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cuvee.core import Runs, Settings
from cuvee.errors import UsageError
from cuvee.law.autoscale import Autoscale
from cuvee.law.bimix import Bimix
from cuvee.law.curve import Curve
from cuvee.law.data_filtering import utility
from cuvee.law.data_mixing_laws import DataMixingLaws, critical_share, one_proportion
from cuvee.law.joint_scaling import JointScaling
from cuvee.law.judge import spearman
from cuvee.law.loss_to_loss import LossToLoss
from cuvee.law.olmix import Olmix
from cuvee.law.projektor import Projektor, features, project
from cuvee.law.propose import Bounds, Question, mean_of_best
from cuvee.law.reach import outside
from cuvee.law.value_of_ood import best_weight, risk

from .planted import at, table

GOLDEN = Path(__file__).parents[1] / "data" / "golden"


def case(name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    found = json.loads((GOLDEN / f"{name}.json").read_text())
    return found["inputs"], found["outputs"]


def names(count: int) -> tuple[str, ...]:
    return tuple(f"d{place}" for place in range(count))


def swarm(mixtures: Any, outcome: Any) -> Runs:
    x = np.array(mixtures)
    return Runs(Settings(names(x.shape[1]), x), np.array(outcome), np.arange(len(x)))


def points(mixtures: Any) -> Settings:
    x = np.array(mixtures)
    return Settings(names(x.shape[1]), x)


@pytest.mark.parametrize("name", ["single_loss_k3", "single_loss_k5_noise"])
def test_data_mixing_laws(name: str) -> None:
    """Predictions and objective; parameters are not unique."""
    inputs, outputs = case(f"data_mixing_laws/{name}")
    fitted = DataMixingLaws(inputs["huber_delta"]).fit(swarm(inputs["mixtures"], inputs["loss"]))
    np.testing.assert_allclose(fitted.at(points(inputs["test_mixtures"])), outputs["prediction_test"], atol=5e-4)
    np.testing.assert_allclose(fitted.at(points(inputs["mixtures"])), outputs["prediction_train"], atol=5e-4)
    assert fitted.objective <= 1.05 * outputs["objective_sum_huber"] + 1e-6


def test_one_proportion() -> None:
    inputs, outputs = case("data_mixing_laws/one_proportion_curve")
    share, loss = np.array(inputs["proportion"]), np.array(inputs["loss"])
    c, slope, intercept = one_proportion(share, loss, inputs["huber_delta"], inputs["c_grid"])
    assert c == pytest.approx(outputs["c"], abs=loss.min() / 999)
    assert (slope, intercept) == pytest.approx((outputs["slope"], outputs["intercept"]), abs=2e-2)
    bound = float(loss[3])
    assert critical_share(c, slope, intercept, bound) == pytest.approx(share[3], abs=2e-3)
    assert np.isnan(critical_share(c, slope, intercept, c - 0.1))
    assert critical_share(2.0, 0.0, np.log(0.3), 2.5) == 1.0 and np.isnan(critical_share(2.0, 0.0, np.log(0.6), 2.5))


def test_critical_shares_are_shares() -> None:
    """Of log(L - 1) = share - 0.5 and of the same curve falling: the range, nothing, or where the bound is met."""
    losses = 1 + np.exp(np.array([0.0, 0.25, 1.0, 2.0]) - 0.5)
    assert [critical_share(1.0, 1.0, -0.5, one) for one in losses] == pytest.approx([0, 0.25, 1, 1])
    assert np.isnan(critical_share(1.0, 1.0, -0.5, losses[0] - 0.01))
    assert [critical_share(1.0, -1.0, 0.5, one) for one in losses] == pytest.approx([1, 0.75, 0, 0])
    assert np.isnan(critical_share(1.0, -1.0, 0.5, losses[0] - 0.01))


@pytest.mark.parametrize("metric", [0, 1])
def test_olmix(metric: int) -> None:
    inputs, outputs = case("olmix/log_linear_k4")
    fitted = Olmix(inputs["huber_delta"]).fit(swarm(inputs["X"], np.array(inputs["Y"])[:, metric]))
    found = fitted.at(points(inputs["test_X"]))
    np.testing.assert_allclose(found, outputs["prediction_test"][metric], atol=3e-4)


def test_olmix_proposals() -> None:
    """Without and with caps from tokens and repetition."""
    inputs, outputs = case("olmix/log_linear_k4_propose")
    fits = [[Curve(Olmix(), np.array(theta), 0.0)] for theta in inputs["params_log_c_then_t"]]
    held = np.array(inputs["token_counts"])
    capped = 0
    for asked, expected in zip(inputs["cases"], outputs["mixtures"], strict=True):
        caps = np.ones(4)
        if "target_tokens" in asked:
            caps = np.minimum(1, held * asked["repetition_factor"] / asked["target_tokens"])
            capped += 1
        bounds = Bounds(np.array(inputs["prior"]), caps, asked["kl_reg"])
        question = Question(names(4), np.full(2, 0.5), bounds, at(none=[0.0]).take(np.array([0])))
        np.testing.assert_allclose(question.best(Olmix(), fits)[0], expected, atol=1e-5)
    assert capped == 1


@pytest.mark.parametrize("name", ["bimix", "autoscale"])
def test_forms_of_olmix(name: str) -> None:
    inputs, outputs = case("olmix/log_linear_k4_bimix_autoscale")
    law = Bimix() if name == "bimix" else Autoscale(inputs["requested_tokens"])
    x, y = np.array(inputs["X"]), np.array(inputs["y"])
    fitted = law.fit(swarm(x, y))
    np.testing.assert_allclose(fitted.at(points(inputs["test_X"])), outputs[name]["prediction"], atol=2e-2)
    told = outputs[name]
    if name == "bimix":
        theirs = (np.array(told["F"]) * np.maximum(x, 1e-12) ** -np.array(told["alpha"])).sum(1)
    else:
        worth = inputs["requested_tokens"] * (np.array(told["alpha"]) + x)
        theirs = told["L"] + (worth ** -np.array(told["gamma"])).sum(1)
    assert ((fitted.at(points(x)) - y) ** 2).sum() <= 1.01 * ((theirs - y) ** 2).sum()


def test_data_filtering_single() -> None:
    inputs, outputs = case("data_filtering_law/utility_and_pools_1")
    for one, told in zip(inputs["single"], outputs["single"], strict=True):
        for form, key in (("code", "utility"), ("data", "effective_data")):
            found = utility(
                np.array([float(one["samples"])]),
                np.array([float(one["samples_per_epoch"])]),
                np.ones((1, 1)),
                np.array([[one["a"]]]),
                np.array([[[one["b"]]]]),
                np.array([[[one["half_life"]]]]),
                np.array([[one["d"]]]),
                form,
            )
            assert found.item() == pytest.approx(told[key], rel=1e-9)


def test_data_filtering_unions() -> None:
    inputs, outputs = case("data_filtering_law/utility_and_pools_1")
    pools = inputs["pools"]
    for query, told in zip(inputs["mix_queries"], outputs["mix"], strict=True):
        errors = []
        for number in range(1, 5):
            share = np.where(np.arange(4) < number, 1 / number, 0.0)[None]
            found = utility(
                np.array([float(query["samples"])]),
                np.array([float(pools["pool_size"] * number)]),
                share,
                np.array([[pools["a"]]]),
                np.array(pools["b"])[None, None],
                np.array(pools["half_life"])[None, None],
                np.array([[pools["d"]]]),
                "code" if query["objective"] == "effective_utility" else "data",
            )
            errors.append(found.item())
        np.testing.assert_allclose(errors, told["error_by_number_of_pools"], rtol=1e-9)
        assert int(np.argmin(errors)) + 1 == told["best_number_of_pools"]


def test_value_of_ood() -> None:
    inputs, outputs = case("value_of_ood/fld_n100")
    n, mu, sigma = float(inputs["n"]), inputs["mu"], inputs["sigma"]
    for row, shift in enumerate(inputs["deltas"]):
        for column, m in enumerate(inputs["m"]):
            assert risk(n, m, mu, sigma, shift) == pytest.approx(outputs["risk_unweighted"][row][column], abs=1e-12)
            weight, reached = best_weight(n, m, mu, sigma, shift)
            assert reached == pytest.approx(outputs["risk_alpha_opt"][row][column], abs=1e-9)
            if m:
                assert weight == pytest.approx(outputs["alpha_opt"][row][column], abs=1e-2)


def test_value_of_ood_shapes() -> None:
    """Small shifts fall, middling ones turn, large ones rise at once."""
    others = np.array([0, 1, 2, 4, 8])
    found = [risk(6.0, others, 1.2, 1.0, shift) for shift in (0.0, 0.6, 0.9, 1.5)]
    np.testing.assert_allclose(found[1], [0.1333, 0.1316, 0.1313, 0.1324, 0.1359], atol=5e-5)
    assert [int(one.argmin()) for one in found] == [4, 2, 1, 0]


@pytest.mark.parametrize("name", ["shifted_power_1", "shifted_power_noise"])
def test_loss_to_loss(name: str) -> None:
    inputs, outputs = case(f"loss_to_loss/{name}")
    runs = table(inputs["y"], loss_a=inputs["x"])
    laws = {
        "ex_ey_known": (LossToLoss(inputs["Ex"], inputs["Ey"]), 1e-9),
        "ex_known": (LossToLoss(inputs["Ex"]), 1e-6),
        "both_free_grid": (LossToLoss(), 1e-9),
    }
    for key, (law, tolerance) in laws.items():
        fitted = law.fit(runs)
        found = fitted.at(at(loss_a=inputs["query_x"]))
        np.testing.assert_allclose(found, outputs["prediction"][key], rtol=tolerance)
        numbers = [fitted.kappa, fitted.factor, fitted.floor_a, fitted.floor_b]
        np.testing.assert_allclose(numbers, outputs["fits"][key], rtol=tolerance)


def test_joint_scaling() -> None:
    inputs, outputs = case("loss_to_loss/kaplan_like_fit")
    runs = table(inputs["L"], parameters=inputs["N"], tokens=inputs["D"])
    fitted = JointScaling().fit(runs)
    found = fitted.at(at(parameters=inputs["query_N"], tokens=inputs["query_D"]))
    np.testing.assert_allclose(found, outputs["prediction"], rtol=1e-4)
    assert fitted.objective / len(runs) <= 1.1 * outputs["objective_mean_huber_log"]
    for name in ("A", "B", "E", "alpha", "beta"):
        assert fitted.parameters[name] == pytest.approx(outputs[name], rel=1e-3)


def test_projektor() -> None:
    inputs, outputs = case("projektor/pseudo_quadratic_1")
    p = np.column_stack([inputs["p1"], inputs["p2"]])
    mixture = np.column_stack([p, 1 - p.sum(1)])
    parts = []
    for size, told in inputs["sizes"].items():
        values = {"distance": np.array(told["ot"]), "samples": np.full(len(p), float(size))}
        parts.append((Settings(names(3), mixture, values), np.array(told["acc"]), np.array(told["train"], bool)))
    settings = Settings(
        names(3),
        np.concatenate([one.mixture for one, _, _ in parts]),
        {key: np.concatenate([one.values[key] for one, _, _ in parts]) for key in ("distance", "samples")},
    )
    runs = Runs(settings, np.concatenate([acc for _, acc, _ in parts]), np.arange(len(settings)))
    fitted = Projektor().fit(runs.take(np.concatenate([train for _, _, train in parts])))
    for (one, _, _), size in zip(parts, inputs["sizes"], strict=True):
        np.testing.assert_allclose(fitted.at(one), outputs["predicted"][size], rtol=1e-8)
    small, large = (np.array(told) for told in outputs["predicted"].values())
    projected = project(small, large, np.full(len(p), float(inputs["N"])), inputs["N0"], inputs["N1"])
    np.testing.assert_allclose(projected, outputs["projected_to_N"], rtol=1e-8)
    assert features(mixture, np.ones(len(p))).shape[1] == 8


def test_projected_accuracies_end_at_one() -> None:
    """0.5 + 0.1 log10 N passes 1 at 100,000 samples; shares of a hundred, and what is bounded by hand, go on."""
    random = np.random.default_rng(0)
    mixture, ot = np.tile(random.dirichlet(np.ones(3), 12), (2, 1)), random.uniform(1, 2, 24)
    samples = np.repeat([100.0, 1000.0], 12)
    settings = Settings(names(3), mixture, {"distance": ot, "samples": samples})
    accuracy = 0.5 + 0.1 * np.log10(samples) - 0.05 * ot
    runs = Runs(settings, accuracy, np.arange(24))
    far = Settings(names(3), mixture[:1], {"distance": np.full(1, 1.5), "samples": np.array([1e9])})

    def asked(law: Projektor, scale: float = 1.0) -> float:
        return float(law.fit(Runs(settings, scale * accuracy, runs.group)).at(far)[0])

    assert asked(Projektor()) == 1.0
    assert asked(Projektor(), 100.0) == pytest.approx(132.5)
    assert asked(Projektor(most=100), 100.0) == 100.0
    assert asked(Projektor(most=np.inf)) == pytest.approx(1.325)
    (said,) = outside(runs, far)
    assert said == "samples is 1e+09, and was measured at 100 to 1000: 1e+06 times as large, where any law is a guess"
    with pytest.raises(UsageError, match="most must be above 0"):
        Projektor(most=0)


def test_regmix() -> None:
    """Trees, early stopping and the mean of the best simulated mixtures, bit for bit with the same LightGBM."""
    pytest.importorskip("lightgbm")
    from cuvee.law.regmix import fit_trees

    inputs, outputs = case("regmix/fit_and_simulate_k5")
    x, y, x_stop, y_stop = (np.array(inputs[key]) for key in ("X", "y", "X_valid", "y_valid"))
    booster = fit_trees(x, y, x_stop, y_stop, 1_000, 0.01, 20)
    assert booster.best_iteration == outputs["best_iteration"]
    np.testing.assert_allclose(booster.predict(x_stop), outputs["prediction_valid"], rtol=1e-9)
    drawn = np.random.default_rng(8).dirichlet(inputs["prior"], 3_000)
    found = mean_of_best(lambda mixture: np.asarray(booster.predict(mixture)), drawn, inputs["top_k"])
    np.testing.assert_allclose(found, outputs["optimal_mixture"], atol=1e-3)
    np.testing.assert_allclose(booster.predict(drawn[:50]), outputs["candidate_prediction_first_50"], rtol=1e-9)
    assert spearman(np.asarray(booster.predict(x_stop)), y_stop) == pytest.approx(outputs["spearman_valid"], rel=1e-12)
