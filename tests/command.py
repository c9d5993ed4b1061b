"""The command line as tests use it: in this process where that is honest, else as a process of its own."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any
from unittest.mock import patch

from cuvee import cli
from cuvee.engine import files
from cuvee.report.terminal import width

CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]")
NOT_A_NUMBER = re.compile(r"\b(nan|inf|infinity)\b", re.IGNORECASE)


@dataclass(frozen=True)
class Answer:
    """What a command left on the terminal, and its exit status."""

    status: int
    out: str
    err: str

    def error(self) -> str:
        """The one sentence that a failed command says on standard error, on one line; nothing on standard output."""
        self.harmless()
        assert self.status != 0 and self.out == "", self
        assert self.err.startswith("error: ") and self.err.count("\n") == 1 and self.err.endswith("\n"), self
        assert len(self.err) > 20, self
        return self.err[7:-1]

    def screen(self) -> list[str]:
        """The lines of a command that went well: 24 of 80 columns, but for paths and commands to copy."""
        self.harmless()
        assert self.status == 0, self
        lines = self.out.splitlines()
        assert len(lines) <= 24, self.out
        copied = False
        for line in lines:
            copied = line.startswith(("next: ", "report: ")) or (copied and line.startswith("      "))
            assert copied or width(line) <= 80, line
        return lines

    def harmless(self) -> None:
        """No raw control character, no traceback."""
        for stream in (self.out, self.err):
            assert not CONTROL.search(stream), repr(stream)
            assert "Traceback" not in stream, stream


def cuvee(*arguments: Any) -> Answer:
    """Run a command in this process."""
    out, err = io.StringIO(), io.StringIO()
    with patch.object(sys, "argv", ["cuvee", *map(str, arguments)]), redirect_stdout(out), redirect_stderr(err):
        try:
            cli.run()
        except SystemExit as done:
            return Answer(int(done.code or 0), out.getvalue(), err.getvalue())
    raise AssertionError("a command ends with its exit status")


def line_of(*arguments: Any) -> list[str]:
    """The arguments of a process that runs a command as users do."""
    return [sys.executable, "-m", "cuvee.cli", *map(str, arguments)]


def process(*arguments: Any, **more: Any) -> subprocess.Popen[bytes]:
    """Start a command as a process and a group of its own."""
    streams: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **more}
    return subprocess.Popen(line_of(*arguments), start_new_session=True, **streams)


def answer_of(started: subprocess.Popen[bytes], timeout: float = 60) -> Answer:
    """Wait for a process."""
    out, err = started.communicate(timeout=timeout)
    return Answer(started.returncode, (out or b"").decode(), (err or b"").decode())


def outside(*arguments: Any, **more: Any) -> Answer:
    """Run a command as a process of its own."""
    return answer_of(process(*arguments, **more))


class Quick(files.System):
    """Writes without waiting for the disk."""

    def sync(self, stream: IO[bytes]) -> None:
        stream.flush()


@contextmanager
def inside(folder: Path) -> Iterator[None]:
    """With ``folder`` as the working folder."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, hidden ones included."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
