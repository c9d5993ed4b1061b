"""Scores and directions of the released programs, from their own gradients (``tests/data/golden``)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cuvee.gradient.labelled import gradients as classifier_gradients
from cuvee.gradient.products import ADAM_EPSILON, adam_direction
from cuvee.gradient.scores import Adam, GradientScores
from cuvee.methods.score.learning_percentage import learning_percentage
from cuvee.methods.score.less import best_subtask, influence
from cuvee.methods.score.tracin import influences
from cuvee.methods.score.trak import attribution

GOLDEN = Path(__file__).parents[1] / "data" / "golden"


def load(name: str) -> dict[str, np.ndarray]:
    with np.load(GOLDEN / name, allow_pickle=False) as stored:
        return dict(stored)


def test_adam_directions_of_less() -> None:
    case = load("less/matching.npz")
    for raw, wanted in zip(case["raw_grad"], case["adam_direction"], strict=True):
        out = np.empty_like(raw)
        adam_direction(raw, case["adam_m"], case["adam_v"], 0.9, 0.999, ADAM_EPSILON, out)
        assert out == pytest.approx(wanted, rel=1e-12)


def test_scores_of_less() -> None:
    case = load("less/matching.npz")
    found = influence(case["train_features"], case["val_features"], case["checkpoint_weights"])
    subtasks = int(case["n_subtasks"])
    names = np.repeat(np.arange(subtasks), found.shape[1] // subtasks)
    score = best_subtask(found, names)
    assert score == pytest.approx(case["score"], abs=1e-6)
    assert np.argsort(-score, kind="stable")[:10].tolist() == case["ranking"][:10].tolist()


def test_less_from_raw_gradients_to_the_score() -> None:
    """The map that scores rows, with sums over each subtask taken first, gives what the release gives."""
    case = load("less/tr10_s3x2.npz")
    rate = case["ckpt_weights"]
    subtasks = int(case["n_subtasks"])
    adam = Adam(
        np.stack([case[f"exp_avg_{t}"] for t in range(2)]),
        np.stack([case[f"exp_avg_sq_{t}"] for t in range(2)]),
        (0.9, 0.999),
    )
    target = np.stack([case[f"val_grad_{t}"] for t in range(2)]).astype(np.float64)
    unit = target / np.linalg.norm(target, axis=2, keepdims=True)
    vectors = unit.reshape(2, subtasks, -1, unit.shape[2]).mean(axis=2).astype(np.float32)
    scores = GradientScores(None, vectors, rate / rate.sum(), adam)
    raw = np.stack([case[f"train_grad_{t}"] for t in range(2)])
    for t in range(2):
        directions = np.stack([adam.direction(row, t) for row in raw[t]])
        assert directions == pytest.approx(case[f"train_adam_dir_{t}"], rel=1e-4, abs=1e-5)
    found = [scores.score([(raw[t, i], 0.5) for t in range(2)]) for i in range(raw.shape[1])]
    assert found == pytest.approx(case["score"].tolist(), abs=1e-5)


def tanh_net(case: dict[str, np.ndarray], t: int, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Per-example gradients of captum's net, written out: all parameters, and the last layer's weights."""
    weight, bias, out, last = (case[f"{name}_{t}"].astype(np.float64) for name in NAMES)
    h = np.tanh(x @ weight.T + bias)
    z = h @ out.T + last
    slope = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    slope[np.arange(len(y)), y] -= 1
    inner = (slope @ out) * (1 - h * h)
    parts = [inner[:, :, None] * x[:, None], inner, slope[:, :, None] * h[:, None], slope]
    flat = [part.reshape(len(x), -1) for part in parts]
    return np.concatenate(flat, axis=1), flat[2]


NAMES = ("0.weight", "0.bias", "2.weight", "2.bias")


def test_influences_of_captum() -> None:
    case = load("tracin/mlp3_2ckpt.npz")
    train = [tanh_net(case, t, case["X"], case["Y"]) for t in range(2)]
    test = [tanh_net(case, t, case["test_X"], case["test_Y"]) for t in range(2)]
    for at, name in ((0, "scores"), (1, "scores_last_layer")):
        rows, targets = (np.stack([one[at] for one in part]) for part in (train, test))
        found = influences(rows, targets, case["lrs"]).T
        assert found == pytest.approx(case[name], abs=2e-5 * float(np.abs(case[name]).max()))
        if at == 0:
            own = np.diag(influences(rows, rows, case["lrs"]))
            assert own == pytest.approx(case["self_influence"], rel=2e-5, abs=2e-5 * float(own.max()))


def test_scores_of_traker() -> None:
    case = load("trak/noproj_n40_m5_2ckpt.npz")
    rows, targets, wrong = (
        np.stack([case[f"{name}_{t}"] for t in range(2)]) for name in ("train_grad", "target_grad", "one_minus_p")
    )
    found = attribution(rows, targets, wrong, float(case["lambda_reg"]), int(case["proj_dim"]))
    assert found == pytest.approx(case["scores"], abs=1e-4 * float(np.abs(case["scores"]).max()))


def test_learning_percentages_of_the_release() -> None:
    case = load("learning_percentage/n60_k20.npz")
    found = learning_percentage(case["P0"], case["P1"], case["P3"])
    assert found == pytest.approx(case["lp1"], rel=1e-12)
    assert learning_percentage(case["P0"], case["P1"], None) == pytest.approx(case["lp1_approx"], rel=1e-12)
    chosen = []
    for cluster in np.unique(case["cluster"]):  # the release's rule: of each cluster the lowest, at least one
        rows = np.flatnonzero(case["cluster"] == cluster)
        take = -(-len(rows) // 10)
        chosen += rows[np.argsort(found[rows], kind="stable")[:take]].tolist()
    assert chosen == case["low_lp1_10"].tolist()


def test_the_classifier_s_gradients_are_tracin_s_fast_form() -> None:
    """For softmax regression <g(x), g(z)> = (x . z + 1) ((p_x - y_x) . (p_z - y_z)); the 1 is the bias."""
    random = np.random.default_rng(0)
    w, b, x = random.normal(size=(5, 3)), random.normal(size=3), random.normal(size=(2, 5))
    nothing = np.zeros((5, 0)), np.zeros(0)
    label = np.array([2, 0])
    g = [classifier_gradients((*nothing, w, b), x[i : i + 1], label[i : i + 1])[0] for i in range(2)]
    z = np.exp(x @ w + b)
    residual = z / z.sum(axis=1, keepdims=True) - np.eye(3)[label]
    assert g[0] @ g[1] == pytest.approx((x[0] @ x[1] + 1) * (residual[0] @ residual[1]))
