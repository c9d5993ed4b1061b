"""In whatever unit losses are told, the fit is the same, and so is what is proposed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import cuvee
from cuvee.core import Runs
from cuvee.errors import DataError
from cuvee.law.curve import CurveLaw
from cuvee.law.data_mixing_laws import DataMixingLaws
from cuvee.law.optimal_mixtures import OptimalMixtures

from .planted import swarm
from .test_fitting import frame, write


@pytest.mark.parametrize("law", [DataMixingLaws(), OptimalMixtures()], ids=lambda law: type(law).__name__)
@pytest.mark.parametrize("unit", [2.0**-7, 2.0**-12])
def test_small_losses_are_fitted_as_well(law: CurveLaw, unit: float) -> None:
    """What holds unknown parameters in place is not felt where squares of residuals are small."""
    runs = swarm(24, 0.01)
    small = Runs(runs.settings, runs.outcome * unit, runs.group)
    known, found = law.fit(runs).at(runs.settings), law.fit(small).at(runs.settings) / unit
    missed = float(np.sqrt(np.mean((known - runs.outcome) ** 2)))
    assert float(np.sqrt(np.mean((found - runs.outcome) ** 2))) < 1.1 * missed


def test_the_best_mixture_of_tiny_losses_is_looked_for(tmp_path: Path) -> None:
    """To the end: a step that changes a loss by 1e-13 is none of the last ones then."""
    table = frame(20)
    found = []
    for unit in (1.0, 1e-9):
        losses = {name: np.asarray(one) * unit for name, one in table.items() if name.startswith("loss.")}
        path = write(tmp_path / "runs.csv", table | losses)
        found.append(cuvee.fit_law(path, resample=20, output=tmp_path / "fit").weights)
    assert found[1] == pytest.approx(found[0], abs=0.02)


def test_a_constant_outcome(tmp_path: Path) -> None:
    """It is named, and neither proposal nor error are of it; where there is no other, nothing is proposed."""
    table = frame(20)
    others = cuvee.fit_law(
        write(tmp_path / "runs.csv", table), losses=["first", "third"], resample=20, output=tmp_path / "others"
    ).summary
    table["loss.second"] = np.full(len(table["loss.second"]), 2.7)
    fitted = cuvee.fit_law(write(tmp_path / "runs.csv", table), resample=20, output=tmp_path / "fit")
    assert "'second' is the same in every run, so it is left out." in fitted.summary["warnings"]
    for name in ("proposal", "expected", "outcomes", "verdict"):
        assert fitted.summary[name] == others[name]
    for name in ("first", "third"):
        del table[f"loss.{name}"]
    with pytest.raises(DataError, match="'second' is the same in every run, so nothing tells mixtures apart"):
        cuvee.fit_law(write(tmp_path / "runs.csv", table), resample=20, output=tmp_path / "none")


@pytest.mark.parametrize("unit", [1e-300, 1e30])
def test_outcomes_of_no_usable_unit(unit: float, tmp_path: Path) -> None:
    table = frame(20)
    table["loss.first"] = np.asarray(table["loss.first"]) * unit
    with pytest.raises(DataError, match=r"'first' is of the size of .*: give it in another unit"):
        cuvee.fit_law(write(tmp_path / "runs.csv", table), resample=20, output=tmp_path / "fit")


def test_copies_of_rows_are_named(tmp_path: Path) -> None:
    """Two seeds of a mixture differ; where a row is there twice, the error is one of copies."""
    table = {name: np.asarray(column) for name, column in frame(20).items()}
    path = write(tmp_path / "runs.csv", {name: np.append(column, column[[4, 9]]) for name, column in table.items()})
    said = cuvee.fit_law(path, resample=20, output=tmp_path / "fit").summary["warnings"]
    assert any(one.startswith("Rows 41, 42 are copies of others to the last digit: drop them") for one in said)
    said = cuvee.fit_law(write(path, dict(table)), resample=20, output=tmp_path / "fit").summary["warnings"]
    assert not any("copies" in one for one in said)
