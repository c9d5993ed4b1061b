"""One name for two things, names that resemble nothing, and names that --weights cannot hold as they are."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cuvee import describing, registry
from cuvee.errors import UsageError
from cuvee.quantities import weight_name, weights
from cuvee.supervisor import interrupted
from tests.command import cuvee as run
from tests.command import inside


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


NAMES = ["web", "a, b", 'said "so"', '"', "{x}", " edge ", "x=y", "é,\t"]


@pytest.mark.parametrize("name", NAMES)
def test_names_come_back_from_weights(name: str) -> None:
    text = f"{weight_name(name)}=0.25,other=75%"
    assert weights(text) == {name: "0.25", "other": "0.75"}
    assert weights(json.dumps({name: 0.25, "other": 0.75})) == {name: "0.25", "other": "0.75"}


def test_weights_from_a_file_keep_their_digits(tmp_path: Path) -> None:
    place = tmp_path / "weights.json"
    place.write_text('{"a, b": 0.1000000000000000055, "c": 1e-3, "d": 1}')
    assert weights(str(place)) == {"a, b": "0.1000000000000000055", "c": "0.001", "d": "1"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a, b=0.5,c=0.5", "in double quotes"),
        ('{"a": 0.5, "a": 0.5}', "names the domain 'a' twice"),
        ('"a"=0.5,a=0.5', "names the domain 'a' twice"),
        ('{"a": "x"}', "no JSON object of weights"),
        ('{"a": true}', "no JSON object of weights"),
        ('{"a": -1}', "no JSON object of weights"),
        ('{"a": NaN}', "no JSON object of weights"),
        ("{}", "no JSON object of weights"),
        ("{", "no JSON object of weights"),
        ("none.json", "cannot be read"),
    ],
)
def test_bad_weights(text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        weights(text)


def test_a_pool_in_a_folder_with_the_name_of_a_verb(tmp_path: Path) -> None:
    with inside(tmp_path):
        answer = run("mix", "pool", "--by", "domain")
        assert answer.status == 2 and "Missing argument" in answer.err and "./pool" not in answer.err
        (tmp_path / "pool").mkdir()
        answer = run("mix", "pool", "--by", "domain")
        assert answer.status == 2 and "cuvee mix ./pool" in answer.err
        assert "cuvee mix ./" not in run("mix", "search", "--by", "domain").err


def test_words_after_an_interrupt() -> None:
    assert "at most 30 s" in interrupted(["pretrain", "pool/"])
    assert "finished parts are kept" in interrupted(["select", "pool/"])
