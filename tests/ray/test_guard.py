"""``cuvee guard`` on a Ray cluster: the same clusters as on one machine, whatever dies on the way."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from ray.cluster_utils import Cluster

from cuvee import edits
from cuvee.engine import group, manifest
from cuvee.near_duplicates import guard

from ..test_near_duplicates import clusters_of, documents
from .conftest import Disturbed, die


@pytest.mark.parametrize("asked", [{}, {"edit": 0.8}, {"duplicates": "exact"}], ids=["near", "edit", "exact"])
def test_same_bits(cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: dict[str, Any]) -> None:
    monkeypatch.setattr(manifest, "CHUNK_ROWS", 16)
    monkeypatch.setattr(manifest, "SPAN_BYTES", (1, 1))
    monkeypatch.setattr(group, "TASK_ROWS", 60)
    texts = documents(20)
    pq.write_table(pa.table({"text": texts}), tmp_path / "pool.parquet", row_group_size=16)
    monkeypatch.setattr(edits, "RANGE_UNITS", 4_000)
    here = guard(tmp_path / "pool.parquet", output=tmp_path / "here", cache=tmp_path / "one", workers=1, **asked)
    (tmp_path / "marks").mkdir()
    there = guard(
        tmp_path / "pool.parquet",
        output=tmp_path / "there",
        cache=tmp_path / "two",
        executor=Disturbed(tmp_path / "marks", die),
        **asked,
    )
    assert there.digest == here.digest
    assert clusters_of(there) == clusters_of(here) != {}
