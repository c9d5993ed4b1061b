"""What scale costs: Ray against threads on the same pool, the driver's memory and time, and a model of larger ones.

``bench/simulation.py`` stands in for the clusters that are not at hand; everything that the model multiplies is
measured here, in the same run, but the rate of writing, which is that of ``bench/parts.py``.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import resource
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from .dsir import cuvee_select, fresh
from .measure import RESULTS, in_turn, middle, python, record
from .pools import parquet_pool

CORES_A_NODE = 16
PRICE_A_CORE_HOUR = 0.04
"""Dollars; an assumption, of the order of what clouds ask for general-purpose cores."""
FAILURES_A_NODE_HOUR = 1 / (24 * 60)
"""A node fails every two months: an assumption, at the upper end of what operators report."""
CACHE_BYTES_A_ROW = 76
"""Facts (44 bytes), a score (8) and the sample and headers beside them, as stored."""
ROUNDS = 15
"""Pairs of runs by threads and on Ray: the speed of a shared machine changes by a third within minutes."""
KEPT, ROW_BYTES = 0.1, 1_000
"""The share of a pool that the model keeps and writes, and the size of its texts."""
POOLS = {"1 TB": 10**12, "10 TB": 10**13, "100 TB": 10**14, "1 PB": 10**15}


def main() -> None:
    """All figures."""
    megabytes = int(os.environ.get("CUVEE_BENCH_RAY_MB", "1000"))
    found: dict[str, Any] = {"ray": overhead(megabytes), "driver": driver(), "tasks": tasks()}
    found["closing"] = closing()
    found["model"] = model(found)
    record("scale", found)


def overhead(megabytes: int) -> dict[str, Any]:
    """CPU seconds of the same selection by threads and on a Ray cluster of as many cores that is up already."""
    import ray

    pool = parquet_pool(megabytes)
    local = fresh(cuvee_select(pool, 5 * megabytes, 2))
    before = _ray_processes()
    ray.init("local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    address = ray.get_runtime_context().gcs_address
    rounds: list[dict[str, float]] = []
    try:
        for _ in range(ROUNDS):
            threads = in_turn({"local": local}, 1)["local"][0]
            with _Meter(before) as meter:
                there = in_turn({"ray": [*local, "--on", "ray"]}, 1, {"RAY_ADDRESS": address})["ray"][0]
            rounds.append(
                {
                    "local_cpu": threads.cpu,
                    "local_wall": threads.wall,
                    "driver_cpu": there.cpu,
                    "cluster_cpu": meter.seconds,
                    "ray_wall": there.wall,
                    "driver_peak_mb": there.peak_mb,
                }
            )
    finally:
        ray.shutdown()
    ratios = [(one["driver_cpu"] + one["cluster_cpu"]) / one["local_cpu"] for one in rounds]
    walls = [one["ray_wall"] / one["local_wall"] for one in rounds]
    return {
        "megabytes": megabytes,
        "cpu_over_local": middle(ratios),
        "wall_over_local": middle(walls),
        "rounds": rounds,
    }


def _ray_processes() -> set[int]:
    """Processes of Ray on this machine, workers included."""
    found = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                line = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if b"raylet" in line or b"gcs_server" in line or b"ray::" in line or b"ray/_private" in line:
                found.add(int(entry.name))
    return found


class _Meter:
    """CPU seconds of all Ray processes, looked at ten times a second, since nobody waits for a cluster's workers."""

    def __init__(self, others: set[int]) -> None:
        self.others, self.first, self.last = others, dict[int, int](), dict[int, int]()
        self.over = threading.Event()

    def __enter__(self) -> _Meter:
        self._look(self.first)
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self.over.wait(0.1):
            self._look(self.last)

    def _look(self, into: dict[int, int]) -> None:
        for number in _ray_processes() - self.others:
            with contextlib.suppress(OSError):
                fields = (Path("/proc") / str(number) / "stat").read_text().rpartition(")")[2].split()
                into[number] = int(fields[11]) + int(fields[12])

    @property
    def seconds(self) -> float:
        """Since it was begun."""
        ticks = sum(now - self.first.get(number, 0) for number, now in self.last.items())
        return ticks / os.sysconf("SC_CLK_TCK")


_DRIVER = """
import json, sys, tempfile, time
from pathlib import Path
from bench.scale import peak_mb
from bench.simulation import Simulated, fake_manifest, run_pass
from cuvee.engine.store import Store
chunks = int(sys.argv[1])
begun = time.process_time()
manifest = fake_manifest(chunks)
planned = time.process_time() - begun
executor = Simulated(nodes=64, cores=16, core_rate=1e8, dispatch_seconds=0.001, failures_per_node_hour=0.5)
with tempfile.TemporaryDirectory() as place:
    begun = time.process_time()
    counted = run_pass(manifest, executor, Store(Path(place)))
    passed = time.process_time() - begun
assert counted == chunks, (counted, chunks)
print(json.dumps({"chunks": chunks, "terabytes": chunks * 4096 * 1000 / 1e12, "spans": len(manifest.spans),
    "peak_mb": peak_mb(), "plan_seconds": planned,
    "pass_seconds": passed, "merges": executor.merges, "failures": executor.failures,
    "most_under_way": executor.most_under_way, "lost_share": executor.lost / (executor.busy + executor.lost)}))
"""


def peak_mb() -> float:
    """This process's peak memory. (The system's count for a child begins with its parent's.)"""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))


def driver() -> list[dict[str, Any]]:
    """Memory and CPU of the driver, by the number of chunks."""
    return [json.loads(python(_DRIVER, str(chunks)).output) for chunks in (1_000, 10_000, 100_000, 1_000_000)]


_TASKS = """
import json, sys, time
from bench.scale import peak_mb
from cuvee.engine.ray import Ray
with Ray(2) as cluster:
    list(cluster.map(abs_of, range(100)))
    before = peak_mb()
    begun, cpu = time.monotonic(), time.process_time()
    number = sum(1 for _ in cluster.map(abs_of, range(int(sys.argv[1]))))
    print(json.dumps({"tasks": number, "a_second": number / (time.monotonic() - begun),
        "driver_cpu_seconds_a_task": (time.process_time() - cpu) / number, "peak_mb_before": before,
        "peak_mb": peak_mb()}))
"""


def tasks() -> list[dict[str, Any]]:
    """How many tasks that do nothing a real cluster of two cores runs in a second, and what the driver takes."""
    code = "def abs_of(task, watch):\n    return abs(task)\n" + _TASKS
    return [json.loads(python(code, str(number)).output) for number in (1_000, 20_000)]


_CLOSING = """
import json, sys, tempfile, time
from pathlib import Path
import numpy as np, pyarrow as pa, pyarrow.parquet as pq
import cuvee
from cuvee.engine.columns import DiskColumns
from cuvee.engine.run import Engine
rows, target = int(sys.argv[1]), sys.argv[2]
spent = {"each": 0.0, "total": 0.0}
again = {"fold": 0.0, "apply": 0.0}  # looking at what the cache holds of the passes, which a first run has just made
def timed(name, call):
    def each(self, *given):
        found = iter(call(self, *given))
        while True:
            begun = time.process_time()
            try:
                one = next(found)
            except StopIteration:
                return
            finally:
                spent[name] += time.process_time() - begun
            yield one
    def total(self, *given, **more):
        begun = time.process_time()
        try:
            return call(self, *given, **more)
        finally:
            (again if name in again else spent)[name] += time.process_time() - begun
    return each if name == "each" else total
for name in spent:
    setattr(DiskColumns, name, timed(name, getattr(DiskColumns, name)))
for name in again:
    setattr(Engine, name, timed(name, getattr(Engine, name)))
with tempfile.TemporaryDirectory() as place:
    place = Path(place)
    words = np.array([f"w{i:x}" for i in range(3000)])
    draw = np.random.default_rng(0)
    with pq.ParquetWriter(place / "pool.parquet", pa.schema([("text", pa.string())])) as out:
        for first in range(0, rows, 50_000):
            texts = [" ".join(some) for some in words[draw.integers(0, 3000, (min(50_000, rows - first), 8))].tolist()]
            out.write_table(pa.table({"text": texts}))
    def select():
        cuvee.select(place / "pool.parquet", target=target, method="dsir", settings={"min_length": 1}, fraction=0.1,
            output=place / "kept", cache=place / "cache", workers=1)
    select()
    found = []
    for _ in range(5):
        spent.update(each=0.0, total=0.0)
        again.update(fold=0.0, apply=0.0)
        begun = time.process_time()
        select()  # scores come from the cache: what is left is choosing and describing
        whole = time.process_time() - begun - sum(again.values())
        found.append((whole - sum(spent.values()), sum(spent.values())))
    own, theirs = np.median(found, axis=0).tolist()
    print(json.dumps({"rows": rows, "of_driver": own, "of_workers": theirs}))
"""


def closing() -> dict[str, Any]:
    """CPU seconds a row of what follows the last pass of a selection: choosing, controls, report, selection.parquet.

    ``of_workers``: what a cluster's workers do of it, measured as the work handed to ``Columns.each`` and ``total``;
    the rest is the driver's. Medians of five; the slope between two sizes, so that start-up does not count.
    """
    from .pools import TARGET

    small, large = (json.loads(python(_CLOSING, str(rows), str(TARGET)).output) for rows in (200_000, 2_000_000))
    more = large["rows"] - small["rows"]
    own, theirs = ((large[name] - small[name]) / more for name in ("of_driver", "of_workers"))
    return {"of_workers_a_row": theirs, "of_driver_a_row": own, "runs": [small, large]}


def after(row: dict[str, Any], size: int, found: dict[str, Any]) -> dict[str, Any]:
    """What follows the two passes: choosing a tenth, and writing it by as many processes as there are cores."""
    cores, rows = row["nodes"] * CORES_A_NODE, size / ROW_BYTES
    closing, parts = found["closing"], json.loads((RESULTS / "parts.json").read_text())
    rate = 1e6 * parts["mb_per_cpu_second"]["write a tenth, reading included"]
    chosen = rows * (closing["of_workers_a_row"] / cores + closing["of_driver_a_row"])
    written = KEPT * size / rate
    spent = row["hours"] + (chosen + written / cores) / 3600
    return {
        **row,
        "choose_seconds": chosen,
        "write_seconds": written / cores,
        "write_alone_seconds": written,
        "hours_in_all": spent,
        "dollars_in_all": spent * cores * PRICE_A_CORE_HOUR,
    }


def model(found: dict[str, Any]) -> list[dict[str, Any]]:
    """Wall time, traffic, memory and price of a selection on clusters that are not at hand, by simulation."""
    from cuvee.engine.store import Store

    from .simulation import Simulated, fake_manifest, run_pass

    ray, megabytes = found["ray"]["rounds"], found["ray"]["megabytes"]
    cpu_a_byte = middle([one["driver_cpu"] + one["cluster_cpu"] for one in ray]) / (megabytes * 1e6)
    dispatch = max(one["driver_cpu_seconds_a_task"] for one in found["tasks"])
    rows = []
    for name, size in POOLS.items():
        manifest = fake_manifest(-(-size // (4096 * 1000)))
        for nodes in (10, 100, 1000):
            executor = Simulated(nodes, CORES_A_NODE, 2 / cpu_a_byte, dispatch, FAILURES_A_NODE_HOUR)
            begun = time.process_time()
            with tempfile.TemporaryDirectory() as place:
                run_pass(manifest, executor, Store(Path(place)))
            own = time.process_time() - begun
            hours = 2 * executor.makespan / 3600  # two passes
            ideal = 2 * size / (nodes * CORES_A_NODE * executor.core_rate) / 3600
            rows.append(
                {
                    "pool": name,
                    "nodes": nodes,
                    "spans": len(manifest.spans),
                    "span_mb": size / len(manifest.spans) / 1e6,
                    "hours": hours,
                    "of_ideal": ideal / hours,
                    "driver_seconds": 2 * own,
                    "storage_gb_a_second": size / executor.makespan / 1e9,
                    "cache_gb": size / 1000 * CACHE_BYTES_A_ROW / 1e9,
                    "failures": 2 * executor.failures,
                    "lost_share": executor.lost / (executor.busy + executor.lost),
                    "merge_depth": (manifest.chunks - 1).bit_length(),
                    "dollars": hours * nodes * CORES_A_NODE * PRICE_A_CORE_HOUR,
                }
            )
            rows[-1] = after(rows[-1], size, found)
            print(rows[-1], file=sys.stderr)
    print(f"peak of the model: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB", file=sys.stderr)
    return rows


if __name__ == "__main__":
    main()
