"""Commands that want the same thing at the same time."""

from __future__ import annotations

import os
import random
import re
import shutil
import signal
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .cases import furnish
from .launcher import Command, Kill, Launcher
from .remains import damaged_in_cache, fingerprint, leftovers


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
