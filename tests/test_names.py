"""What users typed is what errors speak of: never a part, a helper's class, or another method."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cuvee import registry
from cuvee.combine_rules import RULES
from cuvee.engine.plan import make
from cuvee.errors import UsageError
from tests.command import cuvee as run

EVERY = {
    **{name: entry.load() for name, entry in registry.entries().items()},
    **{f"{kind} {name}": registry.find(kind, name) for kind in registry.KINDS for name in registry.found_in(kind)},
}


@pytest.mark.parametrize("name", EVERY)
def test_a_wrong_number_is_told_by_the_method_that_was_named(name: str) -> None:
    """Each numeric parameter below 0, at 0 and NaN: a message that begins with a name begins with this one."""
    kind, plain = EVERY[name], name.split()[-1]
    fields = [field for field in dataclasses.fields(kind) if field.init]
    missing = (dataclasses.MISSING, dataclasses.MISSING)
    needed = {one.name: 1 for one in fields if (one.default, one.default_factory) == missing}
    for field in fields:
        if field.type not in ("int", "float"):
            continue
        for wrong in (-1, 0, "nan") if field.type == "float" else (-1, 0):
            try:
                make(kind, {**needed, field.name: wrong}, plain)
            except UsageError as error:
                begun = re.match(r"([a-z_0-9]+): ", str(error))
                assert begun is None or begun[1] == plain, str(error)


@pytest.mark.parametrize(
    ("name", "settings", "words"),
    [
        ("target_herding", {"width": "0"}, "target_herding: features must be at least 0 and width a number above 0."),
        ("samplemix", {"limit": "0"}, "samplemix: temperature is a number above 0, and limit a whole number of"),
        ("quadmix", {"limit": "0"}, "quadmix: temperature is a number above 0, and limit a whole number of"),
        ("blast", {"repeats": "0"}, "blast: repeats must be at least 1, not 0."),
        ("herding", {"width": "0"}, "herding: features must be at least 0"),
    ],
)
def test_a_part_speaks_in_the_name_of_its_method(name: str, settings: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=f"^{re.escape(words)}"):
        make(EVERY[name], settings, name)


def pool(place: Path, rows: int = 60) -> Path:
    path = place / "pool.jsonl"
    kinds = ("web", "code", "books")
    lines = [
        {"id": f"r{at}", "text": f"row {at} of {kinds[at % 3]}, {at * at}", "domain": kinds[at % 3]}
        for at in range(rows)
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def test_ratings_are_asked_for_by_the_method_that_wants_them(tmp_path: Path) -> None:
    """SampleMix reads ratings as DataMan does, and says so of itself."""
    pq.write_table(pa.table({"id": ["r1", "r2"], "overall_score": [1.0, 5.0]}), tmp_path / "few.parquet")
    common = ("select", pool(tmp_path), "--rows", "5", "--quiet", "--cache", tmp_path / "c", "-o", tmp_path / "out")
    for name in ("samplemix", "dataman"):
        other = {"samplemix": "dataman", "dataman": "samplemix"}[name]
        for file, words in (("few", f"{name} needs 20"), ("none", f"{name} cannot read")):
            told = run(*common, "--with", f"{name}:ratings={tmp_path / file}.parquet").error()
            assert words in told and other not in told


def test_quotas_beside_a_rule_that_does_not_rank(tmp_path: Path) -> None:
    common = ("select", pool(tmp_path), "--rows", "5", "--quota", "uniform", "--quiet", "--cache", tmp_path / "c")
    for method in (("--with", "rescaled_volume:dimensions=4"), ("--with", "perplexity", "--choose", "poisson")):
        found = run(*common, *method, "-o", tmp_path / "out")
        assert found.status == 2 and "Name another, like --choose top_k, or leave out --quota." in found.error()
        assert "Rescaled" not in found.error() and "Poisson" not in found.error()


def test_rules_of_combine_are_listed_and_explained() -> None:
    listed = run("methods", "combine").out
    assert all(re.search(rf"^  {name} ", listed, re.MULTILINE) for name in RULES)
    assert "--combine NAME:parameter=value" in listed and "cuvee select --with NAME:" not in listed
    assert "combine, " in run("methods").out
    for name, rule in RULES.items():
        page = json.loads(run("methods", name, "--json").out)
        assert page["family"] == "combine" and [one["name"] for one in page["parameters"]] == [
            field.name for field in dataclasses.fields(rule)
        ]
        assert f"--combine {name}" in page["example"] and "M-FLYT" in page["description"]
