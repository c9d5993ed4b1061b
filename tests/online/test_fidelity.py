"""Agreement of column sums, by hand, and of what sweeps over a planted matrix recover."""

from __future__ import annotations

import math

import numpy as np
import pytest

from cuvee.online import law
from cuvee.online.fidelity import agreement


def test_by_hand() -> None:
    """Column sums (3, 4) against (4, 3): cosine 24 / 25, opposite order; rows do not matter, nor does scale."""
    exact = np.array([[3.0, 1.0], [1.0, 2.0]])
    for matrix in (np.array([[1.0, 4.0], [2.0, 0.0]]), np.array([[30.0, 0.0], [0.0, 40.0]])):
        assert agreement(matrix, exact) == pytest.approx({"cosine": 24 / 25, "rank": -1.0})
    assert agreement(exact, 7 * exact) == pytest.approx({"cosine": 1.0, "rank": 1.0})
    assert agreement(-exact, exact)["cosine"] == pytest.approx(-1.0)
    assert agreement(np.zeros((2, 2)), exact) == {"cosine": 0.0, "rank": 0.0}
    three = np.diag([1.0, 2.0, 2.0])
    assert agreement(three, np.diag([1.0, 3.0, 2.0]))["rank"] == pytest.approx(math.sqrt(3) / 2)  # a tie


def test_sweeps_come_nearer_as_they_repeat() -> None:
    """Falls over tilted mixtures with noise: more sweeps, more agreement; without noise it is whole."""
    random = np.random.default_rng(0)
    exact = random.uniform(0, 1, (6, 6))
    mixtures = np.stack([law.probe(6, one, 0.75) for one in range(6)])
    drops = exact @ mixtures.T
    found = [
        np.mean([
            agreement(law.from_sweep(drops + random.normal(0, 0.5 / np.sqrt(sweeps), (6, 6)), 0.75), exact)["rank"]
            for _ in range(60)
        ])
        for sweeps in (1, 16, 4096)
    ]  # fmt: skip
    assert found[0] + 0.1 < found[1] < found[2] and found[2] > 0.95
    assert agreement(law.from_sweep(drops, 0.75), exact) == pytest.approx({"cosine": 1.0, "rank": 1.0})
