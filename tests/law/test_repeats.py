"""Which runs are repeats of one setting, and tables as people save them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cuvee.errors import DataError
from cuvee.law.table import Table, read_runs
from tests.command import cuvee as run

from .planted import NAMES
from .test_fitting import frame, write

LOOKED_AT = ("mixture",)


def settings(table: Table) -> int:
    return len(np.unique(table.group))


def test_columns_that_the_law_does_not_look_at_tell_no_runs_apart(tmp_path: Path) -> None:
    """Losses that are not asked for, and seconds: 24 mixtures at two seeds are 24 settings, not 48."""
    columns = frame()
    path = write(tmp_path / "runs.csv", columns)
    assert settings(read_runs(path, losses=["loss.first"], inputs=LOOKED_AT)) == 24
    seconds = columns | {"wall_seconds": np.linspace(10, 20, 48)}
    found = read_runs(write(tmp_path / "timed.csv", seconds), inputs=LOOKED_AT)
    assert settings(found) == 24
    assert "wall_seconds is not looked at: runs alike in all else count as one setting" in found.notes[0]
    sizes = columns | {"tokens": np.tile([1e9, 2e9], 24)}
    assert settings(read_runs(write(tmp_path / "sizes.csv", sizes), inputs=LOOKED_AT)) == 48
    asked = columns | {"rate": np.tile([1e-3, 2e-3], 24)}
    assert settings(read_runs(write(tmp_path / "rates.csv", asked), inputs=("mixture", "rate"))) == 48


def named(spread: float) -> dict[str, Any]:
    columns, random = frame(), np.random.default_rng(3)
    mixture = np.column_stack([columns[f"mix.{name}"] for name in NAMES])
    moved = random.uniform(-spread, spread, 48)
    for at, name in enumerate(NAMES):
        columns[f"mix.{name}"] = mixture[:, at] + (moved, -moved, 0 * moved)[at]
    _, place = np.unique(mixture.round(9), axis=0, return_inverse=True)
    return columns | {"name": [f"m{one}" for one in place.ravel()]}


def test_runs_of_one_name_are_one_mixture(tmp_path: Path) -> None:
    """Shares that were realised differ in the fourth digit between seeds, as in runs.csv of a search."""
    columns = named(2e-4)
    found = read_runs(write(tmp_path / "runs.csv", columns), inputs=LOOKED_AT)
    assert settings(found) == 24
    for group in np.unique(found.group):
        assert (np.ptp(found.settings.mixture[found.group == group], axis=0) == 0).all()
    assert found.settings.mixture.sum(1) == pytest.approx(np.ones(48), abs=1e-12)
    told = json.loads(
        run("mix", "fit", tmp_path / "runs.csv", "--resamples", "20", "--json", "-o", tmp_path / "out").out
    )
    assert told["counts"]["settings"] == 24 and told["outcomes"][0]["noise"] is not None


def test_a_name_that_is_no_mixture_joins_nothing(tmp_path: Path) -> None:
    columns = named(2e-4)
    same = columns | {"name": ["experiment"] * 48}
    assert settings(read_runs(write(tmp_path / "same.csv", same), inputs=LOOKED_AT)) == 48
    each = frame() | {"name": [f"r{at}" for at in range(48)]}
    assert settings(read_runs(write(tmp_path / "each.csv", each), inputs=LOOKED_AT)) == 24


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-be"])
def test_encodings_of_spreadsheets(tmp_path: Path, encoding: str) -> None:
    text = write(tmp_path / "runs.csv", frame()).read_text().replace("mix.web", "mix.wébé")
    mark = "\ufeff" if encoding == "utf-16-be" else ""
    (tmp_path / "saved.csv").write_bytes((mark + text).encode(encoding))
    found = read_runs(tmp_path / "saved.csv")
    assert len(found) == 48 and found.settings.sources == ("books", "code", "wébé")


def test_an_encoding_that_cannot_be_read_is_a_sentence(tmp_path: Path) -> None:
    text = write(tmp_path / "runs.csv", frame()).read_text().replace("mix.web", "mix.wébé")
    (tmp_path / "latin.csv").write_bytes(text.encode("latin-1"))
    found = run("mix", "fit", tmp_path / "latin.csv", "-o", tmp_path / "out")
    assert found.status == 3 and "is not UTF-8 text. Save it as CSV in UTF-8" in found.error()
    (tmp_path / "half.csv").write_bytes(b"\xff\xfea\x00\x00\xd8")
    assert run("mix", "fit", tmp_path / "half.csv", "-o", tmp_path / "out").status == 3


@pytest.mark.parametrize(("delimiter", "point"), [(";", "."), (";", ","), ("\t", ".")])
def test_other_delimiters(tmp_path: Path, delimiter: str, point: str) -> None:
    path = write(tmp_path / "runs.csv", frame())
    lines = path.read_text().splitlines()
    body = [line.replace(",", delimiter).replace(".", point) for line in lines[1:]]
    (tmp_path / "other.csv").write_text("\n".join([lines[0].replace(",", delimiter), *body]))
    a, b = read_runs(path), read_runs(tmp_path / "other.csv")
    assert a.settings.mixture == pytest.approx(b.settings.mixture) and a.outcomes.keys() == b.outcomes.keys()


def test_json_in_an_array(tmp_path: Path) -> None:
    columns = {name: np.asarray(column).tolist() for name, column in frame().items()}
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    for name in ("runs.json", "runs.csv"):
        (tmp_path / name).write_text(json.dumps(rows, indent=1))
        assert len(read_runs(tmp_path / name)) == 48
    for content in ("[1, 2]", "[]", "null\n{}", "[" * 100_000, '[{"mix.a": [1]}]', '[{"mix.a": 1}, {"mix.a": "x"}]'):
        (tmp_path / "bad.json").write_text(content)
        with pytest.raises(DataError):
            read_runs(tmp_path / "bad.json")
