"""``cuvee mix search`` as a whole: from a pool to a verdict, the same again from the ledger, and a sentence for every
question that cannot be answered."""

from __future__ import annotations

import csv
import json
import shlex
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import cuvee
from cuvee import quantities, searching
from cuvee.engine.progress import Progress
from cuvee.errors import CuveeError, DataError, UsageError
from cuvee.law.caution import LEVEL
from cuvee.law.opened import open_table
from cuvee.proof.ledger import Ledger
from cuvee.report.search import render
from cuvee.search.wording import refit
from tests.command import cuvee as run
from tests.proof.stubs import Slow

SMALL = "ngram:table_bits=16,order=3"
NAMES = ("code-python", "fiction", "speech")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, demo_table: pa.Table) -> Path:
    """A pool of three domains, much of which is fiction, and held-out documents, half of which are code."""
    folder = tmp_path_factory.mktemp("search")
    domain = np.array(demo_table.column("domain").to_pylist())
    rows = {name: np.flatnonzero(domain == name) for name in NAMES}
    counts = {"code-python": (90, 60), "fiction": (420, 30), "speech": (150, 30)}
    pool = np.concatenate([rows[name][: counts[name][0]] for name in NAMES])
    held = np.concatenate([rows[name][::-1][: counts[name][1]] for name in NAMES])
    pool = pool[np.random.default_rng(0).permutation(len(pool))]
    pq.write_table(demo_table.take(pa.array(pool)), folder / "pool.parquet", row_group_size=100)
    pq.write_table(demo_table.take(pa.array(held)), folder / "held.parquet")
    pq.write_table(demo_table.take(pa.array(rows["fiction"][:50])), folder / "one.parquet")
    like = np.concatenate([rows[name][-counts[name][0] // 3 - 1 :] for name in NAMES])
    pq.write_table(demo_table.take(pa.array(like)), folder / "like.parquet")
    return folder


def search(place: Path, name: str, **asked: Any) -> searching.Searched:
    """A small search, with ledger and cache shared by all tests."""
    given: dict[str, Any] = {"evaluations": {"held": place / "held.parquet"}, "runs": 20, "seeds": 4, "proxy": SMALL}
    given |= {"ledger": place / "ledger", "output": place / name, "cache": place / "cache", "workers": 2}
    given |= {"run_tokens": 60_000, "resample": 30, "bold": True}
    return cuvee.search_mix(place / "pool.parquet", **{**given, **asked})


@pytest.fixture(scope="module")
def first(place: Path) -> searching.Searched:
    return search(place, "first")


def test_more_code_for_a_model_of_code(first: searching.Searched, place: Path) -> None:
    found = first.summary
    rows = {one["name"]: one for one in found["proposal"]}
    assert sum(first.weights.values()) == pytest.approx(1)
    assert rows["code-python"]["weight"] > 1.5 * rows["code-python"]["proportional"]
    assert all(one["low"] <= one["weight"] <= one["high"] and one["passes"] <= 4.001 for one in rows.values())
    assert sum(one["tokens"] for one in rows.values()) == found["tokens"]
    told = {one["against"]: one for one in found["comparisons"] if one["primary"]}
    assert told["proportional"]["verdict"] == "better" and told["proportional"]["high"] < 0
    assert set(told) >= {"proportional", "uniform"}
    assert not set(found["trial"]["seeds"]) & {int(row["seed"]) for row in runs_of(first)}  # fresh ones
    assert found["confidence"]["rank"] > 0.8 and found["confidence"]["noise"] > 0
    assert found["cost"]["swarm"]["runs"] == found["counts"]["runs"] == 20


def test_the_gain_is_told_in_tokens(first: searching.Searched) -> None:
    """Proportional with twice the tokens, of as much more text, is better than the proposal here, so it needs less."""
    (told,) = first.summary["trial"]["multiples"]
    assert told["against"] == "proportional" and told["tokens"] == [60_000, 120_000] and told["seeds"] == 4
    assert told["loss"][1] < told["proposal_loss"] < told["loss"][0]
    assert 1 <= told["low"] <= told["times"] <= told["high"] < 2
    assert first.summary["cost"]["trial"]["runs"] == 16 + 4
    screen = searching.lines(first)
    assert len(screen) <= 24 and any("Proportional would need" in line for line in screen)
    assert "Proportional would need" in (first.folder / "report.html").read_text()
    assert any("longer runs of proportional" in one for one in first.summary["limits"])


def test_part_of_the_way_is_better_than_none(first: searching.Searched, place: Path) -> None:
    """Twenty runs show that code helps: some of the way to the law's optimum is proposed, and better when tried."""
    found = search(place, "part", bold=False).summary
    told, rows = found["caution"], {one["name"]: one for one in found["proposal"]}
    assert 0 < told["share"] <= 1 and told["bound"] < 0 < told["moved"] and told["level"] == LEVEL
    code = rows["code-python"]
    assert code["proportional"] < code["weight"] < code["optimum"] == pytest.approx(first.weights["code-python"])
    against = {one["against"]: one for one in found["comparisons"] if one["primary"]}
    assert against["proportional"]["verdict"] == "better"


def test_no_farther_than_is_shown(first: searching.Searched, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the law's errors are as large as its promise, proportional stays, and is told as such."""
    monkeypatch.setattr("cuvee.law.caution.LEVEL", 0.9999)
    found = search(place, "cautious", bold=False)
    told = found.summary["caution"]
    assert told["share"] == told["moved"] == 0 < told["bound"] and told["path"][-1][1] < 0
    assert found.weights == {one["name"]: one["proportional"] for one in found.summary["proposal"]}
    optimum = [one["optimum"] for one in found.summary["proposal"]]
    assert optimum == pytest.approx([one["weight"] for one in first.summary["proposal"]])
    assert first.summary["caution"] is None
    assert found.summary["expected"]["proposal"] == found.summary["expected"]["proportional"]
    assert {one["against"] for one in found.summary["comparisons"]} == {"best run"}  # nothing against itself
    assert not found.better and "Proportional is proposed" in found.summary["verdict"]
    screen = searching.lines(found)
    assert len(screen) <= 24 and any("proportional stays: least bound" in line for line in screen)
    assert "the law&#x27;s optimum" in (found.folder / "report.html").read_text().lower()
    untried = search(place, "untried", bold=False, seeds=0)
    assert "nothing measured is shown to be better than proportional" in untried.summary["verdict"]
    assert untried.summary["trial"] is None and not untried.better


def test_a_search_that_stays_exits_with_0_and_tries_nothing_needless(place: Path, tmp_path: Path) -> None:
    """Where no run was better than proportional either, there is nothing to try."""
    answer = run(
        "mix", "search", place / "pool.parquet", "--eval", place / "like.parquet", "--runs", 20, "--seeds", 4,
        "--proxy", SMALL, "--run-tokens", "60k", "--resamples", 30, "--ledger", place / "ledger", "--cache",
        place / "cache", "-o", tmp_path / "out", "--by", "domain", "-q",
    )  # fmt: skip
    assert answer.status == 0
    assert "nothing measured is shown to be better than proportional" in " ".join(" ".join(answer.screen()).split())
    summary = json.loads((tmp_path / "out" / "search.json").read_text())
    assert summary["trial"] is None and summary["comparisons"] == []
    assert "cuvee mix export" in summary["next"]


def runs_of(found: searching.Searched) -> list[dict[str, str]]:
    with (found.folder / "runs.csv").open(newline="") as stream:
        return list(csv.DictReader(stream))


@pytest.mark.parametrize("end", ["\r", "\n"])
def test_odd_names_in_the_table_of_runs(tmp_path: Path, end: str) -> None:
    """Whatever sources and outcomes are called, ``mix fit`` reads the table again."""
    names, outcome = [f"a{end}b", 'e"f', "g,h"], f"x{end}y"
    record = SimpleNamespace(metrics={outcome: 2.5})
    done = SimpleNamespace(asked=SimpleNamespace(arm="mix 1", seed=0), shares=(0.1, 0.3, 0.6), record=record)
    summary = {"proposal": [{"name": name} for name in names], "objective": {outcome: 1.0}}
    text = searching._runs_csv(summary, [done])  # type: ignore[list-item]
    (tmp_path / "runs.csv").write_bytes(text.encode())
    (row,) = open_table(tmp_path / "runs.csv").to_pylist()
    assert row == {
        "name": "mix 1",
        "seed": 0,
        f"mix.{names[0]}": 0.1,
        'mix.e"f': 0.3,
        "mix.g,h": 0.6,
        f"loss.{outcome}": 2.5,
    }


def test_the_same_again_from_the_ledger(first: searching.Searched, place: Path) -> None:
    """Another number of workers, another folder: no trial is run, and the result is the same."""
    before = sorted((place / "ledger" / "trials").rglob("*.parquet"))
    again = search(place, "again", workers=1)
    assert sorted((place / "ledger" / "trials").rglob("*.parquet")) == before
    assert again.summary["counts"]["found"] == sum(again.summary["cost"][one]["runs"] for one in ("swarm", "trial"))
    assert "this time, 40 trials found in the ledger" in " ".join(" ".join(searching.lines(again)).split())
    assert again.summary["trial"]["multiples"] == first.summary["trial"]["multiples"]
    for name in ("proposal", "comparisons", "mixtures", "confidence", "verdict"):
        assert again.summary[name] == first.summary[name]
    assert again.summary["reproduce"]["digest"] == first.summary["reproduce"]["digest"]
    assert (again.folder / "runs.csv").read_bytes() == (first.folder / "runs.csv").read_bytes()


def test_every_field_is_explained(first: searching.Searched) -> None:
    page = (Path(__file__).parents[2] / "docs" / "mix.md").read_text("utf-8")
    summary = first.summary
    for field in [
        *summary,
        *summary["proposal"][0],
        *summary["confidence"],
        *summary["mixtures"][0],
        *summary["counts"],
    ]:
        assert f"`{field}`" in page, field


class Stops(Progress):
    """Raises after so many trials, as an interrupt would."""

    def __init__(self, after: int) -> None:
        super().__init__()
        self.left = after

    def advance(self, count: float) -> None:
        if self.label.startswith("counting"):
            self.left -= int(count)
            if self.left < 0:
                raise KeyboardInterrupt


def test_an_interrupted_search_goes_on(first: searching.Searched, place: Path) -> None:
    ledger = place / "broken"
    with pytest.raises(KeyboardInterrupt):
        search(place, "stopped", ledger=ledger, progress=Stops(7))
    kept = len(list(Ledger(ledger).trials()))
    assert 7 <= kept <= 12
    assert not (place / "stopped" / "search.json").exists()
    found = search(place, "stopped", ledger=ledger)
    assert found.summary["counts"]["found"] == kept
    assert found.summary["reproduce"]["digest"] == first.summary["reproduce"]["digest"]


def test_screen_export_and_fit(first: searching.Searched, place: Path, tmp_path: Path) -> None:
    answer = run(
        "mix", "search", place / "pool.parquet", "--eval", f"held={place / 'held.parquet'}", "--runs", 20, "--seeds", 4,
        "--proxy", SMALL, "--run-tokens", "60k", "--resamples", 30, "--ledger", place / "ledger", "--cache",
        place / "cache", "-o", tmp_path / "out", "--by", "domain", "--bold", "-q",
    )  # fmt: skip
    screen = "\n".join(answer.screen())
    assert screen.startswith("Better than ") and "code-python" in screen and "next: cuvee mix " in screen
    told = run("mix", "export", tmp_path / "out", "--to", "megatron", "-o", tmp_path / "megatron", "--json")
    shares = {one["name"]: one["weight"] for one in json.loads(told.out)["sources"]}
    assert shares == pytest.approx(first.weights, abs=1e-4)
    fitted = cuvee.fit_law(tmp_path / "out" / "runs.csv", law="regmix", settings={"model": "linear"}, resample=20,
                           output=tmp_path / "fit")  # fmt: skip
    assert fitted.summary["counts"]["runs"] == 20
    run("mix", "fit", tmp_path / "out" / "runs.csv", "--sizes", tmp_path / "out", "--resamples", 20, "-o",
        tmp_path / "sized")  # fmt: skip
    sized = json.loads((tmp_path / "sized" / "fit.json").read_text())
    assert sized["natural_known"]
    searched = json.loads((tmp_path / "out" / "search.json").read_text())
    assert [one["available"] for one in sized["proposal"]] == [one["available"] for one in searched["proposal"]]
    page = (tmp_path / "out" / "report.html").read_text()
    assert "<script" not in page and "Is the proposal better?" in page and "fiction" in page
    plan = run("mix", "search", place / "pool.parquet", "-e", place / "held.parquet", "--proxy", SMALL, "--plan",
               "--cache", place / "cache", "--ledger", place / "ledger", "-o", tmp_path / "planned")  # fmt: skip
    assert "64 runs" in plan.out and not (tmp_path / "planned").exists()


def test_a_fit_of_its_runs_can_have_its_objective(first: searching.Searched, tmp_path: Path) -> None:
    """Its command weighs the subgroups as the search did, so the same run is the best."""
    found = first.summary
    words = shlex.split(found["refit"])
    assert words[:4] == ["cuvee", "mix", "fit", "runs.csv"] and words[4:6] == ["--sizes", "."]
    assert any(found["refit"] in one for one in found["limits"])
    words[3], words[5] = str(first.folder / "runs.csv"), str(first.folder)
    answer = run(*words[1:], "--with", "regmix:model=linear", "--resamples", 20, "-o", tmp_path / "fit", "-q")
    assert answer.status == 0, answer.err
    fitted = json.loads((tmp_path / "fit" / "fit.json").read_text())
    weights = {one["name"]: one["weight"] for one in fitted["outcomes"]}
    assert weights == pytest.approx(found["objective"], abs=2e-6) and len(set(weights.values())) > 1
    best = min(one["loss"] for one in found["mixtures"])
    assert fitted["expected"]["best_measured"]["observed"] == pytest.approx(best, abs=1e-4)


def test_the_refit_of_odd_names_is_read_back() -> None:
    weights = {'a, "b"': 0.25, "-c d": 1e-9, "it's/é": 0.75}
    told = shlex.split(refit(weights, 10, 2.5))
    read = {name: float(value) for name, value in quantities.weights(told[-1], "--objective").items()}
    assert read == pytest.approx(weights, abs=1e-6) and sum(read.values()) == pytest.approx(1)
    assert refit({"held": 1.0}, 10, 4) == ""


def test_later_rounds_are_better(place: Path) -> None:
    """CLIMB's loop: the second round's mixtures are better than the first's on average."""
    found = search(place, "rounds", runs=30, iterations=2, seeds=0)
    names = list(dict.fromkeys(row["name"] for row in runs_of(found)))
    loss = {one["name"]: one["loss"] for one in found.summary["mixtures"]}
    assert len(runs_of(found)) == 30
    early = [loss[name] for name in names[2:-10]]
    late = [loss[name] for name in names[-10:]]
    assert np.mean(late) < np.mean(early)
    assert found.summary["comparisons"] == [] and "not tried" in found.summary["verdict"]


def test_trained_in_processes_of_their_own(place: Path) -> None:
    """Proxies that cannot be counted run as every trial does; runs that diverge are left out and counted."""
    found = search(place, "trained", proxy=Slow(fate="diverge", at=1), law="regmix:model=linear", seeds=2, resample=20)
    assert found.summary["counts"]["diverged"] == found.summary["counts"]["runs"] == 10
    assert len(searching.lines(found)) <= 24
    assert found.summary["confidence"]["noise"] is None  # nothing is left that was run at two seeds
    assert any("diverged" in warning for warning in found.summary["warnings"])


def test_a_swarm_that_diverges_is_an_error(place: Path) -> None:
    with pytest.raises(DataError, match=r"20 of 20 runs diverged: their losses are not numbers"):
        search(place, "lost", proxy=Slow(most=1), law="regmix:model=linear")
    assert not (place / "lost" / "search.json").exists()


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"runs": 4}, "--runs must be a whole number from 8"),
        ({"runs": 8}, "optimal_mixtures fits 6 numbers for 3 sources, and --runs 8 are 6 different mixtures"),
        ({"law": "d_cpt"}, "a swarm has mixtures and losses alone"),
        ({"law": "nothing"}, "No law is called|nothing"),
        ({"objective": {"other": 1.0}}, "--objective names 'other', which is no evaluation set"),
        ({"objective": {"held": 0.0}}, "gives no evaluation set a weight"),
        ({"evaluations": {}}, "There is no evaluation set"),
        ({"seeds": 1}, "One seed cannot tell"),
        ({"resample": 5}, "--resamples must be at least 20, not 5"),
        ({"iterations": 9, "runs": 16}, "leaves the last round without runs"),
        ({"run_tokens": 10**9}, "is longer than the planned run"),
        ({"eval_bytes": 0}, "--eval-bytes must be at least 1, not 0"),
        ({"tokens": 10**9}, r"292,517 tokens, 3,418\.6 times\. --passes 4 allow at most 1,170,068 tokens"),
        ({"tokens": 10**9, "passes": 1e9, "run_tokens": 200}, "to go through: less than a document"),
        ({"proxy": "mlp"}, "learns no text"),
        ({"overlap": "refuse", "evaluations": "held=one"}, "hold text of the evaluation sets"),
    ],
)
def test_what_cannot_be_answered_is_said(place: Path, asked: dict[str, Any], said: str) -> None:
    if "one" in str(asked.get("evaluations")):
        asked = {**asked, "evaluations": {"held": place / "one.parquet"}}
    with pytest.raises(CuveeError, match=said):
        search(place, "refused", **asked)
    assert not (place / "refused" / "search.json").exists()


def test_one_domain(place: Path) -> None:
    with pytest.raises(UsageError, match="nothing to mix"):
        cuvee.search_mix(place / "one.parquet", evaluations={"held": place / "held.parquet"}, proxy=SMALL)


def test_a_pool_that_holds_evaluation_text_is_cleaned(place: Path) -> None:
    found = search(place, "met", evaluations={"held": place / "one.parquet"}, seeds=0)
    assert any("evaluation" in warning and "left out" in warning for warning in found.summary["warnings"])
    held = {one["name"]: one["documents"] for one in found.summary["proposal"]}
    assert held["fiction"] <= 420 - 45


@pytest.mark.parametrize("sources", [2, 3, 5, 30])
def test_the_report_draws_any_number_of_sources(first: searching.Searched, sources: int) -> None:
    """Two sources as a curve, three as a triangle, more on parallel axes; names are shown as text."""
    random = np.random.default_rng(sources)
    names = [f"<script>{at}\x1b" for at in range(sources)]
    row = first.summary["proposal"][0]
    summary = dict(first.summary)
    summary["proposal"] = [{**row, "name": name, "weight": 1 / sources} for name in names]
    shares = random.dirichlet(np.ones(sources), 30)
    summary["mixtures"] = [
        {"name": f"m{at}", "shares": one.tolist(), "loss": float(one[0]), "predicted": None if at else 0.5}
        for at, one in enumerate(shares)
    ]
    summary["surface"] = [[*one.tolist(), float(one[0])] for one in shares] if sources < 4 else None
    page = render(summary)
    assert "<script" not in page and "\x1b" not in page and page.count("<svg") >= 8


def test_a_report_of_nothing() -> None:
    assert render({}).startswith("<!doctype html>")
    broken = {"proposal": [{}, None, {"weight": "x"}], "mixtures": [3, {"loss": float("nan")}], "comparisons": [{}],
              "outcomes": "x", "trial": {"curves": {"a": 3}, "arms": [{}]}, "cost": 3, "surface": [[1]]}  # fmt: skip
    assert "<h1" in render(broken)


def test_arms_that_are_the_same_are_said(first: searching.Searched) -> None:
    """So short a trial that rounding makes the arms equal shows nothing, and says why."""
    from cuvee.search import wording

    summary = json.loads(json.dumps(first.summary))
    assert not any("same documents" in one for one in wording.warnings(summary))
    for one in summary["comparisons"]:
        one["differences"] = [0.0] * len(one["differences"])
    assert any("the same documents as proportional" in one for one in wording.warnings(summary))
    assert max(map(len, searching.lines(first)[:-3])) <= 80
