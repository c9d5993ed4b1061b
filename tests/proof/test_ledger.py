"""The ledger: what is written is read back, what was damaged is named, and consultations count once."""

from __future__ import annotations

import dataclasses
import errno
import json
import subprocess
import sys
import textwrap
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pytest

from cuvee.engine import files
from cuvee.errors import DataError, ResourceError, UsageError
from cuvee.methods.policy.uniform import Uniform
from cuvee.proof import ledger as ledger_module
from cuvee.proof import record as record_module
from cuvee.proof.ledger import Ledger
from cuvee.proof.proxies.ngram import Ngram
from cuvee.proof.proxy import Measured, Point, Recipe
from cuvee.proof.recipes import from_json, load_proxy, proxies, to_json
from cuvee.proof.record import Record, decode, encode, intact

from .stubs import Slow, result


def made(number: int = 0, diverged: bool = False) -> Record:
    """A record whose content depends on ``number``."""
    rng = np.random.default_rng(number)
    loss = rng.random(40) * 100
    return Record(
        key=f"{number:040x}",
        arm=f"arm {number % 2}",
        selection="5e1ec7",
        recipe="4ec19e",
        recipe_json="{}",
        seed=number,
        status="diverged" if diverged else "finished",
        evaluations={"a": "00", "b": "11"},
        cost={"train_seconds": 1.25, "tokens": 1e9},
        metrics={} if diverged else {"a": 1.0, "a/g": 1 / 3},
        curve=(Point(10, {"a": 2.0, "b": float("inf")}), Point(20, {"a": 1.5})),
        measured={}
        if diverged
        else {
            "a": Measured(loss, np.arange(1.0, 41.0)),
            "b": Measured(loss[:3], np.ones(3), np.array([0.0, 1.0, 1.0])),
        },
        versions={"cuvee": "0"},
        hardware={"processor": "p"},
        started=datetime(2026, 1, 2, 3, 4, 5, 678901, UTC),
        seconds=2.5,
    )


def open_ledger(folder: Path) -> tuple[Ledger, list[str]]:
    said: list[str] = []
    return Ledger(folder, said.append), said


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    ledger, said = open_ledger(tmp_path / "ledger")
    assert ledger.find(made().key) is None
    assert ledger.trials() == []
    written = [made(2), made(0), made(1, diverged=True)]
    for record in written:
        ledger.append(record)
    again, _ = open_ledger(tmp_path / "ledger")
    for record in written:
        found = again.find(record.key)
        assert found is not None
        assert result(found) == result(record)
        assert (found.started, found.seconds, found.hardware) == (record.started, record.seconds, record.hardware)
    assert [one.seed for one in again.records()] == [0, 1, 2]
    assert again.trials()[0] == made(0).trial()
    assert not said


def test_other_tools_read_one_dataset(tmp_path: Path) -> None:
    ledger, _ = open_ledger(tmp_path)
    for number in range(5):
        ledger.append(made(number, diverged=number == 3))
    (ledger.folder / "trials" / "00" / ".half.parquet.1.00000000.tmp").write_bytes(b"PAR1")
    table = ds.dataset(tmp_path / "trials").to_table()
    assert sorted(table.column("seed").to_pylist()) == list(range(5))
    finished = table.filter(pc.equal(table.column("status"), "finished"))
    losses = finished.column("losses").to_pylist(maps_as_pydicts="strict")
    assert all(len(one[0]["loss"]) == len(one[0]["size"]) == 40 and one[0]["correct"] is None for one in losses)
    assert all(one[1]["correct"] == [0.0, 1.0, 1.0] for one in losses)
    assert len(list(ledger.records())) == 5


def test_reading_starts_no_thread(tmp_path: Path) -> None:
    """A thread of Arrow that lets go of a Python object while the interpreter ends aborts the process: one in eight."""
    (tmp_path / "record").write_bytes(encode(made()))
    program = """
        import os, sys
        from cuvee.proof.record import decode
        raw = open(sys.argv[1], "rb").read()
        before = len(os.listdir("/proc/self/task"))
        decode(raw)
        print(len(os.listdir("/proc/self/task")) - before)
    """
    command = [sys.executable, "-c", textwrap.dedent(program), str(tmp_path / "record")]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip() == "0"


def test_every_flipped_bit_and_every_cut_is_noticed() -> None:
    raw = encode(made())
    assert intact(raw)
    changed = bytearray(raw)
    for at in range(len(raw)):
        changed[at] ^= 1 << at % 8
        assert not intact(bytes(changed)), at
        changed[at] ^= 1 << at % 8
    assert not any(intact(raw[:at]) for at in range(0, len(raw), 7))
    assert not intact(raw + b"\0")
    assert not intact(b"")


def test_damaged_files_are_named_once_and_are_never_data(tmp_path: Path) -> None:
    ledger, said = open_ledger(tmp_path)
    for number in range(3):
        ledger.append(made(number))
    path = ledger.path(made(1).key)
    path.write_bytes(path.read_bytes()[:-1])
    ledger.path(made(2).key).write_bytes(encode(made(1)))
    assert [record.seed for record in ledger.records()] == [0]
    assert ledger.find(made(1).key) is None
    assert set(ledger.damaged) == {path, ledger.path(made(2).key)}
    assert len(said) == 2
    assert str(path) in said[0]
    assert "is damaged" in said[0]
    with pytest.warns(UserWarning, match="is damaged"):
        Ledger(tmp_path).find(made(1).key)
    ledger.append(made(1))
    assert ledger.find(made(1).key) is not None


def test_newer_formats_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger, _ = open_ledger(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(record_module, "FORMAT", 2)
        ledger.append(made())
    with pytest.raises(UsageError, match=r"newer cuvee \(ledger format 2; this one reads up to 1"):
        ledger.find(made().key)
    with monkeypatch.context() as patch:
        patch.setattr(ledger_module, "FORMAT", 2)
        Ledger(tmp_path / "new").append(made())
    with pytest.raises(UsageError, match="newer cuvee"):
        Ledger(tmp_path / "new")
    (tmp_path / "new" / "ledger.json").write_text("{")
    with pytest.raises(DataError, match="does not tell"):
        Ledger(tmp_path / "new")


def test_a_full_disk_is_said_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full(files.System):
        def write(self, stream: Any, data: Any) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

    ledger, _ = open_ledger(tmp_path)
    ledger.append(made(0))
    monkeypatch.setattr(files, "system", Full())
    with pytest.raises(ResourceError, match="No space left"):
        ledger.append(made(1))
    assert [path.name for path in tmp_path.rglob("*.*")].count(ledger.path(made(0).key).name) == 1
    assert not list(tmp_path.rglob("*.tmp"))


def test_a_comparison_counts_once(tmp_path: Path) -> None:
    ledger, _ = open_ledger(tmp_path)
    one, two, first, second = "aa" * 20, "bb" * 20, "11" * 20, "22" * 20
    assert ledger.consulted(one) == 0
    assert ledger.consult(one, "held", first) == 1
    kept = next((tmp_path / "consulted" / one).iterdir()).read_bytes()
    assert open_ledger(tmp_path)[0].consult(one, "held", first) == 1
    assert next((tmp_path / "consulted" / one).iterdir()).read_bytes() == kept
    assert json.loads(kept)["name"] == "held"
    assert ledger.consult(one, "renamed", second) == 2
    assert ledger.consult(two, "other", first) == 1
    assert (ledger.consulted(one), ledger.consulted(two)) == (2, 1)
    with pytest.raises(ValueError, match="not a digest"):
        ledger.consult("../x", "held", first)


@pytest.mark.parametrize(
    "recipe",
    [Recipe(Ngram(4, 14), Uniform(), 2.5), Recipe(Slow(1, "exit once", 3, (1.0, 2.0, np.float64(0.1))), Uniform(), 1)],
)
def test_recipes_survive_json(recipe: Recipe) -> None:
    text = json.dumps(to_json(recipe))
    again = from_json(json.loads(text), foreign=True)
    assert again == recipe
    assert again.digest() == recipe.digest()


def test_recipes_are_checked() -> None:
    good = to_json(Recipe(Ngram(4, 14), Uniform()))
    assert good["proxy"] == {"class": "ngram", "fields": {"order": 4, "table_bits": 14}}

    def changed(**proxy: Any) -> dict[str, Any]:
        return {**good, "proxy": {**good["proxy"], **proxy}}

    for value, said in [
        (changed(fields={"order": "4"}), "order='4' is not of the type int"),
        (changed(fields={"order": True}), "not of the type int"),
        (changed(fields={"size": 4}), "no parameter 'size'"),
        (changed(fields={"order": 99}), "99"),
        (changed(**{"class": "nothing"}), "cannot be imported"),
        (changed(**{"class": "../ngram"}), "not the name of a Proxy"),
        (changed(**{"class": "cuvee.core:Batch"}), "not a Proxy"),
        (changed(**{"class": "os:system"}), "outside cuvee"),
        ({**good, "epochs": 0}, "above 0"),
        ({**good, "more": 1}, "parts"),
    ]:
        with pytest.raises(UsageError, match=said):
            from_json(value)
    with pytest.raises(UsageError, match="outside cuvee"):
        from_json(to_json(Recipe(Slow(), Uniform())))


def test_proxies_are_found_by_name() -> None:
    assert "ngram" in proxies()
    assert not {"packing", "tokens"} & set(proxies())
    for name in proxies():
        assert type(load_proxy(name)).__module__ == f"cuvee.proof.proxies.{name}"
    assert load_proxy("ngram", {"order": "4"}) == Ngram(4)
    assert load_proxy("tests.proof.stubs:Slow", {"pair": "0.1/0.2"}) == Slow(pair=(0.1, 0.2))
    with pytest.raises(UsageError, match="Did you mean ngram"):
        load_proxy("n-gramm")
    with pytest.raises(UsageError, match=r"There are: .*ngram"):
        load_proxy("zzz")
    with pytest.raises(UsageError, match="order=x is not a whole number"):
        load_proxy("ngram", {"order": "x"})


def test_classes_of_the_running_script_are_refused() -> None:
    @dataclasses.dataclass(frozen=True)
    class Here(Slow):
        pass

    with pytest.raises(UsageError, match="move it to the top of a module file"):
        to_json(Recipe(Here(), Uniform()))


def test_a_record_is_deterministic() -> None:
    assert encode(made(3)) == encode(decode(encode(made(3))))
