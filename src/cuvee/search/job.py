"""One search of a mixture, from an opened pool to all that is said about it: ``cuvee mix search`` without its files."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ..core import Columns, Settings
from ..engine.columns import DiskColumns
from ..engine.store import digest
from ..errors import DataError, UsageError
from ..fitting import fit_table
from ..law.curve import CurveLaw
from ..law.judge import group_means
from ..law.optimal_mixtures import OptimalMixtures
from ..law.propose import Bounds
from ..law.propose import Question as Search
from ..law.proposers import best as best_mixture
from ..law.table import Table
from ..law.wording import apart
from ..layout import SEARCH_FORMAT, versions
from ..mix.apportion import apportion
from ..mix.base import Sources
from ..mixing import count_sources
from ..pool import Paths, Reading
from ..proof import outlook
from ..proof.draws import Part
from ..proof.question import name_of
from . import cover, design, foresight, wording
from .cluster_sources import cluster_sources
from .pool_job import PoolJob, lengths, refuse_empty
from .question import Question
from .runs import Asked, Done, Runs
from .simplex import Simplex
from .stock import Grid
from .summary import content, surface
from .trial import BEST, PROPOSAL, cost, tried

Floats = npt.NDArray[np.float64]
MOST_GROUPS = 24
"""An evaluation set of more subgroups is one outcome; else each subgroup is one, which laws fit better."""
RESAMPLES = 100
"""Of a formula's fit: each is fitted to every outcome, and searched for its best mixture."""


@dataclass
class Job(PoolJob):
    """One search, from an opened pool to all that is said about it."""

    what: ClassVar[str] = "mixture"
    """What is searched."""

    question: Question = field(kw_only=True)
    seconds: dict[str, float] = field(default_factory=dict)
    done: list[Done] = field(default_factory=list)
    lost: int = 0
    clusters: dict[str, Any] | None = None
    members: pa.Table | None = None

    runs: Runs = field(init=False)
    documents: npt.NDArray[np.int64] = field(init=False)
    simplex: Simplex = field(init=False)
    natural: Floats = field(init=False)
    outcomes: dict[str, float] = field(init=False)

    def open(self, pool: Paths, sets: Mapping[str, Paths], reading: Reading) -> None:
        """Open pool and evaluation sets; nothing is read but their heads, and the evaluation sets."""
        self.begin(pool, sets, reading, self.question.eval_bytes)

    def prepare(self) -> None:
        """Count the sources, look for evaluation text in them, and decide what runs are made of."""
        question = self.question
        columns, bad = self.look(question.overlap, "cluster" if question.clusters else self.opened.spec.domain)
        part = Part(columns, without=self._without(columns, bad))
        sources = count_sources(part)
        refuse_empty(sources.names, sources.tokens, "the pool")
        self.documents = sources.documents
        whole = int(sources.tokens.sum())
        planned, length = lengths(question.tokens, question.run_tokens, whole, question.proxy)
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
        foresight.check_stocks(self.runs, [*self.swarm_seeds(), *self.trial_seeds()], self.documents)

    def _columns(self, known: DiskColumns) -> Columns:
        """The pool's rows by sources: domains, or clusters of the pool's own."""
        if self.question.clusters is None:
            return known
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
        self.runs = Runs(self.engine, part, grid, caps, question.proxy, self.sets, self.place)
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
        question, simplex = self.question, self.simplex
        seeds = self.swarm_seeds()
        asked = [Asked(name, mixture, seed) for name, mixture in self.anchors().items() for seed in seeds]
        count = design.rounds(question.runs, question.iterations)[0] - len(asked)
        if question.design == "cover":
            known = np.stack(list(simplex.anchors().values()))
            return asked + self._numbered(cover.swarm(simplex.caps, max(count, 0), question.seed, known), 0)
        return asked + self._numbered(simplex.swarm(max(count, 0), question.seed), 0)

    def anchors(self) -> dict[str, Floats]:
        """Proportional and uniform, as mixtures of the sources."""
        return {name: self.simplex.full(one) for name, one in self.simplex.anchors().items()}

    def swarm_seeds(self) -> range:
        """The seeds whose documents the swarm is trained on."""
        return range(self.question.seed, self.question.seed + design.anchor_seeds(self.question.runs))

    def trial_seeds(self) -> range:
        """The seeds, after these, at which the proposal is tried."""
        first = self.swarm_seeds()[-1] + 1
        return range(first, first + self.question.seeds)

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
        first = [self.runs.task(one)[:2] for one in self.first_round()]
        known = self.runs.known([task for task, _ in first])
        more = question.runs - len(first) + question.seeds * (4 + len(self.simplex.rivals))
        expected = foresight.Expected([drawn for _, drawn in first], more, len(self.swarm_seeds()) + question.seeds)
        seconds = foresight.seconds(self.runs, expected, self.executor.workers)
        return {
            "trains": self.trains(),
            "sources": [f"{name} {held:,}" for name, held in zip(grid.names, grid.available.tolist(), strict=True)],
            "stands for": f"a run of {grid.planned:,} tokens, at most {question.passes:g} passes over a source",
            "evaluates": [f"{one.name}: {len(one.evaluation.batch):,} documents" for one in self.sets],
            "proxy": f"{name_of(question.proxy)}: {type(question.proxy).summary}",
            "law": question.law_name,
            **({"holds": wording.held(self.simplex.told)} if self.simplex.told else {}),
            "ledger has": f"{known} of the {len(first)} runs of the first round",
            "time": outlook.said(seconds, [True] * known + [False] * (len(first) - known + more))
            + "; fitting the law comes on top",
            **({"warnings": [*self.warnings, *self.notes]} if self.warnings or self.notes else {}),
        }

    def run(self, folder: Path) -> dict[str, Any]:
        """Everything but writing."""
        begun = time.monotonic()
        self.prepare()
        self.seconds["reading"] = round(time.monotonic() - begun, 3)
        question = self.question
        self.place.say(self.trains())
        begun = time.monotonic()
        self._take(self.runs.run(self.first_round()))
        for number, count in enumerate(design.rounds(question.runs, question.iterations)[1:], start=1):
            self._take(self.runs.run(self._refined(count, number)))
        self.seconds["swarm"] = round(time.monotonic() - begun, 3)
        begun = time.monotonic()
        fitted = self._fit()
        self.seconds["fit and proposal"] = round(time.monotonic() - begun, 3)
        swarm_cost = cost(self.done)
        begun = time.monotonic()
        trial = self._trial(fitted) if question.seeds else {}
        self.seconds["trial of the proposal"] = round(time.monotonic() - begun, 3)
        return self._summary(folder, fitted, swarm_cost, trial)

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
        self.notes += apart(fitted)
        return self.simplex.rows(fitted, self.runs.grid)

    def _trial(self, fitted: Mapping[str, Any]) -> dict[str, Any]:
        """Train the proposal, proportional, uniform and the best mixture run at seeds that the swarm has not seen.

        Where proportional is the proposal, only the best mixture run is its rival, if that is another one.
        """
        mixtures = {PROPOSAL: self._proposed(fitted)}
        best = self._best_measured()
        if wording.stays(fitted):
            if best.asked.arm == "proportional" and not self.simplex.rivals:
                return {}
        else:
            mixtures |= self.anchors()
        mixtures |= self.simplex.rivals
        if best.asked.arm not in mixtures and not np.array_equal(best.asked.mixture, mixtures[PROPOSAL]):
            mixtures[BEST] = best.asked.mixture
        return tried(self.runs, mixtures, tuple(self.trial_seeds()), self.natural, best.asked.arm)

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
        self, folder: Path, fitted: dict[str, Any], swarm_cost: dict[str, float], trial: dict[str, Any]
    ) -> dict[str, Any]:
        question, grid = self.question, self.runs.grid
        planned = apportion([one["weight"] for one in fitted["proposal"]], grid.planned)
        total = np.array([self._objective_of(one) for one in self.done])
        drawn = len(fitted["proposal"]) <= 3 and self.simplex.whole
        points = self._surface(self.table()) if drawn else None
        more = self._more(fitted)
        summary = content(self, fitted, planned, total, points, more, swarm_cost, trial)
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

    def _surface(self, table: Table) -> list[list[float]] | None:
        return surface(self.question.law, table, self.outcomes)
