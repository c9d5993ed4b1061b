"""Keyed randomness."""

from __future__ import annotations

import numpy as np

from cuvee.core import Draw
from cuvee.engine.draw import bits, uniform

PINNED = [1306061653563458912, 1577549477335502236, 17621477630132056747, 485347140877634391]


def test_numbers_are_pinned() -> None:
    """The draws are part of the format: a change would change every selection ever made."""
    keys = np.array([0, 1, 2**63, 2**64 - 1], np.uint64)
    assert bits(0, "random", keys).tolist() == PINNED
    assert bits(0, "random", keys[::-1].copy()).tolist() == PINNED[::-1]


def test_uniform_and_independent_of_order_and_purpose() -> None:
    keys = np.arange(200_000, dtype=np.uint64)
    u = uniform(7, "a", keys)
    assert u.min() > 0 and u.max() < 1
    counts = np.histogram(u, 100, (0, 1))[0]
    chi_square = ((counts - 2000) ** 2 / 2000).sum()
    assert chi_square < 165  # 99 degrees of freedom: exceeded with probability 4e-5
    for other in (uniform(7, "b", keys), uniform(8, "a", keys), np.roll(u, 1)):
        assert abs(np.corrcoef(u, other)[0, 1]) < 0.01
    assert np.array_equal(uniform(7, "a", keys[::-1].copy()), u[::-1])


def test_gumbel_moments() -> None:
    g = Draw(3).gumbel("x", np.arange(200_000, dtype=np.uint64))
    assert abs(g.mean() - 0.5772) < 0.02
    assert abs(g.var() - np.pi**2 / 6) < 0.04
