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
    """It is named; where there is no other, nothing is proposed."""
    table = frame(20)
    table["loss.second"] = np.full(len(table["loss.second"]), 2.7)
    fitted = cuvee.fit_law(write(tmp_path / "runs.csv", table), resample=20, output=tmp_path / "fit")
    assert "'second' is the same in every run, so it has no say in what is proposed." in fitted.summary["warnings"]
    for name in ("first", "third"):
        del table[f"loss.{name}"]
    with pytest.raises(DataError, match="'second' is the same in every run, so nothing tells mixtures apart"):
        cuvee.fit_law(write(tmp_path / "runs.csv", table), resample=20, output=tmp_path / "none")
