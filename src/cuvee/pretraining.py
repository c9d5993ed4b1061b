"""``cuvee pretrain``: a model to go on from, trained on a pool, kept in one file.

    model = cuvee.pretrain("old/", proxy="transformer:floor=0.1", output="old.safetensors")
    cuvee.prove("kept", evaluations=..., proxy="transformer:start=old.safetensors,onward=redecay")

The same documents, proxy and seed give the same bytes; a training that was killed goes on where it was.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from .checks import usable, write_rejects
from .core import Budget, Draw, Round, State
from .engine import files
from .engine.columns import DiskColumns
from .engine.executor import Executor
from .engine.local import Local
from .engine.one_thread import one_thread
from .engine.progress import Progress
from .engine.run import Engine
from .engine.store import Store, digest
from .errors import DataError, UsageError
from .layout import REJECTS
from .methods.choose.random import Random
from .methods.policy.uniform import Uniform
from .pool import Paths, Reading, named, open_stage
from .proof.corpus import gather
from .proof.draws import Drawn, Part, take
from .proof.exchange import Corpus
from .proof.places import percent
from .proof.proxies import checkpoint
from .proof.proxies.transformer import Transformer
from .proof.proxy import Recipe, Watch
from .proof.recipes import load_proxy
from .quantities import method_call
from .request import check_arguments


@dataclass
class Pretrained:
    """A finished training: the model's file, and what is to be known about it."""

    path: Path
    summary: dict[str, Any]


@one_thread()
def pretrain(
    pool: Paths,
    *,
    proxy: str | Transformer = "transformer",
    only: Sequence[str] = (),
    tokens: int | None = None,
    epochs: float = 1.0,
    seed: int = 0,
    output: str | os.PathLike[str] = "out/model.safetensors",
    reading: Reading | None = None,
    workers: int = 0,
    executor: Executor | None = None,
    cache: str | os.PathLike[str] | None = None,
    progress: Progress | None = None,
) -> Pretrained:
    """Train a proxy on a pool and keep the model, for trainings that go on from it.

    Args:
        proxy: the transformer with settings like "transformer:size=1M,floor=0.1"; with ``start`` it goes on itself.
        only: domains to take documents from [all].
        tokens: take random documents of so many tokens, by the pool's count [all documents].
        epochs: passes over these documents.
        output: the model's file; one that is no checkpoint of cuvee is not replaced. Rows that cannot be used are
            listed beside it, as model.rejects.jsonl.
        workers: threads that read. The result does not depend on it.

    Raises:
        UsageError, DataError, ResourceError, BusyError: with a sentence that says what, where and what next.
    """
    started = time.monotonic()
    check_arguments(pool=pool, output=output, reading=reading, workers=workers, seed=seed, tokens=tokens)
    model = _asked(proxy, only, epochs)
    place, store, shown = Path(output), Store(Path(cache) if cache is not None else None), progress or Progress()
    with files.lock(place), store.in_use():
        _refuse_foreign(place)
        engine, rows, rejected, left_out = _opened(
            pool, reading, store, executor or Local(workers), shown, only, tokens, seed
        )
        batch = Corpus(store, gather(engine, rows.row)).batch(rows.places)
        key = digest("pretrain", rows.digest, Recipe(model, Uniform(), epochs).digest(), seed)
        shown.begin("training", 100, "percent")
        watch = Watch(percent(shown), store.root / "pretrain" / key, keep=place)
        policy = _Listening()
        outcome = model.train(batch, [], policy, epochs, seed, watch)
        shown.end()
        if outcome.diverged:
            raise DataError("The training diverged: a loss is not finite. Give a lower rate=... or a larger batch.")
        rejects = _list_of_rejects(place)
        if not rejected:
            rejects.unlink(missing_ok=True)  # of an earlier training, whose model is replaced, too
        told_of = write_rejects(engine, rejected, rejects, rejects)
    kept = checkpoint.inspect(place)
    summary = {
        "path": str(place),
        "digest": kept.digest,
        "documents": rows.documents,
        "tokens": rows.tokens,
        "epochs": epochs,
        "only": list(only),
        "about": asdict(kept.about),
        "loss": policy.heard[-1] if policy.heard else None,
        "warnings": left_out,
        "rejects": told_of,
        "seconds": round(time.monotonic() - started, 3),
    }
    return Pretrained(place, summary)


def plan(
    pool: Paths,
    *,
    proxy: str | Transformer = "transformer",
    only: Sequence[str] = (),
    tokens: int | None = None,
    epochs: float = 1.0,
    seed: int = 0,
    output: str | os.PathLike[str] = "out/model.safetensors",
    reading: Reading | None = None,
    workers: int = 0,
    cache: str | os.PathLike[str] | None = None,
) -> dict[str, Any]:
    """What :func:`pretrain` with the same arguments would train; it fails where that would fail before training.

    The pool is read, and nothing is written outside the cache.
    """
    check_arguments(pool=pool, output=output, reading=reading, workers=workers, seed=seed, tokens=tokens)
    model, store = _asked(proxy, only, epochs), Store(Path(cache) if cache is not None else None)
    _refuse_foreign(Path(output))
    with store.in_use():
        _, rows, rejected, left_out = _opened(pool, reading, store, Local(workers), Progress(), only, tokens, seed)
    trains = f"a transformer of {model.size}" + (f", from {model.start}" if model.start else "")
    amount = f"{rows.documents:,} document{'' if rows.documents == 1 else 's'}, {rows.tokens:,} tokens"
    writes = [str(output), *([str(_list_of_rejects(Path(output)))] if rejected else [])]
    return {"reads": named(pool), "trains": f"{trains}: {amount}, {_passes(epochs)}", "writes": writes} | (
        {"leaves out": " ".join(left_out)} if left_out else {}
    )


def _asked(proxy: str | Transformer, only: Sequence[str], epochs: float) -> Transformer:
    """The model that was asked for."""
    name, settings = method_call(proxy) if isinstance(proxy, str) else ("", {})
    model = load_proxy(name, settings) if isinstance(proxy, str) else proxy
    if not isinstance(model, Transformer):
        raise UsageError(f"Only a transformer can be gone on from, not {name}. Take --proxy transformer.")
    if not (np.isfinite(epochs) and epochs > 0):
        raise UsageError(f"--epochs must be a number above 0, not {epochs}.")
    if isinstance(only, str):
        raise UsageError(f"only must be a list of domains, like [{only!r}].")
    return model


def _opened(
    pool: Paths,
    reading: Reading | None,
    store: Store,
    executor: Executor,
    shown: Progress,
    only: Sequence[str],
    tokens: int | None,
    seed: int,
) -> tuple[Engine, Drawn, int, list[str]]:
    """The pool, the documents of it to train on, how many rows cannot be used, and what is to be said of them."""
    opened = open_stage(pool, reading or Reading(), store)
    if opened.spec.text is None:
        raise UsageError("The pool has no texts to train on. Name their column with --text.")
    engine = Engine(opened.stage, None, store, executor, shown)
    columns = engine.columns(domain_by_convention=opened.domain_by_convention)
    left_out = usable(engine, columns, reading or Reading())
    return engine, _rows(columns, tuple(only), tokens, seed), columns.rejected, left_out


def _passes(epochs: float) -> str:
    return f"{epochs:g} pass{'' if epochs == 1 else 'es'}"


@dataclass(frozen=True)
class _Listening(Uniform):
    """Uniform shuffling that takes down what the last tenth of each pass lost, in nats a token."""

    heard: list[float] = field(default_factory=list)

    def update(self, state: State, done: Round, loss: npt.NDArray[np.float64]) -> State:
        self.heard.append(float(loss[-max(1, len(loss) // 10) :].mean()))
        return super().update(state, done, loss)


def _rows(columns: DiskColumns, only: tuple[str, ...], tokens: int | None, seed: int) -> Drawn:
    """The documents to train on."""
    chosen = None
    if only:
        names = list(columns.domains)
        if unknown := [name for name in only if name not in names]:
            there = ", ".join(names[:12]) + (", ..." if len(names) > 12 else "")
            raise UsageError(f"The pool has no domain '{unknown[0]}'. It has: {there}.")
        codes = [names.index(name) for name in only]
        parts = [block["row"][np.isin(block["domain"], codes)] for block in columns.blocks("row", "domain")]
        chosen = np.concatenate(parts).astype(np.int64)
    part = Part(columns, only=chosen)
    if tokens is None:
        found = take(part, None)
    else:
        draw, rule = Draw(seed), Random("pretrain")
        more = min(tokens + max(tokens // 8, 1), max(part.totals["tokens"], 1))
        found = take(part, rule.choose(part, Budget("tokens", more), draw), tokens, draw)
    if not found.documents:
        raise DataError("There is nothing to train on: no document fits. Give more --tokens, or other domains.")
    return found


def _list_of_rejects(place: Path) -> Path:
    """Where rows that could not be used are listed: beside the model."""
    return place.with_name(f"{place.stem}.{REJECTS}")


def _refuse_foreign(place: Path) -> None:
    """Never replace a file that is no checkpoint, nor one beside it that is no list of rejected rows."""
    if place.is_dir():
        raise UsageError(f"{place} is a folder. Name a file for the model with -o, like {place}/model.safetensors.")
    if place.exists():
        try:
            checkpoint.inspect(place)
        except DataError:
            raise UsageError(f"{place} is no checkpoint of cuvee. Choose another place with -o.") from None
    listed = _list_of_rejects(place)
    if listed.exists():
        try:
            with listed.open("rb") as stream:
                own = set(json.loads(stream.readline(1 << 20))) == {"file", "line", "why"}
        except (OSError, ValueError, TypeError):
            own = False
        if not own:
            raise UsageError(f"{listed} is no list of rejected rows by cuvee. Choose another place for the model.")


def lines(done: Pretrained) -> list[str]:
    """What the command line prints."""
    from .quantities import shell_path
    from .report.terminal import plural, safe, warned

    told, about = done.summary, done.summary["about"]
    rate = f"{about['rate']:.3g}" if about["rate"] else "0"
    passes = _passes(told["epochs"])
    found = [
        f"Trained {about['size']} on {plural(told['documents'], 'document')}, {told['tokens']:,} tokens, {passes}",
        f"  model   {safe(told['path'], 60)}  {told['digest'][:8]}",
        f"  rate    {about['peak']:.3g} at most, {rate} at the end",
    ]
    if told["loss"] is not None:
        found.append(f"  loss    {told['loss']:.4f} nats a token of what it was trained on last")
    for warning in told["warnings"]:
        found += warned(warning, 80)
    if told["rejects"]["count"]:
        found.append(f"  rejected rows are listed beside it in {safe(Path(told['rejects']['file']).name, 40)}")
    if not about["rate"]:
        found.append("  (!) to go on without warming up (onward=redecay) train it with floor=0.1")
    go_on = f"--proxy transformer:size={about['size']},start={shell_path(told['path'])}"
    return [*found, f"next: cuvee prove kept/ -e held-out.jsonl {go_on}"]
