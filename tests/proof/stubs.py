"""Proxies for tests of the trial runner: slow, crashing, refusing; and a small world to run them in."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa

from cuvee.core import Batch, Examples, Policy
from cuvee.engine.progress import Progress
from cuvee.engine.store import Store
from cuvee.errors import DataError
from cuvee.methods.policy.uniform import Uniform
from cuvee.proof.exchange import put_rows
from cuvee.proof.ledger import Ledger
from cuvee.proof.loop import train
from cuvee.proof.proxies.ngram import Ngram
from cuvee.proof.proxy import Evaluation, Measured, Outcome, Point, Proxy, Recipe, Watch
from cuvee.proof.record import Record
from cuvee.proof.trials import Task, run_trials


@dataclass(frozen=True)
class Slow(Proxy):
    """Sleeps, then measures what depends on data, seed and thread settings alone. Every start is logged to $STUB_LOG.

    ``fate``: what happens to the seed ``at``, the first time ("... once") or always; see :meth:`suffer`. ``most``: with
    more bytes than so many it diverges; 0 is off.
    """

    seconds: float = 0.02
    fate: str = ""
    at: int = 0
    pair: tuple[float, ...] = (0.5, 1.0)
    most: int = 0

    summary: ClassVar[str] = "stub"
    unit: ClassVar[str] = "bits per byte"

    def train(
        self, data: Batch, evaluations: Sequence[Evaluation], policy: Policy, epochs: float, seed: int, watch: Watch
    ) -> Outcome:
        log = os.environ.get("STUB_LOG")
        if log:
            handle = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
            os.write(handle, f"{os.getpid()} {seed}\n".encode())
            os.close(handle)
        first = watch.checkpoint is None or not (watch.checkpoint / "tried").exists()
        if watch.checkpoint is not None:
            watch.checkpoint.mkdir(parents=True, exist_ok=True)
            (watch.checkpoint / "tried").touch()
        print("noise on standard output")
        if self.fate and seed == self.at and (first or "once" not in self.fate):
            self.suffer(self.fate.split()[0])
        for step in range(5):
            time.sleep(self.seconds / 5)
            watch.progress((step + 1) / 5)
        texts = b"".join(sorted(data.text_bytes(i) for i in range(len(data))))
        threads = [os.environ.get(f"{name}_NUM_THREADS") for name in ("OMP", "OPENBLAS", "MKL", "NUMBA")]
        assert threads == ["1"] * 4
        raw = hashlib.blake2b(texts + repr((seed, threads, len({"a", "b"}))).encode(), digest_size=8).digest()
        measured = {}
        for one in evaluations:
            rng = np.random.default_rng([int.from_bytes(raw, "little"), len(one.batch)])
            sizes = np.diff(one.batch.offsets).astype(np.float64)
            correct = (rng.random(len(sizes)) > 0.5).astype(np.float64)
            measured[one.name] = Measured(rng.random(len(sizes)) * sizes, sizes, correct)
        bad = (self.fate == "diverge" and seed == self.at) or 0 < self.most < len(texts)
        curve = (Point(len(texts), {name: found.mean() for name, found in measured.items()}),)
        cost = {"train_flops": 1.0, "train_tokens": float(len(texts))}
        return Outcome(bad, {} if bad else measured, curve, cost)

    def suffer(self, what: str) -> None:
        match what:
            case "exit":
                os._exit(11)
            case "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            case "crash":
                os.kill(os.getpid(), signal.SIGSEGV)
            case "memory":
                raise MemoryError
            case "refuse":
                raise DataError("This pool does not suit the stub.")
            case "bug":
                raise KeyError("oops")


@dataclass(frozen=True)
class Stepping(Proxy):
    """Trains in the shared loop with a checkpoint after every step; the first attempt ends before step ``death``."""

    death: int = -1

    summary: ClassVar[str] = "stub"
    unit: ClassVar[str] = "bits per byte"

    def train(
        self, data: Batch, evaluations: Sequence[Evaluation], policy: Policy, epochs: float, seed: int, watch: Watch
    ) -> Outcome:
        learner = Walk(data, evaluations, self.death, watch.checkpoint or Path())
        examples = Examples(data.key, np.zeros(len(data), np.int32))
        found = train(learner, examples, policy, epochs, 4, seed, dataclasses.replace(watch, every_seconds=0.0))
        measured = {
            one.name: Measured(np.full(len(one.batch), learner.at), np.ones(len(one.batch))) for one in evaluations
        }
        return Outcome(found.diverged, measured, tuple(found.curve), {"train_tokens": float(found.tokens)})


class Walk:
    """Steps that depend on all steps before. Logs them to $STUB_LOG."""

    def __init__(self, data: Batch, evaluations: Sequence[Evaluation], death: int, folder: Path) -> None:
        self.data, self.names, self.death, self.folder = data, [one.name for one in evaluations], death, folder
        self.at, self.steps = 1.0, 0

    def step(self, places: Any, weights: Any, progress: float) -> Any:
        if self.steps == self.death and not (self.folder / "died").exists():
            (self.folder / "died").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        with Path(os.environ["STUB_LOG"]).open("a") as stream:
            print(os.getpid(), self.steps, file=stream)
        self.at = (self.at + float(self.data.key[places] @ weights % 97) * (1.0 + progress)) % 7.1
        self.steps += 1
        return np.full(len(places), self.at)

    def evaluate(self) -> dict[str, float]:
        return dict.fromkeys(self.names, self.at)

    def tokens(self, places: Any) -> int:
        return len(places)

    def state(self) -> dict[str, Any]:
        return {"walk": np.array([self.at, self.steps])}

    def load(self, state: dict[str, Any]) -> None:
        self.at, self.steps = float(state["walk"][0]), int(state["walk"][1])


def evaluation(name: str = "held", n: int = 12) -> Evaluation:
    """Short texts in two groups."""
    texts = [f"held out text number {i} of {name}".encode() for i in range(n)]
    offsets = np.cumsum([0, *map(len, texts)]).astype(np.int64)
    rows = np.arange(n, dtype=np.int64)
    batch = Batch(np.frombuffer(b"".join(texts), np.uint8), offsets, rows, rows.astype(np.uint64))
    return Evaluation(name, batch, (rows % 2).astype(np.int32), ("even", "odd"))


def documents(store: Store, n: int = 60) -> list[str]:
    """Two tables of texts; rows 0, 2, 4 ... so that gaps occur."""
    keys = []
    for half in range(2):
        rows = np.arange(half * n, (half + 1) * n, 2)
        texts = [f"document {row}: ".encode() + b"wine and cheese " * (row % 9 + 1) for row in rows.tolist()]
        columns = {
            "row": pa.array(rows),
            "key": pa.array(rows.astype(np.uint64) * 7919),
            "text": pa.array(texts, pa.large_binary()),
        }
        keys.append(f"{half}{'d' * 39}")
        store.put_table(keys[-1], [pa.RecordBatch.from_pydict(columns)])
    return keys


def sweep(
    folder: Path,
    cache: Path,
    proxy: Proxy | None = None,
    seeds: Sequence[int] = range(20),
    workers: int = 2,
    progress: Progress | None = None,
    arm: str = "arm",
    documents_of: int = 60,
    **more: Any,
) -> dict[str, Record]:
    """One trial per seed on 20 of the documents; records by key."""
    store = Store(cache)
    keys = documents(store, documents_of)
    tasks = []
    for seed in seeds:
        rows = np.random.default_rng(seed).permutation(documents_of)[:20] * 2
        recipe = Recipe(proxy or Ngram(table_bits=12), Uniform())
        tasks.append(Task(arm, "5e1ec7", recipe, seed, put_rows(store, rows), (), {"select_seconds": 0.5}))
    return run_trials(
        tasks, Ledger(folder), store, keys, [evaluation(), evaluation("other", 7)], workers, progress, **more
    )


def result(record: Record) -> Any:
    """All of a record that may not depend on time and place."""
    losses = [
        (name, one.loss.tobytes(), one.size.tobytes(), None if one.correct is None else one.correct.tobytes())
        for name, one in sorted(record.measured.items())
    ]
    cost = {name: value for name, value in record.cost.items() if not name.endswith("_seconds")}
    kept = {
        one.name: getattr(record, one.name)
        for one in dataclasses.fields(record)
        if one.name not in ("cost", "measured", "hardware", "started", "seconds")
    }
    return kept, cost, losses


def results(records: dict[str, Record]) -> Any:
    return {key: result(record) for key, record in records.items()}
