"""One table of utilities, from an opened pool to all that is said about it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from .. import utilities_wording as wording
from ..engine import files
from ..engine.plan import parameters
from ..engine.store import digest
from ..errors import DataError, UsageError
from ..layout import UTILITIES_FORMAT, versions
from ..methods.policy.uniform import Uniform
from ..methods.policy.upsample_end import UpsampleEnd
from ..mixing import choose_mix, count_sources
from ..online.mixture import Groups, lifted
from ..pool import Paths, Reading
from ..proof import findings, outlook
from ..proof.arms import Pair, Plan
from ..proof.corpus import gather
from ..proof.draws import Arm, Drawn, Part, union
from ..proof.evaluations import told
from ..proof.exchange import Corpus, evaluation_digest, put_rows
from ..proof.places import cost_of, percent, train
from ..proof.proxies import checkpoint
from ..proof.proxies.transformer import Transformer
from ..proof.proxy import Recipe, Watch
from ..proof.trials import Task
from ..report.terminal import plural
from .ending import Course, left_out, rates
from .pool_job import PoolJob, lengths, refuse_empty
from .stock import Floats, Grid, draw_stock

ALPHA = 0.05
FULL = "full"


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


@dataclass
class UtilityJob(PoolJob):
    """One table of utilities, from an opened pool to all that is said about it."""

    question: Question = field(kw_only=True)

    part: Part = field(init=False)
    grid: Grid = field(init=False)
    course: Course = field(init=False)
    natural: Floats = field(init=False)
    final: Floats = field(init=False)
    arms: dict[str, Floats] = field(init=False)
    left: dict[str, int] = field(init=False)
    """The source that each arm lacks, but for the full one."""
    draws: dict[tuple[str, int], Drawn] = field(default_factory=dict)
    """What the end of each arm trains on at each seed."""
    seen: Floats = field(init=False)
    """The shares of the full end in fact, (k,), on average over the seeds."""

    def open(self, pool: Paths, sets: Mapping[str, Paths], reading: Reading) -> None:
        """Open pool and evaluation sets."""
        self.begin(pool, sets, reading, self.question.eval_bytes)

    def prepare(self) -> None:
        """Count the sources, look for evaluation text in them, and decide what is trained on."""
        question = self.question
        columns, bad = self.look(question.overlap, self.opened.spec.domain)
        self.part = Part(columns, without=bad)
        sources = count_sources(self.part)
        names, whole = tuple(sources.names), int(sources.tokens.sum())
        planned, length = lengths(question.tokens, question.run_tokens, whole, question.proxy)
        self.grid = Grid.of(names, sources.tokens, planned, length)
        self.natural = sources.natural()
        if question.weights is not None:
            asked = choose_mix(None, {}, question.weights).allot(sources, planned)
            self.final = np.asarray(asked / asked.sum(), np.float64)
        else:
            policy = question.policy
            self.final = lifted(Groups(names, sources.tokens), policy.domains, policy.share, "upsample_end")
        taken = np.flatnonzero(self.final > 0)
        refuse_empty([names[at] for at in taken], sources.tokens[taken], "the final mix")
        if unknown := [one for one in question.only if one not in names]:
            raise UsageError(f"The pool has no source '{unknown[0]}'. It has: {', '.join(names[:12])}.")
        chosen = [at for at, name in enumerate(names) if self.final[at] > 0 and name in (question.only or names)]
        if absent := [one for one in question.only if not self.final[names.index(one)] > 0]:
            raise UsageError(f"The final mix has nothing of '{absent[0]}', so leaving it out changes nothing.")
        self.arms = {FULL: self.final} | {f"without {names[at]}": left_out(self.final, at) for at in chosen}
        self.left = {f"without {names[at]}": at for at in chosen}
        stock = draw_stock(self.part, self.grid, question.seed, self.grid.whole)
        self.course = Course.of(stock.documents, self.natural, length, question.last, question.seed)
        if not self.course.beginning().documents:
            raise DataError("What comes before the end is shorter than a document. Give more --run-tokens.")
        self.seen = np.zeros(len(names))
        for seed in question.seeds:
            for name, mixture in self.arms.items():
                self.draws[name, seed], shares = self.course.ending(mixture, seed)
                self.seen += shares / len(question.seeds) * (name == FULL)
                if not self.draws[name, seed].documents:
                    raise DataError("The end is shorter than a document. Give more --run-tokens, or a larger last.")

    def trains(self) -> str:
        """What is going to be trained, in a sentence."""
        first, last = (1 - self.question.last) * self.grid.tokens, self.question.last * self.grid.tokens
        names = [self.grid.names[at] for at in self.left.values()]
        without = f"each of {len(names)} sources" if len(names) > 1 else f"'{names[0]}'"
        return (
            f"One beginning of {first:,.0f} tokens; then {len(self.arms)} ends of {last:,.0f} tokens (full, and "
            f"without {without}) at {len(self.question.seeds)} seeds"
        )

    def outlook(self) -> dict[str, Any]:
        """What is going to be trained, and about how long it takes; the largest shares of the final mix come first."""
        passes, order = self.passes(), np.argsort(-self.final, kind="stable")
        mixed = [
            f"{self.grid.names[at]} {self.final[at]:.1%} ({passes[at]:.2g} passes)"
            for at in order
            if self.final[at] > 0
        ]
        without = len(self.final) - len(mixed)
        return {
            "trains": self.trains(),
            "stands for": f"a run of {self.grid.planned:,} tokens, its last {self.question.last:.0%} on the final mix",
            "final mix": mixed + ([f"nothing of {plural(without, 'other source')}"] if without else []),
            "evaluates": [f"{one.name}: {len(one.evaluation.batch):,} documents" for one in self.sets],
            "proxy": f"transformer: {type(self.question.proxy).summary}",
            "time": self.time(),
            **({"warnings": [*self.warnings, *self.notes]} if self.warnings or self.notes else {}),
        }

    def time(self) -> str:
        """About how long the beginning and the ends that the ledger lacks take."""
        begun, model, place = self.course.beginning(), self.question.proxy, self._place()
        known = [False] * len(self.draws)
        if self._kept(place):
            keys = self._keys(self._tasks(place))
            known = [self.ledger.path(key).exists() for key in keys.values()]
        seconds = None
        if not all(known):
            speed = outlook.speed(model, self.engine, begun.row, self.sets[0].evaluation)
            ends = sum(drawn.bytes for drawn in self.draws.values())
            held = outlook.measured(self.sets)
            if speed is not None:
                seconds = speed.seconds(ends, len(self.draws), held) / self.executor.workers
                if not self._kept(place):
                    seconds += speed.seconds(begun.bytes, 1, 0)
        return outlook.said(seconds, known)

    def passes(self, mixture: Floats | None = None) -> Floats:
        """How often the planned run's end goes through each source, (k,)."""
        return self.question.last * self.grid.passes(self.final if mixture is None else mixture)

    def _place(self) -> Path:
        """Where the model before the end is kept."""
        model, begun = rates(self.question.proxy, self.question.last), self.course.beginning()
        key = digest("before the end", begun.digest, Recipe(model, Uniform(), 1.0).digest(), self.question.seed)
        return self.ledger.folder / "models" / f"{key}.safetensors"

    def checkpoint(self) -> Path:
        """The model before the end, trained now if the ledger's folder lacks it."""
        question, begun, place = self.question, self.course.beginning(), self._place()
        model = rates(question.proxy, question.last)
        with files.lock(place):
            if not self._kept(place):
                batch = Corpus(self.store, gather(self.engine, begun.row)).batch(begun.places)
                self.progress.begin("training the beginning", 100, "percent")
                watch = Watch(percent(self.progress), self.store.root / "pretrain" / place.stem, keep=place)
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

    def run(self) -> dict[str, Any]:
        """Train, compare, and say what was found."""
        question = self.question
        tasks = self._tasks(self.checkpoint())
        keys = self._keys(tasks)
        known = sum(self.ledger.find(key) is not None for key in set(keys.values()))
        corpus = gather(self.engine, union(list(self.draws.values())))
        records = train(self.place, list(tasks.values()), corpus, self.sets)
        by_arm = {(name, seed): replace(records[key], arm=name, seed=seed) for (name, seed), key in keys.items()}
        arms = {name: Arm(name, "end", self.part, None, round(self.course.tokens), Uniform()) for name in self.arms}
        plan = Plan(tuple(arms.values()), tuple(Pair(arms[FULL], arms[name]) for name in self.left), self.grid.tokens)
        found = findings.answers(
            plan, question.seeds, self.sets, by_arm, findings.Asked(ALPHA, None, (len(question.seeds),))
        )
        comparisons = findings.comparisons(found)
        trained = float(sum(one.tokens for one in self.draws.values()))
        cost = {
            "tokens": self.course.beginning().tokens + trained,
            "whole_runs": float(self.grid.tokens * len(tasks)),
            "train_seconds": float(sum(one.cost["train_seconds"] for one in by_arm.values())),
            "trials": len(set(keys.values())),
            "found": known,
        }
        return self._summary(comparisons, found, by_arm, cost)

    def _tasks(self, checkpoint: Path) -> dict[tuple[str, int], Task]:
        """The trials of all ends, by arm and seed."""
        ending = rates(self.question.proxy, self.question.last, str(checkpoint.resolve()))
        recipe = Recipe(ending, Uniform(), 1.0)
        return {
            (name, seed): Task(name, drawn.digest, recipe, seed, put_rows(self.store, drawn.places), (), cost_of(drawn))
            for (name, seed), drawn in self.draws.items()
        }

    def _keys(self, tasks: Mapping[tuple[str, int], Task]) -> dict[tuple[str, int], str]:
        digests = {one.name: evaluation_digest(one.evaluation) for one in self.sets}
        return {at: task.key(digests) for at, task in tasks.items()}

    def _summary(
        self,
        comparisons: list[dict[str, Any]],
        found: findings.Answers,
        records: Mapping[tuple[str, int], Any],
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
                    "seen": float(self.seen[at]),
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
            "evaluations": told(self.sets, self.ledger, digest("utilities", self.final.tolist())),
            "cost": cost,
            "overlap": [{**one, "examples": []} for one in self.met.as_json()],
            "ledger": str(self.ledger.folder),
            "spec": asdict(self.opened.spec),
        }
        summary["warnings"] = [*self.warnings, *wording.warnings(summary), *self.notes]
        summary["verdict"] = wording.verdict(summary)
        summary["limits"] = wording.limits(summary)
        summary["next"] = wording.next_command(summary, self.paths)
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
