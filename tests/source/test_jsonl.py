from __future__ import annotations

import atexit
import gzip
import json
import random
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cuvee.errors import DataError
from cuvee.source.base import Bad, Segment, Spec
from cuvee.source.files import File
from cuvee.source.jsonl import JsonlSource
from cuvee.source.simd import utf8_valid

from .common import HOSTILE, START, Row, reference, reference_rows, rows_of

SPEC = Spec("text", "id", "meta.source", "n", None, "label")
FOLDER = Path(tempfile.mkdtemp(prefix="cuvee-jsonl-"))
atexit.register(shutil.rmtree, FOLDER, ignore_errors=True)


def write(content: bytes, name: str = "a.jsonl") -> File:
    path = FOLDER / name
    path.write_bytes(content)
    return File.local(path)


def read(content: bytes, spec: Spec = SPEC, **options: int) -> list[Row]:
    return rows_of(JsonlSource(write(content), **options), spec)


GOOD = b'{"id": "a", "text": "hello", "meta": {"source": "web"}, "n": 3, "label": "x"}'
GOOD_ROW = Row(Bad.OK, b"hello", "a", "web", 3, "x")


@pytest.mark.parametrize(
    ("change", "row"),
    [
        ('"text": "hello"', GOOD_ROW),
        ('"text": null', Bad.NO_TEXT),
        ('"text": ""', Bad.EMPTY_TEXT),
        ('"text": 3', Bad.TEXT_TYPE),
        ('"text": ["hello"]', Bad.TEXT_TYPE),
        ('"tex": "hello"', Bad.NO_TEXT),
        ('"text": "hello", "text": "hello"', Bad.DUPLICATE_KEY),
        ('"text": "hello", "te\\u0078t": "hello"', Bad.DUPLICATE_KEY),
        ('"te\\u0078t": "hello"', GOOD_ROW),
        ('"text": "hello", "other": 1, "other": 2', GOOD_ROW),
        ('"text": "hello", "other": {"text": "inner"}', GOOD_ROW),
        ('"text": "hello", "other": [{"text": "inner"}]', GOOD_ROW),
        ('"text": "hello", "other": "\\ud800"', Bad.SURROGATE),
        ('"text": "\\udc00\\ud800"', Bad.SURROGATE),
        ('"text": "\\ud83d\\ude00\\u0000"', Row(Bad.OK, "\U0001f600\0".encode(), "a", "web", 3, "x")),
        ('"text": "hello",', Bad.BAD_JSON),
        ('"text": "hello", "other": 01', Bad.BAD_JSON),
        ('"text": "hello", "other": NaN', Bad.BAD_JSON),
        ('"text": "a\tb"', Bad.BAD_JSON),
    ],
)
def test_values(change: str, row: Row | Bad) -> None:
    line = GOOD.replace(b'"text": "hello"', change.encode())
    wanted = row if isinstance(row, Row) else Row(row, b"", tokens=0)
    assert read(line) == [wanted] == [reference(line, SPEC)]
    assert read(b"\n".join([GOOD, line, GOOD])) == [GOOD_ROW, wanted, GOOD_ROW]


@pytest.mark.parametrize(
    ("old", "new", "bad"),
    [
        (b'"id": "a", ', b"", Bad.NO_ID),
        (b'"id": "a"', b'"id": null', Bad.ID_TYPE),
        (b'"id": "a"', b'"id": 1.0', Bad.ID_TYPE),
        (b'"id": "a"', b'"id": {}', Bad.ID_TYPE),
        (b'"n": 3', b'"n": -1', Bad.TOKENS_TYPE),
        (b'"n": 3', b'"n": 3.5', Bad.TOKENS_TYPE),
        (b'"n": 3', b'"n": "3"', Bad.TOKENS_TYPE),
        (b'"n": 3', b'"n": 9223372036854775808', Bad.TOKENS_TYPE),
        (b'"web"', b"[]", Bad.DOMAIN_TYPE),
        (b'"x"', b"{}", Bad.LABEL_TYPE),
    ],
)
def test_bad_columns(old: bytes, new: bytes, bad: Bad) -> None:
    line = GOOD.replace(old, new)
    assert line != GOOD
    assert read(line) == [Row(bad, b"", tokens=0)] == [reference(line, SPEC)]


def test_ids_keep_their_digits() -> None:
    big = b"123456789012345678901234567890"
    assert read(GOOD.replace(b'"a"', big))[0].id == big.decode()
    assert read(GOOD.replace(b'"n": 3', b'"n": 9223372036854775807'))[0].tokens == 2**63 - 1
    assert read(GOOD.replace(b'"n": 3', b'"n": 30e-1'))[0].tokens == 3
    assert read(GOOD.replace(b'"web"', b"1.50"))[0].domain == "1.50"


def test_one_column_in_two_roles() -> None:
    assert read(GOOD, Spec("text", "id", "id")) == [Row(Bad.OK, b"hello", "a", "a")]
    assert read(b'{"a.b": "x"}\n{"a": {"b": "y"}}\n{"a.b": "x", "a": {"b": "y"}}', Spec("a.b")) == [
        Row(Bad.OK, b"x"),
        Row(Bad.OK, b"y"),
        Row(Bad.DUPLICATE_KEY, b""),
    ]


def test_depth_limit() -> None:
    def nested(depth: int) -> bytes:
        return b'{"text": "t", "x": ' + b"[" * depth + b"]" * depth + b"}"

    assert [row.bad for row in read(nested(511) + b"\n" + nested(512), Spec())] == [Bad.OK, Bad.TOO_DEEP]
    assert read(b"[" * 100_000, Spec())[0].bad == Bad.TOO_DEEP


@pytest.mark.parametrize("folder", ["json", "json-transform"])
def test_json_suite(folder: str) -> None:
    paths = sorted((HOSTILE / folder).iterdir())
    assert len(paths) > 10
    for path in paths:
        # a newline ends a row, so a document of several lines becomes one of spaces
        line = path.read_bytes().replace(b"\n", b" ").removeprefix(b"\xef\xbb\xbf")
        wrapped = b'{"text": "t", "x": ' + line + b"}"
        for content in (line, wrapped):
            if not content.strip(b" \t\r"):
                continue
            row = reference(content, Spec())
            assert read(content, Spec()) == [row], path.name
            good = reference(GOOD, Spec())
            assert read(b"\n".join([GOOD, content, GOOD]), Spec()) == [good, row, good], path.name
        if path.name.startswith("y_"):
            assert read(line, Spec())[0].bad in (Bad.OK, Bad.NO_TEXT, Bad.NOT_OBJECT), path.name
        if path.name.startswith("n_") and line.strip(b" \t\r") and path.name != "n_structure_whitespace_formfeed.json":
            assert read(line, Spec())[0].bad in (Bad.BAD_JSON, Bad.BAD_UTF8, Bad.TOO_DEEP), path.name


def test_naughty_strings() -> None:
    strings = [s for s in json.loads((HOSTILE / "strings" / "blns.json").read_text("utf-8")) if s]
    for ascii_only in (True, False):
        content = "\n".join(json.dumps({"text": s}, ensure_ascii=ascii_only) for s in strings)
        assert [row.text.decode() for row in read(content.encode(), Spec())] == strings


def test_utf8_suite() -> None:
    checked = 0
    for line in (HOSTILE / "utf8" / "utf8tests.bin").read_bytes().split(b"\n"):
        _, verdict, body = [*line.split(b":", 2), b"", b""][:3]
        if verdict in (b"valid", b"invalid") and body and min(body) >= 32 and not set(b'"\\') & set(body):
            row = read(b'{"text": "' + body + b'"}', Spec())
            assert row == [Row(Bad.OK, body) if verdict == b"valid" else Row(Bad.BAD_UTF8, b"")], line
            checked += 1
    assert checked > 30


@given(st.one_of(st.binary(max_size=80), st.text(max_size=60).map(str.encode)), st.integers(0, 40), st.randoms())
@settings(max_examples=300, deadline=None)
def test_utf8_check(data: bytes, pad: int, chance: random.Random) -> None:
    body = bytearray(b"a" * pad + data)
    if body and chance.random() < 0.3:
        body[chance.randrange(len(body))] = chance.randrange(256)
    try:
        bytes(body).decode("utf-8")
        valid = True
    except UnicodeDecodeError:
        valid = False
    assert bool(utf8_valid(np.frombuffer(bytes(body), np.uint8), 0, len(body))) == valid


_texts = st.text(st.characters(codec="utf-8"), max_size=50) | st.text('ab"\\/\b\n\u00e9\u4e00\U0001f600', max_size=80)
_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | _texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_texts, inner, max_size=3),
    max_leaves=6,
)
_records = st.fixed_dictionaries(
    {},
    optional={
        "text": _texts | _values,
        "id": _texts | st.integers() | _values,
        "meta": st.dictionaries(st.sampled_from(["source", "x"]), _values) | _values,
        "n": st.integers(-3, 2**64) | st.floats(0, 1e19).map(round) | _values,
        "label": _values,
        "other": _values,
    },
)
_spice = [b'"', b"\\", b"\\u", b"\\ud83d", b"{", b"}", b"[", b"]", b",", b":", b" ", b"\r", b"\t", b"0", b"-", b"."]
_spice += [b"e", b"\0", b"\x80", b"\xed\xa0\x80", b"\xf0\x9f", b"null", b'"text":1,', b"\n", b"\n\n", b"\xef\xbb\xbf"]


@st.composite
def files(draw: st.DrawFn) -> bytes:
    lines = []
    for record in draw(st.lists(_records, max_size=6)):
        spaced = (", ", ": ") if draw(st.booleans()) else (",", ":")
        lines.append(json.dumps(record, ensure_ascii=draw(st.booleans()), separators=spaced).encode())
    body = bytearray(draw(st.sampled_from([b"\n", b"\r\n", b"\n\n", b" \n\t\n"])).join(lines))
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(body)))
        body[at : at + draw(st.integers(0, 2))] = draw(st.sampled_from(_spice))
    return draw(st.sampled_from([b"", b"", b"\xef\xbb\xbf"])) + bytes(body) + draw(st.sampled_from([b"", b"\n"]))


@given(files(), st.integers(1, 200), st.integers(1, 200))
@settings(max_examples=400, deadline=None)
def test_against_reference(content: bytes, block: int, segment: int) -> None:
    source = JsonlSource(write(content), block=block + 3, segment=segment)
    wanted = reference_rows(content, SPEC)
    index = source.index()
    assert index.rows == len(wanted) == sum(s.rows for s in index.segments)
    assert rows_of(source, SPEC) == wanted
    assert rows_of(JsonlSource(source.file), SPEC) == wanted
    raw = [
        line.removesuffix(b"\r") for line in content.removeprefix(b"\xef\xbb\xbf").split(b"\n") if line.strip(b" \t\r")
    ]
    assert list(source.rows(START, 0)) == raw
    for part in index.segments:
        for skip in {0, part.rows - 1}:
            assert rows_of(source, SPEC, part, skip) == wanted[part.first_row + skip :]
            assert list(source.rows(part, skip)) == raw[part.first_row + skip :]


def test_line_numbers() -> None:
    content = b"\n\n" + GOOD + b"\n \r\n" + b"\n".join([GOOD] * 3) + b"\n\n"
    for segment in (1, 100, 10_000):
        source = JsonlSource(write(content), segment=segment)
        for part in source.index().segments:
            found = [int(n) for batch in source.read(part, 0, Spec()) for n in batch.line]  # type: ignore[union-attr]
            assert found == [3, 5, 6, 7][part.first_row :]


def test_row_limit_does_not_depend_on_the_place() -> None:
    long = b'{"text": "' + b"x" * 500 + b'"}'
    content = b"\n".join([GOOD, long, b" " * 500, GOOD, long])
    for block in (16, 64, 300, 4096):
        source = JsonlSource(write(content), row_limit=400, block=block, segment=100)
        assert source.index().rows == 4
        for part in source.index().segments:
            bad = [row.bad for row in rows_of(source, SPEC, part)]
            assert bad == [Bad.OK, Bad.TOO_LONG, Bad.OK, Bad.TOO_LONG][part.first_row :]
            assert list(source.rows(part, 0)) == [GOOD, b"", GOOD, b""][part.first_row :]


def test_more_rows_than_a_batch() -> None:
    lines = [b'{"text": "%d"}' % k for k in range(10_000)]
    source = JsonlSource(write(b"\n".join(lines)))
    rows = rows_of(source, Spec(), Segment(0, 10_000, 0, 0), 4_000)
    assert [row.text for row in rows] == [b"%d" % k for k in range(4_000, 10_000)]


def test_embeddings() -> None:
    lines = ["[1, -2.5e-1, 3]", "[1, 2]", "[1, null, 2]", '["1", "2", "3"]', "[1e400, 0, 0]", "null", "[0,0,1e39]"]
    content = "\n".join(f'{{"text": "t{k}", "e": {line}}}' for k, line in enumerate(lines))
    (batch,) = JsonlSource(write(content.encode())).read(START, 0, Spec(embedding="e"))
    short = Bad.EMBEDDING_TYPE
    assert batch.bad.tolist() == [Bad.OK, short, short, short, Bad.NOT_FINITE, short, Bad.NOT_FINITE]
    assert batch.columns["embedding"].dtype == np.float32
    assert batch.columns["embedding"].tolist() == [[1.0, -0.25, 3.0]] + [[0.0] * 3] * 6
    assert batch.offsets.tolist() == [0, 2, 2, 2, 2, 2, 2, 2]


@pytest.mark.parametrize("kind", ["gzip", "zstd"])
def test_compressed(kind: str) -> None:
    content = b"\n".join(GOOD.replace(b'"a"', b'"%d"' % k) for k in range(3000))
    half = content.index(b"\n", len(content) // 2) + 5

    def pack(part: bytes) -> bytes:
        return gzip.compress(part) if kind == "gzip" else pa.compress(part, codec="zstd", asbytes=True)

    packed = pack(content[:half]) + pack(content[half:])
    source = JsonlSource(write(packed, "a.bin"), kind, block=1000)
    assert source.index().rows == 3000
    assert [row.id for row in rows_of(source, SPEC)] == [str(k) for k in range(3000)]
    assert len(rows_of(source, SPEC, None, 2999)) == 1
    for cut in (len(packed) - 1, len(packed) - 20, 30):
        with pytest.raises(DataError, match=r"cut\.bin.*truncated"):
            JsonlSource(write(packed[:cut], "cut.bin"), kind).index()


def test_bombs_are_refused() -> None:
    packed = pa.compress(b'{"text": "t"}\n' * 2_000_000, codec="zstd", asbytes=True)
    source = JsonlSource(write(packed, "bomb.zst"), "zstd", bomb=(1 << 20, 100))
    with pytest.raises(DataError, match=r"bomb\.zst: expands to more than 100 times"):
        source.index()
    with pytest.raises(DataError, match=r"bomb\.zst: expands"):
        list(source.read(START, 0, Spec()))
    line = JsonlSource(write(gzip.compress(b"x" * 20_000_000), "line.gz"), "gzip", row_limit=1 << 20)
    with pytest.raises(DataError, match=r"line\.gz: expands"):
        line.index()
    with pytest.raises(DataError, match=r"line\.gz: expands"):
        list(line.read(START, 0, Spec()))


def test_fields() -> None:
    source = JsonlSource(write(b'null\nnonsense\n{"\\udfaa": 1}\n' + GOOD + b'\n{"more": 1}'))
    assert source.fields() == ["id", "text", "meta", "meta.source", "n", "label", "more"]


def test_stamp_follows_the_content_not_the_name() -> None:
    file = write(b"x" * 300_000, "stamp.jsonl")
    (FOLDER / "link").symlink_to(file.path)
    source, same = JsonlSource(file), JsonlSource(File.local(FOLDER / "link"))
    before = source.stamp()
    assert source.stamp() == before == same.stamp()
    with Path(file.path).open("r+b") as stream:
        stream.seek(150_000)  # neither in the first nor in the last 64 KB
        stream.write(b"y")
    assert source.stamp() != before


def test_missing_file() -> None:
    with pytest.raises(DataError, match=r"gone\.jsonl: no such file"):
        JsonlSource(File.local(FOLDER / "gone.jsonl")).index()
