"""``cuvee profile`` beside a plain scan of the same Parquet by DuckDB and Polars: the scan is the floor.

A scan counts rows and sums, least and largest lengths of the texts in bytes, in total (the pool has no domains): the
least that any look into a pool must do. A profile also hashes every row, counts duplicates, lengths, domains and
languages, draws examples and writes a report, so it cannot be as cheap; DuckDB's SUMMARIZE (distinct values and
quantiles by approximation) stands between. All programs use as many threads as there are cores; CPU seconds of all
threads and start-up are counted, in turns, medians of three rounds.

DuckDB and Polars are taken from the environment of ``CUVEE_BENCH_PEERS``; one that is missing is left out.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from typing import Any

from . import peers
from .dsir import READ, fresh
from .measure import in_turn, middle, record
from .pools import parquet_pool, scratch

ROUNDS = 3
DUCKDB = """
import sys, json, duckdb
files = sys.argv[1] + "/*.parquet"
query = "SELECT count(*), sum(n), min(n), max(n) FROM (SELECT strlen(text) AS n FROM read_parquet(?))"
print(json.dumps([int(one) for one in duckdb.execute(query, [files]).fetchone()]))
"""
SUMMARIZE = """
import sys, duckdb
print(len(duckdb.execute("SUMMARIZE SELECT * FROM read_parquet(?)", [sys.argv[1] + "/*.parquet"]).fetchall()))
"""
POLARS = """
import sys, json, polars as pl
n = pl.col("text").str.len_bytes()
asked = [pl.len().alias("rows"), n.sum().alias("sum"), n.min().alias("least"), n.max().alias("largest")]
found = pl.scan_parquet(sys.argv[1] + "/*.parquet").select(asked).collect(engine="streaming")
print(json.dumps([int(one) for one in found.row(0)]))
"""
SCANS = {
    "DuckDB scan": ("duckdb", DUCKDB),
    "Polars scan": ("polars", POLARS),
    "DuckDB SUMMARIZE": ("duckdb", SUMMARIZE),
}


def main() -> None:
    """CPU and wall seconds, peak memory and MB per CPU second of each."""
    pool = str(parquet_pool(int(os.environ.get("CUVEE_BENCH_SCAN_MB", "1000"))))
    profile = [sys.executable, "-m", "cuvee.cli", "profile", pool, "-o", str(scratch() / "profile"), "--quiet"]
    commands: dict[str, Sequence[str]] = {
        "cuvee profile": fresh(profile),
        "PyArrow, reading the column": [sys.executable, "-c", READ, pool],
    }
    versions = {package: peers.version(package) for package in ("duckdb", "polars")}
    for name, (package, code) in SCANS.items():
        if versions[package]:
            commands[name] = [peers.interpreter(), "-c", code, pool]
    in_turn(commands, 1)  # kernels are compiled and files are read once
    runs = in_turn(commands, ROUNDS)
    answers = {name: json.loads(runs[name][0].output) for name in runs if name.endswith(" scan")}
    if len({tuple(one) for one in answers.values()}) > 1:
        raise RuntimeError(f"the scans disagree: {answers}")
    size = next(iter(answers.values()))[1] if answers else int(runs["PyArrow, reading the column"][0].output)
    found: dict[str, Any] = {}
    for name, several in runs.items():
        cpu = middle([one.cpu for one in several])
        found[name] = {
            "cpu_seconds": cpu,
            "wall_seconds": middle([one.wall for one in several]),
            "peak_mb": max(one.peak_mb for one in several),
            "mb_per_cpu_second": size / cpu / 1e6,
            "profile_over_this": middle([a.cpu / b.cpu for a, b in zip(runs["cuvee profile"], several, strict=True)]),
        }
    record("scan", {"versions": versions, "text_mb": size / 1e6, "programs": found})


if __name__ == "__main__":
    main()
