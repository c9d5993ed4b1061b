"""``cuvee prove``: from selections, baselines and evaluation sets to verdicts, by trials of small models."""

from __future__ import annotations

import inspect
import os
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

from . import proof_wording as wording
from .engine import files
from .engine.executor import Executor
from .engine.local import Local
from .engine.plan import parameters
from .engine.progress import Progress
from .engine.run import Engine
from .engine.store import Store, digest
from .errors import DataError, UsageError
from .layout import PROOF, PROOF_FORMAT, REPORT, Result, publish, refuse_foreign, versions
from .methods.policy.uniform import Uniform
from .pool import Paths, Reading
from .proof import findings, outlook, overlap
from .proof.arms import (
    BASELINES,
    Plan,
    against_baselines,
    against_uniform,
    clean_parts,
    multiple,
    tokens_of_a_trial,
    with_more_tokens,
)
from .proof.candidates import Candidate, open_candidates
from .proof.corpus import gather
from .proof.draws import Arm, Drawn, union
from .proof.evaluations import EvaluationSet, checked, divide
from .proof.evaluations import read as read_evaluation
from .proof.exchange import evaluation_digest, put_rows
from .proof.holdout import ReusableHoldout
from .proof.ladder import Ladder
from .proof.ledger import Ledger, warn
from .proof.multiples import multiple as tokens_needed
from .proof.places import apart, harmless, starter
from .proof.power import detectable, seeds_needed
from .proof.proxy import Proxy, Recipe
from .proof.question import Question, ask, name_of
from .proof.record import Record
from .proof.trials import Task, run_trials
from .proof.verdict import Comparison, planned_looks, stop
from .quantities import shell_path

PILOT = 3
"""Seeds after which the spread of the differences is known well enough to say how many are needed."""
USUAL_EFFECT = 0.01
"""Of the baseline's loss: the difference for which the number of seeds is told when none is named."""
SUIT = {False: ("ngram", "transformer"), True: ("linear_probe", "mlp")}
"""Proxies to name where one does not suit the pool, by whether it is text that the pool lacks."""
FULL_AT_MOST = 32
"""The whole pool is trained on if it holds at most this many times a trial's tokens, and eight times the most that the
proxy takes unasked."""


class Proved(Result):
    """A finished proof: the folder it lies in and what was found (the content of ``proof.json``)."""

    @property
    def better(self) -> bool:
        """Whether every primary verdict is "better", none is missing because trials diverged, and no evaluation set is
        the selection's own target."""
        primary = [one["verdict"] for one in self.summary["comparisons"] if one["primary"]]
        diverged = any(one["diverged"] for one in self.summary["arms"] if one["kind"] != "full")
        held_out = not self.summary["on_target"]
        return bool(primary) and all(verdict == "better" for verdict in primary) and not diverged and held_out


def prove(
    selections: Paths,
    *,
    evaluations: Mapping[str, Paths] | Sequence[str] | str,
    against: Sequence[str] | str | None = None,
    seeds: int = 8,
    seed: int = 0,
    proxy: str | Proxy = "ngram",
    policies: Sequence[str] = (),
    epochs: float = 1.0,
    tokens: int | None = None,
    equal: Literal["tokens", "cost"] = "tokens",
    margin: float | None = None,
    effect: float | None = None,
    stop_early: bool = False,
    overlap: Literal["clean", "refuse", "ignore"] = "clean",
    holdout: bool = False,
    ladder: float | Literal["auto"] | None = None,
    eval_bytes: int | None = None,
    ledger: str | os.PathLike[str] = "out/ledger",
    output: str | os.PathLike[str] = "out/prove",
    reading: Reading | None = None,
    workers: int = 0,
    executor: Executor | None = None,
    cache: str | os.PathLike[str] | None = None,
    progress: Progress | None = None,
    say: Callable[[str], object] | None = None,
    show_text: bool = True,
    command: str | None = None,
) -> Proved:
    """Train small models on selections and on their baselines, and compare them on held-out text.

    Args:
        selections: folders that :func:`cuvee.select` wrote.
        evaluations: held-out documents by name, or "NAME=PATH" strings. Subgroups are their domains.
        against: "random", "length_matched", "proportional", "full", or folders of other selections. By default the
            first two, and "proportional" where the pool has domains.
        seeds, seed: how many paired trials of every arm, from which seed on.
        proxy: "ngram", "transformer", "linear_probe", "mlp", with settings like "transformer:size=1M", or an instance.
        policies: policies in training to compare with uniform shuffling on the same documents, instead of baselines.
        tokens: of a trial, by the pool's count. Half of the smallest selection at most.
        margin, effect: in the proxy's unit (bits per byte, nats per example).
        holdout, ladder: guard half of each evaluation set, which answers by Thresholdout, or by a ladder with a step of
            this gain ("auto": by the spread of the differences).
        ledger: where trials are kept; those that it holds are not run again.
        reading: columns of the evaluation sets.
        say: told what is going to happen and how long it will take.

    Raises:
        UsageError, DataError, ResourceError, BusyError: with a sentence that says what, where and what next.
    """
    started = time.monotonic()
    question, sets = ask(
        selections, evaluations, against, seeds, seed, proxy, policies, epochs, tokens, equal, margin, effect,
        stop_early, overlap, holdout, eval_bytes, ladder,
    )  # fmt: skip
    folder, store = Path(output), Store(Path(cache) if cache is not None else None)
    apart(folder, Path(ledger))
    tell = harmless(say) if say is not None else None
    said = command or f"cuvee.prove({selections!r}, evaluations={evaluations!r}, seeds={seeds})"
    with files.lock(folder), store.in_use():
        refuse_foreign(folder, PROOF, "proof")
        job = _Job(
            question,
            store,
            Ledger(ledger, tell or warn),
            executor or Local(workers),
            progress or Progress(),
            tell or (lambda sentence: None),
            started,
            said,
        )
        job.open(sets, reading or Reading())
        return job.run(folder, show_text)


def plan(
    selections: Paths,
    *,
    evaluations: Mapping[str, Paths] | Sequence[str] | str,
    against: Sequence[str] | str | None = None,
    ledger: str | os.PathLike[str] = "out/ledger",
    output: str | os.PathLike[str] = "out/prove",
    reading: Reading | None = None,
    workers: int = 0,
    cache: str | os.PathLike[str] | None = None,
    **asked: Any,
) -> dict[str, Any]:
    """What ``prove`` with the same arguments would train and about how long it would take.

    Nothing is trained for the ledger, and nothing is written outside the cache.
    """
    names = (
        "seeds", "seed", "proxy", "policies", "epochs", "tokens", "equal", "margin", "effect", "stop_early", "overlap",
        "holdout", "ladder", "eval_bytes",
    )  # fmt: skip
    defaults = {name: one.default for name, one in inspect.signature(prove).parameters.items()}
    settings = {name: asked.get(name, defaults[name]) for name in names}
    question, sets = ask(selections, evaluations, against, **settings)
    apart(Path(output), Path(ledger))
    refuse_foreign(Path(output), PROOF, "proof")
    store = Store(Path(cache) if cache is not None else None)
    job = _Job(question, store, Ledger(ledger), Local(workers), Progress(), lambda sentence: None, 0.0, "")
    with store.in_use():
        job.open(sets, reading or Reading())
        job.prepare(train=False)
        found = job.outlook()
    if question.equal == "cost":
        found["further"] = "the baselines get more tokens for the time that selecting took; measured on the first trial"
    return {**found, "ledger": str(ledger), "writes": [str(Path(output) / name) for name in (PROOF, REPORT)]}


@dataclass
class _Job:
    """One proof, from opened selections to a finished folder."""

    question: Question
    store: Store
    ledger: Ledger
    executor: Executor
    progress: Progress
    say: Callable[[str], object]
    started: float
    command: str
    warnings: list[str] = field(default_factory=list)
    on_target: list[str] = field(default_factory=list)
    records: dict[tuple[str, int], Record] = field(default_factory=dict)
    draws: dict[tuple[str, int], Drawn] = field(default_factory=dict)

    engine: Engine = field(init=False)
    candidates: list[Candidate] = field(init=False)
    others: list[str] = field(init=False)
    sets: list[EvaluationSet] = field(init=False)
    guarded: list[EvaluationSet] = field(init=False)
    met: overlap.Overlap = field(init=False)
    plan: Plan = field(init=False)

    def open(self, sets: Mapping[str, Paths], reading: Reading) -> None:
        """Open selections, pool and evaluation sets; nothing is trained."""
        question = self.question
        folders = [Path(one) for one in question.against if one not in BASELINES]
        self.engine, self.candidates = open_candidates(
            [*question.selections, *folders], self.store, self.executor, self.progress
        )
        self.others = [one.name for one in self.candidates[len(question.selections) :]]
        spec = self.engine.pool.manifest.spec
        lacking = [need for need in question.proxy.needs if getattr(spec, need) is None]
        if lacking:
            raise UsageError(
                f"The proxy {name_of(question.proxy)} needs a column for {lacking[0]}, which the selection's pool does "
                f"not have. Choose another with --proxy: {', '.join(SUIT[lacking[0] == 'text'])}."
            )
        needs = question.proxy.needs
        self.sets = [
            read_evaluation(name, paths, reading, self.store, question.eval_bytes, needs)
            for name, paths in sets.items()
        ]
        self.guarded = []
        if question.holdout:
            self.sets, self.guarded = map(list, zip(*map(divide, self.sets), strict=True))
        self.warnings += checked(self.sets, reading)

    def prepare(self, train: bool = True) -> None:
        """Look for evaluation texts in the pool, set up the arms, and draw what each trains on at each seed.

        Args:
            train: whether a trial may be run to learn what selecting cost.
        """
        question, engine = self.question, self.engine
        engine.ensure_facts(engine.pool)
        self.met = overlap.find(engine, [one.evaluation for one in (*self.sets, *self.guarded)], self.candidates)
        if self.met.rows and question.overlap == "refuse":
            raise DataError(wording.refused(self.met))
        self.warnings += wording.overlaps(self.met, question.overlap)
        self.on_target = wording.own_target(self.candidates, self.sets)
        self.warnings = [*self.on_target, *self.warnings]
        columns = engine.columns(domain_by_convention=True)
        contaminated = self.met.contaminated if question.overlap == "clean" else np.empty(0, np.int64)
        pool, parts = clean_parts(columns, self.candidates, contaminated)
        tokens = tokens_of_a_trial(question.tokens, list(parts.values()), question.proxy.most_tokens)
        if question.policies:
            self.plan = against_uniform(self.candidates, parts, question.policies, Uniform(), tokens, question.epochs)
        else:
            names = [one for one in question.against if one in BASELINES]
            if not question.against:
                names = ["random", "length_matched", *(["proportional"] if len(columns.domains) > 1 else [])]
                most = 8 * (question.proxy.most_tokens or tokens * FULL_AT_MOST)
                if pool.totals["tokens"] <= min(FULL_AT_MOST * tokens, most):
                    names.append("full")
            self.plan = against_baselines(
                pool, self.candidates, parts, names, self.others, tokens, Uniform(), question.epochs
            )
        if question.equal == "cost" and train:
            self._equal_cost()
        for seed in question.seeds:
            for arm in self.plan.arms:
                self.draw(arm, seed)
        empty = next((name for (name, _), drawn in self.draws.items() if not len(drawn.row)), None)
        if empty is not None:
            raise DataError(
                f"A trial of {self.plan.tokens:,} tokens is too short: no document of '{empty}' fits into it. Give "
                "more --tokens, or prove a selection of more documents."
            )
        self.warnings += wording.unequal(self.plan, self.draws, question.seeds)

    def _equal_cost(self) -> None:
        """Give the baselines the tokens that could be trained on in the time that selecting took.

        Training speed is that of the fastest of the candidate's first trials, run one after another in one process (the
        first one loads kernels); the ledger keeps it, so that the same command finds the same arms again.
        """
        (candidate,) = [arm for arm in self.plan.arms if arm.kind == "candidate"]
        seeds = self.question.seeds[:PILOT]
        self.train([candidate], seeds, workers=1)
        records = [self.records[candidate.name, seed] for seed in seeds]
        speed = max(one.cost["tokens"] / max(one.cost["train_seconds"], 1e-9) for one in records)
        record = records[0]
        more = int(record.cost["select_seconds"] * speed)
        self.plan = with_more_tokens(self.plan, more)
        self.warnings.append(
            f"At equal cost: selecting took {record.cost['select_seconds']:.2f} s for each trial's share, so baselines "
            f"train on {self.plan.tokens + more:,} tokens instead of {self.plan.tokens:,}. A large model's training "
            "dwarfs this cost."
        )

    def draw(self, arm: Arm, seed: int) -> Drawn:
        """What an arm trains on at a seed."""
        if (arm.name, seed) not in self.draws:
            alike = (arm.name, self.question.seeds[0])
            if arm.choose is None and alike in self.draws:
                self.draws[arm.name, seed] = self.draws[alike]
            else:
                self.draws[arm.name, seed] = arm.draw(seed)
        return self.draws[arm.name, seed]

    def task(self, arm: Arm, seed: int) -> Task:
        """The trial of an arm at a seed."""
        drawn = self.draw(arm, seed)
        selection, manifest = drawn.digest, self.engine.pool.manifest
        if self.question.proxy.needs != ("text",):  # labels, say, of which a digest of contents knows nothing
            selection = digest("rows of", selection, [manifest.span_key(span) for span in manifest.spans])
        seconds = arm.select_seconds * drawn.tokens / arm.select_tokens if arm.select_tokens else 0.0
        cost = {
            "select_seconds": seconds,
            "select_flops": seconds * findings.SELECT_OPERATIONS_PER_SECOND,
            "tokens": float(drawn.tokens),
            "documents": float(drawn.documents),
        }
        recipe = Recipe(self.question.proxy, arm.policy, arm.epochs)
        seed = 0 if self.question.proxy.seedless else seed
        return Task(arm.name, selection, recipe, seed, put_rows(self.store, drawn.places), (), cost)

    def train(self, arms: Sequence[Arm], seeds: Sequence[int], workers: int | None = None) -> None:
        """Run the trials of these arms at these seeds that the ledger lacks, in so many processes."""
        evaluations = [one.evaluation for one in (*self.sets, *self.guarded)]
        tasks = {(arm.name, seed): self.task(arm, seed) for seed in seeds for arm in arms}
        corpus = gather(self.engine, union([self.draws[place] for place in tasks]))
        found = run_trials(
            list(tasks.values()),
            self.ledger,
            self.store,
            corpus,
            evaluations,
            workers or self.executor.trials,
            self.progress,
            self.ledger.notice,
            starter(self.executor, self.store, self.ledger),
        )
        by_key = {(record.selection, record.recipe, record.seed): record for record in found.values()}
        for (name, seed), task in tasks.items():
            record = by_key[task.selection, task.recipe.digest(), task.seed]
            self.records[name, seed] = replace(record, arm=name, seed=seed, cost={**record.cost, **task.select_cost})

    def outlook(self) -> dict[str, Any]:
        """What is going to be trained and about how long it takes."""
        trials = len(self.plan.arms) * len(self.question.seeds)
        more = outlook.more_trials(self.question, self.plan)
        known = [self.ledger.path(key).exists() for key in self._keys(self.question.seeds)]
        seconds: float | None = 0.0
        if not all(known):
            draws = [self.draws[arm.name, seed] for arm in self.plan.arms for seed in self.question.seeds]
            seconds = outlook.seconds(self.question, self.engine, draws, self.sets, more)
        told = "not known beforehand"
        if all(known):
            told = "no time for these: the ledger holds all of them"
        elif seconds is not None:
            told = f"about {wording.duration(seconds * (1 - sum(known) / len(known)) / self.executor.workers)}"
            told += f" ({sum(known)} of them are in the ledger)" if any(known) else ""
        return {
            "trains": f"{trials} trials: {len(self.plan.arms)} arms x {len(self.question.seeds)} seeds, "
            f"{self.plan.tokens:,} tokens each"
            + (f"; then random at {', '.join(f'{times:g}' for times, _ in more)} times the tokens" if more else ""),
            "arms": [arm.name for arm in self.plan.arms],
            "evaluates": [f"{one.name}: {len(one.evaluation.batch):,} documents" for one in self.sets],
            "time": told,
        }

    def run(self, folder: Path, show_text: bool) -> Proved:
        """All trials, the answers, and the report."""
        self.prepare()
        question, seeds = self.question, self.question.seeds
        ahead = self.outlook()
        self.say(f"{ahead['trains']}; {ahead['time']}")
        looks = planned_looks(len(seeds), question.stop_early)
        asked = findings.Asked(question.alpha, question.margin, looks)
        pilot = seeds[: min(PILOT, len(seeds))]
        begun = time.monotonic()
        fresh = sum(self.ledger.find(key) is None for key in self._keys(pilot))
        self.train(self.plan.arms, pilot)
        power = self._power(findings.answers(self.plan, pilot, self.sets, self.records, asked))
        if len(seeds) > len(pilot):
            each = (time.monotonic() - begun) / max(fresh, 1) if fresh else 0.0
            left = each * len(self.plan.arms) * (len(seeds) - len(pilot))
            self.say(wording.pilot(power, len(pilot), len(seeds), left, question.proxy.unit))
        done: tuple[int, ...] = ()
        for look in looks:
            done = seeds[:look]
            self.train(self.plan.arms, done)
            answers = findings.answers(self.plan, done, self.sets, self.records, asked)
            if stop(looks, look, answers.primary) and not answers.unanswered:
                break
        if len(done) < len(seeds):
            self.warnings.append(
                f"Stopped after {len(done)} of {len(seeds)} seeds by the rule fixed beforehand (--stop-early): the "
                "level of every interval allows for both looks."
            )
        if power is not None and answers.primary:
            power = {**power, "pilot_detectable": power["detectable"], "detectable": answers.primary[0].detectable}
        multiples = self._multiples(done, answers.primary)
        return self._write(folder, done, answers, power, multiples, show_text)

    def _keys(self, seeds: Sequence[int]) -> list[str]:
        digests = {one.name: evaluation_digest(one.evaluation) for one in (*self.sets, *self.guarded)}
        return [self.task(arm, seed).key(digests) for arm in self.plan.arms for seed in seeds]

    def _power(self, answers: findings.Answers) -> dict[str, Any] | None:
        """From the pilot: how many seeds the wanted effect needs, and what the planned ones can see."""
        if not answers.primary or len(answers.primary[0].seeds) < PILOT:
            return None
        one = answers.primary[0]
        effects = [self.question.effect] if self.question.effect is not None else []
        effects += [self.question.margin] if self.question.margin is not None else []
        spread = one.parts.seeds * one.parts.n
        given: dict[str, Any] = {
            "spread": spread,
            "pilot": one.parts.n,
            "luck": one.parts.luck,
            "documents": one.parts.documents,
            "n_documents": one.parts.m,
            "alpha": 1 - one.level,
        }
        seen = detectable(
            spread, len(self.question.seeds), one.parts.luck, one.parts.documents, one.parts.m, 1 - one.level
        )
        effects = effects or [one.against_mean * USUAL_EFFECT]
        needed = [seeds_needed(effect, **given) for effect in effects]
        return {
            "detectable": seen,
            "assumed": self.question.effect is None and self.question.margin is None,
            "pilot_seeds": one.parts.n,
            "seeds_for": [{"effect": each.effect, "seeds": each.seeds, "said": each.sentence()} for each in needed],
        }

    def _multiples(self, seeds: Sequence[int], primary: Sequence[Comparison]) -> list[dict[str, Any]]:
        """What random would need for each candidate's loss: more trials of random, until it catches up."""
        pairs = [pair for pair in self.plan.pairs if pair.against.kind == "random"]
        if not pairs or self.question.equal == "cost" or findings.diverged_by_arm(self.records):
            return []
        random, seeds = pairs[0].against, seeds[: self.question.proxy.multiple_seeds]
        steps: dict[float, Arm] = {1.0: random}
        for times in self.question.proxy.multiples:
            if times * random.tokens > random.source.totals["tokens"]:
                break
            if times > 1 and self._caught_up(pairs, steps, seeds):
                break
            arm = multiple(random, times)
            if not all(len(self.draw(arm, seed).row) for seed in seeds):
                continue  # so few tokens that no document fits
            self.train([arm], seeds)
            lost = sum(self.records[arm.name, seed].status == "diverged" for seed in seeds)
            if lost:
                self.warnings.append(
                    f"{lost} of {len(seeds)} trials of '{arm.name}' diverged: what random would need is told without."
                )
                continue
            steps[times] = arm
        if len(steps) < 2:
            return []
        found = []
        for pair in pairs:
            for one in self.sets:
                losses = {
                    times: {seed: self.records[arm.name, seed].metrics[one.name] for seed in seeds}
                    for times, arm in steps.items()
                }
                own = {seed: self.records[pair.arm.name, seed].metrics[one.name] for seed in seeds}
                same = (pair.arm.name, pair.against.name, one.name)
                shown = next(each for each in primary if (each.arm, each.against, each.evaluation) == same)
                if shown.verdict == "not shown":
                    continue  # by how much is no question where it is open whether
                answer = tokens_needed(own, losses, luck=shown.parts.luck)
                order = sorted(steps)
                found.append(
                    {
                        "arm": pair.arm.name,
                        "evaluation": one.name,
                        "tokens": [round(random.tokens * times) for times in order],
                        "loss": [float(np.mean(list(losses[times].values()))) for times in order],
                        "candidate_loss": float(np.mean(list(own.values()))),
                        **wording.multiple(answer),
                    }
                )
        return found

    def _mean(self, arm: str, evaluation: str, seeds: Sequence[int]) -> float:
        return float(np.mean([self.records[arm, seed].metrics[evaluation] for seed in seeds]))

    def _caught_up(self, pairs: Sequence[Any], steps: Mapping[float, Arm], seeds: Sequence[int]) -> bool:
        """Whether random reaches every candidate's loss with the most tokens that it was given."""
        most = steps[max(steps)].name
        return all(
            self._mean(most, one.name, seeds) <= self._mean(pair.arm.name, one.name, seeds)
            for pair in pairs
            for one in self.sets
        )

    def _ask_holdout(self, answers: findings.Answers) -> list[dict[str, Any]]:
        """What the guarded parts say of each candidate against its first baseline: the mean gain per document."""
        found = []
        by_name = {one.name: other for one, other in zip(self.sets, self.guarded, strict=True)}
        for one in answers.primary:
            if one.against != answers.primary[0].against or one.evaluation not in by_name:
                continue
            other = by_name[one.evaluation]
            gains = [findings.gains(self.records, one, name) for name in (one.evaluation, other.name)]
            about = {"arm": one.arm, "against": one.against, "evaluation": one.evaluation}
            place, n = self.ledger.folder / "holdout", len(other.evaluation.batch)
            if self.question.ladder is not None:
                step = None if self.question.ladder == "auto" else float(self.question.ladder)
                ladder = Ladder(place / f"{other.digest}.ladder.json", n, step)
                told = ladder.ask(gains[1], self._yardstick(one.against))
                found.append({**about, "gain": told.gain, "ahead": told.ahead, "limits": ladder.limits()})
            else:
                holdout = ReusableHoldout(place / f"{other.digest}.json", n)
                found.append({**about, "gain": holdout.ask(*gains), "limits": holdout.limits()})
        return found

    def _yardstick(self, against: str) -> str:
        """What gains over this baseline may be compared with: gains of the same recipe, tokens and baseline."""
        arm = next(arm for arm in self.plan.arms if arm.name == against)
        recipe, manifest = Recipe(self.question.proxy, arm.policy, arm.epochs), self.engine.pool.manifest
        drawn = "" if arm.kind in BASELINES else self.draw(arm, self.question.seeds[0]).digest
        pool = [manifest.span_key(span) for span in manifest.spans]
        return digest("yardstick", recipe.digest(), arm.tokens, arm.kind, drawn, pool)

    def _next(self, answers: findings.Answers, seeds: int) -> str:
        """What to do after this answer."""
        verdict = answers.primary[0].verdict if answers.primary else "not shown"
        if verdict == "worse":
            return "cuvee methods"
        if verdict == "not shown" and self.command.startswith("cuvee prove "):
            return f"{re.sub(' --seeds[ =][0-9]+', '', self.command)} --seeds {2 * seeds}"
        return f"cuvee write {shell_path(self.candidates[0].folder)} --format parquet"

    def _write(
        self,
        folder: Path,
        seeds: Sequence[int],
        answers: findings.Answers,
        power: dict[str, Any] | None,
        multiples: list[dict[str, Any]],
        show_text: bool,
    ) -> Proved:
        """The folder with proof and report."""
        summary = self._summary(seeds, answers, power, multiples)
        if not show_text:
            for one in summary["overlap"]:
                one["examples"] = []
        summary["reproduce"]["timings"] = {"total": round(time.monotonic() - self.started, 3)}
        from .report.prove import render

        with files.whole_folder(folder) as place:
            summary = publish(place, PROOF, summary, partial(render, no_text=not show_text))
        return Proved(folder, summary)

    def _summary(
        self,
        seeds: Sequence[int],
        answers: findings.Answers,
        power: dict[str, Any] | None,
        multiples: list[dict[str, Any]],
    ) -> dict[str, Any]:
        question = self.question
        arms = findings.arms_table(self.plan, seeds, self.sets, self.records)
        comparisons = [findings.as_json(one, "primary") for one in answers.primary]
        comparisons += [findings.as_json(one, "group") for one in answers.groups]
        comparisons += [findings.as_json(one, "reference") for one in answers.references]
        first = next(pair for pair in self.plan.pairs if not pair.reference).against.name
        cost = findings.costs(arms, [one for one in answers.primary if one.against == first])
        chosen = [one.plan["reproduce"]["digest"] for one in self.candidates]
        asked = digest("question", [question.as_json(), chosen, [one.digest for one in self.sets], self.plan.tokens])
        tried = digest("tried", chosen, [name for name, _ in question.policies])
        summary: dict[str, Any] = {
            "format": PROOF_FORMAT,
            "title": f"Proof of {', '.join(one.name for one in self.candidates if one.name not in self.others)}",
            "unit": question.proxy.unit,
            "seeds": list(seeds),
            "proxy": {
                "name": name_of(question.proxy),
                "summary": type(question.proxy).summary,
                "settings": parameters(question.proxy),
            },
            "margin": question.margin,
            "level": 1 - question.alpha,
            "tokens": self.plan.tokens,
            "arms": arms,
            "evaluations": [
                {
                    "name": one.name,
                    "documents": len(one.evaluation.batch),
                    "bytes": int(one.evaluation.batch.offsets[-1] - one.evaluation.batch.offsets[0]),
                    "groups": list(one.evaluation.groups),
                    "digest": one.digest,
                    "consulted": self.ledger.consult(one.origin, one.name, tried),
                }
                for one in self.sets
            ],
            "comparisons": comparisons,
            "small_groups": list(answers.small),
            "on_target": self.on_target,
            "curves": findings.curves(self.plan, seeds, self.sets, self.records),
            "group_curves": wording.group_curves(findings.group_curves(self.sets, self.records, question.alpha)),
            "multiples": multiples,
            "costs": cost,
            "power": power,
            "noise": findings.noise(self.plan, seeds, self.sets, self.records),
            "trials": {
                "count": len({(record.key) for record in self.records.values()}),
                "train_seconds": sum({one.key: one.cost["train_seconds"] for one in self.records.values()}.values()),
            },
            "holdout": wording.holdout(self._ask_holdout(answers), question.proxy.unit) if self.guarded else None,
            "overlap": self.met.as_json(),
            "selections": [
                {
                    "name": one.name,
                    "folder": str(one.folder),
                    "method": one.method,
                    "digest": one.plan["reproduce"]["digest"],
                    "next": str(one.plan.get("next", "")),
                }
                for one in self.candidates
            ],
            "reproduce": {
                "command": self.command,
                "digest": "",
                "versions": versions(),
                "citations": sorted({text for one in self.candidates for text in one.plan["reproduce"]["citations"]}),
            },
        }
        summary["warnings"] = [*self.warnings, *wording.warnings(summary, answers, question)]
        summary["limits"] = wording.limits(summary, question)
        summary["verdict"] = wording.verdict(summary, answers)
        if answers.primary and answers.unanswered:
            lost = " and ".join(dict.fromkeys(f"'{one.arm}' against '{one.against}'" for one in answers.unanswered))
            summary["verdict"] = f"No answer for {lost}: too many trials diverged. {summary['verdict']}"
        summary["next"] = self._next(answers, len(seeds))
        table = [[one[name] for name in ("arm", "against", "evaluation", "group", "mean", "low", "high", "verdict")]
                 for one in comparisons]  # fmt: skip
        summary["reproduce"]["digest"] = digest("proof", asked, table)
        return summary


def lines(proved: Proved) -> list[str]:
    """What the command line prints."""
    return wording.proof_lines(proved.folder, proved.summary)
