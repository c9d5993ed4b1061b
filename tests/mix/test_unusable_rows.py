"""Rows that cannot be used: refused with their place, or counted and named, by every command that mixes a pool; and a
source that has no others is named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import cuvee
from cuvee.checks import lost_sources
from cuvee.engine.run import Engine
from cuvee.engine.store import Store
from cuvee.pool import Reading, open_stage
from tests.command import cuvee as run

ROWS = [
    *({"text": f"web text number {at} of the pool", "domain": "web", "id": f"w{at}"} for at in range(30)),
    *({"text": f"code text number {at} of it", "domain": "code", "id": f"c{at}"} for at in range(20)),
    *({"text": "", "domain": "jargon", "id": f"j{at}"} for at in range(5)),
    {"text": "", "domain": "web", "id": "empty"},
]


@pytest.fixture(params=["jsonl", "parquet", "csv"])
def pool(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / f"pool.{request.param}"
    if request.param == "jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    elif request.param == "parquet":
        pq.write_table(pa.Table.from_pylist(ROWS), path, row_group_size=7)
    else:
        path.write_text("text,domain,id\n" + "".join(",".join(row.values()) + "\n" for row in ROWS))
    return path


def test_sources_without_a_usable_row_are_found(pool: Path, tmp_path: Path) -> None:
    store = Store(tmp_path / "cache")
    opened = open_stage(pool, Reading(skip_bad=True), store)
    engine = Engine(opened.stage, None, store)
    columns = engine.columns(domain_by_convention=True)
    assert columns.rejected == 6
    assert lost_sources(engine, columns) == ["jargon"]


def test_a_mix_refuses_them_or_names_them(pool: Path, tmp_path: Path) -> None:
    place = ["mix", pool, "--by", "domain", "--cache", tmp_path / "cache", "-o", tmp_path / "mix"]
    answer = run(*place)
    assert answer.status == 3
    said = answer.error()
    assert "6 of 56 rows" in said and f"{pool.name}:" in said and "empty text" in said and "--skip-bad" in said
    assert "The source 'jargon' has no usable row." in said
    answer = run(*place, "--skip-bad")
    shown = " ".join(" ".join(answer.screen()).split())
    assert "source 'jargon' has no usable row" in shown and "6 of 56 rows could not be used and do not count" in shown
    found = json.loads((tmp_path / "mix" / "mix.json").read_text())
    assert found["rejects"]["count"] == 6 == len((tmp_path / "mix" / "rejects.jsonl").read_text().splitlines())
    answer = run(*place, "--skip-bad", "--weights", "web=0.5,jargon=0.5")
    assert answer.status == 3 and "The source 'jargon' has no usable row." in answer.error()
    assert "'books'" in run(*place, "--skip-bad", "--weights", "web=0.5,books=0.5").error()


def searched(pool: Path, **asked: Any) -> cuvee.Searched:
    folder = pool.parent
    held = folder / "held.jsonl"
    held.write_text("".join(json.dumps({"text": f"held-out document {at} of the web"}) + "\n" for at in range(8)))
    return cuvee.search_mix(
        pool, evaluations={"held": held}, runs=12, seeds=0, proxy="ngram:table_bits=12,order=2", resample=20,
        ledger=folder / "ledger", cache=folder / "cache", output=folder / "search", overlap="ignore", **asked,
    )  # fmt: skip


@pytest.mark.parametrize("pool", ["jsonl"], indirect=True)
def test_a_search_refuses_them_or_names_them(pool: Path) -> None:
    with pytest.raises(cuvee.DataError, match=r"6 of 56 rows .*'jargon' has no usable row.*--skip-bad"):
        searched(pool)
    found = searched(pool, reading=Reading(skip_bad=True)).summary
    assert found["counts"]["rejected"] == 6 and found["counts"]["rows"] == 56
    assert found["rejects"]["by_reason"] == {"empty text": 6}
    told = " ".join(found["warnings"])
    assert "'jargon' has no usable row" in told and "6 of 56 rows could not be used" in told
    page = (pool.parent / "search" / "report.html").read_text()
    assert "Rejected rows" in page and "6 rows of 56" in page


@pytest.mark.parametrize("pool", ["jsonl"], indirect=True)
def test_a_training_refuses_them_or_names_them(pool: Path, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    ask = ["pretrain", pool, "--proxy", "transformer:context=32,batch=8", "--cache", tmp_path / "cache"]
    ask += ["-o", tmp_path / "model.safetensors"]
    for more in ([], ["--plan"]):
        answer = run(*ask, *more)
        assert answer.status == 3 and "6 of 56 rows" in answer.error() and "counted and listed" in answer.error()
    shown = " ".join(" ".join(run(*ask, "--skip-bad").screen()).split())
    assert "6 of 56 rows could not be used and do not count" in shown and "'jargon' has no usable row" in shown
