"""Methods on vectors from the command's point of view: one digest for any number of workers and any cut into files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import cuvee
from cuvee.engine import manifest
from cuvee.errors import DataError
from cuvee.feature.static_embedding import StaticEmbedding
from tests.conftest import DEMO

JOBS: list[tuple[str, dict[str, Any], str | None]] = [
    ("embedding", {}, None),
    ("embedding", {"whiten": "zipfian"}, "k_center"),
    ("embedding", {"whiten": "plain"}, "herding"),
    ("embedding", {"source": "lsa"}, "volume"),
    ("clusters", {"k": 12}, None),
    ("rds_plus", {}, None),
    ("gotd", {}, None),
    ("tarot", {"ridge": 1e-4}, None),
    ("snp", {"k": 12, "dimensions": 8}, None),
    ("leverage", {"kind": "lewis", "iterations": 3}, None),
    ("rds_plus", {"rule": "max"}, "simans"),
]


@pytest.fixture(scope="module")
def pools(tmp_path_factory: pytest.TempPathFactory, demo_table: pa.Table) -> tuple[Path, Path]:
    """The same 400 rows in one file, and in three of other compression and row groups."""
    folder = tmp_path_factory.mktemp("pools")
    table = demo_table.take(np.linspace(0, demo_table.num_rows - 1, 400).astype(np.int64))
    pq.write_table(table, folder / "whole.parquet", row_group_size=90)
    parts = folder / "parts"
    parts.mkdir()
    for number, (low, high) in enumerate([(0, 57), (57, 300), (300, 400)]):
        pq.write_table(table.slice(low, high - low), parts / f"{number}.parquet", compression="gzip", row_group_size=31)
    return folder / "whole.parquet", parts


@pytest.fixture
def many_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small chunks, so that a small pool has many of them, and spans of a chunk or two."""
    monkeypatch.setattr(manifest, "CHUNK_ROWS", 64)
    monkeypatch.setattr(manifest, "SPAN_BYTES", (1, 1))


@pytest.mark.usefixtures("many_chunks")
@pytest.mark.parametrize(("method", "settings", "rule"), JOBS, ids=[f"{m}-{r or 'own'}" for m, _, r in JOBS])
def test_one_digest(pools: tuple[Path, Path], tmp_path: Path, method: str, settings: dict[str, Any], rule: Any) -> None:
    digests = []
    for at, (pool, workers) in enumerate([(pools[0], 1), (pools[1], 3)]):
        target = DEMO / "target.jsonl" if method in ("rds_plus", "gotd", "tarot", "snp") else None
        found = cuvee.select(
            pool,
            target=target,
            method=method,
            settings=settings,
            choose=rule,
            tokens=20_000,
            output=tmp_path / str(at),
            cache=tmp_path / f"cache{at}",
            workers=workers,
        )
        digests.append(found.digest)
        rows = pq.read_table(tmp_path / str(at) / "selection.parquet", columns=["tokens", "weight"]).to_pylist()
        kept = sum(row["tokens"] * row["weight"] for row in rows)
        assert 0 < kept <= (20_000 if method != "leverage" else 30_000)
    assert digests[0] == digests[1]


def test_given_vectors_are_those_that_count(pools: tuple[Path, Path], tmp_path: Path) -> None:
    """The same vectors as a column give the same choice as making them; a target without any is refused."""
    table = pq.read_table(pools[0])
    from cuvee.examples import as_batch

    vectors = StaticEmbedding().vectors(as_batch([text.encode() for text in table["text"].to_pylist()]))
    column = pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), vectors.shape[1])
    given = tmp_path / "given.parquet"
    pq.write_table(table.append_column("embedding", column), given)
    digests = [
        cuvee.select(pool, method="embedding", choose="k_center", rows=40, output=tmp_path / name).digest
        for pool, name in ((pools[0], "made"), (given, "read"))
    ]
    assert digests[0] == digests[1]
    with pytest.raises(DataError, match="embedding"):
        cuvee.select(
            given,
            target=DEMO / "target.jsonl",
            method="rds_plus",
            settings={"source": "given"},
            rows=9,
            output=tmp_path / "no",
        )
