"""What each format keeps: bytes, columns, types, texts."""

from __future__ import annotations

import datetime
import decimal
import gzip
import json
import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cuvee.errors import UsageError
from cuvee.feed.write import write_selection
from cuvee.source.base import Spec

from .helpers import all_of, make_selection, opened, read_texts, write_jsonl

FORMATS = ("parquet", "jsonl", "jsonl.gz", "jsonl.zst", "dolma")
HARD = ["\x00", "a\u2028b\u2029", "\U0001f600\U0010ffff", "\ufeffx", "\r\n\t\x0b\x0c\x1f\x7f\x85", "x" * 700_000]


@settings(max_examples=4, deadline=None)
@example(texts=HARD)
@given(
    texts=st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30), min_size=1, max_size=5)
)
def test_texts_pass_every_format_unchanged(texts: list[str]) -> None:
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        write_jsonl(root / "a.jsonl", [{"text": t, "n": k} for k, t in enumerate(texts)])
        binary = [t.encode() for t in texts]
        pq.write_table(pa.table({"text": texts, "other": texts}), root / "b.parquet")
        pq.write_table(pa.table({"text": pa.array(binary, pa.binary())}), root / "c.parquet")
        for pool in ("a.jsonl", "b.parquet", "c.parquet"):
            sources = opened(root / pool)
            folder = make_selection(root / f"kept {pool}", sources, all_of(sources))
            for form in FORMATS:
                output = root / f"{pool} {form}"
                result = write_selection(folder, output, format=form)  # type: ignore[arg-type]
                assert result.rows == len(texts)
                assert read_texts(output) == texts, (pool, form)


def test_lines_stay_as_they_are(tmp_path: Path) -> None:
    lines = [b'{"text": "a",  "x": 1.50}', b'  {"text":"\\u0062"}\t', b'{"text":"c","e":1e400,"k":{"a":1,"a":2}}']
    write_jsonl(tmp_path / "p.jsonl", lines)
    sources = opened(tmp_path / "p.jsonl")
    folder = make_selection(tmp_path / "kept", sources, [(0, 0, 2), (0, 1, 1), (0, 2, 3)])
    for form, read in {"jsonl": bytes, "jsonl.gz": gzip.decompress}.items():
        (path,) = write_selection(folder, tmp_path / form, format=form).files  # type: ignore[arg-type]
        wanted = [lines[0]] * 2 + [lines[1]] + [lines[2]] * 3
        assert read(path.read_bytes()) == b"".join(line + b"\n" for line in wanted)


def test_jsonl_to_parquet_keeps_the_rest_as_metadata(tmp_path: Path) -> None:
    records = [
        {"id": 7, "text": "a", "metadata": {"source": "web", "x": [1, None, 2.5]}},
        {"id": "q", "text": "b", "metadata": {"source": None}, "big": 10**30, "lone": "\ud800"},
        b'{"id":"r","text":"c","far":1e999,"k":{"a":1,"a":2}}',
    ]
    records[1] = json.dumps(records[1]).encode()
    write_jsonl(tmp_path / "p.jsonl", records)
    sources = opened(tmp_path / "p.jsonl")
    folder = make_selection(tmp_path / "kept", sources, all_of(sources, 2), Spec(id="id", domain="metadata.source"))
    result = write_selection(folder, tmp_path / "out", format="parquet")
    table = pq.read_table(result.files[0])
    assert table.column_names == ["id", "text", "domain", "metadata"]
    rows = table.to_pylist()[::2]
    assert [row["id"] for row in rows] == ["7", "q", "r"]
    assert [row["domain"] for row in rows] == ["web", None, None]
    assert json.loads(rows[0]["metadata"]) == {"metadata": {"x": [1, None, 2.5]}}
    assert json.loads(rows[1]["metadata"])["big"] == 10**30
    assert json.loads(rows[1]["metadata"])["lone"] == "\ud800"
    assert json.loads(rows[2]["metadata"]) == {"far": None, "k": {"a": 2}}
    assert any("1 values that were NaN or infinite" in note for note in result.notes)
    assert any("a key twice" in note for note in result.notes)


def rich_table() -> pa.Table:
    moment = datetime.datetime(2024, 5, 6, 7, 8, 9, 10)
    return pa.table(
        {
            "text": pa.array(["a", "b"]),
            "when": pa.array([moment, None], pa.timestamp("us")),
            "zoned": pa.array([moment, None], pa.timestamp("ns", "Asia/Kolkata")),
            "day": pa.array([datetime.date(2024, 2, 29), None]),
            "blob": pa.array([b"\x00\xff", None], pa.large_binary()),
            "price": pa.array([decimal.Decimal("1.20"), None]),
            "real": pa.array([float("nan"), 0.1]),
            "half": pa.array([1.5, None], pa.float16()),
            "nested": pa.array([{"t": moment, "l": [b"x", None]}, None]),
            "map": pa.array([[("k", 1)], []], pa.map_(pa.string(), pa.int8())),
            "code": pa.array(["x", None]).dictionary_encode(),
            "big": pa.array([2**64 - 1, 0], pa.uint64()),
            "span": pa.array([5, None], pa.duration("s")),
            "fixed": pa.array([[1.0, 2.0], [0.0, 0.0]], pa.list_(pa.float32(), 2)),
        }
    )


def test_arrow_to_jsonl_spells_every_type(tmp_path: Path) -> None:
    pq.write_table(rich_table(), tmp_path / "p.parquet")
    sources = opened(tmp_path / "p.parquet")
    folder = make_selection(tmp_path / "kept", sources, all_of(sources))
    result = write_selection(folder, tmp_path / "out", format="jsonl")
    first, second = (json.loads(line) for line in result.files[0].read_text().splitlines())
    assert first == {
        "text": "a",
        "when": "2024-05-06T07:08:09.000010",
        "zoned": "2024-05-06T12:38:09.000010000+05:30",
        "day": "2024-02-29",
        "blob": "AP8=",
        "price": "1.20",
        "real": None,
        "half": 1.5,
        "nested": {"t": "2024-05-06T07:08:09.000010", "l": ["eA==", None]},
        "map": {"k": 1},
        "code": "x",
        "big": 2**64 - 1,
        "span": 5,
        "fixed": [1.0, 2.0],
    }
    assert second["real"] == 0.1 and second["nested"] is None and second["map"] == {}
    assert result.notes == ("1 values that were NaN or infinite are written as null",)


def test_parquet_to_parquet_keeps_types_metadata_and_repeats(tmp_path: Path) -> None:
    table = rich_table().replace_schema_metadata({"huggingface": "{}"})
    pq.write_table(table, tmp_path / "p.parquet", row_group_size=1)
    sources = opened(tmp_path / "p.parquet")
    folder = make_selection(tmp_path / "kept", sources, [(0, 0, 1), (0, 1, 1)])
    found = pq.read_table(write_selection(folder, tmp_path / "out", format="parquet").files[0])
    assert found.schema.equals(pq.read_schema(tmp_path / "p.parquet"), check_metadata=True)
    assert found.drop_columns("real").equals(table.drop_columns("real"))
    folder = make_selection(tmp_path / "kept3", sources, [(0, 1, 3)])
    repeated = pq.read_table(write_selection(folder, tmp_path / "out3", format="parquet").files[0])
    assert repeated.to_pylist() == table.slice(1).to_pylist() * 3


def test_text_files_and_csv(tmp_path: Path) -> None:
    pool = tmp_path / "pool"
    pool.mkdir()
    (pool / "one.txt").write_text("first\n")
    (pool / "two.txt").write_text("second\x00")
    (tmp_path / "t.csv").write_text('text,n\n"a ""b"" c",1\nd,2\n')
    for name, texts in {"pool": ["first\n", "second\x00"], "t.csv": ['a "b" c', "d"]}.items():
        sources = opened(tmp_path / name)
        folder = make_selection(tmp_path / f"kept {name}", sources, all_of(sources))
        for form in FORMATS:
            write_selection(folder, tmp_path / f"{name} {form}", format=form)  # type: ignore[arg-type]
            assert read_texts(tmp_path / f"{name} {form}") == texts
    row = json.loads((tmp_path / "pool jsonl/part-00000.jsonl").read_text().splitlines()[0])
    assert row["id"] == "one.txt"


def test_dolma_documents(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "p.jsonl", [{"text": "a", "kind": "web", "id": "x", "n": 1}, {"text": "b"}])
    sources = opened(tmp_path / "p.jsonl")
    for spec, wanted in {
        Spec(id="id", domain="kind"): [("x", "web", {"n": 1}), (None, "p.jsonl", {})],
        Spec(): [(f"{tmp_path}/p.jsonl:0", "p.jsonl", {"kind": "web", "id": "x", "n": 1}), (None, "p.jsonl", {})],
    }.items():
        folder = make_selection(tmp_path / "kept", sources, all_of(sources), spec)
        result = write_selection(folder, tmp_path / "out", format="dolma")
        assert [p.relative_to(tmp_path / "out") for p in result.files] == [Path("documents/part-00000.jsonl.gz")]
        rows = [json.loads(line) for line in gzip.decompress(result.files[0].read_bytes()).splitlines()]
        for at, (row, (identity, source, metadata)) in enumerate(zip(rows, wanted, strict=True)):
            assert row["id"] == (identity or f"{tmp_path}/p.jsonl:{at}")
            assert (row["source"], row["metadata"]) == (source, metadata)
        assert "named after their file and row" in result.notes[0]
    folder = make_selection(tmp_path / "kept", sources, all_of(sources), Spec(text=None))
    with pytest.raises(UsageError, match="needs texts"):
        write_selection(folder, tmp_path / "out", format="dolma")
