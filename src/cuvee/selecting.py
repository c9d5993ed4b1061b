"""``cuvee select``: from a pool, a target and a budget to a chosen training set that explains itself."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from . import registry, wording
from .checks import check_ids, check_rows, pool_files, write_rejects
from .core import Block, Budget, Card, Choose, Decision, Draw, Map, Method
from .coverage import coverage_of_target
from .duplicates import Duplicates, count_duplicates
from .engine import files
from .engine.columns import DiskColumns
from .engine.local import Executor, Local
from .engine.one_thread import one_thread
from .engine.plan import describe, parameters
from .engine.progress import Progress
from .engine.run import Engine
from .engine.stage import Stage
from .engine.store import Store
from .engine.work import SpanKeys
from .errors import DataError, UsageError
from .examples import divergence_from_target, draw_examples
from .feature.models import ModelVectors
from .feature.used import embedder_of
from .layout import PLAN, PLAN_FORMAT, REJECTS, SELECTION, Result, publish, refuse_foreign, versions
from .methods.choose.length_matched import cost_by_length, matched_to
from .methods.choose.quota import Quota
from .methods.choose.random import Random
from .methods.choose.top_k import TopK
from .pool import Opened, Paths, Reading, open_both
from .quantities import shell_path
from .request import Request, check_arguments, check_columns, make_budget, make_parts, model_of, plan_methods
from .selection_file import Reasons, SelectionWriter, taken_rows
from .summary import Arm, Counted, LogWeights, counted, length_histogram, score_pictures

MOST_CONTENTS = 1_000
"""Hashes of target texts that the plan keeps (the smallest), so that a proof can tell when it evaluates on them."""


class Selected(Result):
    """A finished selection: the folder it lies in and what is known about it (the content of ``plan.json``)."""


@one_thread()
def select(
    pool: Paths,
    *,
    target: Paths | None = None,
    method: str | Sequence[str] | None = None,
    settings: dict[str, Any] | Sequence[dict[str, Any]] | None = None,
    combine: str | None = None,
    combine_settings: dict[str, Any] | None = None,
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
            By default "dsir" with a target and "random" without. A list of scoring methods is combined.
        settings: the method's parameters by name; a list of such dicts for several methods.
        combine, combine_settings: how the scores of several methods become one: "rank", "min", "filter" or "learned".
        choose, choose_settings: how to choose by the score; the method's own rule by default.
        quota: shares of the budget by domain, or "proportional" or "uniform".
        tokens, rows, bytes, fraction: the budget; exactly one (a fraction is of the pool's tokens).
        seed: the only source of randomness.
        workers: threads; 0 takes every core. The result does not depend on it.

    Raises:
        UsageError, DataError, ResourceError, BusyError: with a sentence that says what, where and what next.
    """
    started = time.monotonic()
    check_arguments(
        pool=pool,
        target=target,
        output=output,
        reading=reading,
        workers=workers,
        seed=seed,
        quota=quota,
        tokens=tokens,
        rows=rows,
        bytes=bytes,
        fraction=fraction,
    )
    seed, workers = int(seed), int(workers)
    given = {
        "pool": _plain_paths(pool),
        "target": _plain_paths(target),
        "method": method,
        "settings": settings,
        "combine": combine,
        "combine_settings": combine_settings,
        "choose": choose,
        "choose_settings": choose_settings,
        "quota": quota,
        "tokens": tokens,
        "rows": rows,
        "bytes": bytes,
        "fraction": fraction,
        "seed": seed,
        "output": str(output),
    }
    reading = reading or Reading()
    parts = make_parts(method or ("dsir" if target is not None else "random"), settings)
    shares = tuple(sorted(quota.items())) if isinstance(quota, dict) else quota
    budget = make_budget(tokens, rows, bytes, fraction)
    name, together = "+".join(name for name, _ in parts), combine_settings or {}
    request = Request(name, parts, combine, together, choose, choose_settings or {}, shares, budget, seed)
    folder = Path(output)
    scorer, chooser = plan_methods(request, target is not None)
    store = Store(Path(cache) if cache is not None else None)
    model = model_of(reading, scorer, request.method)
    with files.lock(folder), store.in_use():
        refuse_foreign(folder, PLAN, "selection")
        opened, against = open_both(pool, target, reading, store, scorer.needs() if scorer is not None else ())
        engine = Engine(
            opened.stage,
            against.stage if against else None,
            store,
            executor or Local(workers),
            progress or Progress(),
            seed,
        )
        told = command or _python_call(given)
        job = _Job(engine, opened, against, request, reading, scorer, chooser, started, told, model)
        return job.run(folder, show_text)


def _plain_paths(paths: Paths | None) -> Any:
    if paths is None or isinstance(paths, str | os.PathLike):
        return None if paths is None else str(paths)
    return [str(path) for path in paths]


def _python_call(given: dict[str, Any]) -> str:
    """The call as it can be typed again, without what does not change the result."""
    said = ", ".join(f"{name}={value!r}" for name, value in given.items() if value not in (None, {}))
    return f"cuvee.select({said})"


@dataclass
class _Measured:
    """What the pass that writes the selection counts."""

    arms: dict[str, Arm]
    overlap: dict[str, int]
    effective: float | None
    digest: str
    ineligible: int
    target_in_pool: int
    equal: float | None
    """The score, where all finite ones are this and some rows that have it were left out."""


class _Look(NamedTuple):
    """What is counted and kept of a block; see :class:`_Measured`."""

    arms: dict[str, Counted]
    overlap: dict[str, int]
    weights: tuple[float, float, float]
    ineligible: int
    finite: tuple[int, float, float]
    """How many scores are finite, the lowest and the highest of them."""
    contents: list[int]
    taken: Block


def _look(
    block: Block,
    decision: Decision,
    controls: dict[str, Decision],
    domains: int,
    temperature: float | None,
    wanted: npt.NDArray[np.uint64],
) -> _Look:
    """Count a block for every arm and take what is kept; ``wanted`` holds the target's contents, ascending."""
    repeats = decision.repeats(block)
    drawn = {name: control.repeats(block) for name, control in controls.items()}
    every = {"pool": np.ones_like(repeats), "kept": repeats, "random": drawn["random"]}
    weights = LogWeights()
    if temperature is not None:
        weights.add(block["score"] / temperature)
    finite = (0, np.inf, -np.inf)
    if "score" in block and len(scores := block["score"][np.isfinite(block["score"])]):
        finite = (len(scores), float(scores.min()), float(scores.max()))
    contents: list[int] = []
    if len(wanted):
        nearest = wanted[np.minimum(np.searchsorted(wanted, block["content"]), len(wanted) - 1)]
        contents = np.unique(nearest[nearest == block["content"]]).tolist()
    return _Look(
        {name: counted(block, times, domains) for name, times in every.items()},
        {name: int(np.count_nonzero((repeats > 0) & (times > 0))) for name, times in drawn.items()},
        (weights.top, weights.first, weights.second),
        int(np.count_nonzero(~(block["score"] > -np.inf))) if "score" in block else 0,
        finite,
        contents,
        taken_rows(block, repeats),
    )


@dataclass
class _Job:
    """One selection, from opened files to a finished folder."""

    engine: Engine
    opened: Opened
    target: Opened | None
    request: Request
    reading: Reading
    scorer: Method | None
    chosen: Choose | None
    started: float
    command: str
    model: ModelVectors | None = None
    chooser: Choose = field(init=False)
    target_rows: int = 0
    target_warnings: list[str] = field(default_factory=list)

    def run(self, folder: Path, show_text: bool) -> Selected:
        engine = self.engine
        timings: dict[str, float] = {}
        spec = self.opened.spec
        check_columns(self.request, self.scorer, spec)
        if engine.target is not None:
            if spec.text is not None and engine.target.manifest.spec.text is None:
                raise UsageError("The target has no texts: give --target files of documents, like the pool's.")
            engine.ensure_facts(engine.target)
            self._check_target(engine.target)
        self._embed()
        fitted, keys = self._score()
        timings["reading and scoring"] = time.monotonic() - self.started
        columns = engine.columns(*keys, domain_by_convention=self.opened.domain_by_convention)
        rejected = columns.rejected
        check_rows(engine, engine.pool, columns.n_rows, self.reading, rejected)
        check_ids(engine, columns)
        begun = time.monotonic()
        chooser = self.chosen
        if chooser is None:
            assert self.scorer is not None and fitted is not None
            chooser = self.scorer.chooser(fitted)
        self.chooser = Quota(chooser, self.request.quota) if self.request.quota is not None else chooser
        decision = self.chooser.choose(columns, self.request.budget, Draw(self.request.seed))
        timings["choosing"] = time.monotonic() - begun
        with files.whole_folder(folder) as place:
            summary = self._describe(columns, decision, fitted, rejected, place, folder)
            if not show_text:
                for example in [one for shown in summary["examples"].values() for one in shown]:
                    example |= {"text": "", "because": []}
            timings["total"] = time.monotonic() - self.started
            timings["found in the cache"] = engine.recalled_seconds
            summary["reproduce"]["timings"] = {name: round(value, 3) for name, value in timings.items()}
            from .report.select import render

            summary = publish(place, PLAN, summary, partial(render, no_text=not show_text))
        return Selected(folder, summary)

    def _check_target(self, stage: Stage) -> None:
        rejected = self._rejected(stage)
        self.target_rows = sum(self._note(stage, span)["totals"]["rows"] for span in stage.manifest.spans)
        check_rows(self.engine, stage, self.target_rows, self.reading, rejected)
        if rejected:
            named = "; ".join(str(reject) for reject in itertools.islice(self.engine.rejects(stage), 3))
            total = rejected + self.target_rows
            self.target_warnings = [f"{rejected:,} of {total:,} target rows could not be used: {named}"]

    def _note(self, stage: Stage, span: Any) -> dict[str, Any]:
        return self.engine.store.table(stage.key("facts", span))[1]

    def _rejected(self, stage: Stage) -> int:
        return sum(self._note(stage, span)["rejected"] for span in stage.manifest.spans)

    def _embed(self) -> None:
        """Make the vectors of pool and target by the model that the user named."""
        if self.model is None:
            return
        if self.opened.spec.text is None:
            raise UsageError("The pool has no texts for the model to read: leave out --model.")
        label = f"embedding by {Path(self.model.path).name}"
        self.engine.attach(self.model, label)
        if self.engine.target is not None:
            self.engine.attach(self.model, label, "target")

    def _score(self) -> tuple[Map | None, list[SpanKeys]]:
        if self.scorer is None:
            return None, []
        fitted = self.scorer.fit(self.engine)
        return fitted, [self.engine.apply(fitted, f"scoring by {self.request.method}")]

    def _describe(
        self, columns: DiskColumns, decision: Decision, fitted: Map | None, rejected: int, place: Path, folder: Path
    ) -> dict[str, Any]:
        """Write the selection into ``place`` and return all that is to be said about it."""
        request, engine = self.request, self.engine
        draw = Draw(request.seed)
        has_text = self.opened.spec.text is not None
        controls = self._controls(columns, decision, draw)
        reasons = Reasons(columns, request.method, isinstance(self.chooser, Quota)) if fitted is not None else None
        measured = self._measure(columns, decision, controls, fitted, reasons, place / SELECTION)
        summary = self._numbers(columns, decision, fitted, rejected, measured, has_text)
        if reasons is not None and reasons.low < reasons.high:
            summary |= score_pictures(columns, decision, reasons.low, reasons.high)
        summary["distance"] = None
        compared = {"kept": decision, **{k: v for k, v in controls.items() if k == "length_matched"}}
        model = Path(self.model.path).name if self.model is not None else None
        if has_text:
            summary["distance"] = divergence_from_target(engine, columns, compared, draw)
        found = coverage_of_target(engine, columns, compared, draw, fitted, model)
        summary["coverage"], summary["coverage_note"] = found
        place_of = reasons.place if reasons is not None else None
        summary["examples"] = draw_examples(engine, columns, decision, place_of, fitted, draw)
        summary["rejects"] = write_rejects(engine, rejected, place / REJECTS, folder / REJECTS)
        kept = measured.arms["kept"]
        summary["warnings"] = [
            *self.opened.notes,
            *columns.notes,
            *self.target_warnings,
            *wording.warnings(summary, decision, kept, self.chooser, str(folder), measured.equal),
        ]
        summary["verdict"] = wording.verdict(summary)
        summary["limits"] = wording.limits(self.reading, self.opened)
        summary["next"] = f"cuvee write {shell_path(folder)} --format parquet"
        summary["selection_digest"] = files.file_digest(place / SELECTION)
        return summary | self._provenance(measured.digest)

    def _controls(self, columns: DiskColumns, decision: Decision, draw: Draw) -> dict[str, Decision]:
        """Random rows within the same budget, random rows with the lengths of those kept, and the highest scores."""
        budget = self.request.budget
        found: dict[str, Decision] = {"random": Random("random control").choose(columns, budget, draw)}
        by_length = cost_by_length(columns, decision, budget)
        if by_length.any():
            found["length_matched"] = matched_to(by_length, columns, Budget(budget.unit, int(by_length.sum())), draw)
        if self.scorer is not None and not isinstance(self.chooser, TopK):
            found["top_k"] = TopK().choose(columns, budget, draw)
        return found

    def _measure(
        self,
        columns: DiskColumns,
        decision: Decision,
        controls: dict[str, Decision],
        fitted: Map | None,
        reasons: Reasons | None,
        path: Path,
    ) -> _Measured:
        """One pass over the columns: write the kept rows, and count what every arm keeps."""
        domains, wanted = list(columns.domains), self._target_contents()
        weighted = float(getattr(self.chooser, "temperature", 1.0)) if getattr(fitted, "log_weight", False) else None
        look = partial(
            _look, decision=decision, controls=controls, domains=len(domains), temperature=weighted, wanted=wanted
        )
        arms = {name: Arm(len(domains)) for name in ("pool", "kept", "random")}
        overlap = dict.fromkeys(controls, 0)
        weights, seen, ineligible = LogWeights(), set[int](), 0
        scored, low, high = 0, np.inf, -np.inf
        with SelectionWriter(path, self.engine, domains, reasons, self.request.method) as writer:
            for number, found in enumerate(columns.each(look)):
                for name, counts in found.arms.items():
                    arms[name].take(counts)
                for name, rows in found.overlap.items():
                    overlap[name] += rows
                weights.take(*found.weights)
                ineligible += found.ineligible
                scored, low, high = scored + found.finite[0], min(low, found.finite[1]), max(high, found.finite[2])
                seen.update(found.contents)
                writer.add_taken(number, found.taken)
        if arms["kept"].rows == 0:
            why = (getattr(fitted, "notes", None) or {}).get("-inf")
            why = why or (wording.NO_VECTOR if embedder_of(fitted) is not None else None)
            raise DataError(wording.nothing_kept(decision, columns, self.request.budget, ineligible, why))
        effective = weights.effective() if weighted is not None else None
        known = int(np.isin(wanted, np.fromiter(seen, np.uint64, len(seen))).sum())
        equal = low if low == high and arms["kept"].rows < scored == columns.n_rows - ineligible else None
        return _Measured(arms, overlap, effective, writer.digest(), ineligible, known, equal)

    def _target_contents(self) -> npt.NDArray[np.uint64]:
        """The content hashes of the target's rows, ascending."""
        stage = self.engine.target
        if stage is None:
            return np.empty(0, np.uint64)
        tables = [self.engine.store.table(stage.key("facts", span))[0] for span in stage.manifest.spans]
        return np.sort(np.concatenate([batch.column("content").to_numpy() for table in tables for batch in table]))

    def _numbers(
        self,
        columns: DiskColumns,
        decision: Decision,
        fitted: Map | None,
        rejected: int,
        measured: _Measured,
        has_text: bool,
    ) -> dict[str, Any]:
        request, arms = self.request, measured.arms
        pool, kept = arms["pool"], arms["kept"]
        spec, repeated = self.opened.spec, Duplicates(0, 0, [], [])
        if spec.text or spec.embedding or spec.label:  # else rows have no content to repeat
            repeated = count_duplicates(
                columns, "content", lambda block: decision.repeats(block) > 0, needs=decision.needs, rows=kept.rows
            )
        budget = request.budget
        return {
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
                "pool_tokens": pool.tokens,
                "pool_bytes": pool.bytes,
                "ineligible": measured.ineligible,
                "target_rows": self.target_rows,
                "target_in_pool": measured.target_in_pool,
            },
            "method": {
                "name": request.method,
                "parameters": parameters(self.scorer if self.scorer is not None else self.chooser),
                "cut": decision.notes.get("cut"),
                "measure": decision.notes.get("measure"),
                "summary": _card(request, self.scorer).summary,
                "chooser": type(self.chooser).__name__,
                "chooser_parameters": parameters(self.chooser),
                "notes": {**dict(getattr(fitted, "notes", {}) or {}), **decision.notes},
            },
            "budget": f"{budget.resolve(columns.totals[budget.unit]):,} {budget.unit}",
            "domains": [
                {
                    "name": name,
                    "pool_rows": int(pool.domain_rows[at]),
                    "kept_rows": int(kept.domain_rows[at]),
                    "pool_tokens": int(pool.domain_tokens[at]),
                    "kept_tokens": int(kept.domain_tokens[at]),
                    "random_tokens": int(arms["random"].domain_tokens[at]),
                }
                for at, name in enumerate(columns.domains)
            ],
            "lengths": length_histogram(arms) if has_text else None,
            "quantiles": {name: arm.quantiles() for name, arm in arms.items()} if has_text else {},
            "effective_sample_size": measured.effective,
            "duplicates": {"rows": repeated.rows, "groups": repeated.groups},
            "controls": {name: {"overlap": count / kept.rows} for name, count in measured.overlap.items()},
        }

    def _provenance(self, selection: str) -> dict[str, Any]:
        """Everything needed to make the same selection again, and to notice that a pool file has changed."""
        request, manifest = self.request, self.engine.pool.manifest
        return {
            "reproduce": {
                "command": self.command,
                "digest": selection,
                "seed": request.seed,
                "versions": versions(),
                "citations": _citations(_card(request, self.scorer), self.chooser),
                "timings": {},
                "passes": self.engine.passes,
                "files": [[source.path, manifest.rows_of(at)] for at, source in enumerate(manifest.sources[:100])],
            },
            "plan": {
                "method": describe(self.scorer) if self.scorer is not None else None,
                "chooser": describe(self.chooser),
                "budget": describe(request.budget),
                "seed": request.seed,
            },
            "spec": asdict(self.opened.spec),
            "target_contents": [f"{one:016x}" for one in self._target_contents()[:MOST_CONTENTS].tolist()],
            "tokenizer": self.reading.tokenizer,
            **({"embedding_model": [self.model.path, self.model.digest]} if self.model is not None else {}),
            "key": self.reading.key,
            "seed": request.seed,
            "files": pool_files(self.engine.pool),
        }


def _card(request: Request, scorer: Method | None) -> Card:
    """What is known about the method, or about the rule that chooses without one."""
    return scorer.card if scorer is not None else registry.card(request.method)


def _citations(card: Card, chooser: Choose) -> list[str]:
    inner = chooser.inner if isinstance(chooser, Quota) else chooser
    found = [card.bibtex, type(inner).card.bibtex if hasattr(type(inner), "card") else ""]
    return list(dict.fromkeys(text for text in found if text))


def lines(selected: Selected) -> list[str]:
    """What the command line prints."""
    return wording.select_lines(selected.folder, selected.summary)
