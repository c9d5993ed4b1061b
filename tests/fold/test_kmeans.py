"""k-means: exact on separated clusters, the same for every cut of the rows, never worse than a full step."""

from __future__ import annotations

import numpy as np
import pytest

from cuvee.core import Batch
from cuvee.engine.tree import Tree
from cuvee.errors import DataError, UsageError
from cuvee.feature.embed import Given
from cuvee.fold.kmeans import KmeansStep, VectorSample, assign, fit_centroids, fit_clusters, plus_plus
from tests.feature.test_embeddings import Memory, with_vectors


def blobs(seed: int, clusters: int, rows: int, d: int = 12, spread: float = 0.05) -> tuple[np.ndarray, np.ndarray]:
    chance = np.random.default_rng(seed)
    centres = chance.normal(size=(clusters, d))
    label = chance.integers(clusters, size=rows)
    return (centres[label] + spread * chance.normal(size=(rows, d))).astype(np.float32), label


@pytest.mark.parametrize("spherical", [True, False])
def test_separated_clusters_are_found(spherical: bool) -> None:
    vectors, label = blobs(0, 9, 3000)
    if spherical:
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    centroids, _ = fit_centroids(vectors, 9, seed=5, spherical=spherical)
    cluster, _ = assign(vectors, centroids, spherical)
    pairs = {(int(a), int(b)) for a, b in zip(label, cluster, strict=True)}
    assert len(pairs) == 9


def test_assignment_is_the_nearest() -> None:
    chance = np.random.default_rng(1)
    x, c = (chance.normal(size=(n, 7)).astype(np.float32) for n in (200, 11))
    cluster, score = assign(x, c, spherical=False)
    squares = ((x[:, None, :].astype(np.float64) - c[None]) ** 2).sum(axis=2)
    assert np.array_equal(cluster, squares.argmin(axis=1))
    assert np.allclose(-score, squares.min(axis=1), atol=1e-4)
    zero = assign(np.zeros((2, 7), np.float32), c, spherical=True)
    assert (zero[0] == -1).all()


def test_a_full_step_is_lloyd_s() -> None:
    vectors, _ = blobs(2, 4, 500, spread=1.0)
    start = vectors[:6]
    step = KmeansStep(Given(12, unit=False), start, spherical=False)
    moved, count, mean = step.finish(step.lift(with_vectors(vectors)))
    cluster, score = assign(vectors, start, spherical=False)
    assert np.array_equal(count, np.bincount(cluster, minlength=6))
    assert mean == pytest.approx(score.mean())
    for j in range(6):
        assert np.allclose(moved[j], vectors[cluster == j].mean(axis=0), atol=1e-5)


def test_an_empty_cluster_keeps_its_centroid() -> None:
    vectors, _ = blobs(3, 2, 100)
    far = np.full((1, 12), 1000.0, np.float32)
    step = KmeansStep(Given(12, unit=False), np.concatenate([vectors[:2], far]), spherical=False)
    moved, count, _ = step.finish(step.lift(with_vectors(vectors)))
    assert count[2] == 0
    assert np.array_equal(moved[2:], far)


def test_steps_never_lower_the_mean_score() -> None:
    vectors, _ = blobs(4, 30, 2000, spread=0.8)
    centroids, before = plus_plus(vectors, 30, 0), -np.inf
    for _ in range(8):
        step = KmeansStep(Given(12, unit=False), centroids, spherical=False)
        centroids, _, mean = step.finish(step.lift(with_vectors(vectors)))
        assert mean >= before - 1e-6
        before = mean


def test_order_of_completion_does_not_matter() -> None:
    """The canonical tree gives one result whatever chunk comes first."""
    vectors, _ = blobs(5, 5, 800, spread=0.5)
    step = KmeansStep(Given(12, unit=False), vectors[:5], spherical=False)
    results = []
    for order in ([0, 1, 2, 3, 4, 5, 6, 7], [7, 3, 1, 0, 6, 2, 5, 4]):
        tree = Tree(step.merge, 8)
        for chunk in order:
            tree.add(0, chunk, step.lift(with_vectors(vectors[100 * chunk : 100 * chunk + 100])))
        results.append(tree.root())
    for name in results[0]:
        assert np.array_equal(results[0][name], results[1][name])


def test_the_sample_is_by_key_alone() -> None:
    vectors, _ = blobs(6, 5, 300)
    vectors[11] = 0
    fold = VectorSample(40, "x", 3, Given(12, unit=False))
    batch = with_vectors(vectors)
    whole = fold.lift(batch)
    order = np.random.default_rng(0).permutation(300)
    state = fold.empty()
    for part in np.array_split(order, 7):
        piece = with_vectors(vectors[part])
        state = fold.update(state, Batch(piece.data, piece.offsets, part, part.astype(np.uint64), piece.columns))
    assert len(whole["row"]) == 40
    assert 11 not in whole["row"]
    assert all(np.array_equal(whole[name], state[name]) for name in whole)


def test_fitting_a_pool_and_refusals() -> None:
    vectors, label = blobs(7, 3, 400)
    run = Memory(with_vectors(vectors))
    found = fit_clusters(run, Given(12), 3, seed=0, sample=200)
    block = found.apply(run.pool)
    assert block["cluster"].dtype == np.int32
    assert len({(int(a), int(b)) for a, b in zip(label, block["cluster"], strict=True)}) == 3
    assert found.notes is not None
    assert found.notes["largest"] + found.notes["smallest"] <= 400
    assert len(fit_clusters(Memory(with_vectors(vectors[:2])), Given(12), 3, seed=0).centroids) == 2
    with pytest.raises(UsageError, match="at least one cluster"):
        fit_clusters(run, Given(12), 0, seed=0)
    with pytest.raises(UsageError, match=r"201 clusters cannot be found in 200 rows"):
        fit_clusters(run, Given(12), 201, seed=0, sample=200)
    with pytest.raises(DataError, match="no row with a vector"):
        fit_clusters(Memory(with_vectors(np.zeros((5, 12), np.float32))), Given(12), 3, seed=0)
    with pytest.raises(DataError, match="as many rows"):
        fit_centroids(vectors[:2], 3, 0)


def test_duplicates_do_not_break_seeding() -> None:
    same = np.ones((50, 12), np.float32)
    centroids, mean = fit_centroids(same, 4, 0, spherical=False)
    assert np.isfinite(centroids).all()
    assert mean == pytest.approx(0.0, abs=1e-5)
