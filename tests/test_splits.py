"""What training, validation and test data share is told, whatever becomes of the rows."""

from __future__ import annotations

import json
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from cuvee.clusters import Members
from cuvee.near_duplicates import guard, lines
from cuvee.splits import shared, split_of


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("train-00001-of-00002.parquet", "train"),
        ("Training.jsonl", "train"),
        ("dev.jsonl.gz", "validation"),
        ("validation_matched", "validation"),
        ("val", "validation"),
        ("test", "test"),
        ("evaluation.csv", "test"),
        ("latest.jsonl", None),
        ("trainees.jsonl", None),
        ("devices", None),
        ("train-test.jsonl", None),
        ("", None),
    ],
)
def test_names_of_splits(name: str, split: str | None) -> None:
    assert split_of(name) == split


def text(number: int, last: str = "end") -> str:
    return " ".join([f"w{number}x{at}" for at in range(60)] + [last])


def write(path: Path, texts: list[str], **columns: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps({"text": one, **columns}) + "\n" for one in texts))


def test_splits_by_file(tmp_path: Path) -> None:
    """Exactly and nearly, by the file's name or its folder's, and also where nothing is removed."""
    write(tmp_path / "pool" / "train" / "p-0.jsonl", [text(0), text(1), text(2)])
    write(tmp_path / "pool" / "train" / "p-1.jsonl", [text(2), text(3), text(4)])
    write(tmp_path / "pool" / "test.jsonl", [text(0), text(1, "other"), text(9)])
    write(tmp_path / "pool" / "dev.jsonl", [text(4), text(4), text(8)])
    result = guard(tmp_path / "pool", record=True, output=tmp_path / "out")
    assert result.summary["across"] == [
        {"by": "split", "between": ["test", "train"], "clusters": 2, "rows": [2, 2]},
        {"by": "split", "between": ["train", "validation"], "clusters": 1, "rows": [1, 2]},
    ]
    screen = " ".join(" ".join(lines(result)).split())
    assert "Splits 'test' and 'train' share 2 clusters (2 rows and 2 rows): what a model" in screen
    page = (tmp_path / "out" / "report.html").read_text()
    assert "Shared by splits or domains" in page and ">validation<" in page
    write(tmp_path / "pool" / "more.jsonl", [text(7)])
    assert guard(tmp_path / "pool", output=tmp_path / "out").summary["across"] == [], "not every file names its split"


def test_splits_by_column(tmp_path: Path) -> None:
    write(tmp_path / "a.jsonl", [text(0), text(1)], split="train")
    write(tmp_path / "b.jsonl", [text(1), text(2)], split="test")

    def found(name: str, **more: str) -> list[tuple[str, int]]:
        from cuvee import Reading

        pool = [tmp_path / "a.jsonl", tmp_path / "b.jsonl"]
        result = guard(pool, output=tmp_path / "out", reading=Reading(domain=name), **more)  # type: ignore[arg-type]
        return [(one["by"], one["clusters"]) for one in result.summary["across"]]

    assert found("split") == [("split", 1)]
    assert found("split", scope="domain") == []
    write(tmp_path / "b.jsonl", [text(1), text(2)], split="books")
    assert found("split") == [("domain", 1)]


def test_counts_are_those_of_a_plain_loop() -> None:
    chance = np.random.default_rng(2)
    for groups in (2, 5, 64):
        cluster = np.sort(chance.integers(0, 40, 200))
        group = chance.integers(0, groups, 200)
        blank = np.zeros(200, np.int64)
        members = Members(np.arange(200), cluster, blank, blank, blank.astype(np.uint64), group.astype(np.int32))
        names = [f"g{at:02}" for at in range(groups)]
        want = []
        for a, b in combinations(range(groups), 2):
            both = [c for c in range(40) if {a, b} <= set(group[cluster == c].tolist())]
            rows = [int(sum(np.isin(cluster, both) & (group == one))) for one in (a, b)]
            if both:
                want.append({"by": "domain", "between": [names[a], names[b]], "clusters": len(both), "rows": rows})
        want.sort(key=lambda one: (-one["clusters"], one["between"]))
        assert shared(members, members.domain, names, "domain") == want[:20]
