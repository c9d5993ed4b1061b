"""Representative samples: the release's sample sizes, exact allocation, and figures that tell good from bad."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cuvee.core import Budget, Draw
from cuvee.errors import UsageError
from cuvee.fold.strata import allocate, sample_size, sample_size_of_share
from cuvee.methods.choose.representative import Representative
from tests.conftest import MemoryColumns

GOLDEN = Path(__file__).parents[2] / "data" / "golden" / "representative_sample" / "stratified.json"


def test_sample_sizes_are_the_release_s() -> None:
    case = json.loads(GOLDEN.read_text())
    for one in case["numeric"]:
        found = sample_size(one["stratum_sizes"], one["stratum_std"], one["epsilon"], one["confidence"], one["setting"])
        assert found == one["n"]
    for one in case["proportion_sample_size"]:
        assert sample_size_of_share(one["epsilon"], one["confidence"]) == one["n"]
    for one in case["proportional_allocation"]:
        found = allocate(one["n"], np.array(one["proportions"]), np.full(len(one["proportions"]), 10**6))
        assert found.sum() == one["n"]
        assert np.abs(found - one["allocation"]).max() <= 1
    assert sample_size_of_share(0.05, 0.95, rows=500) == 218


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 1e6), st.integers(0, 500)), min_size=1, max_size=20), st.integers(0, 10_000))
def test_allocation_is_whole_and_within_what_there_is(pairs: list[tuple[float, int]], amount: int) -> None:
    weight, most = np.array([w for w, _ in pairs]), np.array([m for _, m in pairs])
    found = allocate(amount, weight, most)
    assert found.sum() == min(amount, most[weight > 0].sum())
    assert (found <= most).all()
    assert (found >= 0).all()


def pool(rows: int = 3000) -> dict[str, Any]:
    chance = np.random.default_rng(0)
    domain = np.repeat([0, 1, 2], [2000, 900, 100]).astype(np.int32)
    size = np.exp(chance.normal(6 + domain, 1.0)).astype(np.int64) + 1
    order = chance.permutation(rows)
    return {"domain": domain[order], "bytes": size[order], "key": chance.integers(0, 2**63, rows).astype(np.uint64)}


def test_proportional_strata_represent_better_than_chance() -> None:
    data = pool()
    columns = MemoryColumns(4, ["a", "b", "c"], **data)
    decision = Representative().choose(columns, Budget("rows", 300), Draw(1))
    taken = columns.taken(decision)
    assert taken.sum() == 300
    assert np.abs(np.bincount(data["domain"], weights=taken) - [200, 90, 10]).max() <= 2
    assert decision.notes["domain_chi_square_per_degree"] < 0.1
    assert abs(decision.notes["log_length_difference"]) < 0.05
    assert decision.notes["design_effect"] == pytest.approx(1.0, abs=0.02)


def test_equal_strata_give_small_domains_their_share_and_say_what_it_costs() -> None:
    data = pool()
    columns = MemoryColumns(2, ["a", "b", "c"], **data)
    decision = Representative(bins=1, allocation="equal").choose(columns, Budget("rows", 270), Draw(1))
    assert np.bincount(data["domain"], weights=columns.taken(decision)).tolist() == [90, 90, 90]
    phi = np.array([2000, 900, 100]) / 3000
    assert decision.notes["design_effect"] == pytest.approx(3 * (phi**2).sum(), rel=1e-6)


def test_neyman_prefers_strata_that_vary() -> None:
    data = pool()
    data["bytes"] = np.where(data["domain"] == 0, 500, data["bytes"])
    columns = MemoryColumns(2, ["a", "b", "c"], **data)
    taken = columns.taken(Representative(1, "neyman").choose(columns, Budget("rows", 100), Draw(1)))
    by_domain = np.bincount(data["domain"], weights=taken)
    assert by_domain[0] == 0
    assert by_domain[1] > 85


def test_refusals() -> None:
    with pytest.raises(UsageError, match="representative"):
        Representative(0)
    with pytest.raises(UsageError, match="representative"):
        Representative(allocation="best")  # type: ignore[arg-type]
