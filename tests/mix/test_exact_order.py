"""The order for a trainer of your own: less than one sequence off the exact shares, whatever they are."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest

from cuvee.feed.trainers.base import Mixture
from cuvee.feed.trainers.order import export, order_of
from cuvee.mix.interleave import interleave

CASES = {
    "even, 3M tokens": ([1] * 11, 3_000_000, 1024),
    "no common denominator": ([Fraction(1, 3), Fraction(2, 7), Fraction(1, 11), Fraction(67, 231)], 40_000, 7),
    "floats": ([0.1, 0.2, 0.3, 0.4], 9_999, 10),
    "skewed": ([10**9 - 2, 1, 1], 5_000, 1),
    "one": ([1], 100, 10),
    "unlike": ([1 / (at + 1) ** 1.3 for at in range(40)], 300_000, 100),
    "trillion": ([123_456_789_012, 3, 876_543_210_985], 50_000, 10),
}


def mixture(weights: list[float | Fraction], tokens: int, sequence: int) -> Mixture:
    shares = [Fraction(one) for one in weights]
    whole, names = sum(shares), tuple(f"s{at}" for at in range(len(weights)))
    return Mixture(names, tuple(one / whole for one in shares), names, tokens, sequence=sequence)


@pytest.mark.parametrize("name", CASES)
def test_every_prefix_is_within_one_of_the_exact_shares(name: str) -> None:
    planned = mixture(*CASES[name])
    order = order_of(planned)
    assert len(order) == planned.tokens // planned.sequence  # type: ignore[operator]
    for at, share in enumerate(planned.shares):
        counts = np.cumsum(order == at)
        # the lag is largest just before a sample comes, and just after: exact there
        for t in {
            0,
            len(order) - 1,
            *np.flatnonzero(order == at).tolist(),
            *(np.flatnonzero(order == at) - 1).tolist(),
        }:
            if t >= 0:
                assert abs(int(counts[t]) - share * (t + 1)) < 1, (at, t)


def test_whole_counts_give_the_order_of_the_policies() -> None:
    for counts in ([5, 3, 2], [7, 7, 1, 1], [1, 1, 1], [13, 0, 4]):
        planned = mixture([float(one) for one in counts], sum(counts), 1)
        assert order_of(planned).tolist() == interleave(np.array(counts)).tolist()


def test_a_longer_run_begins_alike() -> None:
    orders = [order_of(mixture([0.5, 0.3, 0.2], tokens, 10)).tolist() for tokens in (990, 1_000, 1_500)]
    assert all(longer[: len(short)] == short for short, longer in pairwise(orders))


def test_what_fills_no_sequence_is_said() -> None:
    made = export(mixture([1] * 11, 3_000_000, 1024))
    assert any("704 of 3,000,000 tokens are left out" in note for note in made.notes)
    assert sum(made.facts["sequences"]) == 2929
    assert not any("left out" in note for note in export(mixture([1, 1], 2048, 1024)).notes)
