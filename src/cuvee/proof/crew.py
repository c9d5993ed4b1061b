"""Worker processes as the parent sees them, and where they wait between one call's trials and the next.

They are started with ``subprocess`` and not with ``multiprocessing``, whose children import the user's script again:
cuvee is called from scripts and notebooks that have no ``if __name__ == "__main__"``. Nothing is pickled.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from ..errors import ResourceError

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS", "NUMBA_NUM_THREADS")
_START = (
    "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN); import sys; parent = int(sys.argv[1]); "
    "sys.path[:] = sys.argv[2:]; from cuvee.proof.worker import main; main(parent)"
)


class Worker:
    """One process and the trial that it is running.

    It asks the system to be killed with the thread that started it, so that thread has to outlive the trials.
    """

    def __init__(self, setting: Mapping[str, Any]) -> None:
        """
        Args:
            setting: the first message; see :mod:`cuvee.proof.worker`.

        Raises:
            ResourceError: the process cannot be started.
        """
        path = [os.path.abspath(one) for one in sys.path]  # noqa: PTH100 (pathlib would follow links)
        environment = os.environ | dict.fromkeys(THREADS, "1") | {"PYTHONHASHSEED": "0"}
        self.crew: Crew | None = None
        self.task: str | None = None
        self.share = 0.0
        self._rest = b""
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-c", _START, str(os.getpid()), *path],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=environment,
                bufsize=0,
            )
        except (OSError, ValueError) as error:
            raise ResourceError(f"A worker process cannot be started with {sys.executable}: {error}.") from error
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._in, self._out = self._process.stdin, self._process.stdout
        os.set_blocking(self._out.fileno(), False)
        self.begin(setting)

    @property
    def pid(self) -> int:
        return self._process.pid

    def begin(self, setting: Mapping[str, Any]) -> None:
        """Tell it where ledger, documents and evaluation sets are; again before the trials of another call."""
        self._send(setting)

    def give(self, key: str, task: Mapping[str, Any]) -> None:
        """Let it run a trial."""
        self.task, self.share = key, 0.0
        self._send(task)

    def _send(self, message: Mapping[str, Any]) -> None:
        with contextlib.suppress(BrokenPipeError):  # it has died: found when its answers end
            left = memoryview(json.dumps(message).encode() + b"\n")
            while left:
                left = left[self._in.write(left) :]

    def answers(self) -> tuple[list[dict[str, Any]], bool]:
        """What it has said since the last call, and whether it has ended."""
        ended = self._process.poll() is not None  # asked first: what it said before is then there to be read
        while True:
            try:
                part = self._out.read(1 << 16)
            except BlockingIOError:
                break
            if part is None:
                break
            if not part:
                ended = True
                break
            self._rest += part
        *lines, self._rest = self._rest.split(b"\n")
        return [json.loads(line) for line in lines], ended

    def death(self) -> str:
        """How a process that has ended (or closed its pipe) ended, in words."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=5)
        code = self._process.returncode
        if code is None:
            return "closed its pipe"
        if code >= 0:
            return f"ended with status {code}"
        name = signal.Signals(-code).name
        return f"was killed ({name}), perhaps for want of memory" if -code == signal.SIGKILL else f"crashed ({name})"

    def leave(self) -> None:
        """No trial is left for it: forget its documents, and wait for the next call's trials, if it is of a crew."""
        if self.crew is None:
            self.stop()
        else:
            self._send({"rest": True})
            self.crew.idle.append(self)

    def clear(self) -> None:
        """End the workers that wait: the memory that they hold may be what is lacking."""
        if self.crew is not None:
            self.crew.clear()

    def stop(self) -> None:
        """End the process at once: an idle one has nothing to lose, a busy one no more than since its checkpoint."""
        with contextlib.suppress(OSError):
            self._in.close()
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        self._out.close()

    @staticmethod
    def wait(workers: Sequence[Worker], seconds: float) -> None:
        """Return when one of the workers has said something or ended, or after some seconds."""
        poll = select.poll()
        for worker in workers:
            poll.register(worker._out, select.POLLIN)
        poll.poll(seconds * 1000)


class Crew:
    """The workers of one command. To start one takes as long as many a trial, and a proof has several calls' trials."""

    def __init__(self) -> None:
        self.idle: list[Worker] = []
        self._started: list[Worker] = []

    def start(self, setting: Mapping[str, Any]) -> Worker:
        """A worker that waits, or else a new one, with this setting."""
        while self.idle:
            worker = self.idle.pop()
            if not worker.answers()[1]:
                worker.begin(setting)
                return worker
            worker.stop()
        worker = Worker(setting)
        worker.crew = self
        self._started.append(worker)
        return worker

    def clear(self) -> None:
        """End those that wait."""
        while self.idle:
            self.idle.pop().stop()

    def __enter__(self) -> Crew:
        return self

    def __exit__(self, *error: object) -> None:
        for worker in self._started:
            worker.stop()
