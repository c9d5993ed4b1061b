"""The local executor: worker threads, with a bounded number of tasks in flight.

Threads serve because everything hot (decoding, the compiled kernels, compression) releases the interpreter lock, and
because scripts and notebooks then need no guard around their main code.
"""

from __future__ import annotations

import itertools
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core import Fold, State
from .executor import Advance, Executor, Task, Watch, unheard

if TYPE_CHECKING:
    from ..source.base import Source

__all__ = ["Executor", "Local"]


class Local:
    """Threads on this machine. ``workers=0`` takes every core that this process may use."""

    remote = False

    def __init__(self, workers: int = 0) -> None:
        self.workers = self.trials = workers or len(os.sched_getaffinity(0))

    def ready(self, folders: Sequence[Path], sources: Sequence[Source]) -> None:
        """Threads see what this process sees."""

    def map(
        self,
        work: Callable[[Task, Watch], Any],
        tasks: Iterable[Task],
        advance: Advance = unheard,
        outputs: Callable[[Task], int] | None = None,
    ) -> Iterator[tuple[Task, Any]]:
        """See :class:`Executor`; states are handed on as they are."""
        stop = threading.Event()
        watch = Watch(stop.is_set, advance)
        waiting = iter(tasks)
        first = list(itertools.islice(waiting, 2))
        if self.workers == 1 or len(first) < 2:
            for task in itertools.chain(first, waiting):
                yield task, work(task, watch)
            return
        pending: dict[Future[Any], Task] = {}
        with ThreadPoolExecutor(self.workers, thread_name_prefix="cuvee") as pool:
            try:
                for task in itertools.islice(itertools.chain(first, waiting), self.workers + 1):
                    pending[pool.submit(work, task, watch)] = task
                rest = itertools.chain(first[len(pending) :], waiting)
                while pending:
                    done, _ = wait(pending, return_when=FIRST_COMPLETED)
                    for future in done:
                        yield pending.pop(future), future.result()
                        for task in itertools.islice(rest, 1):
                            pending[pool.submit(work, task, watch)] = task
            finally:  # an error, an interrupt or a caller that stopped listening
                stop.set()
                for future in pending:
                    future.cancel()

    def merge(self, fold: Fold, left: State, right: State) -> State:
        return fold.merge(left, right)

    def fetch(self, handle: State) -> State:
        return handle
