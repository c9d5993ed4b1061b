"""``cuvee mix transport``: a mixture by how near it is to validation data, and what runs of mixtures say of that.

Kang et al., "Performance Scaling via Optimal Transport", NeurIPS 2023, arXiv 2307.02460 (``law/projektor.py``,
``law/transported.py``). A sample of every source and of the validation data is turned into vectors; the distance of
each mixture that was run is measured; projektor is fitted to performances, judged on mixtures left out, and climbed.
"""

from __future__ import annotations

import csv
import io
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from .checks import pool_files, usable, write_rejects
from .core import Batch, Runs, Settings, State
from .engine import files
from .engine.columns import DiskColumns
from .engine.draw import uniform
from .engine.executor import Executor
from .engine.local import Local
from .engine.one_thread import one_thread
from .engine.progress import Progress
from .engine.run import Engine
from .engine.store import Store, digest
from .errors import DataError, UsageError
from .feature.embed import Embedder, of_target
from .feature.used import in_words
from .fold.keyed_vectors import KeyedVectors
from .fold.labelled_sample import label_hash
from .law import trust
from .law.baselines import BASELINES
from .law.judge import group_means, interval, judge, resamples, together
from .law.projektor import Projektor
from .law.table import Table, read_runs
from .law.transported import Chosen, MixtureDistance, choose
from .layout import REJECTS, RUNS, TRANSPORT, TRANSPORT_FORMAT, Result, publish, refuse_foreign, versions
from .mixing import check_sources, count_sources
from .pool import Paths, Reading, named, open_both
from .request import check_arguments
from .transporting_wording import limits, next_command, transport_lines, verdict, warnings

Floats = npt.NDArray[np.float64]
ROWS, FEWEST_ROWS, MOST_ROWS = 600, 20, 4_000
FIRST_STEP = 0.02
"""How far the first step moves the share that gains most, where no rate is given."""
GUESSES = {
    "mean": "the mean of the others",
    "linear": "a straight line in shares, distance and log size",
    "nearest": "the nearest run",
}
TINY = 1e-12
"""A rate at which a step goes nowhere: the slope where the climb begins is looked at first."""
LEVEL, RESAMPLES, FEWEST_RESAMPLES = 0.9, 200, 50
PURPOSE = "rows for transport distances"
COLUMNS = ("mixture", "distance", "samples")


class Transported(Result):
    """A finished climb: the folder it lies in and the content of its ``transport.json``."""

    @property
    def weights(self) -> dict[str, float]:
        """Each source's share of the training samples."""
        return {one["name"]: one["weight"] for one in self.summary["proposal"]}


@one_thread()
def transport_mix(
    runs: str | os.PathLike[str] | Table,
    pool: Paths,
    target: Paths,
    *,
    samples: float | None = None,
    outcome: str | None = None,
    rows: int = ROWS,
    rate: float | None = None,
    steps: int = 100,
    seed: int = 0,
    output: str | os.PathLike[str] = "out/transport",
    reading: Reading | None = None,
    workers: int = 0,
    executor: Executor | None = None,
    cache: str | os.PathLike[str] | None = None,
    progress: Progress | None = None,
    command: str | None = None,
) -> Transported:
    """Measure how far the mixtures of finished runs are from validation data, fit projektor, and climb it; write
    transport.json, runs.csv (with the distances) and report.html into ``output``.

    Args:
        runs: a table of runs, as for :func:`cuvee.fit_law`, with a column ``samples`` of at least two sizes (of one
            alone, only that size can be asked about); the outcome is a performance of which more is better.
        pool: samples of the sources, named by its domain column (``reading.domain``).
        target: validation data. With ``reading.label``, labels of both count, as in OTDD.
        samples: the size that is asked about [the largest run].
        outcome: which of several outcomes.
        rows: of all sources together, and of the validation data, at most.
        rate, steps: of the climb [such that the first step moves 2 %; 100].
        seed: of the rows drawn and of resamples.

    Raises:
        UsageError, DataError, ResourceError, BusyError: with a sentence that says what, where and what next.
    """
    started = time.monotonic()
    check_arguments(pool=pool, target=target, output=output, reading=reading, workers=workers, seed=seed)
    reading = reading or Reading()
    if not FEWEST_ROWS <= rows <= MOST_ROWS:
        raise UsageError(f"--rows must be from {FEWEST_ROWS} to {MOST_ROWS:,}, not {rows}: memory grows by its square.")
    if steps < 1 or (rate is not None and not rate > 0) or (samples is not None and not samples > 0):
        raise UsageError("--steps must be at least 1, and --rate and --samples above 0.")
    if seed < 0:
        raise UsageError(f"--seed must be at least 0, not {seed}.")
    table = runs if isinstance(runs, Table) else read_runs(Path(runs), skip_bad=reading.skip_bad, inputs=COLUMNS)
    table.check(Projektor(), "projektor")
    name = _outcome(table, outcome)
    _one_size(table, samples)
    folder, store = Path(output), Store(Path(cache) if cache is not None else None)
    labelled = reading.label not in (None, "none")
    with files.lock(folder), store.in_use():
        refuse_foreign(folder, TRANSPORT, "transport")
        opened, against = open_both(pool, target, reading, store, ("label",) if labelled else ())
        assert against is not None
        engine = Engine(opened.stage, against.stage, store, executor or Local(workers), progress or Progress(), seed)
        columns = engine.columns(domain_by_convention=opened.domain_by_convention)
        left_out = usable(engine, columns, reading)
        sources = count_sources(columns)
        check_sources(sources, opened.spec.domain)
        _known(table.settings.sources, tuple(sources.names))
        drawn = _drawn(engine, columns, table.settings.sources, rows, labelled)
        away = MixtureDistance(drawn.rows, drawn.validation, labels=drawn.labels)
        measured = _measured(table, away, engine.progress)
        told = measured.runs(name, COLUMNS)
        size = float(samples or told.settings.values["samples"].max())
        found = _climb(told, away, size, rate, steps, engine.progress)
        held = dict(zip(sources.names, sources.tokens.tolist(), strict=True))
        natural = np.array([held[one] for one in told.settings.sources], np.float64)
        summary = _summary(told, name, found, away, size, natural / natural.sum(), seed)
        summary |= {
            "features": in_words(drawn.embedder),
            "labels": labelled,
            "rows": {**dict(zip(told.settings.sources, map(len, drawn.rows), strict=True)), "": len(drawn.validation)},
            "climb": {
                "rate": found.rate,
                "steps": steps,
                "slope": found.chosen.slope,
                "path": found.chosen.path.tolist(),
            },
            "spec": asdict(opened.spec),
        }
        summary["warnings"] = [*left_out, *warnings(summary), *found.chosen.notes, *table.notes, *opened.notes]
        summary["limits"] = limits(summary)
        summary["verdict"] = verdict(summary)
        summary["next"] = next_command(summary, named(pool), str(opened.spec.domain))
        summary["reproduce"] |= {
            "command": command or f"cuvee.transport_mix(..., {named(pool)!r}, {named(target)!r})",
            "seed": seed,
            "versions": versions(),
            "citations": [Projektor.card.bibtex],
            "files": [[one["path"], one["rows"]] for one in pool_files(engine.pool)[:100]],
            "timings": {"total": round(time.monotonic() - started, 3)},
        }
        with files.whole_folder(folder) as place:
            from .report.transport import render

            summary["rejects"] = write_rejects(engine, columns.rejected, place / REJECTS, folder / REJECTS)
            files.write_whole(place / RUNS, _as_csv(measured).encode())
            summary = publish(place, TRANSPORT, summary, render)
    return Transported(folder, summary)


def lines(found: Transported) -> list[str]:
    """What the command line prints."""
    return transport_lines(found.folder, found.summary)


def _outcome(table: Table, asked: str | None) -> str:
    names = list(table.outcomes)
    if asked is not None and asked not in names:
        raise UsageError(f"No outcome is called '{asked}'. The table has: {', '.join(names[:12])}.")
    if asked is None and len(names) > 1:
        raise UsageError(f"The table has {len(names)} outcomes. Name the one to climb: --metric {names[0]}.")
    if "samples" not in table.settings.values:
        raise DataError("The runs need a column samples, how many samples or tokens each was trained on: two sizes.")
    if len(table.settings.sources) < 2:
        raise DataError("The runs need their mixtures: columns called mix.NAME, one for each source.")
    return asked or names[0]


def _one_size(table: Table, asked: float | None) -> None:
    """Refuse another size than that of all runs: nothing says how performance rises with size."""
    sizes = np.unique(table.settings.values["samples"])
    if len(sizes) == 1 and asked is not None and asked != sizes[0]:
        raise UsageError(
            f"All runs are of {sizes[0]:,.12g} samples, so nothing is known of {asked:,.12g}: how performance rises "
            "with size is learnt from two. Run the mixtures at a second size, or leave out --samples."
        )


def _known(wanted: Sequence[str], there: Sequence[str]) -> None:
    missing = [one for one in wanted if one not in there]
    if missing:
        raise UsageError(
            f"The runs mix '{missing[0]}', which is no source of the pool. There are: {', '.join(there[:12])}. Name "
            "the column of sources with --by."
        )


@dataclass(frozen=True, eq=False)
class _Labelled(KeyedVectors):
    """Vectors of rows with given keys, and the hashes of their labels."""

    def empty(self) -> State:
        return super().empty() | {"label": np.zeros(0, np.uint64)}

    def lift(self, batch: Batch) -> State:
        found = super().lift(batch)
        return found | {"label": label_hash(batch, "label")[np.searchsorted(batch.row, found["row"])]}


@dataclass(frozen=True)
class _Drawn:
    """Vectors of some rows of each source and of the validation data, and their labels."""

    rows: list[Floats]
    validation: Floats
    labels: list[npt.NDArray[np.uint64]] | None
    embedder: Embedder


def _drawn(engine: Engine, columns: DiskColumns, sources: Sequence[str], rows: int, labelled: bool) -> _Drawn:
    """As many rows of every source, of the smallest keyed draws, and as many validation rows as of all sources."""
    embedder, vectors = of_target(engine)
    each = max(rows // len(sources), 1)
    place = {columns.domains.index(name): at for at, name in enumerate(sources)}
    best: list[list[tuple[Floats, npt.NDArray[np.int64], npt.NDArray[np.uint64]]]] = [[] for _ in sources]
    for block in columns.blocks("row", "key", "domain"):
        draw = uniform(engine.seed, PURPOSE, block["key"])
        for code, at in place.items():
            own = np.flatnonzero(block["domain"] == code)
            own = own[np.argsort(draw[own], kind="stable")[:each]]
            best[at].append((draw[own], block["row"][own], block["key"][own]))
    chosen: list[npt.NDArray[np.int64]] = []
    keys = []
    for parts in best:
        draw, row, key = (np.concatenate([one[column] for one in parts]) for column in range(3))
        first = np.lexsort((row, draw))[:each]
        chosen.append(np.sort(row[first]))
        keys.append(key[first])
    asked = np.unique(np.concatenate(keys))
    found = engine.fold((_Labelled if labelled else KeyedVectors)(asked, embedder))
    own_rows, own_labels = [], []
    for name, wanted in zip(sources, chosen, strict=True):
        there = np.flatnonzero(np.isin(found["row"], wanted))
        if not len(there):
            raise DataError(f"No row of the source '{name}' that was drawn has a vector: its texts have no known word.")
        own_rows.append(found["vectors"][there].astype(np.float64))
        own_labels.append(found["label"][there] if labelled else np.zeros(0, np.uint64))
    some = np.random.default_rng([engine.seed, 9]).permutation(len(vectors))[: each * len(sources)]
    labels = None
    if labelled:
        each_batch = [batch for batch in engine.targets() if len(batch)]
        known = np.concatenate([np.any(embedder.vectors(batch) != 0, axis=1) for batch in each_batch])
        labels = [*own_labels, np.concatenate([label_hash(batch, "label") for batch in each_batch])[known][some]]
    return _Drawn(own_rows, vectors[some].astype(np.float64), labels, embedder)


def _measured(table: Table, away: MixtureDistance, progress: Progress) -> Table:
    """The table with the distance of every run's mixture."""
    mixtures, at = np.unique(table.settings.mixture, axis=0, return_inverse=True)
    progress.begin("distances of mixtures", len(mixtures), "mixtures")
    found = np.zeros(len(mixtures))
    for place, one in enumerate(mixtures):
        found[place] = away.at(one)[0]
        progress.advance(1)
    progress.end()
    values = {**table.settings.values, "distance": found[at.ravel()]}
    return replace(table, settings=replace(table.settings, values=values))


@dataclass(frozen=True)
class _Found:
    """A fit and where its climb ended."""

    fitted: Any
    chosen: Chosen
    rate: float


def _climb(
    told: Runs, away: MixtureDistance, size: float, rate: float | None, steps: int, progress: Progress
) -> _Found:
    sources = told.settings.sources
    fitted = Projektor().fit(told)
    if rate is None:
        slope = choose(fitted, sources, away, size, rate=TINY, steps=1).slope
        rate = FIRST_STEP / max(slope, TINY)
    progress.begin("climbing", steps + 1, "steps")
    chosen = choose(fitted, sources, away, size, rate=rate, steps=steps, advance=lambda: progress.advance(1))
    progress.end()
    return _Found(fitted, chosen, rate)


def _summary(
    told: Runs, name: str, found: _Found, away: MixtureDistance, size: float, natural: Floats, seed: int
) -> dict[str, Any]:
    """What transport.json says, but for what only the command knows."""
    sources, law = told.settings.sources, Projektor()
    alone = [away.at(one)[0] for one in np.eye(len(sources))]
    points = {
        "proposal": found.chosen.mixture,
        "proportional": natural,
        "uniform": np.full(len(sources), 1 / len(sources)),
        "nearest source": np.eye(len(sources))[int(np.argmin(alone))],
    }
    mixtures = np.stack(list(points.values()))
    at = Settings(
        sources, mixtures,
        {"distance": np.array([away.at(one)[0] for one in mixtures]), "samples": np.full(len(mixtures), size)},
    )  # fmt: skip
    whole = together(told, "mixture")  # a mixture at one size would tell of the same at another
    each = np.stack([one.at(at) for one in law.refit(told, resamples(whole, RESAMPLES, seed))])
    value, gains = found.fitted.at(at), each[:, 0] - each[:, 1]
    enough = np.isfinite(gains).sum() >= FEWEST_RESAMPLES  # the others drew too few different mixtures
    low, high = interval(gains, LEVEL) if enough else (None, None)
    _, mean, _ = group_means(told)
    judged = judge(law, whole, BASELINES)
    outcome = {
        "weight": 1.0, "error": judged.error, "rank": judged.rank, "baselines": judged.baselines,
        "observed": mean.tolist(), "predicted": judged.predicted.tolist(),
    }  # fmt: skip
    here = Settings(sources, found.chosen.mixture[None], {name: one[:1] for name, one in at.values.items()})
    return {
        "format": TRANSPORT_FORMAT,
        "title": f"A mixture of {len(sources)} sources by transport distance",
        "outcome": name,
        "samples": size,
        "sizes": list(found.fitted.sizes),
        "runs": len(told),
        "proposal": [
            {
                "name": one,
                "weight": float(found.chosen.mixture[place]),
                "proportional": float(natural[place]),
                "distance": float(alone[place]),
            }
            for place, one in enumerate(sources)
        ],
        "expected": {
            one: {"performance": float(value[place]), "distance": float(at.values["distance"][place])}
            for place, one in enumerate(points)
        },
        "gain": {"gain": float(value[0] - value[1]), "low": low, "high": high},
        "judged": outcome,
        "doubt": _doubt(outcome, rising=bool(found.fitted.slopes(here)[1][0] > 0)),
        "beyond": size / max(found.fitted.sizes),
        "reproduce": {"digest": digest("transport", TRANSPORT_FORMAT, found.chosen.mixture.tolist(), size, name)},
    }


def _doubt(outcome: Mapping[str, Any], rising: bool) -> str:
    """Why the regression is not to be relied on, in a clause; empty if it is.

    It has to beat every guess, as a fit has to, a straight line among them: where that is no worse, the products of
    shares and distance, by which the climb finds its mixture, have told nothing.

    Args:
        rising: more distance is predicted to help at the proposal, against what the method takes for granted.
    """
    if not np.isfinite(outcome["error"]):
        return "too few mixtures are left to leave one out"
    if told := trust.doubt([outcome]):
        return told
    name = min(GUESSES, key=lambda one: outcome["baselines"][one])
    if not outcome["error"] < outcome["baselines"][name]:
        return f"the law misses mixtures left out by no less than {GUESSES[name]} does"
    return "more distance to validation data is predicted to help at the proposal" if rising else ""


def _as_csv(table: Table) -> str:
    """The runs with their distances, as ``cuvee mix fit`` reads them."""
    stream = io.StringIO()
    values = sorted(table.settings.values)
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(
        [*(f"mix.{one}" for one in table.settings.sources), *values, *(f"metric.{one}" for one in table.outcomes)]
    )
    for at in range(len(table)):
        told = [*table.settings.mixture[at], *(table.settings.values[one][at] for one in values)]
        writer.writerow([f"{float(one):.12g}" for one in (*told, *(column[at] for column in table.outcomes.values()))])
    return stream.getvalue()
