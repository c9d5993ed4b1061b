"""Evaluation text in training documents: planted cases, a slow reference, and what must not count."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cuvee.core import Batch
from cuvee.engine.run import Engine
from cuvee.engine.store import Store
from cuvee.pool import Reading, open_stage
from cuvee.proof.candidates import Candidate
from cuvee.proof.overlap import COMMON, RUN, SHARE, Overlap, Shingles, contaminated, explain, find
from cuvee.proof.proxy import Evaluation

from ..conftest import DEMO

Texts = Sequence[str]
KANJI = "".join(map(chr, range(0x4E00, 0x4F00)))


def batch_of(texts: Texts, lead: bytes = b"", **columns: Any) -> Batch:
    """A batch whose buffer begins with foreign bytes."""
    raw = [text.encode() for text in texts]
    offsets = np.cumsum([len(lead), *map(len, raw)]).astype(np.int64)
    rows = np.arange(len(raw))
    return Batch(np.frombuffer(lead + b"".join(raw), np.uint8), offsets, rows, rows.astype(np.uint64), columns)


def evaluation(texts: Texts, name: str = "held") -> Evaluation:
    return Evaluation(name, batch_of(texts, b"lead"), np.zeros(len(texts), np.int32), ("all",))


def shingles(*sets: Texts) -> Shingles:
    return Shingles.of([evaluation(texts, str(at)) for at, texts in enumerate(sets)])


def hits(fitted: Shingles, texts: Texts) -> list[bool]:
    """Which texts are contaminated."""
    return [bool(one) for one in contaminated(fitted.apply(batch_of(texts)))]


def prose(seed: int, words: int, apart: str = " ") -> str:
    """Made-up words, no two seeds alike."""
    rng = np.random.default_rng(seed)
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz"))
    return apart.join("".join(rng.choice(letters, rng.integers(3, 9))) for _ in range(words))


def passage(text: str, first: int, words: int) -> str:
    """So many words of a text, with what stands between them."""
    found = list(re.finditer(r"\w+", text))[first : first + words]
    return text[found[0].start() : found[-1].end()]


def within(text: str, inner: str, first: int = 200) -> str:
    """A text with another in it."""
    return f"{passage(text, 0, first)}. {inner}; {text[len(passage(text, 0, first)) :]}"


def disguised(text: str) -> str:
    """The same words in other case and with other punctuation."""
    words = [word.upper() if at % 3 else word.title() for at, word in enumerate(re.findall(r"\w+", text))]
    return "«" + " — ".join(words) + "!?»\n"


# A reference, word by word


def words_of(text: str) -> list[str]:
    return re.findall("(?=\\w)[\u3041-\u30ff\u3400-\u9fff]|[^\\W\u3041-\u30ff\u3400-\u9fff]+", text.lower())


def runs_of(words: list[str], length: int) -> list[tuple[str, ...]]:
    return [tuple(words[at : at + length]) for at in range(len(words) - length + 1)]


def reference(sets: Sequence[Texts], texts: Texts) -> tuple[list[int], list[float]]:
    """The longest run and the largest share of every text."""
    least, most = COMMON
    known: list[set[tuple[str, ...]]] = []
    for one in sets:
        found = [set(runs_of(words, min(13, len(words)))) if len(words) >= 8 else set() for words in map(words_of, one)]
        counts = Counter(run for runs in found for run in runs)
        common = {run for run, count in counts.items() if count > most * len(one)} if len(one) >= least else set()
        known += [runs - common for runs in found]
    every = set().union(*known)
    longest, share = [], []
    for text in texts:
        words, best, met = words_of(text), 0, set()
        for length in {len(run) for run in every}:
            streak = 0
            for run in runs_of(words, length):
                streak = streak + 1 if run in every else 0
                best = max(best, streak + length - 1 if streak else 0)
            met.update(runs_of(words, length))
        longest.append(best)
        same = any(text == other for one in sets for other in one)
        share.append(1.0 if same else max((len(runs & met) / len(runs) for runs in known if runs), default=0.0))
    return longest, share


WORD = st.sampled_from(["a", "B", "Ça", "ΟΣ", "İ", "x_1", "漢", "字", "カ", "é", "😀", "日本"])
GAP = st.sampled_from([" ", " ", "\n", ", ", "—", "", "'", "\u3000", "。"])
LOOSE = st.lists(st.tuples(WORD, GAP), max_size=40).map(lambda pairs: "".join(word + gap for word, gap in pairs))
PIECE = st.sampled_from([prose(seed, 5) for seed in range(5)])
MADE = st.one_of(LOOSE, st.lists(PIECE, max_size=14).map("; ".join))


@given(st.lists(st.lists(MADE, max_size=6), min_size=1, max_size=2), st.lists(MADE, min_size=1, max_size=6))
@settings(max_examples=150, deadline=None)
def test_reference(sets: list[list[str]], texts: list[str]) -> None:
    found = shingles(*sets).apply(batch_of(texts, b"\xe6\xbc"))
    longest, share = reference(sets, texts)
    assert found["overlap_run"].tolist() == longest
    assert found["overlap_share"].tolist() == share
    every = [text for one in sets for text in one]
    for at, document in enumerate(found["overlap_document"].tolist()):
        assert (document < 0) == (share[at] == 0.0)
        if document >= 0:
            assert reference([every], [texts[at]])[1][0] >= share[at]


def test_reference_on_real_text(demo_table: pa.Table) -> None:
    """Long texts with code, tables and quotations: parts of one half of the pool are evaluated."""
    texts = demo_table.column("text").to_pylist()[:400]
    held = [passage(text, 10, 40) if at % 2 else text for at, text in enumerate(texts[::8])]
    longest, share = reference([held, texts[1:9]], texts)
    found = shingles(held, texts[1:9]).apply(batch_of(texts))
    assert found["overlap_run"].tolist() == longest
    assert found["overlap_share"].tolist() == share


@given(st.lists(MADE, min_size=1, max_size=5), st.lists(MADE, min_size=2, max_size=7), st.data())
@settings(max_examples=40, deadline=None)
def test_splitting_the_batch_changes_nothing(held: list[str], texts: list[str], data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(texts)))
    fitted = shingles(held)
    parts = [fitted.apply(batch_of(part, b"x" * cut)) for part in (texts[:cut], texts[cut:])]
    for name, values in fitted.apply(batch_of(texts)).items():
        assert values.dtype == parts[0][name].dtype
        assert np.array_equal(values, np.concatenate([part[name] for part in parts]))


@given(st.lists(MADE, min_size=1, max_size=6), st.lists(MADE, min_size=1, max_size=5), st.randoms())
@settings(max_examples=40, deadline=None)
def test_order_only_renumbers(held: list[str], texts: list[str], random: Any) -> None:
    order = list(range(len(held)))
    random.shuffle(order)
    one, other = (shingles(some).apply(batch_of(texts)) for some in (held, [held[at] for at in order]))
    assert one["overlap_run"].tolist() == other["overlap_run"].tolist()
    assert one["overlap_share"].tolist() == other["overlap_share"].tolist()
    for at, document in enumerate(other["overlap_document"].tolist()):
        if document < 0:
            assert one["overlap_document"][at] < 0
        else:  # of two that it holds the same share of, either may be named
            alone = shingles([held[order[document]]]).apply(batch_of([texts[at]]))
            assert alone["overlap_share"][0] == one["overlap_share"][at]


# Planted cases


def test_planted() -> None:
    held = [prose(seed, 300) for seed in range(20)]
    short = [prose(100 + seed, 30) for seed in range(20)]
    eight = [prose(200 + seed, 8) for seed in range(20)]
    clean = prose(999, 3_000)
    cases: dict[str, tuple[str, bool]] = {
        "nothing": (clean, False),
        "exact": (held[0], True),
        "other case and punctuation": (disguised(held[1]), True),
        "60 words": (within(clean, passage(held[2], 100, 60)), True),
        "60 words at the very end": (f"{clean} {passage(held[2], 240, 60)}", True),
        "50 words": (within(clean, passage(held[3], 7, 50)), True),
        "49 words": (within(clean, passage(held[3], 7, 49)), False),
        "a quotation of 30 words": (within(clean, passage(held[4], 7, 30)), False),
        "quotations of 30 words from many": (" ".join(passage(one, 7, 30) for one in held), False),
        "half of a short one": (within(clean, passage(short[0], 0, 12 + 9)), True),
        "less than half of a short one": (within(clean, passage(short[0], 0, 12 + 8)), False),
        "8 words": (within(clean, disguised(eight[0])), True),
        "7 of 8 words": (within(clean, passage(eight[1], 1, 7)), False),
        "one run again and again": (" und ".join([passage(short[1], 3, 13)] * 200), False),
        "with a byte order mark": ("\ufeff" + held[5], True),
    }
    fitted = shingles(held, [*short, *eight])
    found = hits(fitted, [text for text, _ in cases.values()])
    assert dict(zip(cases, found, strict=True)) == {name: wanted for name, (_, wanted) in cases.items()}
    documents = fitted.apply(batch_of([text for text, _ in cases.values()]))["overlap_document"].tolist()
    named = dict(zip(cases, documents, strict=True))
    assert (named["nothing"], named["exact"], named["60 words"], named["8 words"]) == (-1, 0, 2, 40)


def test_seven_words_count_only_as_the_whole_text() -> None:
    seven = prose(1, 7)
    assert hits(shingles([seven]), [seven, seven.upper(), f"{seven} {seven}", prose(2, 7)]) == [
        True,
        False,
        False,
        False,
    ]


@pytest.mark.parametrize("documents", [COMMON[0] - 1, COMMON[0], 60])
def test_set_phrases_do_not_count(documents: int) -> None:
    phrase = prose(1, 80)
    held = [f"{phrase} {prose(10 + seed, 60)}" for seed in range(documents)]
    found = hits(shingles(held), [phrase, within(prose(2, 900), phrase), f"{phrase} {prose(3, 60)}", held[7]])
    few = documents < COMMON[0]
    assert found == [few, few, few, True]
    assert hits(shingles(held, [phrase]), [phrase]) == [True], "another set may hold the phrase as a document"


def made_of(letters: str, size: int, apart: str) -> Callable[[int, int], str]:
    """Words of a script, two to five letters each."""

    def make(seed: int, number: int) -> str:
        rng = np.random.default_rng(seed)
        words = ["".join(rng.choice(list(letters), rng.integers(2, size))) for _ in range(number)]
        return apart.join(words).upper().lower()  # lower-casing writes the last sigma of a word in its own way

    return make


SCRIPTS = {
    "Cyrillic": made_of("абвгдежзийклмнопрстуфхцчшщъыьэюяё", 6, " "),
    "Greek": made_of("αβγδεζηθικλμνξοπρστυφχψωάέήίόύώ", 6, " "),
    "Arabic": made_of("ابتثجحخدذرزسشصضطظعغفقكلمنهوي", 6, " "),
    "Devanagari": made_of("कखगघचछजझटठडढतथदधनपफबभमयरलवशषसहािीुूेैोौ", 6, " "),
    "Hangul": made_of("가나다라마바사아자차카타파하거너더러머버서어저처", 6, " "),
    "Thai": made_of("กขคงจฉชซญดตถทธนบปผฝพฟภมยรลวศสหอิีึืุู", 6, ""),
    "Georgian, capital": made_of("აბგდევზთიკლმნოპჟრსტუფქღყშჩცძწჭხჯჰ", 6, " "),
    "beyond U+FFFF": made_of("𐐨𐐩𐐪𐐫𐐬𐐭𐐮𐐯𐐰𐐱", 6, " "),
}


@pytest.mark.parametrize("script", SCRIPTS)
def test_other_scripts(script: str) -> None:
    """Thai has no spaces either, but its vowel signs are no word characters: they cut it into pieces like words."""
    make = SCRIPTS[script]
    apart, words = ("", 300) if script == "Thai" else (" ", 120)
    held, clean = [make(seed, words) for seed in range(4)], make(99, 900)
    part = held[1][len(held[1]) // 4 : len(held[1]) * 3 // 4]
    texts = [clean, held[0], held[2].upper(), f"{clean}{apart}{part}{apart}{clean[::-1]}"]
    assert hits(shingles(held), texts) == [False, True, True, True]


def chinese(seed: int, characters: int) -> str:
    """Clauses of twelve characters without a space."""
    text = "".join(np.random.default_rng(seed).choice(list(KANJI), characters))
    return "，".join(text[at : at + 12] for at in range(0, characters, 12)) + "。"


def test_scripts_without_spaces() -> None:
    """Every Chinese character is a word: a passage is found though it fits into four clauses."""
    held, clean = [chinese(seed, 200) for seed in range(4)], chinese(99, 2_000)
    bare = held[1].replace("，", "")
    kana = "".join(
        np.random.default_rng(7).choice(list("あいうえおかきくけこさしすせそたちつてとなにぬねのアイウエオ"), 90)
    )
    texts = [
        clean,
        held[0].replace("，", " "),
        clean[:500] + bare[40:100] + clean[500:],
        clean[:500] + bare[40:70] + clean[500:],
        f"Die Seite sagt:{kana[10:80]}und nichts weiter.",
    ]
    assert hits(shingles([*held, kana]), texts) == [False, True, True, False, True]
    assert explain(texts[2], held[1])[1:] == (60, 200)


# Recall and precision in the demonstration


def lines(name: str) -> list[dict[str, str]]:
    return [json.loads(line) for line in (DEMO / name).read_text("utf-8").splitlines()]


def test_recall_and_precision_in_the_demonstration(demo_table: pa.Table) -> None:
    """270 evaluation documents planted in five ways into 6,532 pool documents, and 60 quotations of 30 words."""
    pool = demo_table.column("text").to_pylist()
    held = [one["text"] for one in lines("evaluation.jsonl")]
    rng = np.random.default_rng(0)
    where, texts = rng.permutation(len(pool)).tolist(), list(pool)
    ways: dict[str, Callable[[str, str], str]] = {
        "exact": lambda host, text: text,
        "disguised": lambda host, text: disguised(text),
        "60 words": lambda host, text: within(host, passage(text, 20, 60), 30),
        "half": lambda host, text: within(host, passage(text, 0, len(re.findall(r"\w+", text)) // 2 + 7), 30),
        "between lines": lambda host, text: within(host, text.replace("\n", "\n> "), 30),
        "quotation": lambda host, text: within(host, passage(text, 20, 30), 30),
    }
    planted: dict[str, list[int]] = {name: [] for name in ways}
    long_enough = [at for at in where if len(re.findall(r"\w+", pool[at])) > 60]
    sources = [text for text in held if len(re.findall(r"\w+", text)) > 85]
    for number, text in enumerate(sources):
        name = list(ways)[number % len(ways)]
        row = long_enough[number]
        texts[row] = ways[name](pool[row], text)
        planted[name].append(row)
    found = set(np.flatnonzero(contaminated(shingles(held).apply(batch_of(texts)))).tolist())
    quoted = planted.pop("quotation")
    wanted = {row for rows in planted.values() for row in rows}
    recall = {name: len(found.intersection(rows)) / len(rows) for name, rows in planted.items()}
    precision = len(found & wanted) / len(found)
    print(f"planted {len(wanted)}, quotations {len(quoted)}, recall {recall}, precision {precision}")
    assert len(wanted) > 200 and len(quoted) > 40
    assert recall == dict.fromkeys(recall, 1.0)
    assert precision == 1.0


def test_the_demonstration_is_clean(demo_table: pa.Table) -> None:
    """No document of the pool, the target or the control holds text of the evaluation set that ships with them."""
    held = lines("evaluation.jsonl")
    others = {"target": lines("target.jsonl"), "control": lines("target_control.jsonl"), "pool": demo_table.to_pylist()}
    counts = Counter(one["domain"] for one in held)
    assert counts["sqlite-docs"] == 60 and len(counts) >= 8 and min(counts.values()) == 30
    fitted = shingles([one["text"] for one in held])
    for rows in others.values():
        assert not {one["id"] for one in held} & {one["id"] for one in rows}
        assert not any(hits(fitted, [one["text"] for one in rows]))
    pages = {one["id"].partition("#")[0] for one in held if one["domain"] == "sqlite-docs"}
    assert not pages & {one["id"].partition("#")[0] for rows in others.values() for one in rows}


# Hostile


def test_empty_texts_and_sets() -> None:
    text = prose(1, 200)
    for sets in ([], [[]], [["", "", "one two"]], [["", "!!! ... ???"], []]):
        fitted = shingles(*sets)
        assert hits(fitted, [text, "", " \n", "one two"])[0] is False
        assert hits(fitted, []) == []
    fitted = shingles(["", text], [])
    assert hits(fitted, []) == []
    assert hits(fitted, ["", text, " ", "?!"])[1:] == [True, False, False]
    assert hits(shingles([text] * 40), [text, within(prose(2, 900), text)]) == [True, False], "all of it is common"


def test_one_large_text() -> None:
    """5 MB, with a passage at its very end; and 5 MB of one run that many evaluation documents share."""
    vocabulary = np.array(prose(5, 2_000).split())
    text = " ".join(np.random.default_rng(1).choice(vocabulary, 760_000))
    assert len(text) > 4_900_000
    held = [prose(seed, 400) for seed in range(8)]
    fitted = shingles(held)
    found = fitted.apply(batch_of(["", text, f"{text} {passage(held[6], 300, 70)}", text.replace(" ", "")]))
    assert found["overlap_run"].tolist() == [0, 0, 70, 0]
    assert found["overlap_document"].tolist() == [-1, -1, 6, -1]
    run = prose(77, 13)
    many = shingles([f"{run} {prose(seed, 40)}" for seed in range(29)])
    assert hits(many, [f"{run} - " * 60_000]) == [False]


def test_vectors_are_compared_whole() -> None:
    """Rows without text: the same vector on both sides."""
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(12, 4)).astype(np.float32)
    held = Evaluation("held", batch_of([""] * 5, embedding=vectors[:5]), np.zeros(5, np.int32), ("all",))
    found = Shingles.of([held]).apply(batch_of([""] * 9, embedding=vectors[3:]))
    assert contaminated(found).tolist() == [True, True, *[False] * 7]
    assert found["overlap_document"].tolist() == [3, 4, *[-1] * 7]


# In words, and over a pool


def test_explain() -> None:
    text = prose(1, 100)
    inner = passage(text, 20, 30)
    assert explain(f"{prose(2, 50)} {disguised(inner)} {prose(3, 50)}", text) == (inner, 30, 100)
    assert explain(prose(2, 50), text) == ("", 0, 100)
    assert explain("", text) == ("", 0, 100)
    assert explain(text, "") == ("", 0, 0)
    assert explain("", "") == ("", 0, 0)
    assert explain("One, two!", "two ONE two one two") == ("one two", 2, 5)
    assert explain(text, text) == (text, 100, 100)


def test_explain_finds_what_stands_far_behind() -> None:
    """A run beyond the first words of long texts, and its length when it is longer than what is shown."""
    text = prose(1, 9_000)
    words, size, of = explain(f"{prose(2, 20_000)} {passage(text, 5_000, 60)}", text)
    assert (words, size, of) == (passage(text, 5_000, 60), 60, 9_000)
    words, size, of = explain(text, text)
    assert (len(words.split()), size, of) == (3_000, 9_000, 9_000)
    assert explain("wine and cheese " * 20_000, "wine and cheese " * 3_000)[1:] == (9_000, 9_000)


def searched(folder: Path, sets: Sequence[Evaluation], **selected: npt.NDArray[np.int64]) -> Overlap:
    """What is found in the files of a folder."""
    store = Store(folder / "cache")
    stage = open_stage([folder / "a.jsonl", folder / "b.jsonl"], Reading(), store).stage
    chosen = [Candidate(name, folder, row, np.ones_like(row), {}) for name, row in selected.items()]
    return find(Engine(stage, None, store), sets, chosen)


def test_find(tmp_path: Path) -> None:
    """Rows keep their numbers when others are unusable, and counts are those of the right set and selection."""
    first, second = [prose(seed, 100) for seed in range(5)], [prose(50 + seed, 100) for seed in range(3)]
    rows: list[Any] = [prose(100 + at, 300) for at in range(20)]
    rows[2] = ""
    rows[4] = within(rows[4], passage(first[3], 10, 60))
    rows[7] = first[3].upper()
    rows[12] = second[0]
    for name, part in (("a", rows[:9]), ("b", rows[9:])):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps({"text": row}) + "\n" for row in part))
    sets = [evaluation(first, "first"), evaluation(second, "second"), evaluation([prose(9, 90)], "third")]
    met = searched(tmp_path, sets, some=np.array([0, 4, 5, 12]), none=np.array([1, 3]))
    assert met.contaminated.tolist() == [4, 7, 12] and met.rows == 3
    assert met.documents == {"first": (1, 5), "second": (1, 3), "third": (0, 1)}
    assert met.selected == {"some": 2, "none": 0}
    assert met.told() == "at least 1 of the 5 in 'first', 1 of the 3 in 'second' evaluation documents"
    assert [one["evaluation"] for one in met.examples] == ["first", "first", "second"]
    one, _, other = met.examples
    assert one["shared"] == passage(first[3], 10, 60) and one["tokens"] == "60 of 100 words"
    assert one["evaluation_id"] == "document 4" and one["training_id"].endswith("a.jsonl:5")
    assert other["evaluation_id"] == "document 1" and other["training_id"].endswith("b.jsonl:4")
    entry, _ = met.as_json()
    assert entry["arm"] == "some" and entry["documents"] == 1 and entry["of"] == 5 and len(entry["examples"]) == 2
    nothing = searched(tmp_path, [evaluation([prose(9, 90)])])
    assert (nothing.rows, nothing.told(), nothing.as_json(), nothing.examples) == (0, "none", [], [])


def test_find_vectors(tmp_path: Path) -> None:
    """A pool of vectors has nothing to quote."""
    vectors = np.random.default_rng(0).normal(size=(12, 4)).astype(np.float32)
    lists = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), 4)
    pq.write_table(pa.table({"embedding": lists, "label": ["a", "b"] * 6}), tmp_path / "pool.parquet")
    store = Store(tmp_path / "cache")
    stage = open_stage(tmp_path / "pool.parquet", Reading(text="none", embedding="embedding"), store).stage
    held = Evaluation("held", batch_of([""] * 3, embedding=vectors[4:7]), np.zeros(3, np.int32), ("all",))
    met = find(Engine(stage, None, store), [held], [])
    assert (met.contaminated.tolist(), met.documents, met.examples) == ([4, 5, 6], {"held": (3, 3)}, [])


def test_rule() -> None:
    block = {"overlap_run": np.array([RUN - 1, RUN, 0, 0]), "overlap_share": np.array([0.0, 0.0, SHARE, SHARE - 0.01])}
    assert contaminated(block).tolist() == [False, True, True, False]
