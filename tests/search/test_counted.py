"""Runs that are counted slice by slice are the runs of the n-gram proxy, to the bit; stocks stand for planned runs."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cuvee.core import Batch, Columns
from cuvee.engine.progress import Progress
from cuvee.errors import DataError
from cuvee.examples import as_batch
from cuvee.fold.ngram_lm import NgramLM
from cuvee.methods.policy.uniform import Uniform
from cuvee.proof.draws import Part
from cuvee.proof.ledger import Ledger
from cuvee.proof.proxies.ngram import Ngram, measure
from cuvee.proof.proxy import Evaluation, Watch
from cuvee.search.counted import Tables, count_slices, fill, run_counted
from cuvee.search.stock import Grid, Stock, draw_stock
from tests.proof.test_ledger import made

NAMES = ("a", "b", "c")


class Pool(Columns):
    """A pool in memory, in two blocks."""

    def __init__(self, seed: int, sizes: tuple[int, ...], longest: int = 60) -> None:
        random = np.random.default_rng(seed)
        domain = np.repeat(np.arange(len(sizes)), sizes).astype(np.int32)
        domain = domain[random.permutation(len(domain))]
        letters = np.frombuffer(b"abcde \n", np.uint8)
        self.texts = [
            letters[random.integers(d, 5 + d % 3, random.integers(1, longest))].tobytes() for d in domain.tolist()
        ]
        rows = np.arange(len(domain))
        size = np.array([len(text) for text in self.texts])
        self.data = {
            "row": rows,
            "key": rows.astype(np.uint64) * np.uint64(7),
            "content": rows.astype(np.uint64) * np.uint64(11),
            "bytes": size,
            "tokens": size,
            "domain": domain,
        }
        self.domains = list(NAMES[: len(sizes)])
        self.n_rows = len(rows)
        self.totals = {"rows": len(rows), "tokens": int(size.sum()), "bytes": int(size.sum())}

    def blocks(self, *names: str) -> Any:
        half = self.n_rows // 2
        for cut in (slice(0, half), slice(half, None)):
            yield {name: self.data[name][cut] for name in names or tuple(self.data)}

    def batch(self, rows: Any) -> Batch:
        return as_batch([self.texts[row] for row in rows])


def stock_of(pool: Pool, planned: int, tokens: int, seed: int = 0) -> Stock:
    part = Part(pool)
    held = np.bincount(pool.data["domain"], weights=pool.data["tokens"]).astype(np.int64)
    grid = Grid.of(tuple(pool.domains), held, planned, tokens)
    return draw_stock(part, grid, seed, grid.slices(np.ones(len(held))))


@pytest.mark.parametrize("order", [1, 2, 5])
@pytest.mark.parametrize("mixture", [(0.2, 0.3, 0.5), (0.0, 0.9, 0.1), (0.05, 0.05, 0.9)])
def test_the_same_model_to_the_bit(order: int, mixture: tuple[float, ...]) -> None:
    """Slices added up are what the proxy counts on the same documents, sources left out or repeated included."""
    pool = Pool(1, (150, 60, 20))
    whole = pool.totals["tokens"]
    stock = stock_of(pool, planned=2 * whole, tokens=whole)
    slices = stock.grid.slices(np.array(mixture))
    assert int((slices // stock.grid.whole).max()) >= 1  # something is repeated
    drawn, _ = stock.draw(slices)
    held = Evaluation("held", as_batch([b"abcab\nde c", b"ccc", b""]), np.zeros(3, np.int32), ("all",))
    proxy = Ngram(order, 14)
    direct = proxy.train(pool.batch(drawn.places), [held], Uniform(), 1.0, 0, Watch())
    fold = NgramLM(order, 14, "bytes")
    with ThreadPoolExecutor(2) as workers:
        tables = Tables(fold, 2)
        entries = count_slices(fold, stock, pool.batch(stock.documents["row"]), workers, tables)
        with tables.one() as state:
            assert not state["nodes"].any()
            assert not state["leaves"].any()
            fill(state, entries, stock, slices)
            counted = measure(fold.finish(state), held)
    assert np.array_equal(counted.loss, direct.measured["held"].loss)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 50), st.lists(st.floats(0.01, 1), min_size=3, max_size=3), st.sampled_from([0.3, 1.0, 3.0]))
def test_a_run_goes_through_its_sources_as_the_planned_one(seed: int, raw: list[float], times: float) -> None:
    """Shares are met within a few slices and documents, and passes are those of the planned run."""
    pool = Pool(seed, (400, 300, 200), 30)
    whole = pool.totals["tokens"]
    planned = int(times * whole)
    stock = stock_of(pool, planned, whole // 4, seed)
    mixture = np.array(raw) / sum(raw)
    slices = stock.grid.slices(mixture)
    drawn, shares = stock.draw(slices)
    near = 3 * 30 / (whole // 4) + 2 / 256
    assert np.abs(shares - mixture).max() < near
    assert abs(drawn.tokens - whole // 4) < 3 * near * whole // 4
    repeats = stock.repeats(slices)
    passes = stock.grid.passes(mixture)
    for domain in range(3):
        mine = repeats[stock.documents["domain"] == domain]
        if passes[domain] >= 1:
            assert abs(float(mine.mean()) - passes[domain]) < 0.35 + 0.1 * passes[domain]
        assert int(mine.max()) <= int(np.ceil(passes[domain] + 0.05)) and int(np.ptp(mine)) <= 1


def test_stocks_are_nested_and_follow_their_seed() -> None:
    pool = Pool(3, (300, 200, 100))
    one, again, other = (stock_of(pool, 20_000, 4_000, seed) for seed in (0, 0, 1))
    small, large = np.array([10, 20, 5]), np.array([30, 20, 9])
    assert (one.repeats(small) <= one.repeats(large)).all()
    assert one.draw(small)[0].digest == again.draw(small)[0].digest != other.draw(small)[0].digest
    within = one.within(small)
    assert within.draw(small)[0].digest == one.draw(small)[0].digest
    assert len(within.documents["row"]) < len(one.documents["row"])


def test_a_source_too_small_for_a_document_is_named() -> None:
    with pytest.raises(DataError, match=r"tokens of 'c' to go through: less than a document\. Give more --run-tokens"):
        stock_of(Pool(4, (3_000, 200, 1)), 100_000, 400)
    with pytest.raises(DataError, match=r"would be given 4 tokens of 'a' to .* Give more --tokens or a pool"):
        stock_of(Pool(4, (3_000, 200, 1)), 4, 4)


def test_what_a_killed_search_left_of_a_finished_trial_is_removed(tmp_path: Path) -> None:
    """A kill between a trial's file and the end of its claim; a lock that another process holds stays."""
    ledger, record = Ledger(tmp_path / "ledger"), made(7)
    ledger.append(record)
    lock = ledger.running(record.key).with_name(f".{record.key}.lock")

    def again() -> dict[str, Any]:
        unused: Any = None  # nothing is trained
        return dict(run_counted(Ngram(), unused, unused, {record.key: unused}, ledger, [], {}, 1, Progress(), print))

    lock.parent.mkdir(parents=True)
    lock.write_text("process 1 on here")
    assert list(again()) == [record.key] and not lock.exists()
    with ledger.claim(record.key):
        again()
        assert lock.exists()
