"""``cuvee mix utilities``: what each source is worth at the end of training, told by ends of one run that leave it out.

Blakeney et al., "Does your data spark joy?" (2024, arXiv 2406.03476): a run is trained on the natural mix up to its
last part, once. From that checkpoint one end is trained on the full final mix, and one for every source without it, its
share given to the others in proportion, at the same seeds. The utility of a source is what the loss rises without it.
That costs the ends alone: about ``last`` of what leaving sources out of whole runs would.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from . import utilities_wording as wording
from .checks import write_rejects
from .engine import files
from .engine.executor import Executor
from .engine.one_thread import one_thread
from .engine.plan import make
from .engine.progress import Progress
from .errors import UsageError
from .layout import REJECTS, REPORT, UTILITIES, Result, publish
from .methods.policy.upsample_end import UpsampleEnd
from .mixing import check_amounts
from .pool import Paths, Reading, named
from .proof.evaluations import required
from .proof.places import looked_at, occupied, with_defaults
from .proof.proxies.transformer import Transformer
from .proof.recipes import load_proxy
from .quantities import method_call
from .request import check_arguments
from .search.utility_job import Question, UtilityJob

OWN = ("schedule", "decay", "start", "start_digest", "onward")
"""Settings of the proxy that this command decides."""
ASKED = ("method", "weights", "only", "proxy", "tokens", "run_tokens", "seeds", "seed", "overlap", "eval_bytes")
"""What is asked, as :func:`end_utilities` takes it."""
NO_SETS = ", so no source can be worth anything: give held-out documents like those the model is for, with --eval FILE"
KIND = "table of utilities"


class Utilities(Result):
    """Finished utilities: the folder they lie in and the content of its ``utilities.json``."""

    @property
    def by_source(self) -> dict[str, float]:
        """What each source is worth on the first evaluation set; above 0 it helps."""
        return {one["name"]: one["utility"] for one in self.summary["utilities"] if one["first"]}


@one_thread()
def end_utilities(
    pool: Paths,
    *,
    evaluations: Mapping[str, Paths] | Sequence[str] | str,
    method: str = "upsample_end",
    weights: Mapping[str, float | str] | None = None,
    only: Sequence[str] = (),
    proxy: str | Transformer = "transformer",
    tokens: int | None = None,
    run_tokens: int | None = None,
    seeds: int = 5,
    seed: int = 0,
    overlap: Literal["clean", "refuse", "ignore"] = "clean",
    eval_bytes: int | None = None,
    ledger: str | os.PathLike[str] = "out/ledger",
    output: str | os.PathLike[str] = "out/utilities",
    reading: Reading | None = None,
    workers: int = 0,
    executor: Executor | None = None,
    cache: str | os.PathLike[str] | None = None,
    progress: Progress | None = None,
    say: Callable[[str], object] | None = None,
    command: str | None = None,
) -> Utilities:
    """Train ends of one run with and without each source, and write utilities.json and report.html into ``output``.

    Args:
        pool: its domain column names the sources (``reading.domain``).
        evaluations: held-out documents by name, or "NAME=PATH" strings: what sources are to be good for.
        method: the final mix and the share of the run in which it holds: "upsample_end:domains=a+b,share=0.5,last=0.2".
        weights: the final mix itself, shares by source that sum to one; ``last`` is that of ``method``.
        only: sources to leave out [every one of the final mix].
        proxy: the transformer with settings; its schedule is this command's own.
        tokens: of the run that is planned [as many as the pool has]; ``run_tokens``: of the one that is trained here
            [what suits the proxy]. Sources are cut down so that both go through them equally often.
        seeds: at which ends are trained, at least 2; ``seed``: of the stock, the beginning, and the first of them.

    Raises:
        UsageError, DataError, ResourceError, BusyError: with a sentence that says what, where and what next.
    """
    started = time.monotonic()
    check_arguments(pool=pool, output=output, reading=reading, workers=workers, tokens=tokens, seed=seed)
    asked = (method, weights, only, proxy, tokens, run_tokens, seeds, seed, overlap, eval_bytes)
    question, sets = _ask(evaluations, *asked)
    folder, paths = Path(output), named(pool)
    said = command or f"cuvee.end_utilities({paths!r}, evaluations={evaluations!r}, seeds={seeds})"
    with occupied(folder, UTILITIES, KIND, ledger, cache, executor, workers, progress, say) as place:
        job = UtilityJob(place, said, paths, question=question)
        job.open(pool, sets, reading or Reading())
        job.prepare()
        place.say(job.trains())
        summary = job.run()
        summary["reproduce"]["timings"] = {"total": round(time.monotonic() - started, 3)}
        from .report.utilities import render

        with files.whole_folder(folder) as into:
            summary["rejects"] = write_rejects(job.engine, job.rows["rejected"], into / REJECTS, folder / REJECTS)
            summary = publish(into, UTILITIES, summary, render)
    return Utilities(folder, summary)


def plan(
    pool: Paths,
    *,
    evaluations: Mapping[str, Paths] | Sequence[str] | str,
    ledger: str | os.PathLike[str] = "out/ledger",
    output: str | os.PathLike[str] = "out/utilities",
    reading: Reading | None = None,
    workers: int = 0,
    cache: str | os.PathLike[str] | None = None,
    **asked: Any,
) -> dict[str, Any]:
    """What :func:`end_utilities` with the same arguments would train; nothing is trained, or written but the cache."""
    check_arguments(pool=pool, output=output, reading=reading, workers=workers)
    question, sets = _ask(evaluations, **with_defaults(end_utilities, ASKED, asked))
    with looked_at(output, UTILITIES, KIND, ledger, cache, workers) as place:
        job = UtilityJob(place, "", question=question)
        job.open(pool, sets, reading or Reading())
        job.prepare()
        found = job.outlook()
    return {**found, "ledger": str(ledger), "writes": [str(Path(output) / name) for name in (UTILITIES, REPORT)]}


def lines(done: Utilities) -> list[str]:
    """What the command line prints."""
    return wording.lines(done.folder, done.summary)


def _ask(
    evaluations: Mapping[str, Paths] | Sequence[str] | str,
    method: str,
    weights: Mapping[str, float | str] | None,
    only: Sequence[str],
    proxy: str | Transformer,
    tokens: int | None,
    run_tokens: int | None,
    seeds: int,
    seed: int,
    overlap: Literal["clean", "refuse", "ignore"],
    eval_bytes: int | None,
) -> tuple[Question, dict[str, Paths]]:
    """The arguments as one checked object, and the evaluation sets' paths by name."""
    check_amounts(tokens, None)
    sets = required(evaluations, NO_SETS)
    if run_tokens is not None and run_tokens < 1:
        raise UsageError(f"--run-tokens must be at least 1, not {run_tokens}.")
    if eval_bytes is not None and eval_bytes < 1:
        raise UsageError(f"--eval-bytes must be at least 1, not {eval_bytes}.")
    if not isinstance(seed, int) or isinstance(seed, bool) or not 0 <= seed <= 2**40:
        raise UsageError(f"--seed must be a whole number from 0 to {2**40:,}, not {seed!r}.")
    if not isinstance(seeds, int) or isinstance(seeds, bool) or not 2 <= seeds <= 10_000:
        raise UsageError(f"--seeds must be a whole number from 2 to 10,000, better 5, not {seeds!r}.")
    if overlap not in ("clean", "refuse", "ignore"):
        raise UsageError(f"overlap must be one of clean, refuse, ignore, not {overlap!r}.")
    if isinstance(only, str):
        raise UsageError(f"only must be a list of sources, like [{only!r}].")
    name, settings = method_call(method)
    if name.replace("-", "_") != "upsample_end":
        raise UsageError(
            f"--with takes upsample_end:last=0.2,share=0.5, not '{name}'. For shares of your own: --weights."
        )
    if weights is not None and (idle := [one for one in ("domains", "share") if one in settings]):
        raise UsageError(
            f"The weights are the final mix, so upsample_end's {' and '.join(idle)} would have no part in it. Leave "
            "out one of both."
        )
    policy: UpsampleEnd = make(UpsampleEnd, settings, name)
    if not policy.last < 1:
        raise UsageError("upsample_end: last must be below 1, since there is a run before its end.")
    name, settings = method_call(proxy) if isinstance(proxy, str) else ("", {})
    if taken := [one for one in OWN if one in settings]:
        raise UsageError(f"The schedule is this command's own: leave {taken[0]} out of --proxy (see docs/mix.md).")
    model = load_proxy(name, settings) if isinstance(proxy, str) else proxy
    if not isinstance(model, Transformer):
        raise UsageError(f"Only a transformer goes on from a checkpoint, not {name}. Take --proxy transformer.")
    question = Question(
        model, policy, policy.last, weights, tuple(only), tokens, run_tokens, tuple(range(seed, seed + seeds)), seed,
        overlap, eval_bytes or model.eval_bytes,
    )  # fmt: skip
    return question, sets
