"""The commands that are killed, and the folder that they work in."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from .launcher import DEMO, Command, Kill


@dataclass(frozen=True)
class Case:
    """A command that is to survive being killed; ``earlier`` writes the output that it replaces."""

    name: str
    arguments: tuple[str, ...]
    earlier: tuple[str, ...] = ()
    small_spans: bool = True
    output: str = "out"

    def command(self, place: Path, kill: Kill | None = None) -> Command:
        return Command(self.arguments, str(place), kill, small_spans=self.small_spans)


def _select(name: str, *more: str) -> Case:
    command = ("select", "pool", "--skip-bad", "--seed", "3", *more, "-o", "out")
    return Case(f"select {name}", (*command, "--rows", "40"), (*command, "--rows", "5"))


def _write(name: str, *more: str) -> Case:
    command = ("write", "kept", "--shard", "20kB", "-o", "out")
    return Case(f"write {name}", (*command, *more), command)


PROFILE = ("profile", "pool", "-o", "out")
_HELD = ("--eval", "target.jsonl", "--seeds", "2", "--proxy", "ngram:table_bits=16,order=3")
PROVE = ("prove", "kept", *_HELD, "--against", "length_matched", "--workers", "1", "--ledger", "ledger", "-o", "out")
MIX = ("mix", "./pool", "--by", "domain", "--skip-bad", "-o", "out")
FIT = ("mix", "fit", "runs.csv", "--resamples", "20", "-o", "out")
_SWARM = ("--runs", "20", "--resamples", "20", "--proxy", "ngram:table_bits=16,order=3", "--workers", "1")
_POOL = ("./pool", "--by", "domain", "--skip-bad", "--eval", "target.jsonl")
SEARCH = ("mix", "search", *_POOL, *_SWARM, "--ledger", "ledger", "-o", "out")
GUARD = ("guard", "pool", "--skip-bad", "-o", "out")
TOWARD = ("--target", "target.jsonl", "--with")
CASES = (
    Case("profile", PROFILE, (*PROFILE, "--no-text")),
    Case("profile parquet", ("profile", "pool.parquet", "-o", "out"), (*PROFILE, "--no-text")),
    _select("random", "--with", "random"),
    _select("dsir", *TOWARD, "dsir:min_length=20"),
    _select("dsir by quota", *TOWARD, "dsir:min_length=20", "--quota", "uniform"),
    _select("zipfit pooled", *TOWARD, "zipfit:mode=pooled"),
    _select("zipfit exact", *TOWARD, "zipfit:max_targets=3"),
    _select("classifier", *TOWARD, "classifier:buckets=4096", "--choose", "gumbel:temperature=2"),
    _select("perplexity", "--with", "perplexity:table_bits=14"),
    _select("preselect", "--with", "preselect:losses=losses.parquet,buckets=4096"),
    _select("length_matched", "--with", "length_matched:like=kept"),
    Case("guard", (*GUARD, "--edit", "0.8", "--threshold", "0.5"), (*GUARD, "--record")),
    _write("parquet", "--format", "parquet"),
    _write("jsonl", "--format", "jsonl"),
    _write("jsonl.gz", "--format", "jsonl.gz"),
    _write("jsonl.zst", "--format", "jsonl.zst"),
    _write("dolma", "--format", "dolma"),
    _write("shuffled", "--format", "parquet", "--shuffle", "5"),
    Case("prove", PROVE, (*PROVE, "--no-text"), small_spans=False),
    Case("mix", (*MIX, "--tokens", "20k"), (*MIX, "--with", "proportional")),
    Case("mix fit", FIT, (*FIT, "--with", "olmix")),
    Case("mix search", (*SEARCH, "--seeds", "2"), (*SEARCH, "--seeds", "0")),
    Case("demo", ("demo", "-o", "out", "--seeds", "2", "--quiet"), small_spans=False),
    Case("cache", ("cache", "--clear"), output="cache"),
)


def rows(count: int) -> list[dict[str, Any]]:
    """Documents of all domains of the demonstration pool, cut to be short."""
    return [{**row, "text": row["text"][:600]} for row in _spread(count).to_pylist()]


def _spread(count: int) -> pa.Table:
    """Documents of all domains of the demonstration pool."""
    table = pq.read_table(DEMO / "pool.parquet")
    return table.take(np.linspace(0, table.num_rows - 1, count).astype(np.int64))


def furnish(place: Path, count: int = 400) -> None:
    """Lay out a working folder: two files of a pool, with two bad rows, another pool, a target, losses and runs; and
    less of each file of the demonstration."""
    found = rows(count)
    pq.write_table(pa.Table.from_pylist(found), place / "pool.parquet", row_group_size=90)
    (place / "pool").mkdir()
    found[11]["text"] = found[count - 20]["text"] = ""
    for name, part in (("a", found[: count // 3]), ("b", found[count // 3 :])):
        (place / f"pool/{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in part))
    lines = (DEMO / "target.jsonl").read_text().splitlines(keepends=True)
    (place / "target.jsonl").write_text("".join(lines[:20]))
    (place / "demo").mkdir()
    pq.write_table(_spread(count), place / "demo" / "pool.parquet")
    for name in ("target", "target_control", "evaluation"):
        lines = (DEMO / f"{name}.jsonl").read_text().splitlines(keepends=True)
        (place / "demo" / f"{name}.jsonl").write_text("".join(lines[::2]))
    chance = np.random.default_rng(0)
    seeds = pa.table(
        {"text": [row["text"] for row in found[::5] if row["text"]]}
        | {f"m{i}": chance.random(len([row for row in found[::5] if row["text"]])) for i in range(3)}
    )
    pq.write_table(seeds, place / "losses.parquet")
    (place / "losses.json").write_text(json.dumps({f"m{i}": i / 2 for i in range(3)}))
    shares = chance.dirichlet([2.0, 2.0, 2.0], 24)
    told = [",".join(f"{value:.9f}" for value in (*row, 1.5 + np.exp(row @ [-1.8, -0.3, -0.6]))) for row in shares]
    (place / "runs.csv").write_text("\n".join(["mix.a,mix.b,mix.c,loss.held", *told]) + "\n")
