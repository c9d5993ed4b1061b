"""``cuvee mix``: how much of each source goes into a training run of so many tokens, and how often it is repeated."""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from .checks import lost_sources, pool_files, usable, without_rows, write_rejects
from .core import Block, Columns
from .engine import files
from .engine.columns import MOST_DOMAINS, NOT_TOLD_APART
from .engine.local import Executor, Local
from .engine.one_thread import one_thread
from .engine.plan import make, parameters
from .engine.progress import Progress
from .engine.run import Engine
from .engine.store import Store, digest
from .errors import DataError, UsageError
from .exporting import read_shares
from .layout import MIX, MIX_FORMAT, REJECTS, Result, publish, refuse_foreign, versions
from .mix import wording
from .mix.apportion import Weight, apportion, apportion_capped
from .mix.base import Mix, Sources
from .mix.given import NEAR, Given
from .near_ids import hints
from .pool import Paths, Reading, open_stage
from .quantities import MOST, count
from .registry import find
from .request import check_arguments

MOST_WEIGHT = 10.0
"""Of a source's losses: beyond, a few documents would decide every step."""
COMPARED = ("proportional", "uniform")
"""The mixes that every other one is shown beside."""


class Mixed(Result):
    """A finished mix: the folder it lies in and the content of its ``mix.json``."""

    @property
    def weights(self) -> dict[str, float]:
        """Each source's share of the training tokens."""
        return {one["name"]: one["weight"] for one in self.summary["sources"]}


@one_thread()
def mix_sources(
    pool: Paths,
    *,
    method: str | None = None,
    settings: dict[str, Any] | None = None,
    weights: Mapping[str, float | str] | None = None,
    tokens: int | None = None,
    passes: float | None = None,
    output: str | os.PathLike[str] = "out/mix",
    reading: Reading | None = None,
    workers: int = 0,
    executor: Executor | None = None,
    cache: str | os.PathLike[str] | None = None,
    progress: Progress | None = None,
    command: str | None = None,
) -> Mixed:
    """Decide how many tokens of each source a run sees, and write mix.json and report.html into ``output``.

    Args:
        pool: files, folders, globs or URIs; its domain column names the sources (``reading.domain``).
        method: a static mix [unimax]; ``cuvee methods`` lists them.
        settings: its parameters by name.
        weights: shares of training tokens by source that sum to one, instead of a method; text is taken exactly.
        tokens: of the run [as many as the pool has].
        passes: the most times that any source is gone through; what it cannot give goes to the others in proportion.
        workers: threads; 0 takes every core. The result does not depend on it.

    Raises:
        UsageError, DataError, ResourceError, BusyError: with a sentence that says what, where and what next.
    """
    started = time.monotonic()
    check_arguments(pool=pool, output=output, reading=reading, workers=workers, tokens=tokens)
    reading = reading or Reading()
    chosen = choose_mix(method, settings or {}, weights)
    check_amounts(tokens, passes)
    folder = Path(output)
    store = Store(Path(cache) if cache is not None else None)
    with files.lock(folder), store.in_use():
        refuse_foreign(folder, MIX, "mix")
        opened = open_stage(pool, reading, store)
        if opened.spec.text is None and opened.spec.tokens is None:
            raise UsageError("The pool has no texts and no token counts to mix by. Name a column with --token-column.")
        engine = Engine(opened.stage, None, store, executor or Local(workers), progress or Progress())
        columns = engine.columns()
        left_out = usable(engine, columns, reading)
        sources = count_sources(columns)
        check_sources(sources, opened.spec.domain)
        near = hints(opened.stage, sources, str(opened.spec.domain))
        if isinstance(chosen, Given) and left_out:
            _need_rows(chosen, lost_sources(engine, columns))
        budget = tokens if tokens is not None else int(sources.tokens.sum())
        summary = describe_mix(sources, chosen, budget, passes)
        summary["method"]["name"] = method or ("given" if weights is not None else "unimax")
        summary["counts"] |= {"rows": columns.n_rows + columns.rejected, "rejected": columns.rejected}
        with files.whole_folder(folder) as place:
            summary["rejects"] = write_rejects(engine, columns.rejected, place / REJECTS, folder / REJECTS)
            summary["warnings"] = [
                *opened.notes, *columns.notes, *left_out, *near, *_scaled(chosen), *wording.warnings(summary),
            ]  # fmt: skip
            summary["verdict"] = wording.verdict(summary)
            summary["limits"] = wording.limits(opened.spec.tokens is None and reading.tokenizer is None)
            summary["next"] = wording.next_command(str(folder))
            summary["spec"] = asdict(opened.spec)
            paths = [str(pool)] if isinstance(pool, str | os.PathLike) else [str(path) for path in pool]
            summary["reproduce"] |= {
                "command": command or f"cuvee.mix_sources({paths!r}, tokens={tokens!r})",
                "versions": versions(),
                "citations": [chosen.card.bibtex] if chosen.card.bibtex else [],
                "files": [[one["path"], one["rows"]] for one in pool_files(engine.pool)[:100]],
                "timings": {"total": round(time.monotonic() - started, 3)},
            }
            write_mix(place, summary)
    return Mixed(folder, summary)


def lines(mixed: Mixed) -> list[str]:
    """What the command line prints."""
    return wording.mix_lines(mixed.folder, mixed.summary)


def choose_mix(method: str | None, settings: Mapping[str, Any], weights: Mapping[str, float | str] | None) -> Mix:
    """The static mix that is asked for; UsageError if it is none, or two are."""
    if weights is not None:
        if method is not None or settings:
            raise UsageError("Give either --with or --weights, not both.")
        return Given(tuple((name, str(weight)) for name, weight in sorted(weights.items())))
    name = method or "unimax"
    if name == "given":
        raise UsageError("Give the weights themselves: --weights web=0.7,code=0.3.")
    return make(find("mix", name), settings, name)


def _need_rows(chosen: Given, lost: Collection[str]) -> None:
    """DataError where a weight is given to a source that has no usable row."""
    if gone := [name for name, weight in chosen.weights if name in lost and Fraction(weight)]:
        raise DataError(f"{without_rows(gone)} Mend its rows, or leave it out of --weights.")


def _scaled(chosen: Mix) -> list[str]:
    """That given weights were rounded, so that they had to be scaled to sum to 1."""
    if not isinstance(chosen, Given) or abs(chosen.total - 1) <= NEAR:
        return []
    return [f"The weights sum to {float(chosen.total):.6g}, which their rounding explains: they were scaled to 1."]


@dataclass(frozen=True)
class _BySource:
    """Tokens and documents per domain of a block, exactly: sums of doubles are exact below 2^53."""

    number: int

    def __call__(self, block: Block) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        tokens = np.bincount(block["domain"], weights=block["tokens"], minlength=self.number).astype(np.int64)
        return tokens, np.bincount(block["domain"], minlength=self.number).astype(np.int64)


def count_sources(columns: Columns) -> Sources:
    """Tokens and documents of each domain."""
    found = columns.total(_BySource(len(columns.domains)), "tokens", "domain")
    tokens, documents = found or np.zeros((2, len(columns.domains)), np.int64)
    return Sources(tuple(columns.domains), tokens, documents)


def check_amounts(tokens: int | None, passes: float | None) -> None:
    """UsageError for a number of tokens or passes that means nothing."""
    if tokens is not None and not 1 <= tokens <= MOST:
        raise UsageError(f"--tokens must be at least 1 and at most {MOST:,}, not {tokens:,}.")
    if passes is not None and not 0 < passes < float("inf"):
        raise UsageError(f"--passes must be a number above 0, like 4, not {passes}.")


def check_sources(sources: Sources, column: str | None) -> None:
    """UsageError, DataError where there is nothing to mix."""
    if column is None:
        raise UsageError("The pool has no domain column, so there is nothing to mix. Name a column with --by.")
    if sources.names == (NOT_TOLD_APART,):
        raise DataError(
            f"The column '{column}' has more than {MOST_DOMAINS:,} different values, which cannot be told apart as "
            "sources. Name a coarser column with --by."
        )
    if len(sources) < 2:
        raise UsageError(
            f"All rows have the same domain in column '{column}', so there is nothing to mix. Name another with --by."
        )
    if not int(sources.tokens.sum()):
        raise DataError("The pool holds no tokens. Give files with texts, or name another column with --token-column.")


def describe_mix(sources: Sources, chosen: Mix, budget: int, passes: float | None = None) -> dict[str, Any]:
    """Weights, whole tokens and passes of each source, beside what the compared mixes give.

    Args:
        budget: tokens of the run.
        passes: the most passes over any source, on top of what the rule says.
    """
    asked = chosen.allot(sources, budget)
    planned, short = _whole(chosen, asked, sources, budget, passes)
    total = int(planned.sum())
    if not total:
        raise UsageError("Nothing is left of the mix: every source with a weight is empty. Give other weights.")
    compared: dict[str, Mix] = {name: make(find("mix", name), {}, name) for name in COMPARED}
    others = {name: _whole(one, one.allot(sources, budget), sources, budget, None)[0] for name, one in compared.items()}
    upweighted = loss_weights(asked, planned) if passes is not None else np.ones(len(sources))
    rows = []
    for at, name in enumerate(sources.names):
        held = int(sources.tokens[at])
        row: dict[str, Any] = {
            "name": name,
            "weight": float(Fraction(int(planned[at]), total)),
            "tokens": int(planned[at]),
            "asked": float(asked[at] / asked.sum()),
            "passes": int(planned[at]) / held if held else 0.0,
            "loss_weight": float(upweighted[at]),
            "available": held,
            "documents": int(sources.documents[at]),
        }
        for other, amounts in others.items():
            row[other] = float(Fraction(int(amounts[at]), max(int(amounts.sum()), 1)))
            row[f"{other}_passes"] = int(amounts[at]) / held if held else 0.0
        rows.append(row)
    return {
        "format": MIX_FORMAT,
        "title": "Mix of the pool",
        "method": {"name": "", "parameters": parameters(chosen), "passes": passes},
        "unit": "tokens",
        "budget": budget,
        "planned": total,
        "shortfall": short,
        "sources": rows,
        "counts": {
            "sources": len(sources),
            "tokens": int(sources.tokens.sum()),
            "documents": int(sources.documents.sum()),
        },
        "reproduce": {
            "digest": digest("mix", MIX_FORMAT, list(sources.names), sources.tokens.tolist(), planned.tolist())
        },
    }


def loss_weights(asked: npt.NDArray[np.float64], planned: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """What a source's losses would have to count for the shares that were asked for, where it may not be repeated more.

    Share asked for over share given, at most ``MOST_WEIGHT``, 0 for a source that is given nothing: float64, (k,). The
    gradient of shares q with these weights is in expectation that of the shares asked for (Li et al., "Upsample or
    Upweight?", 2024, arXiv 2410.04579).
    """
    wanted, given = asked / asked.sum(), planned / planned.sum()
    return np.minimum(np.divide(wanted, given, out=np.zeros(len(given)), where=given > 0), MOST_WEIGHT)


def _whole(
    rule: Mix, asked: npt.NDArray[np.float64], sources: Sources, budget: int, passes: float | None
) -> tuple[npt.NDArray[np.int64], int]:
    """Whole tokens of each source, and how much of the budget no source could take."""
    exact = rule.shares(sources)
    shares: Sequence[Weight] = asked.tolist() if exact is None else exact
    spent = budget if asked.sum() > budget * (1 - 1e-9) else int(asked.sum())
    if passes is None:
        return apportion(shares, spent), budget - spent
    caps = [int(Fraction(passes) * held) for held in sources.tokens.tolist()]
    planned, short = apportion_capped(shares, spent, caps)
    if short and spent < budget:
        return planned, budget - int(planned.sum())
    return planned, budget - spent + short


def write_mix(place: Path, summary: dict[str, Any]) -> None:
    """Write mix.json and the report into a folder that is being made; ``summary`` gets its seal."""
    from .report.mix import render

    summary |= publish(place, MIX, summary, render)


def sizes_of(text: str) -> dict[str, int]:
    """Tokens of each source: from a folder or file of cuvee mix, mix fit or mix search, or written web=10B,code=1B."""
    place = Path(text)
    if place.exists():
        held = {}
        for one in read_shares(place)[1]:
            if one.get("available") is None:
                raise UsageError(
                    f"{place} does not say how many tokens the source '{one['name']}' has. "
                    "Name a folder of cuvee mix, or write sizes: web=10B,code=1B."
                )
            held[one["name"]] = int(one["available"])
        return held
    found = {}
    for part in text.split(","):
        key, equals, value = part.rpartition("=")
        if not equals or not key.strip():
            raise UsageError(f"There is no mix '{part}'. Name a folder of cuvee mix, or write sizes: web=10B,code=1B.")
        found[key.strip()] = count(value)
    return found
