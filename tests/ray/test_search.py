"""``cuvee mix search --on ray``: the driver is killed in the middle of its swarm, and the same command goes on."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from ray.cluster_utils import Cluster

import cuvee
from cuvee.proof.ledger import Ledger

DRIVER = """
import sys
from tests.ray.test_search import search
from cuvee.engine.ray import Ray
search(sys.argv[1], "there", Ray(address=sys.argv[2]))
"""


def search(place: str, name: str, executor: Any = None) -> dict[str, Any]:
    """A swarm of eight runs, each trained by a worker, and no trial."""
    folder = Path(place)
    return cuvee.search_mix(
        folder / "pool.parquet",
        evaluations={"held": folder / "held.parquet"},
        over=f"quadmix:ratings={folder / 'scores.parquet'},criteria=good",
        runs=8,
        seeds=0,
        tokens=8_000,
        run_tokens=8_000,
        proxy="ngram:table_bits=16,order=3",
        resample=20,
        ledger=folder / f"ledger-{name}",
        cache=folder / f"cache-{name}",
        output=folder / name,
        executor=executor,
        workers=0 if executor else 2,
    ).summary


def test_a_killed_driver_s_search_goes_on(cluster: Cluster, tmp_path: Path, demo_table: pa.Table) -> None:
    """With every trial that was finished, and to the table of a search on one machine."""
    domain = np.array(demo_table.column("domain").to_pylist())
    rows = np.concatenate([np.flatnonzero(domain == name)[:80] for name in ("fiction", "python-docs")])
    held = np.concatenate([np.flatnonzero(domain == name)[-10:] for name in ("fiction", "python-docs")])
    table = demo_table.take(pa.array(rows)).select(["text", "domain"])
    ids = pa.array([f"r{at}" for at in range(len(rows))])
    pq.write_table(table.append_column("id", ids), tmp_path / "pool.parquet", row_group_size=16)
    pq.write_table(demo_table.take(pa.array(held)), tmp_path / "held.parquet")
    scores = np.random.default_rng(0).normal(0, 1, len(rows))
    pq.write_table(pa.table({"id": ids, "good": scores}), tmp_path / "scores.parquet")

    command = [sys.executable, "-c", DRIVER, str(tmp_path), cluster.address]
    root = Path(__file__).parents[2]
    ledger = tmp_path / "ledger-there"
    driver = subprocess.Popen(command, cwd=root, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not list(ledger.rglob("*.parquet")):
        assert driver.poll() is None, "the driver ended before it could be killed"
        time.sleep(0.02)
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    kept = len(list(Ledger(ledger).trials()))
    assert 1 <= kept < 8 and not (tmp_path / "there" / "search.json").exists()

    finished = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=120)
    assert finished.returncode == 0, finished.stderr
    there = json.loads((tmp_path / "there" / "search.json").read_text())
    here = search(str(tmp_path), "here")
    assert there["counts"]["found"] >= kept
    for name in ("proposal", "mixtures", "sampler", "confidence", "outcomes"):
        assert there[name] == json.loads(json.dumps(here[name])), name
    assert there["reproduce"]["digest"] == here["reproduce"]["digest"]
    runs = [(tmp_path / name / "runs.csv").read_bytes() for name in ("there", "here")]
    assert runs[0] == runs[1]
