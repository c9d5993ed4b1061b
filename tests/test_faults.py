"""What befalls a run from outside: failing disks, flipped bits, rivals, signals, crashes. Nothing lost in silence."""

from __future__ import annotations

import errno
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import cuvee as jobs
from cuvee import Reading
from cuvee.engine import files
from cuvee.engine.local import Local
from cuvee.errors import DataError

from .command import Quick, answer_of, contents, cuvee, inside, outside, process

TARGET = Path(__file__).parents[1] / "src" / "cuvee" / "demo" / "target.jsonl"
SELECT = ["select", "pool.jsonl", "--target", TARGET, "--with", "zipfit:mode=pooled", "--rows", "7", "-o", "out"]


@pytest.fixture(autouse=True)
def place(tmp_path: Path) -> Iterator[Path]:
    """A working folder with a pool of 40 rows, two of them bad."""
    with inside(tmp_path):
        rows = [
            {"id": f"d{i}", "text": f"document number {i} about " + "storage and queries " * (i % 7 + 1)}
            for i in range(40)
        ]
        rows[11]["text"] = rows[23]["text"] = ""
        Path("pool.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        yield tmp_path


def digest(folder: str = "out") -> str:
    return str(json.loads((Path(folder) / "plan.json").read_text())["reproduce"]["digest"])


def leftovers(folder: Path) -> list[str]:
    """What only a running command may have lying about."""
    return [path.name for path in folder.rglob(".*") if path.name != ".in-use"]


class Faulty(Quick):
    """Fails at the k-th call of one kind, or from then on."""

    def __init__(self, kind: str, k: int, lasting: bool, code: int = errno.ENOSPC) -> None:
        self.kind, self.k, self.lasting, self.code, self.calls = kind, k, lasting, code, 0

    def _count(self, kind: str) -> None:
        if kind == self.kind:
            self.calls += 1
            if self.calls == self.k or (self.lasting and self.calls > self.k):
                raise OSError(self.code, os.strerror(self.code))

    def write(self, stream: IO[bytes], data: bytes | memoryview) -> None:
        self._count("write")
        super().write(stream, data)

    def sync(self, stream: IO[bytes]) -> None:
        self._count("sync")
        super().sync(stream)

    def rename(self, source: Path, target: Path) -> None:
        self._count("rename")
        super().rename(source, target)


@pytest.mark.parametrize("lasting", [False, True], ids=["once", "from then on"])
@pytest.mark.parametrize("kind", ["write", "sync", "rename"])
@pytest.mark.parametrize(
    "command", [[*SELECT, "--skip-bad"], ["profile", "pool.jsonl", "-o", "out"]], ids=["select", "profile"]
)
def test_every_fault_leaves_the_old_output(
    place: Path, monkeypatch: pytest.MonkeyPatch, command: list[Any], kind: str, lasting: bool
) -> None:
    monkeypatch.setattr(files, "system", Quick())
    assert cuvee(*command, "--cache", "right").status == 0
    right = (Path("out") / ("plan.json" if command[0] == "select" else "profile.json")).read_bytes()
    assert cuvee(*(arg if arg != "7" else "3" for arg in command), "--cache", "right", "--no-text").status == 0
    before = contents(place / "out")
    for k in range(1, 1000, 7 if lasting else 1):
        faulty = Faulty(kind, k, lasting)
        monkeypatch.setattr(files, "system", faulty)
        answer = cuvee(*command, "--cache", f"cache{k}", "--quiet")
        if answer.status == 0:
            assert faulty.calls < k, f"{kind} {k} failed in silence"
            break
        assert answer.status == 4
        sentence = answer.error()
        assert "No space left while writing" in sentence and "bytes are free" in sentence, sentence
        assert "run the same command again" in sentence
        assert contents(place / "out") == before
        assert leftovers(place) == [], (kind, k)
        if k % 15 == 0:  # the disk has room again
            monkeypatch.setattr(files, "system", Quick())
            assert cuvee(*command, "--cache", f"cache{k}").status == 0
            again = (Path("out") / ("plan.json" if command[0] == "select" else "profile.json")).read_bytes()
            assert same(json.loads(again), json.loads(right))
            shutil.rmtree("out")
            for name, body in before.items():
                (place / "out" / name).parent.mkdir(exist_ok=True)
                (place / "out" / name).write_bytes(body)
        shutil.rmtree(f"cache{k}", ignore_errors=True)
    else:
        raise AssertionError(f"{kind} never stopped failing")
    assert k > (2 if kind == "sync" else 8), "the faults reached all of it"


def same(one: Any, other: Any) -> bool:
    """Equal, but for the command, the time that it took and what it found in the cache."""
    for summary in (one, other):
        summary.pop("seal", None)
        for name in ("timings", "command", "passes"):
            summary["reproduce"].pop(name)
    return bool(one == other)


@pytest.mark.parametrize(
    ("code", "words"),
    [(errno.EIO, "Input/output error. Earlier results are untouched"), (errno.EROFS, "Choose another place")],
)
def test_other_faults_are_told(monkeypatch: pytest.MonkeyPatch, code: int, words: str) -> None:
    monkeypatch.setattr(files, "system", Faulty("rename", 1, True, code))
    answer = cuvee(*SELECT, "--skip-bad")
    assert answer.status == 4 and words in answer.error() and not Path("out").exists()


def test_a_full_disk(place: Path) -> None:
    """On a real filesystem of 256 kB, mounted where the tests may do that."""
    small = place / "small"
    small.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", small], capture_output=True)
    if mounted.returncode:
        pytest.skip("mounting a small filesystem is not allowed here")
    try:
        command = [*SELECT[:-1], "small/out", "--skip-bad", "--cache", "cache"]
        assert cuvee(*command).status == 0
        before, right = contents(small), digest("small/out")
        (small / "ballast").write_bytes(b"x" * (os.statvfs(small).f_bavail * os.statvfs(small).f_frsize))
        answer = cuvee(*command)
        assert answer.status == 4 and "0 bytes are free" in answer.error()
        assert {name: body for name, body in contents(small).items() if name != "ballast"} == before
        assert leftovers(small) == []
        (small / "ballast").unlink()
        assert cuvee(*command).status == 0 and digest("small/out") == right
    finally:
        subprocess.run(["umount", "-l", small], check=True)


@pytest.mark.parametrize("where", ["-o", "--cache"])
def test_places_that_cannot_be_written(place: Path, where: str) -> None:
    (place / "file").write_text("mine")
    for verb in (["profile", "pool.jsonl"], [*SELECT, "--skip-bad"]):
        answer = cuvee(*verb, where, "file/below")
        assert answer.status == 4
        assert "Cannot write" in answer.error() and "Choose another place with -o or --cache" in answer.error()
    assert cuvee(*SELECT, "--skip-bad").status == 0
    assert cuvee("write", "out", where, "file/below").status == 4
    assert (place / "file").read_text() == "mine" and not leftovers(place)


# flipped bits


def flip(path: Path, luck: random.Random) -> bytes:
    """Change one bit of a file; return what it held."""
    sound = path.read_bytes()
    hurt = bytearray(sound)
    hurt[luck.randrange(len(hurt))] ^= 1 << luck.randrange(8)
    path.write_bytes(hurt)
    return sound


def held_in(raw: bytes) -> tuple[Any, Any]:
    """A stored file's table and its note, without the seconds that it took."""
    table = pa.ipc.open_stream(raw[:-32]).read_all()
    note = json.loads(table.schema.metadata[b"note"])
    for one in (note, note.get("note", {})):
        one.pop("seconds", None)
    return table.replace_schema_metadata(None), note


def test_no_flipped_bit_of_the_cache_reaches_a_result(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "system", Quick())
    command = [*SELECT, "--skip-bad", "--cache", "cache", "--quiet"]
    assert cuvee(*command).status == 0
    right = digest()
    luck = random.Random(1)
    stored = sorted((place / "cache").glob("??/*"))
    assert len(stored) > 8
    for path in stored:
        sound = flip(path, luck)
        assert cuvee(*command).status == 0 and digest() == right
        assert held_in(path.read_bytes()) == held_in(sound), "a damaged file is computed again"
    for path in stored:
        flip(path, luck)
    assert cuvee(*command).status == 0 and digest() == right


def test_no_flipped_bit_of_a_selection_is_written(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A flip in selection.parquet is refused, and so is one in plan.json (but for white space and such)."""
    monkeypatch.setattr(files, "system", Quick())
    assert cuvee(*SELECT, "--skip-bad").status == 0
    luck = random.Random(2)
    for _ in range(100):
        sound = flip(Path("out/selection.parquet"), luck)
        answer = cuvee("write", "out", "-o", "w")
        assert answer.status == 3 and "is damaged" in answer.error()
        Path("out/selection.parquet").write_bytes(sound)
    assert cuvee("write", "out", "-o", "w").status == 0
    right = Path("w/part-00000.parquet").read_bytes()
    noticed = 0
    for _ in range(300):
        sound = flip(Path("out/plan.json"), luck)
        answer = cuvee("write", "out", "-o", "w", "--quiet")
        if answer.status:
            assert answer.status == 3 and answer.error()
            noticed += 1
        assert Path("w/part-00000.parquet").read_bytes() == right
        Path("out/plan.json").write_bytes(sound)
    assert noticed > 200


def test_a_changed_pool_is_refused_by_name(place: Path) -> None:
    shutil.copy("pool.jsonl", "other.jsonl")
    command = [*SELECT, "--skip-bad", "other.jsonl", "--key", "content"]
    for change, words in (
        (lambda path: path.write_text(path.read_text() + '{"id": "new", "text": "one more"}\n'), "has changed since"),
        (lambda path: path.write_text(path.read_text().replace("number 5", "number 6")), "has changed since"),
        (lambda path: path.write_text(path.read_text()), "has changed since"),
        (lambda path: path.unlink(), "no such file"),
        (lambda path: path.write_bytes(b"PAR1PAR1"), "is no longer a jsonl file"),
    ):
        shutil.copy("pool.jsonl", "other.jsonl")
        assert cuvee(*command, "--rows", "38").status == 0
        assert cuvee("write", "out", "-o", "w").status == 0
        before = contents(place / "w")
        time.sleep(0.01)  # the clock of a file's last change may be coarse
        change(Path("other.jsonl"))
        answer = cuvee("write", "out", "-o", "w")
        assert answer.status == 3 and words in answer.error() and "other.jsonl" in answer.error()
        assert contents(place / "w") == before


# rivals

HELD = """
import os, signal, sys, time
from pathlib import Path
from cuvee import cli, selecting

really = selecting.open_both

def open_both(*given):
    Path(f"ready.{os.getpid()}").touch()
    ACT
    return really(*given)

selecting.open_both = open_both
cli.main()
"""
WAIT = "while not Path('go').exists(): time.sleep(0.01)"


def held(*arguments: Any, act: str = WAIT, **more: Any) -> subprocess.Popen[bytes]:
    """A command that, once it holds its output and before it opens its pool, does something."""
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | more
    command = [sys.executable, "-c", HELD.replace("ACT", act), *map(str, arguments)]
    return subprocess.Popen(command, start_new_session=True, **streams)


def until(done: Callable[[], Any], seconds: float = 60) -> Any:
    """Wait for something to be true; return it."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := done():
            return found
        time.sleep(0.01)
    raise AssertionError("it did not happen")


def worker() -> int:
    """The process that does the work of a held command."""
    ready = until(lambda: list(Path().glob("ready.*")))
    return int(ready[0].suffix[1:])


def test_one_of_eight_writers_wins(place: Path) -> None:
    started = [held(*SELECT, "--skip-bad") for _ in range(8)]
    until(lambda: sum(one.poll() is not None for one in started) == 7)
    owner = worker()
    Path("go").touch()
    answers = [answer_of(one) for one in started]
    assert sorted(answer.status for answer in answers) == [0, 5, 5, 5, 5, 5, 5, 5]
    for answer in answers:
        if answer.status:
            assert f"/out is being written by process {owner} on " in answer.error()
    assert len(list(Path().glob("ready.*"))) == 1, "the others stopped before they did anything"
    assert leftovers(place) == [] and cuvee("write", "out").status == 0


def test_eight_processes_share_a_cache(place: Path) -> None:
    started = [process(*SELECT[:-1], f"out{i}", "--skip-bad", "--cache", "cache") for i in range(8)]
    answers = [answer_of(one) for one in started]
    assert [answer.status for answer in answers] == [0] * 8, answers
    assert len({digest(f"out{i}") for i in range(8)}) == 1
    assert len({(place / f"out{i}/selection.parquet").read_bytes() for i in range(8)}) == 1
    assert leftovers(place) == []


def test_clearing_the_cache_waits_for_nobody_and_hurts_nobody(place: Path) -> None:
    assert cuvee(*SELECT, "--skip-bad", "--cache", "cache").status == 0
    stored = contents(place / "cache")
    running = held(*SELECT, "--skip-bad", "--cache", "cache")
    worker()
    assert "Removed 0.0 MB" in cuvee("cache", "--clear", "--cache", "cache").out
    assert contents(place / "cache") == stored
    Path("go").touch()
    assert answer_of(running).status == 0
    assert cuvee("cache", "--clear", "--cache", "cache").status == 0
    assert list(contents(place / "cache")) == [".in-use"]


# signals and crashes


def test_the_lock_of_a_killed_process_is_stale(place: Path) -> None:
    running = held(*SELECT, "--skip-bad")
    owner = worker()
    assert Path(".out.lock").exists()
    answer = cuvee(*SELECT, "--skip-bad")
    assert answer.status == 5 and f"process {owner} " in answer.error()
    os.kill(owner, signal.SIGKILL)
    answer = answer_of(running)
    assert answer.status == 128 + signal.SIGKILL and "was killed" in answer.error()
    assert Path(".out.lock").exists()
    assert cuvee(*SELECT, "--skip-bad").status == 0
    assert leftovers(place) == []


@pytest.mark.parametrize("send", [os.kill, os.killpg], ids=["to the process", "to the group, as a terminal does"])
def test_an_interrupt_says_how_to_go_on(place: Path, send: Callable[[int, int], None]) -> None:
    running = held(*SELECT, "--skip-bad", "-o", "out of space")
    worker()
    send(running.pid, signal.SIGINT)
    answer = answer_of(running)
    assert answer.status == 130
    assert answer.error() == (
        "interrupted; finished parts are kept. Go on with: cuvee select pool.jsonl --target "
        f"{TARGET} --with zipfit:mode=pooled --rows 7 -o out --skip-bad -o 'out of space'"
    )
    assert leftovers(place) == [] and not list(Path().glob("out*"))


def test_a_second_interrupt_does_not_disturb_the_first(place: Path) -> None:
    """Ctrl-C reaches the worker twice: from the terminal, and passed on by the process that waits for it."""
    act = f"""try:
        {WAIT}
    finally:
        Path("winding up").touch()
        time.sleep(0.3)
        Path("wound up").touch()"""
    running = held(*SELECT, "--skip-bad", act=act)
    os.kill(worker(), signal.SIGINT)
    until(Path("winding up").exists)
    os.killpg(running.pid, signal.SIGINT)
    answer = answer_of(running)
    assert answer.status == 130 and answer.error().startswith("interrupted; finished parts are kept")
    assert Path("wound up").exists() and leftovers(place) == []


def gone(pid: int) -> bool:
    """Whether a process has ended (one that nobody has waited for yet counts as ended)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP])
def test_no_worker_outlives_the_command(number: signal.Signals) -> None:
    running = held(*SELECT, "--skip-bad")
    pid = worker()
    assert pid != running.pid and not gone(pid)
    running.send_signal(number)
    status = answer_of(running).status
    assert status == (-number if number == signal.SIGKILL else 128 + number)
    until(lambda: gone(pid), 10)


def test_standard_output_closed_early() -> None:
    for verb in ([*SELECT, "--skip-bad"], [*SELECT, "--skip-bad", "--json"]):
        running = held(*verb)
        worker()
        assert running.stdout is not None
        running.stdout.close()
        Path("go").touch()
        running.stdout = None
        answer = answer_of(running)
        assert (answer.status, answer.err) == (0, "")
        Path("go").unlink()
        next(Path().glob("ready.*")).unlink()
    with Path("/dev/full").open("wb") as full:
        answer = outside("profile", "pool.jsonl", stdout=full)
    assert answer.status == 4 and "No space left on device" in answer.error()


@pytest.mark.parametrize("number", ["SIGSEGV", "SIGBUS", "SIGABRT", "SIGFPE", "SIGILL"])
def test_a_native_crash_is_a_sentence(place: Path, number: str) -> None:
    quiet = "import resource; resource.setrlimit(resource.RLIMIT_CORE, (0, 0))"
    answer = answer_of(held(*SELECT, "--skip-bad", act=f"{quiet}; os.kill(os.getpid(), signal.{number})"))
    assert answer.status == 3
    assert f"a native library crashed ({number}), most likely over a malformed file" in answer.error()
    assert cuvee(*SELECT, "--skip-bad").status == 0 and leftovers(place) == []


@pytest.mark.parametrize(
    ("act", "status", "words"),
    [
        ("raise MemoryError", 4, "memory ran out"),
        ("raise OSError(5, 'Input/output error', 'disk')", 4, "disk: Input/output error"),
        ("raise KeyboardInterrupt", 130, "interrupted"),
    ],
)
def test_other_ends(act: str, status: int, words: str) -> None:
    answer = answer_of(held(*SELECT, "--skip-bad", act=act))
    assert answer.status == status and words in answer.error()


def test_a_damaged_cache_while_it_is_in_use(monkeypatch: pytest.MonkeyPatch) -> None:
    """What vanishes between two looks of one run ends that run with a sentence, and the next run goes on."""
    from cuvee.engine.run import Engine

    really = Engine.columns

    def columns(self: Engine, *keys: list[str], **more: Any) -> Any:
        shutil.rmtree("cache")
        return really(self, *keys, **more)

    monkeypatch.setattr(Engine, "columns", columns)
    answer = cuvee(*SELECT, "--skip-bad", "--cache", "cache")
    assert answer.status == 4 and "cache/" in answer.error() and "Run the same command again" in answer.error()
    monkeypatch.undo()
    assert cuvee(*SELECT, "--skip-bad", "--cache", "cache").status == 0
    assert pq.read_table("out/selection.parquet").num_rows == 7


def test_an_output_behind_a_link_is_replaced_there(place: Path) -> None:
    (place / "elsewhere").mkdir()
    (place / "out").symlink_to("elsewhere")
    for rows in ("7", "6", "5"):
        assert cuvee(*SELECT, "--skip-bad", "--rows", rows).status == 0
        assert pq.read_table("elsewhere/selection.parquet").num_rows == int(rows)
    assert (place / "out").is_symlink() and leftovers(place) == []


class Meddling(Local):
    """After the first span of a pass, a file of the pool is changed, as by somebody else."""

    def __init__(self, change: Callable[[], object]) -> None:
        super().__init__(1)
        self.change: Callable[[], object] | None = change

    def map(self, *arguments: Any, **more: Any) -> Iterator[Any]:
        for found in super().map(*arguments, **more):
            if self.change is not None:
                self.change()
                self.change = None
            yield found


@pytest.mark.parametrize("job", ["profile", "guard", "select"])
@pytest.mark.parametrize("how", ["append", "rewrite", "remove"])
def test_a_pool_that_changes_while_it_is_read(job: str, how: str) -> None:
    """Whatever was read by then, the result would be of a pool that never was."""
    pool = Path("pool.jsonl")
    whole = pool.read_bytes()

    def change() -> None:
        if how == "append":
            pool.write_bytes(whole + b'{"id": "new", "text": "one more"}\n')
        elif how == "rewrite":
            pool.write_bytes(whole.replace(b"about", b"ABOUT"))
        else:
            pool.unlink()

    call: dict[str, Callable[..., Any]] = {
        "profile": jobs.profile,
        "guard": partial(jobs.guard, reading=Reading(skip_bad=True)),
        "select": partial(jobs.select, method="random", rows=5, reading=Reading(skip_bad=True)),
    }
    words = "pool.jsonl: no such file" if how == "remove" else "pool.jsonl changed while it was being read. Run"
    with pytest.raises(DataError, match=words):
        call[job]("pool.jsonl", output="out", executor=Meddling(change))
    assert not Path("out").exists()
    pool.write_bytes(whole)
    assert call[job]("pool.jsonl", output="out").summary["reproduce"]["digest"]
