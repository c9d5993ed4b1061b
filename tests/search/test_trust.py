"""A law that knows nothing of mixtures left out moves no proposal."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

import cuvee
from cuvee import searching
from cuvee.errors import UsageError
from cuvee.exporting import export_mix
from cuvee.law import trust
from cuvee.layout import sealed
from cuvee.search import wording
from cuvee.search.quality_job import QualityJob
from tests.command import cuvee as run

SMALL = "ngram:table_bits=16,order=3"
NAMES = ("fiction", "sqlite-docs", "code-go", "jargon")


def outcome(observed: list[float], predicted: list[float | None], **baselines: float) -> dict[str, Any]:
    known = [abs(a - b) for a, b in zip(observed, predicted, strict=True) if b is not None]
    return {
        "weight": 1.0,
        "error": float(np.mean(known)),
        "baselines": {"mean": 1.0, "nearest": 1.0, "linear": 0.0} | baselines,
        "observed": observed,
        "predicted": predicted,
    }


def test_a_law_is_doubted_for_its_errors_and_for_its_order() -> None:
    n = list(np.arange(12) / 10)
    assert trust.doubt([outcome(n, n)]) == ""
    assert "as the nearest run does" in trust.doubt([outcome(n, [one + 0.3 for one in n], nearest=0.2)])
    assert "as the mean of the others does" in trust.doubt([outcome(n, [one + 0.3 for one in n], mean=0.2)])
    assert "rank correlation on 12 mixtures left out is -1.00" in trust.doubt([outcome(n, n[::-1])])
    assert "predicts the same" in trust.doubt([outcome(n, [0.5] * 12)])
    assert "predicts the same" in trust.doubt([outcome(n, [*n[:2], *[None] * 10])])
    # 0.5 of four is chance, and 0.5 of forty is not
    few, many = outcome([1, 2, 3, 4], [1, 4, 2, 3]), outcome(list(range(40)), [*range(1, 40, 2), *range(0, 40, 2)])
    for one in (few, many):
        one["error"] = 0.0
    assert "is 0.40, and chance reaches 0.95" in trust.doubt([few]) and trust.doubt([many]) == ""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, demo_table: pa.Table) -> Path:
    folder = tmp_path_factory.mktemp("trust")
    table = demo_table.filter(pc.is_in(demo_table["domain"], pa.array(NAMES)))
    held, pool = table.slice(0, 40), table.slice(40)
    pq.write_table(pool, folder / "pool.parquet")
    pq.write_table(held, folder / "held.parquet")
    noise = np.random.default_rng(0).normal(0, 1, (2, len(pool)))
    pq.write_table(pa.table({"id": pool["id"], "good": noise[0], "blind": noise[1]}), folder / "scores.parquet")
    return folder


def search(place: Path, name: str, **asked: Any) -> searching.Searched:
    given: dict[str, Any] = {"evaluations": {"held": place / "held.parquet"}, "runs": 12, "seeds": 0, "proxy": SMALL}
    given |= {"ledger": place / "ledger", "output": place / name, "cache": place / "cache", "workers": 2}
    given |= {"law": "regmix:model=linear", "tokens": 60_000, "resample": 20}
    return cuvee.search_mix(place / "pool.parquet", **{**given, **asked})


def test_proportional_stays_where_the_law_knows_nothing(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cuvee.law.trust.doubt", lambda outcomes: "")
    believed = search(place, "believed").summary
    monkeypatch.setattr("cuvee.law.trust.doubt", lambda outcomes: "the law is a guess")
    found = search(place, "doubted")
    if not believed["caution"]["share"]:
        pytest.fail("the law's own bound keeps proportional, so nothing is tested")
    assert "Proposed, not tried: the law expects -" in believed["verdict"]
    assert found.weights == {one["name"]: one["proportional"] for one in found.summary["proposal"]}
    assert found.summary["caution"]["share"] == found.summary["optimism"] == 0
    screen = searching.lines(found)
    assert screen[0].startswith("Not to be relied on: the law is a guess. Proportional is proposed")
    assert any("proportional stays: the law is not to be relied on" in line for line in screen)
    bold = search(place, "bold", bold=True)
    assert bold.weights != found.weights and bold.summary["verdict"].startswith("Not to be relied on")


def test_the_plain_sampler_stays_and_a_search_that_lost_is_not_applied(
    place: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("cuvee.law.trust.doubt", lambda outcomes: "the law is a guess")
    monkeypatch.setattr("cuvee.search.quality_job.CANDIDATES", {"linear": 100})
    over = f"quadmix:ratings={place / 'scores.parquet'},criteria=good/blind"
    asked: dict[str, Any] = {"over": over, "law": None, "tokens": 20_000, "runs": 10}
    found = search(place, "plain", **asked).summary
    assert found["sampler"]["stays"] == "the law is a guess"
    assert found["verdict"].startswith("Not to be relied on: the law is a guess. The plain sampler is proposed")
    for one in found["sampler"]["domains"].values():
        assert one["alpha"] == [0.5, 0.5] and one == next(iter(found["sampler"]["domains"].values()))
    plain = next(one for one in found["mixtures"] if one["name"] == "plain")
    assert found["expected"]["proposal"]["loss"] == pytest.approx(plain["loss"])
    for gain, words in (
        ({"gain": 0.0, "low": -0.1, "high": 0.1}, ", no better than proportional in the swarm; it is not tried."),
        ({"gain": -0.1, "low": -0.3, "high": 0.1}, ", worse than proportional in the swarm, though not for sure; it"),
        ({"gain": -0.1, "low": -0.12, "high": -0.08}, ", but it was worse than proportional in the swarm (+0.1 [+0.08"),
    ):
        lost = {**found, "gains": {"proportional": gain}}
        assert words in wording.verdict(lost)
        same = {"against": "proportional", "primary": True, "verdict": "not shown", "mean": 0.1}
        for one in (lost, {**lost, "comparisons": [same]}):  # a trial that shows nothing speaks for neither
            said = wording.next_command(one, "x", ["p"], "cuvee mix search p")
            assert said == "cuvee select p --with random --tokens 20000"
    monkeypatch.setattr("cuvee.law.trust.doubt", lambda outcomes: "")
    monkeypatch.setattr("cuvee.search.prudent.NO_BETTER", "x")
    gains = {"proportional": {"gain": -0.1, "low": -0.2, "high": 0.1}}
    searched = QualityJob._fit
    monkeypatch.setattr(QualityJob, "_fit", lambda self: {**searched(self), "gains": gains})
    worse = search(place, "worse", **asked).summary  # than proportional, by the law's own prediction
    assert worse["sampler"]["stays"] == "x" and worse["sampler"]["domains"] == found["sampler"]["domains"]
    bold = search(place, "bold sampler", bold=True, **asked).summary
    assert bold["sampler"]["stays"] == "" and bold["sampler"]["domains"] != found["sampler"]["domains"]
    for compared, words in (
        ("worse", "lost: what it found is worse than uniform. Instead: c"),
        ("", "not been tried"),
    ):
        told = [{"against": "uniform", "primary": True, "verdict": compared}] if compared else []
        (tmp_path / "search.json").write_text(json.dumps(sealed({**bold, "comparisons": told})))
        with pytest.raises(UsageError, match=words):
            export_mix(tmp_path, "megatron", output=tmp_path / "out")


def test_sources_by_a_column_and_by_clusters_are_not_asked_for_at_once(place: Path, tmp_path: Path) -> None:
    words = ["--eval", place / "held.parquet", "--by", "domain", "--clusters", 3, "-o", tmp_path / "out"]
    found = run("mix", "search", place / "pool.parquet", *words)
    assert found.status == 2 and "--clusters mixes clusters instead of the sources that --by names" in found.error()
    assert not (tmp_path / "out").exists()


def test_what_is_cut_is_counted_and_the_law_is_shown_whole(place: Path) -> None:
    found = search(place, "whole")
    shown = " ".join(" ".join(searching.lines(found)).split())
    assert f"at best {found.summary['confidence']['rank_best']:.2f}" in shown
    one: dict[str, Any] = {"primary": False, "group": "g", "verdict": "worse", "against": "uniform"}
    one |= {"mean": 0.1, "low": 0.0, "high": 0.2}
    said = wording.warnings({**found.summary, "comparisons": [one] * 4})
    assert any("worse on 4 comparisons" in each and each.endswith("and 2 more.") for each in said)
