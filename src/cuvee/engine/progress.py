"""Progress on standard error: a bar on a terminal, else one line every ten seconds, or nothing."""

from __future__ import annotations

import resource
import sys
import threading
import time
from typing import Any, TextIO


class Progress:
    """Counts one pass after another, in bytes or other units. This base class shows nothing (the API's default)."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.label = ""
        self.unit = ""
        self.total: float = 0
        self.done: float = 0
        self.started = time.monotonic()

    def begin(self, label: str, total: float, unit: str = "") -> None:
        """A new pass over about ``total`` bytes of text, or as many of another ``unit`` ("trials")."""
        with self._lock:
            self.label, self.total, self.done, self.unit = label, total, 0, unit
            self.started = time.monotonic()
            self.show(begin=True)

    def advance(self, count: float) -> None:
        """``count`` more bytes (or units) are done; safe from any thread."""
        with self._lock:
            self.done += count
            self.show()

    def end(self) -> None:
        """The pass is over."""
        with self._lock:
            self.finish()

    def say(self, said: str) -> None:
        """Something that is no progress, such as a server that keeps everybody waiting; from any thread."""

    def show(self, begin: bool = False) -> None: ...

    def finish(self) -> None: ...

    def close(self) -> None: ...


WORTH_A_LINE = 1_000_000
"""Bytes of text."""


_COUNTED = "{desc}: {percentage:3.0f}%|{bar}| {n:g} of {total:g} UNIT [{elapsed}<{remaining}]"
"""How tqdm shows what is not bytes."""


def _mega(size: float) -> str:
    """Millions, with two digits at least: 0.041, 4.1, 410."""
    return f"{size / 1e6:,.0f}" if size >= 1e7 else f"{size / 1e6:.2g}"


class Lines(Progress):
    """One line every ten seconds, for logs. A pass of less than a megabyte is worth one only if it takes that long."""

    def __init__(self, stream: TextIO, every: float = 10.0) -> None:
        super().__init__()
        self.stream, self.every, self.last = stream, every, time.monotonic()

    def say(self, said: str) -> None:
        print(said, file=self.stream, flush=True)

    def show(self, begin: bool = False) -> None:
        now = time.monotonic()
        if now - self.last < self.every:
            return
        if max(self.total, self.done) < WORTH_A_LINE and now - self.started < self.every:
            return
        self.last = now
        seconds = max(now - self.started, 1e-9)
        rate = self.done / seconds
        remaining = max(0, self.total - self.done) / rate if rate else 0.0
        left = f", {remaining:,.0f} s left" if remaining >= 1 else ""
        if self.unit:
            print(
                f"{self.label}: {round(self.done, 1):g} of {self.total:g} {self.unit}{left}",
                file=self.stream,
                flush=True,
            )
            return
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        share = f" {min(1.0, self.done / self.total):.0%}" if self.total else ""
        print(
            f"{self.label}{share}: {_mega(self.done)} MB at {_mega(rate)} MB/s{left}, {peak:,.0f} MB memory",
            file=self.stream,
            flush=True,
        )


class Bar(Progress):
    """A bar with share, rate, time left and memory, drawn by tqdm."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self.stream = stream
        self._bar: Any = None

    def say(self, said: str) -> None:
        with self._lock:
            self.finish()  # drawn anew below the line by whoever advances next
            print(said, file=self.stream, flush=True)

    def show(self, begin: bool = False) -> None:
        new = self._bar is None
        if new:
            from tqdm import tqdm

            self._bar = tqdm(
                desc=self.label,
                total=self.total or None,
                unit="B",
                unit_scale=True,
                file=self.stream,
                leave=False,
                dynamic_ncols=True,
                bar_format=_COUNTED.replace("UNIT", self.unit) if self.unit else None,
            )
        if not self.unit:
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            self._bar.set_postfix_str(f"{peak:,.0f} MB memory", refresh=new)
        done = min(self.done, self.total or self.done)
        self._bar.update((round(done, 1) if self.unit else done) - self._bar.n)

    def finish(self) -> None:
        self.close()

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None


def for_terminal(quiet: bool = False) -> Progress:
    """The progress that suits standard error."""
    if quiet:
        return Progress()
    return Bar(sys.stderr) if sys.stderr.isatty() else Lines(sys.stderr)
