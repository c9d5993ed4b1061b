"""``cuvee mix search``: a swarm of proxy runs, a law fitted to it, a proposal, and its trial against its rivals."""

from __future__ import annotations

import csv
import inspect
import io
import json
import math
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from .core import Law, Settings
from .engine import files
from .engine.executor import Executor
from .engine.local import Local
from .engine.plan import finite, make, parameters
from .engine.progress import Progress
from .engine.run import Engine
from .engine.store import Store, digest
from .errors import DataError, UsageError
from .fitting import fit_table
from .law.curve import CurveLaw
from .law.judge import group_means
from .law.optimal_mixtures import OptimalMixtures
from .law.propose import Bounds
from .law.propose import Question as Search
from .law.table import Table
from .layout import REPORT, RUNS, SEARCH, SEARCH_FORMAT, refuse_foreign, sealed, versions
from .methods.policy.uniform import Uniform
from .mix.apportion import apportion
from .mixing import check_amounts, check_sources, count_sources
from .pool import Opened, Paths, Reading, open_stage
from .proof import findings, overlap
from .proof.arms import Pair, Plan
from .proof.draws import Arm, Part
from .proof.evaluations import EvaluationSet, checked, named_paths
from .proof.evaluations import read as read_evaluation
from .proof.ledger import Ledger, warn
from .proof.places import apart, harmless
from .proof.proxy import Proxy
from .proof.question import name_of
from .proof.recipes import load_proxy
from .proof.record import Record
from .proof_wording import overlaps, refused
from .quantities import method_call
from .registry import find
from .request import check_arguments
from .search import design, wording
from .search.runs import Asked, Done, Runs
from .search.stock import Grid

Floats = npt.NDArray[np.float64]
MOST_GROUPS = 24
"""An evaluation set of more subgroups is one outcome; else each subgroup is one, which laws fit better."""
ALPHA = 0.05
RESAMPLES = 100
"""Of a formula's fit: each is fitted to every outcome, and searched for its best mixture."""
PROPOSAL, BEST = "proposal", "best run"


@dataclass
class Searched:
    """A finished search: the folder it lies in and the content of its ``search.json``."""

    folder: Path
    summary: dict[str, Any]

    @property
    def weights(self) -> dict[str, float]:
        """The proposed mixture: each source's share of training tokens."""
        return {one["name"]: one["weight"] for one in self.summary["proposal"]}

    @property
    def better(self) -> bool:
        """Whether the proposal, trained anew, was better than proportional and uniform on every evaluation set."""
        told = [one for one in self.summary["comparisons"] if one["primary"] and one["against"] != BEST]
        return bool(told) and not wording.stays(self.summary) and all(one["verdict"] == "better" for one in told)

    def __repr__(self) -> str:
        return f"Searched({str(self.folder)!r}, {self.summary['verdict']!r})"


@dataclass(frozen=True)
class Question:
    """All that is decided before the first run.

    Attributes:
        tokens: of the planned run; None for as many as the pool has. ``run_tokens``: of a proxy run.
        seeds: of the trial of the proposal; 0 leaves it out.
    """

    runs: int
    iterations: int
    proxy: Proxy
    law: Law
    law_name: str
    tokens: int | None
    run_tokens: int | None
    passes: float
    seeds: int
    seed: int
    objective: Mapping[str, float] | None
    overlap: Literal["clean", "refuse", "ignore"]
    resample: int | None
    eval_bytes: int
    bold: bool = False


def search_mix(
    pool: Paths,
    *,
    evaluations: Mapping[str, Paths] | Sequence[str] | str,
    runs: int = 64,
    iterations: int = 1,
    proxy: str | Proxy = "ngram",
    law: str = "optimal_mixtures",
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
        law: a law of mixtures [optimal_mixtures], with settings like "regmix:model=linear".
        tokens: of the run that is planned [as many as the pool has]; ``run_tokens``: of a proxy run [what suits it].
        passes: the most times that the planned run may go through a source.
        seeds: paired seeds, not those of the swarm, at which the proposal is trained against proportional, uniform and
            the best mixture run; 0 leaves that out.
        objective: weight of each evaluation set [alike].
        bold: propose the law's optimum itself [only as far toward it as is shown to be better than proportional].
        reading: columns of pool and evaluation sets.
        say: told what is going to happen.

    Raises:
        UsageError, DataError, ResourceError, BusyError: with a sentence that says what, where and what next.
    """
    started = time.monotonic()
    question, sets = _ask(
        pool, evaluations, runs, iterations, proxy, law, tokens, run_tokens, passes, seeds, seed, objective, overlap,
        resample, eval_bytes, output, reading, workers,
    )  # fmt: skip
    folder, store = Path(output), Store(Path(cache) if cache is not None else None)
    apart(folder, Path(ledger))
    tell = harmless(say) if say is not None else None
    named = [str(pool)] if isinstance(pool, str | os.PathLike) else [str(path) for path in pool]
    with files.lock(folder), store.in_use():
        refuse_foreign(folder, SEARCH, "search")
        job = _Job(
            replace(question, bold=bold),
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
        return _write(folder, summary, job.done)


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
    given = [asked.get(name, defaults[name]) for name in (*names, "overlap", "resample", "eval_bytes")]
    question, sets = _ask(pool, evaluations, *given, output, reading, workers)  # type: ignore[call-arg]
    apart(Path(output), Path(ledger))
    refuse_foreign(Path(output), SEARCH, "search")
    store = Store(Path(cache) if cache is not None else None)
    job = _Job(question, store, Ledger(ledger), Local(workers), Progress(), lambda sentence: None, "")
    with store.in_use():
        job.open(pool, sets, reading or Reading())
        job.prepare()
        found = job.outlook()
    return {**found, "ledger": str(ledger), "writes": [str(Path(output) / name) for name in (SEARCH, RUNS, REPORT)]}


def lines(searched: Searched) -> list[str]:
    """What the command line prints."""
    return wording.search_lines(searched.folder, searched.summary)


def _ask(
    pool: Any,
    evaluations: Mapping[str, Paths] | Sequence[str] | str,
    runs: int,
    iterations: int,
    proxy: str | Proxy,
    law: str,
    tokens: int | None,
    run_tokens: int | None,
    passes: float,
    seeds: int,
    seed: int,
    objective: Mapping[str, float] | None,
    overlap: Literal["clean", "refuse", "ignore"],
    resample: int | None,
    eval_bytes: int | None,
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
    name, settings = method_call(law)
    kind: Law = make(find("law", name), settings, name)
    if tuple(kind.card.needs) != ("mixture",) or kind.card.gives != ("loss",):
        others = [one for one in kind.card.needs if one != "mixture"]
        raise UsageError(
            f"{name} asks for {', '.join(others) or 'another outcome'}, and a swarm has mixtures and losses alone. Use "
            "--law optimal_mixtures, data_mixing_laws, olmix or regmix."
        )
    unknown = sorted(set(objective or {}) - set(sets))
    if unknown:
        raise UsageError(f"--objective names '{unknown[0]}', which is no evaluation set. There are: {', '.join(sets)}.")
    if objective is not None and not sum(objective.values()) > 0:
        raise UsageError("--objective gives no evaluation set a weight above 0.")
    question = Question(
        runs, iterations, model, kind, name, tokens, run_tokens, passes, seeds, seed, objective, overlap, resample,
        eval_bytes or model.eval_bytes,
    )  # fmt: skip
    return question, sets


@dataclass
class _Job:
    """One search, from an opened pool to all that is said about it."""

    question: Question
    store: Store
    ledger: Ledger
    executor: Executor
    progress: Progress
    say: Callable[[str], object]
    command: str
    paths: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    done: list[Done] = field(default_factory=list)
    lost: int = 0

    engine: Engine = field(init=False)
    opened: Opened = field(init=False)
    sets: list[EvaluationSet] = field(init=False)
    met: overlap.Overlap = field(init=False)
    runs: Runs = field(init=False)
    documents: npt.NDArray[np.int64] = field(init=False)
    natural: Floats = field(init=False)
    outcomes: dict[str, float] = field(init=False)

    def open(self, pool: Paths, sets: Mapping[str, Paths], reading: Reading) -> None:
        """Open pool and evaluation sets; nothing is read but their heads, and the evaluation sets."""
        question = self.question
        self.opened = open_stage(pool, reading, self.store)
        spec = self.opened.spec
        if spec.text is None:
            raise UsageError("The pool has no texts to train on. Name their column with --text.")
        self.engine = Engine(self.opened.stage, None, self.store, self.executor, self.progress)
        held = Reading(text=reading.text, skip_bad=reading.skip_bad)
        self.sets = [
            read_evaluation(name, paths, held, self.store, question.eval_bytes, ("text",))
            for name, paths in sets.items()
        ]
        self.warnings += [f"{note}." for note in self.opened.notes]
        self.warnings += checked(self.sets, reading)

    def prepare(self) -> None:
        """Count the sources, look for evaluation text in them, and decide what runs are made of."""
        question = self.question
        self.engine.ensure_facts(self.engine.pool)
        columns = self.engine.columns(domain_by_convention=self.opened.domain_by_convention)
        check_sources(count_sources(columns), self.opened.spec.domain)
        self.met = overlap.find(self.engine, [one.evaluation for one in self.sets], [])
        if self.met.rows and question.overlap == "refuse":
            raise DataError(refused(self.met))
        self.warnings += overlaps(self.met, question.overlap)
        bad = self.met.contaminated if question.overlap == "clean" else np.empty(0, np.int64)
        part = Part(columns, without=bad)
        sources = count_sources(part)
        empty = [name for name, held in zip(sources.names, sources.tokens, strict=True) if not held]
        if empty:
            raise DataError(
                f"Nothing is left of the source '{empty[0]}': it is empty, or every document holds evaluation text. "
                "Leave it out of the pool, or evaluate on other documents."
            )
        self.documents = sources.documents
        whole = int(sources.tokens.sum())
        planned = question.tokens or whole
        length = question.run_tokens or min(planned, question.proxy.most_tokens or planned)
        if length > planned:
            raise UsageError(
                f"A proxy run of {length:,} tokens is longer than the planned run of {planned:,}. Give fewer "
                "--run-tokens, or more --tokens."
            )
        self.natural = sources.natural()
        caps = np.minimum(1.0, question.passes * sources.tokens / planned)
        Bounds(self.natural, caps)  # refuses caps that leave tokens missing
        if (self.natural > caps * (1 + 1e-9)).any():
            raise UsageError(
                f"A run of {planned:,} tokens goes through the whole pool {planned / whole:.1f} times, more than "
                f"--passes {question.passes:g} allow. Give fewer --tokens, or more --passes."
            )
        grid = Grid.of(tuple(sources.names), sources.tokens, planned, length)
        self.runs = Runs(self.engine, part, grid, caps, question.proxy, self.sets, self.ledger, self.progress)
        law = question.law
        if isinstance(law, OptimalMixtures) and not law.one_pass:
            law = replace(law, one_pass=tuple((sources.tokens / planned).tolist()))
            if self._mixtures() <= law.numbers(len(sources)):
                law = replace(law, shared=True)
            self.question = replace(question, law=law)
        self.outcomes = self._outcomes()
        self._enough()

    def _enough(self) -> None:
        """Refuse a swarm that is too small for its law before anything is trained."""
        question, k = self.question, len(self.natural)
        numbers, mixtures = question.law.numbers(k), self._mixtures()
        if mixtures <= numbers:
            least = numbers + 1 + 2 * (design.anchor_seeds(numbers + 8) - 1)
            raise UsageError(
                f"{question.law_name} fits {numbers} numbers for {k} sources, and --runs {question.runs} are "
                f"{mixtures} different mixtures. Give at least {max(least, design.FEWEST_RUNS)} runs, better "
                f"{max(2 * least, 16)}."
            )

    def _mixtures(self) -> int:
        """How many different mixtures the swarm has."""
        return self.question.runs - 2 * (design.anchor_seeds(self.question.runs) - 1)

    def _outcomes(self) -> dict[str, float]:
        """What is minimised: metrics by name with their weights, which sum to one."""
        given = self.question.objective or {one.name: 1.0 for one in self.sets}
        found: dict[str, float] = {}
        for one in self.sets:
            share = given.get(one.name, 0.0) / sum(given.values())
            size = np.maximum(np.diff(one.evaluation.batch.offsets), 1).astype(np.float64)
            by_group = np.bincount(one.evaluation.group, weights=size, minlength=len(one.evaluation.groups))
            if not share:
                continue
            if not 1 < np.count_nonzero(by_group) <= MOST_GROUPS:
                found[one.name] = share
                continue
            for group, bytes_of in zip(one.evaluation.groups, by_group, strict=True):
                if bytes_of:
                    found[f"{one.name}/{group}"] = share * float(bytes_of / by_group.sum())
        return found

    def first_round(self) -> list[Asked]:
        """The anchors at their seeds, and random mixtures, each at one of these seeds."""
        question, caps = self.question, self.runs.caps
        seeds = self.swarm_seeds()
        fixed = design.anchors(self.natural, caps)
        asked = [Asked(name, mixture, seed) for name, mixture in fixed.items() for seed in seeds]
        count = design.rounds(question.runs, question.iterations)[0] - len(asked)
        drawn = design.swarm(self.natural, caps, max(count, 0), question.seed, np.stack(list(fixed.values())))
        return asked + self._numbered(drawn, 0)

    def swarm_seeds(self) -> range:
        """The seeds whose documents the swarm is trained on."""
        return range(self.question.seed, self.question.seed + design.anchor_seeds(self.question.runs))

    def _numbered(self, mixtures: Floats, begin: int) -> list[Asked]:
        seeds = self.swarm_seeds()
        return [
            Asked(f"mixture {begin + at + 1}", one, seeds[(begin + at) % len(seeds)]) for at, one in enumerate(mixtures)
        ]

    def outlook(self) -> dict[str, Any]:
        """What is going to be trained."""
        question, grid = self.question, self.runs.grid
        first = self.first_round()
        known = self.runs.known(first)
        rounds = design.rounds(question.runs, question.iterations)
        told = f"{question.runs} runs of {grid.tokens:,} tokens"
        told += f" in {question.iterations} rounds ({', '.join(map(str, rounds))})" if question.iterations > 1 else ""
        if question.seeds:
            told += f"; then the proposal and up to 3 rivals at {question.seeds} seeds"
        return {
            "trains": told,
            "sources": [f"{name} {held:,}" for name, held in zip(grid.names, grid.available.tolist(), strict=True)],
            "stands for": f"a run of {grid.planned:,} tokens, at most {question.passes:g} passes over a source",
            "evaluates": [f"{one.name}: {len(one.evaluation.batch):,} documents" for one in self.sets],
            "proxy": f"{name_of(question.proxy)}: {type(question.proxy).summary}",
            "law": question.law_name,
            "ledger has": f"{known} of the {len(first)} runs of the first round",
        }

    def run(self, folder: Path) -> dict[str, Any]:
        """Everything but writing."""
        begun = time.monotonic()
        self.prepare()
        self.seconds["reading"] = round(time.monotonic() - begun, 3)
        question = self.question
        self.say(self.outlook()["trains"])
        begun = time.monotonic()
        self._take(self.runs.run(self.first_round()))
        for number, count in enumerate(design.rounds(question.runs, question.iterations)[1:], start=1):
            self._take(self.runs.run(self._refined(count, number)))
        self.seconds["swarm"] = round(time.monotonic() - begun, 3)
        begun = time.monotonic()
        fitted = self._fit()
        self.seconds["fit and proposal"] = round(time.monotonic() - begun, 3)
        swarm_cost = self._cost(self.done)
        begun = time.monotonic()
        tried = self._trial(fitted) if question.seeds else {}
        self.seconds["trial of the proposal"] = round(time.monotonic() - begun, 3)
        return self._summary(folder, fitted, swarm_cost, tried)

    def _take(self, made: Sequence[Done]) -> None:
        """Keep what finished; most of a swarm that diverged is an error."""
        good = [one for one in made if one.record.status == "finished"]
        self.lost += len(made) - len(good)
        self.done += good
        if len(good) < len(made) / 2:
            raise DataError(
                f"{len(made) - len(good)} of {len(made)} runs diverged: their losses are not numbers. Use another "
                "proxy or a lower learning rate; finished runs are kept in the ledger."
            )

    def table(self) -> Table:
        """The swarm as laws see it: runs of one mixture are a group, at the mean of the shares that they really saw."""
        names = [one.asked.arm for one in self.done]
        _, group = np.unique(names, return_inverse=True)
        shares = np.stack([one.shares for one in self.done])
        size = np.bincount(group)
        mean = np.stack([np.bincount(group, weights=column) / size for column in shares.T], axis=1)
        outcomes = {name: np.array([one.record.metrics[name] for one in self.done]) for name in self.outcomes}
        return Table(Settings(self.runs.grid.names, mean[group]), outcomes, group.astype(np.int64))

    def _sizes(self) -> dict[str, int]:
        return dict(zip(self.runs.grid.names, self.runs.grid.available.tolist(), strict=True))

    def _refined(self, count: int, number: int) -> list[Asked]:
        """A further round: mixtures that the law fitted so far predicts to be good."""
        question, table = self.question, self.table()
        names, weight = list(self.outcomes), np.array(list(self.outcomes.values()))
        full = [[question.law.fit(table.runs(name, ("mixture",)))] for name in names]
        bounds = Bounds(self.natural, self.runs.caps)
        search = Search(
            self.runs.grid.names, weight, bounds, Settings((), np.empty((1, 0))), seed=question.seed + number
        )
        best = search.best(question.law, full)[0]
        known = np.stack([one.asked.mixture for one in self.done])
        drawn = design.refined(
            lambda x: search.value(full, 0, x), best, bounds, count, question.seed + 1_000 * number, known
        )
        begin = len({one.asked.arm for one in self.done}) - 2
        return self._numbered(drawn, begin + self.lost)

    def _fit(self) -> dict[str, Any]:
        question, table = self.question, self.table()
        natural = table.group[[one.asked.arm == "proportional" for one in self.done]]
        if not len(natural) and not question.bold:
            self.warnings.append(
                "No run of proportional finished, so the law's optimum is proposed whether or not it is better."
            )
        return fit_table(
            table,
            question.law,
            question.law_name,
            objective=self.outcomes,
            sizes=self._sizes(),
            tokens=self.runs.grid.planned,
            passes=question.passes,
            resample=question.resample or (RESAMPLES if isinstance(question.law, CurveLaw) else None),
            seed=question.seed,
            anchor=int(natural[0]) if len(natural) and not question.bold else None,
        )

    def _cost(self, made: Sequence[Done]) -> dict[str, float]:
        """What runs cost, each trial once."""
        once = {one.record.key: one.record.cost for one in made}.values()
        return {
            "runs": len(once),
            "tokens": sum(one["tokens"] for one in once),
            "train_seconds": sum(one.get("train_seconds", 0.0) for one in once),
            "eval_seconds": sum(one.get("eval_seconds", 0.0) for one in once),
        }

    def _trial(self, fitted: Mapping[str, Any]) -> dict[str, Any]:
        """Train the proposal, proportional, uniform and the best mixture run at seeds that the swarm has not seen.

        Where proportional is the proposal, only the best mixture run is its rival, if that is another one.
        """
        question, grid = self.question, self.runs.grid
        mixtures = {PROPOSAL: np.array([one["weight"] for one in fitted["proposal"]])}
        best = self._best_measured()
        if wording.stays(fitted):
            if best.asked.arm == "proportional":
                return {}
        else:
            mixtures |= design.anchors(self.natural, self.runs.caps)
        if best.asked.arm not in mixtures:
            mixtures[BEST] = best.asked.mixture
        first = self.swarm_seeds()[-1] + 1
        seeds = tuple(range(first, first + question.seeds))
        asked = [Asked(name, mixture, seed) for seed in seeds for name, mixture in mixtures.items()]
        made = self.runs.run(asked)
        records: dict[tuple[str, int], Record] = {(one.asked.arm, one.asked.seed): one.record for one in made}
        arms = {name: Arm(name, "mixture", self.runs.part, None, grid.tokens, Uniform(), 1.0) for name in mixtures}
        pairs = tuple(Pair(arms[PROPOSAL], arm) for name, arm in arms.items() if name != PROPOSAL)
        plan = Plan(tuple(arms.values()), pairs, grid.tokens)
        found = findings.answers(plan, seeds, self.sets, records, findings.Asked(ALPHA, None, (len(seeds),)))
        comparisons = [findings.as_json(one, "primary") for one in found.primary]
        comparisons += [findings.as_json(one, "group") for one in found.groups]
        return {
            "seeds": list(seeds),
            "best_run": best.asked.arm,
            "arms": findings.arms_table(plan, seeds, self.sets, records),
            "comparisons": comparisons,
            "unanswered": [[one.against, one.evaluation] for one in found.unanswered],
            "curves": findings.curves(plan, seeds, self.sets, records),
            "cost": self._cost(made),
        }

    def _objective_of(self, one: Done) -> float:
        return sum(weight * one.record.metrics[name] for name, weight in self.outcomes.items())

    def _best_measured(self) -> Done:
        """A run of the mixture that did best on average over its runs."""
        table = self.table()
        runs = table.runs(next(iter(self.outcomes)), ("mixture",))
        total = np.array([self._objective_of(one) for one in self.done])
        _, mean, _ = group_means(type(runs)(runs.settings, total, runs.group))
        best = int(np.unique(runs.group)[int(mean.argmin())])
        return self.done[int(np.flatnonzero(runs.group == best)[0])]

    def _summary(
        self, folder: Path, fitted: dict[str, Any], swarm_cost: dict[str, float], tried: dict[str, Any]
    ) -> dict[str, Any]:
        question, grid = self.question, self.runs.grid
        fixed = design.anchors(self.natural, self.runs.caps)
        rows = fitted["proposal"]
        weights = np.array([one["weight"] for one in rows])
        planned = apportion(weights.tolist(), grid.planned)
        caution = fitted.get("caution")
        optimum = caution.pop("optimum") if caution else weights.tolist()
        for at, row in enumerate(rows):
            row["optimum"] = optimum[at]
            row["tokens"] = int(planned[at])
            row["documents"] = int(self.documents[at])
            for name, mixture in fixed.items():
                row[name] = float(mixture[at])
                row[f"{name}_passes"] = float(grid.passes(mixture)[at])
        table = self.table()
        outcomes = fitted["outcomes"]
        settings = group_means(table.runs(next(iter(self.outcomes)), ("mixture",)))[0]
        observed = np.sum([one["weight"] * np.array(one["observed"]) for one in outcomes], axis=0)
        predicted = np.sum([one["weight"] * np.array(one["predicted"], np.float64) for one in outcomes], axis=0)
        names = sorted({one.asked.arm for one in self.done})
        summary: dict[str, Any] = {
            "format": SEARCH_FORMAT,
            "title": f"Search of a mixture by {len(self.done):,} runs",
            "unit": question.proxy.unit,
            "proxy": {"name": name_of(question.proxy), "settings": parameters(question.proxy)},
            "law": fitted["law"],
            "counts": {
                **fitted["counts"],
                "diverged": self.lost,
                "found": self.runs.found,
                "tokens": int(grid.available.sum()),
                "documents": int(self.documents.sum()),
            },
            "tokens": grid.planned,
            "run_tokens": grid.tokens,
            "passes": question.passes,
            "proposal": rows,
            "caution": caution,
            "expected": fitted["expected"],
            "gains": fitted["gains"],
            "optimism": fitted["optimism"],
            "extrapolation": fitted["extrapolation"],
            "natural_known": True,
            "outcomes": outcomes,
            "mixtures": [
                {"name": name, "shares": settings.mixture[at].tolist(), "loss": float(observed[at]),
                 "predicted": float(predicted[at])}
                for at, name in enumerate(names)
            ],
            "confidence": self._confidence(table, outcomes, observed, predicted),
            "surface": self._surface(table) if len(rows) <= 3 else None,
            "evaluations": [
                {
                    "name": one.name,
                    "documents": len(one.evaluation.batch),
                    "groups": list(one.evaluation.groups),
                    "digest": one.digest,
                    "consulted": self._consulted(one, weights),
                }
                for one in self.sets
            ],
            "trial": tried or None,
            "comparisons": tried.get("comparisons", []),
            "cost": {"swarm": swarm_cost, "trial": tried.get("cost"), "seconds": self.seconds},
            "overlap": self.met.as_json(),
            "ledger": str(self.ledger.folder),
            "spec": asdict(self.opened.spec),
            "objective": self.outcomes,
        }  # fmt: skip
        for one in summary["overlap"]:
            one["examples"] = []
        summary["warnings"] = [*self.warnings, *wording.warnings(summary)]
        summary["verdict"] = wording.verdict(summary)
        summary["limits"] = wording.limits(summary)
        summary["next"] = wording.next_command(summary, str(folder), self.paths, self.command)
        summary["reproduce"] = {
            "command": self.command,
            "seed": question.seed,
            "digest": digest("search", SEARCH_FORMAT, [sorted(one.record.key for one in self.done), planned.tolist()]),
            "versions": versions(),
            "citations": [question.law.card.bibtex] if question.law.card.bibtex else [],
        }
        return summary

    def _consulted(self, one: EvaluationSet, weights: Floats) -> int:
        return self.ledger.consult(one.origin, one.name, digest("searched", weights.tolist()))

    def _confidence(
        self, table: Table, outcomes: Sequence[Mapping[str, Any]], observed: Floats, predicted: Floats
    ) -> dict[str, Any]:
        """How well the law predicts the objective itself for mixtures left out."""
        from .law.judge import seed_noise, spearman

        total = np.array([self._objective_of(one) for one in self.done])
        runs = table.runs(next(iter(self.outcomes)), ("mixture",))
        noise, freedom = seed_noise(type(runs)(runs.settings, total, runs.group))
        error = float(np.abs(observed - predicted).mean())
        best = np.argsort(observed, kind="stable")[: max(4, math.ceil(len(observed) / 4))]
        guesses = {
            name: sum(one["weight"] * one["baselines"][name] for one in outcomes) for name in outcomes[0]["baselines"]
        }
        ranks = (spearman(predicted, observed), spearman(predicted[best], observed[best]))
        return {
            "error": error,
            "noise": noise,
            "noise_freedom": freedom,
            "error_in_noise": error / noise if noise else None,
            **{
                name: one if math.isfinite(one) else None
                for name, one in zip(("rank", "rank_best"), ranks, strict=True)
            },
            "guesses": guesses,
        }

    def _surface(self, table: Table) -> list[list[float]]:
        """Predicted losses over a grid of mixtures of two or three sources: shares, then the loss."""
        k, law = len(self.natural), self.question.law
        full = [law.fit(table.runs(name, ("mixture",))) for name in self.outcomes]
        steps = 50 if k == 2 else 24
        grid = [(a, steps - a) if k == 2 else (a, b, steps - a - b)
                for a in range(steps + 1) for b in range(steps + 1 - a if k == 3 else 1)]  # fmt: skip
        points = np.array(grid, np.float64) / steps
        settings = Settings(self.runs.grid.names, points)
        value = np.sum([w * one.at(settings) for w, one in zip(self.outcomes.values(), full, strict=True)], axis=0)
        return [[*point, float(one)] for point, one in zip(points.tolist(), value, strict=True)]


def _write(folder: Path, summary: dict[str, Any], done: Sequence[Done]) -> Searched:
    """The folder with search.json, runs.csv and the report."""
    summary = sealed(finite(summary))
    from .report.search import render

    with files.whole_folder(folder) as place:
        text = json.dumps(summary, indent=1, ensure_ascii=True, allow_nan=False)
        files.write_whole(place / SEARCH, text.encode())
        files.write_whole(place / RUNS, _runs_csv(summary, done).encode("utf-8", "surrogateescape"))
        files.write_whole(place / REPORT, render(summary).encode("utf-8", "replace"))
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
