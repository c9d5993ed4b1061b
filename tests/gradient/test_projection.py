"""Random projections: what they keep, that blocks and batches change nothing, and the way back."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import pytest

from cuvee.errors import UsageError
from cuvee.gradient.products import adam_direction, inner
from cuvee.gradient.projection import UNIT, Projection

KINDS: list[Literal["rademacher", "normal"]] = ["rademacher", "normal"]
P = 1_000


def gradients(n: int, size: int = P) -> np.ndarray:
    return np.random.default_rng(4).normal(size=(n, size)).astype(np.float32)


@pytest.mark.parametrize("kind", KINDS)
def test_the_matrix_is_what_it_is_said_to_be(kind: Literal["rademacher", "normal"]) -> None:
    found = Projection(70, seed=3, kind=kind).matrix(0, 4_000).astype(np.float64)
    assert found.shape == (4_000, 70)
    if kind == "rademacher":
        assert set(np.unique(found)) == {-1.0, 1.0}
    else:
        assert (found**4).mean() == pytest.approx(3.0, abs=0.1)
    assert abs(found.mean()) < 4 / 280_000**0.5 and (found**2).mean() == pytest.approx(1.0, abs=0.02)
    columns = np.corrcoef(found.T) - np.eye(70)
    assert np.abs(columns).max() < 5.5 / 4_000**0.5  # 2,415 pairs
    rows = np.corrcoef(found[:300]) - np.eye(300)
    assert np.abs(rows).max() < 5.5 / 70**0.5
    assert not np.array_equal(found, Projection(70, seed=4, kind=kind).matrix(0, 4_000))


@pytest.mark.parametrize("kind", KINDS)
def test_blocks_and_batches_change_no_bit(kind: Literal["rademacher", "normal"]) -> None:
    one, rows = Projection(33, kind=kind), gradients(5)
    whole = one.project(rows)
    assert whole.shape == (5, 33) and whole.dtype == np.float64
    alone = np.concatenate([one.project(row[None]) for row in rows])
    assert np.array_equal(alone, whole)
    for width in (UNIT, 3 * UNIT):
        total = np.zeros((5, 33))
        for first in range(0, P, width):
            one.add(rows[:, first : first + width], first, total)
        assert np.array_equal(total / np.sqrt(33), whole)
    with pytest.raises(ValueError, match="multiple"):
        one.add(rows, 5, np.zeros((5, 33)))


@pytest.mark.parametrize("kind", KINDS)
def test_projected_products_against_exact_ones(kind: Literal["rademacher", "normal"]) -> None:
    """The error of every product of unit vectors is within five of Johnson and Lindenstrauss's standard deviations,
    their mean square is as large as it should be, and the projection equals the explicit product in double."""
    rows = gradients(60).astype(np.float64)
    rows[30:] += 2.0 * rows[:30]  # products that are not all near 0
    rows = (rows / np.linalg.norm(rows, axis=1)[:, None]).astype(np.float32)
    one = Projection(256, seed=1, kind=kind)
    found = one.project(rows)
    explicit = rows.astype(np.float64) @ one.matrix(0, P).astype(np.float64) / 16.0
    assert np.abs(found - explicit).max() < 1e-6
    exact = rows.astype(np.float64) @ rows.T.astype(np.float64)
    error = (found @ found.T - exact)[np.triu_indices(60, 1)]
    deviation = np.sqrt((1 + exact[np.triu_indices(60, 1)] ** 2) / 256)
    assert np.abs(error / deviation).max() < 5.0
    assert np.square(error / deviation).mean() == pytest.approx(1.0, abs=0.25)


@pytest.mark.parametrize("kind", KINDS)
def test_back_is_the_transpose(kind: Literal["rademacher", "normal"]) -> None:
    one, rows = Projection(40, seed=2, kind=kind), gradients(3)
    weights = np.random.default_rng(1).normal(size=(2, 40))
    back = one.back(weights, P)
    assert back.shape == (2, P)
    assert rows.astype(np.float64) @ back.T.astype(np.float64) == pytest.approx(one.project(rows) @ weights.T, rel=1e-4)


def test_refused() -> None:
    wrong: list[dict[str, Any]] = [{"dimensions": 0}, {"kind": "sparse"}]
    for settings in wrong:
        with pytest.raises(UsageError):
            Projection(**settings)


def test_products_in_double() -> None:
    rows, vectors = gradients(1)[0], gradients(4)[1:]
    out = np.empty(4)
    inner(rows, vectors, out)
    exact = vectors.astype(np.float64) @ rows.astype(np.float64)
    assert out[:3] == pytest.approx(exact, rel=1e-12)
    assert out[3] == pytest.approx(float(np.square(rows.astype(np.float64)).sum()), rel=1e-12)


def test_adam_would_step_so() -> None:
    """The direction is Adam's own step, without its bias correction: beta 0 for both leaves the gradient's sign."""
    g, zero, out = gradients(1)[0].astype(np.float64), np.zeros(P), np.empty(P)
    adam_direction(g, zero, zero, 0.0, 0.0, 0.0, out)
    assert out == pytest.approx(np.sign(g))
