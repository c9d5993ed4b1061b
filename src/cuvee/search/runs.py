"""The runs of a search: from mixtures and seeds to finished trials, counted where the proxy can be counted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from ..core import Batch
from ..engine.run import Engine
from ..methods.policy.uniform import Uniform
from ..proof.corpus import gather
from ..proof.draws import Drawn, Part, union
from ..proof.evaluations import EvaluationSet
from ..proof.exchange import Corpus, evaluation_digest, put_rows
from ..proof.places import Place, cost_of, train
from ..proof.proxies.ngram import Ngram
from ..proof.proxy import Proxy, Recipe
from ..proof.record import Record
from ..proof.trials import Task
from .counted import Run, run_counted
from .stock import Grid, Ints, Stock, draw_stock

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Asked:
    """One run: the name of its mixture, the mixture, (k,), or what else is drawn by, and the seed of its documents."""

    arm: str
    mixture: Floats
    seed: int


@dataclass(frozen=True)
class Done:
    """A run that was made: its trial, the share of its tokens that each source had in fact, (k,), and its tokens."""

    asked: Asked
    record: Record
    shares: Floats
    drawn: Drawn


@dataclass
class Runs:
    """Makes runs of mixtures of a pool's sources, each once, whoever asks.

    Attributes:
        part: the pool's rows without those that hold evaluation text.
        caps: float64, (k,): the largest share of each source, which bounds what is drawn.
    """

    engine: Engine
    part: Part
    grid: Grid
    caps: Floats
    proxy: Proxy
    sets: Sequence[EvaluationSet]
    place: Place
    stocks: dict[int, Stock] = field(default_factory=dict)
    found: int = 0
    """Trials that the ledger held already."""
    trained: set[str] = field(default_factory=set)
    """Keys of the trials that were asked for."""
    counts: ClassVar[bool] = True
    """Whether what runs draw comes in slices, so that n-grams can be counted once for all runs."""

    def stock(self, seed: int) -> Stock:
        """The documents that runs of a seed draw from."""
        if seed not in self.stocks:
            most = self.grid.slices(np.minimum(self.caps, 1.0))
            self.stocks[seed] = draw_stock(self.part, self.grid, seed, most)
        return self.stocks[seed]

    def task(self, asked: Asked) -> tuple[Task, Drawn, Floats, Ints]:
        """The trial of a run, its documents, the shares that it sees in fact, and its slices."""
        slices = self.grid.slices(asked.mixture)
        drawn, shares = self.stock(asked.seed).draw(slices)
        seed = 0 if self.proxy.seedless else asked.seed
        recipe = Recipe(self.proxy, Uniform(), 1.0)
        rows = put_rows(self.engine.store, drawn.places)
        return Task(asked.arm, drawn.digest, recipe, seed, rows, (), cost_of(drawn)), drawn, shares, slices

    def known(self, tasks: Sequence[Task]) -> int:
        """How many of these trials the ledger holds."""
        digests = self.digests()
        return sum(self.place.ledger.path(one.key(digests)).exists() for one in tasks)

    def digests(self) -> dict[str, str]:
        return {one.name: evaluation_digest(one.evaluation) for one in self.sets}

    def run(self, asked: Sequence[Asked]) -> list[Done]:
        """All of these runs, in their order."""
        made = [self.task(one) for one in asked]
        digests = self.digests()
        keys = [task.key(digests) for task, *_ in made]
        before = {key for key in set(keys) - self.trained if self.place.ledger.find(key) is not None}
        self.found += len(before)
        self.trained |= set(keys)
        missing = [drawn for (_, drawn, _, _), key in zip(made, keys, strict=True) if key not in before]
        corpus = gather(self.engine, union(missing)) if missing else []
        if self.counts and isinstance(self.proxy, Ngram):
            records = self._counted(self.proxy, asked, made, keys, corpus, digests)
        else:
            tasks = [task for task, *_ in made]
            found = train(self.place, tasks, corpus, self.sets)
            records = [found[key] for key in keys]
        done = []
        for one, record, (task, drawn, shares, _) in zip(asked, records, made, strict=True):
            mine = replace(record, arm=one.arm, seed=one.seed, cost={**record.cost, **task.select_cost})
            done.append(Done(one, mine, shares, drawn))
        return done

    def _counted(
        self,
        proxy: Ngram,
        asked: Sequence[Asked],
        made: Sequence[tuple[Task, Drawn, Floats, Ints]],
        keys: Sequence[str],
        corpus: Sequence[str],
        digests: dict[str, str],
    ) -> list[Record]:
        found: dict[str, Record] = {}
        self.place.progress.begin("counting n-grams of mixtures", len(set(keys)), "trials")
        for seed in dict.fromkeys(one.seed for one in asked):
            wanted: dict[str, Run] = {}
            for one, (task, drawn, _, slices), key in zip(asked, made, keys, strict=True):
                if one.seed == seed and key not in found:
                    wanted.setdefault(key, Run(task, slices, drawn.bytes))
            absent = [run.slices for key, run in wanted.items() if self.place.ledger.find(key) is None]
            most = np.max(absent, axis=0) if absent else np.zeros(len(self.grid.names), np.int64)
            stock = self.stock(seed).within(most)
            found |= run_counted(
                proxy,
                stock,
                self._texts(stock, corpus),
                wanted,
                self.place.ledger,
                [one.evaluation for one in self.sets],
                digests,
                self.engine.executor.trials if not self.engine.executor.remote else 1,
                self.place.progress,
                self.place.ledger.notice,
            )
        self.place.progress.end()
        return [found[key] for key in keys]

    def _texts(self, stock: Stock, corpus: Sequence[str]) -> Callable[[], Batch]:
        return lambda: Corpus(self.engine.store, corpus).batch(stock.documents["row"])
