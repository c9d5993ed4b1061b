"""What ``cuvee mix fit`` says of its proposal: worse is called worse, and what runs do not tell is said to be open."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pytest

import cuvee
from cuvee.core import Runs
from cuvee.engine.progress import Progress
from cuvee.errors import UsageError
from cuvee.fitting import fit_table
from cuvee.law import wording
from cuvee.law.curve import Curve
from cuvee.law.data_mixing_laws import DataMixingLaws
from cuvee.law.table import from_arrow
from cuvee.quantities import count
from cuvee.report.fit import render
from cuvee.supervisor import interrupted
from tests.command import cuvee as run

from .test_fitting import frame, write

SIZES = {"books": 3, "code": 3, "web": 4}


def told(gain: tuple[float, float, float], best: tuple[float, float, float] = (0.1, 0.05, 0.15)) -> dict[str, Any]:
    """A summary in which these are the gains over proportional and over the best mixture run."""
    gains = {
        name: dict(zip(("gain", "low", "high"), one, strict=True))
        for name, one in (("proportional", gain), ("uniform", gain), ("best_measured", best))
    }
    outcome = {"name": "held", "weight": 1.0, "error": 0.01, "noise": 0.01, "error_in_noise": 1.0, "rank": 1.0}
    outcome |= {"rank_best": 1.0, "baselines": {"mean": 0.1}, "observed": [2.0, 2.4], "parameters": {}}
    source: dict[str, Any] = {
        "name": "web",
        "weight": 1.0,
        "low": 1.0,
        "high": 1.0,
        "proportional": 1.0,
        "best_measured": 1.0,
    }
    losses = {name: {"loss": 2.0} for name in ("proposal", "proportional", "uniform")}
    return {
        "law": {"name": "some_law"},
        "counts": {"runs": 9, "settings": 9},
        "proposal": [source | {"passes": None}],
        "outcomes": [outcome],
        "expected": losses | {"best_measured": {"loss": 2.1, "observed": 2.1}},
        "gains": gains,
        "natural_known": True,
        "asked": {},
        "at": {},
        "next": "x",
        "warnings": [],
    }


@pytest.mark.parametrize(
    ("gain", "verdict", "exported"),
    [
        ((-0.0318, -0.0513, -0.0137), "worse than proportional (gain -0.0318 [-0.0513, -0.0137]): keep prop", False),
        ((-0.03, -1.7e5, -0.01), "worse than proportional (gain -0.03 [not determined]): keep proportional.", False),
        ((0.03, -1.77e5, 0.2), "The gain over proportional is not determined", False),
        ((0.03, float("nan"), float("nan")), "The gain over proportional is not determined", False),
        ((0.03, -0.01, 0.05), "Expected gain over proportional: +0.03 [-0.01, +0.05]: not shown.", True),
        ((0.03, 0.01, 0.05), "Expected gain over proportional: +0.03 [+0.01, +0.05].", True),
        ((-0.03, -0.05, 0.01), "no better than proportional (gain -0.03 [-0.05, +0.01]): keep proportional.", False),
    ],
)
def test_how_a_proposal_stands(gain: tuple[float, float, float], verdict: str, exported: bool) -> None:
    summary = told(gain)
    assert verdict in wording.verdict(summary)
    assert wording.next_command(summary, "out").startswith("cuvee mix export" if exported else "cuvee methods some_law")


def test_a_gain_below_what_the_law_misses_is_not_shown() -> None:
    """Intervals trust the form; where it misses runs by more than the gain, and by more than luck, they do not hold."""
    for error, in_noise, shown in (
        (0.05, 5.0, False),
        (0.05, 2.0, True),
        (0.02, 5.0, True),
        (0.05, float("nan"), False),
        (0.02, float("nan"), True),
    ):
        summary = told((0.03, 0.01, 0.05), best=(0.02, 0.01, 0.03))
        summary["outcomes"][0] |= {"error": error, "error_in_noise": in_noise}
        assert wording.standing(summary, "proportional") == ("better" if shown else "not shown")
        why = "not shown, for the law misses runs by more."
        assert wording.verdict(summary).endswith("[+0.01, +0.05]." if shown else f"[+0.01, +0.05]: {why}")
        worse = told((-0.03, -0.05, -0.01))
        worse["outcomes"][0] |= {"error": error, "error_in_noise": in_noise}
        assert wording.standing(worse, "proportional") == "worse"


def test_the_best_run_beside_the_proposal() -> None:
    def said(*best: float, observed: float = 2.1) -> list[str]:
        summary = told((0.1, 0.05, 0.2), best)  # type: ignore[arg-type]
        summary["expected"]["best_measured"]["observed"] = observed
        return wording.warnings(summary)

    assert said(0.1, 0.05, 0.15) == []
    assert said(0.1, -0.05, 0.15)[0].startswith("The proposal is not shown to be better than the best mixture")
    assert "worse than the best mixture already run (gain -0.1 [-0.2, -0.05])" in said(-0.1, -0.2, -0.05)[0]
    assert "already run, though not for sure (gain -0.1 [-0.2, +0.05])" in said(-0.1, -0.2, 0.05)[0]
    assert "was measured at 1.9, below the 2 predicted" in said(0.1, 0.05, 0.15, observed=1.9)[0]


def test_the_best_run_may_repeat_too_much() -> None:
    """Advice to train it says how often it would go through a source, where that is more than the proposal does."""
    summary = told((0.1, 0.05, 0.2), (-0.1, -0.2, -0.05))
    summary["tokens"] = 40_000
    summary["proposal"] = [
        {"name": "code", "weight": 0.1, "best_measured": 0.53, "available": 2_000, "passes": 2.0, "low": 0, "high": 1},
        {"name": "web", "weight": 0.9, "best_measured": 0.47, "available": 50_000, "passes": 0.72, "low": 0, "high": 1},
    ]
    assert wording.warnings(summary)[0].endswith("that one would go through 'code' 10.6 times.")
    for change in ({"available": 10_000}, {"passes": 11.0}, {"available": None}):
        summary["proposal"][0] |= {"available": 2_000, "passes": 2.0} | change
        assert "would go through" not in wording.warnings(summary)[0]


def test_open_predictions_are_marked() -> None:
    summary = told((0.1, 0.05, 0.2))
    for one in summary["expected"].values():
        one |= {"low": -1.77e5, "high": 3.0}
    summary["asked"] = {"held": {"value": 2.1, "low": 2.0, "high": 1e4}}
    wording.mark(summary)
    assert not any(one["determined"] for one in summary["expected"].values())
    assert "  held 2.1 [not determined]" in wording.fit_lines(Path("out"), summary | {"verdict": ""})
    page = render(summary)
    assert "nor does a gain that the law misses runs by" in page
    assert "-177" not in page and "10,000" not in page and "2.1" in page


def test_predicted_losses_stand_whole() -> None:
    """With their intervals, on as many lines as they need, however long the numbers are."""
    summary = told((0.1, 0.05, 0.2)) | {"verdict": ""}
    for value in (2.345, -0.55841, 12345.6789):
        for one in summary["expected"].values():
            one |= {"loss": value, "low": value - 0.1, "high": value + 0.1, "determined": True}
        lines = wording.fit_lines(Path("out"), summary)
        text = " ".join(" ".join(lines).split())
        whole = f"{value:.4g} [{value - 0.1:.4g}, {value + 0.1:.4g}]"
        assert all(f"{name} {whole}" in text for name in ("proposal", "proportional", "uniform", "best run"))
        assert max(map(len, lines)) <= 80


def test_a_doubtful_law_is_not_exported() -> None:
    summary = told((0.1, 0.05, 0.2))
    summary["outcomes"][0]["error"] = 0.2
    assert wording.standing(summary, "proportional") == "not shown"
    assert wording.next_command(summary, "out") == "cuvee methods some_law"
    summary |= {"mixtures": [{}], "counts": {"runs": 9, "settings": 9, "sources": 3}}
    typed = "cuvee mix fit runs.csv --with some_law:rate=0.1 -o out"
    assert wording.next_command(summary, "out", "cuvee.fit_law('runs.csv')") == "cuvee methods some_law"
    assert wording.next_command(summary, "out", typed, ["steps"]) == "cuvee methods some_law"
    mixed = wording.next_command(summary, "out", typed, ["parameters", "tokens"])
    assert mixed == "cuvee mix fit runs.csv -o out --with nested_mixing"
    for law, sources, following in (
        ("some_law", 3, "cuvee mix fit runs.csv -o out --with optimal_mixtures"),
        ("some_law", 4, "cuvee mix fit runs.csv -o out --with gaussian_process"),
        ("optimal_mixtures", 3, "cuvee mix fit runs.csv -o out --with gaussian_process"),
        ("gaussian_process", 3, "cuvee methods gaussian_process"),
    ):
        summary |= {"law": {"name": law}, "counts": {"settings": 9, "sources": sources}}
        assert wording.next_command(summary, "out", typed) == following
    summary["outcomes"][0]["baselines"] = {"mean": 0.1, "linear": 0.05}
    for law, parameters, following in (
        ("some_law", {}, "optimal_mixtures"),
        ("gaussian_process", {}, "regmix:model=linear"),
        ("regmix", {"model": "linear"}, ""),
    ):
        summary |= {"law": {"name": law, "parameters": parameters}, "counts": {"settings": 9, "sources": 3}}
        found = wording.next_command(summary, "out", typed)
        expected = f"cuvee mix fit runs.csv -o out --with {following}" if following else f"cuvee methods {law}"
        assert found == expected
    assert wording.next_command(summary, "out", typed, turned=True) == "cuvee methods regmix"
    summary["outcomes"][0]["observed"] = [-0.4, -0.2]
    summary |= {"law": {"name": "some_law"}, "counts": {"settings": 9, "sources": 3}}
    assert wording.next_command(summary, "out", typed).endswith("gaussian_process")


def test_what_is_not_to_be_exported() -> None:
    """A gain that is not shown and a form that does not fit; and scores of which the least would be looked for."""
    summary = told((0.03, 0.01, 0.05))
    assert wording.next_command(summary, "out").startswith("cuvee mix export")
    assert wording.next_command(summary, "out", turned=True) == "cuvee methods some_law"
    summary["outcomes"][0] |= {"error": 0.05, "error_in_noise": 5.0}
    summary |= {"mixtures": [{}], "counts": {"settings": 9, "sources": 3}}
    assert wording.next_command(summary, "out", "cuvee mix fit x") == "cuvee mix fit x --with optimal_mixtures"


def test_a_figure_far_from_all_that_was_measured_is_not_told() -> None:
    """However narrow its interval: what the winner's curse takes may be absurd."""
    assert wording.undetermined(told((0.1, 0.05, 0.2)), 914.9, 915.0)
    assert wording.undetermined(told((0.1, 0.05, 0.2)), -913.1, -913.0)
    assert not wording.undetermined(told((0.1, 0.05, 0.2)), 4.9, 5.0)


def test_a_proposal_worse_than_proportional(tmp_path: Path) -> None:
    """Twelve noisy mixtures: what the winner's curse takes is more than what the law promises."""
    path = write(tmp_path / "runs.csv", frame(12, 0.05, repeats=2, seed=3))
    sizes = ",".join(f"{name}={size}" for name, size in SIZES.items())
    lines = run("mix", "fit", path, "--sizes", sizes, "--resamples", "40", "-o", tmp_path / "out").screen()
    said = " ".join(lines)
    assert "is predicted to be worse than proportional" in said and "keep proportional" in said
    assert (
        "already run" in said
        and "train that one beside proportional" in said
        and "next: cuvee methods data_mixing_laws" in lines
    )
    assert "e+06" not in said
    page = (tmp_path / "out" / "report.html").read_text()
    assert 'class="zero"' in page and "dot worse" in page
    assert "e+06" not in page and "(no interval)" in page


def test_repeats_without_any_difference(tmp_path: Path) -> None:
    columns = frame()
    for name in ("first", "second", "third"):
        columns[f"loss.{name}"] = np.repeat(np.asarray(columns[f"loss.{name}"])[::2], 2)
    found = cuvee.fit_law(write(tmp_path / "runs.csv", columns), resample=20, output=tmp_path / "out").summary
    said = " ".join(found["warnings"])
    assert "the same outcome to the last digit" in said and "No setting was run" not in said


def test_where_a_prediction_stands(tmp_path: Path) -> None:
    columns = [one.ravel() for one in np.meshgrid(np.linspace(0, 1, 6), [2e9, 1e10, 5e10], [5e8, 2e9])]
    share, tokens, sizes = columns
    value = 1.5 + 8 / (sizes / 1e6) ** 0.35 + 5 / (tokens / 1e6) ** 0.4 + 0.3 / (share + 0.1) ** 0.6
    path = write(tmp_path / "runs.csv", {"parameters": sizes, "tokens": tokens, "share": share, "loss.held": value})
    words = ("--with", "d_cpt:restarts=4", "--resamples", "20", "-o", tmp_path / "out")
    lines = run("mix", "fit", path, *words, "--at", "share=0.3").screen()
    assert "  at parameters=2e+09, tokens=5e+10, share=0.3" in lines
    assert any(line.split()[:1] == ["eps"] for line in lines)
    page = (tmp_path / "out" / "report.html").read_text()
    assert "Predicted at parameters=2e+09, tokens=5e+10, share=0.3" in page and "0 sources" not in page
    for wrong, said in (("share=1.5", "share must be between 0 and 1"), ("tokens=0", "tokens must be above 0")):
        found = run("mix", "fit", path, *words, "--at", wrong)
        assert found.status == 2 and said in found.error()


def test_the_pictures_of_a_fit(tmp_path: Path) -> None:
    path = write(tmp_path / "runs.csv", frame())
    cuvee.fit_law(path, resample=20, output=tmp_path / "out")
    page = (tmp_path / "out" / "report.html").read_text()
    assert "Mixtures of books, code, web and their losses" in page and "Which mixtures were good?" in page
    found = json.loads((tmp_path / "out" / "fit.json").read_text())
    assert len(found["mixtures"]) == 24 and len(found["surface"]) == 325
    assert found["gains"]["proportional"]["verdict"] == "better"
    least = min(found["mixtures"], key=lambda one: one["loss"])
    assert least["shares"] == [one["best_measured"] for one in found["proposal"]]


class Never(DataMixingLaws):
    """Fits nothing: what is asked wrongly is to be refused before."""

    def fit(self, runs: Runs) -> Curve:
        raise AssertionError("fitted before the question was checked")


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"sizes": {"books": 1, "code": 1, "wiki": 1}}, "The size of the source 'web' is not known"),
        ({"sizes": SIZES, "tokens": 1000, "passes": 2.0}, "of the tokens are missing"),
        ({"passes": 2.0}, "--sizes"),
        ({"resample": 3}, "at least 20"),
    ],
)
def test_a_wrong_question_costs_no_fit(asked: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        fit_table(from_arrow(pa.table(frame()), "x", None, None), Never(), "data_mixing_laws", **asked)


def test_numpy_says_nothing() -> None:
    class Loud(DataMixingLaws):
        def fit(self, runs: Runs) -> Curve:
            np.exp(np.array([1e4]))
            return super().fit(runs)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit_table(from_arrow(pa.table(frame()), "x", None, None), Loud(), "data_mixing_laws", resample=20)


def test_a_law_that_proposes_nothing_refuses_at(tmp_path: Path) -> None:
    columns = {"mix.a": np.repeat([1.0, 0.0], 4), "mix.b": np.repeat([0.0, 1.0], 4)}
    columns |= {"samples": np.tile([2e5, 5e5, 1e6, 2e6], 2), "pass": np.full(8, 5e5)}
    columns |= {"loss.error": np.linspace(0.5, 0.3, 8)}
    path = write(tmp_path / "pools.csv", columns)
    found = run("mix", "fit", path, "--with", "data_filtering", "--at", "samples=30M", "-o", tmp_path / "out")
    assert found.status == 2 and "data_filtering proposes no mixture and predicts none, so --at" in found.error()
    found = run("mix", "fit", path, "--with", "data_filtering", "--proposer", "rounds", "-o", tmp_path / "out")
    assert found.status == 2 and "data_filtering proposes no mixture, so --proposer rounds has no use" in found.error()


def test_objectives_that_do_not_sum_to_one(tmp_path: Path) -> None:
    path = write(tmp_path / "runs.csv", frame())
    for words in (("mix", "fit", path), ("mix", "search", path, "-e", path)):
        found = run(*words, "--objective", "first=0.7,second=0.7", "-o", tmp_path / "out")
        assert found.status == 2
        assert "--objective sum to 1.4, not to 1. In proportion they are: first=0.5,second=0.5" in found.error()
        negative = run(*words, "--objective", "first=-0.7", "-o", tmp_path / "out")
        assert negative.status == 2 and "Write --objective web=" in negative.error()


def test_progress_is_told(tmp_path: Path) -> None:
    class Heard(Progress):
        labels: ClassVar[list[str]] = []

        def begin(self, label: str, total: float, unit: str = "") -> None:
            super().begin(label, total, unit)
            self.labels.append(label)

    heard = Heard()
    path = write(tmp_path / "runs.csv", frame())
    cuvee.fit_law(path, resample=20, output=tmp_path / "out", progress=heard)
    assert heard.labels == ["fitting data_mixing_laws"] and heard.done == heard.total - 1 == 9


def test_an_interrupted_fit_keeps_nothing() -> None:
    assert interrupted(["mix", "fit", "runs.csv"]).startswith("interrupted; nothing was written. Begin again with: ")
    assert interrupted(["select", "x"]) == "interrupted; finished parts are kept. Go on with: cuvee select x"


def test_counts_with_an_exponent() -> None:
    assert count("1e6") == 1_000_000 and count("1.5E9") == 1_500_000_000
    for wrong in ("1e", "1e-3", "e6", "1e999"):
        with pytest.raises(UsageError):
            count(wrong)


def test_without_sizes_nothing_is_called_proportional(tmp_path: Path) -> None:
    """The mean of the runs stands in its place, and is called that on the screen and in the report."""
    path = write(tmp_path / "runs.csv", frame())
    for sizes, said, other in (
        ((), "mean of runs", "proportional"),
        (("--sizes", "books=3,code=3,web=4"), "proportional", "mean of runs"),
    ):
        screen = "\n".join(run("mix", "fit", path, *sizes, "--resamples", "20", "-o", tmp_path / "out").screen())
        page = (tmp_path / "out" / "report.html").read_text()
        assert said in screen and other not in screen
        advice = "train the proposal against proportional"  # says what to do, not what was seen
        assert f">{said.capitalize()}</th>" in page and other not in page.lower().replace(advice, "")


@pytest.mark.parametrize(
    ("law", "model", "told"),
    [
        ("regmix", "lightgbm", "Trees have no intervals of their own"),
        ("regmix:model=linear", "linear", "A line's intervals mean nothing where losses are curved"),
        ("olmix", None, ""),
    ],
)
def test_limits_tell_whose_intervals_need_a_word(law: str, model: str | None, told: str) -> None:
    found = wording.limits({"law": {"name": law, "parameters": {"model": model}}, "proposal": []})
    assert len(found) == 2 + bool(told) and found[-1].startswith(told or "A lower loss of small models")


def test_what_was_added_for_the_winner_is_told() -> None:
    """A posterior's draws have no winner: nothing was added, and nothing is said."""
    told = {"law": {"name": "olmix", "parameters": {}}, "proposal": [{}]}
    for optimism, times in ((0.012, 1), (0.0, 0)):
        found = wording.limits(told | {"optimism": optimism})
        assert sum("0.012 were added" in one for one in found) == times
        assert sum("flatters itself" in one for one in found) == times


def test_a_proposal_outside_its_intervals_is_said() -> None:
    """Half a percent beside them is not spoken of."""
    summary = told((0.1, 0.05, 0.2))
    rows = [(0.5, 0.3, 0.6, 0.45), (0.31, 0.1, 0.2, 0.15), (0.196, 0.2, 0.4, 0.4)]
    row = summary["proposal"][0]
    summary["proposal"] = [
        row | {"name": name, "weight": weight, "low": low, "high": high, "middle": middle}
        for name, (weight, low, high, middle) in zip(("a", "b", "c"), rows, strict=True)
    ]
    found = [one for one in wording.warnings(summary) if "outside the intervals" in one]
    assert len(found) == 1 and "see the best at 15 % of 'b', on average" in found[0]
    summary["proposal"][1]["weight"] = 0.2
    assert not [one for one in wording.warnings(summary) if "outside the intervals" in one]


def test_warnings_that_find_no_room_are_counted() -> None:
    summary = told((0.1, 0.05, 0.2)) | {"verdict": "x"}
    for one in summary["expected"].values():
        one |= {"low": 1.9, "high": 2.2, "determined": True}
    for many in (3, 40):
        lines = wording.fit_lines(Path("out"), summary | {"warnings": [f"warning {at}" for at in range(many)]})
        assert len(lines) <= 24
        shown = sum("warning " in line and "more" not in line for line in lines)
        more = [line for line in lines if "more warning" in line]
        assert more == ([] if shown == many else [f"  (!) {many - shown} more warnings, in the report"])
