"""The local executor: worker threads over spans, with a bounded number in flight.

Threads serve because everything hot (decoding, the compiled kernels, compression) releases the interpreter lock, and
because scripts and notebooks then need no guard around their main code. Results come as they finish; nothing that
uses them may depend on their order.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Protocol, TypeVar

Task = TypeVar("Task")
Result = TypeVar("Result")


class Executor(Protocol):
    """Anything that maps a function over tasks, in any order, a bounded number at a time."""

    workers: int

    def map(
        self, work: Callable[[Task, Callable[[], bool]], Result], tasks: Sequence[Task]
    ) -> Iterator[tuple[Task, Result]]:
        """Yield (task, result) as they finish. ``work`` gets a second argument that tells whether to stop early."""
        ...


class Local:
    """Threads on this machine. ``workers=0`` takes every core that this process may use."""

    def __init__(self, workers: int = 0) -> None:
        self.workers = workers or len(os.sched_getaffinity(0))

    def map(
        self, work: Callable[[Task, Callable[[], bool]], Result], tasks: Sequence[Task]
    ) -> Iterator[tuple[Task, Result]]:
        stop = threading.Event()
        if self.workers == 1 or len(tasks) == 1:
            for task in tasks:
                yield task, work(task, stop.is_set)
            return
        pending: dict[Future[Result], Task] = {}
        waiting = iter(tasks)
        with ThreadPoolExecutor(self.workers, thread_name_prefix="cuvee") as pool:
            try:
                for task in waiting:
                    pending[pool.submit(work, task, stop.is_set)] = task
                    if len(pending) > self.workers:
                        break
                while pending:
                    done, _ = wait(pending, return_when=FIRST_COMPLETED)
                    for future in done:
                        yield pending.pop(future), future.result()
                        for task in waiting:
                            pending[pool.submit(work, task, stop.is_set)] = task
                            break
            finally:  # an error, an interrupt or a caller that stopped listening
                stop.set()
                for future in pending:
                    future.cancel()
