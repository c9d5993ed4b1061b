"""Cost as the pool grows: profile, select by DSIR and write, each a whole process, on 10 MB to 10 GB of text.

The three commands run one after the other and share a cache that is empty before the first, as a user would run them:
``select`` finds what ``profile`` learned about each row. A tenth of the tokens is kept and written as Parquet. Sizes
take turns, so that a drift of the machine meets all alike.

A pool of 1 MB is measured in the same run and stands for start-up: "net" figures are without its CPU time and bytes.
The exponent b is that of CPU = a bytes^b, by least squares on logarithms: 1 is linear. What a large pool costs over a
small one is told in two ways, because the first is flattered by start-up: CPU per byte at 10 GB over that at 100 MB as
it is, and between sizes: (10 GB less 1 GB) per byte over (1 GB less 100 MB) per byte.

The 10 GB pool needs about 5 GB of disk, a copy of its tenth 0.5 GB, and the cache 1 GB; ``CUVEE_BENCH_LARGE=0`` leaves
it out.
"""

from __future__ import annotations

import math
import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq

from .measure import Run, middle, record, run
from .pools import TARGET, parquet_pool, scratch

START = 1
ROUNDS = {START: 3, 10: 3, 100: 3, 1000: 3, 10_000: 1}
"""Megabytes of text, and how often."""
COMMANDS = ("profile", "select", "write")


@dataclass(frozen=True)
class Place:
    """The folders of one chain of commands."""

    folder: Path

    @property
    def cache(self) -> Path:
        return self.folder / "cache"

    def command(self, name: str, pool: Path) -> list[str]:
        """One command's line."""
        tail = ["--quiet", "--cache", str(self.cache)]
        base = [sys.executable, "-m", "cuvee.cli", name]
        kept, out = str(self.folder / "kept"), str(self.folder / name)
        if name == "profile":
            return [*base, str(pool), "-o", out, *tail]
        if name == "select":
            return [*base, str(pool), "--target", str(TARGET), "--with", "dsir", "--fraction", "10%", "-o", kept, *tail]
        return [*base, kept, "-o", out, *tail]


def chain(pool: Path) -> dict[str, Run]:
    """The three commands on one pool, from an empty cache."""
    place = Place(scratch() / "growth")
    shutil.rmtree(place.folder, ignore_errors=True)
    try:
        return {name: run(place.command(name, pool)) for name in COMMANDS}
    finally:
        shutil.rmtree(place.folder, ignore_errors=True)


def text_bytes(pool: Path) -> int:
    """Bytes of text in a pool, counted in a stream so that this process stays small."""
    total = 0
    for path in sorted(pool.glob("*.parquet")):
        for batch in pq.ParquetFile(path).iter_batches(batch_size=4096, columns=["text"], use_threads=False):
            total += pc.sum(pc.binary_length(batch.column(0))).as_py() or 0
    return total


def exponent(sizes: Sequence[float], costs: Sequence[float]) -> float:
    """The slope of log cost over log size, by least squares; NaN if a cost is not positive."""
    if min(costs) <= 0 or len(sizes) < 2:
        return math.nan
    x, y = [math.log(one) for one in sizes], [math.log(one) for one in costs]
    mean_x, mean_y = sum(x) / len(x), sum(y) / len(y)
    across = sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True))
    return across / sum((a - mean_x) ** 2 for a in x)


def slopes(sizes: dict[int, int], cpu: dict[int, float]) -> dict[str, float | None]:
    """The exponent as measured and net of start-up; CPU per byte of the largest pool over that at 100 MB."""
    shown = [size for size in sizes if size > START]
    nets = {size: cpu[size] - cpu[START] for size in shown}
    more = {size: sizes[size] - sizes[START] for size in shown}
    each: dict[str, float] = {
        "exponent": exponent([sizes[s] for s in shown], [cpu[s] for s in shown]),
        "exponent_net": exponent([more[s] for s in shown], [nets[s] for s in shown]),
    }
    largest, low, middle_size = max(shown), 100, 1000
    if {low, middle_size} <= set(shown):
        each["per_byte_over_100_mb"] = cpu[largest] / sizes[largest] / (cpu[low] / sizes[low])
        each["net_per_byte_over_100_mb"] = nets[largest] / more[largest] / (nets[low] / more[low])
    if largest > middle_size and low in shown:
        upper = (cpu[largest] - cpu[middle_size]) / (sizes[largest] - sizes[middle_size])
        lower = (cpu[middle_size] - cpu[low]) / (sizes[middle_size] - sizes[low])
        each["between_sizes"] = upper / lower
    return {name: value if math.isfinite(value) else None for name, value in each.items()}


def main() -> None:
    """All figures. The 10 GB pool is built, measured and removed."""
    most = 1000 if os.environ.get("CUVEE_BENCH_LARGE", "1") == "0" else 10_000
    most = int(os.environ.get("CUVEE_BENCH_GROWTH_MB", most))
    sizes = {size: text_bytes(parquet_pool(size)) for size in ROUNDS if size <= most}
    chain(parquet_pool(START))  # kernels are compiled and files are read once
    found: dict[int, list[dict[str, Run]]] = {size: [] for size in sizes}
    for turn in range(max(ROUNDS.values())):
        for size in sizes:
            if turn < ROUNDS[size]:
                found[size].append(chain(parquet_pool(size)))
                print(size, {name: round(one.cpu, 2) for name, one in found[size][-1].items()}, file=sys.stderr)
    if most >= 10_000:
        shutil.rmtree(parquet_pool(10_000))
    cpu = {
        name: {size: middle([one[name].cpu for one in runs]) for size, runs in found.items()} for name in COMMANDS
    } | {"all": {size: middle([sum(one[n].cpu for n in COMMANDS) for one in runs]) for size, runs in found.items()}}
    figures: dict[str, Any] = {
        "workers": len(os.sched_getaffinity(0)),
        "text_bytes": {str(size): count for size, count in sizes.items()},
        "rounds": {str(size): len(runs) for size, runs in found.items()},
        "cpu_seconds": {name: {str(size): value for size, value in each.items()} for name, each in cpu.items()},
        "wall_seconds": {
            name: {str(size): middle([one[name].wall for one in runs]) for size, runs in found.items()}
            for name in COMMANDS
        },
        "peak_mb": {
            name: {str(size): max(one[name].peak_mb for one in runs) for size, runs in found.items()}
            for name in COMMANDS
        },
        "growth": {name: slopes(sizes, each) for name, each in cpu.items()},
    }
    record("growth", figures)


if __name__ == "__main__":
    main()
