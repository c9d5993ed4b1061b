"""Sentences about sizes, and plans on a terminal."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from cuvee.cli.shared import print_plan
from cuvee.proof_wording import unequal


def told(tokens: dict[str, list[int]], wanted: int = 1_000) -> list[str]:
    """Warnings about arms that got so many tokens at each seed; "full" is the whole pool."""
    plan: Any = SimpleNamespace(arms=[SimpleNamespace(name=name, kind=name, tokens=wanted) for name in tokens])
    draws: Any = {
        (name, seed): SimpleNamespace(tokens=size, documents=1, row=np.zeros(1))
        for name, sizes in tokens.items()
        for seed, size in enumerate(sizes)
    }
    return unequal(plan, draws, range(len(next(iter(tokens.values())))))


def test_arms_that_are_equally_small_are_not_called_unequal() -> None:
    (said,) = told({"kept": [950, 900], "random": [955, 890], "full": [5_000, 5_000]})
    assert said.startswith("Trials are smaller than wanted, all arms alike: 890 tokens of 1,000")
    assert told({"kept": [990, 995], "random": [1_000, 985]}) == []


def test_an_arm_smaller_than_another_of_its_seed_is_named() -> None:
    (said,) = told({"kept": [1_000, 1_000], "random": [995, 900]})
    assert said.startswith("Arms are of unequal size: 'random' trains on 900 tokens where 1,000")
    assert len(told({"kept": [950, 900], "random": [900, 950]})) == 2  # as small on the whole, but not within a seed


def test_names_with_commas_stay_apart(capsys: pytest.CaptureFixture[str]) -> None:
    arms = ["kept, replay:old=fiction,begin=0", "kept, uniform"]
    print_plan({"arms": arms, "reads": ["a", "b"]}, {"as_json": False, "on": "local"})
    assert capsys.readouterr().out.splitlines() == [
        "arms       kept, replay:old=fiction,begin=0; kept, uniform",
        "reads      a, b",
    ]
