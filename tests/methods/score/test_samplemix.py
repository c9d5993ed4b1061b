"""SampleMix: diversity of clusters in closed form, weights, and rows of a wide, lonely cluster taken more often."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cuvee.core import Batch, Budget, Draw
from cuvee.errors import DataError, UsageError
from cuvee.feature.embed import Given
from cuvee.fold.cluster_spread import ClusterSpread, diversity, separation
from cuvee.methods.score.samplemix import SampleMix
from tests.conftest import MemoryColumns
from tests.feature.test_embeddings import Memory, with_vectors


def test_compactness_and_separation() -> None:
    """Two clusters on a line, 10 apart: one of width 1, one of width 2, and an empty one at 4."""
    vectors = np.array([[0, 1], [0, -1], [10, 2], [10, -2]], np.float32)
    centroids = np.array([[0, 0], [10, 0], [4, 0]], np.float32)
    # the rows at the first and second centroid are nearest to them
    fold = ClusterSpread(Given(2, unit=False), centroids, spherical=False)
    state = fold.lift(with_vectors(vectors))
    assert state["count"].tolist() == [2, 2, 0] and state["total"].tolist() == [2.0, 4.0, 0.0]
    assert separation(centroids.astype(float)).tolist() == [7.0, 8.0, 5.0]
    found, count = fold.finish(state)
    assert found.tolist() == [0.0, 1.0, 0.0] and count.tolist() == [2, 2, 0]
    apart = fold.merge(fold.lift(with_vectors(vectors[:1])), fold.lift(with_vectors(vectors[1:])))
    assert apart["total"].tolist() == [2.0, 4.0, 0.0]
    one = diversity(np.array([1.0]), separation(np.zeros((1, 2))), np.array([True]))
    assert one.tolist() == [0.5]


def test_of_unit_vectors_distances_are_chords() -> None:
    centroids = np.eye(2, dtype=np.float32)
    vectors = np.array([[1, 0], [0.6, 0.8], [0, 1], [0, 0]], np.float32)
    state = ClusterSpread(Given(2), centroids, spherical=True).lift(with_vectors(vectors))
    assert state["count"].tolist() == [1, 2]
    assert state["total"] == pytest.approx([0.0, np.hypot(0.6, 0.2)], abs=1e-3)


@pytest.fixture(scope="module")
def pool() -> Batch:
    """Three bundles of unit vectors: two tight and near each other, one wide and far."""
    chance = np.random.default_rng(0)
    centres = np.array([[1, 0.1, 0], [1, -0.1, 0], [-1, 0, 1]], np.float64)
    rows = np.concatenate([centre + width * chance.normal(size=(60, 3)) for centre, width in
                           zip(centres, (0.01, 0.01, 0.4), strict=True)])  # fmt: skip
    return with_vectors((rows / np.linalg.norm(rows, axis=1)[:, None]).astype(np.float32))


def ratings(tmp_path: Path, key: np.ndarray, value: np.ndarray) -> str:
    path = tmp_path / "ratings.parquet"
    pq.write_table(pa.table({"key": key, "overall_score": value}), path)
    return str(path)


def test_weights_are_of_diversity_and_quality(pool: Batch, tmp_path: Path) -> None:
    path = ratings(tmp_path, pool.key[::-1], (pool.row[::-1] % 5 + 1).astype(float))
    block = {}
    for alpha in (0.0, 0.8, 1.0):
        fitted = SampleMix(path, others="drop", alpha=alpha, k=2).fit(Memory(pool))
        block[alpha] = fitted.apply(pool)
    assert np.array_equal(block[0.0]["score"], (pool.row % 5) / 4)
    diverse = block[1.0]["score"]
    assert (diverse[120:] == 1.0).mean() > 0.9 and diverse[:120].max() == 0.0  # by cluster, between 0 and 1
    assert np.allclose(block[0.8]["score"], 0.8 * diverse + 0.2 * block[0.0]["score"])
    columns = MemoryColumns(3, score=block[0.8]["score"], tokens=np.full(180, 10), key=pool.key)
    rule = SampleMix(limit=4).chooser(fitted)
    taken = columns.taken(rule.choose(columns, Budget("tokens", 900), Draw(0)))
    assert taken.sum() == 90 and taken[120:].sum() > 4 * taken[:120].sum()
    expected = np.exp(block[0.8]["score"] / 0.2)
    assert np.corrcoef(taken, np.minimum(expected, expected.max()))[0, 1] > 0.6


def test_rows_that_are_not_rated(pool: Batch, tmp_path: Path) -> None:
    rated = pool.row % 2 == 0
    path = ratings(tmp_path, pool.key[rated], 1.0 + (pool.row[rated] >= 120))
    dropped = SampleMix(path, others="drop", k=2).fit(Memory(pool)).apply(pool)["score"]
    assert np.isneginf(dropped[~rated]).all() and np.isfinite(dropped[rated]).all()
    predicted = SampleMix(path, alpha=0.0, k=2).fit(Memory(pool)).apply(pool)["score"]
    assert predicted[~rated & (pool.row >= 120)].mean() > 0.8 > 0.2 > predicted[~rated & (pool.row < 120)].mean()
    nothing = replace(pool, columns={"embedding": np.zeros((180, 3), np.float32)})
    fitted = SampleMix(path, others="drop", k=2).fit(Memory(pool))
    assert np.isneginf(fitted.apply(nothing)["score"]).all()


def test_refused(pool: Batch, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="needs ratings="):
        SampleMix().fit(Memory(pool))
    with pytest.raises(UsageError, match="alpha is a number from 0"):
        SampleMix(alpha=1.5)
    with pytest.raises(UsageError, match="temperature is a number above 0"):
        SampleMix(temperature=0.0)
    path = ratings(tmp_path, pool.key, np.ones(180))
    with pytest.raises(DataError, match="tell no row from another"):
        SampleMix(path, others="drop").fit(Memory(pool))
