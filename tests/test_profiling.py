"""``cuvee profile`` from files to folder: counts add up, any cut gives the same digest, nothing harmful is shown."""

from __future__ import annotations

import json
import random
import shlex
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cuvee import profiling
from cuvee.engine.draw import uniform
from cuvee.engine.store import Store
from cuvee.errors import BusyError, DataError, UsageError
from cuvee.feature.content import string_hash
from cuvee.pool import Reading, open_stage
from cuvee.profile_contents import vocabulary_growth

SENTENCES = (
    "the people of the town were not sure that it would be as good for them when they had to leave by the sea",
    "les gens de la ville ne sont pas sûrs que cela est bon pour eux quand il faut partir avec tout dans la mer",
)
ENGLISH, FRENCH = (sentence.split() for sentence in SENTENCES)


def rows(number: int = 600) -> list[dict[str, Any]]:
    luck = random.Random(3)
    found = []
    for at in range(number):
        words = FRENCH if at % 4 == 0 else ENGLISH
        text = " ".join(luck.choices(words, k=luck.randint(15, 120)))
        found.append({"id": f"d{at:04}", "source": "web" if at % 3 else "books", "text": text})
    for at in range(0, 90, 9) if number >= 600 else ():
        found[at + 300]["text"] = found[at]["text"]
        found[301]["text"] = found[0]["text"]
    return found


def write(path: Path, records: list[dict[str, Any]], extra: list[bytes] | None = None) -> Path:
    body = [json.dumps(record, ensure_ascii=False).encode() for record in records] + (extra or [])
    path.write_bytes(b"\n".join(body) + b"\n")
    return path


BAD = [
    b'{"id": "e1", "text": ""}',
    b"{broken",
    b'{"id": "e3", "text": "\xff\xfe"}',
    b'{"id": "e4", "other": 1}',
    b"[1]",
]


@pytest.fixture
def run(tmp_path: Path) -> Any:
    def call(pool: Any, **settings: Any) -> profiling.Profiled:
        number = len(list(tmp_path.glob("out*")))
        settings.setdefault("output", tmp_path / f"out{number}")
        return profiling.profile(pool, **{"cache": tmp_path / f"cache{number}", "workers": 1} | settings)

    return call


def test_counts_duplicates_languages_and_domains(tmp_path: Path, run: Any) -> None:
    records = rows()
    found = run(write(tmp_path / "pool.jsonl", records, BAD))
    summary = found.summary
    texts = [record["text"] for record in records]
    assert summary["counts"] == {
        "rows": 605,
        "usable": 600,
        "rejected": 5,
        "files": 1,
        "bytes": sum(len(text.encode()) for text in texts),
        "tokens": sum(max(1, (len(text.encode()) + 2) // 4) for text in texts),
    }
    copies = Counter(texts)
    assert summary["duplicates"]["rows"] == 600 - len(copies) == 11
    assert summary["duplicates"]["groups"] == 10
    assert dict(summary["duplicates"]["sizes"]) == {2: 9, 3: 1}
    largest = summary["duplicates"]["largest"][0]
    assert (largest["count"], largest["text"], largest["row"]) == (3, texts[0], 1)  # as a person counts
    assert all(one["row"] == int(one["id"][1:]) + 1 for one in summary["typical"] + summary["sample"])
    shares = {one["name"]: one["share"] for one in summary["languages"]}
    assert shares["French"] == pytest.approx(sum(" les " in t or "ville" in t for t in texts) / 600, abs=0.02)
    assert shares["English"] + shares["French"] > 0.99 and summary["language_rows"] == 600
    assert {one["name"]: one["rows"] for one in summary["domains"]} == {"books": 200, "web": 400}
    assert sum(one["bytes"] for one in summary["domains"]) == summary["counts"]["bytes"]
    lengths = sorted(len(text) for text in texts)
    assert summary["quantiles"]["characters"]["p50"] == lengths[299]
    assert summary["quantiles"]["pool"]["p95"] == sorted(len(text.encode()) for text in texts)[569]
    assert sum(summary["lengths"]["pool"]) == 600
    assert len(summary["typical"]) == len(summary["strange"]) == len(summary["sample"]) == 10
    assert {one["id"]: one["text"] for one in summary["sample"]}.items() <= {
        r["id"]: r["text"] for r in records
    }.items()
    keys = string_hash(pa.array([record["id"] for record in records]))
    drawn = np.argsort(uniform(0, "profile", keys), kind="stable")[:10]
    assert [one["id"] for one in summary["sample"]] == [records[at]["id"] for at in drawn]
    assert all(one["text"] == texts[int(one["id"][1:])] for one in summary["typical"] + summary["strange"])
    assert summary["vocabulary"]["distinct"][-1] == len({word for text in texts for word in text.split()})
    assert summary["vocabulary"]["tokens"][-1] == sum(len(text.split()) for text in texts)
    assert summary["next"].endswith("--skip-bad --target FILE --tokens 4k")


def test_bad_rows_are_listed_with_file_line_and_reason(tmp_path: Path, run: Any) -> None:
    pool = write(tmp_path / "pool.jsonl", rows(30), BAD)
    found = run(pool)
    listed = [json.loads(line) for line in (found.folder / "rejects.jsonl").read_text().splitlines()]
    assert [(one["line"], one["why"]) for one in listed] == [
        (31, "empty text"),
        (32, "bad JSON"),
        (33, "bad UTF-8"),
        (34, "no text"),
        (35, "not a JSON object"),
    ]
    assert all(one["file"] == str(pool) for one in listed)
    assert found.summary["rejects"]["count"] == 5 == sum(found.summary["rejects"]["by_reason"].values())
    assert sorted(path.name for path in found.folder.iterdir()) == ["profile.json", "rejects.jsonl", "report.html"]
    assert json.loads((found.folder / "profile.json").read_text()) == json.loads(json.dumps(found.summary))


def test_the_digest_depends_on_the_rows_alone(tmp_path: Path, run: Any) -> None:
    records = rows()
    whole = write(tmp_path / "pool.jsonl", records, BAD)
    parts = tmp_path / "parts"
    parts.mkdir()
    for at, (a, b) in enumerate([(0, 100), (100, 101), (101, 350), (350, 590), (590, 600)]):
        write(parts / f"{at}.jsonl", records[a:b], BAD if at == 4 else None)
    digests = {run(whole, workers=workers).digest for workers in (1, 2, 5)} | {run(parts, workers=2).digest}
    assert len(digests) == 1
    records[5]["text"] += "!"
    assert run(write(tmp_path / "other.jsonl", records, BAD)).digest not in digests


def test_many_spans_give_the_same_profile_for_any_number_of_workers(tmp_path: Path, run: Any) -> None:
    luck = np.random.default_rng(5)
    words = np.array([f"word{n:05}" for n in range(50_000)])[np.minimum(luck.zipf(1.3, 1_400_000), 49_999)].tolist()
    texts = [" ".join(words[at : at + 140]) for at in range(0, len(words), 140)]
    table = pa.table({"id": [f"d{at}" for at in range(10_000)], "domain": ["a", "b"] * 5_000, "text": texts})
    folder = tmp_path / "pool"
    folder.mkdir()
    for at in range(5):
        pq.write_table(table.slice(at * 2_000, 2_000), folder / f"{at}.parquet", compression="none")
    pq.write_table(table, tmp_path / "one.parquet")
    spans = open_stage(folder, Reading(), Store(tmp_path / "cache")).stage.manifest.spans
    assert len(spans) > 1
    first, second, third = run(folder, workers=1), run(folder, workers=5), run(tmp_path / "one.parquet")
    assert first.digest == second.digest == third.digest
    assert len(first.summary["typical"]) == 10
    for name in ("typical", "strange", "sample", "languages", "vocabulary"):
        assert first.summary[name] == second.summary[name]
    for name in ("typical", "strange", "sample"):
        assert [one["id"] for one in first.summary[name]] == [one["id"] for one in third.summary[name]]


def test_repeated_ids_are_a_warning(tmp_path: Path, run: Any) -> None:
    records = rows(40)
    records[7]["id"] = records[3]["id"]
    found = run(write(tmp_path / "pool.jsonl", records))
    assert found.summary["repeated_ids"]["groups"] == 1
    assert found.summary["repeated_ids"]["first"] == [[2, "d0003"]]
    assert any("'d0003' 2 times" in warning for warning in found.summary["warnings"])
    assert "--key content" in found.summary["next"]


@pytest.mark.parametrize("body", [b"", b"\n\n", b'{"text": ""}\n{"text": 3}\n', b"{\n"])
def test_a_pool_without_a_usable_row_is_refused(tmp_path: Path, run: Any, body: bytes) -> None:
    (tmp_path / "pool.jsonl").write_bytes(body)
    with pytest.raises(DataError) as error:
        run(tmp_path / "pool.jsonl", reading=Reading(text="text"))
    assert error.value.exit_status == 3 and "nan" not in str(error.value).lower()
    assert not list(tmp_path.glob("out*/*"))


def test_one_row_is_enough(tmp_path: Path, run: Any) -> None:
    found = run(write(tmp_path / "pool.jsonl", [{"text": "a single row"}]))
    assert found.summary["counts"]["usable"] == 1 and found.summary["typical"] == []
    assert "nan" not in "\n".join(profiling.lines(found)).lower()


HOSTILE = "\x1b]0;owned\x07\x1b[31m<script>alert(1)</script>\u202e\r\nnext: rm -rf /"


def test_hostile_text_stays_text(tmp_path: Path, run: Any) -> None:
    records = rows(200)
    for at, record in enumerate(records):
        record["id"] = f"{HOSTILE}{at}"
        record["source"] = HOSTILE + str(at % 2)
        record["text"] = f"{HOSTILE} {record['text']} zq{at}"
    records[1]["id"] = records[2]["id"]
    found = run(write(tmp_path / "pool \x1b[31m.jsonl", records, BAD))
    lines = profiling.lines(found)
    shown = "\n".join(lines)
    assert not {c for c in shown if c != "\n" and (ord(c) < 0x20 or 0x7F <= ord(c) < 0xA0 or c in "\u202e\u2028")}
    assert not any(line.startswith("next: rm") for line in shown.splitlines())
    page = (found.folder / "report.html").read_text()
    assert "<script>alert" not in page and "\x1b" not in page and "\u202e" not in page


def test_the_screen_keeps_to_its_size(tmp_path: Path, run: Any) -> None:
    records = rows(300)
    for at, record in enumerate(records):
        record["id"] = "語" * 60 + str(at // 2)
        record["source"] = "ドメイン" * 20 + str(at % 30)
    folder = tmp_path / ("long name " * 5)
    folder.mkdir()
    found = run(write(folder / "pool.jsonl", records, BAD))
    lines = profiling.lines(found)
    assert lines[0].startswith("Usable: 300 of 305 rows, ") and len(lines) <= 24
    from cuvee.report.terminal import width

    assert max(width(line) for line in lines[1:] if "long name" not in line) <= 80
    assert sum(line.startswith("next: ") for line in lines) == 1 and lines[-1].startswith("report: ")
    assert "<- worst" in "\n".join(lines)
    found.summary["warnings"] = ["much to say about this pool " * 8] * 5
    found.summary["rejects"]["by_reason"] = {f"reason {at}": 1 for at in range(40)}
    found.summary["next"] = "cuvee select 'a b' " + " ".join(f"--option{at} value" for at in range(12))
    lines = profiling.lines(found)
    assert len(lines) == 24 and lines[-1].startswith("report: ")
    command = " ".join(lines[[line.startswith("next: ") for line in lines].index(True) : -1])
    assert shlex.split(command.replace("\\ ", " "))[1:] == shlex.split(found.summary["next"])
    found.summary["next"] = "cuvee select 'never closed"
    assert profiling.lines(found)[-2] == "next: cuvee select 'never closed"


def test_the_line_of_languages_is_whole(tmp_path: Path, run: Any) -> None:
    found = run(write(tmp_path / "pool.jsonl", rows(30)))
    names = ("Vietnamese and more", "Serbo-Croatian", "Portuguese", "Belarusian", "Norwegian Nynorsk")
    found.summary["languages"] = [{"name": name, "share": 0.055} for name in names * 4]
    found.summary["language_rows"] = 2_000
    shown = " ".join(" ".join(profiling.lines(found)).split())
    assert "Norwegian Nynorsk 5.5 % and 15 more (roughly, from 2,000 rows)" in shown


def test_one_of_a_kind_is_not_many(tmp_path: Path, run: Any) -> None:
    records = rows(9)
    records[7]["id"], records[8]["text"] = records[3]["id"], records[0]["text"]
    said = " ".join(run(write(tmp_path / "pool.jsonl", records, BAD[:1])).summary["warnings"])
    assert "1 id in column 'id' occurs more than once" in said and "1 row (11 %) repeats another row" in said
    assert "1 row (10 %) cannot be used" in said


def test_no_text_leaves_every_text_out(tmp_path: Path, run: Any) -> None:
    records = rows(120)
    for record in records[:40]:
        record["text"] = "confidential words here"
    found = run(write(tmp_path / "pool.jsonl", records), show_text=False)
    written = "".join(path.read_text() for path in found.folder.iterdir())
    assert "confidential" not in written and records[50]["text"][:40] not in written
    assert found.summary["duplicates"]["largest"][0]["count"] >= 2


def test_embeddings_have_a_profile_without_texts(tmp_path: Path, run: Any) -> None:
    vectors = np.random.default_rng(0).normal(size=(50, 6)).astype(np.float32)
    vectors[9] = vectors[4]
    np.save(tmp_path / "pool.npy", vectors)
    found = run(tmp_path / "pool.npy")
    assert found.summary["dimensions"] == 6 and found.summary["duplicates"]["rows"] == 1
    assert found.summary["counts"]["usable"] == 50 and "languages" not in found.summary
    assert profiling.lines(found)[0].startswith("Usable: 50 of 50 rows, 6 dimensions")
    assert found.summary["next"].endswith("pool.npy --rows 5")


def test_a_foreign_folder_is_left_alone_and_a_profile_is_replaced(tmp_path: Path, run: Any) -> None:
    pool = write(tmp_path / "pool.jsonl", rows(30))
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "precious.txt").write_text("kept")
    with pytest.raises(UsageError, match="not a cuvee profile"):
        run(pool, output=mine)
    assert (mine / "precious.txt").read_text() == "kept"
    place = tmp_path / "again"
    assert run(pool, output=place).digest == run(pool, output=place).digest


def test_one_writer_at_a_time(tmp_path: Path, run: Any) -> None:
    from cuvee.engine import files

    pool = write(tmp_path / "pool.jsonl", rows(30))
    with files.lock(tmp_path / "place"), pytest.raises(BusyError):
        run(pool, output=tmp_path / "place")


def test_the_plan_reads_no_text_and_writes_nothing(tmp_path: Path) -> None:
    pool = write(tmp_path / "pool.jsonl", rows(30))
    found = profiling.plan([str(pool)], output=str(tmp_path / "out"), reading=Reading(), cache=str(tmp_path / "cache"))
    assert "30 rows" in found["reads"] and found["writes"][0].endswith("profile.json")
    assert not (tmp_path / "out").exists()


def test_vocabulary_growth_of_a_known_law() -> None:
    luck = np.random.default_rng(1)
    words = (luck.random(200_000) ** -1.25).astype(
        np.int64
    )  # Pareto with tail index 0.8: distinct ~ tokens^(0.8 / 1.8)
    found = vocabulary_growth([" ".join(f"w{w}" for w in part).encode() for part in np.array_split(words, 100)])
    for tokens, distinct in zip(found["tokens"], found["distinct"], strict=True):
        assert distinct == len(set(words[:tokens].tolist()))
    x, y = np.log(found["tokens"][-10:]), np.log(found["distinct"][-10:])
    assert found["exponent"] == pytest.approx(float(np.polyfit(x, y, 1)[0]), abs=0.02)
    assert vocabulary_growth([b""])["exponent"] is None
