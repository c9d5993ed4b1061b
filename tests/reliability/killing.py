"""Kills of one command after another, with a look at what they left."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..command import contents, line_of
from .cases import CASES, Case, furnish
from .launcher import Command, Kill, Launcher, Who
from .remains import damaged_in_cache, fingerprint, hidden, leftovers, restore


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
