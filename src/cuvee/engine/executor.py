"""What the engine asks of whatever runs its work: threads on this machine or a cluster.

An executor maps work over tasks and merges states; it decides nothing. Results may come in any order, and nothing that
uses them may depend on it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from ..core import Fold, State

if TYPE_CHECKING:
    from ..source.base import Source

Task = TypeVar("Task")
Advance = Callable[[float], object]


def unheard(_amount: float) -> None:
    """Progress that nobody looks at."""


def never() -> bool:
    """Nothing asks to stop."""
    return False


class Stopped(Exception):  # noqa: N818
    """A worker noticed that the run is over and gave up its task."""


@dataclass(frozen=True)
class Watch:
    """What work may ask and tell while it runs: whether to stop early, and how far it is."""

    stopped: Callable[[], bool] = never
    advance: Advance = unheard


class Executor(Protocol):
    """Runs work. ``work(task, watch)`` must be picklable for executors in other processes (``remote``)."""

    workers: int
    """Tasks that run at once."""
    trials: int
    """Trials of a proof that run at once."""
    remote: bool
    """Whether work runs in other processes: states stay there until they are fetched."""

    def ready(self, folders: Sequence[Path], sources: Sequence[Source]) -> None:
        """Make sure that workers can read these files, share these folders, and run the same code.

        Raises:
            ResourceError: with a sentence that names the worker, the path and what to do.
        """
        ...

    def map(
        self,
        work: Callable[[Task, Watch], Any],
        tasks: Iterable[Task],
        advance: Advance = unheard,
        outputs: Callable[[Task], int] | None = None,
    ) -> Iterator[tuple[Task, Any]]:
        """Yield (task, result) as tasks finish, a bounded number of them under way at any time.

        Args:
            advance: called with what the work told its watch.
            outputs: where the work returns a tuple whose first item is for the caller and whose others are states: how
                many items a task's tuple has. The states then come as handles for :meth:`merge` and :meth:`fetch`.
        """
        ...

    def merge(self, fold: Fold, left: Any, right: Any) -> Any:
        """The handle of the merged states of two handles."""
        ...

    def fetch(self, handle: Any) -> State:
        """The state behind a handle."""
        ...
