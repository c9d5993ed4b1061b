"""DSIR: the kernel against the public implementation's inner loop, and both programs from files to chosen rows.

Needs the public package: pip install 'cuvee[bench]'.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import numpy as np

from .measure import in_turn, middle, record
from .pools import TARGET, jsonl_pool, parquet_pool, scratch

PUBLIC = """
import json, sys, shutil
from pathlib import Path
from data_selection import HashedNgramDSIR
pool, target, cache, rows = sys.argv[1], sys.argv[2], Path(sys.argv[3]), int(sys.argv[4])
shutil.rmtree(cache, ignore_errors=True)
dsir = HashedNgramDSIR([pool], [target], cache_dir=str(cache), num_proc=1, ngrams=2, num_buckets=10000)
dsir.fit_importance_estimator(num_tokens_to_fit="all")
dsir.compute_importance_weights()
dsir.resample(out_dir=str(cache / "out"), num_to_sample=rows, cache_dir=str(cache / "tmp"))
"""
READ = """
import sys, glob
import pyarrow.parquet as pq
total = 0
for path in sorted(glob.glob(sys.argv[1] + "/*.parquet")):
    for batch in pq.ParquetFile(path).iter_batches(columns=["text"], use_threads=False):
        total += batch.nbytes
print(total)
"""
READ_JSON = """
import sys
import pyarrow.json as pj, pyarrow as pa
options = pj.ReadOptions(use_threads=False, block_size=8 << 20)
parse = pj.ParseOptions(explicit_schema=pa.schema([("text", pa.string())]), unexpected_field_behavior="ignore")
total = 0
for batch in pj.open_json(sys.argv[1], read_options=options, parse_options=parse):
    total += batch.nbytes
print(total)
"""


def kernel() -> dict[str, float]:
    """MB/s of counting and scoring in both implementations, on the same texts in the same process."""
    from data_selection.hashed_ngram_dsir import get_ngram_counts

    from cuvee.examples import as_batch
    from cuvee.feature.ngrams import Ngrams

    lines = jsonl_pool(20).read_bytes().splitlines()
    texts = [json.loads(line)["text"] for line in lines]
    table = np.random.default_rng(0).normal(size=10_000)
    few, size = [], 0
    for text in texts:
        few.append(text)
        size += len(text.encode())
        if size > 2_000_000:
            break
    batch = as_batch([text.encode() for text in texts])
    ngrams = Ngrams(2, 10_000)
    ngrams.sums(batch, table), ngrams.count(batch)
    ours, theirs, counting = [], [], []
    for _ in range(3):
        started = time.process_time()
        for text in few:
            get_ngram_counts(text, n=2, num_buckets=10_000) @ table
        theirs.append(size / (time.process_time() - started) / 1e6)
        started = time.process_time()
        ngrams.sums(batch, table)
        ours.append(len(batch.data) / (time.process_time() - started) / 1e6)
        started = time.process_time()
        ngrams.count(batch)
        counting.append(len(batch.data) / (time.process_time() - started) / 1e6)
    return {
        "score_mb_per_s": middle(ours),
        "count_mb_per_s": middle(counting),
        "public_mb_per_s": middle(theirs),
        "ratio": middle([a / b for a, b in zip(ours, theirs, strict=True)]),
    }


def cuvee_select(pool: Path, rows: int, workers: int = 1) -> list[str]:
    """The command line that does what the public program does."""
    out = scratch() / "selected"
    command = [sys.executable, "-m", "cuvee.cli", "select", str(pool), "--target", str(TARGET), "--with", "dsir"]
    return [*command, "--rows", str(rows), "--workers", str(workers), "-o", str(out), "--quiet"]


def fresh(command: list[str]) -> list[str]:
    """The same command with an empty cache every time."""
    cache = str(scratch() / "cache")
    return ["sh", "-c", 'rm -rf "$1"; shift; exec "$@"', "sh", cache, *command, "--cache", cache]


def main() -> None:
    """All figures."""
    small, large = jsonl_pool(20), parquet_pool(1000)
    public = [sys.executable, "-c", PUBLIC, str(small), str(TARGET), str(scratch() / "public"), "500"]
    pairs = in_turn({"cuvee": fresh(cuvee_select(small, 500)), "public": public}, 1)
    small_bytes = small.stat().st_size
    lines = jsonl_pool(1000)
    runs = in_turn(
        {
            "select parquet": fresh(cuvee_select(large, 5000)),
            "read parquet": [sys.executable, "-c", READ, str(large)],
            "select jsonl": fresh(cuvee_select(lines, 5000)),
            "read jsonl": [sys.executable, "-c", READ_JSON, str(lines)],
        },
        3,
    )
    size = int(runs["read parquet"][0].output)
    cpu = {name: middle([one.cpu for one in found]) for name, found in runs.items()}
    public_rate = small_bytes / pairs["public"][0].cpu / 1e6
    record(
        "dsir",
        {
            "kernel": kernel(),
            "end_to_end": {
                "pool_mb": size / 1e6,
                "cpu_seconds": cpu,
                "parquet_cpu_over_reading": cpu["select parquet"] / cpu["read parquet"],
                "jsonl_cpu_over_reading": cpu["select jsonl"] / cpu["read jsonl"],
                "cuvee_mb_per_cpu_second_parquet": size / cpu["select parquet"] / 1e6,
                "cuvee_mb_per_cpu_second_jsonl": size / cpu["select jsonl"] / 1e6,
                "public_mb_per_cpu_second": public_rate,
                "ratio_parquet": size / cpu["select parquet"] / 1e6 / public_rate,
                "ratio_jsonl": size / cpu["select jsonl"] / 1e6 / public_rate,
                "same_20_mb": {"cuvee_cpu": pairs["cuvee"][0].cpu, "public_cpu": pairs["public"][0].cpu},
                "peak_mb": max(one.peak_mb for one in runs["select parquet"]),
            },
        },
    )
