"""``cuvee mix transport``: distances of runs by hand, planted mixtures found, labels that count, refusals."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from cuvee.cli.mixing import mix
from cuvee.errors import CuveeError
from cuvee.law.transported import MixtureDistance
from cuvee.layout import sealed
from cuvee.pool import Reading
from cuvee.report.transport import render
from cuvee.transporting import Transported, _doubt, lines, transport_mix
from cuvee.transporting_wording import next_command, verdict
from tests.command import cuvee as run

NAMES = ("near", "side", "far")
MIDDLE = {"near": (1.0, 0.2, 0.0), "side": (0.2, 1.0, 0.0), "far": (-0.5, 0.0, 1.0)}
BEST = np.array([0.0, 0.6, 0.4])
"""Of far, near and side: sources stand in the order of their names."""
READING = Reading(domain="domain", embedding="vector", label="none")


def rows(seed: int, counts: dict[str, int], wrong: str = "") -> pa.Table:
    """Documents with vectors about their source's middle, and labels by their third number; by chance for ``wrong``."""
    random = np.random.default_rng(seed)
    domain = np.repeat(list(counts), list(counts.values()))
    vectors = np.array([MIDDLE[name] for name in domain]) + random.normal(0, (0.25, 0.25, 0.6), (len(domain), 3))
    label = vectors[:, 2] > 0
    label = np.where(domain == wrong, random.random(len(domain)) < 0.5, label)
    return pa.table({
        "id": [f"{seed}-{at}" for at in range(len(domain))],
        "text": [f"document {at} of {seed}" for at in range(len(domain))],
        "domain": domain,
        "vector": vectors.tolist(),
        "label": np.where(label, "yes", "no"),
    })  # fmt: skip


def finished(path: Path, noise: float = 0.001, mixtures: int = 20) -> Path:
    """Runs whose performance is best at ``BEST``, at two sizes."""
    random = np.random.default_rng(5)
    x = random.dirichlet(np.ones(3), mixtures)
    columns: dict[str, Any] = {f"mix.{name}": np.tile(x[:, at], 2) for at, name in enumerate(sorted(NAMES))}
    samples = np.repeat([100.0, 400.0], mixtures)
    fallen = 0.3 * ((np.tile(x, (2, 1)) - BEST) ** 2).sum(1)
    score = 0.5 + 0.04 * np.log(samples / 100) - fallen + random.normal(0, noise, 2 * mixtures)
    pyarrow.csv.write_csv(pa.table(columns | {"samples": samples, "metric.score": score}), path)
    return path


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("transport")
    pq.write_table(rows(1, {"far": 50, "near": 60, "side": 40}), found / "pool.parquet")
    pq.write_table(rows(2, {"near": 36, "side": 24}).drop(["domain"]), found / "valid.parquet")
    finished(found / "runs.csv")
    return found


def climb(place: Path, name: str, **asked: Any) -> Transported:
    settings = {"rows": 60, "steps": 40, "reading": READING, "cache": place / "cache", "output": place / name}
    return transport_mix(place / "runs.csv", place / "pool.parquet", place / "valid.parquet", **(settings | asked))


@pytest.fixture(scope="module")
def found(place: Path) -> Transported:
    return climb(place, "found", samples=1_000)


def test_the_planted_mixture_is_found(found: Transported) -> None:
    weights = found.weights
    assert weights["far"] < 0.1 and weights["near"] == pytest.approx(0.6, abs=0.12)
    summary = found.summary
    gain, expected = summary["gain"], summary["expected"]
    assert 0 < gain["low"] <= gain["gain"] <= gain["high"]
    assert expected["proposal"]["performance"] - expected["proportional"]["performance"] == pytest.approx(gain["gain"])
    assert summary["judged"]["error"] < summary["judged"]["baselines"]["mean"] / 5 and not summary["doubt"]
    assert summary["verdict"].startswith("Predicted to be better than proportional at 1,000 samples")
    assert "--weights" in summary["next"] and "3 times the largest" not in summary["verdict"]
    assert not [one for one in summary["warnings"] if "is luck" in one]
    screen = lines(found)
    assert len(screen) <= 24 and max(map(len, screen)) <= 80 and screen[-1].startswith("report:")


def test_distances_are_those_of_the_rows_themselves(found: Transported, place: Path) -> None:
    """With rows for all: the column is the divergence of the vectors at hand, which runs.csv gives to any fit."""
    every = climb(place, "every", rows=180, steps=1).folder
    pool, valid = pq.read_table(place / "pool.parquet"), pq.read_table(place / "valid.parquet")

    def unit(table: pa.Table) -> np.ndarray:
        vectors = np.array(table["vector"].to_pylist(), np.float32)
        return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float64)

    domain = np.array(pool["domain"].to_pylist())
    own = [unit(pool.filter(pa.array(domain == name))) for name in sorted(NAMES)]
    away = MixtureDistance(own, unit(valid))
    told = pyarrow.csv.read_csv(every / "runs.csv").to_pylist()
    assert len(told) == 40 and set(told[0]) == {*(f"mix.{one}" for one in NAMES), "distance", "samples", "metric.score"}
    for row in told[:6]:
        mixture = np.array([row[f"mix.{name}"] for name in sorted(NAMES)])
        assert row["distance"] == pytest.approx(away.at(mixture / mixture.sum())[0], rel=1e-3)
    fit = run("mix", "fit", str(found.folder / "runs.csv"), "--with", "projektor", "-o", str(place / "fit"), "-q")
    assert fit.status == 0 and "predicts runs left out" in fit.out


def test_how_rows_lie_in_files_is_no_matter(found: Transported, place: Path) -> None:
    pool = pq.read_table(place / "pool.parquet")
    (place / "parts").mkdir()
    for at in range(3):
        pq.write_table(pool.slice(50 * at, 50), place / "parts" / f"{at}.parquet")
    again = transport_mix(
        place / "runs.csv", place / "parts", place / "valid.parquet", rows=60, steps=40, samples=1_000,
        reading=READING, cache=place / "other", output=place / "parted", workers=1,
    )  # fmt: skip
    assert again.digest == found.digest
    assert climb(place, "seeded", samples=1_000, seed=1).digest != found.digest


def test_labels_that_are_wrong_make_a_source_far(place: Path) -> None:
    pq.write_table(rows(1, {"far": 50, "near": 60, "side": 40}, wrong="near"), place / "wrong.parquet")
    own = {}
    for pool, label in (("pool", "label"), ("wrong", "label"), ("wrong", "none")):
        reading = Reading(domain="domain", embedding="vector", label=label)
        told = transport_mix(
            place / "runs.csv", place / f"{pool}.parquet", place / "valid.parquet", rows=90, steps=1, reading=reading,
            cache=place / "cache", output=place / f"{pool} by {label}",
        ).summary  # fmt: skip
        assert told["labels"] == (label == "label")
        own[pool, label] = {one["name"]: one["distance"] for one in told["proposal"]}
    right, wrong, plain = own.values()
    assert wrong["near"] > 1.1 * right["near"] and wrong["side"] == pytest.approx(right["side"], rel=0.01)
    assert plain["near"] < right["near"]  # what labels cost comes on top


def test_what_is_not_known_is_not_proposed(place: Path) -> None:
    """Noise without a signal, and hardly more mixtures than numbers."""
    for name, noise, mixtures in (("noise", 3.0, 20), ("few", 0.001, 9)):
        table = finished(place / f"{name}.csv", noise, mixtures)
        told = transport_mix(
            table, place / "pool.parquet", place / "valid.parquet", rows=60, steps=5, reading=READING,
            cache=place / "cache", output=place / name,
        ).summary  # fmt: skip
        assert told["next"].endswith("--with proportional")
        said = "Not to be relied on" if name == "noise" else "too few mixtures for an interval"
        assert said in told["verdict"]


def test_a_law_that_a_straight_line_equals_is_not_relied_on(place: Path) -> None:
    """As in a fit: verdict, doubt, warnings and next command say the same, and ``mix fit`` says it of the same runs."""
    table = pyarrow.csv.read_csv(finished(place / "line.csv")).to_pydict()
    line = 0.5 + 0.04 * np.log(np.array(table["samples"]) / 100) - 0.1 * np.array(table["mix.far"])
    table["metric.score"] = line + np.random.default_rng(3).normal(0, 0.001, len(line))
    pyarrow.csv.write_csv(pa.table(table), place / "line.csv")
    told = transport_mix(
        place / "line.csv", place / "pool.parquet", place / "valid.parquet", rows=60, steps=5, reading=READING,
        cache=place / "cache", output=place / "line",
    )  # fmt: skip
    summary, judged = told.summary, told.summary["judged"]
    assert judged["baselines"]["linear"] <= judged["error"] < judged["baselines"]["nearest"]
    assert summary["doubt"].startswith("the law misses mixtures left out by no less than a straight line")
    assert summary["verdict"].startswith("Not to be relied on: the law misses")
    assert summary["next"].endswith("--with proportional")
    assert any(f"guesses reach: mean {judged['baselines']['mean']:.3g}, linear" in one for one in summary["warnings"])
    fit = run("mix", "fit", str(told.folder / "runs.csv"), "--with", "projektor", "-o", str(place / "doubted"), "-q")
    assert fit.out.startswith("Not to be relied on")


def test_distance_that_helps_is_doubted(found: Transported) -> None:
    assert _doubt(found.summary["judged"], rising=False) == ""
    assert _doubt(found.summary["judged"], rising=True).startswith("more distance to validation data is predicted")


def test_what_is_predicted_to_be_worse_is_called_worse(found: Transported) -> None:
    lost = {**found.summary, "gain": {"gain": -0.2, "low": -0.3, "high": -0.1}}
    assert verdict(lost).startswith("Predicted to be worse than proportional")
    assert next_command(lost, ["p"], "domain").endswith("--with proportional")


def test_runs_of_one_size_tell_of_that_size_alone(place: Path) -> None:
    table = pyarrow.csv.read_csv(place / "runs.csv")
    pyarrow.csv.write_csv(table.slice(0, 20), place / "one size.csv")
    asked: dict[str, Any] = {"rows": 60, "steps": 20, "reading": READING, "cache": place / "cache"}
    paths = (place / "one size.csv", place / "pool.parquet", place / "valid.parquet")
    with pytest.raises(CuveeError, match=r"All runs are of 100 samples, so nothing is known of 400"):
        transport_mix(*paths, samples=400, output=place / "refused", **asked)
    told = transport_mix(*paths, samples=100, output=place / "one size", **asked).summary
    assert told["sizes"] == [100] and told["beyond"] == 1 and not told["doubt"]
    assert any("All runs are of 100 samples: what is predicted holds for that" in one for one in told["warnings"])
    assert "linear in the distance, at one size" in told["limits"][0]


def test_the_command(place: Path) -> None:
    asked = [
        "mix", "transport", str(place / "runs.csv"), "--pool", str(place / "pool.parquet"), "--target",
        str(place / "valid.parquet"), "--by", "domain", "--embedding", "vector", "--rows", "60", "--steps", "40",
        "--samples", "1k", "--cache", str(place / "cache"), "-o", str(place / "commanded"), "-q",
    ]  # fmt: skip
    plan = run(*asked, "--plan")
    assert plan.status == 0 and not (place / "commanded").exists()
    assert "transport.json" in "".join(plan.out.split())  # long paths are broken at the width of the screen
    told = run(*asked, "--json")
    assert told.status == 0, told.err
    summary = json.loads(told.out)
    assert summary == json.loads((place / "commanded" / "transport.json").read_text()) == sealed(summary)
    assert run(*asked).out.startswith("Predicted to be better") and "transport" in mix.commands
    page = (place / "commanded" / "report.html").read_text()
    assert "Which mixture?" in page and "How near is each source?" in page


def test_a_handful_of_rows_is_said(place: Path) -> None:
    pq.write_table(pq.read_table(place / "valid.parquet").slice(0, 6), place / "six.parquet")
    told = transport_mix(
        place / "runs.csv", place / "pool.parquet", place / "six.parquet", rows=60, steps=1, reading=READING,
        cache=place / "cache", output=place / "six",
    ).summary  # fmt: skip
    assert "Fewer than 20 rows with a vector stand for the validation data: its distance is luck." in told["warnings"]


def test_hostile_names_are_text() -> None:
    bad = "<script>\x1b"
    row = {"name": bad, "weight": 0.5, "proportional": None, "distance": 1.0}
    page = render({"proposal": [row, {"name": 3}], "expected": {bad: {"performance": 1}, "x": 2}, "features": bad})
    assert "<script" not in page and "\x1b" not in page
    render({"proposal": 7, "expected": [], "runs": "many"})


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"rows": 5}, "--rows must be from 20"),
        ({"steps": 0}, "--steps must be at least 1"),
        ({"outcome": "loss"}, "No outcome is called 'loss'"),
        ({"reading": Reading(domain="label", embedding="vector", label="none")}, "is no source of the pool"),
        ({"reading": Reading(domain="domain", embedding="nothing", label="none")}, "nothing"),
    ],
)
def test_refusals(place: Path, change: dict[str, Any], said: str) -> None:
    with pytest.raises(CuveeError, match=said):
        climb(place, "refused", **change)
    assert not (place / "refused").exists()


def test_tables_that_say_too_little(place: Path) -> None:
    table = pyarrow.csv.read_csv(place / "runs.csv")
    for name, changed, said in (
        ("sizes", table.drop(["samples"]), "need a column samples"),
        ("two", table.append_column("metric.other", table["metric.score"]), "Name the one to climb"),
        ("short", table.slice(0, 5), "projektor needs 8 different mixtures"),
    ):
        pyarrow.csv.write_csv(changed, place / f"{name}.csv")
        with pytest.raises(CuveeError, match=said):
            transport_mix(
                place / f"{name}.csv", place / "pool.parquet", place / "valid.parquet", rows=60, reading=READING,
                cache=place / "cache", output=place / "refused",
            )  # fmt: skip


def test_runs_that_cannot_be_used_are_told_or_passed_over(place: Path, tmp_path: Path) -> None:
    table = pyarrow.csv.read_csv(place / "runs.csv").to_pydict()
    spoiled = table | {"metric.score": [float("nan"), *table["metric.score"][1:]]}
    pyarrow.csv.write_csv(pa.table(spoiled), tmp_path / "nan.csv")
    asked = {"rows": 60, "steps": 2, "cache": place / "cache", "output": tmp_path / "out"}
    paths = (place / "pool.parquet", place / "valid.parquet")
    with pytest.raises(CuveeError, match=r"Row 1 .* not a finite number"):
        transport_mix(tmp_path / "nan.csv", *paths, reading=READING, **asked)
    found = transport_mix(tmp_path / "nan.csv", *paths, reading=replace(READING, skip_bad=True), **asked)
    assert found.summary["runs"] == 39 and "1 of 40 runs" in " ".join(found.summary["warnings"])
    negative = table | {"samples": [-one for one in table["samples"]]}
    pyarrow.csv.write_csv(pa.table(negative), tmp_path / "negative.csv")
    with pytest.raises(CuveeError, match=r"Row 1 .*samples is -100, and must be above 0"):
        transport_mix(tmp_path / "negative.csv", *paths, reading=READING, **asked)
    with pytest.raises(CuveeError, match="--seed must be at least 0, not -1"):
        transport_mix(place / "runs.csv", *paths, reading=READING, seed=-1, **asked)
