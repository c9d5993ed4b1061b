"""Searching QuaDMix's sampler: settings, copies, runs of equal size, and the way from a pool to a selection."""

from __future__ import annotations

import json
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import cuvee
from cuvee import searching
from cuvee.core import Runs
from cuvee.errors import CuveeError, UsageError
from cuvee.fold.quality_ranks import Ranks
from cuvee.law.judge import spearman
from cuvee.law.regmix import RegMix
from cuvee.report.search import render
from cuvee.search import wording
from cuvee.search.quality import Effects, Rated, Space, copies
from cuvee.search.surface import Surface, settings_of
from tests.command import cuvee as run

SMALL = "ngram:table_bits=16,order=3"
NAMES = ("code-python", "fiction", "speech")


def test_settings_are_those_of_the_papers_algorithm() -> None:
    space = Space(("a", "b", "c"), ("x", "y"), 0.1)
    points = space.draw(2_000, 3)
    assert points.shape == (2_000, space.width) == (2_000, 14)
    assert np.array_equal(points, space.draw(2_000, 3)) and not np.array_equal(points, space.draw(2_000, 4))
    samplers = [space.sampler(one) for one in points]
    alpha = np.stack([one.alpha for one in samplers])
    assert np.allclose(alpha.sum(axis=2), 1) and alpha.min() > 0
    shared = [np.corrcoef(alpha[:, 0, n], alpha[:, 1, n])[0, 1] for n in range(3)]
    assert min(shared) > 0.3  # the part that all domains share
    for name, low, high in (("steepness", 1, 1000), ("threshold", 0, 0.1), ("power", 0, 1), ("floor", 0, 1e-3)):
        values = np.stack([getattr(one, name) for one in samplers])
        assert low <= values.min() < low + 0.02 * (high - low) and 0.98 * high < values.max() <= high
    assert abs(np.median(np.log10([one.steepness[0] for one in samplers])) - 1.5) < 0.1


def test_copies_make_the_amount_within_the_limit() -> None:
    tokens = np.array([10, 10, 10, 10])
    value = np.array([0.0, 1.0, 2.0, 4.0])
    assert copies(value, tokens, 35, 4).tolist() == [0, 0.5, 1, 2]
    assert copies(value, tokens, 70, 3).tolist() == pytest.approx([0, 4 / 3, 8 / 3, 3])
    assert copies(value, tokens, 1e6, 3).tolist() == [0, 3, 3, 3]
    chance = np.random.default_rng(0)
    value, tokens = np.exp(chance.normal(0, 3, 500)), chance.integers(1, 90, 500)
    found = copies(value, tokens, float(tokens.sum()), 4)
    assert found @ tokens == pytest.approx(tokens.sum()) and found.max() == 4
    below = found < 4
    assert np.ptp(found[below] / value[below]) < 1e-9 and (value[~below].min() >= value[below].max())


def rated(n: int = 300, seed: int = 0) -> Rated:
    chance = np.random.default_rng(seed)
    rows: dict[str, Any] = {
        "row": np.arange(n),
        "key": chance.integers(0, 2**63, n).astype(np.uint64),
        "content": chance.integers(0, 2**63, n).astype(np.uint64),
        "tokens": chance.integers(1, 50, n),
        "domain": chance.integers(0, 3, n).astype(np.int32),
    }
    rows["bytes"] = 4 * rows["tokens"]
    scores = np.round(chance.normal(0, 1, (n, 2)), 1)  # with ties
    return Rated(rows, (scores - scores.mean(axis=0)) / scores.std(axis=0), scores.mean(axis=0), scores.std(axis=0))


def test_effects_of_the_whole_pool_are_what_the_sampler_does() -> None:
    """Shares, quality and fresh text as computed row by row; ties share their rank in both."""
    pool, space = rated(), Space(("a", "b"), ("x", "y", "z"), 0.5)
    points = space.draw(7, 0)
    found = Effects.of(pool, 3, 0.4, 2.0, 0).features(space, points)
    for point, row in zip(points, found, strict=True):
        taken = copies(pool.values(space.sampler(point)), pool.rows["tokens"], 0.4 * pool.rows["tokens"].sum(), 2.0)
        spent = taken * pool.rows["tokens"]
        share = np.bincount(pool.rows["domain"], weights=spent) / spent.sum()
        assert np.allclose(row[:3], np.sqrt(share))
        for at in range(3):
            own = pool.rows["domain"] == at
            assert np.allclose(row[3 + 2 * at : 5 + 2 * at], (spent[own, None] * pool.scores[own]).sum(0) / spent.sum())
        assert row[-1] == pytest.approx((np.minimum(taken, 1) * pool.rows["tokens"]).sum() / spent.sum())


def test_ranks_of_a_setting_are_by_domain() -> None:
    pool, space = rated(), Space(("a", "b"), ("x", "y", "z"), 1.0)
    sampler = space.sampler(space.draw(1, 1)[0])
    merged, domain = sampler.merged(pool.scores, pool.rows["domain"]), pool.rows["domain"]
    rank = Ranks.of(merged, pool.rows["tokens"], domain, 3).rank(merged, domain)
    for at in range(3):
        own = np.flatnonzero(domain == at)
        best = own[merged[own].argmax()]
        tied = merged[own] == merged[best]
        held = pool.rows["tokens"][own]
        assert rank[best] == pytest.approx(held[tied].sum() / held.sum()) and rank[own].max() == pytest.approx(1)


@pytest.mark.parametrize("model", ["linear", "lightgbm"])
def test_a_planted_surface_is_found(model: str) -> None:
    """Loss is a bowl in two of six numbers: new points are ranked right, and the penalty is not the largest."""
    if model == "lightgbm":
        pytest.importorskip("lightgbm")
    chance = np.random.default_rng(0)
    x, new = chance.random((120, 6)), chance.random((300, 6))

    def loss(points: np.ndarray) -> np.ndarray:
        return (points[:, 1] - 0.4) ** 2 + 2 * (points[:, 4] - 0.9) ** 2

    runs = Runs(settings_of(x), loss(x) + chance.normal(0, 0.02, 120), np.arange(120))
    fitted = Surface(RegMix(model=model)).fit(runs)
    assert spearman(fitted.at(settings_of(new)), loss(new)) > (0.97 if model == "linear" else 0.75)
    nothing = replace(runs, outcome=chance.normal(0, 1, 120))
    blank = Surface(RegMix(model="linear")).fit(nothing)
    assert np.ptp(blank.at(settings_of(new))) < 1.0  # noise is not followed


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, demo_table: pa.Table) -> Path:
    """A pool of which half is spoiled, with a score that knows it and one that does not."""
    folder = tmp_path_factory.mktemp("quality")
    domain = np.array(demo_table.column("domain").to_pylist())
    chance = np.random.default_rng(0)
    rows = np.concatenate([np.flatnonzero(domain == name)[:160] for name in NAMES])
    held = np.concatenate([np.flatnonzero(domain == name)[::-1][:12] for name in NAMES])
    texts = demo_table.column("text").take(pa.array(rows)).to_pylist()
    bad = chance.random(len(rows)) < 0.5
    spoiled = ["".join(chance.permutation(list(text))) if one else text for text, one in zip(texts, bad, strict=True)]
    ids = [f"r{at}" for at in range(len(rows))]
    table = pa.table({"id": ids, "text": spoiled, "domain": domain[rows].tolist()})
    pq.write_table(table, folder / "pool.parquet", row_group_size=100)
    pq.write_table(table.slice(0, 200), folder / "cut-1.parquet")
    pq.write_table(table.slice(200), folder / "cut-2.parquet")
    pq.write_table(demo_table.take(pa.array(held)), folder / "held.parquet")
    good = np.where(bad, 0.0, 1.0) + chance.normal(0, 0.2, len(rows))
    scores = pa.table({"id": ids[::-1], "good": good[::-1], "blind": chance.normal(0, 1, len(rows))})
    pq.write_table(scores, folder / "scores.parquet")
    pq.write_table(scores.slice(40), folder / "some.parquet")
    pq.write_table(scores.set_column(1, "good", pa.array(np.ones(len(rows)))), folder / "flat.parquet")
    (folder / "bad.json").write_text(json.dumps(np.flatnonzero(bad).tolist()))
    return folder


def search(place: Path, name: str, scores: str = "scores", **asked: Any) -> searching.Searched:
    given: dict[str, Any] = {
        "evaluations": {"held": place / "held.parquet"},
        "over": f"quadmix:ratings={place / scores}.parquet,criteria=good/blind",
        "runs": 28, "seeds": 3, "proxy": SMALL, "tokens": 20_000, "run_tokens": 20_000, "resample": 20, "workers": 2,
        "ledger": place / "ledger", "output": place / name, "cache": place / "cache",
    }  # fmt: skip
    return cuvee.search_mix(asked.pop("pool", place / "pool.parquet"), **{**given, **asked})


@pytest.fixture(scope="module")
def first(place: Path) -> searching.Searched:
    return search(place, "first")


def test_good_text_is_found_by_the_score_that_knows_it(first: searching.Searched, place: Path) -> None:
    found = first.summary
    told = {one["against"]: one for one in found["comparisons"] if one["primary"]}
    assert set(told) >= {"proportional", "uniform"}
    assert told["proportional"]["mean"] < -0.05 and told["uniform"]["mean"] < -0.05  # three seeds: wide intervals
    assert sum(first.weights.values()) == pytest.approx(1)
    told = found["sampler"]
    assert told["criteria"] == ["good", "blind"] and set(told["domains"]) == set(NAMES)
    assert found["caution"] is None and found["surface"] is None and found["law"]["name"] == "regmix"
    told = {one["name"]: one for one in found["mixtures"]}
    assert set(told) >= {"proportional", "uniform", "plain", "mixture 1"}
    assert [name for name, one in told.items() if one["predicted"] is None] == ["proportional", "uniform"]
    assert sum(one["tokens"] for one in found["proposal"]) == found["tokens"] == 20_000
    assert all(one["low"] <= one["weight"] <= one["high"] for one in found["proposal"])
    screen = searching.lines(first)
    assert len(screen) <= 24 and any("proposal" in line for line in screen)
    page = (first.folder / "report.html").read_text()
    assert "What the sampler does" in page and "<script" not in page


def test_the_sampler_is_applied_by_select(first: searching.Searched, place: Path, tmp_path: Path) -> None:
    """By the next command; what is kept is good text, and a trainer's weights are refused."""

    def after(**verdicts: str) -> str:
        told = [{**one, "verdict": verdicts.get(one["against"], "better")} for one in first.summary["comparisons"]]
        pool = [str(place / "pool.parquet")]
        return wording.next_command({**first.summary, "comparisons": told}, str(first.folder), pool, "cuvee x --runs 9")

    assert "--with random --tokens 20000" in after(proportional="worse")
    assert "--quota uniform" in after(uniform="worse")
    assert after(**{"best run": "worse"}) == "cuvee x --runs 56"
    answer = run(*shlex.split(after())[1:], "-o", tmp_path / "kept", "--cache", place / "cache", "-q")
    assert answer.status == 0, answer.err
    kept = pq.read_table(tmp_path / "kept" / "selection.parquet")
    bad = set(json.loads((place / "bad.json").read_text()))
    tokens, times = (np.array(kept.column(name)) for name in ("tokens", "weight"))
    spoiled = np.isin(kept.column("row").to_numpy(), list(bad))
    assert (tokens * times)[spoiled].sum() < 0.2 * (tokens * times).sum() <= 0.2 * 20_000
    refused = run("mix", "export", first.folder, "--to", "megatron", "-o", tmp_path / "megatron")
    assert refused.status == 2 and "found a sampler by quality" in refused.err


def test_the_same_bits_however_the_pool_is_cut(first: searching.Searched, place: Path, tmp_path: Path) -> None:
    """Another ledger, one worker, two files."""
    other = search(
        place, "cut", pool=[place / "cut-1.parquet", place / "cut-2.parquet"], workers=1, ledger=tmp_path / "ledger"
    )
    for name in ("proposal", "comparisons", "mixtures", "confidence", "sampler"):
        assert other.summary[name] == first.summary[name]
    assert other.summary["reproduce"]["digest"] == first.summary["reproduce"]["digest"]


def test_rows_without_scores_are_left_out_and_counted(place: Path) -> None:
    found = search(place, "some", "some", seeds=0, runs=8)
    assert any("40 of 480 documents are not rated" in one for one in found.summary["warnings"])
    assert sum(one["documents"] for one in found.summary["proposal"]) == 440
    assert "The plain sampler is proposed; it is not tried" in found.summary["verdict"]  # eight runs say nothing


def test_every_field_is_explained(first: searching.Searched) -> None:
    page = (Path(__file__).parents[2] / "docs" / "mix.md").read_text("utf-8")
    assert "`sampler`" in page
    for field in [*first.summary["sampler"], *next(iter(first.summary["sampler"]["domains"].values()))]:
        assert f"`{field}`" in page, field


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"over": "samplemix"}, "--over takes quadmix"),
        ({"over": "quadmix"}, "needs ratings=FILE"),
        ({"over": "quadmix:ratings=x,criteria=a/a"}, "names a column twice"),
        ({"over": "quadmix:ratings=x,threshold=2"}, "from 0 to 1"),
        ({"over": "quadmix:ratings=nowhere.parquet"}, "cannot read nowhere.parquet"),
        ({"law": "optimal_mixtures"}, "its law is a regression"),
        ({"iterations": 2}, "has one round"),
        ({"passes": 2.5}, "whole copies of rows"),
        ({"scores": "flat"}, "'good' is the same for all rows"),
        ({"tokens": 10**9}, "--passes 4 allow at most"),
    ],
)
def test_what_cannot_be_answered_is_said(place: Path, asked: dict[str, Any], said: str) -> None:
    with pytest.raises(CuveeError, match=said):
        search(place, "refused", **asked)
    assert not (place / "refused" / "search.json").exists()


def test_a_plan_says_what_is_searched(place: Path) -> None:
    answer = run(
        "mix", "search", place / "pool.parquet", "-e", place / "held.parquet", "--over",
        f"quadmix:ratings={place / 'scores.parquet'},criteria=good/blind", "--plan", "--tokens", "20k",
        "--cache", place / "cache", "--ledger", place / "ledger", "-o", place / "planned",
    )  # fmt: skip
    assert answer.status == 0 and "samplers of good, blind: 18 parameters" in answer.out
    with pytest.raises(UsageError, match="--over takes"):
        searching.plan(place / "pool.parquet", evaluations=str(place / "held.parquet"), over="other")


def test_a_report_of_a_broken_sampler() -> None:
    broken = {"sampler": {"criteria": ["<script>"], "domains": {"<img src=x>": {"alpha": "x"}, "y": 3}}}
    page = render(broken)
    assert "<script>" not in page and "<img" not in page and "img src" in page
