"""BLAST: cells of the grid, axes, and the release's merged tail."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from cuvee.core import Budget, Draw
from cuvee.errors import UsageError
from cuvee.methods.choose.cluster_clip import merge_tail
from cuvee.methods.score.blast import Blast, main_axes, place, scaled
from tests.conftest import MemoryColumns
from tests.laws.test_laws import POOL, Straight

GOLDEN = json.loads((Path(__file__).parents[2] / "data" / "golden" / "blast" / "grid.json").read_text())


def test_cells() -> None:
    points = np.array([[0.0, 0.0], [0.999, 0.0], [1.0, 1.0], [0.5, 0.25], [0.11, 0.12]])
    assert place(points, 10)[0].tolist() == [0, 80, 99, 42, 1]  # (int(0.99), int(1.08)) is cell 0, 1
    assert place(np.array([[0.5 / 9, 0.5 / 9]]), 10)[1][0] == pytest.approx(0)
    assert scaled(np.array([-9.0, 1.0, 2.0, 9.0]), np.array([0.0, 4.0])).tolist() == [0.0, 0.25, 0.5, 1.0]


def test_merged_tail_of_the_release() -> None:
    """Numbered as here (row by row), the release's cells and tail give its counts."""
    g = GOLDEN["grid_size"]

    def number(name: str) -> int:
        x, y = name.split("__")
        return int(x) * g + int(y)

    size = np.zeros(g * g, np.int64)
    for name, count in GOLDEN["cell_counts_before"].items():
        size[number(name)] = count
    merged = np.bincount(merge_tail(size, GOLDEN["tail_mass"]), weights=size, minlength=g * g + 1).astype(int)
    after = {number(name): count for name, count in GOLDEN["cell_counts_after"].items()}
    assert merged[g * g] == after.pop(0) and {at: merged[at] for at in after} == after
    assert merged.sum() == size.sum()


def test_axes_are_those_of_most_variance() -> None:
    chance = np.random.default_rng(0)
    x = chance.normal(size=(4000, 5)) * np.array([0.1, 3.0, 0.2, 1.0, 0.1])
    axes = main_axes(x)
    assert np.allclose(np.abs(axes), np.eye(5)[[1, 3]], atol=0.05) and (axes[[0, 1], [1, 3]] > 0).all()
    assert main_axes(x[:, :1]).shape == (2, 1)


@pytest.mark.parametrize("scale", ["range", "quantile"])
def test_cells_of_a_pool_are_drawn_from_alike(scale: str) -> None:
    method = Blast(cells=4, scale=scale, sample=60)  # type: ignore[arg-type]
    fitted = method.fit(Straight())
    block = fitted.apply(POOL)
    assert block["cluster"].dtype == np.int32 and block["cluster"].min() >= 0 and block["cluster"].max() < 16
    columns = MemoryColumns(3, **block)
    decision = method.chooser(fitted).choose(columns, Budget("rows", 20), Draw(0))
    taken = np.bincount(block["cluster"], weights=columns.taken(decision), minlength=16)
    size = np.bincount(block["cluster"], minlength=16)
    assert taken.sum() == 20
    full = taken[(size > 0) & (taken < 5 * size)]
    assert full.max() - full.min() <= 1


def test_refusals() -> None:
    for settings in ({"cells": 1}, {"scale": "x"}, {"sample": 2}, {"repeats": 0}):
        with pytest.raises(UsageError):
            Blast(**settings)  # type: ignore[arg-type]
