"""On a Ray cluster of two nodes: the same bits as on one machine, whatever dies on the way."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from ray.cluster_utils import Cluster

from cuvee import profiling, proving, selecting
from cuvee.engine import manifest, run
from cuvee.engine.ray import Ray
from cuvee.errors import DataError, ResourceError

from .conftest import Disturbed, die, disk_full, nothing, wait_to_be_killed

METHODS: list[tuple[str, dict[str, Any]]] = [
    ("dsir", {"min_length": 20}),
    ("zipfit", {"mode": "pooled"}),
    ("classifier", {}),
]


@pytest.fixture
def small_pool(tmp_path: Path, demo_table: pa.Table) -> Path:
    """600 documents of all domains in one Parquet file of many row groups."""
    path = tmp_path / "pool.parquet"
    picks = np.linspace(0, demo_table.num_rows - 1, 600).astype(np.int64)
    pq.write_table(demo_table.take(picks), path, row_group_size=16)
    return path


@pytest.fixture(autouse=True)
def many_spans(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small chunks, so that a small pool has many of them, and spans of a chunk or two."""
    monkeypatch.setattr(manifest, "CHUNK_ROWS", 32)
    monkeypatch.setattr(manifest, "SPAN_BYTES", (1, 1))
    monkeypatch.setattr("cuvee.engine.columns.SHARED_ROWS", 0)
    monkeypatch.setattr(run, "SMALL_BYTES", 0)
    monkeypatch.setattr("cuvee.engine.ray.SMALL_STATE", -1)


def digest_of(pool: Path, target: Path, tmp_path: Path, method: str = "dsir", **more: Any) -> str:
    settings = dict(METHODS)[method]
    return selecting.select(
        pool,
        target=target,
        method=method,
        settings=settings,
        tokens=30_000,
        seed=5,
        output=tmp_path / "out",
        cache=more.pop("cache", tmp_path / f"cache-{os.urandom(4).hex()}"),
        **more,
    ).digest


@pytest.mark.parametrize("method", [name for name, _ in METHODS])
def test_same_bits(cluster: Cluster, tmp_path: Path, small_pool: Path, target: Path, method: str) -> None:
    here = {digest_of(small_pool, target, tmp_path, method, workers=workers) for workers in (1, 2, 7)}
    (tmp_path / "marks").mkdir()
    executor = Disturbed(tmp_path / "marks", nothing)
    assert {digest_of(small_pool, target, tmp_path, method, executor=executor)} == here
    assert executor.workers == 2
    assert executor.most_ahead <= 2 * (executor.workers + 1)
    assert executor.fetched <= 3, "states merge on the workers; the driver sees roots alone"


def test_profile(cluster: Cluster, tmp_path: Path, small_pool: Path) -> None:
    found = {
        profiling.profile(small_pool, output=tmp_path / "out", cache=tmp_path / name, executor=executor).digest
        for name, executor in (("here", None), ("there", Ray()))
    }
    assert len(found) == 1


def test_killed_workers(cluster: Cluster, tmp_path: Path, small_pool: Path, target: Path) -> None:
    (tmp_path / "marks").mkdir()
    found = digest_of(small_pool, target, tmp_path, executor=Disturbed(tmp_path / "marks", die))
    assert len(list((tmp_path / "marks").iterdir())) > 3, "workers were killed"
    assert found == digest_of(small_pool, target, tmp_path)


def test_a_killed_node(cluster: Cluster, tmp_path: Path, small_pool: Path, target: Path) -> None:
    marks = tmp_path / "marks"
    marks.mkdir()
    lost = []

    def watch() -> None:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            for mark in marks.glob("on-*"):
                node = next(one for one in cluster.worker_nodes if one.node_id == mark.name[3:])
                cluster.remove_node(node, allow_graceful=False)
                lost.append(node)
                return
            time.sleep(0.05)

    killer = threading.Thread(target=watch)
    killer.start()
    found = digest_of(small_pool, target, tmp_path, executor=Disturbed(marks, wait_to_be_killed, every=1_000))
    killer.join()
    cluster.add_node(num_cpus=1)
    assert len(lost) == 1, "a node was killed"
    assert found == digest_of(small_pool, target, tmp_path)


def test_a_full_disk(cluster: Cluster, tmp_path: Path, small_pool: Path, target: Path) -> None:
    (tmp_path / "marks").mkdir()
    cache = tmp_path / "cache"
    with pytest.raises(ResourceError, match="full"):
        digest_of(small_pool, target, tmp_path, executor=Disturbed(tmp_path / "marks", disk_full), cache=cache)
    assert not (tmp_path / "out").exists()
    assert digest_of(small_pool, target, tmp_path, executor=Ray(), cache=cache) == digest_of(
        small_pool, target, tmp_path
    )


def test_a_bad_row_is_named_as_here(cluster: Cluster, tmp_path: Path) -> None:
    pool = tmp_path / "pool.jsonl"
    pool.write_text('{"text": "one"}\n{"text": 2}\n' * 100)
    said = []
    for executor in (None, Ray()):
        with pytest.raises(DataError) as refused:
            selecting.select(
                pool, rows=3, output=tmp_path / "out", cache=tmp_path / f"cache{len(said)}", executor=executor
            )
        said.append(str(refused.value))
    assert said[0] == said[1] and "pool.jsonl:2" in said[0]


DRIVER = """
import sys
from pathlib import Path
from cuvee import selecting
from cuvee.engine import manifest, merging, run
from cuvee.engine.ray import Ray
manifest.CHUNK_ROWS, manifest.SPAN_BYTES, run.REMOTE_CHECKPOINT_SECONDS = 8, (1, 1), 0.2
run.SMALL_BYTES = 0
pool, target, place = map(Path, sys.argv[1:4])
found = selecting.select(pool, target=target, method="dsir", settings={"min_length": 20}, tokens=30_000, seed=5,
    output=place / "out", cache=place / "cache", executor=Ray(address=sys.argv[4]))
print(found.digest)
"""


def test_a_killed_driver(cluster: Cluster, tmp_path: Path, small_pool: Path, target: Path) -> None:
    command = [sys.executable, "-c", DRIVER, *map(str, (small_pool, target, tmp_path)), cluster.address]
    for seconds in (0.2, 1.0, 2.0):
        driver = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 60
        while not (tmp_path / "cache").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(seconds)
        driver.send_signal(signal.SIGKILL)
        driver.wait()
        assert not (tmp_path / "out").exists()
    finished = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert finished.stdout.strip() == digest_of(small_pool, target, tmp_path / "here"), finished.stderr


def test_trials(cluster: Cluster, tmp_path: Path, small_pool: Path, target: Path) -> None:
    kept = tmp_path / "kept"
    selecting.select(small_pool, method="random", tokens=60_000, output=kept)
    held = Path(__file__).parents[2] / "src" / "cuvee" / "demo" / "evaluation.jsonl"
    tables = []
    for number, executor in enumerate((None, Ray())):
        found = proving.prove(
            kept,
            evaluations={"held": held},
            against="random",
            seeds=2,
            proxy="ngram:table_bits=16,order=3",
            ledger=tmp_path / f"ledger{number}",
            output=tmp_path / f"proof{number}",
            executor=executor,
        )
        tables.append(found.summary["reproduce"]["digest"])
    assert tables[0] == tables[1]


def test_gpus_are_counted(cluster: Cluster) -> None:
    with pytest.raises(ResourceError, match="ask for 1 GPU and a core each, and no Ray node has more than 0"):
        _ = Ray(gpus=1).trials
    node = cluster.add_node(num_cpus=1, num_gpus=1)
    try:
        assert Ray(gpus=0.5).trials == 1, "a core each, too"
        assert Ray(gpus=1).trials == 1
    finally:
        cluster.remove_node(node)


class Elsewhere(Ray):
    """A cluster one of whose nodes answers differently."""

    def __init__(self, change: dict[str, Any]) -> None:
        super().__init__()
        self.change = change

    def _ask(self, answer: Any, name: str, node: str) -> dict[str, Any] | None:
        found = super()._ask(answer, name, node)
        return found and {what: {**value, **self.change.get(what, {})} for what, value in found.items()}


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"about": {"NumPy": "1.26.4"}}, "has NumPy 1.26.4, and this machine"),
        ({"files": {"POOL": "!No such file or directory"}}, "cannot read POOL .No such file or directory."),
        ({"files": {"POOL": "17-abc"}}, "sees another file as POOL"),
        ({"tokens": {"PROBE": ""}}, "does not see the folder"),
    ],
    ids=["version", "absent", "other", "cache"],
)
def test_nodes_that_cannot_do_the_work(
    cluster: Cluster, tmp_path: Path, small_pool: Path, target: Path, change: dict[str, Any], sentence: str
) -> None:
    change = {
        what: {key.replace("POOL", str(small_pool)): one for key, one in it.items()} for what, it in change.items()
    }
    with pytest.raises(ResourceError, match=sentence.replace("POOL", str(small_pool))):
        digest_of(small_pool, target, tmp_path, executor=Elsewhere(change))
    assert not (tmp_path / "out").exists()


class Behind:
    """Ray's library, which once still lists a node that has left."""

    def __init__(self, library: Any, listed: list[dict[str, Any]]) -> None:
        self.library, self.listed = library, [listed]

    def nodes(self) -> list[dict[str, Any]]:
        return self.listed.pop() if self.listed else self.library.nodes()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.library, name)


def test_a_node_that_leaves_while_nodes_are_asked(
    cluster: Cluster, tmp_path: Path, small_pool: Path, target: Path
) -> None:
    node = cluster.add_node(num_cpus=1)
    executor = Ray()
    listed = executor.library.nodes()
    cluster.remove_node(node)
    executor.library = behind = Behind(executor.library, listed)
    digest_of(small_pool, target, tmp_path, executor=executor)
    assert not behind.listed, "the old list was what was asked"


def test_a_cluster_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = "from cuvee.engine.ray import Ray\nRay(address='127.0.0.1:1')"
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert "The Ray cluster 127.0.0.1:1 cannot be reached" in finished.stderr
