"""What a reliability check needs, at the size of a test and at full size: kills, flipped bits, rivals.

Commands run in a *launcher*, a process that has imported cuvee and forks a child per command: what the child does is
what ``cuvee`` does (it forks its supervised worker in turn), without the second that imports take. Chunks and spans are
small there, so that a small pool has many of them and a Fold is saved after each. Kills come at a point of progress (a
write, a sync, any change of a folder, seen by an audit hook) or after a time, and hit the group, the parent or the
worker. ``tests/test_reliability.py`` does some of it in every test run, ``python -m bench.reliability`` all of it.
"""

from __future__ import annotations

import contextlib
import ctypes
import faulthandler
import io
import itertools
import json
import os
import random
import re
import resource
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any, Literal, NoReturn
from unittest.mock import patch

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from cuvee.engine import files
from cuvee.engine.store import Store
from cuvee.errors import CuveeError
from cuvee.layout import sealed
from cuvee.proof.record import intact

from .command import Quick, contents, cuvee, inside, line_of

ROOT = Path(__file__).parents[1]
DEMO = ROOT / "src" / "cuvee" / "demo"
Who = Literal["group", "parent", "child"]
FOLDER_CHANGES = {"os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.truncate", "os.utime", "fcntl.flock"}


# the launcher


@dataclass(frozen=True)
class Kill:
    """Whom SIGKILL hits, and when: at a point of progress (from 1; ``half``: in the midst of a write) or after a time.

    A worker killed alone is reported by its parent; a parent killed alone takes its worker along.
    """

    who: Who
    point: int = 0
    half: bool = False
    delay: float = 0.0


@dataclass(frozen=True)
class Command:
    """One command line and how it is to be run."""

    arguments: Sequence[str]
    place: str
    kill: Kill | None = None
    wait: float = 0.0
    small_spans: bool = True


@dataclass(frozen=True)
class End:
    """How a command ended: its status (negative: the signal), points of progress (0 when killed), worker, words."""

    status: int
    seconds: float
    points: int
    worker: int
    out: str
    err: str
    survived: bool


class Points(Quick):
    """Counts the points of progress of a worker, and dies at one of them."""

    def __init__(self, kill: Kill | None, report: int) -> None:
        self.kill, self.report, self.numbers, self.reached, self.worker = kill, report, itertools.count(1), 0, 0

    def point(self, halfway: Callable[[], object] | None = None) -> None:
        if os.getpid() != self.worker:
            return
        self.reached = next(self.numbers)
        if self.kill is None or self.reached != self.kill.point:
            return
        if self.kill.half and halfway is not None:
            halfway()
        if self.kill.who == "group":
            os.killpg(0, signal.SIGKILL)
        os.kill(os.getpid() if self.kill.who == "child" else os.getppid(), signal.SIGKILL)
        time.sleep(10)
        os.write(self.report, b"survived\n")

    def audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
        if writes or event in FOLDER_CHANGES:
            self.point()

    def write(self, stream: IO[bytes], data: bytes | memoryview) -> None:
        def half() -> None:
            stream.write(memoryview(data).cast("B")[: memoryview(data).nbytes // 2])
            stream.flush()

        self.point(half)
        super().write(stream, data)

    def sync(self, stream: IO[bytes]) -> None:
        self.point(stream.flush)
        super().sync(stream)


def _become(command: Command, report: int, out: Path, err: Path) -> NoReturn:
    """Be ``cuvee`` in this forked process."""
    from cuvee import cli
    from cuvee.engine import manifest, run
    from cuvee.supervisor import supervise

    os.setpgid(0, 0)
    os.chdir(command.place)
    for number, path in ((1, out), (2, err)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644), number)
    os.environ["CUVEE_CACHE"] = "cache"
    sys.argv = ["cuvee", *command.arguments]
    sys.stdout, sys.stderr = (io.TextIOWrapper(os.fdopen(n, "wb"), write_through=True) for n in (1, 2))
    points = Points(command.kill, report)
    files.system = points
    if command.small_spans:
        manifest.CHUNK_ROWS, manifest.SPAN_BYTES, run.CHECKPOINT_SECONDS = 64, (1, 1), 0.0
    time.sleep(command.wait)

    def work() -> None:
        points.worker = os.getpid()
        os.write(report, f"worker {points.worker}\n".encode())
        sys.addaudithook(points.audit)
        try:
            cli.run()
        finally:
            os.write(report, f"points {points.reached}\n".encode())

    supervise(work)


def _run(commands: list[Command], scratch: Path) -> list[End]:
    """Run commands at the same time; return when every process of each has ended."""
    begun = time.monotonic()
    said: dict[int, bytes] = {}
    pids: dict[int, int] = {}
    order: list[int] = []
    due: dict[int, tuple[float, Kill]] = {}
    for number, command in enumerate(commands):
        read, write = os.pipe()
        pid = os.fork()
        if pid == 0:
            try:
                os.close(read)
                _become(command, write, scratch / f"{number}.out", scratch / f"{number}.err")
            finally:
                os._exit(71)
        os.close(write)
        with contextlib.suppress(OSError):
            os.setpgid(pid, pid)
        said[read], pids[read] = b"", pid
        order.append(read)
        if command.kill is not None and not command.kill.point:
            due[read] = (begun + command.wait + command.kill.delay, command.kill)
    seconds: dict[int, float] = {}
    while len(seconds) < len(order):
        next_kill = min((moment for moment, _ in due.values()), default=begun + 120)
        living = [read for read in order if read not in seconds]
        ready, _, _ = select.select(living, [], [], max(0.0, next_kill - time.monotonic()))
        for read in ready:
            if part := os.read(read, 4096):
                said[read] += part
            else:  # all that held the other end are gone
                seconds[read] = time.monotonic() - begun
                due.pop(read, None)
                os.close(read)
        for read, (moment, kill) in list(due.items()):
            if time.monotonic() >= moment:
                found = re.search(rb"worker (\d+)\n", said[read])
                with contextlib.suppress(ProcessLookupError):
                    if kill.who == "group" or found is None:
                        os.killpg(pids[read], signal.SIGKILL)
                    else:
                        os.kill(int(found[1]) if kill.who == "child" else pids[read], signal.SIGKILL)
                del due[read]
        if time.monotonic() > begun + 120:
            for read in living:
                os.killpg(pids[read], signal.SIGKILL)
    statuses: dict[int, int] = {}
    with contextlib.suppress(ChildProcessError):
        while True:  # the workers of killed parents, too
            pid, status = os.waitpid(-1, 0)
            statuses[pid] = os.waitstatus_to_exitcode(status)
    ends = []
    for number, read in enumerate(order):
        told = [scratch / f"{number}.{stream}" for stream in ("out", "err")]
        out, err = (path.read_text(errors="replace") if path.exists() else "" for path in told)
        for path in told:
            path.unlink(missing_ok=True)
        worker, points = (re.search(rb"%s (\d+)\n" % word, said[read]) for word in (b"worker", b"points"))
        ends.append(
            End(
                statuses[pids[read]],
                seconds[read],
                int(points[1]) if points else 0,
                int(worker[1]) if worker else 0,
                out,
                err,
                b"survived" in said[read],
            )
        )
    return ends


def serve() -> None:
    """The launcher's side: lists of commands on standard input, lists of ends on standard output, as JSON lines."""
    from cuvee import demonstration, profiling, proving, registry, selecting, wording
    from cuvee.feed import write
    from cuvee.proof.proxies import ngram
    from cuvee.report import profile, prove
    from cuvee.report import select as page

    assert all((demonstration, profiling, proving, ngram, selecting, wording, write, profile, prove, page))
    for name in ("dsir", "zipfit", "classifier", "perplexity", "preselect", "random", "length_matched"):
        registry.card(name)
    ctypes.CDLL(None).prctl(36, 1)  # PR_SET_CHILD_SUBREAPER
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    with tempfile.TemporaryDirectory() as scratch:
        for line in sys.stdin:
            commands = []
            for one in json.loads(line):
                kill = Kill(**one.pop("kill")) if one.get("kill") else None
                commands.append(Command(**{**one, "kill": kill}))
            answers.write(json.dumps([asdict(end) for end in _run(commands, Path(scratch))]) + "\n")
            answers.flush()


class Launcher:
    """Runs commands in a process of its own that has imported everything."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.reliability"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=ROOT,
            text=True,
        )

    def __enter__(self) -> Launcher:
        return self

    def __exit__(self, *error: object) -> None:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(30)
        self._process.stdout.close()

    def run(self, *commands: Command) -> list[End]:
        """Run commands at the same time, to the end of all their processes."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps([asdict(command) for command in commands]) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        assert answer, "the launcher died"
        return [End(**one) for one in json.loads(answer)]


# what commands leave behind


def fingerprint(folder: Path) -> dict[str, Any] | None:
    """All that a finished command promises about its output: every byte, but for the time and passes that it took."""
    if not folder.exists():
        return None
    found: dict[str, Any] = {}
    for name, body in contents(folder).items():
        if "ledger/running/" in name:
            continue
        if "ledger/trials/" in name and not hidden(name):
            assert intact(body), f"{name} is not whole"
            found[name] = True
        elif "ledger/consulted/" in name and not hidden(name):
            found[name] = bool(json.loads(body))
        elif name.endswith("proof.json"):
            found[name] = table(json.loads(body))
        elif name.endswith(("plan.json", "profile.json")):
            content = json.loads(body)
            content.pop("seal", None)
            for changing in ("timings", "passes"):
                content["reproduce"].pop(changing)
            found[name] = content
        elif name.endswith("report.html"):
            assert body.endswith((b"</html>", b"</html>\n")), f"{name} is cut short"
            found[name] = True
        else:
            found[name] = body
    return found


def table(proof: Any) -> Any:
    """All that a proof says, but for its seal and the time that it took."""
    if isinstance(proof, list):
        return [table(one) for one in proof]
    if not isinstance(proof, dict):
        return proof
    changing = ("seal", "timings", "train_seconds", "total_seconds", "select_seconds", "select_flops")
    return {name: table(value) for name, value in proof.items() if name not in changing}


def leftovers(place: Path) -> list[str]:
    """What only a running command may have lying about, outside of the cache."""
    hidden = (path.relative_to(place) for path in place.rglob(".*"))
    return sorted(str(path) for path in hidden if path.parts[0] != "cache")


def damaged_in_cache(place: Path) -> list[str]:
    """Files of the cache that stand under their final names and are not whole."""
    store = Store(place / "cache")
    stored = (place / "cache").glob("??/[0-9a-f]*.arrow")
    return [path.name for path in stored if not _whole(store, path.parent.name + path.stem)]


def _whole(store: Store, key: str) -> bool:
    """Whether a stored file is a table or sections, every byte as it was written."""
    try:
        return store.has(key) or any(True for _ in list(store.sections(key)))
    except FileNotFoundError:
        return False


def in_two(scratch: Path, work: Callable[[Path, Launcher, int], Any]) -> list[Any]:
    """Do the work for 0 and for 1 at the same time, each in a folder and with a launcher of its own."""

    def half(number: int) -> Any:
        place = Path(tempfile.mkdtemp(dir=scratch))
        try:
            with Launcher() as launcher:
                return work(place, launcher, number)
        finally:
            shutil.rmtree(place, ignore_errors=True)

    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(half, range(2)))


# kills


@dataclass(frozen=True)
class Case:
    """A command that is to survive being killed; ``earlier`` writes the output that it replaces."""

    name: str
    arguments: tuple[str, ...]
    earlier: tuple[str, ...] = ()
    small_spans: bool = True
    output: str = "out"

    def command(self, place: Path, kill: Kill | None = None) -> Command:
        return Command(self.arguments, str(place), kill, small_spans=self.small_spans)


def _select(name: str, *more: str) -> Case:
    command = ("select", "pool", "--skip-bad", "--seed", "3", *more, "-o", "out")
    return Case(f"select {name}", (*command, "--rows", "40"), (*command, "--rows", "5"))


def _write(name: str, *more: str) -> Case:
    command = ("write", "kept", "--shard", "20kB", "-o", "out")
    return Case(f"write {name}", (*command, *more), command)


PROFILE = ("profile", "pool", "-o", "out")
_HELD = ("--eval", "target.jsonl", "--seeds", "2", "--proxy", "ngram:table_bits=16,order=3")
PROVE = ("prove", "kept", *_HELD, "--against", "length_matched", "--workers", "1", "--ledger", "ledger", "-o", "out")
GUARD = ("guard", "pool", "--skip-bad", "-o", "out")
TOWARD = ("--target", "target.jsonl", "--with")
CASES = (
    Case("profile", PROFILE, (*PROFILE, "--no-text")),
    Case("profile parquet", ("profile", "pool.parquet", "-o", "out"), (*PROFILE, "--no-text")),
    _select("random", "--with", "random"),
    _select("dsir", *TOWARD, "dsir:min_length=20"),
    _select("dsir by quota", *TOWARD, "dsir:min_length=20", "--quota", "uniform"),
    _select("zipfit pooled", *TOWARD, "zipfit:mode=pooled"),
    _select("zipfit exact", *TOWARD, "zipfit:max_targets=3"),
    _select("classifier", *TOWARD, "classifier:buckets=4096", "--choose", "gumbel:temperature=2"),
    _select("perplexity", "--with", "perplexity:table_bits=14"),
    _select("preselect", "--with", "preselect:losses=losses.parquet,buckets=4096"),
    _select("length_matched", "--with", "length_matched:like=kept"),
    Case("guard", (*GUARD, "--edit", "0.8", "--threshold", "0.5"), (*GUARD, "--record")),
    _write("parquet", "--format", "parquet"),
    _write("jsonl", "--format", "jsonl"),
    _write("jsonl.gz", "--format", "jsonl.gz"),
    _write("jsonl.zst", "--format", "jsonl.zst"),
    _write("dolma", "--format", "dolma"),
    _write("shuffled", "--format", "parquet", "--shuffle", "5"),
    Case("prove", PROVE, (*PROVE, "--no-text"), small_spans=False),
    Case("demo", ("demo", "-o", "out", "--seeds", "2", "--quiet"), small_spans=False),
    Case("cache", ("cache", "--clear"), output="cache"),
)


def rows(count: int) -> list[dict[str, Any]]:
    """Documents of all domains of the demonstration pool, cut to be short."""
    table = pq.read_table(DEMO / "pool.parquet")
    picks = np.linspace(0, table.num_rows - 1, count).astype(np.int64)
    return [{**row, "text": row["text"][:600]} for row in table.take(picks).to_pylist()]


def furnish(place: Path, count: int = 400) -> None:
    """Lay out a working folder: two files of a pool, with two bad rows, another pool, a target and losses."""
    found = rows(count)
    pq.write_table(pa.Table.from_pylist(found), place / "pool.parquet", row_group_size=90)
    (place / "pool").mkdir()
    found[11]["text"] = found[count - 20]["text"] = ""
    for name, part in (("a", found[: count // 3]), ("b", found[count // 3 :])):
        (place / f"pool/{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in part))
    lines = (DEMO / "target.jsonl").read_text().splitlines(keepends=True)
    (place / "target.jsonl").write_text("".join(lines[:20]))
    chance = np.random.default_rng(0)
    seeds = pa.table(
        {"text": [row["text"] for row in found[::5] if row["text"]]}
        | {f"m{i}": chance.random(len([row for row in found[::5] if row["text"]])) for i in range(3)}
    )
    pq.write_table(seeds, place / "losses.parquet")
    (place / "losses.json").write_text(json.dumps({f"m{i}": i / 2 for i in range(3)}))


@dataclass
class Kills:
    """Kills one command after another in a folder of its own, and looks at what they left."""

    place: Path
    launcher: Launcher
    failures: list[str] = field(default_factory=list)
    hits: dict[str, int] = field(default_factory=dict)
    by_kind: dict[str, int] = field(default_factory=dict)
    slowest_rerun: float = 0.0
    old_kept: int = 0
    """After how many kills the earlier output stood unchanged, of those that found one."""
    between: int = 0
    """After how many kills the earlier output stood aside, to be put back by the next run."""

    def prepare(self, cases: Sequence[Case] = CASES) -> None:
        """Furnish the folder and learn what each command leaves when nothing happens to it, twice."""
        furnish(self.place)
        kept = ("select", "pool", "--skip-bad", "--with", "random", "--rows", "60", "-o", "kept")
        (made,) = self.launcher.run(Command(kept, str(self.place)))
        assert made.status == 0, made
        self._cache = contents(self.place / "cache")
        self.right: dict[str, Any] = {}
        self.old: dict[str, dict[str, bytes]] = {}
        self.points: dict[str, int] = {}
        self.seconds: dict[str, float] = {}
        for case in cases:
            if case.earlier:
                self._empty(case)
                (end,) = self.launcher.run(Command(case.earlier, str(self.place), small_spans=case.small_spans))
                assert end.status == 0, (case, end)
                self.old[case.name] = contents(self.place / "out")
            self._empty(case)
            (end,) = self.launcher.run(case.command(self.place))
            assert end.status == 0 and end.points > 0, (case, end)
            self.right[case.name] = self._look(case)
            self.points[case.name], self.seconds[case.name] = end.points, end.seconds
            assert leftovers(self.place) == [], case

    def _look(self, case: Case) -> Any:
        if case.output == "cache":
            return sorted(name for name in contents(self.place / "cache") if name != ".in-use")
        return fingerprint(self.place / "out")

    def _empty(self, case: Case) -> None:
        """A new start: no output, and no cache (a full one before it is cleared)."""
        for name in ("out", "cache", "ledger"):
            shutil.rmtree(self.place / name, ignore_errors=True)
        if case.output == "cache":
            restore(self.place / "cache", self._cache)

    def once(self, case: Case, chance: random.Random) -> int:
        """Kill a command one to three times, look, and run it to its end; return how often a kill hit."""
        self._empty(case)
        allowed = [None, self.right[case.name]]
        was_there = case.name in self.old and chance.random() < 0.5
        if was_there:
            restore(self.place / "out", self.old[case.name])
            allowed = [fingerprint(self.place / "out"), self.right[case.name]]
        hits = 0
        for _ in range(chance.choice((1, 1, 2, 3))):
            who: Who = chance.choice(("group", "group", "parent", "child"))
            if chance.random() < 0.75:
                kill = Kill(who, chance.randint(1, self.points[case.name]), chance.random() < 0.5)
            else:
                kill = Kill(who, delay=chance.uniform(0.0, self.seconds[case.name]))
            (end,) = self.launcher.run(case.command(self.place, kill))
            story = f"{case.name}, {kill}, earlier output: {was_there}"
            if end.status == 0 and not end.points:
                self.failures.append(f"{story}: status 0 without an end")
            hit = end.status != 0
            if hit:
                hits += 1
                self.hits[case.name] = self.hits.get(case.name, 0) + 1
                kind = f"{who}, {'at a point' if kill.point else 'after a time'}"
                self.by_kind[kind] = self.by_kind.get(kind, 0) + 1
                if end.status not in (-signal.SIGKILL, 128 + signal.SIGKILL) or end.survived:
                    self.failures.append(f"{story}: ended with {end}")
            self._check(case, story, allowed, was_there and hit)
        begun = time.monotonic()
        (end,) = self.launcher.run(case.command(self.place))
        self.slowest_rerun = max(self.slowest_rerun, time.monotonic() - begun)
        if end.status != 0:
            self.failures.append(f"{story}: the next run failed: {end}")
        elif self._look(case) != self.right[case.name]:
            self.failures.append(f"{story}: the next run gave another result")
        elif left := leftovers(self.place):
            self.failures.append(f"{story}: left {left}")
        return hits

    def _check(self, case: Case, story: str, allowed: list[Any], was_there: bool) -> None:
        if damaged := damaged_in_cache(self.place):
            self.failures.append(f"{story}: damaged in the cache: {damaged}")
        if case.output == "cache":
            return
        try:
            found = fingerprint(self.place / "out")
        except (ValueError, AssertionError) as error:
            self.failures.append(f"{story}: partial output: {error}")
            return
        if case.name == "demo":  # its folders appear one by one
            right = self.right["demo"]
            if any(right.get(name) != body for name, body in (found or {}).items() if not hidden(name)):
                self.failures.append(f"{story}: a file of the demo is not whole")
            return
        if found is None and was_there:
            aside = fingerprint(self.place / ".out.replaced")
            self.between += 1
            if aside != allowed[0]:
                self.failures.append(f"{story}: the earlier output is gone")
        elif found not in allowed:
            self.failures.append(f"{story}: {sorted(found or [])} is neither the earlier output nor the new one")
        elif was_there and found == allowed[0]:
            self.old_kept += 1


def hidden(name: str) -> bool:
    """Whether a file or a folder above it has a hidden name."""
    return any(part.startswith(".") for part in Path(name).parts)


def restore(folder: Path, held: dict[str, bytes]) -> None:
    """Write files below a folder that does not exist."""
    for name, body in held.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)


def kill_processes(place: Path, count: int, chance: random.Random) -> list[str]:
    """Kill real processes, started as users start them and on real chunks, after a time; return what went wrong."""
    command = ["select", "pool", "--skip-bad", "--with", "dsir:min_length=20", "--target", "target.jsonl"]
    command += ["--rows", "40", "-o", "out"]
    environment = {**os.environ, "CUVEE_CACHE": "cache"}
    failures = []

    def start() -> subprocess.Popen[bytes]:
        quiet = subprocess.DEVNULL
        given = {"stdout": quiet, "stderr": quiet, "cwd": place, "env": environment, "start_new_session": True}
        return subprocess.Popen(line_of(*command), **given)  # type: ignore[call-overload]

    shutil.rmtree(place / "cache", ignore_errors=True)
    shutil.rmtree(place / "out", ignore_errors=True)
    begun = time.monotonic()
    assert start().wait() == 0
    length, right = time.monotonic() - begun, fingerprint(place / "out")
    for number in range(count):
        if number % 4 == 0:
            shutil.rmtree(place / "cache")
            shutil.rmtree(place / "out", ignore_errors=True)
        running = start()
        time.sleep(chance.uniform(0, length))
        (os.killpg if number % 2 else os.kill)(running.pid, signal.SIGKILL)
        running.wait()
        time.sleep(0.05)  # a worker that outlived its parent is on its way out
        if fingerprint(place / "out") not in (None, right) or damaged_in_cache(place):
            failures.append(f"process {number}: partial output")
        if number % 4 == 3:
            if start().wait() != 0 or fingerprint(place / "out") != right:
                failures.append(f"process {number}: another result")
            if left := leftovers(place):
                failures.append(f"process {number}: left {left}")
    return failures


# flipped bits


@dataclass
class Flips:
    """One kind of file with its reader: every reading of a damaged copy is refused with a sentence, or is right."""

    name: str
    paths: list[Path]
    read: Callable[[Path], Any]
    part: Callable[[Path], tuple[int, int]] = lambda path: (0, path.stat().st_size)
    """The bytes that are hurt; all by default."""
    flipped: int = 0
    noticed: int = 0
    crashed: int = 0
    """Readings that ended the process, as malformed Parquet may: the command line has a sentence for that."""
    silent: list[str] = field(default_factory=list)
    odd: list[str] = field(default_factory=list)
    """Readings that ended in anything else."""

    def run(self, count: int, chance: random.Random) -> None:
        """Flip ``count`` bits, one after the other, drawn from all bits of the files."""
        right = {path: self.read(path) for path in self.paths}
        parts = [self.part(path) for path in self.paths]
        sizes = [end - begin for begin, end in parts]
        tasks = []
        for _ in range(count):
            (number,) = chance.choices(range(len(sizes)), sizes)
            tasks.append((number, chance.randrange(*parts[number]), chance.randrange(8)))
        while tasks:
            sound = [path.read_bytes() for path in self.paths]
            answers = self._in_child(self._once(right, sound, *task) for task in tasks)
            for path, body in zip(self.paths, sound, strict=True):
                if path.read_bytes() != body:
                    path.write_bytes(body)
            if len(answers) < len(tasks):
                answers.append("crashed")
            for answer, (number, at, bit) in zip(answers, tasks, strict=False):
                self.flipped += 1
                self.noticed += answer == "noticed"
                self.crashed += answer == "crashed"
                place = f"{self.paths[number].name}, byte {at} of {len(sound[number])}, bit {bit}"
                if answer == "silent":
                    self.silent.append(place)
                elif answer.startswith("odd"):
                    self.odd.append(f"{place}: {answer}")
            tasks = tasks[len(answers) :]

    def _once(self, right: dict[Path, Any], sound: list[bytes], number: int, at: int, bit: int) -> str:
        path = self.paths[number]
        hurt = bytearray(sound[number])
        hurt[at] ^= 1 << bit
        path.write_bytes(hurt)
        try:
            found = self.read(path)
        except (CuveeError, FileNotFoundError) as error:
            answer = "noticed" if str(error) else f"odd: {error!r}"
        except Exception as error:
            answer = f"odd: {error!r}"
        else:
            answer = "same" if found == right[path] else "silent"
        path.write_bytes(sound[number])
        return answer.replace("\n", " ")

    @staticmethod
    def _in_child(work: Iterator[str]) -> list[str]:
        """What ``work`` yields in a forked process, as far as it comes."""
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                faulthandler.disable()
                resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
                for answer in work:
                    os.write(write, f"{answer}\n".encode())
                os._exit(0)
            finally:
                os._exit(1)
        os.close(write)
        with os.fdopen(read) as stream:
            answers = stream.read().splitlines()
        _, status = os.waitpid(child, 0)
        assert os.WIFSIGNALED(status) or status == 0, "the reading process failed"
        return answers


def _selection(folder: Path) -> Any:
    from cuvee.feed.selection import Selection

    opened = Selection.open(folder)
    parts = [(part.file, part.row.tolist(), part.weight.tolist(), part.key.tolist()) for part in opened.parts()]
    return opened.files, opened.spec, opened.digest, opened.survey(), parts


def _lengths(path: Path) -> tuple[int, int]:
    """Where the column of lengths stands in a selection."""
    found = pq.read_metadata(path)
    column = found.row_group(0).column(found.schema.names.index("bytes"))
    begin = column.dictionary_page_offset or column.data_page_offset
    return begin, begin + column.total_compressed_size


def _matched(path: Path) -> Any:
    """The tokens of each length that ``length_matched`` finds in an earlier selection."""
    from cuvee.core import Budget, Draw
    from cuvee.methods.choose import length_matched

    def found(cost: Any, *_: Any) -> Any:
        return cost.tolist()

    with patch.object(length_matched, "matched_to", found):
        return length_matched.LengthMatched(str(path.parent)).choose(
            None,  # type: ignore[arg-type]
            Budget("tokens", 1),
            Draw(0),
        )


def _profile(path: Path) -> Any:
    """As a careful program reads it: the content has to agree with its seal."""
    try:
        content = json.loads(path.read_bytes())
        if content.get("seal") != sealed(content)["seal"]:
            raise CuveeError("the profile's content has changed")
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise CuveeError(f"the profile cannot be read: {error}") from None
    if not isinstance(content, dict) or "reproduce" not in content:
        raise CuveeError("this is no profile")
    return content


def _cached(path: Path) -> Any:
    """Through the cache's own reader, as a new run does: columns and notes; absent when damaged."""
    store = Store(path.parents[1])
    batches, note = store.table(path.parent.name + path.stem)
    return [batch.to_pydict() for batch in batches], note


def _written(path: Path) -> Any:
    """As cuvee reads it when it is a pool: every column, page checksums verified."""
    from cuvee.feed.pool import open_source

    source = open_source(str(path), "parquet")
    index = source.index()
    batches: list[pa.RecordBatch] = []
    for segment in index.segments[:1]:
        batches += source.rows(segment, 0)
    return index.rows, [(batch.schema.names, batch.to_pylist()) for batch in batches]


def _pages(path: Path) -> tuple[int, int]:
    """The part of a Parquet file that has checksums, and the headers of its pages."""
    return 0, _footer(path)[0]


def _footer(path: Path) -> tuple[int, int]:
    """The part of a Parquet file for which the format has no checksum: names and types of columns, places of pages."""
    body = path.read_bytes()
    return len(body) - 8 - int.from_bytes(body[-8:-4], "little"), len(body)


def _listed(path: Path) -> Any:
    """As a trainer should: against the digest that the manifest lists."""
    shards = json.loads((path.parent / "manifest.json").read_bytes())["shards"]
    if files.file_digest(path) not in {shard["blake2b"] for shard in shards}:
        raise CuveeError(f"{path} is not the file that the manifest lists")
    return True


def flips(place: Path) -> Iterator[Flips]:
    """Everything that cuvee wrote and reads again, with its reader."""
    furnish(place)
    with inside(place):
        more = ("--skip-bad", "--quiet", "--cache", "cache")
        target = ("--target", "target.jsonl")
        assert cuvee("select", "pool", *target, "--with", "dsir", "--rows", 80, "-o", "out", *more).status == 0
        assert cuvee("profile", "pool", "-o", "profile", "--quiet", "--cache", "cache").status == 0
        assert cuvee("write", "out", "--shard", "20kB", "-o", "data", "--cache", "cache").status == 0
    yield Flips("selection.parquet", [place / "out/selection.parquet"], lambda path: _selection(path.parent))
    kept = place / "out/selection.parquet"
    yield Flips("selection.parquet, by length_matched", [kept], _matched, _lengths)
    yield Flips("plan.json", [place / "out/plan.json"], lambda path: _selection(path.parent))
    yield Flips("profile.json", [place / "profile/profile.json"], _profile)
    yield Flips("cache", sorted((place / "cache").glob("??/[0-9a-f]*.arrow")), _cached)
    yield Flips("written Parquet, by the manifest", sorted((place / "data").glob("*.parquet")), _listed)
    shards = sorted((place / "data").glob("*.parquet"))
    yield Flips("written Parquet's pages, by the reader", shards, _written, _pages)
    yield Flips("written Parquet's footer, by the reader", shards, _written, _footer)


# rivals


@dataclass
class Rivals:
    """Rounds of commands that want the same thing at the same time."""

    place: Path
    launcher: Launcher
    failures: list[str] = field(default_factory=list)
    won: int = 0
    refused: int = 0
    after: int = 0
    """Rounds in which several succeeded, one after the other."""
    stale: int = 0
    killed: int = 0

    def prepare(self, writers: int = 8) -> None:
        """Learn what each of the writers leaves when it is alone."""
        furnish(self.place, 200)
        self.commands: dict[str, list[tuple[str, ...]]] = {}
        base = ("select", "pool", "--skip-bad", "-o")
        dsir = ("--with", "dsir:min_length=20", "--target", "target.jsonl", "--rows")
        (made,) = self.launcher.run(Command((*base, "kept", "--with", "random", "--rows", "60"), str(self.place)))
        assert made.status == 0, made
        self.commands["select"] = [(*base, "out", *dsir, str(5 + n)) for n in range(writers)]
        self.commands["profile"] = [("profile", "pool", "-o", "out")] * writers
        self.commands["write"] = [("write", "kept", "-o", "out", "--shuffle", str(n)) for n in range(writers)]
        self.commands["cache"] = [(*base, f"out{n}", *dsir, "20") for n in range(writers)]
        self.right: dict[str, list[Any]] = {}
        for name, commands in self.commands.items():
            if name == "cache":
                continue
            self.right[name] = []
            for command in commands:
                shutil.rmtree(self.place / "out", ignore_errors=True)
                (end,) = self.launcher.run(Command(command, str(self.place)))
                assert end.status == 0, end
                self.right[name].append(fingerprint(self.place / "out"))
        (end,) = self.launcher.run(Command(self.commands["cache"][0], str(self.place)))
        assert end.status == 0, end
        self.selected = (self.place / "out0/selection.parquet").read_bytes()

    def once(self, kind: str, chance: random.Random) -> None:
        """One round for one target: ``select``, ``profile`` or ``write``; a stale lock may lie there from a kill."""
        commands = self.commands[kind]
        shutil.rmtree(self.place / "out", ignore_errors=True)
        if chance.random() < 0.5:
            shutil.rmtree(self.place / "cache", ignore_errors=True)
        if chance.random() < 0.3:  # a killed run's lock, whose owner's number another process may have by now
            (self.place / ".out.lock").write_text(f"process {os.getpid()} on here")
            self.stale += 1
        spread = chance.choice((0.0, 0.02, 0.5, 3.0))
        ends = self.launcher.run(*(Command(one, str(self.place), wait=chance.uniform(0, spread)) for one in commands))
        winners = {end.worker for end in ends if end.status == 0}
        self.won += len(winners)
        self.after += len(winners) > 1
        story = f"{kind}, spread {spread}"
        if not winners:
            self.failures.append(f"{story}: nobody won: {ends}")
        for end in ends:
            if end.status == 5:
                self.refused += 1
                owner = re.search(r"/out is being written by process (\d+) on \S+\. Wait", end.err)
                if owner is None or int(owner[1]) not in winners:
                    self.failures.append(f"{story}: refused with {end.err!r}, the winners were {winners}")
            elif end.status != 0:
                self.failures.append(f"{story}: {end}")
        allowed = [right for right, end in zip(self.right[kind], ends, strict=True) if end.status == 0]
        if fingerprint(self.place / "out") not in allowed:
            self.failures.append(f"{story}: the output is nobody's")
        if left := leftovers(self.place):
            self.failures.append(f"{story}: left {left}")

    def shared_cache(self, chance: random.Random) -> None:
        """One round of writers of different outputs with one cache; some are killed, and the cache may be cleared."""
        shutil.rmtree(self.place / "cache", ignore_errors=True)
        commands = []
        for command in self.commands["cache"]:
            shutil.rmtree(self.place / command[command.index("-o") + 1], ignore_errors=True)
            hurt = chance.random() < 0.3
            kill = Kill("group", chance.randint(1, 150), chance.random() < 0.5) if hurt else None
            commands.append(Command(command, str(self.place), kill, chance.uniform(0, 0.3)))
        clear = Command(("cache", "--clear"), str(self.place), wait=chance.uniform(0, 0.6))
        ends = self.launcher.run(*commands, clear)
        for number, (command_, end) in enumerate(zip(commands, ends, strict=False)):
            if end.status == 0:
                self.won += 1
                if (self.place / f"out{number}/selection.parquet").read_bytes() != self.selected:
                    self.failures.append(f"shared cache: writer {number} gave another result")
            elif command_.kill is not None and end.status == -signal.SIGKILL:
                self.killed += 1
            else:
                self.failures.append(f"shared cache: {end}")
        if damaged := damaged_in_cache(self.place):
            self.failures.append(f"shared cache: damaged {damaged}")
        (end,) = self.launcher.run(Command(self.commands["cache"][0], str(self.place)))
        if end.status != 0 or (self.place / "out0/selection.parquet").read_bytes() != self.selected:
            self.failures.append("shared cache: another result after it")


if __name__ == "__main__":
    serve()
