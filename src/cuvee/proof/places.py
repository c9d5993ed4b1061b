"""Where trials are kept and where they run: the frame that every command shares that trains many proxies.

    with occupied(output, PROOF, "proof", ledger, cache, executor, workers, progress, say) as place: ...

``prove``, ``mix search`` and ``mix utilities`` open a pool, look for evaluation text in it, train and compare; what
they do alike is here, in :mod:`cuvee.proof.evaluations` and, for the last two, in :mod:`cuvee.search.pool_job`.
"""

from __future__ import annotations

import contextlib
import inspect
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from ..engine import files
from ..engine.executor import Executor
from ..engine.local import Local
from ..engine.progress import Progress
from ..engine.ray import Ray
from ..engine.store import Store
from ..errors import UsageError
from ..layout import refuse_foreign
from ..report.terminal import safe
from .crew import Crew
from .draws import Drawn
from .evaluations import EvaluationSet
from .ledger import Ledger, warn
from .ray_crew import RayWorker
from .record import Record
from .sweep import Start
from .trials import Task, run_trials


@dataclass(frozen=True)
class Place:
    """Where a command works, and who is told of it.

    Attributes:
        say: told what is going to happen, a sentence each.
        crew: processes on this machine that run trials.
    """

    store: Store
    ledger: Ledger
    executor: Executor
    progress: Progress
    say: Callable[[str], object]
    crew: Crew = field(default_factory=Crew)


@contextlib.contextmanager
def occupied(
    output: str | os.PathLike[str],
    own: str,
    kind: str,
    ledger: str | os.PathLike[str],
    cache: str | os.PathLike[str] | None,
    executor: Executor | None,
    workers: int,
    progress: Progress | None,
    say: Callable[[str], object] | None,
) -> Iterator[Place]:
    """The output locked and the cache in use, for a job that writes the file ``own``, which makes a ``kind``.

    Raises:
        UsageError: the output is not a place for it.
        BusyError: another process writes there.
    """
    folder, store = Path(output), Store(Path(cache) if cache is not None else None)
    apart(folder, Path(ledger))
    tell = harmless(say) if say is not None else None
    with files.lock(folder), store.in_use():
        refuse_foreign(folder, own, kind)
        told = tell or (lambda sentence: None)
        with Crew() as crew:
            trials, executor = Ledger(ledger, tell or warn), executor or Local(workers)
            yield Place(store, trials, executor, progress or Progress(), told, crew)


@contextlib.contextmanager
def looked_at(
    output: str | os.PathLike[str],
    own: str,
    kind: str,
    ledger: str | os.PathLike[str],
    cache: str | os.PathLike[str] | None,
    workers: int,
) -> Iterator[Place]:
    """The same place for a plan: nothing is locked or written but the cache.

    Raises:
        UsageError: the output is not a place for it.
    """
    apart(Path(output), Path(ledger))
    refuse_foreign(Path(output), own, kind)
    store = Store(Path(cache) if cache is not None else None)
    with store.in_use():
        yield Place(store, Ledger(ledger), Local(workers), Progress(), lambda sentence: None)


def with_defaults(function: Callable[..., Any], names: Sequence[str], asked: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of these names as a plan was asked, those that were not with the defaults of the function.

    Raises:
        TypeError: the function has no argument of a name that was asked.
    """
    known = inspect.signature(function).parameters
    if unknown := [name for name in asked if name not in known]:
        raise TypeError(f"{function.__name__}() has no argument '{unknown[0]}'")
    return {name: asked.get(name, known[name].default) for name in names}


def train(
    place: Place,
    tasks: Sequence[Task],
    corpus: Sequence[str],
    sets: Sequence[EvaluationSet],
    workers: int | None = None,
) -> dict[str, Record]:
    """The record of every trial, by key: from the ledger, or trained now, where the place's executor trains.

    Args:
        corpus: cache keys of the documents' tables. ``workers``: processes [as many as the executor has].
    """
    return run_trials(
        tasks,
        place.ledger,
        place.store,
        corpus,
        [one.evaluation for one in sets],
        workers or place.executor.trials,
        place.progress,
        place.ledger.notice,
        starter(place),
    )


def cost_of(drawn: Drawn, seconds: float = 0.0, operations: float = 0.0) -> dict[str, float]:
    """What choosing a trial's documents cost, and how many they are, as its record has them."""
    return {
        "select_seconds": seconds,
        "select_flops": operations,
        "tokens": float(drawn.tokens),
        "documents": float(drawn.documents),
    }


def apart(folder: Path, ledger: Path) -> None:
    """Refuse a ledger inside the output, which is replaced as a whole, and an output among the ledger's trials."""
    if ledger.resolve().is_relative_to(folder.resolve()):
        raise UsageError(
            f"The ledger {ledger} lies in the output {folder}, which is replaced as a whole: its trials would be lost. "
            "Name another folder with --ledger, or with -o."
        )
    if folder.resolve().is_relative_to(ledger.resolve()):
        raise UsageError(
            f"The output {folder} lies in the ledger {ledger}, which other tools read as one table. Name another "
            "folder with -o, or with --ledger."
        )


def harmless(say: Callable[[str], object]) -> Callable[[str], None]:
    """Tell sentences, which may quote names of folders, without what could control a terminal."""

    def tell(sentence: str) -> None:
        say(safe(sentence, 2000))

    return tell


def percent(progress: Progress) -> Callable[[float], None]:
    """What one training tells of its progress, the share that is done, as whole per cent of a bar of 100."""
    before = 0

    def told(share: float) -> None:
        nonlocal before
        now = int(100 * share)
        progress.advance(now - before)
        before = now

    return told


def starter(place: Place) -> Start:
    """How workers for trials are started: on a cluster, or as processes on this machine."""
    if not isinstance(place.executor, Ray):
        return place.crew.start
    place.executor.ready([place.store.root, place.ledger.folder], [])
    return partial(RayWorker, place.executor)
