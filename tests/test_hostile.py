"""Hostile files and strings through whole commands: a result whose rows add up, or one sentence that names the file."""

from __future__ import annotations

import csv
import gzip
import json
import shutil
import subprocess
import sys
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.feather
import pyarrow.ipc
import pyarrow.parquet as pq
import pytest

from cuvee.engine import files
from cuvee.errors import CuveeError
from cuvee.source.discover import discover
from cuvee.source.files import plain

from .command import NOT_A_NUMBER, Answer, Quick, cuvee, inside

HOSTILE = Path(__file__).parent / "data" / "hostile"
ENDINGS = {"json": ".jsonl", "json-transform": ".jsonl", "arrow-ipc-fuzz": ".arrow", "parquet-fuzz": ".parquet"}
FILES = [path for path in sorted(HOSTILE.glob("*/*")) if path.parent.name != "LICENSES"]
TABLES = [path for path in FILES if path.parent.name.startswith(("arrow", "parquet", "csv")) and path.suffix != ".json"]
GOOD = [{"id": f"good {i}", "text": f"a good text with number {i}"} for i in range(9)]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    monkeypatch.setattr(files, "system", Quick())
    with inside(tmp_path):
        yield


def lines(records: list[Any]) -> bytes:
    return b"".join(json.dumps(record).encode() + b"\n" for record in records)


def counts_of(answer: Answer, paths: list[Path], output: Path) -> dict[str, int] | None:
    """The counts of a finished run, checked against the rejects; None for a refusal that names one of the files."""
    if answer.status:
        assert answer.status == 3
        sentence = answer.error()
        assert any(plain(str(path)) in sentence for path in paths), sentence
        return None
    answer.screen()
    assert not NOT_A_NUMBER.search("".join(answer.out.splitlines()[:-2]).replace("NaN or infinity", ""))
    found = json.loads((output / ("profile.json" if (output / "profile.json").exists() else "plan.json")).read_text())
    counts: dict[str, int] = found["counts"]
    assert counts["rows"] == counts["usable"] + counts["rejected"] and counts["usable"] > 0
    listed = output / "rejects.jsonl"
    rejects = [json.loads(line) for line in listed.read_text().splitlines()] if listed.exists() else []
    assert len(rejects) == counts["rejected"]
    assert {reject["file"] for reject in rejects} <= set(map(str, paths)) and all(reject["why"] for reject in rejects)
    return {name: counts[name] for name in ("rows", "usable", "rejected")}


def both(paths: list[Path], *more: str) -> dict[str, int] | None:
    """The counts by ``profile`` and ``select``, which must agree."""
    found = []
    for verb in (["profile"], ["select", "--with", "random", "--rows", "3", "--skip-bad"]):
        shutil.rmtree("out", ignore_errors=True)
        answer = cuvee(*verb, *paths, "-o", "out", "--quiet", *more)
        found.append(counts_of(answer, paths, Path("out")))
        assert found[-1] is not None or not Path("out").exists()
    assert found[0] == found[1]
    return found[0]


def copy_of(path: Path, folder: Path) -> Path:
    """The file under a name that says its format."""
    copied = folder / f"{path.stem if path.suffix == '.json' else path.name}{ENDINGS.get(path.parent.name, '')}"
    shutil.copy(path, copied)
    return copied


def rows_in(path: Path) -> int | None:
    """The number of rows, counted without cuvee, where that is possible."""
    try:
        if path.suffix == ".parquet":
            return int(pq.read_metadata(path).num_rows)
        if path.suffix == ".jsonl":
            return sum(
                bool(line.strip(b" \t\r")) for line in path.read_bytes().removeprefix(b"\xef\xbb\xbf").split(b"\n")
            )
        if path.suffix == ".csv":
            with path.open(newline="") as stream:
                return sum(1 for _ in csv.reader(stream)) - 1
    except (OSError, ValueError, pa.ArrowException):
        pass
    return None


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.name}"[:60])
def test_every_file_alone_and_beside_a_good_one(tmp_path: Path, path: Path) -> None:
    good = tmp_path / "good.jsonl"
    good.write_bytes(lines(GOOD))
    for one in {path, copy_of(path, tmp_path)}:
        alone, mixed = both([one]), both([one, good])
        if alone is not None:
            assert alone["rows"] == rows_in(one) or rows_in(one) is None
            assert mixed is None or mixed == {**alone, "rows": alone["rows"] + 9, "usable": alone["usable"] + 9}


@pytest.mark.parametrize("path", TABLES, ids=lambda path: path.name[-40:])
def test_every_column_as_the_text(tmp_path: Path, path: Path) -> None:
    copied = copy_of(path, tmp_path)
    try:
        names = discover([copied]).sources[0].fields()
    except CuveeError:
        names = ["any"]
    for name in names[:4]:
        counts = both([copied], "--text", name, "--id", "none", "--domain", "none")
        assert counts is None or counts["rows"] == rows_in(copied) or rows_in(copied) is None


def test_documents_inside_good_lines(tmp_path: Path) -> None:
    """Every JSON document as the value of a key: exactly the broken ones are rejected, under their line."""
    body, wanted = [], {}
    for path in sorted((HOSTILE / "json").glob("*.json")):
        document = path.read_bytes()
        if b"\n" in document:
            continue
        body.append(b'{"id": "%d", "text": "fine", "document": %s}' % (len(body), document))
        wanted[len(body)] = path.name
    assert len(body) > 120
    pool = tmp_path / "pool.jsonl"
    pool.write_bytes(b"\n".join(body))
    counts = both([pool])
    rejects = [json.loads(line) for line in Path("out/rejects.jsonl").read_text().splitlines()]
    named = [wanted[reject["line"]] for reject in rejects]
    assert counts is not None and counts["rows"] == len(body) and counts["rejected"] == len(named)
    assert sorted(name for name in wanted.values() if name.startswith("n_")) == [n for n in named if n.startswith("n_")]
    assert not [name for name in named if name.startswith("y_")]


# strings


def strings() -> list[str]:
    found = json.loads((HOSTILE / "strings" / "blns.json").read_text())
    found += [row["text"] for row in map(json.loads, (HOSTILE / "html" / "payloads.jsonl").read_text().splitlines())]
    found += [
        "\x1b[2J\x1b]0;owned\x07",
        "\x9b31mred\x9b0m",
        "back\b\b\bspace",
        "line\nfeed\r\n",
        "\u202eright\u2066",
        "\x00",
    ]
    return [*found, "=cmd|'/c calc'!A0", "\u2028", "\ufeff", "e" + "\u0301" * 50, "[bold red]markup[/]", "\U000e0041"]


def risky(text: str) -> bool:
    return any(unicodedata.category(c) in ("Cc", "Cf", "Zl", "Zp", "Co") for c in text) or any(
        c in text for c in "<'\"$["
    )


def test_strings_as_text_id_and_domain(tmp_path: Path) -> None:
    pool = tmp_path / "pool.jsonl"
    pool.write_bytes(lines([{"text": s, "id": f"{i}{s}", "domain": s} for i, s in enumerate(strings())]))
    assert both([pool]) == {
        "rows": len(strings()),
        "usable": sum(map(bool, strings())),
        "rejected": strings().count(""),
    }
    for verb in (["profile"], ["select", "--with", "random", "--rows", "9", "--skip-bad"]):
        answer = cuvee(*verb, pool, "-o", f"out-{verb[0]}", "--json")
        answer.harmless()
        assert json.loads(answer.out) and answer.out.isascii()


@pytest.mark.parametrize("at", range(8))
def test_strings_as_names_of_files_and_columns(tmp_path: Path, at: int) -> None:
    for text in [text for text in strings() if risky(text)][at::24]:
        name = "x" + text.replace("/", "").replace("\0", "")[:40]
        pool = tmp_path / f"{name}.jsonl"
        column = f"c{text}".replace(".", "")
        pool.write_bytes(
            lines([{"text": "some words", column: f"{text} {i}", "d" + column: text} for i in range(4)]) + b"[]"
        )
        more = ["--id", column, "--domain", "d" + column]
        assert both([pool], *more) == {"rows": 5, "usable": 4, "rejected": 1}
        answer = cuvee("select", pool, "--with", "random", "--rows", 1, "-o", name, "--skip-bad", *more)
        assert Path(name).is_dir() and answer.screen()
        cuvee("write", name).screen()
        for refused in (
            ["select", pool, "--with", "random", "--rows", "1"],
            ["select", pool, "--with", text or "x", "--rows", "1"],
            ["select", pool, "--with", f"random:{text}=1", "--rows", "1"],
            ["profile", pool, "--text", f"no {text}"],
            ["profile", f"no {name}"],
            ["profile", pool, "-o", pool],
            ["write", pool],
        ):
            cuvee(*refused).error()
        pool.write_bytes(lines([{"text": "t", column: text}] * 2))
        assert "2 times" in cuvee("select", pool, "--with", "random", "--rows", 1, "--id", column).error()
        pool.unlink()


# broken files


def put(name: str, content: bytes | dict[str, Any]) -> None:
    if isinstance(content, bytes):
        Path(name).write_bytes(content)
    else:
        pq.write_table(pa.table(content), name)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"m.jsonl": b'{"text": "a"}\n', "n.jsonl": b'{"body": "b"}\n'}, "n.jsonl: has no column 'text'"),
        ({"m.parquet": {"text": ["a"]}, "n.parquet": {"body": ["a"]}}, "n.parquet: has no column 'text'"),
        ({"m.parquet": {"text": ["a"]}, "n.parquet": {"text": [1]}}, "n.parquet: column 'text' is of type int64"),
        ({"m.parquet": {"text": ["a"], "id": [1.5]}}, "m.parquet: column 'id' is of type double"),
        ({"m.parquet": {"text": [["a"]]}}, "m.parquet: column 'text' is of type list"),
        ({"m.parquet": b"PAR1" + b"\0" * 99}, "m.parquet: cannot be read"),
        ({"m.jsonl": b"\0" * 999}, "m.jsonl: no column looks like the text"),
        ({"m.jsonl": b"[1]\n" * 9}, "m.jsonl: no column looks like the text"),
        ({"m.json": b'[\n{"text": "a"}\n]\n'}, "m.json: is one JSON document"),
        ({"m.csv": b'id,text\n1,"never closed\n'}, "m.csv, line 2: a quote opens and never closes"),
        ({"m.csv": b"text,text\n1,2\n"}, "m.csv: names these columns twice: text"),
        ({"m.csv": "id,text\n1,a\n".encode("utf-16")}, "m.csv: is UTF-16"),
        ({"m.jsonl.gz": gzip.compress(b'{"text": "a"}\n' * 99)[:-20]}, "m.jsonl.gz: cannot be read"),
        ({"m.bin": bytes(range(256))}, "m.bin: is of no known format"),
    ],
)  # fmt: skip
def test_what_no_reader_can_use(given: dict[str, Any], words: str) -> None:
    for name, content in given.items():
        put(name, content)
    assert both([Path(name) for name in given]) is None
    assert words in cuvee("profile", *given).error()


def test_truncated_parquet(tmp_path: Path, small_pool: Path) -> None:
    whole = small_pool.read_bytes()
    cut = tmp_path / "cut.parquet"
    for size in (1, 4, 100, len(whole) // 2, len(whole) - 9, len(whole) - 1):
        cut.write_bytes(whole[:size])
        assert both([cut]) is None
    cut.write_bytes(whole[: len(whole) // 2] + whole[len(whole) // 2 + 9 :])
    assert both([cut]) is None


def test_rows_that_are_bad_each_in_its_way(tmp_path: Path) -> None:
    bad = {
        b'{"id": "1", "text": ""}': "empty text",
        b'{"id": "2", "text": null}': "no text",
        b'{"id": "3"}': "no text",
        b'{"id": "4", "text": 5}': "text is not a string",
        b'{"id": "5", "text": "\xc3\x28"}': "bad UTF-8",
        b'{"id": "6", "text": "\xed\xa0\x80"}': "bad UTF-8",
        b'{"id": "7", "text": "\\ud800"}': "lone surrogate",
        b'{"id": "8", "text": "raw\x00nul"}': "bad JSON",
        b'{"id": "9", "text": "a", "text": "b"}': "the same key twice",
        b'{"text": "no id"}': "no id",
        b'{"id": [1], "text": "a"}': "id is",
        b"null": "not a JSON object",
        b'{"id": "x", "text": "deep", "z": ' + b"[" * 5000 + b"]" * 5000 + b"}": "nested too deep",
        b"\xff\xfe": "bad UTF-8",
        b"{": "bad JSON",
    }  # fmt: skip
    pool = tmp_path / "pool.jsonl"
    fine = [json.dumps({"id": f"fine {i}", "text": "fine\0too" if i == 3 else "fine"}).encode() for i in range(20)]
    pool.write_bytes(b"\n".join([*fine, *bad, *fine[:0]]))
    assert both([pool]) == {"rows": 20 + len(bad), "usable": 20, "rejected": len(bad)}
    rejects = [json.loads(line) for line in Path("out/rejects.jsonl").read_text().splitlines()]
    assert [reject["line"] for reject in rejects] == list(range(21, 21 + len(bad)))
    for reject, reason in zip(rejects, bad.values(), strict=True):
        assert reason in reject["why"], (reject, reason)
    sentence = cuvee("select", pool, "--with", "random", "--rows", 3).error()
    assert sentence.startswith(f"{len(bad)} of {20 + len(bad)} rows of the pool cannot be used: {pool}:21 empty text; ")


def test_only_bad_rows(tmp_path: Path) -> None:
    (tmp_path / "m.jsonl").write_bytes(b'{"text": ""}\n' * 5)
    assert both([tmp_path / "m.jsonl"]) is None
    for more in ([], ["--skip-bad"], ["--skip-bad", "--target", "m.jsonl"]):
        sentence = cuvee(
            "select", "m.jsonl", "--rows", 1, *(more if "--target" in more else [*more, "--with", "random"])
        ).error()
        assert "None of the 5 rows" in sentence and "m.jsonl:1 empty text" in sentence


def test_embeddings_that_are_not_finite(tmp_path: Path) -> None:
    array = np.random.default_rng(0).normal(size=(50, 4)).astype(np.float32)
    array[3, 1], array[8, 0], array[9] = np.nan, np.inf, -np.inf
    np.save("e.npy", array)
    assert both([Path("e.npy")]) == {"rows": 50, "usable": 47, "rejected": 3}
    assert "e.npy:4 NaN or infinity" in cuvee("select", "e.npy", "--with", "random", "--rows", 1).error()
    cuvee("select", "e.npy", "--with", "random", "--rows", 47, "--skip-bad", "-o", "kept").screen()
    assert sorted(pq.read_table("kept/selection.parquet")["row"].to_pylist()) == sorted({*range(50)} - {3, 8, 9})
    pq.write_table(pa.table({"id": [str(i) for i in range(50)], "text": ["t"] * 50, "v": list(array)}), "e.parquet")
    assert both([Path("e.parquet")], "--embedding", "v") == {"rows": 50, "usable": 47, "rejected": 3}


# every format, from select to write


def text_folder(rows: list[dict[str, str]]) -> None:
    for row in rows:
        path = Path("pool") / row["id"]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(row["text"].encode())


def table_of(rows: list[dict[str, str]]) -> pa.Table:
    return pa.Table.from_pylist(rows, schema=pa.schema([("id", pa.string()), ("text", pa.string())]))


def csv_file(name: str, delimiter: str, rows: list[dict[str, str]]) -> None:
    with Path(name).open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, ["id", "text"], delimiter=delimiter, quoting=csv.QUOTE_ALL)
        writer.writeheader()
        writer.writerows(rows)


def arrow_file(name: str, rows: list[dict[str, str]], stream: bool = False) -> None:
    table = table_of(rows)
    opening = pa.ipc.new_stream if stream else pa.ipc.new_file
    Path(name).parent.mkdir(exist_ok=True)
    with opening(name, table.schema) as writer:
        writer.write_table(table, 7)


def hf_folder(rows: list[dict[str, str]]) -> None:
    """As ``datasets.Dataset.save_to_disk`` leaves it, in two files."""
    names = ["data-00000-of-00002.arrow", "data-00001-of-00002.arrow"]
    for name, half in zip(names, (rows[: len(rows) // 2], rows[len(rows) // 2 :]), strict=True):
        arrow_file(f"pool/{name}", half, stream=True)
    Path("pool/state.json").write_text(json.dumps({"_data_files": [{"filename": name} for name in names]}))
    Path("pool/dataset_info.json").write_text("{}")


def compressed(name: str, codec: str, rows: list[dict[str, str]]) -> None:
    with pa.CompressedOutputStream(name, codec) as stream:
        stream.write(lines(rows))


FORMATS: dict[str, Any] = {
    "pool.jsonl": lambda rows: Path("pool.jsonl").write_bytes(lines(rows)),
    "pool.jsonl.gz": lambda rows: compressed("pool.jsonl.gz", "gzip", rows),
    "pool.jsonl.zst": lambda rows: compressed("pool.jsonl.zst", "zstd", rows),
    "pool.parquet": lambda rows: pq.write_table(table_of(rows), "pool.parquet", row_group_size=11),
    "pool.arrow": lambda rows: arrow_file("pool.arrow", rows),
    "pool.feather": lambda rows: pa.feather.write_feather(table_of(rows), "pool.feather"),
    "pool.stream.arrow": lambda rows: arrow_file("pool.stream.arrow", rows, stream=True),
    "pool.csv": lambda rows: csv_file("pool.csv", ",", rows),
    "pool.tsv": lambda rows: csv_file("pool.tsv", "\t", rows),
    "pool": hf_folder,
    "pool/": text_folder,
}


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("form", ["jsonl", "parquet"])
def test_ids_and_texts_come_through_unchanged(name: str, form: str) -> None:
    texts = [text for text in strings() if text] + ["tail\n\n", "\U0001f600"]
    if name.endswith("sv"):
        texts = [text for text in texts if "\0" not in text]  # the format cannot hold it
    rows = [{"id": f"d/{at:04}.txt", "text": text} for at, text in enumerate(texts)]
    FORMATS[name](rows)
    assert cuvee("select", name, "--with", "random", "--fraction", "100%", "-o", "kept").screen()[0].startswith("Kept ")
    answer = cuvee("write", "kept", "--format", form, "-o", "written", "--json")
    assert json.loads(answer.out)["rows"] == len(rows)
    (path,) = Path("written").glob("part-*")
    if form == "parquet":
        found = pq.read_table(path).to_pylist()
    else:
        found = [json.loads(line) for line in path.read_bytes().splitlines()]
    assert [{"id": row["id"], "text": row["text"]} for row in found] == rows
    selected = pq.read_table("kept/selection.parquet")
    assert selected["id"].to_pylist() == [row["id"] for row in rows]
    assert selected["bytes"].to_pylist() == [len(row["text"].encode()) for row in rows]
    if (name, form) == ("pool.jsonl", "jsonl"):
        assert path.read_bytes() == Path("pool.jsonl").read_bytes()


@pytest.mark.parametrize("packed", [False, True])
def test_embeddings_come_through_unchanged(packed: bool) -> None:
    array = np.random.default_rng(0).normal(size=(300, 5)).astype(np.float32)
    if packed:
        np.savez("e.npz", embeddings=array, labels=np.arange(300))
    else:
        np.save("e.npy", array)
    pool = "e.npz" if packed else "e.npy"
    cuvee("profile", pool).screen()
    lines = cuvee("select", pool, "--with", "random", "--rows", 9, "-o", "kept").screen()
    assert lines[0].startswith("Kept 9 of 300 rows") and "bytes" not in "".join(lines)
    cuvee("write", "kept", "-o", "written").screen()
    rows = pq.read_table("kept/selection.parquet")["row"].to_pylist()
    found = pq.read_table("written/part-00000.parquet")
    assert np.array_equal(np.array(found["embedding"].to_pylist(), np.float32), array[rows])
    assert not packed or found["label"].to_pylist() == rows


def test_one_huge_document(tmp_path: Path) -> None:
    """50 MB in one row: memory stays within four times that, beyond what any run takes."""
    size = 50 << 20
    pool = tmp_path / "pool.jsonl"
    with pool.open("wb") as stream:
        stream.write(lines(GOOD) + b'{"id": "huge", "text": "')
        for _ in range(size // (1 << 20)):
            stream.write(b"a few words, " * ((1 << 20) // 13))
        stream.write(b'"}\n')
    peaks = {}
    for name, text in (("small", lines(GOOD)), ("huge", pool.read_bytes())):
        pool.write_bytes(text)
        for verb in (["profile"], ["select", "--with", "random", "--rows", "10"]):
            peak = measured(*verb, str(pool), "-o", f"{name}-{verb[0]}")
            peaks[name, verb[0]] = peak
    for verb in ("profile", "select"):
        assert peaks["huge", verb] - peaks["small", verb] < 4 * size, peaks
    plan = json.loads(Path("huge-select/plan.json").read_text())
    assert plan["counts"]["kept"] == 10 and plan["counts"]["kept_bytes"] > size * 0.99
    assert max(path.stat().st_size for path in Path("huge-select").iterdir()) < 3 << 20


def measured(*arguments: str) -> int:
    """The largest resident size of a process that runs a command."""
    code = """
import resource
from cuvee import cli
try:
    cli.run()
finally:
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return int(done.stdout.splitlines()[-1]) << 10
