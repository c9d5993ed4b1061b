"""Pools whose files do not have the same columns, and columns that a format cannot hold."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cuvee.errors import DataError
from cuvee.feed.write import write_selection
from cuvee.source.base import Spec

from .helpers import all_of, make_selection, opened, read_texts, write_jsonl

FORMATS = ("parquet", "jsonl", "jsonl.gz", "jsonl.zst", "dolma")
HARD = ["\x00", "a\u2028b\u2029", "\U0001f600\U0010ffff", "\ufeffx", "\r\n\t\x0b\x0c\x1f\x7f\x85", "x" * 700_000]


def test_schemas_are_joined_where_they_can_be(tmp_path: Path) -> None:
    pq.write_table(pa.table({"text": ["a"], "n": pa.array([1], pa.int32())}), tmp_path / "a.parquet")
    coded = pa.array(["b"]).dictionary_encode()
    pq.write_table(pa.table({"n": pa.array([2], pa.int64()), "text": coded, "more": [0.5]}), tmp_path / "b.parquet")
    sources = opened(tmp_path / "a.parquet", tmp_path / "b.parquet")
    folder = make_selection(tmp_path / "kept", sources, all_of(sources))
    result = write_selection(folder, tmp_path / "out", format="parquet")
    assert pq.read_table(result.files[0]).to_pylist() == [
        {"text": "a", "n": 1, "more": None},
        {"text": "b", "n": 2, "more": 0.5},
    ]
    assert "null" in result.notes[0]
    assert read_texts(tmp_path / "out") == ["a", "b"]


def test_schemas_that_clash_are_refused_by_name(tmp_path: Path) -> None:
    pq.write_table(pa.table({"text": ["a"], "n": [1]}), tmp_path / "a.parquet")
    pq.write_table(pa.table({"text": ["b"], "n": ["x"]}), tmp_path / "b.parquet")
    sources = opened(tmp_path / "a.parquet", tmp_path / "b.parquet")
    folder = make_selection(tmp_path / "kept", sources, all_of(sources))
    with pytest.raises(DataError, match=r"'n'.*a\.parquet.*b\.parquet.*jsonl"):
        write_selection(folder, tmp_path / "out", format="parquet")
    assert not (tmp_path / "out").exists()
    write_selection(folder, tmp_path / "out", format="jsonl")
    assert read_texts(tmp_path / "out") == ["a", "b"]


def test_integers_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    pq.write_table(pa.table({"text": ["a"], "n": [2**60 + 1]}), tmp_path / "a.parquet")
    pq.write_table(pa.table({"text": ["b"], "n": [0.5]}), tmp_path / "b.parquet")
    sources = opened(tmp_path / "a.parquet", tmp_path / "b.parquet")
    folder = make_selection(tmp_path / "kept", sources, all_of(sources))
    with pytest.raises(DataError, match=r"a\.parquet, column 'n'"):
        write_selection(folder, tmp_path / "out", format="parquet")


def test_lines_and_tables_mix_when_their_columns_agree(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "a.jsonl", [{"text": "a", "x": 1}])
    pq.write_table(pa.table({"text": ["b"], "y": [2]}), tmp_path / "b.parquet")
    sources = opened(tmp_path / "a.jsonl", tmp_path / "b.parquet")
    folder = make_selection(tmp_path / "kept", sources, all_of(sources))
    for form in FORMATS:
        write_selection(folder, tmp_path / form, format=form)  # type: ignore[arg-type]
        assert read_texts(tmp_path / form) == ["a", "b"]
    write_jsonl(tmp_path / "c.jsonl", [{"body": "a"}])
    pq.write_table(pa.table({"body": ["b"]}), tmp_path / "d.parquet")
    sources = opened(tmp_path / "c.jsonl", tmp_path / "d.parquet")
    folder = make_selection(tmp_path / "kept2", sources, all_of(sources), Spec(text="body"))
    with pytest.raises(DataError, match="mixes JSON lines"):
        write_selection(folder, tmp_path / "out2", format="parquet")


def test_columns_named_twice_are_refused_as_objects(tmp_path: Path) -> None:
    table = pa.Table.from_arrays([pa.array(["a"]), pa.array([1]), pa.array([2])], names=["text", "n", "n"])
    pq.write_table(table, tmp_path / "p.parquet")
    sources = opened(tmp_path / "p.parquet")
    folder = make_selection(tmp_path / "kept", sources, all_of(sources))
    for form in ("jsonl", "parquet"):
        with pytest.raises(DataError, match="two columns"):
            write_selection(folder, tmp_path / "out", format=form)  # type: ignore[arg-type]


def test_types_and_bytes_that_a_format_cannot_hold_are_named(tmp_path: Path) -> None:
    broken = pa.array([b"\xff"], pa.binary()).view(pa.string())
    pq.write_table(pa.table({"text": ["a"], "other": broken}), tmp_path / "p.parquet")
    union = pa.UnionArray.from_sparse(pa.array([0], pa.int8()), [pa.array([1])])
    with pa.OSFile(str(tmp_path / "u.arrow"), "wb") as stream:
        table = pa.table({"text": ["a"], "u": union})
        with pa.ipc.new_file(stream, table.schema) as writer:
            writer.write_table(table)
    for name, bad, good, column in (("p.parquet", "jsonl", "parquet", "other"), ("u.arrow", "parquet", "jsonl", "u")):
        sources = opened(tmp_path / name)
        folder = make_selection(tmp_path / f"kept {name}", sources, all_of(sources))
        with pytest.raises(DataError, match=f"olumn '{column}'"):
            write_selection(folder, tmp_path / "out", format=bad)  # type: ignore[arg-type]
        write_selection(folder, tmp_path / "good", format=good)  # type: ignore[arg-type]
        assert read_texts(tmp_path / "good") == ["a"]
