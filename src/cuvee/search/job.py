"""One search of a mixture, from an opened pool to all that is said about it: ``cuvee mix search`` without its files."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ..checks import usable
from ..core import Columns, Law, Settings
from ..engine.executor import Executor
from ..engine.plan import parameters
from ..engine.progress import Progress
from ..engine.run import Engine
from ..engine.store import Store, digest
from ..errors import DataError, UsageError
from ..fitting import fit_table
from ..law.curve import CurveLaw
from ..law.judge import group_means, seed_noise, spearman
from ..law.optimal_mixtures import OptimalMixtures
from ..law.propose import Bounds
from ..law.propose import Question as Search
from ..law.rounds import best as best_mixture
from ..law.table import Table
from ..layout import SEARCH_FORMAT, versions
from ..methods.policy.uniform import Uniform
from ..mix.apportion import apportion
from ..mix.base import Sources
from ..mixing import check_sources, count_sources
from ..pool import Opened, Paths, Reading, open_stage
from ..proof import findings, overlap
from ..proof.arms import Pair, Plan
from ..proof.draws import Arm, Part
from ..proof.evaluations import EvaluationSet, checked
from ..proof.evaluations import read as read_evaluation
from ..proof.ledger import Ledger
from ..proof.proxy import Proxy
from ..proof.question import name_of
from ..proof.record import Record
from ..proof_wording import overlaps, refused
from . import design, wording
from .cluster_sources import Clustering, cluster_sources
from .needed import tokens_needed
from .runs import Asked, Done, Runs
from .simplex import Frozen, Simplex
from .stock import Grid

Floats = npt.NDArray[np.float64]
MOST_GROUPS = 24
"""An evaluation set of more subgroups is one outcome; else each subgroup is one, which laws fit better."""
ALPHA = 0.05
RESAMPLES = 100
"""Of a formula's fit: each is fitted to every outcome, and searched for its best mixture."""
PROPOSAL, BEST = "proposal", "best run"


@dataclass(frozen=True)
class Question:
    """All that is decided before the first run.

    Attributes:
        tokens: of the planned run; None for as many as the pool has. ``run_tokens``: of a proxy run.
        seeds: of the trial of the proposal; 0 leaves it out.
        levels: whether random mixtures are drawn by groups first. ``frozen``: weights held relative to one another.
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
    clusters: Clustering | None = None
    proposer: str = "law"
    levels: bool = False
    frozen: Frozen | None = None


@dataclass
class Job:
    """One search, from an opened pool to all that is said about it."""

    what: ClassVar[str] = "mixture"
    """What is searched."""

    question: Question
    store: Store
    ledger: Ledger
    executor: Executor
    progress: Progress
    say: Callable[[str], object]
    command: str
    paths: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """Of columns that were found and not used: they come last."""
    seconds: dict[str, float] = field(default_factory=dict)
    done: list[Done] = field(default_factory=list)
    lost: int = 0

    engine: Engine = field(init=False)
    opened: Opened = field(init=False)
    reading: Reading = field(init=False)
    rows: dict[str, int] = field(default_factory=dict)
    """Rows of the pool, and those that cannot be used."""
    sets: list[EvaluationSet] = field(init=False)
    met: overlap.Overlap = field(init=False)
    clusters: dict[str, Any] | None = None
    members: pa.Table | None = None
    runs: Runs = field(init=False)
    documents: npt.NDArray[np.int64] = field(init=False)
    simplex: Simplex = field(init=False)
    natural: Floats = field(init=False)
    outcomes: dict[str, float] = field(init=False)

    def open(self, pool: Paths, sets: Mapping[str, Paths], reading: Reading) -> None:
        """Open pool and evaluation sets; nothing is read but their heads, and the evaluation sets."""
        question = self.question
        self.opened, self.reading = open_stage(pool, reading, self.store), reading
        spec = self.opened.spec
        if spec.text is None:
            raise UsageError("The pool has no texts to train on. Name their column with --text.")
        self.engine = Engine(self.opened.stage, None, self.store, self.executor, self.progress)
        held = Reading(text=reading.text, skip_bad=reading.skip_bad)
        self.sets = [
            read_evaluation(name, paths, held, self.store, question.eval_bytes, ("text",))
            for name, paths in sets.items()
        ]
        self.notes += [f"{note}." for note in self.opened.notes]
        self.warnings += checked(self.sets, reading)

    def prepare(self) -> None:
        """Count the sources, look for evaluation text in them, and decide what runs are made of."""
        question = self.question
        known = self.engine.columns(domain_by_convention=self.opened.domain_by_convention)
        self.rows = {"rows": known.n_rows + known.rejected, "rejected": known.rejected}
        left_out = usable(self.engine, known, self.reading)
        columns = self._columns()
        check_sources(count_sources(columns), "cluster" if self.question.clusters else self.opened.spec.domain)
        self.met = overlap.find(self.engine, [one.evaluation for one in self.sets], [])
        if self.met.rows and question.overlap == "refuse":
            raise DataError(refused(self.met))
        self.warnings = [*left_out, *overlaps(self.met, question.overlap, self.engine.rows), *self.warnings]
        bad = self.met.contaminated if question.overlap == "clean" else np.empty(0, np.int64)
        part = Part(columns, without=self._without(columns, bad))
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
        natural = sources.natural()
        caps = np.minimum(1.0, question.passes * sources.tokens / planned)
        if (natural > caps * (1 + 1e-9)).any():
            raise UsageError(
                f"A run of {planned:,} tokens goes through the whole pool, {whole:,} tokens, {planned / whole:,.1f} "
                f"times. --passes {question.passes:g} allow at most {int(question.passes * whole):,} tokens: give "
                "fewer --tokens, or more --passes."
            )
        Bounds(natural, caps)  # refuses caps that leave tokens missing
        self.simplex = Simplex.of(tuple(sources.names), sources.tokens, caps, question.levels, question.frozen)
        self.natural = self.simplex.full(self.simplex.natural)
        self.warnings += self.simplex.notes
        grid = Grid.of(tuple(sources.names), sources.tokens, planned, length)
        self._settle(part, sources, grid, caps)
        self.outcomes = self._outcomes()
        self._enough()

    def _columns(self) -> Columns:
        """The pool's rows by sources: domains, or clusters of the pool's own."""
        if self.question.clusters is None:
            return self.engine.columns(domain_by_convention=self.opened.domain_by_convention)
        found, self.clusters = cluster_sources(self.engine, self.question.clusters, self.question.seed)
        self.members = found.table()
        if len(found.domains) != self.question.clusters.number:
            self.warnings.append(
                f"{len(found.domains)} clusters are left where {self.question.clusters.number} were asked for: merging "
                "more would make one too large, or there are no more."
            )
        return found

    def _without(self, columns: Columns, bad: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """The rows that no run may draw, ascending; ``bad`` hold evaluation text."""
        return bad

    def _settle(self, part: Part, sources: Sources, grid: Grid, caps: Floats) -> None:
        """Decide how runs draw, and what the law knows of the sources."""
        question = self.question
        self.runs = Runs(self.engine, part, grid, caps, question.proxy, self.sets, self.ledger, self.progress)
        law = question.law
        if isinstance(law, OptimalMixtures) and not law.one_pass:
            law = replace(law, one_pass=tuple((self.simplex.sizes / grid.planned).tolist()))
            if self._mixtures() <= law.numbers(len(self.simplex.names)):
                law = replace(law, shared=True)
            self.question = replace(question, law=law)

    def _enough(self) -> None:
        """Refuse a swarm that is too small for its law before anything is trained."""
        question, k = self.question, len(self.simplex.names)
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
        question = self.question
        seeds = self.swarm_seeds()
        asked = [Asked(name, mixture, seed) for name, mixture in self._anchors().items() for seed in seeds]
        count = design.rounds(question.runs, question.iterations)[0] - len(asked)
        return asked + self._numbered(self.simplex.swarm(max(count, 0), question.seed), 0)

    def _anchors(self) -> dict[str, Floats]:
        """Proportional and uniform, as mixtures of the sources."""
        return {name: self.simplex.full(one) for name, one in self.simplex.anchors().items()}

    def swarm_seeds(self) -> range:
        """The seeds whose documents the swarm is trained on."""
        return range(self.question.seed, self.question.seed + design.anchor_seeds(self.question.runs))

    def _numbered(self, mixtures: Floats, begin: int) -> list[Asked]:
        seeds = self.swarm_seeds()
        return [
            Asked(f"mixture {begin + at + 1}", one, seeds[(begin + at) % len(seeds)])
            for at, one in enumerate(self.simplex.full(mixtures))
        ]

    def trains(self) -> str:
        """What is going to be trained, in a clause."""
        question = self.question
        rounds = design.rounds(question.runs, question.iterations)
        told = f"{question.runs} runs of {self.runs.grid.tokens:,} tokens"
        told += f" in {question.iterations} rounds ({', '.join(map(str, rounds))})" if question.iterations > 1 else ""
        if question.seeds:
            rivals = 3 + len(self.simplex.rivals)
            told += f"; then the proposal and up to {rivals} rivals at {question.seeds} seeds"
        return told

    def outlook(self) -> dict[str, Any]:
        """What is going to be trained."""
        question, grid = self.question, self.runs.grid
        first = self.first_round()
        known = self.runs.known(first)
        return {
            "trains": self.trains(),
            "sources": [f"{name} {held:,}" for name, held in zip(grid.names, grid.available.tolist(), strict=True)],
            "stands for": f"a run of {grid.planned:,} tokens, at most {question.passes:g} passes over a source",
            "evaluates": [f"{one.name}: {len(one.evaluation.batch):,} documents" for one in self.sets],
            "proxy": f"{name_of(question.proxy)}: {type(question.proxy).summary}",
            "law": question.law_name,
            **({"holds": wording.held(self.simplex.told)} if self.simplex.told else {}),
            "ledger has": f"{known} of the {len(first)} runs of the first round",
        }

    def run(self, folder: Path) -> dict[str, Any]:
        """Everything but writing."""
        begun = time.monotonic()
        self.prepare()
        self.seconds["reading"] = round(time.monotonic() - begun, 3)
        question = self.question
        self.say(self.trains())
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
        settings = Settings(self.simplex.names, self.simplex.parts(mean)[group])
        return Table(settings, outcomes, group.astype(np.int64))

    def _sizes(self) -> dict[str, int]:
        return dict(zip(self.simplex.names, self.simplex.sizes.tolist(), strict=True))

    def _refined(self, count: int, number: int) -> list[Asked]:
        """A further round: mixtures that the law fitted so far predicts to be good."""
        question, table = self.question, self.table()
        names, weight = list(self.outcomes), np.array(list(self.outcomes.values()))
        full = [[question.law.fit(table.runs(name, ("mixture",)))] for name in names]
        bounds = Bounds(self.simplex.natural, self.simplex.caps)
        search = Search(self.simplex.names, weight, bounds, Settings((), np.empty((1, 0))), seed=question.seed + number)
        best = best_mixture(question.proposer, search, question.law, full)[0]
        known = self.simplex.parts(np.stack([one.asked.mixture for one in self.done]))
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
        fitted = fit_table(
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
            proposer=question.proposer,
            bounds=None if self.simplex.whole else Bounds(self.simplex.natural, self.simplex.caps),
        )
        return self.simplex.rows(fitted, self.runs.grid)

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
        mixtures = {PROPOSAL: self._proposed(fitted)}
        best = self._best_measured()
        if wording.stays(fitted):
            if best.asked.arm == "proportional" and not self.simplex.rivals:
                return {}
        else:
            mixtures |= self._anchors()
        mixtures |= self.simplex.rivals
        if best.asked.arm not in mixtures and not np.array_equal(best.asked.mixture, mixtures[PROPOSAL]):
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
        multiples, more = tokens_needed(self.runs, self.natural, PROPOSAL, made, found.primary)
        return {
            "seeds": list(seeds),
            "best_run": best.asked.arm,
            "arms": findings.arms_table(plan, seeds, self.sets, records),
            "comparisons": comparisons,
            "unanswered": [[one.against, one.evaluation] for one in found.unanswered],
            "curves": findings.curves(plan, seeds, self.sets, records),
            "multiples": multiples,
            "cost": self._cost([*made, *more]),
        }

    def _proposed(self, fitted: Mapping[str, Any]) -> Floats:
        """What a run is asked for to train on the proposal."""
        return np.array([one["weight"] for one in fitted["proposal"]])

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
        fixed = self._anchors()
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
        names, shares = sorted({one.asked.arm for one in self.done}), self.simplex.full(settings.mixture)
        summary: dict[str, Any] = {
            "format": SEARCH_FORMAT,
            "title": f"Search of a {self.what} by {len(self.done):,} runs"
            + (f", {self.simplex.names[0]}" if self.simplex.told else ""),
            "unit": question.proxy.unit,
            "proxy": {"name": name_of(question.proxy), "settings": parameters(question.proxy)},
            "law": fitted["law"],
            "counts": {
                **fitted["counts"],
                "diverged": self.lost,
                "found": self.runs.found,
                "tokens": int(grid.available.sum()),
                "documents": int(self.documents.sum()),
                **self.rows,
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
                {"name": name, "shares": shares[at].tolist(), "loss": float(observed[at]),
                 "predicted": float(predicted[at])}
                for at, name in enumerate(names)
            ],
            "confidence": self._confidence(table, outcomes, observed, predicted),
            "surface": self._surface(table) if len(rows) <= 3 and self.simplex.whole else None,
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
            **self._more(fitted),
        }  # fmt: skip
        for one in summary["overlap"]:
            one["examples"] = []
        summary["warnings"] = [*wording.warnings(summary, self.warnings), *self.notes]
        summary["verdict"] = wording.verdict(summary)
        summary["limits"] = wording.limits(summary)
        summary["next"] = wording.next_command(summary, str(folder), self.paths, self.command)
        summary["reproduce"] = {
            "command": self.command,
            "seed": question.seed,
            "digest": digest("search", SEARCH_FORMAT, self._identity(fitted, planned.tolist())),
            "versions": versions(),
            "citations": [text for text in self._citations() if text],
        }
        return summary

    def _more(self, fitted: Mapping[str, Any]) -> dict[str, Any]:
        """What only this kind of search has to say."""
        return ({"clusters": self.clusters} if self.clusters else {}) | (
            {"held": dict(self.simplex.told)} if self.simplex.told else {}
        )

    def _identity(self, fitted: Mapping[str, Any], planned: list[int]) -> list[Any]:
        """What makes one search differ from another."""
        return [sorted(one.record.key for one in self.done), planned]

    def _citations(self) -> Sequence[str]:
        return [self.question.law.card.bibtex]

    def _consulted(self, one: EvaluationSet, weights: Floats) -> int:
        return self.ledger.consult(one.origin, one.name, digest("searched", weights.tolist()))

    def _confidence(
        self, table: Table, outcomes: Sequence[Mapping[str, Any]], observed: Floats, predicted: Floats
    ) -> dict[str, Any]:
        """How well the law predicts the objective itself for mixtures left out."""
        total = np.array([self._objective_of(one) for one in self.done])
        runs = table.runs(next(iter(self.outcomes)), ("mixture",))
        noise, freedom = seed_noise(type(runs)(runs.settings, total, runs.group))
        known = np.isfinite(predicted)  # what the law has no form for is not judged
        observed, predicted = observed[known], predicted[known]
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

    def _surface(self, table: Table) -> list[list[float]] | None:
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
