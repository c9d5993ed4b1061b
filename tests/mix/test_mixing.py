"""``cuvee mix POOL``: whole tokens that add up, the screen, the files, and a sentence for every bad request."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import cuvee
from cuvee import mixing
from tests.command import cuvee as run


@pytest.fixture
def pool(tmp_path: Path) -> Path:
    """Three sources of 4,000, 1,000 and 100 tokens in a column called origin."""
    path = tmp_path / "pool.parquet"
    origin = ["web"] * 40 + ["code"] * 10 + ["<b>books\x1b[31m"] * 5
    tokens = [100] * 50 + [20] * 5
    texts = [f"text number {at}" for at in range(55)]
    pq.write_table(pa.table({"text": texts, "origin": origin, "n": tokens, "id": [str(i) for i in range(55)]}), path)
    return path


def mixed(pool: Path, **asked: Any) -> mixing.Mixed:
    return cuvee.mix_sources(
        pool, reading=cuvee.Reading(domain="origin", tokens="n"), output=pool.parent / "mix", **asked
    )


def test_numbers(pool: Path) -> None:
    found = mixed(pool, method="unimax", settings={"epochs": 4}, tokens=3_000)
    rows = {one["name"]: one for one in found.summary["sources"]}
    assert rows["<b>books\x1b[31m"]["tokens"] == 400 and rows["<b>books\x1b[31m"]["passes"] == 4
    assert rows["web"]["tokens"] == rows["code"]["tokens"] == 1300
    assert rows["web"]["proportional"] == pytest.approx(4000 / 5100, abs=1e-3)
    assert sum(one["tokens"] for one in rows.values()) == 3_000 == found.summary["planned"]
    assert sum(found.weights.values()) == pytest.approx(1, abs=1e-12)
    assert rows["code"]["uniform_passes"] == pytest.approx(1.0)
    assert json.loads((found.folder / "mix.json").read_text())["seal"]


def test_the_default_is_one_pass_worth_of_tokens(pool: Path) -> None:
    assert mixed(pool, method="proportional").summary["planned"] == 5_100


def test_passes_bound_any_mix_and_the_shortfall_is_said(pool: Path) -> None:
    found = mixed(pool, method="uniform", tokens=3_000, passes=2)
    rows = {one["name"]: one for one in found.summary["sources"]}
    assert rows["<b>books\x1b[31m"]["tokens"] == 200 and rows["web"]["tokens"] == 1_400
    assert rows["<b>books\x1b[31m"]["loss_weight"] == pytest.approx(5.0)
    assert sum(one["loss_weight"] * one["weight"] for one in rows.values()) == pytest.approx(1.0)
    short = mixed(pool, method="uniform", tokens=20_000, passes=2)
    assert short.summary["planned"] == 10_200 and short.summary["shortfall"] == 9_800
    assert "9,800 are missing" in " ".join(short.summary["warnings"])


def test_losses_are_not_weighted_beyond_reason_nor_without_a_bound(pool: Path) -> None:
    found = mixed(pool, method="uniform", tokens=3_000, passes=0.5)
    weights = {one["name"]: one["loss_weight"] for one in found.summary["sources"]}
    assert weights["<b>books\x1b[31m"] == 10.0 > weights["code"] > weights["web"]
    assert {one["loss_weight"] for one in mixed(pool, method="uniform", tokens=3_000).summary["sources"]} == {1.0}


def test_nothing_depends_on_workers_or_files(pool: Path, tmp_path: Path) -> None:
    table = pq.read_table(pool)
    (tmp_path / "cut").mkdir()
    for at in range(0, 55, 20):
        pq.write_table(table.slice(at, 20), tmp_path / "cut" / f"{at:02}.parquet")
    whole, cut = mixed(pool, tokens=777, workers=1), mixed(tmp_path / "cut", tokens=777, workers=2)
    assert whole.digest == cut.digest != mixed(pool, tokens=778).digest


def test_weights_are_exact(pool: Path) -> None:
    found = mixed(pool, weights={"web": "0.3", "code": "0.7"}, tokens=10)
    assert [one["tokens"] for one in found.summary["sources"]] == [0, 7, 3]
    # 0.5, 3.5 and 46 tokens: the tie goes to the first name, and doubles would give it to the second
    tied = {"<b>books\x1b[31m": "0.01", "code": "0.07", "web": "0.92"}
    assert [one["tokens"] for one in mixed(pool, weights=tied, tokens=50).summary["sources"]] == [1, 3, 46]
    assert "not used at all" in " ".join(found.summary["warnings"])


def test_screen(pool: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    out = Path("out")
    found = run("mix", pool, "--by", "origin", "--token-column", "n", "--with", "uniform", "--tokens", "9k", "-o", out)
    lines = found.screen()
    assert lines[0].startswith("9,000 tokens of 3 sources by uniform.")
    assert any("x 30" in line for line in lines) and any("(!)" in line and "many times" in line for line in lines)
    assert lines[-2] == "next: cuvee mix export out --to megatron"
    report = (out / "report.html").read_text()
    assert "<b>books" not in report and "&lt;b&gt;books" in report
    told = json.loads(run("mix", pool, "--by", "origin", "--tokens", "10", "-o", out, "--json").out)
    assert told["planned"] == 10


def test_an_empty_source_has_no_weight_and_is_named(tmp_path: Path) -> None:
    """Uniform gave it a third of the run, of nothing; so did the column beside every other mix."""
    table = {"text": ["a", "b", "c"], "origin": ["code", "empty", "web"], "n": [10, 0, 90], "id": ["0", "1", "2"]}
    pq.write_table(pa.table(table), tmp_path / "pool.parquet")
    found = mixed(tmp_path / "pool.parquet", method="uniform", tokens=100).summary
    assert [one["tokens"] for one in found["sources"]] == [50, 0, 50]
    assert "1 source not used at all: empty." in found["warnings"]
    beside = mixed(tmp_path / "pool.parquet", method="proportional", tokens=100).summary["sources"]
    assert [(one["uniform"], one["uniform_passes"]) for one in beside] == [(0.5, 5.0), (0.0, 0.0), (0.5, 50 / 90)]


def test_plan_writes_nothing(pool: Path, tmp_path: Path) -> None:
    found = run("mix", pool, "--by", "origin", "-o", tmp_path / "out", "--plan")
    assert "Unimax(epochs=4.0)" in found.out and not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["--by", "origin", "--weights", "web=0.5,code=0.4"], 2, "sum to 0.9"),
        (["--by", "origin", "--weights", "web=0.5,wiki=0.5"], 2, "No domain is called 'wiki'"),
        (["--by", "origin", "--weights", "web=half"], 2, "'web=half' is not a weight"),
        (["--by", "origin", "--weights", "web=1", "--with", "uniform"], 2, "not both"),
        (["--by", "origin", "--with", "unimx"], 2, "Did you mean unimax"),
        (["--by", "origin", "--with", "unimax:epochs=0"], 2, "epochs must be above 0"),
        (["--by", "origin", "--tokens", "0"], 2, "at least 1"),
        (["--by", "origin", "--passes", "0"], 2, "--passes must be a number above 0"),
        (["--by", "origin", "--domain", "id"], 2, "mean the same"),
        (["--domain", "none"], 2, "Name a column with --by"),
        (["--by", "nowhere"], 3, "nowhere"),
    ],
)
def test_bad_requests(pool: Path, tmp_path: Path, words: list[str], status: int, said: str) -> None:
    found = run("mix", pool, *words, "-o", tmp_path / "out")
    assert found.status == status and said in found.error()
    assert not (tmp_path / "out").exists()


def test_one_source_is_no_mix(pool: Path, tmp_path: Path) -> None:
    pq.write_table(pq.read_table(pool).slice(0, 10), tmp_path / "one.parquet")
    found = run("mix", tmp_path / "one.parquet", "--by", "origin", "-o", tmp_path / "out")
    assert found.status == 2 and "All rows have the same domain" in found.error()


def test_a_foreign_folder_is_left_alone(pool: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("x")
    found = run("mix", pool, "--by", "origin", "-o", tmp_path / "mine")
    assert found.status == 2 and (tmp_path / "mine" / "thesis.tex").read_text() == "x"


def test_weights_that_a_bound_changed_and_scaled_ones_are_said(pool: Path) -> None:
    found = mixed(pool, weights={"code": "0.9", "web": "0.1"}, tokens=4_000, passes=2).summary
    rows = {one["name"]: one for one in found["sources"]}
    assert rows["code"]["asked"] == pytest.approx(0.9) and rows["code"]["weight"] == pytest.approx(0.5)
    said = " ".join(found["warnings"])
    assert "not those asked for (code 50 % instead of 90 %): --passes 2 allows no more" in said
    held = mixed(pool, weights={"code": "0.5", "web": "0.5"}, tokens=4_000, passes=2).summary
    assert not any("asked for" in one or "scaled" in one for one in held["warnings"])
    third = mixed(pool, weights={"code": "0.333", "web": "0.666"}, tokens=3_000).summary
    assert any("sum to 0.999, which their rounding explains" in one for one in third["warnings"])
    assert {one["name"]: one["tokens"] for one in third["sources"] if one["tokens"]} == {"code": 1_000, "web": 2_000}


def test_no_weights_are_not_the_default(pool: Path, tmp_path: Path) -> None:
    found = run("mix", pool, "--by", "origin", "--weights", "", "-o", tmp_path / "out")
    assert found.status == 2 and "--weights names no domain" in found.err
