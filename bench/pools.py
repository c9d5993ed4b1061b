"""The pools that benchmarks run on: repetitions of real text, built once into a scratch folder.

The text is the large pool of ``scripts/make_large_pool.py`` where ``CUVEE_BENCH_POOL`` names its folder, else the
demonstration pool. Repetitions are made distinct by a line at their head, so that nothing is deduplicated or cached.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

ROOT = Path(__file__).parents[1]
TARGET = ROOT / "src" / "cuvee" / "demo" / "target.jsonl"


def scratch() -> Path:
    """Where pools and caches of benchmarks live: ``CUVEE_BENCH_SCRATCH`` or ``out/bench``."""
    folder = Path(os.environ.get("CUVEE_BENCH_SCRATCH", ROOT / "out" / "bench"))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def sources() -> list[Path]:
    """The Parquet files that pools are made of."""
    if named := os.environ.get("CUVEE_BENCH_POOL"):
        return sorted(Path(named).glob("*.parquet"))
    return [ROOT / "src" / "cuvee" / "demo" / "pool.parquet"]


def parquet_pool(megabytes: int) -> Path:
    """A folder of zstd Parquet files of 20,000 rows each, in row groups of about 16 MB.

    Built in a process of its own: a child's peak memory, as the system counts it, is at least its parent's.
    """
    folder = scratch() / f"pool-{megabytes}mb"
    if not (folder / "complete").exists():
        subprocess.run([sys.executable, "-m", "bench.pools", str(megabytes)], check=True, cwd=ROOT)
    return folder


def build(megabytes: int) -> None:
    """Write the pool."""
    folder = scratch() / f"pool-{megabytes}mb"
    folder.mkdir(exist_ok=True)
    texts = pa.concat_arrays([_column(path) for path in sources()])
    order = np.random.default_rng(0).permutation(len(texts))
    texts = texts.take(pa.array(order))
    written, number, turn = 0, 0, 0
    while written < megabytes * 1_000_000:
        for first in range(0, len(texts), 20_000):
            head, gap = (pa.scalar(text, pa.large_string()) for text in (f"Part {turn}.", "\n"))
            part = pc.binary_join_element_wise(head, texts.slice(first, 20_000), gap)
            sizes = np.cumsum(pc.binary_length(part).to_numpy() + 8)
            part = part.slice(0, int(np.searchsorted(sizes, megabytes * 1_000_000 - written)) + 1)
            ids = pa.array([f"{turn}-{first + i}" for i in range(len(part))])
            table = pa.table({"id": ids, "text": part})
            rows = max(1, len(part) * 16_000_000 // max(part.nbytes, 1))
            pq.write_table(table, folder / f"{number:05}.parquet", compression="zstd", row_group_size=rows)
            written, number = written + part.nbytes, number + 1
            if written >= megabytes * 1_000_000:
                break
        turn += 1
    (folder / "complete").touch()


def _column(path: Path) -> pa.Array:
    return pq.read_table(path, columns=["text"])["text"].cast(pa.large_string()).combine_chunks()


def jsonl_pool(megabytes: int) -> Path:
    """The same rows as one JSONL file."""
    path = scratch() / f"pool-{megabytes}mb.jsonl"
    if not path.exists():
        temporary = path.with_suffix(".partial")
        with temporary.open("w", encoding="utf-8") as stream:
            for file in sorted(parquet_pool(megabytes).glob("*.parquet")):
                for row in pq.read_table(file).to_pylist():
                    stream.write(json.dumps(row, ensure_ascii=False) + "\n")
        temporary.rename(path)
    return path


if __name__ == "__main__":
    build(int(sys.argv[1]))
