"""Finding files, telling formats, choosing columns; text files and saved datasets."""

from __future__ import annotations

import gzip
import json
import os
import socket
from pathlib import Path

import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq
import pytest

from cuvee.engine.store import Store
from cuvee.errors import DataError, UsageError
from cuvee.pool import Reading, open_stage
from cuvee.source.arrow import ArrowSource
from cuvee.source.base import Bad, Source, Spec
from cuvee.source.discover import discover
from cuvee.source.jsonl import JsonlSource
from cuvee.source.resolve import resolve_columns
from cuvee.source.text import TextSource

from .common import START, rows_of

LINE = b'{"id": "a", "text": "t", "source": "web"}\n'


def put(root: Path, *names: str, content: bytes = LINE) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)


def names(sources: list[Source], root: Path) -> list[str]:
    return [os.path.relpath(source.path, root) for source in sources]


def test_folder_in_bytewise_order(tmp_path: Path) -> None:
    put(tmp_path, "b/2.jsonl", "b/10.jsonl", "a.jsonl", "Z.jsonl", "é.jsonl", "b.jsonl", "c/d/e/1.json")
    put(tmp_path, ".hidden.jsonl", "_SUCCESS", "_tmp/x.jsonl", "README.md", "a.md5", "c/dataset_info.json", "x.bin?")
    put(tmp_path, "empty.jsonl", content=b"")
    put(tmp_path, "c/pretty.json", content=b'{\n "a": 1\n}\n')
    put(tmp_path, "notes.txt", content=b"text")
    put(tmp_path, "binary.dat", content=b"\x00\x01\x02")
    found = discover([tmp_path])
    assert names(found.sources, tmp_path) == [
        "Z.jsonl", "a.jsonl", "b.jsonl", "b/10.jsonl", "b/2.jsonl", "c/d/e/1.json", "x.bin?", "é.jsonl",
    ]  # fmt: skip
    assert {os.path.relpath(path, tmp_path): reason for path, reason in found.skipped} == {
        ".hidden.jsonl": "hidden",
        "_SUCCESS": "hidden",
        "_tmp": "hidden",
        "README.md": "notes, not data",
        "a.md5": "notes, not data",
        "c/dataset_info.json": "notes, not data",
        "c/pretty.json": "one JSON document, not JSON Lines",
        "empty.jsonl": "empty (0 bytes)",
        "notes.txt": "text beside tables; name it to read it",
        "binary.dat": "no known format",
    }


def test_globs_uris_and_repeats(tmp_path: Path) -> None:
    put(tmp_path, "b/2.jsonl", "b/1.jsonl", "a.jsonl", "[x].jsonl")
    assert names(discover([f"{tmp_path}/**/*.jsonl"]).sources, tmp_path) == [
        "[x].jsonl", "a.jsonl", "b/1.jsonl", "b/2.jsonl",
    ]  # fmt: skip
    assert names(discover([f"{tmp_path}/[x].jsonl"]).sources, tmp_path) == ["[x].jsonl"]
    twice = discover([tmp_path / "b", tmp_path / "b" / "1.jsonl", f"file://{tmp_path}/a.jsonl"])
    assert names(twice.sources, tmp_path) == ["a.jsonl", "b/1.jsonl", "b/2.jsonl"]
    assert [reason for _, reason in twice.skipped] == ["named before"]
    assert rows_of(twice.sources[0], Spec())[0].text == b"t"


def test_remote_filesystem(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    put(tmp_path, "p/a.jsonl", "p/q/b.jsonl", "p/_c.jsonl", "p/note.txt")
    remote = pafs.SubTreeFileSystem(str(tmp_path), pafs.LocalFileSystem())
    monkeypatch.setattr(
        "cuvee.source.discover.open_address", lambda address: (remote, f"{address.host}/{address.key}".rstrip("/"))
    )
    assert [s.path for s in discover(["s3://p"]).sources] == ["s3://p/a.jsonl", "s3://p/q/b.jsonl"]
    assert [s.path for s in discover(["s3://p/*.jsonl"]).sources] == ["s3://p/_c.jsonl", "s3://p/a.jsonl"]
    assert [s.path for s in discover(["s3://p/**/b.jsonl"]).sources] == ["s3://p/q/b.jsonl"]
    source = discover(["s3://p/a.jsonl"]).sources[0]
    assert rows_of(source, Spec())[0].text == b"t" and source.stamp()
    with pytest.raises(DataError, match="s3://p/gone: no such file"):
        discover(["s3://p/gone"])


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("gone", "gone: no such file or folder"),
        ("*.gone", "nothing matches"),
        ("folder", "holds no data"),
        ("zero.jsonl", r"zero\.jsonl: is empty \(0 bytes\)"),
        ("pipe", "is a pipe, socket or device"),
        ("what.dat", r"what\.dat: is of no known format\. Supported: JSON Lines"),
        ("doc.json", "is one JSON document"),
        ("broken", "broken: no such file"),
        ("a.parquet.gz", "parquet inside gzip"),
    ],
)
def test_refusals(tmp_path: Path, name: str, words: str) -> None:
    (tmp_path / "folder").mkdir()
    put(tmp_path, "zero.jsonl", content=b"")
    put(tmp_path, "what.dat", content=b"\x00\x01")
    put(tmp_path, "doc.json", content=b"[\n1\n]\n")
    put(tmp_path, "a.parquet.gz", content=gzip.compress(b"PAR1 and more"))
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "broken").symlink_to(tmp_path / "nowhere")
    with pytest.raises(DataError, match=words):
        discover([tmp_path / name])


def test_no_permission_and_no_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError):
        discover([])

    def refuse(path: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("cuvee.source.discover.os.scandir", refuse)
    with pytest.raises(DataError, match="no permission"):
        discover([tmp_path])


def test_a_name_that_is_not_utf8(tmp_path: Path) -> None:
    """Arrow cannot open such a file; the way out is another name."""
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.jsonl")).write_bytes(LINE)
    with pytest.raises(DataError, match=r"caf.*\.jsonl: its name is not UTF-8\. Rename it\."):
        open_stage([tmp_path], Reading(), Store(tmp_path / "cache"))


def test_links_and_devices_in_folders(tmp_path: Path) -> None:
    put(tmp_path, "a/1.jsonl")
    (tmp_path / "a" / "loop").symlink_to(tmp_path)
    (tmp_path / "a" / "self").symlink_to(tmp_path / "a" / "self")
    os.mkfifo(tmp_path / "a" / "pipe")
    found = discover([tmp_path])
    assert names(found.sources, tmp_path) == ["a/1.jsonl"]
    assert sorted(reason for _, reason in found.skipped) == [
        "a broken link", "a link to a folder that is already read", "a pipe, socket or device",
    ]  # fmt: skip
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.path.relpath(tmp_path / "s"))
        with pytest.raises(DataError, match="socket"):
            discover([tmp_path / "s"])


def test_first_bytes_decide(tmp_path: Path) -> None:
    table = pa.table({"text": ["t"]})
    pq.write_table(table, tmp_path / "a.jsonl")
    pq.write_table(table, tmp_path / "b")
    put(tmp_path, "c.parquet", "d")
    put(tmp_path, "e.jsonl", "f.json", content=gzip.compress(LINE))
    put(tmp_path, "g.jsonl.gz")
    put(tmp_path, "h.jsonl.zst", content=pa.compress(LINE, codec="zstd", asbytes=True))
    put(tmp_path, "i.csv", content=b"text\nt\n")
    put(tmp_path, "j.tsv", content=b"id\ttext\n1\tt\n")
    with pa.ipc.new_stream(tmp_path / "k", table.schema) as writer:
        writer.write_table(table)
    sources = discover([tmp_path]).sources
    formats = ["parquet", "parquet", "jsonl", "jsonl", "jsonl", "jsonl", "jsonl", "jsonl", "csv", "csv", "arrow"]
    assert [source.format for source in sources] == formats
    assert all([row.text for row in rows_of(source, Spec())] == [b"t"] for source in sources)
    assert len({source.stamp() for source in sources}) == len(sources)


def test_text_files_form_one_source(tmp_path: Path) -> None:
    put(tmp_path, "b/x.py", content=b"print()\n")
    put(tmp_path, "a/y.md", content="grün".encode())
    put(tmp_path, "a/empty.txt", content=b"")
    put(tmp_path, "a/latin.txt", content=b"gr\xfcn")
    put(tmp_path, "top.txt", content=b"top")
    (source,) = discover([tmp_path]).sources
    assert isinstance(source, TextSource) and source.fields() == ["id", "text", "domain"]
    rows = rows_of(source, resolve_columns([source]).spec)
    assert [(row.id, row.bad) for row in rows] == [
        (None, Bad.EMPTY_TEXT), (None, Bad.BAD_UTF8), ("a/y.md", 0), ("b/x.py", 0), ("top.txt", 0),
    ]  # fmt: skip
    assert [row.domain for row in rows[2:]] == ["a", "b", tmp_path.name]
    assert [row.text for row in rows[2:]] == ["grün".encode(), b"print()\n", b"top"]
    ids = [name for batch in source.rows(START, 0) for name in batch.column("id").to_pylist()]
    assert ids == ["a/empty.txt", "a/latin.txt", "a/y.md", "b/x.py", "top.txt"]
    before = source.stamp()
    put(tmp_path, "a/y.md", content=b"red")
    assert source.stamp() != before
    many = TextSource("many", [source.files[-1]] * 2500, domain="d")
    assert many.index().rows == 2500 and len(many.index().segments) == 3
    assert len(rows_of(many, Spec("text", "id", "domain"), many.index().segments[1], 10)) == 2500 - 1034


@pytest.mark.parametrize("address", ["hf://x/y", "http://x/y", "https://x/y.jsonl", "fsspec+hf://x", "ABC://x"])
def test_addresses_of_other_kinds(address: str) -> None:
    with pytest.raises(DataError) as caught:
        discover([address])
    assert str(caught.value).startswith(f"{address}: ") and "local paths, file://, s3://, gs://" in str(caught.value)


def test_results_of_cuvee_are_no_data(tmp_path: Path) -> None:
    result = [("select", "plan.json", "selection.parquet"), ("profile", "profile.json", "rejects.jsonl")]
    for name, *files in result:
        put(tmp_path, *(f"out/{name}/{file}" for file in [*files, "report.html"]))
    put(tmp_path, "out/written/manifest.json", "out/written/part-00000.jsonl", "out/select/own.jsonl")
    put(tmp_path, "p/plan.json", "p/report.html", "a.jsonl")
    found = discover([tmp_path])
    wanted = ["a.jsonl", "out/select/own.jsonl", "out/written/part-00000.jsonl", "p/plan.json"]
    assert names(found.sources, tmp_path) == wanted
    skipped = {os.path.relpath(path, tmp_path): reason for path, reason in found.skipped}
    assert skipped == {
        "out/profile": "a cuvee profile, not data",
        "out/select": "a cuvee selection, not data",
        "out/written/manifest.json": "notes, not data",
        "p/report.html": "text beside tables; name it to read it",
    }
    (tmp_path / "out/select/own.jsonl").unlink()
    with pytest.raises(DataError, match=r"select: is a cuvee selection, not data\. .*: cuvee write .*select\.$"):
        discover([tmp_path / "out/select"])
    with pytest.raises(DataError, match=r"profile: is a cuvee profile, not data\. Name the pool itself\.$"):
        discover([tmp_path / "out/profile"])


def save(folder: Path, parts: int, **state: object) -> None:
    folder.mkdir(parents=True)
    files = [f"data-{k:05d}-of-{parts:05d}.arrow" for k in range(parts)]
    for k, name in enumerate(files):
        table = pa.table({"text": [f"t{k}"]})
        with pa.ipc.new_stream(folder / name, table.schema) as writer:
            writer.write_table(table)
    listed = [{"filename": name} for name in files]
    (folder / "state.json").write_text(json.dumps({"_data_files": listed, **state}))
    (folder / "dataset_info.json").write_text("{}")


def test_a_cache_in_a_pool_is_no_data(tmp_path: Path) -> None:
    put(tmp_path, "p/a.jsonl", "p/ab/c.jsonl")
    folder = tmp_path / "p"
    store = Store(folder / "cache")
    with store.in_use():
        open_stage([folder], Reading(), store)
        assert store.used() > 0
    found = discover([folder])
    assert names(found.sources, folder) == ["a.jsonl", "ab/c.jsonl"]
    assert (str(folder / "cache"), "cuvee's cache in it, not data") in found.skipped


@pytest.mark.parametrize("files", [["a.jsonl"], ["a.txt", "b/c.txt"]])
def test_a_pool_is_no_cache(tmp_path: Path, files: list[str]) -> None:
    """Its tables would be among the data of whoever reads the folder next."""
    put(tmp_path, *(f"p/{name}" for name in files))
    store = Store(tmp_path / "p")
    with store.in_use(), pytest.raises(UsageError, match=r"cache .*p is a folder of the pool, .* with --cache"):
        open_stage([tmp_path / "p"], Reading(), store)
    assert {path.name for path in (tmp_path / "p").iterdir()} == {name.split("/")[0] for name in files}


def test_saved_datasets(tmp_path: Path) -> None:
    save(tmp_path / "one", 3)
    sources = discover([tmp_path / "one"]).sources
    assert all(isinstance(source, ArrowSource) for source in sources)
    assert [rows_of(source, Spec())[0].text for source in sources] == [b"t0", b"t1", b"t2"]
    state = json.loads((tmp_path / "one" / "state.json").read_text())
    (tmp_path / "one" / "state.json").write_text(json.dumps({"_data_files": state["_data_files"][::-1]}))
    assert [rows_of(s, Spec())[0].text for s in discover([tmp_path]).sources] == [b"t2", b"t1", b"t0"]
    save(tmp_path / "view", 1, _indices_files=[{"filename": "indices.arrow"}])
    with pytest.raises(DataError, match="flatten_indices"):
        discover([tmp_path / "view"])
    save(tmp_path / "all" / "train", 1)
    (tmp_path / "all" / "dataset_dict.json").write_text('{"splits": ["train", "test"]}')
    with pytest.raises(DataError, match=r"several splits\. Name one: .*all/train, .*all/test"):
        discover([tmp_path / "all"])
    assert len(discover([tmp_path / "all" / "train"]).sources) == 1
    (tmp_path / "one" / "state.json").write_text('{"_data_files": [{"filename": "../view/data-00000-of-00001.arrow"}]}')
    with pytest.raises(DataError, match="outside its folder"):
        discover([tmp_path / "one"])


def sources_with(tmp_path: Path, *lines: str) -> list[Source]:
    put_all = [tmp_path / f"{k}.jsonl" for k in range(len(lines))]
    for path, line in zip(put_all, lines, strict=True):
        path.write_text(line)
    found = discover([tmp_path]).sources
    assert all(isinstance(source, JsonlSource) for source in found)
    return found


def test_columns_by_convention(tmp_path: Path) -> None:
    sources = sources_with(
        tmp_path,
        '{"content": "a", "doc_id": 1, "id": 2, "metadata": {"source": "x"}, "tokens": 3}',
        '{"content": "a", "doc_id": 1, "metadata": {"source": "x"}, "token_count": 3, "tokens": 4}',
    )
    found = resolve_columns(sources)
    assert found.spec == Spec("content", "doc_id", "metadata.source", "tokens") and not found.notes
    assert resolve_columns(sources[:1], domain="doc_id").spec.domain == "doc_id"


def test_columns_of_datatrove(tmp_path: Path) -> None:
    sources = sources_with(tmp_path, '{"text": "a", "id": 1, "metadata": {"token_count": 3}}')
    assert resolve_columns(sources).spec.tokens == "metadata.token_count"


def test_column_that_only_some_files_have(tmp_path: Path) -> None:
    sources = sources_with(tmp_path, '{"text": "a", "domain": "x", "tokens": 1}', '{"text": "b", "tokens": 2}')
    found = resolve_columns(sources)
    note = "column 'domain' stands in 1 of 2 files only and was not used"
    assert found.spec == Spec("text", tokens="tokens") and found.notes == {"domain": note}
    assert not resolve_columns(sources, domain="none").notes
    opened = open_stage([source.path for source in sources], Reading(), Store(tmp_path / "cache"))
    assert opened.notes == [note]


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.jsonl", '{"text": "gr\xfcn"}\n'.encode("latin-1") * 2, "line 1 is not UTF-8"),
        ("a.jsonl", b"\n" + '{"text": "a"}\n'.encode("utf-16"), "line 2 is UTF-16, not UTF-8"),
        ("a.jsonl.gz", b"\x80\x81\n", "it is not gzip, as its name says, and line 1 is not UTF-8"),
        ("a.jsonl", b"\n \r\n\n", "it has no rows"),
        ("a.jsonl", b"\n\n[1]\n", "line 3 is not a JSON object"),
        ("a.jsonl", b"{'text': 1}\n", "line 1 is not JSON"),
        ("a.jsonl", b"{}\n", "line 1 is an object without keys"),
        ("a.jsonl", b'{"a": "\\ud800"}\n', "line 1 holds a lone surrogate"),
        ("a.jsonl.zst", pa.compress(b"\xff\n", codec="zstd", asbytes=True), "line 1 is not UTF-8"),
    ],
)
def test_files_without_any_column_say_why(tmp_path: Path, name: str, content: bytes, words: str) -> None:
    put(tmp_path, name, content=content)
    sources = discover([tmp_path]).sources
    end = f": {words}. Mend the file or leave it out."
    for told, begin in ((None, "no column looks like the text"), ("x", "no column 'x' for the text")):
        with pytest.raises(DataError) as caught:
            resolve_columns(sources, text=told)
        assert str(caught.value) == f"{tmp_path}/{name}: {begin}{end}"
    put(tmp_path, "0.jsonl")
    with pytest.raises(DataError) as caught:
        resolve_columns(discover([tmp_path]).sources)
    assert str(caught.value) == f"{tmp_path}/{name}: has no column 'text' for the text{end}"


def test_columns_that_are_missing(tmp_path: Path) -> None:
    sources = sources_with(tmp_path, '{"text": "a", "x": 1}', '{"content": "b"}')
    with pytest.raises(DataError, match=r"1\.jsonl: has no column 'text' for the text; it has: content"):
        resolve_columns(sources)
    with pytest.raises(DataError, match=r"more files: no column 'y' for the id\. There are: text, x, content"):
        resolve_columns(sources, id="y")
    with pytest.raises(DataError, match=r"0\.jsonl: has no column 'content'"):
        resolve_columns(sources, text="content")
    with pytest.raises(DataError, match="no column looks like the text"):
        resolve_columns(sources_with(tmp_path, '{"a": 1}', '{"b": 1}'))
