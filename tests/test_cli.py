"""What the commands say: exit statuses, one sentence for a refusal, a screen of 24 lines, JSON without surprises."""

from __future__ import annotations

import contextlib
import io
import json
import os
import pty
import re
import shutil
import subprocess
import termios
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr
from pathlib import Path
from typing import Any

import click
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cuvee import cli
from cuvee.cli.start import show
from cuvee.engine import files
from cuvee.engine.progress import Lines
from cuvee.quantities import shell_path

from .command import NOT_A_NUMBER, Answer, Quick, contents, cuvee, inside, line_of, outside

GOOD = "".join(json.dumps({"id": f"g{i}", "text": f"a good text with number {i} " * 5}) + "\n" for i in range(20))


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    monkeypatch.setattr(files, "system", Quick())
    with inside(tmp_path):
        yield


@pytest.fixture
def pool(tmp_path: Path) -> Path:
    path = tmp_path / "pool.jsonl"
    path.write_text(GOOD)
    return path


def strict(text: str) -> Any:
    """JSON by the letter: no NaN, no Infinity."""

    def refuse(constant: str) -> Any:
        raise AssertionError(constant)

    return json.loads(text, parse_constant=refuse)


# what is empty, and what each command says about it

EMPTY: dict[str, Callable[[Path], object]] = {
    "zero bytes": lambda folder: (folder / "x.jsonl").write_bytes(b""),
    "zero bytes of Parquet": lambda folder: (folder / "x.parquet").write_bytes(b""),
    "blank lines": lambda folder: (folder / "x.jsonl").write_bytes(b"\n \n\t\r\n"),
    "no rows": lambda folder: pq.write_table(pa.table({"text": pa.array([], pa.string())}), folder / "x.parquet"),
    "no rows in CSV": lambda folder: (folder / "x.csv").write_text("id,text\n"),
    "no rows of embeddings": lambda folder: np.save(folder / "x.npy", np.zeros((0, 3), np.float32)),
    "empty texts": lambda folder: (folder / "x.jsonl").write_text('{"text": ""}\n' * 7),
    "null texts": lambda folder: pq.write_table(pa.table({"text": pa.nulls(5, pa.string())}), folder / "x.parquet"),
    "no text at all": lambda folder: (folder / "x.jsonl").write_text('{"body_text_of_it": 1}\n'),
    "missing": lambda folder: None,
    "a folder": lambda folder: (folder / "x.d").mkdir(),
    "only NaN": lambda folder: np.save(folder / "x.npy", np.full((4, 3), np.nan, np.float32)),
}
COMMANDS = {
    "profile": ["profile", "FILE"],
    "select": ["select", "FILE", "--with", "random", "--rows", "1"],
    "select --skip-bad": ["select", "FILE", "--with", "random", "--rows", "1", "--skip-bad"],
    "select beside good": ["select", "FILE", "good.jsonl", "--with", "random", "--rows", "1"],
    "select dsir": ["select", "FILE", "--target", "good.jsonl", "--rows", "1", "--skip-bad"],
    "target": ["select", "good.jsonl", "--target", "FILE", "--rows", "1", "--skip-bad"],
}


@pytest.mark.parametrize("what", EMPTY)
@pytest.mark.parametrize("command", COMMANDS)
def test_nothing_to_work_on_is_a_sentence(tmp_path: Path, what: str, command: str) -> None:
    EMPTY[what](tmp_path)
    (tmp_path / "good.jsonl").write_text(GOOD)
    name = next((path.name for path in tmp_path.glob("x*")), "x.missing")
    answer = cuvee(*(name if part == "FILE" else part for part in COMMANDS[command]), "-o", "out")
    if what in ("no rows", "no rows in CSV") and command == "select beside good":
        assert answer.screen()[0].startswith("Kept 1 of 20 rows")
        return
    sentence = answer.error()
    assert answer.status in (2, 3) and (answer.status == 3 or "texts" in sentence)
    assert name in sentence or "texts" in sentence
    assert not NOT_A_NUMBER.search(sentence.replace("NaN or infinity", ""))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("what", ["missing", "a folder", "zero bytes"])
def test_no_selection_to_write(tmp_path: Path, what: str) -> None:
    EMPTY[what](tmp_path)
    name = next((path.name for path in tmp_path.glob("x*")), "x.missing")
    answer = cuvee("write", name)
    assert answer.status == 2 and f"There is no selection in {tmp_path / name}" in answer.error()


def test_one_row(tmp_path: Path) -> None:
    text = "the only row of all, long enough for every method that there is, and for its shadow as well"
    (tmp_path / "one.jsonl").write_text(json.dumps({"id": "1", "text": text}) + "\n")
    assert cuvee("profile", "one.jsonl").screen()[0].startswith("Usable: 1 of 1 row, 91 B, in ")
    targeted = ["--target", "one.jsonl", "--with"]
    for more in (["--with", "random"], [*targeted, "dsir:min_length=1"], [*targeted, "zipfit"]):
        answer = cuvee("select", "one.jsonl", "--rows", 1, *more)
        assert answer.screen()[0].startswith("Kept 1 of 1 row (23 tokens).")
        assert not NOT_A_NUMBER.search(answer.out)
    assert cuvee("write", "out/select", "--format", "jsonl", "-o", "w").status == 0
    assert strict((tmp_path / "w" / "part-00000.jsonl").read_text()) == {"id": "1", "text": text}
    answer = cuvee("select", "one.jsonl", "--rows", 1, "--target", "one.jsonl", "--with", "dsir:min_length=1000")
    assert answer.status == 3 and "not eligible (shorter than min_length = 1000 words)" in answer.error()
    answer = cuvee("profile", "one.jsonl", "--json")
    assert strict(answer.out)["counts"]["usable"] == 1


# wrong requests

SELECT = ["select", "pool.jsonl", "-o", "out"]
RANDOM = [*SELECT, "--with", "random"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (RANDOM, "exactly one budget"),
        ([*RANDOM, "--rows", "1", "--tokens", "1"], "exactly one budget"),
        ([*RANDOM, "--rows", "1", "--fraction", "0.5"], "exactly one budget"),
        ([*RANDOM, "--tokens", "0"], "at least 1, not 0"),
        ([*RANDOM, "--rows", "0.4"], "'0.4' is not a whole number"),
        ([*RANDOM, "--tokens", "-5"], "'-5' is not an amount: it is below 0"),
        ([*RANDOM, "--tokens", "abc"], "'abc' is not an amount"),
        ([*RANDOM, "--tokens", "nan"], "'nan' is not an amount"),
        ([*RANDOM, "--tokens", "99999999999999999999T"], "more than can be counted"),
        ([*RANDOM, "--bytes", "5XB"], "'5XB' is not a size"),
        ([*RANDOM, "--fraction", "2"], "above 0 and at most 1"),
        ([*RANDOM, "--fraction", "0"], "above 0 and at most 1"),
        ([*RANDOM, "--fraction", "nan"], "'nan' is not a share"),
        ([*RANDOM, "--rows", "1", "--quota", "web=x"], "'x' is not a share"),
        ([*RANDOM, "--rows", "1", "--quota", "web"], "'web' is not a share"),
        ([*RANDOM, "--rows", "1", "--quota", "wab=1"], "No domain is called 'wab'"),
        ([*SELECT, "--rows", "1", "--with", "randm"], "No method is called 'randm'. Did you mean random"),
        ([*SELECT, "--rows", "1", "--with", "random:x=1"], "random has no parameter 'x'. Its parameters: purpose"),
        ([*SELECT, "--rows", "1", "--with", "random:x"], "'x' is not a setting"),
        ([*SELECT, "--rows", "1", "--with", "dsir"], "compares with a target"),
        ([*SELECT, "--rows", "1", "-t", "pool.jsonl", "--with", "dsir:buckets=x"], "buckets=x is not a whole number"),
        ([*SELECT, "--rows", "1", "-t", "pool.jsonl", "--choose", "topk"], "Did you mean top_k"),
        ([*SELECT, "--rows", "1", "--with", "top_k"], "chooses by a score"),
        (
            [*SELECT, "--rows", "1", "-t", "pool.jsonl", "--choose", "tokp"],
            "No rule is called 'tokp'. Did you mean top_k",
        ),
        ([*RANDOM, "--rows", "1", "--choose", "zzz"], "There are: cluster_clip, copies, d_optimal"),
        ([*RANDOM, "--rows", "1", "--choose", "top_k"], "a scoring method with --with, or leave out --choose"),
        ([*SELECT, "--rows", "1", "--choose", "dsir"], "'dsir' is a scoring method: use --with dsir"),
        (
            [*SELECT, "--rows", "1", "-t", "pool.jsonl", "--choose", "keep_probability"],
            "which 'dsir' does not give (it gives score). Use --with perplexity.",
        ),
        ([*SELECT, "--rows", "1", "-t", "pool.jsonl", "--choose", "threshold"], "threshold needs a bound"),
        ([*RANDOM, "--rows", "1", "--quota", "news=1,web=2, news=3"], "names the domain 'news' twice"),
        ([*RANDOM, "--rows", "1", "--memory", "lots"], "'lots' is not a size"),
        (["methods", "dsr"], "Did you mean dsir?"),
        (["guard", "pool.jsonl", "--against", "held/"], "so it has no --against. Copies of evaluation sets are found"),
        (["guard", "pool.jsonl", "-e", "held/"], "so it has no --eval. Copies of evaluation sets are found"),
        (["prove", "kept", "--ladder", ""], "--ladder '' is no step: write --ladder auto"),
        ([*RANDOM, "--rows", "1", "-o", "pool.jsonl"], "pool.jsonl is a file"),
        (["profile", "pool.jsonl", "-o", "pool.jsonl"], "pool.jsonl is a file"),
        ([*RANDOM, "--rows", "1", "-o", "full"], "not a cuvee selection"),
        (["profile", "pool.jsonl", "-o", "full"], "not a cuvee profile"),
        ([*RANDOM, "--rows", "1", "-o", "."], "you are in it"),
        ([*RANDOM, "--rows", "1", "-o", ""], "you are in it"),
        ([*RANDOM, "--rows", "1", "-o", "/"], "you are in it"),
        (["profile", "pool.jsonl", "-o", ".."], "you are in it"),
        (
            ["profile", "pool.jsonl", "--text", "txt", "--id", "none"],
            "no column 'txt' for the text",
        ),
    ],
)
def test_wrong_requests(tmp_path: Path, pool: Path, arguments: list[str], words: str) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("x")
    before = contents(tmp_path)
    answer = cuvee(*arguments)
    assert words in answer.error()
    assert answer.status == (3 if "--text" in arguments else 2)
    assert contents(tmp_path) == before


@pytest.mark.parametrize(
    "arguments", [["selct"], ["select"], ["select", "pool", "--wth", "x"], ["write", "a", "--format", "csv"]]
)
def test_click_speaks_as_well(arguments: list[str]) -> None:
    answer = cuvee(*arguments)
    answer.harmless()
    assert answer.status == 2 and not answer.out and "Error: " in answer.err
    assert "select" in answer.err or "parquet" in answer.err


def test_wrong_words_are_shown_harmlessly() -> None:
    for arguments in (
        ["sel\x1b[31mect"],
        ["select", "--\x1b]0;x\x07"],
        ["write", "x", "--format", "\x9b1m"],
        ["write", "a", "b\x1b[31m"],
    ):
        answer = cuvee(*arguments)
        answer.harmless()
        assert answer.status == 2
    with redirect_stderr(io.StringIO()) as said:  # whatever a version of click may quote
        show(click.UsageError("raw \x1b[31m\x9b1m"))
    assert "raw" in said.getvalue()
    Answer(2, "", said.getvalue()).harmless()


def test_columns_may_be_left_out(tmp_path: Path, pool: Path) -> None:
    pool.write_text('{"id": "1", "source": "a", "text": "one"}\n{"id": "1", "source": "b", "text": "two"}\n')
    assert "'1' 2 times, first in pool.jsonl row 1" in cuvee(*RANDOM, "--rows", 2).error()
    assert cuvee(*RANDOM, "--rows", 2, "--id", "none", "--domain", "none").status == 0
    assert [one["name"] for one in json.loads((tmp_path / "out/plan.json").read_text())["domains"]] == ["(all)"]
    assert cuvee(*RANDOM, "--rows", 2, "--key", "content").status == 0
    assert len(json.loads((tmp_path / "out/plan.json").read_text())["domains"]) == 2


def test_duplicate_ids_name_three(tmp_path: Path, pool: Path) -> None:
    pool.write_text("".join(json.dumps({"id": i % 5, "text": f"text {i}"}) + "\n" for i in range(20)))
    sentence = cuvee(*RANDOM, "--rows", 3).error()
    assert sentence.startswith("5 ids occur more than once in column 'id'")
    Path("two.jsonl").write_text('{"id": "a", "text": "x"}\n' * 2)
    assert "1 id occurs more than once" in cuvee("guard", "two.jsonl").error()
    assert re.findall(r"'(\d)' 4 times, first in pool.jsonl row (\d)", sentence) == [("0", "1"), ("1", "2"), ("2", "3")]
    assert cuvee(*RANDOM, "--rows", 3, "--key", "content").screen()[0].startswith("Kept 3 of 20 rows")


@pytest.mark.parametrize(
    ("budget", "kept"), [(["--tokens", "1B"], 20), (["--rows", "21"], 20), (["--fraction", "100%"], 20)]
)
def test_more_asked_than_there_is(pool: Path, budget: list[str], kept: int) -> None:
    answer = cuvee(*RANDOM, *budget)
    assert answer.screen()[0].startswith(f"Kept {kept} of 20 rows")


def test_less_asked_than_any_row_has(tmp_path: Path, pool: Path) -> None:
    for budget in (["--tokens", "3"], ["--bytes", "10"], ["--fraction", "0.0001"]):
        answer = cuvee(*RANDOM, *budget)
        assert answer.status == 3
        assert "20 alone cost more than the whole budget" in answer.error()
    assert not (tmp_path / "out").exists()


def test_target_is_the_pool(tmp_path: Path, small_pool: Path) -> None:
    for method in ("dsir", "zipfit:mode=pooled", "perplexity", "classifier"):
        answer = cuvee("select", small_pool, "-t", small_pool, "--with", method, "--rows", 100, "-o", "out")
        answer.screen()
        plan = strict((tmp_path / "out/plan.json").read_text())
        assert plan["counts"]["kept"] == 100 and plan["counts"]["target_rows"] == 600


def test_targets_with_bad_rows(tmp_path: Path, small_pool: Path, target: Path) -> None:
    (tmp_path / "t.jsonl").write_text(target.read_text() + "broken\n")
    answer = cuvee("select", small_pool, "-t", "t.jsonl", "--rows", 5, "-o", "out")
    assert answer.status == 3 and "1 of 101 rows of the target cannot be used: t.jsonl:101 bad JSON" in answer.error()
    cuvee("select", small_pool, "-t", "t.jsonl", "--rows", 5, "-o", "out", "--skip-bad").screen()


# what stands where


def test_json_is_alone_on_standard_output(pool: Path) -> None:
    for arguments in (
        ["profile", "pool.jsonl"],
        [*RANDOM, "--rows", "3"],
        [*RANDOM, "--rows", "3", "--no-text"],
        [*SELECT, "--rows", "3", "-t", "pool.jsonl", "--with", "dsir:min_length=100000"],
        [*RANDOM, "--rows", "3", "--plan"],
        ["profile", "pool.jsonl", "--plan"],
        ["write", "out"],
        ["methods"],
        ["methods", "zipfit"],
    ):
        answer = cuvee(*arguments, "--json")
        if answer.status:
            assert not answer.out and answer.error()
        else:
            assert strict(answer.out) and answer.out.endswith("\n") and not answer.err
    answer = cuvee("profile", "none.jsonl", "--json")
    assert answer.status == 3 and answer.error()


def test_no_text_leaves_texts_out(tmp_path: Path, pool: Path) -> None:
    for arguments in (["profile", "pool.jsonl", "-o", "out"], [*RANDOM, "--rows", "3"]):
        shutil.rmtree(tmp_path / "out", ignore_errors=True)
        answer = cuvee(*arguments, "--no-text", "--json")
        assert "a good text with" not in answer.out
        for name, body in contents(tmp_path / "out").items():
            assert b"a good text with" not in body, name


def test_progress_goes_to_standard_error(pool: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Lines.__init__, "__defaults__", (0.0,))
    for arguments in ([*RANDOM, "--rows", "3"], ["write", "out"], ["profile", "pool.jsonl"]):
        loud = cuvee(*arguments)
        assert loud.status == 0 and "MB/s" in loud.err and "MB/s" not in loud.out and " 0 s left" not in loud.err
        for silence in (["--quiet"], ["--json"]):
            shutil.rmtree("out-data", ignore_errors=True)
            assert cuvee(*arguments, *silence).err == ""


def test_lines_of_progress_say_something(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("cuvee.engine.progress.time.monotonic", lambda: now[0])
    lines = Lines(io.StringIO())
    for label, total, seconds, words in (
        ("short", 400_000, 1.0, ""),
        ("slow", 400_000, 12.0, "slow 50%: 0.2 MB at 0.017 MB/s, 12 s left, "),
        ("large", 40_000_000, 0.1, "large 50%: 20 MB at 200 MB/s, "),
    ):
        said = lines.stream = io.StringIO()
        lines.last = now[0]
        now[0] += 60
        lines.begin(label, total)
        said.truncate(said.seek(0))
        lines.started, lines.last = now[0] - seconds, now[0] - 20
        lines.advance(total // 2)
        assert said.getvalue().startswith(words) and bool(said.getvalue()) == bool(words)
        assert " 0 s left" not in said.getvalue()


def on_terminal(*arguments: Any, **environment: str) -> tuple[Answer, bytes]:
    """The answer, and the raw bytes of a command whose standard error is a terminal."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 80))
    command = subprocess.Popen(
        line_of(*arguments), stdout=subprocess.PIPE, stderr=theirs, env={**os.environ, **environment}
    )
    os.close(theirs)
    raw = b""
    with contextlib.suppress(OSError):  # what Linux reports when the last writer has gone
        while part := os.read(ours, 4096):
            raw += part
    os.close(ours)
    out, _ = command.communicate(timeout=60)
    return Answer(command.returncode, out.decode(), ""), raw


def test_a_terminal_gets_a_bar_and_no_colour_on_request(small_pool: Path) -> None:
    answer, raw = on_terminal("profile", small_pool, TERM="xterm-256color")
    answer.screen()
    assert b"MB memory" in raw and b"\r" in raw
    answer, raw = on_terminal("profile", small_pool, TERM="xterm-256color", NO_COLOR="1")
    answer.screen()
    assert not re.search(rb"\x1b\[[0-9;]*3[0-9]", raw)
    answer, raw = on_terminal("profile", small_pool, "--quiet", TERM="xterm-256color")
    assert raw == b"" and answer.status == 0


def test_a_terminal_without_the_characters_of_a_chart(pool: Path) -> None:
    answer = outside(*RANDOM, "--rows", "3", env={**os.environ, "PYTHONIOENCODING": "latin-1"})
    assert answer.status == 0 and "length     p50" in answer.out and "?" in answer.out


def test_screens_of_wild_pools(tmp_path: Path) -> None:
    """Fifty domains, wide and endless names, warnings of every kind: 24 lines of 80 columns."""
    wild = [
        "森" * 90,
        "a" * 300,
        "e\u0301" * 80,
        "\u202eevil",
        "line\nbreak",
        "\x1b[2J",
        "=1+1",
        "<b>",
        "{markup}",
        "[red]x",
    ]
    names = wild + [f"domain {i}" for i in range(40)]
    with (tmp_path / "wild.jsonl").open("w") as stream:
        for at in range(2000):
            text = " ".join(f"{names[at % 50]} word{at % 7 * i}" for i in range(at % 40 + 1))
            stream.write(json.dumps({"id": f"{names[at % 50]} {at}", "domain": names[at % 50], "text": text}) + "\n")
        stream.write("{broken\n[1]\n" * 200 + '{"text": ""}\n{"text": 3, "id": "a"}\n{"text": "\\ud800", "id": "b"}\n')
    (tmp_path / "target.jsonl").write_text(json.dumps({"text": "word0 word1 " * 300}) + "\n")
    assert len(cuvee("profile", "wild.jsonl").screen()) > 10
    for more in (["--with", "random"], ["-t", "target.jsonl"], ["-t", "target.jsonl", "--quota", "uniform"]):
        lines = cuvee("select", "wild.jsonl", "--skip-bad", "--rows", "300", *more).screen()
        assert len(lines) > 10 and "400 bad JSON" not in lines
        assert any(line.startswith("  rejected ") for line in lines)
    cuvee("write", "out/select").screen()
    for name in ("森" * 60, "x y'\"$", "z" * 200):
        (tmp_path / f"{name}.jsonl").write_text(GOOD)
        cuvee("profile", f"{name}.jsonl", "-o", f"out {name}"[:80]).screen()
        cuvee("select", f"{name}.jsonl", "--with", "random", "--rows", 1, "-o", f"kept {name}"[:80]).screen()
        cuvee("select", f"{name}.jsonl", "--with", "random", "--rows", 1, "--plan").screen()


def test_the_printed_commands_can_be_typed(tmp_path: Path, pool: Path) -> None:
    """``next:`` of select, pasted into a shell, writes the documents."""
    answer = cuvee("select", "pool.jsonl", "--with", "random", "--rows", 3, "-o", "kept it's $HOME")
    told = answer.out[answer.out.index("next: ") + 6 : answer.out.index("report: ")]
    script = f'cuvee() {{ {" ".join(line_of())} "$@"; }}; {told}'
    subprocess.run(["sh", "-c", script], check=True, capture_output=True)
    assert (tmp_path / "kept it's $HOME-data" / "part-00000.parquet").exists()


def test_names_that_a_shell_or_a_command_would_misread(tmp_path: Path) -> None:
    """``next:`` of profile, its placeholder filled in, runs; whatever the pool's name."""
    for name in ("-dash.jsonl", "two\nlines \x1b[31m.jsonl", "it's\t\\.jsonl", "\u202eé.jsonl"):
        (tmp_path / name).write_text(GOOD.replace("a good text", "a good text " * 9))
        answer = cuvee("profile", "-o", "out/profile", "--", name)
        lines = answer.screen()
        told = answer.out[answer.out.index("next: ") + 6 : answer.out.index("report: ")]
        assert name.isprintable() or "$'" in told, lines
        told = told.strip().replace("FILE", shell_path(name))
        script = f'cuvee() {{ {" ".join(line_of())} "$@"; }}; {told} --quiet -o kept'
        subprocess.run(["bash", "-c", script], check=True, capture_output=True)
    np.save("emb.npy", np.random.default_rng(0).normal(size=(50, 4)).astype(np.float32))
    assert "next: cuvee select emb.npy --rows 5" in cuvee("profile", "emb.npy").screen()
    assert cuvee("select", "emb.npy", "--rows", "5").status == 0


def test_a_cache_that_cannot_be_made(pool: Path) -> None:
    for arguments in ([*RANDOM, "--rows", "1"], ["profile", "pool.jsonl"], ["write", "out"]):
        answer = cuvee(*arguments, "--cache", "/proc/x")
        assert answer.status == 4 and "/proc/x" in answer.error() and "another with --cache" in answer.error()


def test_write_says_how_much(pool: Path) -> None:
    assert cuvee(*RANDOM, "--rows", "1").status == 0
    found = strict(cuvee("write", "out", "--format", "JSONL", "--json").out)
    said = cuvee("write", "out", "--format", "jsonl", "-o", "w").screen()[0]
    assert found["tokens"] > 9
    assert said == f"Wrote 1 document ({found['tokens']} tokens, {found['bytes']} B on disk) in 1 file to w"


# plans and limits


def test_a_plan_touches_nothing(tmp_path: Path, pool: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = contents(tmp_path)

    def refuse(*_: Any, **__: Any) -> Any:
        raise AssertionError("a plan scores nothing and writes nothing")

    monkeypatch.setattr("cuvee.engine.manifest.Manifest.read", refuse)
    monkeypatch.setattr("cuvee.engine.files.whole_folder", refuse)
    for arguments in (
        [*RANDOM, "--rows", "3"],
        [*SELECT, "--rows", "3", "-t", "pool.jsonl"],
        ["profile", "pool.jsonl"],
    ):
        lines = cuvee(*arguments, "--plan").screen()
        assert any(line.startswith("reads      1 file, 20 rows") for line in lines)
        assert any(line.startswith("writes ") for line in lines)
    assert contents(tmp_path) == before
    targeted = [*SELECT, "--rows", "3", "-t", "pool.jsonl", "--with"]
    lines = cuvee(*targeted, "zipfit:level=3", "--choose", "gumbel:temperature=2", "--plan").screen()
    plan = " ".join(" ".join(lines).split())
    assert "for reading and n-grams; zipfit: exact: one compression per row and target text" in plan
    assert "target 1 file, 20 rows (pool.jsonl)" in plan and "method zipfit: " in plan and "level=3" in plan
    assert "rule gumbel: temperature=2.0; two or three passes" in plan and "{" not in plan
    assert "quota uniform" in " ".join(cuvee(*RANDOM, "--rows", "3", "--quota", "uniform", "--plan").out.split())
    for wrong, words in (
        ([*SELECT, "--rows", "3", "-t", "missing.jsonl"], "missing.jsonl: no such file"),
        ([*RANDOM, "--rows", "3", "--quota", "news=1"], "No domain is called 'news': the pool has no domain column"),
        ([*RANDOM, "--rows", "3", "-o", "pool.jsonl"], "pool.jsonl is a file"),
    ):
        assert words in cuvee(*wrong, "--plan").error()
    np.save("x.npy", np.zeros((5, 2), np.float32))
    for wrong, words in (
        (["--tokens", "3", "--with", "random"], "--rows"),
        (["--rows", "3", "--with", "perplexity"], "needs texts"),
    ):
        assert words in cuvee("select", "x.npy", *wrong, "--plan").error()
    assert "is called 'nope'" in cuvee(*SELECT, "--rows", "3", "--with", "nope", "--plan").error()


def test_memory(pool: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = cuvee(*RANDOM, "--rows", "3", "--memory", "100MB")
    assert answer.status == 4 and "--memory 100 MB is too little: one worker takes about" in answer.error()
    seen: list[int] = []
    monkeypatch.setattr("cuvee.selecting.Local", lambda workers: seen.append(workers) or _Local(workers))
    from cuvee.engine.local import Local as _Local

    for more in ([], ["--memory", "700MB"], ["--memory", "800MB"], ["--memory", "100GB"]):
        assert cuvee(*RANDOM, "--rows", "3", "--workers", "7", *more).status == 0
    assert seen == [7, 1, 2, 7]


def test_gpus_are_those_of_a_cluster(pool: Path) -> None:
    """They would be asked of nobody."""
    answer = cuvee("prove", "kept", "--eval", "pool.jsonl", "--gpus", "1")
    assert answer.status == 2 and "--on ray" in answer.error()


@pytest.mark.parametrize("cache", ["", "s3://bucket/cache", "GS://bucket/cache"])
def test_a_cache_is_a_folder(pool: Path, cache: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before = sorted(Path().iterdir())
    for arguments in (["profile", "pool.jsonl"], ["write", "kept"], ["cache", "--clear"], ["prove", "kept"]):
        answer = cuvee(*arguments, "--cache", cache)
        assert answer.status == 2 and "with --cache" in answer.error(), arguments
    if cache:
        monkeypatch.setenv("CUVEE_CACHE", cache)
        answer = cuvee("profile", "pool.jsonl")
        assert answer.status == 2 and "with --cache" in answer.error()
    assert sorted(Path().iterdir()) == before


def test_the_cache_command_leaves_foreign_files_alone(tmp_path: Path, pool: Path) -> None:
    for name in ("ab/notes.txt", "cd/e.arrow", "ab/" + "0" * 37 + "x.arrow", "go/main.go"):
        (tmp_path / "home" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "home" / name).write_text("precious")
    before = contents(tmp_path / "home")
    assert cuvee("cache", "--cache", "home").out == "0.0 MB in home\n"
    cuvee("profile", "pool.jsonl", "--cache", "home", "-o", "out").screen()
    assert len(contents(tmp_path / "home")) > len(before)
    assert cuvee("cache", "--clear", "--cache", "home").status == 0
    left = contents(tmp_path / "home")
    left.pop(".in-use")
    assert left == before


def test_help_and_version() -> None:
    assert cuvee("--version").out.startswith("cuvee, version ")
    for verb in ([], ["profile"], ["select"], ["guard"], ["write"], ["prove"], ["methods"], ["cache"], ["demo"]):
        answer = cuvee(*verb, "--help")
        assert answer.status == 0 and answer.out.startswith("Usage: ") and not answer.err
    commands = cuvee("--help").out.split("Commands:")[1]
    assert commands.count("\n") == 1 + len(cli.cli.commands) and "..." not in commands
