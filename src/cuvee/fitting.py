"""``cuvee mix fit``: what finished runs say about mixtures, how far that can be believed, and what to try next."""

from __future__ import annotations

import contextlib
import math
import os
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from .core import Law, Prediction, Settings
from .engine import files
from .engine.one_thread import one_thread
from .engine.plan import make, parameters
from .engine.progress import Progress
from .engine.store import digest
from .errors import DataError, UsageError
from .law import caution, proposers, trust, wording
from .law.baselines import BASELINES, Guess
from .law.columns import check_asked, of_one_teacher
from .law.curve import CurveLaw
from .law.judge import Verdict, group_means, interval, judge, largest_left_out, resamples, together, unlike
from .law.noticed import about, constant, mingled, upward
from .law.posterior import Draw, lowest
from .law.propose import Bounds, Question
from .law.reach import outside
from .law.table import PROGRESS, Table, read_runs
from .layout import FIT, FIT_FORMAT, Result, publish, refuse_foreign, versions
from .registry import find
from .report.terminal import plural

Floats = npt.NDArray[np.float64]
Fits = list[list[Prediction]]
"""Fits to resamples: one list for each outcome."""
LEVEL = 0.9
"""Of all intervals."""
RESAMPLES, FEW_RESAMPLES = 400, 40
"""Bootstrap resamples of laws that are formulas, and of those that have to be fitted one by one."""
MOST = 1e12
"""Outcomes above it, or below its inverse, are refused."""
TINY = 1e-6
"""Outcomes of a smaller standard deviation are scaled before descent, whose last steps change a loss by 1e-13."""


class Fitted(Result):
    """A finished fit: the folder it lies in and the content of its ``fit.json``."""

    @property
    def weights(self) -> dict[str, float]:
        """The proposed mixture; empty for laws without one."""
        return {one["name"]: one["weight"] for one in self.summary["proposal"]}


@one_thread()
def fit_law(
    runs: str | os.PathLike[str] | Table,
    *,
    law: str = "data_mixing_laws",
    settings: Mapping[str, Any] | None = None,
    sources: Sequence[str] | None = None,
    losses: Sequence[str] | None = None,
    objective: Mapping[str, float] | None = None,
    arms: str | os.PathLike[str] | None = None,
    sizes: Mapping[str, int] | None = None,
    tokens: int | None = None,
    passes: float | None = None,
    at: Mapping[str, float] | None = None,
    resample: int | None = None,
    seed: int = 0,
    proposer: str = "law",
    skip_bad: bool = False,
    output: str | os.PathLike[str] = "out/fit",
    progress: Progress | None = None,
    command: str | None = None,
) -> Fitted:
    """Fit a law to finished runs, judge it on runs left out, and propose a mixture; write fit.json and report.html.

    Args:
        runs: a CSV, JSONL or Parquet table, or a ledger's folder with ``arms``; for the columns see
            :mod:`cuvee.law.table`.
        law, settings: the law and its parameters; ``cuvee methods`` lists them.
        sources, losses: columns, where their names do not follow the convention.
        objective: weight of each outcome in what is minimised [alike].
        sizes: tokens that each source has: the natural mix, and with ``tokens`` the passes.
        tokens, passes: of the run that is planned, and the most passes over any source in it.
        at: where other columns of the law stand for the proposal [their largest values].
        resample: bootstrap resamples of runs for the intervals.
        seed: of the bootstrap, and of simulated mixtures.
        proposer: how the best mixture is looked for: "law", the law's own way, "rounds"
            (:mod:`cuvee.law.rounds`) or "perturbed" (:mod:`cuvee.law.perturbed`).
        skip_bad: go on without runs that have no finite outcome.
        progress: told of every step; see :class:`cuvee.engine.progress.Progress`.

    Raises:
        UsageError, DataError, ResourceError, BusyError: with a sentence that says what, where and what next.
    """
    started = time.monotonic()
    kind: Law = make(find("law", law), dict(settings or {}), law)
    if seed < 0:
        raise UsageError(f"--seed must be at least 0, not {seed}.")
    check_proposer(proposer)
    if isinstance(kind, CurveLaw):
        kind.checked()
    table = (
        runs
        if isinstance(runs, Table)
        else read_runs(Path(runs), sources, losses, Path(arms) if arms else None, skip_bad, kind.card.needs)
    )
    job = _Job(kind, law, table, objective, sizes, tokens, passes, at, resample, seed, proposer=proposer, pictures=True)
    folder = Path(output)
    with files.lock(folder):
        refuse_foreign(folder, FIT, "fit")
        with _ticking(progress or Progress()) as job.progress:
            summary = job.run()
        name = str(runs) if not isinstance(runs, Table) else "a table"
        summary["reproduce"] |= {
            "command": command or f"cuvee.fit_law({name!r}, law={law!r})",
            "seed": seed,
            "versions": versions(),
            "citations": [kind.card.bibtex] if kind.card.bibtex else [],
            "files": [[name, len(table)]],
            "timings": {"total": round(time.monotonic() - started, 3)},
        }
        turned = bool(upward(job.table, [one["name"] for one in summary["outcomes"] if summary["proposal"]]))
        missed = mingled(job.table, kind)
        summary["next"] = wording.next_command(summary, str(folder), command or "", missed, turned)
        wording.mark(summary)
        with files.whole_folder(folder) as place:
            from .report.fit import render

            summary |= publish(place, FIT, summary, render)
    return Fitted(folder, summary)


def fit_table(
    table: Table,
    law: Law,
    name: str,
    *,
    objective: Mapping[str, float] | None = None,
    sizes: Mapping[str, int] | None = None,
    tokens: int | None = None,
    passes: float | None = None,
    resample: int | None = None,
    seed: int = 0,
    anchor: int | None = None,
    proposer: str = "law",
    bounds: Bounds | None = None,
) -> dict[str, Any]:
    """What ``fit.json`` says about runs in memory, without what only a command knows; nothing is written.

    Args:
        law, name: the law, and what it is called. The others: as for :func:`fit_law`.
        anchor: the group of the runs of the natural mixture: the proposal goes no farther from it than is shown to be
            worth it (:mod:`cuvee.law.caution`), which "caution" tells. None: the law's optimum is proposed.
        bounds: the natural mixture and the caps, where they do not follow from sizes, tokens and passes.

    Raises:
        UsageError, DataError: with a sentence that says what, where and what next.
    """
    job = _Job(law, name, table, objective, sizes, tokens, passes, None, resample, seed, anchor, proposer, bounds)
    return job.run()


def check_proposer(proposer: str) -> None:
    """UsageError if there is no such way to look for the best mixture."""
    if proposer not in proposers.PROPOSERS:
        *others, last = (f"'{one}'" for one in proposers.PROPOSERS)
        raise UsageError(f"proposer is {', '.join(others)} or {last}, not '{proposer}'.")


def lines(fitted: Fitted) -> list[str]:
    """What the command line prints."""
    return wording.fit_lines(fitted.folder, fitted.summary)


@contextlib.contextmanager
def _ticking(progress: Progress) -> Iterator[Progress]:
    """The same progress, told every second that time goes by: one step may take minutes."""
    over = threading.Event()

    def tick() -> None:
        while not over.wait(1.0):
            progress.advance(0)

    thread = threading.Thread(target=tick, daemon=True)
    thread.start()
    try:
        yield progress
    finally:
        over.set()
        thread.join()
        progress.end()


@dataclass
class _Job:
    """One fit, from a table of runs to all that is said about it."""

    law: Law
    name: str
    table: Table
    objective: Mapping[str, float] | None
    sizes: Mapping[str, int] | None
    tokens: int | None
    passes: float | None
    asked_at: Mapping[str, float] | None
    resample: int | None
    seed: int
    anchor: int | None = None
    proposer: str = "law"
    bounds: Bounds | None = None
    pictures: bool = False
    progress: Progress = field(default_factory=Progress)

    def run(self) -> dict[str, Any]:
        with np.errstate(all="ignore"):  # what is not finite is looked for and told in words
            return self._run()

    def _run(self) -> dict[str, Any]:
        if self.law.checkpoints:
            self.table = self.table.apart()
        elif self._proposes() and not PROGRESS.intersection(self.law.card.needs):
            self.table = self.table.ends()
        law, table, needs = self.law, self.table, self.law.card.needs
        self._check()
        weight = self._objective()
        self._check_asked()
        names = [name for name in table.outcomes if weight[name] > 0]
        same = self._same(names) if self._proposes() else []
        names = [name for name in names if name not in same]
        share = np.array([weight[name] for name in names])
        if same:
            share /= share.sum()
        counts = resamples(together(table.runs(names[0], needs), law.drawn), self._resamples(), self.seed)
        full: list[Prediction] = []
        many: Fits = []
        told = []
        self.progress.begin(f"fitting {self.name}", 3 * len(names) + self._proposes(), "steps")
        for name in names:
            runs = table.runs(name, needs)
            full.append(law.fit(runs))
            self.progress.advance(1)
            many.append(law.refit(runs, counts, full[-1]))
            self.progress.advance(1)
            itself = full[-1].kind if isinstance(full[-1], Guess) else None  # a line is not compared with a line
            guesses = [one for one in (*BASELINES, *law.rivals()) if one[0] != itself]
            verdict = judge(law, together(runs, law.left_out), guesses)
            self.progress.advance(1)
            odd = [] if law.checkpoints else unlike(runs, full[-1], table.row)
            scales = [one for one in ("tokens", "parameters", "samples", "compute", "size", "loss_a") if one in needs]
            told.append(
                {
                    "name": name,
                    "weight": float(share[names.index(name)]),
                    "parameters": full[-1].parameters,
                    **_told(verdict),
                    "largest": {one: largest_left_out(law, runs, one) for one in scales},
                    "observed": group_means(runs)[1].tolist(),
                    "predicted": verdict.predicted.tolist(),
                    "remarks": [*law.remarks(runs, full[-1]), *odd],
                }
            )
        summary: dict[str, Any] = {
            "format": FIT_FORMAT,
            "title": f"What {len(table):,} runs say",
            "law": {
                "name": self.name,
                "parameters": parameters(law),
                "gives": law.card.gives[0],
                "proposer": self.proposer,
            },
            "counts": {
                "runs": len(table),
                "settings": len(np.unique(table.group)),
                "sources": len(table.settings.sources),
                "resamples": len(counts),
            },
            "outcomes": told,
            "proposal": [],
            "expected": {},
            "asked": {},
        }
        if self._proposes():
            summary |= self._proposal(names, share, full, many, trust.doubt(told))
        if self.asked_at:
            summary |= self._ask(names, full, many)
        if self.pictures and needs == ("mixture",) and summary["proposal"]:
            summary |= self._pictures(summary, names, share, full)
        summary["shown"] = wording.telling(summary)
        together_said = law.across({name: table.runs(name, needs) for name in table.outcomes})
        minimised = names if self._proposes() else []
        known = about(table, law, self.name, [*minimised, *same], self.sizes or (), self.objective is None)
        notes = [*known, *table.notes, *together_said]
        summary["warnings"] = wording.warnings(summary, notes)
        summary["verdict"] = wording.verdict(summary)
        summary["limits"] = wording.limits(summary)
        proposed = [one["weight"] for one in summary["proposal"]]
        summary["reproduce"] = {"digest": digest("fit", FIT_FORMAT, self.name, parameters(law), proposed)}
        return summary

    def _check(self) -> None:
        table, needs = self.table, self.law.card.needs
        if "mixture" in needs and len(table.settings.sources) < 2:
            alone = table.settings.sources
            have = f"shares of '{alone[0]}' alone" if alone else "no column of shares"
            raise DataError(
                f"{self.name} needs the mixture of every run, and the table has {have}. Give a column for each source: "
                "call them mix.NAME, or name them with --sources."
            )
        missing = [one for one in needs if one != "mixture" and one not in table.settings.values]
        if missing:
            known = ", ".join(table.settings.values) or "none"
            raise DataError(
                f"{self.name} needs the column{'s' if len(missing) > 1 else ''} {', '.join(missing)}, "
                f"with a number in every row. The table's other columns of numbers: {known}."
            )
        table.check(self.law, self.name)
        numbers = self.law.numbers(len(table.settings.sources) if "mixture" in needs else 0)
        shown = table.runs(next(iter(table.outcomes)), needs).settings
        different = len(np.unique(np.column_stack([shown.mixture, *shown.values.values()]), axis=0))
        if different <= numbers:
            are = "is only 1 different setting" if different == 1 else f"are only {different:,} different settings"
            fewer = "a law with fewer numbers"
            if getattr(self.law, "shared", None) is False:  # a number of each source may be one of all
                alike: Law = make(type(self.law), {**parameters(self.law), "shared": True}, self.name)
                if different > alike.numbers(len(table.settings.sources)):
                    fewer = f"{self.name}:shared=true"
            raise DataError(
                f"{self.name} fits {plural(numbers, 'number')}, and there {are}. "
                f"Give at least {numbers + 1}, better {2 * numbers}; or fit {fewer}."
            )

    def _check_asked(self) -> None:
        """What a proposal or a prediction will be asked with: refused now, not after minutes of fitting."""
        from .mixing import check_amounts

        check_amounts(self.tokens, self.passes)
        self._resamples()
        if self._proposes():
            Bounds(self._natural(), self._caps())
        elif self.proposer != "law":
            raise UsageError(
                f"{self.name} proposes no mixture, so --proposer {self.proposer} has no use. Leave it out, or fit a "
                "law of mixtures and their losses."
            )
        elif "mixture" in self.law.card.needs and self.asked_at:
            raise UsageError(
                f"{self.name} proposes no mixture and predicts none, so --at has no use: its numbers stand in the "
                "report. Leave it out."
            )
        needs = [one for one in self.law.card.needs if one != "mixture"]
        check_asked(self.asked_at or {}, needs, self.name, self.law.checkpoints)

    def _proposes(self) -> bool:
        return "mixture" in self.law.card.needs and self.law.card.gives == ("loss",)

    def _objective(self) -> dict[str, float]:
        names = list(self.table.outcomes)
        if self.objective is None:
            return dict.fromkeys(names, 1 / len(names))
        unknown = [name for name in self.objective if name not in names]
        if unknown:
            raise UsageError(f"No outcome is called '{unknown[0]}'. The table has: {', '.join(names[:12])}.")
        total = sum(self.objective.values())
        if not all(math.isfinite(w) and w >= 0 for w in self.objective.values()) or not total > 0:
            raise UsageError("Weights of outcomes must be numbers of at least 0, and not all 0.")
        return {name: self.objective.get(name, 0.0) / total for name in names}

    def _same(self, names: list[str]) -> list[str]:
        """Outcomes that no mixture changes; refused where there is no other, and where squares of outcomes are lost."""
        table = self.table
        for name in names:
            most = float(np.abs(table.outcomes[name]).max())
            if not (most == 0 or MOST**-1 < most < MOST):
                raise DataError(
                    f"'{name}' is of the size of {most:.3g}: give it in another unit, so that it is near 1."
                )
        same = constant(table, names)
        if len(same) == len(names):
            raise DataError(
                f"'{same[0]}'{' and all other outcomes are' if same[1:] else ' is'} the same in every run, so nothing "
                "tells mixtures apart. Look whether that is what the runs measured."
            )
        return same

    def _resamples(self) -> int:
        if self.resample is not None:
            if self.resample < 20:
                raise UsageError(f"--resamples must be at least 20, not {self.resample}.")
            return self.resample
        return RESAMPLES if isinstance(self.law, CurveLaw) else FEW_RESAMPLES

    def _natural(self) -> Floats:
        """The natural mixture: by the sources' sizes, or else the mean of the mixtures run."""
        sources = self.table.settings.sources
        if self.bounds is not None:
            return self.bounds.prior
        if self.sizes is None:
            return self.table.settings.mixture.mean(0)
        missing = [name for name in sources if not self.sizes.get(name)]
        if missing:
            told = "not known" if missing[0] not in self.sizes else "0, so no run can hold any of it"
            raise UsageError(
                f"The size of the source '{missing[0]}' is {told}. Give the tokens of all of: {', '.join(sources)}."
            )
        held = np.array([self.sizes[name] for name in sources], np.float64)
        return held / held.sum()

    def _caps(self) -> Floats:
        sources = self.table.settings.sources
        if self.bounds is not None:
            return self.bounds.caps
        if self.passes is None:
            return np.ones(len(sources))
        if self.sizes is None or self.tokens is None:
            raise UsageError("A bound on passes needs the sources' sizes (--sizes) and the run's --tokens.")
        return np.array([min(1.0, self.passes * self.sizes.get(name, 0) / self.tokens) for name in sources])

    def _fixed(self) -> Settings:
        """Where the law's other columns stand for the proposal."""
        values = {}
        asked = {**of_one_teacher(self.asked_at or {}), **(self.asked_at or {})}
        for name in self.law.card.needs:
            if name != "mixture":
                known = self.table.settings.values[name]
                own = getattr(self.law, name, 0.0) or known.max()  # a law may say itself which run it is about
                usual = math.nan if name == self.law.drawn else float(own)
                values[name] = np.array([float(asked.get(name, usual))])
        return Settings((), np.empty((1, 0)), values)

    def _proposal(
        self, names: list[str], share: Floats, full: list[Prediction], many: Fits, doubt: str
    ) -> dict[str, Any]:
        """The proposed mixture with intervals, what is expected of it, and of the mixtures to beat.

        With an anchor and a ``doubt``, why the law is not to be relied on, the natural mixture is the proposal.
        """
        table, law = self.table, self.law
        sources, natural = table.settings.sources, self._natural()
        runs = table.runs(names[0], law.card.needs)
        question = Question(sources, share, Bounds(natural, self._caps()), self._fixed(), seed=self.seed)
        drawn = many[0][0].posterior
        beside = drawn and not full[0].posterior  # surfaces beside trees: where the best is, not what trees propose
        searched = question
        spread = float(share @ [table.runs(name, law.card.needs).outcome.std() for name in names])
        tiny = spread < TINY and not getattr(law, "kl", 0.0)  # a pull is in the outcomes' unit
        if (full[0].posterior or tiny) and self.proposer == "law":  # its steps are for losses that differ by about 1
            searched = replace(question, weight=share / (spread or 1.0))
        best = proposers.best(self.proposer, searched, law, [[one] for one in full])[0]
        if isinstance(many[0][0], Draw) and self.anchor is None:
            proposals = lowest(question, many)
        else:
            proposals = proposers.best(self.proposer, searched, law, many)
        optimum, step = best, None

        def predict(x: Floats) -> Floats:
            return question.value([[one] for one in full], 0, x)

        def withheld(mixture: Floats) -> float:
            """By how much a posterior's draws say less of the way from the natural mixture than a fit of others."""
            if full[0].posterior:  # their own mean, which nobody has chosen
                return 0.0
            ends = np.stack([natural, mixture])
            (start, end), each = predict(ends), np.stack([question.value(many, b, ends) for b in range(len(many[0]))])
            return max(0.0, float(np.nanmean(each[:, 1] - each[:, 0]) - (end - start)))

        if self.anchor is not None:
            all_runs = [table.runs(name, law.card.needs) for name in names]
            step = caution.cautious(
                natural,
                proposals,
                predict,
                lambda b, x: question.value(many, b, x),
                *caution.left_out(law, all_runs, share, self.anchor),
            )
            if drawn:
                step = replace(step, optimism=withheld(natural + step.t * (step.toward - natural)))
            if doubt or float(np.interp(step.t, step.path[:, 0], step.path[:, 1])) + step.optimism >= 0:
                step = replace(step, t=0.0, moved=0.0, optimism=0.0)
            best, proposals = natural + step.t * (step.toward - natural), natural + step.t * (proposals - natural)
        mean = sum(w * group_means(table.runs(name, law.card.needs))[1] for w, name in zip(share, names, strict=True))
        assert isinstance(mean, np.ndarray)
        measured = int(mean.argmin())
        settings = group_means(runs)[0]
        compared = {
            "proposal": best,
            "proportional": natural,
            "uniform": np.full(len(sources), 1 / len(sources)),
            "best_measured": settings.mixture[measured],
        }
        points = np.stack(list(compared.values()))
        here = predict(points)
        if not np.isfinite(here).all():
            asked = ", ".join(f"{name}={column[0]:.4g}" for name, column in self._fixed().values.items())
            raise UsageError(f"{self.name} has no answer at {asked or 'a mixture'}. Ask elsewhere with --at.")
        each = np.stack([question.value(many, b, points) for b in range(len(proposals))])
        # what the winner of a resample promises beyond what the fit to all runs grants it
        promised = np.array([question.value(many, b, proposals[b : b + 1])[0] for b in range(len(proposals))])
        granted = predict(proposals)
        flattery = max(0.0, float(np.nanmean(granted - promised)))
        optimism = step.optimism if step is not None else withheld(best) if drawn else flattery
        expected, gains = {}, {}
        for at, name in enumerate(compared):
            more = optimism if name == "proposal" else 0.0
            expected[name] = _stated("loss", float(here[at]), each[:, at], more, drawn)
            if at:
                gains[name] = _stated("gain", float(here[at] - here[0]), each[:, at] - each[:, 0], -optimism, drawn)
        expected["best_measured"]["observed"] = float(mean[measured])
        beyond = outside(runs, Settings(sources, best[None], self._fixed().values))
        rows = []
        for at, name in enumerate(sources):
            low, high = interval(proposals[:, at], LEVEL)
            if not beside:
                low, high = min(low, float(best[at])), max(high, float(best[at]))
            held = (self.sizes or {}).get(name)
            rows.append(
                {
                    "name": name,
                    "weight": float(best[at]),
                    "low": low,
                    "high": high,
                    "middle": float(proposals[:, at].mean()),
                    "proportional": float(natural[at]),
                    "best_measured": float(settings.mixture[measured, at]),
                    "available": held,
                    "passes": float(best[at]) * self.tokens / held if held and self.tokens else None,
                }
            )
        told = {} if step is None else {"caution": {**step.as_json(), "optimum": optimum.tolist()}}
        return {
            **told,
            "proposal": rows,
            "expected": expected,
            "gains": gains,
            "optimism": optimism,
            "extrapolation": beyond,
            "natural_known": self.sizes is not None,
            "at": {name: float(column[0]) for name, column in self._fixed().values.items()},
            "tokens": self.tokens,
        }

    def _pictures(
        self, summary: Mapping[str, Any], names: list[str], share: Floats, full: list[Prediction]
    ) -> dict[str, Any]:
        """The mixtures run, and for two or three sources what the law predicts on a grid of all mixtures."""
        runs, told = self.table.runs(names[0], ("mixture",)), summary["outcomes"]
        settings = group_means(runs)[0]
        loss, predicted = (
            np.sum([one["weight"] * np.array(one[key], np.float64) for one in told], axis=0)
            for key in ("observed", "predicted")
        )
        mixtures = [
            {
                "name": name,
                "shares": row.tolist(),
                "loss": float(loss[at]),
                "predicted": float(predicted[at]),
            }
            for at, (name, row) in enumerate(zip(self.table.called(), settings.mixture, strict=True))
        ]
        k, steps = settings.mixture.shape[1], 24
        if k not in (2, 3):
            return {"mixtures": mixtures, "surface": None}
        if k == 2:
            points = np.linspace(0, 1, 51)[:, None] @ [[1, -1]] + [0, 1]
        else:
            points = np.array([(a, b, steps - a - b) for a in range(steps + 1) for b in range(steps + 1 - a)]) / steps
        value = np.sum([w * one.at(Settings(settings.sources, points)) for w, one in zip(share, full, strict=True)], 0)
        surface = [[*point, float(one)] for point, one in zip(points.tolist(), value, strict=True)]
        return {"mixtures": mixtures, "surface": surface}

    def _ask(self, names: list[str], full: list[Prediction], many: Fits) -> dict[str, Any]:
        """What a law without a mixture predicts where the user asks."""
        if "mixture" in self.law.card.needs:
            return {}
        at = self._fixed()
        found = {}
        for name, fitted, resampled in zip(names, full, many, strict=True):
            low, high = interval(np.array([one.at(at)[0] for one in resampled]), LEVEL)
            found[name] = {"value": float(fitted.at(at)[0]), "low": low, "high": high}
        if not any(math.isfinite(one["value"]) for one in found.values()):
            asked = ", ".join(f"{name}={column[0]:.4g}" for name, column in at.values.items())
            raise UsageError(f"{self.name} has no answer at {asked}. Ask elsewhere with --at.")
        beyond = outside(self.table.runs(names[0], self.law.card.needs), at)
        return {"asked": found, "extrapolation": beyond, "at": {n: float(c[0]) for n, c in at.values.items()}}


def _stated(key: str, value: float, draws: Floats, more: float, posterior: bool) -> dict[str, float]:
    """A prediction, ``more`` added, and its interval; that of a posterior is widened to hold the prediction."""
    low, high = interval(draws, LEVEL)
    value += more
    low, high = (min(low, value), max(high, value)) if posterior else (low + more, high + more)
    return {key: value, "low": low, "high": high}


def _told(verdict: Verdict) -> dict[str, Any]:
    return {
        "error": verdict.error,
        "noise": verdict.noise,
        "error_in_noise": verdict.error_in_noise,
        "rank": verdict.rank,
        "rank_best": verdict.rank_best,
        "baselines": verdict.baselines,
    }
