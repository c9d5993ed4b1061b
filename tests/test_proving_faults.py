"""What befalls ``cuvee prove``: kills, interrupts, rivals, full disks, lost files, hostile input. As users meet it."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cuvee.core import Batch, Policy
from cuvee.engine import files
from cuvee.proof import overlap, places, question, sweep
from cuvee.proof.proxies.ngram import Ngram
from cuvee.proof.proxy import Evaluation, Outcome, Watch

from .command import Answer, Quick, answer_of, contents, cuvee, inside, process
from .reliability import leftovers, table
from .test_faults import Faulty, flip, gone, until

ROOT = Path(__file__).parents[1]
PROXY = "ngram:table_bits=16,order=3"
PROVE = ["prove", "kept", "--eval", "held.jsonl", "--proxy", PROXY, "--against", "length_matched", "--ledger", "ledger"]
QUICK = [*PROVE, "--seeds", "2", "--workers", "1", "-o", "out"]


def lines(rows: Sequence[Any]) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


@pytest.fixture(scope="module")
def furnished(tmp_path_factory: pytest.TempPathFactory, demo_table: pa.Table) -> Path:
    """A pool of 400 short documents, 60 held-out ones, two selections, and a proof with its ledger."""
    folder = tmp_path_factory.mktemp("furnished")
    picks = np.random.default_rng(0).permutation(demo_table.num_rows)[:460]
    rows = [{**row, "text": row["text"][:800]} for row in demo_table.take(picks).to_pylist()]
    with inside(folder):
        pq.write_table(pa.Table.from_pylist(rows[:400]), "pool.parquet", row_group_size=90)
        Path("held.jsonl").write_bytes(lines(rows[400:]))
        for name, count in (("kept", "100"), ("one", "1")):
            command = ("select", "pool.parquet", "--with", "random", "--rows", count, "-o", name, "--cache", "cache")
            assert cuvee(*command).status == 0
        assert cuvee(*QUICK, "--cache", "cache").status == 0
    return folder


@pytest.fixture(autouse=True)
def place(tmp_path: Path, furnished: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of the furnished folder to work in; its proof's ledger is ``ledger``."""
    here = tmp_path / "here"
    shutil.copytree(furnished, here, ignore=shutil.ignore_patterns("pool.parquet"))
    for name in ("kept", "one"):
        assert str(furnished) in (here / name / "plan.json").read_text(), "the pool stays where it was"
    monkeypatch.setenv("CUVEE_CACHE", "cache")
    with inside(here):
        yield here


def proof(folder: str = "out") -> Any:
    """What a proof says, but for the time that it took and the command."""
    found = table(json.loads((Path(folder) / "proof.json").read_text()))
    assert (Path(folder) / "report.html").read_text().rstrip().endswith("</html>")
    found["reproduce"].pop("command")
    found.pop("next")  # which may be the command with more seeds
    return found


def trials(ledger: str = "ledger") -> dict[str, int]:
    """Finished trials and when they were written."""
    return {path.name: path.stat().st_mtime_ns for path in Path(ledger).glob("trials/*/[0-9a-f]*.parquet")}


def below(pid: int) -> list[int]:
    """A process's children."""
    found = [Path(f"/proc/{pid}/task/{task.name}/children") for task in Path(f"/proc/{pid}/task").iterdir()]
    return [int(one) for path in found for one in path.read_text().split()]


# kills and interrupts


@dataclass
class Running:
    """A command in the midst of its trials."""

    process: subprocess.Popen[bytes]
    child: int
    workers: list[int]

    def ended(self) -> bool:
        return all(map(gone, [self.process.pid, self.child, *self.workers]))


def started(command: list[str], trials_more: int) -> Running:
    """Start a command; return when it has workers and some more trials are in the ledger."""
    before, running = len(trials()), process(*command)
    (child,) = until(lambda: below(running.pid))
    workers = until(lambda: below(child))
    until(lambda: running.poll() is not None or len(trials()) >= before + trials_more)
    assert running.poll() is None, running.communicate()
    return Running(running, child, below(child) or workers)


def test_a_sweep_of_twenty_trials_survives_every_kill(place: Path) -> None:
    """The group, the parent, the child, Ctrl-C, a worker: finished trials stay, nothing runs on, the table is right."""
    command = [*PROVE, "--seeds", "10", "--workers", "2", "-o", "swept"]
    shutil.rmtree("ledger")
    assert answer_of(process(*command, "-o", "whole")).status == 0
    shutil.rmtree("ledger")
    before: dict[str, int] = {}
    kills: list[tuple[Callable[[Running], object], int, int]] = [
        (lambda one: os.killpg(one.process.pid, signal.SIGKILL), 3, -signal.SIGKILL),
        (lambda one: os.kill(one.process.pid, signal.SIGKILL), 3, -signal.SIGKILL),
        (lambda one: os.kill(one.child, signal.SIGKILL), 3, 128 + signal.SIGKILL),
        (lambda one: os.killpg(one.process.pid, signal.SIGINT), 3, 130),
        (lambda one: os.kill(one.workers[0], signal.SIGKILL), 0, 0),
    ]
    for kill, more, status in kills:
        running = started(command, more)
        kill(running)
        answer = answer_of(running.process)
        answer.harmless()
        assert answer.status == status, answer
        if status == 130:
            assert answer.err.splitlines()[-1].endswith("Go on with: cuvee " + " ".join(command)), answer
        until(running.ended, 10)
        assert before.items() <= trials().items(), "finished trials stay untouched"
        before = trials()
        assert Path("swept").exists() == (status == 0)
        assert len(list(Path("ledger/running").iterdir())) <= 4, "two trials, each with a lock"
    assert re.search("seed [0-9]+ was killed .SIGKILL.*It is run once more", answer.err), answer
    assert len(before) == 20
    assert proof("swept") == proof("whole")
    assert leftovers(place) == [] and not list(Path("ledger/running").iterdir())


# rivals


class Logged(Ngram):
    """An n-gram proxy that takes its time, and whose workers write down what they begin."""

    seedless: ClassVar[bool] = False

    def train(
        self, data: Batch, evaluations: Sequence[Evaluation], policy: Policy, epochs: float, seed: int, watch: Watch
    ) -> Outcome:
        if watch.checkpoint is not None:
            with Path("log").open("a") as log:
                log.write(f"{seed}\n")
            time.sleep(0.1)
        return super().train(data, evaluations, policy, epochs, seed, watch)


def test_two_proofs_share_a_ledger_and_a_cache(place: Path) -> None:
    shutil.rmtree("ledger")
    shutil.rmtree("cache")
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from cuvee import cli; from cuvee.proof import question; "
    code += "from tests.test_proving_faults import Logged; question.load_proxy = lambda *_: Logged(3, 16); cli.main()"
    command = [*PROVE, "--seeds", "6", "--workers", "1"]
    given: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "start_new_session": True}
    rivals = [
        subprocess.Popen([sys.executable, "-c", code, *command, "-o", f"rival{number}"], **given) for number in range(2)
    ]
    until(lambda: Path(".rival0.lock").exists() or rivals[0].poll() is not None)
    owner = until(lambda: re.search(r"process (\d+)", Path(".rival0.lock").read_text()))[1]
    refused = cuvee(*command, "-o", "rival0")
    assert refused.status == 5
    assert f"/rival0 is being written by process {owner} on " in refused.error()
    answers = [answer_of(one) for one in rivals]
    assert [answer.status for answer in answers] == [0, 0], answers
    assert proof("rival0") == proof("rival1")
    seeds = sorted(map(int, Path("log").read_text().splitlines()))
    assert seeds == sorted([*range(6)] * 2), "no trial is lost, none is run twice"
    assert len(trials()) == 12
    assert leftovers(place) == [] and not list(Path("ledger/running").iterdir())


# disks


class Full(Ngram):
    """An n-gram proxy whose worker finds the disk full once, where a file says so."""

    seedless: ClassVar[bool] = False

    def train(
        self, data: Batch, evaluations: Sequence[Evaluation], policy: Policy, epochs: float, seed: int, watch: Watch
    ) -> Outcome:
        files.system = Faulty("write", 1, True) if Path("full").exists() and seed == 1 else Quick()
        return super().train(data, evaluations, policy, epochs, seed, watch)


def test_a_disk_full_while_a_trial_is_written(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(question, "load_proxy", lambda *_: Full(order=3, table_bits=16))
    before, ledger = contents(place / "out"), trials()
    Path("full").touch()
    answer = cuvee(*QUICK, "--quiet")
    assert answer.status == 4
    assert "No space left while writing" in answer.error() and "run the same command again" in answer.error()
    assert "ledger/trials/" in answer.error()
    assert contents(place / "out") == before and leftovers(place) == []
    kept = trials()
    assert len(kept) == len(ledger) + 2, "both trials of the first seed"
    Path("full").unlink()
    assert cuvee(*QUICK, "--quiet").status == 0
    assert kept.items() <= trials().items() and len(trials()) == len(ledger) + 4
    assert leftovers(place) == []


@pytest.mark.parametrize("kind", ["write", "sync", "rename"])
def test_every_fault_of_the_parent_leaves_the_old_proof(
    place: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    right, before, ledger = proof(), contents(place / "out"), trials()
    for k in range(1, 100, 1 if kind == "sync" else 3):
        faulty = Faulty(kind, k, False)
        monkeypatch.setattr(files, "system", faulty)
        shutil.rmtree("ledger/consulted", ignore_errors=True)
        answer = cuvee(*QUICK, "--cache", f"cache{k}", "--quiet")
        if faulty.calls < k:
            break
        assert answer.status == 4 and "No space left while writing" in answer.error(), (kind, k, answer)
        left = [name for name in leftovers(place) if not name.startswith("cache")]
        assert contents(place / "out") == before and left == [], (kind, k)
        shutil.rmtree(f"cache{k}", ignore_errors=True)
    assert answer.status == 0 and k > 2 and proof() == right
    assert trials() == ledger


# what is lost or damaged


def never(*_: Any, **__: Any) -> None:
    raise AssertionError("a worker was started")


def test_a_deleted_cache_costs_no_trial(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    right = proof()
    shutil.rmtree("cache")
    monkeypatch.setattr("cuvee.proof.crew.Worker", never)
    assert cuvee(*QUICK).status == 0
    assert proof() == right


@pytest.mark.parametrize(("at", "status"), [("before the trials", 3), ("before the workers", 3), ("before all", 4)])
def test_a_cache_that_vanishes_meanwhile(place: Path, monkeypatch: pytest.MonkeyPatch, at: str, status: int) -> None:
    right = proof()
    shutil.rmtree("ledger")
    owner, name = {
        "before the trials": (places, "run_trials"),
        "before the workers": (sweep.Sweep, "run"),
        "before all": (overlap, "find"),
    }[at]
    really = getattr(owner, name)

    def first(*given: Any, **more: Any) -> Any:
        shutil.rmtree("cache")
        return really(*given, **more)

    monkeypatch.setattr(owner, name, first)
    answer = cuvee(*QUICK, "--quiet")
    assert answer.status == status
    assert "cache" in answer.error() and "Run the same command again" in answer.error()
    monkeypatch.undo()
    monkeypatch.setenv("CUVEE_CACHE", "cache")
    if at == "before the workers":
        assert cuvee(*QUICK).status == 0 and proof() == right


def test_a_flipped_bit_of_the_ledger_is_named_and_its_trial_run_again(place: Path) -> None:
    right, luck = proof(), random.Random(5)
    path = next(Path("ledger/trials").glob("*/*.parquet"))
    sound, others = path.read_bytes(), trials()
    flip(path, luck)
    answer = cuvee(*QUICK)
    assert answer.status == 0 and proof() == right
    assert f"{path} is damaged" in answer.err and "its trial is run again" in answer.err
    assert path.read_bytes() != sound, "the time that it took is another"
    changed = {name for name, when in trials().items() if others[name] != when}
    assert changed == {path.name}


@pytest.mark.parametrize(
    ("ledger", "status", "words"),
    [
        ("held.jsonl", 2, "The ledger held.jsonl is no folder. Name another with --ledger"),
        ("held.jsonl/below", 2, "The ledger held.jsonl/below is no folder"),
        ("newer", 2, "newer/ledger.json was written by a newer cuvee (ledger format 99"),
        ("junk", 3, "junk/ledger.json does not tell the ledger's format"),
        ("blocked", 4, "The ledger blocked cannot be written"),
        ("out", 2, "The ledger out lies in the output out"),
        ("out/ledger", 2, "its trials would be lost. Name another folder with --ledger, or with -o"),
    ],
)
def test_ledgers_that_cannot_be_used(place: Path, ledger: str, status: int, words: str) -> None:
    for name, content in (("newer", b'{"format": 99}'), ("junk", b"junk")):
        Path(name).mkdir()
        (Path(name) / "ledger.json").write_bytes(content)
    Path("blocked").mkdir()
    Path("blocked/running").touch()
    before = contents(place)
    command = [one if one != "ledger" else ledger for one in QUICK]
    answer = cuvee(*command, "--quiet")
    assert answer.status == status and words in answer.error()
    changed = {name for name, body in contents(place).items() if before.get(name) != body}
    assert not [name for name in changed if not name.startswith("cache/")], changed


# input


HELD = b'{"text": "some words that are held out, number %d"}\n'
EVALUATIONS: dict[str, tuple[bytes, int, str]] = {
    "empty.jsonl": (b"", 3, "empty.jsonl: is empty"),
    "junk.jsonl": (random.Random(1).randbytes(4000), 3, "junk.jsonl: no column looks like the text"),
    "junk.parquet": (b"PAR1" + random.Random(2).randbytes(4000) + b"PAR1", 3, "junk.parquet: cannot be read"),
    "junk": (random.Random(3).randbytes(4000), 3, "junk: is of no known format"),
    "nul.jsonl": (b"\0" * 999, 3, "nul.jsonl: no column looks like the text"),
    "utf8.jsonl": (HELD % 1 + b'{"text": "\xc3\x28"}\n' * 9, 3, "9 more cannot be used: utf8.jsonl:2 bad UTF-8"),
    "column.jsonl": (b'{"number": 5}\n' * 9, 3, "column.jsonl"),
    "copies.jsonl": (HELD % 1 * 50, 3, "'copies' has 1 different usable examples; at least 5 are needed"),
    "huge.jsonl": (
        b"".join(HELD % i for i in range(9)) + b'{"text": "' + b"many words " * 900_000 + b'"}\n',
        3,
        "Leave out very long documents, or allow more with --eval-bytes",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", EVALUATIONS)
def test_evaluation_files_that_no_reader_can_use(place: Path, name: str) -> None:
    content, status, words = EVALUATIONS[name]
    Path(name).write_bytes(content)
    before = contents(place / "out")
    answer = cuvee(*(one if one != "held.jsonl" else name for one in QUICK), "--eval-bytes", "100kB")
    assert answer.status == status and words in answer.error()
    assert contents(place / "out") == before and leftovers(place) == []


def test_evaluation_files_that_are_not_there(place: Path) -> None:
    Path("nothing").mkdir()
    for given, words in (
        ("none.jsonl", "none.jsonl: no such file or folder"),
        ("a=none.jsonl", "none.jsonl: no such file or folder"),
        ("x" * 300 + "=none.jsonl", "none.jsonl: no such file or folder"),
        ("x" * 300, "no such file or folder"),
        ("nothing", "nothing: holds no data"),
        ("kept", "kept: is a cuvee selection, not data"),
        ("=held.jsonl", "has no name"),
        (" =held.jsonl", "has no name"),
    ):
        answer = cuvee(*(one if one != "held.jsonl" else given for one in QUICK))
        assert answer.status in (2, 3) and words in answer.error(), answer
    shutil.copy("held.jsonl", "a=b.jsonl")
    assert cuvee(*(one if one != "held.jsonl" else "a=b.jsonl" for one in QUICK), "--plan").status == 0
    assert "Two evaluation sets are called 'held'" in cuvee(*QUICK, "--eval", "held.jsonl").error()


def test_rows_that_cannot_be_used_and_copies_are_told(place: Path) -> None:
    text = "nul \0 and an escape \x1b[2J <b>&"
    same = lines([{"id": f"same {i}", "domain": "x", "text": text} for i in range(3)])
    Path("some.jsonl").write_bytes(Path("held.jsonl").read_bytes() + same + b'{"text": "\xc3\x28"}\n' * 2)
    command = [one if one != "held.jsonl" else "some.jsonl" for one in QUICK]
    refused = cuvee(*command)
    assert (
        refused.status == 3 and "2 examples of the evaluation set 'some' cannot be used: some.jsonl:" in refused.error()
    )
    answer = cuvee(*command, "--skip-bad", "--json")
    answer.harmless()
    warnings = json.loads(answer.out)["warnings"]
    assert any("2 examples of the evaluation set 'some' could not be used" in one for one in warnings)
    assert any("2 of the 63 documents of the evaluation set 'some' are copies" in one for one in warnings)


@pytest.mark.parametrize("name", ["\x1b[31mred\x1b[0m\n<script>x()</script>", "a=b", "é漢字\u202e" + "x" * 90])
def test_names_that_are_not_harmless(place: Path, name: str) -> None:
    """As the file's name, the selection's and a domain: neither screen nor JSON nor report takes them as they are."""
    plain = name.replace("/", "")
    rows = [json.loads(line) for line in Path("held.jsonl").read_bytes().splitlines()]
    Path(f"{plain}.jsonl").write_bytes(
        lines([{"text": row["text"], "domain": name + str(at % 2)} for at, row in enumerate(rows)])
    )
    Path("kept").rename(plain)
    asked = ["prove", plain, "--proxy", PROXY, "--against", "length_matched", "--ledger", "ledger", "--seeds", "2"]
    answer = cuvee(*asked, "--eval", f"{plain}.jsonl", "-o", "out", "--workers", "1")
    answer.screen()
    assert "\x1b" not in answer.err
    page = (place / "out" / "report.html").read_text()
    assert "<script" not in page and "\x1b" not in page and "\u202e" not in page
    again = cuvee(*asked, "--eval", f"{plain}.jsonl", "-o", "out", "--workers", "1", "--json")
    assert json.loads(again.out)["evaluations"][0]["name"] == plain and again.out.isascii()


def test_selections_that_cannot_be_proved(place: Path, furnished: Path) -> None:
    def refused(selection: str, *more: str) -> Answer:
        return cuvee("prove", selection, *QUICK[2:], *more)

    assert (refused("none").status, "There is no selection in none" in refused("none").error()) == (2, True)
    short = refused("one")
    assert short.status == 3 and "no document of 'one' fits into it" in short.error()
    plan = json.loads(Path("one/plan.json").read_text())
    Path("one/plan.json").write_text(json.dumps({**plan, "format": 99}))
    newer = refused("one")
    assert newer.status == 3 and "was made by a newer cuvee" in newer.error()
    flip(Path("one/plan.json"), random.Random(1))
    shutil.copytree("kept", "damaged")
    flip(Path("damaged/selection.parquet"), random.Random(1))
    damaged = refused("damaged")
    assert damaged.status == 3 and "damaged/selection.parquet is damaged" in damaged.error()
    for change, words in ((Path.unlink, "no such file"), (Path.touch, "has changed since the selection was made")):
        shutil.copy(furnished / "pool.parquet", "mine.parquet")
        assert cuvee("select", "mine.parquet", "--with", "random", "--rows", "50", "-o", "mine").status == 0
        time.sleep(0.01)
        change(Path("mine.parquet"))
        answer = refused("mine")
        assert answer.status == 3 and words in answer.error() and "mine.parquet" in answer.error()
    assert proof()


def test_proxies_that_do_not_suit_the_pool(place: Path) -> None:
    chance = np.random.default_rng(0)
    for name, rows in (("pool", 300), ("held", 40)):
        vectors = chance.normal(size=(rows, 6)).astype(np.float32)
        np.savez(f"{name}.npz", embeddings=vectors, labels=(vectors[:, 0] > 0).astype(np.int64))
        np.save(f"{name}.npy", vectors)
    for pool in ("pool.npy", "pool.npz"):
        assert cuvee("select", pool, "--with", "random", "--rows", "100", "-o", f"kept-{pool[5:]}").status == 0
    common = ["--against", "length_matched", "--seeds", "2", "--ledger", "ledger", "-o", "vectors", "--workers", "1"]
    for proxy, pool, held, words in (
        (PROXY, "npy", "held.npy", "The proxy ngram needs a column for text, which the selection's pool does not have"),
        ("mlp", "npy", "held.npy", "needs labels"),
        ("mlp", "npz", "held.npy", "needs labels"),
        ("mlp", "npz", "held.jsonl", "must all have embeddings, or none"),
    ):
        answer = cuvee("prove", f"kept-{pool}", "--eval", held, "--proxy", proxy, *common)
        assert answer.status in (2, 3) and words in answer.error(), answer
    cuvee("prove", "kept-npz", "--eval", "held.npz", "--proxy", "linear_probe", *common).screen()
    cuvee("prove", "kept", "--eval", "held.jsonl", "--proxy", "linear_probe", *common).screen()


def test_a_plan_writes_nothing(place: Path) -> None:
    before = contents(place)
    folders = {path for path in place.rglob("*") if path.is_dir()}
    for more in ([], ["--equal", "cost"], ["--holdout"]):
        asked = [one if one not in ("ledger", "out") else f"new/{one}" for one in QUICK]
        answer = cuvee(*asked, "--plan", *more)
        assert "4 trials" in answer.screen()[0]
        assert json.loads(cuvee(*asked, "--plan", "--json", *more).out)["ledger"] == "new/ledger"
    after = {name: body for name, body in contents(place).items() if not name.startswith("cache/")}
    assert after == {name: body for name, body in before.items() if not name.startswith("cache/")}
    new = {path for path in place.rglob("*") if path.is_dir()} - folders
    assert not [path for path in new if path.parent != place / "cache"]


def test_json_holds_no_nan(place: Path) -> None:
    answer = cuvee(*QUICK, "--json")
    answer.harmless()
    assert json.loads(answer.out, parse_constant=lambda name: pytest.fail(name)) and answer.err == ""
    text = Path("out/proof.json").read_text()
    assert json.loads(text, parse_constant=lambda name: pytest.fail(name))
