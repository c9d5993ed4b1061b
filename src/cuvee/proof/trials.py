"""Running trials: those that the ledger lacks, in worker processes, each once however many commands share a ledger."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..engine.progress import Progress
from ..engine.store import Store, digest
from ..errors import DataError, UsageError
from .exchange import put_evaluation
from .ledger import Ledger, warn
from .proxy import Evaluation, Recipe
from .recipes import to_json
from .record import Record
from .sweep import Start, Sweep


@dataclass(frozen=True)
class Task:
    """A trial to be run.

    Attributes:
        arm: the arm's name; not part of the key, so arms of equal selections share their trials.
        selection: hex digest of how the documents are drawn.
        rows: what :func:`cuvee.proof.exchange.put_rows` returned for the documents' row numbers.
        evaluations: names of the evaluation sets to measure; all of them by default.
        select_cost: "select_seconds" and "select_flops" of the selection.
    """

    arm: str
    selection: str
    recipe: Recipe
    seed: int
    rows: str
    evaluations: tuple[str, ...] = ()
    select_cost: Mapping[str, float] = field(default_factory=dict)

    def key(self, evaluations: Mapping[str, str]) -> str:
        """The trial's name in the ledger, given the evaluation sets' digests by name."""
        measured = {name: evaluations[name] for name in self.evaluations or evaluations}
        return digest("trial", self.selection, self.recipe.digest(), self.seed, sorted(measured.items()))


def run_trials(
    tasks: Sequence[Task],
    ledger: Ledger,
    store: Store,
    corpus: Sequence[str],
    evaluations: Sequence[Evaluation],
    workers: int = 1,
    progress: Progress | None = None,
    notice: Callable[[str], object] = warn,
    start: Start | None = None,
) -> dict[str, Record]:
    """The record of every task, by key, in the order of the tasks: from the ledger, or run now.

    Trials run in ``workers`` processes, started when there is something to run; the result does not depend on how
    many, nor on the order in which trials finish. A trial that another process is running is waited for. A worker that
    crashes is replaced and its trial run once more; if it crashes again, the other trials are still run and kept.

    Args:
        corpus: cache keys of the documents' tables (see :mod:`cuvee.proof.exchange`), rows ascending. The caller holds
            the cache (``Store.in_use``).
        notice: told about crashes, one sentence each.
        start: starts a worker; a process on this machine by default.

    Raises:
        UsageError: two evaluation sets share a name, a recipe cannot be sent, or does not suit its proxy.
        DataError: documents are missing from the cache.
        ResourceError: a trial crashed twice, or a result could not be written.
        CuveeError: a proxy failed with an error of its own; its traceback is a note of the exception.
    """
    digests = {one.name: put_evaluation(store, one) for one in evaluations}
    if len(digests) < len(evaluations):
        raise UsageError("Two evaluation sets have the same name.")
    wanted: dict[str, Task] = {}
    for task in tasks:
        wanted.setdefault(task.key(digests), task)
    found = {key: record for key in wanted if (record := ledger.find(key)) is not None}
    ledger.tidy(found)
    missing = {key: task for key, task in wanted.items() if key not in found}
    if missing:
        absent = [key for key in corpus if not store.path(key).exists()]
        if absent:
            raise DataError("The trials' documents are no longer in the cache. Run the same command again.")
        messages = {key: _message(key, task, digests) for key, task in missing.items()}
        setting = {
            "ledger": str(ledger.folder.resolve()),
            "store": str(store.root.resolve()),
            "corpus": list(corpus),
            "evaluations": digests,
        }
        sweep = Sweep(messages, setting, ledger, max(1, workers), progress or Progress(), notice, start)
        sweep.run(len(found))
        found |= sweep.found
    return {key: dataclasses.replace(found[key], arm=task.arm) for key, task in wanted.items()}


def _message(key: str, task: Task, digests: Mapping[str, str]) -> dict[str, Any]:
    """A task as its worker is told."""
    return {
        "key": key,
        "arm": task.arm,
        "selection": task.selection,
        "recipe": to_json(task.recipe),
        "recipe_digest": task.recipe.digest(),
        "seed": task.seed,
        "rows": task.rows,
        "evaluations": list(task.evaluations or digests),
        "select_cost": dict(task.select_cost),
    }
