"""Intervals of proposals cover planted optima as often as they say: a few swarms here, and the record of many."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from bench.mixing import CASES, simulate
from cuvee import registry
from cuvee.core import Law
from cuvee.engine.plan import make

RECORD = Path(__file__).parents[2] / "bench" / "results" / "mixing.json"


def test_every_law_that_proposes_has_its_swarms() -> None:
    """A new law of mixtures and losses fails here until its coverage is measured."""
    found = set()
    for name in registry.found_in("law"):
        law: Law = make(registry.find("law", name), {}, name)
        if "mixture" in law.card.needs and law.card.gives == ("loss",):
            found.add(name)
    assert found == {name.partition(":")[0] for name in CASES}


def test_a_few_swarms() -> None:
    """Of 20 swarms, 5 intervals each: 90 in 100 are expected, and fewer than 78 would be too few by any count."""
    (case,) = CASES["olmix"]
    found = [simulate(seed, case) for seed in range(500, 520)]
    covered = np.mean([[*one["weights"], one["loss"], one["gain"]] for one in found])
    assert 0.78 <= covered <= 1.0
    assert np.median([abs(one["regret"]) for one in found]) < 1e-3


@pytest.mark.parametrize("row", json.loads(RECORD.read_text()), ids=lambda row: f"{row['law']}-{row['mixtures']}")
def test_the_record(row: dict[str, object]) -> None:
    """What was measured is of the swarms that stand in the benchmark."""
    told = (row["mixtures"], row["seeds"], row["noise"])
    assert told in [(case.mixtures, case.seeds, case.noise) for case in CASES[str(row["law"])]]
