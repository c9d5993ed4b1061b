"""Ids that occur twice, and different ids of one hash: each is told as what it is."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet

from cuvee.feature.content import FIRST, S0, S1, string_hash
from tests.command import cuvee as run

ALL = 0xFFFFFFFFFFFFFFFF


def fold(a: int, b: int) -> int:
    """Both halves of a product of 128 bits, as wyhash mixes them."""
    return (a * b & ALL) ^ (a * b >> 64)


def colliding() -> tuple[str, str]:
    """Two texts of 32 bytes with one wyhash: where the last eight equal the running seed, a factor is 0."""
    first = int(FIRST) ^ fold(int(FIRST) ^ int(S0), int(S1))
    for number in range(1_000_000):
        begin = f"{number:016d}".encode()
        low, high = (int.from_bytes(part, "little") for part in (begin[:8], begin[8:]))
        last = fold(low ^ int(S1), high ^ first).to_bytes(8, "little")
        try:
            end = last.decode()
        except UnicodeDecodeError:
            continue
        if end.isprintable():
            return begin.decode() + "this one" + end, begin.decode() + "or that." + end
    raise AssertionError("no seed is text")


def pool(path: Path, ids: list[str]) -> Path:
    lines = [json.dumps({"id": one, "text": f"the {at}th text of the pool"}) for at, one in enumerate(ids)]
    path.write_text("\n".join(lines) + "\n")
    return path


def test_two_ids_of_one_hash_are_both_named(tmp_path: Path) -> None:
    one, other = colliding()
    hashes = string_hash(pa.array([one, other, "third"]))
    assert hashes[0] == hashes[1] != hashes[2]
    path = pool(tmp_path / "pool.jsonl", [*(f"r{at}" for at in range(40)), one, "x", other])
    for verb in (("select", path, "--with", "random", "--rows", "3"), ("guard", path)):
        command = (*verb, "--quiet", "--cache", tmp_path / "cache", "-o", tmp_path / verb[0])
        found = run(*command)
        assert found.status == 3 and found.error().startswith("Two ids of column 'id' have the same hash")
        assert (
            one in found.error() and other in found.error() and "row 41" in found.error() and "row 43" in found.error()
        )
        assert run(*command, "--key", "content").status == 0


def test_ids_that_occur_often_are_counted(tmp_path: Path) -> None:
    """More of one id than are compared, over several spans, and an id that occurs twice."""
    ids = [f"r{at}" if at % 2 else "same" for at in range(60)]
    ids[57] = "r3"
    path = pool(tmp_path / "pool.jsonl", ids)
    told = run("guard", path, "--quiet", "--cache", tmp_path / "cache", "-o", tmp_path / "out").error()
    assert told.startswith("2 ids occur more than once in column 'id' ('same' 30 times, first in ")
    assert "row 1; 'r3' 2 times, first in " in told and told.count("row 4)") == 1


def test_numbers_as_ids(tmp_path: Path) -> None:
    table = {"id": np.array([5, 6, 5]), "text": ["a b", "c d", "e f"]}
    pa.parquet.write_table(pa.table(table), tmp_path / "pool.parquet")
    told = run("guard", tmp_path / "pool.parquet", "--quiet", "-o", tmp_path / "out", "--cache", tmp_path / "c").error()
    assert "('5' 2 times, first in" in told
