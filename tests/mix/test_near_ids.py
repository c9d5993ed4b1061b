"""A column of sources that is nearly an id is named as such, with columns that group the pool."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import cuvee
from cuvee.engine.columns import MOST_DOMAINS, NOT_TOLD_APART
from cuvee.engine.run import Engine
from cuvee.engine.store import Store
from cuvee.errors import DataError
from cuvee.mix.base import Sources
from cuvee.mixing import check_sources, count_sources
from cuvee.near_ids import hints
from cuvee.pool import Reading, open_stage
from tests.command import cuvee as run


def rows(number: int, alone: int) -> list[dict[str, Any]]:
    """``number`` documents, ``alone`` of which have a source of their own."""
    return [
        {
            "text": f"a text, the {at}th of the pool", "id": f"i{at}",
            "source": f"page {at}" if at < alone else f"site {at % 3}",
            "domain": ("web", "code", "books")[at % 3], "licence": ("free", "not free")[at % 2], "year": 2000 + at % 5,
            "hash": f"{at:x}", "constant": "same",
        }
        for at in range(number)
    ]  # fmt: skip


def written(place: Path, form: str, content: list[dict[str, Any]]) -> Path:
    path = place / f"pool.{form}"
    if form == "jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in content))
    elif form == "parquet":
        pq.write_table(pa.Table.from_pylist(content), path, row_group_size=64)
    else:
        head = ",".join(content[0])
        lines = [",".join(f'"{value}"' for value in row.values()) for row in content]
        path.write_text("\n".join([head, *lines]) + "\n")
    return path


@pytest.mark.parametrize("form", ["jsonl", "parquet", "csv"])
def test_better_columns_are_named(tmp_path: Path, form: str) -> None:
    path = written(tmp_path, form, rows(400, 300))
    reading = cuvee.Reading(domain="source")
    found = cuvee.mix_sources(path, reading=reading, output=tmp_path / "mix", cache=tmp_path / "cache").summary
    first = found["warnings"][0]
    assert first.startswith("The column 'source' is nearly an id: 303 sources, of which 300 have a single document.")
    assert "--by licence (2 values), domain (3 values)" in first
    assert not any(name in first for name in ("hash", "constant", "'id'", "text"))


def test_where_nothing_groups(tmp_path: Path) -> None:
    content = [{"text": row["text"], "id": row["id"], "source": row["source"]} for row in rows(200, 200)]
    path = written(tmp_path, "jsonl", content)
    found = cuvee.mix_sources(path, reading=cuvee.Reading(domain="source"), output=tmp_path / "mix").summary
    assert found["warnings"][0].endswith("Name a coarser one with --by.")


def test_more_values_than_can_be_told_apart(tmp_path: Path) -> None:
    """Named by the user or found by convention: mix and select say which columns would do, and never "one domain"."""
    content = [
        {"text": row["text"], "domain": row["source"], "kind": row["domain"]} for row in rows(MOST_DOMAINS + 1, 10_000)
    ]
    path, cache = written(tmp_path, "jsonl", content), tmp_path / "cache"
    told = "The domain column 'domain' has 5,001 different values; at most 5,000 can be told apart. Name a column "
    told += "that groups the pool with --domain: kind (3 values); or leave it out with --domain none."
    for named in (None, "domain"):
        with pytest.raises(DataError) as met:
            cuvee.mix_sources(path, reading=cuvee.Reading(domain=named), output=tmp_path / "mix", cache=cache)
        assert str(met.value) == told
    command = ("select", path, "--with", "random", "--rows", "5", "--domain", "domain", "-o", tmp_path / "out")
    assert told in run(*command, "--cache", cache).error()
    held = tmp_path / "held.jsonl"
    held.write_text("".join(f'{{"text": "example {at} of what no row of the pool says"}}\n' for at in range(8)))
    for verb in ("search", "utilities"):
        command = ("mix", verb, path, "--eval", held, "--quiet", "-o", tmp_path / verb)
        assert told in run(*command, "--cache", cache).error()
    alone = written(tmp_path, "csv", [{"text": row["text"], "domain": row["domain"]} for row in content])
    with pytest.raises(DataError, match="Name a coarser one with --domain, or leave it out"):
        cuvee.mix_sources(alone, output=tmp_path / "mix", cache=cache)
    with pytest.raises(DataError, match="more than 5,000 different values, which cannot be told apart as sources"):
        check_sources(Sources((NOT_TOLD_APART,), np.array([9]), np.array([9])), "domain")


@pytest.mark.parametrize(("number", "alone"), [(400, 100), (40, 40)])
def test_other_columns_are_left_in_peace(tmp_path: Path, number: int, alone: int) -> None:
    """Most sources have several documents, or there are few sources."""
    content = rows(number, alone) + [
        {**row, "id": f"again {row['id']}"} for row in rows(number, alone if alone > 50 else 0)
    ]
    store = Store(tmp_path / "cache")
    opened = open_stage(written(tmp_path, "jsonl", content), Reading(domain="source"), store)
    sources = count_sources(Engine(opened.stage, None, store).columns())
    assert hints(opened.stage, sources, "source") == []
