"""``cuvee prove``: from selections, baselines and evaluation sets to verdicts, by trials of small models."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

from . import proof_wording as wording
from .checks import write_rejects
from .engine import files
from .engine.executor import Executor
from .engine.one_thread import one_thread
from .engine.progress import Progress
from .layout import PROOF, REJECTS, REPORT, Result, publish
from .pool import Paths, Reading
from .proof.job import Job
from .proof.places import looked_at, occupied, with_defaults
from .proof.proxy import Proxy
from .proof.question import ask

ASKED = (
    "seeds", "seed", "proxy", "policies", "epochs", "tokens", "equal", "margin", "effect", "stop_early", "overlap",
    "holdout", "eval_bytes", "ladder",
)  # fmt: skip
"""What is asked, as :func:`prove` takes it, but for selections, evaluation sets and baselines."""


class Proved(Result):
    """A finished proof: the folder it lies in and what was found (the content of ``proof.json``)."""

    @property
    def better(self) -> bool:
        """Whether every primary verdict is "better", none is missing because trials diverged, and no evaluation set is
        the selection's own target."""
        primary = [one["verdict"] for one in self.summary["comparisons"] if one["primary"]]
        diverged = any(one["diverged"] for one in self.summary["arms"] if one["kind"] != "full")
        held_out = not self.summary["on_target"]
        return bool(primary) and all(verdict == "better" for verdict in primary) and not diverged and held_out


@one_thread()
def prove(
    selections: Paths,
    *,
    evaluations: Mapping[str, Paths] | Sequence[str] | str,
    against: Sequence[str] | str | None = None,
    seeds: int = 8,
    seed: int = 0,
    proxy: str | Proxy = "ngram",
    policies: Sequence[str] = (),
    epochs: float = 1.0,
    tokens: int | None = None,
    equal: Literal["tokens", "cost"] = "tokens",
    margin: float | None = None,
    effect: float | None = None,
    stop_early: bool = False,
    overlap: Literal["clean", "refuse", "ignore"] = "clean",
    holdout: bool = False,
    ladder: float | Literal["auto"] | None = None,
    eval_bytes: int | None = None,
    ledger: str | os.PathLike[str] = "out/ledger",
    output: str | os.PathLike[str] = "out/prove",
    reading: Reading | None = None,
    workers: int = 0,
    executor: Executor | None = None,
    cache: str | os.PathLike[str] | None = None,
    progress: Progress | None = None,
    say: Callable[[str], object] | None = None,
    show_text: bool = True,
    command: str | None = None,
) -> Proved:
    """Train small models on selections and on their baselines, and compare them on held-out text.

    Args:
        selections: folders that :func:`cuvee.select` wrote.
        evaluations: held-out documents by name, or "NAME=PATH" strings. Subgroups are their domains.
        against: "random", "length_matched", "proportional", "full", or folders of other selections. By default the
            first two, and "proportional" where the pool has domains.
        seeds, seed: how many paired trials of every arm, from which seed on.
        proxy: "ngram", "transformer", "linear_probe", "mlp", with settings like "transformer:size=1M", or an instance.
        policies: policies in training to compare with uniform shuffling on the same documents, instead of baselines.
        tokens: of a trial, by the pool's count. Half of the smallest selection at most.
        margin, effect: in the proxy's unit (bits per byte, nats per example).
        holdout, ladder: guard half of each evaluation set, which answers by Thresholdout, or by a ladder with a step of
            this gain ("auto": by the spread of the differences).
        ledger: where trials are kept; those that it holds are not run again.
        reading: columns of the evaluation sets.
        say: told what is going to happen and how long it will take.

    Raises:
        UsageError, DataError, ResourceError, BusyError: with a sentence that says what, where and what next.
    """
    started = time.monotonic()
    question, sets = ask(
        selections, evaluations, against, seeds, seed, proxy, policies, epochs, tokens, equal, margin, effect,
        stop_early, overlap, holdout, eval_bytes, ladder,
    )  # fmt: skip
    folder = Path(output)
    said = command or f"cuvee.prove({selections!r}, evaluations={evaluations!r}, seeds={seeds})"
    with occupied(folder, PROOF, "proof", ledger, cache, executor, workers, progress, say) as place:
        job = Job(question, place, said)
        job.open(sets, reading or Reading())
        summary = job.run()
        if not show_text:
            for one in summary["overlap"]:
                one["examples"] = []
        summary["reproduce"]["timings"] = {"total": round(time.monotonic() - started, 3)}
        from .report.prove import render

        with files.whole_folder(folder) as into:
            summary["rejects"] = write_rejects(job.engine, job.rejected, into / REJECTS, folder / REJECTS)
            summary = publish(into, PROOF, summary, partial(render, no_text=not show_text))
    return Proved(folder, summary)


def plan(
    selections: Paths,
    *,
    evaluations: Mapping[str, Paths] | Sequence[str] | str,
    against: Sequence[str] | str | None = None,
    ledger: str | os.PathLike[str] = "out/ledger",
    output: str | os.PathLike[str] = "out/prove",
    reading: Reading | None = None,
    workers: int = 0,
    cache: str | os.PathLike[str] | None = None,
    **asked: Any,
) -> dict[str, Any]:
    """What ``prove`` with the same arguments would train and about how long it would take.

    Nothing is trained for the ledger, and nothing is written outside the cache.
    """
    question, sets = ask(selections, evaluations, against, **with_defaults(prove, ASKED, asked))
    with looked_at(output, PROOF, "proof", ledger, cache, workers) as place:
        job = Job(question, place, "")
        job.open(sets, reading or Reading())
        job.prepare(train=False)
        found = job.outlook()
    if question.equal == "cost":
        found["further"] = "the baselines get more tokens for the time that selecting took; measured on the first trial"
    return {**found, "ledger": str(ledger), "writes": [str(Path(output) / name) for name in (PROOF, REPORT)]}


def lines(proved: Proved) -> list[str]:
    """What the command line prints."""
    return wording.proof_lines(proved.folder, proved.summary)
