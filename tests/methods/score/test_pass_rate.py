"""Pass rates: integrals over the Beta distribution, and what labels may be."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from scipy.stats import beta

from cuvee.core import Batch
from cuvee.errors import DataError, UsageError
from cuvee.methods.score.pass_rate import PassRate, informative
from tests.laws.test_laws import POOL, Straight, part_of


def labelled(labels: Any) -> Batch:
    return replace(part_of(POOL, 0, len(labels)), columns={"label": labels})


def mixed(q: float, group: int) -> float:
    return 1 - q**group - (1 - q) ** group


@pytest.mark.parametrize("right", [0.0, 1.0, 3.5, 8.0])
def test_expected_share_of_informative_groups(right: float) -> None:
    for group in (2, 8, 16):
        density = beta(right + 0.5, 8 - right + 0.5)
        expected = density.expect(partial(mixed, group=group))
        assert informative(np.array([right]), 8, group)[0] == pytest.approx(expected, rel=1e-6)


def test_order_of_difficulty() -> None:
    batch = labelled(np.array([0.0, 0.125, 0.5, 0.875, 1.0, np.nan]))
    score = PassRate().fit(Straight()).apply(batch)["score"]
    assert score[2] == score[:5].max() and score[0] == pytest.approx(score[4]) and score[0] > 0 and score[5] == -np.inf
    hard = PassRate(prefer="hard").fit(Straight()).apply(batch)["score"]
    assert (np.diff(hard[:5]) < 0).all() and 0 < hard[4] < hard[0] < 1
    solved = PassRate(prefer="hard", solved=True).fit(Straight()).apply(batch)["score"]
    assert solved[0] == -np.inf and np.array_equal(solved[1:5], hard[1:5])
    more = PassRate(samples=64).fit(Straight()).apply(batch)["score"]
    assert more[0] < score[0], "0 of 64 leaves less doubt than 0 of 8"


def test_counts_and_strings() -> None:
    counts = PassRate(counted=True).fit(Straight()).apply(labelled(np.array([0, 4, 8])))["score"]
    rates = PassRate().fit(Straight()).apply(labelled(pa.array(["0", "0.5", "1"], pa.large_string())))["score"]
    assert np.array_equal(counts, rates)


@pytest.mark.parametrize(
    ("labels", "settings", "words"),
    [
        (np.array([0.5, 1.5]), {}, "Row 2 of the pool has the label 1.5, which is no pass rate"),
        (np.array([9]), {"counted": True}, "no number of right answers, 0 to 8"),
        (pa.array(["high"], pa.large_string()), {}, "numbers as labels"),
    ],
)
def test_labels_that_are_no_rates(labels: Any, settings: dict[str, Any], words: str) -> None:
    with pytest.raises(DataError, match=words):
        PassRate(**settings).fit(Straight()).apply(labelled(labels))


def test_refusals() -> None:
    with pytest.raises(DataError, match="--label"):
        PassRate().fit(Straight()).apply(replace(POOL, columns={}))
    with pytest.raises(UsageError):
        PassRate(group=1).fit(Straight())
