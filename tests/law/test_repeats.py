"""Which runs are repeats of one setting, and tables as people save them."""

from __future__ import annotations

import csv
import gzip
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


def test_packed_tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = write(tmp_path / "runs.csv", frame()).read_bytes().replace(b",", b"\t")
    packed = tmp_path / "runs.tsv.gz"
    packed.write_bytes(gzip.compress(content))
    assert len(read_runs(packed)) == 48
    (tmp_path / "cut.tsv.gz").write_bytes(packed.read_bytes()[:-20])
    with pytest.raises(DataError, match=r"cut\.tsv\.gz cannot be read as a table of runs"):
        read_runs(tmp_path / "cut.tsv.gz")
    monkeypatch.setattr("cuvee.law.opened.LARGEST", len(content) - 1)
    with pytest.raises(DataError, match="it unpacks to more than"):
        read_runs(packed)


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


def test_seeds_of_short_runs_may_be_farther_apart(tmp_path: Path) -> None:
    """Runs of few documents make up a share to a percent alone: their seeds tell what they are, and only they."""
    columns = named(8e-3)
    assert settings(read_runs(write(tmp_path / "alone.csv", columns), inputs=LOOKED_AT)) > 24
    _, place, times = np.unique(columns["name"], return_inverse=True, return_counts=True)
    assert (times == 2).all()
    order = np.argsort(place, kind="stable")
    seed = np.empty(48, int)
    seed[order] = np.tile([0, 1], 24)
    found = read_runs(write(tmp_path / "seeds.csv", columns | {"seed": seed}), inputs=LOOKED_AT)
    assert settings(found) == 24
    alike = read_runs(write(tmp_path / "alike.csv", columns | {"seed": 0 * seed}), inputs=LOOKED_AT)
    assert settings(alike) > 24
    far = named(0.05) | {"seed": seed}
    assert settings(read_runs(write(tmp_path / "far.csv", far), inputs=LOOKED_AT)) > 24


@pytest.mark.parametrize("name", ["", "a\nb", 'c"d, e'])
def test_sources_of_any_name_are_read_back(tmp_path: Path, name: str) -> None:
    """As ``mix search`` writes them: domains may be unnamed, or hold what a line of CSV ends with."""
    columns = frame()
    columns[f"mix.{name}"] = columns.pop("mix.web")
    with (tmp_path / "runs.csv").open("w", newline="") as stream:
        out = csv.writer(stream, lineterminator="\n")
        out.writerow(columns)
        out.writerows(zip(*columns.values(), strict=True))
    found = read_runs(tmp_path / "runs.csv", inputs=LOOKED_AT)
    assert set(found.settings.sources) == {"books", "code", name} and settings(found) == 24


def test_percentages_are_told_from_wrong_weights(tmp_path: Path) -> None:
    columns = frame() | {f"mix.{name}": 100 * frame()[f"mix.{name}"] for name in NAMES}
    with pytest.raises(DataError, match=r"not to 1 .48 such rows.* divide them by 100"):
        read_runs(write(tmp_path / "runs.csv", columns), inputs=LOOKED_AT)


def test_a_seed_below_0_is_a_sentence(tmp_path: Path) -> None:
    path = write(tmp_path / "runs.csv", frame())
    for more in (["--seed", "-1"], ["--with", "gaussian_process:seed=-1"]):
        found = run("mix", "fit", path, *more, "-o", tmp_path / "out")
        assert found.status == 2 and "seed must be at least 0, not -1." in found.error()
