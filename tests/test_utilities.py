"""cuvee mix utilities: a planted source that helps, the same again from the ledger, and refusals."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cuvee
from cuvee import utilities
from cuvee.errors import DataError, UsageError
from cuvee.proof.ledger import Ledger
from cuvee.proof.proxies.transformer import Transformer
from cuvee.report.utilities import render
from tests.command import cuvee as command

pytest.importorskip("torch")
PROXY = "transformer:context=32,batch=8"
WORDS = {"common": "common ordinary talk of days", "rare": "zymurgy quartz vexes jinxed", "odd": "MMXXIV :: 7731 <> 09"}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pool of one large and two small sources, and held-out text like the source ``rare``."""
    folder = tmp_path_factory.mktemp("utilities")
    random = np.random.default_rng(0)

    def text(source: str) -> str:
        return " ".join(random.permutation(WORDS[source].split())[0] for _ in range(32))

    sizes = {"common": 80, "rare": 16, "odd": 16}
    rows = [{"text": text(name), "domain": name} for name, size in sizes.items() for _ in range(size)]
    held = [{"text": text("rare")} for _ in range(12)]
    (folder / "pool.jsonl").write_text("".join(json.dumps(one) + "\n" for one in rows))
    (folder / "held.jsonl").write_text("".join(json.dumps(one) + "\n" for one in held))
    return folder


OWN_WEIGHTS = "upsample_end:last=0.4"


def run(place: Path, name: str, **asked: Any) -> utilities.Utilities:
    given: dict[str, Any] = {"evaluations": {"held": place / "held.jsonl"}, "proxy": PROXY, "seeds": 3, "workers": 2}
    given |= {"method": "upsample_end:share=0.6,last=0.4", "only": ["rare", "odd"], "overlap": "ignore"}
    given |= {"ledger": place / "ledger", "output": place / name, "cache": place / "cache"}
    return cuvee.end_utilities(place / "pool.jsonl", **{**given, **asked})


@pytest.fixture(scope="module")
def first(place: Path) -> utilities.Utilities:
    return run(place, "first")


def test_the_source_like_the_evaluation_helps(first: utilities.Utilities) -> None:
    found = {one["name"]: one for one in first.summary["utilities"]}
    assert found["rare"]["verdict"] == "helps" and found["rare"]["low"] > 0
    assert found["odd"]["utility"] < 0 < first.by_source["rare"] == found["rare"]["utility"]
    assert found["rare"]["utility"] == pytest.approx(np.mean(found["rare"]["differences"]))
    losses = first.summary["losses"]["held"]
    assert losses["without rare"] - losses["full"] == pytest.approx(found["rare"]["utility"])
    assert "most is lost without rare" in first.summary["verdict"]


def test_shares_passes_and_costs_are_told(first: utilities.Utilities) -> None:
    found = first.summary
    rows = {one["name"]: one for one in found["sources"]}
    rare, odd = rows["rare"], rows["odd"]
    assert rare["final"] + odd["final"] == pytest.approx(0.6)  # by size among their like
    assert rare["final"] / odd["final"] == pytest.approx(rare["available"] / odd["available"])
    assert rare["passes"] == pytest.approx(0.4 * rare["final"] * found["tokens"] / rare["available"])
    assert rare["passes"] > rows["common"]["passes"] and rare["passes_before"] == pytest.approx(0.6)
    cost = found["cost"]
    assert cost["trials"] == 9 and cost["whole_runs"] == 9 * found["run_tokens"]
    assert cost["tokens"] == pytest.approx((0.6 + 9 * 0.4) * found["run_tokens"], rel=0.05)
    screen = utilities.lines(first)
    assert len(screen) <= 24 and all(len(line) <= 80 for line in screen[:-1]) and "rare" in screen[0] + screen[1]
    page = (first.folder / "report.html").read_text()
    assert "What is each source worth?" in page and "Passes before" in page


def test_the_same_again_trains_nothing(
    first: utilities.Utilities, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Model and ends are in the ledger; more seeds train theirs alone, from the same beginning."""

    def never(*_: Any, **__: Any) -> None:
        raise AssertionError("trained again")

    monkeypatch.setattr(Transformer, "train", never)
    again = run(place, "again", workers=1)
    for name in ("utilities", "comparisons", "sources", "verdict"):
        assert again.summary[name] == first.summary[name]
    assert again.digest == first.digest and again.summary["cost"]["found"] == 9
    assert len(list(Ledger(place / "ledger").records())) == 9
    assert len(list((place / "ledger" / "models").glob("*.safetensors"))) == 1


def test_a_damaged_model_is_made_again(first: utilities.Utilities, place: Path) -> None:
    """To the same bytes, so that no end is trained again."""
    (path,) = (place / "ledger" / "models").glob("*.safetensors")
    before = path.read_bytes()
    path.write_bytes(before[: len(before) // 2])
    again = run(place, "mended")
    assert path.read_bytes() == before and again.digest == first.digest
    assert len(list(Ledger(place / "ledger").records())) == 9


def test_wrong_requests_are_sentences(place: Path, tmp_path: Path) -> None:
    cases: list[tuple[dict[str, Any], type[Exception], str]] = [
        ({"evaluations": {}}, UsageError, "no evaluation set"),
        ({"seeds": 1}, UsageError, "--seeds must be"),
        ({"seed": -1}, UsageError, "--seed must be a whole number from 0"),
        ({"eval_bytes": 0}, UsageError, "--eval-bytes must be at least 1, not 0"),
        ({"proxy": "ngram"}, UsageError, "Only a transformer"),
        ({"proxy": "transformer:schedule=wsd"}, UsageError, "schedule is this command's own"),
        ({"method": "cooldown"}, UsageError, "upsample_end"),
        ({"method": "upsample_end:last=1"}, UsageError, "below 1"),
        ({"method": "upsample_end:domains=poetry"}, UsageError, "no domain is called 'poetry'"),
        ({"only": ["poetry"]}, UsageError, "no source 'poetry'"),
        ({"only": "rare"}, UsageError, "list of sources"),
        ({"weights": {"rare": 0.5, "odd": 0.5}, "only": ["common"], "method": OWN_WEIGHTS}, UsageError, "of .common."),
        ({"weights": {"rare": 1.0}, "only": [], "method": OWN_WEIGHTS}, UsageError, "one source alone"),
        ({"weights": {"rare": 0.5, "odd": 0.5}, "method": "upsample_end:share=0.3"}, UsageError, "no part in it"),
        ({"run_tokens": 10**9}, UsageError, "is longer than the planned run"),
        ({"overlap": "refuse", "evaluations": {"held": place / "pool.jsonl"}}, DataError, "."),
    ]
    for asked, kind, said in cases:
        with pytest.raises(kind, match=said):
            run(place, "refused", **{**asked, "ledger": tmp_path / "ledger"})
    assert not (place / "refused").exists() and not (tmp_path / "ledger").exists()


def test_the_command(first: utilities.Utilities, place: Path) -> None:
    words = ["mix", "utilities", place / "pool.jsonl", "-e", f"held={place / 'held.jsonl'}", "--by", "domain", "-q"]
    words += ["--with", "upsample_end:share=0.6,last=0.4", "--only", "rare", "--only", "odd", "--overlap", "ignore"]
    words += ["--proxy", PROXY, "--seeds", 3, "--ledger", place / "ledger", "--cache", place / "cache"]
    done = command(*words, "-o", place / "typed", "--json")
    assert done.status == 0
    assert json.loads(done.out)["utilities"] == first.summary["utilities"]
    planned = command(*words, "-o", place / "never", "--plan")
    assert planned.status == 0 and "then 3 ends" in planned.out
    assert not (place / "never").exists()


def planned(place: Path, **asked: Any) -> dict[str, Any]:
    given: dict[str, Any] = {"evaluations": {"held": place / "held.jsonl"}, "proxy": PROXY, "seeds": 3, "workers": 2}
    given |= {"method": "upsample_end:share=0.6,last=0.4", "only": ["rare", "odd"], "overlap": "ignore"}
    given |= {"ledger": place / "ledger", "output": place / "never", "cache": place / "cache"}
    return utilities.plan(place / "pool.jsonl", **{**given, **asked})


def test_a_plan_tells_the_time(first: utilities.Utilities, place: Path, tmp_path: Path) -> None:
    assert planned(place)["time"] == "no time for these: the ledger holds all of them"
    assert re.fullmatch(r"about .* \(9 of them are in the ledger\)", planned(place, seeds=4)["time"])
    fresh = planned(place, ledger=tmp_path / "ledger")["time"]
    assert fresh.startswith("about ") and "ledger" not in fresh
    assert not (tmp_path / "ledger").exists() and not (place / "never").exists()


def test_a_plan_names_the_sources_that_count_first(place: Path) -> None:
    asked = {"weights": {"rare": 0.25, "odd": 0.75}, "method": OWN_WEIGHTS, "only": []}
    mix = planned(place, **asked)["final mix"]
    assert [one.split()[0] for one in mix[:2]] == ["odd", "rare"] and mix[2:] == ["nothing of 1 other source"]


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"run_tokens": 60}, "less than a document"),
        ({"run_tokens": 1_100, "method": "upsample_end:share=0.6,last=0.01"}, "The end is shorter than a document"),
        ({"run_tokens": 1_100, "method": "upsample_end:share=0.6,last=0.99"}, "before the end is shorter"),
    ],
)
def test_a_plan_says_what_would_stop_the_run(place: Path, tmp_path: Path, asked: dict[str, Any], said: str) -> None:
    with pytest.raises(DataError, match=said) as met:
        run(place, "stopped", ledger=tmp_path / "ledger", **asked)
    assert not (tmp_path / "ledger").exists()  # nothing was trained before
    with pytest.raises(DataError) as foreseen:
        planned(place, **asked)
    assert str(foreseen.value) == str(met.value)


def test_a_plan_tells_of_unusable_rows(place: Path, tmp_path: Path) -> None:
    rows = (place / "pool.jsonl").read_text()
    (tmp_path / "pool.jsonl").write_text(rows + json.dumps({"text": None, "domain": "odd"}) + "\n")
    found = utilities.plan(
        tmp_path / "pool.jsonl", evaluations={"held": place / "held.jsonl"}, proxy=PROXY, cache=tmp_path / "cache",
        reading=cuvee.Reading(skip_bad=True), ledger=tmp_path / "ledger", output=tmp_path / "out", overlap="ignore",
    )  # fmt: skip
    assert any("1 of 113 rows could not be used" in one for one in found["warnings"])


def test_every_field_is_explained(first: utilities.Utilities) -> None:
    page = (Path(__file__).parents[1] / "docs" / "mix.md").read_text("utf-8")
    told = page[page.index("### utilities.json") :]
    known = set(re.findall(r"`([^`]+)`", told))
    summary = first.summary
    parts = [summary["sources"][0], summary["utilities"][0], summary["cost"]]
    assert set(summary) | {name for one in parts for name in one} <= known


def test_the_report_bears_what_is_missing_or_hostile(first: utilities.Utilities) -> None:
    """Any value may be absent, of another kind, or somebody else's text."""
    assert "<script" not in render({})
    hostile = "<script>alert(1)</script>\x1b[31m"

    def spoilt(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: spoilt(one) for name, one in value.items()}
        if isinstance(value, list):
            return [spoilt(one) for one in value]
        return hostile if isinstance(value, str) else value

    page = render(spoilt(first.summary))
    assert "<script>alert" not in page and "\x1b" not in page and "&lt;script&gt;" in page
    for name in first.summary:
        for other in (None, hostile, 7, [hostile], {"x": None}):
            assert "</html>" in render({**first.summary, name: other})
