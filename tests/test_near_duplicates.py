"""``cuvee guard``: the right rows go, whatever the workers, files, kills and texts; every refusal is a sentence."""

from __future__ import annotations

import itertools
import json
import os
import random
import re
import signal
import subprocess
import time
import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import cuvee
from cuvee import near_duplicates
from cuvee.clusters import Members, texts_of
from cuvee.core import Batch
from cuvee.engine import files, group, manifest
from cuvee.engine.group import EqualKeys
from cuvee.engine.local import Local
from cuvee.engine.run import Engine
from cuvee.engine.store import Store
from cuvee.engine.work import SpanWork
from cuvee.errors import DataError, UsageError
from cuvee.examples import as_batch
from cuvee.feature.minhash import PRESETS, MinHash, detection, jaccard
from cuvee.feature.normal import STEPS, NormalHash
from cuvee.near_duplicates import Guarded, guard, lines, make_rule, plan
from cuvee.planted import measured_curve, wilson
from cuvee.pool import open_stage
from cuvee.proof.candidates import open_candidates
from tests.command import Answer, Quick, contents, line_of
from tests.command import cuvee as run_command
from tests.test_faults import Faulty
from tests.test_same_bits import Shuffled, as_jsonl, split

WORDS = [f"word{number:03}" for number in range(400)]


def documents(seed: int = 0, originals: int = 60) -> list[str]:
    """Unlike texts, each with up to three copies: exact, in other spacing and case, or with a few words replaced."""
    draw = np.random.default_rng(seed)
    texts = []
    for number in range(originals):
        words = draw.choice(WORDS, 120).tolist()
        texts.append(" ".join(words))
        for copy in range(number % 4):
            changed = list(words)
            if copy == 1:
                for at in draw.choice(120, 3, replace=False):
                    changed[at] = "other"
            texts.append(" ".join(changed) if copy else "  " + " \n".join(words).upper())
    order = draw.permutation(len(texts))
    return [texts[at] for at in order]


def pool_of(tmp_path: Path, texts: list[str], **columns: list[Any]) -> Path:
    path = tmp_path / "pool.parquet"
    pq.write_table(pa.table({"text": texts, **columns}), path, row_group_size=50)
    return path


def clusters_of(result: Guarded) -> dict[int, tuple[int, int, bool]]:
    """row -> (cluster, n_copies, kept)."""
    table = pq.read_table(result.folder / "clusters.parquet").to_pylist()
    return {one["row"]: (one["cluster"], one["n_copies"], one["kept"]) for one in table}


def kept_rows(result: Guarded) -> list[int]:
    return pq.read_table(result.folder / "selection.parquet")["row"].to_pylist()


def brute_force(texts: list[str], threshold: float) -> dict[int, int]:
    """row -> first row of its cluster, by the exact similarity of all pairs; rows without a partner are left out."""
    sets = MinHash().shingles(as_batch([text.encode() for text in texts]))
    root = list(range(len(texts)))
    for a, b in itertools.combinations(range(len(texts)), 2):
        if " ".join(texts[a].lower().split()) == " ".join(texts[b].lower().split()) or (
            jaccard(sets[a], sets[b]) >= threshold
        ):
            low, high = sorted((root[a], root[b]))
            root = [low if one == high else one for one in root]
    return {row: first for row, first in enumerate(root) if root.count(first) > 1}


def test_what_goes_is_what_repeats(tmp_path: Path) -> None:
    """Copies have a similarity of 0.75 to 1, unlike texts of 0: any threshold between gives the same answer."""
    texts = documents()
    result = guard(pool_of(tmp_path, texts), threshold=0.5, output=tmp_path / "out")
    want = brute_force(texts, 0.4)
    found = clusters_of(result)
    assert {row: cluster for row, (cluster, _, _) in found.items()} == want
    assert all(copies == list(want.values()).count(cluster) for cluster, copies, _ in found.values())
    assert [row for row, (_, _, kept) in found.items() if kept] == sorted(set(want.values()))
    assert kept_rows(result) == [row for row in range(len(texts)) if want.get(row, row) == row]
    counts = result.summary["counts"]
    assert counts["exact"] + counts["near"] == counts["removed"] == len(want) - counts["clusters"]
    assert counts["exact"] == len(texts) - len({" ".join(text.lower().split()) for text in texts})


def test_exact_alone(tmp_path: Path) -> None:
    texts = ["One text.", "one  TEXT.\n", "one text", "two 11 texts", "two 7 texts", "", "other"]
    texts[5] = "x"
    pool = pool_of(tmp_path, texts)

    def kept(normal: str) -> list[int]:
        return kept_rows(guard(pool, duplicates="exact", normal=normal, output=tmp_path / normal))

    assert kept("bytes") == [0, 1, 2, 3, 4, 5, 6]
    assert kept("space") == [0, 2, 3, 4, 5, 6]
    assert kept("punctuation") == [0, 3, 4, 5, 6]
    assert kept("digits") == [0, 3, 5, 6]


def test_short_texts_have_exact_duplicates_only(tmp_path: Path) -> None:
    result = guard(pool_of(tmp_path, ["a b c", "a b d", "A b c", "d", "D ", "e"]), output=tmp_path / "out")
    assert kept_rows(result) == [0, 1, 3, 5]


def normal_form(text: str, step: str) -> str:
    """What NormalHash compares, by Python's own tables and character by character."""
    if step == "bytes":
        return text
    plain = " ".join(text.lower().split())
    if step == "space":
        return plain or text
    kept, inside = [], False
    for sign in plain:
        mark = unicodedata.category(sign).startswith("M") or sign in "\u200c\u200d"
        inside = sign.isalnum() or sign == "_" or (inside and mark)
        kept.append(sign if inside else " ")
    bare = " ".join("".join(kept).split())
    return (re.sub(r"\d+", "0", bare) if step == "digits" else bare) or plain or text


@pytest.mark.parametrize("step", STEPS)
def test_normal_hashes_follow_the_definition(step: str) -> None:
    """Hindi, Tamil, Thai and Arabic vowel signs, joiners and decomposed accents stay with their letters."""
    texts = ["A  b", "a b ", "a, b", "a b 12", "a b 7", "a b ٣", "ÀB", "àb", "a_b", "a\u2003b", "", " ", "…", "12", "0"]
    texts += [
        "कि",
        "क",
        "कु",
        "कि ",
        "किताब",
        "कताब",
        "க்ஷ",
        "கஷ",
        "ที่",
        "ท",
        "كَتَبَ",
        "كتب",
        "क्\u200dष",
        "क्ष",
        "नमस्ते!",
        "नमस्ते",
    ]
    texts += [
        "e\u0301te",
        "ete",
        "\u0301 a",
        "a",
        "!\u0301a",
        "!!!",
        "!!! ",
        "???",
        "\n\n",
        "\ufe0f",
        "a\u0301\u0302\U000e0101",
        "a?",
    ]
    texts += ["x" * at + "ि" * 3 + "!" for at in range(55, 70)] + ["x" * at + "!" for at in range(55, 70)]
    block = NormalHash(step).apply(as_batch([text.encode() for text in texts]))  # type: ignore[arg-type]
    for (a, b), found in itertools.product(itertools.combinations(range(len(texts)), 2), block.values()):
        same = normal_form(texts[a], step) == normal_form(texts[b], step)
        assert (found[a] == found[b]) == same, (texts[a], texts[b])
    assert list(block) == ["exact", "exact_second"] and not (block["exact"] == block["exact_second"]).any()


@pytest.mark.parametrize("task_rows", [20, 10_000])
def test_texts_whose_hashes_collide_are_told_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, task_rows: int
) -> None:
    """With a hash of two bits, most unlike texts agree in it: the second decides, in one task and in many."""
    pool = pool_of(tmp_path, documents())
    right = guard(pool, duplicates="exact", output=tmp_path / "right", cache=tmp_path / "cache")
    apply = NormalHash.apply

    def colliding(self: NormalHash, batch: Batch) -> dict[str, Any]:
        block = apply(self, batch)
        return {**block, "exact": block["exact"] & np.uint64(3 << 62)}

    monkeypatch.setattr(NormalHash, "apply", colliding)
    monkeypatch.setattr(group, "TASK_ROWS", task_rows)
    found = guard(pool, duplicates="exact", output=tmp_path / "found", cache=tmp_path / "other")
    assert right.summary["counts"]["exact"] > 10 and found.digest == right.digest


def test_random_marks_and_signs() -> None:
    """Runs of letters, marks, signs and blanks of all widths, across the borders of the kernels' words."""
    chance = random.Random(3)
    alphabet = "aé中𝒳1 .,!\n\u0301\u0902ि\u200d\U000e0101\U0001f600…"
    texts = ["".join(chance.choices(alphabet, k=chance.randint(0, 90))) for _ in range(400)]
    texts += [normal_form(text, "punctuation") for text in texts]
    found = NormalHash("punctuation").apply(as_batch([text.encode() for text in texts]))["exact"].tolist()
    forms = [normal_form(text, "punctuation") for text in texts]
    assert len(set(forms)) == len(set(found)) == len(set(zip(forms, found, strict=True))) > 300


@pytest.fixture
def many_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spans of a chunk or two, and key ranges of a few hundred rows."""
    monkeypatch.setattr(manifest, "CHUNK_ROWS", 16)
    monkeypatch.setattr(manifest, "SPAN_BYTES", (1, 1))
    monkeypatch.setattr(group, "TASK_ROWS", 40)
    monkeypatch.setattr(group, "MERGE_PAIRS", 5)


RULES: list[dict[str, Any]] = [
    {},
    {"preset": "fineweb", "keep": "longest"},
    {"keep": "random", "scope": "domain", "copies": 2},
    {"duplicates": "exact"},
    {"record": True},
]


@pytest.mark.usefixtures("many_tasks")
@pytest.mark.parametrize("rule", RULES, ids=["near", "fineweb", "random", "exact", "record"])
def test_same_bits_for_any_workers_files_and_order(tmp_path: Path, rule: dict[str, Any]) -> None:
    texts = documents(3)
    table = pa.table({"text": texts, "domain": [f"d{len(text) % 3}" for text in texts]})
    pq.write_table(table, tmp_path / "pool.parquet", row_group_size=33)
    found = {}

    def once(name: str, paths: Path, **more: Any) -> None:
        result = guard(paths, output=tmp_path / name, cache=tmp_path / f"cache {name}", **rule, **more)
        found[name] = (result.digest, clusters_of(result))

    for workers in (1, 3):
        once(f"{workers} workers", tmp_path / "pool.parquet", workers=workers)
    for seed in range(2):
        once(f"order {seed}", tmp_path / "pool.parquet", executor=Shuffled(seed))
    for parts in (2, 17):
        once(f"{parts} files", split(table, parts, tmp_path / f"split{parts}"))
    once("jsonl", as_jsonl(table, tmp_path / "pool.jsonl.gz"))
    first = found["1 workers"]
    assert all(one == first for one in found.values())
    assert first[1], "something was found"


def test_larger_spans_and_tasks_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pool = pool_of(tmp_path, documents(4))
    whole = guard(pool, output=tmp_path / "whole").digest
    monkeypatch.setattr(manifest, "SPAN_BYTES", (1, 1))
    monkeypatch.setattr(manifest, "CHUNK_ROWS", 8)
    monkeypatch.setattr(group, "TASK_ROWS", 9)
    assert guard(pool, output=tmp_path / "cut", cache=tmp_path / "fresh").digest == whole


@pytest.mark.usefixtures("many_tasks")
def test_a_stopped_run_goes_on_where_it_was(tmp_path: Path) -> None:
    pool = pool_of(tmp_path, documents(5))

    class Dying(Local):
        def map(self, work: Any, *arguments: Any, **more: Any) -> Any:
            for number, item in enumerate(super().map(work, *arguments, **more)):
                if number >= 2 and isinstance(work, SpanWork | EqualKeys):
                    raise KeyboardInterrupt
                yield item

    whole = guard(pool, output=tmp_path / "whole", cache=tmp_path / "own").digest
    died = 0
    for _ in range(400):
        try:
            resumed = guard(pool, output=tmp_path / "out", cache=tmp_path / "shared", executor=Dying(1)).digest
            break
        except KeyboardInterrupt:
            died += 1
            assert not (tmp_path / "out").exists()
    assert died > 2 and resumed == whole


@pytest.mark.parametrize("seed", range(2))
def test_kill_at_any_moment(tmp_path: Path, seed: int) -> None:
    pool = pool_of(tmp_path, documents(6, 400))
    command = line_of("guard", pool, "-o", tmp_path / "out", "--cache", tmp_path / "cache", "--quiet")
    chance = random.Random(seed)
    for _ in range(4):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True)
        time.sleep(chance.uniform(0.2, 2.0))
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        if (tmp_path / "out").exists():
            names = {path.name for path in (tmp_path / "out").iterdir()}
            assert names == {"selection.parquet", "clusters.parquet", "plan.json", "report.html"}
            json.loads((tmp_path / "out" / "plan.json").read_text())
    subprocess.run(command, check=True, capture_output=True)
    resumed = json.loads((tmp_path / "out" / "plan.json").read_text())["reproduce"]["digest"]
    assert resumed == guard(pool, output=tmp_path / "other").digest
    assert not [path for path in tmp_path.iterdir() if path.name.endswith((".tmp", ".lock", ".replaced"))]


def test_a_second_run_reads_no_text_but_what_it_shows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pool = pool_of(tmp_path, documents(7))
    first = guard(pool, output=tmp_path / "one").digest
    monkeypatch.setattr(manifest.Manifest, "read", lambda self, span: (_ for _ in ()).throw(AssertionError("read")))
    assert guard(pool, output=tmp_path / "two").digest == first
    assert guard(pool, output=tmp_path / "three", keep="longest", copies=2).summary["counts"]["removed"] > 0


def test_which_rows_of_a_cluster_stay(tmp_path: Path) -> None:
    text = "the same text of more than five words"
    texts = [f"{text} {'!' * size}" for size in (1, 5, 3, 2)] + ["something else altogether, five words"]
    pool = pool_of(tmp_path, texts, id=[f"id{number}" for number in range(5)])

    def kept(**rule: Any) -> list[int]:
        return kept_rows(guard(pool, output=tmp_path / "out", **rule))

    assert kept() == [0, 4]
    assert kept(keep="longest") == [1, 4]
    assert kept(keep="longest", copies=2) == [1, 2, 4]
    assert kept(copies=3) == [0, 1, 2, 4]
    assert kept(record=True) == [0, 1, 2, 3, 4]
    drawn = {tuple(kept(keep="random", seed=seed)) for seed in range(12)}
    assert len(drawn) > 1 and all(len(rows) == 2 and rows[1] == 4 for rows in drawn)


def test_words_fit_what_was_done(tmp_path: Path) -> None:
    """Nothing is called removed that was not, counts are of repeats where some stay, and no "1 pairs"."""
    pool = pool_of(tmp_path, documents(14, 30))
    report = tmp_path / "out" / "report.html"
    told = lines(guard(pool, record=True, output=tmp_path / "out"))
    assert told[0].startswith("34 of 73 rows") and "None was removed." in " ".join(told[:2])
    said = " ".join(" ".join(told).split())
    assert "against another of their cluster" in said and "removed rows" not in said
    assert "Beside another of its cluster" in report.read_text() and "Removed, beside" not in report.read_text()
    told = lines(guard(pool, copies=2, output=tmp_path / "out"))
    counts = Guarded(tmp_path / "out", json.loads((tmp_path / "out" / "plan.json").read_text())).summary["counts"]
    assert 0 < counts["removed"] < counts["exact"] + counts["near"]
    assert f"Removed {counts['removed']}, those beyond 2 of a cluster, and kept {counts['kept']};" in " ".join(told)
    assert "of them removed" in report.read_text()
    told = lines(guard(pool, output=tmp_path / "out"))
    assert "removed rows against the rows kept for them" in " ".join(" ".join(told).split())
    assert "Removed, beside what was kept for it" in report.read_text()
    words = [f"w{at}" for at in range(100)]
    texts = [" ".join(words), " ".join([*words[:-1], "other"]), "unlike"]
    said = " ".join(" ".join(lines(guard(pool_of(tmp_path, texts), output=tmp_path / "two"))).split())
    assert "1: 1 pair, the largest of 2 rows" in said
    assert "1 removed row against the row kept for it: exact Jaccard similarity 0.98" in said and "0.98 to" not in said
    assert "<title>2 to 3: " in (tmp_path / "two" / "report.html").read_text()


def test_settings_that_find_little_are_warned_of(tmp_path: Path) -> None:
    pool = pool_of(tmp_path, ["one", "two"])

    def warned(**asked: Any) -> list[str]:
        found = guard(pool, output=tmp_path / "out", **asked).summary["warnings"]
        return [warning for warning in found if "become candidates" in warning]

    assert warned() == [] and warned(duplicates="exact") == [] and warned(preset="fineweb") == []
    assert warned(preset="slimpajama") == [
        "With 9 bands of 13 rows, 40 % of the pairs at similarity 0.8 become candidates: most near-duplicates stay "
        "unseen. More bands or fewer rows find more."
    ]
    assert len(warned(settings={"bands": 1, "rows": 30}, threshold=0.9)) == 1


def test_the_seed_decides_about_random_rows_alone(tmp_path: Path) -> None:
    """What is planted, looked at and shown does not change with it."""
    pool = pool_of(tmp_path, documents(15))
    one, two = (guard(pool, seed=seed, output=tmp_path / f"{seed}").summary for seed in (0, 5))
    assert one["curve"]["planted"] and one["pairs"]
    for name in ("curve", "similarities", "pairs", "largest", "counts", "sizes"):
        assert one[name] == two[name], name
    assert one["reproduce"]["digest"] == two["reproduce"]["digest"]


def test_domains_by_themselves(tmp_path: Path) -> None:
    text = "one text that stands in both domains"
    pool = pool_of(tmp_path, [text, text, "else", text, text], domain=["a", "b", "a", "b", "a"])
    assert kept_rows(guard(pool, output=tmp_path / "out")) == [0, 2]
    result = guard(pool, output=tmp_path / "out", scope="domain")
    assert kept_rows(result) == [0, 1, 2]
    assert [one["kept_rows"] for one in result.summary["domains"]] == [2, 1]


def test_the_selection_is_one(tmp_path: Path) -> None:
    """Written like any other, opened for a proof, and its score says how often the pool has the text."""
    texts = documents(8)
    result = guard(pool_of(tmp_path, texts), threshold=0.5, output=tmp_path / "out")
    written = cuvee.write_selection(tmp_path / "out", tmp_path / "data")
    found = pa.concat_tables([pq.read_table(path) for path in written.files])["text"].to_pylist()
    assert found == [texts[row] for row in kept_rows(result)]
    table = pq.read_table(tmp_path / "out" / "selection.parquet")
    assert int(sum(table["score"].to_pylist())) == len(texts)
    assert set(table["reason"].to_pylist()) == {"no duplicate found", "kept of its cluster: first"}
    engine, (candidate,) = open_candidates([tmp_path / "out"], Store(), Local(1), cuvee_progress())
    assert engine.rows == len(texts) and candidate.row.tolist() == kept_rows(result)


def cuvee_progress() -> Any:
    from cuvee.engine.progress import Progress

    return Progress()


def test_planted_pairs_lie_on_the_curve(tmp_path: Path, demo_table: pa.Table) -> None:
    """On real text, without verification, in every bin: found within 4 standard deviations of the curve."""
    texts = [text.encode() for text in demo_table["text"].to_pylist()[::7]]
    for name in ("fineweb", "data-juicer", "slimpajama"):
        bins = measured_curve(PRESETS[name].minhash, None, texts, seed=1)
        assert sum(one["pairs"] for one in bins) > 1_000
        for one in bins:
            p, n = one["candidates_expected"], one["pairs"]
            # bins gather several similarities, which only lessens the spread
            assert abs(one["found"] - n * p) <= 4 * np.sqrt(n * p * (1 - p)) + 1, (name, one)


def test_verification_removes_what_lies_below_the_threshold(demo_table: pa.Table) -> None:
    texts = [text.encode() for text in demo_table["text"].to_pylist()[::7]]
    bins = measured_curve(MinHash(), 0.8, texts, seed=1)
    low = [one for one in bins if one["high"] <= 0.65]
    high = [one for one in bins if one["low"] >= 0.9]
    assert sum(one["found"] for one in low) == 0 and sum(one["pairs"] for one in low) > 300
    assert sum(one["found"] for one in high) > 0.97 * sum(one["pairs"] for one in high) > 100


def test_no_long_text_no_curve() -> None:
    assert measured_curve(MinHash(), None, [b"short", b""], 0) == []


def test_wilson_intervals() -> None:
    assert np.round(wilson(8, 10), 4).tolist() == [0.4902, 0.9433]
    assert wilson(0, 10)[0] == 0 < wilson(0, 10)[1] and wilson(10, 10)[1] == 1


HOSTILE = [
    "<script>alert(1)</script> " * 3 + "and six more words follow here",
    "\x1b[2J\x1b]0;title\x07 screen text of more than five words",
    "‮right to left‬ and five more words",
    "\u0000nul and other controls \x01\x02\x03 in five words",
    "ﷺ" * 2_000,
    "word " * 50_000,
    "é" * 70 + " combining " + "a\u0301" * 40,
    "=cmd|' /C calc'!A0 one two three four",
]


def test_texts_are_found_wherever_they_lie(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each segment is read once, whatever the format; a compressed file has one."""
    texts = [f"text {at} " + "é" * (at % 50) for at in range(400)]
    table = pa.table({"text": texts})
    folder = tmp_path / "pool"
    folder.mkdir()
    pq.write_table(table.slice(0, 150), folder / "a.parquet", row_group_size=40)
    as_jsonl(table.slice(150, 150), folder / "b.jsonl.gz")
    as_jsonl(table.slice(300), folder / "c.jsonl")
    store = Store()
    engine = Engine(open_stage(folder, cuvee.Reading(), store).stage, None, store, Local(1))
    reads = []
    raw = manifest.Manifest.raw
    monkeypatch.setattr(manifest.Manifest, "raw", lambda self, a, b: reads.append((a, b)) or raw(self, a, b))
    rows = [399, 0, 39, 40, 149, 150, 151, 299, 300, 3, 3]
    assert texts_of(engine, rows, 1_000) == {row: texts[row].encode() for row in rows}
    assert (150, 300) in reads and len(reads) <= 6
    assert texts_of(engine, [], 1_000) == {}
    cut = texts_of(engine, rows, 40)
    assert all(texts[row].encode().startswith(cut[row]) and len(cut[row]) in (39, 40) for row in (39, 40, 149, 399))
    assert all(text.decode() for text in cut.values()), "cut between characters"


def test_long_texts_are_not_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is shown and compared of a cluster is bounded, however long its documents are."""
    words = np.random.default_rng(5).choice(WORDS, (4, 3_000)).tolist()
    texts = [" ".join(one[:2_990] + ["other"] * copy) for one in words for copy in (0, 3)]
    held = []
    monkeypatch.setattr(near_duplicates, "MEASURED_BYTES", 5_000)
    monkeypatch.setattr(near_duplicates, "texts_of", lambda *given: held.append(found := texts_of(*given)) or found)
    result = guard(pool_of(tmp_path, texts), output=tmp_path / "out")
    assert result.summary["counts"]["near"] == 4 and result.summary["similarities"] == [1.0] * 4
    assert [len(one) for found in held for one in found.values()] == [5_000] * 8


def test_members_are_counted_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The members are sorted a fixed number of times, not once for every span of the pool."""
    sorts = []
    unique = np.unique
    row = np.arange(40)
    members = Members(row, row // 4 * 4, row, row, row.astype(np.uint64), np.zeros(40, np.int32))
    monkeypatch.setattr(np, "unique", lambda *given, **more: sorts.append(1) or unique(*given, **more))
    assert all(members.copies(np.array([at, 100])).tolist() == [4, 1] for at in range(40))
    assert len(sorts) == 1


@pytest.mark.parametrize("lasting", [False, True], ids=["once", "from then on"])
@pytest.mark.parametrize("kind", ["write", "sync", "rename"])
def test_every_fault_leaves_the_old_output(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, lasting: bool
) -> None:
    """Every call that can fail on a full disk fails once: a sentence, status 4, the earlier folder as it was."""
    pool = pool_of(tmp_path, documents(13, 20))
    monkeypatch.setattr(files, "system", Quick())
    command = ("guard", pool, "-o", tmp_path / "out", "--quiet")
    assert run_command(*command, "--keep", "longest", "--cache", tmp_path / "right").status == 0
    before = contents(tmp_path / "out")
    for k in range(1, 1_000, 5 if lasting else 1):
        faulty = Faulty(kind, k, lasting)
        monkeypatch.setattr(files, "system", faulty)
        answer = run_command(*command, "--cache", tmp_path / f"cache{k}")
        if faulty.calls < k:
            break
        assert answer.status == 4 and "No space left" in answer.error()
        assert contents(tmp_path / "out") == before
        assert not [path.name for path in tmp_path.iterdir() if path.name.endswith((".tmp", ".lock", ".replaced"))]
    assert k > 1 and answer.status == 0


def test_hostile_texts(tmp_path: Path) -> None:
    """Twice each, as text, domain and id: all found, nothing runs, nothing reaches the terminal raw."""
    names = [text[:40] for text in HOSTILE]
    pool = pool_of(tmp_path, HOSTILE * 2, domain=names * 2, id=[f"{at} {name}" for at, name in enumerate(names * 2)])
    answer = run_command("guard", pool, "-o", tmp_path / "out")
    answer.screen()
    page = (tmp_path / "out" / "report.html").read_text()
    assert "<script" not in page and "\x1b" not in page
    assert kept_rows(Guarded(tmp_path / "out", {})) == list(range(8))


def test_no_text_leaves_none(tmp_path: Path) -> None:
    texts = ["a secret sentence of more than five words"] * 9 + documents(9)
    result = guard(pool_of(tmp_path, texts), output=tmp_path / "out", show_text=False)
    for name in ("report.html", "plan.json"):
        content = (tmp_path / "out" / name).read_text()
        assert "secret sentence" not in content and "word001" not in content
    assert result.summary["largest"][0]["count"] == 9


def test_a_pool_without_repetition(tmp_path: Path) -> None:
    answer = run_command("guard", pool_of(tmp_path, ["one", "two", "three"]), "-o", tmp_path / "out")
    assert answer.screen()[0] == "No exact or near duplicate among 3 rows: all of them are kept."
    assert pq.read_table(tmp_path / "out" / "clusters.parquet").num_rows == 0


@pytest.mark.usefixtures("many_tasks")
def test_no_repetition_in_any_of_many_tasks(tmp_path: Path) -> None:
    chance = np.random.default_rng(5)
    texts = [" ".join(chance.choice(10**6, 60).astype(str)) for _ in range(400)]
    result = guard(pool_of(tmp_path, texts), output=tmp_path / "out", cache=tmp_path / "cache")
    assert result.summary["counts"]["removed"] == 0


def test_writing_without_blanks_is_warned_of(tmp_path: Path) -> None:
    chance = np.random.default_rng(6)
    texts = ["".join(map(chr, chance.integers(0x4E00, 0x9000, 300))) for _ in range(40)]
    texts += [text[:150] + "\u4e00" + text[151:] for text in texts]
    pool = pool_of(tmp_path, texts)
    result = guard(pool, output=tmp_path / "out", cache=tmp_path / "cache")
    assert result.summary["counts"]["unbroken"] == 80 and result.summary["counts"]["near"] == 0
    assert any("unit=char" in warning for warning in result.summary["warnings"])
    result = guard(
        pool, preset="cuvee", settings={"unit": "char", "n": 13}, output=tmp_path / "out", cache=tmp_path / "cache"
    )
    assert result.summary["counts"]["near"] == 40 and result.summary["counts"]["unbroken"] == 0


def test_bad_rows_are_refused_or_counted(tmp_path: Path) -> None:
    path = tmp_path / "pool.jsonl"
    path.write_text('{"text": "one"}\n{"no": 1}\n{"text": "one"}\n')
    with pytest.raises(DataError, match="--skip-bad"):
        guard(path, output=tmp_path / "out")
    result = guard(path, output=tmp_path / "out", reading=cuvee.Reading(skip_bad=True))
    assert result.summary["counts"]["rejected"] == 1 and kept_rows(result) == [0]
    assert "rejected" in " ".join(lines(result))


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (["--preset", "nothing"], "no preset 'nothing'"),
        (["--preset", "fineweb:bands=0"], "at least 1"),
        (["--preset", "fineweb:bands=x"], "whole number"),
        (["--preset", "fineweb:color=red"], "Preset fineweb has no parameter 'color'. Its parameters: n, unit, "),
        (["--preset", "fineweb:red"], "Write --preset fineweb:parameter=value"),
        (["--threshold", "1"], "--duplicates exact"),
        (["--preset", "cuvee:permutations=8,bands=9,rows=9"], "need 81 permutations"),
        (["--threshold", "1.5"], "between 0 and 1"),
        (["--threshold", "nan"], "between 0 and 1"),
        (["--copies", "0"], "at least 1"),
        (["--record", "--copies", "2"], "leave them out"),
        (["--duplicates", "exact", "--threshold", "0.8"], "near-duplicates"),
        (["--scope", "domain"], "domain column"),
        (["--text", "nothing"], "nothing"),
    ],
)
def test_refusals_are_sentences(tmp_path: Path, asked: list[str], words: str) -> None:
    answer = run_command("guard", pool_of(tmp_path, ["one", "two"]), "-o", tmp_path / "out", *asked)
    said = answer.error()
    assert words in said and answer.status in (2, 3)
    assert "--with" not in said and "cuvee methods" not in said, "guard has neither"
    assert not (tmp_path / "out").exists()


def test_a_pool_without_texts_is_refused(tmp_path: Path) -> None:
    pq.write_table(pa.table({"label": [1, 2]}), tmp_path / "pool.parquet")
    answer = run_command("guard", tmp_path / "pool.parquet", "--label", "label", "-o", tmp_path / "out")
    assert answer.status in (2, 3) and "text" in answer.error()


def test_command_line(tmp_path: Path) -> None:
    pool = pool_of(tmp_path, documents(10), domain=[f"d{at % 2}" for at in range(len(documents(10)))])
    answer = run_command("guard", pool, "-o", tmp_path / "out")
    screen = answer.screen()
    assert "repeat others" in screen[0] and any(line.startswith("next: cuvee write") for line in screen)
    asked = ("--preset", "fineweb:n=3", "--threshold", "0.7", "--keep", "longest", "--scope", "domain", "--json")
    parsed = json.loads(run_command("guard", pool, "-o", tmp_path / "out", *asked).out)
    assert parsed["method"]["parameters"]["n"] == 3 and parsed["method"]["parameters"]["threshold"] == 0.7
    assert (
        parsed["reproduce"]["digest"]
        == guard(
            pool,
            preset="fineweb",
            settings={"n": 3},
            threshold=0.7,
            keep="longest",
            scope="domain",
            output=tmp_path / "o",
        ).digest
    )
    before = {path: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    answer = run_command("guard", pool, "-o", tmp_path / "out", "--plan")
    assert "14 bands" not in answer.out and "18 bands of 7" in answer.out and answer.status == 0
    assert before == {path: path.read_bytes() for path in (tmp_path / "out").iterdir()}


def test_the_call_is_told_as_it_was_made(tmp_path: Path) -> None:
    pool = pool_of(tmp_path, ["one", "two"])
    result = guard(pool, threshold=0.7, keep="longest", output=tmp_path / "out")
    said = result.summary["reproduce"]["command"]
    assert eval(said, {"cuvee": cuvee}).digest == result.digest
    assert "threshold=0.7" in said and "scope" not in said


def test_what_parameters_follow_from() -> None:
    def bands(**asked: Any) -> tuple[int, int, int]:
        found = make_rule(**asked).minhash
        assert found is not None
        return found.bands, found.rows, found.permutations

    assert bands() == (18, 7, 128) and make_rule().threshold == 0.8
    assert bands(threshold=0.7) == (25, 5, 128)
    assert bands(settings={"permutations": 256}) == bands(settings={"permutations": "256"}) == (28, 9, 256)
    assert bands(settings={"bands": 40, "rows": 5}) == (40, 5, 200)
    assert bands(preset="fineweb", threshold=0.9) == (14, 8, 112)
    assert make_rule(preset="fineweb").threshold == 0 and make_rule(preset="fineweb", threshold=0.6).threshold == 0.6
    with pytest.raises(UsageError, match="permutations"):
        make_rule(preset="fineweb", settings={"permutations": 100})
    assert bands(settings={"rows": 4}) == (32, 4, 128), "as many bands as there is room for"
    assert bands(settings={"rows": "200"}) == (1, 200, 200)
    assert bands(settings={"bands": 18}) == (18, 7, 128), "the most rows that find 95 % at 0.8"
    assert bands(settings={"bands": 5}) == (5, 3, 128) and detection(0.8, 5, 3) >= 0.95 > detection(0.8, 5, 4)
    assert bands(settings={"bands": 1}) == (1, 1, 128), "one band cannot find 95 %; one row is the best it can do"
    assert bands(settings={"bands": 5}, threshold=0.95) == (5, 15, 128)
    assert bands(preset="fineweb", settings={"bands": 20}) == (20, 8, 160), "no threshold: the preset's own rows"
    assert bands(preset="fineweb", settings={"rows": 5}) == (14, 5, 112)
    assert bands(preset="fineweb", settings={"rows": 5}, threshold=0.7) == (22, 5, 112)


def test_a_plan_names_the_rule_and_its_files(tmp_path: Path) -> None:
    pool = pool_of(tmp_path, ["one", "two"])
    found = plan(pool, output=str(tmp_path / "out"), reading=cuvee.Reading(), preset="slimpajama", record=True)
    assert "9 bands of 13" in found["near"] and found["keeps"].startswith("every row")
    assert str(tmp_path / "out" / "clusters.parquet") in found["writes"]
    assert not (tmp_path / "out").exists()


def test_rows_do_not_depend_on_their_batch() -> None:
    texts = [text.encode() for text in documents(11)[:40]]
    together = NormalHash().apply(as_batch(texts))["exact"].tolist()
    data = as_batch(texts)
    for cut in (1, 13, 39):
        parts = [
            Batch(data.data, data.offsets[a : b + 1], data.row[a:b], data.key[a:b]) for a, b in ((0, cut), (cut, 40))
        ]
        assert together == [one for part in parts for one in NormalHash().apply(part)["exact"].tolist()]


def test_every_field_is_documented(tmp_path: Path) -> None:
    """What plan.json, its counts and method, and clusters.parquet hold stands in the page's tables."""
    result = guard(pool_of(tmp_path, documents(12)), output=tmp_path / "out")
    text = (Path(__file__).parents[1] / "docs" / "guard.md").read_text(encoding="utf-8")
    known = set(re.findall(r"`([^`]+)`", " ".join(re.findall(r"^\|.+\|$", text, re.MULTILINE))))
    held = {*json.loads((tmp_path / "out" / "plan.json").read_text()), *result.summary["counts"]}
    held |= {*result.summary["method"], *result.summary["curve"], *result.summary["curve"]["planted"][0]}
    held |= set(pq.read_schema(tmp_path / "out" / "clusters.parquet").names)
    assert held <= known, sorted(held - known)


def test_help_teaches() -> None:
    answer: Answer = run_command("guard", "--help")
    assert answer.status == 0
    for words in ("--preset fineweb --scope domain", "clusters.parquet", "--copies 3", "selection.parquet"):
        assert words in answer.out
