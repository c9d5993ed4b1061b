"""Laws through ``mix fit`` that look at more than a mixture, and outcomes that fail: what the user is told."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pytest

import cuvee
from cuvee.law import wording
from cuvee.law.baselines import BASELINES
from cuvee.law.clustering_on_difficulty import ClusteringOnDifficulty
from cuvee.law.d_cpt import DCpt
from cuvee.law.effective_tokens import EffectiveTokens
from cuvee.law.judge import clusters, folds, judge, together
from cuvee.law.value_of_ood import ValueOfOod
from tests.command import cuvee as run

from .planted import NAMES, TILT, at, swarm, table


def write(path: Path, columns: dict[str, Any]) -> Path:
    pyarrow.csv.write_csv(pa.table(columns), path)
    return path


def sized(random: np.random.Generator) -> dict[str, Any]:
    """Nine sizes of twelve mixtures, of the form of nested_mixing, without noise."""
    rows = [
        (*mixture, tokens, size, 1.2 + np.exp(mixture @ TILT[0]) + (1e6 / tokens) ** 0.3 + (1e5 / size) ** 0.3)
        for mixture in random.dirichlet([2, 2, 2], 12)
        for tokens in (1e6, 1e7, 1e8)
        for size in (1e5, 1e6, 1e7)
    ]
    names = [*(f"mix.{name}" for name in NAMES), "tokens", "parameters", "loss.held"]
    return dict(zip(names, np.array(rows).T, strict=True))


def test_nested_mixing_is_judged_at_the_sizes_of_the_runs(tmp_path: Path) -> None:
    """A perfect fit is called one; whole mixtures are left out, and the proposal is asked about at --at."""
    columns = sized(np.random.default_rng(0))
    path = write(tmp_path / "sizes.csv", columns)
    asked: dict[str, Any] = {"law": "nested_mixing", "resample": 20, "output": tmp_path / "fit"}
    found = cuvee.fit_law(path, **asked).summary
    told = found["outcomes"][0]
    assert told["error"] < 1e-6 and found["verdict"].startswith("nested_mixing predicts")
    np.testing.assert_allclose(told["predicted"], told["observed"], atol=1e-5)
    assert told["largest"] == {"tokens": None, "parameters": None}  # two values are left, and a curve needs three
    large = cuvee.fit_law(path, **asked, at={"tokens": 1e9, "parameters": 1e8}).summary
    fall = (1e6 / 1e8) ** 0.3 - (1e6 / 1e9) ** 0.3 + (1e5 / 1e7) ** 0.3 - (1e5 / 1e8) ** 0.3
    before, after = (one["expected"]["uniform"]["loss"] for one in (found, large))
    assert before - after == pytest.approx(fall, abs=1e-4)
    same = cuvee.fit_law(path, **asked, settings={"tokens": 1e9, "parameters": 1e8}).summary
    assert same["expected"]["uniform"]["loss"] == pytest.approx(after, abs=1e-6)


def test_whole_mixtures_are_left_out() -> None:
    runs = swarm(6, 0.0, repeats=2)
    sizes = np.tile([1.0, 2.0], 6)
    runs = table(runs.outcome, size=sizes)
    assert clusters(runs)[0] == 2 and clusters(together(runs, None))[0] == 2
    both = table(np.arange(6.0), compute=np.repeat([1.0, 2.0, 3.0], 2), item=np.tile([5.0, 9.0], 3))
    assert clusters(together(both, "compute"))[1].tolist() == [0, 0, 1, 1, 2, 2]
    assert clusters(together(both, "item"))[1].tolist() == [0, 1] * 3
    assert clusters(together(both, ("compute", "item")))[0] == 6
    twice = table(np.arange(6.0), compute=np.tile([1.0, 1.0, 2.0], 2), item=np.tile([5.0, 9.0, 9.0], 2))
    assert clusters(together(twice, ("compute", "item")))[1].tolist() == [0, 1, 2] * 2


def test_whole_shares_and_whole_corpora_are_left_out() -> None:
    """Other runs of a share, or of a data set, would tell its loss; data sets alike in one indicator are two."""
    share, tokens = (one.ravel() for one in np.meshgrid(np.linspace(0, 1, 6), np.geomspace(1e9, 1.6e10, 5)))
    shared = table(tokens, parameters=0 * tokens + 1e9, tokens=tokens, share=share)
    masks = folds(together(shared, DCpt().left_out))
    assert sorted(tuple(set(share[mask])) for mask in masks) == [(one,) for one in np.unique(share)]
    assert [mask.sum() for mask in masks] == [5] * 6
    diversity, syntheticity = np.repeat([2.0, 3.0, 3.0, 4.0], 6), np.repeat([0.0, 0.0, 0.1, 0.1], 6)
    size = np.tile(np.geomspace(1e7, 1e9, 6), 4)
    sets = table(size, parameters=size, tokens=20 * size, diversity=diversity, syntheticity=syntheticity)
    masks = folds(together(sets, EffectiveTokens().left_out))
    assert [set(np.flatnonzero(mask) // 6) for mask in masks] == [{0}, {1}, {2}, {3}]
    assert [mask.sum() for mask in masks] == [6] * 4


def items(random: np.random.Generator) -> dict[str, Any]:
    """Eight sizes of model on fifty items of two kinds."""
    rows = []
    for item in range(50):
        steep = (2.5, 6.0)[item % 2] * np.exp(random.normal(0, 0.05))
        for compute in np.geomspace(1e18, 1e20, 8):
            rate = np.exp(-steep * (compute / 1e18) ** -0.6 - 0.02)
            rows.append((compute, item, random.binomial(100, rate) / 100))
    return dict(zip(("compute", "item", "loss.pass"), np.array(rows).T, strict=True))


def test_clustering_on_difficulty_through_the_command(tmp_path: Path) -> None:
    """Whole sizes are left out and items drawn; without an item the question is about the benchmark's score."""
    path = write(tmp_path / "items.csv", items(np.random.default_rng(0)))
    words = ("--with", "clustering_on_difficulty", "--at", "compute=1e21", "--resamples", "20", "--json")
    told = json.loads(run("mix", "fit", path, *words, "-o", tmp_path / "out").out)
    assert told["outcomes"][0]["error"] < 0.06 and told["verdict"].startswith("clustering_on_difficulty predicts")
    truth = np.mean([np.exp(-steep * 1e3**-0.6 - 0.02) for steep in (2.5, 6.0)])
    score = told["asked"]["pass"]
    assert score["value"] == pytest.approx(truth, abs=0.05)
    assert score["low"] < score["value"] < score["high"] and score["high"] - score["low"] > 0.005
    one = run("mix", "fit", path, *words, "--at", "item=1", "-o", tmp_path / "out")
    assert json.loads(one.out)["asked"]["pass"]["value"] < score["value"] - 0.01


def test_items_that_lack_a_size_are_counted(tmp_path: Path) -> None:
    columns = items(np.random.default_rng(0))
    keep = np.arange(400) != 13
    path = write(tmp_path / "items.csv", {name: column[keep] for name, column in columns.items()})
    found = run("mix", "fit", path, "--with", "clustering_on_difficulty", "-o", tmp_path / "out")
    assert found.status == 3 and "1 of 50 lack one" in found.error()
    few = {name: column[columns["compute"] < 2e18] for name, column in columns.items()}
    found = run(
        "mix", "fit", write(tmp_path / "few.csv", few), "--with", "clustering_on_difficulty", "-o", tmp_path / "x"
    )
    assert found.status == 3 and "four sizes or more" in found.error()


def test_a_long_ladder_is_clustered_by_half_of_it() -> None:
    x = items(np.random.default_rng(0))
    runs = table(x["loss.pass"], compute=x["compute"], item=x["item"])
    short = runs.take(x["compute"] < 0.9e20)
    for law, given, rungs in (
        (ClusteringOnDifficulty(), runs, 4),
        (ClusteringOnDifficulty(half=False), runs, 8),
        (ClusteringOnDifficulty(), short, 7),
        (ClusteringOnDifficulty(half=True), short, 4),
    ):
        assert law.fit(given).parameters["rungs_clustered"] == rungs


def test_items_drawn_twice_count_twice() -> None:
    x = items(np.random.default_rng(0))
    runs = table(x["loss.pass"], compute=x["compute"], item=x["item"])
    easy = np.where(x["item"] % 2 == 0, 3, 1)
    plain, more = ClusteringOnDifficulty().refit(runs, np.stack([np.ones(400, int), easy]))
    assert more.parameters["items"] == 100 and plain.parameters["items"] == 50
    everything = at(compute=[1e20], item=[np.nan])
    assert more.at(everything)[0] > plain.at(everything)[0] + 0.01


def paired() -> dict[str, Any]:
    first = np.linspace(2.0, 4.0, 16)
    noise = np.random.default_rng(0).normal(0, 1e-3, 16)
    return {"loss_a": first, "loss.b": 0.9 * (first - 1.5) ** 1.1 + 1.2 + noise}


def test_loss_to_loss_as_its_page_says(tmp_path: Path) -> None:
    """The column loss_a is the law's input and no outcome, though it looks like one."""
    path = write(tmp_path / "pairs.csv", paired())
    words = ("--with", "loss_to_loss:floor_a=1.5", "--resamples", "20", "-o", tmp_path / "out")
    told = json.loads(run("mix", "fit", path, *words, "--at", "loss_a=3", "--json").out)
    assert [one["name"] for one in told["outcomes"]] == ["b"]
    assert told["asked"]["b"]["value"] == pytest.approx(0.9 * 1.5**1.1 + 1.2, abs=0.01)
    below = run("mix", "fit", path, *words, "--at", "loss_a=1.4")
    assert below.status == 2 and "loss_to_loss has no answer at loss_a=1.4" in below.error()


def mixed(noise: float = 0.01) -> dict[str, Any]:
    runs = swarm(24, noise, repeats=2)
    columns: dict[str, Any] = {f"mix.{name}": runs.settings.mixture[:, at] for at, name in enumerate(NAMES)}
    return columns | {"loss.code": runs.outcome.copy(), "loss.text": runs.outcome.copy()}


def test_the_outcome_that_fails_is_named(tmp_path: Path) -> None:
    """The second outcome is noise: the warning and the page speak of it, not of the first."""
    columns = mixed()
    columns["loss.text"] = np.random.default_rng(2).normal(50, 10, 48)
    path = write(tmp_path / "runs.csv", columns)
    found = cuvee.fit_law(path, resample=20, output=tmp_path / "out").summary
    assert found["shown"] == 1 and any("The error on 'text'" in one for one in found["warnings"])
    assert not any("The error on 'code'" in one for one in found["warnings"])
    page = (tmp_path / "out" / "report.html").read_text()
    assert "while left out, predicted: text" in page and "while left out, predicted: code" not in page
    assert found["verdict"].endswith("no better than a guess that knows nothing.")


def test_numbers_past_all_measure_are_short() -> None:
    summary: dict[str, Any] = {
        "law": {"name": "x"},
        "proposal": [],
        "outcomes": [{"weight": 1.0, "error": 2.7e11, "error_in_noise": 8.9766955474742e13, "baselines": {"mean": 1}}],
    }
    assert "2.7e+11 (9e+13 times seed noise), no better than a guess that knows nothing" in wording.verdict(summary)
    summary["outcomes"][0] |= {"error": 0.5, "error_in_noise": 2.0, "baselines": {"mean": 1.0, "linear": 0.4}}
    assert wording.verdict(summary).endswith("(2.0 times seed noise), no better than a linear regression.")
    summary["outcomes"][0]["baselines"] = {"mean": 1.0, "linear": 0.6, "nearest": 0.5}
    assert wording.verdict(summary).endswith("no better than the nearest run.")


def test_a_line_is_not_compared_with_itself(tmp_path: Path) -> None:
    columns = mixed()
    mixture = np.column_stack([columns[f"mix.{name}"] for name in NAMES])
    for name in ("loss.code", "loss.text"):
        columns[name] = 2 + mixture @ np.array([0.3, -0.4, 0.8]) + np.random.default_rng(1).normal(0, 0.01, 48)
    path = write(tmp_path / "line.csv", columns)
    found = cuvee.fit_law(path, law="regmix", settings={"model": "linear"}, resample=20, output=tmp_path / "a").summary
    assert found["verdict"].startswith("regmix predicts") and "linear" not in found["outcomes"][0]["baselines"]
    other = cuvee.fit_law(path, resample=20, output=tmp_path / "b").summary
    assert set(other["outcomes"][0]["baselines"]) == {"mean", "linear", "nearest"}


def test_all_bad_rows_are_named(tmp_path: Path) -> None:
    columns = mixed()
    columns["loss.text"][[4, 6]] = np.nan
    columns["loss.code"][7] = np.nan
    found = run("mix", "fit", write(tmp_path / "runs.csv", columns), "-o", tmp_path / "out")
    assert found.status == 3
    assert "Rows 5, 7 and 8 of" in found.error() and "loss.code or loss.text is not a finite number" in found.error()


def test_guesses_at_a_nought_that_was_left_out() -> None:
    """Numbers of other samples begin at 0: no logarithm of it when it is the one left out."""
    other = np.repeat([0.0, 10, 30, 100, 300, 1000], 3)
    error = 0.3 - 0.02 * np.log1p(other) + np.tile([-0.001, 0.0, 0.001], 6)
    runs = table(error, target=np.full(18, 100.0), other=other)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        verdict = judge(ValueOfOod(), runs, BASELINES)
    assert all(np.isfinite(one) and one < 1 for one in verdict.baselines.values())


def test_parameters_are_spelled_out(tmp_path: Path) -> None:
    """Mappings and lists of numbers are shown as numbers, not as code."""
    columns = mixed()
    mixture = np.column_stack([columns[f"mix.{name}"] for name in NAMES])
    columns |= {"distance": mixture @ np.array([0.1, 0.5, 0.9]), "samples": np.tile([100, 1000], 24)}
    path = write(tmp_path / "runs.csv", columns)
    words = ("--with", "projektor", "--loss", "loss.code", "--resamples", "20", "-o", tmp_path / "out")
    screen = "\n".join(run("mix", "fit", path, *words).screen())
    assert "weights" in screen and not set("{}") & set(screen)
