"""The trials that a ledger lacks, while worker processes run them."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping
from typing import Any

from ..engine.progress import Progress
from ..errors import BusyError, CuveeError, DataError, ResourceError, UsageError
from . import crew
from .ledger import Ledger
from .record import Record

_POLL_SECONDS = 0.3
_MOST_FAILURES = 3
"""After so many trials that crashed twice, the machine is at fault and the rest is not tried."""
Start = Callable[[Mapping[str, Any]], Any]
"""Starts a worker: :class:`cuvee.proof.crew.Worker`, or what has the same methods."""


class Sweep:
    """One call's missing trials: handed out, listened for, retried, put together."""

    def __init__(
        self,
        messages: Mapping[str, Mapping[str, Any]],
        setting: Mapping[str, Any],
        ledger: Ledger,
        workers: int,
        progress: Progress,
        notice: Callable[[str], object],
        start: Start | None = None,
    ) -> None:
        """
        Args:
            messages: what a worker is told, by the trial's key. ``setting``: what it is told before.
            start: starts a worker, given the setting; a process on this machine by default.
        """
        self.start = start or (lambda setting: crew.Worker(setting))
        self.messages, self.setting, self.ledger = messages, setting, ledger
        self.limit, self.progress, self.notice = workers, progress, notice
        self.waiting = list(messages)
        self.found: dict[str, Record] = {}
        self.failed: dict[str, str] = {}
        self.crashes: dict[str, int] = {}
        self.claims: dict[str, contextlib.ExitStack] = {}
        self.workers: list[Any] = []
        self.shown = 0.0
        self.told_of_others = False

    def run(self, before: int) -> None:
        """Run all; ``before``: how many others were in the ledger already."""
        label = f"training ({before} of {before + len(self.messages)} done before)" if before else "training"
        self.progress.begin(label, len(self.messages), "trials")
        try:
            while len(self.found) + len(self.failed) < len(self.messages) and len(self.failed) < _MOST_FAILURES:
                self.hand_out()
                self.dismiss()
                self.listen()
                self.show()
        finally:
            for worker in self.workers:
                (worker.leave if worker.task is None else worker.stop)()
            for claim in self.claims.values():
                claim.close()
            self.progress.end()
        if self.failed:
            raise self.failure()

    def name(self, key: str) -> str:
        """A trial in words."""
        return f"{self.messages[key]['arm']}, seed {self.messages[key]['seed']}"

    def hand_out(self) -> None:
        """Give idle workers what nobody else is running; take from the ledger what somebody else has finished."""
        for key in list(self.waiting):
            if sum(worker.task is not None for worker in self.workers) >= self.limit:
                return
            if not self.claim(key):
                continue
            self.waiting.remove(key)
            record = self.ledger.find(key)  # another process may have finished it since we looked
            if record is not None:
                self.finish(key, record)
                continue
            idle = [worker for worker in self.workers if worker.task is None]
            if not idle:
                idle = [self.start(self.setting)]
                self.workers += idle
            idle[0].give(key, self.messages[key])

    def dismiss(self) -> None:
        """Let idle workers go once nothing waits for one: on a cluster, one without a place may wait for theirs."""
        if not self.waiting:
            for worker in [worker for worker in self.workers if worker.task is None]:
                self.workers.remove(worker)
                worker.leave()

    def claim(self, key: str) -> bool:
        """Take the lock of a trial; the system gives it back when this process ends, however that ends."""
        if key not in self.claims:
            claim = contextlib.ExitStack()
            try:
                claim.enter_context(self.ledger.claim(key))
            except BusyError:
                return False
            self.claims[key] = claim
        return True

    def finish(self, key: str, record: Record) -> None:
        self.found[key] = record
        self.ledger.forget(key)
        self.claims.pop(key).close()

    def listen(self) -> None:
        """Wait for the workers, or for other processes if there are none, and take what they say."""
        busy = [worker for worker in self.workers if worker.task is not None]
        if busy:
            busy[0].wait(busy, _POLL_SECONDS)
        elif self.waiting:
            if not self.told_of_others:
                self.notice(f"Waiting for another process, which is running {len(self.waiting)} of the trials.")
            self.told_of_others = True
            time.sleep(_POLL_SECONDS)
        for worker in busy:
            messages, ended = worker.answers()
            for message in messages:
                self.take(worker, message)
            if ended and worker in self.workers:
                how = worker.death()
                self.discard(worker)
                if worker.task is not None:
                    self.crashed(worker, worker.task, how)

    def take(self, worker: Any, message: Mapping[str, Any]) -> None:
        """What a worker says about its trial."""
        assert worker.task is not None
        key = worker.task
        if "share" in message:
            worker.share = message["share"]
        elif "done" in message:
            worker.task = None
            record = self.ledger.find(key)
            if record is None:
                raise ResourceError(
                    f"The trial {self.name(key)} was written to {self.ledger.path(key)} and cannot be read back."
                )
            self.finish(key, record)
        elif message["error"] == "MemoryError":
            worker.task = None
            self.discard(worker)
            self.crashed(worker, key, "ran out of memory")
        else:
            raise self.error(key, message)

    def discard(self, worker: Any) -> None:
        self.workers.remove(worker)
        worker.stop()

    def crashed(self, worker: Any, key: str, how: str) -> None:
        """Run the trial once more, last of all and with fewer beside it if memory may be why; or give it up."""
        self.crashes[key] = self.crashes.get(key, 0) + 1
        if "memory" in how:
            worker.clear()
        if "memory" in how and self.limit > 1:
            self.limit -= 1
        if self.crashes[key] == 1:
            self.waiting.append(key)
            beside = "one worker" if self.limit == 1 else f"{self.limit} workers"
            self.notice(f"The trial {self.name(key)} {how}. It is run once more, with {beside}.")
        else:
            self.failed[key] = how
            self.claims.pop(key).close()

    def error(self, key: str, message: Mapping[str, Any]) -> CuveeError:
        """What a proxy refused, or failed with."""
        known: dict[str, type[CuveeError]] = {one.__name__: one for one in (UsageError, DataError, ResourceError)}
        known["MissingExtraError"] = UsageError  # which builds its sentence itself, and has the same exit status
        kind = known.get(message["error"], CuveeError)
        if message["error"]:
            return kind(message["message"])
        proxy = self.messages[key]["recipe"]["proxy"]["class"]
        failed = kind(f"The trial {self.name(key)} failed in the proxy {proxy}: {message['message']}")
        failed.add_note(message["trace"])
        return failed

    def failure(self) -> ResourceError:
        first = next(iter(self.failed))
        more = f", and so did {len(self.failed) - 1} more" if len(self.failed) > 1 else ""
        return ResourceError(
            f"The trial {self.name(first)} {self.failed[first]}, twice{more}. The others are kept in "
            f"{self.ledger.folder}: the same command goes on there. Fewer workers take less memory."
        )

    def show(self) -> None:
        """Trials done, with the shares of those under way."""
        share = len(self.found) + sum(worker.share for worker in self.workers if worker.task is not None)
        if share > self.shown:
            self.progress.advance(share - self.shown)
            self.shown = share
