"""Weights held while new sources are searched: parts and sources, what is refused, and a search as a whole."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import cuvee
from cuvee import searching
from cuvee.errors import CuveeError, DataError, UsageError
from cuvee.report.search import render
from cuvee.search import design
from cuvee.search.simplex import Frozen, Simplex
from cuvee.search.wording import BY_SIZE
from tests.command import cuvee as run

NAMES = ("a", "b", "c", "d")
TOKENS = np.array([600, 200, 100, 100])
SMALL = "ngram:table_bits=16,order=3"
DOMAINS = {"code-go": "code/go", "code-python": "code/python", "fiction": "prose/fiction", "speech": "prose/speech"}
WEIGHTS = {"code/python": 0.5, "prose/fiction": 0.3, "prose/speech": 0.2}


def held(**weights: float) -> Frozen:
    return Frozen("before", weights)


def test_parts_and_sources() -> None:
    """a and b keep 1 : 3, together one part beside c and d; what is held is as large as its tokens allow."""
    caps = np.array([1.0, 0.6, 0.4, 0.4])
    found = Simplex.of(NAMES, TOKENS, caps, frozen=held(a=0.2, b=0.6, e=0.2))
    assert found.names == ("2 held", "c", "d") and not found.whole
    assert found.told["sources"] == pytest.approx({"a": 0.25, "b": 0.75}) and found.told["gone"] == ["e"]
    assert found.caps == pytest.approx([0.8, 0.4, 0.4])  # b, three quarters of the part, is full at 0.6
    assert found.natural == pytest.approx([0.8, 0.1, 0.1])
    mixtures = found.swarm(12, 0)
    full = found.full(mixtures)
    np.testing.assert_allclose(full[:, 1], 3 * full[:, 0])
    np.testing.assert_allclose(full.sum(1), 1)
    assert (full <= caps + 1e-9).all() and len(mixtures) == 12
    np.testing.assert_allclose(found.parts(full), mixtures)
    every = np.concatenate([mixtures, np.stack(list(found.anchors().values()))])
    assert (np.abs(every[:, None] - every[None]).sum(2) + 9 * np.eye(len(every))).min() >= design.NEAR
    # one pass is where tokens of the part are gone through once on average: 1 / (1/16 / 600 + 9/16 / 200)
    assert found.sizes.tolist() == [round(1 / (0.0625 / 600 + 0.5625 / 200)), 100, 100]
    even = Simplex.of(NAMES, TOKENS, caps, frozen=held(a=0.6, b=0.2))
    assert even.sizes[0] == 800  # held as they are by size: one pass is all their tokens
    assert even.rivals[BY_SIZE] == pytest.approx(TOKENS / 1000)


def test_without_anything_held_parts_are_sources() -> None:
    found = Simplex.of(NAMES, TOKENS, np.ones(4))
    mixtures = np.random.default_rng(0).dirichlet(np.ones(4), 3)
    assert found.whole and found.full(mixtures) is mixtures and found.parts(mixtures) is mixtures
    known = np.stack(list(design.anchors(TOKENS / 1000, np.ones(4)).values()))
    assert np.array_equal(found.swarm(9, 5), design.swarm(TOKENS / 1000, np.ones(4), 9, 5, known))


def test_a_held_source_of_weight_0_is_never_drawn() -> None:
    found = Simplex.of(NAMES, TOKENS, np.array([1.0, 0.01, 1.0, 1.0]), frozen=held(a=0.5, b=0.0, c=0.5))
    assert found.names == ("3 held", "d") and found.caps[0] == 1.0
    assert (found.full(found.swarm(9, 0))[:, 1] == 0).all()
    assert found.natural == pytest.approx([7 / 8, 1 / 8])  # b's tokens are no part of it


def test_what_is_worth_a_warning() -> None:
    assert Simplex.of(NAMES, TOKENS, np.ones(4), frozen=held(a=0.5, b=0.5)).notes == []
    one = Simplex.of(NAMES, TOKENS, np.ones(4), frozen=held(a=0.5, x=0.3, y=0.2)).notes
    assert one[0].startswith("No longer in the pool, of 3 sources in before: x, y. The others")
    assert one[1] == "Of the pool's sources before knows 'a' alone, so nothing is held to another."
    assert Simplex.of(NAMES, TOKENS, np.ones(4)).notes == []


def test_a_source_with_the_name_of_the_part() -> None:
    names = ("2 held", "a", "b")
    found = Simplex.of(names, TOKENS[:3], np.ones(3), frozen=held(a=0.5, b=0.5))
    assert len(set(found.names)) == 2 and found.inside[1].tolist() == [1, 0, 0]


@pytest.mark.parametrize(
    ("frozen", "said"),
    [
        (held(x=0.5, y=0.5), "gives weights to none of the pool's unchanged sources"),
        (Frozen("before", {"a": 0.5, "x": 0.5}, ("a",)), "gives weights to none of the pool's unchanged sources"),
        (held(a=0.25, b=0.25, c=0.25, d=0.25), "knows all 4 sources of the pool and holds their weights"),
        (Frozen("before", {"a": 0.5, "x": 0.5}, ("x",)), "--changed names 'x', which is no source of the pool"),
        (held(a=0.0, b=0.0, x=1.0), "gives weight 0 to all sources that it shares with the pool"),
    ],
)
def test_what_cannot_be_held(frozen: Frozen, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        Simplex.of(NAMES, TOKENS, np.ones(4), frozen=frozen)


def test_caps_that_leave_tokens_missing() -> None:
    with pytest.raises(UsageError, match="of the tokens are missing"):
        Simplex.of(NAMES, TOKENS, np.array([0.05, 1.0, 0.3, 0.3]), frozen=held(a=0.5, b=0.5))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, demo_table: pa.Table) -> Path:
    """A pool of four sources on two levels; the same without one; held-out documents, mostly Go; an earlier mix."""
    folder = tmp_path_factory.mktemp("frozen")
    domain = np.array(demo_table.column("domain").to_pylist())
    rows = {name: np.flatnonzero(domain == name) for name in DOMAINS}
    counts = {"code-go": (60, 60), "code-python": (120, 20), "fiction": (300, 20), "speech": (150, 10)}
    column = demo_table.schema.get_field_index("domain")

    def write(name: str, picks: np.ndarray) -> None:
        part = demo_table.take(pa.array(picks))
        named = pa.array([DOMAINS[one] for one in part.column("domain").to_pylist()])
        pq.write_table(part.set_column(column, "domain", named), folder / name)

    write("pool.parquet", np.concatenate([rows[name][: counts[name][0]] for name in DOMAINS]))
    write("before.parquet", np.concatenate([rows[name][: counts[name][0]] for name in list(DOMAINS)[1:]]))
    write("held.parquet", np.concatenate([rows[name][::-1][: counts[name][1]] for name in DOMAINS]))
    cuvee.mix_sources(folder / "before.parquet", weights=WEIGHTS, output=folder / "mix", cache=folder / "cache")
    return folder


def search(place: Path, name: str, **asked: Any) -> searching.Searched:
    given: dict[str, Any] = {"evaluations": {"held": place / "held.parquet"}, "runs": 14, "seeds": 3, "proxy": SMALL}
    given |= {"ledger": place / "ledger", "output": place / name, "cache": place / "cache", "workers": 2}
    given |= {"run_tokens": 50_000, "resample": 20, "bold": True, "law": "data_mixing_laws"}
    return cuvee.search_mix(place / "pool.parquet", **{**given, **asked})


@pytest.fixture(scope="module")
def after(place: Path) -> searching.Searched:
    return search(place, "after", freeze=place / "mix")


def test_more_of_the_new_source(after: searching.Searched, place: Path) -> None:
    """Go comes to the pool: it is what the evaluation set is about, and the others keep 5 : 3 : 2."""
    found = after.summary
    rows = {one["name"]: one for one in found["proposal"]}
    weights = after.weights
    assert list(rows) == sorted(DOMAINS.values()) and sum(weights.values()) == pytest.approx(1)
    assert weights["prose/fiction"] / weights["code/python"] == pytest.approx(0.6, rel=1e-3)
    assert weights["prose/speech"] / weights["code/python"] == pytest.approx(0.4, rel=1e-3)
    assert weights["code/go"] > 1.3 * rows["code/go"]["proportional"]
    assert all(one["low"] <= one["weight"] <= one["high"] and one["passes"] <= 4.001 for one in rows.values())
    assert sum(one["tokens"] for one in rows.values()) == found["tokens"]
    assert all(set(one["shares"]) for one in found["mixtures"]) and len(found["mixtures"][0]["shares"]) == 4
    assert set(found["outcomes"][0]["parameters"]["t"]) == {"3 held", "code/go"}  # the law has two parts
    assert found["held"]["sources"] == pytest.approx(WEIGHTS, rel=1e-3)
    assert found["held"]["new"] == ["code/go"] and found["surface"] is None
    told = {one["against"]: one for one in found["comparisons"] if one["primary"]}
    assert {"proportional", "uniform", BY_SIZE} <= set(told) and told["proportional"]["verdict"] == "better"
    assert any("keep the weights relative to one another" in one for one in found["limits"])


def test_runs_screen_and_export_are_of_real_sources(after: searching.Searched, tmp_path: Path) -> None:
    with (after.folder / "runs.csv").open(newline="") as stream:
        runs = list(csv.DictReader(stream))
    assert len(runs) == 14
    for one in runs:
        shares = {name: float(one[f"mix.{name}"]) for name in DOMAINS.values()}
        assert sum(shares.values()) == pytest.approx(1)
        assert shares["prose/fiction"] / shares["code/python"] == pytest.approx(0.6, rel=0.1)  # but for whole slices
    screen = searching.lines(after)
    assert len(screen) <= 24 and max(map(len, screen)) <= 90
    assert any(line.startswith("  held       3 sources as in") for line in screen)
    exported = cuvee.export_mix(after.folder, "megatron", output=tmp_path / "export")
    shares = {one["name"]: one["weight"] for one in exported.summary["sources"]}
    assert shares == pytest.approx(after.weights, abs=1e-4)
    page = (after.folder / "report.html").read_text()
    assert "<script" not in page and "keep their weights to one another" in page


def test_a_report_of_hostile_sources(after: searching.Searched) -> None:
    """Names of held sources are shown as text; nothing that is not a share is shown as one."""
    told = {"from": "<script>\x1b", "sources": {"<script>\x1b": 0.5, "b": "x", "c": None}, "new": 3}
    page = render({**after.summary, "held": told})
    assert "<script" not in page and "\x1b" not in page
    assert "keep their weights" not in render({**after.summary, "held": {"sources": ["a"]}})


def test_the_search_that_was_frozen_may_itself_be_held(after: searching.Searched, place: Path) -> None:
    """A folder of a search, with a source named as changed; on two levels, by rounds, cautiously, in two rounds."""
    found = search(
        place, "again", freeze=after.folder, changed=["code/python", "code/go"], seeds=0, bold=False,
        proposer="rounds", iterations=2, runs=20, levels=True, law="optimal_mixtures:shared=true",
    )  # fmt: skip
    ratio = found.weights["prose/fiction"] / found.weights["prose/speech"]
    assert ratio == pytest.approx(1.5, rel=1e-3) and found.summary["held"]["changed"] == ["code/python", "code/go"]
    assert found.summary["law"]["proposer"] == "rounds" and found.summary["counts"]["runs"] == 20
    optimum = {one["name"]: one["optimum"] for one in found.summary["proposal"]}
    assert sum(optimum.values()) == pytest.approx(1)
    assert optimum["prose/fiction"] == pytest.approx(1.5 * optimum["prose/speech"], rel=1e-3)


def test_levels_draw_other_mixtures(place: Path) -> None:
    one, two = (
        search(place, f"levels {levels}", levels=levels, seeds=0, law="regmix:model=linear").summary["mixtures"]
        for levels in (False, True)
    )
    anchors = {"proportional", "uniform"}
    assert {row["name"] for row in one} == {row["name"] for row in two} > anchors
    for left, right in zip(one, two, strict=True):
        assert (left["shares"] == right["shares"]) == (left["name"] in anchors)


def test_a_cover_is_run(place: Path) -> None:
    """Other mixtures than around proportional, as many, and beside weights that are held."""
    found = search(place, "cover", design="cover", seeds=0, law="regmix:model=linear").summary
    usual = search(place, "usual", seeds=0, law="regmix:model=linear").summary
    assert found["design"] == "cover" and usual["design"] == "random"
    assert found["counts"]["settings"] == usual["counts"]["settings"]
    wide, near = (np.array([row["shares"] for row in one["mixtures"]]).std(0).mean() for one in (found, usual))
    assert wide > near
    held = search(place, "held cover", design="cover", freeze=place / "mix", seeds=0, law="regmix:model=linear")
    assert held.weights["prose/fiction"] / held.weights["prose/speech"] == pytest.approx(1.5, rel=1e-3)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"freeze": "nothing"}, "nothing holds neither mix.json, fit.json nor search.json"),
        ({"freeze": "mix", "changed": ["code/rust"]}, "--changed names 'code/rust', which .* does not know"),
        ({"changed": ["code/go"]}, "give --freeze FOLDER as well"),
        ({"freeze": "mix", "clusters": 4}, "leave out --over and --clusters"),
        ({"levels": True, "clusters": 4}, "clusters have none"),
        ({"freeze": "refused"}, "would be overwritten"),
        ({"proposer": "grid"}, "proposer is 'law', 'rounds' or 'perturbed'"),
        ({"over": "quadmix:ratings=x.parquet", "levels": True, "law": None}, "--over searches a sampler"),
        ({"freeze": "mix", "levels": True}, "no two belong to one group"),
        ({"design": "grid"}, "design must be one of random, cover"),
        ({"design": "cover", "levels": True}, "--levels draws them by groups"),
    ],
)
def test_what_cannot_be_answered_is_said(place: Path, asked: dict[str, Any], said: str) -> None:
    if "freeze" in asked:
        asked = {**asked, "freeze": place / asked["freeze"]}
    with pytest.raises(CuveeError, match=said):
        search(place, "refused", **asked)
    assert not (place / "refused" / "search.json").exists()


def test_a_seal_that_is_broken(place: Path, tmp_path: Path) -> None:
    (tmp_path / "mix").mkdir()
    told = json.loads((place / "mix" / "mix.json").read_text())
    told["sources"][0]["weight"] = 0.9
    (tmp_path / "mix" / "mix.json").write_text(json.dumps(told))
    with pytest.raises(DataError, match="is damaged or was changed by hand"):
        search(place, "refused", freeze=tmp_path / "mix")


def test_plan(place: Path) -> None:
    """The command line says what would be held, and how many mixtures the smaller simplex asks for."""
    asked: list[Any] = ["mix", "search", place / "pool.parquet", "-e", place / "held.parquet", "--proxy", SMALL]
    asked += ["--run-tokens", "50k", "--cache", place / "cache", "--ledger", place / "ledger", "-o", place / "planned"]
    told = " ".join(run(*asked, "--freeze", place / "mix", "--plan").out.split())
    assert "3 sources as in" in told and "searched: code/go" in told and "up to 4 rivals" in told
    few = run(*asked, "--freeze", place / "mix", "--changed", "prose/speech", "--runs", 8, "--law", "bimix")
    assert few.status == 2 and "bimix fits 6 numbers for 3 sources" in " ".join(few.err.split())
