"""A plan of a search says what the search would say: what stops it, what it warns of, and how long it takes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import cuvee
from cuvee import searching
from cuvee.errors import DataError

NAMES = ("code-python", "fiction", "speech")
SMALL = "ngram:table_bits=16,order=3"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, demo_table: pa.Table) -> Path:
    """A pool of three sources, and one to which a fourth of short and long documents is added; held-out documents."""
    folder = tmp_path_factory.mktemp("foresight")
    domain = np.array(demo_table.column("domain").to_pylist())
    rows = {name: np.flatnonzero(domain == name) for name in NAMES}
    part = demo_table.take(pa.array(np.concatenate([rows[name][:60] for name in NAMES]))).select(["text", "domain"])
    pq.write_table(part, folder / "pool.parquet")
    pq.write_table(
        demo_table.take(pa.array(np.concatenate([one[-10:] for one in rows.values()]))), folder / "held.parquet"
    )
    texts = [f"{at} and so it goes on. " * (20 if at % 2 else 300) for at in range(6)]
    pq.write_table(pa.concat_tables([part, pa.table({"text": texts, "domain": ["rare"] * 6})]), folder / "rare.parquet")
    return folder


def asked(place: Path, folder: Path, pool: str = "pool", **more: Any) -> dict[str, Any]:
    given: dict[str, Any] = {"pool": place / f"{pool}.parquet", "evaluations": {"held": place / "held.parquet"}}
    given |= {"runs": 12, "seeds": 6, "proxy": SMALL, "run_tokens": 20_000, "ledger": folder / "ledger", "workers": 2}
    return given | {"output": folder / "out", "cache": place / "cache", "resample": 20, "overlap": "ignore"} | more


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"proxy": "ngram:table_bits=12,order=4"}, "% full, so its counts are mostly collisions"),
        ({"run_tokens": 600}, "less than a document"),
    ],
)
def test_what_would_stop_it(place: Path, tmp_path: Path, more: dict[str, Any], said: str) -> None:
    given = asked(place, tmp_path, **more)
    with pytest.raises(DataError, match=said) as foreseen:
        searching.plan(**given)
    with pytest.raises(DataError, match=said) as met:
        cuvee.search_mix(**given)
    assert str(foreseen.value).partition("full")[2] == str(met.value).partition("full")[2]
    assert not (tmp_path / "out").exists()


def test_stocks_of_the_trial_are_looked_into_before_the_swarm_is_trained(place: Path, tmp_path: Path) -> None:
    """A rare source has a document at the swarm's seeds and none at one of the trial's: no run is for nothing."""
    given = asked(place, tmp_path, "rare", run_tokens=5_000)

    def planned(seed: int, seeds: int) -> str:
        try:
            searching.plan(**{**given, "seed": seed, "seeds": seeds})
        except DataError as error:
            return str(error)
        return ""

    seed = next(seed for seed in range(20) if not planned(seed, 0) and "of 'rare' to go through" in planned(seed, 6))
    with pytest.raises(DataError, match="less than a document"):
        cuvee.search_mix(**{**given, "seed": seed})
    assert not list((tmp_path / "ledger").rglob("*.parquet"))


def test_sources_that_are_gone_are_named(place: Path, tmp_path: Path) -> None:
    weights = {"code-python": 0.4, "speech": 0.3, "rare": 0.3}
    cuvee.mix_sources(
        place / "rare.parquet", weights=weights, tokens=4_000, output=tmp_path / "old", cache=place / "cache"
    )
    told = searching.plan(**asked(place, tmp_path, freeze=tmp_path / "old", changed=["fiction"]))
    assert any(one.startswith("No longer in the pool") and "rare" in one for one in told["warnings"])


def test_rows_left_out_and_the_time_are_told(place: Path, tmp_path: Path) -> None:
    table = pq.read_table(place / "pool.parquet")
    texts = table.column("text").to_pylist()
    texts[5] = None
    pq.write_table(table.set_column(0, "text", pa.array(texts)), tmp_path / "spoilt.parquet")
    given = asked(place, tmp_path, pool="pool", reading=cuvee.Reading(skip_bad=True))
    told = searching.plan(**{**given, "pool": tmp_path / "spoilt.parquet"})
    assert any("1 of 180 rows could not be used" in one for one in told["warnings"])
    assert told["time"].startswith("about ") and "ledger" not in told["time"]
    cuvee.search_mix(**{**given, "seeds": 0})
    again = searching.plan(**{**given, "seeds": 0})
    assert again["time"].startswith("no time for these: the ledger holds all of them")
    assert "warnings" not in again and json.dumps(again)
