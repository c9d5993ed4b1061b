"""RS2 against the public code's rounds, and the invariants of both modes."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from cuvee.core import Draw
from cuvee.errors import UsageError
from cuvee.methods.policy.rs2 import Places, Rs2, wrapped_new, wrapped_official

from .common import GOLDEN, examples_of, rounds

CASES = ["n20_f25", "n23_f30"]


@pytest.mark.parametrize("name", CASES)
def test_official_rounds_without_replacement(name: str) -> None:
    """The public code's rounds from its own random stream: one array, shuffled in place once per pass."""
    with np.load(GOLDEN / "rs2" / f"{name}.npz") as case:
        meta = json.loads(str(case["meta"]))
        wanted = [case[f"without_{at}"] for at in range(meta["rounds"])]
    stream, array = np.random.RandomState(meta["seed"]), np.arange(meta["n"])
    orders: list[Places] = []

    def parity(which: int) -> Places:
        while len(orders) <= which:
            stream.shuffle(array)
            orders.append(array.copy())
        return orders[which]

    n, k = meta["n"], Rs2(meta["fraction"]).size(meta["n"])
    assert k == meta["round_size"]
    for at, one in enumerate(wanted):
        assert np.array_equal(wrapped_official(at, n, k, parity), one)


@pytest.mark.parametrize("name", CASES)
def test_rounds_with_replacement(name: str) -> None:
    """The first k of a new order in every round."""
    with np.load(GOLDEN / "rs2" / f"{name}.npz") as case:
        meta = json.loads(str(case["meta"]))
        wanted = [case[f"with_{at}"] for at in range(meta["rounds"])]
    stream, n, policy = np.random.RandomState(meta["seed"]), meta["n"], Rs2(meta["fraction"], "with")

    class Parity(Draw):
        """Draws whose order is the public code's next permutation."""

        def uniform(self, purpose: str, key: Any) -> Any:
            return np.argsort(stream.permutation(n)).astype(np.float64)

    for at, one in enumerate(wanted):
        assert np.array_equal(policy.propose({}, examples_of(n), at, 9.0, Parity(0)).order, one)


@pytest.mark.parametrize(
    ("n", "fraction"), [(20, 0.25), (23, 0.3), (23, 0.7), (10, 0.95), (7, 1.0), (5, 0.01), (1, 0.5)]
)
def test_without_replacement_every_pass_is_whole(n: int, fraction: float) -> None:
    """Rounds of k without repeats; every stretch of n places between whole passes holds each example once."""
    policy = Rs2(fraction)
    found = rounds(policy, examples_of(n), 40, 40 * fraction, lambda at, order: np.zeros(len(order)))
    k = policy.size(n)
    for one in found:
        assert len(one.order) == k == len(np.unique(one.order))
        assert one.epochs == k / n and (one.weight == 1).all()
    stream = np.concatenate([one.order for one in found])
    for low, high in pairwise(range(0, len(stream), n)):
        assert np.array_equal(np.sort(stream[low:high]), np.arange(n))
    if n > 5:
        assert not np.array_equal(stream[:n], stream[n : 2 * n])


def test_a_round_needs_no_earlier_round() -> None:
    """One pass back gives the same as all passes from the first."""
    n, k = 23, 7
    orders = [np.random.default_rng(at).permutation(n) for at in range(20)]
    asked: list[int] = []

    def order(which: int) -> Places:
        asked.append(which)
        return orders[which]

    found = [wrapped_new(at, n, k, order) for at in range(50)]
    rest = np.concatenate(found)
    for low, high in pairwise(range(0, len(rest), n)):
        assert np.array_equal(np.sort(rest[low:high]), np.arange(n))
    asked.clear()
    assert np.array_equal(wrapped_new(49, n, k, order), found[49])
    assert min(asked) >= 49 * k // n - 1


def test_official_sizes() -> None:
    """k, k, k, k - 1 where k does not divide n; a round stands for what it holds."""
    found = rounds(Rs2(0.3, wrap="official"), examples_of(23), 8, 3.0, lambda at, order: np.zeros(len(order)))
    assert [len(one.order) for one in found] == [7, 7, 7, 6] * 2
    assert found[3].epochs == 6 / 23
    for one in found:
        assert len(np.unique(one.order)) == len(one.order)


def test_with_replacement_every_example_is_equally_likely() -> None:
    """Inclusion in k / n of the rounds, to five standard deviations; rounds overlap."""
    n, number = 50, 4_000
    found = rounds(Rs2(0.2, "with"), examples_of(n), number, 800.0, lambda at, order: np.zeros(len(order)))
    count = np.bincount(np.concatenate([one.order for one in found]), minlength=n)
    assert np.abs(count - 0.2 * number).max() < 5 * (number * 0.2 * 0.8) ** 0.5
    assert all(len(np.unique(one.order)) == 10 for one in found)


def test_halves_round_to_even() -> None:
    assert [Rs2(0.5).size(n) for n in (1, 3, 5, 7)] == [1, 2, 2, 4]


@pytest.mark.parametrize("fraction", [0.0, -0.1, 1.01, float("nan")])
def test_fraction_is_checked(fraction: float) -> None:
    with pytest.raises(UsageError, match="fraction must be above 0"):
        Rs2(fraction)
