"""EK-FAC: kronfluence's scores, exact Gauss-Newton inverses where it is exact, and the text probe's layers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cuvee.core import Batch
from cuvee.engine.draw import uniform
from cuvee.errors import DataError, UsageError
from cuvee.examples import as_batch
from cuvee.gradient.curvature import Curvature, Layer, Sides, fit_curvature, times
from cuvee.gradient.fitting import fit_probe
from cuvee.gradient.labelled import LabelledProbe, gradients, parts_of
from cuvee.gradient.scores import GradientScores
from cuvee.gradient.sides import drawn, labelled_layers, labelled_sides
from cuvee.methods.score.ekfac import EkFac, pool_curvature
from tests.gradient.test_trainings import Labelled

GOLDEN = Path(__file__).parents[1] / "data" / "golden" / "kronfluence"
Floats = Any


def load(name: str) -> dict[str, Floats]:
    with np.load(GOLDEN / name, allow_pickle=False) as stored:
        return dict(stored)


def network(case: dict[str, Floats], x: Floats, y: Floats) -> list[Sides]:
    """Slopes and inputs of the two layers of the reference's net, as kronfluence orders them: outputs in rows."""
    w, b, v, c = (case[f"param_{name}"].astype(np.float64) for name in ("0.weight", "0.bias", "2.weight", "2.bias"))
    h = np.tanh(x @ w.T + b)
    z = np.exp(h @ v.T + c)
    slope = z / z.sum(axis=1, keepdims=True) - np.eye(len(c))[y]
    inner = (slope @ v) * (1 - h * h)
    one = np.ones((len(x), 1))
    left, right = np.concatenate([x, one], axis=1), np.concatenate([h, one], axis=1)
    return [[(inner[i : i + 1], left[i : i + 1]), (slope[i : i + 1], right[i : i + 1])] for i in range(len(x))]


def flat(sides: Sides) -> Floats:
    return np.concatenate([times(left, right).ravel() for left, right in sides])


@pytest.mark.parametrize("name", ["mlp_d5h4c3_dampheuristic.npz", "mlp_d4h3c3_damp1e2.npz"])
@pytest.mark.parametrize("corrected", [True, False])
def test_scores_of_kronfluence(name: str, corrected: bool) -> None:
    case = load(name)
    rows, queries = network(case, case["X"], case["Y"]), network(case, case["query_X"], case["query_Y"])
    hidden, width = case["param_0.weight"].shape
    classes = len(case["param_2.bias"])
    layers = [Layer(0, hidden, width + 1), Layer(hidden * (width + 1), classes, hidden + 1)]
    found = fit_curvature(layers, 1, lambda: ([one] for one in rows), corrected)
    assert found.examples == len(rows)
    g, q = (np.stack([flat(one) for one in part]) for part in (rows, queries))
    assert g @ q.T == pytest.approx(case["identity"].T, abs=1e-5 * float(np.abs(case["identity"]).max()))
    wanted = case["ekfac" if corrected else "kfac"]
    if case["damping"] < 0:
        scores = np.stack([found.solve(0, one, 0.1) for one in q]) @ g.T
    else:  # an absolute damping: a share of its own in each layer
        scores = np.zeros(wanted.shape)
        for i, layer in enumerate(layers):
            alone = Curvature((layer,), [[found.factors[0][i]]], found.examples)
            share = float(case["damping"]) / found.factors[0][i].values.mean()
            scores += np.stack([alone.solve(0, one, share) for one in q]) @ g.T
    assert scores == pytest.approx(wanted, abs=1e-4 * float(np.abs(wanted).max()))


def test_exact_where_inputs_and_slopes_are_independent() -> None:
    """Every input with every slope once: the second moment of the gradients is the Kronecker product itself, so both
    forms solve with the damped matrix to the last digits."""
    random = np.random.default_rng(0)
    x, s = random.normal(size=(6, 4)), random.normal(size=(5, 3))
    rows: list[Sides] = [[(a[None], b[None])] for a in x for b in s]
    g = np.stack([flat(one) for one in rows])
    exact = g.T @ g / len(g)
    v = random.normal(size=12)
    for corrected in (True, False):
        found = fit_curvature([Layer(0, 4, 3)], 1, lambda: ([one] for one in rows), corrected)
        damped = exact + 0.3 * np.trace(exact) / 12 * np.eye(12)
        assert found.solve(0, v, 0.3) == pytest.approx(np.linalg.solve(damped, v), rel=1e-9)


def test_corrected_eigenvalues_are_nearer_to_the_exact_matrix() -> None:
    """In Frobenius norm, of all diagonals in that basis (George et al. 2018, theorem 2)."""
    random = np.random.default_rng(1)
    x = random.normal(size=(40, 4)) * [3, 1, 1, 0.2]
    s = np.tanh(x @ random.normal(size=(4, 3))) * random.normal(size=(40, 1))
    rows: list[Sides] = [[(x[i : i + 1], s[i : i + 1])] for i in range(40)]
    g = np.stack([flat(one) for one in rows])
    exact, away = g.T @ g / len(g), {}
    for corrected in (True, False):
        one = fit_curvature([Layer(0, 4, 3)], 1, lambda: ([row] for row in rows), corrected).factors[0][0]
        basis = np.kron(one.left, one.right)
        away[corrected] = np.linalg.norm(basis @ np.diag(one.values.ravel()) @ basis.T - exact)
        assert basis.T @ basis == pytest.approx(np.eye(12), abs=1e-12)
    assert away[True] < away[False] - 0.1


def test_the_sides_of_a_classifier_are_its_gradients() -> None:
    random = np.random.default_rng(2)
    for hidden in (0, 4):
        size = 5 * hidden + hidden + (hidden or 5) * 4 + 4
        flat_parameters = random.normal(size=(2, size)).astype(np.float32)
        probe = LabelledProbe(None, np.array([3, 5, 9], np.uint64), flat_parameters, hidden)
        x, label = random.normal(size=(3, 5)), np.array([5, 3, 7], np.uint64)
        x[1] = 0.0
        key = np.arange(3, dtype=np.uint64)
        layers = labelled_layers(probe, 5)
        assert sum(one.rows * one.columns for one in layers) == size
        found = list(labelled_sides(probe, x, label, key, 0, sampled=False))
        assert found[1] == []
        for i, place in ((0, 1), (2, 3)):
            for c, sides in enumerate(found[i]):
                model = parts_of(flat_parameters[c].astype(np.float64), 5, 4, hidden)
                wanted, _ = gradients(model, x[i : i + 1], np.array([place]))
                assert flat(sides) == pytest.approx(wanted, rel=1e-12, abs=1e-12)


def test_drawn_labels_give_the_fisher_matrix() -> None:
    """The mean of slopes' products over many draws is diag(p) - p p^T; a draw depends on seed and key alone."""
    random = np.random.default_rng(3)
    parameters = random.normal(size=(1, 15)).astype(np.float32)
    probe = LabelledProbe(None, np.array([3, 5], np.uint64), parameters)
    x, label = np.tile(random.normal(size=4), (4000, 1)), np.full(4000, 3, np.uint64)
    key = np.arange(4000, dtype=np.uint64)
    found = list(labelled_sides(probe, x, label, key, 7, sampled=True))
    slope = np.concatenate([one[0][0][1] for one in found])
    _, _, w, b = parts_of(parameters[0].astype(np.float64), 4, 3, 0)
    p = np.exp(x[0] @ w + b)
    p /= p.sum()
    assert slope.T @ slope / 4000 == pytest.approx(np.diag(p) - np.outer(p, p), abs=0.02)
    (alone,) = labelled_sides(probe, x[:1], label[:1], key[17:18], 7, sampled=True)
    assert np.array_equal(alone[0][0][1], found[17][0][0][1])
    assert drawn(np.array([[0.2, 0.3, 0.5]] * 4), np.array([0.19, 0.21, 0.49, 0.9999])).tolist() == [0, 1, 1, 2]


@pytest.mark.parametrize("probe", ["linear", "mlp"])
def test_the_method_against_dense_matrices(probe: Any) -> None:
    """From the fitted probe: eigenvalues in every layer's basis by dense algebra, and the scores of all rows."""
    run = Labelled()
    method = EkFac(probe, epochs=2, checkpoints=2, warm_up=1000, sample=1000, damping=0.2, fisher="given")
    fitted = fit_probe(run, method, "ekfac")
    wanted = np.zeros(run.rows)
    rows, target = list(fitted.probe.each(run.pool)), list(fitted.probe.each(run.target))
    curvature = pool_curvature(run, fitted, 1000, sampled=False, corrected=True)
    for c in range(2):
        g, q = (np.stack([one[c][0] for one in part]).astype(np.float64) for part in (rows, target))
        for layer, one in zip(curvature.layers, curvature.factors[c], strict=True):
            part = np.arange(layer.start, layer.start + layer.rows * layer.columns)
            turned, query = (
                one.left.T @ vectors[:, part].reshape(-1, layer.rows, layer.columns) @ one.right for vectors in (g, q)
            )
            values = np.square(turned).mean(axis=0)
            assert one.values == pytest.approx(values, rel=1e-4, abs=1e-6 * float(values.max()))
            damped = query.mean(axis=0) / (values + 0.2 * values.mean())
            wanted += (turned * damped).sum(axis=(1, 2)) / 2
    found = method.fit(run)
    assert found.notes["covered"] == 1.0 and found.notes["sampled"] == run.rows
    score = found.apply(run.pool)["score"]
    assert score == pytest.approx(wanted, abs=1e-4 * float(np.abs(wanted).max()))


def test_refused() -> None:
    with pytest.raises(DataError, match="raise sample"):
        fit_curvature([Layer(0, 2, 2)], 1, lambda: iter([[], []]))
    zeros: Sides = [(np.zeros((1, 2)), np.ones((1, 2)))]
    with pytest.raises(DataError, match="gradients of 0"):
        fit_curvature([Layer(0, 2, 2)], 1, lambda: iter([[zeros]]))
    with pytest.raises(UsageError, match="damping above 0"):
        EkFac("linear", damping=0.0).fit(Labelled())


torch = pytest.importorskip("torch")
from cuvee.gradient import text as text_probes  # noqa: E402
from cuvee.gradient.sides import text_layers, text_sides  # noqa: E402
from cuvee.gradient.text import TextProbe, TextSpec  # noqa: E402
from cuvee.gradient.warm_up import beginning  # noqa: E402
from cuvee.proof.proxies.transformer import Shape  # noqa: E402

TEXTS = [b"the sea of rows", b"", b"select a from b " * 9, "Stra\u00dfe \u4e2d\u6587".encode(), b"x"]


@pytest.fixture
def text_probe(monkeypatch: pytest.MonkeyPatch) -> Iterator[TextProbe]:
    monkeypatch.setitem(text_probes.SHAPES, "tiny", Shape(16, 2, 2, 24, 1e-2))
    spec = TextSpec("tiny", context=16)
    first = beginning(spec, 1)
    second = first + np.random.default_rng(0).normal(0, 0.1, len(first)).astype(np.float32)
    yield TextProbe(spec, np.stack([first, second]), tokens=40, total=True)


def test_the_sides_of_a_text_are_its_gradient(text_probe: TextProbe) -> None:
    """With the labels given: in every linear layer sum_t l r^T is the gradient of the summed loss; text in windows
    as well, and padding has no part."""
    layers = text_layers(text_probe)
    assert [(one.rows, one.columns) for one in layers] == [(48, 16), (16, 16), (48, 16), (16, 24)] * 2
    batch = as_batch(TEXTS)
    sides = list(text_sides(text_probe, batch, 0, sampled=False))
    for text, one, found in zip(TEXTS, sides, text_probe.each(batch), strict=True):
        assert len(one) == len(found) == (2 if text else 0)
        for parts, (gradient, _) in zip(one, found, strict=True):
            for layer, (left, right) in zip(layers, parts, strict=True):
                assert len(left) == len(right) == min(len(text), 40) + (len(text) <= 40)
                wanted = layer.of(gradient)
                assert times(left, right) == pytest.approx(wanted, abs=2e-5 * float(np.abs(gradient).max()))


def test_drawn_labels_of_a_text_are_its_own(text_probe: TextProbe) -> None:
    """They depend on seed and key, not on company; and are drawn by the model's probabilities."""
    texts = TEXTS * 2
    batch: Batch = as_batch(texts)
    whole = list(text_sides(text_probe, batch, 5, sampled=True))
    plain = list(text_sides(text_probe, batch, 5, sampled=False))
    assert not np.allclose(whole[0][0][0][0], plain[0][0][0][0])
    for at in (0, 2):
        one = Batch(
            *(as_batch([texts[at]]).data, as_batch([texts[at]]).offsets), batch.row[at : at + 1], batch.key[at : at + 1]
        )
        (alone,) = text_sides(text_probe, one, 5, sampled=True)
        for parts, others in zip(alone, whole[at], strict=True):
            assert all(
                np.array_equal(a, b)
                for pair, other in zip(parts, others, strict=True)
                for a, b in zip(pair, other, strict=True)
            )
    other = list(text_sides(text_probe, batch, 6, sampled=True))
    assert not np.allclose(whole[2][0][0][0], other[2][0][0][0])
    assert uniform(5, f"labels of the curvature {batch.key[0]}", np.arange(3, dtype=np.uint64)).max() < 1


def test_scores_of_texts_are_those_of_solved_vectors(text_probe: TextProbe) -> None:
    """A row's score is the product of its gradient and F^-1 q: linear in the target, 0 outside of the layers."""
    batch = as_batch(TEXTS)
    found = fit_curvature(text_layers(text_probe), 2, lambda: text_sides(text_probe, batch, 1, sampled=True))
    assert found.examples == 4
    gradients_of = [one for one in text_probe.each(batch) if one]
    q = gradients_of[0][1][0]
    solved = found.solve(1, q, 0.1)
    inside = np.zeros(len(q), bool)
    for layer in found.layers:
        layer.of(inside)[...] = True
    assert not solved[~inside].any() and 0.5 < inside.mean() < 0.99
    assert solved @ q > 0
    twice = found.solve(1, 2 * q, 0.1)
    assert twice == pytest.approx(2 * solved, rel=1e-9)
    scores = GradientScores(text_probe, np.zeros((2, 1, len(q)), np.float32), np.ones(2), cosine=False)
    scores.vectors[1, 0] = solved
    wanted = [float(one[1][0] @ solved) for one in gradients_of]
    block = scores.apply(batch)["score"]
    assert block[[0, 2, 3, 4]] == pytest.approx(wanted, rel=1e-3, abs=1e-4 * max(map(abs, wanted)))
    assert block[1] == -np.inf
