"""One name for two things, names that resemble nothing, and names that --weights and a folder cannot hold as they are."""

from __future__ import annotations

import json

import pytest

from cuvee import describing, registry
from cuvee.errors import UsageError
from tests.command import cuvee as run


def test_both_of_one_name_are_shown() -> None:
    shown = run("methods", "uniform").out
    assert "uniform (policy)" in shown and "uniform (mix)" in shown and shown.startswith("2 have this name")
    told = json.loads(run("methods", "uniform", "--json").out)
    assert told["family"] == "policy" and [one["family"] for one in told["namesakes"]] == ["mix"]
    assert run("methods", "mix:uniform").out.startswith("uniform (mix)")
    assert "namesakes" not in json.loads(run("methods", "dsir", "--json").out)


def test_every_namesake_is_known() -> None:
    plain = [*registry.entries(), *(name for kind in registry.KINDS for name in registry.found_in(kind))]
    for name in {one for one in plain if plain.count(one) > 1}:
        assert len(describing.namesakes(name)) == plain.count(name) - 1
        assert {describing.facts(one)["name"] for one in describing.namesakes(name)} == {name}


@pytest.mark.parametrize(("name", "said"), [("nosuch", "cuvee methods lists them"), ("dsri", "Did you mean dsir")])
def test_what_resembles_nothing_is_no_guess(name: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        registry.load(name)
