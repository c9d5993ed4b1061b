"""Intervals of proposals cover planted optima as often as they say: a few swarms here, and the record of many."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from bench.asking import CASES as ANSWERS
from bench.asking import simulate as ask
from bench.mixing import CASES, simulate
from cuvee import registry
from cuvee.core import Law
from cuvee.engine.plan import make
from cuvee.law.judge import interval

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


def test_a_few_answers() -> None:
    """Of 20 tables, 6 intervals each, of a law that widens for few runs, and of one that draws checkpoints' noise."""
    for name in ("ood_scaling, 6 runs", "fine_line"):
        found = [ask(seed, ANSWERS[name]) for seed in range(500, 520)]
        covered = np.mean([list(one.values()) for one in found])
        assert 0.75 <= covered <= 1.0, name


def test_the_record_of_answers() -> None:
    """Every case was measured, and none covers far less than it says."""
    rows = json.loads(RECORD.with_name("asking.json").read_text())
    assert {row["case"] for row in rows} == set(ANSWERS)
    for row in rows:
        assert set(row["covered"]) >= set(ANSWERS[row["case"]].questions) and min(row["covered"].values()) > 0.8


def test_places_of_quantiles() -> None:
    """One more draw of a uniform number lies between them as often as they say, even for 20 of them."""
    random = np.random.default_rng(0)
    for count in (20, 40):
        held = []
        for _ in range(4_000):
            low, high = interval(random.random(count))
            held.append(high - low)
        assert np.mean(held) == pytest.approx(0.9, abs=0.004)
    assert np.isnan(interval(np.array([np.nan]))).all()
