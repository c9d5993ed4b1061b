"""The reliability goals at full size; the test run does some of each with the same functions.

python -m bench.reliability kills --count 1000          SIGKILL at points of progress and after times
python -m bench.reliability processes --count 100       the same to real processes on real chunks
python -m bench.reliability flips --count 10000         one flipped bit at a time, over all that is read again
python -m bench.reliability rivals --count 200          eight writers on one target, and on one cache
python -m bench.reliability lost --pool FOLDER          how much work a kill costs
python -m bench.reliability memory --pool FOLDER        peak memory of the process tree under --memory 1GB
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tests import reliability
from tests.command import line_of

from .measure import record
from .pools import TARGET

SHOWN = 20
TOWARD = ["--target", str(TARGET), "--with"]


def kills(given: argparse.Namespace) -> dict[str, Any]:
    """``count`` kills that hit, over all commands in turn."""
    done, guard = Counter[str](), threading.Lock()
    numbers = iter(range(sys.maxsize))

    def work(place: Path, launcher: reliability.Launcher, _: int) -> reliability.Kills:
        session = reliability.Kills(place, launcher)
        session.prepare()
        while True:
            with guard:
                if done["kills"] >= given.count:
                    return session
                number = next(numbers)
            case = reliability.CASES[number % len(reliability.CASES)]
            hits = session.once(case, random.Random(f"{given.seed}-{number}"))
            with guard:
                done["kills"] += hits
                done["rounds"] += 1
                if done["rounds"] % 50 == 0:
                    print(dict(done), len(session.failures), file=sys.stderr, flush=True)

    sessions = reliability.in_two(given.scratch, work)
    failures = [failure for session in sessions for failure in session.failures]
    by_case, by_kind = Counter[str](), Counter[str]()
    for session in sessions:
        by_case.update(session.hits)
        by_kind.update(session.by_kind)
    return {
        "kills": by_case.total(),
        "rounds": done["rounds"],
        "by_command": dict(by_case),
        "by_kind": dict(by_kind),
        "points_of_progress": sessions[0].points,
        "earlier_output_unchanged": sum(session.old_kept for session in sessions),
        "earlier_output_aside": sum(session.between for session in sessions),
        "slowest_rerun_seconds": max(session.slowest_rerun for session in sessions),
        "failures": len(failures),
        "first_failures": failures[:SHOWN],
    }


def processes(given: argparse.Namespace) -> dict[str, Any]:
    """Real processes, killed after a time: half of them with their group, half the parent alone."""
    place = Path(tempfile.mkdtemp(dir=given.scratch))
    reliability.furnish(place, 3000)
    failures = reliability.kill_processes(place, given.count, random.Random(given.seed))
    shutil.rmtree(place)
    return {"kills": given.count, "failures": len(failures), "first_failures": failures[:SHOWN]}


def flips(given: argparse.Namespace) -> dict[str, Any]:
    """``count`` flipped bits, the same number for each kind of file."""
    place = Path(tempfile.mkdtemp(dir=given.scratch))
    found: dict[str, Any] = {}
    kinds = list(reliability.flips(place))
    for kind in kinds:
        kind.run(-(-given.count // len(kinds)), random.Random(f"{given.seed}-{kind.name}"))
        found[kind.name] = {
            "flipped": kind.flipped,
            "noticed": kind.noticed,
            "crashed_natively": kind.crashed,
            "silently_wrong": len(kind.silent),
            "no_sentence": len(kind.odd),
            "first": [*kind.silent[:SHOWN], *kind.odd[:SHOWN]],
        }
        print(kind.name, found[kind.name], file=sys.stderr, flush=True)
    shutil.rmtree(place)
    return {"flipped": sum(kind.flipped for kind in kinds), "kinds": found}


def rivals(given: argparse.Namespace) -> dict[str, Any]:
    """``count`` rounds of eight writers on one target, and a tenth as many of eight on one cache."""
    place = Path(tempfile.mkdtemp(dir=given.scratch))
    with reliability.Launcher() as launcher:
        session = reliability.Rivals(place, launcher)
        session.prepare()
        for number in range(given.count):
            session.once(("select", "profile", "write")[number % 3], random.Random(f"{given.seed}-{number}"))
            if number % 20 == 19:
                print(number + 1, session.won, session.refused, session.failures[:1], file=sys.stderr, flush=True)
        figures = {
            "rounds": given.count,
            "succeeded": session.won,
            "refused_naming_the_owner": session.refused,
            "rounds_with_several_in_turn": session.after,
            "rounds_with_a_stale_lock": session.stale,
        }
        session.won = 0
        for number in range(given.count // 10):
            session.shared_cache(random.Random(f"{given.seed}-cache-{number}"))
    shutil.rmtree(place)
    return {
        **figures,
        "rounds_with_a_shared_cache": given.count // 10,
        "succeeded_with_a_shared_cache": session.won,
        "killed_with_a_shared_cache": session.killed,
        "failures": len(session.failures),
        "first_failures": session.failures[:SHOWN],
    }


def tree(pid: int) -> list[int]:
    """A process and all below it."""
    found = [pid]
    for one in found:
        try:
            children = Path(f"/proc/{one}/task/{one}/children").read_text().split()
        except OSError:
            continue
        found += map(int, children)
    return found


def resident(pids: Sequence[int], field: str = "Rss") -> int:
    """Bytes that processes hold: "Rss" counts shared pages for each, "Pss" once."""
    total = 0
    for pid in pids:
        try:
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        total += sum(int(line.split()[1]) << 10 for line in lines if line.startswith(f"{field}:"))
    return total


def worked(pids: Sequence[int]) -> float:
    """CPU seconds of living processes."""
    ticks = 0
    for pid in pids:
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def watched(command: Sequence[str], limit: float, limit_cpu: float = float("inf")) -> dict[str, Any]:
    """Run a command and look at its process tree 10 times a second; kill it after so many seconds of either kind."""
    begun, peak, shared_once, cpu = time.monotonic(), 0, 0, 0.0
    running = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True)
    stopped = False
    while running.poll() is None:
        pids = tree(running.pid)
        peak, shared_once = max(peak, resident(pids)), max(shared_once, resident(pids, "Pss"))
        cpu = max(cpu, worked(pids))
        if not stopped and (time.monotonic() - begun > limit or cpu > limit_cpu):
            os.killpg(running.pid, signal.SIGKILL)
            stopped = True
        time.sleep(0.1)
    assert running.stderr is not None
    said = running.stderr.read().decode(errors="replace")
    running.stderr.close()
    return {
        "status": running.returncode,
        "stopped": stopped,
        "seconds": round(time.monotonic() - begun, 1),
        "cpu_seconds": round(cpu, 1),
        "peak_rss_mb": round(peak / 1e6),
        "peak_pss_mb": round(shared_once / 1e6),
        "said": said[-500:] if running.returncode else "",
    }


def memory(given: argparse.Namespace) -> dict[str, Any]:
    """``profile`` and ``select --with dsir`` under --memory 1GB; and a limit that cannot be kept."""
    place = Path(tempfile.mkdtemp(dir=given.scratch))
    more = ["--memory", given.memory, "--quiet", "--cache", str(place / "cache")]
    commands = {
        "profile": ["profile", given.pool, "-o", str(place / "profile"), *more],
        "select": ["select", given.pool, *TOWARD, "dsir", "--fraction", "1%", "-o", str(place / "select"), *more],
        "too little": ["profile", given.pool, "-o", str(place / "no"), "--memory", "400MB", "--quiet"],
    }
    found = {}
    for name in given.only or commands:
        found[name] = watched(line_of(*commands[name]), given.limit)
        print(name, found[name], file=sys.stderr, flush=True)
        shutil.rmtree(place / "cache", ignore_errors=True)
    shutil.rmtree(place)
    return {"memory": given.memory, "pool": given.pool, **found}


def lost(given: argparse.Namespace) -> dict[str, Any]:
    """CPU seconds that a kill costs: those before the kill and of the next run, less those of a run left alone."""
    place = Path(tempfile.mkdtemp(dir=given.scratch))
    more = ["--quiet", "--cache", str(place / "cache")]
    kept = str(place / "kept")
    demo = str(reliability.DEMO / "pool.parquet")
    commands = {
        "profile": ["profile", given.pool, "-o", str(place / "out"), *more],
        "select dsir": ["select", given.pool, *TOWARD, "dsir", "--fraction", "5%", "-o", str(place / "out"), *more],
        "select zipfit exact": ["select", demo, *TOWARD, "zipfit", "--rows", "50", "-o", str(place / "out"), *more],
        "write jsonl.gz": ["write", kept, "--format", "jsonl.gz", "-o", str(place / "out"), "--quiet"],
    }
    if given.only is None or "write jsonl.gz" in given.only:
        made = ["select", given.pool, "--with", "random", "--fraction", "80%", "-o", kept, *more]
        subprocess.run(line_of(*made), check=True, stdout=subprocess.DEVNULL)
    found = {}
    for name in given.only or commands:
        command = line_of(*commands[name])

        def clean() -> None:
            for folder in ("out", "cache"):
                shutil.rmtree(place / folder, ignore_errors=True)

        clean()
        whole = watched(command, given.limit)
        costs = {}
        for share in given.share or (0.3, 0.6, 0.9):
            clean()
            first = watched(command, given.limit, share * whole["cpu_seconds"])
            second = watched(command, given.limit)
            costs[str(share)] = round(first["cpu_seconds"] + second["cpu_seconds"] - whole["cpu_seconds"], 1)
        found[name] = {"cpu_seconds": whole["cpu_seconds"], "lost_cpu_seconds_when_killed_at": costs}
        print(name, found[name], file=sys.stderr, flush=True)
    shutil.rmtree(place)
    return found


KINDS: dict[str, tuple[Callable[[argparse.Namespace], dict[str, Any]], int]] = {
    "kills": (kills, 1000),
    "processes": (processes, 100),
    "flips": (flips, 10_000),
    "rivals": (rivals, 200),
    "memory": (memory, 0),
    "lost": (lost, 0),
}


def main() -> None:
    """One kind of check; its figures go to ``results/reliability-KIND.json``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("--count", type=int)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--scratch", type=Path, help="where to work [a temporary folder]")
    parser.add_argument("--pool", help="a pool for memory and lost")
    parser.add_argument("--memory", default="1GB")
    parser.add_argument(
        "--limit", type=float, default=3600.0, help="seconds after which memory and lost stop a command"
    )
    parser.add_argument("--share", type=float, action="append", help="kill after this share of the work (lost)")
    parser.add_argument("--only", action="append", help="only this command (memory, lost)")
    given = parser.parse_args()
    check, count = KINDS[given.kind]
    given.count = count if given.count is None else given.count
    if check in (memory, lost) and given.pool is None:
        parser.error("--pool is needed")
    given.scratch = given.scratch or Path(tempfile.gettempdir())
    given.scratch.mkdir(parents=True, exist_ok=True)
    begun = time.monotonic()
    figures = check(given)
    record(f"reliability-{given.kind}", {"seed": given.seed, "wall_seconds": time.monotonic() - begun, **figures})
    if figures.get("failures"):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
