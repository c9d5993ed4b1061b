"""Two workers against one, and peak memory as the pool grows."""

from __future__ import annotations

import os
import shutil

from .dsir import cuvee_select, fresh
from .measure import in_turn, middle, record, run
from .pools import parquet_pool, scratch


def main() -> None:
    """All figures. Pools above 1 GB are built, measured and removed; CUVEE_BENCH_LARGE=0 leaves them out."""
    large = os.environ.get("CUVEE_BENCH_LARGE", "1") != "0"
    speed_up, wall, memory, cpu = {}, {}, {}, {}
    for size in (1000, 3000) if large else (1000,):
        pool = parquet_pool(size)
        runs = in_turn({f"{n}": fresh(cuvee_select(pool, 5 * size, n)) for n in (1, 2)}, 3)
        ratios = [one.wall / two.wall for one, two in zip(runs["1"], runs["2"], strict=True)]
        speed_up[str(size)] = middle(ratios)
        wall[str(size)] = {f"{n} workers": [one.wall for one in found] for n, found in runs.items()}
        memory[str(size)] = max(one.peak_mb for one in runs["2"])
        cpu[str(size)] = middle([one.cpu for one in runs["2"]])
        if size > 1000:
            shutil.rmtree(pool)
    for size in (100, 10_000) if large else (100,):
        pool = parquet_pool(size)
        found = run(fresh(cuvee_select(pool, 5 * size, 2)))
        memory[str(size)], cpu[str(size)], wall[str(size)] = found.peak_mb, found.cpu, {"2 workers": [found.wall]}
        if size > 1000:
            shutil.rmtree(pool)
    shutil.rmtree(scratch() / "cache", ignore_errors=True)
    record(
        "scaling",
        {
            "speed_up_of_two_workers_by_pool_mb": speed_up,
            "wall_seconds_by_pool_mb": wall,
            "peak_mb_by_pool_mb": memory,
            "cpu_seconds_by_pool_mb": cpu,
        },
    )


if __name__ == "__main__":
    main()
