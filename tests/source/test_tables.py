"""Parquet, Arrow IPC, CSV and NumPy readers."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cuvee.errors import CuveeError, DataError
from cuvee.source.arrays import ArraySource
from cuvee.source.arrow import ArrowSource
from cuvee.source.base import Bad, Source, Spec
from cuvee.source.csv import CsvSource
from cuvee.source.files import File
from cuvee.source.parquet import ParquetSource

from .common import HOSTILE, START, Row, rows_of

TEXTS = ["one", None, "", "zwölf \U0001f377", "five", "six"]
IDS = [10**18, 2, 3, None, 5, 6]
WANTED = [
    Row(Bad.OK, b"one", str(10**18), "a", 1),
    Row(Bad.NO_TEXT, b"", None, None, 0),
    Row(Bad.EMPTY_TEXT, b"", None, None, 0),
    Row(Bad.NO_ID, b"", None, None, 0),
    Row(Bad.OK, b"five", "5", None, 5),
    Row(Bad.TOKENS_TYPE, b"", None, None, 0),
]
SPEC = Spec("text", "id", "meta.source", "n")


def table(kind: pa.DataType) -> pa.Table:
    meta = [{"source": s, "x": 1} if s else None for s in ("a", "b", "c", "d", None, "e")]
    texts = pa.array(TEXTS, pa.string())
    text = texts.dictionary_encode() if pa.types.is_dictionary(kind) else texts.cast(kind)
    counts = pa.array([1, 2, 3, 4, 5, -6], pa.int32())
    return pa.table({"text": text, "id": pa.array(IDS, pa.int64()), "meta": meta, "n": counts})


def write(folder: Path, name: str, data: pa.Table) -> Source:
    path = folder / name
    if name.endswith(".parquet"):
        pq.write_table(data, path, row_group_size=4, write_page_checksum=True)
        return ParquetSource(File.local(path))
    opening = pa.ipc.new_stream if "stream" in name else pa.ipc.new_file
    with opening(path, data.schema) as writer:
        writer.write_table(data, max_chunksize=4)
    return ArrowSource(File.local(path))


KINDS = [pa.string(), pa.large_string(), pa.string_view(), pa.binary(), pa.dictionary(pa.int32(), pa.string())]


@pytest.mark.parametrize("name", ["a.parquet", "a.arrow", "a-stream.arrow"])
@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_text_types(tmp_path: Path, name: str, kind: pa.DataType) -> None:
    source = write(tmp_path, name, table(kind))
    assert source.fields() == ["text", "id", "meta", "meta.source", "meta.x", "n"]
    index = source.index()
    assert index.rows == 6 == sum(part.rows for part in index.segments)
    assert rows_of(source, SPEC) == WANTED
    for part in index.segments:
        for skip in range(part.rows):
            assert rows_of(source, SPEC, part, skip) == WANTED[part.first_row + skip :]
            batches = list(source.rows(part, skip))
            whole = pa.Table.from_batches(batches)
            assert whole.column("n").to_pylist() == table(kind).column("n").to_pylist()[part.first_row + skip :]
            assert whole.column_names == ["text", "id", "meta", "n"]


@pytest.mark.parametrize("name", ["a.parquet", "a.arrow"])
def test_ill_formed_utf8(tmp_path: Path, name: str) -> None:
    values = [b"good", b"\xed\xa0\x80", b"\xff", "é".encode(), b"\xc3"]
    offsets = np.cumsum([0] + [len(v) for v in values]).astype(np.int32)
    # the last byte of row 2 and the first of row 3 may not be read as one character
    texts = pa.Array.from_buffers(pa.string(), 5, [None, pa.py_buffer(offsets), pa.py_buffer(b"".join(values))])
    source = write(tmp_path, name, pa.table({"text": texts, "id": texts, "domain": texts}))
    assert [row.bad for row in rows_of(source, Spec())] == [0, Bad.BAD_UTF8, Bad.BAD_UTF8, 0, Bad.BAD_UTF8]
    assert [row.text for row in rows_of(source, Spec())] == [b"good", b"", b"", "é".encode(), b""]
    rows = rows_of(source, Spec(None, "id", "domain"))
    assert [row.id for row in rows] == ["good", None, None, "é", None] == [row.domain for row in rows]


@given(st.lists(st.none() | st.binary(max_size=40) | st.text(max_size=40).map(str.encode), max_size=30))
@settings(max_examples=60, deadline=None)
def test_any_bytes_give_every_row(tmp_path_factory: Any, values: list[bytes | None]) -> None:
    folder = tmp_path_factory.mktemp("any")
    for name in ("a.parquet", "a-stream.arrow"):
        rows = rows_of(write(folder, name, pa.table({"text": pa.array(values, pa.binary())})), Spec())
        assert len(rows) == len(values)
        for row, value in zip(rows, values, strict=True):
            if row.bad == Bad.OK:
                assert row.text == value and value.decode()
            else:
                assert row.bad in (Bad.NO_TEXT, Bad.EMPTY_TEXT, Bad.BAD_UTF8)
                assert (row.bad == Bad.NO_TEXT) == (value is None) and (row.bad == Bad.EMPTY_TEXT) == (value == b"")


@pytest.mark.parametrize("name", ["a.parquet", "a.arrow"])
def test_embeddings_and_numbers(tmp_path: Path, name: str) -> None:
    vectors = [[1.0, 2.0], [np.nan, 0.0], None, [1.0], [1e39, 0.0], [3.0, 4.0]]
    counts = [1.0, 1.0, 1.0, 1.0, 1.0, 2.5]
    # PyArrow cannot read a null among fixed-size lists back from Parquet
    kinds = [pa.list_(pa.float64())] + ([pa.list_(pa.float64(), 2)] if name == "a.arrow" else [])
    for kind in kinds:
        rows = [v if v is None or len(v) == 2 or kind == pa.list_(pa.float64()) else None for v in vectors]
        source = write(tmp_path, name, pa.table({"e": pa.array(rows, kind), "n": counts, "label": [1, 2, 3, 4, 5, 6]}))
        found = list(source.read(START, 0, Spec(None, tokens="n", embedding="e", label="label")))
        bad = np.concatenate([b.bad for b in found]).tolist()
        short = Bad.EMBEDDING_TYPE
        assert bad == [0, Bad.NOT_FINITE, short, short, Bad.NOT_FINITE, Bad.TOKENS_TYPE]
        vector = np.concatenate([b.columns["embedding"] for b in found])
        assert vector.dtype == np.float32 and vector.tolist() == [[1, 2]] + [[0, 0]] * 5
        assert np.concatenate([b.columns["label"] for b in found]).tolist() == [1, 0, 0, 0, 0, 0]


def test_wrong_columns_are_named(tmp_path: Path) -> None:
    source = write(tmp_path, "a.parquet", table(pa.string()))
    for spec, words in [
        (Spec("id"), "a.parquet: column 'id' is of type int64, but text is needed"),
        (Spec("nothing"), "a.parquet: has no column 'nothing'; it has: text, id, meta, meta.source"),
        (Spec("meta.y"), "a.parquet: has no column 'meta.y'"),
        (Spec("text", "meta"), "a.parquet: column 'meta' is of type struct"),
    ]:
        with pytest.raises(DataError) as caught:
            list(source.read(START, 0, spec))
        assert words in str(caught.value)


def test_flipped_page_is_noticed(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    words = ["".join(map(chr, rng.integers(97, 123, 50))) for _ in range(200)]
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"text": words}), path, compression=None, write_page_checksum=True, use_dictionary=False)
    body = bytearray(path.read_bytes())
    body[body.index(words[100].encode())] ^= 1
    path.write_bytes(bytes(body))
    with pytest.raises(DataError, match=r"a\.parquet, row group 0: cannot be read .*CRC"):
        list(ParquetSource(File.local(path)).read(START, 0, Spec()))


def test_large_batches_are_cut(tmp_path: Path) -> None:
    texts = ["x" * (3 << 20), "y" * (9 << 20), "z", "w" * (3 << 20)] + [str(k) for k in range(5000)]
    for name in ("a.parquet", "a.arrow"):
        source = write(tmp_path, name, pa.table({"text": texts}))
        assert [row.text.decode() for row in rows_of(source, Spec())] == texts


def _try(source: Source) -> tuple[int, int]:
    """(usable rows, refusals) of a hostile file, read by every role of every column."""
    refusals = used = 0

    def count(rows: Any) -> int:
        nonlocal refusals
        try:
            return int(rows())
        except CuveeError as error:
            assert Path(source.path).name in str(error)
            refusals += "is of type" not in str(error)
            return -1

    def read(spec: Spec) -> int:
        nonlocal used
        batches = list(source.read(START, 0, spec))
        used += sum(int((batch.bad == 0).sum()) for batch in batches)
        return sum(len(batch) for batch in batches)

    rows = count(lambda: source.index().rows)
    names: list[str] = []
    count(lambda: names.extend(source.fields()) or 0)
    if rows >= 0:
        for name in [None, *names[:8]]:
            for spec in (Spec(name), Spec(None, name, name), Spec(None, tokens=name), Spec(None, embedding=name)):
                assert count(lambda spec=spec: read(spec)) in (rows, -1)
        assert count(lambda: sum(batch.num_rows for batch in source.rows(START, 0))) in (rows, -1)
    return used, refusals


@pytest.mark.parametrize("folder", ["parquet-bad", "parquet-odd", "parquet-fuzz", "arrow-ipc-fuzz", "csv-fuzz"])
def test_hostile_files(folder: str) -> None:
    paths = sorted((HOSTILE / folder).iterdir())
    results = []
    for path in paths:
        file = File.local(path)
        if folder == "arrow-ipc-fuzz":
            results += [_try(ArrowSource(file)), _try(ArrowSource(file, True)), _try(ArrowSource(file, False))]
        else:
            results.append(_try(CsvSource(file) if folder == "csv-fuzz" else ParquetSource(file)))
    if folder == "parquet-odd":
        assert sum(used > 0 for used, _ in results) > len(paths) // 2
    elif folder != "csv-fuzz":
        assert any(refusals for _, refusals in results)


@pytest.mark.parametrize("name", ["comma_in_quotes", "json", "simple", "utf8"])
def test_csv_spectrum(name: str) -> None:
    source = CsvSource(File.local(HOSTILE / "csv" / f"{name}.csv"))
    wanted = json.loads((HOSTILE / "csv" / f"{name}.expected.json").read_text("utf-8"))
    assert source.fields() == list(wanted[0])
    assert pa.Table.from_batches(source.rows(START, 0)).to_pylist() == wanted
    for column in source.fields():
        rows = rows_of(source, Spec(column))
        assert [row.text.decode() for row in rows] == [record[column] for record in wanted]


def csv_of(tmp_path: Path, content: bytes, **options: Any) -> CsvSource:
    path = tmp_path / "a.csv"
    path.write_bytes(content)
    return CsvSource(File.local(path), **options)


def test_csv_bad_records(tmp_path: Path) -> None:
    content = (
        b"\xef\xbb\xbfid,text,n\r\n"
        b'1,"two\nlines, ""quoted""",3\r\n'
        b"2,short\r\n"
        b"\r\n"
        b"3,long,4,5\r\n"
        b'4,"a"b,4\r\n'
        b"5,\xff,4\r\n"
        b",no id,4\r\n"
        b"7,,4\r\n"
        b"8,count,x\r\n"
        b"9,last,4"
    )
    source = csv_of(tmp_path, content)
    found = rows_of(source, Spec("text", "id", None, "n"))
    assert [row.bad for row in found] == [
        0, Bad.BAD_RECORD, Bad.BAD_RECORD, Bad.BAD_RECORD, Bad.BAD_UTF8, Bad.NO_ID, Bad.EMPTY_TEXT, Bad.TOKENS_TYPE, 0,
    ]  # fmt: skip
    assert found[0] == Row(Bad.OK, b'two\nlines, "quoted"', "1", None, 3) and found[-1].text == b"last"
    (batch,) = source.read(START, 0, Spec())
    assert batch.line is not None and batch.line.tolist() == [2, 4, 6, 7, 8, 9, 10, 11, 12]
    with pytest.raises(DataError, match=r"a\.csv, line 2: a quote opens and never closes"):
        csv_of(tmp_path, b'text\n"open\nand on\n').index()
    with pytest.raises(DataError, match="names these columns twice: a"):
        csv_of(tmp_path, b"a,a\n1,2\n").index()
    with pytest.raises(DataError, match="UTF-16"):
        csv_of(tmp_path, "text\nx\n".encode("utf-16")).index()


@given(
    st.lists(st.tuples(st.text(max_size=20), st.text('ab",\n\r', max_size=10)), max_size=20),
    st.sampled_from(["\n", "\r\n"]),
)
@settings(max_examples=80, deadline=None)
def test_csv_round_trip(tmp_path_factory: Any, records: list[tuple[str, str]], end: str) -> None:
    def quoted(value: str) -> str:
        return '"' + value.replace('"', '""') + '"'

    body = end.join([f"{quoted(a)},{quoted(b)}" for a, b in [("first", "second"), *records]])
    folder = tmp_path_factory.mktemp("csv")
    source = csv_of(folder, body.encode("utf-8"))
    assert [tuple(r.values()) for b in source.rows(START, 0) for r in b.to_pylist()] == records
    packed = folder / "a.csv.gz"
    packed.write_bytes(gzip.compress(body.encode("utf-8")))
    again = CsvSource(File.local(packed), compression="gzip")
    assert rows_of(again, Spec("second", None, "first")) == rows_of(source, Spec("second", None, "first"))
    for skip in range(0, len(records), 7):
        assert rows_of(again, Spec("second"), None, skip) == rows_of(source, Spec("second"))[skip:]


def test_csv_segments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cuvee.source.csv.SEGMENT", 50)
    body = "text\n" + "".join(f'"line {k}\n\ufeff{k}"\n' for k in range(40))
    source = csv_of(tmp_path, body.encode())
    wanted = rows_of(source, Spec())
    assert len(wanted) == 40 and len(source.index().segments) > 5
    for part in source.index().segments:
        assert rows_of(source, Spec(), part) == wanted[part.first_row :]
        assert next(source.read(part, 0, Spec())).line.tolist()[0] == 2 + 2 * part.first_row  # type: ignore[union-attr]


def test_arrays(tmp_path: Path) -> None:
    vectors = np.arange(20_000, dtype=">f4").reshape(10_000, 2)
    vectors[7] = np.inf
    np.save(tmp_path / "e.npy", vectors)
    source = ArraySource(File.local(tmp_path / "e.npy"))
    assert source.fields() == ["embedding"] and source.index().rows == 10_000
    batches = list(source.read(START, 5, Spec(None, embedding="embedding")))
    assert batches[0].first_row == 5 and sum(len(b) for b in batches) == 9_995
    joined = np.concatenate([b.columns["embedding"] for b in batches])
    assert joined[0].tolist() == [10, 11] and joined[2].tolist() == [0, 0] and joined[-1].tolist() == [19998, 19999]
    assert np.flatnonzero(np.concatenate([b.bad for b in batches])).tolist() == [2]
    np.savez(tmp_path / "a.npz", embeddings=np.ones((3, 2)), labels=np.array([1, 2, 3]), id=np.array(["a", "b", "c"]))
    packed = ArraySource(File.local(tmp_path / "a.npz"), packed=True)
    (batch,) = packed.read(START, 0, Spec(None, "id", embedding="embedding", label="label"))
    assert batch.columns["id"].to_pylist() == ["a", "b", "c"] and batch.columns["label"].tolist() == [1, 2, 3]
    assert next(packed.rows(START, 1)).num_rows == 2


def test_bad_arrays(tmp_path: Path) -> None:
    np.save(tmp_path / "o.npy", np.array([{}], dtype=object), allow_pickle=True)
    np.save(tmp_path / "t.npy", np.ones((10, 3)))
    body = (tmp_path / "t.npy").read_bytes()
    (tmp_path / "t.npy").write_bytes(body[:-5])
    (tmp_path / "z.npz").write_bytes(b"PK\x03\x04 nothing")
    np.savez(tmp_path / "r.npz", a=np.ones(3), b=np.ones(4))
    for name, words in [
        ("o.npy", "holds object"),
        ("t.npy", "truncated"),
        ("z.npz", "cannot be read"),
        ("r.npz", "same"),
    ]:
        with pytest.raises(DataError, match=words) as caught:
            ArraySource(File.local(tmp_path / name), packed=name.endswith("npz")).index()
        assert name in str(caught.value)
