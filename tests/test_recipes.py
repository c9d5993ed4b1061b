"""Every recipe is short, runs to its end, and prints what its docstring promises.

The promise is what stands indented after the line that begins "It prints": each line must be found in the output, in
this order, with "..." for anything and any run of blanks for a blank.
"""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

RECIPES = sorted((Path(__file__).parents[1] / "recipes").glob("*.py"))
MOST_LINES = 80


def promised(recipe: Path) -> list[str]:
    docstring = ast.get_docstring(ast.parse(recipe.read_text(encoding="utf-8"))) or ""
    _, found, rest = docstring.partition("\nIt prints")
    assert found, f"{recipe.name} promises nothing"
    lines = rest.split("\n", 1)[1].splitlines()
    return [line for line in textwrap.dedent("\n".join(lines)).splitlines() if line.strip()]


def pattern(line: str) -> str:
    parts = [r"\s+".join(map(re.escape, part.split())) for part in line.split("...")]
    return r"\s*" + r"[^\n]*".join(parts)


def test_there_are_recipes() -> None:
    assert len(RECIPES) >= 4


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_recipe_is_short(recipe: Path) -> None:
    assert len(recipe.read_text(encoding="utf-8").splitlines()) <= MOST_LINES


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_recipe_runs(recipe: Path, tmp_path: Path) -> None:
    """As a user runs it: a fresh interpreter, an output folder as the argument."""
    done = subprocess.run(
        [sys.executable, recipe, tmp_path / "out"],
        cwd=tmp_path,
        env=os.environ,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out"]
    at = 0
    for line in promised(recipe):
        found = re.compile(pattern(line)).search(done.stdout, at)
        assert found, f"{recipe.name}: no line like {line!r} after place {at} in:\n{done.stdout}"
        at = found.end()
