"""The first promise: a result depends on the data, the plan and the seed alone."""

from __future__ import annotations

import gzip
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

import cuvee
from cuvee import pool as pool_module
from cuvee import selecting
from cuvee.engine import manifest, run
from cuvee.engine.executor import Advance, Task, Watch, unheard
from cuvee.engine.local import Local
from cuvee.engine.one_thread import one_thread
from cuvee.engine.progress import Progress
from cuvee.errors import UsageError

METHODS: list[tuple[str, dict[str, Any]]] = [
    ("random", {}),
    ("dsir", {"min_length": 20}),
    ("zipfit", {"mode": "pooled"}),
    ("perplexity", {"table_bits": 16}),
    ("classifier", {}),
]


class Shuffled(Local):
    """Runs every task, in a random order, and delivers the results in another."""

    def __init__(self, seed: int) -> None:
        super().__init__(3)
        self.seed = seed

    def map(
        self,
        work: Callable[[Task, Watch], Any],
        tasks: Iterable[Task],
        advance: Advance = unheard,
        outputs: Callable[[Task], int] | None = None,
    ) -> Iterator[tuple[Task, Any]]:
        chance = random.Random(self.seed)
        order = list(tasks)
        chance.shuffle(order)
        done = [(task, work(task, Watch(advance=advance))) for task in order]
        chance.shuffle(done)
        yield from done


@pytest.fixture
def many_spans(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small chunks, so that a small pool has many of them, and spans of a chunk or two."""
    monkeypatch.setattr(manifest, "CHUNK_ROWS", 64)
    monkeypatch.setattr(manifest, "SPAN_BYTES", (1, 1))
    monkeypatch.setattr(run, "CHECKPOINT_SECONDS", 0.0)


def digest_of(paths: Any, tmp_path: Path, target: Path, method: str, settings: dict[str, Any], **more: Any) -> str:
    fresh = tmp_path / f"cache-{os.urandom(4).hex()}"
    selected = selecting.select(
        paths,
        target=str(target),
        method=method,
        settings=settings,
        tokens=30_000,
        seed=5,
        output=tmp_path / "out",
        cache=more.pop("cache", fresh),
        **more,
    )
    return selected.digest


def split(table: pa.Table, parts: int, folder: Path) -> Path:
    folder.mkdir()
    edges = [round(i * table.num_rows / parts) for i in range(parts + 1)]
    for i in range(parts):
        part = table.slice(edges[i], edges[i + 1] - edges[i])
        pq.write_table(part, folder / f"{i:03}.parquet", row_group_size=97)
    return folder


def as_jsonl(table: pa.Table, path: Path) -> Path:
    lines = "".join(json.dumps(row, ensure_ascii=i % 2 == 0) + "\n" for i, row in enumerate(table.to_pylist()))
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(lines.encode()))
    elif path.suffix == ".zst":
        with pa.CompressedOutputStream(str(path), "zstd") as stream:
            stream.write(lines.encode())
    else:
        path.write_text(lines)
    return path


@pytest.mark.usefixtures("many_spans")
@pytest.mark.parametrize(("method", "settings"), METHODS, ids=[name for name, _ in METHODS])
def test_workers_order_and_sharding(
    tmp_path: Path, small_pool: Path, target: Path, method: str, settings: dict[str, Any]
) -> None:
    table = pq.read_table(small_pool)
    found = {f"{n} workers": digest_of(small_pool, tmp_path, target, method, settings, workers=n) for n in (1, 2, 7)}
    for seed in range(2):
        found[f"order {seed}"] = digest_of(small_pool, tmp_path, target, method, settings, executor=Shuffled(seed))
    for parts in (5, 64):
        folder = split(table, parts, tmp_path / f"split{parts}")
        found[f"{parts} files"] = digest_of(folder, tmp_path, target, method, settings)
    for ending in ("jsonl", "jsonl.gz", "jsonl.zst"):
        path = as_jsonl(table, tmp_path / f"pool.{ending}")
        found[ending] = digest_of(path, tmp_path, target, method, settings)
    assert len(set(found.values())) == 1, found
    other = digest_of(small_pool, tmp_path, target, "random", {}, executor=None)
    assert method == "random" or other != found["1 workers"]


def test_the_digest_follows_seed_and_budget(tmp_path: Path, small_pool: Path, target: Path) -> None:
    def one(**more: Any) -> str:
        given: dict[str, Any] = {"tokens": 30_000, "seed": 0, "method": "random"} | more
        return selecting.select(small_pool, output=tmp_path / "out", **given).digest

    digests = [one(), one(seed=1), one(tokens=30_001 - 1), one(tokens=40_000), one(method="random", quota="uniform")]
    assert digests[0] == digests[2] and len(set(digests)) == 4
    del target


@pytest.mark.usefixtures("many_spans")
def test_a_stopped_run_goes_on_where_it_was(tmp_path: Path, small_pool: Path, target: Path) -> None:
    """An executor that dies after some tasks leaves a cache from which the rest is computed, with equal bytes."""

    class Dying(Local):
        def map(self, work: Any, tasks: Any, *more: Any) -> Any:
            for number, item in enumerate(super().map(work, tasks, *more)):
                if number >= 2:
                    raise KeyboardInterrupt
                yield item

    whole = digest_of(small_pool, tmp_path, target, "dsir", {"min_length": 20})
    cache = tmp_path / "shared"
    done = 0
    for _ in range(40):
        try:
            resumed = digest_of(
                small_pool, tmp_path, target, "dsir", {"min_length": 20}, executor=Dying(1), cache=cache
            )
            break
        except KeyboardInterrupt:
            done += 1
    assert done >= 2, "the run was cut short several times"
    assert resumed == whole


def test_a_second_run_reads_no_text(
    tmp_path: Path, small_pool: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = digest_of(small_pool, tmp_path, target, "dsir", {}, cache=tmp_path / "shared")
    monkeypatch.setattr(manifest.Manifest, "read", lambda self, span: (_ for _ in ()).throw(AssertionError("read")))
    monkeypatch.setattr("cuvee.examples.divergence_from_target", lambda *_: None)
    monkeypatch.setattr("cuvee.selecting.divergence_from_target", lambda *_: None)
    monkeypatch.setattr("cuvee.selecting.coverage_of_target", lambda *_: (None, None))
    assert digest_of(small_pool, tmp_path, target, "dsir", {}, cache=tmp_path / "shared") == first


@pytest.mark.parametrize("seed", range(3))
def test_kill_at_any_moment(tmp_path: Path, demo_table: pa.Table, target: Path, seed: int) -> None:
    """kill -9 after a random delay: nothing partial under the final name, and the resumed result is the same."""
    folder = split(demo_table.slice(0, 3000), 6, tmp_path / "pool")
    command = [sys.executable, "-m", "cuvee.cli", "select", str(folder), "--target", str(target), "--tokens", "50k"]
    command += ["-o", str(tmp_path / "out"), "--cache", str(tmp_path / "cache"), "--quiet"]
    chance = random.Random(seed)
    for _ in range(6):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True)
        time.sleep(chance.uniform(0.2, 2.5))
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        out = tmp_path / "out"
        if out.exists():
            assert {path.name for path in out.iterdir()} == {"selection.parquet", "plan.json", "report.html"}
            json.loads((out / "plan.json").read_text())
            pq.read_table(out / "selection.parquet")
    subprocess.run(command, check=True, capture_output=True)
    resumed = json.loads((tmp_path / "out" / "plan.json").read_text())["reproduce"]["digest"]
    assert resumed == selecting.select(folder, target=str(target), tokens=50_000, output=tmp_path / "other").digest
    leftovers = [path.name for path in tmp_path.iterdir() if path.name.endswith((".tmp", ".lock", ".replaced"))]
    assert not leftovers


class Threads(Progress):
    """Which numbers of threads BLAS has while there is progress."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[int] = set()

    def show(self, begin: bool = False) -> None:
        self.seen.add(blas_threads())


def blas_threads() -> int:
    return max(one["num_threads"] for one in threadpool_info() if one["user_api"] == "blas")


several_cores = pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="BLAS has no more threads than there are cores")


@several_cores
@pytest.mark.parametrize("job", ["select", "profile", "guard", "fit_law"])
def test_threads_of_blas(tmp_path: Path, small_pool: Path, target: Path, job: str) -> None:
    """Sums that BLAS shares among threads have other last bits; how many there are is the machine's affair."""
    chance, runs = np.random.default_rng(0), tmp_path / "runs.parquet"
    mixture = chance.dirichlet(np.ones(3), 12)
    columns = {f"mix.{name}": shares for name, shares in zip("abc", mixture.T, strict=True)}
    pq.write_table(pa.table(columns | {"loss.all": mixture @ [1.0, 2.0, 4.0]}), runs)
    progress = Threads()
    output: dict[str, Any] = {"output": tmp_path / "out", "progress": progress}
    jobs: dict[str, Callable[[], Any]] = {
        "select": lambda: cuvee.select(small_pool, rows=50, **output),
        "profile": lambda: cuvee.profile(small_pool, **output),
        "guard": lambda: cuvee.guard(small_pool, **output),
        "fit_law": lambda: cuvee.fit_law(runs, law="data_mixing_laws", resample=20, **output),
    }
    with threadpool_limits(2, user_api="blas"):
        jobs[job]()
        assert progress.seen == {1}
        assert blas_threads() == 2


@several_cores
def test_threads_of_jobs_at_once() -> None:
    """The last to end gives back what was there before the first; so does one that fails."""
    first, second = one_thread(), one_thread()
    with threadpool_limits(2, user_api="blas"):
        first.__enter__()
        second.__enter__()
        first.__exit__(None, None, None)
        assert blas_threads() == 1
        second.__exit__(None, None, None)
        assert blas_threads() == 2
        with pytest.raises(UsageError), one_thread():
            raise UsageError("")
        assert blas_threads() == 2


def test_reading_is_the_public_class() -> None:
    assert cuvee.Reading is pool_module.Reading
