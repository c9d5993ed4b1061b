"""Commands in processes forked from one that has imported cuvee, and killed at points of progress or after a time."""

from __future__ import annotations

import contextlib
import ctypes
import io
import itertools
import json
import os
import re
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any, Literal, NoReturn

from cuvee.engine import files

from ..command import Quick

ROOT = Path(__file__).parents[2]
DEMO = ROOT / "src" / "cuvee" / "demo"
SMALL_DEMO = {"TOKENS": 20_000, "PROXY": "ngram:table_bits=16,order=3"}
"""What the demonstration does where the working folder has files for it of its own, in ``demo/``."""
Who = Literal["group", "parent", "child"]
FOLDER_CHANGES = {"os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.truncate", "os.utime", "fcntl.flock"}


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
    from cuvee import cli, demonstration
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
    if (small := Path("demo")).is_dir():
        vars(demonstration).update(SMALL_DEMO, package_files=lambda package: small)
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
    from cuvee import demonstration, fitting, mixing, profiling, proving, registry, searching, selecting, wording
    from cuvee.feed import write
    from cuvee.proof.proxies import ngram
    from cuvee.report import fit, mix, profile, prove, search
    from cuvee.report import select as page

    assert all((demonstration, profiling, proving, ngram, selecting, wording, write, profile, prove, page))
    assert all((fitting, mixing, searching, fit, mix, search))
    for name in ("dsir", "zipfit", "classifier", "perplexity", "preselect", "random", "length_matched"):
        registry.card(name)
    for law in ("data_mixing_laws", "olmix", "optimal_mixtures"):
        registry.find("law", law)
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
            [sys.executable, "-c", "from tests.reliability.launcher import serve; serve()"],
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
