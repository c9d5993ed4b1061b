"""Policies are found, listed and explained, and refused with a sentence where they are of no use."""

from __future__ import annotations

from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from cuvee import describing, registry
from cuvee.errors import UsageError
from cuvee.methods.policy.rs2 import Rs2


def test_policies_are_listed() -> None:
    assert {"uniform", "rs2", "infobatch"} <= set(registry.policies())
    table = describing.table()
    assert {one["name"] for one in table if one["family"] == "policy"} == set(registry.policies())
    assert "cuvee prove --policy NAME" in describing.as_text(table)
    assert "ratio: float, default 0.5" in describing.page(describing.facts("infobatch"))


def test_policies_are_loaded_as_such() -> None:
    assert registry.load("rs2", "policy") is Rs2 is registry.load("rs2")
    with pytest.raises(UsageError, match="'dsir' is not a policy"):
        registry.load("dsir", "policy")
    with pytest.raises(UsageError, match=r"No policy is called 'infobach'\. Did you mean infobatch"):
        registry.load("infobach", "policy")
    for what in ("method", "rule"):
        with pytest.raises(UsageError, match="cuvee prove --policy rs2"):
            registry.load("rs2", what)  # type: ignore[arg-type]


def test_a_selection_refuses_them(small_pool: Path, tmp_path: Path) -> None:
    import cuvee

    with pytest.raises(UsageError, match=r"'infobatch' is a policy.*cuvee prove --policy infobatch"):
        cuvee.select(small_pool, method="infobatch", rows=10, output=tmp_path / "a")
    with pytest.raises(UsageError, match="'rs2' is a policy"):
        cuvee.select(small_pool, method="perplexity", choose="rs2", rows=10, output=tmp_path / "b")


def test_a_plug_in_may_be_a_policy() -> None:
    def entry(value: str) -> registry.Entry:
        return registry.Entry("mine", value.split(":")[0], EntryPoint("mine", value, registry.GROUP))

    assert entry("cuvee.methods.policy.rs2:Rs2").load() is Rs2
    with pytest.raises(UsageError, match="is not a Method, Choose or Policy class"):
        entry("cuvee.core:Draw").load()
