"""ZIP-FIT: the pooled one-pass variant against the faithful one at 50 targets, on the same rows in the same process."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from cuvee.core import Batch
from cuvee.examples import as_batch
from cuvee.fold.linear_kernels import rank_correlation
from cuvee.methods.score.zipfit import Zipfit

from .measure import middle, record
from .pools import sources

TARGETS, ROWS, ROUNDS = 50, 400, 3


@dataclass
class InMemory:
    """The Run that fitting needs: a pool and a target in memory."""

    pool: Batch
    target: Batch
    seed: int = 0

    @property
    def rows(self) -> int:
        return len(self.pool)

    def fold(self, fold: Any, over: str = "pool") -> Any:
        return fold.finish(fold.lift(self.pool if over == "pool" else self.target))

    def targets(self) -> Any:
        yield self.target


def main() -> None:
    """Seconds per row of both modes and the rank correlation of their scores, per kind of target."""
    found = {}
    files = {path.stem: path for path in sources()}
    table = pq.read_table(next(iter(files.values())), columns=["text", "domain"])
    if len(files) > 1:
        names = ("python", "linux-docs", "newsgroups", "rust-docs", "bbc-news")
        texts = {name: pq.read_table(files[name], columns=["text"])["text"].to_pylist()[:2000] for name in names}
    else:
        rows = table.to_pylist()
        texts = {
            one: [row["text"] for row in rows if row["domain"] == one]
            for one in sorted({r["domain"] for r in rows})[:5]
        }
    chance = np.random.default_rng(0)
    for kind, own in texts.items():
        mixed = [text for one in texts.values() for text in one[TARGETS:]]
        picked = [mixed[i].encode() for i in chance.choice(len(mixed), ROWS, replace=False)]
        pool, target = as_batch(picked), as_batch([text.encode() for text in own[:TARGETS]])
        run = InMemory(pool, target)
        exact, pooled = Zipfit(mode="exact").fit(run), Zipfit(mode="pooled").fit(run)
        pooled.apply(pool)
        ratios, speeds = [], []
        for _ in range(ROUNDS):
            started = time.process_time()
            slow = exact.apply(pool)["score"]
            middle_time = time.process_time()
            fast = pooled.apply(pool)["score"]
            ended = time.process_time()
            ratios.append((middle_time - started) / (ended - middle_time))
            speeds.append(len(pool.data) / (ended - middle_time) / 1e6)
        found[kind] = {
            "speed_ratio": middle(ratios),
            "pooled_mb_per_cpu_second": middle(speeds),
            "rank_correlation": float(rank_correlation(slow, fast)),
        }
    ratios = [one["speed_ratio"] for one in found.values()]
    correlations = [one["rank_correlation"] for one in found.values()]
    record(
        "zipfit",
        {
            "targets": TARGETS,
            "rows": ROWS,
            "kinds": found,
            "median_speed_ratio": middle(ratios),
            "median_rank_correlation": middle(correlations),
        },
    )
