"""SimANS: the release's weights, and draws in their proportion."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from cuvee.core import Budget, Draw
from cuvee.errors import DataError, UsageError
from cuvee.methods.choose.simans import SimANS, deviation, log_weight
from tests.conftest import MemoryColumns

GOLDEN = Path(__file__).parents[2] / "data" / "golden" / "simans"


def test_weights_are_the_release_s() -> None:
    case = json.loads((GOLDEN / "weights.json").read_text())
    score, positive = np.array(case["negative_scores"]), case["positive_score"]
    for one in case["distributions"]:
        found = log_weight(score, positive, one["a"], one["b"])
        found = np.exp(found - found.max())
        expected = np.array(one["p"])
        seen = expected > 1e-300
        assert np.allclose((found / found.sum())[seen], expected[seen], rtol=1e-9)
    laplace = np.exp(log_weight(score, positive, 3.0, 0.0, "laplace"))
    assert np.allclose(laplace, case["released_abs_weights_tau3"], rtol=1e-12)
    with np.load(GOLDEN / "a05_b0.npz") as stored:
        found = np.exp(log_weight(stored["neg"], float(stored["pos"]), float(stored["a"]), 0.0))
        assert np.allclose(found, stored["weights_readme_b0"], rtol=1e-12)


def test_first_draws_follow_the_probabilities() -> None:
    score = np.array([0.0, 0.5, 1.0, 1.5, 2.0, 3.0])
    rule = SimANS(a=2.0, positive=1.2, standardise=False)
    expected = np.exp(log_weight(score, 1.2, 2.0, 0.0))
    expected /= expected.sum()
    counts, runs = np.zeros(6), 3000
    for seed in range(runs):
        columns = MemoryColumns(1, score=score, key=np.arange(6, dtype=np.uint64))
        counts += columns.taken(rule.choose(columns, Budget("rows", 1), Draw(seed)))
    assert np.abs(counts / runs - expected).max() < 4 * np.sqrt(0.25 / runs)


def test_far_rows_do_not_underflow() -> None:
    """Weights of exp(-10^6) still rank: the nearest are drawn."""
    score = np.append(np.linspace(0, 1, 200), 1e4)
    columns = MemoryColumns(2, score=score)
    taken = columns.taken(SimANS(a=1e3, standardise=False).choose(columns, Budget("rows", 4), Draw(0)))
    assert taken[-1] == 1
    assert taken.sum() == 4
    assert taken[190:200].sum() == 3


def test_the_unit_is_the_standard_deviation() -> None:
    score = np.random.default_rng(0).normal(3, 7, 5000)
    for blocks in (1, 6):
        columns = MemoryColumns(blocks, score=np.append(score, [np.nan, -np.inf]))
        low, high = float(score.min()), float(score.max())
        assert deviation(columns, low, high) == pytest.approx(score.std(), rel=1e-4)


def test_refusals() -> None:
    for bad in ({"a": -1.0}, {"b": np.inf}, {"positive": np.nan}, {"kernel": "box"}):
        with pytest.raises(UsageError, match="simans"):
            SimANS(**bad)  # type: ignore[arg-type]
    with pytest.raises(DataError, match="all the same"):
        SimANS().choose(MemoryColumns(1, score=np.ones(9)), Budget("rows", 2), Draw(0))
