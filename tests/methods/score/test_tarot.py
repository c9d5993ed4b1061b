"""TAROT: whitening, layers and potentials as computed apart from the paper's formulas; budgets in any unit."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from cuvee.core import Budget, Draw
from cuvee.errors import DataError, UsageError
from cuvee.feature.static_embedding import normalised
from cuvee.fold.moments import gaussian_of
from cuvee.fold.tarot_layers import distances, layers, mean_nearest, partial_order, suggested_size
from cuvee.fold.transport import sinkhorn
from cuvee.methods.score.tarot import Tarot, whitening
from tests.conftest import MemoryColumns
from tests.feature.test_embeddings import Memory, with_vectors

GOLDEN = Path(__file__).parents[2] / "data" / "golden" / "tarot"


@pytest.fixture(scope="module")
def case() -> dict:
    return json.loads((GOLDEN / "selection.json").read_text())


def nearest(case: dict) -> tuple[np.ndarray, np.ndarray]:
    candidates, targets = (np.array(case[f"unit_whitened_{side}"]) for side in ("candidates", "targets"))
    lists = np.argsort(-(candidates @ targets.T), axis=0, kind="stable").T
    return layers(lists, np.full(len(targets), len(candidates)))


def test_whitening_is_the_paper_s() -> None:
    with np.load(GOLDEN / "whitening.npz") as stored:
        golden = dict(stored)
    rows = [golden["candidate_grads"], golden["target_grads"]]
    mean, matrix, _ = whitening(gaussian_of(np.concatenate(rows)), float(golden["ridge"]))
    for side, raw in zip(("candidates", "targets"), rows, strict=True):
        found = (raw - mean) @ matrix
        found /= np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-12)
        assert np.allclose(found, golden[f"unit_whitened_{side}"], atol=1e-6)


def test_released_whitening_is_the_release_s() -> None:
    """Its rows times L^-1, which does not whiten: as the released code returned them, in single precision."""
    with np.load(GOLDEN / "whitening.npz") as stored:
        golden = dict(stored)
    rows = np.concatenate([golden["candidate_grads"], golden["target_grads"]])
    mean, matrix, _ = whitening(gaussian_of(rows), float(golden["ridge"]), released=True)
    for side, raw in (("candidates", golden["candidate_grads"]), ("targets", golden["target_grads"])):
        found = (raw - mean) @ matrix
        found /= np.linalg.norm(found, axis=1, keepdims=True)
        assert np.allclose(found, golden[f"released_code_{side}"], atol=1e-3)
    run, _ = run_of()
    fitted = Tarot(whitening="released").fit(run)
    raw = run.pool.columns["embedding"]
    expected = normalised(np.float64(raw - fitted.embedder.mean) @ fitted.embedder.matrix)
    assert np.allclose(fitted.embedder.vectors(run.pool), expected, atol=1e-5)
    assert not np.allclose(fitted.embedder.matrix, Tarot().fit(run).embedder.matrix)


@pytest.mark.parametrize("which", [0, 1, 2])
def test_fixed_sizes(case: dict, which: int) -> None:
    """Budgets at a layer's border give the very selection; within a layer the smallest potentials of the union."""
    expected, (rows, layer) = case["fixed_size"][which], nearest(case)
    size = expected["num_selected"]
    inside = [number for number in range(layer.max() + 1) if np.count_nonzero(layer <= number) <= size]
    whole = rows[layer <= inside[-1]]
    assert sorted(whole.tolist()) == sorted(expected["full_layers"])
    if expected["union_potential_variant"] is None:
        return
    candidates, targets = (np.array(case[f"unit_whitened_{side}"]) for side in ("candidates", "targets"))
    these = rows[layer == inside[-1] + 1]
    assert sorted(these.tolist()) == sorted(expected["partial_layer"])
    variant = expected["union_potential_variant"]
    order = partial_order(candidates, whole, these, targets, variant["epsilon"], "union")
    assert sorted([*whole, *order[: size - len(whole)]]) == sorted(variant["lowest_selection"])
    both = np.concatenate([whole, these])
    found = sinkhorn(distances(candidates[both], targets), variant["epsilon"], tolerance=1e-9, most=10**5).f[
        -len(these) :
    ]
    listed = np.array(variant["potentials_of_partial_layer"])
    theirs = listed[[expected["partial_layer"].index(row) for row in these.tolist()]]
    assert np.allclose(found - found.mean(), theirs - theirs.mean(), atol=1e-4)


def test_rows_beyond_what_is_held_are_ordered_alike(case: dict, monkeypatch: pytest.MonkeyPatch) -> None:
    rows, layer = nearest(case)
    candidates, targets = (np.array(case[f"unit_whitened_{side}"]) for side in ("candidates", "targets"))
    order = (candidates, rows[layer < 2], rows[layer == 2], targets, 0.02)
    expected = {rule: partial_order(*order, rule).tolist() for rule in ("union", "released")}
    monkeypatch.setattr("cuvee.fold.tarot_layers.AT_ONCE", 0)
    assert {rule: partial_order(*order, rule).tolist() for rule in expected} == expected
    near = distances(candidates[rows], targets).min(axis=0).mean()
    assert mean_nearest(candidates[rows], targets) == pytest.approx(near, rel=1e-12)


def test_distances_come_near_exact_transport(case: dict) -> None:
    candidates, targets = (np.array(case[f"unit_whitened_{side}"]) for side in ("candidates", "targets"))
    for expected in case["fixed_size"]:
        taken = expected["released_selection"]
        found = sinkhorn(distances(candidates[taken], targets), 0.003, tolerance=1e-6, most=10**5)
        assert found.cost == pytest.approx(expected["exact_ot_distance"], rel=0.02)


def test_suggested_size_is_that_of_the_best_prefixes(case: dict) -> None:
    """The folds differ (ours are keyed), so only the size is compared: theirs is 53 of 120."""
    candidates, targets = (np.array(case[f"unit_whitened_{side}"]) for side in ("candidates", "targets"))
    lists = np.argsort(distances(targets, candidates), axis=1, kind="stable")
    assert 35 <= suggested_size(candidates, targets, lists, 0.02, seed=0) <= 75


def run_of() -> tuple[Memory, np.ndarray]:
    chance = np.random.default_rng(0)
    modes, label = 3 * np.eye(3, 8), np.repeat([0, 1, 2], [300, 40, 40])
    spread = np.array([0.5] * 5 + [30.0] * 3)
    vectors = modes[label] + spread * chance.normal(size=(380, 8))
    wanted = np.repeat(modes[1:], 6, axis=0) + spread * chance.normal(size=(12, 8))
    return Memory(with_vectors(vectors.astype(np.float32)), with_vectors(wanted.astype(np.float32))), label


def test_whitening_removes_a_nuisance_direction() -> None:
    run, label = run_of()
    share = {}
    for whiten in (True, False):
        score = Tarot(whiten=whiten).fit(run).apply(run.pool)["score"]
        share[whiten] = float((label[np.argsort(-score, kind="stable")[:40]] > 0).mean())
    assert share[True] > 0.9
    assert share[True] > share[False] + 0.2


@pytest.mark.parametrize("unit", ["rows", "tokens"])
def test_budgets_hold_and_layers_come_in_order(unit: str) -> None:
    run, _ = run_of()
    method = Tarot(suggest=True)
    fitted = method.fit(run)
    tokens = np.random.default_rng(1).integers(1, 9, 380)
    score, results = fitted.apply(run.pool)["score"], []
    for blocks in (1, 4):
        columns = MemoryColumns(blocks, tokens=tokens, score=score)
        decision = method.chooser(fitted).choose(columns, Budget(unit, 70), Draw(0))  # type: ignore[arg-type]
        taken = columns.taken(decision)
        cost = tokens if unit == "tokens" else np.ones(380, int)
        assert 55 < int((taken * cost).sum()) <= 70
        last = score[taken > 0].min()
        assert (taken[score > last] == 1).all()
        results.append(taken)
    assert np.array_equal(results[0], results[1])
    assert fitted.notes["suggested_rows"] > 5
    assert np.allclose(np.linalg.norm(fitted.targets, axis=1), 1, atol=1e-5)
    assert np.array_equal(fitted.targets, normalised(fitted.targets))


def test_refusals() -> None:
    run, _ = run_of()
    for bad in (Tarot(ridge=-1.0), Tarot(epsilon=0.0), Tarot(most=-1), Tarot(whitening="both")):  # type: ignore[arg-type]
        with pytest.raises(UsageError, match="tarot"):
            bad.fit(run)
    same = with_vectors(np.ones((5, 3), np.float32))
    with pytest.raises(DataError, match="larger ridge"):
        Tarot(ridge=0.0).fit(Memory(same, same))
