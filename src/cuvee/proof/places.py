"""Where trials are kept and where they run: what every command that trains proxies shares."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from ..engine.executor import Executor
from ..engine.ray import Ray
from ..engine.store import Store
from ..errors import UsageError
from ..report.terminal import safe
from .ledger import Ledger
from .ray_crew import RayWorker
from .sweep import Start


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


def starter(executor: Executor, store: Store, ledger: Ledger) -> Start | None:
    """How workers for trials are started; None for processes on this machine."""
    if not isinstance(executor, Ray):
        return None
    executor.ready([store.root, ledger.folder], [])
    return partial(RayWorker, executor)
