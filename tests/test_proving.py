"""``cuvee prove`` as a whole: verdicts on real text, honest refusals, the same table twice."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import cuvee
from cuvee import proving
from cuvee.errors import DataError, UsageError
from cuvee.proof.ledger import Ledger
from tests.command import Answer
from tests.command import cuvee as run
from tests.proof.stubs import Slow

POOL = Path(cuvee.__file__).parent / "demo" / "pool.parquet"
SMALL = "ngram:table_bits=20,order=4"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pool of 900 documents of the demonstration, held-out documents, and two selections."""
    folder = tmp_path_factory.mktemp("proving")
    table = pq.read_table(POOL)
    order = np.random.default_rng(0).permutation(table.num_rows)
    domain = np.array(table.column("domain").to_pylist())[order]
    wanted = np.flatnonzero(domain == "sqlite-docs")
    others = np.flatnonzero(domain != "sqlite-docs")
    rows = {
        "pool": np.concatenate([wanted[:120], others[:780]]),
        "target": wanted[120:180],
        "held": np.concatenate([wanted[180:240], others[780:840]]),
        "near": wanted[180:240],
    }
    for name, at in rows.items():
        part = table.take(pa.array(order[np.sort(at)]))
        pq.write_table(part, folder / f"{name}.parquet", row_group_size=100)
    shared: dict[str, Any] = {"cache": folder / "cache", "workers": 2, "tokens": 40_000}
    cuvee.select(folder / "pool.parquet", target=folder / "target.parquet", output=folder / "kept", **shared)
    cuvee.select(folder / "pool.parquet", method="random", output=folder / "luck", seed=5, **shared)
    return folder


def prove(place: Path, name: str, selection: str = "kept", **asked: Any) -> proving.Proved:
    """A proof with few seeds, in folders of its own."""
    given: dict[str, Any] = {"evaluations": {"near": place / "near.parquet"}, "seeds": 4, "proxy": SMALL}
    given |= {"ledger": place / "ledger", "output": place / name, "cache": place / "cache", "workers": 2}
    return proving.prove(place / selection, **{**given, **asked})


def primary(proved: proving.Proved) -> dict[str, dict[str, Any]]:
    return {one["against"]: one for one in proved.summary["comparisons"] if one["primary"]}


def test_a_targeted_selection_is_better_and_a_random_one_is_not(place: Path) -> None:
    found = primary(prove(place, "better"))
    assert set(found) == {"random", "length_matched", "proportional"}
    assert all(one["verdict"] == "better" and one["high"] < 0 for one in found.values())
    luck = primary(prove(place, "not-better", "luck", against=["random"]))
    assert luck["random"]["verdict"] == "not shown"


def test_the_same_command_twice_gives_the_same_table_and_trains_nothing(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = prove(place, "twice").summary
    trials = sorted((place / "ledger" / "trials").rglob("*.parquet"))

    def never(*_: Any, **__: Any) -> None:
        raise AssertionError("a worker was started")

    monkeypatch.setattr("cuvee.proof.crew.Worker", never)
    again = prove(place, "twice", workers=1).summary
    assert sorted((place / "ledger" / "trials").rglob("*.parquet")) == trials
    for summary in (first, again):
        summary["reproduce"].pop("timings")
        summary.pop("seal")
    assert first == again


def test_workers_do_not_change_a_bit(place: Path, tmp_path: Path) -> None:
    results = []
    for workers in (1, 3):
        ledger = tmp_path / f"ledger{workers}"
        found = prove(place, f"workers{workers}", ledger=ledger, workers=workers, against=["random"], seeds=3)
        results.append([one["differences"] for one in found.summary["comparisons"]])
        assert len(Ledger(ledger).trials()) >= 6
    assert results[0] == results[1]


def test_subgroups_stand_beside_the_average(place: Path) -> None:
    found = prove(place, "groups", evaluations={"held": place / "held.parquet"}, against=["random"]).summary
    groups = {one["group"]: one for one in found["comparisons"] if one["group"]}
    assert groups["sqlite-docs"]["verdict"] == "better"
    assert set(groups) | {one.rpartition("/")[2] for one in found["small_groups"]} == set(
        found["evaluations"][0]["groups"]
    )


def test_small_groups_are_held_against_the_largest(place: Path) -> None:
    """With 20 trials or more: the same losses as in the ledger, a sentence, and a picture; with fewer, nothing."""
    held = {"held": place / "held.parquet"}
    found = prove(place, "follow", evaluations=held, seeds=6)
    rows = found.summary["group_curves"]
    assert rows and all(one["majority"] == "sqlite-docs" and one["trials"] >= 20 for one in rows)
    losses = {(one.arm, one.metrics["held/sqlite-docs"]) for one in Ledger(place / "ledger").trials()
              if "held/sqlite-docs" in one.metrics}  # fmt: skip
    points = {(arm, x) for arm, x, _ in rows[0]["points"]}
    assert {x for _, x in points} <= {x for _, x in losses}
    assert {"kept", "random", "length_matched", "proportional"} <= {arm for arm, _ in points}
    assert "Do small groups follow the largest?" in (place / "follow" / "report.html").read_text()
    assert prove(place, "follow", evaluations=held, seeds=2).summary["group_curves"] == []


def test_arms_train_on_equal_tokens(place: Path) -> None:
    arms = prove(place, "equal").summary["arms"]
    tokens = [arm["tokens"] for arm in arms if arm["kind"] != "full"]
    assert max(tokens) <= 20_000
    assert min(tokens) >= 0.97 * max(tokens)


def test_evaluation_inside_the_pool_is_cleaned_or_refused(place: Path, tmp_path: Path) -> None:
    table = pq.read_table(place / "pool.parquet")
    pq.write_table(table.slice(0, 30), tmp_path / "inside.parquet")
    sets = {"inside": tmp_path / "inside.parquet"}
    found = prove(place, "cleaned", evaluations=sets, against=["random"], seeds=3)
    assert any("hold evaluation text" in one for one in found.summary["warnings"])
    with pytest.raises(DataError, match="30 of the 30"):
        prove(place, "refused", evaluations=sets, overlap="refuse")
    assert not (place / "refused").exists()


def test_a_margin_declared_beforehand_makes_equivalence_an_answer(place: Path) -> None:
    found = primary(prove(place, "margin", "luck", against=["random"], margin=5.0))
    assert found["random"]["verdict"] == "equivalent"


def test_a_diverged_trial_counts_as_diverged(place: Path, tmp_path: Path) -> None:
    proxy = Slow(seconds=0.0, fate="diverge", at=1)
    found = prove(place, "diverged", proxy=proxy, ledger=tmp_path, against=["random"], seeds=4).summary
    assert {arm["name"]: arm["diverged"] for arm in found["arms"]} == {"kept": 1, "random": 1}
    assert all(one["verdict"] == "not shown" and len(one["seeds"]) == 3 for one in found["comparisons"])
    assert any("1 of 4 trials of 'kept' diverged" in one for one in found["warnings"])


def test_early_stopping_follows_its_rule(place: Path) -> None:
    found = prove(place, "early", seeds=8, stop_early=True, against=["random"])
    assert len(found.summary["seeds"]) == 4
    (one,) = primary(found).values()
    assert one["level"] == pytest.approx(0.975)
    assert any("--stop-early" in text for text in found.summary["warnings"])


def test_the_ledger_counts_consultations(place: Path, tmp_path: Path) -> None:
    """Selections tried on a set are counted; the same one under other settings is no new try."""
    tried = (("kept", "random", 1), ("kept", "length_matched", 1), ("luck", "random", 2))
    for selection, against, expected in tried:
        found = prove(place, "consult", selection, ledger=tmp_path / "ledger", against=[against], seeds=2)
        assert found.summary["evaluations"][0]["consulted"] == expected


def test_a_guarded_half_answers_through_the_reusable_holdout(place: Path, tmp_path: Path) -> None:
    found = prove(place, "guarded", ledger=tmp_path / "ledger", holdout=True, against=["random"], seeds=3)
    told = found.summary["holdout"]
    assert "gain of +" in told["kept against random, near"]
    again = prove(place, "guarded", ledger=tmp_path / "ledger", holdout=True, against=["random"], seeds=3)
    assert again.summary["holdout"] == told


def test_a_ladder_tells_of_the_best_alone(place: Path, tmp_path: Path) -> None:
    """The better selection is told with its gain; the one after it, which is not ahead, with nothing of its own."""
    given: dict[str, Any] = {
        "ledger": tmp_path / "ledger",
        "ladder": "auto",
        "against": ["random"],
        "seeds": 3,
        "tokens": 19_000,
    }
    best = prove(place, "laddered", **given)
    told = best.summary["holdout"]["kept against random, near"]
    assert told.startswith("best so far: gain of +")
    gain = told[told.index("gain") : told.index(", to")]
    later = prove(place, "laddered", "luck", **given)
    assert (
        later.summary["holdout"]["luck against random, near"] == f"not shown to be ahead of the best so far, a {gain}"
    )
    again = prove(place, "laddered", **given)
    assert again.summary["holdout"] == best.summary["holdout"]
    assert "nothing is known but that" in best.summary["holdout"]["what it cannot show"]
    other = prove(place, "laddered", "luck", **{**given, "tokens": 8_000})
    assert gain not in other.summary["holdout"]["luck against random, near"]  # fewer tokens are another yardstick
    (path,) = (tmp_path / "ledger" / "holdout").glob("*.ladder.json")
    assert len(json.loads(path.read_bytes())["boards"]) == 2


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"ladder": "auto", "holdout": True}, "give one of them"),
        ({"ladder": 0.0}, "step of --ladder"),
        ({"ladder": "steep"}, "step of --ladder"),
        ({"evaluations": {}}, "no evaluation set"),
        ({"seeds": 1}, "One seed"),
        ({"tokens": 39_000}, "more than half"),
        ({"against": ["nonsense"]}, "neither a baseline"),
        ({"proxy": "nonsense"}, "No proxy"),
        ({"proxy": "ngram:order=99"}, "order"),
        ({"policies": ["infobatch"]}, "another proxy"),
        ({"policies": ["dsir"]}, "not a policy"),
        ({"margin": -1.0}, "--margin"),
        ({"epochs": 0.0}, "--epochs"),
    ],
)
def test_what_cannot_be_asked(place: Path, asked: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        prove(place, "refused", **asked)
    assert not (place / "refused").exists()


def test_a_pool_that_changed_is_refused(place: Path, tmp_path: Path) -> None:
    pool = tmp_path / "pool.parquet"
    pool.write_bytes((place / "pool.parquet").read_bytes())
    cuvee.select(pool, method="random", rows=200, output=tmp_path / "kept", cache=place / "cache")
    pq.write_table(pq.read_table(pool).slice(1), pool)
    with pytest.raises(DataError, match="has changed since the selection was made"):
        prove(place, "refused", selection=str(tmp_path / "kept"))


def test_too_few_evaluation_documents(place: Path, tmp_path: Path) -> None:
    (tmp_path / "few.jsonl").write_text('{"text": "one document of some words"}\n')
    with pytest.raises(DataError, match="at least 5 are needed"):
        prove(place, "refused", evaluations={"few": tmp_path / "few.jsonl"})


def test_the_command_line(place: Path) -> None:
    """Verdict first, 24 lines of 80 columns, status 1 with --require if it is not better, JSON on request."""
    arguments = ["--ledger", place / "ledger", "--cache", place / "cache", "--proxy", SMALL, "--seeds", "4"]
    arguments += ["--against", "random", "-e", f"near={place / 'near.parquet'}"]

    def command(selection: str, *more: str) -> Answer:
        return run("prove", place / selection, *arguments, "-o", place / f"cli-{selection}", *more)

    done = command("kept", "--require")
    assert done.screen()[0].startswith("Better than random: -")
    assert command("luck", "--require").status == 1
    assert json.loads(command("kept", "--json").out)["comparisons"][0]["verdict"] == "better"
    planned = command("kept", "--plan").out
    assert "8 trials" in planned and "the ledger holds all of them" in planned
    assert "about" in command("kept", "--plan", "--seed", "100").out
    assert "no evaluation set" in run("prove", place / "kept").error()


def test_unusable_rows_of_the_pool_are_told_and_listed(place: Path, tmp_path: Path) -> None:
    """A selection that went on without them is proved without them; as a search does, the proof lists them."""
    table = pq.read_table(place / "pool.parquet")
    texts = table.column("text").to_pylist()
    texts[3] = texts[70] = None
    spoilt = table.set_column(table.schema.get_field_index("text"), "text", pa.array(texts))
    pq.write_table(spoilt, tmp_path / "pool.parquet")
    cuvee.select(
        tmp_path / "pool.parquet", method="random", tokens=40_000, output=tmp_path / "kept", cache=tmp_path / "cache",
        reading=cuvee.Reading(skip_bad=True),
    )  # fmt: skip
    found = proving.prove(
        tmp_path / "kept", evaluations={"near": place / "near.parquet"}, against="random", seeds=2, workers=2,
        proxy="ngram:table_bits=18,order=3", ledger=tmp_path / "ledger", output=tmp_path / "proof",
        cache=tmp_path / "cache",
    )  # fmt: skip
    assert any("2 of 900 rows could not be used" in one for one in found.summary["warnings"])
    planned = proving.plan(
        tmp_path / "kept", evaluations={"near": place / "near.parquet"}, against="random", seeds=2, workers=2,
        proxy="ngram:table_bits=18,order=3", ledger=tmp_path / "ledger", output=tmp_path / "proof",
        cache=tmp_path / "cache",
    )  # fmt: skip
    assert planned["warnings"] == found.summary["warnings"][: len(planned["warnings"])]
    assert planned["time"] == "no time for these: the ledger holds all of them"
    listed = [json.loads(line) for line in (tmp_path / "proof" / "rejects.jsonl").read_text().splitlines()]
    assert [one["line"] for one in listed] == [4, 71] and found.summary["rejects"]["count"] == 2
    assert "Rejected rows" in (tmp_path / "proof" / "report.html").read_text()
