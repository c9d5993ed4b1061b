"""A process that runs trials, one after another: started by :mod:`cuvee.proof.crew`, told what to do through pipes.

One JSON object per line. In: a setting, which is the place of ledger and cache, the documents and the evaluation sets;
then trials; {"rest"} when none is left, and perhaps all this again.
Out: {"share"} (of the trial that is done), {"done"} (its record is in the ledger), or {"error"}. Whatever a proxy
prints goes to standard error. Numerical libraries run single-threaded (crew sets their environment), so that a result
does not depend on how many cores or workers there are.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import signal
import sys
import threading
import time
import traceback
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from .. import errors
from ..engine import files
from ..engine.store import Store
from ..layout import versions
from .exchange import Corpus, get_evaluation, get_rows
from .ledger import Ledger
from .proxy import Evaluation, Outcome, Watch
from .recipes import from_json
from .record import Record

_PR_SET_PDEATHSIG = 1
_SHARE_SECONDS = 0.2
_CLOCK_SECONDS = 10.0


def main(parent: int) -> None:
    """Serve until the parent closes the pipe or ends."""
    _die_with(parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches every process of the terminal; the parent decides
    inbox, outbox = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb", buffering=0)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(2, 1)
    try:
        runner: Runner | None = None
        for line in inbox:
            message = json.loads(line)
            if "rest" in message:
                runner = None  # frees its documents
            elif "store" in message:
                runner = Runner(message, outbox)
            elif runner is not None:
                runner.answer(message)
    except BrokenPipeError:
        os._exit(0)


def _die_with(parent: int) -> None:
    """End this process when its parent ends, however that ends and whatever happens here."""
    with contextlib.suppress(Exception):
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    if os.getppid() != parent:
        os._exit(1)
    threading.Thread(target=watch, daemon=True).start()


class Outbox(Protocol):
    """Where lines go."""

    def write(self, line: bytes, /) -> object: ...


class Runner:
    """Runs trials with what the first message names."""

    def __init__(self, setting: Mapping[str, Any], outbox: Outbox) -> None:
        self.outbox = outbox
        self.store = Store(Path(setting["store"]))
        self.ledger = Ledger(Path(setting["ledger"]), notice=lambda sentence: None)
        self.corpus = Corpus(self.store, setting["corpus"])
        self.digests: dict[str, str] = setting["evaluations"]
        self.evaluations: dict[str, Evaluation] = {}
        self.told = 0.0

    def tell(self, **message: Any) -> None:
        self.outbox.write(json.dumps(message).encode() + b"\n")

    def answer(self, task: Mapping[str, Any]) -> None:
        """Run a trial and put it into the ledger, or tell what went wrong."""
        try:
            self.ledger.append(self.run(task))
        except errors.CuveeError as error:
            self.tell(error=type(error).__name__, message=str(error))
        except MemoryError:
            self.tell(error="MemoryError", message="it ran out of memory")
        except BrokenPipeError:
            raise
        except Exception as error:
            self.tell(error="", message=f"{type(error).__name__}: {error}", trace=traceback.format_exc())
        else:
            self.tell(done=task["key"])

    def run(self, task: Mapping[str, Any]) -> Record:
        recipe = from_json(task["recipe"], foreign=True)
        if recipe.digest() != task["recipe_digest"]:
            raise errors.UsageError(
                f"The recipe of {task['arm']} is another one when it is read back: a module has changed since it was "
                "loaded, or a class keeps parameters that are not fields. Start the program anew."
            )
        single_threaded()
        evaluations = [self.evaluation(name) for name in task["evaluations"]]
        rows = get_rows(self.store, task["rows"])
        data = self.corpus.batch(rows)
        folder = self.ledger.running(task["key"])
        clock = _Clock(folder / "seconds.json")

        def progress(share: float) -> None:
            clock.tick()
            if time.monotonic() - self.told > _SHARE_SECONDS:
                self.told = time.monotonic()
                self.tell(share=float(share))

        started = datetime.now(UTC)
        watch = Watch(progress, folder)
        outcome = recipe.proxy.train(data, evaluations, recipe.policy, recipe.epochs, task["seed"], watch)
        seconds = clock.seconds()
        diverged = outcome.diverged or not all(one.finite for one in outcome.measured.values())
        distinct = np.unique(rows, return_index=True)[1]
        text = "text" in recipe.proxy.needs
        tokens = float(np.diff(data.offsets)[distinct].sum()) if text else float(len(distinct))
        timed = {"tokens": tokens, "train_seconds": seconds - outcome.cost.get("eval_seconds", 0.0)}
        return Record(
            key=task["key"],
            arm=task["arm"],
            selection=task["selection"],
            recipe=task["recipe_digest"],
            recipe_json=json.dumps(task["recipe"], sort_keys=True),
            seed=task["seed"],
            status="diverged" if diverged else "finished",
            evaluations={name: self.digests[name] for name in task["evaluations"]},
            cost={**timed, **outcome.cost, **task["select_cost"]},
            metrics={} if diverged else metrics(outcome, evaluations),
            curve=outcome.curve,
            measured={} if diverged else outcome.measured,
            versions=_versions(),
            hardware=hardware(),
            started=started,
            seconds=seconds,
        )

    def evaluation(self, name: str) -> Evaluation:
        if name not in self.evaluations:
            try:
                self.evaluations[name] = get_evaluation(self.store, self.digests[name], name)
            except FileNotFoundError as error:
                raise errors.DataError(
                    f"The cache's copy of the evaluation set '{name}' is missing or damaged. Run the same command "
                    "again."
                ) from error
        return self.evaluations[name]


class _Clock:
    """Seconds spent on a trial, those of killed attempts included, as far as they were noted."""

    def __init__(self, path: Path) -> None:
        self.path, self.before, self.begin = path, 0.0, time.monotonic()
        with contextlib.suppress(OSError, ValueError, TypeError):
            self.before = max(0.0, float(json.loads(path.read_bytes())))
        self.noted = self.begin

    def seconds(self) -> float:
        return self.before + time.monotonic() - self.begin

    def tick(self) -> None:
        """Note the seconds from time to time."""
        if time.monotonic() - self.noted > _CLOCK_SECONDS:
            self.noted = time.monotonic()
            with files.whole_file(self.path, durable=False) as stream:
                stream.write(json.dumps(self.seconds()).encode())


def metrics(outcome: Outcome, evaluations: list[Evaluation]) -> dict[str, float]:
    """Mean loss per evaluation set ("NAME") and per subgroup with examples ("NAME/GROUP").

    Raises:
        AssertionError: the proxy did not measure every example.
    """
    found = {}
    for one in evaluations:
        measured = outcome.measured.get(one.name)
        if measured is None or not len(measured.loss) == len(measured.size) == len(one.batch):
            raise AssertionError(f"the proxy did not measure every example of the evaluation set '{one.name}'")
        found[one.name] = measured.mean()
        for code, group in enumerate(one.groups):
            inside = one.group == code
            if inside.any():
                found[f"{one.name}/{group}"] = float(measured.loss[inside].sum() / measured.size[inside].sum())
    return found


def single_threaded() -> None:
    """Hold PyTorch to one thread, where a proxy has imported it; the environment has done so for the others."""
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.set_num_threads(1)


def _versions() -> dict[str, str]:
    torch = sys.modules.get("torch")
    return versions() | ({"torch": str(torch.__version__)} if torch is not None else {})


def hardware() -> dict[str, str]:
    """The processor, its cores, and the accelerator if there is one in use."""
    model = platform.processor() or platform.machine()
    with contextlib.suppress(OSError, StopIteration):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    found = {"processor": model, "cores": str(len(os.sched_getaffinity(0)))}
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        found["accelerator"] = str(torch.cuda.get_device_name())
    return found
