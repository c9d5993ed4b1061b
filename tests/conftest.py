"""Shared helpers: every test gets a cache of its own, and small pools of real text are cut from the demonstration."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cuvee.core import Columns

# a shell that starts the tests in the background lets them, and what they start, ignore Ctrl-C, which some tests send
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # likewise one that keeps them alive when it ends

DEMO = Path(__file__).parents[1] / "src" / "cuvee" / "demo"


LONG = (
    "test_docs.py",  # compiles most kernels, which tests that kill would compile again and again
    "test_types.py",
    "test_faults.py",
    "remote/test_broken.py",
    "ray",
    "test_reliability.py",
    "laws/test_laws.py",
    "test_same_bits.py",
    "law/test_fitting.py",
    "test_near_duplicates.py",
    "search/test_searching.py",
    "test_proving.py",
    "proof/test_trials.py",
    "test_proving_faults.py",
)
"""Groups of tests that take about a minute or more."""


def group(nodeid: str) -> str:
    """The file of a test; "ray" for all that start Ray."""
    place = nodeid.partition("::")[0].removeprefix("tests/")
    return "ray" if place.startswith("ray/") else place


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the long groups first; the rest stays in its order."""
    items.sort(key=lambda item: LONG.index(group(item.nodeid)) if group(item.nodeid) in LONG else len(LONG))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Where several processes run the tests (``pytest -n 2``), those of a group stay together, whose fixtures would
    be made twice; and two Ray clusters on one machine would fight for its cores."""
    from xdist.scheduler import LoadScopeScheduling

    class Groups(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return group(nodeid)

    config.option.loadscopereorder = False
    return Groups(config, log)


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """No test sees another's cached work."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("CUVEE_CACHE", str(folder))
    yield folder


@pytest.fixture(scope="session")
def demo_table() -> pa.Table:
    """The demonstration pool."""
    return pq.read_table(DEMO / "pool.parquet")


@pytest.fixture
def small_pool(tmp_path: Path, demo_table: pa.Table) -> Path:
    """600 documents of all domains in one Parquet file."""
    path = tmp_path / "pool.parquet"
    picks = np.linspace(0, demo_table.num_rows - 1, 600).astype(np.int64)
    pq.write_table(demo_table.take(picks), path, row_group_size=100)
    return path


@pytest.fixture
def target() -> Path:
    """100 documents of SQLite's documentation."""
    return DEMO / "target.jsonl"


class MemoryColumns(Columns):
    """Columns in memory, cut into blocks as asked: the test double of :class:`cuvee.engine.columns.DiskColumns`."""

    def __init__(self, blocks: int = 3, domains: list[str] | None = None, **columns: Any) -> None:
        self.data = {name: np.asarray(values) for name, values in columns.items()}
        rows = len(next(iter(self.data.values())))
        self.data.setdefault("row", np.arange(rows))
        self.data.setdefault("key", np.arange(rows, dtype=np.uint64))
        self.data.setdefault("tokens", np.ones(rows, np.int64))
        self.data.setdefault("bytes", np.ones(rows, np.int64))
        self.data.setdefault("domain", np.zeros(rows, np.int32))
        self.data["key"] = self.data["key"].astype(np.uint64)
        self.edges = np.linspace(0, rows, blocks + 1).astype(int)
        self.domains = domains or ["(all)"]
        self.n_rows = rows
        self.totals = {"rows": rows} | {name: int(self.data[name].sum()) for name in ("tokens", "bytes")}

    def blocks(self, *names: str) -> Iterator[dict[str, Any]]:
        wanted = names or tuple(self.data)
        for low, high in zip(self.edges[:-1], self.edges[1:], strict=True):
            yield {name: self.data[name][low:high] for name in wanted}

    def taken(self, decision: Any) -> Any:
        """The decision's repeats for all rows, read with the columns that it says it needs."""
        return np.concatenate([decision.repeats(block) for block in self.blocks(*decision.needs)])
