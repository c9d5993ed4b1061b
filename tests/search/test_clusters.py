"""Clusters as sources: merging, pruning, and a search over a pool's own clusters."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import cuvee
from cuvee import searching
from cuvee.errors import CuveeError, UsageError
from cuvee.search.cluster_sources import ByCluster, Clustering, clustering_of, merged
from tests.command import cuvee as run
from tests.conftest import MemoryColumns

NAMES = ("code-python", "fiction", "speech")


def test_the_nearest_are_merged_and_numbered_by_size() -> None:
    centroids = np.array([[0.0], [0.1], [5.0], [5.3], [9.0]])
    tokens = np.array([10, 10, 30, 30, 20])
    assert merged(centroids, tokens, 5, 1.0).tolist() == [3, 4, 0, 1, 2]
    assert merged(centroids, tokens, 4, 1.0).tolist() == [2, 2, 0, 1, 3]  # ties in the order of the clusters
    assert merged(centroids, tokens, 3, 1.0).tolist() == [1, 1, 0, 0, 2]
    assert merged(centroids, tokens, 2, 1.0).tolist() == [1, 1, 0, 0, 0]


def test_no_chain_swallows_all_and_outliers_are_taken_in() -> None:
    """Points in a row, each as near to the next: single linkage would swallow them one by one."""
    centroids = np.arange(8.0)[:, None] * np.array([[1.0, 0.0]]) + np.array([[0.0, 0.0]])
    found = merged(centroids, np.ones(8, np.int64), 4, 1.0)
    assert np.bincount(found).tolist() == [2, 2, 2, 2]
    outlier = merged(np.array([[0.0], [1.0], [2.0], [9.0]]), np.array([100, 100, 100, 1]), 2, 1.0)
    assert np.bincount(outlier, weights=[100, 100, 100, 1]).min() >= 100


def test_no_merged_cluster_is_too_large() -> None:
    centroids, tokens = np.array([[0.0], [0.1], [0.2], [5.0], [9.0]]), np.array([30, 30, 20, 10, 10])
    found = merged(centroids, tokens, 3, 0.5)
    assert np.bincount(found, weights=tokens).max() <= 50 and len(np.unique(found)) == 3
    stuck = merged(np.array([[0.0], [0.1], [5.0]]), np.array([40, 40, 20]), 2, 0.1)
    assert np.bincount(stuck, weights=[40, 40, 20]).max() <= 75  # 1.5 times an even share
    assert merged(np.array([[0.0], [1.0]]), np.array([90, 10]), 2, 0.1).tolist() == [0, 1]


def test_columns_by_cluster() -> None:
    columns = MemoryColumns(3, cluster=np.array([0, 1, 2, -1, 2, 0], np.int32), tokens=np.arange(1, 7))
    found = ByCluster(columns, np.array([1, -1, 0]), ["cluster 1", "cluster 2"])
    blocks = list(found.blocks("row", "domain"))
    assert np.concatenate([one["row"] for one in blocks]).tolist() == [0, 2, 4, 5]
    assert np.concatenate([one["domain"] for one in blocks]).tolist() == [1, 0, 0, 1]
    assert found.n_rows == 4 and found.totals["tokens"] == 1 + 3 + 5 + 6
    assert found.table().column("cluster").to_pylist() == ["cluster 2", "cluster 1", "cluster 1", "cluster 2"]


@pytest.mark.parametrize("text", ["many", "1", "20:fine=5", "20:share=0", "20:least=nan"])
def test_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--clusters"):
        clustering_of(text)
    assert clustering_of("20:fine=500,least=2") == Clustering(20, 500, least=2.0)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, demo_table: pa.Table) -> Path:
    """A pool without domains, and held-out code; ratings in which fiction is bad."""
    folder = tmp_path_factory.mktemp("clusters")
    domain = np.array(demo_table.column("domain").to_pylist())
    rows = np.concatenate([np.flatnonzero(domain == name)[:150] for name in NAMES])
    held = np.flatnonzero(domain == "code-python")[-30:]
    ids = pa.array([f"r{at}" for at in range(len(rows))])
    table = demo_table.take(pa.array(rows)).select(["text"]).append_column("id", ids)
    pq.write_table(table, folder / "pool.parquet", row_group_size=100)
    pq.write_table(table.slice(0, 170), folder / "cut-1.parquet")
    pq.write_table(table.slice(170), folder / "cut-2.parquet")
    pq.write_table(demo_table.take(pa.array(held)).select(["text"]), folder / "held.parquet")
    rating = np.where(domain[rows] == "fiction", 1.0, 4.0)
    pq.write_table(pa.table({"id": ids, "overall_score": rating}), folder / "ratings.parquet")
    return folder


def search(place: Path, name: str, **asked: Any) -> searching.Searched:
    given: dict[str, Any] = {
        "evaluations": {"held": place / "held.parquet"},
        "clusters": "4:fine=24", "runs": 24, "iterations": 2, "seeds": 0, "bold": True, "resample": 20, "workers": 2,
        "proxy": "ngram:table_bits=16,order=3", "tokens": 60_000, "run_tokens": 30_000,
        "ledger": place / "ledger", "output": place / name, "cache": place / "cache",
    }  # fmt: skip
    return cuvee.search_mix(asked.pop("pool", place / "pool.parquet"), **{**given, **asked})


def test_a_pool_without_domains_is_mixed_by_its_clusters(place: Path) -> None:
    """Clusters follow the hidden domains, and code is given more of a run for code; whatever the files."""
    found = search(place, "found")
    members = pq.read_table(place / "found" / "clusters.parquet")
    assert found.summary["clusters"] == {"asked": 4, "fine": 24, "pruned": 0, "merged": 4, "tokens_left_out": 0}
    assert set(found.weights) == {f"cluster {at}" for at in (1, 2, 3, 4)} == set(members["cluster"].to_pylist())
    hidden = np.array(NAMES)[members["row"].to_numpy() // 150]
    cluster = np.array(members["cluster"].to_pylist())
    pure = sum(max(np.sum((cluster == one) & (hidden == name)) for name in NAMES) for one in found.weights)
    assert pure > 0.8 * len(cluster)
    rows = {one["name"]: one for one in found.summary["proposal"]}
    code = [one for one in rows if np.mean(hidden[cluster == one] == "code-python") > 0.5]
    assert sum(rows[one]["weight"] for one in code) > 1.3 * sum(rows[one]["proportional"] for one in code)
    cut = search(place, "cut", pool=[place / "cut-1.parquet", place / "cut-2.parquet"], workers=1)
    assert cut.summary["proposal"] == found.summary["proposal"]
    assert cut.summary["reproduce"]["digest"] == found.summary["reproduce"]["digest"]
    page = (Path(__file__).parents[2] / "docs" / "mix.md").read_text("utf-8")
    assert all(f"`{field}`" in page for field in found.summary["clusters"])


def test_clusters_of_low_quality_are_left_out(place: Path) -> None:
    found = search(place, "pruned", clusters=f"3:fine=24,ratings={place / 'ratings.parquet'},least=3", iterations=1)
    told = found.summary["clusters"]
    assert told["pruned"] > 0 and told["tokens_left_out"] > 0
    members = pq.read_table(place / "pruned" / "clusters.parquet")
    hidden = np.array(NAMES)[members["row"].to_numpy() // 150]
    assert np.mean(hidden == "fiction") < 0.1 and len(members) < 400
    assert sum(one["documents"] for one in found.summary["proposal"]) <= len(members)


def test_what_cannot_be_answered_is_said(place: Path) -> None:
    everything = f"3:fine=24,ratings={place / 'ratings.parquet'},least=9"
    for asked, said in (
        ({"clusters": everything}, "nothing is left to mix"),
        ({"over": "quadmix:ratings=x"}, "not within clusters"),
        ({"clusters": "3:ratings=nowhere.parquet"}, "cannot read nowhere.parquet"),
    ):
        with pytest.raises(CuveeError, match=said):
            search(place, "refused", **asked)
    answer = run("mix", "search", place / "pool.parquet", "-e", place / "held.parquet", "--clusters", "x", "-q")
    assert answer.status == 2 and "--clusters takes a number" in answer.err
