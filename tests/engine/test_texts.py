"""Texts of single rows, whole or cut."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from cuvee import Reading
from cuvee.engine.run import Engine
from cuvee.engine.store import Store
from cuvee.pool import open_stage


def test_texts_are_cut_where_asked(tmp_path: Path) -> None:
    """Neither inside a character nor before the limit by more than one."""
    texts = ["é" * at for at in range(1, 40)]
    pq.write_table(pa.table({"text": texts}), tmp_path / "pool.parquet", row_group_size=7)
    store = Store(tmp_path / "cache")
    engine = Engine(open_stage(tmp_path / "pool.parquet", Reading(), store).stage, None, store)
    assert engine.texts([38, 0, 8]) == [texts[at].encode() for at in (38, 0, 8)]
    assert [len(text) for text in engine.texts([38, 0, 7, 6], 15)] == [14, 2, 14, 14]
    assert engine.texts([38], 15)[0].decode() == "é" * 7
