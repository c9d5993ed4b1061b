"""Mixtures that cover the simplex: merging against brute force, caps, anchors, and a search that runs them."""

from __future__ import annotations

import numpy as np
import pytest

from cuvee.search import cover, design


def brute_force(points: np.ndarray, count: int) -> np.ndarray:
    """Of all pairs the closest, looked for anew at every step."""
    left = list(points)
    while len(left) > count:
        at = np.array(left)
        away = ((at[:, None] - at[None]) ** 2).sum(2) + np.where(np.tri(len(at)), np.inf, 0.0)
        one, other = np.unravel_index(away.argmin(), away.shape)
        left[one] = (left[one] + left[other]) / 2
        del left[other]
    return np.array(left)


@pytest.mark.parametrize(("k", "number", "count"), [(2, 60, 9), (4, 90, 1), (7, 120, 40), (3, 12, 12)])
def test_merging_is_that_of_all_pairs(k: int, number: int, count: int) -> None:
    points = np.random.default_rng(k).dirichlet(np.full(k, 1.5), number)
    found, expected = cover.merged(points, count), brute_force(points, count)
    assert found.shape == (count, k)
    np.testing.assert_allclose(found[np.lexsort(found.T)], expected[np.lexsort(expected.T)], atol=1e-12)


def test_the_cover_of_many_sources() -> None:
    """As many as asked for 34 sources; of three, each is farther from the next than draws are."""
    known = np.stack(list(design.anchors(np.full(34, 1 / 34), np.ones(34)).values()))[:1]
    found = cover.swarm(np.ones(34), 63, 0, known)
    assert found.shape == (63, 34)
    np.testing.assert_allclose(found.sum(1), 1)

    def closest(rows: np.ndarray) -> float:
        away = ((rows[:, None] - rows[None]) ** 2).sum(2) + 9 * np.eye(len(rows))
        return float(np.sqrt(away.min(1)).mean())

    few = np.random.default_rng(1).dirichlet(np.full(3, 1.5), 64)
    assert closest(cover.swarm(np.ones(3), 63, 0, np.full((1, 3), 1 / 3))) > 1.4 * closest(few)
    assert np.array_equal(found, cover.swarm(np.ones(34), 63, 0, known))
    assert not np.array_equal(found, cover.swarm(np.ones(34), 63, 1, known))


def test_caps_hold_and_anchors_take_the_places_of_their_neighbours() -> None:
    natural = np.array([0.6, 0.3, 0.08, 0.02])
    caps = np.minimum(1, 4 * natural)
    known = np.stack(list(design.anchors(natural, caps).values()))
    found = cover.swarm(caps, 20, 3, known)
    assert len(found) == 20 and (found <= caps + 1e-12).all() and found[:, 3].max() > 0.9 * caps[3]
    np.testing.assert_allclose(found.sum(1), 1)
    every = np.concatenate([known, found])
    assert (np.abs(every[:, None] - every[None]).sum(2) + 9 * np.eye(len(every))).min() >= design.NEAR
    tight = cover.swarm(natural * (1 + 1e-3), 20, 3, natural[None])  # no room: what is there is near what is known
    assert len(tight) == 0
