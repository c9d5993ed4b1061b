"""Documents handled without Python strings give what the plain way gives."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cuvee.errors import DataError
from cuvee.feed import reach, records, roles
from cuvee.feed.pool import open_source
from cuvee.feed.records import Long, Records, _values
from cuvee.feed.roles import Parts, parse, split
from cuvee.feed.write import write_selection
from cuvee.source import json_outline, jsonl, parquet
from cuvee.source.base import Source, Spec
from cuvee.source.files import File
from cuvee.source.jsonl import JsonlSource

from .helpers import all_of, contents, make_selection, opened, write_jsonl

texts = st.text('a0 "\\/:,{}[]\n\u00e9\u4e00\U0001f600', max_size=60) | st.text(
    st.characters(codec="utf-8"), max_size=30
)
any_texts = texts | st.text(max_size=12) | st.sampled_from(["00000", "\ud800", "\udc00\ud83d"])
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | any_texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=5,
)
documents = st.fixed_dictionaries(
    {},
    optional={
        "text": texts | values,
        "a.b": texts,
        "a": st.fixed_dictionaries({}, optional={"b": texts, "c": values}) | values,
        "id": values,
        "other": values,
        "more": any_texts,
    },
)
SPECS = [Spec(), Spec(id="id", domain="a.c"), Spec("a.b", id="other", domain="more"), Spec("a", id="id")]


def settle(patch: pytest.MonkeyPatch, huge: int, long: int) -> None:
    """Make far smaller documents count as huge."""
    for module in (roles, records, reach, jsonl):
        patch.setattr(module, "HUGE", huge)
    for other in (json_outline, roles):
        patch.setattr(other, "LONG", long)
    patch.setattr(records, "CHUNK", 3)


@st.composite
def lines(draw: st.DrawFn) -> bytes:
    """A document as a line, perhaps with a key twice."""
    record = draw(documents)
    ascii_only = draw(st.booleans()) or bool(json.dumps(record).count("\\ud"))
    try:
        line = json.dumps(record, ensure_ascii=ascii_only).encode()
    except UnicodeEncodeError:
        line = json.dumps(record).encode()
    if len(record) and draw(st.integers(0, 4)) == 0:
        key = json.dumps(draw(st.sampled_from(sorted(record)))).encode()
        line = line[:-1] + b"," + key + b":" + json.dumps(draw(any_texts)).encode() + b"}"
    return line


@given(lines(), st.sampled_from(SPECS), st.integers(0, 20))
@example(b'{"text": "\\ud83d\\ude00\\u0000 and more", "id": 7}', SPECS[1], 3)
@example(b'{"text": "000000", "other": "000000"}', SPECS[0], 5)
@example(b'{"text": "000000", "other": 1}', SPECS[0], 5)
@example(b'{"text": "\\u0030\\u0030\\u0030\\u0030", "other": {"k": 1, "k": 2}}', SPECS[0], 3)
@example(b'{"text": "a", "other": "a long string", "k": {"x": 1, "x": 2}}', SPECS[0], 3)
@example(b'{"a": {"b": "a long string"}, "a.b": "another one"}', SPECS[2], 3)
@settings(max_examples=500, deadline=None)
def test_parse_against_plain_parsing(line: bytes, spec: Spec, long: int) -> None:
    plain, quick = Records(spec), Records(spec)
    wanted = split(plain.parse(line, "f", 0), spec)
    with pytest.MonkeyPatch.context() as patch:
        settle(patch, 0, long)
        found = parse(line, quick, "f", 0)
    text = str(found.text) if isinstance(found.text, Long) else found.text
    assert repr(Parts(found.id, text, found.domain, found.rest)) == repr(wanted)  # NaN is not equal to itself
    assert quick.twice == plain.twice
    assert plain.text(found.rest, "f", 0) == quick.text(wanted.rest, "f", 0)


def test_a_huge_text_is_taken_apart_and_its_neighbours_are_not() -> None:
    body = '\u4e00 "quoted" \\ \U0001f600\n' * 400_000
    for ascii_only, more in product((True, False), ({"x": 1}, {"x": "y" * 5000})):
        record = {"id": "i", "text": body, "meta": {"source": "web", "l": [1.5, None]}, **more}
        line = json.dumps(record, ensure_ascii=ascii_only).encode()
        assert len(line) > json_outline.HUGE
        parts = parse(line, Records(Spec(id="id", domain="meta.source")), "f", 0)
        assert isinstance(parts.text, Long) == (more == {"x": 1})
        assert (parts.id, str(parts.text), parts.domain) == ("i", body, "web")
        assert parts.rest == {"meta": {"l": [1.5, None]}, **more}


@given(st.dictionaries(texts, st.tuples(texts | values, st.booleans()), max_size=5), st.integers(1, 9))
@example({"a": ("\u4e00\U0001f600\u00e9", True), "b": (float("nan"), False), 'k"': ('"\\\n\x7f\u2028', True)}, 1)
@settings(max_examples=300, deadline=None)
def test_lines_with_long_values(cells: dict[str, tuple[Any, bool]], chunk: int) -> None:
    record = {key: value for key, (value, _) in cells.items()}
    plain, quick = Records(Spec()), Records(Spec())
    wanted = plain.text(record, "f", 0) + b"\n"
    for key, (value, long) in cells.items():
        if long and isinstance(value, str):
            try:
                record[key] = Long(np.frombuffer(value.encode(), np.uint8))
            except UnicodeEncodeError:
                continue
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(records, "CHUNK", chunk)
        line = bytes(quick.line(record, "f", 0))
    assert quick.not_finite == plain.not_finite
    if "\\ud" in repr(cells):  # a lone surrogate makes the plain way escape the whole line, and this one its value
        assert repr(json.loads(line)) == repr(json.loads(wanted))
    else:
        assert line == wanted


@pytest.mark.parametrize("data", [b"abc\xff", b"\xe4\xb8", b"\x80abc"])
def test_long_values_that_are_no_utf8(data: bytes) -> None:
    with pytest.raises(DataError, match="row 7: cannot be converted"):
        Records(Spec()).line({"text": Long(np.frombuffer(data, np.uint8))}, "f", 7)


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string()])
def test_cells_of_arrow_become_long(monkeypatch: pytest.MonkeyPatch, kind: pa.DataType) -> None:
    monkeypatch.setattr(records, "HUGE", 3)
    cells = ["abc", None, "abcd", "", "\u4e00\u4e00", "x"]
    array = pa.array(["before", *cells, "behind"], kind).slice(1, len(cells))
    found = _values(array)
    assert [isinstance(value, Long) for value in found] == [False, False, True, False, True, False]
    assert [str(value) if isinstance(value, Long) else value for value in found] == cells
    _, ends, body = array.buffers()
    hidden = pa.Array.from_buffers(kind, 2, [pa.py_buffer(b"\x02"), ends, body])  # a null above "before"
    assert _values(hidden) == [None, "abc"]


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    """A pool in both formats, with rows of 10 to 5,000 bytes."""
    sizes = [10, 3000, 40, 5000, 5000, 20, 1200, 30, 30, 4000]
    rows = [
        {"id": f"i{k}", "text": ('a "\u4e00\\\n' * size)[:size], "n": k, "domain": f"d{k % 2}", "note": "z" * (k * 50)}
        for k, size in enumerate(sizes)
    ]
    write_jsonl(tmp_path / "p.jsonl", rows)
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "p.parquet", row_group_size=7)
    return tmp_path


@pytest.mark.parametrize("pool", ["p.jsonl", "p.parquet"])
@pytest.mark.parametrize("form", ["parquet", "jsonl", "jsonl.gz", "jsonl.zst", "dolma"])
def test_what_counts_as_huge_changes_no_byte(mixed: Path, monkeypatch: Any, pool: str, form: Any) -> None:
    sources = opened(mixed / pool)
    chosen = [(0, k, 1 + (k == 3)) for k in (0, 1, 3, 4, 5, 6, 9)]
    for name, some in {"all": all_of(sources), "some": chosen}.items():
        folder = make_selection(mixed / f"kept {name}", sources, some, Spec(id="id", domain="domain"))
        write_selection(folder, mixed / f"plain {name}", format=form)
    settle(monkeypatch, 1000, 200)
    monkeypatch.setattr(parquet, "HUGE", 1000)

    def opener(path: str, format: str) -> Source:
        return JsonlSource(File.local(path), block=64) if format == "jsonl" else open_source(path, format)

    for name, ahead in product(("all", "some"), (1, 3000, 1 << 20)):
        monkeypatch.setattr(parquet, "AHEAD_BYTES", ahead)
        write_selection(mixed / f"kept {name}", mixed / f"small {name}", format=form, opener=opener)
        assert contents(mixed / f"small {name}") == contents(mixed / f"plain {name}")


def test_blocks_let_go_of_their_lines() -> None:
    held = [b"a", b"b", b"c"]
    walk: Iterator[bytes] = reach.drained(held)
    assert next(walk) == b"a" and len(held) == 2
    assert list(walk) == [b"b", b"c"] and held == []
