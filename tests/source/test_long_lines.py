"""Lines longer than a block, and the outlines of huge ones, against plain Python."""

from __future__ import annotations

import atexit
import json
import re
import shutil
import tempfile
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cuvee.source import json_outline, jsonl, parquet
from cuvee.source.base import Bad, Spec
from cuvee.source.files import File
from cuvee.source.json_outline import _outline, outline, parse_one, sketch
from cuvee.source.jsonl import JsonlSource, _bare, _names
from cuvee.source.parquet import ParquetSource
from cuvee.source.simd import SLACK

from .common import START, Row, reference, rows_of

FOLDER = Path(tempfile.mkdtemp(prefix="cuvee-long-"))
atexit.register(shutil.rmtree, FOLDER, ignore_errors=True)
BOM = b"\xef\xbb\xbf"
BLANK = b" \t\r"

texts = st.text('ab0 "\\/:,{}[]\b\n\u00e9\u4e00\U0001f600', max_size=70) | st.text(
    st.characters(codec="utf-8"), max_size=40
)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=10,
)
objects = st.dictionaries(texts, values, max_size=6)


@st.composite
def spelled(draw: st.DrawFn, record: Any) -> bytes:
    """A record as a line in one of the ways to write it."""
    comma, colon = draw(st.sampled_from([", ", ",", " ,\t"])), draw(st.sampled_from([": ", ":", "\t :\r ", "\r:"]))
    line = json.dumps(record, ensure_ascii=draw(st.booleans()), separators=(comma, colon)).encode()
    return draw(st.sampled_from([b"", b" "])) + line + draw(st.sampled_from([b"", b"\r", b" "]))


def write(content: bytes) -> File:
    path = FOLDER / "a.jsonl"
    path.write_bytes(content)
    return File.local(path)


def framed(line: bytes, before: bytes = b"") -> tuple[Any, int, int]:
    """(buffer, start, end) of a line with its newline, ``before`` in front of it and rubbish behind."""
    content = before + line + b"\n"
    buffer = np.full(len(content) + SLACK, ord('"'), np.uint8)
    buffer[: len(content)] = np.frombuffer(content, np.uint8)
    return buffer, len(before), len(content)


def plain_outline(line: bytes, long: int) -> tuple[bytes, int]:
    """What the kernel does, by a regular expression over whole strings."""
    count = 0

    def swap(found: re.Match[bytes]) -> bytes:
        nonlocal count
        if found[2] is not None or len(found[1]) <= long:
            return found[0]
        count += 1
        return b'"' + b"0" * (long + 1) + b'"'

    return re.sub(rb'"((?:[^"\\]|\\.)*)"(\s*:)?', swap, line), count


@given(objects.flatmap(spelled), st.integers(0, 40), st.sampled_from([b"", b'{"a":"b"}\n', b'"\n']))
@example(b'{"a":"","b":"","c":["","",""]}', 0, b"")
@example(b'{"a":"long enough","b":"long enough, too","c":"\\\\"}', 3, b"")
@example(b'{"a":"\\\\","b":"\\"","c":"x\\\\\\"","\\\\":"\\\\\\\\"}', 1, b"")
@settings(max_examples=400, deadline=None)
def test_outline_against_regular_expression(line: bytes, long: int, before: bytes) -> None:
    buffer, start, end = framed(line, before)
    out = np.full(end - start + SLACK, 7, np.uint8)
    size, count = _outline(buffer, start, end, long, out)
    assert (out[:size].tobytes(), count) == plain_outline(line + b"\n", long)


@pytest.mark.parametrize("size", [4095, 4096, 4097, 4128, 9000])
@pytest.mark.parametrize("unit", ["x", '"', "\\", "\u00e9", "\u4e00", "\U0001f600"])
@pytest.mark.parametrize("escaped", [True, False])
def test_outline_of_several_long_strings(size: int, unit: str, escaped: bool) -> None:
    record = {"a": unit * size, "b": {"c": ["s", unit * size, {"d": unit * 3}]}, "k" * size: 1, "e": "0" * size}
    line = json.dumps(record, ensure_ascii=escaped).encode()
    small, count = outline(*framed(line))
    assert (small, count) == plain_outline(line + b"\n", json_outline.LONG)
    shape = json.loads(small)
    assert list(shape) == list(record) and shape["b"]["c"][0] == "s" and shape["b"]["c"][2] == {"d": unit * 3}
    assert sketch(*framed(line)) == small


@given((objects | values).flatmap(spelled), st.sampled_from([None, "text", "a", "a.b"]))
@example(b'{"text": "\\ud83d\\ude00\\u0000"}', "text")
@example(b'{"text": "\\ud83d"}', "text")
@example(b'{"a": {"b": "x"}, "a.b": "y"}', "a.b")
@example(b'{"text": ""}', "text")
@example(b"{", "text")
@settings(max_examples=200, deadline=None)
def test_one_line_against_reference(line: bytes, text: str | None) -> None:
    if not line.strip(BLANK):
        return
    verdict, found = parse_one(*framed(line), text)
    wanted = reference(line, Spec(text=text))
    assert (verdict, bytes(found) if verdict == Bad.OK else b"") == (wanted.bad, wanted.text)


@given(st.lists(objects.flatmap(spelled) | st.sampled_from([b"{", b"[]", b"3", b'{"\\ud800":1}']), max_size=5))
@settings(max_examples=100, deadline=None)
def test_fields_do_not_depend_on_sketches(lines: list[bytes]) -> None:
    file = write(b"\n".join(lines))
    plain = JsonlSource(file)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jsonl, "HUGE", 8)
        patch.setattr(json_outline, "LONG", 4)
        small = JsonlSource(file, block=8)
        assert small.fields() == plain.fields()
        assert small._records() == plain._records()


@given(objects)
@settings(max_examples=200, deadline=None)
def test_bare_keeps_names_and_lengths(record: dict[str, Any]) -> None:
    bare = {key: _bare(value) for key, value in record.items()}
    wanted: dict[str, None] = {}
    found: dict[str, None] = {}
    _names(record, "", wanted)
    _names(bare, "", found)
    assert list(found) == list(wanted)

    def compare(bare: Any, value: Any) -> None:
        if isinstance(value, dict):
            assert list(bare) == list(value)
            for key in value:
                compare(bare[key], value[key])
        else:
            assert bare == ([None] * len(value) if isinstance(value, list) else None)

    compare(bare, record)


def test_bare_of_deep_objects() -> None:
    deep: Any = "x"
    for _ in range(300):
        deep = {"a": deep}
    bare = _bare(deep)
    for _ in range(300):
        assert list(bare) == ["a"]
        bare = bare["a"]


def wanted_lines(content: bytes, limit: int) -> list[tuple[int, bytes]]:
    """(line number, line without its end, empty where it is beyond the limit) of every row."""
    lines = enumerate(content.removeprefix(BOM).split(b"\n"), 1)
    return [
        (n, b"" if len(line) > limit else line.removesuffix(b"\r")) for n, line in lines if line.strip(BLANK + b"\n")
    ]


def check_runs(content: bytes, block: int, limit: int) -> None:
    """Every promise of the runs: whole lines in order, none missing, one that fills a buffer on its own."""
    source = JsonlSource(write(content), row_limit=limit, block=block)
    lines = content.removeprefix(BOM).split(b"\n")
    at = 0
    for run in source._runs(0):
        if run.too_long:
            assert len(lines[at]) > limit and run.solid == bool(lines[at].strip(BLANK))
            at += 1
            continue
        held = bytes(run.buffer[run.start : run.end])
        assert held.endswith(b"\n") and len(run.buffer) >= run.end + SLACK - 1
        found = held[:-1].split(b"\n")
        assert found == lines[at : at + len(found)]
        assert not run.single or len(found) == 1
        at += len(found)
    assert lines[at:] in ([], [b""])
    assert list(source.rows(START, 0)) == [line for _, line in wanted_lines(content, limit)]


def test_runs_of_every_length() -> None:
    """Lines shorter than a block, as long, longer, over the limit; with and without what may stand around them."""
    for size, before, after in product(range(13), (b"", BOM, b"a\n", b"\n", BOM + b"abc\n"), (b"", b"\n", b"\r\n \nz")):
        for block, limit in ((3, 5), (3, 1000), (4, 9), (5, 1000)):
            check_runs(before + b"x" * size + after, block, limit)


_pieces = st.sampled_from([b"\n", b"\n", b"\r\n", b" ", b"a", b"bc", b"x" * 9, b"y" * 30, b" " * 20, b"\t\n", BOM])


@given(st.lists(_pieces, max_size=14).map(b"".join), st.integers(3, 40), st.integers(1, 45))
@settings(max_examples=300, deadline=None)
def test_runs_of_any_lines(content: bytes, block: int, limit: int) -> None:
    check_runs(content, block, limit)


@given(
    st.lists(objects.flatmap(spelled) | _pieces, max_size=6), st.integers(3, 300), st.integers(1, 400), st.booleans()
)
@settings(max_examples=200, deadline=None)
def test_rows_do_not_depend_on_blocks(lines: list[bytes], block: int, limit: int, bom: bool) -> None:
    content = BOM * bom + b"\n".join(lines)
    spec = Spec("a", None, "b")
    source = JsonlSource(write(content), row_limit=limit, block=block, segment=50)
    numbered = wanted_lines(content, limit)
    wanted = [reference(line, spec) if line else Row(Bad.TOO_LONG, b"") for _, line in numbered]
    assert source.index().rows == len(wanted)
    assert rows_of(source, spec) == wanted
    for part in source.index().segments:
        for skip in {0, part.rows // 2, part.rows - 1}:
            at = part.first_row + skip
            assert rows_of(source, spec, part, skip) == wanted[at:]
            assert list(source.rows(part, skip)) == [line for _, line in numbered[at:]]
            found = [int(n) for batch in source.read(part, skip, spec) for n in batch.line]  # type: ignore[union-attr]
            assert found == [n for n, _ in numbered[at:]]


def test_small_lines_between_two_that_fill_buffers() -> None:
    """What was read behind a long line is looked through: it is no part of the next long one."""
    long = b'{"a":"' + b"x" * 60 + b'"}'
    for block, gap in product(range(3, 40), (b"", b'{"b":1}\n', b"\n", b'{"b":1}\n{"c":2}\n')):
        content = long + b"\n" + gap + long + b"\n" + gap
        check_runs(content, block, len(long))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(jsonl, "HUGE", 30)
            patch.setattr(json_outline, "LONG", 4)
            names = JsonlSource(write(content), block=block).fields()
        assert names == ["a", *(["b"] if b"b" in gap else []), *(["c"] if b"c" in gap else [])]


@pytest.mark.parametrize("ahead", [1, 500, 1 << 20])
@pytest.mark.parametrize("group", [1, 3, 50])
def test_parquet_reads_ahead_behind_huge_rows(tmp_path: Path, monkeypatch: Any, ahead: int, group: int) -> None:
    sizes = [3, 900, 5, 5, 700, 800, 1, 0, 2000, 2]
    found = [f"{k}" * size for k, size in enumerate(sizes)]
    pq.write_table(pa.table({"text": found, "n": range(10)}), tmp_path / "p.parquet", row_group_size=group)
    monkeypatch.setattr(parquet, "HUGE", 600)
    monkeypatch.setattr(parquet, "AHEAD_BYTES", ahead)
    monkeypatch.setattr(parquet, "BATCH_ROWS", 1)
    source = ParquetSource(File.local(tmp_path / "p.parquet"))
    for part in source.index().segments:
        for skip in range(part.rows):
            rows = rows_of(source, Spec(), part, skip)
            assert [row.text.decode() for row in rows] == found[part.first_row + skip :]
            batches = list(source.rows(part, skip))
            assert [n for batch in batches for n in batch.column("n").to_pylist()] == [
                *range(part.first_row + skip, 10)
            ]
