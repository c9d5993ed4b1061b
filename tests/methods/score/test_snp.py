"""SnP: distances, order and the kept prefix of the release, and a target of two modes that is found."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from cuvee.errors import DataError, UsageError
from cuvee.fold.moments import gaussian_of
from cuvee.methods.score.snp import Snp, frechet, projected, search
from tests.feature.test_embeddings import Memory, with_vectors

GOLDEN = Path(__file__).parents[2] / "data" / "golden" / "snp" / "search.json"


def test_the_search_is_the_release_s() -> None:
    case = json.loads(GOLDEN.read_text())
    target = gaussian_of(np.array(case["target"]))
    clusters = [gaussian_of(np.array(one)) for one in case["clusters"]]
    assert np.allclose([frechet(one, target) for one in clusters], case["cluster_fd"], rtol=1e-6)
    order, distance, kept = search(clusters, target)
    assert order.tolist() == case["order"]
    assert np.allclose(distance, case["fd_of_union"], rtol=1e-6)
    assert sorted(order[:kept].tolist()) == sorted(case["merged_clusters"])


def test_moments_project_with_their_rows() -> None:
    chance = np.random.default_rng(0)
    x, axes = chance.normal(size=(50, 6)), np.linalg.qr(chance.normal(size=(6, 3)))[0]
    found, expected = projected(gaussian_of(x), axes), gaussian_of(x @ axes)
    assert np.allclose(found.covariance(1), expected.covariance(1))
    assert frechet(found, expected) == pytest.approx(0, abs=1e-9)


def test_both_modes_of_a_target_are_kept() -> None:
    chance = np.random.default_rng(1)
    modes, label = 2 * np.eye(5, 10), np.repeat(np.arange(5), 200)
    pool = with_vectors((modes[label] + 0.2 * chance.normal(size=(1000, 10))).astype(np.float32))
    wanted = np.repeat([1, 3], 40)
    target = with_vectors((modes[wanted] + 0.2 * chance.normal(size=(80, 10))).astype(np.float32))
    fitted = Snp(k=5, dimensions=6).fit(Memory(pool, target))
    score = fitted.apply(pool)["score"]
    assert fitted.notes["kept_clusters"] == 2
    assert np.array_equal(score == 0, np.isin(label, [1, 3]))
    assert sorted(set(score)) == [-3.0, -2.0, -1.0, 0.0]
    assert fitted.notes["distance"] < 0.2 * fitted.notes["distance_of_the_pool"]


def test_refusals() -> None:
    pool = with_vectors(np.eye(4, dtype=np.float32))
    with pytest.raises(DataError, match="at least two target rows"):
        Snp().fit(Memory(pool, with_vectors(np.eye(4, dtype=np.float32)[:1])))
    with pytest.raises(UsageError, match="snp"):
        Snp(k=0).fit(Memory(pool, pool))
