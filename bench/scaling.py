"""Two workers against one, and peak memory as the pool grows."""

from __future__ import annotations

import os
import shutil

from .dsir import cuvee_select, fresh
from .measure import in_turn, middle, record, run
from .pools import parquet_pool, scratch


def main() -> None:
    """All figures. The 10 GB pool is built, measured and removed again; set CUVEE_BENCH_LARGE=0 to leave it out."""
    pool = parquet_pool(1000)
    runs = in_turn({f"{n} workers": fresh(cuvee_select(pool, 5000, n)) for n in (1, 2)}, 3)
    ratios = [one.wall / two.wall for one, two in zip(runs["1 workers"], runs["2 workers"], strict=True)]
    memory = {"1000": max(one.peak_mb for one in runs["2 workers"])}
    seconds = {"1000": middle([one.wall for one in runs["2 workers"]])}
    cpu = {"1000": middle([one.cpu for one in runs["2 workers"]])}
    sizes = [100] + ([10_000] if os.environ.get("CUVEE_BENCH_LARGE", "1") != "0" else [])
    for size in sizes:
        folder = parquet_pool(size)
        found = run(fresh(cuvee_select(folder, 5 * size, 2)))
        memory[str(size)], seconds[str(size)], cpu[str(size)] = found.peak_mb, found.wall, found.cpu
        if size > 1000:
            shutil.rmtree(folder)
    shutil.rmtree(scratch() / "cache", ignore_errors=True)
    record(
        "scaling",
        {
            "speed_up_of_two_workers": middle(ratios),
            "wall_seconds": {name: [one.wall for one in found] for name, found in runs.items()},
            "peak_mb_by_pool_mb": memory,
            "wall_seconds_by_pool_mb": seconds,
            "cpu_seconds_by_pool_mb": cpu,
        },
    )
