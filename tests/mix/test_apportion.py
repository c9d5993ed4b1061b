"""Whole units of a total: reference counts, laws of each method, caps, and the order within one sample."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cuvee.errors import UsageError
from cuvee.mix.apportion import METHODS, apportion, apportion_capped
from cuvee.mix.interleave import interleave

GOLDEN = Path(__file__).parents[1] / "data" / "golden" / "apportionment"
NAMES = {
    "largest_remainder": "largest_remainder",
    "saintelague": "webster",
    "dhondt": "dhondt",
    "huntington": "huntington_hill",
    "adams": "adams",
    "quota": "quota",
}
weights = st.lists(st.integers(0, 50), min_size=1, max_size=6).filter(any)


@pytest.mark.parametrize("file", ["cases_1.json", "alabama.json"])
def test_reference(file: str) -> None:
    case = json.loads((GOLDEN / file).read_text())
    for inputs, outputs in zip(case["inputs"]["cases"], case["outputs"]["cases"], strict=True):
        for theirs, ours in NAMES.items():
            assert apportion(inputs["weights"], inputs["seats"], ours).tolist() == outputs[theirs], (inputs, ours)


@settings(deadline=None)
@given(weights, st.integers(0, 200), st.sampled_from(METHODS))
def test_every_unit_is_given_once(shares: list[int], total: int, method: str) -> None:
    found = apportion(shares, total, method)
    assert found.sum() == total and (found >= 0).all()
    assert all(units == 0 for units, share in zip(found, shares, strict=True) if share == 0)


@settings(deadline=None)
@given(weights, st.integers(0, 200), st.sampled_from(["largest_remainder", "quota"]))
def test_within_one_of_the_exact_share(shares: list[int], total: int, method: str) -> None:
    for units, share in zip(apportion(shares, total, method).tolist(), shares, strict=True):
        assert abs(units - Fraction(share * total, sum(shares))) < 1


@settings(deadline=None)
@given(weights, st.integers(0, 120), st.sampled_from([m for m in METHODS if m != "largest_remainder"]))
def test_a_larger_total_takes_nothing_away(shares: list[int], total: int, method: str) -> None:
    assert (apportion(shares, total + 1, method) >= apportion(shares, total, method)).all()


def test_starting_beyond_nothing_changes_nothing() -> None:
    """Divisor methods begin at floors for speed: the same as a naive heap from nothing."""
    shares, total = [13, 7, 5, 1], 997
    found = [0, 0, 0, 0]
    for _ in range(total):
        best = max(range(4), key=lambda at: (Fraction(shares[at], 2 * found[at] + 1), -at))
        found[best] += 1
    assert apportion(shares, total, "webster").tolist() == found


def test_weights_as_text_are_exact() -> None:
    """A float 0.1 is not a tenth: with text the tie goes to the first."""
    assert apportion(["0.1", "0.1", "0.1"], 10).tolist() == [4, 3, 3]
    assert apportion(["0.3", "0.7"], 10**15).tolist() == [3 * 10**14, 7 * 10**14]


@settings(deadline=None)
@given(weights, st.integers(0, 300), st.data())
def test_caps(shares: list[int], total: int, data: st.DataObject) -> None:
    """Nothing above a cap; all is spent if it can be; uncapped sources keep their proportions within one."""
    caps = data.draw(st.lists(st.none() | st.integers(0, 100), min_size=len(shares), max_size=len(shares)))
    found, short = apportion_capped(shares, total, caps)
    assert found.sum() + short == total and short >= 0
    bounds = [total if cap is None else cap for cap in caps]
    assert all(units <= bound for units, bound in zip(found, bounds, strict=True))
    if short:
        assert all(units == bound for units, bound, s in zip(found, bounds, shares, strict=True) if s)
    free = [at for at in range(len(shares)) if shares[at] and found[at] < bounds[at]]
    for at in free:
        whole = sum(shares[one] for one in free)
        exact = Fraction(shares[at] * int(found[free].sum()), whole)
        assert abs(found[at] - exact) < 1


@pytest.mark.parametrize(
    ("shares", "said"),
    [([0, 0], "All weights are zero"), ([1, -1], "negative"), ([float("nan")], "finite"), (["x"], "finite")],
)
def test_bad_weights(shares: list[float], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        apportion(shares, 10)


@settings(deadline=None)
@given(st.lists(st.integers(0, 60), min_size=1, max_size=8).filter(any))
def test_order_within_one_sample(planned: list[int]) -> None:
    """At every prefix each source has strictly less than one sample more or fewer than its exact share."""
    total = sum(planned)
    order = interleave(np.array(planned))
    counts = np.cumsum(np.eye(len(planned), dtype=np.int64)[order], 0)
    assert counts[-1].tolist() == planned
    for t in range(1, total + 1):
        assert all(abs(int(counts[t - 1, j]) * total - planned[j] * t) < total for j in range(len(planned)))


def test_order_resumes() -> None:
    """A run that stopped goes on as if it had not, also in the second pass over the plan."""
    planned = np.array([5, 3, 1])
    whole = interleave(planned, count=18)
    for begin in (0, 4, 9, 13):
        taken = np.bincount(whole[:begin], minlength=3)
        assert interleave(planned, begin, taken, 18 - begin).tolist() == whole[begin:].tolist()
    with pytest.raises(UsageError, match="sum to 4"):
        interleave(planned, 4, np.array([1, 1, 1]))
