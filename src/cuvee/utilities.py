"""``cuvee mix utilities``: what each source is worth at the end of training, told by ends of one run that leave it out.

Blakeney et al., "Does your data spark joy?" (2024, arXiv 2406.03476): a run is trained on the natural mix up to its
last part, once. From that checkpoint one end is trained on the full final mix, and one for every source without it, its
share given to the others in proportion, at the same seeds. The utility of a source is what the loss rises without it.
That costs the ends alone: about ``last`` of what leaving sources out of whole runs would.
"""

from __future__ import annotations

import inspect
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from . import utilities_wording as wording
from .checks import usable, write_rejects
from .engine import files
from .engine.executor import Executor
from .engine.local import Local
from .engine.plan import make, parameters
from .engine.progress import Progress
from .engine.run import Engine
from .engine.store import Store, digest
from .errors import DataError, UsageError
from .layout import REJECTS, REPORT, UTILITIES, UTILITIES_FORMAT, Result, publish, refuse_foreign, versions
from .methods.policy.uniform import Uniform
from .methods.policy.upsample_end import UpsampleEnd
from .mixing import check_amounts, check_sources, choose_mix, count_sources
from .online.mixture import Groups, lifted
from .pool import Opened, Paths, Reading, open_stage
from .proof import findings, overlap
from .proof.arms import Pair, Plan
from .proof.corpus import gather
from .proof.draws import Arm, Drawn, Part, union
from .proof.evaluations import EvaluationSet, checked, named_paths
from .proof.evaluations import read as read_evaluation
from .proof.exchange import Corpus, evaluation_digest, put_rows
from .proof.ledger import Ledger, warn
from .proof.places import apart, harmless, starter
from .proof.proxies import checkpoint
from .proof.proxies.transformer import Transformer
from .proof.proxy import Recipe, Watch
from .proof.recipes import load_proxy
from .proof.trials import Task, run_trials
from .proof_wording import overlaps, refused
from .quantities import method_call
from .request import check_arguments
from .search.ending import Course, left_out, rates
from .search.stock import Floats, Grid, draw_stock

ALPHA = 0.05
FULL = "full"
OWN = ("schedule", "decay", "start", "start_digest", "onward")
"""Settings of the proxy that this command decides."""


class Utilities(Result):
    """Finished utilities: the folder they lie in and the content of its ``utilities.json``."""

    @property
    def by_source(self) -> dict[str, float]:
        """What each source is worth on the first evaluation set; above 0 it helps."""
        return {one["name"]: one["utility"] for one in self.summary["utilities"] if one["first"]}


@dataclass(frozen=True)
class Question:
    """All that is decided before the first training.

    Attributes:
        tokens: of the planned run; None for as many as the pool has. ``run_tokens``: of the run that is trained here.
        last: share of the run that is its end. ``weights``: the final mix; None for what ``policy`` makes of the sizes.
        only: the sources to leave out; all that the final mix has by default.
    """

    proxy: Transformer
    policy: UpsampleEnd
    last: float
    weights: Mapping[str, float | str] | None
    only: tuple[str, ...]
    tokens: int | None
    run_tokens: int | None
    seeds: tuple[int, ...]
    seed: int
    overlap: Literal["clean", "refuse", "ignore"]
    eval_bytes: int


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
    folder, store = Path(output), Store(Path(cache) if cache is not None else None)
    apart(folder, Path(ledger))
    tell = harmless(say) if say is not None else None
    named = [str(pool)] if isinstance(pool, str | os.PathLike) else [str(path) for path in pool]
    with files.lock(folder), store.in_use():
        refuse_foreign(folder, UTILITIES, "table of utilities")
        job = Job(
            question,
            store,
            Ledger(ledger, tell or warn),
            executor or Local(workers),
            progress or Progress(),
            command or f"cuvee.end_utilities({named!r}, evaluations={evaluations!r}, seeds={seeds})",
        )
        job.open(pool, sets, reading or Reading())
        job.prepare()
        if tell is not None:
            tell(job.trains())
        summary = job.run(named)
        summary["reproduce"]["timings"] = {"total": round(time.monotonic() - started, 3)}
        from .report.utilities import render

        with files.whole_folder(folder) as place:
            summary["rejects"] = write_rejects(job.engine, job.rejected, place / REJECTS, folder / REJECTS)
            summary = publish(place, UTILITIES, summary, render)
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
    names = ("method", "weights", "only", "proxy", "tokens", "run_tokens", "seeds", "seed", "overlap", "eval_bytes")
    defaults = {name: one.default for name, one in inspect.signature(end_utilities).parameters.items()}
    question, sets = _ask(evaluations, *(asked.get(name, defaults[name]) for name in names))
    apart(Path(output), Path(ledger))
    refuse_foreign(Path(output), UTILITIES, "table of utilities")
    store = Store(Path(cache) if cache is not None else None)
    job = Job(question, store, Ledger(ledger), Local(workers), Progress(), "")
    with store.in_use():
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
    sets = named_paths([evaluations] if isinstance(evaluations, str) else evaluations)
    if not sets:
        raise UsageError(
            "There is no evaluation set, so no source can be worth anything: give held-out documents like those the "
            "model is for, with --eval FILE."
        )
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


@dataclass
class Job:
    """One table of utilities, from an opened pool to all that is said about it."""

    question: Question
    store: Store
    ledger: Ledger
    executor: Executor
    progress: Progress
    command: str
    warnings: list[str] = field(default_factory=list)
    rejected: int = 0

    engine: Engine = field(init=False)
    opened: Opened = field(init=False)
    reading: Reading = field(init=False)
    sets: list[EvaluationSet] = field(init=False)
    met: overlap.Overlap = field(init=False)
    part: Part = field(init=False)
    grid: Grid = field(init=False)
    course: Course = field(init=False)
    natural: Floats = field(init=False)
    final: Floats = field(init=False)
    arms: dict[str, Floats] = field(init=False)
    left: dict[str, int] = field(init=False)
    """The source that each arm lacks, but for the full one."""

    def open(self, pool: Paths, sets: Mapping[str, Paths], reading: Reading) -> None:
        """Open pool and evaluation sets."""
        self.opened, self.reading = open_stage(pool, reading, self.store), reading
        if self.opened.spec.text is None:
            raise UsageError("The pool has no texts to train on. Name their column with --text.")
        self.engine = Engine(self.opened.stage, None, self.store, self.executor, self.progress)
        held = Reading(text=reading.text, skip_bad=reading.skip_bad)
        self.sets = [
            read_evaluation(name, paths, held, self.store, self.question.eval_bytes, ("text",))
            for name, paths in sets.items()
        ]
        self.warnings += [f"{note}." for note in self.opened.notes] + checked(self.sets, reading)

    def prepare(self) -> None:
        """Count the sources, look for evaluation text in them, and decide what is trained on."""
        question = self.question
        self.engine.ensure_facts(self.engine.pool)
        columns = self.engine.columns(domain_by_convention=self.opened.domain_by_convention)
        self.rejected = columns.rejected
        self.warnings += usable(self.engine, columns, self.reading)
        check_sources(count_sources(columns), self.opened.spec.domain)
        self.met = overlap.find(self.engine, [one.evaluation for one in self.sets], [])
        if self.met.rows and question.overlap == "refuse":
            raise DataError(refused(self.met))
        self.warnings += overlaps(self.met, question.overlap)
        bad = self.met.contaminated if question.overlap == "clean" else np.empty(0, np.int64)
        self.part = Part(columns, without=bad)
        sources = count_sources(self.part)
        names, whole = tuple(sources.names), int(sources.tokens.sum())
        planned = question.tokens or whole
        length = question.run_tokens or min(planned, question.proxy.most_tokens or planned)
        if not 0 < length <= planned:
            raise UsageError(
                f"--run-tokens must be at least 1 and at most the {planned:,} of the planned run (--tokens), not "
                f"{length:,}."
            )
        self.grid = Grid.of(names, sources.tokens, planned, length)
        self.natural = sources.natural()
        if question.weights is not None:
            asked = choose_mix(None, {}, question.weights).allot(sources, planned)
            self.final = np.asarray(asked / asked.sum(), np.float64)
        else:
            policy = question.policy
            self.final = lifted(Groups(names, sources.tokens), policy.domains, policy.share, "upsample_end")
        if empty := [n for n, p, held in zip(names, self.final, sources.tokens, strict=True) if p > 0 and not held]:
            raise DataError(
                f"Nothing is left of the source '{empty[0]}': it is empty, or every document holds evaluation text. "
                "Leave it out of the final mix, or evaluate on other documents."
            )
        if unknown := [one for one in question.only if one not in names]:
            raise UsageError(f"The pool has no source '{unknown[0]}'. It has: {', '.join(names[:12])}.")
        chosen = [at for at, name in enumerate(names) if self.final[at] > 0 and name in (question.only or names)]
        if absent := [one for one in question.only if not self.final[names.index(one)] > 0]:
            raise UsageError(f"The final mix has nothing of '{absent[0]}', so leaving it out changes nothing.")
        self.arms = {FULL: self.final} | {f"without {names[at]}": left_out(self.final, at) for at in chosen}
        self.left = {f"without {names[at]}": at for at in chosen}
        stock = draw_stock(self.part, self.grid, question.seed, self.grid.whole)
        self.course = Course.of(stock.documents, self.natural, length, question.last, question.seed)

    def trains(self) -> str:
        """What is going to be trained, in a sentence."""
        first, last = (1 - self.question.last) * self.grid.tokens, self.question.last * self.grid.tokens
        return (
            f"One beginning of {first:,.0f} tokens; then {len(self.arms)} ends of {last:,.0f} tokens (full, and "
            f"without each of {len(self.left)} sources) at {len(self.question.seeds)} seeds"
        )

    def outlook(self) -> dict[str, Any]:
        """What is going to be trained."""
        passes = self.passes()
        return {
            "trains": self.trains(),
            "stands for": f"a run of {self.grid.planned:,} tokens, its last {self.question.last:.0%} on the final mix",
            "final mix": [
                f"{name} {share:.1%} ({each:.2g} passes)"
                for name, share, each in zip(self.grid.names, self.final, passes, strict=True)
            ],
            "evaluates": [f"{one.name}: {len(one.evaluation.batch):,} documents" for one in self.sets],
            "proxy": f"transformer: {type(self.question.proxy).summary}",
        }

    def passes(self, mixture: Floats | None = None) -> Floats:
        """How often the planned run's end goes through each source, (k,)."""
        return self.question.last * self.grid.passes(self.final if mixture is None else mixture)

    def checkpoint(self) -> Path:
        """The model before the end, trained now if the ledger's folder lacks it."""
        question, begun = self.question, self.course.beginning()
        model = rates(question.proxy, question.last)
        key = digest("before the end", begun.digest, Recipe(model, Uniform(), 1.0).digest(), question.seed)
        place = self.ledger.folder / "models" / f"{key}.safetensors"
        with files.lock(place):
            if not self._kept(place):
                batch = Corpus(self.store, gather(self.engine, begun.row)).batch(begun.places)
                self.progress.begin("training the beginning", 100, "percent")
                told = [0]

                def advance(share: float) -> None:
                    self.progress.advance(int(100 * share) - told[0])
                    told[0] = int(100 * share)

                watch = Watch(advance, self.store.root / "pretrain" / key, keep=place)
                outcome = model.train(batch, [], Uniform(), 1.0, question.seed, watch)
                self.progress.end()
                if outcome.diverged:
                    raise DataError("The training diverged: a loss is not finite. Give a lower rate=... in --proxy.")
        return place

    @staticmethod
    def _kept(place: Path) -> bool:
        """Whether an intact checkpoint lies there; a damaged one is made again."""
        try:
            return place.exists() and bool(checkpoint.inspect(place))
        except DataError:
            return False

    def run(self, paths: Sequence[str]) -> dict[str, Any]:
        """Train, compare, and say what was found."""
        question = self.question
        ending = rates(question.proxy, question.last, str(self.checkpoint().resolve()))
        recipe = Recipe(ending, Uniform(), 1.0)
        tasks: dict[tuple[str, int], Task] = {}
        draws: dict[tuple[str, int], Drawn] = {}
        seen = np.zeros(len(self.final))
        for seed in question.seeds:
            for name, mixture in self.arms.items():
                draws[name, seed], shares = self.course.ending(mixture, seed)
                seen += shares / len(question.seeds) * (name == FULL)
                tasks[name, seed] = self._task(name, seed, draws[name, seed], recipe)
        digests = {one.name: evaluation_digest(one.evaluation) for one in self.sets}
        keys = {at: task.key(digests) for at, task in tasks.items()}
        known = sum(self.ledger.find(key) is not None for key in set(keys.values()))
        records = run_trials(
            list(tasks.values()),
            self.ledger,
            self.store,
            gather(self.engine, union(list(draws.values()))),
            [one.evaluation for one in self.sets],
            self.executor.trials,
            self.progress,
            self.ledger.notice,
            starter(self.executor, self.store, self.ledger),
        )
        by_arm = {(name, seed): replace(records[key], arm=name, seed=seed) for (name, seed), key in keys.items()}
        arms = {name: Arm(name, "end", self.part, None, round(self.course.tokens), Uniform()) for name in self.arms}
        plan = Plan(tuple(arms.values()), tuple(Pair(arms[FULL], arms[name]) for name in self.left), self.grid.tokens)
        found = findings.answers(
            plan, question.seeds, self.sets, by_arm, findings.Asked(ALPHA, None, (len(question.seeds),))
        )
        comparisons = [findings.as_json(one, "primary") for one in found.primary]
        comparisons += [findings.as_json(one, "group") for one in found.groups]
        trained = float(sum(one.tokens for one in draws.values()))
        cost = {
            "tokens": self.course.beginning().tokens + trained,
            "whole_runs": float(self.grid.tokens * len(tasks)),
            "train_seconds": float(sum(one.cost["train_seconds"] for one in by_arm.values())),
            "trials": len(set(keys.values())),
            "found": known,
        }
        return self._summary(paths, comparisons, found, by_arm, seen, cost)

    def _task(self, name: str, seed: int, drawn: Drawn, recipe: Recipe) -> Task:
        if not drawn.documents:
            raise DataError("The end is shorter than a document. Give more --run-tokens, or a larger last.")
        cost = {"select_seconds": 0.0, "select_flops": 0.0, "tokens": float(drawn.tokens)}
        cost["documents"] = float(drawn.documents)
        return Task(name, drawn.digest, recipe, seed, put_rows(self.store, drawn.places), (), cost)

    def _summary(
        self,
        paths: Sequence[str],
        comparisons: list[dict[str, Any]],
        found: findings.Answers,
        records: Mapping[tuple[str, int], Any],
        seen: Floats,
        cost: dict[str, float],
    ) -> dict[str, Any]:
        question, names = self.question, self.grid.names
        passes, whole = self.passes(), (1 - question.last) * self.grid.passes(self.natural)
        summary: dict[str, Any] = {
            "format": UTILITIES_FORMAT,
            "title": f"What {len(self.left)} sources are worth at the end of training",
            "unit": question.proxy.unit,
            "proxy": {"name": "transformer", "settings": parameters(question.proxy)},
            "tokens": self.grid.planned,
            "run_tokens": self.grid.tokens,
            "last": question.last,
            "seeds": list(question.seeds),
            "sources": [
                {
                    "name": name,
                    "natural": float(self.natural[at]),
                    "final": float(self.final[at]),
                    "seen": float(seen[at]),
                    "available": int(self.grid.available[at]),
                    "passes_before": float(whole[at]),
                    "passes": float(passes[at]),
                }
                for at, name in enumerate(names)
            ],
            "utilities": self._utilities(comparisons),
            "comparisons": comparisons,
            "unanswered": [[one.against, one.evaluation] for one in found.unanswered],
            "diverged": sum(found.diverged.values()),
            "losses": {
                one.name: {
                    name: float(np.mean([records[name, seed].metrics[one.name] for seed in question.seeds]))
                    for name in self.arms
                    if all(records[name, seed].status == "finished" for seed in question.seeds)
                }
                for one in self.sets
            },
            "evaluations": [
                {
                    "name": one.name,
                    "documents": len(one.evaluation.batch),
                    "groups": list(one.evaluation.groups),
                    "digest": one.digest,
                    "consulted": self.ledger.consult(one.origin, one.name, digest("utilities", self.final.tolist())),
                }
                for one in self.sets
            ],
            "cost": cost,
            "overlap": [{**one, "examples": []} for one in self.met.as_json()],
            "ledger": str(self.ledger.folder),
            "spec": asdict(self.opened.spec),
        }
        summary["warnings"] = [*self.warnings, *wording.warnings(summary)]
        summary["verdict"] = wording.verdict(summary)
        summary["limits"] = wording.limits(summary)
        summary["next"] = wording.next_command(summary, paths)
        identity = [sorted(record.key for record in records.values()), self.final.tolist(), question.last]
        summary["reproduce"] = {
            "command": self.command,
            "seed": question.seed,
            "digest": digest("utilities", UTILITIES_FORMAT, identity),
            "versions": versions(),
            "citations": [UpsampleEnd.card.bibtex],
        }
        return summary

    def _utilities(self, comparisons: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Loss without a source less loss with it, by evaluation set and source, the most useful first."""
        words = {"better": "helps", "worse": "harms", "not shown": "not shown"}
        found = []
        for number, one in enumerate(self.sets):
            rows = [
                {
                    "name": self.grid.names[self.left[told["against"]]],
                    "evaluation": one.name,
                    "first": number == 0,
                    "utility": -told["mean"],
                    "low": -told["high"],
                    "high": -told["low"],
                    "verdict": words[told["verdict"]],
                    "differences": [-each for each in told["differences"]],
                }
                for told in comparisons
                if told["primary"] and told["evaluation"] == one.name
            ]
            found += sorted(rows, key=lambda row: (-row["utility"], row["name"]))
        return found
