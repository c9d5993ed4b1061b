"""``cuvee select``: from a pool, a target and a budget to a chosen training set that explains itself."""

from __future__ import annotations

import json
import os
import platform
import shlex
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from . import __version__, registry, wording
from .checks import check_ids, check_rows, pool_files, write_rejects
from .core import Budget, Choose, Decision, Draw, Map, Method, Unit
from .duplicates import count_duplicates
from .engine import files
from .engine.columns import DiskColumns
from .engine.local import Executor, Local
from .engine.memory import expected
from .engine.plan import describe, finite, make, parameters
from .engine.progress import Progress
from .engine.run import Engine, Stage
from .engine.store import Store
from .errors import DataError, UsageError
from .examples import divergence_from_target, draw_examples
from .layout import PLAN, PLAN_FORMAT, REJECTS, REPORT, SELECTION
from .methods.choose.length_matched import cost_by_length, matched_to
from .methods.choose.quota import Quota
from .methods.choose.random import Random
from .pool import Opened, Paths, Reading, open_stage, target_reading
from .selection_file import Reasons, SelectionWriter, reasons_of
from .summary import Arm, LogWeights, length_histogram, score_pictures


@dataclass(frozen=True)
class Request:
    """Everything that decides a selection's content, as given by the user."""

    method: str
    settings: dict[str, Any]
    choose: str | None
    choose_settings: dict[str, Any]
    quota: tuple[tuple[str, float], ...] | str | None
    budget: Budget
    seed: int


@dataclass
class Selected:
    """A finished selection: the folder it lies in and what is known about it (the content of ``plan.json``)."""

    folder: Path
    summary: dict[str, Any]

    @property
    def digest(self) -> str:
        """The same for any number of workers, any sharding of the same rows, and after any interruption."""
        return str(self.summary["reproduce"]["digest"])


def make_budget(
    tokens: int | None, rows: int | None, size: int | None, fraction: float | None, fraction_of: Unit = "tokens"
) -> Budget:
    """Exactly one kind of budget; UsageError otherwise."""
    given = [
        (unit, amount) for unit, amount in (("tokens", tokens), ("rows", rows), ("bytes", size)) if amount is not None
    ]
    if len(given) + (fraction is not None) != 1:
        raise UsageError("Give exactly one budget: --tokens, --rows, --bytes or --fraction.")
    if fraction is not None:
        if not 0 < fraction <= 1:
            raise UsageError(f"--fraction must be above 0 and at most 1, not {fraction}.")
        return Budget(fraction_of, fraction=fraction)
    unit, amount = given[0]
    if amount <= 0:
        raise UsageError(f"--{unit} must be at least 1, not {amount}.")
    return Budget(unit, amount)  # type: ignore[arg-type]


def versions() -> dict[str, str]:
    """What the result's bits may depend on."""
    import numba

    return {
        "cuvee": __version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "numba": numba.__version__,
        "pyarrow": pa.__version__,
        "machine": platform.machine(),
    }


def select(
    pool: Paths,
    *,
    target: Paths | None = None,
    method: str | None = None,
    settings: dict[str, Any] | None = None,
    choose: str | None = None,
    choose_settings: dict[str, Any] | None = None,
    quota: dict[str, float] | str | None = None,
    tokens: int | None = None,
    rows: int | None = None,
    bytes: int | None = None,
    fraction: float | None = None,
    seed: int = 0,
    output: str | os.PathLike[str] = "out/select",
    reading: Reading | None = None,
    workers: int = 0,
    executor: Executor | None = None,
    cache: str | os.PathLike[str] | None = None,
    progress: Progress | None = None,
    show_text: bool = True,
    command: str | None = None,
) -> Selected:
    """Choose rows of ``pool`` within a budget and write the selection, its plan and a report into ``output``.

    Args:
        pool, target: files, folders, globs or URIs.
        method: a scoring method ("dsir", "zipfit", ...) or a baseline ("random"); ``cuvee methods`` lists them.
            By default "dsir" with a target and "random" without.
        settings: the method's parameters by name.
        choose, choose_settings: how to choose by the score; the method's own rule by default.
        quota: shares of the budget by domain, or "proportional" or "uniform".
        tokens, rows, bytes, fraction: the budget; exactly one (a fraction is of the pool's tokens).
        seed: the only source of randomness.
        workers: threads; 0 takes every core. The result does not depend on it.

    Raises:
        UsageError, DataError, ResourceError, BusyError: with a sentence that says what, where and what next.
    """
    started = time.monotonic()
    reading = reading or Reading()
    method = method or ("dsir" if target is not None else "random")
    shares = tuple(sorted(quota.items())) if isinstance(quota, dict) else quota
    budget = make_budget(tokens, rows, bytes, fraction)
    request = Request(method, settings or {}, choose, choose_settings or {}, shares, budget, seed)
    folder = Path(output)
    scorer, chooser = plan_methods(request, target is not None)
    store = Store(Path(cache) if cache is not None else None)
    with files.lock(folder), store.in_use():
        _refuse_foreign(folder)
        opened = open_stage(pool, reading, store)
        against = open_stage(target, target_reading(reading), store, "target") if target is not None else None
        engine = Engine(
            opened.stage,
            against.stage if against else None,
            store,
            executor or Local(workers),
            progress or Progress(),
            seed,
        )
        job = _Job(
            engine, opened, against, request, reading, scorer, chooser, started, command or _python_call(request)
        )
        return job.run(folder, show_text)


def plan_methods(request: Request, has_target: bool) -> tuple[Method | None, Choose | None]:
    """The scoring method (None for baselines) and the rule to choose by (None: the method's own).

    Checked before any file is opened.
    """
    kind = registry.load(request.method)
    if issubclass(kind, Choose):
        if request.choose is not None:
            raise UsageError(f"'{request.method}' chooses by itself; leave out --choose.")
        if "score" in kind.card.needs:
            raise UsageError(
                f"'{request.method}' chooses by a score: name a scoring method with --with, "
                f"and use --choose {request.method}."
            )
        return None, make(kind, request.settings, request.method)
    scorer = make(kind, request.settings, request.method)
    if "target" in scorer.needs() and not has_target:
        raise UsageError(
            f"'{request.method}' compares with a target: name files like the data you want with --target, "
            "or use --with random."
        )
    if request.choose is None:
        return scorer, None
    return scorer, _rule(request, scorer)


def _rule(request: Request, scorer: Method) -> Choose:
    """The rule named by --choose, if it suits the method."""
    name = request.choose or ""
    chosen = registry.load(name)
    if not issubclass(chosen, Choose):
        raise UsageError(f"'{name}' is a scoring method; --choose takes a rule such as top_k or gumbel.")
    if chosen is Quota:
        raise UsageError("Quotas are given with --quota, beside any rule.")
    asked = set(chosen.card.needs) & {"score", "perplexity"}
    if not asked:
        raise UsageError(f"'{name}' does not look at scores: use --with {name} instead of --choose {name}.")
    if asked - set(scorer.card.gives):
        raise UsageError(
            f"'{name}' chooses by {' and '.join(sorted(asked))}, which '{request.method}' does not give "
            f"(it gives {', '.join(scorer.card.gives)})."
        )
    if request.quota is not None and not chosen.by_priority:
        raise UsageError(f"Quotas need a rule that ranks rows, such as top_k or gumbel; '{name}' does not.")
    return make(chosen, request.choose_settings, name)


def _refuse_foreign(folder: Path) -> None:
    """Never replace a folder that cuvee did not write."""
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file. Choose another place with -o.")
    if folder.is_dir() and any(folder.iterdir()) and not (folder / PLAN).is_file():
        raise UsageError(f"{folder} holds files that are not a cuvee selection. Choose another place with -o.")


def _python_call(request: Request) -> str:
    return f"cuvee.select(..., method={request.method!r}, seed={request.seed})"


@dataclass
class _Job:
    engine: Engine
    opened: Opened
    target: Opened | None
    request: Request
    reading: Reading
    scorer: Method | None
    chosen: Choose | None
    started: float
    command: str
    chooser: Choose = field(init=False)

    def run(self, folder: Path, show_text: bool) -> Selected:
        engine = self.engine
        timings: dict[str, float] = {}
        spec, unit = self.opened.spec, self.request.budget.unit
        if spec.text is None and unit != "rows" and not (unit == "tokens" and spec.tokens):
            raise UsageError(f"The pool has no texts, so its {unit} cannot be counted: give the budget as --rows.")
        if engine.target is not None:
            engine.ensure_facts(engine.target)
            self._check_target(engine.target)
        fitted, keys = self._score()
        timings["reading and scoring"] = time.monotonic() - self.started
        columns = engine.columns(*keys, domain_by_convention=self.opened.domain_by_convention)
        rejected = self._rejected(engine.pool)
        check_rows(engine, engine.pool, columns.n_rows, self.reading, rejected)
        check_ids(engine, columns)
        begun = time.monotonic()
        draw = Draw(self.request.seed)
        chooser = self.chosen
        if chooser is None:
            assert self.scorer is not None and fitted is not None
            chooser = self.scorer.chooser(fitted)
        self.chooser = Quota(chooser, self.request.quota) if self.request.quota is not None else chooser
        decision = self.chooser.choose(columns, self.request.budget, draw)
        timings["choosing"] = time.monotonic() - begun
        with files.whole_folder(folder) as place:
            summary = self._describe(columns, decision, fitted, draw, rejected, place, folder)
            if not show_text:
                for example in [one for shown in summary["examples"].values() for one in shown]:
                    example |= {"text": "", "because": []}
            timings["total"] = time.monotonic() - self.started
            summary["reproduce"]["timings"] = {name: round(value, 3) for name, value in timings.items()}
            summary = finite(summary)
            plan = json.dumps(summary, indent=1, ensure_ascii=True, allow_nan=False)
            files.write_whole(place / PLAN, plan.encode())
            from .report.select import render

            files.write_whole(place / REPORT, render(summary, no_text=not show_text).encode("utf-8", "replace"))
        return Selected(folder, summary)

    def _check_target(self, stage: Stage) -> None:
        rows = sum(self._note(stage, span)["totals"]["rows"] for span in stage.manifest.spans)
        check_rows(self.engine, stage, rows, self.reading, self._rejected(stage))

    def _note(self, stage: Stage, span: Any) -> dict[str, Any]:
        return self.engine.store.table(stage.key("facts", span))[1]

    def _rejected(self, stage: Stage) -> int:
        return sum(self._note(stage, span)["rejected"] for span in stage.manifest.spans)

    def _score(self) -> tuple[Map | None, list[list[str]]]:
        if self.scorer is None:
            return None, []
        if "text" in self.scorer.needs() and self.opened.spec.text is None:
            raise UsageError(f"'{self.request.method}' needs texts, and the pool has none. Use --with random.")
        fitted = self.scorer.fit(self.engine)
        return fitted, [self.engine.apply(fitted, f"scoring by {self.request.method}")]

    def _describe(
        self,
        columns: DiskColumns,
        decision: Decision,
        fitted: Map | None,
        draw: Draw,
        rejected: int,
        place: Path,
        folder: Path,
    ) -> dict[str, Any]:
        request, engine, budget = self.request, self.engine, self.request.budget
        domains = list(columns.domains)
        amount = budget.resolve(columns.totals[budget.unit])
        random = Random("random control").choose(columns, replace(budget, amount=amount, fraction=None), draw)
        by_length = cost_by_length(columns, decision, budget)
        equal = Budget(budget.unit, int(by_length.sum()))
        matched = matched_to(by_length, columns, equal, draw) if by_length.sum() else None
        has_text = self.opened.spec.text is not None
        arms = {"pool": Arm(len(domains)), "kept": Arm(len(domains)), "random": Arm(len(domains))}
        overlap = {"random": 0, "length_matched": 0}
        weights = LogWeights()
        scored = fitted is not None
        reasons = (
            Reasons(columns, request.method if scored else "random", isinstance(self.chooser, Quota))
            if scored
            else None
        )
        log_weight = bool(getattr(fitted, "log_weight", False))
        writer = SelectionWriter(place / SELECTION, engine, domains, reasons, request.method)
        for number, block in enumerate(columns.blocks()):
            repeats = decision.repeats(block)
            drawn = random.repeats(block)
            arms["pool"].add(block, np.ones_like(repeats))
            arms["kept"].add(block, repeats)
            arms["random"].add(block, drawn)
            overlap["random"] += int(np.count_nonzero((repeats > 0) & (drawn > 0)))
            if matched is not None:
                overlap["length_matched"] += int(np.count_nonzero((repeats > 0) & (matched.repeats(block) > 0)))
            if log_weight:
                weights.add(block["score"] / float(getattr(self.chooser, "temperature", 1.0)))
            writer.add(number, block, repeats)
        writer.close()
        kept = arms["kept"]
        if kept.rows == 0:
            raise DataError(wording.nothing_kept(decision, columns, amount, budget))
        repeated = count_duplicates(
            columns, "content", lambda b: decision.repeats(b) > 0, needs=decision.needs, rows=kept.rows
        )
        rows = max(kept.rows, 1)
        summary: dict[str, Any] = {
            "format": PLAN_FORMAT,
            "title": f"Selection by {request.method}",
            "counts": {
                "rows": columns.n_rows + rejected,
                "usable": columns.n_rows,
                "rejected": rejected,
                "kept": kept.rows,
                "kept_copies": kept.copies,
                "kept_tokens": kept.tokens,
                "kept_bytes": kept.bytes,
                "pool_tokens": arms["pool"].tokens,
                "pool_bytes": arms["pool"].bytes,
                "target_rows": engine.target.manifest.rows if engine.target else 0,
            },
            "method": {
                "name": request.method,
                "parameters": parameters(self.scorer if self.scorer is not None else self.chooser),
                "summary": registry.card(request.method).summary,
                "chooser": type(self.chooser).__name__,
                "chooser_parameters": parameters(self.chooser),
                "notes": {**dict(getattr(fitted, "notes", {}) or {}), **decision.notes},
            },
            "budget": f"{amount:,} {budget.unit}",
            "domains": [
                {
                    "name": name,
                    "pool_rows": int(arms["pool"].domain_rows[at]),
                    "kept_rows": int(kept.domain_rows[at]),
                    "pool_tokens": int(arms["pool"].domain_tokens[at]),
                    "kept_tokens": int(kept.domain_tokens[at]),
                    "random_tokens": int(arms["random"].domain_tokens[at]),
                }
                for at, name in enumerate(domains)
            ],
            "lengths": length_histogram(arms) if has_text else None,
            "quantiles": {name: arm.quantiles() for name, arm in arms.items()} if has_text else {},
            "effective_sample_size": weights.effective() if log_weight else None,
            "duplicates": {"rows": repeated.rows, "groups": repeated.groups},
            "controls": {name: {"overlap": count / rows} for name, count in overlap.items()},
        }
        if reasons is not None and reasons.low < reasons.high:
            summary |= score_pictures(columns, decision, reasons.low, reasons.high)
        compared: dict[str, Decision] = {"kept": decision}
        if matched is not None:
            compared["length_matched"] = matched
        summary["distance"] = divergence_from_target(engine, columns, compared, draw) if has_text else None
        summary["examples"] = draw_examples(
            engine, columns, decision, reasons_of(reasons, request.method), fitted, draw
        )
        summary["rejects"] = write_rejects(engine, rejected, place / REJECTS, folder / REJECTS)
        summary["warnings"] = [*columns.notes, *wording.warnings(summary, decision, kept, columns)]
        summary["verdict"] = wording.verdict(summary)
        summary["limits"] = wording.limits(self.reading, self.opened)
        summary["next"] = f"cuvee write {shlex.quote(str(folder))} --format parquet"
        summary["reproduce"] = {
            "command": self.command,
            "digest": writer.digest(),
            "seed": request.seed,
            "versions": versions(),
            "citations": _citations(request, self.chooser),
            "timings": {},
            "passes": engine.passes,
            "files": [
                [source.path, index.rows]
                for source, index in zip(engine.pool.manifest.sources, engine.pool.manifest.indices, strict=True)
            ][:100],
        }
        summary["selection_digest"] = files.file_digest(place / SELECTION)
        summary["plan"] = {
            "method": describe(self.scorer) if self.scorer is not None else None,
            "chooser": describe(self.chooser),
            "budget": describe(budget),
            "seed": request.seed,
        }
        summary["spec"] = {
            name: getattr(self.opened.spec, name) for name in ("text", "id", "domain", "tokens", "embedding", "label")
        }
        summary["seed"] = request.seed
        summary["files"] = pool_files(engine.pool)
        return summary


def _citations(request: Request, chooser: Choose) -> list[str]:
    inner = chooser.inner if isinstance(chooser, Quota) else chooser
    found = [registry.card(request.method).bibtex, type(inner).card.bibtex if hasattr(type(inner), "card") else ""]
    return list(dict.fromkeys(text for text in found if text))


def plan(
    pool: Paths, *, output: str, workers: int = 0, cache: str | None = None, reading: Reading, **asked: Any
) -> dict[str, Any]:
    """What ``select`` with the same arguments would read and write, and about what it would cost; nothing is done
    beyond counting rows."""
    budget = make_budget(asked["tokens"], asked["rows"], asked["bytes"], asked["fraction"])
    request = Request(
        asked["method"],
        asked["settings"],
        asked["choose"],
        asked["choose_settings"],
        asked["quota"],
        budget,
        asked["seed"],
    )
    scorer, chooser = plan_methods(request, asked["target"] is not None)
    return {
        **planned(pool, reading, cache, workers, 1 if scorer is None else 2),
        "method": f"{request.method} {parameters(scorer if scorer is not None else chooser)}"
        + (f", chosen by {request.choose}" if request.choose else ""),
        "budget": f"{budget.amount:,} {budget.unit}"
        if budget.amount is not None
        else f"{budget.fraction:.1%} of the tokens",
        "writes": [str(Path(output) / name) for name in (SELECTION, PLAN, REPORT)],
    }


SECONDS_PER_BYTE = 1 / 150e6
"""Reading and scoring text by n-grams on one core; methods whose card says otherwise take longer."""


def planned(pool: Paths, reading: Reading, cache: str | None, workers: int, passes: int) -> dict[str, Any]:
    """Files, rows, bytes, expected seconds and memory of some passes over a pool."""
    store = Store(Path(cache) if cache is not None else None)
    opened = open_stage(pool, reading, store)
    manifest = opened.stage.manifest
    local = Local(workers)
    seconds = max(2.0, passes * manifest.bytes * SECONDS_PER_BYTE / local.workers)
    columns = ", ".join(f"{role} = {name}" for role, name in vars(opened.spec).items() if name)
    return {
        "reads": f"{len(manifest.sources):,} files, {manifest.rows:,} rows, "
        f"about {manifest.bytes / 1e6:,.1f} MB of text, {passes} times",
        "columns": columns,
        "cache": str(store.root),
        "time": f"about {seconds:,.0f} s with {local.workers} workers",
        "memory": f"about {expected(local.workers) / 1e6:,.0f} MB",
    }


def lines(selected: Selected) -> list[str]:
    """What the command line prints."""
    return wording.select_lines(selected.folder, selected.summary)
