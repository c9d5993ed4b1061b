"""Contributions add up to the score."""

from __future__ import annotations

import numpy as np
import pytest

from cuvee.examples import as_batch
from cuvee.feature.explain import contributions
from cuvee.feature.ngrams import Ngrams

TEXT = "The whale, the white whale! İstanbul ΟΔΟΣ: to be -- or not to be; def f(x): return x"


@pytest.mark.parametrize("n", [1, 2, 3])
def test_contributions_sum_to_the_score(n: int) -> None:
    ngrams = Ngrams(n, 500)
    table = np.random.default_rng(n).normal(size=500)
    found = contributions(ngrams, table, TEXT, most=10**6)
    score = ngrams.sums(as_batch([TEXT.encode()]), table)[0][0]
    assert sum(value for _, value in found) == pytest.approx(score, abs=1e-9)
    sizes = [abs(value) for _, value in found]
    assert sizes == sorted(sizes, reverse=True)


def test_the_largest_come_first_and_repeats_count() -> None:
    ngrams = Ngrams(1, 10_000)
    table = np.zeros(10_000)
    table += ngrams.count(as_batch([b"whale"])) * 2.0
    assert contributions(ngrams, table, TEXT, most=1) == [("whale", 4.0)]
    assert contributions(ngrams, table, "") == []
