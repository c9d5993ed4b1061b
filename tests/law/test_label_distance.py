"""Distances between labels against closed forms and brute force, and what they tell of wrong labels."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest

from cuvee.errors import DataError
from cuvee.law.label_distance import distances
from cuvee.law.transported import MixtureDistance, calibrated


def root_of(matrix: np.ndarray) -> np.ndarray:
    """The root of a symmetric matrix without negative values."""
    values, vectors = np.linalg.eigh(matrix)
    return np.asarray(vectors * np.sqrt(np.maximum(values, 0.0)) @ vectors.T)


def by_formula(left: np.ndarray, right: np.ndarray) -> float:
    """Bures and Wasserstein, with roots of matrices."""
    a, b = (np.cov(one.T, bias=True) for one in (left, right))
    root = root_of(a)
    shared = np.trace(root_of(root @ b @ root))
    return float(((left.mean(0) - right.mean(0)) ** 2).sum() + np.trace(a) + np.trace(b) - 2 * shared)


def test_the_formula() -> None:
    random = np.random.default_rng(0)
    sets = [random.normal(0, 1, (40, 3)), random.normal(1, 2, (30, 3)) @ random.normal(size=(3, 3))]
    labels = [np.repeat(["x", "y"], 20), np.repeat([7, 2, 5], 10)]
    found, member = distances(sets, labels)
    assert found.shape == (5, 5) and member[0].tolist() == [0] * 20 + [1] * 20
    assert member[1].tolist() == [4] * 10 + [2] * 10 + [3] * 10  # in the order of their names
    groups = [sets[0][:20], sets[0][20:], sets[1][10:20], sets[1][20:], sets[1][:10]]
    for one in range(5):
        for other in range(5):
            if one != other:
                assert found[one, other] == pytest.approx(by_formula(groups[one], groups[other]), rel=1e-6)
    assert not np.diag(found).any() and np.array_equal(found, found.T)


def test_closed_forms() -> None:
    """A shift costs its square; a scale s about the mean (s - 1)^2 of the spread; single rows their distance."""
    rows = np.random.default_rng(1).normal(size=(25, 4))
    moved, wider = rows + np.array([3.0, 0.0, 4.0, 0.0]), rows.mean(0) + 1.5 * (rows - rows.mean(0))
    found, _ = distances([rows, moved, wider], [np.zeros(25)] * 3)
    assert found[0, 1] == pytest.approx(25)
    assert found[0, 2] == pytest.approx(0.25 * ((rows - rows.mean(0)) ** 2).sum(1).mean())
    single, _ = distances([rows[:1], rows[1:2]], [np.zeros(1)] * 2)
    assert single[0, 1] == pytest.approx(((rows[0] - rows[1]) ** 2).sum())


def test_the_distance_of_labelled_rows_is_that_of_the_best_matching() -> None:
    """As many rows on either side and little blur: brute force over matchings, by both parts of the cost."""
    random = np.random.default_rng(2)
    left, right = random.normal(size=(7, 2)), random.normal(0.5, 1, (7, 2))
    labels = [np.arange(7) % 3, np.arange(7) % 2]
    apart, member = distances([left, right], labels)
    cost = ((left[:, None] - right[None]) ** 2).sum(2) + apart[np.ix_(member[0], member[1])]
    best = min(cost[np.arange(7), list(order)].mean() for order in permutations(range(7)))
    found = MixtureDistance([left], right, blur=0.002, steps=20_000, labels=labels).at(np.ones(1))[0]
    assert found == pytest.approx(best, rel=0.02)
    assert MixtureDistance([left], right, blur=0.002, steps=20_000).at(np.ones(1))[0] < 0.9 * best


def sources(seed: int, wrong: float) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Two sources and validation data of the same rows' kind: of the second, a share of the labels is chance."""
    random = np.random.default_rng(seed)
    middle = np.array([[0.0, 0.0], [3.0, 0.0], [0.0, 3.0]])
    rows, labels = [], []
    for spoilt in (0.0, wrong, 0.0):
        own = np.repeat(np.arange(3), 30)
        rows.append(middle[own] + random.normal(0, 0.5, (90, 2)))
        labels.append(np.where(random.random(90) < spoilt, random.integers(0, 3, 90), own))
    return rows, labels


def test_wrong_labels_are_seen_by_labels_alone() -> None:
    rows, labels = sources(3, 0.8)
    half = np.array([0.5, 0.5])
    plain = MixtureDistance(rows[:2], rows[2])
    labelled = MixtureDistance(rows[:2], rows[2], labels=labels)
    away = [[one.at(np.eye(2)[at] * 0.998 + 0.001)[0] for at in range(2)] for one in (plain, labelled)]
    assert away[1][1] > 5 * away[1][0] and away[0][1] < 2 * away[0][0]
    toward = calibrated(half, labelled.at(half)[1])
    assert toward[1] > 0 > toward[0]  # more of the second source is farther
    step = 1e-5
    ends = [labelled.at(half + sign * step * np.array([-1, 1]))[0] for sign in (1, -1)]
    assert toward[1] == pytest.approx((ends[0] - ends[1]) / (2 * step), rel=1e-4)


def test_labels_that_do_not_fit_are_refused() -> None:
    rows, labels = sources(0, 0.5)
    with pytest.raises(DataError, match="needs a label, or none"):
        MixtureDistance(rows[:2], rows[2], labels=[labels[0], labels[1], labels[2][:-1]])
