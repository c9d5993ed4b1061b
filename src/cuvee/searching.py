"""``cuvee mix search``: a swarm of proxy runs, a law fitted to it, a proposal, and its trial against its rivals."""

from __future__ import annotations

import csv
import io
import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import pyarrow.parquet as pq

from .checks import write_rejects
from .engine import files
from .engine.executor import Executor
from .engine.one_thread import one_thread
from .engine.plan import make
from .engine.progress import Progress
from .errors import UsageError
from .layout import REJECTS, REPORT, RUNS, SEARCH, Result, publish
from .pool import Paths, Reading, named
from .proof.places import Place, looked_at, occupied, with_defaults
from .proof.proxy import Proxy
from .quantities import method_call
from .request import check_arguments
from .search import wording
from .search.job import Job
from .search.prudent import PrudentJob
from .search.quality_job import Quality
from .search.question import Question, ask
from .search.runs import Done
from .search.trial import BEST

ASKED = (
    "runs", "iterations", "proxy", "law", "tokens", "run_tokens", "passes", "seeds", "seed", "objective", "overlap",
    "resample", "eval_bytes", "clusters", "bold", "proposer", "levels", "design", "freeze", "changed",
)  # fmt: skip
"""What is asked, as :func:`search_mix` takes it, but for ``over``."""
MEMBERS = "clusters.parquet"
"""Which document is in which cluster, where a search made its own."""


class Searched(Result):
    """A finished search: the folder it lies in and the content of its ``search.json``."""

    @property
    def weights(self) -> dict[str, float]:
        """The proposed mixture: each source's share of training tokens."""
        return {one["name"]: one["weight"] for one in self.summary["proposal"]}

    @property
    def better(self) -> bool:
        """Whether the proposal, trained anew, was better than proportional and uniform on every evaluation set."""
        told = [one for one in self.summary["comparisons"] if one["primary"] and one["against"] != BEST]
        return bool(told) and not wording.stays(self.summary) and all(one["verdict"] == "better" for one in told)


@one_thread()
def search_mix(
    pool: Paths,
    *,
    evaluations: Mapping[str, Paths] | Sequence[str] | str,
    runs: int = 64,
    iterations: int = 1,
    proxy: str | Proxy = "ngram",
    over: str | None = None,
    clusters: str | int | None = None,
    law: str | None = None,
    tokens: int | None = None,
    run_tokens: int | None = None,
    passes: float = 4.0,
    seeds: int = 8,
    seed: int = 0,
    objective: Mapping[str, float] | None = None,
    overlap: Literal["clean", "refuse", "ignore"] = "clean",
    resample: int | None = None,
    eval_bytes: int | None = None,
    bold: bool = False,
    proposer: str = "law",
    levels: bool = False,
    design: str = "random",
    freeze: str | os.PathLike[str] | None = None,
    changed: Sequence[str] = (),
    ledger: str | os.PathLike[str] = "out/ledger",
    output: str | os.PathLike[str] = "out/search",
    reading: Reading | None = None,
    workers: int = 0,
    executor: Executor | None = None,
    cache: str | os.PathLike[str] | None = None,
    progress: Progress | None = None,
    say: Callable[[str], object] | None = None,
    command: str | None = None,
) -> Searched:
    """Run a swarm of mixtures, fit a law, propose a mixture, train it against its rivals; write search.json, runs.csv
    and report.html into ``output``.

    Args:
        pool: its domain column names the sources (``reading.domain``).
        evaluations: held-out documents by name, or "NAME=PATH" strings: what the mixture is to be good for.
        runs: in the swarm, repeated anchors included. ``iterations``: rounds that they are divided into.
        proxy: "ngram" or "transformer", with settings like "transformer:size=1M", or an instance.
        over: what is searched [mixtures]: "quadmix:ratings=FILE,criteria=a/b" searches the parameters of a sampler by
            quality within domains (``cuvee/search/quality.py``).
        clusters: mix so many clusters of the pool's own instead of domains, like 20 or "20:ratings=FILE,least=3", which
            leaves out those of low quality (``cuvee/search/cluster_sources.py``); clusters.parquet has their members.
        law: a law of mixtures [optimal_mixtures], with settings like "regmix:model=linear", which is that of samplers.
        tokens: of the run that is planned [as many as the pool has]; ``run_tokens``: of a proxy run [what suits it].
        passes: the most times that the planned run may go through a source.
        seeds: paired seeds, not those of the swarm, at which the proposal is trained against proportional, uniform and
            the best mixture run; 0 leaves that out.
        objective: weight of each evaluation set [alike].
        bold: propose the law's optimum itself [only as far toward it as is shown to be better than proportional].
        proposer: how the law's best mixture is looked for: "law", "rounds" or "perturbed" (as for ``fit_law``).
        levels: draw groups of sources first, then the sources of each, by names like "web/science".
        design: how mixtures are drawn: "random", around proportional, or "cover", all over what the caps allow.
        freeze: a folder of an earlier mix, search or fit: the weights that it gives to sources of the pool are held
            relative to one another, and a mixture of all of these together and the new sources is searched.
        changed: sources that it knows and that are to be searched all the same.
        reading: columns of pool and evaluation sets.
        say: told what is going to happen.

    Raises:
        UsageError, DataError, ResourceError, BusyError: with a sentence that says what, where and what next.
    """
    started = time.monotonic()
    check_arguments(pool=pool, output=output, reading=reading, workers=workers, tokens=tokens, seed=seed)
    sampler, folder, paths = _sampler(over), Path(output), named(pool)
    question, sets = ask(
        evaluations, output, sampler is not None, runs=runs, iterations=iterations, proxy=proxy, law=law, tokens=tokens,
        run_tokens=run_tokens, passes=passes, seeds=seeds, seed=seed, objective=objective, overlap=overlap,
        resample=resample, eval_bytes=eval_bytes, clusters=clusters, bold=bold, proposer=proposer, levels=levels,
        design=design, freeze=freeze, changed=changed,
    )  # fmt: skip
    said = command or f"cuvee.search_mix({paths!r}, evaluations={evaluations!r}, runs={runs})"
    with occupied(folder, SEARCH, "search", ledger, cache, executor, workers, progress, say) as place:
        job = _job(place, said, paths, question, sampler)
        job.open(pool, sets, reading or Reading())
        summary = job.run(folder)
        summary["reproduce"]["timings"] = {**job.seconds, "total": round(time.monotonic() - started, 3)}
        return _write(folder, summary, job)


def plan(
    pool: Paths,
    *,
    evaluations: Mapping[str, Paths] | Sequence[str] | str,
    ledger: str | os.PathLike[str] = "out/ledger",
    output: str | os.PathLike[str] = "out/search",
    reading: Reading | None = None,
    workers: int = 0,
    cache: str | os.PathLike[str] | None = None,
    **asked: Any,
) -> dict[str, Any]:
    """What :func:`search_mix` with the same arguments would train; nothing is trained, or written but the cache."""
    given = with_defaults(search_mix, (*ASKED, "over"), asked)
    check_arguments(
        pool=pool, output=output, reading=reading, workers=workers, tokens=given["tokens"], seed=given["seed"]
    )
    sampler = _sampler(given.pop("over"))
    question, sets = ask(evaluations, output, sampler is not None, **given)
    with looked_at(output, SEARCH, "search", ledger, cache, workers) as place:
        job = _job(place, "", [], question, sampler)
        job.open(pool, sets, reading or Reading())
        job.prepare()
        found = job.outlook()
    return {**found, "ledger": str(ledger), "writes": [str(Path(output) / name) for name in (SEARCH, RUNS, REPORT)]}


def _sampler(over: str | None) -> Quality | None:
    """What is searched, if it is not mixtures."""
    if over is None:
        return None
    name, settings = method_call(over)
    if name != "quadmix":
        raise UsageError(f"--over takes quadmix:ratings=FILE, not '{name}'. Without it, mixtures are searched.")
    found: Quality = make(Quality, settings, name)
    return found


def _job(place: Place, command: str, paths: Sequence[str], question: Question, sampler: Quality | None) -> Job:
    if sampler is not None:
        return PrudentJob(place, command, paths, question=question, quality=sampler)
    return Job(place, command, paths, question=question)


def lines(searched: Searched) -> list[str]:
    """What the command line prints."""
    return wording.search_lines(searched.folder, searched.summary)


def _write(folder: Path, summary: dict[str, Any], job: Job) -> Searched:
    """The folder with search.json, runs.csv and the report."""
    from .report.search import render

    with files.whole_folder(folder) as place:
        summary["rejects"] = write_rejects(job.engine, job.rows["rejected"], place / REJECTS, folder / REJECTS)
        summary = publish(place, SEARCH, summary, render)
        files.write_whole(place / RUNS, _runs_csv(summary, job.done).encode("utf-8", "surrogateescape"))
        if job.members is not None:
            with files.whole_file(place / MEMBERS) as stream:
                pq.write_table(job.members, stream, compression="zstd", write_page_checksum=True)
    return Searched(folder, summary)


def _runs_csv(summary: Mapping[str, Any], done: Sequence[Done]) -> str:
    """A row for every finished run of the swarm, as ``cuvee mix fit`` reads it."""
    sources = [one["name"] for one in summary["proposal"]]
    losses = list(summary["objective"])
    stream = io.StringIO()
    odd = any("\r" in name for name in (*sources, *losses))  # which csv leaves bare beside another end of lines
    out = csv.writer(stream, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC if odd else csv.QUOTE_MINIMAL)
    out.writerow(["name", "seed", *(f"mix.{name}" for name in sources), *(f"loss.{name}" for name in losses)])
    for one in done:
        shares = [float(share) for share in one.shares]
        out.writerow([one.asked.arm, one.asked.seed, *shares, *(float(one.record.metrics[name]) for name in losses)])
    return stream.getvalue()
