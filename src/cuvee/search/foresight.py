"""What would stop a search, and about how long it takes, found before its first run.

Stocks of every seed are looked into where they are small: a source may have a document to go through at the swarm's
seeds and none at the trial's. The n-grams of the runs that show the most text are counted, as their runs would be.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..core import Batch
from ..fold.ngram_lm import NgramLM
from ..proof import outlook
from ..proof.corpus import gather
from ..proof.draws import Drawn
from ..proof.exchange import Corpus
from ..proof.proxies.ngram import Ngram, measure
from .runs import Runs

FEW = 64
"""Documents of a stock below which every seed's is looked into."""
LOOKED_AT = 3
"""Runs whose n-grams are counted beforehand, of at most so many bytes of text each:"""
MOST_BYTES = 32 << 20
ADDED = 0.3
"""Of the time of counting a text: what adding its counts to a run takes (measured: 0.2 to 0.4)."""


def check_stocks(runs: Runs, seeds: Iterable[int], documents: npt.NDArray[np.int64]) -> None:
    """Refuse a search that would find a stock empty after its swarm was trained.

    Args:
        documents: int64, (k,): of each source.

    Raises:
        DataError: at one of the seeds a source that runs take from has no document.
    """
    grid = runs.grid
    if runs.counts and (documents * (grid.tokens / grid.planned) < FEW).any():
        for seed in seeds:
            runs.stock(seed)


@dataclass(frozen=True)
class Expected:
    """Runs that are going to be made: what the first draw, and how many ``later`` ones; at so many seeds together."""

    first: Sequence[Drawn]
    later: int
    seeds: int


def seconds(runs: Runs, expected: Expected, workers: int) -> float | None:
    """About how long these runs take if the ledger has none of them; None where it cannot be told beforehand.

    Raises:
        DataError: n-grams of a run would fill the tables of its model.
        UsageError, ResourceError: the proxy cannot run here.
    """
    drawn, held = expected.first, outlook.measured(runs.sets)
    trials = len(drawn) + expected.later
    amount = float(np.mean([one.bytes for one in drawn])) * trials
    if isinstance(runs.proxy, Ngram):
        cost = _counted(runs, runs.proxy, drawn)
        if runs.counts:
            share = runs.grid.tokens / runs.grid.planned
            stock = share * sum(int(block["bytes"].sum()) for block in runs.part.blocks("bytes"))
            counted = cost.counting * (expected.seeds * stock + ADDED * amount)
            return (counted + trials * (cost.fixed + cost.measuring * held)) / workers
    found = outlook.speed(runs.proxy, runs.engine, drawn[0].row, runs.sets[0].evaluation)
    return None if found is None else found.seconds(amount, trials, held) / workers


@dataclass(frozen=True)
class Cost:
    """Seconds for each byte counted, for each one measured, and for making a model of counts."""

    counting: float
    measuring: float
    fixed: float


def _counted(runs: Runs, proxy: Ngram, drawn: Sequence[Drawn]) -> Cost:
    """What n-grams cost; from the runs that show the most text, which fill the tables most."""
    fold, some = NgramLM(proxy.order, proxy.table_bits, "bytes"), outlook.evaluation_head(runs.sets[0].evaluation, 32)
    size = np.array([one.bytes / max(one.documents, 1) * len(one.row) for one in drawn])
    found = []
    for at in np.argsort(-size, kind="stable")[:LOOKED_AT]:
        batch = _head(runs, drawn[at])
        times = [time.monotonic()]
        state = fold.update(fold.empty(), batch)
        times.append(time.monotonic())
        model = fold.finish(state)
        times.append(time.monotonic())
        measure(model, some)
        counting, fixed, measuring = np.diff([*times, time.monotonic()]).tolist()
        found.append(
            (counting / max(int(batch.offsets[-1]), 1), measuring / max(int(some.batch.offsets[-1]), 1), fixed)
        )
    return Cost(*np.min(found, axis=0).tolist())  # kernels are loaded the first time


def _head(runs: Runs, drawn: Drawn) -> Batch:
    """Texts that a run shows, each once, up to ``MOST_BYTES``."""
    rows = drawn.row
    share = MOST_BYTES * len(rows) // max(int(drawn.bytes), 1)
    rows = rows if share >= len(rows) else np.sort(np.random.default_rng(0).permutation(rows)[: max(share, 1)])
    return Corpus(runs.engine.store, gather(runs.engine, rows)).batch(rows)
