"""Tables and questions with values that no run can have: refused with row, column and what may stand there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pytest

import cuvee
from bench.asking import students
from cuvee import registry
from cuvee.errors import DataError, UsageError
from cuvee.law.columns import ANY, LIMITS, TEACHER, check_asked, check_table, limit
from cuvee.law.distilled import Comparison, Difference, said
from cuvee.law.table import read_runs
from tests.command import cuvee as run

from .planted import at

COLUMNS: dict[str, dict[str, float]] = {
    "joint_scaling": {"parameters": 1e6, "tokens": 1e9},
    "d_cpt": {"parameters": 1e6, "tokens": 1e9, "share": 0.3},
    "piecewise_power_law": {"samples": 1e3},
    "ood_scaling": {"size": 1e6, "loss_inside": 2.0},
    "loss_to_loss": {"loss_a": 2.0},
    "noise_price": {"clean": 100.0, "noisy": 10.0},
    "value_of_ood": {"target": 100.0, "other": 10.0},
    "distillation": dict.fromkeys(("parameters", "tokens", *TEACHER), 1e6),
    "cross_domain_d_cpt": {
        "parameters": 1e6, "tokens": 1e9, "share": 0.3, "early_loss": 2.0, "early_decline": 0.1,
    },
    "data_filtering": {"mix.a": 0.5, "mix.b": 0.5, "samples": 1e6, "pass": 1e5},
    "clustering_on_difficulty": {"compute": 1e18, "item": 1.0},
}  # fmt: skip


def written(path: Path, law: str, rows: int = 30, **wrong: float) -> Path:
    """A table for a law in which row 5 holds what is ``wrong``."""
    columns = {name: value * np.linspace(1.0, 1.1, rows) for name, value in COLUMNS[law].items()}
    columns |= {name: np.full(rows, 0.5) for name in columns if name.startswith("mix.")}
    for name, value in wrong.items():
        columns[name][4] = value
    pyarrow.csv.write_csv(pa.table({**columns, "loss.held": np.linspace(3, 2, rows)}), path)
    return path


@pytest.mark.parametrize(
    ("law", "column", "value", "words"),
    [
        ("joint_scaling", "tokens", -5.0, "tokens is -5, and must be above 0 for joint_scaling"),
        ("joint_scaling", "parameters", 0.0, "parameters is 0, and must be above 0 for joint_scaling"),
        ("d_cpt", "share", 1.5, "share is 1.5, and must be between 0 and 1 for d_cpt"),
        ("d_cpt", "share", -0.1, "share is -0.1, and must be between 0 and 1 for d_cpt"),
        ("piecewise_power_law", "samples", 0.0, "samples is 0, and must be above 0"),
        ("ood_scaling", "size", -1.0, "size is -1, and must be above 0"),
        ("ood_scaling", "loss_inside", 0.0, "loss_inside is 0, and must be above 0"),
        ("loss_to_loss", "loss_a", -2.0, "loss_a is -2, and must be above 0"),
        ("noise_price", "noisy", -3.0, "noisy is -3, and must be at least 0"),
        ("value_of_ood", "other", -3.0, "other is -3, and must be at least 0"),
        ("cross_domain_d_cpt", "early_decline", -0.2, "early_decline is -0.2, and must be at least 0"),
        ("data_filtering", "pass", 0.0, "pass is 0, and must be above 0"),
        ("clustering_on_difficulty", "compute", -1e18, "compute is -1e+18, and must be above 0"),
        ("distillation", "teacher_loss", -1.0, "teacher_loss is -1, and must be at least 0"),
        ("distillation", "teacher_parameters", 0.0, "teacher_loss is 1.01379e+06, teacher_parameters is 0"),
        ("distillation", "teacher_loss", 0.0, "teacher_loss is 0, teacher_parameters is 1.01379e+06"),
    ],
)
def test_a_value_that_no_run_has_is_named(tmp_path: Path, law: str, column: str, value: float, words: str) -> None:
    path = written(tmp_path / "runs.csv", law, **{column: value})
    found = run("mix", "fit", path, "--with", law, "--quiet", "-o", tmp_path / "out")
    assert found.status == 3, found
    assert f"Row 5 of {path}: {words}" in found.error() and "Mend it, or leave such runs out." in found.error()
    assert not (tmp_path / "out").exists()


def test_samples_of_two_kinds_may_be_zero_but_not_both(tmp_path: Path) -> None:
    path = written(tmp_path / "runs.csv", "noise_price", clean=0.0, noisy=0.0)
    with pytest.raises(DataError, match=r"Row 5 of .*clean and noisy are both 0, so the run was trained on nothing"):
        cuvee.fit_law(path, law="noise_price", output=tmp_path / "out")
    values = {"clean": np.array([0.0, 5.0]), "noisy": np.array([5.0, 0.0])}
    check_table(at(**values), ("clean", "noisy"), np.arange(1, 3), "runs.csv", "noise_price")


def test_what_limits_leave_alone() -> None:
    """Every number of a row is allowed that its law can look at, and other laws' columns are not looked at."""
    values = {"share": np.array([0.0, 1.0]), "tokens": np.array([-1.0, 0.0]), "diversity": np.array([-2.0, 9.0])}
    check_table(at(**values), ("share", "diversity"), np.arange(2), "x", "law")
    unknown = dict(zip(TEACHER, np.array([[0.0, 2.0], [0.0, 1e9], [0.0, 0.0]]), strict=True))
    check_table(at(**unknown), TEACHER, np.arange(2), "x", "law")
    with pytest.raises(DataError, match="Row 7 of x"):
        check_table(at(tokens=[1.0, 0.0]), ("tokens",), np.array([3, 7]), "x", "law")
    check_table(at(tokens=[1.0, 0.0]), ("tokens",), np.array([3, 7]), "x", "fine_line", untrained=True)
    with pytest.raises(DataError, match=r"Row 1 of x \(2 such rows\): tokens is -1, and must be at least 0"):
        check_table(at(tokens=[-1.0, -2.0]), ("tokens",), np.arange(1, 3), "x", "fine_line", untrained=True)


def test_every_column_of_every_law_is_decided() -> None:
    """A new law's column has a limit, or stands among those that may hold any number."""
    free = {"mixture", "diversity", "syntheticity", "distance", "item"}
    asked = {one for name in registry.found_in("law") for one in registry.find("law", name).card.needs}
    assert asked - set(LIMITS) == free and limit("item") is ANY


def test_rows_are_those_of_the_file(tmp_path: Path) -> None:
    """Rows left out before do not shift the number of one that is refused; a ledger's are those of its arms."""
    path = written(tmp_path / "runs.csv", "piecewise_power_law", samples=-7.0)
    lines = path.read_text().splitlines()
    lines[2] = lines[2].split(",")[0] + ",nan"
    path.write_text("\n".join(lines))
    table = read_runs(path, skip_bad=True)
    assert table.row is not None and table.row.tolist() == [1, *range(3, 31)]
    with pytest.raises(DataError, match=f"Row 5 of {path}: samples is -7"):
        cuvee.fit_law(table, law="piecewise_power_law", output=tmp_path / "out")


def test_questions_that_no_run_answers(tmp_path: Path) -> None:
    path = written(tmp_path / "runs.csv", "d_cpt")
    for asked, words in (
        ("tokens=-1B", "--at tokens must be above 0, not -1e+09."),
        ("parameters=0", "--at parameters must be above 0, not 0."),
        ("share=-.3", "--at share must be between 0 and 1, not -0.3."),
        ("share=1.2", "--at share must be between 0 and 1, not 1.2."),
        ("share=much", "'share=much' is not a setting: a column and a number. Write --at tokens=1B."),
    ):
        found = run("mix", "fit", path, "--with", "d_cpt", "--at", asked, "--quiet", "-o", tmp_path / "out")
        assert found.status == 2 and words in found.error(), found
    with pytest.raises(UsageError, match="clean=0 and noisy=0 ask about a run on nothing"):
        check_asked({"clean": 0.0, "noisy": 0.0}, ("clean", "noisy"), "noise_price")
    with pytest.raises(UsageError, match="--at size must be above 0, not nan"):
        check_asked({"size": float("nan")}, ("size",), "ood_scaling")
    check_asked({"diversity": -1.0}, ("diversity",), "effective_tokens")


def test_a_question_about_a_teacher_is_about_one(tmp_path: Path) -> None:
    """No teacher has no size; and what is not asked of a teacher is not told, as the largest are other teachers'."""
    runs = students(1e-3)(np.random.default_rng(0)).runs
    columns = {**runs.settings.values, "loss.held": runs.outcome}
    path = tmp_path / "runs.csv"
    pyarrow.csv.write_csv(pa.table(columns), path)
    common: dict[str, Any] = {"law": "distillation", "resample": 20, "settings": {"restarts": 2}}

    def asked(**where: float) -> dict[str, Any]:
        return dict(cuvee.fit_law(path, **common, at=where, output=tmp_path / "out").summary["at"])

    n, d = (float(np.median(runs.settings.values[name])) for name in ("parameters", "tokens"))
    told = asked(teacher_loss=0, parameters=n, tokens=d)
    assert told == {"parameters": n, "tokens": d, **dict.fromkeys(TEACHER, 0.0)}
    told = asked(teacher_loss=1.5, parameters=n, tokens=d)
    assert told["teacher_loss"] == 1.5 and told["teacher_parameters"] is None and told["teacher_tokens"] is None
    with pytest.raises(UsageError, match="--at teacher_loss=0 asks about a run without a teacher, which has no teach"):
        asked(teacher_loss=0, teacher_parameters=1e9)


def test_teachers_of_unknown_cost_are_said() -> None:
    known, unknown = Difference(1.0, -0.1, -0.2, 0.0), Difference(*[float("nan")] * 4)
    told = said([Comparison(1e6, 1e9, 2.0, 2.5, known, known, unknown)])
    assert told[-1].startswith("Nothing is compared with the teacher's training counted: what the teachers cost is not")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (("--tokens", "0", "--passes", "2"), "--tokens must be at least 1 and at most"),
        (("--tokens", "1M", "--passes", "-1"), "--passes must be a number above 0, like 4, not -1.0."),
        (("--sizes", "a=0,b=1M,c=1M"), "The size of the source 'a' is 0, so no run can hold any of it."),
        (("--sizes", "a=1M,b=1M"), "The size of the source 'c' is not known."),
        (("--at", "tokens=1B"), "data_mixing_laws does not look at 'tokens'. It looks at: the mixture alone."),
    ],
)
def test_amounts_of_the_planned_run(tmp_path: Path, given: tuple[str, ...], words: str) -> None:
    shares = np.random.default_rng(0).dirichlet([2.0, 2.0, 2.0], 12)
    columns = {f"mix.{name}": shares[:, at] for at, name in enumerate("abc")}
    path = tmp_path / "runs.csv"
    pyarrow.csv.write_csv(pa.table({**columns, "loss.held": np.exp(-shares[:, 0])}), path)
    sizes = () if "--sizes" in given else ("--sizes", "a=1M,b=1M,c=1M")
    found = run("mix", "fit", path, *sizes, *given, "--quiet", "-o", tmp_path / "out")
    assert found.status == 2 and words in found.error()
