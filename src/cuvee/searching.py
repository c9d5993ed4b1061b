"""``cuvee mix search``: a swarm of proxy runs, a law fitted to it, a proposal, and its trial against its rivals."""

from __future__ import annotations

import csv
import inspect
import io
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pyarrow.parquet as pq

from .checks import write_rejects
from .core import Law
from .engine import files
from .engine.executor import Executor
from .engine.local import Local
from .engine.plan import make
from .engine.progress import Progress
from .engine.store import Store
from .errors import UsageError
from .fitting import check_proposer
from .layout import REJECTS, REPORT, RUNS, SEARCH, Result, publish, refuse_foreign
from .mixing import check_amounts
from .pool import Paths, Reading
from .proof.evaluations import named_paths
from .proof.ledger import Ledger, warn
from .proof.places import apart, harmless
from .proof.proxy import Proxy
from .proof.question import name_of
from .proof.recipes import load_proxy
from .quantities import method_call
from .registry import find
from .request import check_arguments
from .search import design, wording
from .search.cluster_sources import clustering_of
from .search.job import BEST, Job, Question
from .search.prudent import PrudentJob
from .search.quality_job import Quality
from .search.runs import Done
from .search.simplex import Frozen

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
        proposer: how the law's best mixture is looked for: "law", the law's own way, or "rounds" (as for ``fit_law``).
        levels: draw groups of sources first, then the sources of each, by names like "web/science".
        freeze: a folder of an earlier mix, search or fit: the weights that it gives to sources of the pool are held
            relative to one another, and a mixture of all of these together and the new sources is searched.
        changed: sources that it knows and that are to be searched all the same.
        reading: columns of pool and evaluation sets.
        say: told what is going to happen.

    Raises:
        UsageError, DataError, ResourceError, BusyError: with a sentence that says what, where and what next.
    """
    started = time.monotonic()
    question, sets = _ask(
        pool, evaluations, runs, iterations, proxy, law, tokens, run_tokens, passes, seeds, seed, objective, overlap,
        resample, eval_bytes, over, clusters, output, reading, workers,
    )  # fmt: skip
    question = _with(question, output, bold, proposer, levels, freeze, changed, over, clusters)
    folder, store = Path(output), Store(Path(cache) if cache is not None else None)
    apart(folder, Path(ledger))
    tell = harmless(say) if say is not None else None
    named = [str(pool)] if isinstance(pool, str | os.PathLike) else [str(path) for path in pool]
    with files.lock(folder), store.in_use():
        refuse_foreign(folder, SEARCH, "search")
        job = _job(
            over,
            question,
            store,
            Ledger(ledger, tell or warn),
            executor or Local(workers),
            progress or Progress(),
            tell or (lambda sentence: None),
            command or f"cuvee.search_mix({named!r}, evaluations={evaluations!r}, runs={runs})",
            named,
        )
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
    names = ("runs", "iterations", "proxy", "law", "tokens", "run_tokens", "passes", "seeds", "seed", "objective")
    defaults = {name: one.default for name, one in inspect.signature(search_mix).parameters.items()}
    given = [
        asked.get(name, defaults[name]) for name in (*names, "overlap", "resample", "eval_bytes", "over", "clusters")
    ]
    question, sets = _ask(pool, evaluations, *given, output, reading, workers)  # type: ignore[call-arg]
    more = ("bold", "proposer", "levels", "freeze", "changed", "over", "clusters")
    question = _with(question, output, *(asked.get(name, defaults[name]) for name in more))
    apart(Path(output), Path(ledger))
    refuse_foreign(Path(output), SEARCH, "search")
    store = Store(Path(cache) if cache is not None else None)
    job = _job(
        asked.get("over"), question, store, Ledger(ledger), Local(workers), Progress(), lambda sentence: None, ""
    )
    with store.in_use():
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


def _job(over: str | None, *told: Any) -> Job:
    sampler = _sampler(over)
    return PrudentJob(*told, quality=sampler) if sampler else Job(*told)


def lines(searched: Searched) -> list[str]:
    """What the command line prints."""
    return wording.search_lines(searched.folder, searched.summary)


def _ask(
    pool: Any,
    evaluations: Mapping[str, Paths] | Sequence[str] | str,
    runs: int,
    iterations: int,
    proxy: str | Proxy,
    law: str | None,
    tokens: int | None,
    run_tokens: int | None,
    passes: float,
    seeds: int,
    seed: int,
    objective: Mapping[str, float] | None,
    overlap: Literal["clean", "refuse", "ignore"],
    resample: int | None,
    eval_bytes: int | None,
    over: str | None,
    clusters: str | int | None,
    output: Any,
    reading: Reading | None,
    workers: int,
) -> tuple[Question, dict[str, Paths]]:
    """The arguments as one checked object, and the evaluation sets' paths by name."""
    check_arguments(pool=pool, output=output, reading=reading, workers=workers, tokens=tokens, seed=seed)
    check_amounts(tokens, passes)
    if run_tokens is not None and run_tokens < 1:
        raise UsageError(f"--run-tokens must be at least 1, not {run_tokens}.")
    for name, value, least, most in (
        ("--runs", runs, design.FEWEST_RUNS, 100_000),
        ("--iterations", iterations, 1, 10),
        ("--seeds", seeds, 0, 10_000),
        ("--seed", seed, 0, 2**40),
    ):
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise UsageError(f"{name} must be a whole number from {least} to {most:,}, not {value!r}.")
    if seeds == 1:
        raise UsageError("One seed cannot tell a difference from chance: use at least --seeds 3, better 8; or 0.")
    if design.rounds(runs, iterations)[-1] < 2:
        raise UsageError(f"--iterations {iterations} leaves the last round without runs. Give more --runs.")
    if overlap not in ("clean", "refuse", "ignore"):
        raise UsageError(f"overlap must be one of clean, refuse, ignore, not {overlap!r}.")
    sets = named_paths([evaluations] if isinstance(evaluations, str) else evaluations)
    if not sets:
        raise UsageError(
            "There is no evaluation set, so no mixture can be better than another: give held-out documents like those "
            "the model is for, with --eval FILE."
        )
    model = proxy if isinstance(proxy, Proxy) else load_proxy(*method_call(proxy))
    if "text" not in model.needs:
        raise UsageError(f"The proxy {name_of(model)} learns no text. Use --proxy ngram or transformer.")
    sampler = _sampler(over)
    name, settings = method_call(law or ("regmix:model=linear" if sampler else "optimal_mixtures"))
    kind: Law = make(find("law", name), settings, name)
    if tuple(kind.card.needs) != ("mixture",) or kind.card.gives != ("loss",):
        others = [one for one in kind.card.needs if one != "mixture"]
        raise UsageError(
            f"{name} asks for {', '.join(others) or 'another outcome'}, and a swarm has mixtures and losses alone. Use "
            "--law optimal_mixtures, data_mixing_laws, olmix or regmix."
        )
    if sampler is not None and clusters is not None:
        raise UsageError("--over quadmix samples within domains, not within clusters: leave out --clusters.")
    if sampler is not None and (name != "regmix" or iterations > 1):
        raise UsageError(
            "A search over quadmix has one round, and its law is a regression: --law regmix (boosted trees, for "
            "hundreds of runs) or regmix:model=linear (the default), without --iterations."
        )
    unknown = sorted(set(objective or {}) - set(sets))
    if unknown:
        raise UsageError(f"--objective names '{unknown[0]}', which is no evaluation set. There are: {', '.join(sets)}.")
    if objective is not None and not sum(objective.values()) > 0:
        raise UsageError("--objective gives no evaluation set a weight above 0.")
    question = Question(
        runs, iterations, model, kind, name, tokens, run_tokens, passes, seeds, seed, objective, overlap, resample,
        eval_bytes or model.eval_bytes, clusters=clustering_of(str(clusters)) if clusters is not None else None,
    )  # fmt: skip
    return question, sets


def _with(
    question: Question,
    output: Any,
    bold: bool,
    proposer: str,
    levels: bool,
    freeze: str | os.PathLike[str] | None,
    changed: Sequence[str],
    over: str | None,
    clusters: str | int | None,
) -> Question:
    """The question with what decides which mixtures are drawn and proposed."""
    check_proposer(proposer)
    if over is not None and (levels or proposer != "law"):
        raise UsageError("--levels and --proposer are about mixtures, and --over searches a sampler: leave them out.")
    if clusters is not None and levels:
        raise UsageError("--levels goes by the names of sources, and clusters have none: leave out one of them.")
    if freeze is None and changed:
        raise UsageError("--changed names sources that --freeze would hold: give --freeze FOLDER as well.")
    if freeze is not None and (over is not None or clusters is not None):
        raise UsageError("--freeze holds weights of a pool's sources: leave out --over and --clusters.")
    if freeze is not None and Path(freeze).resolve() == Path(output).resolve():
        raise UsageError(f"{freeze} is to be held and would be overwritten. Choose another place with -o.")
    frozen = Frozen.read(str(freeze), tuple(changed)) if freeze is not None else None
    return replace(question, bold=bold, proposer=proposer, levels=levels, frozen=frozen)


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
    out = csv.writer(stream, lineterminator="\n")
    out.writerow(["name", "seed", *(f"mix.{name}" for name in sources), *(f"loss.{name}" for name in losses)])
    for one in done:
        shares = [repr(float(share)) for share in one.shares]
        out.writerow(
            [one.asked.arm, one.asked.seed, *shares, *(repr(float(one.record.metrics[name])) for name in losses)]
        )
    return stream.getvalue()
