"""docs/mix.md names every option of ``cuvee mix`` and its verbs, every trainer, mix, law, and field written."""

from __future__ import annotations

import json
import re
from pathlib import Path

import click
import pytest

import cuvee
from cuvee import exporting, registry
from cuvee.cli.mixing import mix

PAGE = (Path(__file__).parents[2] / "docs" / "mix.md").read_text(encoding="utf-8")
SHARED = "".join(page.read_text(encoding="utf-8") for page in sorted((Path(__file__).parents[2] / "docs").glob("*.md")))


@pytest.mark.parametrize("name", sorted(mix.commands))
def test_options(name: str) -> None:
    for parameter in mix.commands[name].params:
        if isinstance(parameter, click.Option):
            for option in (one for one in parameter.opts if one.startswith("--")):
                text = SHARED if name in ("pool", "search", "utilities", "transport") else PAGE
                assert re.search(rf"(?<![\w-]){option}(?![\w-])", text), f"cuvee mix {name} {option}"


def test_names() -> None:
    for name in [*registry.found_in("mix"), *registry.found_in("law"), *exporting.names()]:
        assert f"`{name}`" in PAGE, name


def test_fields(small_pool: Path, tmp_path: Path) -> None:
    from tests.law.test_fitting import frame, write

    cuvee.mix_sources(small_pool, output=tmp_path / "mix")
    cuvee.fit_law(write(tmp_path / "runs.csv", frame()), resample=20, output=tmp_path / "fit")
    for path, rows in ((tmp_path / "mix" / "mix.json", "sources"), (tmp_path / "fit" / "fit.json", "proposal")):
        found = json.loads(path.read_text())
        for field in [*found, *found[rows][0], *(found["outcomes"][0] if "outcomes" in found else ())]:
            assert f"`{field}`" in PAGE, f"{path.name}: {field}"
