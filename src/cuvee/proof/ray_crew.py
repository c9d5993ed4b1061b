"""Workers on a Ray cluster that run trials, with the same manners as the processes of :mod:`cuvee.proof.crew`."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..engine.ray import Ray, Refused, enter, refusal
from .crew import THREADS


class _Trials:
    """Runs on a cluster's node: one trial after another, while another thread hands out what is said about them."""

    def __init__(self, folder: str, setting: Mapping[str, Any]) -> None:
        from .worker import Runner

        self._lock = threading.Lock()
        self._said: list[dict[str, Any]] = []
        self._runner: Runner | None = None
        try:
            enter(folder)
            self._runner = Runner(setting, self)
        except Exception as error:  # said as the answer to its first trial
            refused = refusal(error)
            kind, sentence = refused.args if isinstance(refused, Refused) else ("ResourceError", f"{error}")
            self._said.append({"error": kind, "message": sentence})

    def write(self, line: bytes) -> None:
        """What the runner takes for its pipe."""
        with self._lock:
            self._said.append(json.loads(line))

    def run(self, task: Mapping[str, Any]) -> None:
        if self._runner is not None:
            self._runner.answer(task)

    def said(self) -> list[dict[str, Any]]:
        with self._lock:
            found, self._said = self._said, []
        return found


class RayWorker:
    """An actor and the trial that it is running."""

    def __init__(self, cluster: Ray, setting: Mapping[str, Any]) -> None:
        self.cluster = cluster
        self.task: str | None = None
        self.share = 0.0
        environment = dict.fromkeys(THREADS, "1") | {"PYTHONHASHSEED": "0"}
        kind = cluster.library.remote(_Trials).options(
            num_cpus=1,
            num_gpus=cluster.gpus,
            max_concurrency=2,
            max_restarts=0,
            runtime_env={"env_vars": environment},
        )
        with cluster.spoken():
            self._actor = kind.remote(str(Path.cwd()), dict(setting))
        self._running: Any = None
        self._asked: Any = None
        self._end = ""

    def give(self, key: str, task: Mapping[str, Any]) -> None:
        """Let it run a trial."""
        self.task, self.share = key, 0.0
        with self.cluster.spoken():
            self._running = self._actor.run.remote(dict(task))

    def answers(self) -> tuple[list[dict[str, Any]], bool]:
        """What it has said since the last call, and whether it has ended."""
        ray = self.cluster.library
        with self.cluster.spoken():
            if self._asked is None:
                self._asked = self._actor.said.remote()
            done, _ = ray.wait([self._asked], timeout=0, fetch_local=False)
        if not done:  # it may still wait for a core or a GPU
            return [], False
        asked, self._asked = self._asked, None
        try:
            return ray.get(asked), False
        except ray.exceptions.RayError as error:
            self._end = type(error).__name__
            return [], True

    def death(self) -> str:
        """How it ended, in words."""
        memory = ", for want of memory" if self._end == "OutOfMemoryError" else ""
        return f"was lost with its Ray worker or node{memory}"

    def leave(self) -> None:
        """No trial is left for it: give its core back, which other work on the cluster waits for."""
        self.stop()

    def clear(self) -> None:
        """None waits: see :meth:`leave`."""

    def stop(self) -> None:
        """End it at once: an idle one has nothing to lose, a busy one no more than since its checkpoint."""
        with contextlib.suppress(Exception):
            self.cluster.library.kill(self._actor)

    @staticmethod
    def wait(workers: Sequence[RayWorker], seconds: float) -> None:
        """Return when one of the workers has finished its trial or ended, or after some seconds."""
        running = [worker._running for worker in workers]
        cluster = workers[0].cluster
        cluster.check()
        with cluster.spoken():
            cluster.library.wait(running, num_returns=1, timeout=seconds, fetch_local=False)
