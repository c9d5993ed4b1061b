"""Swarms on two levels keep caps and distances, and move groups as one level does not."""

from __future__ import annotations

import numpy as np
import pytest

from cuvee.errors import UsageError
from cuvee.search import design, levels

NAMES = ("books", *(f"code/{at}" for at in range(6)), *(f"web/{at}" for at in range(12)))
NATURAL = np.array([0.1, *np.full(6, 0.3 / 6), *np.full(12, 0.6 / 12)])
GROUP = np.array([0] + [1] * 6 + [2] * 12)


def shares(mixtures: np.ndarray) -> np.ndarray:
    return np.stack([np.bincount(GROUP, weights=row) for row in mixtures])


def test_groups_by_name() -> None:
    assert levels.groups_of(NAMES).tolist() == GROUP.tolist()
    assert levels.groups_of(("a/b/c", "a/d", "e")).tolist() == [0, 0, 1]  # only the first stroke counts
    for names, why in ((("a", "b/x"), "no two belong to one group"), (("a/x", "a/y"), "all belong to one group")):
        with pytest.raises(UsageError, match=why):
            levels.groups_of(names)


def test_groups_vary_as_a_source_would() -> None:
    """On one level the shares of the larger groups hardly vary; here all do, about tempered shares of groups."""
    known = np.empty((0, 19))
    one = shares(design.swarm(NATURAL, np.ones(19), 150, 0, known))
    two = shares(levels.swarm(NAMES, NATURAL, np.ones(19), 150, 0, known))
    assert two.std(0).min() > 1.3 * one.std(0).max()
    tempered = np.sqrt([0.1, 0.3, 0.6])
    np.testing.assert_allclose(two.mean(0), tempered / tempered.sum(), atol=0.05)
    inside = levels.swarm(NAMES, NATURAL, np.ones(19), 150, 0, known)[:, 7:] / two[:, 2:]
    assert inside.std(0).min() > 0.02  # and sources within a group, too


def test_caps_hold_and_nothing_is_run_twice() -> None:
    """Also where a group's caps leave it little, and after what is above them went to its own sources."""
    caps = np.array([0.2, *np.full(6, 0.04), *np.full(12, 0.3)])
    known = np.stack(list(design.anchors(NATURAL, caps).values()))
    found = levels.swarm(NAMES, NATURAL, caps, 60, 3, known)
    assert found.shape == (60, 19)
    np.testing.assert_allclose(found.sum(1), 1)
    assert (found <= caps + 1e-9).all() and (found >= 0).all()
    assert (found[:, 1:7] > 0.04 - 1e-6).any()  # a cap that binds
    every = np.concatenate([known, found])
    assert (np.abs(every[:, None] - every[None]).sum(2) + 9 * np.eye(len(every))).min() >= design.NEAR
    assert np.array_equal(found, levels.swarm(NAMES, NATURAL, caps, 60, 3, known))
    assert not np.array_equal(found, levels.swarm(NAMES, NATURAL, caps, 60, 4, known))


def test_strengths_of_the_levels_are_independent() -> None:
    """A mixture whose groups are far from their centre is no likelier to have its sources far from theirs."""
    found = levels.swarm(NAMES, NATURAL, np.ones(19), 150, 1, np.empty((0, 19)))
    groups = shares(found)
    far = np.abs(groups - groups.mean(0)).sum(1)
    within = np.abs(found[:, 7:] / groups[:, 2:] - 1 / 12).sum(1)
    assert abs(np.corrcoef(far, within)[0, 1]) < 0.3
