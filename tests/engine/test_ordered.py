"""Distinct and repeated values against a counter."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cuvee.engine.ordered import distinct, repeated


@given(st.lists(st.one_of(st.integers(0, 5), st.integers(0, 2**64 - 1)), max_size=60))
def test_against_a_counter(values: list[int]) -> None:
    array, counts = np.array(values, np.uint64), Counter(values)
    assert distinct(array).tolist() == sorted(counts)
    assert repeated(array).tolist() == [at for at, value in enumerate(values) if counts[value] > 1]
    assert array.tolist() == values, "inputs are left as they are"


@pytest.mark.parametrize("kind", [np.int64, np.uint64, np.int32])
def test_types_are_kept(kind: type) -> None:
    assert distinct(np.array([3, 1, 3], kind)).dtype == kind
    assert repeated(np.array([3, 1, 3], kind)).dtype == np.int64
