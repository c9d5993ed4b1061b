"""FLYT: score gradients through a step of training, and weights that find what helps the target."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cuvee.core import Batch
from cuvee.errors import DataError, UsageError
from cuvee.fold.bottom_k import BottomK, as_batch
from cuvee.fold.flyt_step import Settings, learn, score_gradient, softmax, standardised
from cuvee.methods.choose.soft_cap import SoftCap
from cuvee.methods.score.dsir import Dsir
from cuvee.methods.score.flyt import Flyt
from tests.laws.test_laws import POOL, Straight, batch_of, texts

GOLDEN = np.load(Path(__file__).parents[2] / "data" / "golden" / "flyt" / "score_gradient.npz")


def test_score_gradient_of_automatic_differentiation() -> None:
    """Logistic regression, one plain step on the softmax-weighted loss, then the mean loss of the downstream rows."""
    g = {name: GOLDEN[name] for name in GOLDEN.files}

    def gradients(x: np.ndarray, y: np.ndarray, theta: np.ndarray) -> np.ndarray:
        sign = 2 * y - 1 if y.min() >= 0 else y
        return -(sign / (1 + np.exp(sign * (x @ theta))))[:, None] * x

    weight, rate = softmax(g["scores"]), float(g["learning_rate"])
    each = gradients(g["upstream_x"], g["upstream_y"], g["theta"])
    after = g["theta"] - rate * weight @ each
    sign = 2 * g["downstream_y"] - 1 if g["downstream_y"].min() >= 0 else g["downstream_y"]
    loss = np.log1p(np.exp(-sign * (g["downstream_x"] @ after))).mean()
    assert loss == pytest.approx(float(g["downstream_loss_after_step"]), rel=1e-9)
    toward = each @ gradients(g["downstream_x"], g["downstream_y"], after).mean(axis=0)
    assert np.allclose(score_gradient(weight, toward, rate), g["score_gradient"], rtol=1e-9, atol=1e-14)


class Larger(Straight):
    """A pool of 1,500 rows, in which a third is written as the target is."""

    pool = batch_of([*texts(0, 1000), *texts(5, 530)[30:]])

    def fold(self, fold: Any, over: str = "pool") -> Any:
        return fold.finish(fold.lift(self.pool)) if over == "pool" else super().fold(fold, over)


def test_weight_goes_to_the_input_that_helps() -> None:
    """Of three inputs, one tells target-like rows, one is noise, one is its opposite."""
    fitted_on: Any = Larger()
    batch: Batch = as_batch(fitted_on.fold(BottomK(1500, "x", 3)))
    good = Dsir(min_length=0, normalise="mean").fit(fitted_on).apply(batch)["score"]
    noise = np.random.default_rng(0).normal(size=1500)
    shift, scale, inputs = standardised(np.column_stack([good, noise, -good, np.full(1500, 7.0)]))
    assert np.allclose(inputs[:, :3].mean(axis=0), 0) and np.allclose(inputs[:, :3].std(axis=0), 1)
    assert not inputs[:, 3].any() and np.isinf(scale[3]) and shift[3] == 7
    weights, notes = learn(fitted_on, Settings(steps=100, batch=512), inputs, "x")
    assert weights[0] > 0.5 > -0.5 > weights[2] and abs(weights[1]) < 0.5 and weights[3] == 0
    assert notes["reference_loss_after"] < notes["reference_loss_before"]
    again, _ = learn(fitted_on, Settings(steps=100, batch=512), inputs, "x")
    assert np.array_equal(again, weights)


def test_infinities_are_cut_and_missing_rows_take_no_part() -> None:
    score = np.array([[1.0], [2.0], [3.0], [-np.inf], [np.inf]])
    _, _, inputs = standardised(score)
    assert np.isfinite(inputs).all() and inputs[4, 0] == inputs[2, 0]
    with pytest.raises(DataError, match="at least two rows"):
        learn(Straight(), Settings(steps=2), np.full((5, 1), np.nan), "x")  # type: ignore[arg-type]


def test_infinities_are_cut_to_the_range_of_the_other_scores() -> None:
    """Zero lies outside that range: a row left out must not pull mean and deviation there."""
    score = np.array([[100.0, -5.0], [110.0, -7.0], [-np.inf, np.inf], [120.0, np.nan], [-np.inf, -6.0]])
    shift, scale, found = standardised(score)
    cut = np.array([[100.0, -5.0], [110.0, -7.0], [100.0, -5.0], [120.0, -7.0], [100.0, -6.0]])
    assert np.allclose(shift, cut.mean(axis=0))
    assert np.allclose(scale, cut.std(axis=0))
    assert np.allclose(found, (cut - cut.mean(axis=0)) / cut.std(axis=0))
    assert np.array_equal(standardised(np.full((3, 1), -np.inf))[2], np.zeros((3, 1)))


def test_scores_have_unit_spread_and_soft_cap_chooses() -> None:
    method = Flyt(steps=30, batch=32, sample=60)
    fitted = method.fit(Straight())
    score = fitted.apply(POOL)["score"]
    assert 0.5 < score.std() < 2 and isinstance(method.chooser(fitted), SoftCap)


@pytest.mark.parametrize("settings", [{"steps": 0}, {"batch": 1}, {"rate": 0.0}, {"eta": float("nan")}, {"sample": 1}])
def test_refusals(settings: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        Flyt(**settings)
