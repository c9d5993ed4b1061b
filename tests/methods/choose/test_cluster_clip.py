"""ClusterClip: exact totals, no row repeated too often, and the mean counts of the paper's loop."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cuvee.core import Budget, Draw
from cuvee.errors import DataError, UsageError
from cuvee.methods.choose.cluster_clip import ClusterClip, merge_tail, water_level
from tests.conftest import MemoryColumns

GOLDEN = Path(__file__).parents[2] / "data" / "golden" / "blast" / "grid.json"


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=30), st.integers(1, 9), st.integers(1, 10**7))
def test_the_level_fills_the_budget_exactly(sizes: list[int], repeats: int, amount: int) -> None:
    size = np.array(sizes, np.int64)
    found = water_level(size, amount, repeats)
    most = size * repeats
    assert int(found.sum()) == min(amount, int(most.sum()))
    assert (found <= most).all()
    below = found[found < most]
    if len(below):  # all that are not capped stand at one level
        assert found.max() <= below.min() + 1


def pool(seed: int = 0) -> dict[str, Any]:
    chance = np.random.default_rng(seed)
    cluster = np.repeat(np.arange(6), [400, 200, 60, 20, 6, 1]).astype(np.int32)
    chance.shuffle(cluster)
    cluster = np.append(cluster, np.full(13, -1, np.int32))
    return {"cluster": cluster, "key": chance.integers(0, 2**63, len(cluster)).astype(np.uint64)}


def test_rows_of_a_cluster_are_read_in_epochs() -> None:
    data = pool()
    columns = MemoryColumns(4, **data)
    decision = ClusterClip(5).choose(columns, Budget("rows", 300), Draw(1))
    taken, cluster = columns.taken(decision), data["cluster"]
    assert taken.sum() == 300
    assert taken.max() <= 5
    assert not taken[cluster == -1].any()
    by_cluster = [int(taken[cluster == j].sum()) for j in range(6)]
    assert by_cluster[5] == 5
    assert by_cluster[4] == 30
    assert max(by_cluster[:4]) - min(by_cluster[:4]) <= 1
    for j in range(6):
        assert np.ptp(taken[cluster == j]) <= 1
    assert decision.notes["clusters_at_the_cap"] == 2


def test_mean_counts_are_those_of_the_loop() -> None:
    """The paper's loop: a cluster uniformly among the active ones, its rows in epochs, until the budget is full."""
    size, repeats, amount, runs = np.array([40, 20, 6, 2]), 3, 50, 4000
    chance, total = np.random.default_rng(0), np.zeros(4)
    for _ in range(runs):
        left = size * repeats
        for _ in range(amount):
            active = np.flatnonzero(left)
            j = active[chance.integers(len(active))]
            left[j] -= 1
            total[j] += 1
    assert np.allclose(total / runs, water_level(size, amount, repeats), atol=0.6)


def test_blocks_do_not_matter_and_tokens_are_kept_to() -> None:
    data = pool()
    data["tokens"] = np.random.default_rng(3).integers(1, 40, len(data["cluster"]))
    results = []
    for blocks in (1, 5):
        columns = MemoryColumns(blocks, **data)
        decision = ClusterClip().choose(columns, Budget("tokens", 4000), Draw(1))
        taken = columns.taken(decision)
        assert 3700 < int((taken * data["tokens"]).sum()) <= 4000
        assert decision.notes["kept"] == int((taken * data["tokens"]).sum())
        results.append(taken)
    assert np.array_equal(results[0], results[1])


def test_the_tail_is_merged_as_in_blast() -> None:
    case = json.loads(GOLDEN.read_text())
    names = list(case["cell_counts_before"])
    size = np.array([case["cell_counts_before"][name] for name in names])
    place = merge_tail(size, case["tail_mass"])
    merged = np.bincount(place, weights=size, minlength=len(size) + 1)
    after = {name: int(merged[at]) for at, name in enumerate(names) if merged[at]} | {"000__000": int(merged[-1])}
    assert after == {name: count for name, count in case["cell_counts_after"].items() if count}


def test_a_merged_tail_gets_one_part() -> None:
    data = pool()
    columns = MemoryColumns(3, **data)
    taken, cluster = (
        columns.taken(ClusterClip(50, tail=0.05).choose(columns, Budget("rows", 200), Draw(1))),
        data["cluster"],
    )
    by_place = [int(taken[cluster == j].sum()) for j in range(3)] + [int(taken[cluster >= 3].sum())]
    assert by_place == [50, 50, 50, 50]
    assert np.ptp(taken[cluster >= 3]) <= 1


def test_refusals() -> None:
    with pytest.raises(UsageError, match="repeats"):
        ClusterClip(0)
    with pytest.raises(DataError, match="no clusters"):
        ClusterClip().choose(MemoryColumns(1, cluster=np.full(5, -1, np.int32)), Budget("rows", 2), Draw(0))
