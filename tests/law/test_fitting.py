"""``cuvee mix fit``: from a table of runs to a judged law and a proposal; a sentence for every bad table."""

from __future__ import annotations

import json
import re
import shlex
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

import cuvee
from cuvee import fitting
from cuvee.errors import DataError, UsageError
from cuvee.law.regmix import RegMix
from cuvee.law.table import read_runs
from tests.command import cuvee as run

from .planted import NAMES, loss, swarm


def frame(count: int = 24, noise: float = 0.01, repeats: int = 2, seed: int = 0) -> dict[str, Any]:
    runs = swarm(count, noise, seed=seed, repeats=repeats)
    mixture = runs.settings.mixture
    random = np.random.default_rng(seed + 100)
    columns: dict[str, Any] = {"run": [f"r{place}" for place in range(len(runs))]}
    columns |= {f"mix.{name}": mixture[:, place] for place, name in enumerate(NAMES)}
    for outcome, name in enumerate(("first", "second", "third")):
        columns[f"loss.{name}"] = loss(mixture, outcome) + random.normal(0, noise, len(runs))
    return columns


def write(path: Path, columns: dict[str, Any]) -> Path:
    pyarrow.csv.write_csv(pa.table(columns), path)
    return path


def test_lines_of_json_are_read_like_any_table(runs: Path, tmp_path: Path) -> None:
    rows = pyarrow.csv.read_csv(runs).to_pylist()
    (tmp_path / "runs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    a, b = (read_runs(tmp_path / f"runs.{end}") for end in ("csv", "jsonl"))
    assert np.array_equal(a.settings.mixture, b.settings.mixture) and a.outcomes.keys() == b.outcomes.keys()
    assert all(np.array_equal(a.outcomes[name], b.outcomes[name]) for name in a.outcomes)
    (tmp_path / "bad.jsonl").write_text('{"mix.a": 1\nnot json\n')
    with pytest.raises(DataError, match=r"bad\.jsonl cannot be read as a table of runs"):
        read_runs(tmp_path / "bad.jsonl")


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    return write(tmp_path / "runs.csv", frame())


def test_fit(runs: Path, tmp_path: Path) -> None:
    found = cuvee.fit_law(runs, output=tmp_path / "fit", resample=60).summary
    assert [one["name"] for one in found["outcomes"]] == ["first", "second", "third"]
    assert all(one["error_in_noise"] < 2 for one in found["outcomes"])
    weights = {one["name"]: one for one in found["proposal"]}
    assert sum(one["weight"] for one in weights.values()) == pytest.approx(1)
    assert all(one["low"] <= one["weight"] <= one["high"] for one in weights.values())
    assert found["expected"]["proposal"]["loss"] < found["expected"]["uniform"]["loss"]
    assert found["gains"]["proportional"]["low"] > 0
    assert json.loads((tmp_path / "fit" / "fit.json").read_text())["seal"]
    assert "<script" not in (tmp_path / "fit" / "report.html").read_text()


def test_the_same_bits_whatever_the_order_of_rows(runs: Path, tmp_path: Path) -> None:
    """Parquet or CSV alike; other orders of rows give the same proposal up to the last digits."""
    table = pyarrow.csv.read_csv(runs)
    pq.write_table(table, tmp_path / "runs.parquet")
    first = cuvee.fit_law(runs, output=tmp_path / "a", resample=20)
    again = cuvee.fit_law(tmp_path / "runs.parquet", output=tmp_path / "b", resample=20)
    assert first.weights == again.weights
    shuffled = table.take(np.random.default_rng(0).permutation(len(table)))
    pq.write_table(shuffled, tmp_path / "shuffled.parquet")
    other = cuvee.fit_law(tmp_path / "shuffled.parquet", output=tmp_path / "c", resample=20)
    assert other.weights == pytest.approx(first.weights, abs=1e-4)


def test_passes_bound_the_proposal(runs: Path, tmp_path: Path) -> None:
    sizes = {"books": 10**9, "code": 10**8, "web": 5 * 10**9}
    asked: dict[str, Any] = {"sizes": sizes, "tokens": 10**9, "resample": 20, "output": tmp_path / "fit"}
    free = {one["name"]: one for one in cuvee.fit_law(runs, **asked).summary["proposal"]}
    assert free["code"]["passes"] > 3
    held = {one["name"]: one for one in cuvee.fit_law(runs, **asked, passes=2).summary["proposal"]}
    assert held["code"]["passes"] <= 2 + 1e-9 and held["code"]["weight"] <= 0.2 + 1e-9
    assert free["web"]["proportional"] == pytest.approx(5 / 6.1)
    with pytest.raises(UsageError, match="of the tokens are missing"):
        cuvee.fit_law(runs, **{**asked, "tokens": 10**11}, passes=2)


def test_objective(runs: Path, tmp_path: Path) -> None:
    """All weight on one outcome moves the proposal to that outcome's source."""
    for name, source in (("first", "books"), ("second", "code"), ("third", "web")):
        found = cuvee.fit_law(runs, objective={name: 1.0}, resample=20, output=tmp_path / name)
        assert max(found.weights, key=lambda one: found.weights[one]) == source


def test_screen_and_report(runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    lines = run("mix", "fit", runs, "--resamples", "20", "--sizes", "books=1B,code=1B,web=2B", "-o", "f").screen()
    assert lines[0].startswith("data_mixing_laws predicts runs left out to")
    assert any(line.split()[:1] == ["code"] for line in lines)
    assert lines[-2:] == ["next: cuvee mix export f --to megatron", "report: f/report.html"]


def test_a_law_that_does_not_hold_is_not_believed(tmp_path: Path) -> None:
    columns = frame(repeats=1)
    for name in ("first", "second", "third"):
        columns[f"loss.{name}"] = np.random.default_rng(len(name)).normal(2, 0.1, 24)
    path = write(tmp_path / "noise.csv", columns)
    found = run("mix", "fit", path, "--resamples", "20", "-o", tmp_path / "out").screen()
    assert found[0].startswith("Not to be relied on: data_mixing_laws misses")


def test_extrapolation_is_said(tmp_path: Path) -> None:
    """Runs that all hold little code, where code is what helps."""
    columns = frame(60, repeats=1)
    few = np.asarray(columns["mix.code"]) < 0.25
    path = write(tmp_path / "few.csv", {name: np.asarray(column)[few] for name, column in columns.items()})
    found = cuvee.fit_law(path, objective={"second": 1.0}, resample=20, output=tmp_path / "out").summary
    assert "away from any mean of the measured mixtures" in " ".join(found["warnings"])


def test_outcomes_of_which_more_is_better_are_named(tmp_path: Path) -> None:
    """All outcomes are minimised: said where the name of one sounds otherwise, and of nothing else."""
    for name, said in (("accuracy", True), ("hellaswag_acc", True), ("pass@10", True), ("raccoons", False)):
        table = frame(20)
        table[f"metric.{name}"] = table.pop("loss.first")
        found = cuvee.fit_law(write(tmp_path / "runs.csv", table), resample=20, output=tmp_path / "fit").summary
        assert any("as if more were better" in one for one in found["warnings"]) == said


def test_scores_whose_sign_was_turned(tmp_path: Path) -> None:
    """Nothing sounds wrong then; but formulas whose values are above 0 cannot follow, which is said."""
    table = frame(20)
    table["metric.acc"] = table.pop("loss.first") - 4.0
    path = write(tmp_path / "runs.csv", table)
    for law, said in (("data_mixing_laws", True), ("gaussian_process", False)):
        found = cuvee.fit_law(path, law=law, resample=20, output=tmp_path / law).summary
        assert any(f"'acc' has values below 0, and {law} gives none" in one for one in found["warnings"]) == said
        assert not any("more were better" in one for one in found["warnings"])


def test_an_outcome_that_hardly_counts_in_the_sum_is_named(tmp_path: Path) -> None:
    """With the weights under which it would; not where weights were given."""
    table = frame(20)
    table["loss.second"] = np.asarray(table["loss.second"]) / 100
    path = write(tmp_path / "runs.csv", table)

    def said(**asked: Any) -> list[str]:
        found = cuvee.fit_law(path, resample=20, output=tmp_path / "fit", **asked).summary
        return [one for one in found["warnings"] if "in their sum" in one]

    (sentence,) = said()
    assert sentence.startswith("Over the runs 'second' varies less than a tenth of what 'third' does")
    given = re.search(r"--objective\. (\S+) would", sentence)
    assert given is not None
    weights = {name: float(weight) for name, _, weight in (one.partition("=") for one in given[1].split(","))}
    assert weights.keys() == {"first", "second", "third"}
    assert run("mix", "fit", path, "--objective", given[1], "--resamples", "20", "-o", tmp_path / "o").status == 0
    spread = [weight * float(np.std(table[f"loss.{name}"])) for name, weight in weights.items()]
    assert max(spread) < 1.15 * min(spread)  # weights are told to two digits
    assert not said(objective=weights)
    table["loss.second"] = np.where(np.arange(40) % 2, 2.7, np.nextafter(2.7, 3))  # constant but for rounding
    write(path, table)
    assert not said()
    write(path, frame(20))
    assert not said()


def test_weights_that_are_told_can_be_typed(tmp_path: Path) -> None:
    """Tiny ones and odd names, too."""
    table = frame(20)
    table["loss.a, b"] = np.asarray(table.pop("loss.second")) * 1e7
    path = write(tmp_path / "runs.csv", table)
    found = cuvee.fit_law(path, resample=20, output=tmp_path / "fit").summary
    (said,) = [one for one in found["warnings"] if "in their sum" in one]
    told = re.search(r"--objective\. (.+) would", said)
    assert told is not None and '"a, b"=0.0000000' in told[1]
    (typed,) = shlex.split(told[1])
    ask = ("mix", "fit", path, "--resamples", "20", "-o", tmp_path / "o", "--objective")
    assert run(*ask, typed).status == 0
    scaled = run(*ask, '"a, b"=0.00001,first=7,third=5').error().partition("they are: ")[2].rstrip(".")
    assert scaled.startswith('"a, b"=0.00000083') and run(*ask, scaled).status == 0


def test_pictured_mixtures_are_called_by_their_rows(tmp_path: Path) -> None:
    """As warnings call them; rows that were left out count."""
    table = frame(20)
    table["loss.first"][4] = np.nan
    path = write(tmp_path / "runs.csv", table)
    found = cuvee.fit_law(path, resample=20, skip_bad=True, output=tmp_path / "fit").summary
    called = {one["name"]: one["shares"] for one in found["mixtures"]}
    assert len(called) == 20 and {"row 6", "rows 7, 8"} < called.keys()
    for name, shares in called.items():
        for row in map(int, re.findall(r"\d+", name)):
            assert shares == pytest.approx([table[f"mix.{source}"][row - 1] for source in sorted(NAMES)])


@pytest.mark.parametrize("column", ["steps", "step"])
def test_the_last_checkpoint_counts_where_a_law_looks_at_no_progress(tmp_path: Path, column: str) -> None:
    """As the same table without the others; seeds of a mixture may end at different steps."""
    table = frame(24)
    ends = np.where(np.arange(48) % 2, 400, 800)
    last = write(tmp_path / "last.csv", {**table, column: ends})
    early = {name: np.asarray(column) + name.startswith("loss.") for name, column in table.items() if name != "run"}
    both = {name: np.concatenate([column, table[name]]) for name, column in early.items()}
    both |= {"run": table["run"] * 2, column: np.concatenate([np.full(48, 100), ends])}
    every = write(tmp_path / "every.csv", both)
    found, alone = (cuvee.fit_law(one, resample=20, output=tmp_path / one.stem).summary for one in (every, last))
    assert found["proposal"] == alone["proposal"] and found["gains"] == alone["gains"]
    assert found["counts"]["runs"] == 48
    assert any("each run's last is looked at, 48 of 96 rows" in one for one in found["warnings"])
    names = [name for name in both if name != column]
    plain = cuvee.fit_law(
        write(tmp_path / "plain.csv", {n: both[n] for n in names}), resample=20, output=tmp_path / "p"
    )
    assert plain.summary["counts"]["runs"] == 96  # nothing says which rows are the last


@pytest.mark.parametrize("cell", ["", "nan", "half"])
def test_gaps_in_what_tells_checkpoints_apart_are_refused(tmp_path: Path, cell: str) -> None:
    """Passed over, such a column would leave checkpoints unknown; one of words alone is passed over and said."""
    table = frame(20) | {"tokens": [str(1000 + at) for at in range(40)]}
    table["tokens"][6] = cell
    path = write(tmp_path / "runs.csv", table)
    path.write_text(path.read_text().replace('"', ""))
    found = run("mix", "fit", path, "-o", tmp_path / "out")
    assert found.status == 3 and "Row 7 of" in found.error() and "'tokens', by which sizes" in found.error()
    words = write(tmp_path / "words.csv", table | {"tokens": ["1M"] * 40})
    told = cuvee.fit_law(words, resample=20, output=tmp_path / "words").summary["warnings"]
    assert any("tokens holds string, no numbers, and is not looked at" in one for one in told)


def test_sizes_of_what_no_run_holds_are_said(runs: Path, tmp_path: Path) -> None:
    known = read_runs(runs).settings.sources
    found = cuvee.fit_law(runs, sizes={**dict.fromkeys(known, 1_000), "wkii": 5}, resample=20, output=tmp_path / "fit")
    assert any("'wkii', which no run holds" in one for one in found.summary["warnings"])


def test_a_source_that_no_run_holds_is_named(tmp_path: Path) -> None:
    table = frame(20)
    table["mix.never"] = np.zeros(len(table["run"]))
    found = cuvee.fit_law(write(tmp_path / "runs.csv", table), resample=20, output=tmp_path / "fit").summary
    assert any(one.startswith("No run holds anything of 'never'") for one in found["warnings"])


def test_a_law_without_a_mixture(tmp_path: Path) -> None:
    n = np.repeat([1e7, 3e7, 1e8, 3e8, 1e9], 4)
    d = np.tile([1e9, 3e9, 1e10, 3e10], 5)
    value = 1.7 + 400 / n**0.34 + 410 / d**0.28
    noisy = value + np.random.default_rng(0).normal(0, 0.002, 20)
    path = write(tmp_path / "sizes.csv", {"parameters": n, "tokens": d, "loss.held": noisy})
    found = run(
        "mix", "fit", path, "--with", "joint_scaling:form=chinchilla", "--at", "tokens=20B", "--at", "parameters=500M",
        "--resamples", "30", "--json", "-o", tmp_path / "out",
    )  # fmt: skip
    told = json.loads(found.out)
    truth = 1.7 + 400 / 5e8**0.34 + 410 / 2e10**0.28
    assert told["asked"]["held"]["value"] == pytest.approx(truth, abs=0.01)
    assert told["proposal"] == [] and told["extrapolation"] == []
    assert told["outcomes"][0]["largest"]["tokens"] is not None
    far = run("mix", "fit", path, "--with", "joint_scaling", "--at", "tokens=1T", "-o", tmp_path / "out")
    assert any("Extrapolation: tokens is 1e+12" in line for line in far.screen())


@pytest.mark.parametrize(
    ("change", "words", "status", "said"),
    [
        ({"mix.code": lambda c: c * 0.5}, [], 3, "the weights sum to"),
        ({"mix.code": lambda c: -c}, [], 3, "negative or not a number"),
        ({"loss.first": lambda c: np.where(np.arange(len(c)) == 4, np.nan, c)}, [], 3, "Row 5 of"),
        ({}, ["--sources", "books,wiki"], 2, "no column 'wiki', which --sources names"),
        ({}, ["--loss", "loss.other"], 2, "no column 'loss.other', which --loss names"),
        ({}, ["--objective", "fourth=1"], 2, "No outcome is called 'fourth'"),
        ({}, ["--with", "data_mixing_law"], 2, "Did you mean data_mixing_laws"),
        ({}, ["--with", "d_cpt"], 3, "d_cpt needs the columns parameters, tokens, share"),
        ({}, ["--with", "data_mixing_laws:delta=x"], 2, "delta=x is not"),
        ({}, ["--resamples", "3"], 2, "at least 20"),
        ({}, ["--passes", "2"], 2, "--sizes"),
        ({}, ["--sizes", "books=1B"], 2, "size of the source 'code' is not known"),
        ({}, ["--arms", "x.csv"], 2, "--arms belongs to a ledger"),
        ({}, ["--sizes", "nowhere"], 2, "There is no mix 'nowhere'"),
        ({"loss.first": None, "loss.second": None, "loss.third": None}, [], 3, "no column of outcomes"),
        ({"mix.code": None, "mix.web": None}, ["--sources", "books"], 3, "the weights sum to"),
        ({}, ["--with", "data_mixing_laws:restarts=0"], 2, "data_mixing_laws: restarts must be at least 1, not 0"),
        ({}, ["--with", "optimal_mixtures:restarts=0"], 2, "optimal_mixtures: restarts must be at least 1, not 0"),
        ({}, ["--with", "joint_scaling:restarts=-1"], 2, "joint_scaling: restarts must be at least 1, not -1"),
        ({}, ["--with", "olmix:delta=0"], 2, "olmix: delta must be a number above 0, not 0"),
        ({}, ["--with", "olmix:kl=-1"], 2, "olmix: kl must be a number of at least 0, not -1"),
        ({}, ["--with", "nested_mixing:delta=-1"], 2, "nested_mixing: delta must be a number above 0, not -1"),
        (dict.fromkeys(("mix.code", "mix.web", "mix.books")), [], 3, "has no column of shares"),
        ({"loss.first": lambda c: [f"x{v}" for v in c]}, [], 3, "not numbers"),
    ],
)
def test_bad_tables(tmp_path: Path, change: dict[str, Any], words: list[str], status: int, said: str) -> None:
    columns = frame()
    for name, how in change.items():
        if how is None:
            del columns[name]
        else:
            columns[name] = how(columns[name])
    found = run("mix", "fit", write(tmp_path / "runs.csv", columns), *words, "-o", tmp_path / "out")
    assert found.status == status and said in found.error()
    assert not (tmp_path / "out").exists()


def test_fewer_runs_than_numbers(tmp_path: Path) -> None:
    """Four mixtures, each run five times, are still four."""
    found = run("mix", "fit", write(tmp_path / "few.csv", frame(4, repeats=5)), "-o", tmp_path / "out")
    assert found.status == 3
    assert "fits 4 numbers, and there are only 4 different settings. Give at least 5, better 8" in found.error()
    few = write(tmp_path / "few.csv", frame(6, repeats=2))
    found = run("mix", "fit", few, "--with", "optimal_mixtures", "-o", tmp_path / "out")
    assert "fits 7 numbers" in found.error() and "or fit optimal_mixtures:shared=true." in found.error()
    again = run(
        "mix", "fit", few, "--with", "optimal_mixtures:shared=true", "--resamples", "20", "-o", tmp_path / "out"
    )
    assert again.status == 0


@pytest.mark.parametrize("content", [b"", b"mix.a,loss.b\n", b"\xff\xfe\x00", b'"', b"a,a\n1,2\n"])
def test_files_that_are_no_table(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.csv").write_bytes(content)
    assert run("mix", "fit", tmp_path / "x.csv", "-o", tmp_path / "out").status == 3
    (tmp_path / "x.parquet").write_bytes(content)
    assert "cannot be read" in run("mix", "fit", tmp_path / "x.parquet", "-o", tmp_path / "out").error()
    assert "There is no file" in run("mix", "fit", tmp_path / "y.csv", "-o", tmp_path / "out").error()


def test_diverged_runs_are_left_out_on_request(tmp_path: Path) -> None:
    columns = frame()
    columns["loss.second"] = np.where(np.arange(48) == 7, np.inf, columns["loss.second"])
    path = write(tmp_path / "runs.csv", columns)
    found = run("mix", "fit", path, "--skip-bad", "--resamples", "20", "--json", "-o", tmp_path / "out")
    told = json.loads(found.out)
    assert told["counts"]["runs"] == 47 and "1 of 48 runs have no finite outcome" in " ".join(told["warnings"])


def test_what_people_write_into_tables(tmp_path: Path) -> None:
    """A word for a run that diverged, spaces after the commas of a header, whole numbers that no float64 holds."""
    columns = frame()
    columns["loss.second"] = ["diverged" if at == 7 else str(one) for at, one in enumerate(columns["loss.second"])]
    columns["hash"] = np.full(48, 2**62 + 1) + np.arange(48)
    path = write(tmp_path / "runs.csv", columns)
    header, _, rest = path.read_text().partition("\n")
    path.write_text(header.replace('"', "").replace(",", ", ") + "\n" + rest)
    found = run("mix", "fit", path, "-o", tmp_path / "out")
    assert found.status == 3 and "Row 8 of" in found.error() and "--skip-bad" in found.error()
    table = read_runs(path, skip_bad=True)
    assert table.settings.sources == NAMES and len(table) == 47 and "hash" in table.settings.values


def test_rounded_weights_and_other_separators(tmp_path: Path) -> None:
    columns = frame()
    renamed = {
        name.replace("mix.", "weight_").replace("loss.", "metric/"): np.round(column, 3)
        if name.startswith("mix.")
        else column
        for name, column in columns.items()
    }
    table = read_runs(write(tmp_path / "runs.csv", renamed))
    assert table.settings.sources == NAMES and list(table.outcomes) == ["first", "second", "third"]
    assert table.settings.mixture.sum(1) == pytest.approx(np.ones(48), abs=1e-12)
    assert len(np.unique(table.group)) == 24


def test_names_are_harmless(tmp_path: Path) -> None:
    columns = {name.replace("web", "<script>alert(1)</script>\x1b[2J"): column for name, column in frame().items()}
    found = run("mix", "fit", write(tmp_path / "x.csv", columns), "--resamples", "20", "-o", tmp_path / "out")
    found.screen()
    assert "<script>" not in (tmp_path / "out" / "report.html").read_text()


def test_ledger(tmp_path: Path) -> None:
    """Trials of cuvee's own ledger, with a table of what its arms are."""
    from cuvee.proof.ledger import Ledger
    from cuvee.proof.record import Record

    ledger, random = Ledger(tmp_path / "ledger"), np.random.default_rng(0)
    mixtures = random.dirichlet([2, 2, 2], 12)
    for arm, mixture in enumerate(mixtures):
        for seed in range(2):
            key = f"{arm:02x}{seed:02x}" * 10
            value = float(loss(mixture, 0)) + random.normal(0, 0.01)
            recipe = "r2" if (arm, seed) == (11, 1) else "r1"
            record = Record(
                key, f"arm{arm}", f"s{arm}", recipe, "{}", seed, "finished", {}, {"tokens": 1e6},
                {"held": value, "held/part": value}, (), {}, {}, {}, datetime.now(UTC), 1.0,
            )  # fmt: skip
            with ledger.claim(key):
                ledger.append(record)
    arms: dict[str, Any] = {"arm": [f"arm{place}" for place in range(12)]}
    arms |= {f"mix.{name}": mixtures[:, place] for place, name in enumerate(NAMES)}
    path = write(tmp_path / "arms.csv", arms)
    table = read_runs(tmp_path / "ledger", arms=path)
    assert len(table) == 23 and list(table.outcomes) == ["held"] and len(np.unique(table.group)) == 12
    assert table.notes == ("1 trials of other recipes were left out",)
    found = run("mix", "fit", tmp_path / "ledger", "-o", tmp_path / "out")
    assert found.status == 2 and "--arms" in found.error()
    assert run("mix", "fit", tmp_path / "ledger", "--arms", path, "--resamples", "20", "-o", tmp_path / "out").screen()


def test_lightgbm_missing_is_named(runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lightgbm", None)
    with pytest.raises(UsageError, match=r"pip install 'cuvee\[mix\]'"):
        cuvee.fit_law(runs, law="regmix", output=tmp_path / "out")
    assert cuvee.fit_law(runs, law="regmix", settings={"model": "linear"}, output=tmp_path / "out").weights


@pytest.mark.parametrize("posterior", [False, True])
def test_what_is_added_for_the_winner(posterior: bool) -> None:
    """Resamples are moved with the prediction; a posterior's surfaces are not, and their interval holds it."""
    told = fitting._stated("loss", 2.0, np.arange(1.0, 100.0) / 50, 0.25, posterior)  # places 5 and 95 of 99
    assert told["loss"] == 2.25
    low, high = (0.1, 2.25) if posterior else (0.35, 2.15)
    assert told["low"] == pytest.approx(low) and told["high"] == pytest.approx(high)


def test_trees_are_held_by_their_intervals(tmp_path: Path) -> None:
    """Surfaces through the runs need not agree with trees: predictions are held, and shares outside are told."""
    pytest.importorskip("lightgbm")
    found = cuvee.fit_law(
        write(tmp_path / "runs.csv", frame(20)), law="regmix", settings={"iterations": 100}, resample=20,
        output=tmp_path / "fit",
    ).summary  # fmt: skip
    assert found["optimism"] >= 0
    for one in (*found["expected"].values(), *found["gains"].values()):
        assert one["low"] <= one.get("loss", one.get("gain")) <= one["high"]
    outside = [one for one in found["proposal"] if not one["low"] - 0.005 <= one["weight"] <= one["high"] + 0.005]
    assert outside and any(f"of '{outside[0]['name']}'" in one for one in found["warnings"] if "outside" in one)
    assert all(one["low"] <= one["middle"] <= one["high"] for one in found["proposal"])
    assert sum(one["middle"] for one in found["proposal"]) == pytest.approx(1)
    assert found["gains"]["proportional"]["gain"] == pytest.approx(
        found["expected"]["proportional"]["loss"] - found["expected"]["proposal"]["loss"]
    )


@pytest.mark.parametrize("slope", [0.0, 0.5])
def test_surfaces_beside_trees_hold_a_proposal_back(tmp_path: Path, slope: float) -> None:
    """What stays at the natural mixture has its loss and no gain; what goes is not told to lose by it."""
    pytest.importorskip("lightgbm")
    natural = np.array([0.5, 0.3, 0.2])
    random = np.random.default_rng(0)
    x = np.vstack([np.tile(natural, (3, 1)), random.dirichlet(4 * natural, 30)])
    loss = 2 + slope * x[:, 0] + random.normal(0, 0.01, len(x))
    path = write(tmp_path / "runs.csv", {f"mix.{n}": x[:, at] for at, n in enumerate(NAMES)} | {"loss.x": loss})
    table = read_runs(path)
    sizes = dict(zip(NAMES, (500, 300, 200), strict=True))
    law = RegMix(iterations=300)
    found = fitting.fit_table(table, law, "regmix", sizes=sizes, anchor=int(table.group[0]), resample=20)
    moved, gain = found["caution"]["moved"], found["gains"]["proportional"]
    losses = [found["expected"][name]["loss"] for name in ("proposal", "proportional")]
    if slope:
        assert moved > 0 and gain["gain"] > 0 and losses[0] < losses[1]
    else:
        assert moved == found["optimism"] == gain["gain"] == gain["low"] == gain["high"] == 0
        assert losses[0] == losses[1]
