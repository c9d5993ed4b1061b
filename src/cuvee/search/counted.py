"""N-gram runs of a mixture without training them one by one: counts of slices are added, as often as a run takes them.

An n-gram model is its counts, and counts of documents add up. So each slice of each source is counted once, as a
:class:`cuvee.fold.ngram_lm.NgramLM` Fold does, and kept as the entries that are not zero; a run is the sum of its
slices, whole numbers of times. That is the model of the proxy ``ngram`` on the same documents to the bit, and gets the
same place in the ledger. (Fractional weights would give expected counts of a draw; but half a count of every n-gram of
a source is not what half of its documents hold: the followers of a context would be too many.)

Cost: counting once per seed, then one addition an entry for every run, however large; tables of 150 MB (22 bits) a
worker, and 10 to 15 bytes for each byte of short runs, 4 for each of long ones, whose slices repeat their own n-grams.
"""

from __future__ import annotations

import contextlib
import json
import queue
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from ..core import Array, Batch, State
from ..engine.progress import Progress
from ..errors import BusyError
from ..feature.ngrams import readonly
from ..fold.ngram_lm import NgramLM
from ..layout import versions
from ..proof.ledger import Ledger
from ..proof.proxies.ngram import OPERATIONS, Ngram, measure
from ..proof.proxy import Evaluation, Outcome, Point
from ..proof.recipes import to_json
from ..proof.record import Record
from ..proof.trials import Task
from ..proof.worker import hardware, metrics
from .count_kernels import add_leaves, add_nodes, count_documents, take_leaves, take_nodes
from .stock import Ints, Stock

_POLL_SECONDS = 0.3


@dataclass(frozen=True)
class Entries:
    """Counts of the slices of one source, one slice after the other.

    Attributes:
        nodes, node_counts, masks, leaves, leaf_counts: uint32.
        node_ends, leaf_ends: int64, (slices + 1,): where each slice's entries begin.
    """

    nodes: Array
    node_counts: Array
    masks: Array
    leaves: Array
    leaf_counts: Array
    node_ends: Ints
    leaf_ends: Ints

    def add(self, nodes: Array, leaves: Array, begin: int, end: int, times: int) -> None:
        """Add slices ``begin`` to ``end`` so many times to flat tables."""
        if times == 0 or begin >= end:
            return
        a, b = int(self.node_ends[begin]), int(self.node_ends[end])
        add_nodes(nodes, self.nodes[a:b], self.node_counts[a:b], self.masks[a:b], times)
        a, b = int(self.leaf_ends[begin]), int(self.leaf_ends[end])
        add_leaves(leaves, self.leaves[a:b], self.leaf_counts[a:b], times)


class Tables:
    """As many tables as there are workers, handed from one task to the next."""

    def __init__(self, fold: NgramLM, workers: int) -> None:
        self.fold, self.free = fold, queue.SimpleQueue[State | None]()
        for _ in range(workers):
            self.free.put(None)

    @contextlib.contextmanager
    def one(self) -> Iterator[State]:
        """One of them, with zeros; the task leaves zeros behind."""
        state = self.free.get()
        state = self.fold.empty() if state is None else state
        try:
            yield state
        finally:
            self.free.put(state)


def count_slices(fold: NgramLM, stock: Stock, batch: Batch, pool: ThreadPoolExecutor, tables: Tables) -> list[Entries]:
    """Entries of every source, as far as the stock goes.

    Args:
        batch: the stock's documents, in its order.
    """
    domain, number = stock.documents["domain"], stock.documents["slice"]
    order = np.lexsort((number, domain))
    waiting: list[list[Future[tuple[Array, ...]]]] = []
    for source in range(len(stock.grid.names)):
        low, high = np.searchsorted(domain[order], [source, source + 1])
        own = order[low:high]
        last = int(number[own[-1]]) + 1 if len(own) else 0
        edges = np.searchsorted(number[own], np.arange(last + 1))
        waiting.append([pool.submit(_slice, fold, batch, own[edges[at] : edges[at + 1]], tables) for at in range(last)])
    return [_joined([one.result() for one in parts]) for parts in waiting]


def _slice(fold: NgramLM, batch: Batch, at: Ints, tables: Tables) -> tuple[Array, ...]:
    size = int((batch.offsets[at + 1] - batch.offsets[at]).sum()) + len(at)
    levels, slots = max(fold.order - 1, 1), 1 << fold.table_bits
    touched = np.empty(min(2 * size * levels, levels * (slots + 1)) + 1, np.uint32)
    ends = np.empty(min(size, slots) + 1, np.uint32)
    filled = np.zeros(2, np.int64)
    with tables.one() as state:
        nodes, leaves = state["nodes"][0], state["leaves"][0]
        count_documents(
            readonly(batch.data, np.uint8), readonly(batch.offsets, np.int64), at, nodes, leaves, fold.order,
            fold.table_bits, touched, ends, filled,
        )  # fmt: skip
        # in the order of the tables: adding entries then runs through memory instead of jumping about in it
        touched, ends = np.sort(touched[: filled[0]]), np.sort(ends[: filled[1]])
        counts, masks, leaf_counts = (np.empty(len(one), np.uint32) for one in (touched, touched, ends))
        take_nodes(nodes.reshape(-1, 2), touched, counts, masks)
        take_leaves(leaves, ends, leaf_counts)
    return touched, counts, masks, ends, leaf_counts


def _joined(parts: Sequence[tuple[Array, ...]]) -> Entries:
    empty = np.empty(0, np.uint32)
    whole = [np.concatenate([empty, *(part[at] for part in parts)]) for at in range(5)]
    ends = [np.cumsum([0, *(len(part[at]) for part in parts)]).astype(np.int64) for at in (0, 3)]
    return Entries(*whole, *ends)


def fill(state: State, entries: Sequence[Entries], stock: Stock, slices: Ints) -> None:
    """Make a state that of a run that takes so many slices of each source."""
    state["nodes"].fill(0)
    state["leaves"].fill(0)
    nodes, leaves = state["nodes"][0].reshape(-1, 2), state["leaves"][0]
    for one, wanted, whole in zip(entries, slices.tolist(), stock.grid.whole.tolist(), strict=True):
        held = len(one.node_ends) - 1
        full, rest = divmod(wanted, whole)
        one.add(nodes, leaves, 0, min(rest, held), full + 1)
        one.add(nodes, leaves, min(rest, held), held, full)


@dataclass(frozen=True)
class Run:
    """A trial of the stock's seed, the slices that it takes, and the bytes of its texts, repeats included."""

    task: Task
    slices: Ints
    bytes: int


def run_counted(
    proxy: Ngram,
    stock: Stock,
    texts: Callable[[], Batch],
    runs: Mapping[str, Run],
    ledger: Ledger,
    evaluations: Sequence[Evaluation],
    digests: Mapping[str, str],
    workers: int,
    progress: Progress,
    notice: Callable[[str], object],
) -> dict[str, Record]:
    """The records of these trials of one seed, by key: from the ledger, or counted now and put there.

    A trial that another process is running is waited for. The result does not depend on the number of workers.

    Args:
        texts: gives the stock's documents, in its order; asked only if a trial is missing.
        digests: of the evaluation sets, by name.
    """
    found = {key: record for key in runs if (record := ledger.find(key)) is not None}
    ledger.tidy(found)
    progress.advance(len(found))
    waiting = [key for key in runs if key not in found]
    if not waiting:
        return found
    fold = NgramLM(proxy.order, proxy.table_bits, "bytes")
    tables = Tables(fold, workers)
    entries: list[Entries] | None = None
    pending: dict[Future[Record], tuple[str, contextlib.ExitStack]] = {}
    told = False

    def train(key: str) -> Record:
        assert entries is not None
        return _trial(proxy, fold, stock, entries, runs[key], key, tables, evaluations, digests)

    with ThreadPoolExecutor(workers, thread_name_prefix="cuvee") as pool:
        try:
            while waiting or pending:
                for key in list(waiting):
                    if len(pending) > workers:
                        break
                    claim = contextlib.ExitStack()
                    try:
                        claim.enter_context(ledger.claim(key))
                    except BusyError:
                        continue
                    waiting.remove(key)
                    record = ledger.find(key)  # another process may have finished it since we looked
                    if record is not None:
                        found[key] = record
                        claim.close()
                        progress.advance(1)
                        continue
                    if entries is None:
                        entries = count_slices(fold, stock, texts(), pool, tables)
                    pending[pool.submit(train, key)] = key, claim
                if not pending:
                    if waiting:
                        if not told:
                            notice(f"Waiting for another process, which is running {len(waiting)} of the trials.")
                        told = True
                        time.sleep(_POLL_SECONDS)
                    continue
                done, _ = wait(pending, return_when=FIRST_COMPLETED)
                for future in done:
                    key, claim = pending.pop(future)
                    with claim:
                        ledger.append(future.result())
                        ledger.forget(key)
                    found[key] = future.result()
                    progress.advance(1)
        finally:
            for future, (_, claim) in pending.items():
                future.cancel()
                claim.close()
    return found


def _trial(
    proxy: Ngram,
    fold: NgramLM,
    stock: Stock,
    entries: Sequence[Entries],
    run: Run,
    key: str,
    tables: Tables,
    evaluations: Sequence[Evaluation],
    digests: Mapping[str, str],
) -> Record:
    started, begun = datetime.now(UTC), time.monotonic()
    with tables.one() as state:
        fill(state, entries, stock, run.slices)
        model = fold.finish(state)
        trained = time.monotonic()
        measured = {one.name: measure(model, one) for one in evaluations}
        state["nodes"].fill(0)  # counting expects empty tables
        state["leaves"].fill(0)
    ended = time.monotonic()
    size = float(sum(found.size.sum() for found in measured.values()))
    cost = {
        "train_seconds": trained - begun,
        "eval_seconds": ended - trained,
        "train_flops": proxy.train_flops(run.bytes),
        "eval_flops": OPERATIONS * proxy.order * size,
        "train_tokens": float(run.bytes),
    }
    point = Point(run.bytes, {name: one.mean() for name, one in measured.items()})
    task = run.task
    return Record(
        key=key,
        arm=task.arm,
        selection=task.selection,
        recipe=task.recipe.digest(),
        recipe_json=json.dumps(to_json(task.recipe), sort_keys=True),
        seed=task.seed,
        status="finished",
        evaluations=dict(digests),
        cost={**cost, **task.select_cost},
        metrics=metrics(Outcome(False, measured, (point,), cost), list(evaluations)),
        curve=(point,),
        measured=measured,
        versions=versions(),
        hardware=hardware(),
        started=started,
        seconds=ended - begun,
    )
